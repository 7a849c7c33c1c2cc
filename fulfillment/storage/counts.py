"""Cycle counts, and absolute stock from other systems: both are what somebody saw at a moment."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, bindparam, select, update
from sqlalchemy.dialects.postgresql import insert

from fulfillment.domain.cases import CaseKind
from fulfillment.domain.counts import (
    NEXT,
    Count,
    CountRefused,
    CountState,
    UnknownCount,
    after_counting,
    after_recounting,
)
from fulfillment.domain.inventory import Deed, Movement
from fulfillment.domain.policy import DEFAULT, Policy
from fulfillment.storage import cases, shortfall
from fulfillment.storage.movements import Place, fold, is_done, read_level
from fulfillment.storage.shortfall import Overtaken
from fulfillment.storage.stock import Receipt, change, check_place, served
from fulfillment.storage.tables import rejections, skus, stock_counts, stock_movements

_S = CountState
_PREFIX: Final = "count:"  # of the key of every movement that says what somebody saw
_PLAN: Final = insert(stock_counts).on_conflict_do_nothing()
_THIS: Final = stock_counts.c.count_id == bindparam("the_count")
_LOCK: Final = select(stock_counts).where(_THIS).with_for_update()
_CHANGE: Final = update(stock_counts).where(_THIS)
_PRICE: Final = select(skus.c.price).where(skus.c.sku == bindparam("the_sku"))
_LATER: Final = (
    select(stock_movements.c.movement_id)
    .where(
        stock_movements.c.sku == bindparam("the_sku"),
        stock_movements.c.location_id == bindparam("there"),
        stock_movements.c.kind == Movement.ADJUSTED.value,
        stock_movements.c.operation_key.startswith(_PREFIX),
        stock_movements.c.at > bindparam("moment"),
    )
    .exists()
    .select()
)
_LIST: Final = select(stock_counts).order_by(stock_counts.c.planned_at, stock_counts.c.count_id)
_OPEN: Final = stock_counts.c.state.not_in([_S.POSTED.value, _S.CANCELLED.value])
_OF_SHELF: Final = select(stock_counts.c.count_id).where(
    stock_counts.c.sku == bindparam("the_sku"), stock_counts.c.location_id == bindparam("there"), _OPEN
)
# Whoever took units out because of this shelf: what was short there is known now.
_ASKED_FOR: Final = (
    select(rejections.c.shipment_id).distinct().where(rejections.c.count_id == bindparam("the_count"))
)


def ask(conn: Connection, place: Place, *, count_id: str, by: str, reason: str, now: datetime) -> str:
    """Let a shelf be counted, and return the count's id: that of the open one where there is one already."""
    sku, location_id = place
    planned = {"count_id": count_id, "sku": sku, "location_id": location_id, "reason": reason}
    conn.execute(_PLAN, planned | {"state": _S.PLANNED.value, "planned_by": by, "planned_at": now})
    return str(conn.execute(_OF_SHELF, {"the_sku": sku, "there": location_id}).scalar_one())


class CountStore:
    """Counts. The count's row is locked first, then orders, then the level."""

    def __init__(self, engine: Engine, now: Callable[[], datetime], *, policy: Policy = DEFAULT) -> None:
        self._engine, self._now, self._policy = engine, now, policy

    def plan(self, count_id: str, sku: str, location_id: str, *, by: str, reason: str) -> Count:
        """Ask for a count; the same one again changes nothing.

        Raises:
            UnknownSku, UnknownLocation: there is no such SKU, or no such place.
            CountRefused: another count of this id, or of this shelf, is open.
        """
        row = {"count_id": count_id, "sku": sku, "location_id": location_id, "reason": reason}
        with self._engine.begin() as conn:
            check_place(conn, (sku, location_id))
            made = row | {"state": _S.PLANNED.value, "planned_by": by, "planned_at": self._now()}
            conn.execute(_PLAN, made)
            found = conn.execute(_LOCK, {"the_count": count_id}).one_or_none()
        if found is None:
            raise CountRefused(count_id, f"{sku} at {location_id} is being counted already")
        if (found.sku, found.location_id) != (sku, location_id):
            raise CountRefused(count_id, "there is another count of this id; choose a new one")
        return _count(found)

    def start(self, count_id: str, *, by: str) -> Count:
        """Begin to count.

        Raises:
            UnknownCount, CountRefused: there is none, or it is over.
        """
        with self._engine.begin() as conn:
            row = _locked(conn, count_id)
            if row.state == _S.COUNTING and row.counter == by:
                return _count(row)
            _check(row, _S.COUNTING)
            conn.execute(_CHANGE, {"the_count": count_id, "state": _S.COUNTING.value, "counter": by})
            return _count(_locked(conn, count_id))

    def report(self, count_id: str, counted: int, *, at: datetime, by: str) -> tuple[Count, Receipt]:
        """Say how many units were seen at a moment. A difference is counted again by somebody else, then booked.

        Where the shelf holds less than is promised, the youngest claims wait again. A repeat changes nothing.

        Raises:
            UnknownCount: there is no such count.
            CountRefused: nobody counts now, the same person counts again, or the moment is to come.
            PackedAlready: what would be missing is in closed parcels.
        """
        if at > self._now():
            raise CountRefused(
                count_id, "nobody can have counted in the future; check the clock of the scanner"
            )

        def report(conn: Connection) -> Count:
            row = _locked(conn, count_id)
            return (
                _count(row)
                if _said_before(row, counted, at, by)
                else self._report(conn, row, counted, at, by)
            )

        return self._booked(report)

    def decide(self, count_id: str, *, approve: bool, by: str, reason: str) -> tuple[Count, Receipt]:
        """Approve a large difference, which is booked then, or reject it. A repeat changes nothing.

        Raises:
            UnknownCount: there is no such count.
            CountRefused: there is nothing to decide, or the reason is missing.
            PackedAlready: what would be missing is in closed parcels.
        """
        state = _S.POSTED if approve else _S.CANCELLED
        if not reason.strip():
            raise CountRefused(count_id, "say why; a large difference is somebody's decision")

        def decide(conn: Connection) -> Count:
            row = _locked(conn, count_id)
            if row.state == state and row.decided_by is not None:
                return _count(row)
            if row.state != _S.REVIEW:
                raise CountRefused(count_id, f"it is {row.state}: there is nothing to decide")
            said = {"decided_by": by, "decision": reason}
            if approve:
                self._post(conn, row, row.recounted, row.recounted_at, by)
            return self._become(conn, row, state, **said)

        return self._booked(decide)

    def cancel(self, count_id: str, *, by: str, reason: str) -> Count:
        """Stop a count: nothing is booked.

        Raises:
            UnknownCount, CountRefused: there is none, or it was posted.
        """
        with self._engine.begin() as conn:
            row = _locked(conn, count_id)
            if row.state == _S.CANCELLED:
                return _count(row)
            _check(row, _S.CANCELLED)
            return self._become(conn, row, _S.CANCELLED, decided_by=by, decision=reason)

    def snapshot(
        self, sku: str, location_id: str, counted: int, *, counted_at: datetime, key: str, by: str
    ) -> Receipt:
        """Take over what another system counted at a moment; what moved since then, and every claim, stays.

        Raises:
            UnknownSku, UnknownLocation: there is no such SKU, or no such place.
            CountRefused: the moment is to come.
            PackedAlready: what would be missing is in closed parcels.
        """
        if counted_at > self._now():
            raise CountRefused(key, "nobody can have counted in the future; check the other system's clock")
        place = sku, location_id
        deed = Deed(key=f"{_PREFIX}snapshot:{key}", cause="snapshot", by=by, at=self._now())

        def book(conn: Connection) -> None:
            check_place(conn, place)
            self._correct(conn, place, counted, counted_at, deed)

        shortfall.in_one_piece(self._engine, book)
        return served(self._engine, place, deed)

    def counts(self, *, only_open: bool = False) -> tuple[Count, ...]:
        """Return the counts, oldest first."""
        with self._engine.connect() as conn:
            rows = conn.execute(_LIST.where(_OPEN) if only_open else _LIST)
            return tuple(_count(row) for row in rows)

    def _booked(self, work: Callable[[Connection], Count]) -> tuple[Count, Receipt]:
        count = shortfall.in_one_piece(self._engine, work)
        place = count.sku, count.location_id
        by = count.decided_by or count.recounter or count.counter or count.planned_by
        deed = Deed(key=f"{_PREFIX}{count.count_id}", cause=count.count_id, by=by, at=self._now())
        return count, served(self._engine, place, deed)

    def _report(self, conn: Connection, row: Row[Any], counted: int, at: datetime, by: str) -> Count:
        place = row.sku, row.location_id
        expected = fold(conn, place, until=at)["on_hand"]
        difference = counted - expected
        if row.state == _S.COUNTING:
            state = after_counting(difference)
            said = {"counter": by, "counted": counted, "counted_at": at}
        elif row.state == _S.RECOUNTING:
            if by == row.counter:
                raise CountRefused(row.count_id, f"{by} counted first: somebody else must count again")
            price = conn.execute(_PRICE, {"the_sku": row.sku}).scalar_one()
            state = after_recounting(difference, price, self._policy)
            said = {"recounter": by, "recounted": counted, "recounted_at": at}
        else:
            raise CountRefused(row.count_id, f"it is {row.state}: nobody is counting now")
        if state is _S.POSTED:
            self._post(conn, row, counted, at, by)
        return self._become(conn, row, state, expected=expected, **said)

    def _post(self, conn: Connection, row: Row[Any], counted: int, at: datetime, by: str) -> None:
        """Book what was seen: what was held until then is settled by it."""
        place = row.sku, row.location_id
        held = min(read_level(conn, place).held, fold(conn, place, until=at)["held"])
        deed = Deed(key=f"{_PREFIX}{row.count_id}", cause=row.count_id, by=by, at=self._now())
        self._correct(conn, place, counted, at, deed, settled=held)

    def _correct(
        self, conn: Connection, place: Place, counted: int, at: datetime, deed: Deed, *, settled: int = 0
    ) -> None:
        if is_done(conn, Movement.ADJUSTED, place, deed.key):
            return
        if conn.execute(_LATER, {"the_sku": place[0], "there": place[1], "moment": at}).scalar_one():
            raise CountRefused(
                deed.cause, "the shelf was counted again since then, and that is booked already"
            )
        delta = counted - fold(conn, place, until=at)["on_hand"]
        shortfall.make_room(conn, place, -delta - settled, deed, policy=self._policy)
        change(conn, Movement.HOLD_RELEASED, place, settled, deed)
        # It holds from the moment somebody looked, so that a later count of an earlier moment adds nothing to it.
        change(conn, Movement.ADJUSTED, place, delta, replace(deed, at=at))
        if fold(conn, place, until=at)["on_hand"] != counted:
            raise Overtaken  # a movement from before the count was committed until the level was locked

    def _become(self, conn: Connection, row: Row[Any], state: CountState, **said: Any) -> Count:
        ended = {} if NEXT[state] else {"closed_at": self._now()}
        if ended:
            _close_cases(conn, row.count_id, f"count {state}", now=self._now())
        conn.execute(_CHANGE, {"the_count": row.count_id, "state": state.value, **said, **ended})
        return _count(_locked(conn, row.count_id))


def _locked(conn: Connection, count_id: str) -> Row[Any]:
    row = conn.execute(_LOCK, {"the_count": count_id}).one_or_none()
    if row is None:
        raise UnknownCount(count_id)
    return row


def _close_cases(conn: Connection, count_id: str, resolution: str, *, now: datetime) -> None:
    for shipment_id in conn.execute(_ASKED_FOR, {"the_count": count_id}).scalars():
        cases.resolve(conn, CaseKind.SHORT_PICK, subject=shipment_id, resolution=resolution, now=now)


def _check(row: Row[Any], to: CountState) -> None:
    if to not in NEXT[CountState(row.state)]:
        raise CountRefused(row.count_id, f"it is {row.state}, so it cannot be {to}")


def _said_before(row: Row[Any], counted: int, at: datetime, by: str) -> bool:
    first = (row.counted, row.counted_at, row.counter) == (counted, at, by)
    return first or (row.recounted, row.recounted_at, row.recounter) == (counted, at, by)


def _count(row: Row[Any]) -> Count:
    return Count(**{**row._mapping, "state": CountState(row.state)})
