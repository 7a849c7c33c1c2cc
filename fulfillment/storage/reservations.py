"""Claiming stock for a new order: what is there is reserved, what may wait is queued, the rest is cancelled."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, func, insert, select, update

from fulfillment.domain.inventory import Level, Movement, ShortLine
from fulfillment.domain.notifications import Fact
from fulfillment.domain.order import Order, OrderLine, OrderStatus, Outcome, UnitRange
from fulfillment.domain.policy import Policy
from fulfillment.domain.promise import promised, ship_by
from fulfillment.domain.reservation import PlannedShipment, Reservation
from fulfillment.domain.shipment import WaitsFor, WorkStatus, shipment_id
from fulfillment.domain.sourcing import Sourced, source
from fulfillment.storage import backorders as backorder_queue
from fulfillment.storage import holds, journal
from fulfillment.storage.movements import Place, move
from fulfillment.storage.orders import OUT_OF_STOCK, line_from, lock_order, order_from, short_lines
from fulfillment.storage.tables import (
    backorders,
    locations,
    order_lines,
    orders,
    reservations,
    shipments,
    skus,
    stock_levels,
    unit_ranges,
)

_LINES: Final = (
    select(
        order_lines,
        (skus.c.backorderable & ~skus.c.archived).label("may_wait"),
        holds.any_active(bindparam("the_order")).label("held"),
    )
    .join(skus, skus.c.sku == order_lines.c.sku)
    .where(order_lines.c.order_id == bindparam("the_order"))
    .order_by(order_lines.c.line_no)
)
_READ_LEVELS: Final = (
    select(
        stock_levels.c.sku,
        stock_levels.c.location_id,
        stock_levels.c.on_hand,
        stock_levels.c.reserved,
        stock_levels.c.allocated,
        stock_levels.c.damaged,
        stock_levels.c.quarantine,
        stock_levels.c.held,
        stock_levels.c.safety_stock,
        locations.c.priority,
    )
    .join(locations, locations.c.location_id == stock_levels.c.location_id)
    .where(stock_levels.c.sku.in_(bindparam("asked", expanding=True)))
    .order_by(stock_levels.c.sku, stock_levels.c.location_id)
)
_LOCK_LEVELS: Final = _READ_LEVELS.with_for_update(of=stock_levels)
_FIRST_LOCATION: Final = (
    select(locations.c.location_id, locations.c.address["country"].astext.label("country"))
    .order_by(locations.c.priority, locations.c.location_id)
    .limit(1)
)
_RESERVE: Final = insert(reservations)
_PLAN: Final = insert(shipments)
_QUEUE: Final = insert(backorders)
_PLACE_UNITS: Final = insert(unit_ranges)
_BECOME: Final = update(orders).where(orders.c.order_id == bindparam("the_order"))
_PLANNED: Final = (
    select(
        shipments.c.shipment_id,
        shipments.c.location_id,
        shipments.c.value,
        shipments.c.waits_for,
        func.coalesce(func.sum(unit_ranges.c.quantity), 0).label("units"),
    )
    .outerjoin(unit_ranges, unit_ranges.c.shipment_id == shipments.c.shipment_id)
    .where(shipments.c.order_id == bindparam("the_order"))
    .group_by(shipments.c.shipment_id)
    .order_by(shipments.c.n)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Planned:
    """A shipment to be and the units in it."""

    n: int
    shipment: PlannedShipment
    units: tuple[UnitRange, ...]


def reserve(conn: Connection, order_id: str, *, now: datetime, policy: Policy) -> Reservation:
    """Claim the order's stock in this transaction; a repeat returns what the first call found."""
    row = lock_order(conn, order_id)
    if row.status != OrderStatus.RECEIVED:
        return _stored(conn, order_id)
    found = conn.execute(_LINES, {"the_order": order_id}).all()
    order = order_from(row, [line_from(line) for line in found])
    sourced = _source(conn, order.lines, frozenset(line.sku for line in found if line.may_wait))
    planned = _plan(order, sourced.from_location)
    _claim(conn, order, sourced, planned, now=now, policy=policy)
    waiting = _queue(conn, order, sourced, n=len(planned) + 1, now=now, policy=policy)
    _place_units(conn, order_id, [*planned, *waiting], sourced.cancelled)
    _become(conn, order, sourced, shipped=bool(planned or waiting), now=now)
    return Reservation(
        order_id=order_id,
        shipments=tuple(part.shipment for part in [*planned, *waiting]),
        short=sourced.short,
        holds=holds.active(conn, order_id) if found[0].held else (),
    )


def _source(conn: Connection, lines: tuple[OrderLine, ...], backorderable: frozenset[str]) -> Sourced:
    skus_asked = sorted({line.sku for line in lines})
    rows = conn.execute(_LOCK_LEVELS, {"asked": skus_asked}).all()
    # Read once the levels are locked, so that nobody is being served meanwhile. What those who wait still
    # lack counts as reserved: units that were let go or found are theirs, and a new order does not overtake.
    owed = backorder_queue.owed(conn, skus_asked)
    levels = [
        Level(
            sku=row.sku,
            location_id=row.location_id,
            on_hand=row.on_hand,
            reserved=row.reserved + owed.get((row.sku, row.location_id), 0),
            allocated=row.allocated,
            damaged=row.damaged,
            quarantine=row.quarantine,
            held=row.held,
            safety_stock=row.safety_stock,
        )
        for row in rows
    ]
    priority = sorted({(row.priority, row.location_id) for row in rows})
    names = [location_id for _, location_id in priority]
    return source(lines, levels=levels, priority=names, backorderable=backorderable)


def _plan(order: Order, from_location: Mapping[str, tuple[UnitRange, ...]]) -> list[_Planned]:
    return [
        _planned(order, n, location_id, units, WaitsFor.PAYMENT)
        for n, (location_id, units) in enumerate(from_location.items(), start=1)
    ]


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


def _claim(
    conn: Connection,
    order: Order,
    sourced: Sourced,
    planned: list[_Planned],
    *,
    now: datetime,
    policy: Policy,
) -> None:
    if not planned:
        return
    amounts = _amounts(order, sourced.from_location)
    key = f"{order.order_id}:reserve"
    move(conn, Movement.RESERVED, amounts, key=key, cause=order.order_id, by=order.channel, at=now)
    claims = [
        {"order_id": order.order_id, "sku": sku, "location_id": location, "quantity": n, "state": "active"}
        for (sku, location), n in amounts.items()
    ]
    conn.execute(_RESERVE, claims)
    _write(conn, order.order_id, planned, now=now, policy=policy)


def _amounts(order: Order, from_location: Mapping[str, tuple[UnitRange, ...]]) -> dict[Place, int]:
    amounts: dict[Place, int] = {}
    for location_id, units in from_location.items():
        for part in units:
            place = order.line(part.line_no).sku, location_id
            amounts[place] = amounts.get(place, 0) + part.count
    return amounts


def _write(
    conn: Connection, order_id: str, planned: list[_Planned], *, now: datetime, policy: Policy
) -> None:
    rows = [
        {
            "shipment_id": part.shipment.shipment_id,
            "order_id": order_id,
            "n": part.n,
            "location_id": part.shipment.location_id,
            "work_status": WorkStatus.SCHEDULED.value,
            "waits_for": part.shipment.waits_for.value,
            "value": part.shipment.value,
            "ship_by": ship_by(now=now, policy=policy),
        }
        for part in planned
    ]
    conn.execute(_PLAN, rows)


def _queue(
    conn: Connection, order: Order, sourced: Sourced, *, n: int, now: datetime, policy: Policy
) -> list[_Planned]:
    """Queue what may wait: one shipment at the first location, whose receipts it waits for."""
    if not sourced.backordered:
        return []
    place = conn.execute(_FIRST_LOCATION).one()
    part = _planned(order, n, place.location_id, sourced.backordered, WaitsFor.STOCK)
    _write(conn, order.order_id, [part], now=now, policy=policy)
    promise_date = promised(
        now=now, abroad=place.country != order.ship_to.country, waits_for_stock=True, policy=policy
    )
    rows = [
        {
            "order_id": order.order_id,
            "line_no": units.line_no,
            "shipment_id": part.shipment.shipment_id,
            "sku": order.line(units.line_no).sku,
            "location_id": place.location_id,
            "quantity": units.count,
            "promise_date": promise_date,
            "placed_at": order.placed_at,
            "state": "waiting",
        }
        for units in sourced.backordered
    ]
    conn.execute(_QUEUE, rows)
    return [part]


def _place_units(
    conn: Connection, order_id: str, planned: list[_Planned], cancelled: tuple[UnitRange, ...]
) -> None:
    placed = [(units, part.shipment.shipment_id, None) for part in planned for units in part.units]
    gone = [(units, None, OUT_OF_STOCK) for units in cancelled]
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
    conn.execute(_PLACE_UNITS, rows)


def _become(conn: Connection, order: Order, sourced: Sourced, *, shipped: bool, now: datetime) -> None:
    order_id = order.order_id
    if not shipped:
        _reject(conn, order_id, sourced.short, now=now)
        return
    conn.execute(_BECOME, {"the_order": order_id, "status": OrderStatus.RESERVED.value})
    if gone := [line for line in sourced.short if line.cancelled]:
        text = f"Not in stock any more and taken off your order: {_listed(gone)}."
        journal.event(conn, order_id, "part_cancelled", text, at=now)


def _reject(conn: Connection, order_id: str, short: tuple[ShortLine, ...], *, now: datetime) -> None:
    values = {"status": OrderStatus.REJECTED.value, "outcome": Outcome.REJECTED.value, "placed": "short"}
    conn.execute(_BECOME, {"the_order": order_id, **values})
    text = "None of what you ordered is in stock, so we cancelled the order."
    journal.event(conn, order_id, "rejected", text, at=now)
    data = {"reason": OUT_OF_STOCK, "released": 0}
    journal.tell(conn, order_id, Fact.CANCELLED, subject=order_id, version=1, data=data, now=now)


def _listed(short: Iterable[ShortLine]) -> str:
    return ", ".join(f"{line.cancelled} × {line.sku}" for line in short)


def _stored(conn: Connection, order_id: str) -> Reservation:
    return Reservation(
        order_id=order_id,
        shipments=tuple(_as_planned(row) for row in conn.execute(_PLANNED, {"the_order": order_id})),
        short=short_lines(conn, order_id),
        holds=holds.active(conn, order_id),
    )


def _as_planned(row: Row[*tuple[Any, ...]]) -> PlannedShipment:
    return PlannedShipment(
        shipment_id=row.shipment_id,
        location_id=row.location_id,
        value=row.value,
        units=row.units,
        waits_for=WaitsFor(row.waits_for),
    )
