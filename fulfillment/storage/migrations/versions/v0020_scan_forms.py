"""Scan forms: the carriers' own codes for what they take together."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"

_MADE = "(state = 'made') = (content IS NOT NULL AND sha256 IS NOT NULL AND provider_ref IS NOT NULL)"


def upgrade() -> None:
    """Bring the schema up."""
    op.create_table(
        "scan_forms",
        sa.Column("form_id", sa.Text(), nullable=False),
        sa.Column("manifest_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="asked", nullable=False),
        sa.Column("sends", sa.Integer(), server_default="0", nullable=False),
        sa.Column("provider_ref", sa.Text()),
        sa.Column("said", sa.Text(), server_default="", nullable=False),
        sa.Column("content", sa.LargeBinary()),
        sa.Column("sha256", sa.Text()),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("state IN ('asked', 'made', 'refused')", name="ck_scan_forms_state"),
        sa.CheckConstraint(_MADE, name="ck_scan_forms_made_with_document"),
        sa.ForeignKeyConstraint(
            ["manifest_id"], ["manifests.manifest_id"], name="fk_scan_forms_manifest_id_manifests"
        ),
        sa.PrimaryKeyConstraint("form_id", name="pk_scan_forms"),
    )
    asked = sa.text("state = 'asked'")
    op.create_index("uq_scan_forms_asked", "scan_forms", ["manifest_id"], unique=True, postgresql_where=asked)
    op.add_column("manifest_parcels", sa.Column("form_id", sa.Text()))
    op.create_foreign_key(
        "fk_manifest_parcels_form_id_scan_forms", "manifest_parcels", "scan_forms", ["form_id"], ["form_id"]
    )
    on_one = sa.text("form_id IS NOT NULL")
    op.create_index(
        "uq_manifest_parcels_form", "manifest_parcels", ["label_id"], unique=True, postgresql_where=on_one
    )


def downgrade() -> None:
    """Bring it back."""
    op.drop_index("uq_manifest_parcels_form", "manifest_parcels")
    op.drop_constraint("fk_manifest_parcels_form_id_scan_forms", "manifest_parcels")
    op.drop_column("manifest_parcels", "form_id")
    op.drop_table("scan_forms")
