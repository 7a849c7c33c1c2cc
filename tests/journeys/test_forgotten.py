"""A customer is forgotten: neither the books nor Temporal can say any more who ordered."""

import asyncio
from dataclasses import replace
from typing import Final

from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from devstack.chaos import Arena, Tale
from fulfillment.domain.holds import HoldReason
from fulfillment.domain.shipment import WorkStatus
from fulfillment.storage.erasure import ErasureStore
from workflows.contract import order_workflow_id

_NAME: Final = "Zebra"


async def test_p54_a_forgotten_customer_is_in_no_history_and_the_audit_is_clean(journeys: Arena) -> None:
    """Guard: `Orders.forget`. Without it the note that support typed can still be read in the order's history."""
    shop, order_id = journeys.shop, journeys.new_id("FORGET")
    customer = replace(shop.order(order_id).customer, customer_id=f"cus_{order_id}")
    await journeys.place(replace(shop.order(order_id), customer=customer), Tale.CALLED_BACK)
    await journeys.stands(order_id, WorkStatus.LABELED)
    said = {"reason": HoldReason.MANUAL, "by": "maria"}
    await shop.processes.hold(order_id, note=f"Ann {_NAME} rang", request_id="h-1", **said)
    await shop.processes.release(order_id, request_id="h-2", **said)
    journeys.floor.tales[order_id] = Tale.PLAIN
    await journeys.ended(order_id)
    run = shop.client.get_workflow_handle(order_workflow_id(order_id))
    await run.result()
    before = "".join(map(str, (await run.fetch_history()).events))

    erased = ErasureStore(shop.engine, shop.now).erase(customer.customer_id, by="olga", reason="she asked")
    await shop.processes.forget(erased.order_ids)
    await shop.processes.forget(erased.order_ids)

    assert _NAME in before
    assert await _is_gone(shop.client, run.id)
    assert "Ann Example" not in str(await asyncio.to_thread(shop.accepted.get, order_id))
    assert [wrong for check in (await journeys.verdict()).checks for wrong in check.violations] == []


async def _is_gone(client: Client, workflow_id: str) -> bool:
    """Wait until Temporal has deleted a workflow: it does so in its own time."""
    async with asyncio.timeout(60):
        while True:
            try:
                await client.get_workflow_handle(workflow_id).describe()
            except RPCError as error:
                if error.status is not RPCStatusCode.NOT_FOUND:
                    raise
                return True
            await asyncio.sleep(0.2)
