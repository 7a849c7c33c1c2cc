"""Equals in the place of what is not there, where the policy sends them by itself or lets their customer choose."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection

from fulfillment.domain.order import OrderStatus, UnitRange
from fulfillment.domain.policy import Policy, Substitution
from fulfillment.domain.sourcing import Sourced, shortages_of
from fulfillment.domain.substitution import without
from fulfillment.storage import boxes, equals, shortages, substitutes
from fulfillment.storage.advance import CONFIRMED
from fulfillment.storage.claims import Claimed
from fulfillment.storage.equals import Taken
from fulfillment.storage.movements import Place as Shelf
from fulfillment.storage.orders import lock_order
from fulfillment.storage.plans import Planned
from fulfillment.storage.sourcing import Terms
from fulfillment.storage.wants import Wanted, ships


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
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


def offered(conn: Connection, want: Wanted, claimed: Claimed, *, now: datetime, policy: Policy) -> Wanted:
    """Let units that may not wait do so while their customer is asked whether an equal is as good."""
    if policy.substitution is not Substitution.CONSENT:
        return want
    gone = {want.order.line(units.line_no).sku for units in ships(want, claimed, policy).cancelled}
    asked = substitutes.offered(conn, gone, now=now)
    terms, room = dict.fromkeys(asked, Terms()), dict.fromkeys(asked)
    return replace(want, may_wait={**want.may_wait, **terms}, room={**want.room, **room})


def with_equals(conn: Connection, want: Wanted, sourced: Sourced, *, now: datetime, policy: Policy) -> Filled:
    """Claim listed equals for what is not there, where the policy does so by itself."""
    short = [
        units
        for units in (*sourced.backordered, *sourced.cancelled)
        if want.order.line(units.line_no).sku not in want.ahead
    ]
    if policy.substitution is not Substitution.AUTOMATIC or not short:
        return Filled(want=want, sourced=sourced)
    status = OrderStatus(lock_order(conn, want.order.order_id).status)
    if status not in (OrderStatus.RECEIVED, *CONFIRMED):
        return Filled(want=want, sourced=sourced)
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
        return Filled(want=want, sourced=sourced)
    equals.add_lines(conn, want.order.order_id, taken)
    return Filled(want=with_lines(conn, want, taken), sourced=_joined(want, sourced, taken), taken=taken)


def with_lines(conn: Connection, want: Wanted, taken: Taken) -> Wanted:
    """Return the order with the lines of what was claimed instead."""
    lines = (*want.order.lines, *(one.line for one in taken.lines))
    known = boxes.of_skus(conn, {line.sku for line in lines})
    return replace(want, order=replace(want.order, lines=lines), boxes=known)


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


def tell(conn: Connection, whole: Filled, planned: Sequence[Planned], *, now: datetime) -> None:
    """Write down what was replaced, and let everybody know."""
    if whole.taken is None:
        return
    order, ours = whole.want.order, {one.line.line_no for one in whole.taken.lines}
    added = tuple(
        part.shipment.shipment_id for part in planned if ours & {units.line_no for units in part.units}
    )
    worth = order.worth(whole.replaced)
    equals.keep(conn, order, whole.taken, added=added, instead_of=worth, by=shortages.BY_POLICY, now=now)
