"""Money that goes back, with a clock that can be moved."""

from datetime import timedelta
from uuid import uuid4

import pytest
from temporalio.client import WorkflowHandle
from temporalio.testing import WorkflowEnvironment

from fulfillment.domain.clock import ShopClock
from fulfillment.domain.refund import RefundState
from tests.workflows.conftest import Workers
from tests.workflows.world import World
from workflows import contract
from workflows.contract import RefundStart
from workflows.refund import RefundWorkflow

_S = RefundState


async def _started(
    environment: WorkflowEnvironment, workers: Workers, *states: RefundState
) -> tuple[World, WorkflowHandle[RefundWorkflow, str]]:
    world = World()
    world.refund_states = list(states)
    await workers(world)
    handle = await environment.client.start_workflow(
        RefundWorkflow.run,
        RefundStart(refund_id="SO-1-F1", clock=ShopClock()),
        id=f"refund-SO-1-F1-{uuid4().hex[:8]}",
        task_queue=contract.ORDERS_QUEUE,
    )
    return world, handle


async def test_a_refund_that_succeeds_is_asked_for_once(
    environment: WorkflowEnvironment, workers: Workers
) -> None:
    world, refund = await _started(environment, workers, _S.SUCCEEDED)

    assert await refund.result() == "SO-1-F1: paid"
    assert world.done == ["pay SO-1-F1"]


@pytest.mark.parametrize("first", [_S.RUNNING, _S.FAILED])
async def test_a_refund_that_is_not_paid_yet_is_looked_at_again_the_next_day(
    environment: WorkflowEnvironment, workers: Workers, first: RefundState
) -> None:
    world, refund = await _started(environment, workers, first, _S.SUCCEEDED)

    await environment.fast_forward(refund, timedelta(days=1, minutes=1))

    assert await refund.result() == "SO-1-F1: paid"
    assert len(world.done) == 2


async def test_a_refund_refused_three_times_is_left_to_people(
    environment: WorkflowEnvironment, workers: Workers
) -> None:
    world, refund = await _started(environment, workers, *[_S.FAILED] * 3)

    await environment.fast_forward(refund, timedelta(days=3))

    assert "a person must pay it by hand" in await refund.result()
    assert len(world.done) == 3
