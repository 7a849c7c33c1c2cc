"""Stopping what has not left: its units are cancelled and every claim on stock is let go."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import BindParameter, Connection, Row, bindparam, insert, select, update

from fulfillment.domain.inventory import Movement
from fulfillment.domain.order import ENDED, OrderStatus
from fulfillment.domain.record import Stopped
from fulfillment.domain.shipment import BEFORE_HAND_OVER, WaitsFor, WorkStatus
from fulfillment.storage import claims, journal
from fulfillment.storage.movements import lock_levels, move
from fulfillment.storage.tables import (
    allocations,
    backorders,
    labels,
    order_lines,
    orders,
    parcels,
    reservations,
    shipments,
    unit_ranges,
)

_LEFT: Final = (WorkStatus.HANDED_OVER, WorkStatus.CLOSED)

_THOSE: Final[BindParameter[Any]] = bindparam("those", expanding=True)
_STOP: Final = (
    update(shipments)
    .where(
        shipments.c.order_id == bindparam("the_order"),
        shipments.c.work_status.in_([status.value for status in BEFORE_HAND_OVER]),
    )
    .values(work_status=WorkStatus.CANCELLED.value, waits_for=WaitsFor.NOTHING.value)
    .returning(shipments.c.shipment_id)
)
_SHIPMENTS: Final = (
    select(shipments.c.shipment_id, shipments.c.work_status)
    .where(shipments.c.order_id == bindparam("the_order"))
    .order_by(shipments.c.n)
)
_LABELED: Final = (
    select(parcels.c.parcel_id)
    .join(labels, labels.c.parcel_id == parcels.c.parcel_id)
    .join(shipments, shipments.c.shipment_id == parcels.c.shipment_id)
    .where(
        shipments.c.order_id == bindparam("the_order"),
        shipments.c.work_status == WorkStatus.CANCELLED.value,
        labels.c.state.in_(["buying", "live"]),
    )
    .order_by(parcels.c.n)
)
_CANCEL_UNITS: Final = (
    update(unit_ranges).where(unit_ranges.c.shipment_id.in_(_THOSE)).values(shipment_id=None)
)
_CANCEL_QUEUE: Final = (
    update(backorders)
    .where(backorders.c.shipment_id.in_(_THOSE), backorders.c.state.in_(["waiting", "filled"]))
    .values(state="cancelled")
)
_LET_ALLOCATIONS_GO: Final = (
    update(allocations)
    .where(allocations.c.shipment_id.in_(_THOSE), allocations.c.state == "active")
    .values(state="released")
    .returning(allocations)
)
_LET_RESERVATIONS_GO: Final = (
    update(reservations)
    .where(reservations.c.order_id == bindparam("the_order"), reservations.c.state == "active")
    .values(state="released")
    .returning(reservations)
)
_LINES: Final = select(order_lines.c.line_no, order_lines.c.quantity).where(
    order_lines.c.order_id == bindparam("the_order")
)
_ADD_UNITS: Final = insert(unit_ranges)
_ORDER: Final = update(orders).where(orders.c.order_id == bindparam("the_order"))


def stop(conn: Connection, order: Row[Any], *, reason: str, by: str, now: datetime) -> Stopped:
    """Stop every shipment of the locked order that has not left; a repeat says the same and changes nothing."""
    order_id = order.order_id
    ended = {"the_order": order_id, "cancelled_reason": reason, "closed_at": now}
    stopped = sorted(conn.execute(_STOP, ended).scalars())
    if stopped:
        conn.execute(_CANCEL_UNITS, {"those": stopped, "cancelled_reason": reason})
        conn.execute(_CANCEL_QUEUE, {"those": stopped})
    if order.status == OrderStatus.RECEIVED:
        _cancel_unclaimed(conn, order_id, reason)
    _let_go(conn, order_id, stopped, by=by, now=now)
    _note(conn, order_id, stopped, now=now)
    answer = _answer(conn, order_id)
    if not answer.left and OrderStatus(order.status) not in ENDED:
        conn.execute(_ORDER, {"the_order": order_id, "status": OrderStatus.CANCELLING.value})
    return answer


def _cancel_unclaimed(conn: Connection, order_id: str, reason: str) -> None:
    """Nothing was planned yet: the lines themselves are cancelled."""
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


def _let_go(conn: Connection, order_id: str, stopped: Sequence[str], *, by: str, now: datetime) -> None:
    allocated = conn.execute(_LET_ALLOCATIONS_GO, {"those": stopped}).all() if stopped else []
    reserved = conn.execute(_LET_RESERVATIONS_GO, {"the_order": order_id}).all()
    # Several movements follow, so their rows are locked beforehand in the order everybody keeps.
    lock_levels(conn, {(row.sku, row.location_id) for row in [*allocated, *reserved]})
    for shipment_id in stopped:
        amounts = {(r.sku, r.location_id): r.quantity for r in allocated if r.shipment_id == shipment_id}
        key = f"{shipment_id}:unship"
        move(conn, Movement.ALLOCATION_RELEASED, amounts, key=key, cause=shipment_id, by=by, at=now)
    claims.release(conn, reserved, by=by, now=now, cause=order_id)


def _note(conn: Connection, order_id: str, stopped: Sequence[str], *, now: datetime) -> None:
    texts = [(shipment_id, f"Shipment {shipment_id} was cancelled.") for shipment_id in stopped]
    happened = [("shipment_cancelled", text, {"shipment_id": shipment}) for shipment, text in texts]
    journal.events(conn, order_id, happened, at=now)


def _answer(conn: Connection, order_id: str) -> Stopped:
    parts = conn.execute(_SHIPMENTS, {"the_order": order_id}).all()
    return Stopped(
        stopped=tuple(part.shipment_id for part in parts if part.work_status == WorkStatus.CANCELLED),
        labeled_parcels=tuple(conn.execute(_LABELED, {"the_order": order_id}).scalars()),
        left=tuple(part.shipment_id for part in parts if part.work_status in _LEFT),
    )
