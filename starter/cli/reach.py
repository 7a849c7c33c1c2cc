"""The way from a command to the books and to the orders' workflows."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from sqlalchemy import Engine
from temporalio.service import RPCError

from fulfillment import temporal
from fulfillment.domain import policy
from fulfillment.settings import Settings, load_settings, shop_now
from fulfillment.storage.engine import connect
from fulfillment.storage.orders import OrderStore
from fulfillment.storage.signals import SignalStore
from starter.orders import Orders, TemporalAway


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """The stores a command reads and writes."""

    orders: OrderStore
    now: Callable[[], datetime]


@contextmanager
def books() -> Iterator[Books]:
    """Open the books of the database that the settings name."""
    settings = load_settings("database_url")
    with _engine(settings) as engine:
        now = partial(shop_now, settings.clock)
        yield Books(orders=OrderStore(engine, now), now=now)


@asynccontextmanager
async def orders() -> AsyncIterator[Orders]:
    """Reach the orders' workflows.

    Raises:
        TemporalAway: nobody answers.
    """
    settings = load_settings("database_url")
    try:
        client = await temporal.connect()
    except (RuntimeError, RPCError) as error:  # the SDK's word for a server it cannot reach
        raise TemporalAway(f"Temporal does not answer: {error}") from error
    now = partial(shop_now, settings.clock)
    with _engine(settings) as engine:
        yield Orders(
            client,
            orders=OrderStore(engine, now),
            signals=SignalStore(engine, now),
            policy=policy.DEFAULT,
            clock=settings.clock,
        )


@contextmanager
def _engine(settings: Settings) -> Iterator[Engine]:
    engine = connect(settings.database_url, pool_size=2)
    try:
        yield engine
    finally:
        engine.dispose()
