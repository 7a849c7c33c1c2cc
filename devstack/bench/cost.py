"""What a plain order costs on Temporal: events, actions and workflows, by the server's own counter."""

import asyncio
import re
from dataclasses import dataclass
from typing import Final

from devstack.bench.shop import RestlessFloor, Shop, bench_stack, open_shop
from devstack.stack import Stack
from fulfillment.http import metrics_text
from workflows import contract

BUDGET_EVENTS: Final = 56
BUDGET_ACTIONS: Final = 16
_ACTIONS: Final = re.compile(r"^action\{([^}]*)\}\s+([0-9.e+]+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Counts of one plain order: one shipment, four milestones (handed over among them), authorize and capture."""

    events: int
    actions: int
    workflows: int
    actions_by_type: dict[str, int]

    @property
    def within_budget(self) -> bool:
        """Whether a plain order still costs no more than was promised."""
        return self.events <= BUDGET_EVENTS and self.actions <= BUDGET_ACTIONS and self.workflows == 1


def measure() -> Cost:
    """Run one plain order on a stack of its own and count."""
    with bench_stack() as stack:
        return asyncio.run(_measure(stack))


async def _measure(stack: Stack) -> Cost:
    shop = await open_shop(stack)
    before = await _actions(shop)
    with RestlessFloor(shop):
        await _run_one(shop, "COST-1")
    after = await _actions(shop)
    spent = {kind: n - before.get(kind, 0) for kind, n in after.items() if n != before.get(kind, 0)}
    history = await shop.client.get_workflow_handle(contract.order_workflow_id("COST-1")).fetch_history()
    workflows = [run async for run in shop.client.list_workflows()]
    return Cost(
        events=len(history.events),
        actions=sum(spent.values()),
        workflows=len(workflows),
        actions_by_type=dict(sorted(spent.items())),
    )


async def _run_one(shop: Shop, order_id: str) -> None:
    shop.accepted.accept(shop.order(order_id), by="bench")
    await shop.processes.place(order_id)
    await shop.client.get_workflow_handle(contract.order_workflow_id(order_id)).result()


async def _actions(shop: Shop) -> dict[str, int]:
    """Return the server's counter by type of action, once it stands still: it lags by up to a second."""
    counted = _read(shop)
    while True:
        await asyncio.sleep(2)
        again = _read(shop)
        if again == counted:
            return counted
        counted = again


def _read(shop: Shop) -> dict[str, int]:
    counted: dict[str, int] = {}
    for labels, value in _ACTIONS.findall(metrics_text(shop.settings.temporal_metrics_url)):
        label = dict(re.findall(r'(\w+)="([^"]*)"', labels))
        if label.get("namespace") == shop.client.namespace:
            kind = label.get("action_type", "?")
            counted[kind] = counted.get(kind, 0) + int(float(value))
    return counted
