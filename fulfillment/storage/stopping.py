"""Stopping what has not left: its units are cancelled and every claim on stock is let go."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, insert, select, update

from fulfillment.domain.events import EventKind
from fulfillment.domain.order import ENDED, OrderStatus
from fulfillment.domain.record import Stopped
from fulfillment.domain.reservation import ReservationState
from fulfillment.domain.shipment import WorkStatus
from fulfillment.storage import claims, journal, units
from fulfillment.storage.tables import (
    labels,
    order_lines,
    orders,
    parcels,
    shipments,
    unit_ranges,
)

_LEFT: Final = (WorkStatus.HANDED_OVER, WorkStatus.CLOSED)

_SHIPMENTS: Final = (
    select(shipments.c.shipment_id, shipments.c.work_status)
    .where(shipments.c.order_id == bindparam("the_order"))
    .order_by(shipments.c.n)
)
_LABELED: Final = (
    select(parcels.c.parcel_id, parcels.c.shipment_id)
    .join(labels, labels.c.parcel_id == parcels.c.parcel_id)
    .join(shipments, shipments.c.shipment_id == parcels.c.shipment_id)
    .where(
        shipments.c.order_id == bindparam("the_order"),
        shipments.c.work_status == WorkStatus.CANCELLED.value,
        labels.c.state.in_(["buying", "live"]),
    )
    .order_by(parcels.c.n)
)
_LINES: Final = select(order_lines.c.line_no, order_lines.c.quantity).where(
    order_lines.c.order_id == bindparam("the_order")
)
_ADD_UNITS: Final = insert(unit_ranges)
_ORDER: Final = update(orders).where(orders.c.order_id == bindparam("the_order"))


def stop(
    conn: Connection,
    order: Row[Any],
    *,
    reason: str,
    by: str,
    now: datetime,
    only: Collection[str] = (),
) -> Stopped:
    """Stop every shipment of the locked order that has not left, or only those named in `only`.

    A repeat says the same and changes nothing. An order that loses its last shipment is cancelled.
    """
    order_id = order.order_id
    chosen = [unit for unit in units.not_left(conn, order_id) if not only or unit.shipment_id in only]
    key = f"{order_id}:stop"
    taken = units.cancel(conn, order_id, chosen, reason=reason, key=key, by=by, now=now)
    if order.status == OrderStatus.RECEIVED:
        _cancel_unplanned(conn, order_id, reason, by=by, now=now)
    _note(conn, order_id, taken.emptied, now=now)
    become_cancelling(conn, order)
    return _answer(conn, order_id, only)


def become_cancelling(conn: Connection, order: Row[Any]) -> bool:
    """Cancel the locked order if nothing of it will ever leave; return whether nothing will."""
    parts = conn.execute(_SHIPMENTS, {"the_order": order.order_id}).all()
    if any(part.work_status != WorkStatus.CANCELLED for part in parts):
        return False
    if OrderStatus(order.status) not in ENDED:
        conn.execute(_ORDER, {"the_order": order.order_id, "status": OrderStatus.CANCELLING.value})
    return True


def _cancel_unplanned(conn: Connection, order_id: str, reason: str, *, by: str, now: datetime) -> None:
    """Nothing was planned yet: the lines themselves are cancelled, and whatever is claimed for them is let go."""
    rows = [
        {
            "order_id": order_id,
            "line_no": line.line_no,
            "first_unit": 1,
            "quantity": line.quantity,
            "cancelled_reason": reason,
        }
        for line in conn.execute(_LINES, {"the_order": order_id})
    ]
    conn.execute(_ADD_UNITS, rows)
    claims.end(conn, order_id, ReservationState.RELEASED, by=by, now=now)


def _note(conn: Connection, order_id: str, stopped: Sequence[str], *, now: datetime) -> None:
    texts = [(shipment_id, f"Shipment {shipment_id} was cancelled.") for shipment_id in stopped]
    happened = [(EventKind.SHIPMENT_CANCELLED, text, {"shipment_id": shipment}) for shipment, text in texts]
    journal.events(conn, order_id, happened, at=now)


def _answer(conn: Connection, order_id: str, only: Collection[str]) -> Stopped:
    rows = conn.execute(_SHIPMENTS, {"the_order": order_id}).all()
    parts = [part for part in rows if not only or part.shipment_id in only]
    labeled = conn.execute(_LABELED, {"the_order": order_id}).all()
    return Stopped(
        stopped=tuple(part.shipment_id for part in parts if part.work_status == WorkStatus.CANCELLED),
        labeled_parcels=tuple(row.parcel_id for row in labeled if not only or row.shipment_id in only),
        left=tuple(part.shipment_id for part in parts if part.work_status in _LEFT),
    )
