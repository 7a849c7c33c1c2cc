"""What is claimed from carriers for goods that they lost or broke, and what came of it."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """Bring the schema up."""
    op.create_table(
        "carrier_claims",
        sa.Column("case_id", sa.Text(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("parcel_id", sa.Text(), nullable=False),
        sa.Column("carrier", sa.Text(), nullable=False),
        sa.Column("tracking_number", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("deadline", sa.Date(), nullable=False),
        sa.Column("outcome", sa.Text()),
        sa.Column("paid", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("ended_by", sa.Text()),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint("amount > 0", name=op.f("ck_carrier_claims_amount")),
        sa.CheckConstraint(
            "outcome IN ('paid', 'refused', 'not_worth_it', 'found')",
            name=op.f("ck_carrier_claims_outcome"),
        ),
        sa.CheckConstraint(
            "(outcome IS NULL) = (ended_at IS NULL) AND (outcome IS NULL) = (ended_by IS NULL)",
            name=op.f("ck_carrier_claims_ended"),
        ),
        sa.CheckConstraint(
            "paid >= 0 AND (coalesce(outcome, '') = 'paid') = (paid > 0)", name=op.f("ck_carrier_claims_paid")
        ),
        sa.ForeignKeyConstraint(["case_id"], ["cases.case_id"], name="fk_carrier_claims_case_id"),
        sa.ForeignKeyConstraint(["order_id"], ["orders.order_id"], name="fk_carrier_claims_order_id"),
        sa.ForeignKeyConstraint(["parcel_id"], ["parcels.parcel_id"], name="fk_carrier_claims_parcel_id"),
        sa.PrimaryKeyConstraint("case_id", name="pk_carrier_claims"),
    )
    op.create_index("ix_carrier_claims_parcel_id", "carrier_claims", ["parcel_id"])


def downgrade() -> None:
    """Bring it back."""
    op.drop_table("carrier_claims")
    op.execute("DELETE FROM cases WHERE kind IN ('carrier_claim', 'carrier_trace')")
