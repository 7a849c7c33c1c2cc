"""Claims that run out."""

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Bring the schema up."""


def downgrade() -> None:
    """Bring it back."""
