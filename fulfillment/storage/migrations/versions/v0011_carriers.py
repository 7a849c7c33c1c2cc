"""Which carriers are used, the bytes of their labels, and what was said of addresses."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Bring the schema up."""
    op.create_table(
        "label_documents",
        sa.Column("label_id", sa.Text(), nullable=False),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        _moment("at"),
        sa.CheckConstraint("format IN ('pdf', 'png', 'zpl')", name=op.f("ck_label_documents_format")),
        sa.ForeignKeyConstraint(["label_id"], ["labels.label_id"], name=op.f("fk_label_documents_label_id")),
        sa.PrimaryKeyConstraint("label_id", "format", name=op.f("pk_label_documents")),
    )
    op.create_table(
        "carriers",
        sa.Column("carrier", sa.Text(), nullable=False),
        _moment("paused_at", nullable=True),
        sa.Column("paused_by", sa.Text(), server_default="", nullable=False),
        sa.Column("why", sa.Text(), server_default="", nullable=False),
        _moment("failing_since", nullable=True),
        _moment("failed_at", nullable=True),
        sa.Column("fails_at", sa.Text(), nullable=True),
        sa.Column("said", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("carrier", name=op.f("pk_carriers")),
    )
    op.create_table(
        "address_checks",
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("address_hash", sa.Text(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("suggestion", postgresql.JSONB(), nullable=True),
        sa.Column("said", sa.Text(), server_default="", nullable=False),
        _moment("at"),
        sa.ForeignKeyConstraint(["order_id"], ["orders.order_id"], name=op.f("fk_address_checks_order_id")),
        sa.PrimaryKeyConstraint("order_id", "address_hash", name=op.f("pk_address_checks")),
    )
    for column in _of_labels():
        op.add_column("labels", column)


def downgrade() -> None:
    """Bring it back."""
    for column in _of_labels():
        op.drop_column("labels", column.name)
    for table in ("address_checks", "carriers", "label_documents"):
        op.drop_table(table)


def _of_labels() -> list[sa.Column[Any]]:
    return [
        _moment("quoted_at", nullable=True),
        sa.Column("quoted_price", sa.Integer(), nullable=True),
        sa.Column("dearer", sa.Boolean(), server_default="false", nullable=False),
        _moment("dearer_since", nullable=True),
    ]


def _moment(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)
