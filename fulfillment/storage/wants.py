"""What an order asks of stock: read before it is claimed, and judged by what may wait."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, func, select, union

from fulfillment.domain.division import Boxes
from fulfillment.domain.errors import UnknownOrder
from fulfillment.domain.inventory import Level
from fulfillment.domain.order import Order, OrderLine, OrderStatus, UnitRange
from fulfillment.domain.policy import Policy
from fulfillment.domain.reservation import ReservationState, claim_key
from fulfillment.domain.sourcing import Parcels, Sourced, demand, shipped, source
from fulfillment.storage import boxes, claims, holds, locks, sourcing
from fulfillment.storage.boxes import GOODS
from fulfillment.storage.claims import Ask, Claimed
from fulfillment.storage.movements import Place as Shelf
from fulfillment.storage.orders import line_from, lock_order, order_from
from fulfillment.storage.sourcing import Place, Terms
from fulfillment.storage.tables import order_lines, orders, reservations, skus
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
        *GOODS,
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """An order whose stock is not claimed yet; `may_wait` has how units of a SKU may wait, and `room` how many more.

    `ahead` are the SKUs that are sold ahead, with the day from which they may leave, `boxes` says in which parcels units
    leave.
    """

    order: Order
    may_wait: Mapping[str, Terms]
    room: Mapping[str, int | None]
    places: tuple[Place, ...]
    key: str
    ahead: Mapping[str, date]
    boxes: Boxes
    held: bool = False


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
        boxes=boxes.of_lines(conn, found),
        held=found[0].held,
    )


def added(
    conn: Connection,
    order: Row[Any],
    lines: Sequence[OrderLine],
    *,
    now: datetime,
    policy: Policy,
    may_wait: bool,
) -> Wanted:
    """Return what these lines of the locked order ask of stock; without `may_wait` all of it must be there."""
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
        boxes=boxes.of_skus(conn, asked),
    )


def ask(want: Wanted, *, now: datetime, policy: Policy) -> Ask:
    """Return the claim of what is there of all the order's lines."""
    order = want.order
    want.boxes.divide(demand(order.lines))  # before anything is locked
    return Ask(
        key=want.key,
        order_id=order.order_id,
        skus=frozenset(line.sku for line in order.lines),
        plan=lambda levels: _amounts(order, _source(want, levels, policy)),
        expires_at=now + policy.reservation_ttl,
        by=order.channel,
        at=now,
    )


def elsewhere(want: Wanted, not_from: Collection[str], policy: Policy) -> claims.Plan:
    """Return the plan of a claim that takes nothing from the locations in `not_from`."""
    return lambda levels: _amounts(
        want.order, _source(want, [level for level in levels if level.location_id not in not_from], policy)
    )


def claim(conn: Connection, want: Wanted, *, now: datetime, policy: Policy) -> Claimed:
    """Claim what is there of it, in this transaction."""
    (claimed,) = claims.judge(conn, [ask(want, now=now, policy=policy)])
    if isinstance(claimed, Exception):
        raise claimed
    return claimed


def ships(want: Wanted, claimed: Claimed, policy: Policy) -> Sourced:
    """Return what ships of it when this was claimed; the rest waits or is gone."""
    return shipped(
        want.order.lines,
        claimed.amounts,
        sites=[place.site for place in want.places],
        ship_to=want.order.ship_to,
        may_wait=want.room,
        policy=policy,
    )


def counted_again(conn: Connection, want: Wanted, claimed: Claimed, *, policy: Policy) -> Wanted:
    """Count who waits once more, one order after the other, where this one would wait and only so many may."""
    waits = {want.order.line(units.line_no).sku for units in ships(want, claimed, policy).backordered}
    limited = sorted(sku for sku in waits if want.may_wait[sku].limit is not None)
    if not limited:
        return want
    lock_order(conn, want.order.order_id)  # before the queue, as everybody does
    for sku in limited:
        locks.named(conn, f"backorders:{sku}")
    return replace(want, room=_room(conn, want.may_wait))


def _source(want: Wanted, levels: Sequence[Level], policy: Policy) -> Sourced:
    return source(
        want.order.lines,
        levels=levels,
        sites=[place.site for place in want.places],
        ship_to=want.order.ship_to,
        may_wait=want.room,
        policy=policy,
        parcels=parcels_of(want),
    )


def parcels_of(want: Wanted) -> Parcels:
    """Return what says how many parcels a part of what is wanted makes."""
    whole = demand(want.order.lines)
    return lambda units: want.boxes.share(units, whole)


def _amounts(order: Order, sourced: Sourced) -> dict[Shelf, int]:
    amounts: dict[Shelf, int] = {}
    for location_id, units in sourced.from_location.items():
        amounts |= amounts_of(order, location_id, units)
    return amounts


def amounts_of(order: Order, location_id: str, units: Sequence[UnitRange]) -> dict[Shelf, int]:
    """Return what a claim of these units takes from a location."""
    amounts: dict[Shelf, int] = {}
    for part in units:
        place = order.line(part.line_no).sku, location_id
        amounts[place] = amounts.get(place, 0) + part.count
    return amounts


def _terms(row: Row[Any]) -> Terms:
    return Terms(limit=row.backorder_limit, available_from=row.available_from)


def _room(conn: Connection, terms: Mapping[str, Terms]) -> dict[str, int | None]:
    """Return how many units more may wait. Those who wait are counted only where there is a limit."""
    limited = {sku for sku, its in terms.items() if its.limit is not None}
    owed = sourcing.levels(conn, limited)[1] if limited else {}
    return sourcing.rooms(terms, owed)
