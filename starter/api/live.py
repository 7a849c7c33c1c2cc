"""News of orders as it happens: one look at the database serves everybody who watches."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from typing import Final

import structlog
from fastapi.concurrency import run_in_threadpool
from sqlalchemy.exc import SQLAlchemyError

from starter.api.problems import Problem

PING_SECONDS: Final = 15.0
LOOK_EVERY_SECONDS: Final = 0.5
MAX_WATCHERS: Final = 500
_TROUBLE_PAUSE: Final = 2.0
_log = structlog.get_logger(__name__)


class _Closing(Exception):
    """The process ends: streams end with it, and their readers come back to another one."""


class Watch:
    """Wakes whoever waits for an order's news. `heads` gives the number of each order's latest event.

    However many wait, a look costs one query; while nobody waits there is none. Events are numbered under their
    order's lock, so whatever comes before the latest number is there already.
    """

    def __init__(
        self,
        heads: Callable[[Collection[str]], Mapping[str, int]],
        *,
        every: float = LOOK_EVERY_SECONDS,
        ping: float = PING_SECONDS,
    ) -> None:
        self._heads, self._every, self._ping = heads, every, ping
        self._watched: Counter[str] = Counter()
        self._latest: dict[str, int] = {}
        self._changed = asyncio.Condition()
        self._looking: asyncio.Task[None] | None = None
        self._closing = False

    @property
    def watchers(self) -> int:
        """How many watch now."""
        return self._watched.total()

    @asynccontextmanager
    async def watching(self, order_id: str) -> AsyncIterator[None]:
        """Look after this order until the block is left, which `close` does too."""
        self._watched[order_id] += 1
        self._looking = self._looking or asyncio.create_task(self._look())
        try:
            yield
        except _Closing:
            pass
        finally:
            self._watched[order_id] -= 1
            if not self._watched[order_id]:
                del self._watched[order_id]
                self._latest.pop(order_id, None)

    def check_room(self) -> None:
        """Refuse another watcher while there are too many.

        Raises:
            Problem: 503, come back later.
        """
        if self.watchers >= MAX_WATCHERS:
            raise Problem("temporarily_unavailable", "Too many are watching at the moment.")

    async def news(self, order_id: str, after: int) -> int | None:
        """Wait for events later than number `after` and return the latest one's.

        None says that nothing happened for so long that the reader should hear that we are still there.
        """
        try:
            async with asyncio.timeout(self._ping), self._changed:
                await self._changed.wait_for(lambda: self._closing or self._latest.get(order_id, 0) > after)
        except TimeoutError:
            return None
        if self._closing:
            raise _Closing
        return self._latest.get(order_id, after)

    async def close(self) -> None:
        """End every stream, so that a server can stop without breaking them off."""
        async with self._changed:
            self._closing = True
            self._changed.notify_all()

    async def _look(self) -> None:
        try:
            while self._watched:
                await self._look_once()
        finally:
            self._looking = None

    async def _look_once(self) -> None:
        try:
            heads = await run_in_threadpool(self._heads, tuple(self._watched))
        except SQLAlchemyError as error:  # the database is away, and comes back
            _log.warning("cannot look for news", why=type(error).__name__)
            await asyncio.sleep(_TROUBLE_PAUSE)
            return
        async with self._changed:
            self._latest = {order_id: heads.get(order_id, 0) for order_id in self._watched}
            self._changed.notify_all()
        await asyncio.sleep(self._every)
