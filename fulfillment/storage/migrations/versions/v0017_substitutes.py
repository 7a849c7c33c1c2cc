"""What may be sent instead of a SKU, and which lines of an order stand for what was not there."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"

_BEFORE = "'cancel_units', 'add_lines', 'address', 'service'"


def upgrade() -> None:
    """Bring the schema up."""
    op.create_table(
        "sku_substitutes",
        sa.Column("sku", sa.Text(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("substitute", sa.Text(), nullable=False),
        sa.CheckConstraint("n >= 1 AND sku <> substitute", name=op.f("ck_sku_substitutes_another")),
        sa.ForeignKeyConstraint(["sku"], ["skus.sku"], name="fk_sku_substitutes_sku"),
        sa.ForeignKeyConstraint(["substitute"], ["skus.sku"], name="fk_sku_substitutes_substitute"),
        sa.PrimaryKeyConstraint("sku", "n", name="pk_sku_substitutes"),
        sa.UniqueConstraint("sku", "substitute", name="uq_sku_substitutes_substitute"),
    )
    op.create_table(
        "substitutions",
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("line_no", sa.Integer(), nullable=False),
        sa.Column("root_line", sa.Integer(), nullable=False),
        sa.Column("root_unit", sa.Integer(), nullable=False),
        sa.Column("change_id", sa.Text(), nullable=False),
        sa.CheckConstraint("root_line < line_no AND root_unit >= 1", name=op.f("ck_substitutions_root")),
        sa.ForeignKeyConstraint(["order_id"], ["orders.order_id"], name="fk_substitutions_order_id"),
        sa.ForeignKeyConstraint(
            ["change_id"], ["order_changes.change_id"], name="fk_substitutions_change_id"
        ),
        sa.PrimaryKeyConstraint("order_id", "line_no", name="pk_substitutions"),
    )
    _changes_of(f"{_BEFORE}, 'substitute'")


def downgrade() -> None:
    """Bring it back."""
    op.drop_table("substitutions")
    op.execute("DELETE FROM order_changes WHERE kind = 'substitute'")
    _changes_of(_BEFORE)
    op.drop_table("sku_substitutes")


def _changes_of(kinds: str) -> None:
    name = op.f("ck_order_changes_kind")
    op.drop_constraint(name, "order_changes")
    op.create_check_constraint(name, "order_changes", f"kind IN ({kinds})")
