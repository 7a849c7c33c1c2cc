"""Payments that cover several shipments; refunds and disputes."""

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Bring the schema up."""


def downgrade() -> None:
    """Bring it back."""
