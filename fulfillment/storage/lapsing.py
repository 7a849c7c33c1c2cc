"""Claims that run out: given back when nobody pays in time, and claimed anew when somebody does after all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, delete, exists, func, insert, or_, select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert

from fulfillment.domain.events import EventKind, Happened
from fulfillment.domain.inventory import Level
from fulfillment.domain.notifications import Fact
from fulfillment.domain.order import ENDED, UNPAID, Order, OrderStatus, Outcome, UnitRange
from fulfillment.domain.payment import OperationKind, OperationState, PaymentStatus
from fulfillment.domain.policy import Policy
from fulfillment.domain.promise import ship_by
from fulfillment.domain.reservation import ReservationState, claim_key
from fulfillment.domain.shipment import WaitsFor, WorkStatus, shipment_id
from fulfillment.storage import claims, journal, shortages, sourcing
from fulfillment.storage.claims import Ask, available
from fulfillment.storage.movements import Place as Shelf
from fulfillment.storage.orders import OUT_OF_STOCK, line_from, lock_order, order_from
from fulfillment.storage.sourcing import Place, Terms
from fulfillment.storage.tables import (
    backorders,
    order_lines,
    orders,
    payments,
    provider_operations,
    reservations,
    shipments,
    skus,
    unit_ranges,
)

_BY_SYSTEM: Final = "system"
_ACTIVE: Final = reservations.c.state == ReservationState.ACTIVE.value
_THE_ORDER: Final = orders.c.order_id == bindparam("the_order")
_MONEY_HELD: Final = [
    status.value
    for status in (
        PaymentStatus.AUTHORIZING,
        PaymentStatus.ACTION_REQUIRED,
        PaymentStatus.AUTHORIZED,
        PaymentStatus.CAPTURED,
    )
]
_BEING_PAID: Final = or_(
    exists().where(payments.c.order_id == orders.c.order_id, payments.c.status.in_(_MONEY_HELD)),
    exists().where(
        provider_operations.c.order_id == orders.c.order_id,
        provider_operations.c.kind == OperationKind.AUTHORIZE.value,
        provider_operations.c.state.in_([OperationState.CLAIMED.value, OperationState.UNKNOWN.value]),
    ),
)
# All claims of an order end together, with the last of them. What costs nothing has no payment to wait for.
_RUN_OUT: Final = (
    select(orders.c.order_id)
    .join(reservations, (reservations.c.order_id == orders.c.order_id) & _ACTIVE)
    .where(
        or_(
            orders.c.status.in_([status.value for status in ENDED]),
            (orders.c.total > 0) & ~_BEING_PAID,
        )
    )
    .group_by(orders.c.order_id)
    .having(
        or_(
            orders.c.status.in_([status.value for status in ENDED]),
            func.max(reservations.c.expires_at) <= bindparam("now"),
        )
    )
    .order_by(func.max(reservations.c.expires_at))
    .limit(bindparam("at_most"))
)
_THIS_RUN_OUT: Final = _RUN_OUT.where(_THE_ORDER)
_CLAIMS: Final = select(
    func.count(reservations.c.operation_key.distinct()).label("made"),
    func.coalesce(func.bool_or(_ACTIVE), False).label("stands"),
    func.coalesce(
        func.bool_or(reservations.c.state == ReservationState.EXPIRED.value),
        False,
    ).label("expired"),
).where(reservations.c.order_id == bindparam("the_order"))
_QUEUED: Final = (
    select(func.coalesce(func.sum(backorders.c.quantity), 0))
    .where(
        backorders.c.shipment_id == shipments.c.shipment_id,
        backorders.c.line_no == unit_ranges.c.line_no,
        backorders.c.state != "cancelled",
    )
    .scalar_subquery()
)
_UNITS: Final = (
    select(
        unit_ranges.c.line_no,
        unit_ranges.c.first_unit,
        unit_ranges.c.quantity,
        unit_ranges.c.shipment_id,
        shipments.c.location_id,
        skus.c.available_from,
        _QUEUED.label("queued"),
        (skus.c.backorderable & ~skus.c.archived).label("may_wait"),
    )
    .join(shipments, shipments.c.shipment_id == unit_ranges.c.shipment_id)
    .join(
        order_lines,
        (order_lines.c.order_id == unit_ranges.c.order_id) & (order_lines.c.line_no == unit_ranges.c.line_no),
    )
    .join(skus, skus.c.sku == order_lines.c.sku)
    .where(unit_ranges.c.order_id == bindparam("the_order"))
    .order_by(shipments.c.n, unit_ranges.c.line_no, unit_ranges.c.first_unit)
)
_LINES: Final = (
    select(order_lines)
    .where(order_lines.c.order_id == bindparam("the_order"))
    .order_by(order_lines.c.line_no)
)
_THE_UNITS: Final = (
    (unit_ranges.c.order_id == bindparam("the_order"))
    & (unit_ranges.c.line_no == bindparam("the_line"))
    & (unit_ranges.c.first_unit == bindparam("the_first"))
)
_KEEP_FEWER: Final = update(unit_ranges).where(_THE_UNITS)
_TAKE_AWAY: Final = delete(unit_ranges).where(_THE_UNITS)
_PLACE_UNITS: Final = insert(unit_ranges)
_PARTS: Final = (
    select(
        shipments.c.shipment_id,
        shipments.c.n,
        shipments.c.location_id,
        shipments.c.work_status,
        shipments.c.waits_for,
        exists().where(backorders.c.shipment_id == shipments.c.shipment_id).label("queued"),
    )
    .where(shipments.c.order_id == bindparam("the_order"))
    .order_by(shipments.c.n)
)
_SHIPMENT: Final = update(shipments).where(shipments.c.shipment_id == bindparam("the_shipment"))
_PLAN: Final = insert(shipments)
_QUEUE: Final = pg_insert(backorders)
_QUEUE_MORE: Final = _QUEUE.on_conflict_do_update(
    index_elements=["shipment_id", "line_no"],
    set_={"quantity": backorders.c.quantity + _QUEUE.excluded.quantity, "state": "waiting"},
)
_ORDER: Final = update(orders).where(_THE_ORDER)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """A range of units of which `count` need a claim on what is at `place`."""

    range: Row[Any]
    place: Shelf
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lost:
    """Units of a shipment whose claim could not be renewed; they are the last `units.count` of their range."""

    units: UnitRange
    sku: str
    may_wait: bool


def expirable(conn: Connection, now: datetime, at_most: int) -> tuple[str, ...]:
    """Return orders whose claims on stock have run out and whose right to pay is not in use, longest over first."""
    return tuple(conn.execute(_RUN_OUT, {"now": now, "at_most": at_most}).scalars())


def expire(conn: Connection, order_id: str, now: datetime) -> bool:
    """Give back what the order claims if its time is over; return whether it was.

    Never while money is asked for or held: a claim dies only with the right to pay. The order stays payable, and
    `reclaim` looks for its goods again before money is asked for.
    """
    ended = OrderStatus(lock_order(conn, order_id).status) in ENDED
    over = conn.execute(_THIS_RUN_OUT, {"the_order": order_id, "now": now, "at_most": 1}).first()
    if over is None:
        return False
    state = ReservationState.RELEASED if ended else ReservationState.EXPIRED
    claims.end(conn, order_id, state, by=_BY_SYSTEM, now=now)
    if not ended:
        text = "We no longer keep your items for you. You can still pay: we look then whether they are there."
        journal.event(conn, order_id, EventKind.CLAIM_EXPIRED, text, at=now)
    return True


def reclaim(conn: Connection, order: Row[Any], *, now: datetime, policy: Policy) -> bool:
    """Claim again what the locked order had claimed and lost; return whether its plan is still the same.

    Call it before money is asked for. What is there stays in its shipments; the rest waits for stock or, where it
    cannot, is taken off the order: then shipments and their values have changed, and the answer is False.
    """
    if order.status not in UNPAID:
        return True
    found = conn.execute(_CLAIMS, {"the_order": order.order_id}).one()
    if found.stands or not found.expired:
        return True
    whole = order_from(
        order, [line_from(line) for line in conn.execute(_LINES, {"the_order": order.order_id})]
    )
    parts = _claimable(whole, conn.execute(_UNITS, {"the_order": order.order_id}).all())
    needed = _needed(parts)
    claimed = _claim(conn, whole, needed, n=found.made + 1, now=now, policy=policy)
    if claimed == needed:
        return True
    lost = _lost(conn, order.order_id, parts, dict(claimed), now=now, policy=policy)
    _replan(conn, whole, lost, now=now, policy=policy)
    return False


def _claimable(order: Order, rows: Sequence[Row[Any]]) -> list[_Part]:
    """Return the units that were claimed when the order was placed: all but those that wait or came from the queue."""
    queued = {(row.shipment_id, row.line_no): row.queued for row in rows}
    parts: list[_Part] = []
    for row in rows:
        line = row.shipment_id, row.line_no
        waiting = min(row.quantity, queued[line])
        queued[line] -= waiting
        if waiting < row.quantity:
            place = order.line(row.line_no).sku, row.location_id
            parts.append(_Part(range=row, place=place, count=row.quantity - waiting))
    return parts


def _needed(parts: list[_Part]) -> dict[Shelf, int]:
    needed: dict[Shelf, int] = {}
    for part in parts:
        needed[part.place] = needed.get(part.place, 0) + part.count
    return needed


def _claim(
    conn: Connection, order: Order, needed: Mapping[Shelf, int], *, n: int, now: datetime, policy: Policy
) -> Mapping[Shelf, int]:
    def what_is_there(levels: Sequence[Level]) -> dict[Shelf, int]:
        there = available(levels)
        return {p: min(units, there[p]) for p, units in needed.items() if there.get(p, 0) > 0}

    again = Ask(
        key=claim_key(order.order_id, n),
        order_id=order.order_id,
        skus=frozenset(sku for sku, _ in needed),
        plan=what_is_there,
        expires_at=now + policy.reservation_ttl,
        by=order.channel,
        at=now,
    )
    (claimed,) = claims.judge(conn, [again])
    if isinstance(claimed, Exception):
        raise claimed
    return claimed.amounts


def _lost(
    conn: Connection,
    order_id: str,
    parts: list[_Part],
    left: dict[Shelf, int],
    *,
    now: datetime,
    policy: Policy,
) -> list[_Lost]:
    """Leave in the shipments what was claimed, first come first, and take the other units out of them."""
    terms = {p.place[0]: Terms(available_from=p.range.available_from) for p in parts if p.range.may_wait}
    may_wait = sourcing.waitable(terms, now=now, policy=policy)
    lost: list[_Lost] = []
    for part in parts:
        there = min(part.count, left.get(part.place, 0))
        if there:
            left[part.place] -= there
        if there == part.count:
            continue
        row, gone = part.range, part.count - there
        kept = row.quantity - gone
        this = {"the_order": order_id, "the_line": row.line_no, "the_first": row.first_unit}
        conn.execute(_KEEP_FEWER.values(quantity=kept) if kept else _TAKE_AWAY, this)
        units = UnitRange(line_no=row.line_no, first=row.first_unit + kept, count=gone)
        lost.append(_Lost(units=units, sku=part.place[0], may_wait=part.place[0] in may_wait))
    return lost


def _replan(conn: Connection, order: Order, lost: list[_Lost], *, now: datetime, policy: Policy) -> None:
    waiting, gone = [part for part in lost if part.may_wait], [part for part in lost if not part.may_wait]
    until: Mapping[str, date] = {}
    if waiting:
        queue, until = _queue(conn, order, waiting, now=now, policy=policy)
        _place(conn, order, waiting, shipment=queue, reason=None)
    if gone:
        _place(conn, order, gone, shipment=None, reason=OUT_OF_STOCK)
    alive = _write_values(conn, order, now=now)
    shortages.hold_back(conn, order.order_id, until, now=now, policy=policy)
    _tell(conn, order, waiting, gone, now=now)
    if not alive:
        _expire_order(conn, order, now=now)


def _place(
    conn: Connection, order: Order, parts: list[_Lost], *, shipment: str | None, reason: str | None
) -> None:
    rows = [
        {
            "order_id": order.order_id,
            "line_no": part.units.line_no,
            "first_unit": part.units.first,
            "quantity": part.units.count,
            "shipment_id": shipment,
            "cancelled_reason": reason,
        }
        for part in parts
    ]
    conn.execute(_PLACE_UNITS, rows)


def _queue(
    conn: Connection, order: Order, parts: list[_Lost], *, now: datetime, policy: Policy
) -> tuple[str, Mapping[str, date]]:
    """Queue these units with what the order waits for already, or in a shipment of their own.

    Return the shipment, and by SKU until when they wait.
    """
    standing = conn.execute(_PARTS, {"the_order": order.order_id}).all()
    queued = [part for part in standing if part.queued and part.work_status == WorkStatus.SCHEDULED]
    place = _where(conn, order, parts, queued[0].location_id if queued else None, policy=policy)
    queue = queued[0].shipment_id if queued else shipment_id(order.order_id, standing[-1].n + 1)
    if queued:
        conn.execute(_SHIPMENT, {"the_shipment": queue, "waits_for": WaitsFor.STOCK.value})
    else:
        _plan_queue(conn, order, queue, standing[-1].n + 1, place, now=now, policy=policy)
    until = sourcing.missing_until(
        conn,
        place,
        sourcing.terms(conn, {part.sku for part in parts}),
        abroad=place.country != order.ship_to.country,
        now=now,
        policy=policy,
    )
    counts: dict[tuple[int, str], int] = {}
    for part in parts:
        line = part.units.line_no, part.sku
        counts[line] = counts.get(line, 0) + part.units.count
    rows = [
        {
            "order_id": order.order_id,
            "line_no": line_no,
            "shipment_id": queue,
            "sku": sku,
            "location_id": place.location_id,
            "quantity": count,
            "promise_date": until[sku],
            "placed_at": order.placed_at,
            "state": "waiting",
        }
        for (line_no, sku), count in counts.items()
    ]
    conn.execute(_QUEUE_MORE, rows)
    return queue, until


def _where(
    conn: Connection, order: Order, parts: list[_Lost], standing: str | None, *, policy: Policy
) -> Place:
    """Return where these units wait: with those that wait already, else where they are expected to come in."""
    everywhere = sourcing.places(conn)
    if standing is not None:
        return next(place for place in everywhere if place.location_id == standing)
    units = [part.units for part in parts]
    return sourcing.comes_in_at(conn, order.lines, units, everywhere, ship_to=order.ship_to, policy=policy)


def _plan_queue(
    conn: Connection, order: Order, queue: str, n: int, place: Place, *, now: datetime, policy: Policy
) -> None:
    row = {
        "shipment_id": queue,
        "order_id": order.order_id,
        "n": n,
        "location_id": place.location_id,
        "work_status": WorkStatus.SCHEDULED.value,
        "waits_for": WaitsFor.STOCK.value,
        "value": 0,
        "ship_by": ship_by(now=now, calendar=place.calendar, policy=policy),
    }
    conn.execute(_PLAN, row)


def _write_values(conn: Connection, order: Order, *, now: datetime) -> bool:
    """Write what each shipment is worth now, and cancel those without units; return whether any is left."""
    units: dict[str, list[UnitRange]] = {}
    for row in conn.execute(_UNITS, {"the_order": order.order_id}):
        part = UnitRange(line_no=row.line_no, first=row.first_unit, count=row.quantity)
        units.setdefault(row.shipment_id, []).append(part)
    for shipment in conn.execute(_PARTS, {"the_order": order.order_id}).all():
        if shipment.work_status != WorkStatus.SCHEDULED:
            continue
        values = _values_of(order, units.get(shipment.shipment_id, []), WaitsFor(shipment.waits_for), now)
        conn.execute(_SHIPMENT, {"the_shipment": shipment.shipment_id, **values})
    return bool(units)


def _values_of(order: Order, units: list[UnitRange], waits_for: WaitsFor, now: datetime) -> dict[str, Any]:
    if not units:
        cancelled = {"work_status": WorkStatus.CANCELLED.value, "waits_for": WaitsFor.NOTHING.value}
        return cancelled | {"cancelled_reason": OUT_OF_STOCK, "closed_at": now}
    value = order.worth(tuple(units))
    free = value == 0 and waits_for is WaitsFor.PAYMENT
    return {"value": value, "waits_for": WaitsFor.NOTHING.value if free else waits_for.value}


def _tell(conn: Connection, order: Order, waiting: list[_Lost], gone: list[_Lost], *, now: datetime) -> None:
    happened: list[Happened] = []
    if waiting:
        text = f"Sold out while it waited to be paid, and ordered again for you: {_listed(waiting)}."
        happened.append((EventKind.BACKORDERED, text, {}))
    if gone:
        text = f"Not in stock any more and taken off your order: {_listed(gone)}."
        happened.append((EventKind.PART_CANCELLED, text, {}))
    journal.events(conn, order.order_id, happened, at=now)


def _listed(parts: list[_Lost]) -> str:
    return ", ".join(f"{part.units.count} × {part.sku}" for part in parts)


def _expire_order(conn: Connection, order: Order, *, now: datetime) -> None:
    """Nothing of it may ship or wait any more."""
    values = {"status": OrderStatus.EXPIRED.value, "outcome": Outcome.EXPIRED.value, "placed": "short"}
    conn.execute(_ORDER, {"the_order": order.order_id, **values})
    data = {"reason": OUT_OF_STOCK, "released": 0}
    journal.tell(conn, order.order_id, Fact.CANCELLED, subject=order.order_id, version=1, data=data, now=now)
