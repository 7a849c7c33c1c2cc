"""Orders: each one accepted runs, waits for something, and ends with everything settled."""

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import pairwise

from fulfillment.domain.corrections import FIX_TRACKING
from fulfillment.domain.invariants.check import Found, invariant
from fulfillment.domain.invariants.facts import (
    Books,
    Evidence,
    MessageFact,
    OrderFact,
    PaymentFact,
    PromiseFact,
    ShipmentFact,
    grouped,
)
from fulfillment.domain.order import OrderStatus, Outcome
from fulfillment.domain.payment import PaymentStatus
from fulfillment.domain.replenishment import COMING
from fulfillment.domain.shipment import ON_THE_FLOOR, WaitsFor, WorkStatus
from fulfillment.domain.tracking import CarrierStatus, ScanSource

_S, _W, _P = OrderStatus, WorkStatus, PaymentStatus
_NOT_CONFIRMED = frozenset({_S.RECEIVED, _S.RESERVED, _S.PAYMENT_FAILED})
_NOTHING_LEFT = frozenset({_S.CANCELLED, _S.REJECTED, _S.EXPIRED})
_OUTCOMES: Mapping[str, tuple[Outcome, ...]] = {
    _S.COMPLETED: (Outcome.DELIVERED, Outcome.LOST, Outcome.RETURNED),
    _S.CANCELLED: (Outcome.CANCELLED,),
    _S.REJECTED: (Outcome.REJECTED,),
    _S.EXPIRED: (Outcome.EXPIRED,),
}
_BADLY_ENDED = frozenset({"failed", "terminated", "timed_out"})
_MOST_TASK_ATTEMPTS = 3


# --- accepted, running, waiting ----------------------------------------------------------------------


@invariant(
    "one order per request",
    "I15",
    sees="orders",
    claim="no channel's order was accepted twice",
    remedy="cancel the later of the two, and find how it came past the door",
)
def one_order_per_request(evidence: Evidence) -> Found:
    orders = evidence.books.orders
    times = Counter((order.channel, order.external_ref) for order in orders)
    violations = [f"{channel} {ref}: {count} orders" for (channel, ref), count in times.items() if count > 1]
    return Found(len(orders), violations)


@invariant(
    "accepted is running",
    "I12",
    sees="orders",
    claim="each has its workflow, or has ended and so has its workflow",
    remedy="see whether the relay runs; `python -m starter` starts what was accepted; else start it by hand",
)
def accepted_is_running(evidence: Evidence) -> Found:
    books, runs = evidence.books, evidence.readable_runs
    violations = [
        f"{order.order_id}: accepted {order.accepted_at:%Y-%m-%d %H:%M} and never started"
        for order in books.orders
        if not order.ended and order.started_at is None and books.stale(order.accepted_at)
    ]
    if runs is None:
        return Found(len(books.orders), violations, "Temporal was not asked")
    known = {r.order_id: r.status for r in runs.runs if r.status == "running" or r.status in _BADLY_ENDED}
    orders = books.order_of()
    violations += [
        f"{order_id}: is {order.status}, and has no workflow"
        for order_id, order in orders.items()
        if not order.ended
        and order.started_at
        and not books.recent(order.started_at)
        and order_id not in known
    ]
    running = [order_id for order_id, status in known.items() if status == "running"]
    return Found(len(books.orders), violations + list(_running_on(books, orders, running)))


def _running_on(books: Books, orders: dict[str, OrderFact], running: list[str]) -> Iterator[str]:
    for order_id in running:
        order = orders.get(order_id)
        if order is None:
            yield f"{order_id}: has a workflow, and is in no book"
        elif order.ended and not books.recent(order.last_event_at) and not books.recent(order.completed_at):
            yield f"{order_id}: is {order.status}, and its workflow still runs"


@invariant(
    "nothing wedged",
    "I12 I16",
    sees="orders' workflows",
    claim="none failed, was ended from outside, or tries its next step again and again",
    remedy="a bug holds the order: its last failure is in the Temporal UI; it goes on when the fix is deployed",
)
def nothing_wedged(evidence: Evidence) -> Found:
    if (runs := evidence.readable_runs) is None:
        return Found(0, [], "Temporal was not asked")
    named = {case.order_id for case in evidence.books.open_cases()}
    violations = [
        f"{run.order_id}: its workflow has {run.status}"
        for run in runs.runs
        if run.status in _BADLY_ENDED and run.order_id not in named
    ]
    violations += [
        f"{run.order_id}: its workflow task fails again and again"
        for run in runs.runs
        if run.status == "running" and run.task_attempts > _MOST_TASK_ATTEMPTS
    ]
    # A workflow that ended well is not among those Temporal named, and was looked for all the same.
    return Found(len(evidence.books.orders), violations)


@invariant(
    "everyone waits for something",
    "I12",
    sees="orders",
    claim="each that is open has a next timer, or an owner with a due time",
    remedy="open a case for the order by the support desk; nothing else will move it",
)
def everyone_waits(evidence: Evidence) -> Found:
    waiting = _Waiting(evidence.books)
    open_orders = [order for order in evidence.books.orders if not order.ended]
    violations = [why for order in open_orders for why in waiting.for_nothing(order)]
    return Found(len(evidence.books.orders), violations, f"{len(open_orders)} are open")


class _Waiting:
    """What every open order waits for, by the books."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._shipments = grouped(books.shipments, lambda shipment: shipment.order_id)
        self._parcels = books.parcel_of()
        self._deeds = {operation.order_id for operation in books.in_doubt()}
        self._cases = grouped(books.open_cases(), lambda case: case.order_id)
        self._holds = {
            hold.order_id for hold in books.holds if hold.state == "active" and not books.stale(hold.due_at)
        }
        self._backorders = grouped(
            (b for b in books.backorders if b.state == "waiting"), lambda backorder: backorder.shipment_id
        )
        self._coming = {(r.sku, r.location_id) for r in books.replenishments if r.state in COMING}

    def for_nothing(self, order: OrderFact) -> list[str]:
        """Return a sentence for each part of the order that nothing will move."""
        if self._is_moving(order):
            return []
        going_on = [s for s in self._shipments.get(order.order_id, []) if not s.terminal]
        if not going_on and not self._is_named(order.order_id):
            return [f"{order.order_id}: is {order.status}, and nothing will happen to it"]
        stuck = [shipment for shipment in going_on if not self._is_named(order.order_id, shipment)]
        return [f"{s.shipment_id}: {why}" for s in stuck if (why := self._why_stuck(s))]

    def _is_moving(self, order: OrderFact) -> bool:
        recent = self._books.recent
        young = order.started_at is None and not self._books.stale(order.accepted_at)
        just_now = recent(order.accepted_at) or recent(order.started_at) or recent(order.last_event_at)
        return young or just_now or order.order_id in self._deeds

    def _is_named(self, order_id: str, shipment: ShipmentFact | None = None) -> bool:
        """Test whether a hold stands, or a person has a case about the order or this very shipment."""
        if order_id in self._holds:
            return True
        subjects = {order_id}
        if shipment:
            parcel = self._parcels.get(shipment.shipment_id)
            subjects |= {shipment.shipment_id, parcel.parcel_id if parcel else ""}
        cases = self._cases.get(order_id, [])
        return any(case.owner and (shipment is None or case.subject in subjects) for case in cases)

    def _why_stuck(self, shipment: ShipmentFact) -> str:
        if shipment.work_status in ON_THE_FLOOR:
            late = self._books.stale(shipment.ship_by)
            due = f"{shipment.ship_by:%Y-%m-%d %H:%M}"
            return f"should have left by {due}, and no case says why not" if late else ""
        if shipment.left:
            return self._why_silent(shipment)
        if shipment.waits_for == WaitsFor.STOCK:
            return self._why_short(shipment)
        if shipment.waits_for == WaitsFor.DATE:
            return self._why_kept(shipment)
        return f"waits for {shipment.waits_for}, and nothing brings it"

    def _why_silent(self, shipment: ShipmentFact) -> str:
        parcel = self._parcels.get(shipment.shipment_id)
        if parcel is None or parcel.next_check_at is None:
            return "is under way, and nobody will ask for it"
        overdue = self._books.stale(parcel.next_check_at)
        return f"was to be asked for at {parcel.next_check_at:%Y-%m-%d %H:%M}, nobody did" if overdue else ""

    def _why_kept(self, shipment: ShipmentFact) -> str:
        """The sweep lets go on its day what was sold ahead."""
        day = shipment.for_sale_at
        came = day is not None and self._books.stale(day)
        return f"waits for its day, which came on {day:%Y-%m-%d}, and nobody let it go" if came else ""

    def _why_short(self, shipment: ShipmentFact) -> str:
        waiting = self._backorders.get(shipment.shipment_id, [])
        if not waiting:
            return "waits for stock, and has no backorder"
        missing = {
            backorder.sku
            for backorder in waiting
            if (backorder.sku, backorder.location_id) not in self._coming
            and backorder.promise_date < self._books.now.date()
        }
        return f"waits for {', '.join(sorted(missing))}, which nobody has ordered" if missing else ""


@invariant(
    "at rest",
    "I12",
    sees="things that move",
    claim="all have come to rest: no request, message or fact is on its way any more",
    remedy="wait longer with --wait; what never rests is retried against something that is away",
)
def at_rest(evidence: Evidence) -> Found:
    """What has been under way for so long that no sweep will bring it home is found by its own check."""
    books = evidence.books
    named = {case.order_id for case in books.open_cases() if case.order_id}
    moving = list(_moving(books, named))
    if runs := evidence.readable_runs:
        busy = [run for run in runs.runs if run.deeds and run.order_id not in named]
        moving += [f"{run.order_id}: {', '.join(run.deeds)} is under way" for run in busy]
    looked_at = len(books.operations) + len(books.messages) + len(books.signals)
    return Found(looked_at, moving)


def _moving(books: Books, named: set[str]) -> Iterator[str]:
    ended = {order.order_id for order in books.orders if order.ended}
    for operation in books.in_doubt():
        young = operation.claimed_at <= books.since and not books.stale(operation.claimed_at)
        if young and operation.order_id not in named | ended:
            yield f"{operation.operation_key}: is {operation.state}"
    for signal in books.signals:
        if signal.at <= books.since and not books.stale(signal.at) and signal.order_id not in ended:
            yield f"{signal.order_id}: has yet to hear {signal.name} ({signal.fact_key})"
    for message in books.messages:
        if message.not_before <= books.since and _is_on_its_way(message, books):
            yield f"{message.order_id}: {message.fact} of {message.subject} is being sent"


def _is_on_its_way(message: MessageFact, books: Books) -> bool:
    if message.state == "claimed":
        return message.lease_until is not None and not books.stale(message.lease_until)
    return message.state == "pending" and not books.stale(message.not_before)


# --- what the books say of each other ----------------------------------------------------------------


@invariant(
    "statuses follow from facts",
    "I11 I20 I21",
    sees="orders",
    claim="status, outcome and payments of each are what its shipments and amounts say",
    remedy="a status was written beside its facts: correct the one that is wrong, with an audit entry",
)
def statuses_follow(evidence: Evidence) -> Found:
    books = evidence.books
    shipments = grouped(books.shipments, lambda shipment: shipment.order_id)
    violations = [
        f"{order.order_id}: {why}"
        for order in books.orders
        if (why := _why_wrong(order, shipments.get(order.order_id, [])))
    ]
    violations += [*_open_things_of_ended(books), *_misstated(books), *_unclosed(books)]
    return Found(len(books.orders), violations)


def _why_wrong(order: OrderFact, shipments: list[ShipmentFact]) -> str:
    started = any(shipment.released_at for shipment in shipments)
    left = any(shipment.left for shipment in shipments)
    if order.status not in tuple(OrderStatus):
        return f"is {order.status}, which is no status"
    if order.outcome is not None and order.outcome not in _OUTCOMES.get(order.status, ()):
        return f"is {order.status} with the outcome {order.outcome}"
    if order.status in _NOT_CONFIRMED and started:
        return f"is {order.status}, and a shipment is on the floor"
    if order.status in _NOTHING_LEFT and left:
        return f"is {order.status}, and a shipment has left"
    if order.status == _S.COMPLETED and not left:
        return "is completed, and nothing has left"
    open_ones = [shipment.shipment_id for shipment in shipments if not shipment.terminal]
    return f"is {order.status}, and {', '.join(open_ones)} is not over" if order.ended and open_ones else ""


def _open_things_of_ended(books: Books) -> Iterator[str]:
    ended = {order.order_id: order.status for order in books.orders if order.ended}
    for hold in books.holds:
        if hold.state == "active" and hold.order_id in ended:
            yield f"{hold.hold_id}: stands, its order is {ended[hold.order_id]}"
    for case in books.open_cases():
        if case.order_id in ended and case.kind not in _OUTLIVES_THE_ORDER:
            yield f"{case.case_id}: is open, its order is {ended[case.order_id]}"


# Money that is not right stays somebody's task after the goods have arrived.
_OUTLIVES_THE_ORDER = frozenset({"capture_failed", "refund_failed", "operation_unknown", "dispute"})


def _misstated(books: Books) -> Iterator[str]:
    for payment in books.payments:
        if not _amounts_fit(payment):
            yield (
                f"{payment.payment_id}: is {payment.status} with {payment.authorized} authorized, "
                f"{payment.captured} captured, {payment.refunded} refunded"
            )


def _amounts_fit(payment: PaymentFact) -> bool:
    if not 0 <= payment.refunded <= payment.captured <= payment.authorized:
        return False
    # Where a charge allows several captures, it stays authorized until the last of them.
    if payment.captured > 0 and payment.status not in (_P.CAPTURED, _P.AUTHORIZED):
        return False
    if payment.status == _P.CAPTURED and payment.captured == 0:
        return False
    return payment.status != _P.AUTHORIZED or payment.authorized == payment.asked


def _unclosed(books: Books) -> Iterator[str]:
    """Yield shipments whose two axes contradict each other."""
    parcels = books.parcel_of()
    for shipment in books.shipments:
        parcel = parcels.get(shipment.shipment_id)
        if shipment.left != (shipment.handed_over_at is not None) and shipment.work_status != _W.CANCELLED:
            yield f"{shipment.shipment_id}: is {shipment.work_status}, handed over: {shipment.handed_over_at}"
        arrived = parcel and parcel.carrier_status in (CarrierStatus.DELIVERED, CarrierStatus.LOST)
        if parcel and arrived and shipment.work_status == _W.HANDED_OVER:
            yield f"{shipment.shipment_id}: its parcel is {parcel.carrier_status}, and it is not closed"


@invariant(
    "promises stay on record",
    "I22",
    sees="promises",
    claim="the first is never changed, and each later one has a reason",
    remedy="the first promise stands in the record of the order: put it back, and write down why it moved",
)
def promises_stay(evidence: Evidence) -> Found:
    books = evidence.books
    promises = grouped(books.promises, lambda promise: promise.order_id)
    violations = [
        f"{order.order_id}: {why}"
        for order in books.orders
        if (why := _why_broken(order, sorted(promises.get(order.order_id, []), key=_number)))
    ]
    return Found(len(books.promises), violations)


def _number(promise: PromiseFact) -> int:
    return promise.n


def _why_broken(order: OrderFact, promises: list[PromiseFact]) -> str:
    if not promises:
        return "has a promised day, and no promise on record" if order.promise_date else ""
    if [promise.n for promise in promises] != list(range(1, len(promises) + 1)):
        return "a promise is missing from its record"
    if promises[0].promised_date != order.promise_first_date:
        return f"was first promised {promises[0].promised_date}, now it says {order.promise_first_date}"
    if promises[-1].promised_date != order.promise_date:
        return f"is promised {promises[-1].promised_date}, it says {order.promise_date}"
    for later in promises[1:]:
        if not later.reason:
            return f"promise {later.n} was changed without a reason"
    return ""


@invariant(
    "promises are what was told",
    "I22",
    sees="promises",
    claim="every later day was told to the customer, and every day that was told is on record",
    remedy="write to the customer which day it is, and find what promised it past the record",
)
def promises_told(evidence: Evidence) -> Found:
    books = evidence.books
    on_record = grouped(books.promises, lambda promise: promise.order_id)
    messages: set[tuple[str, str | None, str | None, int | None]] = {
        (m.order_id, m.fact, m.subject, m.version) for m in books.messages
    }
    untold = [
        f"{order_id}: promise {promise.n} is {promise.promised_date}, and nobody was told"
        for order_id, promises in on_record.items()
        for promise in _later(sorted(promises, key=_number))
        if not _was_told(promise, messages)
    ]
    days = {(promise.order_id, promise.promised_date) for promise in books.promises}
    strange = [
        f"{m.order_id}: {m.fact} {m.version} promises {m.promise_date}, which is not on record"
        for m in books.messages
        if m.promise_date and (m.order_id, m.promise_date) not in days
    ]
    return Found(len(books.promises), [*untold, *strange])


def _later(promises: list[PromiseFact]) -> Iterator[PromiseFact]:
    for before, after in pairwise(promises):
        if after.promised_date > before.promised_date:
            yield after


def _was_told(promise: PromiseFact, messages: set[tuple[str, str | None, str | None, int | None]]) -> bool:
    if promise.told_fact is None:  # it was promised before the record named its message
        return promise.told_at is not None
    key = (promise.order_id, promise.told_fact, promise.told_subject, promise.told_version)
    return key in messages


@invariant(
    "acts are signed",
    "I15",
    sees="acts and movements",
    claim="every act names who did it, and every hold, cancel and correction of tracking left one",
    remedy="find who did it from the logs of the doors by the order's id, and add the entry",
)
def acts_are_signed(evidence: Evidence) -> Found:
    books = evidence.books
    violations = [
        f"{act.order_id}: entry {act.entry_id} ({act.command or 'no command'}) names nobody"
        for act in books.acts
        if not act.actor or not act.command
    ]
    violations += [
        f"{moved.sku} at {moved.location_id}: {moved.unsigned} movements ({moved.kind}) name nobody"
        for moved in books.movements
        if moved.unsigned
    ]
    looked_at = len(books.acts) + sum(moved.movements for moved in books.movements)
    return Found(looked_at, violations + list(_done_without_an_act(books)))


@invariant(
    "forgotten for good",
    "I17",
    sees="orders of forgotten customers",
    claim="nothing in the books says who they were",
    remedy="forget the customer again, and find what wrote it down afterwards",
)
def forgotten_for_good(evidence: Evidence) -> Found:
    forgotten = evidence.books.forgotten
    return Found(
        len(forgotten), [f"{one.order_id}: still says {', '.join(one.left)}" for one in forgotten if one.left]
    )


def _done_without_an_act(books: Books) -> Iterator[str]:
    acted = {act.order_id for act in books.acts}
    for hold in books.holds:
        if not hold.placed_by or (hold.state == "released" and not hold.released_by):
            yield f"{hold.hold_id}: names nobody"
        elif hold.state == "released" and hold.order_id not in acted:
            yield f"{hold.hold_id}: was released, and no entry says by whom"
    # What was never paid or never there runs out by itself; everything else was cancelled by somebody.
    by_itself = {order.order_id for order in books.orders if order.status in (_S.EXPIRED, _S.REJECTED)}
    cancelled = {s.order_id for s in books.shipments if s.work_status == _W.CANCELLED}
    for order_id in sorted(cancelled - by_itself - acted):
        yield f"{order_id}: shipments were cancelled, and no entry says by whom"
    order_of = {parcel.parcel_id: parcel.order_id for parcel in books.parcels}
    put_right = [scan for scan in books.scans if scan.source == ScanSource.STAFF and scan.correction]
    corrected = {order_of[scan.parcel_id] for scan in put_right}
    for order_id in sorted(corrected - {act.order_id for act in books.acts if act.command == FIX_TRACKING}):
        yield f"{order_id}: its tracking was put right, and no entry says by whom"
