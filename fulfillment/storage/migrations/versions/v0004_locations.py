"""Locations with calendars, and what replenishment reckons with."""

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Bring the schema up."""


def downgrade() -> None:
    """Bring it back."""
