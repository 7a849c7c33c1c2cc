"""Records how orders ran, for later releases to replay: `python -m tests.replay.record`.

A released version's recordings are never changed; this writes those of the version that stands in pyproject.toml.
"""

import asyncio
import json
import re
import tomllib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from temporalio.client import WorkflowHandle

from devstack import seed
from devstack.bench import shop as bench
from devstack.chaos import Arena, Tale, arena, chaos_stack
from devstack.stack import ROOT
from fulfillment.domain.catalogue import Product
from fulfillment.domain.change import LineQuantity, NewLine
from fulfillment.domain.holds import HoldReason
from fulfillment.domain.order import Order
from fulfillment.domain.shipment import WorkStatus
from fulfillment.http import api_client
from workflows.contract import PAYMENT_NEWS, Placed, order_workflow_id

HISTORIES: Final = Path(__file__).parent / "histories"
_PLACE_OF_RECORDING: Final = re.compile(r"\d+@[\w.-]+")
_LATER: Final = Product(sku="LATER", name="Later", weight_g=100, price=2400, backorderable=True, on_hand=1)


async def plain(shop: Arena, order: Order) -> None:
    await shop.tell(order.order_id, Tale.PLAIN)


async def cancelled(shop: Arena, order: Order) -> None:
    await shop.tell(order.order_id, Tale.CANCELLED)


async def cancelled_with_its_label(shop: Arena, order: Order) -> None:
    await shop.tell(order.order_id, Tale.CALLED_BACK)


async def lost(shop: Arena, order: Order) -> None:
    await shop.tell(order.order_id, Tale.LOST)


async def short_then_backordered(shop: Arena, order: Order) -> None:
    shop.shop.stock.set_catalogue([_LATER], by="recorder", location_id=seed.RENO)
    lines = tuple(replace(line, sku=_LATER.sku) for line in order.lines)
    answer = await shop.place(replace(order, lines=lines).checked(), Tale.PLAIN)
    assert answer
    assert answer.placed is Placed.SHORT
    shop.shop.stock.receive(_LATER.sku, seed.RENO, 5, key="recorder", by="recorder")
    await shop.shop.processes.deliver(shop.shop.signals.for_order(order.order_id))


async def declined_then_paid(shop: Arena, order: Order) -> None:
    answer = await shop.place(replace(order, payment_method="pm_card_chargeDeclined"), Tale.PLAIN)
    assert answer
    assert answer.placed is Placed.DECLINED
    await shop.shop.processes.retry_payment(
        order.order_id, method="pm_card_visa", by="recorder", request_id="paid"
    )


async def fraud_hold_released(shop: Arena, order: Order) -> None:
    await shop.place(replace(order, payment_method="pm_card_riskLevelElevated"), Tale.PLAIN)
    await shop.shop.processes.release(
        order.order_id, reason=HoldReason.FRAUD, by="recorder", request_id="released"
    )


async def confirmed_with_the_bank(shop: Arena, order: Order) -> None:
    answer = await shop.place(replace(order, payment_method="pm_card_authenticationRequired"), Tale.PLAIN)
    assert answer
    assert answer.next_action_url
    intent = answer.next_action_url.rpartition("/")[2]
    with api_client(shop.stack.urls["simulator"]) as simulator:
        simulator.post(f"/_sim/payments/{intent}/authenticate")
    news = {"fact_key": "confirmed", "payment_id": f"{order.order_id}:authorize:{order.order_id}-1:1"}
    await _workflow(shop, order.order_id).signal(PAYMENT_NEWS, news)


async def one_unit_cancelled(shop: Arena, order: Order) -> None:
    await shop.place(order, Tale.BY_HAND)
    await shop.shop.processes.cancel(
        order.order_id,
        reason="one is enough",
        lines=[LineQuantity(line_no=1, quantity=1)],
        by="recorder",
        request_id="one",
    )
    shop.floor.tales[order.order_id] = Tale.PLAIN


async def line_added(shop: Arena, order: Order) -> None:
    await shop.place(order, Tale.BY_HAND)
    await shop.shop.processes.change_items(
        order.order_id,
        lines=[],
        added=[NewLine(sku=bench.SKU, quantity=1)],
        by="recorder",
        request_id="more",
    )
    shop.floor.tales[order.order_id] = Tale.PLAIN


async def moved_after_the_label(shop: Arena, order: Order) -> None:
    await shop.place(order, Tale.CALLED_BACK)
    await shop.stands(order.order_id, WorkStatus.LABELED)
    await shop.shop.processes.change_address(
        order.order_id, ship_to=replace(order.ship_to, line1="350 New St"), by="recorder", request_id="moved"
    )
    shop.floor.tales[order.order_id] = Tale.PLAIN


CASES: Final[tuple[Callable[[Arena, Order], Awaitable[None]], ...]] = (
    plain,
    cancelled,
    cancelled_with_its_label,
    lost,
    short_then_backordered,
    declined_then_paid,
    fraud_hold_released,
    confirmed_with_the_bank,
    one_unit_cancelled,
    line_added,
    moved_after_the_label,
)


async def record(folder: Path) -> None:
    """Run every case once and write its history."""
    folder.mkdir(parents=True, exist_ok=True)
    with chaos_stack(workers=1) as stack:
        async with arena(stack) as shop:
            for n, case in enumerate(CASES):
                order = shop.shop.order(f"SO-{n}")
                await case(shop, order)
                await shop.ended(order.order_id)
                text = await _history(shop, order.order_id)
                (folder / f"{case.__name__}.json").write_text(text)


async def _history(shop: Arena, order_id: str) -> str:
    handle = _workflow(shop, order_id)
    await handle.result()
    recorded = _scrubbed(json.loads((await handle.fetch_history()).to_json()))
    return json.dumps(recorded, indent=1, sort_keys=True) + "\n"


def _workflow(shop: Arena, order_id: str) -> WorkflowHandle[Any, Any]:
    return shop.shop.client.get_workflow_handle(order_workflow_id(order_id))


def _scrubbed(part: Any) -> Any:
    """Return it without the names of the computer and the folders it was recorded on."""
    if isinstance(part, Mapping):
        return {name: _scrubbed(value) for name, value in part.items() if name != "stackTrace"}
    if isinstance(part, list):
        return [_scrubbed(value) for value in part]
    return _PLACE_OF_RECORDING.sub("recorder", part) if isinstance(part, str) else part


if __name__ == "__main__":
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    asyncio.run(record(HISTORIES / version))
