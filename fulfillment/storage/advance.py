"""What follows when an order may go on: it is confirmed, and what is paid and not held goes to the floor."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, Text, bindparam, case, func, literal, select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert

from fulfillment.domain.address import Address
from fulfillment.domain.events import EventKind, Happened
from fulfillment.domain.holds import SCOPE, Hold, HoldScope
from fulfillment.domain.inventory import Movement, ShortLine
from fulfillment.domain.notifications import Fact
from fulfillment.domain.order import UNPAID, OrderStatus
from fulfillment.domain.policy import Policy
from fulfillment.domain.promise import promised, ship_by
from fulfillment.domain.shipment import WaitsFor, WorkStatus
from fulfillment.storage import holds, journal, promises, transits
from fulfillment.storage.coverage import covered
from fulfillment.storage.lapsing import reclaim
from fulfillment.storage.locations import CALENDAR, calendar_from
from fulfillment.storage.movements import Place, move
from fulfillment.storage.orders import OUT_OF_STOCK, lock_order, short_lines
from fulfillment.storage.tables import (
    allocations,
    backorders,
    locations,
    order_lines,
    orders,
    reservations,
    shipments,
    skus,
    unit_ranges,
)

BLOCKING: Final = (HoldScope.RELEASE, HoldScope.BOTH)
CONFIRMED: Final = (
    OrderStatus.CONFIRMED,
    OrderStatus.IN_FULFILLMENT,
    OrderStatus.FULFILLED,
    OrderStatus.COMPLETED,
)
_GOING_ON: Final = (OrderStatus.CONFIRMED, OrderStatus.IN_FULFILLMENT)

_FROM_QUEUE: Final = (
    select(backorders.c.line_no).where(backorders.c.shipment_id == shipments.c.shipment_id).exists()
)
_WAITS_UNTIL: Final = (
    select(func.max(backorders.c.promise_date))
    .where(
        backorders.c.order_id == bindparam("the_order"),
        backorders.c.shipment_id == shipments.c.shipment_id,
        backorders.c.state == "waiting",
    )
    .scalar_subquery()
)
# A SKU's day may be moved by the shop while orders wait for it: it is never copied.
_SHIPS_FROM: Final = (
    select(func.max(skus.c.available_from))
    .select_from(unit_ranges)
    .join(
        order_lines,
        (order_lines.c.order_id == unit_ranges.c.order_id) & (order_lines.c.line_no == unit_ranges.c.line_no),
    )
    .join(skus, skus.c.sku == order_lines.c.sku)
    .where(unit_ranges.c.shipment_id == shipments.c.shipment_id)
    .scalar_subquery()
)
_SOME_GONE: Final = (
    select(unit_ranges.c.line_no)
    .where(unit_ranges.c.order_id == bindparam("the_order"), unit_ranges.c.cancelled_reason == OUT_OF_STOCK)
    .exists()
)
_PARTS: Final = (
    select(
        shipments.c.shipment_id,
        shipments.c.location_id,
        shipments.c.n,
        shipments.c.work_status,
        shipments.c.waits_for,
        locations.c.address["country"].astext.label("country"),
        *CALENDAR,
        _WAITS_UNTIL.label("waits_until"),
        (covered(shipments.c.shipment_id) >= shipments.c.value).label("paid"),
        _FROM_QUEUE.label("from_queue"),
        _SOME_GONE.label("some_gone"),
        _SHIPS_FROM.label("ships_from"),
        holds.any_active(bindparam("the_order")).label("held"),
    )
    .join(locations, locations.c.location_id == shipments.c.location_id)
    .where(
        shipments.c.order_id == bindparam("the_order"),
        shipments.c.work_status != WorkStatus.CANCELLED.value,
    )
    .order_by(shipments.c.n)
)
_CONSUME: Final = (
    update(reservations)
    .where(reservations.c.order_id == bindparam("the_order"), reservations.c.state == "active")
    .values(state="consumed")
    .returning(reservations.c.sku, reservations.c.location_id, reservations.c.quantity)
)
# What was reserved: units in the queue are allocated as they come, in this shipment or in another.
_UNITS: Final = (
    select(
        unit_ranges.c.shipment_id,
        order_lines.c.sku,
        func.sum(unit_ranges.c.quantity).label("units"),
    )
    .join(
        order_lines,
        (order_lines.c.order_id == unit_ranges.c.order_id) & (order_lines.c.line_no == unit_ranges.c.line_no),
    )
    .where(unit_ranges.c.order_id == bindparam("the_order"), unit_ranges.c.shipment_id.is_not(None))
    .group_by(unit_ranges.c.shipment_id, order_lines.c.sku)
    .subquery()
)
_QUEUED: Final = (
    select(func.coalesce(func.sum(backorders.c.quantity), 0))
    .where(
        backorders.c.shipment_id == _UNITS.c.shipment_id,
        backorders.c.sku == _UNITS.c.sku,
        backorders.c.state != "cancelled",
    )
    .scalar_subquery()
)
_ALLOCATE_NEW: Final = pg_insert(allocations)
_ALLOCATE: Final = _ALLOCATE_NEW.from_select(
    ["shipment_id", "sku", "location_id", "quantity", "state"],
    select(
        shipments.c.shipment_id,
        _UNITS.c.sku,
        shipments.c.location_id,
        _UNITS.c.units - _QUEUED,
        literal("active", Text),
    )
    .join(_UNITS, _UNITS.c.shipment_id == shipments.c.shipment_id)
    .where(_UNITS.c.units > _QUEUED),
).on_conflict_do_update(
    index_elements=["shipment_id", "sku"],
    # A claim that was let go keeps its size, and counts no more.
    set_={
        "state": "active",
        "quantity": _ALLOCATE_NEW.excluded.quantity
        + case((allocations.c.state == "active", allocations.c.quantity), else_=0),
    },
)
_ORDER: Final = update(orders).where(orders.c.order_id == bindparam("the_order"))
_WAIT: Final = update(shipments).where(shipments.c.shipment_id.in_(bindparam("those", expanding=True)))
_RELEASE: Final = _WAIT.where(shipments.c.work_status == WorkStatus.SCHEDULED.value).returning(
    shipments.c.shipment_id
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Advanced:
    """How far the order came: whether it stands confirmed, and what went to the floor just now."""

    confirmed: bool
    promise_date: date | None
    released: tuple[str, ...]
    holds: tuple[Hold, ...]


def advance(conn: Connection, order: Row[Any], *, now: datetime, policy: Policy) -> Advanced:
    """Confirm the locked order if it is paid, and release what may go. Harmless when nothing changed."""
    parts = conn.execute(_PARTS, {"the_order": order.order_id, "now": now}).all()
    if order.status in UNPAID and _may_confirm(parts) and not reclaim(conn, order, now=now, policy=policy):
        # Nothing is to be paid yet, but what was there has run out meanwhile and is there no more.
        return advance(conn, lock_order(conn, order.order_id), now=now, policy=policy)
    standing = holds.active(conn, order.order_id) if not parts or parts[0].held else ()
    status, promise_date = OrderStatus(order.status), order.promise_date
    happened: list[Happened] = []
    changes: dict[str, Any] = {}
    if status in UNPAID and _may_confirm(parts):
        first = _promise(conn, order, parts, now=now, policy=policy)
        status, promise_date = OrderStatus.CONFIRMED, first.day
        changes |= _confirm(conn, order, parts, first, happened, now=now)
    released: tuple[str, ...] = ()
    if status in _GOING_ON:
        released = _release(conn, parts, standing, happened, now=now, policy=policy)
        status = OrderStatus.IN_FULFILLMENT if released else status
    if status != order.status or changes:
        conn.execute(_ORDER, {"the_order": order.order_id, "status": status.value, **changes})
    journal.events(conn, order.order_id, happened, at=now)
    return Advanced(
        confirmed=status in CONFIRMED, promise_date=promise_date, released=released, holds=standing
    )


def expected(
    conn: Connection, order: Row[Any], those: Collection[str], *, now: datetime, policy: Policy
) -> date:
    """Return the day by which these shipments of the locked order should have reached the customer."""
    parts = conn.execute(_PARTS, {"the_order": order.order_id, "now": now}).all()
    chosen = [part for part in parts if part.shipment_id in those]
    return _promise(conn, order, chosen, now=now, policy=policy).day


def _may_confirm(parts: Sequence[Row[*tuple[Any, ...]]]) -> bool:
    # What came from the queue is paid when its stock has come, which may be weeks after the rest.
    return bool(parts) and all(part.paid for part in parts if not part.from_queue)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Promised:
    day: date
    because: str


def _promise(
    conn: Connection,
    order: Row[Any],
    parts: Sequence[Row[*tuple[Any, ...]]],
    *,
    now: datetime,
    policy: Policy,
) -> _Promised:
    """Return the day on which the last of these parts is there, and what says so."""
    return max(
        (_promise_of(conn, order, part, now=now, policy=policy) for part in parts), key=lambda made: made.day
    )


def _promise_of(
    conn: Connection, order: Row[Any], part: Row[*tuple[Any, ...]], *, now: datetime, policy: Policy
) -> _Promised:
    if part.waits_until:
        return _Promised(day=part.waits_until, because="when its stock should have come")
    to = Address(**order.ship_to)
    abroad = part.country != to.country
    transit = transits.usual_days(
        conn, part.location_id, to, order.service, abroad=abroad, now=now, policy=policy
    )
    day = promised(
        now=now,
        calendar=calendar_from(part),
        abroad=abroad,
        policy=policy,
        days=transit.days,
        not_before=part.ships_from,
    )
    return _Promised(day=day, because=f"{transit.days} working days on the way: {transit.because}")


def _confirm(
    conn: Connection,
    order: Row[Any],
    parts: Sequence[Row[*tuple[Any, ...]]],
    first: _Promised,
    happened: list[Happened],
    *,
    now: datetime,
) -> dict[str, Any]:
    """Turn the order's reservations into allocations and promise a day; return what changes of its row."""
    _allocate(conn, order, now=now)
    promise_date = first.day
    told = promises.Told(fact=Fact.CONFIRMED, subject=order.order_id, version=1)
    promises.first(conn, order.order_id, promise_date, because=first.because, told=told, now=now)
    is_short = any(part.from_queue or part.some_gone for part in parts)
    short = short_lines(conn, order.order_id) if is_short else ()
    _tell(conn, order, promise_date, short, now=now)
    text = f"Your order is confirmed. We expect it to reach you by {promise_date:%A, %B} {promise_date.day}."
    happened.append((EventKind.CONFIRMED, text, {"promise_date": promise_date.isoformat()}))
    return {
        "confirmed_at": now,
        "placed": "short" if short else "confirmed",
        "promise_first_date": promise_date,
        "promise_date": promise_date,
    }


def _allocate(conn: Connection, order: Row[Any], *, now: datetime) -> None:
    claimed = conn.execute(_CONSUME, {"the_order": order.order_id}).all()
    if claimed:
        conn.execute(_ALLOCATE, {"the_order": order.order_id})
        amounts: dict[Place, int] = {}
        for row in claimed:
            place = row.sku, row.location_id
            amounts[place] = amounts.get(place, 0) + row.quantity
        key, cause = f"{order.order_id}:allocate", order.order_id
        move(conn, Movement.ALLOCATED, amounts, key=key, cause=cause, by=order.channel, at=now)


def _tell(
    conn: Connection, order: Row[Any], promise_date: date, short: tuple[ShortLine, ...], *, now: datetime
) -> None:
    lines = [
        {"line_no": s.line_no, "sku": s.sku, "asked": s.asked, "got": s.got}
        | {"backordered": s.backordered, "cancelled": s.cancelled}
        for s in short
    ]
    data = {"promise_date": promise_date.isoformat(), "total": order.total, "currency": order.currency}
    facts = {
        Fact.CONFIRMED: lines,
        Fact.BACKORDERED: [line for line in lines if line["backordered"]],
        Fact.PART_CANCELLED: [line for line in lines if line["cancelled"]],
    }
    for fact, about in facts.items():
        if about or fact is Fact.CONFIRMED:
            told = data | {"short": about}
            journal.tell(conn, order.order_id, fact, subject=order.order_id, version=1, data=told, now=now)


def _release(
    conn: Connection,
    parts: Sequence[Row[*tuple[Any, ...]]],
    standing: tuple[Hold, ...],
    happened: list[Happened],
    *,
    now: datetime,
    policy: Policy,
) -> tuple[str, ...]:
    """Send to the floor what is paid and there and for sale, or note what keeps it."""
    ready = {
        part.shipment_id: part
        for part in parts
        if part.work_status == WorkStatus.SCHEDULED and part.paid and part.waits_for != WaitsFor.STOCK
    }
    if early := [shipment_id for shipment_id, part in ready.items() if _is_early(part, now)]:
        conn.execute(_WAIT, {"those": early, "waits_for": WaitsFor.DATE.value})
        ready = {shipment_id: part for shipment_id, part in ready.items() if shipment_id not in early}
    if not ready:
        return ()
    if any(SCOPE[hold.reason] in BLOCKING for hold in standing):
        conn.execute(_WAIT, {"those": list(ready), "waits_for": WaitsFor.HOLD.value})
        return ()
    values = {"work_status": WorkStatus.RELEASED.value, "waits_for": WaitsFor.NOTHING.value}
    # The floor's time begins here: what waited for stock, payment or a hold would be late on arrival.
    by_due = _by_due(ready, now=now, policy=policy)
    gone: list[str] = []
    for due, those in by_due.items():
        stamps = {"released_at": now, "ship_by": due}
        gone += conn.execute(_RELEASE, {"those": those, **values, **stamps}).scalars()
    released = tuple(sorted(gone, key=lambda shipment_id: ready[shipment_id].n))
    for shipment_id in released:
        text = f"Our warehouse is preparing shipment {ready[shipment_id].n}."
        happened.append((EventKind.RELEASED, text, {"shipment_id": shipment_id}))
    return released


def _is_early(part: Row[*tuple[Any, ...]], now: datetime) -> bool:
    return part.ships_from is not None and part.ships_from > calendar_from(part).today(now)


def _by_due(
    ready: Mapping[str, Row[*tuple[Any, ...]]], *, now: datetime, policy: Policy
) -> dict[datetime, list[str]]:
    """Group these shipments by when they must have left: each by the days of its own location."""
    by_due: dict[datetime, list[str]] = {}
    for shipment_id, part in ready.items():
        due = ship_by(now=now, calendar=calendar_from(part), policy=policy)
        by_due.setdefault(due, []).append(shipment_id)
    return by_due
