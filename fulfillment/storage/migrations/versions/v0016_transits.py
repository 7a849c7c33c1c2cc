"""How every parcel's journey went, and by which message each promise was told."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Bring the schema up."""
    op.create_table(
        "transits",
        sa.Column("parcel_id", sa.Text(), nullable=False),
        sa.Column("location_id", sa.Text(), nullable=False),
        sa.Column("country", sa.Text(), nullable=False),
        sa.Column("area", sa.Text(), nullable=False),
        sa.Column("region", sa.Text(), nullable=False),
        sa.Column("zone", sa.Text(), nullable=False),
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("carrier", sa.Text(), nullable=False),
        sa.Column("carrier_service", sa.Text(), nullable=False),
        sa.Column("left_date", sa.Date(), nullable=False),
        sa.Column("stated_days", sa.Integer(), nullable=True),
        sa.Column("scan_silence", sa.Interval(), nullable=False),
        sa.Column("lost_after", sa.Interval(), nullable=False),
        sa.Column("learned_from", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("left_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("look_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("first_scan_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("near_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("out_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("days", sa.Integer(), nullable=True),
        sa.Column("longest_silence", sa.Interval(), nullable=True),
        sa.ForeignKeyConstraint(["parcel_id"], ["parcels.parcel_id"], name="fk_transits_parcel_id"),
        sa.ForeignKeyConstraint(["location_id"], ["locations.location_id"], name="fk_transits_location_id"),
        sa.PrimaryKeyConstraint("parcel_id", name="pk_transits"),
    )
    op.create_index("ix_transits_area", "transits", ["location_id", "country", "area", "ended_at"])
    op.create_index("ix_transits_country", "transits", ["location_id", "country", "ended_at"])
    lane = ["carrier", "carrier_service", "location_id", "country", "area", "left_date"]
    op.create_index("ix_transits_lane", "transits", lane)
    op.create_index("ix_transits_service", "transits", ["carrier", "carrier_service", "left_date"])
    op.create_index(
        "ix_transits_look", "transits", ["look_at"], postgresql_where=sa.text("look_at IS NOT NULL")
    )
    op.add_column("promises", sa.Column("shipment_id", sa.Text(), nullable=True))
    op.create_foreign_key(
        "fk_promises_shipment_id", "promises", "shipments", ["shipment_id"], ["shipment_id"]
    )
    op.add_column("promises", sa.Column("told_fact", sa.Text(), nullable=True))
    op.add_column("promises", sa.Column("told_subject", sa.Text(), nullable=True))
    op.add_column("promises", sa.Column("told_version", sa.Integer(), nullable=True))


def downgrade() -> None:
    """Bring it back."""
    op.drop_column("promises", "told_version")
    op.drop_column("promises", "told_subject")
    op.drop_column("promises", "told_fact")
    op.drop_column("promises", "shipment_id")
    op.drop_table("transits")
