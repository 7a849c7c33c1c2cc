"""Which workflows and activities run on which queue, with how much room, and how they stop."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from temporalio.client import Client
from temporalio.worker import Worker

from workers.heartbeat import Heartbeat
from workflows import contract
from workflows.order import OrderWorkflow
from workflows.reconciliation import ReconciliationWorkflow
from workflows.refund import RefundWorkflow
from workflows.replenishment import ReplenishmentWorkflow
from workflows.scan_form import ScanFormWorkflow

WORKFLOWS = (OrderWorkflow, RefundWorkflow, ScanFormWorkflow, ReplenishmentWorkflow, ReconciliationWorkflow)

# Few threads cost least: with sixteen of them Python spends a quarter more CPU on handing over its lock.
DATABASE_THREADS = 4
PROVIDER_THREADS = 4

# After a crash the next task of an order waits this long for the worker that is gone. Much shorter is dearer:
# on a busy worker tasks then time out too, and every one of them replays its whole history elsewhere.
STICKY = timedelta(seconds=5)
GRACE = timedelta(seconds=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deeds:
    """The activities, by the queue they run on."""

    orders: Sequence[Callable[..., Any]]
    payments: Sequence[Callable[..., Any]]
    carriers: Sequence[Callable[..., Any]]


def workers(client: Client, deeds: Deeds, queues: Sequence[str]) -> list[Worker]:
    """Return a worker for each of the queues."""
    made = {
        contract.ORDERS_QUEUE: _orders,
        contract.PAYMENTS_QUEUE: _payments,
        contract.CARRIERS_QUEUE: _carriers,
    }
    return [made[queue](client, deeds) for queue in queues]


def _orders(client: Client, deeds: Deeds) -> Worker:
    return Worker(
        client,
        task_queue=contract.ORDERS_QUEUE,
        workflows=WORKFLOWS,
        activities=deeds.orders,
        activity_executor=ThreadPoolExecutor(2 * DATABASE_THREADS, thread_name_prefix="books"),
        max_concurrent_activities=DATABASE_THREADS,
        max_concurrent_local_activities=DATABASE_THREADS,
        max_concurrent_workflow_tasks=50,
        sticky_queue_schedule_to_start_timeout=STICKY,
        graceful_shutdown_timeout=GRACE,
    )


def _payments(client: Client, deeds: Deeds) -> Worker:
    return _provider(client, contract.PAYMENTS_QUEUE, deeds.payments)


def _carriers(client: Client, deeds: Deeds) -> Worker:
    return _provider(client, contract.CARRIERS_QUEUE, deeds.carriers)


def _provider(client: Client, queue: str, activities: Sequence[Callable[..., Any]]) -> Worker:
    """A queue per provider: it can be paused, throttled or switched off alone."""
    return Worker(
        client,
        task_queue=queue,
        activities=activities,
        activity_executor=ThreadPoolExecutor(PROVIDER_THREADS, thread_name_prefix=queue),
        max_concurrent_activities=PROVIDER_THREADS,
        graceful_shutdown_timeout=GRACE,
        interceptors=[Heartbeat()],
    )


async def run_until(stopped: asyncio.Event, working: Sequence[Worker], *, ready: Callable[[], None]) -> None:
    """Work until told to stop; then finish what is being done."""
    async with AsyncExitStack() as running:
        for worker in working:
            await running.enter_async_context(worker)
        ready()
        await stopped.wait()
