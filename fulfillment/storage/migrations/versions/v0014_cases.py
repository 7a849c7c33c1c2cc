"""What is done about a case step by step, what was sent again, and orders that go on after their end."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"

_OPEN = sa.text("state <> 'resolved'")


def upgrade() -> None:
    """Bring the schema up."""
    op.add_column("cases", sa.Column("resolved_by", sa.Text))
    op.add_column("cases", sa.Column("step", sa.Integer, nullable=False, server_default="0"))
    op.add_column("cases", sa.Column("escalated_at", sa.DateTime(timezone=True)))
    op.create_index("ix_cases_due", "cases", ["due_at"], postgresql_where=_OPEN)
    op.create_index("ix_cases_alike", "cases", ["kind", "note"], postgresql_where=_OPEN)
    op.add_column("orders", sa.Column("reopened", sa.Integer, nullable=False, server_default="0"))
    _shipments()
    _replacements()


def _shipments() -> None:
    op.add_column("shipments", sa.Column("replaces", sa.Text))
    op.add_column("shipments", sa.Column("settled", sa.Text))
    op.create_foreign_key("fk_shipments_replaces", "shipments", "shipments", ["replaces"], ["shipment_id"])
    op.create_check_constraint(op.f("ck_shipments_settled"), "shipments", "settled IN ('reship', 'refund')")
    op.create_check_constraint(
        op.f("ck_shipments_charged_once"), "shipments", "replaces IS NULL OR value = 0"
    )
    op.create_index(
        "ix_shipments_replaces", "shipments", ["replaces"], postgresql_where=sa.text("replaces IS NOT NULL")
    )


def _replacements() -> None:
    op.create_table(
        "replacements",
        sa.Column("order_id", sa.Text, sa.ForeignKey("orders.order_id"), primary_key=True),
        sa.Column("line_no", sa.Integer, primary_key=True),
        sa.Column("root_line", sa.Integer, nullable=False),
        sa.Column("root_unit", sa.Integer, nullable=False),
        sa.Column("shipment_id", sa.Text, sa.ForeignKey("shipments.shipment_id"), nullable=False),
        sa.Column("cause", sa.Text, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("root_line < line_no AND root_unit >= 1", name=op.f("ck_replacements_root")),
    )


def downgrade() -> None:
    """Bring it back."""
    op.drop_table("replacements")
    op.drop_index("ix_shipments_replaces", "shipments")
    for name in ("settled", "replaces"):
        op.drop_column("shipments", name)
    op.drop_column("orders", "reopened")
    op.drop_index("ix_cases_alike", "cases")
    op.drop_index("ix_cases_due", "cases")
    for name in ("escalated_at", "step", "resolved_by"):
        op.drop_column("cases", name)
