"""Buckets for what is damaged, doubted, held or between locations; counts and transfers."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_NEW = ("damaged", "quarantine", "held", "in_transfer")


def upgrade() -> None:
    """Add the buckets with nothing in them; safety stock that stands becomes a movement like everything else."""
    for name in _NEW:
        op.add_column("stock_levels", _bucket(name))
    for name in (*_NEW, "safety_stock"):
        op.add_column("stock_movements", _bucket(name))
    _check(
        "reserved + allocated + damaged + quarantine + held <= on_hand",
        "on_hand >= 0 AND reserved >= 0 AND allocated >= 0 AND damaged >= 0 AND quarantine >= 0 AND held >= 0"
        " AND incoming >= 0 AND in_transfer >= 0 AND safety_stock >= 0",
    )
    op.execute(
        """
        INSERT INTO stock_movements (operation_key, kind, sku, location_id, safety_stock, cause, "by", at)
        SELECT 'schema:0003', 'safety_stock', sku, location_id, safety_stock, 'schema:0003', 'waybill', now()
        FROM stock_levels WHERE safety_stock <> 0
        """
    )
    op.drop_constraint("pk_backorders", "backorders")
    op.create_primary_key("pk_backorders", "backorders", ["shipment_id", "line_no"])
    op.create_index("ix_backorders_order", "backorders", ["order_id"])
    op.alter_column("cases", "order_id", nullable=True)
    op.alter_column("audit_entries", "order_id", nullable=True)
    _make_counts()
    _make_transfers()
    _make_returned_units()
    _make_events()


def downgrade() -> None:
    """Take the tables and buckets away again.

    What lies in the buckets goes with them, and a line keeps one place in the queue: the first of its shipments.
    """
    for table in ("stock_events", "returned_units", "stock_transfers", "stock_counts"):
        op.drop_table(table)
    for table in ("audit_entries", "cases"):
        op.execute(f"DELETE FROM {table} WHERE order_id IS NULL")
        op.alter_column(table, "order_id", nullable=False)
    op.execute(
        """
        DELETE FROM backorders b USING backorders earlier
        WHERE (b.order_id, b.line_no) = (earlier.order_id, earlier.line_no) AND b.shipment_id > earlier.shipment_id
        """
    )
    op.drop_index("ix_backorders_order", "backorders")
    op.drop_constraint("pk_backorders", "backorders")
    op.create_primary_key("pk_backorders", "backorders", ["order_id", "line_no"])
    _check(
        "reserved + allocated <= on_hand",
        "on_hand >= 0 AND reserved >= 0 AND allocated >= 0 AND incoming >= 0 AND safety_stock >= 0",
    )
    op.execute("DELETE FROM stock_movements WHERE kind = 'safety_stock'")
    for name in _NEW:
        op.drop_column("stock_levels", name)
    for name in (*_NEW, "safety_stock"):
        op.drop_column("stock_movements", name)


def _bucket(name: str) -> "sa.Column[int]":
    return sa.Column(name, sa.Integer(), server_default="0", nullable=False)


def _check(promised_once: str, never_negative: str) -> None:
    for name, rule in (("promised_once", promised_once), ("never_negative", never_negative)):
        op.drop_constraint(op.f(f"ck_stock_levels_{name}"), "stock_levels")
        op.create_check_constraint(op.f(f"ck_stock_levels_{name}"), "stock_levels", rule)


def _make_counts() -> None:
    op.create_table(
        "stock_counts",
        sa.Column("count_id", sa.Text(), nullable=False),
        sa.Column("sku", sa.Text(), nullable=False),
        sa.Column("location_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("planned_by", sa.Text(), nullable=False),
        sa.Column("counter", sa.Text()),
        sa.Column("counted", sa.Integer()),
        sa.Column("recounter", sa.Text()),
        sa.Column("recounted", sa.Integer()),
        sa.Column("expected", sa.Integer()),
        sa.Column("decided_by", sa.Text()),
        sa.Column("decision", sa.Text(), server_default="", nullable=False),
        sa.Column("planned_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("counted_at", sa.DateTime(timezone=True)),
        sa.Column("recounted_at", sa.DateTime(timezone=True)),
        sa.Column("closed_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint("counted >= 0 AND recounted >= 0", name=op.f("ck_stock_counts_seen")),
        sa.CheckConstraint(
            "state IN ('planned', 'counting', 'recounting', 'review', 'posted', 'cancelled')",
            name=op.f("ck_stock_counts_state"),
        ),
        sa.ForeignKeyConstraint(
            ["location_id"], ["locations.location_id"], name=op.f("fk_stock_counts_location_id")
        ),
        sa.ForeignKeyConstraint(["sku"], ["skus.sku"], name=op.f("fk_stock_counts_sku")),
        sa.PrimaryKeyConstraint("count_id", name=op.f("pk_stock_counts")),
    )
    op.create_index(
        "uq_stock_counts_open",
        "stock_counts",
        ["sku", "location_id"],
        unique=True,
        postgresql_where=sa.text("state NOT IN ('posted', 'cancelled')"),
    )


def _make_transfers() -> None:
    op.create_table(
        "stock_transfers",
        sa.Column("transfer_id", sa.Text(), nullable=False),
        sa.Column("sku", sa.Text(), nullable=False),
        sa.Column("from_location", sa.Text(), nullable=False),
        sa.Column("to_location", sa.Text(), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("received", sa.Integer(), server_default="0", nullable=False),
        sa.Column("lost", sa.Integer(), server_default="0", nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("sent_by", sa.Text(), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint(
            "quantity > 0 AND received >= 0 AND lost >= 0", name=op.f("ck_stock_transfers_sizes")
        ),
        sa.CheckConstraint("received + lost <= quantity", name=op.f("ck_stock_transfers_once")),
        sa.CheckConstraint(
            "state IN ('under_way', 'received', 'closed')", name=op.f("ck_stock_transfers_state")
        ),
        sa.CheckConstraint("from_location <> to_location", name=op.f("ck_stock_transfers_two_places")),
        sa.ForeignKeyConstraint(
            ["from_location"], ["locations.location_id"], name=op.f("fk_stock_transfers_from_location")
        ),
        sa.ForeignKeyConstraint(
            ["to_location"], ["locations.location_id"], name=op.f("fk_stock_transfers_to_location")
        ),
        sa.ForeignKeyConstraint(["sku"], ["skus.sku"], name=op.f("fk_stock_transfers_sku")),
        sa.PrimaryKeyConstraint("transfer_id", name=op.f("pk_stock_transfers")),
    )
    op.create_index(
        "ix_stock_transfers_open",
        "stock_transfers",
        ["to_location"],
        postgresql_where=sa.text("state = 'under_way'"),
    )


def _make_returned_units() -> None:
    op.create_table(
        "returned_units",
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("line_no", sa.Integer(), nullable=False),
        sa.Column("unit_no", sa.Integer(), nullable=False),
        sa.Column("disposition", sa.Text(), nullable=False),
        sa.Column("operation_key", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["orders.order_id"], name=op.f("fk_returned_units_order_id")),
        sa.PrimaryKeyConstraint("order_id", "line_no", "unit_no", name=op.f("pk_returned_units")),
    )


def _make_events() -> None:
    op.create_table(
        "stock_events",
        sa.Column("event_id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("sku", sa.Text(), nullable=False),
        sa.Column("location_id", sa.Text(), nullable=False),
        sa.Column("available", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_stock_events")),
    )
