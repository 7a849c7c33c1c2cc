"""What the catalogue knows of goods and cartons, for the question in which parcels units leave."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, func, select

from fulfillment.domain.cartons import STANDARD
from fulfillment.domain.division import Boxes, Goods, Units
from fulfillment.storage.tables import order_lines, skus, unit_ranges
from fulfillment.storage.verification import catalogue

GOODS: Final = tuple(skus.c["weight_g", "length_mm", "width_mm", "height_mm", "fragile"])

_GOODS: Final = select(skus.c.sku, *GOODS).where(skus.c.sku.in_(bindparam("asked", expanding=True)))
_CONTENTS: Final = (
    select(unit_ranges.c.shipment_id, order_lines.c.sku, func.sum(unit_ranges.c.quantity).label("units"))
    .join(
        order_lines,
        (order_lines.c.order_id == unit_ranges.c.order_id) & (order_lines.c.line_no == unit_ranges.c.line_no),
    )
    .where(unit_ranges.c.shipment_id.in_(bindparam("those", expanding=True)))
    .group_by(unit_ranges.c.shipment_id, order_lines.c.sku)
)


def of_skus(conn: Connection, asked: Collection[str]) -> Boxes:
    """Return what says in which parcels units of these SKUs leave."""
    rows = conn.execute(_GOODS, {"asked": sorted(asked)}) if asked else ()
    return Boxes([goods_from(row) for row in rows], catalogue(conn))


def of_lines(conn: Connection, lines: Sequence[Row[*tuple[Any, ...]]]) -> Boxes:
    """Return it of lines that were read with `GOODS`. A single piece goes as it is: nobody asks for cartons then."""
    several = sum(line.quantity for line in lines) > 1
    return Boxes([goods_from(line) for line in lines], catalogue(conn) if several else STANDARD)


def goods_from(row: Row[*tuple[Any, ...]]) -> Goods:
    """Return a unit of a SKU as the catalogue knows it."""
    size = (row.length_mm, row.width_mm, row.height_mm) if row.length_mm else None
    return Goods(sku=row.sku, weight_g=row.weight_g, size=size, fragile=row.fragile)


def with_room(conn: Connection, those: Iterable[str], units: Units) -> str | None:
    """Return the first of these shipments whose parcel takes these units too; None where none does."""
    inside: dict[str, Counter[str]] = {shipment_id: Counter(units) for shipment_id in those}
    if not inside:
        return None
    for row in conn.execute(_CONTENTS, {"those": sorted(inside)}):
        inside[row.shipment_id][row.sku] += row.units
    boxes = of_skus(conn, set().union(*inside.values()))
    return next((shipment_id for shipment_id, both in inside.items() if boxes.fit_one(both)), None)
