"""The only writer of stock levels: every change is a movement, made at most once per operation."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
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


# News of a level is written where it crosses a line, in the same statement: told at most once per crossing.
_NEWS: Final = f"""
        SELECT c.kind, p.sku, p.location_id, p.available, p.at
        FROM applied p JOIN skus k USING (sku)
        CROSS JOIN LATERAL (VALUES
            ('{StockNews.LOW_STOCK}', p.available <= k.reorder_point AND k.reorder_point > 0
                AND p.available - p.change > k.reorder_point),
            ('{StockNews.OUT_OF_STOCK}', p.available <= 0 AND p.available - p.change > 0),
            ('{StockNews.BACK_IN_STOCK}', p.available > 0 AND p.available - p.change <= 0)
        ) AS c (kind, crossed)
        WHERE p.change <> 0 AND c.crossed
"""
# Rows are locked in one order by everybody, so that two orders never wait for each other. The lock is for peace: what
# keeps a unit from being promised twice is the condition on the update, and the CHECK behind it.
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
            m.on_hand - {_each("m.{0}", " - ", TAKEN)} - m.safety_stock AS change,
            CAST(:at AS timestamptz) AS at
    ), told AS (
        INSERT INTO stock_events (kind, sku, location_id, available, at)
{_NEWS}    )
    SELECT h.sku, h.location_id, m.sku IS NOT NULL AS moved, p.sku IS NOT NULL AS applied
    FROM held h
    LEFT JOIN moved m USING (sku, location_id)
    LEFT JOIN applied p USING (sku, location_id)
    """
)
COLUMNS: Final = f"s.sku, s.location_id, {_each('s.{0}')}"
_LEVEL: Final = f"SELECT {COLUMNS} FROM stock_levels s"
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
# Many claims, each with its movements and its reservations, and one update of every level they touch.
_RESERVE: Final = text(
    f"""
    WITH claimed AS (
        SELECT * FROM unnest(
            CAST(:keys AS text[]), CAST(:orders AS text[]), CAST(:signers AS text[]),
            CAST(:moments AS timestamptz[]), CAST(:ends AS timestamptz[]), CAST(:skus AS text[]),
            CAST(:locations AS text[]), CAST(:quantities AS integer[])
        ) AS c (key, order_id, signer, at, expires_at, sku, location_id, quantity)
    ), moved AS (
        INSERT INTO stock_movements (operation_key, kind, sku, location_id, reserved, cause, "by", at)
        SELECT key, :kind, sku, location_id, quantity, order_id, signer, at FROM claimed
    ), held AS (
        INSERT INTO reservations (operation_key, sku, location_id, order_id, quantity, state, expires_at)
        SELECT key, sku, location_id, order_id, quantity, 'active', expires_at FROM claimed
    ), applied AS (
        UPDATE stock_levels s SET reserved = s.reserved + c.quantity
        FROM (
            SELECT sku, location_id, sum(quantity)::integer AS quantity, max(at) AS at
            FROM claimed GROUP BY sku, location_id
        ) c
        WHERE s.sku = ANY(CAST(:skus AS text[])) AND s.sku = c.sku AND s.location_id = c.location_id
            AND {AVAILABLE} >= c.quantity
        RETURNING s.sku, s.location_id, {AVAILABLE} AS available, -c.quantity AS change, c.at
    ), told AS (
        INSERT INTO stock_events (kind, sku, location_id, available, at)
        {_NEWS}
    )
    SELECT sku, location_id FROM applied
    """
)
_CLAIM_COLUMNS: Final = ("keys", "orders", "signers", "moments", "ends", "skus", "locations", "quantities")


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Units to be reserved for an order until `expires_at`; `key` is of this claim alone."""

    key: str
    order_id: str
    amounts: Mapping[Place, int]
    expires_at: datetime
    by: str
    at: datetime


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


def reserve(conn: Connection, claims: Sequence[Claim]) -> None:
    """Reserve for all of these claims in one statement; none of their keys was used before.

    Raises:
        InsufficientStock: a level does not hold what they claim together; the transaction must end.
    """
    amounts: dict[Place, int] = {}
    rows: list[tuple[object, ...]] = []
    for claim in claims:
        for place, quantity in claim.amounts.items():
            rows.append((claim.key, claim.order_id, claim.by, claim.at, claim.expires_at, *place, quantity))
            amounts[place] = amounts.get(place, 0) + quantity
    if not rows:
        return
    columns = zip(_CLAIM_COLUMNS, map(list, zip(*rows, strict=True)), strict=True)
    done = conn.execute(_RESERVE, {**dict(columns), "kind": Movement.RESERVED.value}).all()
    if refused := sorted(amounts.keys() - {(row.sku, row.location_id) for row in done}):
        raise _insufficient(conn, Movement.RESERVED, refused[0], amounts[refused[0]])


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
