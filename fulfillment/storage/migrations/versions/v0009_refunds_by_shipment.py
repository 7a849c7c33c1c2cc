"""Units that are given back remember their shipment, orders why they ship from where; labels are found by order."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0009"
down_revision = "0008"

_PIECES = """
    CREATE TEMPORARY TABLE pieces ON COMMIT DROP AS
    SELECT u.refund_id, u.line_no, greatest(u.first_unit, g.first_unit) AS first_unit,
        least(u.first_unit + u.quantity, g.first_unit + g.quantity) - greatest(u.first_unit, g.first_unit) AS quantity,
        g.shipment_id
    FROM refund_units u JOIN refunds r USING (refund_id)
    JOIN unit_ranges g ON g.order_id = r.order_id AND g.line_no = u.line_no
        AND g.first_unit < u.first_unit + u.quantity AND u.first_unit < g.first_unit + g.quantity
"""


def upgrade() -> None:
    """Bring the schema up. Of units that were cancelled before nobody knows any more where they had been."""
    op.add_column("refund_units", sa.Column("shipment_id", sa.Text()))
    op.create_foreign_key(
        "fk_refund_units_shipment_id", "refund_units", "shipments", ["shipment_id"], ["shipment_id"]
    )
    op.execute(_PIECES)
    op.execute("DELETE FROM refund_units")
    op.execute(
        "INSERT INTO refund_units (refund_id, line_no, first_unit, quantity, shipment_id) "
        "SELECT refund_id, line_no, first_unit, quantity, shipment_id FROM pieces"
    )
    op.create_index("ix_labels_order_id", "labels", ["order_id"])
    op.create_table(
        "sourcing_decisions",
        sa.Column("operation_key", sa.Text(), primary_key=True),
        sa.Column("order_id", sa.Text(), sa.ForeignKey("orders.order_id"), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("policy_version", sa.Text(), nullable=False),
        sa.Column("inputs", JSONB(), nullable=False),
        sa.Column("candidates", JSONB(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
    )
    op.create_index("ix_sourcing_decisions_order", "sourcing_decisions", ["order_id"])
    op.add_column("replenishment_orders", sa.Column("late_on", sa.Date()))
    op.execute(
        "UPDATE replenishment_orders r SET late_on = CAST(c.opened_at AS date) FROM cases c "
        "WHERE c.subject = r.replenishment_id AND c.kind = 'receipt_late'"
    )


def downgrade() -> None:
    """Bring it back."""
    op.drop_column("replenishment_orders", "late_on")
    op.drop_table("sourcing_decisions")
    op.drop_index("ix_labels_order_id", "labels")
    op.drop_constraint("fk_refund_units_shipment_id", "refund_units")
    op.drop_column("refund_units", "shipment_id")
