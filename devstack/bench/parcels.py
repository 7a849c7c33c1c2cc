"""Parcels with the delays, losses and silence of real ones: who was told when, and what became of the lost.

Everything is real but the way of the parcels, which is drawn from recorded ones: books, workflows, webhooks and mail.
"""

import asyncio
import random
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from typing import Final

from devstack.bench.delays import Found, judge
from devstack.bench.shop import RestlessFloor, Shop, an_order, bench_stack, open_shop
from devstack.bench.ways import ORIGIN, TOWNS, Town, Way, draw
from devstack.stack import Stack
from fulfillment.domain.address import Address
from fulfillment.http import ApiClient, api_client
from fulfillment.providers.calendars import public_holidays
from fulfillment.storage.warehouse import WorkItem
from workers.audit import audit
from workflows import contract

SPEED: Final = 3600.0  # an hour in a second
_PREFIX: Final = "PARCEL"
_ORDERS_A_DAY: Final = 40  # what two cores do at this speed, and look after the shop in time beside it
_AT_ONCE: Final = 12  # orders on their way to the dock
_LONGEST: Final = timedelta(days=45)  # in the shop's time, after the last order
Say = Callable[[str], None]


def measure(*, parcels: int, say: Say) -> Found:
    """Send so many parcels on their way, in a shop of their own, and judge what was done about them."""
    with bench_stack(speed=SPEED, web=True) as stack:
        return asyncio.run(_measure(stack, parcels, say))


async def _measure(stack: Stack, parcels: int, say: Say) -> Found:
    began, shop = time.monotonic(), await open_shop(stack)
    opened = shop.now()
    with ExitStack() as closing:
        world = closing.enter_context(api_client(stack.urls["simulator"]))
        world.post("/_sim/webhooks", {"noise": True})
        floor = closing.enter_context(_Dock(shop, world))
        sweeping = asyncio.create_task(_sweep_every_hour(shop))
        await _place(shop, floor, parcels, say)
        await _wait_for_the_end(shop, parcels, say)
        sweeping.cancel()
    say("waiting for rest, then the audit ..")
    report = await audit(shop.settings)
    for line in report.lines():
        say(line)
    with api_client(stack.urls["simulator"]) as world:
        mails = world.get("/_sim/mails", limit=100 * parcels)["mails"]
    with shop.engine.connect() as conn:
        found = judge(conn, floor.ways, mails)
    ended = shop.now()
    return replace(
        found,
        days=(ended - opened) / timedelta(days=1),
        minutes=(time.monotonic() - began) / 60,
        violations=report.violations,
    )


def _town(order_id: str) -> Town:
    return TOWNS[int(order_id.rpartition("-")[2]) % len(TOWNS)]


async def _sweep_every_hour(shop: Shop) -> None:
    """Look after the shop as often as in life or nearly: its own schedule rests for seconds, which are hours here."""
    schedule = shop.client.get_schedule_handle(contract.RECONCILIATION.lower())
    while True:
        await asyncio.sleep(3600 / SPEED)
        await schedule.trigger()


async def _place(shop: Shop, floor: "_Dock", parcels: int, say: Say) -> None:
    """Let customers come one after another, and wait where the shop is not done with those before them."""
    free, opened = asyncio.Semaphore(_AT_ONCE), shop.now()

    async def one(n: int) -> None:
        async with free:
            order_id = f"{_PREFIX}-{n}"
            town = _town(order_id)
            to = Address(name="Ann", line1="1 Main St", city=town.city, region=town.region, country="US",
                         postal_code=town.postal_code)  # fmt: skip
            order = an_order(order_id, shop.now())
            customer = replace(order.customer, customer_id=f"cus_{n}", email=f"ann{n}@example.com")
            mine = replace(order, ship_to=to, customer=customer)
            await asyncio.to_thread(shop.accepted.accept, mine, by="bench")
            await shop.processes.place(order_id)
            while f"{order_id}-1" not in floor.ways:
                await asyncio.sleep(0.05)
        if n % 100 == 0:
            say(f"{n} orders placed, it is {shop.now():%a %d %b}")

    async with asyncio.TaskGroup() as customers:
        for n in range(1, parcels + 1):
            early = opened + timedelta(days=n / _ORDERS_A_DAY) - shop.now()
            await asyncio.sleep(early.total_seconds() / SPEED)
            customers.create_task(one(n))


async def _wait_for_the_end(shop: Shop, parcels: int, say: Say) -> None:
    until, day = shop.now() + _LONGEST, shop.now().date()
    while len(ended := await asyncio.to_thread(shop.ended, _PREFIX)) < parcels:
        now = shop.now()
        if now > until:
            raise TimeoutError(f"{parcels - len(ended)} of {parcels} orders have not ended after {_LONGEST}")
        if now.date() >= day + timedelta(days=3):
            day = now.date()
            say(f"{len(ended)} of {parcels} orders have ended, it is {now:%a %d %b}")
        await asyncio.sleep(0.5)


class _Dock(RestlessFloor):
    """Hands parcels to the carrier with the way that they will take."""

    def __init__(self, shop: Shop, world: ApiClient) -> None:
        super().__init__(shop)
        self._world, self._books = world, shop
        this_year = shop.now().year
        self._rests = public_holidays("US", ORIGIN[1], range(this_year, this_year + 2))
        self.ways: dict[str, Way] = {}
        self._lock = threading.Lock()

    def _to_the_door(self, item: WorkItem, parcel_id: str) -> None:
        left = self._books.floor.hand_over(item.shipment_id, by="bench")
        self._hand_on(item.order_id)
        dice = random.Random(item.shipment_id)
        way = draw(dice, _town(item.order_id), self._books.now(), self._rests)
        with self._lock:
            self.ways[item.shipment_id] = way
        said = {"way": [scan.as_json() for scan in way.scans]}
        self._world.post(f"/_sim/parcels/{left.tracking_number}/handed_over", said)
