"""The proof that the audit can fail: builds without their defences are caught, builds with one of two are clean."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest

from devstack.armed import broken
from devstack.chaos import Arena, Lost, arena, chaos_stack, in_lanes
from fulfillment.providers.carriers.easypost.client import EasyPostCarrier
from fulfillment.providers.payments.stripe.client import StripeGateway
from workers import wiring
from workers.__main__ import QUEUES
from workers.audit import Report
from workers.worker import run_until, workers


@pytest.fixture(scope="module")
async def shop_without_workers() -> AsyncIterator[Arena]:
    with chaos_stack(workers=0) as stack:
        async with arena(stack) as opened:
            yield opened


@pytest.mark.parametrize("build", ["only-key", "only-ask"])
async def test_one_of_two_defences_is_enough(shop_without_workers: Arena, build: str) -> None:
    chaos = shop_without_workers
    async with _working(chaos, build):
        lost = [_reset(deed) for deed in ("authorize", "capture", "void", "refund", "buy_label")]
        await in_lanes([chaos.lose(trouble) for trouble in lost])
        report = await chaos.verdict()

    assert report.clean, "\n".join(report.lines())


async def test_a_build_that_neither_keeps_its_keys_nor_asks_is_caught(shop_without_workers: Arena) -> None:
    chaos = shop_without_workers
    async with _working(chaos, "no-key"):
        order_id = await chaos.lose(_reset("authorize"))
        report = await chaos.verdict()

    assert f"{order_id}:authorize:{order_id}-1:1: took effect 2 times" in _violations(report, "money once")
    assert any(order_id in violation for violation in _violations(report, "both books agree"))


def _reset(deed: str) -> Lost:
    return Lost(deed=deed, kind="reset", when="after_commit")


def _violations(report: Report, name: str) -> tuple[str, ...]:
    return next(check.violations for check in report.checks if check.name == name)


@asynccontextmanager
async def _working(chaos: Arena, build: str) -> AsyncIterator[None]:
    """Let the workers of a broken build work in this process for the time of the block."""
    settings, stopped, ready = chaos.shop.settings, asyncio.Event(), asyncio.Event()
    books, outside = wiring.engine(settings), wiring.world(settings)
    deeds = wiring.deeds(books, broken(build, outside), settings.clock)
    made = workers(chaos.shop.client, deeds, QUEUES)
    working = asyncio.create_task(run_until(stopped, made, ready=ready.set))
    await ready.wait()
    try:
        with _sending(wiring.outbox_relay(books, settings).run):
            yield
    finally:
        stopped.set()
        await working
        assert isinstance(outside.gateway, StripeGateway)
        assert isinstance(outside.carrier, EasyPostCarrier)
        outside.gateway.close()
        outside.carrier.close()
        books.dispose()


@contextmanager
def _sending(run: Callable[[threading.Event], None]) -> Iterator[None]:
    no_more = threading.Event()
    sending = threading.Thread(target=run, args=(no_more,), name="outbox")
    sending.start()
    try:
        yield
    finally:
        no_more.set()
        sending.join()
