"""The stock ledger: what is where, what is promised, and who is served when something arrives."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Engine, bindparam, func, select, text
from sqlalchemy.dialects.postgresql import insert

from fulfillment.crashpoints import crashpoint
from fulfillment.domain.address import Address
from fulfillment.domain.calendars import Calendar
from fulfillment.domain.catalogue import Product
from fulfillment.domain.errors import FulfillmentError
from fulfillment.domain.inventory import Deed, Level, Movement, StockNews, UnknownSku
from fulfillment.domain.location import Location
from fulfillment.domain.policy import DEFAULT, Policy
from fulfillment.domain.replenishment import ReplenishmentState
from fulfillment.domain.reservation import Reservation
from fulfillment.storage import (
    backorders,
    journal,
    late_receipts,
    locations,
    reservations,
    shortfall,
    substitutes,
)
from fulfillment.storage.claims import Claims
from fulfillment.storage.movements import Place, lock_levels, move
from fulfillment.storage.tables import locations as places
from fulfillment.storage.tables import (
    replenishment_orders,
    skus,
    stock_events,
    stock_levels,
    stock_movements,
)

_SKU: Final = insert(skus)
_UTC_WEEKDAYS: Final = Calendar()
_LEVEL: Final = insert(stock_levels)
_KEEP_LEVEL: Final = _LEVEL.on_conflict_do_nothing()
_LEVELS: Final = select(stock_levels).order_by(stock_levels.c.sku, stock_levels.c.location_id)
_FIRST_LOCATION: Final = (
    select(places.c.location_id).order_by(places.c.priority, places.c.location_id).limit(1)
)
_MOVED: Final = (
    select(stock_movements.c.sku)
    .where(
        stock_movements.c.location_id == bindparam("there"),
        stock_movements.c.sku.in_(bindparam("asked", expanding=True)),
        # How much is kept back moves nothing: the shelf has still to be filled for the first time.
        stock_movements.c.kind != Movement.SAFETY_STOCK.value,
    )
    .distinct()
)
_KNOWN: Final = select(func.count()).where(skus.c.sku == bindparam("the_sku"))
_PLACE: Final = select(func.count()).where(places.c.location_id == bindparam("the_place"))
_LATEST: Final = select(func.coalesce(func.max(stock_movements.c.movement_id), 0)).where(
    stock_movements.c.location_id == bindparam("there")
)
_NEWS: Final = (
    select(stock_events)
    .where(stock_events.c.event_id > bindparam("after"))
    .order_by(stock_events.c.event_id)
    .limit(bindparam("at_most"))
)
_ARRIVED: Final = text(
    """
    UPDATE replenishment_orders r SET
        received = r.received + o.part,
        state = CASE WHEN r.received + o.part = r.quantity THEN 'received' ELSE 'partially_received' END,
        received_at = CASE WHEN r.received + o.part = r.quantity THEN CAST(:at AS timestamptz) END
    FROM (
        SELECT replenishment_id, least(quantity - received, CAST(:quantity AS integer)) AS part
        FROM replenishment_orders WHERE replenishment_id = :replenishment_id AND state IN ('ordered', 'partially_received') FOR UPDATE
    ) o
    WHERE r.replenishment_id = o.replenishment_id
    RETURNING o.part, r.state
    """
)


class UnknownLocation(FulfillmentError):
    """There is no location of this id."""

    def __init__(self, location_id: str) -> None:
        super().__init__(f"there is no location {location_id}")
        self.location_id = location_id


class NoLocation(FulfillmentError):
    """There is nowhere to put stock yet."""

    def __init__(self) -> None:
        super().__init__("there is no location yet; add one before its stock")


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What a deed on stock came to; a repeat says the same.

    `filled` are the shipments that got units and wait for no more, `short` those that lost some and wait again.
    """

    filled: tuple[str, ...] = ()
    short: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StockEvent:
    """What is worth telling about a SKU at a location; `available` as it was then."""

    event_id: int
    kind: StockNews
    sku: str
    location_id: str
    available: int
    at: datetime


class StockStore:
    """Stock and its movements. Every operation has a key; under a key that was used nothing changes."""

    def __init__(self, engine: Engine, now: Callable[[], datetime], *, policy: Policy = DEFAULT) -> None:
        self._engine, self._now, self._policy = engine, now, policy
        self._reading = engine.execution_options(isolation_level="AUTOCOMMIT")  # saves a round trip
        self._claims = Claims(engine)

    def reserve(self, order_id: str) -> Reservation:
        """Claim every unit that is there, queue what may wait, cancel what will never come.

        Raises:
            UnknownOrder: there is no such order.
        """
        now = self._now()
        with self._reading.connect() as conn:
            wanted = reservations.wanted(conn, order_id, now=now, policy=self._policy)
            if wanted is None:
                return reservations.stored(conn, order_id)
        claimed = self._claims.claim(reservations.ask(wanted, now=now, policy=self._policy))
        crashpoint("reserve.after_claim")
        with self._engine.begin() as conn:
            planned = reservations.plan(conn, wanted, claimed, now=now, policy=self._policy)
            crashpoint("reserve.before_commit")
        crashpoint("reserve.after_commit")
        return planned

    def add_location(
        self,
        location_id: str,
        *,
        name: str,
        address: Address,
        priority: int,
        calendar: Calendar = _UTC_WEEKDAYS,
        daily_capacity: int | None = None,
        on_time: float | None = None,
    ) -> None:
        """Add a place that ships, or change all that is known of it; the lowest `priority` is asked first."""
        location = Location(
            location_id=location_id,
            name=name,
            address=address,
            priority=priority,
            calendar=calendar,
            daily_capacity=daily_capacity,
            on_time=on_time,
        )
        with self._engine.begin() as conn:
            locations.put(conn, location)

    def locations(self) -> tuple[Location, ...]:
        """Return every place that ships, the one asked first first."""
        with self._engine.connect() as conn:
            return locations.every(conn)

    def set_catalogue(self, products: Sequence[Product], *, by: str, location_id: str | None = None) -> None:
        """Add or change products. What they start with counts only where no stock of them has moved yet.

        Raises:
            NoLocation: stock needs a place.
        """
        if not products:
            return
        with self._engine.begin() as conn:
            place = location_id or conn.execute(_FIRST_LOCATION).scalar_one_or_none()
            if place is None:
                raise NoLocation
            _write_skus(conn, products)
            _write_levels(conn, products, place, by=by, at=self._now())
            self._start_with(conn, _untouched(conn, products, place), place, by=by)

    def set_substitutes(self, sku: str, instead: Sequence[str], *, by: str) -> None:
        """Let these be what may be sent instead of a SKU, the best first, and nothing else.

        Raises:
            UnknownSku: there is no such SKU.
            BadSubstitute: one is the SKU itself, not in the catalogue, listed twice or not sold any more.
        """
        with self._engine.begin() as conn:
            substitutes.put(conn, sku, instead)
            said = f"instead of {sku}: {', '.join(instead) or 'nothing'}"
            journal.audit(conn, None, actor=by, command="set_substitutes", outcome=said, at=self._now())

    def substitutes(self, sku: str) -> tuple[str, ...]:
        """Return what may be sent instead of a SKU, the best first.

        Raises:
            UnknownSku: there is no such SKU.
        """
        with self._engine.connect() as conn:
            if not conn.execute(_KNOWN, {"the_sku": sku}).scalar_one():
                raise UnknownSku(sku)
            return substitutes.of(conn, sku)

    def receive(
        self,
        sku: str,
        location_id: str,
        quantity: int,
        *,
        key: str,
        by: str,
        replenishment_id: str | None = None,
    ) -> Receipt:
        """Put arrived units on the shelf and serve the orders that wait for them, first come first.

        Raises:
            UnknownSku, UnknownLocation: there is no such SKU, or no such place.
        """
        place = sku, location_id
        with self._engine.begin() as conn:
            check_place(conn, place)
            # Orders are locked before stock, by everybody; so those that may be served come first.
            ready = backorders.lock_next(conn, place, arriving=quantity)
            if self._put_away(conn, place, quantity, key, by, replenishment_id):
                backorders.fill(conn, place, ready, key=key, by=by, now=self._now())
        # An order may have been queued while the units were put away.
        return served(self._engine, place, Deed(key=key, cause=key, by=by, at=self._now()))

    def adjust(self, sku: str, location_id: str, delta: int, *, key: str, by: str, reason: str) -> Receipt:
        """Correct what is on the shelf by `delta` units; those that were found serve the orders that wait.

        Where fewer are left than are promised, the youngest claims are released and wait again.

        Raises:
            UnknownSku, UnknownLocation: there is no such SKU, or no such place.
            InsufficientStock: there are not that many on the shelf.
            PackedAlready: what would be missing is in closed parcels.
        """
        deed = Deed(key=key, cause=reason, by=by, at=self._now())
        return correct(self._engine, (sku, location_id), delta, deed, policy=self._policy)

    def set_safety_stock(
        self, sku: str, location_id: str, units: int, *, key: str, by: str, reason: str
    ) -> Receipt:
        """Keep so many units back from new orders; what is promised already stays promised.

        Raises:
            UnknownSku, UnknownLocation: there is no such SKU, or no such place.
        """
        place = sku, location_id
        deed = Deed(key=key, cause=reason, by=by, at=self._now())
        with self._engine.begin() as conn:
            check_place(conn, place)
            (level,) = lock_levels(conn, [place])
            change(conn, Movement.SAFETY_STOCK, place, units - level.safety_stock, deed)
        return served(self._engine, place, deed)

    def news(self, after: int, limit: int) -> tuple[StockEvent, ...]:
        """Return what happened to stock after the event of this number, oldest first."""
        with self._engine.connect() as conn:
            rows = conn.execute(_NEWS, {"after": after, "at_most": limit}).mappings()
            return tuple(StockEvent(**{**row, "kind": StockNews(row["kind"])}) for row in rows)

    def levels(self, sku: str | None = None) -> tuple[Level, ...]:
        """Return what every location holds, of everything or of one SKU."""
        query = _LEVELS if sku is None else _LEVELS.where(stock_levels.c.sku == sku)
        with self._engine.connect() as conn:
            return tuple(Level(**row) for row in conn.execute(query).mappings())

    def _put_away(
        self, conn: Connection, place: Place, quantity: int, key: str, by: str, replenishment_id: str | None
    ) -> bool:
        at, cause = self._now(), replenishment_id or key
        if not move(conn, Movement.RECEIVED, {place: quantity}, key=key, cause=cause, by=by, at=at):
            return False
        if replenishment_id is not None:
            asked = {"replenishment_id": replenishment_id, "quantity": quantity, "at": at}
            if (arrived := conn.execute(_ARRIVED, asked).one_or_none()) and arrived.part:
                move(conn, Movement.EXPECTED, {place: -arrived.part}, key=key, cause=cause, by=by, at=at)
            if arrived and arrived.state == ReplenishmentState.RECEIVED:
                late_receipts.resolve(conn, replenishment_id, resolution="received", now=at)
        return True

    def _start_with(self, conn: Connection, products: Sequence[Product], place: str, *, by: str) -> None:
        key, at = f"start:{place}", self._now()
        shelf = {(p.sku, place): p.on_hand for p in products if p.on_hand}
        move(conn, Movement.ADJUSTED, shelf, key=key, cause=key, by=by, at=at)
        ordered = [p for p in products if p.on_order]
        if ordered:
            conn.execute(
                insert(replenishment_orders).on_conflict_do_nothing(),
                [_ordered(product, place, at) for product in ordered],
            )
            coming = {(p.sku, place): p.on_order for p in ordered}
            move(conn, Movement.EXPECTED, coming, key=key, cause=key, by=by, at=at)


def check_place(conn: Connection, place: Place) -> None:
    """Let a location have a level of this SKU, if there are both.

    Raises:
        UnknownSku, UnknownLocation: there is no such SKU, or no such place.
    """
    sku, location_id = place
    if not conn.execute(_KNOWN, {"the_sku": sku}).scalar_one():
        raise UnknownSku(sku)
    if not conn.execute(_PLACE, {"the_place": location_id}).scalar_one():
        raise UnknownLocation(location_id)
    conn.execute(_KEEP_LEVEL, {"sku": sku, "location_id": location_id})


def change(conn: Connection, kind: Movement, place: Place, quantity: int, deed: Deed) -> bool:
    """Move units of one SKU at one place; False when it was done before, or is nothing."""
    if not quantity:
        return False
    return bool(move(conn, kind, {place: quantity}, key=deed.key, cause=deed.cause, by=deed.by, at=deed.at))


def correct(engine: Engine, place: Place, delta: int, deed: Deed, *, policy: Policy) -> Receipt:
    """Correct what is on the shelf; raises as `StockStore.adjust` does."""

    def book(conn: Connection) -> None:
        check_place(conn, place)
        if delta < 0:
            shortfall.book(conn, Movement.ADJUSTED, place, delta, deed, policy=policy)
        else:
            change(conn, Movement.ADJUSTED, place, delta, deed)

    shortfall.in_one_piece(engine, book)
    return served(engine, place, deed)


def served(engine: Engine, place: Place, deed: Deed) -> Receipt:
    """Give what is free to those who wait, and return what the deed came to.

    After the deed is committed: orders are locked before stock. What a crash leaves out here, the sweep serves.
    """
    waiting = True
    while waiting:
        with engine.begin() as conn:
            waiting = backorders.serve(conn, place, key=deed.key, by=deed.by, now=deed.at)
    with engine.connect() as conn:
        return Receipt(
            filled=backorders.filled_by(conn, place, deed.key), short=shortfall.lost_by(conn, place, deed.key)
        )


def _write_skus(conn: Connection, products: Sequence[Product]) -> None:
    columns = [column.name for column in skus.columns]
    rows = [{name: getattr(product, name) for name in columns} for product in products]
    new = {name: _SKU.excluded[name] for name in columns if name != "sku"}
    conn.execute(_SKU.on_conflict_do_update(index_elements=["sku"], set_=new), rows)


def _write_levels(
    conn: Connection, products: Sequence[Product], place: str, *, by: str, at: datetime
) -> None:
    wanted = {(product.sku, place): product.safety_stock for product in products}
    conn.execute(_KEEP_LEVEL, [{"sku": sku, "location_id": place} for sku, _ in sorted(wanted)])
    levels = lock_levels(conn, wanted)
    there = {(level.sku, level.location_id): level.safety_stock for level in levels}
    changes = {where: units - there[where] for where, units in wanted.items() if units != there[where]}
    if changes:
        # Each import may set another number: the latest movement tells them apart, as the rows are locked.
        key = f"catalogue:{conn.execute(_LATEST, {'there': place}).scalar_one()}"
        move(conn, Movement.SAFETY_STOCK, changes, key=key, cause="catalogue", by=by, at=at)


def _untouched(conn: Connection, products: Sequence[Product], place: str) -> list[Product]:
    asked = sorted({product.sku for product in products})
    moved = set(conn.execute(_MOVED, {"there": place, "asked": asked}).scalars())
    return [product for product in products if product.sku not in moved]


def _ordered(product: Product, place: str, at: datetime) -> dict[str, Any]:
    return {
        "replenishment_id": f"start:{place}:{product.sku}",
        "sku": product.sku,
        "location_id": place,
        "vendor": product.vendor,
        "quantity": product.on_order,
        "ordered_at": at,
        "due_at": at + timedelta(days=product.lead_time_days),
        "state": "ordered",
    }
