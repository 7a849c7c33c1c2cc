"""Claiming stock for an order: what is there is reserved, what may wait is queued, the rest is cancelled.

Three steps, each a round of its own: read what is wanted, claim it (`claims.py`), write the plan of what was truly
claimed. The reservation is the record: after a crash in between, a repeat finds it and writes the same plan.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, func, insert, select, union, update

from fulfillment.domain.errors import UnknownOrder
from fulfillment.domain.events import EventKind
from fulfillment.domain.inventory import InsufficientStock, Level, Movement, ShortLine
from fulfillment.domain.notifications import Fact
from fulfillment.domain.order import ENDED, UNPAID, Order, OrderLine, OrderStatus, Outcome, UnitRange
from fulfillment.domain.policy import Policy, Shortage, Substitution
from fulfillment.domain.promise import ship_by
from fulfillment.domain.reservation import PlannedShipment, Reservation, ReservationState, claim_key
from fulfillment.domain.shipment import WaitsFor, WorkStatus, shipment_id
from fulfillment.domain.sourcing import Sourced, shipped, shortages_of, source
from fulfillment.domain.substitution import SUBSTITUTED, without
from fulfillment.storage import (
    claims,
    equals,
    holds,
    journal,
    locks,
    shortages,
    sourcing,
    sourcing_decisions,
    substitutes,
)
from fulfillment.storage.advance import CONFIRMED
from fulfillment.storage.claims import Ask, Claimed
from fulfillment.storage.equals import Taken
from fulfillment.storage.movements import Place as Shelf
from fulfillment.storage.movements import move
from fulfillment.storage.orders import (
    OUT_OF_STOCK,
    line_from,
    lines_of,
    lock_order,
    order_from,
    short_lines,
)
from fulfillment.storage.sourcing import Place, Terms
from fulfillment.storage.tables import (
    allocations,
    backorders,
    order_lines,
    orders,
    reservations,
    shipments,
    skus,
    unit_ranges,
)
from fulfillment.storage.tables import sourcing_decisions as decisions

_CLAIMS_ENDED: Final = (
    select(func.count(reservations.c.operation_key.distinct()))
    .where(
        reservations.c.order_id == orders.c.order_id,
        reservations.c.state != ReservationState.ACTIVE.value,
    )
    .scalar_subquery()
)
_READ: Final = select(orders, _CLAIMS_ENDED.label("claims_ended")).where(
    orders.c.order_id == bindparam("the_order")
)
_LINES: Final = (
    select(
        order_lines,
        *skus.c["backorder_limit", "available_from"],
        (skus.c.backorderable & ~skus.c.archived).label("may_wait"),
        holds.any_active(bindparam("the_order")).label("held"),
    )
    .join(skus, skus.c.sku == order_lines.c.sku)
    .where(order_lines.c.order_id == bindparam("the_order"))
    .order_by(order_lines.c.line_no)
)
# One that found nothing claimed nothing: its decision alone is on record.
_KEYS: Final = union(
    *(
        select(of.c.operation_key).where(of.c.order_id == bindparam("the_order"))
        for of in (reservations, decisions)
    )
)
_CLAIMS_MADE: Final = select(func.count()).select_from(_KEYS.subquery())
_LAST_N: Final = select(func.max(shipments.c.n)).where(shipments.c.order_id == bindparam("the_order"))
_PLAN: Final = insert(shipments)
_QUEUE: Final = insert(backorders)
_PLACE_UNITS: Final = insert(unit_ranges)
_ALLOCATE: Final = insert(allocations)
_CONSUME: Final = (
    update(reservations)
    .where(reservations.c.operation_key == bindparam("the_key"))
    .values(state=ReservationState.CONSUMED.value)
)
_BECOME: Final = (
    update(orders)
    .where(orders.c.order_id == bindparam("the_order"), orders.c.status == OrderStatus.RECEIVED.value)
    .returning(orders.c.order_id)
)
_PLANNED: Final = (
    select(
        shipments.c.shipment_id,
        shipments.c.location_id,
        shipments.c.value,
        shipments.c.waits_for,
        func.coalesce(func.sum(unit_ranges.c.quantity), 0).label("units"),
    )
    .outerjoin(unit_ranges, unit_ranges.c.shipment_id == shipments.c.shipment_id)
    .where(
        shipments.c.order_id == bindparam("the_order"),
        shipments.c.work_status != WorkStatus.CANCELLED.value,
    )
    .group_by(shipments.c.shipment_id)
    .order_by(shipments.c.n)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """An order whose stock is not claimed yet; `may_wait` has how units of a SKU may wait, and `room` how many more.

    `ahead` are the SKUs that are sold ahead, with the day from which they may leave.
    """

    order: Order
    may_wait: Mapping[str, Terms]
    room: Mapping[str, int | None]
    places: tuple[Place, ...]
    key: str
    ahead: Mapping[str, date]
    held: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """What became of units that were claimed anew; the `gone` ones are found nowhere and may not wait."""

    planned: tuple[PlannedShipment, ...]
    waiting: tuple[PlannedShipment, ...]
    gone: tuple[UnitRange, ...]
    replaced: int = 0  # of the planned ones are equals


@dataclass(frozen=True, slots=True, kw_only=True)
class Instead:
    """Equals that were claimed for units of an order, the order with their lines, and their new shipments."""

    taken: Taken
    order: Order
    added: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Filled:
    """What is sent, with the equals that were claimed for a part of what is not there."""

    want: Wanted
    sourced: Sourced
    taken: Taken | None = None

    @property
    def replaced(self) -> tuple[UnitRange, ...]:
        """The units for which equals are sent."""
        return tuple(one.units for one in self.taken.lines) if self.taken else ()

    @property
    def claims(self) -> dict[str, Mapping[Shelf, int]]:
        """What was claimed for them, by the claim's key."""
        return {self.taken.key: self.taken.amounts} if self.taken else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Planned:
    """A shipment to be and the units in it."""

    n: int
    shipment: PlannedShipment
    units: tuple[UnitRange, ...]


def wanted(conn: Connection, order_id: str, *, now: datetime, policy: Policy) -> Wanted | None:
    """Read what the order asks for, without a lock; None when its stock was claimed and planned before.

    Raises:
        UnknownOrder: there is no such order.
    """
    row = conn.execute(_READ, {"the_order": order_id}).one_or_none()
    if row is None:
        raise UnknownOrder(order_id)
    if row.status != OrderStatus.RECEIVED:
        return None
    found = conn.execute(_LINES, {"the_order": order_id}).all()
    terms = {line.sku: _terms(line) for line in found if line.may_wait}
    terms = sourcing.waitable(terms, now=now, policy=policy)
    return Wanted(
        order=order_from(row, [line_from(line) for line in found]),
        may_wait=terms,
        room=_room(conn, terms),
        places=sourcing.places(conn),
        key=claim_key(order_id, row.claims_ended + 1),
        ahead=sourcing.sold_ahead({line.sku: line.available_from for line in found}, now=now),
        held=found[0].held,
    )


def ask(want: Wanted, *, now: datetime, policy: Policy) -> Ask:
    """Return the claim of what is there of all the order's lines."""
    order = want.order
    return Ask(
        key=want.key,
        order_id=order.order_id,
        skus=frozenset(line.sku for line in order.lines),
        plan=lambda levels: _amounts(order, _source(want, levels, policy)),
        expires_at=now + policy.reservation_ttl,
        by=order.channel,
        at=now,
    )


def plan(conn: Connection, want: Wanted, claimed: Claimed, *, now: datetime, policy: Policy) -> Reservation:
    """Plan the shipments of what was claimed, in this transaction, and say what becomes of the rest.

    An order that was stopped meanwhile gives its claim back; one that another worker planned is read.
    """
    order = want.order
    want = _counted_again(conn, want, claimed, policy=policy)
    want = _offered(conn, want, claimed, now=now, policy=policy)
    whole = _with_equals(conn, want, _shipped(want, claimed, policy), now=now, policy=policy)
    sourced, filled = whole.sourced, whole.want
    planned = _plan(filled, sourced.from_location, first_n=1)
    waiting = _waiting(conn, filled, sourced, n=len(planned) + 1, policy=policy)
    if not _become(conn, order, sourced, shipped=bool(planned or waiting), now=now):
        _give_back_if_stopped(conn, order, now=now)
        return stored(conn, order.order_id)
    _keep_decision(conn, want, claimed, now=now, policy=policy)
    _write(conn, want, [*planned, *waiting], now=now, policy=policy)
    until = _queue(conn, filled, waiting, now=now, policy=policy)
    _place_units(conn, order.order_id, [*planned, *waiting], sourced.cancelled, whole.replaced)
    _tell_replaced(conn, whole, [*planned, *waiting], now=now)
    held = _hold_back(conn, want, until, now=now, policy=policy)
    return Reservation(
        order_id=order.order_id,
        shipments=tuple(part.shipment for part in [*planned, *waiting]),
        short=sourced.short,
        holds=holds.active(conn, order.order_id) if held or want.held else (),
    )


def add(
    conn: Connection,
    order: Row[Any],
    lines: Sequence[OrderLine],
    *,
    first_n: int,
    now: datetime,
    policy: Policy,
    may_wait: bool = True,
) -> tuple[PlannedShipment, ...]:
    """Claim lines that were added to the locked order and plan their shipments, numbered from `first_n`.

    Without `may_wait` everything must be there now. The goods of an order that is confirmed are allocated at once:
    they wait for their money, as the shipment does.

    Raises:
        InsufficientStock: something can neither ship nor wait; nothing was written.
    """
    want = _added(conn, order, lines, now=now, policy=policy, may_wait=may_wait)
    claimed = _claim_added(conn, want, now=now, policy=policy)
    want = _counted_again(conn, want, claimed, policy=policy)
    sourced = _shipped(want, claimed, policy)
    if gone := sourced.cancelled:
        line = want.order.line(gone[0].line_no)
        raise InsufficientStock(line.sku, line.quantity, line.quantity - gone[0].count)
    planned = _plan(want, sourced.from_location, first_n=first_n)
    waiting = _waiting(conn, want, sourced, n=first_n + len(planned), policy=policy)
    _keep_decision(conn, want, claimed, now=now, policy=policy)
    _write(conn, want, [*planned, *waiting], now=now, policy=policy)
    if claimed.amounts and order.status not in UNPAID:
        _allocate(conn, want, {want.key: claimed.amounts}, planned, now=now)
    until = _queue(conn, want, waiting, now=now, policy=policy)
    _place_units(conn, order.order_id, [*planned, *waiting])
    _hold_back(conn, want, until, now=now, policy=policy)
    return tuple(part.shipment for part in [*planned, *waiting])


def again(
    conn: Connection,
    order: Row[Any],
    lost: Sequence[UnitRange],
    *,
    not_from: Collection[str] = (),
    now: datetime,
    policy: Policy,
) -> Again:
    """Claim units of the locked, confirmed order anew that have left their shipment, and plan their new shipments.

    What no location has but those in `not_from` is replaced by listed equals where the policy does so by itself. The
    rest waits, or is returned as `gone` where it may not: it is nowhere yet.
    """
    real = order_from(order, lines_of(conn, order.order_id))
    numbers = _Numbers(lost)
    want = _added(conn, order, numbers.lines(real), now=now, policy=policy, may_wait=True)
    asked = replace(ask(want, now=now, policy=policy), plan=_elsewhere(want, not_from, policy))
    (claimed,) = claims.judge(conn, [asked])
    if isinstance(claimed, Exception):
        raise claimed
    want = _counted_again(conn, want, claimed, policy=policy)
    want = _offered(conn, want, claimed, now=now, policy=policy)
    sourced = numbers.real(_shipped(want, claimed, policy))
    whole = _with_equals(conn, replace(want, order=real), sourced, now=now, policy=policy)
    want, sourced = whole.want, whole.sourced
    first_n = conn.execute(_LAST_N, {"the_order": order.order_id}).scalar_one() + 1
    planned = _plan(want, sourced.from_location, first_n=first_n)
    waiting = _waiting(conn, want, sourced, n=first_n + len(planned), policy=policy)
    _write(conn, want, [*planned, *waiting], now=now, policy=policy)
    _allocate(conn, want, {want.key: claimed.amounts} | whole.claims, planned, now=now)
    until = _queue(conn, want, waiting, now=now, policy=policy)
    _place_units(conn, order.order_id, [*planned, *waiting], (), whole.replaced)
    _tell_replaced(conn, whole, [*planned, *waiting], now=now)
    _hold_back(conn, want, until, now=now, policy=policy)
    return Again(
        planned=tuple(part.shipment for part in planned),
        waiting=tuple(part.shipment for part in waiting),
        gone=sourced.cancelled,
        replaced=sum(units.count for units in whole.replaced),
    )


def instead(
    conn: Connection, order: Row[Any], missing: Sequence[UnitRange], *, now: datetime, policy: Policy
) -> Instead | None:
    """Claim equals for units of the locked, confirmed order and plan their shipments; None where there are none.

    The caller cancels the units they stand for, and writes the change down.
    """
    real = order_from(order, lines_of(conn, order.order_id))
    want = _added(conn, order, (), now=now, policy=policy, may_wait=False)
    want = replace(want, order=real)
    taken = equals.claim(conn, real, missing, key=want.key, places=want.places, now=now, policy=policy)
    if taken is None:
        return None
    equals.add_lines(conn, order.order_id, taken)
    want = _with_lines(want, taken)
    first_n = conn.execute(_LAST_N, {"the_order": order.order_id}).scalar_one() + 1
    planned = _plan(want, taken.sourced.from_location, first_n=first_n)
    _write(conn, want, planned, now=now, policy=policy)
    _allocate(conn, want, {taken.key: taken.amounts}, planned, now=now)
    _place_units(conn, order.order_id, planned)
    return Instead(taken=taken, order=want.order, added=tuple(part.shipment.shipment_id for part in planned))


def _offered(conn: Connection, want: Wanted, claimed: Claimed, *, now: datetime, policy: Policy) -> Wanted:
    """Let units that may not wait do so while their customer is asked whether an equal is as good."""
    if policy.substitution is not Substitution.CONSENT:
        return want
    gone = {want.order.line(units.line_no).sku for units in _shipped(want, claimed, policy).cancelled}
    asked = substitutes.offered(conn, gone, now=now)
    terms, room = dict.fromkeys(asked, Terms()), dict.fromkeys(asked)
    return replace(want, may_wait={**want.may_wait, **terms}, room={**want.room, **room})


def _with_equals(
    conn: Connection, want: Wanted, sourced: Sourced, *, now: datetime, policy: Policy
) -> _Filled:
    """Claim listed equals for what is not there, where the policy does so by itself."""
    short = [
        units
        for units in (*sourced.backordered, *sourced.cancelled)
        if want.order.line(units.line_no).sku not in want.ahead
    ]
    if policy.substitution is not Substitution.AUTOMATIC or not short:
        return _Filled(want=want, sourced=sourced)
    status = OrderStatus(lock_order(conn, want.order.order_id).status)
    if status not in (OrderStatus.RECEIVED, *CONFIRMED):
        return _Filled(want=want, sourced=sourced)
    # Before it is paid, an order has one claim on a SKU at a place.
    unless = {line.sku for line in want.order.lines} if status is OrderStatus.RECEIVED else set[str]()
    taken = equals.claim(
        conn,
        want.order,
        short,
        unless=unless,
        key=f"{want.key}:instead",
        places=want.places,
        now=now,
        policy=policy,
    )
    if taken is None:
        return _Filled(want=want, sourced=sourced)
    equals.add_lines(conn, want.order.order_id, taken)
    return _Filled(want=_with_lines(want, taken), sourced=_joined(want, sourced, taken), taken=taken)


def _with_lines(want: Wanted, taken: Taken) -> Wanted:
    lines = (*want.order.lines, *(one.line for one in taken.lines))
    return replace(want, order=replace(want.order, lines=lines))


def _joined(want: Wanted, sourced: Sourced, taken: Taken) -> Sourced:
    """Return what is sent with the equals: what lies at the same location leaves together."""
    there = dict(sourced.from_location)
    for location_id, units in taken.sourced.from_location.items():
        there[location_id] = (*there.get(location_id, ()), *units)
    waiting, gone = without(sourced.backordered, taken.lines), without(sourced.cancelled, taken.lines)
    return replace(
        sourced,
        from_location=there,
        backordered=waiting,
        cancelled=gone,
        short=tuple(shortages_of(want.order.lines, waiting, gone)),
    )


def _tell_replaced(conn: Connection, whole: _Filled, planned: Sequence[_Planned], *, now: datetime) -> None:
    if whole.taken is None:
        return
    order, ours = whole.want.order, {one.line.line_no for one in whole.taken.lines}
    added = tuple(
        part.shipment.shipment_id for part in planned if ours & {units.line_no for units in part.units}
    )
    worth = order.worth(whole.replaced)
    equals.keep(conn, order, whole.taken, added=added, instead_of=worth, by=shortages.BY_POLICY, now=now)


def _elsewhere(want: Wanted, not_from: Collection[str], policy: Policy) -> claims.Plan:
    return lambda levels: _amounts(
        want.order, _source(want, [level for level in levels if level.location_id not in not_from], policy)
    )


class _Numbers:
    """Units of lines as a line of their own, numbered from one, and back: sourcing knows whole lines only."""

    def __init__(self, lost: Sequence[UnitRange]) -> None:
        self._units: dict[int, list[int]] = {}
        for some in lost:
            self._units.setdefault(some.line_no, []).extend(range(some.first, some.first + some.count))

    def lines(self, order: Order) -> list[OrderLine]:
        """Return lines of just these units; what they cost is near enough to choose a location by."""
        return [
            replace(order.line(line_no), quantity=len(units), discount=0, tax=0, shipping_share=0)
            for line_no, units in self._units.items()
        ]

    def real(self, sourced: Sourced) -> Sourced:
        """Return the answer in the numbers the units truly have."""
        return replace(
            sourced,
            from_location={place: self._renumbered(some) for place, some in sourced.from_location.items()},
            backordered=self._renumbered(sourced.backordered),
            cancelled=self._renumbered(sourced.cancelled),
        )

    def _renumbered(self, ranges: Sequence[UnitRange]) -> tuple[UnitRange, ...]:
        found: list[UnitRange] = []
        for some in ranges:
            for unit in self._units[some.line_no][some.first - 1 : some.first - 1 + some.count]:
                last = found[-1] if found else None
                if last and last.line_no == some.line_no and last.first + last.count == unit:
                    found[-1] = replace(last, count=last.count + 1)
                else:
                    found.append(UnitRange(line_no=some.line_no, first=unit, count=1))
        return tuple(found)


def stored(conn: Connection, order_id: str) -> Reservation:
    """Return the plan as the books have it now."""
    return Reservation(
        order_id=order_id,
        shipments=tuple(_as_planned(row) for row in conn.execute(_PLANNED, {"the_order": order_id})),
        short=short_lines(conn, order_id),
        holds=holds.active(conn, order_id),
    )


def _source(want: Wanted, levels: Sequence[Level], policy: Policy) -> Sourced:
    return source(
        want.order.lines,
        levels=levels,
        sites=[place.site for place in want.places],
        ship_to=want.order.ship_to,
        may_wait=want.room,
        policy=policy,
    )


def _shipped(want: Wanted, claimed: Claimed, policy: Policy) -> Sourced:
    return shipped(
        want.order.lines,
        claimed.amounts,
        sites=[place.site for place in want.places],
        ship_to=want.order.ship_to,
        may_wait=want.room,
        policy=policy,
    )


def _keep_decision(
    conn: Connection, want: Wanted, claimed: Claimed, *, now: datetime, policy: Policy
) -> None:
    """Keep why the claim is where it is; of one that was made before a crash nobody knows any more what was there."""
    if not claimed.repeated:
        sourcing_decisions.keep(
            conn,
            want.order,
            claimed.available,
            key=want.key,
            sites=[place.site for place in want.places],
            may_wait=want.room,
            now=now,
            policy=policy,
        )


def _terms(row: Row[Any]) -> Terms:
    return Terms(limit=row.backorder_limit, available_from=row.available_from)


def _room(conn: Connection, terms: Mapping[str, Terms]) -> dict[str, int | None]:
    """Return how many units more may wait. Those who wait are counted only where there is a limit."""
    limited = {sku for sku, its in terms.items() if its.limit is not None}
    owed = sourcing.levels(conn, limited)[1] if limited else {}
    return sourcing.rooms(terms, owed)


def _counted_again(conn: Connection, want: Wanted, claimed: Claimed, *, policy: Policy) -> Wanted:
    """Count who waits once more, one order after the other, where this one would wait and only so many may."""
    waits = {want.order.line(units.line_no).sku for units in _shipped(want, claimed, policy).backordered}
    limited = sorted(sku for sku in waits if want.may_wait[sku].limit is not None)
    if not limited:
        return want
    lock_order(conn, want.order.order_id)  # before the queue, as everybody does
    for sku in limited:
        locks.named(conn, f"backorders:{sku}")
    return replace(want, room=_room(conn, want.may_wait))


def _added(
    conn: Connection,
    order: Row[Any],
    lines: Sequence[OrderLine],
    *,
    now: datetime,
    policy: Policy,
    may_wait: bool,
) -> Wanted:
    asked = {line.sku for line in lines}
    made: int = conn.execute(_CLAIMS_MADE, {"the_order": order.order_id}).scalar_one()
    terms = sourcing.waitable(sourcing.terms(conn, asked), now=now, policy=policy) if may_wait else {}
    return Wanted(
        order=order_from(order, lines),
        may_wait=terms,
        room=_room(conn, terms),
        places=sourcing.places(conn),
        key=claim_key(order.order_id, made + 1),
        ahead=sourcing.sold_ahead(sourcing.available_from(conn, asked), now=now),
    )


def _claim_added(conn: Connection, want: Wanted, *, now: datetime, policy: Policy) -> Claimed:
    (claimed,) = claims.judge(conn, [ask(want, now=now, policy=policy)])
    if isinstance(claimed, Exception):
        raise claimed
    return claimed


def _allocate(
    conn: Connection,
    want: Wanted,
    claimed: Mapping[str, Mapping[Shelf, int]],
    planned: Sequence[_Planned],
    *,
    now: datetime,
) -> None:
    """Turn claims, by their keys, into allocations of the planned shipments."""
    order = want.order
    for key, amounts in claimed.items():
        if amounts:
            conn.execute(_CONSUME, {"the_key": key})
            cause, by = order.order_id, order.channel
            move(conn, Movement.ALLOCATED, amounts, key=key, cause=cause, by=by, at=now)
    rows = [
        {"shipment_id": part.shipment.shipment_id, "sku": sku, "location_id": location, "quantity": units}
        for part in planned
        for (sku, location), units in _amounts_of(order, part.shipment.location_id, part.units).items()
    ]
    if rows:
        conn.execute(_ALLOCATE, [row | {"state": "active"} for row in rows])


def _plan(
    want: Wanted, from_location: Mapping[str, tuple[UnitRange, ...]], *, first_n: int
) -> list[_Planned]:
    parts = [
        (location_id, together)
        for location_id, units in from_location.items()
        for together in _by_day(want, units)
    ]
    return [
        _planned(want.order, n, location_id, units, WaitsFor.PAYMENT)
        for n, (location_id, units) in enumerate(parts, start=first_n)
    ]


def _by_day(want: Wanted, units: Sequence[UnitRange]) -> list[tuple[UnitRange, ...]]:
    """Part what may leave now from what is sold ahead: nothing waits for another's day."""
    by_day: dict[date, list[UnitRange]] = {}
    for part in units:
        day = want.ahead.get(want.order.line(part.line_no).sku, date.min)
        by_day.setdefault(day, []).append(part)
    return [tuple(together) for _, together in sorted(by_day.items())]


def _hold_back(
    conn: Connection, want: Wanted, until: Mapping[str, date], *, now: datetime, policy: Policy
) -> bool:
    """Hold the order for what is missing. What is sold ahead was known to come later: nobody is asked about it."""
    if policy.shortage is Shortage.ASK:
        until = {sku: day for sku, day in until.items() if sku not in want.ahead}
    return shortages.hold_back(conn, want.order.order_id, until, now=now, policy=policy)


def _waiting(conn: Connection, want: Wanted, sourced: Sourced, *, n: int, policy: Policy) -> list[_Planned]:
    """What may wait is one shipment at the location whose receipts it waits for."""
    if not sourced.backordered:
        return []
    order = want.order
    place = sourcing.comes_in_at(
        conn, order.lines, sourced.backordered, want.places, ship_to=order.ship_to, policy=policy
    )
    return [_planned(order, n, place.location_id, sourced.backordered, WaitsFor.STOCK)]


def _planned(
    order: Order, n: int, location_id: str, units: tuple[UnitRange, ...], waits_for: WaitsFor
) -> _Planned:
    value = order.worth(units)
    free = waits_for is WaitsFor.PAYMENT and value == 0
    shipment = PlannedShipment(
        shipment_id=shipment_id(order.order_id, n),
        location_id=location_id,
        value=value,
        units=sum(part.count for part in units),
        waits_for=WaitsFor.NOTHING if free else waits_for,
    )
    return _Planned(n=n, shipment=shipment, units=units)


def _amounts(order: Order, sourced: Sourced) -> dict[Shelf, int]:
    amounts: dict[Shelf, int] = {}
    for location_id, units in sourced.from_location.items():
        amounts |= _amounts_of(order, location_id, units)
    return amounts


def _amounts_of(order: Order, location_id: str, units: Sequence[UnitRange]) -> dict[Shelf, int]:
    amounts: dict[Shelf, int] = {}
    for part in units:
        place = order.line(part.line_no).sku, location_id
        amounts[place] = amounts.get(place, 0) + part.count
    return amounts


def _write(conn: Connection, want: Wanted, planned: list[_Planned], *, now: datetime, policy: Policy) -> None:
    calendar = {place.location_id: place.calendar for place in want.places}
    rows = [
        {
            "shipment_id": part.shipment.shipment_id,
            "order_id": want.order.order_id,
            "n": part.n,
            "location_id": part.shipment.location_id,
            "work_status": WorkStatus.SCHEDULED.value,
            "waits_for": part.shipment.waits_for.value,
            "value": part.shipment.value,
            "ship_by": ship_by(now=now, calendar=calendar[part.shipment.location_id], policy=policy),
        }
        for part in planned
    ]
    if rows:
        conn.execute(_PLAN, rows)


def _queue(
    conn: Connection, want: Wanted, waiting: Sequence[_Planned], *, now: datetime, policy: Policy
) -> Mapping[str, date]:
    """Queue what waits; return by SKU until when."""
    if not waiting:
        return {}
    (part,), order = waiting, want.order
    place = next(place for place in want.places if place.location_id == part.shipment.location_id)
    sku_of = {units.line_no: order.line(units.line_no).sku for units in part.units}
    until = sourcing.missing_until(
        conn,
        place,
        {sku: want.may_wait[sku] for sku in sku_of.values()},
        abroad=place.country != order.ship_to.country,
        now=now,
        policy=policy,
    )
    of_line: Counter[int] = Counter()
    for units in part.units:
        of_line[units.line_no] += units.count
    rows = [
        {
            "order_id": order.order_id,
            "line_no": line_no,
            "shipment_id": part.shipment.shipment_id,
            "sku": sku_of[line_no],
            "location_id": part.shipment.location_id,
            "quantity": count,
            "promise_date": until[sku_of[line_no]],
            "placed_at": order.placed_at,
            "state": "waiting",
        }
        for line_no, count in of_line.items()
    ]
    conn.execute(_QUEUE, rows)
    return until


def _place_units(
    conn: Connection,
    order_id: str,
    planned: list[_Planned],
    cancelled: tuple[UnitRange, ...] = (),
    replaced: tuple[UnitRange, ...] = (),
) -> None:
    placed = [(units, part.shipment.shipment_id, None) for part in planned for units in part.units]
    gone = [(units, None, OUT_OF_STOCK) for units in cancelled]
    gone += [(units, None, SUBSTITUTED) for units in replaced]
    rows = [
        {
            "order_id": order_id,
            "line_no": units.line_no,
            "first_unit": units.first,
            "quantity": units.count,
            "shipment_id": shipment,
            "cancelled_reason": reason,
        }
        for units, shipment, reason in [*placed, *gone]
    ]
    if rows:
        conn.execute(_PLACE_UNITS, rows)


def _become(conn: Connection, order: Order, sourced: Sourced, *, shipped: bool, now: datetime) -> bool:
    """Lock the order and let it go on; return whether it still waited for its stock."""
    values: dict[str, str] = {"status": OrderStatus.RESERVED.value}
    if not shipped:
        values = {"status": OrderStatus.REJECTED.value, "outcome": Outcome.REJECTED.value, "placed": "short"}
    if conn.execute(_BECOME.values(values), {"the_order": order.order_id}).first() is None:
        return False
    if not shipped:
        _tell_rejected(conn, order.order_id, now=now)
    elif gone := [line for line in sourced.short if line.cancelled]:
        text = f"Not in stock any more and taken off your order: {_listed(gone)}."
        journal.event(conn, order.order_id, EventKind.PART_CANCELLED, text, at=now)
    return True


def _tell_rejected(conn: Connection, order_id: str, *, now: datetime) -> None:
    text = "None of what you ordered is in stock, so we cancelled the order."
    journal.event(conn, order_id, EventKind.REJECTED, text, at=now)
    data = {"reason": OUT_OF_STOCK, "released": 0}
    journal.tell(conn, order_id, Fact.CANCELLED, subject=order_id, version=1, data=data, now=now)


def _give_back_if_stopped(conn: Connection, order: Order, *, now: datetime) -> None:
    status = OrderStatus(lock_order(conn, order.order_id).status)
    if status is OrderStatus.CANCELLING or status in ENDED:
        claims.end(conn, order.order_id, ReservationState.RELEASED, by=order.channel, now=now)


def _listed(short: Iterable[ShortLine]) -> str:
    return ", ".join(f"{line.cancelled} × {line.sku}" for line in short)


def _as_planned(row: Row[*tuple[Any, ...]]) -> PlannedShipment:
    return PlannedShipment(
        shipment_id=row.shipment_id,
        location_id=row.location_id,
        value=row.value,
        units=row.units,
        waits_for=WaitsFor(row.waits_for),
    )
