"""An order, from placed to settled."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, NoReturn

from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import FailureError

from activities.errors import why_refused
from fulfillment.domain.cases import CaseKind
from fulfillment.domain.errors import FulfillmentError
from fulfillment.domain.holds import Hold, HoldDefault, HoldReason
from fulfillment.domain.inventory import ShortLine
from fulfillment.domain.operation import Authorization
from fulfillment.domain.order import Outcome
from fulfillment.domain.record import (
    ChangePaymentMethod,
    CloseOrder,
    PlaceHold,
    ReleaseHold,
    StopShipments,
)
from workflows import cockpit, contract, facts, steps
from workflows.casebook import Casebook
from workflows.compensation import is_the_end
from workflows.contract import OrderResult, OrderStart, PlaceAnswer, Placed, VerbAnswer
from workflows.shipment import ShipmentProcess, StoppedOnTheWay
from workflows.verbs import CancelOrder, HoldOrder, NotAllowed, ReleaseOrder, RetryPayment, Verb

_LOG_KEPT = 60
_REJECTED_KEPT = 20  # a person at a keyboard sends few bad commands, a broken program many


class Request:
    """Something a person asked for, and what came of it."""

    def __init__(self, verb: Verb) -> None:
        self.verb = verb
        self.answer: VerbAnswer | None = None
        self.refusal: FulfillmentError | None = None


class OrderEnded(Exception):
    """The order ends before anything could ship: a no of the business, not a bug."""

    def __init__(self, outcome: Outcome, note: str) -> None:
        super().__init__(note)
        self.outcome, self.note = outcome, note


@workflow.defn(name=contract.ORDER)
class OrderWorkflow:
    """One order. Its shipments are coroutines inside it; people and doors tell it facts and ask for verbs."""

    @workflow.init
    def __init__(self, start: OrderStart) -> None:
        self.order_id = start.order_id
        self.currency = start.currency
        self.policy = start.policy
        self.cases = Casebook(start.order_id)
        self.promise_date: date | None = None
        self._start = start
        self._answer: PlaceAnswer | None = None
        self._stage = "received"
        self._shipments: dict[str, ShipmentProcess] = {}
        self._short: tuple[ShortLine, ...] = ()
        self._holds: dict[HoldReason, Hold] = {}
        self._methods = 0
        self._wants_payment = False
        self._cancelled: CancelOrder | None = None
        self._ended = False
        self._requests: deque[Request] = deque()
        self._asked: dict[str, Request] = {}
        self._unreadable: deque[str] = deque()
        self._rejected = 0
        self._early: list[tuple[str, Any]] = []
        self._heard: set[str] = set()
        self._shown: dict[str, object] = {"Stage": "received"}  # set at start, where it is free
        self._log: list[str] = []

    @workflow.run
    async def run(self, start: OrderStart) -> OrderResult:
        """Take the order to its end."""
        desk = asyncio.create_task(self._attend_to_people())
        holds = asyncio.create_task(self._watch_holds())
        process = asyncio.create_task(self._process())
        try:
            await workflow.wait([process, desk, holds], return_when=asyncio.FIRST_COMPLETED)
            for background in (desk, holds):
                if background.done():
                    background.result()  # they never end by themselves: this raises their bug
            return await process
        except asyncio.CancelledError:
            return await asyncio.shield(self._cancelled_from_outside(process))
        except BaseException as error:
            if is_the_end(error):  # any other bug undoes nothing: the order waits for its fix
                await self._abandon(str(error))
            raise

    # --- the process ----------------------------------------------------------------------------------

    async def _process(self) -> OrderResult:
        try:
            await self._reserve_stock()
            await self._get_paid()
            await self._fulfil_every_shipment()
            return await self._settle()
        except OrderEnded as end:
            await self._undo_all()
            return await self._close(end.outcome, end.note)

    async def _reserve_stock(self) -> None:
        reservation = await steps.reserve_stock(self.order_id)
        self._short = reservation.short
        self._holds = {hold.reason: hold for hold in reservation.holds}
        self._shipments = {plan.shipment_id: ShipmentProcess(self, plan) for plan in reservation.shipments}
        early, self._early = self._early, []
        for name, body in early if self._shipments else ():
            self._hear(name, body)
        if not self._shipments:
            self._answer = PlaceAnswer(placed=Placed.SHORT, short=self._short)
            raise OrderEnded(Outcome.REJECTED, "nothing of it can ever ship")

    async def _get_paid(self) -> None:
        """Reserve the money for everything that is there; the rest is paid when its stock comes."""
        while (no := await self._authorize_what_is_there()) is not None:
            self._answer = self._answer or PlaceAnswer(
                placed=Placed.DECLINED,
                decline_group=no.decline_group,
                next_action_url=no.next_action_url,
                short=self._short,
            )
            await self._wait_for_another_method()
        await self.cases.resolve(self.order_id, CaseKind.PAYMENT_DECLINED, resolution="paid")
        self._confirmed()

    async def _authorize_what_is_there(self) -> Authorization | None:
        """Return the first decline, None when all the money is held and the order confirmed."""
        confirmed = False
        for shipment in self._waiting_for_payment():
            try:
                answer = await shipment.authorize()
            except StoppedOnTheWay:
                raise OrderEnded(Outcome.CANCELLED, "stopped while it was being paid") from None
            if self._cancelled:
                raise OrderEnded(Outcome.CANCELLED, self._cancelled.reason)
            if not shipment.paid:
                return answer
            confirmed = answer.confirmed
        if not confirmed:
            self.promise_date = (await steps.confirm_order(self.order_id)).promise_date
        if self.promise_date is None:
            raise OrderEnded(Outcome.CANCELLED, "stopped while it was being paid")
        return None

    def _waiting_for_payment(self) -> list[ShipmentProcess]:
        return [s for s in self._shipments.values() if s.has_stock and not s.paid]

    async def _wait_for_another_method(self) -> None:
        """Wait until the customer pays another way.

        Raises:
            OrderEnded: they did not in time, or the order was cancelled.
        """
        now, within = self.now(), self.policy.payment_retry_wait
        self.cases.joined(self.order_id, CaseKind.PAYMENT_DECLINED, now=now, due_at=now + within)
        self._wants_payment = True
        self.show()
        method = self._methods
        answered = await self._within(
            within,
            lambda: self._methods > method or self._cancelled is not None,
            "expires unless it is paid another way",
        )
        self._wants_payment = False
        if not answered:
            raise OrderEnded(Outcome.EXPIRED, "the payment was declined and no other came")
        if self._cancelled:
            raise OrderEnded(Outcome.CANCELLED, self._cancelled.reason)

    def _confirmed(self) -> None:
        placed = Placed.SHORT if self._short else Placed.CONFIRMED
        if self._answer is None:
            self._answer = PlaceAnswer(placed=placed, promise_date=self.promise_date, short=self._short)
        waiting = all(not s.has_stock for s in self._shipments.values())
        self._stage = "backordered" if waiting else "confirmed"
        self._say(f"{placed}: promised {self.promise_date}")
        self.show()

    async def _fulfil_every_shipment(self) -> None:
        """Every shipment runs beside its sisters; each returns its outcome and raises nothing of its own."""
        await asyncio.gather(*(shipment.run() for shipment in self._shipments.values()))

    async def _settle(self) -> OrderResult:
        outcomes = {shipment.outcome for shipment in self._shipments.values()}
        ends = (Outcome.DELIVERED, Outcome.RETURNED, Outcome.LOST, Outcome.CANCELLED)
        outcome = next(end for end in ends if end in outcomes)
        return await self._close(outcome, self._cancelled.reason if self._cancelled else "")

    async def _close(self, outcome: Outcome, note: str) -> OrderResult:
        delivered_at = await steps.close_order(
            CloseOrder(order_id=self.order_id, outcome=outcome, reason=note)
        )
        self._answer = self._answer or PlaceAnswer(placed=Placed.DECLINED, short=self._short)
        self._holds.clear()
        self.cases = Casebook(self.order_id)
        self._stage = outcome if outcome in ("delivered", "lost", "returned") else "cancelled"
        self._say(f"ended: {outcome}")
        self.show()
        self._refuse_whoever_still_waits()
        await workflow.wait_condition(workflow.all_handlers_finished)
        return self._result(outcome, delivered_at, note)

    def _refuse_whoever_still_waits(self) -> None:
        self._ended = True
        while self._requests:
            self._requests.popleft().refusal = NotAllowed(f"{self.order_id} has just ended ({self._stage}).")

    def _result(self, outcome: Outcome, delivered_at: datetime | None, note: str) -> OrderResult:
        shipments = self._shipments.values()
        return OrderResult(
            order_id=self.order_id,
            outcome=outcome,
            delivered_at=delivered_at,
            parcels=tuple(s.parcel_id for s in shipments if s.parcel_id),
            refunds=tuple(s.id for s in shipments if s.refunded),
            note=note,
        )

    # --- how it is undone -----------------------------------------------------------------------------

    async def _undo_all(self) -> None:
        for shipment in self._shipments.values():
            await shipment.undo()

    async def _cancelled_from_outside(self, process: "asyncio.Task[OrderResult]") -> OrderResult:
        """Somebody cancelled the workflow itself: treat it as the verb. What has left is still followed."""
        await self._give_up("the workflow was cancelled", "temporal", by="temporal")
        result = await process
        if result.outcome is Outcome.CANCELLED:
            raise asyncio.CancelledError
        return result

    async def _abandon(self, why: str) -> None:
        """The order fails: stop what has not left, and let its money go."""
        await self._stop_shipments(
            StopShipments(order_id=self.order_id, reason=why, by="waybill", request_id="failed")
        )
        for shipment in self._shipments.values():
            if shipment.stopped:
                await shipment.undo()

    async def _stop_shipments(self, request: StopShipments) -> VerbAnswer:
        """Stop what has not left. The books decide, because the floor may just be handing a parcel over."""
        stopped = await steps.stop_shipments(request)
        for shipment_id in stopped.stopped:
            if shipment := self._shipments.get(shipment_id):
                shipment.stop()
        if stopped.stopped and not stopped.left:
            return VerbAnswer(text="Cancelled. The money is let go.", stopped=stopped.stopped)
        if stopped.stopped:
            text = f"Cancelled {', '.join(stopped.stopped)}; {', '.join(stopped.left)} had already left."
            return VerbAnswer(text=text, stopped=stopped.stopped, left=stopped.left)
        raise NotAllowed(self._too_late())

    # --- people ---------------------------------------------------------------------------------------

    async def _attend_to_people(self) -> NoReturn:
        """Act on what people asked for, one after another; say what could not be read."""
        while True:
            await workflow.wait_condition(lambda: bool(self._requests) or bool(self._unreadable))
            if self._unreadable:
                await self._report_unreadable(self._unreadable.popleft())
                continue
            request = self._requests.popleft()
            try:
                request.answer = await self._act(request.verb)
            except FulfillmentError as no:
                request.refusal = no
            except (
                FailureError
            ) as failure:  # the books say no: somebody was faster, as with a button pressed twice
                if (why := why_refused(failure)) is None:
                    raise
                request.refusal = NotAllowed(why)
            self.show()

    async def _report_unreadable(self, what: str) -> None:
        self._say(f"rejected: {what}")
        await self.cases.open(
            self.order_id,
            CaseKind.BAD_SIGNAL,
            now=self.now(),
            within=self.policy.support_answer_within,
            note=what,
        )
        self.show()

    async def _act(self, verb: Verb) -> VerbAnswer:
        self._say(f"{type(verb).__name__} by {verb.by}")
        match verb:
            case CancelOrder():
                return await self._cancel(verb)
            case HoldOrder():
                return await self._hold(verb)
            case ReleaseOrder():
                return await self._release(verb)
            case RetryPayment():
                return await self._retry_payment(verb)
        raise TypeError(f"nobody knows how to {verb}")

    async def _cancel(self, verb: CancelOrder) -> VerbAnswer:
        await workflow.wait_condition(lambda: bool(self._shipments) or self._ended)
        request = StopShipments(
            order_id=self.order_id, reason=verb.reason, by=verb.by, request_id=verb.request_id
        )
        answer = await self._stop_shipments(request)
        if not answer.left:
            self._cancelled = verb
        return answer

    async def _hold(self, verb: HoldOrder) -> VerbAnswer:
        due_at = self.now() + self.policy.hold_default_after
        await self._place_hold(verb.reason, due_at, by=verb.by, request_id=verb.request_id, note=verb.note)
        return VerbAnswer(text=f"Held ({verb.reason}). Nothing leaves until it is released.")

    async def _place_hold(
        self, reason: HoldReason, due_at: datetime, *, by: str, request_id: str, note: str
    ) -> None:
        self._note_hold(
            await steps.place_hold(
                PlaceHold(
                    order_id=self.order_id,
                    reason=reason,
                    by=by,
                    request_id=request_id,
                    due_at=due_at,
                    note=note,
                )
            )
        )

    async def _release(self, verb: ReleaseOrder) -> VerbAnswer:
        await self._release_holds(verb.reason, by=verb.by, request_id=verb.request_id, note=verb.note)
        still = ", ".join(self._holds)
        return VerbAnswer(text=f"Released; still held: {still}." if still else "Released. The order goes on.")

    async def _release_holds(
        self, reason: HoldReason | None, *, by: str, request_id: str, note: str = "", defaulted: bool = False
    ) -> None:
        left = await steps.release_hold(
            ReleaseHold(
                order_id=self.order_id,
                reason=reason,
                by=by,
                request_id=request_id,
                defaulted=defaulted,
                note=note,
            )
        )
        self._holds = {hold.reason: hold for hold in left.holds}
        for ended, case in ((HoldReason.FRAUD, CaseKind.FRAUD_REVIEW), (HoldReason.MANUAL, CaseKind.ON_HOLD)):
            if ended not in self._holds:
                await self.cases.resolve(self.order_id, case, resolution=f"released by {by}")

    async def _retry_payment(self, verb: RetryPayment) -> VerbAnswer:
        await steps.change_payment_method(
            ChangePaymentMethod(
                order_id=self.order_id, method=verb.method, by=verb.by, request_id=verb.request_id
            )
        )
        if not self._wants_payment:  # its time ran out meanwhile, or another method came first
            raise NotAllowed(f"{self.order_id} waits for no payment any more.")
        self._methods += 1
        return VerbAnswer(text="We try the payment again.")

    def _note_hold(self, hold: Hold) -> None:
        self._holds[hold.reason] = hold
        if hold.reason is HoldReason.FRAUD:
            self.cases.joined(
                self.order_id, CaseKind.FRAUD_REVIEW, now=hold.placed_at, due_at=hold.due_at, note=hold.note
            )

    async def _watch_holds(self) -> NoReturn:
        """A hold that nobody answers takes its default."""
        left_to_people: set[Hold] = set()
        while True:
            await workflow.wait_condition(lambda: bool(set(self._holds.values()) - left_to_people))
            hold = min(set(self._holds.values()) - left_to_people, key=lambda h: (h.due_at, h.hold_id))
            if await self._is_not_answered(hold):
                left_to_people.add(hold)
                await self._default(hold)

    async def _is_not_answered(self, hold: Hold) -> bool:
        def answered() -> bool:
            return self._holds.get(hold.reason) != hold

        caption = f"{hold.default} if the {hold.reason} hold is not answered"
        return not await self._within(hold.due_at - self.now(), answered, caption)

    async def _default(self, hold: Hold) -> None:
        """Do what the hold's reason says is done when nobody answers."""
        request_id = f"{hold.hold_id}:default"
        if hold.default is HoldDefault.ESCALATE:
            await self.cases.open(
                self.order_id,
                CaseKind.ON_HOLD,
                now=self.now(),
                within=self.policy.support_answer_within,
                note=hold.note,
            )
        elif hold.default is HoldDefault.CANCEL:
            await self._give_up(f"{hold.reason} hold not answered", request_id)
        else:
            await self._release_holds(hold.reason, by="policy", request_id=request_id, defaulted=True)
        self.show()

    async def _give_up(self, why: str, request_id: str, *, by: str = "policy") -> None:
        try:
            await self._cancel(CancelOrder(reason=why, by=by, request_id=request_id))
        except NotAllowed as no:  # everything left meanwhile: then there is nothing to hold
            self._say(str(no))

    # --- what its shipments need of it ----------------------------------------------------------------

    def now(self) -> datetime:
        """Return the shop's time."""
        return self._start.clock.shop_time(workflow.now())

    async def sleep(self, span: timedelta, summary: str) -> None:
        """Wait for a span of shop time."""
        await workflow.sleep(self._start.clock.real_span(span), summary=summary)

    async def another_way_to_pay(self, after: int) -> int:
        """Wait until the customer has given a method after the `after`-th one; return its number."""
        self._wants_payment = True
        await workflow.wait_condition(lambda: self._methods > after)
        self._wants_payment = False
        return self._methods

    async def place_payment_hold(self, shipment_id: str) -> None:
        """Hold the order until the customer pays, and say so."""
        due_at = self.now() + self.policy.hold_default_after
        self.cases.joined(self.order_id, CaseKind.PAYMENT_DECLINED, now=self.now(), due_at=due_at)
        await self._place_hold(
            HoldReason.PAYMENT,
            due_at,
            by="policy",
            request_id=f"{shipment_id}:payment",
            note="declined when its stock came",
        )
        self.show()

    async def release_hold(self, reason: HoldReason) -> None:
        """End a hold whose reason is gone, where it still stands."""
        if reason in self._holds:
            await self._release_holds(reason, by="policy", request_id=f"{self.order_id}:{reason}:paid")

    def take_over(self, answer: Authorization) -> None:
        """Take over what the books did together with an authorization: holds, and the first promise."""
        for hold in answer.holds:
            self._note_hold(hold)
        self.promise_date = self.promise_date or answer.promise_date

    async def _within(self, span: timedelta, there: Callable[[], bool], caption: str) -> bool:
        """Wait at most a span of shop time; return whether it came true."""
        try:
            await workflow.wait_condition(
                there, timeout=max(self._start.clock.real_span(span), timedelta(0)), timeout_summary=caption
            )
        except TimeoutError:
            return False
        return True

    # --- facts: noted here, acted on by the process -----------------------------------------------------

    @workflow.signal(name=contract.PACKED, description="The floor packed a shipment into a parcel")
    def packed(self, body: Any = None, *_more: Any) -> None:
        """Note that a shipment is packed."""
        self._hear(contract.PACKED, body)

    @workflow.signal(name=contract.HANDED_OVER, description="The carrier has a parcel")
    def handed_over(self, body: Any = None, *_more: Any) -> None:
        """Note that a shipment left."""
        self._hear(contract.HANDED_OVER, body)

    @workflow.signal(name=contract.MILESTONE, description="The carrier's news about a parcel, after the fold")
    def milestone(self, body: Any = None, *_more: Any) -> None:
        """Note the carrier's news."""
        self._hear(contract.MILESTONE, body)

    @workflow.signal(name=contract.STOCK_FILLED, description="A receipt covered a waiting shipment")
    def stock_filled(self, body: Any = None, *_more: Any) -> None:
        """Note that stock came."""
        self._hear(contract.STOCK_FILLED, body)

    @workflow.signal(name=contract.OVERDUE, description="Something should have happened by now")
    def overdue(self, body: Any = None, *_more: Any) -> None:
        """Note that something is late."""
        self._hear(contract.OVERDUE, body)

    @workflow.signal(dynamic=True)
    def unknown_signal(self, name: str, _args: Sequence[RawValue]) -> None:
        """Show a signal that nobody knows instead of losing it."""
        self.command_rejected(name, "there is no such signal")

    def command_rejected(self, name: str, why: str) -> None:
        """Note something unreadable; a flood of it is counted, not kept."""
        self._rejected += 1
        if self._rejected <= _REJECTED_KEPT:
            self._unreadable.append(f"{name}: {why}")

    def _hear(self, name: str, body: Any) -> None:
        """Take a fact once, however often it is told."""
        if not self._shipments:
            self._early.append((name, body))
            return
        try:
            key = body.get("fact_key") if isinstance(body, Mapping) else None
            if not isinstance(key, str) or key not in self._heard:
                self._take(name, body)
                self._heard |= {str(key)}
        except FulfillmentError as no:
            self.command_rejected(name, str(no))

    def _take(self, name: str, body: Any) -> None:
        match name:
            case contract.PACKED:
                packed = facts.Packed.read(body)
                self._shipment(packed.shipment_id).packed(packed.parcel_id)
            case contract.HANDED_OVER:
                left = facts.HandedOver.read(body)
                self._shipment(left.shipment_id).left(left)
                self._stage = "in_transit"
            case contract.MILESTONE:
                news = facts.Milestone.read(body)
                self._shipment(news.shipment_id).note(news)
            case contract.STOCK_FILLED:
                for shipment_id in facts.StockFilled.read(body).shipment_ids:
                    self._shipment(shipment_id).stock_filled()
            case contract.OVERDUE:
                late = facts.Overdue.read(body)
                self._shipment(late.shipment_id).note(late)
        self._say(f"{name} {body.get('shipment_id', '')} {body.get('status', '')}".strip())

    def _shipment(self, shipment_id: str) -> ShipmentProcess:
        if shipment_id not in self._shipments:
            raise facts.BadFact(f"{self.order_id} has no shipment {shipment_id}")
        return self._shipments[shipment_id]

    # --- verbs: updates for programs, tolerant signals of the same name for people ----------------------

    @workflow.update(name=contract.PLACE, description="Answered when stock and money are reserved, or not")
    async def place(self, _request: Any = None, *_more: Any) -> PlaceAnswer:
        """Wait for what comes of placing."""
        await workflow.wait_condition(lambda: self._answer is not None)
        assert self._answer  # the condition just waited for
        return self._answer

    @place.validator
    def check_place(self, _request: Any = None, *_more: Any) -> None:
        """Refuse nothing: whoever asks hears the same answer."""

    @workflow.update(name=contract.CANCEL, description=CancelOrder.FORM)
    async def cancel(self, request: Any = None, *_more: Any) -> VerbAnswer:
        """Stop everything that has not left."""
        return await self._ask(CancelOrder.read(request))

    @cancel.validator
    def check_cancel(self, request: Any = None, *_more: Any) -> None:
        """Refuse in a sentence what cannot be read or comes too late."""
        self._check(CancelOrder.read(request))

    @workflow.signal(name=contract.CANCEL, description=CancelOrder.FORM)
    def cancel_signal(self, request: Any = None, *_more: Any) -> None:
        """As the update, without an answer."""
        self._note_or_reject(contract.CANCEL, CancelOrder.read, request)

    @workflow.update(name=contract.HOLD, description=HoldOrder.FORM)
    async def hold(self, request: Any = None, *_more: Any) -> VerbAnswer:
        """Let nothing leave until it is released."""
        return await self._ask(HoldOrder.read(request))

    @hold.validator
    def check_hold(self, request: Any = None, *_more: Any) -> None:
        """Refuse in a sentence what cannot be read or comes too late."""
        self._check(HoldOrder.read(request))

    @workflow.signal(name=contract.HOLD, description=HoldOrder.FORM)
    def hold_signal(self, request: Any = None, *_more: Any) -> None:
        """As the update, without an answer."""
        self._note_or_reject(contract.HOLD, HoldOrder.read, request)

    @workflow.update(name=contract.RELEASE, description=ReleaseOrder.FORM)
    async def release(self, request: Any = None, *_more: Any) -> VerbAnswer:
        """End one hold, or every one."""
        return await self._ask(ReleaseOrder.read(request))

    @release.validator
    def check_release(self, request: Any = None, *_more: Any) -> None:
        """Refuse in a sentence what cannot be read, or a hold that is not there."""
        self._check(ReleaseOrder.read(request))

    @workflow.signal(name=contract.RELEASE, description=ReleaseOrder.FORM)
    def release_signal(self, request: Any = None, *_more: Any) -> None:
        """As the update, without an answer."""
        self._note_or_reject(contract.RELEASE, ReleaseOrder.read, request)

    @workflow.update(name=contract.RETRY_PAYMENT, description=RetryPayment.FORM)
    async def retry_payment(self, request: Any = None, *_more: Any) -> VerbAnswer:
        """Try to get the money another way."""
        return await self._ask(RetryPayment.read(request))

    @retry_payment.validator
    def check_retry_payment(self, request: Any = None, *_more: Any) -> None:
        """Refuse in a sentence what cannot be read, or an order that waits for no money."""
        self._check(RetryPayment.read(request))

    @workflow.signal(name=contract.RETRY_PAYMENT, description=RetryPayment.FORM)
    def retry_payment_signal(self, request: Any = None, *_more: Any) -> None:
        """As the update, without an answer."""
        self._note_or_reject(contract.RETRY_PAYMENT, RetryPayment.read, request)

    async def _ask(self, verb: Verb) -> VerbAnswer:
        """Hand a verb to the process and wait for what comes of it; the same request is asked once."""
        if verb.request_id not in self._asked:
            self._asked[verb.request_id] = request = Request(verb)
            self._requests.append(request)
        request = self._asked[verb.request_id]
        await workflow.wait_condition(lambda: request.answer is not None or request.refusal is not None)
        if request.answer is None:
            raise request.refusal or NotAllowed("nobody answered")
        return request.answer

    def _note_or_reject(self, name: str, read: Callable[[Any], Verb], request: Any) -> None:
        try:
            verb = read(request)
            self._check(verb)
        except FulfillmentError as no:
            self.command_rejected(name, str(no))
            return
        if verb.request_id not in self._asked:
            self._asked[verb.request_id] = Request(verb)
            self._requests.append(self._asked[verb.request_id])

    def _check(self, verb: Verb) -> None:
        """Refuse what may not be done now.

        Raises:
            NotAllowed: with the reason, and what to do instead.
        """
        if verb.request_id not in self._asked and (why := self._why_not(verb)):
            raise NotAllowed(why)

    def _why_not(self, verb: Verb) -> str | None:
        if self._ended:
            return f"{self.order_id} has ended ({self._stage}). A return or a refund is the way now."
        match verb:
            case ReleaseOrder() if not self._holds:
                return f"{self.order_id} has no hold to release."
            case ReleaseOrder() if verb.reason and verb.reason not in self._holds:
                return f"{self.order_id} has no {verb.reason} hold, only {', '.join(self._holds)}."
            case RetryPayment() if not self._wants_payment:
                return f"{self.order_id} waits for no payment."
            case CancelOrder() | HoldOrder() if self._everything_left():
                return self._too_late()
        return None

    def _everything_left(self) -> bool:
        return bool(self._shipments) and all(s.handed_over or s.stopped for s in self._shipments.values())

    def _too_late(self) -> str:
        gone = ", ".join(
            f"{s.parcel_id or s.id} was handed to {s.carrier or 'the carrier'}"
            for s in self._shipments.values()
            if s.handed_over
        )
        return f"Too late: {gone or 'everything has left'}. Ask the carrier to redirect it, or take it back as a return."

    # --- what people see --------------------------------------------------------------------------------

    @workflow.query(name="view", description="The order as its workflow knows it")
    def view(self) -> dict[str, Any]:
        """Return where everything is."""
        return cockpit.view(self._panel())

    @workflow.query(name="timeline", description="What happened, latest last")
    def timeline(self) -> list[str]:
        """Return the latest entries of the log."""
        return list(self._log)

    @workflow.query(name="explain", description="What it waits for, what happens next, who must act")
    def explain(self) -> str:
        """Return it in a sentence."""
        return cockpit.explain(self._panel())

    @workflow.query(name="allowed_actions", description="What may be done now, and why the rest may not")
    def allowed_actions(self) -> dict[str, str]:
        """Return each verb with `yes` or the reason against it."""
        samples: tuple[tuple[str, Verb], ...] = (
            (contract.CANCEL, CancelOrder(reason="?", by="?", request_id="")),
            (contract.HOLD, HoldOrder(reason=HoldReason.MANUAL, note="", by="?", request_id="")),
            (contract.RELEASE, ReleaseOrder(reason=None, note="", by="?", request_id="")),
            (contract.RETRY_PAYMENT, RetryPayment(method="?", by="?", request_id="")),
        )
        return {name: self._why_not(verb) or "yes" for name, verb in samples}

    def show(self) -> None:
        """Bring search attributes and current details up to date; what did not change costs nothing."""
        panel = self._panel()
        wanted = cockpit.attributes(panel)
        changed = {key: value for key, value in wanted.items() if self._shown.get(key) != value}
        if changed:
            workflow.upsert_search_attributes(cockpit.updates(changed))
            self._shown.update(changed)
        workflow.set_current_details(cockpit.details(panel))

    def _panel(self) -> cockpit.Panel:
        return cockpit.Panel(
            order_id=self.order_id,
            stage=self._stage,
            promise_date=self.promise_date,
            shipments=tuple(self._shipments.values()),
            holds=tuple(self._holds.values()),
            cases=self.cases.cases,
            actions=self.allowed_actions(),
            log=tuple(self._log[-8:]),
            rejected=self._rejected,
        )

    def _say(self, what: str) -> None:
        self._log.append(f"{self.now():%a %d %b %H:%M}  {what}")
        del self._log[:-_LOG_KEPT]
