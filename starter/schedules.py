"""Creates or updates the Schedules; harmless to repeat."""

import asyncio
from datetime import timedelta

import structlog
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from temporalio.service import RPCError

from fulfillment.domain.clock import ShopClock
from fulfillment.domain.policy import Policy
from workflows import contract
from workflows.contract import ReconciliationStart
from workflows.reconciliation import ReconciliationWorkflow
from workflows.replenishment import ReplenishmentWorkflow

# Shop time. Real gaps never fall below five seconds, however fast the shop's clock runs.
REPLENISH_EVERY = timedelta(hours=12)
RECONCILE_EVERY = timedelta(minutes=1)
SHORTEST = timedelta(seconds=5)
TROUBLE_PAUSE = 2.0
# One sweep that hangs must not keep the next ones from starting: they do not overlap.
SWEEP_ENDS_WITHIN = timedelta(minutes=5)

log = structlog.stdlib.get_logger(__name__)


async def ensure(client: Client, *, policy: Policy, clock: ShopClock) -> None:
    """Make both Schedules as they should be."""
    await _ensure(
        client,
        contract.REPLENISHMENT.lower(),
        ScheduleActionStartWorkflow(
            ReplenishmentWorkflow.run,
            id=contract.REPLENISHMENT.lower(),
            task_queue=contract.ORDERS_QUEUE,
            static_summary="order from vendors what runs low",
        ),
        every=max(clock.real_span(REPLENISH_EVERY), SHORTEST),
    )
    await _ensure(
        client,
        contract.RECONCILIATION.lower(),
        ScheduleActionStartWorkflow(
            ReconciliationWorkflow.run,
            ReconciliationStart(policy=policy, clock=clock),
            id=contract.RECONCILIATION.lower(),
            task_queue=contract.ORDERS_QUEUE,
            static_summary="find what was missed and hand it on",
            execution_timeout=SWEEP_ENDS_WITHIN,
        ),
        every=max(clock.real_span(RECONCILE_EVERY), SHORTEST),
    )


async def ensure_when_reachable(client: Client, *, policy: Policy, clock: ShopClock) -> None:
    """Make both Schedules as they should be, as soon as Temporal can be reached."""
    while True:
        try:
            return await ensure(client, policy=policy, clock=clock)
        except (
            RPCError,
            RuntimeError,
        ) as error:  # the second is a lazy client's that never reached the server
            log.warning("schedules wait for Temporal", why=str(error))
            await asyncio.sleep(TROUBLE_PAUSE)


async def _ensure(
    client: Client, schedule_id: str, action: ScheduleActionStartWorkflow, *, every: timedelta
) -> None:
    schedule = Schedule(
        action=action,
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=every)]),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=timedelta(minutes=1)),
    )
    try:
        await client.create_schedule(schedule_id, schedule)
    except ScheduleAlreadyRunningError:

        async def as_it_should_be(_: ScheduleUpdateInput) -> ScheduleUpdate:
            return ScheduleUpdate(schedule=schedule)

        await client.get_schedule_handle(schedule_id).update(as_it_should_be)
