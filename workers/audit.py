"""`./waybill audit`: our books, the providers' ledgers and Temporal side by side, judged by the invariants."""

import argparse
import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from sqlalchemy.exc import OperationalError
from temporalio.client import Client, WorkflowExecutionDescription, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from fulfillment import temporal
from fulfillment.domain.clock import ShopClock
from fulfillment.domain.invariants import Books, Check, Evidence, Ledger, Runs, Verdict, judge
from fulfillment.domain.invariants.facts import (
    Effect,
    LedgerLabel,
    LedgerMessage,
    LedgerPayment,
    LedgerText,
    Run,
)
from fulfillment.domain.invariants.orders import at_rest
from fulfillment.domain.invariants.sources import everything_was_read
from fulfillment.http import ApiError, api_client
from fulfillment.settings import BadSettings, Settings, load_settings, shop_now
from fulfillment.storage import engine
from fulfillment.storage.audit import AuditStore
from workflows.contract import ORDER, order_workflow_id

USUAL_WAIT: Final = 30.0  # real seconds
_BETWEEN_LOOKS: Final = 1.0
_CONNECT_TIMEOUT: Final = 10.0
_AT_ONCE: Final = 32
_MOST_DESCRIBED: Final = 1_000
_MOST_NAMED: Final = 20

_OPEN: Final = f'WorkflowType = "{ORDER}" AND ExecutionStatus = "Running"'
_BADLY_ENDED: Final = (
    f'WorkflowType = "{ORDER}" AND ExecutionStatus IN ("Failed", "Terminated", "TimedOut", "Canceled")'
)
_TROUBLED: Final = f'{_OPEN} AND TemporalReportedProblems IN ("category=WorkflowTaskFailed")'
_PREFIX: Final = order_workflow_id("")


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What the audit found; `waited` is in real seconds."""

    checks: tuple[Check, ...]
    looked_at: datetime
    waited: float

    @property
    def clean(self) -> bool:
        """Whether nothing is broken. A check that saw nothing breaks nothing, and is named."""
        return not any(check.violations for check in self.checks)

    @property
    def violations(self) -> int:
        """How many facts are wrong."""
        return sum(len(check.violations) for check in self.checks)

    def lines(self) -> Iterator[str]:
        """Yield the report as people read it."""
        for check in self.checks:
            yield from _lines(check)
        verdict = Verdict.PASS if self.clean else Verdict.FAIL
        yield f"{verdict} audit: {len(self.checks)} invariants, {self.violations} violations"

    def as_json(self) -> dict[str, Any]:
        """Return the report as programs read it."""
        return {
            "clean": self.clean,
            "violations": self.violations,
            "looked_at": self.looked_at.isoformat(),
            "waited_s": round(self.waited, 1),
            "checks": [_as_json(check) for check in self.checks],
        }


async def audit(settings: Settings, *, wait: float = USUAL_WAIT) -> Report:
    """Wait up to `wait` real seconds for rest, then judge; what does not rest by then is a finding.

    What two looks a moment apart do not both find was only on its way from one book to the other.
    """
    async with _witnesses(settings) as witnesses:
        report = await _look_until_rest(witnesses, wait)
        if report.clean:
            return report
        await asyncio.sleep(_BETWEEN_LOOKS)
        again = judged(await witnesses.evidence())
        return replace(report, checks=tuple(map(_confirmed, report.checks, again)))


def run_audit(settings: Settings, *, wait: float = USUAL_WAIT) -> Report:
    """Return what `audit` does, for callers without an event loop."""
    return asyncio.run(audit(settings, wait=wait))


def main(arguments: Sequence[str]) -> int:
    """Run the audit for the command line and return its exit code: 0 clean, 1 violations, 2 it could not begin."""
    parser = argparse.ArgumentParser(prog="audit", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--wait", type=float, default=USUAL_WAIT, metavar="SECONDS", help="wait for rest")
    asked = parser.parse_args(arguments)
    try:
        settings = load_settings("database_url")
    except BadSettings as error:
        print(f"audit: {error}", file=sys.stderr)
        return 2
    report = run_audit(settings, wait=asked.wait)
    print(json.dumps(report.as_json(), indent=2) if asked.json else "\n".join(report.lines()))
    return 0 if report.clean else 1


def judged(evidence: Evidence) -> tuple[Check, ...]:
    """Return every check; without our books only that they are away."""
    return (everything_was_read(evidence),) if evidence.books.away else judge(evidence)


async def _look_until_rest(witnesses: "_Witnesses", wait: float) -> Report:
    loop = asyncio.get_running_loop()
    began, first_look = loop.time(), witnesses.now()
    while True:
        evidence = await witnesses.evidence()
        waited = loop.time() - began
        if waited >= wait or not at_rest(evidence).violations:
            break
        await asyncio.sleep(min(_BETWEEN_LOOKS, wait - waited))
    # What began to move during the wait is young; what moved all the while is a finding.
    since = first_look if waited >= _BETWEEN_LOOKS else evidence.books.now
    evidence = replace(evidence, books=replace(evidence.books, since=since))
    return Report(checks=judged(evidence), looked_at=evidence.books.now, waited=waited)


def _confirmed(first: Check, second: Check) -> Check:
    """Return the first check with what the second one found too."""
    still = frozenset(second.violations)
    return replace(first, violations=tuple(v for v in first.violations if v in still))


# --- the witnesses -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Witnesses:
    """How to reach our books, the ledger and Temporal; where Temporal is away, `temporal_says` why."""

    store: AuditStore
    clock: ShopClock
    simulator_url: str
    client: Client | None
    temporal_says: str

    def now(self) -> datetime:
        return shop_now(self.clock)

    async def evidence(self) -> Evidence:
        """Return what all three say at this moment."""
        books = await asyncio.to_thread(self._books)
        ledger = await asyncio.to_thread(read_ledger, self.simulator_url) if self.simulator_url else None
        if self.client is None:
            return Evidence(books=books, ledger=ledger, runs=Runs(away=self.temporal_says))
        return Evidence(books=books, ledger=ledger, runs=await read_runs(self.client, books))

    def _books(self) -> Books:
        try:
            return self.store.books()
        except OperationalError as error:
            never = timedelta(0)
            away = f"our books: PostgreSQL does not answer ({str(error.orig).strip().splitlines()[0]})"
            now = self.now()
            return Books(now=now, since=now, grace=never, patience=never, skew=never, away=away)


@asynccontextmanager
async def _witnesses(settings: Settings) -> AsyncIterator[_Witnesses]:
    database = engine.connect(settings.database_url, pool_size=1)
    client, why = await _connected()
    clock = settings.clock
    store = AuditStore(database, lambda: shop_now(clock), speed=clock.speed)
    try:
        yield _Witnesses(store, clock, settings.simulator_url, client, why)
    finally:
        database.dispose()


async def _connected() -> tuple[Client | None, str]:
    try:
        return await asyncio.wait_for(temporal.connect(), _CONNECT_TIMEOUT), ""
    except (RuntimeError, RPCError, TimeoutError) as error:
        return None, f"Temporal: cannot be reached ({error or type(error).__name__})"


def read_ledger(simulator_url: str) -> Ledger:
    """Return what the providers did, by their own record."""
    try:
        with api_client(simulator_url) as api:
            said = api.get("/_sim/ledger")
    except ApiError as error:
        return Ledger(away=f"the providers' ledger: {error}")
    return Ledger(
        payments=tuple(_payment(row) for row in said["payments"]),
        labels=tuple(_label(row) for row in said["labels"]),
        messages=tuple(LedgerMessage(message_id=m["id"], accepted=m["accepted"]) for m in said["messages"]),
        texts=tuple(_text(row) for row in said["texts"]),
    )


def _text(row: Mapping[str, Any]) -> LedgerText:
    about = dict(parse_qsl(urlsplit(row["about"]).query)).get("notification", "")
    number = int(about) if about.isdigit() else None
    return LedgerText(sid=row["sid"], notification_id=number, failed=row["status"] == "undelivered")


def _payment(row: Mapping[str, Any]) -> LedgerPayment:
    return LedgerPayment(
        ref=row["ref"],
        order_id=row["order"],
        state=row["state"],
        authorized=row["authorized"],
        captured=row["captured"],
        refunded=row["refunded"],
        effects=tuple(_standing(row["operations"])),
    )


def _standing(operations: Sequence[Mapping[str, Any]]) -> Iterator[Effect]:
    """Yield what a provider did and did not take back: a refund that failed later was never made."""
    failed = {done["key"] for done in operations if done["kind"] == "refund_failed"}
    for done in operations:
        if done["kind"] != "refund_failed" and not (done["kind"] == "refund" and done["key"] in failed):
            yield Effect(kind=done["kind"], key=done["key"], amount=done["amount"])


def _label(row: Mapping[str, Any]) -> LedgerLabel:
    return LedgerLabel(
        ref=row["ref"],
        reference=row["reference"],
        tracking_number=row["tracking_number"],
        cost=row["cost"],
        state=row["state"],
        carrier=row["carrier"],
        to=row["to"],
        form=row["form"],
    )


# --- Temporal ----------------------------------------------------------------------------------------


async def read_runs(client: Client, books: Books) -> Runs:
    """Return the orders' workflows that are open or ended badly.

    A list lags behind by a moment, so whatever contradicts our books there is asked for by its id.
    """
    try:
        listed = await _listed(client, _BADLY_ENDED) | await _listed(client, _OPEN)
        ended = {order.order_id: order.ended for order in books.orders}
        running = {order_id for order_id, run in listed.items() if run.status == "running"}
        doubtful = {order_id for order_id in running if ended.get(order_id, True)}
        doubtful |= {
            order_id for order_id, is_over in ended.items() if not is_over and order_id not in listed
        }
        doubtful |= running if len(running) <= _MOST_DESCRIBED else set(await _listed(client, _TROUBLED))
        described = await _described(client, sorted(doubtful))
    except RPCError as error:
        return Runs(away=f"Temporal: {error}")
    known = {order_id: run for order_id, run in listed.items() if order_id not in doubtful}
    return Runs(runs=tuple(sorted((known | described).values(), key=lambda run: run.order_id)))


async def _listed(client: Client, query: str) -> dict[str, Run]:
    found: dict[str, Run] = {}
    async for execution in client.list_workflows(query, page_size=1_000):
        if execution.id.startswith(_PREFIX):
            order_id = execution.id.removeprefix(_PREFIX)
            found[order_id] = Run(order_id=order_id, status=_word(execution.status))
    return found


async def _described(client: Client, order_ids: Sequence[str]) -> dict[str, Run]:
    gate = asyncio.Semaphore(_AT_ONCE)

    async def describe(order_id: str) -> Run | None:
        async with gate:
            return await _run(client, order_id)

    runs = await asyncio.gather(*(describe(order_id) for order_id in order_ids))
    return {run.order_id: run for run in runs if run is not None}


async def _run(client: Client, order_id: str) -> Run | None:
    """Return an order's workflow; None if there is none, or it ended well."""
    try:
        said = await client.get_workflow_handle(order_workflow_id(order_id)).describe()
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return None
        raise
    if said.status is WorkflowExecutionStatus.COMPLETED:
        return None
    return Run(
        order_id=order_id, status=_word(said.status), task_attempts=_attempts(said), deeds=_deeds(said)
    )


def _attempts(said: WorkflowExecutionDescription) -> int:
    return said.raw_description.pending_workflow_task.attempt


def _deeds(said: WorkflowExecutionDescription) -> tuple[str, ...]:
    return tuple(sorted(a.activity_type.name for a in said.raw_description.pending_activities))


def _word(status: WorkflowExecutionStatus | None) -> str:
    return status.name.lower() if status else "unknown"


# --- what people and programs read -------------------------------------------------------------------


def _lines(check: Check) -> Iterator[str]:
    note = f" ({check.note})" if check.note else ""
    if check.verdict is Verdict.NONE:
        yield f"NONE {check.name}: there are no {check.sees} to look at{note}"
    elif check.verdict is Verdict.PASS:
        yield f"PASS {check.name}: {check.looked_at} {check.sees}, {check.claim}{note}"
    else:
        named = check.violations[:_MOST_NAMED]
        more = len(check.violations) - len(named)
        yield f"FAIL {check.name}: {len(check.violations)} wrong among {check.looked_at} {check.sees}{note}"
        yield from (f"       {violation}" for violation in named)
        if more:
            yield f"       and {more} more, all named by --json"
        yield f"     must hold: {check.claim} [{check.invariant}]"
        yield f"     to do: {check.remedy}"


def _as_json(check: Check) -> dict[str, Any]:
    return {
        "name": check.name,
        "invariant": check.invariant,
        "verdict": str(check.verdict),
        "looked_at": check.looked_at,
        "sees": check.sees,
        "claim": check.claim,
        "note": check.note,
        "violations": list(check.violations),
        "remedy": check.remedy,
    }
