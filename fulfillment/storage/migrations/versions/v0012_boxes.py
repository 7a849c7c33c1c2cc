"""Boxes: what units measure, the bench where they are packed, manifests, and who saw parcels leave."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012"
down_revision = "0011"

# What left before is what a person said had left; the log says who.
_EVIDENCE = """
UPDATE parcels SET evidence = 'staff', handed_over_by = coalesce(
    (SELECT actor FROM audit_entries a
     WHERE a.order_id = parcels.order_id AND a.command = 'hand_over' AND a.outcome = parcels.parcel_id || ' left'
     ORDER BY a.entry_id LIMIT 1), 'unknown')
WHERE handed_over_at IS NOT NULL
"""


def upgrade() -> None:
    """Bring the schema up; what was never measured stays so."""
    op.create_table(
        "cartons",
        sa.Column("carton_id", sa.Text(), nullable=False),
        sa.Column("size_mm", postgresql.ARRAY(sa.Integer()), nullable=False),
        sa.Column("max_weight_g", sa.Integer(), nullable=False),
        sa.Column("tare_g", sa.Integer(), nullable=False),
        sa.Column("price", sa.Integer(), nullable=False),
        sa.Column("archived", sa.Boolean(), server_default="false", nullable=False),
        sa.CheckConstraint("cardinality(size_mm) = 3 AND 0 < ALL (size_mm)", name=op.f("ck_cartons_size")),
        sa.CheckConstraint(
            "max_weight_g > 0 AND tare_g >= 0 AND price >= 0", name=op.f("ck_cartons_amounts")
        ),
        sa.PrimaryKeyConstraint("carton_id", name=op.f("pk_cartons")),
    )
    op.create_table(
        "manifests",
        sa.Column("manifest_id", sa.Text(), nullable=False),
        sa.Column("location_id", sa.Text(), nullable=False),
        sa.Column("carrier", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=True),
        sa.Column("evidence_ref", sa.Text(), server_default="", nullable=False),
        sa.Column("handed_over_by", sa.Text(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("handed_over_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "num_nulls(evidence, handed_over_by, handed_over_at) IN (0, 3)",
            name=op.f("ck_manifests_handed_over_with_evidence"),
        ),
        sa.ForeignKeyConstraint(
            ["location_id"], ["locations.location_id"], name=op.f("fk_manifests_location_id")
        ),
        sa.PrimaryKeyConstraint("manifest_id", name=op.f("pk_manifests")),
    )
    op.create_index(
        "uq_manifests_open",
        "manifests",
        ["location_id", "carrier"],
        unique=True,
        postgresql_where=sa.text("handed_over_at IS NULL"),
    )
    op.create_table(
        "packings",
        sa.Column("shipment_id", sa.Text(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("packer", sa.Text(), nullable=False),
        sa.Column("station", sa.Text(), server_default="", nullable=False),
        sa.Column("plan", postgresql.JSONB(), nullable=False),
        sa.Column("problem", sa.Text(), server_default="", nullable=False),
        sa.Column("problem_scan", sa.Text(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["shipment_id"], ["shipments.shipment_id"], name=op.f("fk_packings_shipment_id")
        ),
        sa.PrimaryKeyConstraint("shipment_id", name=op.f("pk_packings")),
    )
    op.create_table(
        "packing_scans",
        sa.Column("shipment_id", sa.Text(), nullable=False),
        sa.Column("scan_id", sa.Text(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("serial", sa.Text(), server_default="", nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "outcome IN ('counted', 'wrong', 'too_many')", name=op.f("ck_packing_scans_outcome")
        ),
        sa.ForeignKeyConstraint(
            ["shipment_id"], ["packings.shipment_id"], name=op.f("fk_packing_scans_shipment_id")
        ),
        sa.PrimaryKeyConstraint("shipment_id", "scan_id", name=op.f("pk_packing_scans")),
    )
    op.create_table(
        "manifest_parcels",
        sa.Column("manifest_id", sa.Text(), nullable=False),
        sa.Column("parcel_id", sa.Text(), nullable=False),
        sa.Column("label_id", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), server_default="listed", nullable=False),
        sa.Column("why", sa.Text(), server_default="", nullable=False),
        sa.CheckConstraint(
            "outcome IN ('listed', 'left', 'missing', 'refused')", name=op.f("ck_manifest_parcels_outcome")
        ),
        sa.ForeignKeyConstraint(["label_id"], ["labels.label_id"], name=op.f("fk_manifest_parcels_label_id")),
        sa.ForeignKeyConstraint(
            ["manifest_id"], ["manifests.manifest_id"], name=op.f("fk_manifest_parcels_manifest_id")
        ),
        sa.ForeignKeyConstraint(
            ["parcel_id"], ["parcels.parcel_id"], name=op.f("fk_manifest_parcels_parcel_id")
        ),
        sa.PrimaryKeyConstraint("manifest_id", "parcel_id", name=op.f("pk_manifest_parcels")),
    )
    op.create_index(
        "uq_manifest_parcels_listed",
        "manifest_parcels",
        ["parcel_id"],
        unique=True,
        postgresql_where=sa.text("outcome = 'listed'"),
    )
    op.add_column("parcels", sa.Column("carton_id", sa.Text(), nullable=True))
    op.add_column("parcels", sa.Column("size_mm", postgresql.ARRAY(sa.Integer()), nullable=True))
    op.add_column("parcels", sa.Column("evidence", sa.Text(), nullable=True))
    op.add_column("parcels", sa.Column("evidence_ref", sa.Text(), server_default="", nullable=False))
    op.add_column("parcels", sa.Column("handed_over_by", sa.Text(), nullable=True))
    op.add_column("skus", sa.Column("length_mm", sa.Integer(), nullable=True))
    op.add_column("skus", sa.Column("width_mm", sa.Integer(), nullable=True))
    op.add_column("skus", sa.Column("height_mm", sa.Integer(), nullable=True))
    op.add_column("skus", sa.Column("fragile", sa.Boolean(), server_default="false", nullable=False))
    op.add_column("skus", sa.Column("serial", sa.Boolean(), server_default="false", nullable=False))
    op.create_check_constraint(
        op.f("ck_skus_measured"), "skus", "length_mm > 0 AND width_mm > 0 AND height_mm > 0"
    )
    op.create_check_constraint(
        op.f("ck_skus_measured_in_full"), "skus", "num_nulls(length_mm, width_mm, height_mm) IN (0, 3)"
    )
    op.execute(_EVIDENCE)


def downgrade() -> None:
    """Bring it back."""
    op.drop_constraint(op.f("ck_skus_measured_in_full"), "skus")
    op.drop_constraint(op.f("ck_skus_measured"), "skus")
    op.drop_column("skus", "serial")
    op.drop_column("skus", "fragile")
    op.drop_column("skus", "height_mm")
    op.drop_column("skus", "width_mm")
    op.drop_column("skus", "length_mm")
    op.drop_column("parcels", "handed_over_by")
    op.drop_column("parcels", "evidence_ref")
    op.drop_column("parcels", "evidence")
    op.drop_column("parcels", "size_mm")
    op.drop_column("parcels", "carton_id")
    op.drop_index(
        "uq_manifest_parcels_listed",
        table_name="manifest_parcels",
        postgresql_where=sa.text("outcome = 'listed'"),
    )
    op.drop_table("manifest_parcels")
    op.drop_table("packing_scans")
    op.drop_table("packings")
    op.drop_index(
        "uq_manifests_open", table_name="manifests", postgresql_where=sa.text("handed_over_at IS NULL")
    )
    op.drop_table("manifests")
    op.drop_table("cartons")
