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
from fulfillment.domain.inventory import Level, Movement, UnknownSku
from fulfillment.domain.location import Location
from fulfillment.domain.policy import DEFAULT, Policy
from fulfillment.domain.reservation import Reservation
from fulfillment.storage import backorders, locations, reservations
from fulfillment.storage.claims import Claims
from fulfillment.storage.movements import Place, move
from fulfillment.storage.tables import locations as places
from fulfillment.storage.tables import replenishment_orders, skus, stock_levels, stock_movements

_SKU: Final = insert(skus)
_UTC_WEEKDAYS: Final = Calendar()
_LEVEL: Final = insert(stock_levels)
_KEEP_LEVEL: Final = _LEVEL.on_conflict_do_nothing()
_LEVELS: Final = select(
    stock_levels.c.sku,
    stock_levels.c.location_id,
    stock_levels.c.on_hand,
    stock_levels.c.reserved,
    stock_levels.c.allocated,
    stock_levels.c.safety_stock,
    stock_levels.c.incoming,
).order_by(stock_levels.c.sku, stock_levels.c.location_id)
_FIRST_LOCATION: Final = (
    select(places.c.location_id).order_by(places.c.priority, places.c.location_id).limit(1)
)
_MOVED: Final = (
    select(stock_movements.c.sku)
    .where(
        stock_movements.c.location_id == bindparam("there"),
        stock_movements.c.sku.in_(bindparam("asked", expanding=True)),
    )
    .distinct()
)
_KNOWN: Final = select(func.count()).where(skus.c.sku == bindparam("the_sku"))
_PLACE: Final = select(func.count()).where(places.c.location_id == bindparam("the_place"))
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
    RETURNING o.part
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
    """What arriving units made whole: the shipments that no longer wait for stock."""

    filled: tuple[str, ...]


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
        with self._reading.connect() as conn:
            wanted = reservations.wanted(conn, order_id)
            if wanted is None:
                return reservations.stored(conn, order_id)
        now = self._now()
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
            _write_levels(conn, products, place)
            self._start_with(conn, _untouched(conn, products, place), place, by=by)

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
            _check(conn, sku, location_id)
            # Orders are locked before stock, by everybody; so those that may be served come first.
            ready = backorders.lock_next(conn, place, arriving=quantity)
            if self._put_away(conn, place, quantity, key, by, replenishment_id):
                backorders.fill(conn, place, ready, key=key, by=by, now=self._now())
        while self._serve(place, key, by):  # an order may have been queued while the units were put away
            pass
        with self._engine.connect() as conn:
            return Receipt(filled=backorders.filled_by(conn, place, key))

    def adjust(self, sku: str, location_id: str, delta: int, *, key: str, by: str, reason: str) -> None:
        """Correct what is on the shelf by `delta` units; those that were found serve the orders that wait.

        Raises:
            UnknownSku, UnknownLocation: there is no such SKU, or no such place.
            InsufficientStock: fewer units would be left than are promised.
        """
        place = sku, location_id
        with self._engine.begin() as conn:
            _check(conn, sku, location_id)
            conn.execute(_KEEP_LEVEL, {"sku": sku, "location_id": location_id})
            move(conn, Movement.ADJUSTED, {place: delta}, key=key, cause=reason, by=by, at=self._now())
        # After the commit: orders are locked before stock. What a crash leaves out here, the sweep serves.
        while delta > 0 and self._serve(place, key, by):
            pass

    def levels(self, sku: str | None = None) -> tuple[Level, ...]:
        """Return what every location holds, of everything or of one SKU."""
        query = _LEVELS if sku is None else _LEVELS.where(stock_levels.c.sku == sku)
        with self._engine.connect() as conn:
            return tuple(Level(**row) for row in conn.execute(query).mappings())

    def _put_away(
        self, conn: Connection, place: Place, quantity: int, key: str, by: str, replenishment_id: str | None
    ) -> bool:
        conn.execute(_KEEP_LEVEL, {"sku": place[0], "location_id": place[1]})
        at, cause = self._now(), replenishment_id or key
        if not move(conn, Movement.RECEIVED, {place: quantity}, key=key, cause=cause, by=by, at=at):
            return False
        if replenishment_id is not None:
            asked = {"replenishment_id": replenishment_id, "quantity": quantity, "at": at}
            if part := conn.execute(_ARRIVED, asked).scalar_one_or_none():
                move(conn, Movement.EXPECTED, {place: -part}, key=key, cause=cause, by=by, at=at)
        return True

    def _serve(self, place: Place, key: str, by: str) -> bool:
        """Serve who waits for what is there; return whether there was anybody."""
        with self._engine.begin() as conn:
            return backorders.serve(conn, place, key=key, by=by, now=self._now())

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


def _check(conn: Connection, sku: str, location_id: str) -> None:
    if not conn.execute(_KNOWN, {"the_sku": sku}).scalar_one():
        raise UnknownSku(sku)
    if not conn.execute(_PLACE, {"the_place": location_id}).scalar_one():
        raise UnknownLocation(location_id)


def _write_skus(conn: Connection, products: Sequence[Product]) -> None:
    columns = [column.name for column in skus.columns]
    rows = [{name: getattr(product, name) for name in columns} for product in products]
    new = {name: _SKU.excluded[name] for name in columns if name != "sku"}
    conn.execute(_SKU.on_conflict_do_update(index_elements=["sku"], set_=new), rows)


def _write_levels(conn: Connection, products: Sequence[Product], place: str) -> None:
    rows = [
        {"sku": product.sku, "location_id": place, "safety_stock": product.safety_stock}
        for product in sorted(products, key=lambda product: product.sku)
    ]
    new = {"safety_stock": _LEVEL.excluded.safety_stock}
    conn.execute(_LEVEL.on_conflict_do_update(index_elements=["sku", "location_id"], set_=new), rows)


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
