"""What of a paid shipment is still owed: what the customer has or will get of it, first sent or sent again."""

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, select, text

from fulfillment.domain.order import Order, Outcome, UnitRange
from fulfillment.domain.shipment import WorkStatus
from fulfillment.storage.tables import shipments, unit_ranges

_GONE: Final = (Outcome.LOST, Outcome.RETURNED)
# Units in shipments, under the numbers of those that were paid.
_AS_PAID: Final = """
    SELECT coalesce(r.root_line, u.line_no) AS line_no,
        coalesce(r.root_unit + u.first_unit - 1, u.first_unit) AS first_unit, u.quantity
    FROM unit_ranges u
    JOIN shipments s USING (shipment_id)
    LEFT JOIN replacements r ON r.order_id = u.order_id AND r.line_no = u.line_no
"""
_STANDS_FOR: Final = text(f"{_AS_PAID} WHERE u.shipment_id = :the_shipment")
# What arrived or may still.
_COMING: Final = text(
    f"""{_AS_PAID}
    WHERE u.order_id = :the_order AND s.work_status <> 'cancelled' AND s.settled IS NULL
        AND coalesce(s.outcome, '') NOT IN ('lost', 'returned')
    """
)
_SENT_AGAIN: Final = text(
    """
    SELECT r.root_line AS line_no, r.root_unit + u.first_unit - 1 AS first_unit, u.quantity, u.shipment_id
    FROM replacements r
    JOIN unit_ranges u USING (order_id, line_no)
    JOIN shipments s ON s.shipment_id = u.shipment_id
    WHERE r.order_id = :the_order AND s.work_status <> 'cancelled' AND s.outcome IS NULL AND s.settled IS NULL
    """
)
_ROOT: Final = text(
    """
    WITH RECURSIVE above AS (
        SELECT shipment_id, replaces FROM shipments WHERE shipment_id = :the_shipment
        UNION ALL
        SELECT s.shipment_id, s.replaces FROM shipments s JOIN above a ON s.shipment_id = a.replaces
    )
    SELECT shipment_id FROM above WHERE replaces IS NULL
    """
)
_UNITS_IN: Final = select(unit_ranges).where(unit_ranges.c.shipment_id == bindparam("the_shipment"))
_SHIPMENT: Final = select(*shipments.c["work_status", "outcome", "settled", "value", "fee"]).where(
    shipments.c.shipment_id == bindparam("the_shipment")
)

Units = set[tuple[int, int]]  # one by one, by line and number


def paid_as(conn: Connection, shipment_id: str) -> str:
    """Return the shipment whose money a replacement stands for; any other is its own."""
    root: str = conn.execute(_ROOT, {"the_shipment": shipment_id}).scalar_one()
    return root


def worth(conn: Connection, order: Order, shipment_id: str) -> int:
    """Return what a shipment's goods cost the customer, in minor units: sent for nothing, what they stand for did."""
    shipment = conn.execute(_SHIPMENT, {"the_shipment": shipment_id}).one()
    units = _numbers(conn.execute(_STANDS_FOR, {"the_shipment": shipment_id}).all())
    return shipment.value or order.worth(_one_by_one(units))


@dataclass(frozen=True, slots=True, kw_only=True)
class Owed:
    """What of a paid shipment the customer has or will get, and what it cost them, in minor units."""

    amount: int
    units: tuple[UnitRange, ...]


def of_shipment(conn: Connection, order: Order, shipment_id: str) -> Owed:
    """Return what is owed for a paid shipment."""
    shipment = conn.execute(_SHIPMENT, {"the_shipment": shipment_id}).one()
    rows = conn.execute(_UNITS_IN, {"the_shipment": shipment_id}).all()
    kept = _numbers(rows) & coming(conn, order.order_id) if _is_gone(shipment) else _numbers(rows)
    units = _one_by_one(kept)
    if shipment.work_status == WorkStatus.CANCELLED:
        return Owed(amount=0, units=())
    if not _is_gone(shipment):
        return Owed(amount=shipment.value, units=units)
    return Owed(amount=order.worth(units) + (shipment.fee if units else 0), units=units)


def coming(conn: Connection, order_id: str) -> Units:
    """Return the units, as they were paid, that the customer has or will get."""
    return _numbers(conn.execute(_COMING, {"the_order": order_id}).all())


def sent_again(conn: Connection, order_id: str) -> dict[tuple[int, int], str]:
    """Return the units, as they were paid, that are sent again and have not arrived, with their shipments."""
    rows = conn.execute(_SENT_AGAIN, {"the_order": order_id}).all()
    return {unit: row.shipment_id for row in rows for unit in _numbers([row])}


def _is_gone(shipment: Row[Any]) -> bool:
    """Whether its own goods are no longer what the customer gets for their money."""
    return shipment.settled is not None or shipment.outcome in _GONE


def _one_by_one(units: Units) -> tuple[UnitRange, ...]:
    return tuple(UnitRange(line_no=n, first=unit, count=1) for n, unit in sorted(units))


def _numbers(rows: Any) -> Units:
    return {(row.line_no, row.first_unit + n) for row in rows for n in range(row.quantity)}
