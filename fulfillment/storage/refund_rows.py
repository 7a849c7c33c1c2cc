"""Refunds as rows: read, added, and what of an order's money can still be given back.

A refund reserves the balance the moment it is asked for: what is captured less every refund that was not
rejected is all that can still be given back.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, func, insert, select

from fulfillment.domain.order import UnitRange
from fulfillment.domain.refund import (
    Refund,
    RefundCause,
    RefundState,
    RequestRefund,
    UnknownRefund,
    refund_id,
)
from fulfillment.storage.tables import orders, payments, refund_units, refunds, unit_ranges

_S = RefundState
SYSTEM: Final = "system"

_THE_ORDER: Final = refunds.c.order_id == bindparam("the_order")
_STANDS: Final = refunds.c.state != _S.REJECTED.value
_THIS: Final = refunds.c.refund_id == bindparam("the_refund")
_READ: Final = select(refunds, orders.c.currency).join(orders, orders.c.order_id == refunds.c.order_id)
_ONE: Final = _READ.where(_THIS)
_OWNER: Final = select(refunds.c.order_id).where(_THIS)
_SAME: Final = _READ.where(_THE_ORDER, refunds.c.request_id == bindparam("the_request"))
_OF_ORDER: Final = _READ.where(_THE_ORDER).order_by(refunds.c.n)
_LAST_N: Final = select(func.coalesce(func.max(refunds.c.n), 0)).where(_THE_ORDER)
_ADD: Final = insert(refunds)
_ADD_UNITS: Final = insert(refund_units)
_CAPTURED: Final = (
    select(func.coalesce(func.sum(payments.c.captured), 0))
    .where(payments.c.order_id == bindparam("the_order"))
    .scalar_subquery()
)
_RESERVED: Final = (
    select(func.coalesce(func.sum(refunds.c.amount), 0)).where(_THE_ORDER, _STANDS).scalar_subquery()
)
_REFUNDABLE: Final = select(_CAPTURED - _RESERVED)
_UNITS_OF: Final = (
    select(refund_units)
    .where(refund_units.c.refund_id == bindparam("the_refund"))
    .order_by(refund_units.c.line_no, refund_units.c.first_unit)
)
_LIE_IN: Final = (
    select(unit_ranges)
    .where(unit_ranges.c.order_id == bindparam("the_order"))
    .order_by(unit_ranges.c.line_no, unit_ranges.c.first_unit)
)
_UNITS_BACK: Final = (
    select(refund_units, refunds.c.refund_id.label("refund"))
    .join(refunds, refunds.c.refund_id == refund_units.c.refund_id)
    .where(_THE_ORDER, _STANDS)
)


def find(conn: Connection, refund_id: str) -> Refund:
    """Return a refund.

    Raises:
        UnknownRefund: there is no such refund.
    """
    row = conn.execute(_ONE, {"the_refund": refund_id}).one_or_none()
    if row is None:
        raise UnknownRefund(refund_id)
    return refund_from(conn, row)


def by_request(conn: Connection, order_id: str, request_id: str) -> Refund | None:
    """Return the refund that a request made before, if it did."""
    row = conn.execute(_SAME, {"the_order": order_id, "the_request": request_id}).one_or_none()
    return None if row is None else refund_from(conn, row)


def of_order(conn: Connection, order_id: str) -> tuple[Refund, ...]:
    """Return an order's refunds, oldest first."""
    return tuple(refund_from(conn, row) for row in conn.execute(_OF_ORDER, {"the_order": order_id}))


def units_back(conn: Connection, order_id: str) -> set[tuple[int, int]]:
    """Return the units of an order that have a refund, by line and number."""
    return numbers(ranges(conn.execute(_UNITS_BACK, {"the_order": order_id})))


def refund_from(conn: Connection, row: Row[Any]) -> Refund:
    """Return a refund as the domain knows it."""
    return Refund(
        refund_id=row.refund_id,
        order_id=row.order_id,
        cause=RefundCause(row.cause),
        amount=row.amount,
        currency=row.currency,
        state=RefundState(row.state),
        by=row.by,
        approved_by=row.approved_by,
        at=row.at,
        shipment_id=row.shipment_id,
        units=ranges(conn.execute(_UNITS_OF, {"the_refund": row.refund_id})),
        note=row.note,
        why_approval=row.why_approval,
    )


def order_of(conn: Connection, refund_id: str) -> str:
    """Return the order of a refund.

    Raises:
        UnknownRefund: there is no such refund.
    """
    order_id: str | None = conn.execute(_OWNER, {"the_refund": refund_id}).scalar_one_or_none()
    if order_id is None:
        raise UnknownRefund(refund_id)
    return order_id


def refundable(conn: Connection, order_id: str) -> int:
    """Return what can still be given back for an order, in minor units."""
    amount: int = conn.execute(_REFUNDABLE, {"the_order": order_id}).scalar_one()
    return amount


def next_n(conn: Connection, order_id: str) -> int:
    """Return the number of the order's next refund."""
    last: int = conn.execute(_LAST_N, {"the_order": order_id}).scalar_one()
    return last + 1


def add(
    conn: Connection,
    order: Row[Any],
    request: RequestRefund,
    amount: int,
    *,
    why: str,
    now: datetime,
    shipment_id: str | None = None,
) -> str:
    """Add a refund and return its id; `why` is why a second person must allow it, empty where nobody has to."""
    n = next_n(conn, order.order_id)
    made = refund_id(order.order_id, n)
    row = {
        "refund_id": made,
        "order_id": order.order_id,
        "n": n,
        "shipment_id": shipment_id,
        "cause": request.cause.value,
        "amount": amount,
        "state": (_S.REQUESTED if why else _S.APPROVED).value,
        "by": request.by,
        "approved_by": None if why else SYSTEM,
        "request_id": request.request_id,
        "note": request.note,
        "why_approval": why,
        "at": now,
    }
    conn.execute(_ADD, row)
    if request.units:
        _add_units(conn, order.order_id, made, request.units)
    return made


def by_shipment(conn: Connection, refund_id: str) -> Mapping[str, tuple[UnitRange, ...]]:
    """Return the units of a refund by the shipment in which they were when it was asked for."""
    found: dict[str, list[UnitRange]] = {}
    for row in conn.execute(_UNITS_OF, {"the_refund": refund_id}):
        if row.shipment_id is not None:
            found.setdefault(row.shipment_id, []).extend(ranges([row]))
    return {shipment_id: tuple(units) for shipment_id, units in found.items()}


def _add_units(conn: Connection, order_id: str, refund_id: str, units: Sequence[UnitRange]) -> None:
    """Add units with the shipments in which they are; a range that lies in two becomes two."""
    rows = [
        {
            "refund_id": refund_id,
            "line_no": part.line_no,
            "first_unit": first,
            "quantity": last - first,
            "shipment_id": lies.shipment_id,
        }
        for lies in conn.execute(_LIE_IN, {"the_order": order_id})
        for part in units
        if part.line_no == lies.line_no
        and (first := max(part.first, lies.first_unit))
        < (last := min(part.first + part.count, lies.first_unit + lies.quantity))
    ]
    conn.execute(_ADD_UNITS, rows)


def numbers(units: Sequence[UnitRange]) -> set[tuple[int, int]]:
    """Return units one by one, by line and number."""
    return {(part.line_no, part.first + n) for part in units for n in range(part.count)}


def ranges(rows: Any) -> tuple[UnitRange, ...]:
    """Return rows of units as the domain knows them."""
    return tuple(UnitRange(line_no=row.line_no, first=row.first_unit, count=row.quantity) for row in rows)
