"""What runs low, ordered from its vendor and expected until it arrives."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, func, insert, select, text
from sqlalchemy.dialects.postgresql import insert as pg_insert

from fulfillment.domain.inventory import Movement
from fulfillment.domain.replenishment import Ordered, quantity_to_order
from fulfillment.storage import locks
from fulfillment.storage.movements import AVAILABLE, move
from fulfillment.storage.tables import replenishment_orders, stock_levels

_BY: Final = "replenishment"
_PREFIX: Final = "RO-"

# Every place where a SKU is kept or waited for. Safety stock is no part of the position: no order may claim it.
_POSITIONS: Final = text(
    f"""
    SELECT sku, location_id, k.vendor, k.reorder_point, k.lead_time_days,
        coalesce({AVAILABLE} + s.incoming + s.in_transfer, 0)
            - coalesce(w.units, 0) AS position
    FROM stock_levels s
    FULL JOIN (
        SELECT sku, location_id, sum(quantity - filled) AS units
        FROM backorders WHERE state = 'waiting' GROUP BY sku, location_id
    ) w USING (sku, location_id)
    JOIN skus k USING (sku)
    WHERE k.backorderable AND NOT k.archived
    ORDER BY sku, location_id
    """
)
_DUE: Final = (
    select(replenishment_orders)
    .where(replenishment_orders.c.state == "ordered")
    .order_by(replenishment_orders.c.due_at, replenishment_orders.c.replenishment_id)
)


class ReplenishmentStore:
    """Orders to vendors. `now` is shop time."""

    def __init__(self, engine: Engine, now: Callable[[], datetime]) -> None:
        self._engine, self._now = engine, now

    def order_what_is_low(self) -> tuple[Ordered, ...]:
        """Order every SKU at or below its reorder point, backorders counted, and expect it after its lead time.

        Whoever runs it at the same time waits, and then counts what was ordered here.
        """
        with self._engine.begin() as conn:
            locks.named(conn, _BY)
            low = [(row, _wanted(row)) for row in conn.execute(_POSITIONS)]
            n = _latest_number(conn)
            ordered = tuple(
                _ordered(row, quantity, f"{_PREFIX}{n + count}", self._now())
                for count, (row, quantity) in enumerate(((r, q) for r, q in low if q), start=1)
            )
            for order in ordered:
                _store(conn, order, self._now())
        return ordered

    def due(self) -> tuple[Ordered, ...]:
        """Return what should have arrived by now; `quantity` is what is still missing."""
        query = _DUE.where(replenishment_orders.c.due_at <= self._now())
        with self._engine.connect() as conn:
            return tuple(_outstanding(row) for row in conn.execute(query))


def _wanted(row: Row[Any]) -> int:
    return quantity_to_order(row.position, row.reorder_point)


def _latest_number(conn: Connection) -> int:
    number = func.substring(replenishment_orders.c.replenishment_id, rf"^{_PREFIX}(\d+)$")
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


def _store(conn: Connection, order: Ordered, now: datetime) -> None:
    place = {"sku": order.sku, "location_id": order.location_id}
    row = {"replenishment_id": order.replenishment_id, "vendor": order.vendor, "quantity": order.quantity}
    stamps = {"ordered_at": now, "due_at": order.due_at, "state": "ordered"}
    conn.execute(insert(replenishment_orders).values(place | row | stamps))
    conn.execute(pg_insert(stock_levels).values(place).on_conflict_do_nothing())
    move(
        conn,
        Movement.EXPECTED,
        {(order.sku, order.location_id): order.quantity},
        key=f"{order.replenishment_id}:expected",
        cause=order.replenishment_id,
        by=_BY,
        at=now,
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
