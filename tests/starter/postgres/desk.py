"""An order process that does at once what the workflow does in its own time."""

import asyncio
from collections.abc import Sequence
from typing import Any

from fulfillment.domain.findings import Unheard
from fulfillment.domain.operation import Operation
from fulfillment.domain.payment import PaymentSnapshot, PaymentStatus
from tests.storage.house import House
from workflows.contract import PlaceAnswer, Placed, VerbAnswer


class Desk:
    """Claims stock and money when an order is placed; labels a parcel when it hears that it is packed."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.heard: list[str] = []
        self.refunds: list[str] = []
        self.forms: list[str] = []
        self.forgotten: list[str] = []

    async def forget(self, order_ids: Sequence[str]) -> None:
        self.forgotten += order_ids

    async def place(self, order_id: str) -> PlaceAnswer | None:
        await asyncio.to_thread(self._place, order_id)
        return PlaceAnswer(placed=Placed.CONFIRMED)

    def _place(self, order_id: str) -> None:
        plan = self.house.stock.reserve(order_id)
        for attempt, shipment in enumerate(plan.shipments, start=1):
            wanted = (shipment.shipment_id,)
            operation = self.house.payments.claim_authorization(order_id, attempt, wanted)
            if isinstance(operation, Operation):
                snapshot = PaymentSnapshot(
                    reference=f"pi_{shipment.shipment_id}",
                    status=PaymentStatus.AUTHORIZED,
                    authorized=operation.amount.minor,
                    captured=0,
                    refunded=0,
                )
                self.house.payments.authorized(operation.key, snapshot)

    async def deliver(self, facts: Sequence[Unheard]) -> int:
        for fact in facts:
            self.heard.append(fact.name)
            if fact.name == "packed":
                await asyncio.to_thread(self.house.label, fact.body["parcel_id"])
        await asyncio.to_thread(self.house.signals.delivered, [fact.signal_id for fact in facts])
        return len(facts)

    async def start_refund(self, refund_id: str) -> None:
        self.refunds.append(refund_id)

    async def get_scan_form(self, form_id: str) -> None:
        self.forms.append(form_id)

    async def cancel(self, order_id: str, **what: Any) -> VerbAnswer:
        raise NotImplementedError

    hold = release = retry_payment = cancel
    change_items = change_address = change_service = answer_shortage = answer_case = cancel
