"""Scans say whose words they are, what they count for, and who corrected them."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

_NEW: tuple[sa.Column[Any], ...] = (
    sa.Column("provider", sa.Text(), nullable=False, server_default=""),
    sa.Column("unknown", sa.Boolean(), nullable=False, server_default="false"),
    sa.Column("zone_assumed", sa.Boolean(), nullable=False, server_default="false"),
    sa.Column("standing", sa.Text(), nullable=False, server_default="folded"),
    sa.Column("by", sa.Text(), nullable=False, server_default=""),
    sa.Column("why", sa.Text(), nullable=False, server_default=""),
)


def upgrade() -> None:
    """Bring the schema up."""
    for column in _NEW:
        op.add_column("tracking_events", column)
    op.create_check_constraint(
        op.f("ck_tracking_events_corrected_by"),
        "tracking_events",
        "source <> 'staff' OR (\"by\" <> '' AND why <> '')",
    )
    op.create_index(
        "ix_tracking_events_unknown",
        "tracking_events",
        ["provider", "raw_code"],
        postgresql_where=sa.text("unknown"),
    )
    for table in ("tracking_events", "parcels"):  # what a carrier does not say is called unknown now
        op.execute(f"UPDATE {table} SET reason = 'unknown' WHERE reason = 'carrier_problem'")
    # Whose words the scans so far are: there was one provider, and unknown is what it called so.
    op.execute("UPDATE tracking_events SET provider = 'easypost' WHERE source = 'carrier'")


def downgrade() -> None:
    """Bring it back."""
    op.drop_index("ix_tracking_events_unknown", "tracking_events")
    op.drop_constraint(op.f("ck_tracking_events_corrected_by"), "tracking_events")
    for column in _NEW:
        op.drop_column("tracking_events", column.name)
