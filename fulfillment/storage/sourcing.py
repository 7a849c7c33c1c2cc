"""What sourcing reads: the levels of what is asked for and the locations they are at, locked or only looked at."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, bindparam, case, func, select

from fulfillment.domain.address import Address
from fulfillment.domain.calendars import Calendar
from fulfillment.domain.inventory import Level, UnknownSku
from fulfillment.domain.order import OrderLine
from fulfillment.domain.policy import DEFAULT, Policy
from fulfillment.domain.promise import CartPart, CartPromise, promised, stock_expected
from fulfillment.domain.replenishment import COMING
from fulfillment.domain.shipment import ON_THE_FLOOR
from fulfillment.domain.sourcing import Site, Sourced, source
from fulfillment.storage import backorders as backorder_queue
from fulfillment.storage.locations import CALENDAR, calendar_from
from fulfillment.storage.tables import locations, replenishment_orders, shipments, skus, stock_levels

_WORK: Final = (
    select(func.count())
    .select_from(shipments)
    .where(
        shipments.c.location_id == locations.c.location_id,
        shipments.c.work_status.in_([status.value for status in ON_THE_FLOOR]),
    )
    .scalar_subquery()
)
_FULL: Final = case(
    (locations.c.daily_capacity.is_(None), False), else_=locations.c.daily_capacity <= _WORK
).label("full")
_PLACE: Final = (
    locations.c.location_id,
    locations.c.priority,
    locations.c.on_time,
    locations.c.address["country"].astext.label("country"),
    locations.c.address["region"].astext.label("region"),
    *CALENDAR,
)
_READ_LEVELS: Final = (
    select(
        stock_levels.c.sku,
        stock_levels.c.on_hand,
        stock_levels.c.reserved,
        stock_levels.c.allocated,
        stock_levels.c.safety_stock,
        stock_levels.c.incoming,
        *_PLACE,
        _FULL,
    )
    .join(locations, locations.c.location_id == stock_levels.c.location_id)
    .where(stock_levels.c.sku.in_(bindparam("asked", expanding=True)))
    .order_by(stock_levels.c.sku, stock_levels.c.location_id)
)
_LOCK_LEVELS: Final = _READ_LEVELS.with_for_update(of=stock_levels)
_FIRST_LOCATION: Final = select(*_PLACE).order_by(locations.c.priority, locations.c.location_id).limit(1)
_EXPECTED: Final = (
    select(replenishment_orders.c.sku, func.min(replenishment_orders.c.due_at).label("due_at"))
    .where(
        replenishment_orders.c.location_id == bindparam("there"),
        replenishment_orders.c.sku.in_(bindparam("asked", expanding=True)),
        replenishment_orders.c.state.in_(sorted(COMING)),
    )
    .group_by(replenishment_orders.c.sku)
)
_SKUS: Final = select(
    skus.c.sku,
    skus.c.name,
    skus.c.price,
    skus.c.backorder_limit,
    skus.c.available_from,
    (skus.c.backorderable & ~skus.c.archived).label("may_wait"),
).where(skus.c.sku.in_(bindparam("asked", expanding=True)))

_Row = Row[*tuple[Any, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How units of a SKU may wait for stock; nothing waits beyond `limit`, None is no limit."""

    limit: int | None = None
    available_from: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A location that ships a part: where it is and when it works."""

    location_id: str
    country: str
    calendar: Calendar


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What ships from where, and where what is missing will come in; None where nothing waits."""

    sourced: Sourced
    places: Mapping[str, Place]
    waits_at: Place | None


def plan(
    conn: Connection,
    lines: Sequence[OrderLine],
    *,
    ship_to: Address,
    may_wait: Mapping[str, Terms],
    policy: Policy,
    lock: bool,
) -> Plan:
    """Source these lines. With `lock` the levels stay as they were read until the transaction ends."""
    asked = sorted({line.sku for line in lines})
    rows = conn.execute(_LOCK_LEVELS if lock else _READ_LEVELS, {"asked": asked}).all()
    # Read once the levels are locked, so that nobody is being served meanwhile. What those who wait still
    # lack counts as reserved: units that were let go or found are theirs, and a new order does not overtake.
    owed = backorder_queue.owed(conn, asked)
    sourced = source(
        lines,
        levels=[_level(row, owed.get((row.sku, row.location_id), 0)) for row in rows],
        sites=list({row.location_id: _site(row) for row in rows}.values()),
        ship_to=ship_to,
        may_wait={sku: _room(sku, terms, owed) for sku, terms in may_wait.items()},
        policy=policy,
    )
    places = {row.location_id: _place(row) for row in rows}
    return Plan(sourced=sourced, places=places, waits_at=_waits_at(conn, sourced, places))


def missing_until(
    conn: Connection,
    place: Place,
    may_wait: Mapping[str, Terms],
    *,
    abroad: bool,
    now: datetime,
    policy: Policy,
) -> dict[str, date]:
    """Return by SKU the day on which what waits at this place should reach its recipient."""
    asked = {"there": place.location_id, "asked": sorted(may_wait)}
    due = {row.sku: row.due_at.date() for row in conn.execute(_EXPECTED, asked)}
    return {
        sku: promised(
            now=now,
            calendar=place.calendar,
            abroad=abroad,
            policy=policy,
            not_before=stock_expected(
                now=now, due=due.get(sku), available_from=terms.available_from, policy=policy
            ),
        )
        for sku, terms in may_wait.items()
    }


def _waits_at(conn: Connection, sourced: Sourced, places: Mapping[str, Place]) -> Place | None:
    if not sourced.backordered:
        return None
    if sourced.waits_at is not None:
        return places[sourced.waits_at]
    return _place(conn.execute(_FIRST_LOCATION).one())


def _room(sku: str, terms: Terms, owed: Mapping[tuple[str, str], int]) -> int | None:
    if terms.limit is None:
        return None
    waiting = sum(units for (what, _), units in owed.items() if what == sku)
    return terms.limit - waiting if terms.limit > waiting else 0


def _level(row: _Row, owed: int) -> Level:
    return Level(
        sku=row.sku,
        location_id=row.location_id,
        on_hand=row.on_hand,
        reserved=row.reserved + owed,
        allocated=row.allocated,
        safety_stock=row.safety_stock,
        incoming=row.incoming,
    )


def _site(row: _Row) -> Site:
    return Site(
        location_id=row.location_id,
        priority=row.priority,
        country=row.country or "",
        region=row.region or "",
        on_time=row.on_time,
        full=row.full,
    )


def _place(row: _Row) -> Place:
    return Place(location_id=row.location_id, country=row.country or "", calendar=calendar_from(row))


class SourcingStore:
    """Answers what would ship from where, without claiming anything. `now` is shop time."""

    def __init__(self, engine: Engine, now: Callable[[], datetime], *, policy: Policy = DEFAULT) -> None:
        self._engine, self._now, self._policy = engine, now, policy

    def promise(self, cart: Mapping[str, int], ship_to: Address) -> CartPromise:
        """Return what a cart of SKUs and quantities would become if it were ordered now; nothing is kept.

        Raises:
            UnknownSku: the catalogue has no such SKU.
        """
        with self._engine.connect() as conn:
            known = {row.sku: row for row in conn.execute(_SKUS, {"asked": sorted(cart)})}
            lines = tuple(_line(n, sku, units, known) for n, (sku, units) in enumerate(cart.items(), start=1))
            waiting = {
                row.sku: Terms(limit=row.backorder_limit, available_from=row.available_from)
                for row in known.values()
                if row.may_wait
            }
            planned = plan(conn, lines, ship_to=ship_to, may_wait=waiting, policy=self._policy, lock=False)
            return self._promise(conn, planned, lines, ship_to, waiting)

    def _promise(
        self,
        conn: Connection,
        planned: Plan,
        lines: tuple[OrderLine, ...],
        ship_to: Address,
        waiting: Mapping[str, Terms],
    ) -> CartPromise:
        sku_of = {line.line_no: line.sku for line in lines}
        sourced, now = planned.sourced, self._now()
        parts = [
            CartPart(
                location_id=place_id,
                units={sku_of[part.line_no]: part.count for part in units},
                promise_date=promised(
                    now=now,
                    calendar=planned.places[place_id].calendar,
                    abroad=planned.places[place_id].country != ship_to.country,
                    policy=self._policy,
                ),
                waits_for_stock=False,
            )
            for place_id, units in sourced.from_location.items()
        ]
        if planned.waits_at is not None:
            parts.append(self._waiting_part(conn, planned.waits_at, sourced, sku_of, ship_to, waiting))
        return CartPromise(
            parts=tuple(parts),
            promise_date=max((part.promise_date for part in parts), default=None),
            short=sourced.short,
            candidates=sourced.candidates,
            why=sourced.why,
        )

    def _waiting_part(
        self,
        conn: Connection,
        place: Place,
        sourced: Sourced,
        sku_of: Mapping[int, str],
        ship_to: Address,
        waiting: Mapping[str, Terms],
    ) -> CartPart:
        units = {sku_of[part.line_no]: part.count for part in sourced.backordered}
        until = missing_until(
            conn,
            place,
            {sku: waiting[sku] for sku in units},
            abroad=place.country != ship_to.country,
            now=self._now(),
            policy=self._policy,
        )
        return CartPart(
            location_id=place.location_id,
            units=units,
            promise_date=max(until.values()),
            waits_for_stock=True,
        )


def _line(n: int, sku: str, units: int, known: Mapping[str, Row[Any]]) -> OrderLine:
    if sku not in known:
        raise UnknownSku(sku)
    row = known[sku]
    return OrderLine(line_no=n, sku=sku, name=row.name, quantity=units, unit_price=row.price)
