"""What the Temporal UI shows of an order: search attributes, current details, and the answers to queries."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from temporalio.common import SearchAttributeKey, SearchAttributeUpdate

from fulfillment.domain.cases import Case, attention
from fulfillment.domain.holds import Hold
from fulfillment.domain.tracking import CarrierStatus
from workflows import contract
from workflows.shipment import ShipmentProcess
from workflows.verbs import (
    AnswerCase,
    AnswerShortage,
    CancelOrder,
    ChangeItems,
    ChangeService,
    HoldOrder,
    ReleaseOrder,
    RetryPayment,
)

_KEYS: Mapping[str, SearchAttributeKey[Any]] = {
    key.name: key
    for key in (
        contract.STAGE,
        contract.ATTENTION,
        contract.HOLDS,
        contract.PROMISED,
        contract.EDD,
        contract.LOCATION,
        contract.TRACKING,
        contract.CARRIER,
    )
}
_FORMS = {
    contract.CANCEL: CancelOrder.FORM,
    contract.HOLD: HoldOrder.FORM,
    contract.RELEASE: ReleaseOrder.FORM,
    contract.RETRY_PAYMENT: RetryPayment.FORM,
    contract.CHANGE_ITEMS: ChangeItems.FORM,
    contract.CHANGE_SERVICE: ChangeService.FORM,
    contract.ANSWER_SHORTAGE: AnswerShortage.FORM,
    contract.ANSWER_CASE: AnswerCase.FORM,
}
_STEPS = ("received", "confirmed", "in_transit", "delivered")


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """What of an order is shown."""

    order_id: str
    stage: str
    promise_date: date | None
    shipments: tuple[ShipmentProcess, ...]
    holds: tuple[Hold, ...]
    cases: tuple[Case, ...]
    actions: Mapping[str, str]
    log: Sequence[str]
    rejected: int


def attributes(panel: Panel) -> dict[str, object]:
    """Return the search attributes as they should be; None and empty lists are unset."""
    urgent = attention(panel.cases)
    promised = _midnight(panel.promise_date)
    late = [s.edd for s in panel.shipments if s.edd and panel.promise_date and s.edd > panel.promise_date]
    return {
        "Stage": panel.stage,
        "Attention": str(urgent) if urgent else None,
        "Holds": [str(hold.reason) for hold in panel.holds] or None,
        "Promised": promised,
        "Edd": _midnight(max(late)) if late else promised,
        "Location": sorted({s.plan.location_id for s in panel.shipments}) or None,
        "Tracking": [s.tracking_number for s in panel.shipments if s.tracking_number] or None,
        "Carrier": next((s.carrier for s in panel.shipments if s.carrier), None),
    }


def updates(changed: Mapping[str, object]) -> list[SearchAttributeUpdate[Any]]:
    """Return one update for all changed attributes, because each upsert costs an event and an action."""
    return [
        _KEYS[name].value_unset() if value is None else _KEYS[name].value_set(value)
        for name, value in changed.items()
    ]


def view(panel: Panel) -> dict[str, Any]:
    """Return the order as its workflow knows it."""
    return {
        "order_id": panel.order_id,
        "stage": panel.stage,
        "promise": panel.promise_date.isoformat() if panel.promise_date else None,
        "holds": [str(hold.reason) for hold in panel.holds],
        "cases": [f"{case.kind} about {case.subject}" for case in panel.cases],
        "shipments": {
            s.id: {
                "does": s.doing,
                "parcel": s.parcel_id,
                "carrier": s.carrier,
                "tracking_number": s.tracking_number,
                "carrier_status": s.carrier_status,
                "outcome": s.outcome,
            }
            for s in panel.shipments
        },
    }


def explain(panel: Panel) -> str:
    """Return in a sentence what the order waits for, what happens next and who must act."""
    if panel.holds:
        hold = min(panel.holds, key=lambda h: h.due_at)
        return (
            f"{panel.order_id} is held ({hold.reason}, by {hold.placed_by}) since {hold.placed_at:%a %d %b %H:%M}. "
            f"Support releases or cancels it; on {hold.due_at:%a %d %b %H:%M} by itself: {hold.default}."
        )
    if panel.cases:
        case = min(panel.cases, key=lambda c: c.due_at)
        return (
            f"{panel.order_id}: {case.kind} about {case.subject} since {case.opened_at:%a %d %b %H:%M}. "
            f"{case.owner} acts until {case.due_at:%a %d %b %H:%M}. {case.note}".strip()
        )
    busy = [shipment for shipment in panel.shipments if shipment.outcome is None]
    if not busy:
        return f"{panel.order_id} is {panel.stage}. Nothing for you to do."
    expected = panel.promise_date and any(shipment.settlement is None for shipment in busy)
    promised = f" Promised for {panel.promise_date:%a %d %b}." if expected else ""
    return f"{'; '.join(f'{s.id} {_doing(s)}' for s in busy)}.{promised} Nothing for you to do."


def _doing(shipment: ShipmentProcess) -> str:
    comes_back = shipment.carrier_status is CarrierStatus.RETURN_TO_SENDER
    return "is on its way back" if comes_back else shipment.doing


def details(panel: Panel) -> str:
    """Return the current details: state in words, a bar, what it waits for, facts, and what may be pasted."""
    lines = [
        f"### {panel.order_id} · {panel.stage.replace('_', ' ')}",
        f"`{_bar(panel.stage)}`",
        f"> {explain(panel)}",
        *(_line(shipment) for shipment in panel.shipments),
        *([f"- **{panel.rejected} rejected** commands or facts"] if panel.rejected else []),
        "```",
        *panel.log,
        "```",
        *_paste(panel.actions),
    ]
    return "\n".join(lines)


def _line(shipment: ShipmentProcess) -> str:
    number = f" · {shipment.carrier} {shipment.tracking_number}" if shipment.tracking_number else ""
    status = f" · {shipment.carrier_status}" if shipment.carrier_status else ""
    return f"- **{shipment.id}** {shipment.plan.units} units from {shipment.plan.location_id}: {shipment.doing}{number}{status}"


def _paste(actions: Mapping[str, str]) -> list[str]:
    allowed = [name for name, why_not in actions.items() if why_not == "yes" and name in _FORMS]
    if not allowed:
        return []
    blocks = [f"\n**{name}**\n```json\n{json.dumps(json.loads(_FORMS[name]))}\n```" for name in allowed]
    return ["\nPaste to act (Update):", *blocks]


def _bar(stage: str) -> str:
    reached = _STEPS.index(stage) + 1 if stage in _STEPS else 0
    return "██" * reached + "░░" * (len(_STEPS) - reached)


def _midnight(day: date | None) -> datetime | None:
    return datetime.combine(day, datetime.min.time(), tzinfo=UTC) if day else None
