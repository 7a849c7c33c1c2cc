"""Changes of an order that stands."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Bring the schema up; labels and parcels that are there get what they were bought and left for."""
    op.create_table(
        "order_changes",
        sa.Column("change_id", sa.Text(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("delta", sa.Integer(), nullable=False),
        sa.Column("added", postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False),
        sa.Column("stopped", postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False),
        sa.Column("reworked", postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False),
        sa.Column("before", postgresql.JSONB(), server_default="{}", nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), server_default="", nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "kind IN ('cancel_units', 'add_lines', 'address', 'service')", name=op.f("ck_order_changes_kind")
        ),
        sa.CheckConstraint("state IN ('confirmed', 'undone')", name=op.f("ck_order_changes_state")),
        sa.ForeignKeyConstraint(["order_id"], ["orders.order_id"], name=op.f("fk_order_changes_order_id")),
        sa.PrimaryKeyConstraint("change_id", name=op.f("pk_order_changes")),
    )
    op.create_index(
        "uq_order_changes_request",
        "order_changes",
        ["order_id", "request_id"],
        unique=True,
        postgresql_where=sa.text("request_id <> ''"),
    )
    op.add_column("orders", sa.Column("fees", sa.Integer(), server_default="0", nullable=False))
    op.create_check_constraint(op.f("ck_orders_fees"), "orders", "fees >= 0")
    op.add_column("shipments", sa.Column("fee", sa.Integer(), server_default="0", nullable=False))
    op.add_column("shipments", sa.Column("reworks", sa.Integer(), server_default="0", nullable=False))
    op.create_check_constraint(
        op.f("ck_shipments_fee"), "shipments", "fee >= 0 AND fee <= value AND reworks >= 0"
    )
    _remember_what_labels_were_for()


def _remember_what_labels_were_for() -> None:
    op.add_column("labels", sa.Column("order_service", sa.Text(), nullable=True))
    op.execute(
        "UPDATE labels SET order_service = orders.service FROM orders WHERE orders.order_id = labels.order_id"
    )
    op.alter_column("labels", "order_service", nullable=False)
    op.add_column("parcels", sa.Column("address_hash", sa.Text(), nullable=True))
    op.execute(
        "UPDATE parcels SET address_hash = labels.address_hash FROM labels"
        " WHERE labels.parcel_id = parcels.parcel_id AND labels.state = 'used'"
        " AND parcels.handed_over_at IS NOT NULL"
    )


def downgrade() -> None:
    """Bring it back. What changes said of themselves is lost; what they did stays, but for fees."""
    op.drop_column("parcels", "address_hash")
    op.drop_column("labels", "order_service")
    op.execute("UPDATE shipments SET value = value - fee WHERE fee > 0")
    op.execute("UPDATE orders SET total = total - fees WHERE fees > 0")
    op.drop_constraint(op.f("ck_shipments_fee"), "shipments")
    op.drop_column("shipments", "reworks")
    op.drop_column("shipments", "fee")
    op.drop_constraint(op.f("ck_orders_fees"), "orders")
    op.drop_column("orders", "fees")
    op.drop_table("order_changes")
