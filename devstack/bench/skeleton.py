"""What Waybill is measured against: a bare workflow with the same deeds, and the same deeds without an engine."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import Engine
from temporalio.client import Client, WithStartWorkflowOperation
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.worker import Worker

from activities.payments import AuthorizePayments, CapturePayment
from devstack.bench.bare import QUEUE, SkeletonWorkflow
from devstack.bench.shop import MILESTONES, Shop
from fulfillment.domain.order import Outcome
from fulfillment.domain.record import CloseOrder
from fulfillment.settings import Settings, load_settings
from fulfillment.temporal import connect
from workers import wiring
from workers.worker import DATABASE_THREADS
from workflows import contract


async def work(settings: Settings) -> None:
    """Work for skeletons until killed; their deeds at providers run where every order's do."""
    books = wiring.engine(settings)
    client = await connect()
    async with Worker(
        client,
        task_queue=QUEUE,
        workflows=[SkeletonWorkflow],
        activities=wiring.deeds(books, wiring.world(settings), settings.clock).orders,
        activity_executor=ThreadPoolExecutor(2 * DATABASE_THREADS),
        max_concurrent_activities=DATABASE_THREADS,
        max_concurrent_local_activities=DATABASE_THREADS,
    ):
        if settings.ready_file:
            settings.ready_file.touch()
        await asyncio.Event().wait()


async def place(client: Client, order_id: str) -> None:
    """Start a skeleton and wait until it has the money, as placing an order does."""
    start: WithStartWorkflowOperation[SkeletonWorkflow, str] = WithStartWorkflowOperation(
        SkeletonWorkflow.run,
        order_id,
        id=contract.order_workflow_id(order_id),
        task_queue=QUEUE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
    )
    await client.execute_update_with_start_workflow(
        contract.PLACE, start_workflow_operation=start, id=contract.PLACE
    )
    await start.workflow_handle()


class Plain:
    """The same deeds one after another in a thread, remembered by nobody but the database."""

    def __init__(self, shop: Shop, books: Engine) -> None:
        self._shop = shop
        deeds = wiring.deeds(books, wiring.world(shop.settings), shop.settings.clock)
        self._do = {deed.__name__: deed for deed in (*deeds.orders, *deeds.payments, *deeds.carriers)}

    def run(self, order_id: str) -> None:
        """Take one order from placed to settled."""
        shipment_id, parcel_id = f"{order_id}-1", f"{order_id}-P1"
        self._do["reserve_stock"](order_id)
        self._do["authorize_payments"](
            AuthorizePayments(order_id=order_id, attempt=1, groups=((shipment_id,),))
        )
        self._shop.pick_and_pack(shipment_id)
        self._do["buy_label"](parcel_id)
        self._shop.floor.hand_over(shipment_id, by="bench")
        self._do["capture_payment"](CapturePayment(shipment_id=shipment_id))
        for status in MILESTONES:
            self._shop.scan(parcel_id, status)
        self._do["close_order"](CloseOrder(order_id=order_id, outcome=Outcome.DELIVERED))


if __name__ == "__main__":
    asyncio.run(work(load_settings("database_url")))
