"""`./waybill chaos`: kills and lost answers, chosen by a seed, then the audit, and the figures of the run."""

import asyncio
import platform
import random
import statistics
import subprocess
import tomllib
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final

from devstack.chaos import LANES, TROUBLES, Arena, Lost, arena, chaos_stack, in_lanes, worker_points
from devstack.stack import ROOT, Stack
from starter.relay import Relay
from workers.audit import Report

ORDERS: Final = 80

# What a broken build must be tried with to do harm: on any other way its orders stand still, which is no proof.
_HARMED_BY: Final[Mapping[str, str]] = MappingProxyType({"no-key": "authorize"})
BROKEN_BUILDS: Final = tuple(_HARMED_BY)

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a run did, and what came of it. `stood_s` are seconds from each crash to its order's next step."""

    seed: int
    broken: str
    orders: int
    points_fired: Counter[str]
    points_planned: Counter[str]
    faults_fired: Counter[str]
    faults_planned: Counter[str]
    temporal_kills: int
    stood_s: tuple[float, ...]
    report: Report

    @property
    def held(self) -> bool:
        """Whether every fault struck, and harm was done by none; or was found, where a defence was taken away."""
        struck = self.points_fired == self.points_planned and self.faults_fired == self.faults_planned
        return struck and self.report.clean != bool(self.broken)

    def as_json(self) -> dict[str, Any]:
        """Return it as programs read it."""
        return {
            "held": self.held,
            **_origin(),
            "seed": self.seed,
            "broken": self.broken,
            "orders": self.orders,
            "faults": dict(self.faults_fired),
            "faults_not_fired": dict(self.faults_planned - self.faults_fired),
            "crash_points": dict(self.points_fired),
            "crash_points_not_fired": dict(self.points_planned - self.points_fired),
            "worker_kills": self.points_fired.total(),
            "temporal_kills": self.temporal_kills,
            "crash_to_next_step_s": {"p50": self._p50, "max": max(self.stood_s, default=0.0)},
            "audit": self.report.as_json(),
        }

    def lines(self) -> list[str]:
        """Return it as people read it."""
        lost, killed = self.faults_fired.total(), self.points_fired.total()
        did = (
            f"seed {self.seed}: {self.orders} orders, {lost} of {self.faults_planned.total()} answers spoilt, "
            f"workers killed {killed} of {self.points_planned.total()} times at {len(self.points_fired)} points, "
            f"Temporal {self.temporal_kills} times"
        )
        return [
            *self.report.lines(),
            did,
            f"from a crash to the order's next step: p50 {self._p50:.1f} s, max {max(self.stood_s, default=0.0):.1f} s",
            f"{'PASS' if self.held else 'FAIL'} chaos{f' on the build {self.broken}' if self.broken else ''}",
        ]

    @property
    def _p50(self) -> float:
        return round(statistics.median(self.stood_s), 1) if self.stood_s else 0.0


def besiege(*, seed: int, orders: int, broken: str, say: Say) -> Figures:
    """Run the suite on a stack of its own."""
    with chaos_stack(broken=broken) as stack:
        return asyncio.run(_Siege(seed=seed, orders=orders, broken=broken, say=say).run(stack))


@dataclass(frozen=True, kw_only=True)
class _Siege:
    seed: int
    orders: int
    broken: str
    say: Say

    async def run(self, stack: Stack) -> Figures:
        dice = random.Random(self.seed)
        points, troubles = self._plan(dice)
        async with arena(stack) as chaos:
            relay = asyncio.create_task(_relay(chaos).run())
            kills = await self._strike(chaos, points, troubles)
            self.say("waiting for rest, then the audit ..")
            report = await chaos.verdict()
            relay.cancel()
            return Figures(
                seed=self.seed,
                broken=self.broken,
                orders=len(chaos.orders),
                points_fired=chaos.points_fired(),
                points_planned=Counter(points),
                faults_fired=_by_trouble(chaos),
                faults_planned=Counter(map(str, troubles)),
                temporal_kills=kills,
                stood_s=tuple(kill.stood for kill in chaos.kills),
                report=report,
            )

    def _plan(self, dice: random.Random) -> tuple[list[str], list[Lost]]:
        """Choose the faults: each point once, then troubles at random; a broken build gets what harms it."""
        if self.broken:
            harm = Lost(deed=_HARMED_BY[self.broken], kind="reset", when="after_commit")
            return [], [harm] * self.orders
        points = list(worker_points())
        dice.shuffle(points)
        points = points[: self.orders]
        return points, dice.choices(TROUBLES, k=self.orders - len(points))

    async def _strike(self, chaos: Arena, points: list[str], troubles: list[Lost]) -> int:
        """Do it, in an order that the seed decides; return how often Temporal was killed."""
        deeds: list[Coroutine[Any, Any, str]] = [chaos.kill_at(point) for point in points]
        deeds += [chaos.lose(trouble) for trouble in troubles]
        random.Random(self.seed).shuffle(deeds)
        self.say(f"{len(deeds)} orders: {len(points)} kills, {len(troubles)} lost answers, {LANES} at once")
        if self.broken:
            await in_lanes(deeds)
            return 0
        half = len(deeds) // 2
        await in_lanes(deeds[:half])
        self.say("half of them have ended; now Temporal is killed too")
        blow = asyncio.get_running_loop().call_later(2.0, chaos.stack.kill, "temporal")
        await in_lanes(deeds[half:])
        return int(blow.when() < asyncio.get_running_loop().time())


def _by_trouble(chaos: Arena) -> Counter[str]:
    fired = chaos.faults_fired()
    return Counter(str(trouble) for order_id, trouble in chaos.lost.items() for _ in range(fired[order_id]))


def _relay(chaos: Arena) -> Relay:
    """Return what the web process runs beside its pages: nothing a door accepted stays undone."""
    return Relay(chaos.shop.processes, chaos.shop.accepted, chaos.shop.signals)


def _origin() -> dict[str, str]:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    return {
        "version": version,
        "commit": _commit(),
        "machine": f"{platform.machine()} {platform.system()} {platform.release()}",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _commit() -> str:
    words = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    try:
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
