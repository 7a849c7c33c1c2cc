"""Claiming stock for an order: what is there is reserved, what may wait is queued, the rest is cancelled.

Three steps, each a round of its own: read what is wanted (`wants.py`), claim it (`claims.py`), write the plan
(`plans.py`) of what was truly claimed. The reservation is the record: after a crash in between, a repeat finds it and
writes the same plan.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, func, select, update

from fulfillment.domain.events import EventKind
from fulfillment.domain.inventory import InsufficientStock, ShortLine
from fulfillment.domain.notifications import Fact
from fulfillment.domain.order import ENDED, UNPAID, Order, OrderLine, OrderStatus, Outcome, UnitRange
from fulfillment.domain.policy import Policy
from fulfillment.domain.renumbering import Renumbered
from fulfillment.domain.reservation import PlannedShipment, Reservation, ReservationState
from fulfillment.domain.shipment import WaitsFor, WorkStatus
from fulfillment.domain.sourcing import Sourced
from fulfillment.storage import claims, equals, holds, journal, plans, replacing, sourcing_decisions, wants
from fulfillment.storage.claims import Claimed
from fulfillment.storage.equals import Taken
from fulfillment.storage.orders import OUT_OF_STOCK, lines_of, lock_order, order_from, short_lines
from fulfillment.storage.tables import orders, shipments, unit_ranges
from fulfillment.storage.wants import Wanted

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


def plan(conn: Connection, want: Wanted, claimed: Claimed, *, now: datetime, policy: Policy) -> Reservation:
    """Plan the shipments of what was claimed, in this transaction, and say what becomes of the rest.

    An order that was stopped meanwhile gives its claim back; one that another worker planned is read.
    """
    order = want.order
    want = wants.counted_again(conn, want, claimed, policy=policy)
    want = replacing.offered(conn, want, claimed, now=now, policy=policy)
    whole = replacing.with_equals(conn, want, wants.ships(want, claimed, policy), now=now, policy=policy)
    sourced, filled = whole.sourced, whole.want
    planned = plans.leaving(filled, sourced.from_location, first_n=1)
    waiting = plans.waiting_for_stock(conn, filled, sourced, n=len(planned) + 1, policy=policy)
    if not _become(conn, order, sourced, shipped=bool(planned or waiting), now=now):
        _give_back_if_stopped(conn, order, now=now)
        return stored(conn, order.order_id)
    _keep_decision(conn, want, claimed, now=now, policy=policy)
    plans.write(conn, want, [*planned, *waiting], now=now, policy=policy)
    until = plans.queue(conn, filled, waiting, now=now, policy=policy)
    plans.place_units(conn, order.order_id, [*planned, *waiting], sourced.cancelled, whole.replaced)
    replacing.tell(conn, whole, [*planned, *waiting], now=now)
    held = plans.hold_back(conn, want, until, now=now, policy=policy)
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
    want = wants.added(conn, order, lines, now=now, policy=policy, may_wait=may_wait)
    claimed = wants.claim(conn, want, now=now, policy=policy)
    want = wants.counted_again(conn, want, claimed, policy=policy)
    sourced = wants.ships(want, claimed, policy)
    if gone := sourced.cancelled:
        line = want.order.line(gone[0].line_no)
        raise InsufficientStock(line.sku, line.quantity, line.quantity - gone[0].count)
    planned = plans.leaving(want, sourced.from_location, first_n=first_n)
    waiting = plans.waiting_for_stock(conn, want, sourced, n=first_n + len(planned), policy=policy)
    _keep_decision(conn, want, claimed, now=now, policy=policy)
    plans.write(conn, want, [*planned, *waiting], now=now, policy=policy)
    if claimed.amounts and order.status not in UNPAID:
        plans.allocate(conn, want, {want.key: claimed.amounts}, planned, now=now)
    until = plans.queue(conn, want, waiting, now=now, policy=policy)
    plans.place_units(conn, order.order_id, [*planned, *waiting])
    plans.hold_back(conn, want, until, now=now, policy=policy)
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
    numbers = Renumbered(lost)
    want = wants.added(conn, order, numbers.lines(real), now=now, policy=policy, may_wait=True)
    asked = replace(wants.ask(want, now=now, policy=policy), plan=wants.elsewhere(want, not_from, policy))
    (claimed,) = claims.judge(conn, [asked])
    if isinstance(claimed, Exception):
        raise claimed
    want = wants.counted_again(conn, want, claimed, policy=policy)
    want = replacing.offered(conn, want, claimed, now=now, policy=policy)
    sourced = numbers.real(wants.ships(want, claimed, policy))
    whole = replacing.with_equals(conn, replace(want, order=real), sourced, now=now, policy=policy)
    want, sourced = whole.want, whole.sourced
    first_n = plans.next_n(conn, order.order_id)
    planned = plans.leaving(want, sourced.from_location, first_n=first_n)
    waiting = plans.waiting_for_stock(conn, want, sourced, n=first_n + len(planned), policy=policy)
    plans.write(conn, want, [*planned, *waiting], now=now, policy=policy)
    plans.allocate(conn, want, {want.key: claimed.amounts} | whole.claims, planned, now=now)
    until = plans.queue(conn, want, waiting, now=now, policy=policy)
    plans.place_units(conn, order.order_id, [*planned, *waiting], (), whole.replaced)
    replacing.tell(conn, whole, [*planned, *waiting], now=now)
    plans.hold_back(conn, want, until, now=now, policy=policy)
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
    want = wants.added(conn, order, (), now=now, policy=policy, may_wait=False)
    want = replace(want, order=real)
    taken = equals.claim(conn, real, missing, key=want.key, places=want.places, now=now, policy=policy)
    if taken is None:
        return None
    equals.add_lines(conn, order.order_id, taken)
    want = replacing.with_lines(conn, want, taken)
    first_n = plans.next_n(conn, order.order_id)
    planned = plans.leaving(want, taken.sourced.from_location, first_n=first_n)
    plans.write(conn, want, planned, now=now, policy=policy)
    plans.allocate(conn, want, {taken.key: taken.amounts}, planned, now=now)
    plans.place_units(conn, order.order_id, planned)
    return Instead(taken=taken, order=want.order, added=tuple(part.shipment.shipment_id for part in planned))


def stored(conn: Connection, order_id: str) -> Reservation:
    """Return the plan as the books have it now."""
    return Reservation(
        order_id=order_id,
        shipments=tuple(_as_planned(row) for row in conn.execute(_PLANNED, {"the_order": order_id})),
        short=short_lines(conn, order_id),
        holds=holds.active(conn, order_id),
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
            boxes=want.boxes,
        )


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
