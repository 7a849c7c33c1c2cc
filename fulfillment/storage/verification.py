"""What lies on the bench, and whether it may be closed: every unit scanned, nothing wrong, and the weight right."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, func, select

from fulfillment.domain.cartons import STANDARD, UNWEIGHED_G, Carton, Filled, Left, Packing, Piece, Placement
from fulfillment.domain.packing import (
    BenchLine,
    NotAtBench,
    NotVerified,
    ProblemStands,
    ScanOutcome,
    UnknownCarton,
    WeightOff,
    is_off,
)
from fulfillment.domain.policy import Policy
from fulfillment.storage.tables import cartons, order_lines, packing_scans, packings, skus, unit_ranges

_CONTENTS: Final = (
    select(
        order_lines.c.sku,
        func.min(order_lines.c.name).label("name"),
        func.sum(unit_ranges.c.quantity).label("quantity"),
        func.coalesce(skus.c.weight_g, 0).label("weight_g"),
        func.coalesce(skus.c.fragile, False).label("fragile"),
        func.coalesce(skus.c.serial, False).label("has_serials"),
        *skus.c["length_mm", "width_mm", "height_mm"],
    )
    .select_from(unit_ranges)
    .join(
        order_lines,
        (order_lines.c.order_id == unit_ranges.c.order_id) & (order_lines.c.line_no == unit_ranges.c.line_no),
    )
    .outerjoin(skus, skus.c.sku == order_lines.c.sku)
    .where(unit_ranges.c.shipment_id == bindparam("the_shipment"))
    .group_by(order_lines.c.sku, skus.c.sku)
    .order_by(order_lines.c.sku)
)
_COUNTED: Final = (
    select(
        packing_scans.c.code,
        func.count().label("units"),
        func.array_agg(packing_scans.c.serial).label("serials"),
    )
    .where(
        packing_scans.c.shipment_id == bindparam("the_shipment"),
        packing_scans.c.round == bindparam("this_round"),
        packing_scans.c.outcome == ScanOutcome.COUNTED.value,
    )
    .group_by(packing_scans.c.code)
)
_PACKING: Final = select(packings).where(packings.c.shipment_id == bindparam("the_shipment"))
_CARTONS: Final = select(cartons).where(~cartons.c.archived).order_by(cartons.c.carton_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """What somebody says who closes a parcel: without a `carton_id` it is the carton of the plan."""

    weight_g: int
    carton_id: str = ""
    weight_reason: str = ""


def contents(conn: Connection, shipment_id: str) -> tuple[Row[Any], ...]:
    """Return what must be in a shipment's parcel, by SKU, with what the catalogue knows of it."""
    return tuple(conn.execute(_CONTENTS, {"the_shipment": shipment_id}))


def lines(conn: Connection, shipment: Row[Any]) -> tuple[BenchLine, ...]:
    """Return each SKU of a shipment with its units that are verified, since its content last changed."""
    those = {"the_shipment": shipment.shipment_id, "this_round": shipment.reworks}
    scanned = {row.code: row for row in conn.execute(_COUNTED, those)}
    return tuple(_line(row, scanned.get(row.sku)) for row in contents(conn, shipment.shipment_id))


def catalogue(conn: Connection) -> tuple[Carton, ...]:
    """Return the cartons there are: the shop's own, or the usual ones where it names none."""
    own = tuple(_carton(row) for row in conn.execute(_CARTONS))
    return own or STANDARD


def at_bench(conn: Connection, shipment: Row[Any]) -> Row[Any]:
    """Return the packing of a shipment as it is now.

    Raises:
        NotAtBench: it was not begun since its content last changed.
    """
    row = conn.execute(_PACKING, {"the_shipment": shipment.shipment_id}).first()
    if row is None or row.round != shipment.reworks:
        raise NotAtBench(shipment.shipment_id)
    return row


def check(conn: Connection, shipment: Row[Any], closing: Closing, *, policy: Policy) -> Carton | None:
    """Let a shipment of the locked order be closed; return its carton, None where it is several, or none of ours.

    Raises:
        NotAtBench, NotVerified, ProblemStands: not every unit was scanned, or something wrong lies there.
        WeightOff: the scales disagree, and nothing says why they may.
        UnknownCarton: there is no such carton.
    """
    packing = at_bench(conn, shipment)
    if packing.problem:
        raise ProblemStands(shipment.shipment_id, packing.problem, packing.problem_scan)
    there = lines(conn, shipment)
    if missing := {line.sku: line.missing for line in there if line.missing}:
        raise NotVerified(shipment.shipment_id, missing)
    plan = packing_of(packing.plan)
    carton = _named(conn, closing.carton_id) if closing.carton_id else _only_carton(plan)
    expected = expected_g(there, carton.tare_g if carton else tare_of(plan))
    if expected is not None and not closing.weight_reason and _is_off(closing.weight_g, expected, policy):
        raise WeightOff(shipment.shipment_id, closing.weight_g, expected)
    return carton


def expected_g(there: tuple[BenchLine, ...], tare_g: int | None) -> int | None:
    """Return what units and cartons weigh together; None while something of them was never weighed."""
    if tare_g is None or any(line.weight_g <= UNWEIGHED_G for line in there):
        return None
    return tare_g + sum(line.weight_g * line.quantity for line in there)


def tare_of(plan: Packing) -> int | None:
    """Return what the planned cartons weigh; None where a piece goes without one."""
    return None if plan.left else sum(filled.carton.tare_g for filled in plan.filled)


def packing_of(plan: Mapping[str, Any]) -> Packing:
    """Return a packing as it was stored (`dataclasses.asdict`)."""
    return Packing(
        filled=tuple(
            Filled(
                carton=_kept_carton(filled["carton"]),
                placements=tuple(
                    Placement(piece=_piece(p["piece"]), at=tuple(p["at"]), size=tuple(p["size"]))
                    for p in filled["placements"]
                ),
            )
            for filled in plan["filled"]
        ),
        left=tuple(Left(piece=_piece(left["piece"]), why=left["why"]) for left in plan["left"]),
        guessed=tuple(plan["guessed"]),
    )


def _line(row: Row[Any], scanned: Row[Any] | None) -> BenchLine:
    return BenchLine(
        sku=row.sku,
        name=row.name,
        quantity=int(row.quantity),
        verified=scanned.units if scanned else 0,
        weight_g=row.weight_g,
        fragile=row.fragile,
        has_serials=row.has_serials,
        serials=tuple(filter(None, scanned.serials)) if scanned else (),
    )


def _is_off(weight_g: int, expected: int, policy: Policy) -> bool:
    return is_off(weight_g, expected, tolerance=policy.weight_tolerance, slack_g=policy.weight_slack_g)


def _named(conn: Connection, carton_id: str) -> Carton:
    for carton in catalogue(conn):
        if carton.carton_id == carton_id:
            return carton
    raise UnknownCarton(carton_id)


def _only_carton(plan: Packing) -> Carton | None:
    return plan.filled[0].carton if len(plan.filled) == 1 and not plan.left else None


def _carton(row: Row[Any]) -> Carton:
    return Carton(
        carton_id=row.carton_id,
        size=tuple(row.size_mm),
        max_weight_g=row.max_weight_g,
        tare_g=row.tare_g,
        price=row.price,
    )


def _kept_carton(kept: Mapping[str, Any]) -> Carton:
    return Carton(**{**kept, "size": tuple(kept["size"])})


def _piece(kept: Mapping[str, Any]) -> Piece:
    return Piece(**{**kept, "size": tuple(kept["size"]) if kept["size"] else None})
