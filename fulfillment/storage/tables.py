"""Every table, constraint and CHECK. The database refuses what must never be, even from a wrong program."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Float,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Interval,
    LargeBinary,
    MetaData,
    Table,
    Text,
    Time,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _moment(name: str, *, nullable: bool = False) -> Column[Any]:
    return Column(name, DateTime(timezone=True), nullable=nullable)


def _order_id(*, primary_key: bool = False) -> Column[Any]:
    return Column("order_id", Text, ForeignKey("orders.order_id"), nullable=False, primary_key=primary_key)


# --- the catalogue and stock -------------------------------------------------------------------------

locations = Table(
    "locations",
    metadata,
    Column("location_id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("address", JSONB, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("zone", Text, nullable=False, server_default="UTC"),
    Column("cut_off", Time, nullable=False, server_default="14:00"),  # there, as are the days
    Column("working_days", ARRAY(Integer), nullable=False, server_default="{0,1,2,3,4}"),  # 0 is Monday
    Column("closed_days", ARRAY(Date), nullable=False, server_default="{}"),
    Column("daily_capacity", Integer),  # shipments; null is no limit
    Column("on_time", Float),  # the share of parcels that keep their promise; null until it is known
    CheckConstraint("daily_capacity > 0", name="capacity"),
    CheckConstraint("on_time >= 0 AND on_time <= 1", name="on_time"),
    CheckConstraint("cardinality(working_days) > 0", name="works"),
)

skus = Table(
    "skus",
    metadata,
    Column("sku", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("vendor", Text, nullable=False, server_default=""),
    Column("weight_g", Integer, nullable=False),
    Column("price", Integer, nullable=False),
    Column("backorderable", Boolean, nullable=False),
    Column("archived", Boolean, nullable=False),
    Column("reorder_point", Integer, nullable=False, server_default="0"),
    Column("lead_time_days", Integer, nullable=False, server_default="5"),
    Column("available_from", Date),  # a pre-order until then
    Column("backorder_limit", Integer),  # units that may wait at once; null is no limit
    Column("reorder_maximum", Integer),  # null is twice the reorder point
    Column("pack_size", Integer, nullable=False, server_default="1"),
    Column("minimum_order", Integer, nullable=False, server_default="1"),
    Column("length_mm", Integer),  # as it is packed, in any turn; null where nobody measured it
    Column("width_mm", Integer),
    Column("height_mm", Integer),
    Column("fragile", Boolean, nullable=False, server_default="false"),
    Column("serial", Boolean, nullable=False, server_default="false"),  # every unit has a number of its own
    CheckConstraint("length_mm > 0 AND width_mm > 0 AND height_mm > 0", name="measured"),
    CheckConstraint("num_nulls(length_mm, width_mm, height_mm) IN (0, 3)", name="measured_in_full"),
    CheckConstraint(
        "weight_g >= 0 AND price >= 0 AND reorder_point >= 0 AND lead_time_days >= 0", name="sizes"
    ),
    CheckConstraint("backorder_limit >= 0", name="backorder_limit"),
    CheckConstraint(
        "pack_size >= 1 AND minimum_order >= 1 AND reorder_maximum >= reorder_point", name="ordering"
    ),
)

# What may be sent instead of a SKU, the best first.
sku_substitutes = Table(
    "sku_substitutes",
    metadata,
    Column("sku", Text, ForeignKey("skus.sku"), primary_key=True),
    Column("n", Integer, primary_key=True),
    Column("substitute", Text, ForeignKey("skus.sku"), nullable=False),
    UniqueConstraint("sku", "substitute", name="uq_sku_substitutes_substitute"),
    CheckConstraint("n >= 1 AND sku <> substitute", name="another"),
)

stock_levels = Table(
    "stock_levels",
    metadata,
    Column("sku", Text, ForeignKey("skus.sku"), primary_key=True),
    Column("location_id", Text, ForeignKey("locations.location_id"), primary_key=True),
    Column("on_hand", Integer, nullable=False, server_default="0"),
    Column("reserved", Integer, nullable=False, server_default="0"),
    Column("allocated", Integer, nullable=False, server_default="0"),
    Column("incoming", Integer, nullable=False, server_default="0"),
    Column("safety_stock", Integer, nullable=False, server_default="0"),
    Column("damaged", Integer, nullable=False, server_default="0"),
    Column("quarantine", Integer, nullable=False, server_default="0"),
    Column("held", Integer, nullable=False, server_default="0"),
    Column("in_transfer", Integer, nullable=False, server_default="0"),
    CheckConstraint(
        "on_hand >= 0 AND reserved >= 0 AND allocated >= 0 AND damaged >= 0 AND quarantine >= 0 AND held >= 0"
        " AND incoming >= 0 AND in_transfer >= 0 AND safety_stock >= 0",
        name="never_negative",
    ),
    CheckConstraint("reserved + allocated + damaged + quarantine + held <= on_hand", name="promised_once"),
)

stock_movements = Table(
    "stock_movements",
    metadata,
    Column("movement_id", BigInteger, Identity(), primary_key=True),
    Column("operation_key", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("sku", Text, nullable=False),
    Column("location_id", Text, nullable=False),
    Column("on_hand", Integer, nullable=False, server_default="0"),
    Column("reserved", Integer, nullable=False, server_default="0"),
    Column("allocated", Integer, nullable=False, server_default="0"),
    Column("incoming", Integer, nullable=False, server_default="0"),
    Column("damaged", Integer, nullable=False, server_default="0"),
    Column("quarantine", Integer, nullable=False, server_default="0"),
    Column("held", Integer, nullable=False, server_default="0"),
    Column("in_transfer", Integer, nullable=False, server_default="0"),
    Column("safety_stock", Integer, nullable=False, server_default="0"),
    Column("cause", Text, nullable=False),
    Column("by", Text, nullable=False),
    _moment("at"),
    # One operation may touch many SKUs, each of them once: a repeat changes nothing.
    UniqueConstraint("operation_key", "kind", "sku", "location_id", name="uq_stock_movements_once"),
    Index("ix_stock_movements_place", "sku", "location_id"),
)

reservations = Table(
    "reservations",
    metadata,
    _order_id(primary_key=True),
    Column(
        "operation_key", Text, primary_key=True
    ),  # of the claim; what ran out is claimed anew under another
    Column("sku", Text, primary_key=True),
    Column("location_id", Text, primary_key=True),
    Column("quantity", Integer, nullable=False),
    Column("state", Text, nullable=False),  # active, then one end: consumed, released, expired
    _moment("expires_at"),
    CheckConstraint("quantity > 0", name="something"),
    CheckConstraint("state IN ('active', 'consumed', 'released', 'expired')", name="state"),
    Index("ix_reservations_running", "expires_at", postgresql_where=text("state = 'active'")),
)

allocations = Table(
    "allocations",
    metadata,
    Column("shipment_id", Text, ForeignKey("shipments.shipment_id"), primary_key=True),
    Column("sku", Text, primary_key=True),
    Column("location_id", Text, nullable=False),
    Column("quantity", Integer, nullable=False),
    Column("state", Text, nullable=False),  # active, shipped, released
    CheckConstraint("quantity > 0", name="something"),
    CheckConstraint("state IN ('active', 'shipped', 'released')", name="state"),
)

backorders = Table(
    "backorders",
    metadata,
    # A line may wait in several shipments: where it was short at first, and where its units were missed later.
    Column("shipment_id", Text, ForeignKey("shipments.shipment_id"), primary_key=True),
    Column("line_no", Integer, primary_key=True),
    _order_id(),
    Column("sku", Text, nullable=False),
    Column("location_id", Text, nullable=False),
    Column("quantity", Integer, nullable=False),  # asked of the next receipts
    Column("filled", Integer, nullable=False, server_default="0"),
    Column("priority", Integer, nullable=False, server_default="0"),
    Column("promise_date", Date, nullable=False),
    _moment("placed_at"),
    Column("state", Text, nullable=False),  # waiting, filled, cancelled
    CheckConstraint("filled >= 0 AND filled <= quantity AND quantity > 0", name="filled"),
    CheckConstraint("state IN ('waiting', 'filled', 'cancelled')", name="state"),
    Index("ix_backorders_order", "order_id"),
    Index("ix_backorders_queue", "sku", "location_id", postgresql_where=text("state = 'waiting'")),
)

replenishment_orders = Table(
    "replenishment_orders",
    metadata,
    Column("replenishment_id", Text, primary_key=True),
    Column("sku", Text, ForeignKey("skus.sku"), nullable=False),
    Column("location_id", Text, ForeignKey("locations.location_id"), nullable=False),
    Column("vendor", Text, nullable=False),
    Column("quantity", Integer, nullable=False),
    Column("received", Integer, nullable=False, server_default="0"),
    _moment("ordered_at"),
    _moment("due_at"),
    Column("state", Text, nullable=False),  # suggested, ordered, partially_received, received, cancelled
    _moment("received_at", nullable=True),  # when the last of it came
    Column("late_on", Date),  # the last day on which whoever waits for it was found to wait longer
    CheckConstraint("quantity > 0 AND received >= 0 AND received <= quantity", name="received"),
    CheckConstraint(
        "state IN ('suggested', 'ordered', 'partially_received', 'received', 'cancelled')", name="state"
    ),
    Index(
        "ix_replenishment_orders_open",
        "due_at",
        postgresql_where=text("state IN ('ordered', 'partially_received')"),
    ),
)

# Counting one SKU at one location: the difference between what was seen at a moment and what the book said then.
stock_counts = Table(
    "stock_counts",
    metadata,
    Column("count_id", Text, primary_key=True),
    Column("sku", Text, ForeignKey("skus.sku"), nullable=False),
    Column("location_id", Text, ForeignKey("locations.location_id"), nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("planned_by", Text, nullable=False),
    Column("counter", Text),
    Column("counted", Integer),
    Column("recounter", Text),
    Column("recounted", Integer),
    Column("expected", Integer),  # by the book, at the moment of the latest count
    Column("decided_by", Text),
    Column("decision", Text, nullable=False, server_default=""),
    _moment("planned_at"),
    _moment("counted_at", nullable=True),
    _moment("recounted_at", nullable=True),
    _moment("closed_at", nullable=True),
    CheckConstraint("counted >= 0 AND recounted >= 0", name="seen"),
    CheckConstraint(
        "state IN ('planned', 'counting', 'recounting', 'review', 'posted', 'cancelled')", name="state"
    ),
    Index(
        "uq_stock_counts_open",
        "sku",
        "location_id",
        unique=True,
        postgresql_where=text("state NOT IN ('posted', 'cancelled')"),
    ),
)

stock_transfers = Table(
    "stock_transfers",
    metadata,
    Column("transfer_id", Text, primary_key=True),
    Column("sku", Text, ForeignKey("skus.sku"), nullable=False),
    Column("from_location", Text, ForeignKey("locations.location_id"), nullable=False),
    Column("to_location", Text, ForeignKey("locations.location_id"), nullable=False),
    Column("quantity", Integer, nullable=False),
    Column("received", Integer, nullable=False, server_default="0"),
    Column("lost", Integer, nullable=False, server_default="0"),
    Column("state", Text, nullable=False),  # under_way, received, closed
    Column("reason", Text, nullable=False),
    Column("sent_by", Text, nullable=False),
    _moment("sent_at"),
    _moment("closed_at", nullable=True),
    CheckConstraint("quantity > 0 AND received >= 0 AND lost >= 0", name="sizes"),
    CheckConstraint("received + lost <= quantity", name="once"),
    CheckConstraint("state IN ('under_way', 'received', 'closed')", name="state"),
    CheckConstraint("from_location <> to_location", name="two_places"),
    Index("ix_stock_transfers_open", "to_location", postgresql_where=text("state = 'under_way'")),
)

# Units that came back, each of them once.
returned_units = Table(
    "returned_units",
    metadata,
    _order_id(primary_key=True),
    Column("line_no", Integer, primary_key=True),
    Column("unit_no", Integer, primary_key=True),
    Column("disposition", Text, nullable=False),
    Column("operation_key", Text, nullable=False),
    Column("by", Text, nullable=False),
    _moment("at"),
)

# What programs beside ours may want to know of stock; read in order, from wherever they stopped.
stock_events = Table(
    "stock_events",
    metadata,
    Column("event_id", BigInteger, Identity(), primary_key=True),
    Column("kind", Text, nullable=False),
    Column("sku", Text, nullable=False),
    Column("location_id", Text, nullable=False),
    Column("available", Integer, nullable=False),
    _moment("at"),
)

# --- orders ------------------------------------------------------------------------------------------

orders = Table(
    "orders",
    metadata,
    Column("order_id", Text, primary_key=True),
    Column("channel", Text, nullable=False),
    Column("external_ref", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("shipping_fee", Integer, nullable=False),
    Column("total", Integer, nullable=False),
    Column("fees", Integer, nullable=False, server_default="0"),  # asked for by changes; part of the total
    Column("service", Text, nullable=False),
    Column("customer_id", Text, nullable=False),
    Column("email", Text, nullable=False),
    Column("phone", Text, nullable=False, server_default=""),
    Column("locale", Text, nullable=False, server_default="en-US"),
    Column("ship_to", JSONB, nullable=False),
    Column("payment_method", Text, nullable=False),
    Column("payment_link", Text),  # the provider's page on which the customer gives another way to pay
    Column("note", Text, nullable=False, server_default=""),
    Column("policy_version", Text, nullable=False),
    Column("tracking_token", Text, nullable=False, unique=True),
    Column("promise_first_date", Date),
    Column("promise_date", Date),
    Column("placed", Text),  # what `place` answered: confirmed, short, declined; null until known
    Column("outcome", Text),
    Column("content_hash", Text, nullable=False),  # the same order again is a repeat, another one a conflict
    _moment("placed_at"),
    _moment("accepted_at"),
    _moment("started_at", nullable=True),  # null until its workflow is known to run; the relay looks here
    Column("reopened", Integer, nullable=False, server_default="0"),  # how often, after its end
    _moment("confirmed_at", nullable=True),
    _moment("completed_at", nullable=True),
    _moment("erased_at", nullable=True),  # from then on it is nobody's
    UniqueConstraint("channel", "external_ref", name="uq_orders_external"),
    CheckConstraint("total >= 0 AND shipping_fee >= 0", name="amounts"),
    CheckConstraint("fees >= 0", name="fees"),
    Index("ix_orders_unstarted", "accepted_at", postgresql_where=text("started_at IS NULL")),
    Index("ix_orders_placed_at", "placed_at"),
    Index("ix_orders_somebodys", "completed_at", postgresql_where=text("erased_at IS NULL")),
)

order_lines = Table(
    "order_lines",
    metadata,
    _order_id(primary_key=True),
    Column("line_no", Integer, primary_key=True),
    Column("sku", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("quantity", Integer, nullable=False),
    Column("unit_price", Integer, nullable=False),
    Column("discount", Integer, nullable=False),
    Column("tax", Integer, nullable=False),
    Column("shipping_share", Integer, nullable=False),
    CheckConstraint("quantity > 0 AND unit_price >= 0 AND discount >= 0 AND tax >= 0", name="amounts"),
)

# Why what was claimed is claimed there: written once with the plan, read by people.
sourcing_decisions = Table(
    "sourcing_decisions",
    metadata,
    Column("operation_key", Text, primary_key=True),  # of the claim that followed
    _order_id(),
    _moment("at"),
    Column("policy_version", Text, nullable=False),
    Column("inputs", JSONB, nullable=False),
    Column("candidates", JSONB, nullable=False),
    Column("why", Text, nullable=False),
    Index("ix_sourcing_decisions_order", "order_id"),
)

# Where every unit of every line is: in exactly one shipment, or cancelled (shipment_id is null).
# What state a unit is in is the work status of its shipment; it is written nowhere else.
unit_ranges = Table(
    "unit_ranges",
    metadata,
    _order_id(primary_key=True),
    Column("line_no", Integer, primary_key=True),
    Column("first_unit", Integer, primary_key=True),
    Column("quantity", Integer, nullable=False),
    Column("shipment_id", Text, ForeignKey("shipments.shipment_id"), index=True),
    Column("cancelled_reason", Text),
    CheckConstraint("first_unit >= 1 AND quantity >= 1", name="range"),
    CheckConstraint("(shipment_id IS NULL) <> (cancelled_reason IS NULL)", name="one_place"),
)

# Lines that were added for nothing, for units that the customer did not get.
replacements = Table(
    "replacements",
    metadata,
    _order_id(primary_key=True),
    Column("line_no", Integer, primary_key=True),  # the line that was added
    Column("root_line", Integer, nullable=False),  # the line that was paid
    Column("root_unit", Integer, nullable=False),  # the unit of it that the first unit stands for
    Column("shipment_id", Text, ForeignKey("shipments.shipment_id"), nullable=False),  # with what was missed
    Column("cause", Text, nullable=False),
    Column("by", Text, nullable=False),
    _moment("at"),
    CheckConstraint("root_line < line_no AND root_unit >= 1", name="root"),
)

# Lines of listed equals, for units that were not there and are cancelled as substituted.
substitutions = Table(
    "substitutions",
    metadata,
    _order_id(primary_key=True),
    Column("line_no", Integer, primary_key=True),  # the line that was added
    Column("root_line", Integer, nullable=False),  # the line it stands for
    Column("root_unit", Integer, nullable=False),  # the unit of it that the first unit stands for
    Column("change_id", Text, ForeignKey("order_changes.change_id"), nullable=False),
    CheckConstraint("root_line < line_no AND root_unit >= 1", name="root"),
)

holds = Table(
    "holds",
    metadata,
    Column("hold_id", Text, primary_key=True),  # the order, the reason and how many times before
    _order_id(),
    Column("reason", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("placed_by", Text, nullable=False),
    Column("note", Text, nullable=False, server_default=""),
    Column("state", Text, nullable=False),  # active, released, defaulted
    Column("released_by", Text),
    _moment("placed_at"),
    _moment("due_at"),
    _moment("ended_at", nullable=True),
    CheckConstraint("state IN ('active', 'released', 'defaulted')", name="state"),
    Index("uq_holds_active", "order_id", "reason", unique=True, postgresql_where=text("state = 'active'")),
    Index("ix_holds_of_order", "order_id"),  # an erasure looks here
)

cases = Table(
    "cases",
    metadata,
    Column("case_id", Text, primary_key=True),
    Column(
        "order_id", Text, ForeignKey("orders.order_id")
    ),  # null where it is about stock, and about no order
    Column("subject", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("severity", Integer, nullable=False),
    Column("owner", Text, nullable=False),
    Column("state", Text, nullable=False),  # waiting, escalated, resolved
    Column("note", Text, nullable=False, server_default=""),
    Column("resolution", Text),
    Column("resolved_by", Text),
    Column("step", Integer, nullable=False, server_default="0"),  # of its playbook: how many were done
    _moment("opened_at"),
    _moment("due_at"),
    _moment("escalated_at", nullable=True),
    _moment("resolved_at", nullable=True),
    Index("ix_cases_due", "due_at", postgresql_where=text("state <> 'resolved'")),
    Index("ix_cases_alike", "kind", "note", postgresql_where=text("state <> 'resolved'")),
    Index("uq_cases_open", "subject", "kind", unique=True, postgresql_where=text("state <> 'resolved'")),
    Index("ix_cases_order", "order_id"),
)

# What is claimed from carriers for what they lost or broke; it is open as long as its case is.
carrier_claims = Table(
    "carrier_claims",
    metadata,
    Column("case_id", Text, ForeignKey("cases.case_id"), primary_key=True),
    _order_id(),
    Column("parcel_id", Text, ForeignKey("parcels.parcel_id"), nullable=False, index=True),
    Column("carrier", Text, nullable=False),
    Column("tracking_number", Text, nullable=False),
    Column("cause", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),  # what the goods cost the customer
    Column("currency", Text, nullable=False),
    Column("deadline", Date, nullable=False),  # the last day to file it
    Column("outcome", Text),
    Column("paid", BigInteger, nullable=False, server_default="0"),
    Column("ended_by", Text),
    _moment("opened_at"),
    _moment("ended_at", nullable=True),
    CheckConstraint("amount > 0", name="amount"),
    CheckConstraint("outcome IN ('paid', 'refused', 'not_worth_it', 'found')", name="outcome"),
    CheckConstraint(
        "(outcome IS NULL) = (ended_at IS NULL) AND (outcome IS NULL) = (ended_by IS NULL)", name="ended"
    ),
    CheckConstraint("paid >= 0 AND (coalesce(outcome, '') = 'paid') = (paid > 0)", name="paid"),
)

# What was changed after the order was placed, with the answer that a repeat of the request gets again.
# An address that was asked for, until its order takes it. It is no part of what workflows are told: that is kept.
proposed_addresses = Table(
    "proposed_addresses",
    metadata,
    _order_id(primary_key=True),
    Column("request_id", Text, primary_key=True),
    Column("ship_to", JSONB, nullable=False),
    Column("by", Text, nullable=False),
    _moment("at"),
)

order_changes = Table(
    "order_changes",
    metadata,
    Column("change_id", Text, primary_key=True),
    _order_id(),
    Column("kind", Text, nullable=False),  # cancel_units, add_lines, address, service, substitute
    Column("state", Text, nullable=False),  # confirmed, undone
    Column("text", Text, nullable=False),
    Column("delta", Integer, nullable=False),
    Column("added", ARRAY(Text), nullable=False, server_default="{}"),
    Column("stopped", ARRAY(Text), nullable=False, server_default="{}"),
    Column("reworked", ARRAY(Text), nullable=False, server_default="{}"),
    Column("before", JSONB, nullable=False, server_default="{}"),  # what an undo puts back
    Column("by", Text, nullable=False),
    Column("request_id", Text, nullable=False, server_default=""),
    _moment("at"),
    CheckConstraint("kind IN ('cancel_units', 'add_lines', 'address', 'service', 'substitute')", name="kind"),
    CheckConstraint("state IN ('confirmed', 'undone')", name="state"),
    Index(
        "uq_order_changes_request",
        "order_id",
        "request_id",
        unique=True,
        postgresql_where=text("request_id <> ''"),
    ),
    Index("ix_order_changes_of_order", "order_id"),  # an erasure looks here
)

promises = Table(
    "promises",
    metadata,
    _order_id(primary_key=True),
    Column("n", Integer, primary_key=True),
    Column("promised_date", Date, nullable=False),
    Column("source", Text, nullable=False),
    Column("reason", Text, nullable=False, server_default=""),
    # Whose delay moved it; null: the order's.
    Column("shipment_id", Text, ForeignKey("shipments.shipment_id")),
    # The message that told it, by its key in the outbox; null where nobody had to be told.
    Column("told_fact", Text),
    Column("told_subject", Text),
    Column("told_version", Integer),
    _moment("at"),
    _moment("told_at", nullable=True),
)

# That somebody was forgotten, and on whose word: the proof, which names nobody.
erasures = Table(
    "erasures",
    metadata,
    Column("erasure_id", BigInteger, Identity(), primary_key=True),
    Column("customer_id", Text, nullable=False),  # the storefront's opaque id
    Column("orders", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("by", Text, nullable=False),
    _moment("at"),
)


# --- money -------------------------------------------------------------------------------------------

payments = Table(
    "payments",
    metadata,
    Column("payment_id", Text, primary_key=True),  # the key of its authorize operation
    _order_id(),
    Column("attempt", Integer, nullable=False),  # counted through the order
    Column("provider", Text, nullable=False),
    Column("provider_ref", Text),
    Column("status", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("asked", Integer, nullable=False),
    Column("authorized", Integer, nullable=False, server_default="0"),
    Column("captured", Integer, nullable=False, server_default="0"),
    Column("refunded", Integer, nullable=False, server_default="0"),
    Column("decline_group", Text),
    Column("next_action_url", Text),
    Column("multicapture", Boolean, nullable=False, server_default="false"),
    _moment("created_at"),
    _moment("expires_at", nullable=True),
    UniqueConstraint("order_id", "attempt", name="uq_payments_attempt"),
    CheckConstraint("captured <= authorized AND refunded <= captured AND refunded >= 0", name="sums"),
    Index("ix_payments_order", "order_id"),
    Index("ix_payments_provider_ref", "provider_ref"),
    Index("ix_payments_holding", "created_at", postgresql_where=text("status = 'authorized'")),
)

# Which shipment a payment's money is for. What is neither captured nor released is still reserved, as long as
# the payment is authorized.
payment_shares = Table(
    "payment_shares",
    metadata,
    Column("payment_id", Text, ForeignKey("payments.payment_id"), primary_key=True),
    Column("shipment_id", Text, ForeignKey("shipments.shipment_id"), primary_key=True),
    Column("asked", Integer, nullable=False),
    Column("captured", Integer, nullable=False, server_default="0"),
    Column("refunded", Integer, nullable=False, server_default="0"),
    Column("released", Integer, nullable=False, server_default="0"),
    CheckConstraint("captured >= 0 AND released >= 0 AND captured + released <= asked", name="sums"),
    CheckConstraint("refunded >= 0 AND refunded <= captured", name="refunded"),
    Index("ix_payment_shares_shipment", "shipment_id"),
)

provider_operations = Table(
    "provider_operations",
    metadata,
    Column("operation_key", Text, primary_key=True),
    _order_id(),
    Column("payment_id", Text, ForeignKey("payments.payment_id")),  # null: it is about a label
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),  # the shipment, order, refund or parcel it is about
    Column("amount", Integer, nullable=False, server_default="0"),
    Column("final", Boolean, nullable=False, server_default="true"),  # of a capture: the rest is let go
    Column("state", Text, nullable=False),  # claimed, accepted, succeeded, failed, unknown
    Column("provider_ref", Text),
    Column("error_class", Text),
    Column("sends", Integer, nullable=False, server_default="0"),
    Column("renewals", Integer, nullable=False, server_default="0"),  # provider key: the key, then key~1 ..
    _moment("first_sent_at", nullable=True),  # REAL time: a provider forgets keys in real hours
    _moment("claimed_at"),
    _moment("ended_at", nullable=True),
    CheckConstraint("state IN ('claimed', 'accepted', 'succeeded', 'failed', 'unknown')", name="state"),
    Index(
        "ix_provider_operations_open",
        "claimed_at",
        postgresql_where=text("state IN ('claimed', 'accepted', 'unknown')"),
    ),
    Index("ix_provider_operations_order", "order_id"),
    Index("ix_provider_operations_payment", "payment_id"),
    Index("ix_provider_operations_provider_ref", "provider_ref"),
)

refunds = Table(
    "refunds",
    metadata,
    Column("refund_id", Text, primary_key=True),
    _order_id(),
    Column("n", Integer, nullable=False),
    Column("shipment_id", Text, ForeignKey("shipments.shipment_id")),  # null: of the order as a whole
    Column("cause", Text, nullable=False),
    Column("amount", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("approved_by", Text),
    Column("request_id", Text, nullable=False),
    Column("note", Text, nullable=False, server_default=""),
    Column("why_approval", Text, nullable=False, server_default=""),
    Column("by_hand_ref", Text),  # how a person paid it, past the provider
    _moment("at"),
    _moment("ended_at", nullable=True),
    UniqueConstraint("order_id", "n", name="uq_refunds_n"),
    UniqueConstraint("order_id", "request_id", name="uq_refunds_request"),
    CheckConstraint("amount > 0", name="something"),
    CheckConstraint(
        "state IN ('requested', 'approved', 'running', 'succeeded', 'failed', 'manual', 'rejected')",
        name="state",
    ),
    Index("ix_refunds_open", "at", postgresql_where=text("state IN ('approved', 'running')")),
)

refund_units = Table(
    "refund_units",
    metadata,
    Column("refund_id", Text, ForeignKey("refunds.refund_id"), primary_key=True),
    Column("line_no", Integer, primary_key=True),
    Column("first_unit", Integer, primary_key=True),
    Column("quantity", Integer, nullable=False),
    # Where they were when their money was asked back: units that are cancelled later lie nowhere.
    Column("shipment_id", Text, ForeignKey("shipments.shipment_id")),
    CheckConstraint("first_unit >= 1 AND quantity >= 1", name="range"),
)

disputes = Table(
    "disputes",
    metadata,
    Column("dispute_id", Text, primary_key=True),  # the provider's
    Column("payment_id", Text, ForeignKey("payments.payment_id"), nullable=False),
    Column("reason", Text, nullable=False),
    Column("amount", Integer, nullable=False),
    Column("state", Text, nullable=False),  # the provider's word
    Column("is_over", Boolean, nullable=False),
    _moment("opened_at"),
    _moment("evidence_due_at", nullable=True),
)

# --- shipping ----------------------------------------------------------------------------------------

shipments = Table(
    "shipments",
    metadata,
    Column("shipment_id", Text, primary_key=True),
    _order_id(),
    Column("n", Integer, nullable=False),
    Column("location_id", Text, ForeignKey("locations.location_id"), nullable=False),
    Column("work_status", Text, nullable=False),
    Column("waits_for", Text, nullable=False),
    Column("value", Integer, nullable=False),
    Column(
        "fee", Integer, nullable=False, server_default="0"
    ),  # part of the value beside what its units cost
    Column("reworks", Integer, nullable=False, server_default="0"),  # how often the floor had to begin again
    Column("picker", Text),
    _moment("pick_until", nullable=True),  # whoever is silent for longer has lost it
    Column("outcome", Text),
    Column("cancelled_reason", Text),
    Column("replaces", Text, ForeignKey("shipments.shipment_id")),  # what was lost, damaged or came back
    Column("settled", Text),  # what the customer got for it: reship or refund; one excludes the other
    _moment("ship_by"),
    _moment("released_at", nullable=True),
    _moment("picked_at", nullable=True),
    _moment("packed_at", nullable=True),
    _moment("labeled_at", nullable=True),
    _moment("handed_over_at", nullable=True),
    _moment("closed_at", nullable=True),
    UniqueConstraint("order_id", "n", name="uq_shipments_n"),
    CheckConstraint("value >= 0", name="value"),
    CheckConstraint("fee >= 0 AND fee <= value AND reworks >= 0", name="fee"),
    CheckConstraint("settled IN ('reship', 'refund')", name="settled"),
    CheckConstraint("replaces IS NULL OR value = 0", name="charged_once"),
    Index("ix_shipments_replaces", "replaces", postgresql_where=text("replaces IS NOT NULL")),
    Index("ix_shipments_dated", "order_id", postgresql_where=text("waits_for = 'date'")),
    Index(
        "ix_shipments_floor",
        "location_id",
        "work_status",
        postgresql_where=text("work_status IN ('released', 'picking', 'picked', 'packed', 'labeled')"),
    ),
)

parcels = Table(
    "parcels",
    metadata,
    Column("parcel_id", Text, primary_key=True),
    _order_id(),
    Column("shipment_id", Text, ForeignKey("shipments.shipment_id"), nullable=False, unique=True),
    Column("n", Integer, nullable=False),
    Column("weight_g", Integer, nullable=False),
    Column("carton_id", Text),  # null: in a box that is none of ours
    Column("size_mm", ARRAY(Integer)),  # of the carton
    Column("carrier_status", Text, nullable=False, server_default="pre_transit"),
    Column("flags", ARRAY(Text), nullable=False, server_default="{}"),
    Column("reason", Text, nullable=False, server_default=""),
    Column("place", Text, nullable=False, server_default=""),
    Column("address_hash", Text),  # of where it went, from the moment it left
    Column("edd_first_date", Date),
    Column("edd_date", Date),
    Column("evidence", Text),  # that the carrier has it: scan_form, driver_scan, staff
    Column("evidence_ref", Text, nullable=False, server_default=""),
    Column("handed_over_by", Text),
    _moment("handed_over_at", nullable=True),
    _moment("latest_scan_at", nullable=True),
    _moment("next_check_at", nullable=True),  # silence is an event: reconciliation looks here
    _moment("delivered_at", nullable=True),
    UniqueConstraint("order_id", "n", name="uq_parcels_n"),
    CheckConstraint("weight_g > 0", name="weight"),
    Index("ix_parcels_next_check", "next_check_at", postgresql_where=text("next_check_at IS NOT NULL")),
)

labels = Table(
    "labels",
    metadata,
    Column("label_id", Text, primary_key=True),  # the key of its buy_label operation
    _order_id(),
    Column("parcel_id", Text, ForeignKey("parcels.parcel_id"), nullable=False),
    Column("state", Text, nullable=False),  # buying, live, used, voided, void_refused, failed
    Column("provider_shipment_ref", Text),  # stored before buying, so that a lost reply can be asked about
    Column("carrier", Text),
    Column("service", Text),
    Column("cost", Integer),
    Column("currency", Text),
    Column("tracking_number", Text),
    Column("label_url", Text),
    Column("address_hash", Text, nullable=False),
    Column("order_service", Text, nullable=False),  # what the customer had asked for when it was bought
    Column("quotes", JSONB),  # every scored option, so that the choice can be explained
    _moment("quoted_at", nullable=True),
    Column("quoted_price", Integer),  # what may be paid is measured by it
    Column(
        "dearer", Boolean, nullable=False, server_default="false"
    ),  # it was decided to pay more than that allows
    _moment("dearer_since", nullable=True),  # since when every offer asks for more than that allows
    _moment("created_at"),
    Index(
        "uq_labels_live",
        "parcel_id",
        unique=True,
        postgresql_where=text("state IN ('buying', 'live', 'used')"),
    ),
    Index("uq_labels_number", "carrier", "tracking_number", unique=True),
    Index("ix_labels_tracking_number", "tracking_number"),
    Index("ix_labels_order_id", "order_id"),
)

# How every parcel's journey went: what a lane is known by, for promises, for patience and for the choice of carriers.
transits = Table(
    "transits",
    metadata,
    Column("parcel_id", Text, ForeignKey("parcels.parcel_id"), primary_key=True),
    Column("location_id", Text, ForeignKey("locations.location_id"), nullable=False),
    Column("country", Text, nullable=False),
    Column("area", Text, nullable=False),  # the first characters of the postal code
    Column("region", Text, nullable=False),
    Column("zone", Text, nullable=False),  # the recipient's
    Column("service", Text, nullable=False),  # as the customer asked for it
    Column("carrier", Text, nullable=False),
    Column("carrier_service", Text, nullable=False),
    Column("left_date", Date, nullable=False),  # there
    Column("stated_days", Integer),  # working days the carrier said when it left; null where it said nothing
    # What silence of it is allowed, as its lane was known when it left, and from how many deliveries.
    Column("scan_silence", Interval, nullable=False),
    Column("lost_after", Interval, nullable=False),
    Column("learned_from", Integer, nullable=False, server_default="0"),
    _moment("left_at"),
    _moment("look_at", nullable=True),  # when to ask next whether it will be late; null when it has ended
    _moment("first_scan_at", nullable=True),  # this and the rest are known when it has ended
    _moment("near_at", nullable=True),  # first seen in the recipient's region
    _moment("out_at", nullable=True),  # first out for delivery, or tried
    _moment("ended_at", nullable=True),
    Column("outcome", Text),  # delivered, lost, returned, destroyed
    Column("days", Integer),  # working days until it was delivered, there
    Column("longest_silence", Interval),
    Index("ix_transits_area", "location_id", "country", "area", "ended_at"),
    Index("ix_transits_country", "location_id", "country", "ended_at"),
    Index("ix_transits_lane", "carrier", "carrier_service", "location_id", "country", "area", "left_date"),
    Index("ix_transits_service", "carrier", "carrier_service", "left_date"),
    Index("ix_transits_look", "look_at", postgresql_where=text("look_at IS NOT NULL")),
)

# What is printed, byte for byte as the carrier sent it.
label_documents = Table(
    "label_documents",
    metadata,
    Column("label_id", Text, ForeignKey("labels.label_id"), primary_key=True),
    Column("format", Text, primary_key=True),  # pdf, png, zpl
    Column("content", LargeBinary, nullable=False),
    Column("sha256", Text, nullable=False),
    _moment("at"),
    CheckConstraint("format IN ('pdf', 'png', 'zpl')", name="format"),
)

# Carriers that were paused, or whose labels fail; every other one is in use.
carriers = Table(
    "carriers",
    metadata,
    Column("carrier", Text, primary_key=True),
    _moment("paused_at", nullable=True),
    Column("paused_by", Text, nullable=False, server_default=""),
    Column("why", Text, nullable=False, server_default=""),
    _moment("failing_since", nullable=True),  # null since its latest success
    _moment("failed_at", nullable=True),
    Column("fails_at", Text),  # to make offers, or labels
    Column("said", Text, nullable=False, server_default=""),
)

# What the carriers' address check said, once per order and address.
address_checks = Table(
    "address_checks",
    metadata,
    _order_id(primary_key=True),
    Column("address_hash", Text, primary_key=True),
    Column("verdict", Text, nullable=False),
    Column("suggestion", JSONB),
    Column("said", Text, nullable=False, server_default=""),
    _moment("at"),
)

# The kinds of boxes there are; where there are none, the packer uses the usual ones.
cartons = Table(
    "cartons",
    metadata,
    Column("carton_id", Text, primary_key=True),
    Column("size_mm", ARRAY(Integer), nullable=False),  # inner length, width, height
    Column("max_weight_g", Integer, nullable=False),  # of the contents
    Column("tare_g", Integer, nullable=False),
    Column("price", Integer, nullable=False),
    Column("archived", Boolean, nullable=False, server_default="false"),
    CheckConstraint("cardinality(size_mm) = 3 AND 0 < ALL (size_mm)", name="size"),
    CheckConstraint("max_weight_g > 0 AND tare_g >= 0 AND price >= 0", name="amounts"),
)

# A shipment at the bench: who packs it, in which cartons, and what must be acknowledged before it goes on.
packings = Table(
    "packings",
    metadata,
    Column("shipment_id", Text, ForeignKey("shipments.shipment_id"), primary_key=True),
    Column("round", Integer, nullable=False),  # the shipment's reworks: another content is another round
    Column("packer", Text, nullable=False),
    Column("station", Text, nullable=False, server_default=""),
    Column("plan", JSONB, nullable=False),
    Column("problem", Text, nullable=False, server_default=""),  # "" when nothing is wrong
    Column("problem_scan", Text),
    _moment("started_at"),
)

packing_scans = Table(
    "packing_scans",
    metadata,
    Column("shipment_id", Text, ForeignKey("packings.shipment_id"), primary_key=True),
    Column("scan_id", Text, primary_key=True),  # the scanner's: a repeat counts nothing
    Column("round", Integer, nullable=False),
    Column("code", Text, nullable=False),
    Column("serial", Text, nullable=False, server_default=""),
    Column("outcome", Text, nullable=False),
    Column("by", Text, nullable=False),
    _moment("at"),
    CheckConstraint("outcome IN ('counted', 'wrong', 'too_many')", name="outcome"),
)

# Parcels of one place for one carrier, given to it together; one list at a time is open.
manifests = Table(
    "manifests",
    metadata,
    Column("manifest_id", Text, primary_key=True),
    Column("location_id", Text, ForeignKey("locations.location_id"), nullable=False),
    Column("carrier", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("evidence", Text),
    Column("evidence_ref", Text, nullable=False, server_default=""),
    Column("handed_over_by", Text),
    _moment("at"),
    _moment("handed_over_at", nullable=True),
    CheckConstraint(
        "num_nulls(evidence, handed_over_by, handed_over_at) IN (0, 3)", name="handed_over_with_evidence"
    ),
    Index(
        "uq_manifests_open",
        "location_id",
        "carrier",
        unique=True,
        postgresql_where=text("handed_over_at IS NULL"),
    ),
)

# A carrier's own code for a list: scanned once, it takes every parcel on it.
scan_forms = Table(
    "scan_forms",
    metadata,
    Column("form_id", Text, primary_key=True),
    Column("manifest_id", Text, ForeignKey("manifests.manifest_id"), nullable=False),
    Column("state", Text, nullable=False, server_default="asked"),
    Column("sends", Integer, nullable=False, server_default="0"),
    Column("provider_ref", Text),
    Column("said", Text, nullable=False, server_default=""),  # why the carrier made none
    Column("content", LargeBinary),
    Column("sha256", Text),
    Column("by", Text, nullable=False),
    _moment("at"),
    CheckConstraint("state IN ('asked', 'made', 'refused')", name="state"),
    CheckConstraint(
        "(state = 'made') = (content IS NOT NULL AND sha256 IS NOT NULL AND provider_ref IS NOT NULL)",
        name="made_with_document",
    ),
    Index("uq_scan_forms_asked", "manifest_id", unique=True, postgresql_where=text("state = 'asked'")),
)

manifest_parcels = Table(
    "manifest_parcels",
    metadata,
    Column("manifest_id", Text, ForeignKey("manifests.manifest_id"), primary_key=True),
    Column("parcel_id", Text, ForeignKey("parcels.parcel_id"), primary_key=True),
    Column("label_id", Text, ForeignKey("labels.label_id"), nullable=False),
    Column("form_id", Text, ForeignKey("scan_forms.form_id")),
    Column("outcome", Text, nullable=False, server_default="listed"),
    Column("why", Text, nullable=False, server_default=""),
    CheckConstraint("outcome IN ('listed', 'left', 'missing', 'refused')", name="outcome"),
    # A carrier takes a label onto one form, whatever list it is on.
    Index("uq_manifest_parcels_form", "label_id", unique=True, postgresql_where=text("form_id IS NOT NULL")),
    Index(
        "uq_manifest_parcels_listed", "parcel_id", unique=True, postgresql_where=text("outcome = 'listed'")
    ),
)

tracking_events = Table(
    "tracking_events",
    metadata,
    Column("parcel_id", Text, ForeignKey("parcels.parcel_id"), primary_key=True),
    Column("event_hash", Text, primary_key=True),
    Column("status", Text),  # null: news that moves nothing
    Column("flag", Text),
    Column("reason", Text, nullable=False, server_default=""),
    Column("raw_code", Text, nullable=False),
    Column("raw_text", Text, nullable=False, server_default=""),
    Column("place", Text, nullable=False, server_default=""),
    Column("source", Text, nullable=False),
    Column("correction", Boolean, nullable=False, server_default="false"),
    Column("provider", Text, nullable=False, server_default=""),  # whose words code and text are
    Column("unknown", Boolean, nullable=False, server_default="false"),  # the code is in none of our tables
    Column("zone_assumed", Boolean, nullable=False, server_default="false"),
    Column("standing", Text, nullable=False, server_default="folded"),  # folded, set_aside, after_end
    Column("by", Text, nullable=False, server_default=""),  # who corrected it, and why
    Column("why", Text, nullable=False, server_default=""),
    _moment("occurred_at"),
    _moment("received_at"),
    CheckConstraint("source <> 'staff' OR (\"by\" <> '' AND why <> '')", name="corrected_by"),
    Index("ix_tracking_events_unknown", "provider", "raw_code", postgresql_where=text("unknown")),
)

# --- the floor ----------------------------------------------------------------------------------------

# Where units of a SKU lie at a location: aisle, bay and level, for example A-03-2.
bins = Table(
    "bins",
    metadata,
    Column("sku", Text, ForeignKey("skus.sku"), primary_key=True),
    Column("location_id", Text, ForeignKey("locations.location_id"), primary_key=True),
    Column("bin", Text, nullable=False),
)

# One walk of one picker, with a tote for each shipment.
pick_walks = Table(
    "pick_walks",
    metadata,
    Column("walk_id", Text, primary_key=True),
    Column("location_id", Text, ForeignKey("locations.location_id"), nullable=False),
    Column("mode", Text, nullable=False),
    Column("picker", Text, nullable=False),
    _moment("started_at"),
    CheckConstraint("mode IN ('single', 'batch', 'wave')", name="mode"),
    Index("ix_pick_walks_picker", "picker", "started_at"),
)

pick_totes = Table(
    "pick_totes",
    metadata,
    Column("walk_id", Text, ForeignKey("pick_walks.walk_id"), primary_key=True),
    Column("tote", Integer, primary_key=True),
    Column("shipment_id", Text, ForeignKey("shipments.shipment_id"), nullable=False),
    Column(
        "reworks", Integer, nullable=False
    ),  # of the shipment when it was taken: what is older counts no more
    UniqueConstraint("walk_id", "shipment_id", name="uq_pick_totes_shipment"),
    CheckConstraint("tote >= 1", name="tote"),
)

# A scan that counted; `reworks` as in the tote. The answer is kept: the same scan again gets it again.
pick_scans = Table(
    "pick_scans",
    metadata,
    Column("scan_id", Text, primary_key=True),
    Column("walk_id", Text, ForeignKey("pick_walks.walk_id"), nullable=False),
    Column("shipment_id", Text, ForeignKey("shipments.shipment_id"), nullable=False),
    Column("reworks", Integer, nullable=False),
    Column("sku", Text, nullable=False),
    Column("quantity", Integer, nullable=False),
    Column("answer", JSONB, nullable=False),
    Column("by", Text, nullable=False),
    _moment("at"),
    CheckConstraint("quantity > 0", name="something"),
    Index("ix_pick_scans_shipment", "shipment_id"),
)

condition_checks = Table(
    "condition_checks",
    metadata,
    Column("check_id", Text, primary_key=True),
    Column("shipment_id", Text, ForeignKey("shipments.shipment_id"), nullable=False),
    Column("reworks", Integer, nullable=False),
    Column("sku", Text, nullable=False),
    Column("quantity", Integer, nullable=False),
    Column("stage", Text, nullable=False),
    Column("grade", Text, nullable=False),
    Column("defect", Text, nullable=False, server_default=""),
    Column("note", Text, nullable=False, server_default=""),
    Column("photo", Text, nullable=False, server_default=""),
    Column("by", Text, nullable=False),
    _moment("at"),
    CheckConstraint("quantity > 0", name="something"),
    CheckConstraint("stage IN ('pick', 'pack')", name="stage"),
    CheckConstraint("grade IN ('A', 'B', 'C', 'D')", name="grade"),
    Index("ix_condition_checks_shipment", "shipment_id"),
)

# Units that were taken out of a shipment at the shelf or the bench, and what became of them.
rejections = Table(
    "rejections",
    metadata,
    Column("rejection_id", Text, primary_key=True),
    _order_id(),
    Column("shipment_id", Text, ForeignKey("shipments.shipment_id"), nullable=False),
    Column("sku", Text, nullable=False),
    Column("location_id", Text, nullable=False),
    Column("quantity", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("found_sku", Text),
    Column("note", Text, nullable=False, server_default=""),
    Column("photo", Text, nullable=False, server_default=""),
    Column("count_id", Text),
    Column("answer", JSONB, nullable=False),
    Column("by", Text, nullable=False),
    _moment("at"),
    _moment("inspected_at", nullable=True),
    CheckConstraint("quantity > 0", name="something"),
    CheckConstraint(
        "reason IN ('not_found', 'mismatch', 'damaged', 'quality_doubt', 'expired', 'recalled', 'worn')",
        name="reason",
    ),
    Index("ix_rejections_shipment", "shipment_id"),
    Index("ix_rejections_count", "count_id"),
)

# Goods in somebody's hands of a shipment that was cancelled or changed: they go back to the shelf.
put_backs = Table(
    "put_backs",
    metadata,
    Column("shipment_id", Text, ForeignKey("shipments.shipment_id"), primary_key=True),
    Column("reworks", Integer, primary_key=True),
    Column("location_id", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("picker", Text),
    _moment("asked_at"),
    _moment("confirmed_at", nullable=True),
    Column("confirmed_by", Text),
    Index("ix_put_backs_open", "location_id", postgresql_where=text("confirmed_at IS NULL")),
)

# --- the record, messages in and out -----------------------------------------------------------------

order_events = Table(
    "order_events",
    metadata,
    Column("seq", BigInteger, Identity(), primary_key=True),
    _order_id(),
    Column("kind", Text, nullable=False),
    Column("text", Text, nullable=False),  # one sentence in our words, fit for the customer
    Column("data", JSONB, nullable=False, server_default="{}"),
    _moment("at"),
    Index("ix_order_events_order", "order_id", "seq"),
)

audit_entries = Table(
    "audit_entries",
    metadata,
    Column("entry_id", BigInteger, Identity(), primary_key=True),
    Column(
        "order_id", Text, ForeignKey("orders.order_id")
    ),  # null where it is about stock, and about no order
    Column("actor", Text, nullable=False),
    Column("command", Text, nullable=False),
    Column("request_id", Text, nullable=False, server_default=""),
    Column("reason", Text, nullable=False, server_default=""),
    Column("outcome", Text, nullable=False),
    _moment("at"),
    Index("ix_audit_entries_order", "order_id"),
)

inbox = Table(
    "inbox",
    metadata,
    Column("provider", Text, primary_key=True),
    Column("event_id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),  # the provider's reference: tracking number, payment
    Column("order_id", Text),
    Column("body", JSONB, nullable=False),
    Column("hint", JSONB),  # what it says in our words, for as long as it waits for its payment
    Column("state", Text, nullable=False),  # applied, unmatched, ignored
    Column("why", Text, nullable=False, server_default=""),
    _moment("received_at"),
    CheckConstraint("state IN ('applied', 'unmatched', 'ignored')", name="state"),
    Index("ix_inbox_open", "received_at", postgresql_where=text("state = 'unmatched'")),
    Index("ix_inbox_of_order", "order_id"),  # an erasure looks here
)

# What a door or the floor decided and an order's workflow must still hear; the relay delivers it.
signals = Table(
    "signals",
    metadata,
    Column("signal_id", BigInteger, Identity(), primary_key=True),
    _order_id(),
    Column("name", Text, nullable=False),
    Column("body", JSONB, nullable=False),
    Column("fact_key", Text, nullable=False, unique=True),
    _moment("at"),
    _moment("delivered_at", nullable=True),
    Index("ix_signals_open", "signal_id", postgresql_where=text("delivered_at IS NULL")),
    Index("ix_signals_of_order", "order_id"),  # an erasure looks here
)

outbox = Table(
    "outbox",
    metadata,
    Column("notification_id", BigInteger, Identity(), primary_key=True),
    _order_id(),
    Column("fact", Text, nullable=False),
    Column("subject", Text, nullable=False),  # the order, shipment or parcel the fact is about
    Column("version", Integer, nullable=False),
    Column("channel", Text, nullable=False),
    Column("recipient", Text, nullable=False),
    Column("data", JSONB, nullable=False),
    Column("state", Text, nullable=False),
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("why", Text, nullable=False, server_default=""),
    Column("zone", Text),  # the recipient's, from the moment it was first looked at
    Column("body", Text),  # of a text message, exactly as it was first sent: by it the provider is asked
    Column("provider_refs", ARRAY(Text), nullable=False, server_default="{}"),  # a new one for every send
    _moment("at"),
    _moment("not_before"),
    _moment("lease_until", nullable=True),
    _moment("taken_at", nullable=True),  # when it was last decided to send it
    _moment("first_sent_at", nullable=True),  # REAL time: a provider is asked by its own clock
    _moment("sent_at", nullable=True),
    _moment("delivered_at", nullable=True),  # where the channel says so
    UniqueConstraint("order_id", "fact", "subject", "version", "channel", "recipient", name="uq_outbox_once"),
    CheckConstraint(
        "state IN ('pending', 'claimed', 'unknown', 'sent', 'withdrawn', 'suppressed', 'bounced', 'dead')",
        name="state",
    ),
    CheckConstraint("channel IN ('email', 'sms')", name="channel"),
    Index(
        "ix_outbox_open", "not_before", postgresql_where=text("state IN ('pending', 'claimed', 'unknown')")
    ),
)

# How customers want to be told. Who is not here has said nothing: e-mail, and no text messages.
customer_preferences = Table(
    "customer_preferences",
    metadata,
    Column("customer_id", Text, primary_key=True),
    Column("main", Text, nullable=False, server_default="email"),
    Column("sms", Boolean, nullable=False, server_default="false"),
    Column("delivery_news", Boolean, nullable=False, server_default="true"),
    Column("locale", Text, nullable=False, server_default=""),
    Column("zone", Text, nullable=False, server_default=""),
    Column("by", Text, nullable=False),
    _moment("at"),
    _moment("sms_since", nullable=True),  # consent is shown by when it was given, and by whom it was noted
    CheckConstraint("main = 'email' OR (main = 'sms' AND sms)", name="main"),
)

# Addresses and numbers that nothing may go to. An e-mail address is kept in small letters.
contact_blocks = Table(
    "contact_blocks",
    metadata,
    Column("channel", Text, primary_key=True),
    Column("recipient", Text, primary_key=True),
    Column("reason", Text, nullable=False),  # bounced, stopped
    Column("why", Text, nullable=False),
    _moment("at"),
    CheckConstraint("reason IN ('bounced', 'stopped')", name="reason"),
)

# Up to which event everything is committed, so that a reader who goes on from there misses nothing.
event_horizon = Table(
    "event_horizon",
    metadata,
    Column("one", Boolean, primary_key=True, server_default="true"),
    Column("safe_seq", BigInteger, nullable=False),
    Column(
        "next_seq", BigInteger, nullable=False
    ),  # safe as soon as every transaction before next_xid has ended
    Column("next_xid", BigInteger, nullable=False),
    CheckConstraint("one", name="one"),
)

webhook_endpoints = Table(
    "webhook_endpoints",
    metadata,
    Column("endpoint_id", Text, primary_key=True),
    Column("url", Text, nullable=False),
    Column("kinds", ARRAY(Text), nullable=False, server_default="{}"),  # of events; none is all
    Column("secret", Text, nullable=False),
    Column("old_secret", Text),
    _moment("old_secret_until", nullable=True),
    Column("state", Text, nullable=False),
    Column("why", Text, nullable=False, server_default=""),
    Column("cursor", BigInteger, nullable=False),  # events up to here have been laid out for it
    Column("by", Text, nullable=False),
    _moment("created_at"),
    _moment("failing_since", nullable=True),
    _moment("disabled_at", nullable=True),
    CheckConstraint("state IN ('enabled', 'disabled', 'removed')", name="state"),
)

webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("endpoint_id", Text, ForeignKey("webhook_endpoints.endpoint_id"), primary_key=True),
    Column("seq", BigInteger, ForeignKey("order_events.seq"), primary_key=True),
    _order_id(),
    Column("state", Text, nullable=False),
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("status", Integer),  # what the endpoint last answered
    Column("why", Text, nullable=False, server_default=""),
    _moment("not_before"),
    _moment("lease_until", nullable=True),
    _moment("first_sent_at", nullable=True),
    _moment("ended_at", nullable=True),
    CheckConstraint("state IN ('pending', 'claimed', 'delivered', 'dead')", name="state"),
    Index(
        "ix_webhook_deliveries_open",
        "endpoint_id",
        "order_id",
        "seq",
        postgresql_where=text("state IN ('pending', 'claimed')"),
    ),
    Index("ix_webhook_deliveries_of_order", "order_id"),  # an erasure looks here
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("owner", Text, primary_key=True),
    Column("route", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("body_hash", Text, nullable=False),
    Column("status", Integer),  # null while the first request is still running
    Column("answer", JSONB),
    _moment("at"),
    Index("ix_idempotency_keys_of_order", text("coalesce(answer->>'order_id', answer->>'id')")),  # and here
)
