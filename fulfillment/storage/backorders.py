"""The queue for stock that is not there: who is served when units arrive."""

from collections.abc import Collection
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, case, select, text, update
from sqlalchemy.dialects.postgresql import insert

from fulfillment.domain.events import EventKind
from fulfillment.domain.inventory import Movement
from fulfillment.domain.shipment import WaitsFor, WorkStatus
from fulfillment.storage import journal, signals
from fulfillment.storage.movements import AVAILABLE, Place, lock_levels, move
from fulfillment.storage.tables import allocations, backorders, shipments, stock_movements

_QUEUE: Final = (
    select(backorders)
    .where(
        backorders.c.sku == bindparam("the_sku"),
        backorders.c.location_id == bindparam("there"),
        backorders.c.state == "waiting",
    )
    .order_by(
        backorders.c.priority,
        backorders.c.promise_date,
        backorders.c.placed_at,
        backorders.c.order_id,
        backorders.c.line_no,
        backorders.c.shipment_id,
    )
)
# Those that the units on the shelf and the arriving ones can reach, the last of them perhaps in part.
_LOCK_NEXT: Final = text(
    f"""
    SELECT order_id FROM orders WHERE order_id IN (
        SELECT order_id FROM (
            SELECT order_id, sum(quantity - filled) OVER queue - (quantity - filled) AS before
            FROM backorders WHERE sku = :sku AND location_id = :location_id AND state = 'waiting'
            WINDOW queue AS (
                ORDER BY priority, promise_date, placed_at, order_id, line_no, shipment_id
                ROWS UNBOUNDED PRECEDING
            )
        ) q
        WHERE q.before < CAST(:arriving AS integer) + (
            SELECT coalesce(max({AVAILABLE}), 0)
            FROM stock_levels s WHERE s.sku = :sku AND s.location_id = :location_id
        )
    )
    ORDER BY order_id FOR NO KEY UPDATE
    """
)
_SERVABLE: Final = text(
    f"""
    SELECT DISTINCT b.sku, b.location_id
    FROM backorders b JOIN stock_levels s USING (sku, location_id)
    WHERE b.state = 'waiting' AND {AVAILABLE} > 0
    ORDER BY b.sku, b.location_id LIMIT :at_most
    """
)
_FILL: Final = update(backorders).where(
    backorders.c.shipment_id == bindparam("the_shipment"), backorders.c.line_no == bindparam("the_line")
)
_ALLOCATE: Final = insert(allocations)
_ALLOCATE_MORE: Final = _ALLOCATE.on_conflict_do_update(
    index_elements=["shipment_id", "sku"],
    # A claim that was let go keeps its size, and counts no more.
    set_={
        "state": "active",
        "quantity": _ALLOCATE.excluded.quantity
        + case((allocations.c.state == "active", allocations.c.quantity), else_=0),
    },
)
_STILL_WAITING: Final = (
    select(backorders.c.line_no)
    .where(backorders.c.shipment_id == shipments.c.shipment_id, backorders.c.state == "waiting")
    .exists()
)
_WHOLE: Final = (
    update(shipments)
    .where(
        shipments.c.shipment_id.in_(bindparam("touched", expanding=True)),
        shipments.c.work_status == WorkStatus.SCHEDULED.value,
        shipments.c.waits_for == WaitsFor.STOCK.value,
        ~_STILL_WAITING,
    )
    .values(waits_for=case((shipments.c.value == 0, WaitsFor.NOTHING.value), else_=WaitsFor.PAYMENT.value))
    .returning(shipments.c.order_id, shipments.c.shipment_id)
)


def lock_next(conn: Connection, place: Place, *, arriving: int) -> frozenset[str]:
    """Lock and return the orders that come next when `arriving` units are added to what is available."""
    asked = {"sku": place[0], "location_id": place[1], "arriving": arriving}
    return frozenset(conn.execute(_LOCK_NEXT, asked).scalars())


def fill(conn: Connection, place: Place, ready: Collection[str], *, key: str, by: str, now: datetime) -> bool:
    """Give what is available to those who wait, in order; return whether anybody was given something.

    It stops at the first order that is not in `ready`, the locked ones: nobody is overtaken.
    """
    available = sum(level.available for level in lock_levels(conn, [place]))
    touched: set[str] = set()
    for row in conn.execute(_QUEUE, {"the_sku": place[0], "there": place[1]}).all():
        units = min(available, row.quantity - row.filled)
        if units < 1 or row.order_id not in ready or not _give(conn, row, units, key=key, by=by, now=now):
            break
        available -= units
        touched.add(row.shipment_id)
    announce(conn, touched, now=now)
    return bool(touched)


def serve(conn: Connection, place: Place, *, key: str, by: str, now: datetime) -> bool:
    """Give units that are on the shelf already to those who wait; return whether anybody was given something."""
    ready = lock_next(conn, place, arriving=0)
    return fill(conn, place, ready, key=key, by=by, now=now)


def servable(conn: Connection, limit: int) -> tuple[Place, ...]:
    """Return where somebody waits though units are there."""
    return tuple((row.sku, row.location_id) for row in conn.execute(_SERVABLE, {"at_most": limit}))


def filled_by(conn: Connection, place: Place, key: str) -> tuple[str, ...]:
    """Return the shipments to which the receipt of this key gave units and that wait for nothing more."""
    given = (
        (stock_movements.c.sku == place[0])
        & (stock_movements.c.location_id == place[1])
        & (stock_movements.c.kind == Movement.ALLOCATED_FROM_STOCK.value)
        & stock_movements.c.operation_key.startswith(f"{key}:fill:", autoescape=True)
    )
    query = (
        select(shipments.c.shipment_id)
        .where(shipments.c.shipment_id.in_(select(stock_movements.c.cause).where(given)), ~_STILL_WAITING)
        .order_by(shipments.c.shipment_id)
    )
    return tuple(conn.execute(query).scalars())


def announce(conn: Connection, touched: set[str], *, now: datetime) -> None:
    """Let those of these shipments go on that waited for stock and lack nothing any more."""
    if not touched:
        return
    for row in conn.execute(_WHOLE, {"touched": sorted(touched)}).all():
        text = "What your order waited for has arrived."
        journal.event(
            conn, row.order_id, EventKind.STOCK_FILLED, text, at=now, data={"shipment_id": row.shipment_id}
        )
        journal.signal(
            conn,
            row.order_id,
            signals.STOCK_FILLED,
            {"shipment_ids": [row.shipment_id]},
            # A shipment may wait again, when a count takes its stock away: then it is told again.
            fact_key=f"{row.shipment_id}:stock_filled:{now.isoformat()}",
            at=now,
        )


def _give(conn: Connection, row: Row[Any], units: int, *, key: str, by: str, now: datetime) -> bool:
    given = move(
        conn,
        Movement.ALLOCATED_FROM_STOCK,
        {(row.sku, row.location_id): units},
        key=f"{key}:fill:{row.shipment_id}:{row.line_no}",
        cause=row.shipment_id,
        by=by,
        at=now,
    )
    if not given:
        return False
    filled = row.filled + units
    state = "filled" if filled == row.quantity else "waiting"
    this = {"the_shipment": row.shipment_id, "the_line": row.line_no}
    conn.execute(_FILL, this | {"filled": filled, "state": state})
    allocation = {"shipment_id": row.shipment_id, "sku": row.sku, "location_id": row.location_id}
    conn.execute(_ALLOCATE_MORE, allocation | {"quantity": units, "state": "active"})
    return True
