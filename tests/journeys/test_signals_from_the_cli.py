"""A person at a terminal sends an order something it cannot read: it says so and goes on."""

import asyncio

from devstack.chaos import Arena, Tale
from devstack.temporal import program
from fulfillment.domain.shipment import WorkStatus
from workflows.contract import order_workflow_id

NONSENSE = {
    "no argument at all": ("--name", "packed"),
    "null": ("--name", "handed_over", "--input", "null"),
    "one argument too many": ("--name", "cancel", "--input", '{"reason": "x"}', "--input", "2"),
    "a number for a fact": ("--name", "milestone", "--input", "42"),
    "a shipment of somebody else": (
        "--name",
        "packed",
        "--input",
        '{"shipment_id": "SO-1-1", "parcel_id": "?"}',
    ),
    "a name nobody knows": ("--name", "make_it_so", "--input", "{}"),
}


async def test_an_order_shows_what_it_cannot_read_and_goes_on(journeys: Arena) -> None:
    order_id = journeys.new_id("CLI")
    await journeys.place(journeys.shop.order(order_id), Tale.CALLED_BACK)
    await journeys.stands(order_id, WorkStatus.LABELED)
    order = journeys.shop.client.get_workflow_handle(order_workflow_id(order_id))

    for words in NONSENSE.values():
        await _temporal(journeys, "workflow", "signal", "--workflow-id", order.id, *words)

    async with asyncio.timeout(20):
        while len(rejected := [line for line in await order.query("timeline") if "rejected" in line]) < len(
            NONSENSE
        ):
            await asyncio.sleep(0.1)
    assert len(rejected) == len(NONSENSE)
    assert "bad_signal" in str(await order.query("view"))
    journeys.floor.tales[order_id] = Tale.PLAIN
    await journeys.ended(order_id)
    assert (await order.result())["outcome"] == "delivered"


async def _temporal(journeys: Arena, *words: str) -> None:
    env = journeys.stack.env
    where = ("--address", env["TEMPORAL_ADDRESS"], "--namespace", env["TEMPORAL_NAMESPACE"])
    process = await asyncio.create_subprocess_exec(
        str(program()),
        *words,
        *where,
        env=env,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    assert process.returncode == 0, said.decode()
