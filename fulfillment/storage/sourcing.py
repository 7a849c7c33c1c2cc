"""What sourcing reads: the levels of what is asked for and the locations they are at, locked or only looked at."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, bindparam, case, func, select

from fulfillment.domain.address import Address
from fulfillment.domain.calendars import Calendar
from fulfillment.domain.division import Boxes, Units, added_up
from fulfillment.domain.inventory import Level, UnknownSku
from fulfillment.domain.order import STANDARD, OrderLine, UnitRange
from fulfillment.domain.policy import DEFAULT, Policy, Shortage
from fulfillment.domain.promise import CartPart, CartPromise, promised, stock_expected
from fulfillment.domain.replenishment import COMING
from fulfillment.domain.shipment import ON_THE_FLOOR
from fulfillment.domain.sourcing import Decision, Site, Sourced, source, waits_at
from fulfillment.storage import boxes, sourcing_decisions
from fulfillment.storage.boxes import GOODS
from fulfillment.storage.locations import CALENDAR, calendar_from
from fulfillment.storage.tables import (
    backorders,
    locations,
    replenishment_orders,
    shipments,
    skus,
    stock_levels,
)
from fulfillment.storage.transits import usual_days
from fulfillment.storage.verification import catalogue

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
_LEVELS: Final = (
    select(
        stock_levels,
        (
            select(func.coalesce(func.sum(backorders.c.quantity - backorders.c.filled), 0))
            .where(
                backorders.c.state == "waiting",
                backorders.c.sku == stock_levels.c.sku,
                backorders.c.location_id == stock_levels.c.location_id,
            )
            .scalar_subquery()
        ).label("owed"),
    )
    .where(stock_levels.c.sku.in_(bindparam("asked", expanding=True)))
    .order_by(stock_levels.c.sku, stock_levels.c.location_id)
)
_SITES: Final = select(*_PLACE, _FULL).order_by(locations.c.priority, locations.c.location_id)
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
    *GOODS,
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
    """A location that ships: where it is, when it works, and how sourcing sees it."""

    site: Site
    calendar: Calendar

    @property
    def location_id(self) -> str:
        """Its name."""
        return self.site.location_id

    @property
    def country(self) -> str:
        """Where it is, ISO 3166-1 alpha-2; empty where that is not known."""
        return self.site.country


def places(conn: Connection) -> tuple[Place, ...]:
    """Return every location, by the shop's priority."""
    return tuple(_place(row) for row in conn.execute(_SITES))


def levels(conn: Connection, asked: Collection[str]) -> tuple[list[Level], dict[str, int]]:
    """Return the levels of these SKUs as they are, and by SKU how many units those who wait still lack.

    What they lack counts as reserved: units that were let go or found are theirs, and nobody overtakes them.
    """
    found: list[Level] = []
    owed: dict[str, int] = {}
    for row in conn.execute(_LEVELS, {"asked": sorted(asked)}):
        columns = {name: value for name, value in row._mapping.items() if name != "owed"}
        found.append(replace(Level(**columns), reserved=row.reserved + row.owed))
        owed[row.sku] = owed.get(row.sku, 0) + row.owed
    return found, owed


def terms(conn: Connection, asked: Collection[str]) -> dict[str, Terms]:
    """Return how units of these SKUs may wait, of those that may."""
    return {
        row.sku: Terms(limit=row.backorder_limit, available_from=row.available_from)
        for row in conn.execute(_SKUS, {"asked": sorted(asked)})
        if row.may_wait
    }


def available_from(conn: Connection, asked: Collection[str]) -> dict[str, date | None]:
    """Return the day from which these SKUs may leave; None where they always may."""
    return {row.sku: row.available_from for row in conn.execute(_SKUS, {"asked": sorted(asked)})}


def sold_ahead(days: Mapping[str, date | None], *, now: datetime) -> dict[str, date]:
    """Return of these SKUs those whose day has not come yet, in UTC."""
    today = now.astimezone(UTC).date()
    return {sku: day for sku, day in days.items() if day is not None and day > today}


def waitable(terms: Mapping[str, Terms], *, now: datetime, policy: Policy) -> dict[str, Terms]:
    """Return of these terms those that the policy lets count: where nothing waits, only what is sold ahead does."""
    if policy.shortage is not Shortage.CANCEL:
        return dict(terms)
    ahead = sold_ahead({sku: its.available_from for sku, its in terms.items()}, now=now)
    return {sku: its for sku, its in terms.items() if sku in ahead}


def rooms(terms: Mapping[str, Terms], owed: Mapping[str, int]) -> dict[str, int | None]:
    """Return by SKU how many units more may wait; None is any number."""
    return {sku: _room(its.limit, owed.get(sku, 0)) for sku, its in terms.items()}


def comes_in_at(
    conn: Connection,
    lines: Sequence[OrderLine],
    waiting: Sequence[UnitRange],
    everywhere: Sequence[Place],
    *,
    ship_to: Address,
    policy: Policy,
) -> Place:
    """Return where units that wait should be expected."""
    sku_of = {line.line_no: line.sku for line in lines}
    found, _ = levels(conn, {sku_of[units.line_no] for units in waiting})
    there = {level.location_id for level in found}
    sites = [place.site for place in everywhere if place.location_id in there]
    best = waits_at(lines, waiting, levels=found, sites=sites, ship_to=ship_to, policy=policy)
    return next((place for place in everywhere if place.location_id == best), everywhere[0])


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


def _room(limit: int | None, waiting: int) -> int | None:
    if limit is None:
        return None
    return limit - waiting if limit > waiting else 0


def _place(row: _Row) -> Place:
    site = Site(
        location_id=row.location_id,
        priority=row.priority,
        country=row.country or "",
        region=row.region or "",
        on_time=row.on_time,
        full=row.full,
    )
    return Place(site=site, calendar=calendar_from(row))


class SourcingStore:
    """Answers what would ship from where, without claiming anything. `now` is shop time."""

    def __init__(self, engine: Engine, now: Callable[[], datetime], *, policy: Policy = DEFAULT) -> None:
        self._engine, self._now, self._policy = engine, now, policy

    def decisions(self, order_id: str) -> tuple[Decision, ...]:
        """Return why an order ships from where it does, as it was decided when it was placed and changed."""
        with self._engine.connect() as conn:
            return sourcing_decisions.of_order(conn, order_id)

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
            waiting = waitable(waiting, now=self._now(), policy=self._policy)
            everywhere = places(conn)
            found, owed = levels(conn, cart)
            goods = Boxes([boxes.goods_from(row) for row in known.values()], catalogue(conn))
            sourced = source(
                lines,
                levels=found,
                sites=[place.site for place in everywhere],
                ship_to=ship_to,
                may_wait=rooms(waiting, owed),
                policy=self._policy,
                parcels=lambda units: goods.share(units, cart),
            )
            days = {row.sku: row.available_from for row in known.values()}
            return self._promise(conn, sourced, everywhere, lines, ship_to, waiting, days, goods)

    def _promise(
        self,
        conn: Connection,
        sourced: Sourced,
        everywhere: Sequence[Place],
        lines: tuple[OrderLine, ...],
        ship_to: Address,
        waiting: Mapping[str, Terms],
        days: Mapping[str, date | None],
        goods: Boxes,
    ) -> CartPromise:
        sku_of = {line.line_no: line.sku for line in lines}
        place_of = {place.location_id: place for place in everywhere}
        parts = [
            CartPart(
                location_id=place_id,
                units=parcel,
                promise_date=promised(
                    now=self._now(),
                    calendar=place_of[place_id].calendar,
                    abroad=place_of[place_id].country != ship_to.country,
                    policy=self._policy,
                    days=self._days(conn, place_of[place_id], ship_to),
                    not_before=max((day for sku in parcel if (day := days[sku])), default=None),
                ),
                waits_for_stock=False,
            )
            for place_id, units in sourced.from_location.items()
            for parcel in goods.divide(added_up(units, sku_of)).parcels
        ]
        if sourced.backordered:
            place = comes_in_at(
                conn, lines, sourced.backordered, everywhere, ship_to=ship_to, policy=self._policy
            )
            late = goods.divide(added_up(sourced.backordered, sku_of)).parcels
            parts += [self._waiting_part(conn, place, units, ship_to, waiting) for units in late]
        return CartPromise(
            parts=tuple(parts),
            promise_date=max((part.promise_date for part in parts), default=None),
            short=sourced.short,
            candidates=sourced.candidates,
            why="; ".join([sourced.why, *sourcing_decisions.divided(sourced, lines, goods)]),
        )

    def _days(self, conn: Connection, place: Place, to: Address) -> int:
        """Return how many working days a cart's parcels take from here, by the service that most orders take."""
        abroad, now = place.country != to.country, self._now()
        return usual_days(
            conn, place.location_id, to, STANDARD, abroad=abroad, now=now, policy=self._policy
        ).days

    def _waiting_part(
        self,
        conn: Connection,
        place: Place,
        units: Units,
        ship_to: Address,
        waiting: Mapping[str, Terms],
    ) -> CartPart:
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


def _line(n: int, sku: str, units: int, known: Mapping[str, _Row]) -> OrderLine:
    if sku not in known:
        raise UnknownSku(sku)
    row = known[sku]
    return OrderLine(line_no=n, sku=sku, name=row.name, quantity=units, unit_price=row.price)
