"""Goods that came back: each unit goes to the bucket of its disposition, once. Money is decided elsewhere."""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, Engine, bindparam, select, text
from sqlalchemy.dialects.postgresql import insert

from fulfillment.domain.errors import FulfillmentError
from fulfillment.domain.inventory import RETURN, Deed, Disposition
from fulfillment.domain.tracking import JOURNEY_OVER, CarrierStatus, Scan, ScanSource
from fulfillment.storage import parcels
from fulfillment.storage.movements import Place
from fulfillment.storage.orders import lock_order
from fulfillment.storage.stock import Receipt, change, check_place, served
from fulfillment.storage.tables import order_lines, returned_units, shipments, unit_ranges

_LEFT: Final = (
    select(unit_ranges.c.first_unit, unit_ranges.c.quantity, order_lines.c.sku)
    .join(shipments, shipments.c.shipment_id == unit_ranges.c.shipment_id)
    .join(
        order_lines,
        (order_lines.c.order_id == unit_ranges.c.order_id) & (order_lines.c.line_no == unit_ranges.c.line_no),
    )
    .where(
        unit_ranges.c.order_id == bindparam("the_order"),
        unit_ranges.c.line_no == bindparam("the_line"),
        shipments.c.handed_over_at.is_not(None),
    )
)
_BEFORE: Final = select(returned_units.c.unit_no, returned_units.c.operation_key).where(
    returned_units.c.order_id == bindparam("the_order"), returned_units.c.line_no == bindparam("the_line")
)
_CAME_BACK: Final = insert(returned_units)
# Parcels under way of which every unit is at our dock again: carriers do not say that they brought one back.
_ALL_BACK: Final = text(
    """
    SELECT p.parcel_id FROM parcels p
    WHERE p.order_id = :the_order AND p.handed_over_at IS NOT NULL AND p.carrier_status <> ALL(:ended)
        AND NOT EXISTS (
            SELECT FROM unit_ranges u
            CROSS JOIN LATERAL generate_series(u.first_unit, u.first_unit + u.quantity - 1) AS n
            WHERE u.shipment_id = p.shipment_id AND NOT EXISTS (
                SELECT FROM returned_units r
                WHERE r.order_id = u.order_id AND r.line_no = u.line_no AND r.unit_no = n
            )
        )
    ORDER BY p.n
    """
)


class NotReturnable(FulfillmentError):
    """These units cannot come back: they never left, or came back before."""

    def __init__(self, order_id: str, line_no: int, units: Sequence[int], why: str) -> None:
        named = ", ".join(str(unit) for unit in units)
        super().__init__(f"{order_id} line {line_no}: unit {named} {why}")
        self.order_id, self.line_no, self.units, self.why = order_id, line_no, tuple(units), why


class ReturnStore:
    """Units that came back. Every deed has a key; under a key that was used nothing changes."""

    def __init__(self, engine: Engine, now: Callable[[], datetime]) -> None:
        self._engine, self._now = engine, now

    def put_back(
        self,
        order_id: str,
        line_no: int,
        units: Sequence[int],
        disposition: Disposition,
        location_id: str,
        *,
        key: str,
        by: str,
        reason: str,
    ) -> Receipt:
        """Take these units of a line in at a location, by disposition; those that can be sold serve who waits.

        A parcel that was coming back, and of which all is here now, has ended its way.

        Raises:
            UnknownOrder, UnknownLocation: there is no such thing.
            NotReturnable: a unit never left, or came back before.
        """
        deed = Deed(key=key, cause=reason or order_id, by=by, at=self._now())
        with self._engine.begin() as conn:
            lock_order(conn, order_id)
            sku = _check_left(conn, order_id, line_no, units)
            place: Place = (sku, location_id)
            check_place(conn, place)
            if fresh := _take_in(conn, order_id, line_no, units, disposition, deed):
                change(conn, RETURN[disposition], place, fresh, deed)
                _note_what_is_back(conn, order_id, deed)
        return served(self._engine, place, deed)


def _check_left(conn: Connection, order_id: str, line_no: int, units: Sequence[int]) -> str:
    twice = [unit for unit, times in Counter(units).items() if times > 1]
    if twice or not units:
        raise NotReturnable(order_id, line_no, twice, "must be named, each once")
    spans = conn.execute(_LEFT, {"the_order": order_id, "the_line": line_no}).all()
    left = {span.first_unit + n for span in spans for n in range(span.quantity)}
    if missing := sorted(set(units) - left):
        raise NotReturnable(order_id, line_no, missing, "has not left, so it cannot come back")
    sku: str = spans[0].sku
    return sku


def _take_in(
    conn: Connection, order_id: str, line_no: int, units: Sequence[int], disposition: Disposition, deed: Deed
) -> int:
    """Note the units as returned; 0 when this very deed noted them before."""
    before = conn.execute(_BEFORE, {"the_order": order_id, "the_line": line_no}).all()
    if any(row.operation_key == deed.key for row in before):
        return 0
    if again := sorted(set(units) & {row.unit_no for row in before}):
        raise NotReturnable(order_id, line_no, again, "came back before: each unit is taken in once")
    rows = [
        {
            "order_id": order_id,
            "line_no": line_no,
            "unit_no": unit,
            "disposition": disposition.value,
            "operation_key": deed.key,
            "by": deed.by,
            "at": deed.at,
        }
        for unit in units
    ]
    conn.execute(_CAME_BACK, rows)
    return len(units)


def _note_what_is_back(conn: Connection, order_id: str, deed: Deed) -> None:
    """End the way of each parcel whose last unit was just taken in."""
    ended = [status.value for status in JOURNEY_OVER]
    back = Scan(
        status=CarrierStatus.RETURNED,
        occurred_at=deed.at,
        code="taken_in",
        text="Taken in at our dock",
        source=ScanSource.STAFF,
    )
    for parcel_id in conn.execute(_ALL_BACK, {"the_order": order_id, "ended": ended}).scalars():
        parcels.record(conn, parcel_id, (back,), None, source=ScanSource.STAFF.value, now=deed.at)
