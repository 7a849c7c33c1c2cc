"""Counters that are not the sum of their movements: named, repaired, and looked into by somebody."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, Engine, bindparam, insert, select, text, update

from fulfillment.domain.cases import CaseKind, CaseState
from fulfillment.domain.inventory import BUCKETS, TAKEN, Deed, Movement, StockNews
from fulfillment.storage import cases, journal
from fulfillment.storage.movements import Place, fold, lock_levels, move, read_level
from fulfillment.storage.tables import cases as case_rows
from fulfillment.storage.tables import stock_events, stock_levels

_BY: Final = "system"
_ANSWER_WITHIN: Final = timedelta(hours=24)
# One pass over the ledger for all of stock; what differs is looked at again under its lock.
_DIFFERING: Final = text(
    f"""
    SELECT sku, location_id
    FROM stock_levels s
    FULL JOIN (
        SELECT sku, location_id, {", ".join(f"sum({bucket}) AS {bucket}" for bucket in BUCKETS)}
        FROM stock_movements GROUP BY sku, location_id
    ) m USING (sku, location_id)
    WHERE ({", ".join(f"coalesce(s.{bucket}, 0)" for bucket in BUCKETS)})
        IS DISTINCT FROM ({", ".join(f"coalesce(m.{bucket}, 0)" for bucket in BUCKETS)})
    ORDER BY sku, location_id
    """
)
_THIS: Final = (stock_levels.c.sku == bindparam("the_sku")) & (
    stock_levels.c.location_id == bindparam("there")
)
_REPAIR: Final = update(stock_levels).where(_THIS)
_OPEN: Final = select(case_rows.c.subject).where(
    case_rows.c.kind == CaseKind.STOCK_DRIFT.value, case_rows.c.state != CaseState.RESOLVED.value
)
_TELL: Final = insert(stock_events)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """A place whose counters were wrong; `repaired` is False where its movements make no sense either."""

    sku: str
    location_id: str
    difference: str
    repaired: bool

    @property
    def subject(self) -> str:
        """What its case is about."""
        return f"{self.sku}@{self.location_id}"


class DriftStore:
    """Counters against the ledger. `now` is shop time."""

    def __init__(self, engine: Engine, now: Callable[[], datetime]) -> None:
        self._engine, self._now = engine, now

    def repair_drift(self) -> tuple[Drift, ...]:
        """Set every counter that drifted to the sum of its movements; each is named in a case of its own.

        A case of an earlier run is over once its place no longer differs.
        """
        with self._engine.connect() as conn:
            places = [(row.sku, row.location_id) for row in conn.execute(_DIFFERING)]
        found = []
        for (
            place
        ) in places:  # each in a transaction of its own: a hot shelf is not kept waiting for the others
            with self._engine.begin() as conn:
                if drift := repair(conn, place, by=_BY, now=self._now()):
                    found.append(drift)
        self._settle({drift.subject for drift in found})
        return tuple(found)

    def _settle(self, still: set[str]) -> None:
        with self._engine.begin() as conn:
            for subject in set(conn.execute(_OPEN).scalars()) - still:
                how = "the counters are the sum of their movements"
                cases.resolve(conn, CaseKind.STOCK_DRIFT, subject=subject, resolution=how, now=self._now())


def repair(conn: Connection, place: Place, *, by: str, now: datetime) -> Drift | None:
    """Set the counters of a place to the sum of its movements; None where they are that already."""
    lock_levels(conn, [place])
    said, ledger = _counters(conn, place), fold(conn, place)
    differing = [bucket for bucket in BUCKETS if said[bucket] != ledger[bucket]]
    if not differing:
        return None
    words = ", ".join(f"{bucket} said {said[bucket]}, its movements {ledger[bucket]}" for bucket in differing)
    drift = Drift(sku=place[0], location_id=place[1], difference=words, repaired=_makes_sense(ledger))
    if drift.repaired:
        repaired = conn.execute(_REPAIR.values(ledger), {"the_sku": place[0], "there": place[1]})
        drift = drift if repaired.rowcount else _unrepaired(drift)
    _name(conn, drift, by=by, now=now)
    return drift


def cover(conn: Connection, amounts: Mapping[Place, int], deed: Deed) -> None:
    """Let the book have what is leaving: goods in a carrier's hands are there, whatever the counters say."""
    for level in lock_levels(conn, amounts):
        place = level.sku, level.location_id
        leaving = amounts[place]
        if level.on_hand >= leaving and level.allocated >= leaving:
            continue
        if (missing := leaving - fold(conn, place)["on_hand"]) > 0:
            key = f"{deed.key}:found"
            found = {place: missing}
            move(conn, Movement.ADJUSTED, found, key=key, cause="found_at_dispatch", by=deed.by, at=deed.at)
        repair(conn, place, by=deed.by, now=deed.at)


def _counters(conn: Connection, place: Place) -> Mapping[str, int]:
    level = read_level(conn, place)
    return {bucket: getattr(level, bucket) for bucket in BUCKETS}


def _makes_sense(ledger: Mapping[str, int]) -> bool:
    return min(ledger.values()) >= 0 and sum(ledger[bucket] for bucket in TAKEN) <= ledger["on_hand"]


def _unrepaired(drift: Drift) -> Drift:
    return Drift(sku=drift.sku, location_id=drift.location_id, difference=drift.difference, repaired=False)


def _name(conn: Connection, drift: Drift, *, by: str, now: datetime) -> None:
    outcome = "repaired" if drift.repaired else "its movements make no sense: count the shelf"
    note = f"{drift.difference}; {outcome}"
    kind = CaseKind.STOCK_DRIFT
    cases.open_case(conn, None, kind, subject=drift.subject, due_at=now + _ANSWER_WITHIN, now=now, note=note)
    journal.audit(conn, None, actor=by, command="repair_drift", outcome=note, at=now, reason=drift.subject)
    if drift.repaired:
        available = read_level(conn, (drift.sku, drift.location_id)).available
        told = {"kind": StockNews.DRIFT_REPAIRED.value, "sku": drift.sku, "location_id": drift.location_id}
        conn.execute(_TELL, told | {"available": available, "at": now})
