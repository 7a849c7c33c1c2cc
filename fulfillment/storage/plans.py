"""Shipments to be: which units leave together from where, and how they come into the books."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from sqlalchemy import Connection, bindparam, func, insert, select, update

from fulfillment.domain.division import added_up, hand_out
from fulfillment.domain.inventory import Movement
from fulfillment.domain.order import Order, UnitRange
from fulfillment.domain.policy import Policy, Shortage
from fulfillment.domain.promise import ship_by
from fulfillment.domain.reservation import PlannedShipment, ReservationState
from fulfillment.domain.shipment import WaitsFor, WorkStatus, shipment_id
from fulfillment.domain.sourcing import Sourced
from fulfillment.domain.substitution import SUBSTITUTED
from fulfillment.storage import shortages, sourcing
from fulfillment.storage.movements import Place as Shelf
from fulfillment.storage.movements import move
from fulfillment.storage.orders import OUT_OF_STOCK
from fulfillment.storage.tables import allocations, backorders, reservations, shipments, unit_ranges
from fulfillment.storage.wants import Wanted, amounts_of

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A shipment to be and the units in it."""

    n: int
    shipment: PlannedShipment
    units: tuple[UnitRange, ...]


def next_n(conn: Connection, order_id: str) -> int:
    """Return the number of the locked order's next shipment."""
    last: int = conn.execute(_LAST_N, {"the_order": order_id}).scalar_one()
    return last + 1


def leaving(
    want: Wanted, from_location: Mapping[str, tuple[UnitRange, ...]], *, first_n: int
) -> list[Planned]:
    """Return the shipments of what is there, numbered from `first_n`: every parcel is one."""
    parts = [
        (location_id, parcel)
        for location_id, units in from_location.items()
        for together in _by_day(want, units)
        for parcel in _parcels(want, together)
    ]
    return [
        _planned(want.order, n, location_id, units, WaitsFor.PAYMENT)
        for n, (location_id, units) in enumerate(parts, start=first_n)
    ]


def waiting_for_stock(
    conn: Connection, want: Wanted, sourced: Sourced, *, n: int, policy: Policy
) -> list[Planned]:
    """Return the shipments of what may wait, at the location whose receipts they wait for."""
    if not sourced.backordered:
        return []
    order = want.order
    place = sourcing.comes_in_at(
        conn, order.lines, sourced.backordered, want.places, ship_to=order.ship_to, policy=policy
    )
    return [
        _planned(order, n, place.location_id, parcel, WaitsFor.STOCK)
        for n, parcel in enumerate(_parcels(want, sourced.backordered), start=n)
    ]


def _by_day(want: Wanted, units: Sequence[UnitRange]) -> list[tuple[UnitRange, ...]]:
    """Part what may leave now from what is sold ahead: nothing waits for another's day."""
    by_day: dict[date, list[UnitRange]] = {}
    for part in units:
        day = want.ahead.get(want.order.line(part.line_no).sku, date.min)
        by_day.setdefault(day, []).append(part)
    return [tuple(together) for _, together in sorted(by_day.items())]


def _parcels(want: Wanted, units: Sequence[UnitRange]) -> list[tuple[UnitRange, ...]]:
    sku_of = {line.line_no: line.sku for line in want.order.lines}
    return hand_out(units, sku_of, want.boxes.divide(added_up(units, sku_of)).parcels)


def _planned(
    order: Order, n: int, location_id: str, units: tuple[UnitRange, ...], waits_for: WaitsFor
) -> Planned:
    value = order.worth(units)
    free = waits_for is WaitsFor.PAYMENT and value == 0
    shipment = PlannedShipment(
        shipment_id=shipment_id(order.order_id, n),
        location_id=location_id,
        value=value,
        units=sum(part.count for part in units),
        waits_for=WaitsFor.NOTHING if free else waits_for,
    )
    return Planned(n=n, shipment=shipment, units=units)


def write(conn: Connection, want: Wanted, planned: list[Planned], *, now: datetime, policy: Policy) -> None:
    """Write these shipments into the books."""
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


def allocate(
    conn: Connection,
    want: Wanted,
    claimed: Mapping[str, Mapping[Shelf, int]],
    planned: Sequence[Planned],
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
        for (sku, location), units in amounts_of(order, part.shipment.location_id, part.units).items()
    ]
    if rows:
        conn.execute(_ALLOCATE, [row | {"state": "active"} for row in rows])


def place_units(
    conn: Connection,
    order_id: str,
    planned: list[Planned],
    cancelled: tuple[UnitRange, ...] = (),
    replaced: tuple[UnitRange, ...] = (),
) -> None:
    """Write down where every unit is: in its shipment, cancelled, or replaced by an equal."""
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


def queue(
    conn: Connection, want: Wanted, waiting: Sequence[Planned], *, now: datetime, policy: Policy
) -> Mapping[str, date]:
    """Queue what waits; return by SKU until when."""
    if not waiting:
        return {}
    order, there = want.order, waiting[0].shipment.location_id  # one location for all that waits
    place = next(place for place in want.places if place.location_id == there)
    sku_of = {units.line_no: order.line(units.line_no).sku for part in waiting for units in part.units}
    until = sourcing.missing_until(
        conn,
        place,
        {sku: want.may_wait[sku] for sku in sku_of.values()},
        abroad=place.country != order.ship_to.country,
        now=now,
        policy=policy,
    )
    of_line: Counter[tuple[str, int]] = Counter()
    for part in waiting:
        for units in part.units:
            of_line[part.shipment.shipment_id, units.line_no] += units.count
    rows = [
        {
            "order_id": order.order_id,
            "line_no": line_no,
            "shipment_id": waits,
            "sku": sku_of[line_no],
            "location_id": there,
            "quantity": count,
            "promise_date": until[sku_of[line_no]],
            "placed_at": order.placed_at,
            "state": "waiting",
        }
        for (waits, line_no), count in of_line.items()
    ]
    conn.execute(_QUEUE, rows)
    return until


def hold_back(
    conn: Connection, want: Wanted, until: Mapping[str, date], *, now: datetime, policy: Policy
) -> bool:
    """Hold the order for what is missing. What is sold ahead was known to come later: nobody is asked about it."""
    if policy.shortage is Shortage.ASK:
        until = {sku: day for sku, day in until.items() if sku not in want.ahead}
    return shortages.hold_back(conn, want.order.order_id, until, now=now, policy=policy)
