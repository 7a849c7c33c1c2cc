"""Fewer units of an order, or more lines: what leaves it, what comes to it, and taking back what was not paid."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, insert, select

from fulfillment.domain.change import (
    AddLines,
    CancelUnits,
    Changed,
    ChangeKind,
    ChangeRefused,
    ChangeState,
    LineQuantity,
    NewLine,
    UndoChange,
)
from fulfillment.domain.inventory import InsufficientStock, UnknownSku
from fulfillment.domain.notifications import Fact
from fulfillment.domain.order import OrderLine
from fulfillment.domain.policy import Policy
from fulfillment.domain.promise import Source
from fulfillment.domain.reservation import PlannedShipment
from fulfillment.domain.shipment import BEFORE_HAND_OVER, WaitsFor, WorkStatus
from fulfillment.storage import changes, delivery, promises, reservations, stopping, units
from fulfillment.storage.advance import advance, expected
from fulfillment.storage.changes import Made
from fulfillment.storage.orders import lines_of, lock_order, owe
from fulfillment.storage.promises import Told
from fulfillment.storage.tables import order_lines, shipments, skus, unit_ranges
from fulfillment.storage.units import Placed

_CATALOGUE: Final = select(*skus.c["sku", "name", "price", "archived"]).where(
    skus.c.sku.in_(bindparam("asked", expanding=True))
)
_ADD_LINES: Final = insert(order_lines)
_SHIPMENTS: Final = (
    select(shipments.c.n).where(shipments.c.order_id == bindparam("the_order")).order_by(shipments.c.n.desc())
)
_CANCELLED: Final = select(unit_ranges.c.quantity).where(
    unit_ranges.c.order_id == bindparam("the_order"),
    unit_ranges.c.line_no == bindparam("the_line"),
    unit_ranges.c.shipment_id.is_(None),
)
_LEFT_WITH: Final = select(unit_ranges.c.shipment_id, unit_ranges.c.quantity).where(
    unit_ranges.c.order_id == bindparam("the_order"), unit_ranges.c.line_no == bindparam("the_line")
)


# --- fewer ------------------------------------------------------------------------------------------


def cancel_units(conn: Connection, request: CancelUnits, *, now: datetime, policy: Policy) -> Changed:
    """Cancel so many units of these lines, or none of them when one has left. See `RecordStore.cancel_units`."""
    order_id, kind = request.order_id, ChangeKind.CANCEL_UNITS
    order = lock_order(conn, order_id)
    if (made := changes.repeated(conn, order_id, kind, request.request_id, now=now)) is not None:
        return made
    changes.check_open(order)
    changes.check_planned(order)
    lines = {line.line_no: line for line in lines_of(conn, order_id)}
    chosen = _choose(conn, order, lines, request.lines)
    change = changes.next_id(conn, order_id)
    taken = units.cancel(conn, order_id, chosen, reason=request.reason, key=change, by=request.by, now=now)
    delta = -(taken.worth + taken.fees)
    text = f"Cancelled: {_listed(chosen, lines)}.{changes.difference(delta, order.currency)}"
    # An order that is cancelled as a whole is told so when it closes.
    tell = not _go_on(conn, order, now=now, policy=policy)
    return changes.keep(
        conn,
        order,
        Made(
            change_id=change,
            kind=kind,
            text=text,
            delta=delta,
            by=request.by,
            request_id=request.request_id,
            reason=request.reason,
            stopped=taken.emptied,
            reworked=taken.reworked,
        ),
        tell=tell,
        now=now,
    )


def _choose(
    conn: Connection, order: Row[Any], lines: dict[int, OrderLine], asked: Sequence[LineQuantity]
) -> list[Placed]:
    wanted = _by_line(asked, lines, order.order_id)
    here = units.not_left(conn, order.order_id)
    chosen: list[Placed] = []
    for line_no, quantity in wanted.items():
        of_line = sorted((unit for unit in here if unit.line_no == line_no), key=_least_far)
        possible = sum(unit.count for unit in of_line)
        if possible < quantity:
            raise _too_many(conn, order, lines[line_no], quantity, possible)
        chosen += _first_of(of_line, quantity)
    return chosen


def _by_line(asked: Sequence[LineQuantity], lines: dict[int, OrderLine], order_id: str) -> Counter[int]:
    """Add up what is asked of each line: it makes no difference how it is said."""
    wanted: Counter[int] = Counter()
    for line in asked:
        if line.line_no not in lines:
            known = ", ".join(map(str, lines))
            raise ChangeRefused(f"{order_id} has no line {line.line_no}, only {known}")
        if line.quantity < 1:
            raise ChangeRefused(f"line {line.line_no}: at least one unit must be cancelled")
        wanted[line.line_no] += line.quantity
    if not wanted:
        raise ChangeRefused("name at least one line and how many of its units to cancel")
    return wanted


def _least_far(unit: Placed) -> tuple[int, int]:
    if unit.waits_for == WaitsFor.STOCK and unit.work_status == WorkStatus.SCHEDULED:
        return -1, unit.first
    return BEFORE_HAND_OVER.index(WorkStatus(unit.work_status)), unit.first


def _first_of(of_line: Sequence[Placed], quantity: int) -> Iterator[Placed]:
    for unit in of_line:
        if quantity == 0:
            return
        count = min(quantity, unit.count)
        quantity -= count
        yield unit.only(count)


def _too_many(conn: Connection, order: Row[Any], line: OrderLine, asked: int, possible: int) -> ChangeRefused:
    this = {"the_order": order.order_id, "the_line": line.line_no}
    why = f"{asked} × {line.name} cannot be cancelled, only {possible} of {line.quantity} still can"
    left_with: Counter[str] = Counter()
    for row in conn.execute(_LEFT_WITH, this):
        left_with[row.shipment_id] += row.quantity
    left = [
        f"{parcel} with {count} of them"
        for parcel in changes.gone(conn, order.order_id)
        if (count := left_with[parcel.shipment_id])
    ]
    if before := sum(conn.execute(_CANCELLED, this).scalars()):
        why += f"; {before} {'was' if before == 1 else 'were'} cancelled before"
    if left:
        why += f"; until it left it was possible: {'; '.join(left)}. Ask the carrier to redirect it, or return it"
    return ChangeRefused(f"{order.order_id} line {line.line_no}: {why}")


def _listed(chosen: Sequence[Placed], lines: dict[int, OrderLine]) -> str:
    counted: Counter[int] = Counter()
    for unit in chosen:
        counted[unit.line_no] += unit.count
    return ", ".join(f"{count} × {lines[line_no].name}" for line_no, count in sorted(counted.items()))


def _go_on(conn: Connection, order: Row[Any], *, now: datetime, policy: Policy) -> bool:
    """Let the order go on with what it has now; return whether it has nothing any more."""
    if stopping.become_cancelling(conn, order):
        return True
    advance(conn, lock_order(conn, order.order_id), now=now, policy=policy)
    return False


# --- more -------------------------------------------------------------------------------------------


def add_lines(conn: Connection, request: AddLines, *, now: datetime, policy: Policy) -> Changed:
    """Add lines and claim their stock, all or nothing. See `RecordStore.add_lines`."""
    order_id, kind = request.order_id, ChangeKind.ADD_LINES
    order = lock_order(conn, order_id)
    if (made := changes.repeated(conn, order_id, kind, request.request_id, now=now)) is not None:
        return made
    changes.check_open(order)
    changes.check_confirmed(order)
    if not units.not_left(conn, order_id):
        raise changes.everything_has_left(conn, order_id, "Place a new order.")
    lines = _new_lines(conn, order, request.lines)
    delta = sum(line.value for line in lines)
    added = _claim(conn, order, lines, now=now, policy=policy)
    owe(conn, order_id, delta)
    shipment_ids = tuple(shipment.shipment_id for shipment in added)
    change_id = changes.next_id(conn, order_id)
    later = _promise_later(conn, order, change_id, shipment_ids, now=now, policy=policy)
    _go_on(conn, order, now=now, policy=policy)
    named = ", ".join(f"{line.quantity} × {line.name}" for line in lines)
    text = f"Added: {named}.{changes.difference(delta, order.currency)}"
    if later:
        text += f" We now expect all of it to reach you by {later:%A, %B} {later.day}."
    return changes.keep(
        conn,
        order,
        Made(
            change_id=change_id,
            kind=kind,
            text=text,
            delta=delta,
            by=request.by,
            request_id=request.request_id,
            added=shipment_ids,
            before={"promised": order.promise_date.isoformat(), "now": later.isoformat()} if later else {},
        ),
        now=now,
    )


def _promise_later(
    conn: Connection,
    order: Row[Any],
    change_id: str,
    added: tuple[str, ...],
    *,
    now: datetime,
    policy: Policy,
) -> date | None:
    """Promise another day where what was added comes later than the rest; return it, None where it does not."""
    day = expected(conn, order, added, now=now, policy=policy)
    why, told = "more was added", Told(fact=Fact.CHANGED, subject=change_id, version=1)
    later = promises.revise_if_later(conn, order, day, source=Source.CHANGE, reason=why, told=told, now=now)
    return day if later else None


def _new_lines(conn: Connection, order: Row[Any], asked: Sequence[NewLine]) -> list[OrderLine]:
    if not asked:
        raise ChangeRefused("name at least one SKU to add")
    known = {row.sku: row for row in conn.execute(_CATALOGUE, {"asked": sorted({a.sku for a in asked})})}
    first = max(line.line_no for line in lines_of(conn, order.order_id)) + 1
    return [_new_line(n, line, known.get(line.sku)) for n, line in enumerate(asked, start=first)]


def _new_line(line_no: int, asked: NewLine, product: Row[*tuple[Any, ...]] | None) -> OrderLine:
    if product is None:
        raise UnknownSku(asked.sku)
    if product.archived:
        raise ChangeRefused(f"{product.name} ({asked.sku}) is not sold any more: choose something else")
    if asked.quantity < 1:
        raise ChangeRefused(f"{asked.sku}: at least one unit must be added")
    price = product.price if asked.unit_price is None else asked.unit_price
    if price < 0:
        raise ChangeRefused(f"{asked.sku}: a price must not be negative")
    return OrderLine(
        line_no=line_no, sku=asked.sku, name=product.name, quantity=asked.quantity, unit_price=price
    )


def _claim(
    conn: Connection, order: Row[Any], lines: Sequence[OrderLine], *, now: datetime, policy: Policy
) -> tuple[PlannedShipment, ...]:
    conn.execute(_ADD_LINES, [asdict(line) | {"order_id": order.order_id} for line in lines])
    last = conn.execute(_SHIPMENTS, {"the_order": order.order_id}).scalars().first() or 0
    try:
        return reservations.add(conn, order, lines, first_n=last + 1, now=now, policy=policy)
    except InsufficientStock as short:
        raise ChangeRefused(
            f"{short.sku}: {short.asked} asked, {short.available} available, and nothing more is coming; "
            "nothing was added: ask for what is there, or choose something else"
        ) from short


# --- taking back ------------------------------------------------------------------------------------


def undo_change(conn: Connection, request: UndoChange, *, now: datetime, policy: Policy) -> Changed:
    """Take back only what this change recorded as its own. See `RecordStore.undo_change`."""
    order = lock_order(conn, request.order_id)
    row = changes.find(conn, request.order_id, request.change_id)
    if row.state == ChangeState.UNDONE:
        return changes.answer_of_undo(conn, row, now=now)
    match ChangeKind(row.kind):
        case ChangeKind.ADD_LINES:
            return _take_lines_back(conn, order, row, request.reason, now=now, policy=policy)
        case ChangeKind.SERVICE:
            return delivery.take_service_back(conn, order, row, request.reason, now=now, policy=policy)
    raise ChangeRefused(f"{row.change_id} added nothing that is to be paid: make another change instead")


def _take_lines_back(
    conn: Connection, order: Row[Any], row: Row[Any], reason: str, *, now: datetime, policy: Policy
) -> Changed:
    """What went to the floor meanwhile was paid: it goes on."""
    added = [
        unit
        for unit in units.not_left(conn, order.order_id)
        if unit.shipment_id in row.added and unit.work_status == WorkStatus.SCHEDULED
    ]
    key = f"{row.change_id}:undo"
    taken = units.cancel(conn, order.order_id, added, reason=reason, key=key, by="system", now=now)
    if set(row.added) <= set(taken.emptied):
        _promise_as_before(conn, order, row, now=now)
    _go_on(conn, order, now=now, policy=policy)
    lines = {line.line_no: line for line in lines_of(conn, order.order_id)}
    return changes.undone(
        conn,
        row,
        text=f"Not added after all: {_listed(added, lines) or 'nothing'}.",
        delta=-(taken.worth + taken.fees),
        stopped=taken.emptied,
        reworked=taken.reworked,
        reason=reason,
        now=now,
    )


def _promise_as_before(conn: Connection, order: Row[Any], row: Row[Any], *, now: datetime) -> None:
    """Promise the day that stood before lines were added, unless another was promised since."""
    if row.before and order.promise_date == date.fromisoformat(row.before["now"]):
        day = date.fromisoformat(row.before["promised"])
        why, told = "nothing was added", Told(fact=Fact.CHANGED, subject=row.change_id, version=2)
        promises.revise(conn, order.order_id, day, source=Source.CHANGE, reason=why, told=told, now=now)
