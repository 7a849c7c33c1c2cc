"""The first schema."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make every table."""
    op.create_table(
        "idempotency_keys",
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("route", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("body_hash", sa.Text(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("answer", postgresql.JSONB(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("owner", "route", "key", name=op.f("pk_idempotency_keys")),
    )
    op.create_table(
        "inbox",
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=True),
        sa.Column("body", postgresql.JSONB(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), server_default="", nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("state IN ('applied', 'unmatched', 'ignored')", name=op.f("ck_inbox_state")),
        sa.PrimaryKeyConstraint("provider", "event_id", name=op.f("pk_inbox")),
    )
    op.create_index(
        "ix_inbox_open", "inbox", ["received_at"], postgresql_where=sa.text("state = 'unmatched'")
    )
    op.create_table(
        "locations",
        sa.Column("location_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("address", postgresql.JSONB(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("location_id", name=op.f("pk_locations")),
    )
    op.create_table(
        "orders",
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("external_ref", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("shipping_fee", sa.Integer(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("phone", sa.Text(), server_default="", nullable=False),
        sa.Column("locale", sa.Text(), server_default="en-US", nullable=False),
        sa.Column("ship_to", postgresql.JSONB(), nullable=False),
        sa.Column("payment_method", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.Column("policy_version", sa.Text(), nullable=False),
        sa.Column("tracking_token", sa.Text(), nullable=False),
        sa.Column("promise_first_date", sa.Date(), nullable=True),
        sa.Column("promise_date", sa.Date(), nullable=True),
        sa.Column("placed", sa.Text(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("content_hash", sa.Text(), nullable=False),
        sa.Column("placed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("accepted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("total >= 0 AND shipping_fee >= 0", name=op.f("ck_orders_amounts")),
        sa.PrimaryKeyConstraint("order_id", name=op.f("pk_orders")),
        sa.UniqueConstraint("channel", "external_ref", name="uq_orders_external"),
        sa.UniqueConstraint("tracking_token", name=op.f("uq_orders_tracking_token")),
    )
    op.create_index("ix_orders_placed_at", "orders", ["placed_at"])
    op.create_index(
        "ix_orders_unstarted", "orders", ["accepted_at"], postgresql_where=sa.text("started_at IS NULL")
    )
    op.create_table(
        "skus",
        sa.Column("sku", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("vendor", sa.Text(), server_default="", nullable=False),
        sa.Column("weight_g", sa.Integer(), nullable=False),
        sa.Column("price", sa.Integer(), nullable=False),
        sa.Column("backorderable", sa.Boolean(), nullable=False),
        sa.Column("archived", sa.Boolean(), nullable=False),
        sa.Column("reorder_point", sa.Integer(), server_default="0", nullable=False),
        sa.Column("lead_time_days", sa.Integer(), server_default="5", nullable=False),
        sa.CheckConstraint(
            "weight_g >= 0 AND price >= 0 AND reorder_point >= 0 AND lead_time_days >= 0",
            name=op.f("ck_skus_sizes"),
        ),
        sa.PrimaryKeyConstraint("sku", name=op.f("pk_skus")),
    )
    op.create_table(
        "stock_movements",
        sa.Column("movement_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("operation_key", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("sku", sa.Text(), nullable=False),
        sa.Column("location_id", sa.Text(), nullable=False),
        sa.Column("on_hand", sa.Integer(), server_default="0", nullable=False),
        sa.Column("reserved", sa.Integer(), server_default="0", nullable=False),
        sa.Column("allocated", sa.Integer(), server_default="0", nullable=False),
        sa.Column("incoming", sa.Integer(), server_default="0", nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("movement_id", name=op.f("pk_stock_movements")),
        sa.UniqueConstraint("operation_key", "kind", "sku", "location_id", name="uq_stock_movements_once"),
    )
    op.create_index("ix_stock_movements_place", "stock_movements", ["sku", "location_id"])
    op.create_table(
        "audit_entries",
        sa.Column("entry_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("command", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), server_default="", nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["orders.order_id"], name=op.f("fk_audit_entries_order_id")),
        sa.PrimaryKeyConstraint("entry_id", name=op.f("pk_audit_entries")),
    )
    op.create_index("ix_audit_entries_order", "audit_entries", ["order_id"])
    op.create_table(
        "cases",
        sa.Column("case_id", sa.Text(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("severity", sa.Integer(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.Column("resolution", sa.Text(), nullable=True),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["order_id"], ["orders.order_id"], name=op.f("fk_cases_order_id")),
        sa.PrimaryKeyConstraint("case_id", name=op.f("pk_cases")),
    )
    op.create_index("ix_cases_order", "cases", ["order_id"])
    op.create_index(
        "uq_cases_open",
        "cases",
        ["subject", "kind"],
        unique=True,
        postgresql_where=sa.text("state <> 'resolved'"),
    )
    op.create_table(
        "holds",
        sa.Column("hold_id", sa.Text(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("placed_by", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("released_by", sa.Text(), nullable=True),
        sa.Column("placed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("state IN ('active', 'released', 'defaulted')", name=op.f("ck_holds_state")),
        sa.ForeignKeyConstraint(["order_id"], ["orders.order_id"], name=op.f("fk_holds_order_id")),
        sa.PrimaryKeyConstraint("hold_id", name=op.f("pk_holds")),
    )
    op.create_index(
        "uq_holds_active",
        "holds",
        ["order_id", "reason"],
        unique=True,
        postgresql_where=sa.text("state = 'active'"),
    )
    op.create_table(
        "order_events",
        sa.Column("seq", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("data", postgresql.JSONB(), server_default="{}", nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["orders.order_id"], name=op.f("fk_order_events_order_id")),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_order_events")),
    )
    op.create_index("ix_order_events_order", "order_events", ["order_id", "seq"])
    op.create_table(
        "order_lines",
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("line_no", sa.Integer(), nullable=False),
        sa.Column("sku", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("unit_price", sa.Integer(), nullable=False),
        sa.Column("discount", sa.Integer(), nullable=False),
        sa.Column("tax", sa.Integer(), nullable=False),
        sa.Column("shipping_share", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "quantity > 0 AND unit_price >= 0 AND discount >= 0 AND tax >= 0",
            name=op.f("ck_order_lines_amounts"),
        ),
        sa.ForeignKeyConstraint(["order_id"], ["orders.order_id"], name=op.f("fk_order_lines_order_id")),
        sa.PrimaryKeyConstraint("order_id", "line_no", name=op.f("pk_order_lines")),
    )
    op.create_table(
        "outbox",
        sa.Column("notification_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("fact", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("recipient", sa.Text(), nullable=False),
        sa.Column("data", postgresql.JSONB(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("why", sa.Text(), server_default="", nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state IN ('pending', 'claimed', 'sent', 'withdrawn', 'suppressed', 'dead')",
            name=op.f("ck_outbox_state"),
        ),
        sa.ForeignKeyConstraint(["order_id"], ["orders.order_id"], name=op.f("fk_outbox_order_id")),
        sa.PrimaryKeyConstraint("notification_id", name=op.f("pk_outbox")),
        sa.UniqueConstraint(
            "order_id", "fact", "subject", "version", "channel", "recipient", name="uq_outbox_once"
        ),
    )
    op.create_index(
        "ix_outbox_open",
        "outbox",
        ["not_before"],
        postgresql_where=sa.text("state IN ('pending', 'claimed')"),
    )
    op.create_table(
        "promises",
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("promised_date", sa.Date(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["order_id"], ["orders.order_id"], name=op.f("fk_promises_order_id")),
        sa.PrimaryKeyConstraint("order_id", "n", name=op.f("pk_promises")),
    )
    op.create_table(
        "provider_operations",
        sa.Column("operation_key", sa.Text(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("amount", sa.Integer(), server_default="0", nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("provider_ref", sa.Text(), nullable=True),
        sa.Column("error_class", sa.Text(), nullable=True),
        sa.Column("sends", sa.Integer(), server_default="0", nullable=False),
        sa.Column("renewals", sa.Integer(), server_default="0", nullable=False),
        sa.Column("first_sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state IN ('claimed', 'succeeded', 'failed', 'unknown')",
            name=op.f("ck_provider_operations_state"),
        ),
        sa.ForeignKeyConstraint(
            ["order_id"], ["orders.order_id"], name=op.f("fk_provider_operations_order_id")
        ),
        sa.PrimaryKeyConstraint("operation_key", name=op.f("pk_provider_operations")),
    )
    op.create_index(
        "ix_provider_operations_open",
        "provider_operations",
        ["claimed_at"],
        postgresql_where=sa.text("state IN ('claimed', 'unknown')"),
    )
    op.create_index("ix_provider_operations_order", "provider_operations", ["order_id"])
    op.create_table(
        "replenishment_orders",
        sa.Column("replenishment_id", sa.Text(), nullable=False),
        sa.Column("sku", sa.Text(), nullable=False),
        sa.Column("location_id", sa.Text(), nullable=False),
        sa.Column("vendor", sa.Text(), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("received", sa.Integer(), server_default="0", nullable=False),
        sa.Column("ordered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.CheckConstraint("state IN ('ordered', 'received')", name=op.f("ck_replenishment_orders_state")),
        sa.CheckConstraint(
            "quantity > 0 AND received >= 0 AND received <= quantity",
            name=op.f("ck_replenishment_orders_received"),
        ),
        sa.ForeignKeyConstraint(
            ["location_id"], ["locations.location_id"], name=op.f("fk_replenishment_orders_location_id")
        ),
        sa.ForeignKeyConstraint(["sku"], ["skus.sku"], name=op.f("fk_replenishment_orders_sku")),
        sa.PrimaryKeyConstraint("replenishment_id", name=op.f("pk_replenishment_orders")),
    )
    op.create_index(
        "ix_replenishment_orders_open",
        "replenishment_orders",
        ["due_at"],
        postgresql_where=sa.text("state = 'ordered'"),
    )
    op.create_table(
        "reservations",
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("sku", sa.Text(), nullable=False),
        sa.Column("location_id", sa.Text(), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.CheckConstraint("state IN ('active', 'consumed', 'released')", name=op.f("ck_reservations_state")),
        sa.CheckConstraint("quantity > 0", name=op.f("ck_reservations_something")),
        sa.ForeignKeyConstraint(["order_id"], ["orders.order_id"], name=op.f("fk_reservations_order_id")),
        sa.PrimaryKeyConstraint("order_id", "sku", "location_id", name=op.f("pk_reservations")),
    )
    op.create_table(
        "shipments",
        sa.Column("shipment_id", sa.Text(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("location_id", sa.Text(), nullable=False),
        sa.Column("work_status", sa.Text(), nullable=False),
        sa.Column("waits_for", sa.Text(), nullable=False),
        sa.Column("value", sa.Integer(), nullable=False),
        sa.Column("picker", sa.Text(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("cancelled_reason", sa.Text(), nullable=True),
        sa.Column("ship_by", sa.DateTime(timezone=True), nullable=False),
        sa.Column("released_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("picked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("packed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("labeled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("handed_over_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("value >= 0", name=op.f("ck_shipments_value")),
        sa.ForeignKeyConstraint(
            ["location_id"], ["locations.location_id"], name=op.f("fk_shipments_location_id")
        ),
        sa.ForeignKeyConstraint(["order_id"], ["orders.order_id"], name=op.f("fk_shipments_order_id")),
        sa.PrimaryKeyConstraint("shipment_id", name=op.f("pk_shipments")),
        sa.UniqueConstraint("order_id", "n", name="uq_shipments_n"),
    )
    op.create_index(
        "ix_shipments_floor",
        "shipments",
        ["location_id", "work_status"],
        postgresql_where=sa.text("work_status IN ('released', 'picking', 'picked', 'packed', 'labeled')"),
    )
    op.create_table(
        "signals",
        sa.Column("signal_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("body", postgresql.JSONB(), nullable=False),
        sa.Column("fact_key", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["order_id"], ["orders.order_id"], name=op.f("fk_signals_order_id")),
        sa.PrimaryKeyConstraint("signal_id", name=op.f("pk_signals")),
        sa.UniqueConstraint("fact_key", name=op.f("uq_signals_fact_key")),
    )
    op.create_index(
        "ix_signals_open", "signals", ["signal_id"], postgresql_where=sa.text("delivered_at IS NULL")
    )
    op.create_table(
        "stock_levels",
        sa.Column("sku", sa.Text(), nullable=False),
        sa.Column("location_id", sa.Text(), nullable=False),
        sa.Column("on_hand", sa.Integer(), server_default="0", nullable=False),
        sa.Column("reserved", sa.Integer(), server_default="0", nullable=False),
        sa.Column("allocated", sa.Integer(), server_default="0", nullable=False),
        sa.Column("incoming", sa.Integer(), server_default="0", nullable=False),
        sa.Column("safety_stock", sa.Integer(), server_default="0", nullable=False),
        sa.CheckConstraint(
            "on_hand >= 0 AND reserved >= 0 AND allocated >= 0 AND incoming >= 0 AND safety_stock >= 0",
            name=op.f("ck_stock_levels_never_negative"),
        ),
        sa.CheckConstraint("reserved + allocated <= on_hand", name=op.f("ck_stock_levels_promised_once")),
        sa.ForeignKeyConstraint(
            ["location_id"], ["locations.location_id"], name=op.f("fk_stock_levels_location_id")
        ),
        sa.ForeignKeyConstraint(["sku"], ["skus.sku"], name=op.f("fk_stock_levels_sku")),
        sa.PrimaryKeyConstraint("sku", "location_id", name=op.f("pk_stock_levels")),
    )
    op.create_table(
        "allocations",
        sa.Column("shipment_id", sa.Text(), nullable=False),
        sa.Column("sku", sa.Text(), nullable=False),
        sa.Column("location_id", sa.Text(), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.CheckConstraint("state IN ('active', 'shipped', 'released')", name=op.f("ck_allocations_state")),
        sa.CheckConstraint("quantity > 0", name=op.f("ck_allocations_something")),
        sa.ForeignKeyConstraint(
            ["shipment_id"], ["shipments.shipment_id"], name=op.f("fk_allocations_shipment_id")
        ),
        sa.PrimaryKeyConstraint("shipment_id", "sku", name=op.f("pk_allocations")),
    )
    op.create_table(
        "backorders",
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("line_no", sa.Integer(), nullable=False),
        sa.Column("shipment_id", sa.Text(), nullable=False),
        sa.Column("sku", sa.Text(), nullable=False),
        sa.Column("location_id", sa.Text(), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("filled", sa.Integer(), server_default="0", nullable=False),
        sa.Column("priority", sa.Integer(), server_default="0", nullable=False),
        sa.Column("promise_date", sa.Date(), nullable=False),
        sa.Column("placed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.CheckConstraint("state IN ('waiting', 'filled', 'cancelled')", name=op.f("ck_backorders_state")),
        sa.CheckConstraint(
            "filled >= 0 AND filled <= quantity AND quantity > 0", name=op.f("ck_backorders_filled")
        ),
        sa.ForeignKeyConstraint(["order_id"], ["orders.order_id"], name=op.f("fk_backorders_order_id")),
        sa.ForeignKeyConstraint(
            ["shipment_id"], ["shipments.shipment_id"], name=op.f("fk_backorders_shipment_id")
        ),
        sa.PrimaryKeyConstraint("order_id", "line_no", name=op.f("pk_backorders")),
    )
    op.create_index(
        "ix_backorders_queue",
        "backorders",
        ["sku", "location_id"],
        postgresql_where=sa.text("state = 'waiting'"),
    )
    op.create_table(
        "parcels",
        sa.Column("parcel_id", sa.Text(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("shipment_id", sa.Text(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("weight_g", sa.Integer(), nullable=False),
        sa.Column("carrier_status", sa.Text(), server_default="pre_transit", nullable=False),
        sa.Column("flags", postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("place", sa.Text(), server_default="", nullable=False),
        sa.Column("edd_first_date", sa.Date(), nullable=True),
        sa.Column("edd_date", sa.Date(), nullable=True),
        sa.Column("handed_over_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("latest_scan_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("next_check_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("weight_g > 0", name=op.f("ck_parcels_weight")),
        sa.ForeignKeyConstraint(["order_id"], ["orders.order_id"], name=op.f("fk_parcels_order_id")),
        sa.ForeignKeyConstraint(
            ["shipment_id"], ["shipments.shipment_id"], name=op.f("fk_parcels_shipment_id")
        ),
        sa.PrimaryKeyConstraint("parcel_id", name=op.f("pk_parcels")),
        sa.UniqueConstraint("order_id", "n", name="uq_parcels_n"),
        sa.UniqueConstraint("shipment_id", name=op.f("uq_parcels_shipment_id")),
    )
    op.create_index(
        "ix_parcels_next_check",
        "parcels",
        ["next_check_at"],
        postgresql_where=sa.text("next_check_at IS NOT NULL"),
    )
    op.create_table(
        "payments",
        sa.Column("payment_id", sa.Text(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("shipment_id", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("provider_ref", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("asked", sa.Integer(), nullable=False),
        sa.Column("authorized", sa.Integer(), server_default="0", nullable=False),
        sa.Column("captured", sa.Integer(), server_default="0", nullable=False),
        sa.Column("refunded", sa.Integer(), server_default="0", nullable=False),
        sa.Column("decline_group", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "captured <= authorized AND refunded <= captured AND refunded >= 0", name=op.f("ck_payments_sums")
        ),
        sa.ForeignKeyConstraint(["order_id"], ["orders.order_id"], name=op.f("fk_payments_order_id")),
        sa.ForeignKeyConstraint(
            ["shipment_id"], ["shipments.shipment_id"], name=op.f("fk_payments_shipment_id")
        ),
        sa.PrimaryKeyConstraint("payment_id", name=op.f("pk_payments")),
        sa.UniqueConstraint("shipment_id", "attempt", name="uq_payments_attempt"),
    )
    op.create_index("ix_payments_order", "payments", ["order_id"])
    op.create_index("ix_payments_provider_ref", "payments", ["provider_ref"])
    op.create_index(
        "uq_payments_live",
        "payments",
        ["shipment_id"],
        unique=True,
        postgresql_where=sa.text("status IN ('authorizing', 'action_required', 'authorized')"),
    )
    op.create_table(
        "unit_ranges",
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("line_no", sa.Integer(), nullable=False),
        sa.Column("first_unit", sa.Integer(), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("shipment_id", sa.Text(), nullable=True),
        sa.Column("cancelled_reason", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "(shipment_id IS NULL) <> (cancelled_reason IS NULL)", name=op.f("ck_unit_ranges_one_place")
        ),
        sa.CheckConstraint("first_unit >= 1 AND quantity >= 1", name=op.f("ck_unit_ranges_range")),
        sa.ForeignKeyConstraint(["order_id"], ["orders.order_id"], name=op.f("fk_unit_ranges_order_id")),
        sa.ForeignKeyConstraint(
            ["shipment_id"], ["shipments.shipment_id"], name=op.f("fk_unit_ranges_shipment_id")
        ),
        sa.PrimaryKeyConstraint("order_id", "line_no", "first_unit", name=op.f("pk_unit_ranges")),
    )
    op.create_index(op.f("ix_unit_ranges_shipment_id"), "unit_ranges", ["shipment_id"])
    op.create_table(
        "labels",
        sa.Column("label_id", sa.Text(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("parcel_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("provider_shipment_ref", sa.Text(), nullable=True),
        sa.Column("carrier", sa.Text(), nullable=True),
        sa.Column("service", sa.Text(), nullable=True),
        sa.Column("cost", sa.Integer(), nullable=True),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("tracking_number", sa.Text(), nullable=True),
        sa.Column("label_url", sa.Text(), nullable=True),
        sa.Column("address_hash", sa.Text(), nullable=False),
        sa.Column("quotes", postgresql.JSONB(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["orders.order_id"], name=op.f("fk_labels_order_id")),
        sa.ForeignKeyConstraint(["parcel_id"], ["parcels.parcel_id"], name=op.f("fk_labels_parcel_id")),
        sa.PrimaryKeyConstraint("label_id", name=op.f("pk_labels")),
    )
    op.create_index("ix_labels_tracking_number", "labels", ["tracking_number"])
    op.create_index(
        "uq_labels_live",
        "labels",
        ["parcel_id"],
        unique=True,
        postgresql_where=sa.text("state IN ('buying', 'live', 'used')"),
    )
    op.create_index("uq_labels_number", "labels", ["carrier", "tracking_number"], unique=True)
    op.create_table(
        "tracking_events",
        sa.Column("parcel_id", sa.Text(), nullable=False),
        sa.Column("event_hash", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=True),
        sa.Column("flag", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("raw_code", sa.Text(), nullable=False),
        sa.Column("raw_text", sa.Text(), server_default="", nullable=False),
        sa.Column("place", sa.Text(), server_default="", nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("correction", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["parcel_id"], ["parcels.parcel_id"], name=op.f("fk_tracking_events_parcel_id")
        ),
        sa.PrimaryKeyConstraint("parcel_id", "event_hash", name=op.f("pk_tracking_events")),
    )


def downgrade() -> None:
    """Drop every table, with all that is in them."""
    op.drop_table("tracking_events")
    op.drop_table("labels")
    op.drop_table("unit_ranges")
    op.drop_table("payments")
    op.drop_table("parcels")
    op.drop_table("backorders")
    op.drop_table("allocations")
    op.drop_table("stock_levels")
    op.drop_table("signals")
    op.drop_table("shipments")
    op.drop_table("reservations")
    op.drop_table("replenishment_orders")
    op.drop_table("provider_operations")
    op.drop_table("promises")
    op.drop_table("outbox")
    op.drop_table("order_lines")
    op.drop_table("order_events")
    op.drop_table("holds")
    op.drop_table("cases")
    op.drop_table("audit_entries")
    op.drop_table("stock_movements")
    op.drop_table("skus")
    op.drop_table("orders")
    op.drop_table("locations")
    op.drop_table("inbox")
    op.drop_table("idempotency_keys")
