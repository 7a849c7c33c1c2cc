"""The only writer of stock levels: every change is a movement, made at most once per operation."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, text

from fulfillment.domain.inventory import (
    BUCKETS,
    EFFECT,
    TAKEN,
    InsufficientStock,
    Level,
    Movement,
    StockNews,
)

Place = tuple[str, str]  # a SKU at a location

# What a new order may claim, of a row `s` of stock_levels.
AVAILABLE: Final = f"(s.on_hand - s.{' - s.'.join(TAKEN)} - s.safety_stock)"


def _each(pattern: str, between: str = ", ", of: Iterable[str] = BUCKETS) -> str:
    """Return the pattern once for every bucket: no statement forgets one."""
    return between.join(pattern.format(bucket) for bucket in of)


# Rows are locked in one order by everybody, so that two orders never wait for each other. The lock is for peace: what
# keeps a unit from being promised twice is the condition on the update, and the CHECK behind it.
# News of a level is written where it crosses a line, in the same statement: told at most once per crossing.
_MOVE: Final = text(
    f"""
    WITH asked AS (
        SELECT * FROM unnest(
            CAST(:skus AS text[]), CAST(:locations AS text[]), CAST(:quantities AS integer[])
        ) AS a (sku, location_id, quantity)
    ), held AS (
        SELECT s.sku, s.location_id, a.quantity
        FROM stock_levels s JOIN asked a USING (sku, location_id)
        ORDER BY s.sku, s.location_id FOR UPDATE OF s
    ), moved AS (
        INSERT INTO stock_movements
            (operation_key, kind, sku, location_id, {_each("{0}")}, cause, "by", at)
        SELECT :key, :kind, sku, location_id, {_each("quantity * CAST(:{0} AS integer)")},
            :cause, :by, CAST(:at AS timestamptz)
        FROM held
        ON CONFLICT ON CONSTRAINT uq_stock_movements_once DO NOTHING
        RETURNING sku, location_id, {_each("{0}")}
    ), applied AS (
        UPDATE stock_levels s SET {_each("{0} = s.{0} + m.{0}")}
        FROM moved m
        WHERE s.sku = m.sku AND s.location_id = m.location_id
            AND (m.reserved + m.allocated <= 0 OR {AVAILABLE} >= m.reserved + m.allocated)
            AND {_each("s.{0} + m.{0} >= 0", " AND ")}
            AND s.on_hand + m.on_hand >= {_each("s.{0} + m.{0}", " + ", TAKEN)}
        RETURNING s.sku, s.location_id, {AVAILABLE} AS available,
            m.on_hand - {_each("m.{0}", " - ", TAKEN)} - m.safety_stock AS change
    ), told AS (
        INSERT INTO stock_events (kind, sku, location_id, available, at)
        SELECT c.kind, p.sku, p.location_id, p.available, CAST(:at AS timestamptz)
        FROM applied p JOIN skus k USING (sku)
        CROSS JOIN LATERAL (VALUES
            ('{StockNews.LOW_STOCK}', p.available <= k.reorder_point AND k.reorder_point > 0
                AND p.available - p.change > k.reorder_point),
            ('{StockNews.OUT_OF_STOCK}', p.available <= 0 AND p.available - p.change > 0),
            ('{StockNews.BACK_IN_STOCK}', p.available > 0 AND p.available - p.change <= 0)
        ) AS c (kind, crossed)
        WHERE p.change <> 0 AND c.crossed
    )
    SELECT h.sku, h.location_id, m.sku IS NOT NULL AS moved, p.sku IS NOT NULL AS applied
    FROM held h
    LEFT JOIN moved m USING (sku, location_id)
    LEFT JOIN applied p USING (sku, location_id)
    """
)
_LEVEL: Final = f"SELECT s.sku, s.location_id, {_each('s.{0}')} FROM stock_levels s"
_LOCK: Final = text(
    f"{_LEVEL} JOIN unnest(CAST(:skus AS text[]), CAST(:locations AS text[])) AS a (sku, location_id)"
    " USING (sku, location_id) ORDER BY s.sku, s.location_id FOR UPDATE OF s"
)
_READ: Final = text(f"{_LEVEL} WHERE s.sku = :sku AND s.location_id = :location_id")
_FOLD: Final = text(
    f"""
    SELECT {_each("coalesce(sum({0}), 0)::int AS {0}")} FROM stock_movements
    WHERE sku = :sku AND location_id = :location_id AND at <= coalesce(CAST(:until AS timestamptz), 'infinity')
    """
)
_DONE: Final = text(
    """
    SELECT EXISTS (
        SELECT FROM stock_movements
        WHERE operation_key = :key AND kind = :kind AND sku = :sku AND location_id = :location_id
    )
    """
)


def move(
    conn: Connection,
    kind: Movement,
    amounts: Mapping[Place, int],
    *,
    key: str,
    cause: str,
    by: str,
    at: datetime,
) -> frozenset[Place]:
    """Move units of these SKUs at these locations; return where it was done now, and not before by the same key.

    Raises:
        InsufficientStock: a bucket does not hold enough; the transaction must end.
    """
    if not amounts:
        return frozenset()
    effect = {bucket: EFFECT[kind].get(bucket, 0) for bucket in BUCKETS}
    asked = {**_columns(amounts), "quantities": list(amounts.values())}
    said = {"key": key, "kind": kind.value, "cause": cause, "by": by, "at": at}
    rows = conn.execute(_MOVE, asked | effect | said).all()
    refused = [(row.sku, row.location_id) for row in rows if row.moved and not row.applied]
    if refused := refused or [
        place for place in amounts if place not in {(r.sku, r.location_id) for r in rows}
    ]:
        raise _insufficient(conn, kind, refused[0], amounts[refused[0]])
    return frozenset((row.sku, row.location_id) for row in rows if row.moved)


def lock_levels(conn: Connection, places: Iterable[Place]) -> tuple[Level, ...]:
    """Lock these rows in the order everybody does, before several movements in one transaction."""
    return tuple(Level(**row._mapping) for row in conn.execute(_LOCK, _columns(places)))


def read_level(conn: Connection, place: Place) -> Level:
    """Return what a location holds of a SKU; nothing at all where it never was."""
    row = conn.execute(_READ, {"sku": place[0], "location_id": place[1]}).one_or_none()
    if row is None:
        return Level(sku=place[0], location_id=place[1], on_hand=0, reserved=0, allocated=0)
    return Level(**row._mapping)


def fold(conn: Connection, place: Place, *, until: datetime | None = None) -> Mapping[str, int]:
    """Return what the movements of a SKU at a location add up to, all of them or those up to a moment."""
    row = conn.execute(_FOLD, {"sku": place[0], "location_id": place[1], "until": until}).one()
    return dict(row._mapping)


def is_done(conn: Connection, kind: Movement, place: Place, key: str) -> bool:
    """Test whether this was moved under this key before."""
    said = {"key": key, "kind": kind.value, "sku": place[0], "location_id": place[1]}
    return bool(conn.execute(_DONE, said).scalar_one())


def _columns(places: Iterable[Place]) -> dict[str, list[str]]:
    pairs = list(places)
    return {"skus": [sku for sku, _ in pairs], "locations": [location for _, location in pairs]}


def _insufficient(conn: Connection, kind: Movement, place: Place, quantity: int) -> InsufficientStock:
    level, effect = read_level(conn, place), EFFECT[kind]
    lowered = [bucket for bucket in BUCKETS if getattr(level, bucket) + effect.get(bucket, 0) * quantity < 0]
    if lowered:
        return InsufficientStock(place[0], abs(quantity), getattr(level, lowered[0]), of=lowered[0])
    return InsufficientStock(place[0], abs(quantity), level.available)
