"""Carriers as rows: paused and resumed by people, failing and working again by what their labels come to."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, bindparam, func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from fulfillment.domain.carrier_choice import Market
from fulfillment.domain.carriers import Carrier, CarrierUse, FailsAt, NoSuchPause
from fulfillment.domain.cases import CaseKind
from fulfillment.domain.label import LabelJob, Quoted
from fulfillment.domain.policy import DEFAULT, Policy
from fulfillment.domain.reliability import WINDOW_DAYS
from fulfillment.storage import cases, journal, lanes
from fulfillment.storage.tables import carriers

_SAME: Final = carriers.c.carrier == bindparam("the_carrier")
_ALL: Final = select(carriers)
_LOCK: Final = select(carriers).where(_SAME).with_for_update()
_ADD: Final = insert(carriers).on_conflict_do_nothing()
_CHANGE: Final = update(carriers).where(_SAME).returning(carriers)
_WORKS: Final = (
    update(carriers)
    .where(func.lower(carriers.c.carrier) == func.lower(bindparam("the_carrier")))
    .where(carriers.c.failing_since.is_not(None))
    .values(failing_since=None, fails_at=None)
    .returning(carriers.c.carrier)
)
_PASSED: Final = text("""
SELECT carrier, count(*)::int AS parcels, percentile_disc(0.9) WITHIN GROUP (ORDER BY days) AS slowest_days
FROM transits WHERE left_date >= :since GROUP BY carrier
""")


class CarrierStore:
    """Which carriers are used. `now` is shop time."""

    def __init__(self, engine: Engine, now: Callable[[], datetime], *, policy: Policy = DEFAULT) -> None:
        self._engine, self._now, self._policy = engine, now, policy

    def carriers(self) -> tuple[tuple[Carrier, CarrierUse], ...]:
        """Return every carrier we know of and whether it is used, by name."""
        now = self._now()
        since = (now - timedelta(days=WINDOW_DAYS)).date()
        with self._engine.connect() as conn:
            known = {row.carrier: _carrier(row) for row in conn.execute(_ALL)}
            for row in conn.execute(_PASSED, {"since": since}):
                one = known.get(row.carrier, Carrier(name=row.carrier))
                known[row.carrier] = replace(one, parcels=row.parcels, slowest_days=row.slowest_days)
        return tuple((one, one.use(now, self._policy)) for _, one in sorted(known.items()))

    def pause(self, carrier: str, *, by: str, why: str, request_id: str = "") -> Carrier:
        """Buy no label of a carrier from now on. What was bought already still travels.

        A repeat changes nothing; another reason takes the place of the first, which stays on record.
        """
        with self._engine.begin() as conn:
            one = _locked(conn, _spelled(conn, carrier))
            if one.paused_at is None or one.why != why:
                said = {"paused_at": one.paused_at or self._now(), "paused_by": by, "why": why}
                one = _carrier(conn.execute(_CHANGE, {"the_carrier": one.name, **said}).one())
                self._note(conn, one.name, "pause_carrier", by=by, why=why, request_id=request_id)
            return one

    def resume(self, carrier: str, *, by: str, request_id: str = "") -> Carrier:
        """Use a carrier again.

        Raises:
            NoSuchPause: it is not paused.
        """
        with self._engine.begin() as conn:
            one = _locked(conn, _spelled(conn, carrier))
            if one.paused_at is None:
                raise NoSuchPause(f"{one.name} is not paused; `carriers` shows which are")
            # What it failed at before the pause says nothing of today.
            fresh = {"paused_at": None, "paused_by": "", "why": "", "failing_since": None, "fails_at": None}
            one = _carrier(conn.execute(_CHANGE, {"the_carrier": one.name, **fresh}).one())
            _alarm_is_over(conn, one.name, f"resumed by {by}", self._now())
            self._note(conn, one.name, "resume_carrier", by=by, why="", request_id=request_id)
            return one

    def _note(self, conn: Connection, name: str, command: str, *, by: str, why: str, request_id: str) -> None:
        about = {"actor": by, "command": command, "outcome": name, "reason": why, "request_id": request_id}
        journal.audit(conn, None, **about, at=self._now())


def market(conn: Connection, job: LabelJob, quoted: Quoted, *, now: datetime, policy: Policy) -> Market:
    """Return what is known of the carriers that made these offers, and note which of them answer (again)."""
    for name in quoted.silent:
        failed(conn, name, FailsAt.OFFER, "it does not answer", now=now, policy=policy)
    known = {row.carrier.casefold(): _carrier(row) for row in conn.execute(_ALL)}
    offered = {quote.carrier: known.get(quote.carrier.casefold()) for quote in quoted.quotes}
    use = dict[str, tuple[Carrier, CarrierUse]]()
    for name, one in offered.items():
        if one is None:
            continue
        if one.fails_at is FailsAt.OFFER:
            works(conn, one.name, now=now)
            one = replace(one, failing_since=None)
        just_failed = job.quoted is not None and job.quoted.carrier == name
        use[name] = one, one.use(now, policy, just_failed=just_failed)
    return Market(
        experience=lanes.experience(conn, job.lane, quoted.quotes, today=job.today),
        paused={name: _paused(one) for name, (one, how) in use.items() if how is CarrierUse.PAUSED},
        away={name: _away(one) for name, (one, how) in use.items() if how is CarrierUse.AWAY},
    )


def failed(conn: Connection, name: str, at: FailsAt, said: str, *, now: datetime, policy: Policy) -> None:
    """Note that a carrier failed. When that goes on for a while ops hear of it, once for all orders."""
    one = _locked(conn, _spelled(conn, name))
    since = one.failing_since or now
    stage = FailsAt.LABEL if FailsAt.LABEL in (at, one.fails_at) else at
    failure = {"failing_since": since, "failed_at": now, "fails_at": stage.value, "said": said}
    one = _carrier(conn.execute(_CHANGE, {"the_carrier": one.name, **failure}).one())
    if one.is_down(now, policy):
        cases.open_case(
            conn,
            None,
            CaseKind.CARRIER_DOWN,
            subject=one.name,
            due_at=now + policy.carrier_switch_after,
            now=now,
            note=f"{_away(one)}: {said}",
        )


def works(conn: Connection, name: str, *, now: datetime) -> None:
    """Note that a carrier made a label; an alarm about it is over."""
    for failing in conn.execute(_WORKS, {"the_carrier": name}).scalars():
        _alarm_is_over(conn, failing, "it makes labels again", now)


def _alarm_is_over(conn: Connection, name: str, resolution: str, now: datetime) -> None:
    cases.resolve(conn, CaseKind.CARRIER_DOWN, subject=name, resolution=resolution, now=now)


def _locked(conn: Connection, name: str) -> Carrier:
    conn.execute(_ADD, {"carrier": name})
    return _carrier(conn.execute(_LOCK, {"the_carrier": name}).one())


def _spelled(conn: Connection, name: str) -> str:
    """Return a carrier's name as it is known: people write `usps`, the provider USPS."""
    known = [row.carrier for row in conn.execute(_ALL)]
    known += [row.carrier for row in conn.execute(_PASSED, {"since": date.min})]
    return next((one for one in known if one.casefold() == name.casefold()), name)


def _paused(one: Carrier) -> str:
    return f"paused by {one.paused_by}" + (f": {one.why}" if one.why else "")


def _away(one: Carrier) -> str:
    since = f" since {one.failing_since:%H:%M} UTC" if one.failing_since else ""
    return f"it makes no offers{since}" if one.fails_at is FailsAt.OFFER else f"its labels fail{since}"


def _carrier(row: Row[Any]) -> Carrier:
    return Carrier(
        name=row.carrier,
        paused_at=row.paused_at,
        paused_by=row.paused_by,
        why=row.why,
        failing_since=row.failing_since,
        failed_at=row.failed_at,
        fails_at=FailsAt(row.fails_at) if row.fails_at else None,
        said=row.said,
    )
