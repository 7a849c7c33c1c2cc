"""Stage and attention as SQL, made from the domain's own functions, so that lists can be filtered and paged by them."""

from typing import Any, Final

from sqlalchemy import ColumnElement, Integer, Text, case, exists, func, literal_column, select

from fulfillment.domain.cases import BESIDE_THE_ORDER, CaseState
from fulfillment.domain.order import OrderStatus
from fulfillment.domain.settlement import Settlement
from fulfillment.domain.shipment import WaitsFor, WorkStatus
from fulfillment.domain.stage import FURTHEST_BEHIND_FIRST, ShipmentView, Stage, order_stage, shipment_stage
from fulfillment.domain.tracking import CarrierStatus
from fulfillment.storage.tables import cases, orders, parcels, shipments, unit_ranges


def _part(work: WorkStatus, waits_for: WaitsFor, carrier: CarrierStatus | None) -> ShipmentView:
    return ShipmentView(work=work, waits_for=waits_for, carrier=carrier, units=1)


_DELIVERED: Final = _part(WorkStatus.CLOSED, WaitsFor.NOTHING, CarrierStatus.DELIVERED)
_PICKING: Final = _part(WorkStatus.PICKING, WaitsFor.NOTHING, None)


def stage_of() -> ColumnElement[str]:
    """Return the stage of a row of `orders`, as `order_stage` computes it."""
    fixed = {
        status.value: _word(order_stage(status, [_DELIVERED]))
        for status in OrderStatus
        if order_stage(status, [_DELIVERED]) is order_stage(status, [_PICKING])
    }
    of_parts = {place: _word(stage) for place, stage in enumerate(FURTHEST_BEHIND_FIRST)}
    without_parts = _word(order_stage(OrderStatus.CONFIRMED, []))
    furthest_behind = case(of_parts, value=_place_of_parts(), else_=without_parts)
    return case(fixed, value=orders.c.status, else_=furthest_behind)


def attention_of() -> ColumnElement[Any]:
    """Return the kind of an order's most urgent open case, as `attention` chooses it."""
    return (
        select(cases.c.kind)
        .where(
            cases.c.order_id == orders.c.order_id,
            cases.c.state != CaseState.RESOLVED.value,
            cases.c.kind.not_in(sorted(BESIDE_THE_ORDER)),
        )
        # Ids are compared letter by letter, as Python does, whatever the database's language is.
        .order_by(cases.c.severity, cases.c.due_at, cases.c.case_id.collate("C"))
        .limit(1)
        .scalar_subquery()
    )


def _place_of_parts() -> ColumnElement[int]:
    """The place in `FURTHEST_BEHIND_FIRST` of the part that is furthest behind; null without any part."""
    has_units = exists().where(unit_ranges.c.shipment_id == shipments.c.shipment_id)
    by_work = {work.value: _place(work) for work in WorkStatus}
    return (
        select(func.min(case(by_work, value=shipments.c.work_status)))
        .outerjoin(parcels, parcels.c.shipment_id == shipments.c.shipment_id)
        .where(
            shipments.c.order_id == orders.c.order_id,
            has_units,
            shipments.c.settled.is_distinct_from(Settlement.RESHIP.value),
        )
        .scalar_subquery()
    )


def _place(work: WorkStatus) -> ColumnElement[int]:
    """A work status leads to one stage, or to one for each thing waited for, or for each word of the carrier."""

    def place(waits_for: WaitsFor, carrier: CarrierStatus | None) -> ColumnElement[int]:
        stage = shipment_stage(_part(work, waits_for, carrier))
        return literal_column(str(FURTHEST_BEHIND_FIRST.index(stage)), Integer)

    usual = place(WaitsFor.NOTHING, None)
    by_wait = {wait.value: place(wait, None) for wait in WaitsFor}
    by_carrier = {word.value: place(WaitsFor.NOTHING, word) for word in CarrierStatus}
    return (
        _unless(usual, by_wait, shipments.c.waits_for)
        if any(str(there) != str(usual) for there in by_wait.values())
        else _unless(usual, by_carrier, parcels.c.carrier_status)
    )


def _unless(
    usual: ColumnElement[int], others: dict[str, ColumnElement[int]], column: ColumnElement[str]
) -> ColumnElement[int]:
    unusual = {word: place for word, place in others.items() if str(place) != str(usual)}
    return case(unusual, value=column, else_=usual) if unusual else usual


def _word(stage: Stage) -> ColumnElement[str]:
    return literal_column(f"'{stage.value}'", Text)
