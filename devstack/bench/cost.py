"""What an order costs on Temporal: events, actions and workflows, by the server's own counter."""

import asyncio
import re
import threading
import time
from collections import defaultdict
from dataclasses import dataclass
from typing import Final

from devstack.bench.shop import MILESTONES, RestlessFloor, Shop, bench_stack, open_shop
from devstack.stack import Stack
from fulfillment.domain.order import Order
from fulfillment.http import metrics_text
from fulfillment.storage.warehouse import WorkItem
from workflows import contract

_UNHURRIED: Final = (
    0.5  # seconds between two news: long enough for what follows from one, on a busy machine too
)
_ACTIONS: Final = re.compile(r"^action\{([^}]*)\}\s+([0-9.e+]+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Counts of one order, or of what it costs more than another."""

    events: int
    actions: int

    def within(self, budget: "Cost") -> bool:
        """Test whether it is no more than this."""
        return self.events <= budget.events and self.actions <= budget.actions

    def more_than(self, other: "Cost") -> "Cost":
        """Return what it costs more."""
        return Cost(events=self.events - other.events, actions=self.actions - other.actions)


PLAIN: Final = Cost(events=56, actions=16)
# What a second parcel of the same place adds: packed and delivered (4 events and an action each), label and capture (6
# and 1). It shares authorization, hand-over and timer with the first, which tells the milestones on the way.
SAME_PLACE: Final = Cost(events=20, actions=4)
# One of another place leaves by itself: a hand-over of its own (4 and 1), and its number for those who search (1 and 1).
OTHER_PLACE: Final = Cost(events=25, actions=6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What a plain order costs: one shipment, four milestones (handed over among them), authorize and capture.

    And what a second shipment adds, from the same place, handed over together, and from another one.
    """

    plain: Cost
    workflows: int
    actions_by_type: dict[str, int]
    same_place: Cost
    other_place: Cost

    @property
    def within_budget(self) -> bool:
        """Whether an order still costs no more than was promised."""
        alone = self.workflows == 1 and self.plain.within(PLAIN)
        return alone and self.same_place.within(SAME_PLACE) and self.other_place.within(OTHER_PLACE)


class _OneDriver(RestlessFloor):
    """A floor where one driver takes both parcels of an order, by one list."""

    def __init__(self, shop: Shop, *, between: float) -> None:
        super().__init__(shop, between=between)
        self._books = shop
        self._waiting: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
        self._lock = threading.Lock()

    def _to_the_door(self, item: WorkItem, parcel_id: str) -> None:
        with self._lock:
            taken = self._waiting[item.order_id]
            taken.append((item.shipment_id, parcel_id))
        if len(taken) == 2:
            self._leave(item.order_id, taken)

    def _leave(self, order_id: str, taken: list[tuple[str, str]]) -> None:
        for shipment_id, _ in taken:
            self._books.floor.hand_over(shipment_id, by="bench")
        self._hand_on(order_id)
        for status in MILESTONES:
            for _, parcel_id in taken:
                time.sleep(self.between)
                self._books.scan(parcel_id, status)
                self._hand_on(order_id)


def measure() -> Costs:
    """Run one plain order, and two of two shipments, on a stack of its own and count."""
    with bench_stack() as stack:
        return asyncio.run(_measure(stack))


async def _measure(stack: Stack) -> Costs:
    shop = await open_shop(stack)
    with RestlessFloor(shop, between=_UNHURRIED):
        plain, by_type = await _cost_of(shop, shop.order("COST-1"))
        workflows = [run async for run in shop.client.list_workflows()]
        split, _ = await _cost_of(shop, shop.order_from_two_places("COST-2"))
    with _OneDriver(shop, between=_UNHURRIED):
        together, _ = await _cost_of(shop, shop.order_of_two_parcels("COST-3"))
    return Costs(
        plain=plain,
        workflows=len(workflows),
        actions_by_type=by_type,
        same_place=together.more_than(plain),
        other_place=split.more_than(plain),
    )


async def _cost_of(shop: Shop, order: Order) -> tuple[Cost, dict[str, int]]:
    """Run an order to its end; return what it cost, and its actions by type."""
    before = await _actions(shop)
    shop.accepted.accept(order, by="bench")
    await shop.processes.place(order.order_id)
    run = shop.client.get_workflow_handle(contract.order_workflow_id(order.order_id))
    await run.result()
    after = await _actions(shop)
    history = await run.fetch_history()
    spent = {kind: n - before.get(kind, 0) for kind, n in sorted(after.items()) if n != before.get(kind, 0)}
    return Cost(events=len(history.events), actions=sum(spent.values())), spent


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
