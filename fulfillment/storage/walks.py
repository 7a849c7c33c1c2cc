"""Walks through the shelves: who has which shipment in hand, what is in which tote, and what is still missing."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, func, select, update

from fulfillment.domain.picking import InOtherHands, NotScanned, UnknownWalk
from fulfillment.domain.shipment import WorkStatus
from fulfillment.storage.tables import order_lines, pick_scans, pick_totes, pick_walks, shipments, unit_ranges

_THIS_SHIPMENT: Final = shipments.c.shipment_id == bindparam("the_shipment")
_HANDS: Final = update(shipments).where(_THIS_SHIPMENT)
_TOTE: Final = (
    select(pick_totes.c.walk_id)
    .join(pick_walks, pick_walks.c.walk_id == pick_totes.c.walk_id)
    .where(
        pick_totes.c.shipment_id == bindparam("the_shipment"),
        pick_totes.c.reworks == bindparam("this_round"),
        pick_walks.c.picker == bindparam("whose"),
    )
    .order_by(pick_walks.c.started_at.desc())
    .limit(1)
)
_WANTED: Final = (
    select(
        order_lines.c.sku,
        func.min(order_lines.c.name).label("name"),
        func.sum(unit_ranges.c.quantity).label("units"),
    )
    .join(
        order_lines,
        (order_lines.c.order_id == unit_ranges.c.order_id) & (order_lines.c.line_no == unit_ranges.c.line_no),
    )
    .where(unit_ranges.c.shipment_id == bindparam("the_shipment"))
    .group_by(order_lines.c.sku)
)
_SCANNED: Final = (
    select(pick_scans.c.sku, func.sum(pick_scans.c.quantity).label("units"))
    .where(
        pick_scans.c.walk_id == bindparam("the_walk"),
        pick_scans.c.shipment_id == bindparam("the_shipment"),
        pick_scans.c.reworks == bindparam("this_round"),
    )
    .group_by(pick_scans.c.sku)
)
_WALK: Final = select(pick_walks).where(pick_walks.c.walk_id == bindparam("the_walk"))


def found(conn: Connection, walk_id: str) -> Row[Any]:
    """Return a walk.

    Raises:
        UnknownWalk: there is none of this id.
    """
    walk = conn.execute(_WALK, {"the_walk": walk_id}).one_or_none()
    if walk is None:
        raise UnknownWalk(walk_id)
    return walk


def check_hands(shipment: Row[Any], by: str, now: datetime) -> None:
    """Let somebody pick a shipment that is being picked.

    Raises:
        InOtherHands: somebody else does, and was heard of not long ago.
    """
    held = shipment.picker != by and shipment.pick_until is not None and shipment.pick_until > now
    if shipment.work_status == WorkStatus.PICKING and held:
        raise InOtherHands(shipment.shipment_id, shipment.picker, shipment.pick_until)


def take_over(conn: Connection, shipment: Row[Any], hands: Mapping[str, Any], *, now: datetime) -> None:
    """Let somebody pick what was begun before; what is done with picking stays as it is. Raises as `check_hands` does."""
    check_hands(shipment, hands["picker"], now)
    is_over = shipment.pick_until is None or shipment.pick_until <= now
    if shipment.work_status == WorkStatus.PICKING and is_over:
        conn.execute(_HANDS, {"the_shipment": shipment.shipment_id, **hands})


def keep(conn: Connection, shipment_id: str, until: datetime) -> None:
    """Note that whoever picks it was heard of just now."""
    conn.execute(_HANDS, {"the_shipment": shipment_id, "pick_until": until})


def check_all_is_there(conn: Connection, shipment: Row[Any], *, by: str, now: datetime) -> None:
    """Let a shipment be picked, if what its walk asks for was scanned; without a walk the bench verifies it.

    Raises:
        InOtherHands: somebody else picks it.
        NotScanned: not all of it lies in its tote.
    """
    check_hands(shipment, by, now)
    if lacks := lacking(conn, shipment):
        raise NotScanned(shipment.shipment_id, lacks)


def lacking(conn: Connection, shipment: Row[Any]) -> dict[str, int] | None:
    """Return what the tote of a shipment that is being picked still lacks; None for one without a walk."""
    asked = {"the_shipment": shipment.shipment_id, "this_round": shipment.reworks, "whose": shipment.picker}
    walk_id = conn.execute(_TOTE, asked).scalar_one_or_none()
    if shipment.work_status != WorkStatus.PICKING or walk_id is None:
        return None
    return missing(conn, shipment, walk_id)


def wanted(conn: Connection, shipment_id: str) -> dict[str, tuple[str, int]]:
    """Return what a shipment carries: by SKU its name, and how many units."""
    return {row.sku: (row.name, row.units) for row in conn.execute(_WANTED, {"the_shipment": shipment_id})}


def scanned(conn: Connection, shipment_id: str, reworks: int, walk_id: str) -> dict[str, int]:
    """Return how many units of which SKU were scanned into its tote on this walk, as it is now."""
    asked = {"the_walk": walk_id, "the_shipment": shipment_id, "this_round": reworks}
    return {row.sku: row.units for row in conn.execute(_SCANNED, asked)}


def missing(conn: Connection, shipment: Row[Any], walk_id: str) -> dict[str, int]:
    """Return how many units of which SKU its tote still lacks."""
    there = scanned(conn, shipment.shipment_id, shipment.reworks, walk_id)
    carries = wanted(conn, shipment.shipment_id).items()
    return {sku: units - there.get(sku, 0) for sku, (_, units) in carries if units > there.get(sku, 0)}
