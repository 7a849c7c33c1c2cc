"""What waits for its day is found without reading every shipment."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Bring the schema up."""
    op.create_index(
        "ix_shipments_dated", "shipments", ["order_id"], postgresql_where=sa.text("waits_for = 'date'")
    )


def downgrade() -> None:
    """Bring it back."""
    op.drop_index("ix_shipments_dated", "shipments")
