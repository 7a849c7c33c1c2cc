"""The order as the books have it now, for its workflow to go on from."""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, func, select

from fulfillment.domain.change import LineState, OrderState, ShipmentState
from fulfillment.domain.reservation import PlannedShipment
from fulfillment.domain.shipment import WaitsFor
from fulfillment.storage import cases, holds
from fulfillment.storage.coverage import covered, runs_out
from fulfillment.storage.tables import labels, order_lines, orders, parcels, payments, shipments, unit_ranges

_UNITS: Final = (
    select(func.coalesce(func.sum(unit_ranges.c.quantity), 0))
    .where(unit_ranges.c.shipment_id == shipments.c.shipment_id)
    .scalar_subquery()
)
_SHIPMENTS: Final = (
    select(
        *shipments.c["shipment_id", "location_id", "work_status", "waits_for", "value"],
        *shipments.c["outcome", "settled", "replaces"],
        parcels.c.parcel_id,
        *labels.c["carrier", "tracking_number"],
        _UNITS.label("units"),
        (shipments.c.value <= covered(shipments.c.shipment_id)).label("covered"),
        runs_out(shipments.c.shipment_id).label("expires_at"),
    )
    .outerjoin(parcels, parcels.c.shipment_id == shipments.c.shipment_id)
    .outerjoin(labels, (labels.c.parcel_id == parcels.c.parcel_id) & (labels.c.state == "used"))
    .where(shipments.c.order_id == bindparam("the_order"))
    .order_by(shipments.c.n)
)


_LINES: Final = (
    select(
        *order_lines.c["line_no", "sku", "unit_price"],
        func.coalesce(func.sum(unit_ranges.c.quantity), 0).label("quantity"),
    )
    .outerjoin(
        unit_ranges,
        (unit_ranges.c.order_id == order_lines.c.order_id)
        & (unit_ranges.c.line_no == order_lines.c.line_no)
        & unit_ranges.c.shipment_id.is_not(None),
    )
    .where(order_lines.c.order_id == bindparam("the_order"))
    .group_by(order_lines.c.order_id, order_lines.c.line_no)
    .order_by(order_lines.c.line_no)
)
_ATTEMPTS: Final = (
    select(func.coalesce(func.max(payments.c.attempt), 0))
    .where(payments.c.order_id == orders.c.order_id)
    .scalar_subquery()
)
_ORDER: Final = select(*orders.c["promise_date", "outcome"], _ATTEMPTS.label("attempts")).where(
    orders.c.order_id == bindparam("the_order")
)


def read(conn: Connection, order_id: str, *, now: datetime) -> OrderState:
    """Return the order's shipments, those that were cancelled too, its lines without cancelled units, holds and cases."""
    order = conn.execute(_ORDER, {"the_order": order_id}).one()
    rows = conn.execute(_SHIPMENTS, {"the_order": order_id, "now": now})
    return OrderState(
        order_id=order_id,
        shipments=tuple(_shipment(row) for row in rows),
        lines=tuple(LineState(**row) for row in conn.execute(_LINES, {"the_order": order_id}).mappings()),
        holds=holds.active(conn, order_id),
        promise_date=order.promise_date,
        cases=cases.of_order(conn, order_id),
        outcome=order.outcome,
        attempts=order.attempts,
    )


def _shipment(row: Row[*tuple[Any, ...]]) -> ShipmentState:
    return ShipmentState(
        plan=PlannedShipment(
            shipment_id=row.shipment_id,
            location_id=row.location_id,
            value=row.value,
            units=row.units,
            waits_for=WaitsFor(row.waits_for),
            replaces=row.replaces or "",
        ),
        work_status=row.work_status,
        covered=row.covered,
        expires_at=row.expires_at,
        parcel_id=row.parcel_id,
        outcome=row.outcome,
        settled=row.settled,
        carrier=row.carrier or "",
        tracking_number=row.tracking_number or "",
    )
