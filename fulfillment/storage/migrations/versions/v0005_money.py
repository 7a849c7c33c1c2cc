"""Payments that cover several shipments; refunds and disputes."""

from datetime import datetime

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0005"
down_revision = "0004"

_STATES = "state IN ('claimed', 'accepted', 'succeeded', 'failed', 'unknown')"
_OLD_STATES = "state IN ('claimed', 'succeeded', 'failed', 'unknown')"
_OPEN = "state IN ('claimed', 'accepted', 'unknown')"
_OLD_OPEN = "state IN ('claimed', 'unknown')"

# A void lets go of what was reserved; an authorization that never came to anything reserved nothing.
_SHARES = """
INSERT INTO payment_shares (payment_id, shipment_id, asked, captured, refunded, released)
SELECT payment_id, shipment_id, asked, captured, refunded,
    CASE WHEN status IN ('authorizing', 'action_required', 'authorized') THEN 0 ELSE asked - captured END
FROM payments
"""
_COUNT_THROUGH_THE_ORDER = """
UPDATE payments p SET attempt = counted.n FROM (
    SELECT payment_id, row_number() OVER (PARTITION BY order_id ORDER BY created_at, payment_id) AS n FROM payments
) counted WHERE counted.payment_id = p.payment_id
"""
# The attempt used to be the last part of every key about money.
_ABOUT = """
UPDATE provider_operations
SET payment_id = order_id || ':authorize:' || subject || ':' || substring(operation_key from '[0-9]+$')
WHERE kind IN ('authorize', 'capture', 'void', 'refund')
"""
_REFUNDS = """
INSERT INTO refunds (refund_id, order_id, n, shipment_id, cause, amount, state, "by", approved_by, request_id, at, ended_at)
SELECT o.order_id || '-F' || o.n, o.order_id, o.n, o.subject,
    CASE WHEN s.outcome = 'returned' THEN 'returned' WHEN s.work_status = 'cancelled' THEN 'cancelled' ELSE 'lost' END,
    o.amount, CASE o.state WHEN 'succeeded' THEN 'succeeded' WHEN 'failed' THEN 'failed' ELSE 'running' END,
    'system', 'system', o.operation_key, o.claimed_at, o.ended_at
FROM (
    SELECT *, row_number() OVER (PARTITION BY order_id ORDER BY claimed_at, operation_key) AS n
    FROM provider_operations WHERE kind = 'refund' AND amount > 0
) o JOIN shipments s ON s.shipment_id = o.subject
"""
_OF_REFUND = """
UPDATE provider_operations o SET subject = r.refund_id FROM refunds r WHERE r.request_id = o.operation_key
"""
_OF_SHIPMENT = """
UPDATE provider_operations o SET subject = r.shipment_id FROM refunds r
WHERE o.kind = 'refund' AND r.refund_id = o.subject AND r.shipment_id IS NOT NULL
"""
# Going back, a payment belongs to the first of its shipments.
_FIRST_SHIPMENT = """
UPDATE payments p SET shipment_id = (
    SELECT min(s.shipment_id) FROM payment_shares s WHERE s.payment_id = p.payment_id
)
"""


def _moment(name: str, *, nullable: bool = False) -> "sa.Column[datetime]":
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def upgrade() -> None:
    """Bring the schema up."""
    op.add_column("orders", sa.Column("payment_link", sa.Text()))
    op.add_column("inbox", sa.Column("hint", JSONB()))
    _make_tables()
    _give_payments_shares()
    _name_payments_of_operations()
    op.execute(_REFUNDS)
    op.execute(_OF_REFUND)


def downgrade() -> None:
    """Bring it back."""
    op.execute(_OF_SHIPMENT)
    op.drop_index("ix_provider_operations_provider_ref", "provider_operations")
    op.drop_index("ix_provider_operations_payment", "provider_operations")
    _states(_OLD_STATES, _OLD_OPEN)
    op.drop_column("provider_operations", "final")
    op.drop_column("provider_operations", "payment_id")
    op.add_column("payments", sa.Column("shipment_id", sa.Text()))
    op.execute(_FIRST_SHIPMENT)
    op.alter_column("payments", "shipment_id", nullable=False)
    op.create_foreign_key(
        "fk_payments_shipment_id", "payments", "shipments", ["shipment_id"], ["shipment_id"]
    )
    op.drop_constraint("uq_payments_attempt", "payments", type_="unique")
    op.create_unique_constraint("uq_payments_attempt", "payments", ["shipment_id", "attempt"])
    op.drop_index("ix_payments_holding", "payments")
    op.create_index(
        "uq_payments_live",
        "payments",
        ["shipment_id"],
        unique=True,
        postgresql_where=sa.text("status IN ('authorizing', 'action_required', 'authorized')"),
    )
    op.drop_column("payments", "multicapture")
    op.drop_column("payments", "next_action_url")
    for table in ("disputes", "refund_units", "refunds", "payment_shares"):
        op.drop_table(table)
    op.drop_column("inbox", "hint")
    op.drop_column("orders", "payment_link")


def _give_payments_shares() -> None:
    op.execute(_SHARES)
    op.drop_index("uq_payments_live", "payments")
    op.drop_constraint("uq_payments_attempt", "payments", type_="unique")
    op.drop_constraint("fk_payments_shipment_id", "payments", type_="foreignkey")
    op.drop_column("payments", "shipment_id")
    op.execute(_COUNT_THROUGH_THE_ORDER)
    op.create_unique_constraint("uq_payments_attempt", "payments", ["order_id", "attempt"])
    op.add_column("payments", sa.Column("next_action_url", sa.Text()))
    op.add_column(
        "payments", sa.Column("multicapture", sa.Boolean(), nullable=False, server_default=sa.text("false"))
    )
    op.create_index(
        "ix_payments_holding", "payments", ["created_at"], postgresql_where=sa.text("status = 'authorized'")
    )


def _name_payments_of_operations() -> None:
    op.add_column("provider_operations", sa.Column("payment_id", sa.Text()))
    op.execute(_ABOUT)
    op.create_foreign_key(
        "fk_provider_operations_payment_id", "provider_operations", "payments", ["payment_id"], ["payment_id"]
    )
    op.add_column(
        "provider_operations",
        sa.Column("final", sa.Boolean(), nullable=False, server_default=sa.text("true")),
    )
    _states(_STATES, _OPEN)
    op.create_index("ix_provider_operations_payment", "provider_operations", ["payment_id"])
    op.create_index("ix_provider_operations_provider_ref", "provider_operations", ["provider_ref"])


def _states(states: str, still_open: str) -> None:
    op.drop_constraint(op.f("ck_provider_operations_state"), "provider_operations", type_="check")
    op.create_check_constraint(op.f("ck_provider_operations_state"), "provider_operations", states)
    op.drop_index("ix_provider_operations_open", "provider_operations")
    op.create_index(
        "ix_provider_operations_open",
        "provider_operations",
        ["claimed_at"],
        postgresql_where=sa.text(still_open),
    )


def _make_tables() -> None:
    op.create_table(
        "payment_shares",
        sa.Column("payment_id", sa.Text(), nullable=False),
        sa.Column("shipment_id", sa.Text(), nullable=False),
        sa.Column("asked", sa.Integer(), nullable=False),
        sa.Column("captured", sa.Integer(), server_default="0", nullable=False),
        sa.Column("refunded", sa.Integer(), server_default="0", nullable=False),
        sa.Column("released", sa.Integer(), server_default="0", nullable=False),
        sa.CheckConstraint(
            "captured >= 0 AND released >= 0 AND captured + released <= asked",
            name=op.f("ck_payment_shares_sums"),
        ),
        sa.CheckConstraint("refunded >= 0 AND refunded <= captured", name=op.f("ck_payment_shares_refunded")),
        sa.ForeignKeyConstraint(
            ["payment_id"], ["payments.payment_id"], name=op.f("fk_payment_shares_payment_id")
        ),
        sa.ForeignKeyConstraint(
            ["shipment_id"], ["shipments.shipment_id"], name=op.f("fk_payment_shares_shipment_id")
        ),
        sa.PrimaryKeyConstraint("payment_id", "shipment_id", name=op.f("pk_payment_shares")),
    )
    op.create_index("ix_payment_shares_shipment", "payment_shares", ["shipment_id"])
    op.create_table(
        "refunds",
        sa.Column("refund_id", sa.Text(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("shipment_id", sa.Text()),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("amount", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("approved_by", sa.Text()),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.Column("why_approval", sa.Text(), server_default="", nullable=False),
        sa.Column("by_hand_ref", sa.Text()),
        _moment("at"),
        _moment("ended_at", nullable=True),
        sa.CheckConstraint("amount > 0", name=op.f("ck_refunds_something")),
        sa.CheckConstraint(
            "state IN ('requested', 'approved', 'running', 'succeeded', 'failed', 'manual', 'rejected')",
            name=op.f("ck_refunds_state"),
        ),
        sa.ForeignKeyConstraint(["order_id"], ["orders.order_id"], name=op.f("fk_refunds_order_id")),
        sa.ForeignKeyConstraint(
            ["shipment_id"], ["shipments.shipment_id"], name=op.f("fk_refunds_shipment_id")
        ),
        sa.PrimaryKeyConstraint("refund_id", name=op.f("pk_refunds")),
        sa.UniqueConstraint("order_id", "n", name="uq_refunds_n"),
        sa.UniqueConstraint("order_id", "request_id", name="uq_refunds_request"),
    )
    op.create_index(
        "ix_refunds_open", "refunds", ["at"], postgresql_where=sa.text("state IN ('approved', 'running')")
    )
    op.create_table(
        "refund_units",
        sa.Column("refund_id", sa.Text(), nullable=False),
        sa.Column("line_no", sa.Integer(), nullable=False),
        sa.Column("first_unit", sa.Integer(), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.CheckConstraint("first_unit >= 1 AND quantity >= 1", name=op.f("ck_refund_units_range")),
        sa.ForeignKeyConstraint(["refund_id"], ["refunds.refund_id"], name=op.f("fk_refund_units_refund_id")),
        sa.PrimaryKeyConstraint("refund_id", "line_no", "first_unit", name=op.f("pk_refund_units")),
    )
    op.create_table(
        "disputes",
        sa.Column("dispute_id", sa.Text(), nullable=False),
        sa.Column("payment_id", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("amount", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("is_over", sa.Boolean(), nullable=False),
        _moment("opened_at"),
        _moment("evidence_due_at", nullable=True),
        sa.ForeignKeyConstraint(["payment_id"], ["payments.payment_id"], name=op.f("fk_disputes_payment_id")),
        sa.PrimaryKeyConstraint("dispute_id", name=op.f("pk_disputes")),
    )
