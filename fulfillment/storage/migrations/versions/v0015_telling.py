"""Who wants to be told how, who cannot be told, and webhooks to the storefront."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0015"
down_revision = "0014"

_STATES = "state IN ('pending', 'claimed', 'sent', 'withdrawn', 'suppressed', 'dead')"
_MORE_STATES = (
    "state IN ('pending', 'claimed', 'unknown', 'sent', 'withdrawn', 'suppressed', 'bounced', 'dead')"
)
_OPEN = "state IN ('pending', 'claimed')"
_MORE_OPEN = "state IN ('pending', 'claimed', 'unknown')"
_NEW = ("zone", "body", "provider_refs", "taken_at", "first_sent_at", "delivered_at")


def upgrade() -> None:
    """Bring the schema up."""
    _widen_outbox()
    _make_preferences()
    _make_webhooks()


def downgrade() -> None:
    """Bring it back."""
    for table in (
        "webhook_deliveries",
        "webhook_endpoints",
        "event_horizon",
        "contact_blocks",
        "customer_preferences",
    ):
        op.drop_table(table)
    op.drop_constraint(op.f("ck_outbox_channel"), "outbox")
    _states(_STATES, _OPEN)
    for column in _NEW:
        op.drop_column("outbox", column)


def _widen_outbox() -> None:
    op.add_column("outbox", sa.Column("zone", sa.Text()))
    op.add_column("outbox", sa.Column("body", sa.Text()))
    op.add_column(
        "outbox",
        sa.Column("provider_refs", postgresql.ARRAY(sa.Text()), nullable=False, server_default="{}"),
    )
    for column in ("taken_at", "first_sent_at", "delivered_at"):
        op.add_column("outbox", sa.Column(column, sa.DateTime(timezone=True)))
    op.create_check_constraint(op.f("ck_outbox_channel"), "outbox", "channel IN ('email', 'sms')")
    _states(_MORE_STATES, _MORE_OPEN)


def _states(states: str, still_open: str) -> None:
    op.drop_constraint(op.f("ck_outbox_state"), "outbox")
    op.create_check_constraint(op.f("ck_outbox_state"), "outbox", states)
    op.drop_index("ix_outbox_open", "outbox")
    op.create_index("ix_outbox_open", "outbox", ["not_before"], postgresql_where=sa.text(still_open))


def _make_preferences() -> None:
    op.create_table(
        "customer_preferences",
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("main", sa.Text(), nullable=False, server_default="email"),
        sa.Column("sms", sa.Boolean(), nullable=False, server_default="false"),
        sa.Column("delivery_news", sa.Boolean(), nullable=False, server_default="true"),
        sa.Column("locale", sa.Text(), nullable=False, server_default=""),
        sa.Column("zone", sa.Text(), nullable=False, server_default=""),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sms_since", sa.DateTime(timezone=True)),
        sa.CheckConstraint(
            "main = 'email' OR (main = 'sms' AND sms)", name=op.f("ck_customer_preferences_main")
        ),
        sa.PrimaryKeyConstraint("customer_id", name=op.f("pk_customer_preferences")),
    )
    op.create_table(
        "contact_blocks",
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("recipient", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("reason IN ('bounced', 'stopped')", name=op.f("ck_contact_blocks_reason")),
        sa.PrimaryKeyConstraint("channel", "recipient", name=op.f("pk_contact_blocks")),
    )


def _make_webhooks() -> None:
    op.create_table(
        "event_horizon",
        sa.Column("one", sa.Boolean(), nullable=False, server_default="true"),
        sa.Column("safe_seq", sa.BigInteger(), nullable=False),
        sa.Column("next_seq", sa.BigInteger(), nullable=False),
        sa.Column("next_xid", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("one", name=op.f("ck_event_horizon_one")),
        sa.PrimaryKeyConstraint("one", name=op.f("pk_event_horizon")),
    )
    op.create_table(
        "webhook_endpoints",
        sa.Column("endpoint_id", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("kinds", postgresql.ARRAY(sa.Text()), nullable=False, server_default="{}"),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("old_secret", sa.Text()),
        sa.Column("old_secret_until", sa.DateTime(timezone=True)),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False, server_default=""),
        sa.Column("cursor", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("failing_since", sa.DateTime(timezone=True)),
        sa.Column("disabled_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint(
            "state IN ('enabled', 'disabled', 'removed')", name=op.f("ck_webhook_endpoints_state")
        ),
        sa.PrimaryKeyConstraint("endpoint_id", name=op.f("pk_webhook_endpoints")),
    )
    _make_deliveries()


def _make_deliveries() -> None:
    op.create_table(
        "webhook_deliveries",
        sa.Column("endpoint_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("status", sa.Integer()),
        sa.Column("why", sa.Text(), nullable=False, server_default=""),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True)),
        sa.Column("first_sent_at", sa.DateTime(timezone=True)),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint(
            "state IN ('pending', 'claimed', 'delivered', 'dead')", name=op.f("ck_webhook_deliveries_state")
        ),
        sa.ForeignKeyConstraint(
            ["endpoint_id"],
            ["webhook_endpoints.endpoint_id"],
            name=op.f("fk_webhook_deliveries_endpoint_id"),
        ),
        sa.ForeignKeyConstraint(["seq"], ["order_events.seq"], name=op.f("fk_webhook_deliveries_seq")),
        sa.ForeignKeyConstraint(
            ["order_id"], ["orders.order_id"], name=op.f("fk_webhook_deliveries_order_id")
        ),
        sa.PrimaryKeyConstraint("endpoint_id", "seq", name=op.f("pk_webhook_deliveries")),
    )
    op.create_index(
        "ix_webhook_deliveries_open",
        "webhook_deliveries",
        ["endpoint_id", "order_id", "seq"],
        postgresql_where=sa.text(_OPEN),
    )
