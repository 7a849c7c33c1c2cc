"""The stage of an order as a SQL expression, made from the domain's own functions, so that lists can be paged by it."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar

from sqlalchemy import ColumnElement, Integer, case, exists, func, literal, select

from fulfillment.domain.cases import CaseState
from fulfillment.domain.order import OrderStatus
from fulfillment.domain.shipment import WaitsFor, WorkStatus
from fulfillment.domain.stage import FURTHEST_BEHIND_FIRST, ShipmentView, Stage, order_stage, shipment_stage
from fulfillment.domain.tracking import CarrierStatus
from fulfillment.storage.tables import cases, orders, parcels, shipments, unit_ranges

E_ = TypeVar("E_", WorkStatus, WaitsFor, CarrierStatus, OrderStatus)


def is_at(stage: Stage) -> ColumnElement[bool]:
    """Return the condition that a row of `orders` is at this stage."""
    fixed, by_parts = _statuses(stage)
    parts = _STAGE_OF_PARTS == FURTHEST_BEHIND_FIRST.index(stage) if stage in FURTHEST_BEHIND_FIRST else None
    at_rest = orders.c.status.in_([status.value for status in fixed])
    if parts is None:
        return at_rest
    return at_rest | (orders.c.status.in_([status.value for status in by_parts]) & parts)


def attention_of() -> ColumnElement[Any]:
    """Return the kind of an order's most urgent open case, as `domain.cases.attention` chooses it."""
    return (
        select(cases.c.kind)
        .where(cases.c.order_id == orders.c.order_id, cases.c.state != CaseState.RESOLVED.value)
        .order_by(cases.c.severity, cases.c.due_at, cases.c.case_id.collate("C"))
        .limit(1)
        .scalar_subquery()
    )
