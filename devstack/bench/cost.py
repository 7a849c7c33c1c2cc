"""What an order costs on Temporal: events, actions and workflows, by the server's own counter."""

import asyncio
import re
from dataclasses import dataclass
from typing import Final

from devstack.bench.shop import RestlessFloor, Shop, bench_stack, open_shop
from devstack.stack import Stack
from fulfillment.domain.order import Order
from fulfillment.http import metrics_text
from workflows import contract

BUDGET_EVENTS: Final = 56
BUDGET_ACTIONS: Final = 16
# The sum of its parts, each with a task of its own: authorize, label and capture (6 events and an action each), five
# facts (4 and 1), its tracking number (1 and 1), and the timer of its promise (2 and 1).
BUDGET_EXTRA_EVENTS: Final = 41
BUDGET_EXTRA_ACTIONS: Final = 10
_ACTIONS: Final = re.compile(r"^action\{([^}]*)\}\s+([0-9.e+]+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Counts of one plain order: one shipment, four milestones (handed over among them), authorize and capture.

    The `extra` ones are what an order from two places cost more: a second shipment with all that belongs to it.
    """

    events: int
    actions: int
    workflows: int
    actions_by_type: dict[str, int]
    extra_events: int
    extra_actions: int

    @property
    def within_budget(self) -> bool:
        """Whether an order still costs no more than was promised."""
        plain = self.events <= BUDGET_EVENTS and self.actions <= BUDGET_ACTIONS and self.workflows == 1
        return (
            plain and self.extra_events <= BUDGET_EXTRA_EVENTS and self.extra_actions <= BUDGET_EXTRA_ACTIONS
        )


def measure() -> Cost:
    """Run one plain order, and one from two places, on a stack of its own and count."""
    with bench_stack() as stack:
        return asyncio.run(_measure(stack))


async def _measure(stack: Stack) -> Cost:
    shop = await open_shop(stack)
    with RestlessFloor(shop):
        plain, spent = await _cost_of(shop, shop.order("COST-1"))
        workflows = [run async for run in shop.client.list_workflows()]
        split, spent_on_two = await _cost_of(shop, shop.order_from_two_places("COST-2"))
    return Cost(
        events=plain,
        actions=sum(spent.values()),
        workflows=len(workflows),
        actions_by_type=dict(sorted(spent.items())),
        extra_events=split - plain,
        extra_actions=sum(spent_on_two.values()) - sum(spent.values()),
    )


async def _cost_of(shop: Shop, order: Order) -> tuple[int, dict[str, int]]:
    """Run an order to its end; return its events, and its actions by type."""
    before = await _actions(shop)
    shop.accepted.accept(order, by="bench")
    await shop.processes.place(order.order_id)
    run = shop.client.get_workflow_handle(contract.order_workflow_id(order.order_id))
    await run.result()
    after = await _actions(shop)
    history = await run.fetch_history()
    return len(history.events), {
        kind: n - before.get(kind, 0) for kind, n in after.items() if n != before.get(kind, 0)
    }


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
