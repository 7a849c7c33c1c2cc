"""Locations with calendars, and what replenishment reckons with."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Every location works from Monday to Friday in UTC until it says otherwise; what came in parts says so."""
    of_locations: list[sa.Column[Any]] = [
        sa.Column("zone", sa.Text(), server_default="UTC", nullable=False),
        sa.Column("cut_off", sa.Time(), server_default="14:00", nullable=False),
        sa.Column(
            "working_days", postgresql.ARRAY(sa.Integer()), server_default="{0,1,2,3,4}", nullable=False
        ),
        sa.Column("closed_days", postgresql.ARRAY(sa.Date()), server_default="{}", nullable=False),
        sa.Column("daily_capacity", sa.Integer(), nullable=True),
        sa.Column("on_time", sa.Float(), nullable=True),
    ]
    for column in of_locations:
        op.add_column("locations", column)
    op.create_check_constraint(op.f("ck_locations_capacity"), "locations", "daily_capacity > 0")
    op.create_check_constraint(op.f("ck_locations_on_time"), "locations", "on_time >= 0 AND on_time <= 1")
    op.create_check_constraint(op.f("ck_locations_works"), "locations", "cardinality(working_days) > 0")
    of_skus: list[sa.Column[Any]] = [
        sa.Column("available_from", sa.Date(), nullable=True),
        sa.Column("backorder_limit", sa.Integer(), nullable=True),
        sa.Column("reorder_maximum", sa.Integer(), nullable=True),
        sa.Column("pack_size", sa.Integer(), server_default="1", nullable=False),
        sa.Column("minimum_order", sa.Integer(), server_default="1", nullable=False),
    ]
    for column in of_skus:
        op.add_column("skus", column)
    op.create_check_constraint(op.f("ck_skus_backorder_limit"), "skus", "backorder_limit >= 0")
    op.create_check_constraint(
        op.f("ck_skus_ordering"),
        "skus",
        "pack_size >= 1 AND minimum_order >= 1 AND reorder_maximum >= reorder_point",
    )
    op.add_column("replenishment_orders", sa.Column("received_at", sa.DateTime(timezone=True), nullable=True))
    op.drop_constraint(op.f("ck_replenishment_orders_state"), "replenishment_orders")
    op.create_check_constraint(
        op.f("ck_replenishment_orders_state"),
        "replenishment_orders",
        "state IN ('suggested', 'ordered', 'partially_received', 'received', 'cancelled')",
    )
    op.execute(
        "UPDATE replenishment_orders SET state = 'partially_received' WHERE state = 'ordered' AND received > 0"
    )
    op.drop_index("ix_replenishment_orders_open", "replenishment_orders")
    op.create_index(
        "ix_replenishment_orders_open",
        "replenishment_orders",
        ["due_at"],
        postgresql_where=sa.text("state IN ('ordered', 'partially_received')"),
    )


def downgrade() -> None:
    """Bring it back: what was only suggested was never ordered, and of what was cancelled the rest never came."""
    op.execute(
        "DELETE FROM replenishment_orders WHERE state = 'suggested' OR state = 'cancelled' AND received = 0"
    )
    op.execute(
        "UPDATE replenishment_orders SET state = 'received', quantity = received WHERE state = 'cancelled'"
    )
    op.execute("UPDATE replenishment_orders SET state = 'ordered' WHERE state = 'partially_received'")
    op.drop_index("ix_replenishment_orders_open", "replenishment_orders")
    op.create_index(
        "ix_replenishment_orders_open",
        "replenishment_orders",
        ["due_at"],
        postgresql_where=sa.text("state = 'ordered'"),
    )
    op.drop_constraint(op.f("ck_replenishment_orders_state"), "replenishment_orders")
    op.create_check_constraint(
        op.f("ck_replenishment_orders_state"), "replenishment_orders", "state IN ('ordered', 'received')"
    )
    op.drop_column("replenishment_orders", "received_at")
    for constraint in ("ordering", "backorder_limit"):
        op.drop_constraint(op.f(f"ck_skus_{constraint}"), "skus")
    for name in ("minimum_order", "pack_size", "reorder_maximum", "backorder_limit", "available_from"):
        op.drop_column("skus", name)
    for constraint in ("works", "on_time", "capacity"):
        op.drop_constraint(op.f(f"ck_locations_{constraint}"), "locations")
    for name in ("on_time", "daily_capacity", "closed_days", "working_days", "cut_off", "zone"):
        op.drop_column("locations", name)
