"""Orders of which nobody's name is left, and the proof of it."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"

_OF_ORDERS = ("inbox", "signals", "webhook_deliveries", "holds", "order_changes")


def upgrade() -> None:
    """Bring the schema up."""
    op.add_column("orders", sa.Column("erased_at", sa.DateTime(timezone=True)))
    somebodys = sa.text("erased_at IS NULL")
    op.create_index("ix_orders_somebodys", "orders", ["completed_at"], postgresql_where=somebodys)
    for table in _OF_ORDERS:
        op.create_index(f"ix_{table}_of_order", table, ["order_id"])
    answered = sa.text("coalesce(answer->>'order_id', answer->>'id')")
    op.create_index("ix_idempotency_keys_of_order", "idempotency_keys", [answered])
    op.create_table(
        "erasures",
        sa.Column("erasure_id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("orders", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("erasure_id", name="pk_erasures"),
    )


def downgrade() -> None:
    """Bring it back."""
    op.drop_table("erasures")
    op.drop_index("ix_idempotency_keys_of_order", "idempotency_keys")
    for table in _OF_ORDERS:
        op.drop_index(f"ix_{table}_of_order", table)
    op.drop_index("ix_orders_somebodys", "orders")
    op.drop_column("orders", "erased_at")
