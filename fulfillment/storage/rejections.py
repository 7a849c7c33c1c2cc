"""Units that cannot leave: they are taken out of their shipment at the shelf or the bench, and the rest goes on.

What the picker says decides only what becomes of the unit. Whether another is taken from the same shelf, comes from
another location, waits or is taken off the order is the shop's rule.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, bindparam, func, insert, select, update

from fulfillment.domain import playbooks
from fulfillment.domain.errors import FulfillmentError, IdUsed
from fulfillment.domain.events import EventKind
from fulfillment.domain.inventory import RESTOCK, SCRAP, SET_ASIDE, CannotRegrade, Deed, Grade, Movement
from fulfillment.domain.notifications import Fact
from fulfillment.domain.order import UnitRange
from fulfillment.domain.picking import (
    CONDITION_OF,
    NEEDS_PHOTO,
    SHORT,
    WHOLE_SHELF,
    PhotoNeeded,
    PickRefused,
    Rejected,
    Rejection,
    SetAside,
    Settled,
    case_of,
)
from fulfillment.domain.policy import DEFAULT, Policy
from fulfillment.domain.promise import Source
from fulfillment.domain.shipment import WorkStatus
from fulfillment.storage import (
    cases,
    counts,
    journal,
    locks,
    promises,
    reservations,
    shortfall,
    signals,
    sourcing,
    stopping,
    substitutes,
    units,
)
from fulfillment.storage.advance import advance, expected
from fulfillment.storage.movements import Place, lock_levels, read_level
from fulfillment.storage.orders import OUT_OF_STOCK, lock_order
from fulfillment.storage.stock import change, check_place
from fulfillment.storage.stops import check_may_go_on
from fulfillment.storage.tables import (
    allocations,
    outbox,
    rejections,
    shipments,
    skus,
    stock_levels,
    unit_ranges,
)
from fulfillment.storage.units import Placed

_W = WorkStatus
_AT_WORK: Final = (_W.PICKING, _W.PICKED)
_SHELF_CLEARED: Final = "clear_shelf"
_SHORT_SHIPMENT: Final = "short"  # why a shipment ends of which nothing was found

_KEPT: Final = select(rejections).where(rejections.c.rejection_id == bindparam("the_scan"))
_KEEP: Final = insert(rejections)
_SHIPMENT: Final = select(shipments).where(shipments.c.shipment_id == bindparam("the_shipment"))
_ANEW: Final = (
    update(shipments)
    .where(shipments.c.shipment_id == bindparam("the_shipment"))
    .values(reworks=shipments.c.reworks + 1)
)
_SHELVES: Final = select(stock_levels.c.sku, stock_levels.c.location_id).where(
    stock_levels.c.sku.in_(bindparam("asked", expanding=True))
)
_CANCEL: Final = insert(unit_ranges)
_LEFT: Final = select(unit_ranges.c.quantity).where(unit_ranges.c.shipment_id == bindparam("the_shipment"))
_NAME: Final = select(skus.c.name).where(skus.c.sku == bindparam("the_sku"))
_TOLD: Final = select(func.count()).where(
    outbox.c.order_id == bindparam("the_order"),
    outbox.c.subject == bindparam("the_subject"),
    outbox.c.fact == bindparam("the_fact"),
)
_OTHERS: Final = (
    select(allocations.c.shipment_id, allocations.c.quantity)
    .join(shipments, shipments.c.shipment_id == allocations.c.shipment_id)
    .where(
        allocations.c.sku == bindparam("the_sku"),
        allocations.c.location_id == bindparam("there"),
        allocations.c.state == "active",
        shipments.c.work_status.in_([_W.SCHEDULED.value, _W.RELEASED.value, *_AT_WORK]),
    )
    .order_by(allocations.c.shipment_id)
)
_CLAIMED: Final = select(allocations.c.quantity).where(
    allocations.c.shipment_id == bindparam("shipment_id"),
    allocations.c.sku == bindparam("sku"),
    allocations.c.state == "active",
)
_INSPECT: Final = (
    update(rejections)
    .where(rejections.c.rejection_id == bindparam("the_scan"), rejections.c.inspected_at.is_(None))
    .returning(rejections)
)


_TO_INSPECT: Final = (
    select(rejections)
    .where(rejections.c.inspected_at.is_(None), rejections.c.reason.not_in([one.value for one in SHORT]))
    .order_by(rejections.c.at, rejections.c.rejection_id)
)


class UnknownRejection(FulfillmentError):
    """Nothing was rejected under this id."""

    def __init__(self, rejection_id: str) -> None:
        super().__init__(f"nothing was rejected under {rejection_id}")
        self.rejection_id = rejection_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """What a picker or packer says: so many units of a SKU in a shipment cannot leave, and why."""

    shipment_id: str
    sku: str
    units: int
    reason: Rejection
    by: str
    scan_id: str
    found_sku: str | None = None
    note: str = ""
    photo: str = ""


@dataclass(slots=True)
class _Outcome:
    replaced: int = 0
    resourced: int = 0
    waiting: int = 0
    cancelled: int = 0
    substituted: int = 0
    added: list[str] = field(default_factory=list)


class RejectionStore:
    """Rejected units. `now` is shop time; every call begins by locking the order."""

    def __init__(self, engine: Engine, now: Callable[[], datetime], *, policy: Policy = DEFAULT) -> None:
        self._engine, self._now, self._policy = engine, now, policy

    def reject(self, request: Reject) -> Rejected:
        """Take units out of a shipment that is being picked or packed; the same scan again answers the same.

        Raises:
            UnknownShipment: there is no such shipment.
            Stop: it is held, cancelled or not paid.
            PhotoNeeded: what is damaged is not taken out without a picture.
            PickRefused: it is not in anybody's hands, or has fewer units of this SKU.
            IdUsed: the scan's id is that of another rejection.
        """
        if request.reason in NEEDS_PHOTO and not request.photo:
            raise PhotoNeeded(request.reason)
        with self._engine.begin() as conn:
            answer = self._reject(conn, request)
        if request.reason in WHOLE_SHELF:
            self._clear_the_shelf(request)
        return answer

    def _reject(self, conn: Connection, request: Reject) -> Rejected:
        order = locks.order_of_shipment(conn, request.shipment_id)
        if (kept := conn.execute(_KEPT, {"the_scan": request.scan_id}).one_or_none()) is not None:
            return _repeated(kept, request)
        shipment = conn.execute(_SHIPMENT, {"the_shipment": request.shipment_id}).one()
        now = self._now()
        check_may_go_on(conn, shipment, now)
        taken = _chosen(conn, order, shipment, request)
        return _Deed(conn, order, shipment, request, now=now, policy=self._policy).do(taken)

    def _clear_the_shelf(self, request: Reject) -> None:
        """Take what lies on the same shelf out of every other claim too, one order after the other, and once."""
        with self._engine.connect() as conn:
            kept = conn.execute(_KEPT, {"the_scan": request.scan_id}).one()
            if journal.audited(conn, kept.order_id, _SHELF_CLEARED, request.scan_id):
                return  # what is claimed since then lay here after it was looked at
            others = conn.execute(_OTHERS, {"the_sku": request.sku, "there": kept.location_id}).all()
        for other in others:
            scan_id = f"{request.scan_id}:shelf:{other.shipment_id}"  # its own shipment is among them
            also = replace(request, shipment_id=other.shipment_id, units=other.quantity, scan_id=scan_id)
            with self._engine.begin() as conn:
                self._recall(conn, also)
        self._take_from_the_unpaid(kept.order_id, (request.sku, kept.location_id), request)

    def _take_from_the_unpaid(self, order_id: str, place: Place, request: Reject) -> None:
        deed = Deed(
            key=f"reject:{request.scan_id}:unpaid", cause=request.reason, by=request.by, at=self._now()
        )

        def book(conn: Connection) -> None:
            if reserved := read_level(conn, place).reserved:
                shortfall.book(conn, Movement.QUARANTINED, place, reserved, deed, policy=self._policy)
            journal.audit(
                conn,
                order_id,
                actor=request.by,
                command=_SHELF_CLEARED,
                outcome=" at ".join(place),
                at=deed.at,
                request_id=request.scan_id,
                reason=request.reason,
            )

        shortfall.in_one_piece(self._engine, book)

    def _recall(self, conn: Connection, request: Reject) -> None:
        order = locks.order_of_shipment(conn, request.shipment_id)
        shipment = conn.execute(_SHIPMENT, {"the_shipment": request.shipment_id}).one()
        here = [
            unit
            for unit in units.not_left(conn, order.order_id)
            if unit.shipment_id == request.shipment_id and unit.sku == request.sku
        ]
        claimed = conn.execute(_CLAIMED, {"shipment_id": request.shipment_id, "sku": request.sku}).scalar()
        if here and claimed:  # else it left, or was changed, while the others were cleared
            # Some of them may only wait: they lie on no shelf, so they cannot be set aside.
            request = replace(request, units=claimed)
            _Deed(conn, order, shipment, request, now=self._now(), policy=self._policy).do(here)

    def to_inspect(self, location_id: str | None = None) -> tuple[SetAside, ...]:
        """Return what was set aside and nobody has looked at yet, the oldest first."""
        query = (
            _TO_INSPECT if location_id is None else _TO_INSPECT.where(rejections.c.location_id == location_id)
        )
        with self._engine.connect() as conn:
            return tuple(_set_aside(row) for row in conn.execute(query))

    def inspected(self, rejection_id: str, to: Settled, *, by: str, note: str = "") -> None:
        """Settle what was set aside. A repeat changes nothing.

        Raises:
            UnknownRejection: there is none of this id.
            CannotRegrade: it was not found, so it is for a count to say what becomes of it.
        """
        with self._engine.begin() as conn:
            if (kept := conn.execute(_KEPT, {"the_scan": rejection_id}).one_or_none()) is None:
                raise UnknownRejection(rejection_id)
            reason, now = Rejection(kept.reason), self._now()
            if reason in SHORT:
                raise CannotRegrade(kept.sku, Grade.HELD, Grade.FREE)
            inspected = {"the_scan": rejection_id, "inspected_at": now}
            if conn.execute(_INSPECT, inspected).one_or_none() is None:
                return
            if (kind := _settles(reason, to)) is not None:
                deed = Deed(key=f"inspected:{rejection_id}", cause=note or reason, by=by, at=now)
                change(conn, kind, (kept.sku, kept.location_id), kept.quantity, deed)
            words = note or f"inspected: {to}"
            cases.resolve(conn, case_of(reason), subject=kept.shipment_id, resolution=words, now=now)


def _settles(reason: Rejection, to: Settled) -> Movement | None:
    condition = CONDITION_OF[reason]
    if condition is None or to is Settled.KEEP:
        return None
    return RESTOCK[condition] if to is Settled.RESTOCK else SCRAP[condition]


class _Deed:
    """One rejection, in one transaction."""

    def __init__(
        self,
        conn: Connection,
        order: Row[Any],
        shipment: Row[Any],
        request: Reject,
        *,
        now: datetime,
        policy: Policy,
    ) -> None:
        self._conn, self._order, self._shipment, self._request = conn, order, shipment, request
        self._now, self._policy = now, policy
        self._place: Place = (request.sku, shipment.location_id)
        self._deed = Deed(key=f"reject:{request.scan_id}", cause=shipment.shipment_id, by=request.by, at=now)

    def do(self, taken: Sequence[Placed]) -> Rejected:
        """Move the units, find others, and write down what came of it."""
        self._lock_shelves()
        outcome = _Outcome()
        outcome.replaced = self._replace(sum(unit.count for unit in taken))
        leaving = _all_but(taken, outcome.replaced)
        if leaving:
            self._leave(leaving)
            self._find_others(leaving, outcome)
        self._set_the_rest_aside()
        count_id = self._ask_for_a_count()
        self._pack_anew()
        answer = self._answer(taken, outcome, count_id)
        self._keep(answer)
        self._open_case(answer)
        self._tell(answer)
        return answer

    # --- the units themselves

    def _lock_shelves(self) -> None:
        """Lock every shelf of the SKU and its equals in the order everybody keeps: units may come from any of them."""
        asked = {"asked": [self._request.sku, *substitutes.of(self._conn, self._request.sku)]}
        lock_levels(self._conn, [(row.sku, row.location_id) for row in self._conn.execute(_SHELVES, asked)])

    def _replace(self, count: int) -> int:
        """Take others of the same shelf for units that are there but may not leave; return how many."""
        if self._request.reason in SHORT | WHOLE_SHELF:
            return 0
        found, _ = sourcing.levels(self._conn, [self._request.sku])
        free = next((level.available for level in found if level.location_id == self._place[1]), 0)
        if (replaced := min(count, max(0, free))) < 1:
            return 0
        aside = CONDITION_OF[self._request.reason]
        assert aside is not None  # what is not there at all is short
        change(self._conn, SET_ASIDE[aside][0], self._place, replaced, self._deed)
        return replaced

    def _leave(self, leaving: Sequence[Placed]) -> None:
        aside = CONDITION_OF[self._request.reason]
        kind = SET_ASIDE[aside][1] if aside else Movement.ALLOCATION_RELEASED
        units.leave(self._conn, self._order.order_id, leaving, kind, reason=_SHORT_SHIPMENT, deed=self._deed)
        if aside is None:
            gone = -sum(unit.count for unit in leaving)
            change(self._conn, Movement.ADJUSTED, self._place, gone, self._deed)

    def _pack_anew(self) -> None:
        """What was verified at the bench is another content now."""
        if self._shipment.work_status == _W.PICKED:
            self._conn.execute(_ANEW, {"the_shipment": self._shipment.shipment_id})

    def _set_the_rest_aside(self) -> None:
        """What nobody claims of a shelf that is doubted promises nothing either."""
        reason = self._request.reason
        aside = CONDITION_OF[reason]
        if aside is None or reason not in WHOLE_SHELF | {Rejection.NOT_FOUND}:
            return
        level = read_level(self._conn, self._place)
        if free := level.on_hand - level.taken:
            deed = replace(self._deed, key=f"{self._deed.key}:rest")
            change(self._conn, SET_ASIDE[aside][0], self._place, free, deed)

    def _ask_for_a_count(self) -> str | None:
        if self._request.reason not in SHORT:
            return None
        if found := self._request.found_sku:
            self._count((found, self._place[1]), f"CNT-{self._request.scan_id}-found")
        return self._count(self._place, f"CNT-{self._request.scan_id}")

    def _count(self, place: Place, count_id: str) -> str:
        check_place(self._conn, place)
        why = f"{self._request.reason} while {self._shipment.shipment_id} was picked"
        return counts.ask(
            self._conn, place, count_id=count_id, by=self._request.by, reason=why, now=self._now
        )

    # --- what the order gets instead

    def _find_others(self, leaving: Sequence[Placed], outcome: _Outcome) -> None:
        lost = [UnitRange(line_no=unit.line_no, first=unit.first, count=unit.count) for unit in leaving]
        # Elsewhere in the house it lies as well as it did here: the shelf itself is doubted.
        not_from = {self._place[1]} if self._request.reason in SHORT | WHOLE_SHELF else set[str]()
        again = reservations.again(
            self._conn, self._order, lost, not_from=not_from, now=self._now, policy=self._policy
        )
        outcome.substituted = again.replaced
        outcome.resourced = sum(plan.units for plan in again.planned) - again.replaced
        outcome.waiting = sum(plan.units for plan in again.waiting)
        outcome.cancelled = sum(some.count for some in again.gone)
        outcome.added = [plan.shipment_id for plan in (*again.planned, *again.waiting)]
        self._cancel(again.gone)
        self._go_on(outcome)

    def _cancel(self, gone: Sequence[UnitRange]) -> None:
        rows = [
            {"order_id": self._order.order_id, "line_no": some.line_no, "first_unit": some.first}
            | {"quantity": some.count, "cancelled_reason": OUT_OF_STOCK}
            for some in gone
        ]
        if rows:
            self._conn.execute(_CANCEL, rows)

    def _go_on(self, outcome: _Outcome) -> None:
        """Let the order go on with what it has now, and promise another day where some of it comes later."""
        order_id = self._order.order_id
        if not stopping.become_cancelling(self._conn, self._order):
            advance(self._conn, lock_order(self._conn, order_id), now=self._now, policy=self._policy)
        if outcome.added:
            self._promise_later(outcome)
        body = {"why": case_of(self._request.reason).value, "shipment_ids": [self._shipment.shipment_id]}
        key = f"{self._deed.key}:replanned"
        journal.signal(self._conn, order_id, signals.REPLANNED, body, fact_key=key, at=self._now)

    def _promise_later(self, outcome: _Outcome) -> None:
        order, subject = self._order, outcome.added[-1]
        day = expected(self._conn, order, outcome.added, now=self._now, policy=self._policy)
        if order.promise_date is None or day <= order.promise_date:
            return
        if not outcome.waiting:
            late = promises.Delay(
                shipment_id=subject, subject=subject, day=day, source=Source.STOCK, reason=OUT_OF_STOCK
            )
            # The order reads the books anyway, by the same fact.
            promises.put_off(self._conn, order, late, now=self._now, by_its_workflow=True)
            return
        fact = Fact.BACKORDERED  # what is told of units that wait says when they come
        told = promises.Told(fact=fact, subject=subject, version=self._next_version(fact, subject))
        promises.revise(
            self._conn,
            order.order_id,
            day,
            source=Source.STOCK,
            reason=OUT_OF_STOCK,
            told=told,
            now=self._now,
            shipment_id=subject,
        )

    # --- what is written down

    def _answer(self, taken: Sequence[Placed], outcome: _Outcome, count_id: str | None) -> Rejected:
        this = {"the_shipment": self._shipment.shipment_id}
        return Rejected(
            shipment_id=self._shipment.shipment_id,
            sku=self._request.sku,
            units=sum(unit.count for unit in taken),
            reason=self._request.reason,
            replaced=outcome.replaced,
            resourced=outcome.resourced,
            waiting=outcome.waiting,
            cancelled=outcome.cancelled,
            substituted=outcome.substituted,
            left=sum(self._conn.execute(_LEFT, this).scalars()),
            added=tuple(outcome.added),
            count_id=count_id,
        )

    def _keep(self, answer: Rejected) -> None:
        request = self._request
        row = {
            "rejection_id": request.scan_id,
            "order_id": self._order.order_id,
            "shipment_id": request.shipment_id,
            "sku": request.sku,
            "location_id": self._place[1],
            "quantity": request.units,
            "reason": request.reason.value,
            "found_sku": request.found_sku,
            "note": request.note,
            "photo": request.photo,
            "count_id": answer.count_id,
            "answer": asdict(answer),
            "by": request.by,
            "at": self._now,
        }
        self._conn.execute(_KEEP, row)
        journal.audit(
            self._conn,
            self._order.order_id,
            actor=request.by,
            command="reject_units",
            outcome=_in_words(answer),
            at=self._now,
            request_id=request.scan_id,
            reason=request.note or request.reason.value,
        )

    def _open_case(self, answer: Rejected) -> None:
        kind = case_of(self._request.reason)
        cases.open_case(
            self._conn,
            self._order.order_id,
            kind,
            subject=answer.shipment_id,
            due_at=playbooks.due_at(kind, self._now, self._policy),
            now=self._now,
            note=_in_words(answer),
        )

    def _tell(self, answer: Rejected) -> None:
        """Tell the customer only what they will notice: what comes later, and what will not come."""
        name = self._conn.execute(_NAME, {"the_sku": answer.sku}).scalar_one()
        if answer.waiting:
            words = f"{answer.waiting} × {name} of your order were not in stock after all; they follow when more arrives."
            self._say(EventKind.STOCK_SHORT, words, Fact.BACKORDERED, answer.added[-1], answer.waiting)
        if answer.cancelled:
            words = f"Not in stock any more and taken off your order: {answer.cancelled} × {name}."
            self._say(
                EventKind.PART_CANCELLED, words, Fact.PART_CANCELLED, answer.shipment_id, answer.cancelled
            )

    def _say(self, kind: EventKind, words: str, fact: Fact, subject: str, count: int) -> None:
        order_id = self._order.order_id
        data = {"shipment_id": subject, "sku": self._request.sku, "units": count, "reason": OUT_OF_STOCK}
        journal.event(self._conn, order_id, kind, words, at=self._now, data=data)
        version = self._next_version(fact, subject)
        journal.tell(self._conn, order_id, fact, subject=subject, version=version, data=data, now=self._now)

    def _next_version(self, fact: Fact, subject: str) -> int:
        asked = {"the_order": self._order.order_id, "the_subject": subject, "the_fact": fact.value}
        told: int = self._conn.execute(_TOLD, asked).scalar_one()
        return told + 1


def _chosen(conn: Connection, order: Row[Any], shipment: Row[Any], request: Reject) -> list[Placed]:
    if WorkStatus(shipment.work_status) not in _AT_WORK:
        raise PickRefused(
            f"{shipment.shipment_id} is {shipment.work_status}: units are taken out of it while it is picked or packed"
        )
    here = [
        unit
        for unit in units.not_left(conn, order.order_id)
        if unit.shipment_id == request.shipment_id and unit.sku == request.sku
    ]
    there = sum(unit.count for unit in here)
    if there < request.units:
        raise PickRefused(f"{request.shipment_id} has {there} of {request.sku}, not {request.units}")
    return _all_but(here, there - request.units)


def _all_but(here: Sequence[Placed], kept: int) -> list[Placed]:
    """Return these units without so many of them."""
    wanted = sum(unit.count for unit in here) - kept
    chosen: list[Placed] = []
    for unit in here:
        if wanted > 0:
            chosen.append(unit.only(min(wanted, unit.count)))
            wanted -= unit.count
    return chosen


def _in_words(answer: Rejected) -> str:
    parts = {
        "replaced from the same shelf": answer.replaced,
        "from another location": answer.resourced,
        "replaced by what is as good": answer.substituted,
        "waiting for stock": answer.waiting,
        "taken off the order": answer.cancelled,
    }
    what = ", ".join(f"{count} {words}" for words, count in parts.items() if count)
    return f"{answer.units} x {answer.sku} {answer.reason}: {what}"


def _set_aside(row: Row[Any]) -> SetAside:
    return SetAside(
        rejection_id=row.rejection_id,
        shipment_id=row.shipment_id,
        sku=row.sku,
        location_id=row.location_id,
        units=row.quantity,
        reason=Rejection(row.reason),
        note=row.note,
        photo=row.photo,
        by=row.by,
        at=row.at,
    )


def _repeated(kept: Row[Any], request: Reject) -> Rejected:
    before = (kept.shipment_id, kept.sku, kept.quantity, kept.reason, kept.found_sku)
    asked = (request.shipment_id, request.sku, request.units, request.reason.value, request.found_sku)
    if before != asked:
        used_for = f"{kept.quantity} of {kept.sku} of {kept.shipment_id} as {kept.reason}"
        raise IdUsed(f"scan {request.scan_id}", used_for)
    return _answer(kept)


def _answer(row: Row[Any]) -> Rejected:
    kept = dict(row.answer)
    return Rejected(**kept | {"reason": Rejection(kept["reason"]), "added": tuple(kept["added"])})
