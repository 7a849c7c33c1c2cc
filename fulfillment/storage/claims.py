"""Claims on stock: whoever asks at the same moment is served together, in one transaction and in order of arrival."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, bindparam, text, update
from sqlalchemy.exc import DataError, IntegrityError

from fulfillment.domain.errors import FulfillmentError
from fulfillment.domain.inventory import InsufficientStock, Level, Movement
from fulfillment.domain.reservation import ReservationState
from fulfillment.storage import movements
from fulfillment.storage.movements import Claim, Place
from fulfillment.storage.tables import reservations

Plan = Callable[[Sequence[Level]], Mapping[Place, int]]

AT_MOST: Final = 64  # claims in one transaction: rows are not locked for long
# Whoever was served in a rush comes back at once: this patience makes groups of all callers instead of a half of them.
_GATHERING_S: Final = 0.0005
# Two statements in one round trip. Every location of a SKU is locked, in the order everybody keeps, so whoever claims
# under the same key waits here too. The second statement begins when the locks are held: it says what is there, what
# those who wait still lack, and what was claimed under these keys before.
_LOOK: Final = text(
    f"""
    SELECT 1 FROM stock_levels s WHERE s.sku = ANY(CAST(:skus AS text[]))
    ORDER BY s.sku, s.location_id FOR UPDATE OF s;
    SELECT {movements.COLUMNS},
        (
            SELECT sum(b.quantity - b.filled) FROM backorders b
            WHERE b.state = 'waiting' AND b.sku = s.sku AND b.location_id = s.location_id
        ) AS owed,
        (
            SELECT json_object_agg(r.operation_key, json_build_array(r.state, r.quantity)) FROM reservations r
            WHERE r.order_id = ANY(CAST(:orders AS text[])) AND r.operation_key = ANY(CAST(:keys AS text[]))
                AND r.sku = s.sku AND r.location_id = s.location_id
        ) AS before
    FROM stock_levels s WHERE s.sku = ANY(CAST(:skus AS text[])) ORDER BY s.sku, s.location_id
    """
)
_END: Final = (
    update(reservations)
    .where(
        reservations.c.order_id == bindparam("the_order"),
        reservations.c.state == ReservationState.ACTIVE.value,
    )
    .returning(reservations)
)


class ClaimOver(FulfillmentError):
    """The claim of this key was granted before and has ended; to claim anew takes another key."""

    def __init__(self, key: str) -> None:
        super().__init__(f"the claim {key} has ended")
        self.key = key


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A claim to be judged: `plan` says what it takes, shown the levels of its SKUs as they are at its turn.

    What those who wait still lack counts as reserved in these levels: a new claim does not overtake them.
    """

    key: str
    order_id: str
    skus: frozenset[str]
    plan: Plan
    expires_at: datetime
    by: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """What was claimed, nothing when the plan found too little; `repeated` when it was claimed before."""

    amounts: Mapping[Place, int]
    available: Mapping[Place, int]
    repeated: bool = False


@dataclass(slots=True, eq=False)
class _Waiting:
    """A caller: woken with an answer, or without one to lead."""

    ask: Ask
    woken: threading.Lock = field(default_factory=threading.Lock)
    answer: "Claimed | Exception | None" = None

    def __post_init__(self) -> None:
        self.woken.acquire()


class Claims:
    """Grants claims in groups. The first caller commits for all who wait by then, and then one of those leads.

    There is no thread of its own. Between processes the rows' locks decide.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._guard = threading.Lock()
        self._waiting: deque[_Waiting] = deque()
        self._led = False
        self._rush = False  # whether the last group was more than one caller; a lone claim waits for nobody

    def claim(self, ask: Ask) -> Claimed:
        """Claim what the plan takes, all of it or nothing; the answer is given after the commit.

        Raises:
            InsufficientStock: the plan took more than there is.
            ClaimOver: the key is of a claim that has ended.
        """
        mine = _Waiting(ask)
        with self._guard:
            self._waiting.append(mine)
            leads, self._led = not self._led, True
        if not leads:
            mine.woken.acquire()
        if mine.answer is None:
            self._lead()
        if isinstance(mine.answer, Exception):
            raise mine.answer
        assert mine.answer is not None  # who leads is the first of those it serves
        return mine.answer

    def _lead(self) -> None:
        if self._rush:
            time.sleep(_GATHERING_S)
        with self._guard:
            group = [self._waiting.popleft() for _ in range(min(AT_MOST, len(self._waiting)))]
            self._rush = len(group) > 1
        try:
            self._serve(group)
        finally:
            self._hand_over(group)

    def _hand_over(self, group: Sequence[_Waiting]) -> None:
        """Wake those who are served, and the next to lead. Who got no answer, because this caller was killed, waits on."""
        unserved = [waiting for waiting in group[1:] if waiting.answer is None]
        with self._guard:
            self._waiting.extendleft(reversed(unserved))
            following = self._waiting[0] if self._waiting else None
            self._led = following is not None
        for waiting in group[1:]:
            if waiting.answer is not None:
                waiting.woken.release()
        if following is not None:
            following.woken.release()

    def _serve(self, group: Sequence[_Waiting]) -> None:
        try:
            self._commit(group)
        except (InsufficientStock, IntegrityError, DataError) as error:
            if len(group) == 1:
                group[0].answer = error
                return
            for waiting in group:  # one of them is wrong: its neighbours are served without it
                self._serve([waiting])
        except Exception as error:  # noqa: BLE001 - each of them raises it
            for waiting in group:
                waiting.answer = error

    def _commit(self, group: Sequence[_Waiting]) -> None:
        with self._engine.begin() as conn:
            answers = judge(conn, [waiting.ask for waiting in group])
        for waiting, answer in zip(group, answers, strict=True):
            waiting.answer = answer


def exactly(amounts: Mapping[Place, int]) -> Plan:
    """Return the plan that takes these amounts, or nothing when one of them is not there."""

    def plan(levels: Sequence[Level]) -> Mapping[Place, int]:
        there = available(levels)
        return amounts if all(there.get(place, 0) >= units for place, units in amounts.items()) else {}

    return plan


def judge(conn: Connection, asks: Sequence[Ask]) -> list[Claimed | Exception]:
    """Grant these claims in this transaction, in their order; a claim that may not be is answered by its error."""
    books = _Books(conn, asks)
    answers = [books.answer(ask) for ask in asks]
    movements.reserve(conn, books.granted)
    return answers


class _Books:
    """What is there while claims are judged one after another."""

    def __init__(self, conn: Connection, asks: Sequence[Ask]) -> None:
        self.granted: list[Claim] = []
        self._levels: dict[str, dict[Place, Level]] = {}
        self._before: dict[str, dict[Place, int]] = {}
        self._over: set[str] = set()
        wanted = {
            "skus": sorted({sku for ask in asks for sku in ask.skus}),
            "keys": [ask.key for ask in asks],
            "orders": [ask.order_id for ask in asks],
        }
        for row in conn.execute(_LOOK, wanted).mappings():
            self._read(**row)

    def _read(
        self, *, owed: int | None, before: Mapping[str, tuple[str, int]] | None, **columns: Any
    ) -> None:
        level = Level(**columns)
        place = level.sku, level.location_id
        self._levels.setdefault(level.sku, {})[place] = replace(level, reserved=level.reserved + (owed or 0))
        for key, (state, units) in (before or {}).items():
            if state == ReservationState.ACTIVE:
                self._before.setdefault(key, {})[place] = units
            else:
                self._over.add(key)

    def answer(self, ask: Ask) -> Claimed | Exception:
        try:
            return self._answer(ask)
        except Exception as error:  # noqa: BLE001 - the plan is the caller's, and so is what it raises
            return error

    def _answer(self, ask: Ask) -> Claimed:
        levels = [level for sku in sorted(ask.skus) for level in self._levels.get(sku, {}).values()]
        there = available(levels)
        if ask.key in self._over:
            raise ClaimOver(ask.key)
        if ask.key in self._before:
            return Claimed(amounts=self._before[ask.key], available=there, repeated=True)
        amounts = dict(ask.plan(levels))
        for place, units in amounts.items():
            if not 0 < units <= there.get(place, 0):
                raise InsufficientStock(place[0], units, there.get(place, 0))
        self._grant(ask, amounts)
        return Claimed(amounts=amounts, available=there)

    def _grant(self, ask: Ask, amounts: Mapping[Place, int]) -> None:
        if not amounts:
            return
        for place, units in amounts.items():
            there = self._levels[place[0]]
            there[place] = replace(there[place], reserved=there[place].reserved + units)
        self._before[ask.key] = dict(amounts)
        self.granted.append(
            Claim(
                key=ask.key,
                order_id=ask.order_id,
                amounts=amounts,
                expires_at=ask.expires_at,
                by=ask.by,
                at=ask.at,
            )
        )


def available(levels: Iterable[Level]) -> dict[Place, int]:
    """Return what a claim may take, by place."""
    return {(level.sku, level.location_id): level.available for level in levels}


def release(conn: Connection, claimed: Iterable[Row[Any]], *, by: str, now: datetime, cause: str) -> None:
    """Give back what these reservations claimed; their state is changed already, and their levels are locked.

    A claim is given back under its own key: whatever happens twice, it is given back once.
    """
    amounts: dict[str, dict[Place, int]] = {}
    for row in claimed:
        amounts.setdefault(row.operation_key, {})[row.sku, row.location_id] = row.quantity
    for key, places in sorted(amounts.items()):
        movements.move(conn, Movement.RESERVATION_RELEASED, places, key=key, cause=cause, by=by, at=now)


def end(conn: Connection, order_id: str, state: ReservationState, *, by: str, now: datetime) -> bool:
    """End what the locked order claims and has not consumed; return whether there was anything."""
    ended = conn.execute(_END, {"the_order": order_id, "state": state.value}).all()
    movements.lock_levels(conn, {(row.sku, row.location_id) for row in ended})
    release(conn, ended, by=by, now=now, cause=order_id)
    return bool(ended)
