"""Finishes what the doors accepted: starts orders written while Temporal was away, hands on recorded facts."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Protocol

import structlog

from fulfillment.domain.findings import Unheard
from starter.orders import Orders

# A burst of starts starves the workers, so no more than this many orders are being placed at once;
# the rest waits, accepted, in the database.
STARTS_IN_FLIGHT = 8
FACTS_AT_ONCE = 200
PAUSE = 0.25
TROUBLE_PAUSE = 2.0
PLACED_WITHIN = timedelta(seconds=30)

log = structlog.get_logger(__name__)


class AcceptedOrders(Protocol):
    """What we need of the accepted orders."""

    def unstarted(self, limit: int) -> Sequence[str]: ...

    def going_on(self, limit: int) -> Sequence[tuple[str, int]]: ...


class RecordedFacts(Protocol):
    """What we need of the recorded facts."""

    def undelivered(self, limit: int) -> Sequence[Unheard]: ...


class Relay:
    """Runs inside the web process. Several may run: everything it does is harmless to repeat."""

    def __init__(self, orders: Orders, accepted: AcceptedOrders, recorded: RecordedFacts) -> None:
        self._orders, self._accepted, self._recorded = orders, accepted, recorded
        self._starting: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Go on until cancelled."""
        await asyncio.gather(
            self._again_and_again(self._start_accepted),
            self._again_and_again(self._hand_on_facts),
            self._again_and_again(self._let_go_on),
        )

    async def _again_and_again(self, work: Callable[[], Awaitable[bool]]) -> None:
        while True:
            try:
                busy = await work()
            except Exception as error:  # noqa: BLE001 the database or Temporal is away: both come back
                log.warning("relay waits", work=work.__name__, why=str(error))
                await asyncio.sleep(TROUBLE_PAUSE)
                continue
            await asyncio.sleep(0 if busy else PAUSE)

    async def _start_accepted(self) -> bool:
        """Keep a bounded number of orders in the act of being placed."""
        free = STARTS_IN_FLIGHT - len(self._starting)
        if free == 0:
            await asyncio.wait(self._starting.values(), return_when=asyncio.FIRST_COMPLETED)
            return True
        waiting = await asyncio.to_thread(self._accepted.unstarted, free + len(self._starting))
        new = [order_id for order_id in waiting if order_id not in self._starting][:free]
        for order_id in new:
            self._starting[order_id] = asyncio.create_task(self._place(order_id))
        return bool(new)

    async def _place(self, order_id: str) -> None:
        try:
            await self._orders.place(order_id, within=PLACED_WITHIN)
        except Exception as error:  # noqa: BLE001 tried again on the next round; the order is safe in the database
            log.warning("order not started yet", order_id=order_id, why=str(error))
            await asyncio.sleep(TROUBLE_PAUSE)
        finally:
            del self._starting[order_id]

    async def _let_go_on(self) -> bool:
        """Few orders go on after their end, and one that is just closing waits for the next round."""
        for order_id, time in await asyncio.to_thread(self._accepted.going_on, STARTS_IN_FLIGHT):
            await self._orders.go_on(order_id, time)
        return False

    async def _hand_on_facts(self) -> bool:
        facts = await asyncio.to_thread(self._recorded.undelivered, FACTS_AT_ONCE)
        heard = await self._orders.deliver(facts) if facts else 0
        return heard == FACTS_AT_ONCE
