"""Changes of an order that stands."""

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Bring the schema up."""


def downgrade() -> None:
    """Bring it back."""
