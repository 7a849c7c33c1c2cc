"""What the workflows of orders do, without Temporal: one deed after another, each of them repeated until it is answered.

It knows what a workflow remembers (what it asked for, what it was told) and reads the rest from the books. Which of
the deeds that are due comes next is chance, because the coroutines of an order run beside each other.
"""

from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random

from temporalio.exceptions import ApplicationError

from activities.payments import AuthorizePayments, CapturePayment, PaymentActivities
from activities.shipping import ShippingActivities
from fulfillment.domain.cases import CaseKind
from fulfillment.domain.change import Changed, ShipmentState, UndoChange
from fulfillment.domain.findings import Unheard
from fulfillment.domain.holds import DEFAULT as DEFAULTS
from fulfillment.domain.holds import SCOPE, Hold, HoldDefault, HoldReason, HoldScope
from fulfillment.domain.operation import Authorization
from fulfillment.domain.order import OrderStatus, Outcome
from fulfillment.domain.payment import AuthorizationExpired, DeclineGroup, Held, PaymentStatus, RefundRefused
from fulfillment.domain.policy import OnExpiry, Policy, SplitCapture
from fulfillment.domain.record import (
    ChangePaymentMethod,
    CloseOrder,
    Confirm,
    DeclareLost,
    OpenCase,
    PlaceHold,
    ReleaseHold,
    ResolveCase,
    StopShipments,
)
from fulfillment.domain.refund import RefundState
from fulfillment.domain.settlement import Cause, Settle, Settlement
from fulfillment.domain.shipment import Stop, WaitsFor, WorkStatus
from fulfillment.domain.tracking import ENDED as PARCEL_ENDED
from fulfillment.domain.tracking import CarrierStatus
from fulfillment.storage import signals
from fulfillment.storage.tables import orders
from tests.storage.house import House

Deed = Callable[[], None]

_WAITING = (PaymentStatus.ACTION_REQUIRED, PaymentStatus.AUTHORIZING)
_ENDS = PARCEL_ENDED - {CarrierStatus.CANCELLED}
_BEST_FIRST = (Outcome.DELIVERED, Outcome.RETURNED, Outcome.LOST, Outcome.CANCELLED)
_NOT_PACKED = (WorkStatus.SCHEDULED, WorkStatus.RELEASED, WorkStatus.PICKING, WorkStatus.PICKED)


class Stuck(AssertionError):
    """A deed was refused that never should be."""


@dataclass
class Ask:
    """One attempt to get money; `until` is set once the bank asks the customer back."""

    attempt: int
    shipments: tuple[str, ...]
    change_id: str = ""
    payment_id: str = ""
    until: datetime | None = None
    methods: int = 0
    is_given_up: bool = False


@dataclass
class Process:
    """What the workflow of one order remembers."""

    order_id: str
    attempts: int = 0
    methods: int = 0
    asks: list[Ask] = field(default_factory=list)
    waits: dict[str, tuple[int, datetime | None]] = field(
        default_factory=dict
    )  # for another method, or until
    pay_by: datetime | None = None
    retried: bool = False
    news: set[str] = field(default_factory=set)
    confirmed: bool = False
    reads_again: bool = False
    cancelled: str = ""
    ending: Outcome | None = None
    asked: set[str] = field(default_factory=set)
    labels: dict[str, str] = field(default_factory=dict)
    buying: set[str] = field(default_factory=set)
    packed: dict[str, str] = field(default_factory=dict)
    sent_back: set[str] = field(default_factory=set)
    runs_out: set[str] = field(default_factory=set)
    early: set[str] = field(default_factory=set)
    left: set[str] = field(default_factory=set)
    lacks_money: set[str] = field(default_factory=set)
    captured: set[str] = field(default_factory=set)
    milestones: dict[str, deque[CarrierStatus]] = field(default_factory=lambda: defaultdict(deque))
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    left_to_people: set[str] = field(default_factory=set)
    refund_tried_at: dict[str, datetime] = field(default_factory=dict)

    @property
    def is_asking(self) -> frozenset[str]:
        """The shipments whose money is being asked for."""
        return frozenset(shipment_id for ask in self.asks for shipment_id in ask.shipments)

    @property
    def is_changing(self) -> bool:
        """Whether a change waits for its money: people are served one after another."""
        return any(ask.change_id for ask in self.asks)


class Conductor:
    """Takes orders to their end as their workflows do."""

    def __init__(
        self, house: House, money: PaymentActivities, shipping: ShippingActivities, policy: Policy
    ) -> None:
        self.house, self.money, self.shipping, self.policy = house, money, shipping, policy
        self.processes: dict[str, Process] = {}

    def start(self, order_id: str) -> None:
        """Begin to look after an order; a second start is none."""
        self.processes.setdefault(order_id, Process(order_id))
        self.house.orders.started(order_id)

    def turn(self, order_id: str, chance: Random) -> bool:
        """Do one of the things that are due for an order; False when there are none."""
        process = self.processes[order_id]
        if self.is_over(order_id):
            return False
        for fact in self.house.signals.for_order(order_id):
            self.hear(fact)
        deeds = self._deeds(process)
        if deeds:
            self._tried(chance.choice(deeds))
        return bool(deeds)

    def is_over(self, order_id: str) -> bool:
        """Tell whether the order was closed."""
        return self.house.row(orders, order_id=order_id)["completed_at"] is not None

    def hear(self, fact: Unheard) -> None:
        """Take a fact in, as the signal handlers do: it is noted, and acted on later."""
        process, body = self.processes[fact.order_id], fact.body
        match fact.name:
            case signals.PACKED:
                process.packed[body["shipment_id"]] = body["parcel_id"]
            case signals.HANDED_OVER:
                process.left.add(body["shipment_id"])
            case signals.MILESTONE:
                process.milestones[body["shipment_id"]].append(CarrierStatus(body["status"]))
            case signals.STOCK_FILLED | signals.REPLANNED:
                process.reads_again = True
            case signals.PAYMENT_NEWS:
                process.news.add(body["payment_id"])
            case signals.RETRY_PAYMENT:
                self.another_method(fact.order_id, body["method"], body["by"], body["request_id"])
            case signals.OVERDUE:
                self._overdue(process, body)
        self.house.signals.delivered([fact.signal_id])

    # --- people -----------------------------------------------------------------------------------------

    def another_method(self, order_id: str, method: str, by: str, request_id: str) -> bool:
        """Let the customer pay another way; False where none is waited for."""
        process = self.processes[order_id]
        if self.is_over(order_id) or not (process.waits or any(ask.payment_id for ask in process.asks)):
            return False
        self.house.records.change_payment_method(
            ChangePaymentMethod(order_id=order_id, method=method, by=by, request_id=request_id)
        )
        process.methods += 1
        return True

    def cancel(self, order_id: str, reason: str, *, by: str, request_id: str) -> None:
        """Stop what has not left."""
        stopped = self.house.records.stop_shipments(
            StopShipments(order_id=order_id, reason=reason, by=by, request_id=request_id)
        )
        if stopped.stopped and not stopped.left:
            self.processes[order_id].cancelled = reason

    def take_over(self, order_id: str, changed: Changed) -> None:
        """Go on from a change that needs no money, or ask for what it needs."""
        process = self.processes[order_id]
        lacking = tuple(
            part.plan.shipment_id
            for part in changed.state.shipments
            if not part.covered
            and part.plan.waits_for is not WaitsFor.STOCK
            and part.plan.shipment_id not in process.is_asking | process.waits.keys()
        )
        process.sent_back |= set(changed.reworked) - process.left
        if lacking:
            self._ask(process, lacking, change_id=changed.change_id)

    def less(self, order_id: str, changed: Changed) -> None:
        """Go on after units were taken off: what was taken early for them goes back."""
        process = self.processes[order_id]
        process.sent_back |= set(changed.reworked) - process.left
        if all(s.work_status == WorkStatus.CANCELLED for s in changed.state.shipments):
            process.cancelled = process.cancelled or "every unit was taken off"
        for shipment_id in sorted(process.early):
            self._again(lambda one=shipment_id: self._give_back(one))

    # --- what is due --------------------------------------------------------------------------------------

    def _deeds(self, process: Process) -> list[Deed]:
        if self._status(process.order_id) == OrderStatus.RECEIVED:
            return [lambda: self._reserve(process)]
        state = self.house.records.read_state(process.order_id)
        if process.ending:
            return [lambda: self._end(process)]
        deeds: list[Deed] = [
            lambda hold=hold: self._default(process, hold)  # type: ignore[misc]
            for hold in state.holds
            if hold.due_at <= self.house.now() and hold.hold_id not in process.left_to_people
        ]
        deeds += [
            lambda ask=ask: self._go_on_asking(process, ask)
            for ask in process.asks
            if self._moves(process, ask)
        ]  # type: ignore[misc]
        if not process.confirmed:
            return deeds + self._to_be_paid(process, state.shipments)
        if process.reads_again:
            deeds.append(lambda: self._read_again(process))
        for part in state.shipments:
            deeds += self._deeds_of(process, part, state.holds)
        if not deeds and not process.asks and len(process.outcomes) == len(state.shipments):
            deeds.append(lambda: self._settle(process))
        return deeds

    def _to_be_paid(self, process: Process, shipments: tuple[ShipmentState, ...]) -> list[Deed]:
        if process.asks:
            return []
        if process.cancelled or all(s.work_status == WorkStatus.CANCELLED for s in shipments):
            process.ending = Outcome.CANCELLED if process.cancelled else Outcome.EXPIRED
            return [lambda: self._end(process)]
        if process.waits:
            return self._whether_it_waits(process)
        unpaid = tuple(
            s.plan.shipment_id
            for s in shipments
            if s.plan.waits_for is not WaitsFor.STOCK
            and not s.covered
            and s.work_status != WorkStatus.CANCELLED
        )
        if not unpaid:
            return [lambda: self._confirm(process)]
        group = unpaid if self.policy.split_capture is SplitCapture.SEVERAL else unpaid[:1]
        return [lambda: self._ask(process, group)]

    def _whether_it_waits(self, process: Process) -> list[Deed]:
        ((methods, until),) = set(process.waits.values())
        if process.methods > methods:
            process.waits.clear()
            return self._deeds(process)
        if until is None or until > self.house.now():
            return []
        process.waits.clear()
        if process.pay_by and until >= process.pay_by:
            process.ending = Outcome.EXPIRED
        return self._deeds(process)

    def _deeds_of(self, process: Process, part: ShipmentState, standing: tuple[Hold, ...]) -> list[Deed]:
        shipment_id = part.plan.shipment_id
        if shipment_id in process.outcomes:
            return []
        if shipment_id in process.left:
            return self._deeds_after_it_left(process, part, standing)
        if part.work_status == WorkStatus.CANCELLED:
            return [lambda: self._undo(process, shipment_id)]
        if shipment_id in process.packed and part.work_status in _NOT_PACKED:
            process.sent_back.add(shipment_id)
            process.packed.pop(shipment_id)
        if shipment_id in process.sent_back:
            return [lambda: self._goes_back(process, shipment_id)]
        if part.plan.waits_for is WaitsFor.STOCK or shipment_id in process.is_asking:
            return []
        if not part.covered:
            return self._ask_for_one(process, shipment_id)
        if shipment_id in process.runs_out:
            return [lambda: self._renew(process, shipment_id)]
        if part.work_status == WorkStatus.PACKED and shipment_id in process.packed:
            return [lambda: self._buy_label(process, shipment_id)]
        return []

    def _deeds_after_it_left(
        self, process: Process, part: ShipmentState, standing: tuple[Hold, ...]
    ) -> list[Deed]:
        shipment_id = part.plan.shipment_id
        if part.plan.value and shipment_id not in process.captured:
            if shipment_id in process.is_asking:
                return []
            if shipment_id in process.lacks_money:
                return self._ask_for_one(process, shipment_id)
            blocked = any(SCOPE[h.reason] in (HoldScope.CAPTURE, HoldScope.BOTH) for h in standing)
            return [] if blocked else [lambda: self._capture(process, shipment_id)]
        news = process.milestones[shipment_id]
        while news and (len(news) > 1 or news[0] not in _ENDS):  # what it is now counts
            news.popleft()
        arrives = bool(news) and self._may_try(process, shipment_id)
        return [lambda: self._arrive(process, shipment_id)] if arrives else []

    def _ask_for_one(self, process: Process, shipment_id: str) -> list[Deed]:
        waits = process.waits.get(shipment_id)
        if waits and process.methods <= waits[0]:
            return []
        process.waits.pop(shipment_id, None)
        return [lambda: self._ask(process, (shipment_id,))]

    def _moves(self, process: Process, ask: Ask) -> bool:
        if ask.until is None or ask.is_given_up:
            return True
        heard = ask.payment_id in process.news
        return (
            heard or ask.until <= self.house.now() or process.methods > ask.methods or self._stopped_one(ask)
        )

    # --- deeds --------------------------------------------------------------------------------------------

    def _reserve(self, process: Process) -> None:
        if not self.house.stock.reserve(process.order_id).shipments:
            process.ending = Outcome.REJECTED

    def _ask(self, process: Process, shipment_ids: tuple[str, ...], change_id: str = "") -> None:
        process.attempts += 1
        process.asked |= set(shipment_ids)
        ask = Ask(process.attempts, shipment_ids, change_id, methods=process.methods)
        process.asks.append(ask)
        self._tried(lambda: self._go_on_asking(process, ask))

    def _go_on_asking(self, process: Process, ask: Ask) -> None:
        if ask.until is not None:
            self._ask_again(process, ask, ask.until)
            return
        wanted = AuthorizePayments(order_id=process.order_id, attempt=ask.attempt, groups=(ask.shipments,))
        try:
            (answer,) = self.money.authorize_payments(wanted)
        except ApplicationError as refusal:
            if refusal.type != Stop.__name__:
                raise
            self._answered(process, ask, paid=False)
            return
        if answer.status in _WAITING and not answer.stock_gone:
            confirming = answer.status is PaymentStatus.ACTION_REQUIRED
            wait = self.policy.payment_action_wait if confirming else self.policy.payment_retry_wait
            ask.payment_id, ask.until = answer.payment_id, self.house.now() + wait
            return
        self._outcome(process, ask, answer)

    def _ask_again(self, process: Process, ask: Ask, until: datetime) -> None:
        if ask.is_given_up:
            self._give_up(process, ask)
            return
        answer = self.money.check_payment(ask.payment_id)
        heard = ask.payment_id in process.news
        process.news.discard(ask.payment_id)
        if answer.status in _WAITING:
            over = process.methods > ask.methods or self._stopped_one(ask) or until <= self.house.now()
            if not over and heard:
                return
            self._give_up(process, ask)
            return
        self._outcome(process, ask, answer)

    def _give_up(self, process: Process, ask: Ask) -> None:
        ask.is_given_up = True  # from here on it is not asked any more whether they confirmed after all
        self.money.void_payment(ask.payment_id)
        self._declined(process, ask, DeclineGroup.CHECK_DETAILS)

    def _outcome(self, process: Process, ask: Ask, answer: Authorization) -> None:
        if answer.stock_gone:
            self._answered(process, ask, paid=False)
        elif answer.status is PaymentStatus.AUTHORIZED:
            self._answered(process, ask, paid=True)
        else:
            self._declined(process, ask, answer.decline_group)

    def _answered(self, process: Process, ask: Ask, *, paid: bool) -> None:
        process.asks.remove(ask)
        if paid:
            process.lacks_money -= set(ask.shipments)
            if process.confirmed and not ask.change_id:
                self._end_hold(process, HoldReason.PAYMENT)
        elif ask.change_id:
            undo = UndoChange(order_id=process.order_id, change_id=ask.change_id, reason="not paid")
            self.less(process.order_id, self.house.records.undo_change(undo))

    def _declined(self, process: Process, ask: Ask, group: str | None) -> None:
        self._answered(process, ask, paid=False)
        if ask.change_id:
            return
        until: datetime | None = None
        if not process.confirmed:
            process.pay_by = process.pay_by or self.house.now() + self.policy.payment_retry_wait
            until = process.pay_by
            if group == DeclineGroup.RETRY_LATER and not process.retried:
                process.retried = True
                until = self.house.now() + self.policy.payment_auto_retry
            process.waits = dict.fromkeys(ask.shipments, (ask.methods, until))
            return
        for shipment_id in ask.shipments:
            process.waits[shipment_id] = (ask.methods, None)
            if shipment_id not in process.left:
                self._hold_for_payment(process, shipment_id)

    def _hold_for_payment(self, process: Process, shipment_id: str) -> None:
        self.house.records.place_hold(
            PlaceHold(
                order_id=process.order_id,
                reason=HoldReason.PAYMENT,
                by="policy",
                request_id=f"{shipment_id}:payment:{process.methods}",
                due_at=self.house.now() + self.policy.hold_default_after,
                note="declined when its stock came",
            )
        )

    def _confirm(self, process: Process) -> None:
        if self._promised(process.order_id) is None:
            self.house.records.confirm(Confirm(order_id=process.order_id))
        if self._promised(process.order_id) is None:
            process.ending = Outcome.CANCELLED
        else:
            process.confirmed = True

    def _read_again(self, process: Process) -> None:
        process.reads_again = False
        self.house.records.confirm(Confirm(order_id=process.order_id))

    def _buy_label(self, process: Process, shipment_id: str) -> None:
        process.labels[shipment_id] = process.packed[shipment_id]
        self._purchase(process, shipment_id)

    def _purchase(self, process: Process, shipment_id: str) -> None:
        process.buying.add(shipment_id)
        try:
            self.shipping.buy_label(process.labels[shipment_id])
        except ApplicationError as refusal:
            if refusal.type != Stop.__name__:
                raise
        process.buying.discard(shipment_id)

    def _void_label(self, process: Process, shipment_id: str) -> None:
        """Give its label back; a purchase whose answer was lost is tried until it is known, as the activity is."""
        if shipment_id in process.buying:
            self._purchase(process, shipment_id)
        if parcel_id := process.labels.get(shipment_id):
            self.shipping.void_label(parcel_id)

    def _goes_back(self, process: Process, shipment_id: str) -> None:
        self._void_label(process, shipment_id)
        process.sent_back.discard(shipment_id)

    def _renew(self, process: Process, shipment_id: str) -> None:
        match self.policy.on_expiry:
            case OnExpiry.CAPTURE_EARLY:
                process.early.add(shipment_id)
                if not self._is_captured(process, shipment_id, early=True):
                    self._reserve_anew(process, shipment_id)
            case OnExpiry.HOLD:
                self._hold_for_payment(process, shipment_id)
                process.waits[shipment_id] = (process.methods, None)
                self._let_go(shipment_id)
            case OnExpiry.REAUTHORIZE:
                self._reserve_anew(process, shipment_id)
        process.runs_out.discard(shipment_id)

    def _reserve_anew(self, process: Process, shipment_id: str) -> None:
        if self._let_go(shipment_id):
            self._ask(process, (shipment_id,))

    def _capture(self, process: Process, shipment_id: str) -> None:
        if self._is_captured(process, shipment_id):
            process.captured.add(shipment_id)
            self._resolve(process, shipment_id, CaseKind.CAPTURE_FAILED)
            return
        process.lacks_money.add(shipment_id)
        self._open(process, shipment_id, CaseKind.CAPTURE_FAILED)

    def _is_captured(self, process: Process, shipment_id: str, *, early: bool = False) -> bool:
        try:
            self.money.capture_payment(CapturePayment(shipment_id=shipment_id, early=early))
        except ApplicationError as refusal:
            if refusal.type == AuthorizationExpired.__name__:
                return False
            if refusal.type == Held.__name__ and early:
                return True  # it is waited for, and tried when the hold is gone
            raise
        return True

    def _arrive(self, process: Process, shipment_id: str) -> None:
        status = process.milestones[shipment_id][0]
        if status is CarrierStatus.DELIVERED:
            process.outcomes[shipment_id] = Outcome.DELIVERED
            return
        lost = status in (CarrierStatus.LOST, CarrierStatus.DESTROYED)
        self._make_good(process, shipment_id, Cause.LOST if lost else Cause.RETURNED)
        if not self._give_back(shipment_id):
            process.refund_tried_at[shipment_id] = self.house.now()
            return
        process.outcomes[shipment_id] = Outcome.LOST if lost else Outcome.RETURNED

    def _make_good(self, process: Process, shipment_id: str, cause: Cause) -> None:
        """Decide that the money goes back; decided before, it stays so."""
        said = {"by": "policy", "request_id": f"{shipment_id}:{cause}", "wanted": Settlement.REFUND}
        request = Settle(order_id=process.order_id, shipment_id=shipment_id, cause=cause, **said)
        self.house.records.settle(request)

    def _may_try(self, process: Process, shipment_id: str) -> bool:
        tried = process.refund_tried_at.get(shipment_id)
        return tried is None or tried + timedelta(days=1) <= self.house.now()

    def _undo(self, process: Process, shipment_id: str) -> None:
        if shipment_id in process.early:
            self._give_back(shipment_id)
        self._void_label(process, shipment_id)
        if shipment_id in process.asked:
            self._let_go(shipment_id)
        process.outcomes[shipment_id] = Outcome.CANCELLED

    def _end(self, process: Process) -> None:
        assert process.ending
        for shipment_id in sorted(process.asked):
            self._let_go(shipment_id)
        self._close(process, process.ending, process.cancelled)

    def _settle(self, process: Process) -> None:
        outcome = next(end for end in _BEST_FIRST if end in process.outcomes.values())
        self._close(process, outcome, process.cancelled)

    def _close(self, process: Process, outcome: Outcome, reason: str) -> None:
        self.house.records.close(CloseOrder(order_id=process.order_id, outcome=outcome, reason=reason))

    def _let_go(self, shipment_id: str) -> bool:
        try:
            self.money.void_authorization(shipment_id)
        except ApplicationError as refusal:
            if refusal.type != Stop.__name__:
                raise
            return False
        return True

    def _give_back(self, shipment_id: str) -> bool:
        try:
            self.money.refund_payment(shipment_id)
        except ApplicationError as refusal:
            if refusal.type != RefundRefused.__name__:
                raise
            return False
        return True

    def pay_refund(self, refund_id: str) -> RefundState | None:
        """Pay an allowed refund as its workflow does; None while the provider does not answer."""
        try:
            return self.money.pay_refund(refund_id)
        except ApplicationError as trouble:
            if trouble.non_retryable:
                raise Stuck(str(trouble)) from trouble
            return None

    def _default(self, process: Process, hold: Hold) -> None:
        process.left_to_people.add(hold.hold_id)
        match DEFAULTS[hold.reason]:
            case HoldDefault.CANCEL:
                request_id = f"{hold.hold_id}:default"
                self.cancel(process.order_id, "not answered", by="policy", request_id=request_id)
            case HoldDefault.ESCALATE:
                self._open(process, process.order_id, CaseKind.ON_HOLD)
            case HoldDefault.POLICY | HoldDefault.RELEASE:
                self._end_hold(process, hold.reason)

    def _end_hold(self, process: Process, reason: HoldReason) -> None:
        standing = self.house.records.read_state(process.order_id).holds
        if any(hold.reason is reason for hold in standing):
            self.house.records.release_hold(
                ReleaseHold(
                    order_id=process.order_id,
                    reason=reason,
                    by="policy",
                    request_id=f"{reason}:{self.house.now()}",
                )
            )

    def _overdue(self, process: Process, body: dict[str, str]) -> None:
        kind, shipment_id = CaseKind(body["kind"]), body["shipment_id"]
        if kind is CaseKind.AUTHORIZATION_EXPIRING:
            process.runs_out.add(shipment_id)
        elif kind is CaseKind.LOST:
            self.house.records.declare_lost(
                DeclareLost(order_id=process.order_id, parcel_id=process.packed[shipment_id])
            )
        else:
            self._open(process, shipment_id, kind)

    def _open(self, process: Process, subject: str, kind: CaseKind) -> None:
        due_at = self.house.now() + self.policy.support_answer_within
        self.house.records.open_case(
            OpenCase(order_id=process.order_id, subject=subject, kind=kind, due_at=due_at)
        )

    def _resolve(self, process: Process, subject: str, kind: CaseKind) -> None:
        self.house.records.resolve_case(
            ResolveCase(order_id=process.order_id, subject=subject, kind=kind, resolution="done")
        )

    # --- small things -------------------------------------------------------------------------------------

    def _tried(self, deed: Deed) -> None:
        """Do a deed; what the world is too troubled for comes again with a later turn."""
        try:
            deed()
        except ApplicationError as trouble:
            if trouble.non_retryable:
                raise Stuck(f"{trouble.type}: {trouble}") from trouble

    def _again(self, deed: Callable[[], object]) -> None:
        """Do a deed that nothing else of the order overtakes, as often as it takes."""
        for _ in range(5):
            try:
                deed()
            except ApplicationError as trouble:
                if trouble.non_retryable:
                    raise Stuck(f"{trouble.type}: {trouble}") from trouble
            else:
                return
        raise Stuck("it never ended")

    def _stopped_one(self, ask: Ask) -> bool:
        order_id = ask.shipments[0].rpartition("-")[0]
        return any(
            part.plan.shipment_id in ask.shipments and part.work_status == WorkStatus.CANCELLED
            for part in self.house.records.read_state(order_id).shipments
        )

    def _status(self, order_id: str) -> OrderStatus:
        return OrderStatus(self.house.row(orders, order_id=order_id)["status"])

    def _promised(self, order_id: str) -> object:
        return self.house.row(orders, order_id=order_id)["promise_date"]
