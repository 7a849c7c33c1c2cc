"""Orders per second to completion, beside a bare workflow and beside the same deeds without an engine."""

import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import psutil

from devstack.bench import skeleton
from devstack.bench.shop import PLACERS, RestlessFloor, Shop, bench_stack, open_shop
from devstack.stack import Stack

DEADLINE: Final = 180.0
WARM_UP: Final = 30

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One variant, once. CPU is milliseconds of both cores per order, by process."""

    variant: str
    orders: int
    orders_per_s: float
    p50_ms: float
    p99_ms: float
    cpu_ms: Mapping[str, float]

    @property
    def cpu_total_ms(self) -> float:
        """All processes together."""
        return sum(self.cpu_ms.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Throughput:
    """The variants' medians, and the ratios that a noisy machine leaves alone."""

    runs: tuple[Run, ...]
    of_skeleton: float
    of_plain_cpu: float


def measure(*, orders: int, rounds: int, say: Say) -> Throughput:
    """Run every variant `rounds` times, in turn, on one stack."""
    with bench_stack() as stack, _skeleton_worker(stack):
        runs = asyncio.run(_measure(stack, orders, rounds, say))
    medians = {name: _median([run for run in runs if run.variant == name]) for name in _variants_of(runs)}
    return Throughput(
        runs=tuple(medians.values()),
        of_skeleton=round(medians["waybill"].orders_per_s / medians["skeleton"].orders_per_s, 2),
        of_plain_cpu=round(medians["waybill"].cpu_total_ms / medians["plain"].cpu_total_ms, 2),
    )


async def _measure(stack: Stack, orders: int, rounds: int, say: Say) -> list[Run]:
    shop = await open_shop(stack)
    meter = Meter(stack)
    runs = []
    with RestlessFloor(shop), ThreadPoolExecutor(PLACERS) as pool:
        variants = _variants(shop, pool)
        for name, run_one in variants.items():
            await _run(shop, meter, f"{name}-warm", WARM_UP, run_one)
        for n in range(rounds):
            for name, run_one in variants.items():
                runs.append(await _run(shop, meter, f"{name}-{n}", orders, run_one))
                say(_line(runs[-1]))
    return runs


def _variants(shop: Shop, pool: ThreadPoolExecutor) -> dict[str, Callable[[str], Awaitable[None]]]:
    plain = skeleton.Plain(shop, shop.engine)

    async def waybill(order_id: str) -> None:
        await shop.processes.place(order_id)

    async def bare(order_id: str) -> None:
        await skeleton.place(shop.client, order_id)

    async def without_engine(order_id: str) -> None:
        await asyncio.get_running_loop().run_in_executor(pool, plain.run, order_id)

    return {"waybill": waybill, "skeleton": bare, "plain": without_engine}


async def _run(
    shop: Shop, meter: "Meter", prefix: str, orders: int, place: Callable[[str], Awaitable[None]]
) -> Run:
    """Place orders with a bounded number in flight and wait until every one has ended."""
    free = asyncio.Semaphore(PLACERS)
    began: dict[str, float] = {}

    async def one(order_id: str) -> None:
        async with free:
            began[order_id] = time.monotonic()
            await asyncio.to_thread(shop.accepted.accept, shop.order(order_id), by="bench")
            await place(order_id)

    with meter.of(prefix.split("-")[0], orders) as spent:
        start = time.monotonic()
        ended = asyncio.create_task(_watch_the_end(shop, prefix, orders))
        await asyncio.gather(*(one(f"{prefix}-{n}") for n in range(orders)))
        at = await ended
        took = time.monotonic() - start
    latencies = sorted((at[order_id] - began[order_id]) * 1000 for order_id in began)
    return Run(
        variant=prefix.split("-")[0],
        orders=orders,
        orders_per_s=round(orders / took, 1),
        p50_ms=round(statistics.median(latencies)),
        p99_ms=round(latencies[int(len(latencies) * 0.99) - 1]),
        cpu_ms=spent,
    )


async def _watch_the_end(shop: Shop, prefix: str, orders: int) -> dict[str, float]:
    """Return when each order was seen to have ended."""
    seen: dict[str, float] = {}
    deadline = time.monotonic() + DEADLINE
    while len(seen) < orders:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{orders - len(seen)} of {orders} orders have not ended after {DEADLINE} s")
        await asyncio.sleep(0.1)
        now = time.monotonic()
        for order_id in await asyncio.to_thread(shop.ended, prefix):
            seen.setdefault(order_id, now)
    return seen


class Meter:
    """Reads the CPU time of every process of a stack."""

    def __init__(self, stack: Stack) -> None:
        self._roots = {view.name: psutil.Process(view.pid) for view in stack.processes() if view.pid}
        self._roots["client and floor"] = psutil.Process()
        for child in psutil.Process().children():
            if "devstack.bench.skeleton" in child.cmdline():
                self._roots["skeleton's worker"] = child

    @contextmanager
    def of(self, variant: str, orders: int) -> Iterator[dict[str, float]]:
        """Fill the yielded dictionary with milliseconds per order, by process, when the block ends."""
        spent: dict[str, float] = {}
        before = self._read()
        yield spent
        after = self._read()
        for name in after:
            if used := after[name] - before.get(name, 0.0):
                spent[name] = round(used * 1000 / orders, 1)

    def _read(self) -> dict[str, float]:
        mine = {process.pid for process in self._roots.values()}
        return {name: _cpu(process, mine) for name, process in self._roots.items()}


def _cpu(process: psutil.Process, others: set[int]) -> float:
    """Return the CPU seconds of a process and its children, those measured by themselves left out."""
    family = [process]
    if process.pid != psutil.Process().pid:
        family += [child for child in process.children(recursive=True) if child.pid not in others]
    total = 0.0
    for member in family:
        try:
            times = member.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


@contextmanager
def _skeleton_worker(stack: Stack) -> Iterator[None]:
    ready = stack.spec.state / "skeleton-ready"
    process = subprocess.Popen(
        [sys.executable, "-m", "devstack.bench.skeleton"], env={**stack.env, "WAYBILL_READY_FILE": str(ready)}
    )
    try:
        while not ready.exists():
            if process.poll() is not None:
                raise RuntimeError("the skeleton's worker did not start")
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(timeout=10)


def _variants_of(runs: list[Run]) -> list[str]:
    return list(dict.fromkeys(run.variant for run in runs))


def _median(runs: list[Run]) -> Run:
    """Return the run whose rate is the median."""
    return sorted(runs, key=lambda run: run.orders_per_s)[len(runs) // 2]


def _line(run: Run) -> str:
    by_process = ", ".join(f"{name} {ms}" for name, ms in sorted(run.cpu_ms.items(), key=lambda i: -i[1]))
    return (
        f"{run.variant:9} {run.orders_per_s:5} orders/s   p50 {run.p50_ms:5.0f} ms   p99 {run.p99_ms:5.0f} ms   "
        f"CPU {run.cpu_total_ms:5.1f} ms per order ({by_process})"
    )
