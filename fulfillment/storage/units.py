"""Taking units out of shipments that have not left: they are cancelled, and exactly their claims are let go."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, case, delete, func, insert, select, update

from fulfillment.domain.inventory import Deed, Movement
from fulfillment.domain.order import OrderLine
from fulfillment.domain.shipment import BEFORE_HAND_OVER, WaitsFor, WorkStatus
from fulfillment.storage import backorders as queue
from fulfillment.storage import put_backs
from fulfillment.storage.movements import lock_levels, move
from fulfillment.storage.orders import lines_of
from fulfillment.storage.tables import (
    allocations,
    backorders,
    order_lines,
    orders,
    reservations,
    shipments,
    unit_ranges,
)

Claim = tuple[str, str, str]  # by which shipment, of which SKU, at which location

_W = WorkStatus
# Somebody has had its goods in hand: they are not what is asked for any more.
_BEGUN: Final = (_W.PICKING, _W.PICKED, _W.PACKED, _W.LABELED)

_OF_LINE: Final = (order_lines.c.order_id == unit_ranges.c.order_id) & (
    order_lines.c.line_no == unit_ranges.c.line_no
)
_HERE: Final = (
    select(
        unit_ranges.c.line_no,
        unit_ranges.c.first_unit.label("first"),
        unit_ranges.c.quantity.label("count"),
        unit_ranges.c.quantity.label("of"),
        order_lines.c.sku,
        *shipments.c["shipment_id", "location_id", "work_status", "waits_for"],
    )
    .join(shipments, shipments.c.shipment_id == unit_ranges.c.shipment_id)
    .join(order_lines, _OF_LINE)
    .where(
        unit_ranges.c.order_id == bindparam("the_order"),
        shipments.c.work_status.in_([status.value for status in BEFORE_HAND_OVER]),
    )
    .order_by(unit_ranges.c.line_no, unit_ranges.c.first_unit)
)
_RANGE: Final = update(unit_ranges).where(
    unit_ranges.c.order_id == bindparam("the_order"),
    unit_ranges.c.line_no == bindparam("the_line"),
    unit_ranges.c.first_unit == bindparam("the_first"),
)
_CANCEL_RANGE: Final = _RANGE.values(shipment_id=None, cancelled_reason=bindparam("why"))
_SHORTEN_RANGE: Final = _RANGE.values(first_unit=bindparam("from_unit"), quantity=bindparam("units_left"))
_ADD_RANGE: Final = insert(unit_ranges)
_REMOVE_RANGE: Final = delete(unit_ranges).where(
    unit_ranges.c.order_id == bindparam("the_order"),
    unit_ranges.c.line_no == bindparam("the_line"),
    unit_ranges.c.first_unit == bindparam("the_first"),
)

_QUEUED: Final = select(backorders).where(
    backorders.c.shipment_id.in_(bindparam("those", expanding=True)),
    backorders.c.state.in_(["waiting", "filled"]),
)
_REQUEUE: Final = update(backorders).where(
    backorders.c.shipment_id == bindparam("the_shipment"), backorders.c.line_no == bindparam("the_line")
)
_ALLOCATED: Final = select(allocations).where(
    allocations.c.shipment_id.in_(bindparam("those", expanding=True)), allocations.c.state == "active"
)
# A claim that ends keeps its size: what it was is part of the record.
_UNALLOCATE: Final = (
    update(allocations)
    .where(
        allocations.c.shipment_id == bindparam("the_shipment"),
        allocations.c.sku == bindparam("the_sku"),
        allocations.c.state == "active",
    )
    .values(
        state=case((allocations.c.quantity == bindparam("units"), "released"), else_="active"),
        quantity=case(
            (allocations.c.quantity == bindparam("units"), allocations.c.quantity),
            else_=allocations.c.quantity - bindparam("units"),
        ),
    )
)
_UNRESERVE: Final = (
    update(reservations)
    .where(
        reservations.c.order_id == bindparam("the_order"),
        reservations.c.sku == bindparam("the_sku"),
        reservations.c.location_id == bindparam("there"),
        reservations.c.state == "active",
    )
    .values(
        state=case((reservations.c.quantity == bindparam("units"), "released"), else_="active"),
        quantity=case(
            (reservations.c.quantity == bindparam("units"), reservations.c.quantity),
            else_=reservations.c.quantity - bindparam("units"),
        ),
    )
)
_LEFT_IN: Final = (
    select(
        *shipments.c["shipment_id", "work_status", "waits_for", "fee"],
        unit_ranges.c.line_no,
        unit_ranges.c.first_unit,
        unit_ranges.c.quantity,
    )
    .outerjoin(unit_ranges, unit_ranges.c.shipment_id == shipments.c.shipment_id)
    .where(shipments.c.shipment_id.in_(bindparam("those", expanding=True)))
)
_SHIPMENT: Final = update(shipments).where(shipments.c.shipment_id == bindparam("the_shipment"))
_EMPTY: Final = (
    update(shipments)
    .where(shipments.c.shipment_id.in_(bindparam("those", expanding=True)))
    .values(work_status=_W.CANCELLED.value, waits_for=WaitsFor.NOTHING.value)
)
_FEES: Final = select(func.coalesce(func.sum(shipments.c.fee), 0)).where(
    shipments.c.shipment_id.in_(bindparam("those", expanding=True))
)
_DROP_FEES: Final = (
    update(orders)
    .where(orders.c.order_id == bindparam("the_order"))
    .values(fees=orders.c.fees - bindparam("dropped"), total=orders.c.total - bindparam("dropped"))
)
_REWORK: Final = (
    update(shipments)
    .where(shipments.c.shipment_id.in_(bindparam("those", expanding=True)))
    .values(
        work_status=_W.RELEASED.value,
        picker=None,
        pick_until=None,
        picked_at=None,
        packed_at=None,
        labeled_at=None,
        reworks=shipments.c.reworks + 1,
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """Units side by side in one shipment: the first `count` of the `of` that lie there."""

    line_no: int
    first: int
    count: int
    of: int
    sku: str
    shipment_id: str
    location_id: str
    work_status: str
    waits_for: str

    def only(self, count: int) -> "Placed":
        """Return the first units of these."""
        return replace(self, count=count)


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What taking units out came to; amounts in minor units.

    `emptied` shipments lost their last unit and are cancelled, `reworked` ones go back to the start of the floor.
    """

    worth: int
    fees: int
    emptied: tuple[str, ...]
    reworked: tuple[str, ...]


def not_left(conn: Connection, order_id: str) -> tuple[Placed, ...]:
    """Return the units of the locked order that are in a shipment and have not left, by line and number."""
    rows = conn.execute(_HERE, {"the_order": order_id}).mappings()
    return tuple(Placed(**row) for row in rows)


def cancel(
    conn: Connection,
    order_id: str,
    units: Sequence[Placed],
    *,
    reason: str,
    key: str,
    by: str,
    now: datetime,
) -> Taken:
    """Cancel these units of the locked order and let their claims go; `key` names the operation, once.

    Who waits for the stock is served by the sweep: other orders are never locked from here.
    """
    if not units:
        return Taken(worth=0, fees=0, emptied=(), reworked=())
    _let_go(conn, order_id, units, key=key, by=by, now=now)
    _cancel_ranges(conn, order_id, units, reason)
    lines = {line.line_no: line for line in lines_of(conn, order_id)}
    emptied, reworked = _settle_shipments(conn, units, lines, reason=reason, now=now)
    return Taken(
        worth=sum(lines[unit.line_no].worth(first=unit.first, count=unit.count) for unit in units),
        fees=drop_fees(conn, order_id, emptied),
        emptied=emptied,
        reworked=reworked,
    )


def leave(
    conn: Connection, order_id: str, units: Sequence[Placed], kind: Movement, *, reason: str, deed: Deed
) -> tuple[str, ...]:
    """Take these units of the locked order out of their shipments, their claims by a movement of this kind.

    They are nowhere then, and the caller finds them another place in the same transaction. What is left goes on as it
    was; a shipment of which nothing is left is cancelled for this reason. Return those.
    """
    shelf = _out_of_the_queue(conn, order_id, units)
    for (shipment_id, sku, there), count in sorted(shelf.items()):
        conn.execute(_UNALLOCATE, {"the_shipment": shipment_id, "the_sku": sku, "units": count})
        key = f"{deed.key}:{shipment_id}"
        move(conn, kind, {(sku, there): count}, key=key, cause=shipment_id, by=deed.by, at=deed.at)
    for unit in units:
        _remove_range(conn, order_id, unit)
    lines = {line.line_no: line for line in lines_of(conn, order_id)}
    emptied, _ = _settle_shipments(conn, units, lines, reason=reason, now=deed.at, anew=False)
    drop_fees(conn, order_id, emptied)
    return emptied


def _remove_range(conn: Connection, order_id: str, unit: Placed) -> None:
    this = {"the_order": order_id, "the_line": unit.line_no, "the_first": unit.first}
    if unit.count == unit.of:
        conn.execute(_REMOVE_RANGE, this)
    else:
        left = {"from_unit": unit.first + unit.count, "units_left": unit.of - unit.count}
        conn.execute(_SHORTEN_RANGE, this | left)


def _cancel_ranges(conn: Connection, order_id: str, units: Sequence[Placed], reason: str) -> None:
    for unit in units:
        this = {"the_order": order_id, "the_line": unit.line_no, "the_first": unit.first}
        if unit.count == unit.of:
            conn.execute(_CANCEL_RANGE, this | {"why": reason})
            continue
        conn.execute(
            _SHORTEN_RANGE, this | {"from_unit": unit.first + unit.count, "units_left": unit.of - unit.count}
        )
        gone = {"order_id": order_id, "line_no": unit.line_no, "first_unit": unit.first}
        conn.execute(_ADD_RANGE, gone | {"quantity": unit.count, "cancelled_reason": reason})


# --- the claims of the units ------------------------------------------------------------------------


def _let_go(
    conn: Connection, order_id: str, units: Sequence[Placed], *, key: str, by: str, now: datetime
) -> None:
    shelf = _out_of_the_queue(conn, order_id, units)
    rows = conn.execute(_ALLOCATED, {"those": _shipments(units)})
    held = {(row.shipment_id, row.sku): row.quantity for row in rows}
    # Several movements follow, so their rows are locked beforehand in the order everybody keeps.
    lock_levels(conn, {(sku, there) for _, sku, there in shelf})
    for (shipment_id, sku, there), count in sorted(shelf.items()):
        # Before it is paid, what came by the queue is allocated, and what lay there from the first is reserved.
        allocated = min(count, held.get((shipment_id, sku), 0))
        of_it = {"the_shipment": shipment_id, "the_order": order_id, "the_sku": sku, "there": there}
        for claim, kind, part in (
            (_UNALLOCATE, Movement.ALLOCATION_RELEASED, allocated),
            (_UNRESERVE, Movement.RESERVATION_RELEASED, count - allocated),
        ):
            if part and conn.execute(claim, of_it | {"units": part}).rowcount:
                place, cause = (sku, there), shipment_id
                move(conn, kind, {place: part}, key=f"{key}:{cause}", cause=cause, by=by, at=now)


def _out_of_the_queue(conn: Connection, order_id: str, units: Sequence[Placed]) -> Counter[Claim]:
    """Take from the queue what still waits there first; return what is claimed of the shelf."""
    rows = conn.execute(_QUEUED, {"those": _shipments(units)})
    queued = {(row.shipment_id, row.line_no): row for row in rows}
    shelf: Counter[Claim] = Counter()
    asked: Counter[tuple[int, str, str, str]] = Counter()
    for unit in units:
        asked[unit.line_no, unit.shipment_id, unit.sku, unit.location_id] += unit.count
    for (line_no, shipment_id, sku, there), count in asked.items():
        if (row := queued.get((shipment_id, line_no))) is not None:
            count = _shorten(conn, row, count)
        shelf[shipment_id, sku, there] += count
    return +shelf


def _shorten(conn: Connection, row: Row[Any], count: int) -> int:
    """Ask for `count` units less of the next receipts; return how many of them are claimed of the shelf.

    Those may have come by the queue, or lain there from the first: where a count took a part of a shipment's
    units away, only that part waits.
    """
    waiting = min(count, row.quantity - row.filled)
    claimed = count - waiting
    came = min(row.filled, claimed)
    quantity, filled = row.quantity - waiting - came, row.filled - came
    state = "filled" if filled == quantity else "waiting"
    values = {"quantity": quantity, "filled": filled, "state": state} if quantity else {"state": "cancelled"}
    conn.execute(_REQUEUE, {"the_shipment": row.shipment_id, "the_line": row.line_no, **values})
    return int(claimed)


def _shipments(units: Sequence[Placed]) -> list[str]:
    return sorted({unit.shipment_id for unit in units})


# --- what the shipments become ----------------------------------------------------------------------


def _settle_shipments(
    conn: Connection,
    units: Sequence[Placed],
    lines: Mapping[int, OrderLine],
    *,
    reason: str,
    now: datetime,
    anew: bool = True,
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Give the shipments the value of what is left in them; return those without units and those begun anew.

    Where the floor does not begin `anew` it goes on with what is left.
    """
    rows = conn.execute(_LEFT_IN, {"those": _shipments(units)}).all()
    emptied = tuple(row.shipment_id for row in rows if row.line_no is None)
    if anew:
        put_backs.ask(conn, _shipments(units), why=reason, now=now)
    if emptied:
        conn.execute(_EMPTY, {"those": emptied, "cancelled_reason": reason, "closed_at": now})
    worth: Counter[str] = Counter()
    for row in rows:
        if row.line_no is not None:
            worth[row.shipment_id] += lines[row.line_no].worth(first=row.first_unit, count=row.quantity)
    standing = {row.shipment_id: row for row in rows if row.line_no is not None}
    for shipment_id, row in standing.items():
        _revalue(conn, row, worth[shipment_id] + row.fee)
    queue.announce(conn, set(standing), now=now)
    begun = tuple(sorted(s for s, row in standing.items() if anew and row.work_status in _BEGUN))
    if begun:
        conn.execute(_REWORK, {"those": begun})
    return tuple(sorted(emptied)), begun


def _revalue(conn: Connection, row: Row[*tuple[Any, ...]], value: int) -> None:
    free = value == 0 and row.waits_for == WaitsFor.PAYMENT
    waits_for = WaitsFor.NOTHING.value if free else row.waits_for
    conn.execute(_SHIPMENT, {"the_shipment": row.shipment_id, "value": value, "waits_for": waits_for})


def drop_fees(conn: Connection, order_id: str, emptied: Collection[str]) -> int:
    """A fee goes with the shipment it was asked for."""
    dropped: int = conn.execute(_FEES, {"those": list(emptied)}).scalar_one() if emptied else 0
    if dropped:
        conn.execute(_DROP_FEES, {"the_order": order_id, "dropped": dropped})
    return dropped
