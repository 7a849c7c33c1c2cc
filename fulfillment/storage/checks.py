"""Which units must be looked at before they leave, and what was seen."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, bindparam, exists, func, insert, or_, select, true

from fulfillment.domain.errors import IdUsed
from fulfillment.domain.inventory import Movement
from fulfillment.domain.picking import (
    STAGE_OF,
    CheckGrade,
    CheckNeeded,
    Look,
    Looked,
    PhotoNeeded,
    PickRefused,
)
from fulfillment.domain.policy import ConditionCheck, Policy
from fulfillment.domain.shipment import WorkStatus
from fulfillment.storage.tables import condition_checks, order_lines, skus, stock_movements, unit_ranges

_CAME_BACK: Final = exists().where(
    stock_movements.c.sku == order_lines.c.sku,
    stock_movements.c.location_id == bindparam("there"),
    stock_movements.c.kind == Movement.RETURNED.value,
)
# We keep no units of a SKU apart, so one that came back may be any of those on its shelf.
_RULE: Final = or_(
    order_lines.c.unit_price >= bindparam("worth"),
    func.coalesce(skus.c.fragile, False),
    func.coalesce(skus.c.serial, False),
    _CAME_BACK,
)
_CONTENTS: Final = (
    select(order_lines.c.sku, func.sum(unit_ranges.c.quantity).label("units"))
    .join(
        order_lines,
        (order_lines.c.order_id == unit_ranges.c.order_id) & (order_lines.c.line_no == unit_ranges.c.line_no),
    )
    .outerjoin(skus, skus.c.sku == order_lines.c.sku)
    .where(unit_ranges.c.shipment_id == bindparam("the_shipment"))
    .group_by(order_lines.c.sku)
    .order_by(order_lines.c.sku)
)
_GOOD: Final = (
    select(condition_checks.c.sku, func.sum(condition_checks.c.quantity).label("units"))
    .where(
        condition_checks.c.shipment_id == bindparam("the_shipment"),
        condition_checks.c.reworks == bindparam("this_round"),
        condition_checks.c.stage == bindparam("here"),
        condition_checks.c.grade == CheckGrade.A.value,
    )
    .group_by(condition_checks.c.sku)
)
_SEEN: Final = select(condition_checks).where(condition_checks.c.check_id == bindparam("the_check"))
_RECORD: Final = insert(condition_checks)


def require(conn: Connection, shipment: Row[Any], *, policy: Policy) -> None:
    """Let a shipment go on from where it is.

    Raises:
        CheckNeeded: units that the policy wants looked at were not, or not found good enough to leave.
    """
    if unseen := missing(conn, shipment, policy=policy):
        raise CheckNeeded(shipment.shipment_id, list(unseen))


def record(conn: Connection, shipment: Row[Any], look: Look, *, now: datetime, policy: Policy) -> Looked:
    """Keep what was seen of units of a shipment that is picked or packed; a repeat counts once and answers as things stand.

    Raises:
        PickRefused: it is in nobody's hands, or has fewer units of this SKU.
        PhotoNeeded: what is not as new is seen only with a picture.
        IdUsed: the id is that of another check.
    """
    if (kept := conn.execute(_SEEN, {"the_check": look.check_id}).one_or_none()) is not None:
        _check_repeats(kept, look)
    else:
        _check(conn, shipment, look)
        row = {
            "check_id": look.check_id,
            "shipment_id": shipment.shipment_id,
            "reworks": shipment.reworks,
            "sku": look.sku,
            "quantity": look.units,
            "stage": STAGE_OF[WorkStatus(shipment.work_status)],
            "grade": look.grade.value,
            "defect": look.defect,
            "note": look.note,
            "photo": look.photo,
            "by": look.by,
            "at": now,
        }
        conn.execute(_RECORD, row)
    return Looked(
        shipment_id=shipment.shipment_id,
        sku=look.sku,
        grade=look.grade,
        missing=dict(missing(conn, shipment, policy=policy)),
        picked=shipment.work_status != WorkStatus.PICKING.value,
    )


def _check(conn: Connection, shipment: Row[Any], look: Look) -> None:
    if WorkStatus(shipment.work_status) not in STAGE_OF:
        raise PickRefused(
            f"{shipment.shipment_id} is {shipment.work_status}: it is looked at at shelf and bench"
        )
    there = _units(conn, shipment, true()).get(look.sku, 0)
    if there < look.units:
        raise PickRefused(f"{shipment.shipment_id} has {there} of {look.sku}, not {look.units}")
    if look.grade is not CheckGrade.A and not look.photo:
        raise PhotoNeeded(f"of grade {look.grade}")


def _check_repeats(kept: Row[Any], look: Look) -> None:
    before = (kept.shipment_id, kept.sku, kept.quantity, kept.grade)
    if before != (look.shipment_id, look.sku, look.units, look.grade.value):
        used_for = f"{kept.quantity} of {kept.sku} of {kept.shipment_id}, grade {kept.grade}"
        raise IdUsed(f"check {look.check_id}", used_for)


def missing(conn: Connection, shipment: Row[Any], *, policy: Policy) -> Mapping[str, int]:
    """Return how many units of which SKU are still to be found good at this stage."""
    stage = STAGE_OF.get(WorkStatus(shipment.work_status))
    if stage is None or policy.condition_check is ConditionCheck.OFF:
        return {}
    chosen = true() if policy.condition_check is ConditionCheck.ALWAYS else _RULE
    wanted = _units(conn, shipment, chosen, worth=policy.condition_check_value)
    if not wanted:
        return {}
    here = {"the_shipment": shipment.shipment_id, "this_round": shipment.reworks, "here": stage}
    good = {row.sku: row.units for row in conn.execute(_GOOD, here)}
    return {sku: units - good.get(sku, 0) for sku, units in wanted.items() if units > good.get(sku, 0)}


def _units(
    conn: Connection, shipment: Row[Any], chosen: ColumnElement[bool], *, worth: int = 0
) -> Mapping[str, int]:
    asked = {"the_shipment": shipment.shipment_id, "there": shipment.location_id, "worth": worth}
    return {row.sku: row.units for row in conn.execute(_CONTENTS.where(chosen), asked)}
