"""Addresses that were asked for, until their order has taken them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Bring the schema up."""
    op.create_table(
        "proposed_addresses",
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("ship_to", postgresql.JSONB(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["order_id"], ["orders.order_id"], name=op.f("fk_proposed_addresses_order_id")
        ),
        sa.PrimaryKeyConstraint("order_id", "request_id", name=op.f("pk_proposed_addresses")),
    )


def downgrade() -> None:
    """Bring it back."""
    op.drop_table("proposed_addresses")
