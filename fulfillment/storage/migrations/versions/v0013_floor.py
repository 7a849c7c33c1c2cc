"""The floor: bins, walks with totes, scans, condition checks, rejected units, goods to put back."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0013"
down_revision = "0012"

_MOMENT = sa.DateTime(timezone=True)
_TABLES = (
    "put_backs",
    "rejections",
    "condition_checks",
    "pick_scans",
    "pick_totes",
    "pick_walks",
    "bins",
)


def _text(name: str, *, default: str | None = None, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.Text(), server_default=default, nullable=nullable)


def _number(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Integer(), nullable=False)


def _moment(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, _MOMENT, nullable=nullable)


def _of(table: str, column: str, other: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{other}.{column}"], name=op.f(f"fk_{table}_{column}"))


def upgrade() -> None:
    """Bring the schema up."""
    op.add_column("shipments", _moment("pick_until", nullable=True))
    _add_catalogue()
    _add_walks()
    _add_judgements()


def _add_catalogue() -> None:
    op.create_table(
        "bins",
        _text("sku"),
        _text("location_id"),
        _text("bin"),
        sa.PrimaryKeyConstraint("sku", "location_id", name=op.f("pk_bins")),
        _of("bins", "sku", "skus"),
        _of("bins", "location_id", "locations"),
    )


def _add_walks() -> None:
    op.create_table(
        "pick_walks",
        _text("walk_id"),
        _text("location_id"),
        _text("mode"),
        _text("picker"),
        _moment("started_at"),
        sa.PrimaryKeyConstraint("walk_id", name=op.f("pk_pick_walks")),
        _of("pick_walks", "location_id", "locations"),
        sa.CheckConstraint("mode IN ('single', 'batch', 'wave')", name=op.f("ck_pick_walks_mode")),
    )
    op.create_index("ix_pick_walks_picker", "pick_walks", ["picker", "started_at"])
    op.create_table(
        "pick_totes",
        _text("walk_id"),
        _number("tote"),
        _text("shipment_id"),
        _number("reworks"),
        sa.PrimaryKeyConstraint("walk_id", "tote", name=op.f("pk_pick_totes")),
        _of("pick_totes", "walk_id", "pick_walks"),
        _of("pick_totes", "shipment_id", "shipments"),
        sa.UniqueConstraint("walk_id", "shipment_id", name="uq_pick_totes_shipment"),
        sa.CheckConstraint("tote >= 1", name=op.f("ck_pick_totes_tote")),
    )
    op.create_table(
        "pick_scans",
        _text("scan_id"),
        _text("walk_id"),
        _text("shipment_id"),
        _number("reworks"),
        _text("sku"),
        _number("quantity"),
        sa.Column("answer", postgresql.JSONB(), nullable=False),
        _text("by"),
        _moment("at"),
        sa.PrimaryKeyConstraint("scan_id", name=op.f("pk_pick_scans")),
        _of("pick_scans", "walk_id", "pick_walks"),
        _of("pick_scans", "shipment_id", "shipments"),
        sa.CheckConstraint("quantity > 0", name=op.f("ck_pick_scans_something")),
    )
    op.create_index("ix_pick_scans_shipment", "pick_scans", ["shipment_id"])


def _add_judgements() -> None:
    op.create_table(
        "condition_checks",
        _text("check_id"),
        _text("shipment_id"),
        _number("reworks"),
        _text("sku"),
        _number("quantity"),
        _text("stage"),
        _text("grade"),
        _text("defect", default=""),
        _text("note", default=""),
        _text("photo", default=""),
        _text("by"),
        _moment("at"),
        sa.PrimaryKeyConstraint("check_id", name=op.f("pk_condition_checks")),
        _of("condition_checks", "shipment_id", "shipments"),
        sa.CheckConstraint("quantity > 0", name=op.f("ck_condition_checks_something")),
        sa.CheckConstraint("stage IN ('pick', 'pack')", name=op.f("ck_condition_checks_stage")),
        sa.CheckConstraint("grade IN ('A', 'B', 'C', 'D')", name=op.f("ck_condition_checks_grade")),
    )
    op.create_index("ix_condition_checks_shipment", "condition_checks", ["shipment_id"])
    op.create_table(
        "rejections",
        _text("rejection_id"),
        _text("order_id"),
        _text("shipment_id"),
        _text("sku"),
        _text("location_id"),
        _number("quantity"),
        _text("reason"),
        _text("found_sku", nullable=True),
        _text("note", default=""),
        _text("photo", default=""),
        _text("count_id", nullable=True),
        sa.Column("answer", postgresql.JSONB(), nullable=False),
        _text("by"),
        _moment("at"),
        _moment("inspected_at", nullable=True),
        sa.PrimaryKeyConstraint("rejection_id", name=op.f("pk_rejections")),
        _of("rejections", "order_id", "orders"),
        _of("rejections", "shipment_id", "shipments"),
        sa.CheckConstraint("quantity > 0", name=op.f("ck_rejections_something")),
        sa.CheckConstraint(
            "reason IN ('not_found', 'mismatch', 'damaged', 'quality_doubt', 'expired', 'recalled', 'worn')",
            name=op.f("ck_rejections_reason"),
        ),
    )
    op.create_index("ix_rejections_shipment", "rejections", ["shipment_id"])
    op.create_index("ix_rejections_count", "rejections", ["count_id"])
    op.create_table(
        "put_backs",
        _text("shipment_id"),
        _number("reworks"),
        _text("location_id"),
        _text("why"),
        _text("picker", nullable=True),
        _moment("asked_at"),
        _moment("confirmed_at", nullable=True),
        _text("confirmed_by", nullable=True),
        sa.PrimaryKeyConstraint("shipment_id", "reworks", name=op.f("pk_put_backs")),
        _of("put_backs", "shipment_id", "shipments"),
    )
    op.create_index(
        "ix_put_backs_open",
        "put_backs",
        ["location_id"],
        postgresql_where=sa.text("confirmed_at IS NULL"),
    )


def downgrade() -> None:
    """Bring it back."""
    for table in _TABLES:
        op.drop_table(table)
    op.drop_column("shipments", "pick_until")
