"""One order at a time on a whole stack: commands it cannot read, and a carrier that cannot deliver it."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from sqlalchemy import Select, select

from devstack.chaos import Arena, Tale
from devstack.temporal import program
from fulfillment.domain.cases import CaseKind
from fulfillment.domain.playbooks import Answer
from fulfillment.domain.reasons import Reason
from fulfillment.domain.shipment import WorkStatus
from fulfillment.domain.tracking import CarrierStatus, Scan
from fulfillment.storage.tables import outbox, refunds
from workflows.contract import order_workflow_id

C = CarrierStatus

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


# --- a carrier that cannot deliver ---------------------------------------------------------------------


async def test_the_third_failed_attempt_is_answered_by_support_and_its_money_goes_back(
    journeys: Arena,
) -> None:
    order_id, shop = journeys.new_id("TRY"), journeys.shop
    await journeys.place(shop.order(order_id), Tale.BY_HAND)
    await journeys.stands(order_id, WorkStatus.RELEASED)
    await asyncio.to_thread(shop.pick_and_pack, f"{order_id}-1")
    await hand_on(journeys, order_id)
    await journeys.stands(order_id, WorkStatus.LABELED)
    await asyncio.to_thread(shop.floor.hand_over, f"{order_id}-1", by="dock")
    order = shop.client.get_workflow_handle(order_workflow_id(order_id))

    for n in range(3):
        await scanned(journeys, order_id, C.ATTEMPTED, days_ago=3 - n, reason=Reason.CONSIGNEE_NOT_HOME)
    await shows(order.query, lambda view: view["cases"] == [f"last_attempt about {order_id}-1"])
    answered = await shop.processes.answer_case(
        order_id, kind=CaseKind.LAST_ATTEMPT, answer=Answer.REFUND, by="maria", request_id=f"{order_id}:r"
    )
    await refunded_for(journeys, order_id, "not_brought")
    await scanned(journeys, order_id, C.RETURN_TO_SENDER, days_ago=0.2)
    await scanned(journeys, order_id, C.RETURNED, days_ago=0.1)
    await journeys.ended(order_id)

    result = await order.result()
    assert answered.text == "The carrier could not bring you your parcel. We give you your money back."
    assert (result["outcome"], result["refunds"]) == ("returned", [f"{order_id}-1"])
    assert told(journeys, order_id) == [("failed_attempt", 1), ("failed_attempt", 2), ("last_attempt", 3)]
    report = await journeys.verdict()
    assert report.clean, "\n".join(report.lines())


async def scanned(journeys: Arena, order_id: str, status: C, *, days_ago: float, **more: Any) -> None:
    at = journeys.shop.now() - timedelta(days=days_ago)
    scan = Scan(status=status, occurred_at=at, code=f"{status} {at:%d}", place="Boise, ID", **more)
    scan_it = journeys.shop.parcels.scanned
    await asyncio.to_thread(scan_it, f"{order_id}-P1", (scan,), None, source="asked")
    await hand_on(journeys, order_id)


async def hand_on(journeys: Arena, order_id: str) -> None:
    """Tell the order what happened, as the doors do."""
    facts = await asyncio.to_thread(journeys.shop.signals.for_order, order_id)
    await journeys.shop.processes.deliver(facts)


async def shows(query: Callable[[str], Any], there: Callable[[dict[str, Any]], bool]) -> None:
    async with asyncio.timeout(20):
        while not there(await query("view")):
            await asyncio.sleep(0.1)


async def refunded_for(journeys: Arena, order_id: str, cause: str) -> None:
    """Wait until money goes back, and see that nothing else is called its cause."""
    causes = select(refunds.c.cause).where(refunds.c.order_id == order_id)
    async with asyncio.timeout(20):
        while not (found := await asyncio.to_thread(_all, journeys, causes)):
            await asyncio.sleep(0.1)
    assert found == [cause]


def _all(journeys: Arena, query: Select[Any]) -> list[Any]:
    with journeys.shop.engine.connect() as conn:
        return list(conn.execute(query).scalars())


def told(journeys: Arena, order_id: str) -> list[tuple[str, int]]:
    news = select(*outbox.c["fact", "version"]).where(
        outbox.c.order_id == order_id, outbox.c.fact.in_(["failed_attempt", "last_attempt"])
    )
    with journeys.shop.engine.connect() as conn:
        return [tuple(row) for row in conn.execute(news.order_by(outbox.c.version))]
