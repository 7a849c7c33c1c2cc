"""What runs low, ordered from its vendor and expected until it arrives."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, bindparam, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as pg_insert

from fulfillment.domain.inventory import Movement
from fulfillment.domain.policy import DEFAULT, Policy
from fulfillment.domain.replenishment import (
    COMING,
    NEXT,
    ByHand,
    Demand,
    LeadTime,
    NotFromHere,
    Ordered,
    Reckoned,
    ReplenishmentState,
    ShelfPoint,
    StockRow,
    UnknownReplenishment,
    days_of_supply,
    reckon,
)
from fulfillment.storage import late_receipts, locks
from fulfillment.storage.movements import AVAILABLE, lock_levels, move
from fulfillment.storage.orders import OUT_OF_STOCK
from fulfillment.storage.tables import replenishment_orders, skus, stock_levels

_BY: Final = "replenishment"
_PREFIX: Final = "RO-"

# Every place where a SKU is kept or waited for, with what was asked of it on each whole day (UTC) of the last while.
# Asked for is what was shipped, what began to wait, and what was refused; what left after it had waited counts once.
# A day on which nothing was there and nobody asked says nothing about demand and is left out. What was refused was
# nowhere: it counts for the location that is asked first. Safety stock is no part of the position: no order may claim
# it. What is suggested counts as ordered, or it would be suggested again.
_PLACES: Final = text(
    f"""
    WITH asked AS (
        SELECT sku, location_id, day, sum(units) AS units, count(*) AS sales FROM (
            SELECT m.sku, m.location_id, (m.at AT TIME ZONE 'UTC')::date AS day, -m.on_hand AS units
            FROM stock_movements m
            WHERE m.kind = 'shipped' AND m.at >= :since AND NOT EXISTS (
                SELECT FROM backorders b WHERE b.shipment_id = m.cause AND b.sku = m.sku
            )
            UNION ALL
            SELECT b.sku, b.location_id, (o.accepted_at AT TIME ZONE 'UTC')::date, b.quantity
            FROM backorders b JOIN orders o USING (order_id) WHERE o.accepted_at >= :since
            UNION ALL
            SELECT l.sku, f.location_id, (o.accepted_at AT TIME ZONE 'UTC')::date, u.quantity
            FROM unit_ranges u
            JOIN order_lines l USING (order_id, line_no)
            JOIN orders o USING (order_id)
            CROSS JOIN (SELECT location_id FROM locations ORDER BY priority, location_id LIMIT 1) f
            WHERE u.cancelled_reason = :out_of_stock AND o.accepted_at >= :since
        ) a GROUP BY sku, location_id, day
    ), shelf AS (
        SELECT sku, location_id, (at AT TIME ZONE 'UTC')::date AS day,
            sum(on_hand) AS net, bool_or(on_hand > 0) AS arrived
        FROM stock_movements WHERE at >= :since AND on_hand <> 0 GROUP BY sku, location_id, day
    ), days AS (
        SELECT f.sku, f.location_id, d::date AS day
        FROM (
            SELECT sku, location_id, min(day) AS first_day FROM (
                SELECT sku, location_id, (min(at) AT TIME ZONE 'UTC')::date AS day
                FROM stock_movements GROUP BY sku, location_id
                UNION ALL
                SELECT sku, location_id, day FROM asked
            ) e GROUP BY sku, location_id
        ) f
        CROSS JOIN generate_series(
            greatest(f.first_day, CAST(:first_day AS date)), CAST(:today AS date), interval '1 day'
        ) d
    ), lived AS (
        SELECT d.sku, d.location_id, d.day, coalesce(a.units, 0) AS units, coalesce(a.sales, 0) AS sales,
            coalesce(h.arrived, false) AS arrived,
            s.on_hand - sum(coalesce(h.net, 0)) OVER (
                PARTITION BY d.sku, d.location_id ORDER BY d.day DESC
            ) AS opened_with
        FROM days d
        JOIN stock_levels s ON s.sku = d.sku AND s.location_id = d.location_id
        LEFT JOIN asked a ON a.sku = d.sku AND a.location_id = d.location_id AND a.day = d.day
        LEFT JOIN shelf h ON h.sku = d.sku AND h.location_id = d.location_id AND h.day = d.day
    ), demand AS (
        SELECT sku, location_id, count(*) AS days, sum(sales) AS sales, avg(units) AS per_day,
            coalesce(stddev_samp(units), 0) AS deviation
        FROM lived
        WHERE day < CAST(:today AS date) AND (opened_with > 0 OR arrived OR units > 0)
        GROUP BY sku, location_id
    ), lead AS (
        SELECT sku, avg(days) AS days, coalesce(stddev_samp(days), 0) AS deviation FROM (
            SELECT sku, extract(epoch FROM received_at - ordered_at) / 86400 AS days,
                row_number() OVER (PARTITION BY sku ORDER BY received_at DESC, replenishment_id) AS n
            FROM replenishment_orders WHERE received_at IS NOT NULL
        ) r WHERE n <= 10 GROUP BY sku
    ), waiting AS (
        SELECT sku, location_id, sum(quantity - filled) AS units
        FROM backorders WHERE state = 'waiting' GROUP BY sku, location_id
    ), opened AS (
        SELECT sku, location_id, min(due_at) FILTER (WHERE state <> 'suggested') AS due_at,
            coalesce(sum(quantity) FILTER (WHERE state = 'suggested'), 0) AS suggested
        FROM replenishment_orders WHERE state IN ('suggested', 'ordered', 'partially_received')
        GROUP BY sku, location_id
    )
    SELECT sku, location_id, k.name, k.vendor, k.backorderable AND NOT k.archived AS sold, k.reorder_point,
        k.reorder_maximum, k.pack_size, k.minimum_order, k.lead_time_days,
        coalesce(s.on_hand, 0) AS on_hand, coalesce(s.incoming, 0) AS incoming,
        coalesce({AVAILABLE}, 0) AS available,
        coalesce(w.units, 0) AS backordered, coalesce(o.suggested, 0) AS suggested, o.due_at,
        coalesce(d.days, 0) AS days, coalesce(d.sales, 0) AS sales,
        coalesce(d.per_day, 0) AS per_day, coalesce(d.deviation, 0) AS deviation,
        l.days AS took_days, coalesce(l.deviation, 0) AS took_deviation
    FROM stock_levels s
    FULL JOIN waiting w USING (sku, location_id)
    JOIN skus k USING (sku)
    LEFT JOIN demand d USING (sku, location_id)
    LEFT JOIN opened o USING (sku, location_id)
    LEFT JOIN lead l USING (sku)
    ORDER BY sku, location_id
    """
)
_ORDERS: Final = replenishment_orders.c
_DUE: Final = (
    select(replenishment_orders)
    .where(_ORDERS.state.in_(sorted(COMING)))
    .order_by(_ORDERS.due_at, _ORDERS.replenishment_id)
)
_ONE: Final = select(replenishment_orders).where(_ORDERS.replenishment_id == bindparam("the_order"))
_LEAD_TIME: Final = select(skus.c.lead_time_days).where(skus.c.sku == bindparam("the_sku"))
_BECOME: Final = update(replenishment_orders).where(_ORDERS.replenishment_id == bindparam("the_order"))
_SHELF: Final = text(
    """
    SELECT at, location_id, on_hand, received FROM (
        SELECT movement_id, at, location_id,
            sum(on_hand) OVER (PARTITION BY location_id ORDER BY movement_id) AS on_hand,
            CASE WHEN kind = 'received' THEN on_hand ELSE 0 END AS received
        FROM stock_movements WHERE sku = :sku AND on_hand <> 0
    ) m WHERE at >= :since ORDER BY movement_id
    """
)


class ReplenishmentStore:
    """Orders to vendors. `now` is shop time."""

    def __init__(self, engine: Engine, now: Callable[[], datetime], *, policy: Policy = DEFAULT) -> None:
        self._engine, self._now, self._policy = engine, now, policy

    def order_what_is_low(self) -> tuple[Ordered, ...]:
        """Order every SKU at or below its reorder point, backorders counted, and expect it after its lead time.

        Where the policy wants a person to approve, it is only suggested. Whoever runs it at the same time waits, and
        then counts what was ordered here.
        """
        with self._engine.begin() as conn:
            locks.named(conn, _BY)
            low = [(row, quantity) for row in self._places(conn) if (quantity := self._wanted(row))]
            n = _latest_number(conn)
            ordered = tuple(
                _ordered(row, quantity, f"{_PREFIX}{n + count}", self._now())
                for count, (row, quantity) in enumerate(low, start=1)
            )
            for order in ordered:
                self._store(conn, order)
        return ordered

    def approve(self, replenishment_id: str, *, by: str) -> Ordered:
        """Order what was suggested; a repeat changes nothing.

        Raises:
            UnknownReplenishment: there is no order of this number.
            NotFromHere: it was cancelled.
        """
        with self._engine.begin() as conn:
            row = self._locked(conn, replenishment_id, ReplenishmentState.ORDERED)
            if row.state != ReplenishmentState.SUGGESTED:
                return _outstanding(row)
            due_at = self._now() + timedelta(days=conn.execute(_LEAD_TIME, {"the_sku": row.sku}).scalar_one())
            values = {"state": ReplenishmentState.ORDERED.value, "ordered_at": self._now(), "due_at": due_at}
            conn.execute(_BECOME, {"the_order": replenishment_id, **values})
            self._expect(conn, row, row.quantity, key=f"{replenishment_id}:expected", by=by)
            return _outstanding(conn.execute(_ONE, {"the_order": replenishment_id}).one())

    def withdraw(self, replenishment_id: str, *, by: str) -> None:
        """Cancel what has not come of an order to a vendor; a repeat changes nothing.

        Raises:
            UnknownReplenishment: there is no order of this number.
            NotFromHere: all of it has come.
        """
        with self._engine.begin() as conn:
            row = self._locked(conn, replenishment_id, ReplenishmentState.CANCELLED)
            conn.execute(
                _BECOME, {"the_order": replenishment_id, "state": ReplenishmentState.CANCELLED.value}
            )
            if row.state in COMING:
                missing = row.quantity - row.received
                self._expect(conn, row, -missing, key=f"{replenishment_id}:withdrawn", by=by)
            late_receipts.resolve(conn, replenishment_id, resolution="cancelled", now=self._now())

    def due(self) -> tuple[Ordered, ...]:
        """Return what should have arrived by now; `quantity` is what is still missing."""
        query = _DUE.where(_ORDERS.due_at <= self._now())
        with self._engine.connect() as conn:
            return tuple(_outstanding(row) for row in conn.execute(query))

    def suggested(self) -> tuple[Ordered, ...]:
        """Return what waits for a person's approval."""
        query = select(replenishment_orders).where(_ORDERS.state == ReplenishmentState.SUGGESTED.value)
        with self._engine.connect() as conn:
            return tuple(_outstanding(row) for row in conn.execute(query.order_by(_ORDERS.replenishment_id)))

    def overview(self, sku: str | None = None) -> tuple[StockRow, ...]:
        """Return every place where a SKU is kept or waited for, and what should be ordered there."""
        with self._engine.connect() as conn:
            return tuple(self._row(row) for row in self._places(conn) if sku in (None, row.sku))

    def shelf(self, sku: str) -> tuple[ShelfPoint, ...]:
        """Return how the stock of a SKU went over the days that demand is reckoned from, oldest first."""
        since = self._now() - timedelta(days=self._policy.demand_days)
        with self._engine.connect() as conn:
            rows = conn.execute(_SHELF, {"sku": sku, "since": since})
            return tuple(ShelfPoint(**row) for row in rows.mappings())

    def _places(self, conn: Connection) -> list[Row[Any]]:
        today = self._now().date()
        first_day = today - timedelta(days=self._policy.demand_days)
        since = f"{first_day} 00:00+00"
        asked = {"since": since, "first_day": first_day, "today": today, "out_of_stock": OUT_OF_STOCK}
        return list(conn.execute(_PLACES, asked))

    def _wanted(self, row: Row[Any]) -> int:
        return self._reckoned(row).quantity if row.sold else 0

    def _reckoned(self, row: Row[Any]) -> Reckoned:
        return reckon(
            row.available + row.incoming + row.suggested - row.backordered,
            demand=_demand(row),
            lead=_lead(row),
            by_hand=ByHand(
                reorder_point=row.reorder_point,
                maximum=row.reorder_maximum,
                pack_size=row.pack_size,
                minimum_order=row.minimum_order,
            ),
            policy=self._policy,
        )

    def _row(self, row: Row[Any]) -> StockRow:
        reckoned = self._reckoned(row)
        return StockRow(
            sku=row.sku,
            name=row.name,
            location_id=row.location_id,
            on_hand=row.on_hand,
            available=row.available,
            incoming=row.incoming,
            backordered=row.backordered,
            per_day=round(float(row.per_day), 2),
            days_of_supply=days_of_supply(row.available, _demand(row)),
            reorder_point=reckoned.reorder_point,
            from_sales=reckoned.from_sales,
            suggested=row.suggested + (reckoned.quantity if row.sold else 0),
            due_at=row.due_at,
            late=row.due_at is not None and row.due_at <= self._now(),
        )

    def _store(self, conn: Connection, order: Ordered) -> None:
        """Write an order down, and expect its units if nobody must approve it."""
        at_once = self._policy.orders_by_itself
        state = ReplenishmentState.ORDERED if at_once else ReplenishmentState.SUGGESTED
        place = {"sku": order.sku, "location_id": order.location_id}
        what = {
            "replenishment_id": order.replenishment_id,
            "vendor": order.vendor,
            "quantity": order.quantity,
        }
        stamps = {"ordered_at": self._now(), "due_at": order.due_at, "state": state.value}
        conn.execute(insert(replenishment_orders).values(place | what | stamps))
        conn.execute(pg_insert(stock_levels).values(place).on_conflict_do_nothing())
        if at_once:
            self._expect(conn, order, order.quantity, key=f"{order.replenishment_id}:expected", by=_BY)

    def _expect(self, conn: Connection, order: Ordered | Row[Any], units: int, *, key: str, by: str) -> None:
        place, cause = (order.sku, order.location_id), order.replenishment_id
        move(conn, Movement.EXPECTED, {place: units}, key=key, cause=cause, by=by, at=self._now())

    def _locked(self, conn: Connection, replenishment_id: str, wanted: ReplenishmentState) -> Row[Any]:
        """Return the order to a vendor; nobody receives any of it before the transaction ends."""
        row = conn.execute(_ONE, {"the_order": replenishment_id}).one_or_none()
        if row is None:
            raise UnknownReplenishment(replenishment_id)
        lock_levels(conn, [(row.sku, row.location_id)])  # a receipt locks its shelf first, too
        row = conn.execute(_ONE.with_for_update(), {"the_order": replenishment_id}).one()
        if row.state != wanted and wanted not in NEXT[ReplenishmentState(row.state)]:
            raise NotFromHere(replenishment_id, row.state, wanted)
        return row


def _demand(row: Row[Any]) -> Demand:
    return Demand(
        per_day=float(row.per_day), deviation=float(row.deviation), days=row.days, sales=int(row.sales)
    )


def _lead(row: Row[Any]) -> LeadTime:
    """Return how long the vendor took, or says they take while nothing has come yet."""
    if row.took_days is None:
        return LeadTime(days=row.lead_time_days)
    return LeadTime(days=float(row.took_days), deviation=float(row.took_deviation))


def _latest_number(conn: Connection) -> int:
    number = func.substring(_ORDERS.replenishment_id, rf"^{_PREFIX}(\d+)$")
    latest = select(func.coalesce(func.max(number.cast(stock_levels.c.on_hand.type)), 0))
    found: int = conn.execute(latest).scalar_one()
    return found


def _ordered(row: Row[Any], quantity: int, replenishment_id: str, now: datetime) -> Ordered:
    return Ordered(
        replenishment_id=replenishment_id,
        sku=row.sku,
        location_id=row.location_id,
        vendor=row.vendor,
        quantity=quantity,
        due_at=now + timedelta(days=row.lead_time_days),
    )


def _outstanding(row: Row[Any]) -> Ordered:
    return Ordered(
        replenishment_id=row.replenishment_id,
        sku=row.sku,
        location_id=row.location_id,
        vendor=row.vendor,
        quantity=row.quantity - row.received,
        due_at=row.due_at,
    )
