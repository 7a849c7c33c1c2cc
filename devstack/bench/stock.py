"""How fast stock is claimed when everybody wants the same: claims in groups beside each claim alone, in one run."""

import random
import shutil
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

import psycopg2
from psycopg2 import extensions
from sqlalchemy import Engine, text

from devstack.ports import Ports
from devstack.postgres import Postgres, delete
from devstack.processes import Supervisor
from fulfillment.storage.claims import Ask, Claims, exactly
from fulfillment.storage.engine import connect, migrate

_CALLERS: Final = 32
_SKUS: Final = 1000
_PLACE: Final = "hot"
_EPOCH: Final = datetime(2026, 1, 1, tzinfo=UTC)
_ONE_BY_ONE: Final = "each alone"
_IN_GROUPS: Final = "in groups"
_SHOP: Final = """
INSERT INTO locations (location_id, name, address, priority) VALUES (:place, :place, '{}', 1);
INSERT INTO skus (sku, name, weight_g, price, backorderable, archived)
SELECT 'SKU-' || n, 'bench', 1, 1, false, false FROM generate_series(0, :skus - 1) n;
INSERT INTO stock_levels (sku, location_id) SELECT sku, :place FROM skus
"""
_FILL: Final = """
TRUNCATE reservations, stock_movements, orders CASCADE;
UPDATE stock_levels SET reserved = 0, on_hand = :units;
INSERT INTO orders (order_id, channel, external_ref, status, currency, shipping_fee, total, service, customer_id, email,
    ship_to, payment_method, policy_version, tracking_token, content_hash, placed_at, accepted_at)
SELECT 'SO-' || n, 'bench', n, 'received', 'USD', 0, 1, 'standard', 'C', '', '{}', 'pm', '', n, '', now(), now()
FROM generate_series(0, :orders - 1) n
"""
_TAKEN: Final = """
SELECT sum(reserved) AS reserved, sum(greatest(reserved - on_hand, 0)) AS oversold,
    (SELECT sum(reserved) FROM stock_movements) AS moved
FROM stock_levels
"""
_CONDITIONAL: Final = """
UPDATE stock_levels SET reserved = reserved + 1
WHERE sku = %s AND location_id = %s AND on_hand - reserved - allocated - safety_stock >= 1
"""
_NOTE: Final = """
INSERT INTO stock_movements (operation_key, kind, sku, location_id, reserved, cause, "by", at)
VALUES (%s, 'reserved', %s, %s, 1, %s, 'bench', now())
"""

Say = Callable[[str], None]
Claim = Callable[[int, str], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One scheme on one or many SKUs, once: claims per second, and how long a caller waited."""

    scheme: str
    skus: int
    claims_per_s: float
    p50_ms: float
    p99_ms: float
    granted: int
    oversold: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """Claims in groups beside each alone: how many times the rate, and which part of the wait."""

    skus: int
    rate: float
    p99: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The medians of every scheme, and the ratios that a noisy machine leaves alone."""

    callers: int
    runs: tuple[Run, ...]
    ratios: tuple[Ratio, ...]

    @property
    def oversold(self) -> int:
        """Units promised beyond what was there, in all runs."""
        return sum(run.oversold for run in self.runs)


def measure(*, claims: int, rounds: int, say: Say) -> Found:
    """Let 32 threads claim one unit each, `claims` times in all, by either scheme in turn."""
    with _server() as url, ExitStack() as closing:
        engine = connect(url, pool_size=4)
        closing.callback(engine.dispose)
        _run_script(engine, _SHOP, place=_PLACE, skus=_SKUS)
        own = [psycopg2.connect(url.replace("+psycopg2", "")) for _ in range(_CALLERS)]
        for connection in own:
            closing.callback(connection.close)
        schemes = {_ONE_BY_ONE: _alone(own), _IN_GROUPS: _together(engine)}
        runs = [
            _run(engine, scheme, schemes[scheme], skus=skus, claims=claims, say=say)
            for _ in range(rounds)
            for skus in (1, _SKUS)
            for scheme in schemes
        ]
    medians = tuple(_median(runs, scheme, skus) for skus in (1, _SKUS) for scheme in schemes)
    return Found(callers=_CALLERS, runs=medians, ratios=tuple(_ratio(medians, skus) for skus in (1, _SKUS)))


@contextmanager
def _server() -> Iterator[str]:
    """Run a PostgreSQL of its own, as safe against a power failure as a shop's, deleted afterwards."""
    folder, ports, supervisor = Path(mkdtemp(prefix="waybill-bench-")), Ports(), Supervisor()
    postgres = Postgres(data=folder / "data", port=ports.any(), password="bench")
    try:
        supervisor.start(postgres.command(folder / "log"))
        supervisor.wait_ready("postgres", postgres.ready, timeout=60)
        migrate(postgres.url)
        yield postgres.url
    finally:
        supervisor.close()
        delete(postgres.data)
        shutil.rmtree(folder)
        ports.release()


def _alone(own: Sequence[extensions.connection]) -> Claim:
    """Each claim in a transaction of its caller: a conditional update, then the movement."""

    def claim(n: int, sku: str) -> bool:
        connection = own[n % _CALLERS]
        with connection, connection.cursor() as cursor:
            cursor.execute(_CONDITIONAL, (sku, _PLACE))
            granted = bool(cursor.rowcount)
            if granted:
                cursor.execute(_NOTE, (f"SO-{n}:reserve", sku, _PLACE, f"SO-{n}"))
        return granted

    return claim


def _together(engine: Engine) -> Claim:
    """Claims as Waybill makes them."""
    claims = Claims(engine)

    def claim(n: int, sku: str) -> bool:
        ask = Ask(
            key=f"SO-{n}:reserve",
            order_id=f"SO-{n}",
            skus=frozenset({sku}),
            plan=exactly({(sku, _PLACE): 1}),
            expires_at=_EPOCH + timedelta(minutes=15),
            by="bench",
            at=_EPOCH,
        )
        return bool(claims.claim(ask).amounts)

    return claim


def _run(engine: Engine, scheme: str, claim: Claim, *, skus: int, claims: int, say: Say) -> Run:
    # A few units too few: the last callers must be told so.
    units = max(1, (claims - _CALLERS) // skus)
    _run_script(engine, _FILL, units=units, orders=claims)
    chance = random.Random(claims)
    wanted = [f"SKU-{chance.randrange(skus)}" for _ in range(claims)]
    granted, waits, seconds = _storm(claim, wanted)
    with engine.connect() as conn:
        taken = conn.execute(text(_TAKEN)).one()
    assert taken.reserved == taken.moved == granted, f"{scheme}: {granted} granted, {taken} in the books"
    run = Run(
        scheme=scheme,
        skus=skus,
        claims_per_s=round(claims / seconds, 1),
        p50_ms=round(statistics.median(waits) * 1000, 2),
        p99_ms=round(statistics.quantiles(waits, n=100)[98] * 1000, 2),
        granted=granted,
        oversold=taken.oversold,
    )
    say(_line(run))
    return run


def _storm(claim: Claim, wanted: Sequence[str]) -> tuple[int, list[float], float]:
    """Let all callers claim at once; return how many got something, how long each waited, and how long it took."""
    ready = threading.Barrier(_CALLERS)

    def caller(number: int) -> tuple[int, list[float]]:
        granted, waits = 0, []
        ready.wait()
        for n in range(number, len(wanted), _CALLERS):
            began = time.perf_counter()
            granted += claim(n, wanted[n])
            waits.append(time.perf_counter() - began)
        return granted, waits

    began = time.perf_counter()
    with ThreadPoolExecutor(_CALLERS) as crowd:
        found = list(crowd.map(caller, range(_CALLERS)))
    seconds = time.perf_counter() - began
    return sum(granted for granted, _ in found), [wait for _, waits in found for wait in waits], seconds


def _median(runs: Sequence[Run], scheme: str, skus: int) -> Run:
    these = [run for run in runs if (run.scheme, run.skus) == (scheme, skus)]

    def middle(of: Callable[[Run], float]) -> float:
        return round(statistics.median(of(run) for run in these), 2)

    return Run(
        scheme=scheme,
        skus=skus,
        claims_per_s=middle(lambda run: run.claims_per_s),
        p50_ms=middle(lambda run: run.p50_ms),
        p99_ms=middle(lambda run: run.p99_ms),
        granted=sum(run.granted for run in these),
        oversold=sum(run.oversold for run in these),
    )


def _ratio(medians: Sequence[Run], skus: int) -> Ratio:
    of: Mapping[str, Run] = {run.scheme: run for run in medians if run.skus == skus}
    alone, together = of[_ONE_BY_ONE], of[_IN_GROUPS]
    return Ratio(
        skus=skus,
        rate=round(together.claims_per_s / alone.claims_per_s, 2),
        p99=round(together.p99_ms / alone.p99_ms, 2),
    )


def _line(run: Run) -> str:
    return (
        f"{run.scheme:10} {run.skus:4} SKUs {run.claims_per_s:8.1f} claims/s  p50 {run.p50_ms:7.2f} ms"
        f"  p99 {run.p99_ms:7.2f} ms  oversold {run.oversold}"
    )


def _run_script(engine: Engine, script: str, **said: object) -> None:
    with engine.begin() as conn:
        conn.execute(text(script), said)
