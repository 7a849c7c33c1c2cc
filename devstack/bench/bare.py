"""A bare workflow with the deeds of a plain order: what durability alone costs."""

from collections.abc import Sequence

from temporalio import workflow
from temporalio.common import RawValue

from activities.inventory import InventoryActivities
from activities.payments import AuthorizePayments, CapturePayment, PaymentActivities
from activities.records import RecordActivities
from activities.shipping import ShippingActivities
from fulfillment.domain.order import Outcome
from fulfillment.domain.record import CloseOrder
from workflows import contract, options

QUEUE = "bench-skeleton"
MILESTONES = 3  # in transit, out for delivery, delivered


@workflow.defn(name="Skeleton")
class SkeletonWorkflow:
    """An order that knows no trouble: no holds, no verbs, no cases, nothing shown."""

    @workflow.init
    def __init__(self, order_id: str) -> None:
        self._heard: list[str] = []
        self._placed = False

    @workflow.run
    async def run(self, order_id: str) -> str:
        """Do what a plain order does, and nothing else."""
        shipment_id, parcel_id = f"{order_id}-1", f"{order_id}-P1"
        await workflow.execute_local_activity_method(
            InventoryActivities.reserve_stock, order_id, **options.DATABASE_FAST
        )
        await workflow.execute_activity_method(
            PaymentActivities.authorize_payments,
            AuthorizePayments(order_id=order_id, attempt=1, groups=((shipment_id,),)),
            **options.PAYMENT,
        )
        self._placed = True
        await workflow.wait_condition(lambda: contract.PACKED in self._heard)
        await workflow.execute_activity_method(ShippingActivities.buy_label, parcel_id, **options.CARRIER)
        await workflow.wait_condition(lambda: contract.HANDED_OVER in self._heard)
        await workflow.execute_activity_method(
            PaymentActivities.capture_payment, CapturePayment(shipment_id=shipment_id), **options.PAYMENT
        )
        await workflow.wait_condition(lambda: self._heard.count(contract.MILESTONE) == MILESTONES)
        await workflow.execute_local_activity_method(
            RecordActivities.close_order,
            CloseOrder(order_id=order_id, outcome=Outcome.DELIVERED),
            **options.DATABASE_FAST,
        )
        return "delivered"

    @workflow.update(name=contract.PLACE)
    async def place(self) -> str:
        """Answer when the money is reserved."""
        await workflow.wait_condition(lambda: self._placed)
        return "confirmed"

    @workflow.signal(dynamic=True)
    def heard(self, name: str, _body: Sequence[RawValue]) -> None:
        """Note a fact."""
        self._heard.append(name)
