"""An order, from placed to settled."""

import asyncio
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any, NoReturn

from temporalio import workflow
from temporalio.exceptions import ActivityError, FailureError

from activities.errors import why_refused
from fulfillment.domain.cases import Case, CaseKind
from fulfillment.domain.change import (
    AddLines,
    CancelUnits,
    Changed,
    LineQuantity,
    LineState,
    NewLine,
    OrderState,
    Substitute,
    UndoChange,
)
from fulfillment.domain.change import ChangeAddress as ChangeAddressRequest
from fulfillment.domain.change import ChangeService as ChangeServiceRequest
from fulfillment.domain.holds import HoldReason
from fulfillment.domain.inventory import ShortLine
from fulfillment.domain.operation import Authorization
from fulfillment.domain.order import Outcome
from fulfillment.domain.payment import DeclineGroup, PaymentStatus
from fulfillment.domain.playbooks import PLAYBOOKS, Answer, why_not
from fulfillment.domain.policy import ShortageChoice, SplitCapture
from fulfillment.domain.record import AnswerCase as AnswerCaseRequest
from fulfillment.domain.record import ChangePaymentMethod, CloseOrder, StopShipments
from fulfillment.domain.settlement import Settle, Settlement
from fulfillment.domain.shipment import BEFORE_HAND_OVER, WaitsFor
from workflows import cockpit, contract, facts, steps
from workflows.casebook import Casebook
from workflows.contract import OrderResult, OrderStart, PlaceAnswer, Placed, VerbAnswer
from workflows.desk import Desk
from workflows.hold_watch import HoldWatch
from workflows.money import StoppedOnTheWay, Till
from workflows.playbooks import CAUSE, UNDECIDED
from workflows.promise_watch import PromiseWatch
from workflows.shipment import ShipmentProcess
from workflows.verbs import (
    AnswerCase,
    AnswerShortage,
    CancelOrder,
    ChangeAddress,
    ChangeItems,
    ChangeService,
    HoldOrder,
    NotAllowed,
    ReleaseOrder,
    RetryPayment,
    Verb,
)

_LOG_KEPT = 60


class OrderEnded(Exception):
    """The order ends before anything could ship: a no of the business, not a bug."""

    def __init__(self, outcome: Outcome, note: str) -> None:
        super().__init__(note)
        self.outcome, self.note = outcome, note


@workflow.defn(name=contract.ORDER)
class OrderWorkflow(Desk):
    """One order. Its shipments are coroutines inside it; people and doors tell it facts and ask for verbs."""

    @workflow.init
    def __init__(self, start: OrderStart) -> None:
        super().__init__()
        self.order_id = start.order_id
        self.currency = start.currency
        self.policy = start.policy
        self.cases = Casebook(start.order_id)
        self.holds = HoldWatch(self)
        self.promises = PromiseWatch(self)
        self.till = Till(self)
        self.promise_date: date | None = None
        self._start = start
        self._stage = "received"
        self._shipments: dict[str, ShipmentProcess] = {}
        self._short: tuple[ShortLine, ...] = ()
        self._pay_by: datetime | None = None
        self._retried = False
        self._replanned = False
        self._being_paid: set[str] = set()
        self._wait_for_money: set[str] = set()
        self._cancelled: CancelOrder | None = None
        self._ended = False
        self._shown: dict[str, object] = {"Stage": "received"}  # set at start, where it is free
        self._log: list[str] = []

    @workflow.run
    async def run(self, start: OrderStart) -> OrderResult:
        """Take the order to its end."""
        background = [
            asyncio.create_task(task)
            for task in (
                self._attend_to_people(),
                self.holds.watch(),
                self.promises.watch(),
                self._keep_up_with_the_books(),
            )
        ]
        process = asyncio.create_task(self._process())
        try:
            await workflow.wait([process, *background], return_when=asyncio.FIRST_COMPLETED)
            for task in background:
                if task.done():
                    task.result()  # they never end by themselves: this raises their bug
            return await process
        except asyncio.CancelledError:
            return await asyncio.shield(self._cancelled_from_outside(process))
        except Exception as error:  # what else there is ends the worker, not the order
            if workflow.is_failure_exception(
                error
            ):  # any other bug undoes nothing: the order waits for its fix
                await self._abandon(str(error))
            raise

    # --- the process ----------------------------------------------------------------------------------

    async def _process(self) -> OrderResult:
        try:
            if self._start.goes_on:
                await self._go_on_after_its_end()
            else:
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
        self.holds.take_over(reservation.holds)
        self._shipments = {plan.shipment_id: ShipmentProcess(self, plan) for plan in reservation.shipments}
        if not self._shipments:
            self._answer = PlaceAnswer(placed=Placed.SHORT, short=self._short)
            raise OrderEnded(Outcome.REJECTED, "nothing of it can ever ship")
        self._hear_what_came_early()

    async def _go_on_after_its_end(self) -> None:
        """Go on where the books are: somebody did not get what was delivered."""
        state = await steps.read_state(self.order_id)
        self.promise_date = state.promise_date
        self.till.goes_on_after(state.attempts)
        for part in state.shipments:
            self._shipments[part.plan.shipment_id] = shipment = ShipmentProcess(self, part.plan)
            shipment.resumed(part)
        self._answer = PlaceAnswer(placed=Placed.CONFIRMED, promise_date=self.promise_date)
        self._stage = "in_transit"
        self._take_over(state)
        self._hear_what_came_early()

    async def _get_paid(self) -> None:
        """Reserve the money for everything that is there; the rest is paid when its stock comes."""
        while groups := self._to_pay():
            method = self.till.methods
            if (no := await self._pay(groups)) is not None:
                await self._wait_for_another_method(no, method)
        await self.cases.resolve(self.order_id, CaseKind.PAYMENT_DECLINED, resolution="paid")
        if self.promise_date is None:
            self.promise_date = (await steps.confirm_order(self.order_id)).promise_date
        if self.promise_date is None:
            raise OrderEnded(Outcome.CANCELLED, "stopped while it was being paid")
        self._confirmed()

    def _to_pay(self) -> list[list[ShipmentProcess]]:
        """Return what is paid by which authorization: one for each shipment, or one for all where several captures
        are wanted."""
        if self._cancelled:
            raise OrderEnded(Outcome.CANCELLED, self._cancelled.reason)
        unpaid = [s for s in self._shipments.values() if s.has_stock and not s.paid and not s.stopped]
        several = unpaid and self.policy.split_capture is SplitCapture.SEVERAL
        return [unpaid] if several else [[shipment] for shipment in unpaid]

    async def _pay(self, groups: list[list[ShipmentProcess]]) -> Authorization | None:
        """Ask once for the money of every group; return the bank's no, None when there was none.

        Raises:
            OrderEnded: nothing of the order is left to pay.
        """
        try:
            answer = await self.till.ask_for_each(groups)
        except StoppedOnTheWay:
            await self._go_on_with_what_is_left(Outcome.CANCELLED, "stopped while it was being paid")
            return None
        if answer.stock_gone:
            await self._go_on_with_what_is_left(Outcome.EXPIRED, "its stock was gone before it was paid")
            return None
        return None if answer.status is PaymentStatus.AUTHORIZED else answer

    async def _go_on_with_what_is_left(self, otherwise: Outcome, why: str) -> None:
        await self.read_the_books()
        if all(shipment.stopped for shipment in self._shipments.values()):
            raise OrderEnded(otherwise, why)

    async def _wait_for_another_method(self, no: Authorization, method: int) -> None:
        """Wait until the customer pays another way; a bank that could not answer is asked once more by itself.

        Raises:
            OrderEnded: they did not in time, or the order was cancelled.
        """
        self._declined(no)
        if no.decline_group == DeclineGroup.RETRY_LATER and not self._retried:
            self._retried = True
            await self._another_method(method, self.policy.payment_auto_retry)
        else:
            assert self._pay_by  # set with the first no
            await self._another_method(method, self._pay_by - self.now())
            if self.till.methods == method and not self._cancelled:
                raise OrderEnded(Outcome.EXPIRED, "the payment was declined and no other came")
        if self._cancelled:
            raise OrderEnded(Outcome.CANCELLED, self._cancelled.reason)

    def _declined(self, no: Authorization) -> None:
        self._answer = self._answer or PlaceAnswer(
            placed=Placed.DECLINED, decline_group=no.decline_group, short=self._short
        )
        if self._pay_by is None:
            self._pay_by = self.now() + self.policy.payment_retry_wait
            self._offer = asyncio.create_task(self._offer_a_link())
        self.cases.joined(self.order_id, CaseKind.PAYMENT_DECLINED, now=self.now(), due_at=self._pay_by)
        self.show()

    async def _offer_a_link(self) -> None:
        """Let the customer choose another way on the provider's page; without it they still can by the storefront."""
        try:
            await steps.ask_for_method(self.order_id)
        except FailureError as failure:
            self._say(f"no link to pay: {failure.cause or failure}")

    async def _another_method(self, after: int, within: timedelta) -> None:
        await self.till.wait_for_method(after, lambda: self._cancelled is not None, within)

    def _confirmed(self) -> None:
        placed = Placed.SHORT if self._short else Placed.CONFIRMED
        if self._answer is None:
            self._answer = PlaceAnswer(placed=placed, promise_date=self.promise_date, short=self._short)
        waiting = all(not s.has_stock for s in self._shipments.values())
        self._stage = "backordered" if waiting else "confirmed"
        self._say(f"{placed}: promised {self.promise_date}")
        self.show()

    async def _fulfil_every_shipment(self) -> None:
        """Every shipment runs beside its sisters, those that are added later too; each returns its outcome."""
        running: dict[str, asyncio.Task[Outcome]] = {}
        while not all(shipment.outcome for shipment in self._shipments.values()):
            for shipment in self._to_run(running):
                running[shipment.id] = asyncio.create_task(shipment.run())
            await workflow.wait_condition(lambda: bool(self._to_run(running)) or not self._open_ones())
            for task in running.values():
                if task.done():
                    task.result()  # it raises nothing of its own: this raises its bug
            await self._nobody_is_served()

    def _open_ones(self) -> list[ShipmentProcess]:
        return [shipment for shipment in self._shipments.values() if shipment.outcome is None]

    def _to_run(self, running: dict[str, "asyncio.Task[Outcome]"]) -> list[ShipmentProcess]:
        """What goes on and does not run: it was added, or had ended and goes on; or its run has a bug."""
        return [s for s in self._open_ones() if s.id not in running or running[s.id].done()]

    async def _settle(self) -> OrderResult:
        outcomes = {shipment.outcome for shipment in self._shipments.values()}
        ends = (Outcome.DELIVERED, Outcome.RETURNED, Outcome.LOST, Outcome.CANCELLED)
        outcome = next(end for end in ends if end in outcomes)
        return await self._close(outcome, self._cancelled.reason if self._cancelled else "")

    async def _close(self, outcome: Outcome, note: str) -> OrderResult:
        self._ended = True
        delivered_at = await steps.close_order(
            CloseOrder(order_id=self.order_id, outcome=outcome, reason=note)
        )
        self._answer = self._answer or PlaceAnswer(placed=Placed.DECLINED, short=self._short)
        self.holds.clear()
        self.cases = Casebook(self.order_id)
        self._stage = outcome if outcome in ("delivered", "lost", "returned") else "cancelled"
        self._say(f"ended: {outcome}")
        self.show()
        self._refuse_whoever_still_waits(f"{self.order_id} has just ended ({self._stage}).")
        await workflow.wait_condition(workflow.all_handlers_finished)
        return self._result(outcome, delivered_at, note)

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
        await self.give_up("the workflow was cancelled", "temporal", by="temporal")
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
        if not stopped.left:
            return VerbAnswer(text="It was cancelled before. The money is let go.")
        raise NotAllowed(self._too_late())

    # --- people ---------------------------------------------------------------------------------------

    async def _report_unreadable(self, what: str) -> None:
        self._say(f"rejected: {what}")
        await self.cases.open(
            self.order_id, CaseKind.BAD_SIGNAL, now=self.now(), policy=self.policy, note=what
        )
        self.show()

    async def _act(self, verb: Verb) -> VerbAnswer:
        if why := self._why_not(verb):  # it may have become too late while others were served
            raise NotAllowed(why)
        self._say(f"{type(verb).__name__} by {verb.by}")
        match verb:
            case CancelOrder(lines=()):
                return await self._cancel(verb)
            case CancelOrder():
                return await self._cancel_units(verb, verb.lines, verb.reason)
            case HoldOrder():
                return await self._hold(verb)
            case ReleaseOrder():
                return await self._release(verb)
            case RetryPayment():
                return await self._retry_payment(verb)
            case ChangeItems():
                return await self._change_items(verb)
            case ChangeAddress():
                return await self._change_address(verb)
            case ChangeService():
                return await self._change_service(verb)
            case AnswerShortage():
                return await self._answer_shortage(verb)
            case AnswerCase():
                return await self._answer_case(verb)
        raise TypeError(f"nobody knows how to {verb}")

    async def _cancel(self, verb: CancelOrder) -> VerbAnswer:
        await workflow.wait_condition(lambda: bool(self._shipments) or self._ended)
        request = StopShipments(
            order_id=self.order_id, reason=verb.reason, by=verb.by, request_id=verb.request_id
        )
        answer = await self._stop_shipments(request)
        if not answer.left:
            self._cancelled = self._cancelled or verb
        return answer

    async def _cancel_units(self, verb: Verb, lines: tuple[LineQuantity, ...], reason: str) -> VerbAnswer:
        """Take units off the order; what was taken for them early goes back."""
        changed = await steps.cancel_units(
            CancelUnits(
                order_id=self.order_id,
                lines=lines,
                reason=reason,
                by=verb.by,
                request_id=f"{verb.request_id}:less",
            )
        )
        self._take_over_change(changed)
        if all(shipment.stopped for shipment in self._shipments.values()):
            self._cancelled = CancelOrder(reason=reason, by=verb.by, request_id=verb.request_id)
        await self.stock_came()  # what was missing may be what was cancelled
        return _did(changed)

    async def _change_items(self, verb: ChangeItems) -> VerbAnswer:
        """More comes first: when it is not paid, or the rest cannot be, the order stays as it was."""
        state = await steps.read_state(self.order_id)
        fewer, more = _differences(state, verb)
        if not more:
            return await self._less(verb, fewer) if fewer else VerbAnswer(text="Nothing was to be changed.")
        added = await self._add(verb, more)
        if not fewer:
            return _did(added)
        try:
            return _both(_did(added), await self._less(verb, fewer))
        except FailureError as failure:
            if (why := why_refused(failure)) is None:
                raise
            await self._take_back(added, "the rest of the change came too late")
            raise NotAllowed(f"{why} Nothing was changed.") from failure

    async def _less(self, verb: ChangeItems, fewer: tuple[LineQuantity, ...]) -> VerbAnswer:
        return await self._cancel_units(verb, fewer, "changed by the customer")

    async def _add(self, verb: Verb, lines: tuple[NewLine, ...]) -> Changed:
        return await self._paid_change(
            await steps.add_lines(
                AddLines(
                    order_id=self.order_id, lines=lines, by=verb.by, request_id=f"{verb.request_id}:more"
                )
            )
        )

    async def _change_address(self, verb: ChangeAddress) -> VerbAnswer:
        request = ChangeAddressRequest(order_id=self.order_id, by=verb.by, request_id=verb.request_id)
        changed = await steps.change_address(request)
        self._take_over_change(changed)
        return _did(changed)

    async def _change_service(self, verb: ChangeService) -> VerbAnswer:
        request = ChangeServiceRequest(
            order_id=self.order_id,
            service=verb.service,
            fee=verb.fee,
            by=verb.by,
            request_id=verb.request_id,
        )
        return _did(await self._paid_change(await steps.change_service(request)))

    async def _paid_change(self, changed: Changed) -> Changed:
        """Get the money that a change needs, and only then let it count.

        Raises:
            NotAllowed: the bank said no, or nobody answered; the order is as it was before.
        """
        lacking = [
            ShipmentProcess(self, part.plan)
            for part in changed.state.shipments
            if part.work_status in BEFORE_HAND_OVER
            and not part.covered
            and part.plan.waits_for is not WaitsFor.STOCK
            and self._is_new_to_pay(part.plan.shipment_id)
        ]
        if lacking and not await self._is_paid(lacking):
            await self._take_back(changed, "not paid")
            raise NotAllowed(
                "The bank did not agree to what it would cost more; the order is as it was. Pay another way first."
            )
        if lacking:
            await self.read_the_books()
        self._take_over_change(changed, known=bool(lacking))
        return changed

    async def _take_back(self, changed: Changed, reason: str) -> None:
        undo = UndoChange(order_id=self.order_id, change_id=changed.change_id, reason=reason)
        self._take_over_change(await steps.undo_change(undo))
        await self.stock_came()

    def _is_new_to_pay(self, shipment_id: str) -> bool:
        """Whether a shipment is not paid because of a change, and does not ask for its money by itself already."""
        known = self._shipments.get(shipment_id)
        return known is None or known.paid

    async def _is_paid(self, lacking: list[ShipmentProcess]) -> bool:
        """Ask for the money of a change. Meanwhile nobody else asks for it, and the desk does not wait without end."""
        self._being_paid = {shipment.id for shipment in lacking}
        try:
            answer = await self.till.ask(*lacking, patient=False)
        except StoppedOnTheWay:
            return False
        except ActivityError as failure:
            if why_refused(failure) is not None:
                raise
            return False  # the provider does not answer: what it did after all, the sweep lets go
        finally:
            self._being_paid = set()
        return answer.status is PaymentStatus.AUTHORIZED and not answer.stock_gone

    async def _answer_shortage(self, verb: AnswerShortage) -> VerbAnswer:
        match verb.choice:
            case ShortageChoice.WAIT:
                await self.holds.wait_for_all(by=verb.by, request_id=verb.request_id)
                return VerbAnswer(text="It waits until everything is there, and then leaves together.")
            case ShortageChoice.DROP:
                await self._drop_what_is_missing(verb)
                text = "What is missing was taken off the order; the rest leaves now."
            case ShortageChoice.SPLIT:
                text = "What is there leaves now, the rest follows."
            case ShortageChoice.SUBSTITUTE:
                changed = await steps.substitute(
                    Substitute(order_id=self.order_id, by=verb.by, request_id=verb.request_id)
                )
                self._take_over_change(changed)
                await self._release_hold(HoldReason.STOCK)
                return _did(changed)
        await self.holds.release(HoldReason.STOCK, by=verb.by, request_id=verb.request_id)
        return VerbAnswer(text=text)

    async def _drop_what_is_missing(self, verb: AnswerShortage) -> None:
        missing = tuple(s.id for s in self._shipments.values() if not s.has_stock and not s.stopped)
        if missing:
            await self._stop_shipments(
                StopShipments(
                    order_id=self.order_id,
                    reason="out_of_stock",
                    by=verb.by,
                    request_id=verb.request_id,
                    shipments=missing,
                )
            )

    async def settle_shortage(self, request_id: str) -> None:
        """Do what the policy says when the customer does not answer what becomes of what is missing."""
        in_vain = self.holds.waits_for_all
        choice = self.policy.shortage_default if in_vain else self.policy.unanswered
        await self._answer_shortage(AnswerShortage(choice=choice, by="policy", request_id=request_id))

    async def _answer_case(self, verb: AnswerCase) -> VerbAnswer:
        case = self._case_of(verb)
        assert case  # else it was refused
        if verb.answer in (Answer.RESHIP, Answer.REFUND):
            return await self._make_good(verb, case)
        answered = await steps.answer_case(
            AnswerCaseRequest(
                order_id=self.order_id,
                subject=case.subject,
                kind=case.kind,
                answer=verb.answer,
                by=verb.by,
                request_id=verb.request_id,
                note=verb.note,
            )
        )
        if verb.answer is Answer.DONE:
            self.cases.over(case.subject, case.kind)
            return VerbAnswer(text=f"{case.kind} of {case.subject} is over.")
        self.cases.take_over((answered,))
        return VerbAnswer(text=f"We wait until {answered.due_at:%a %d %b %H:%M}.")

    async def _make_good(self, verb: AnswerCase, case: Case) -> VerbAnswer:
        """Let the books decide, which refuse a second decision; the shipment then does what follows."""
        settled = await steps.settle_shipment(
            Settle(
                order_id=self.order_id,
                shipment_id=case.subject,
                cause=CAUSE[case.kind],
                wanted=Settlement(verb.answer),
                by=verb.by,
                request_id=verb.request_id,
            )
        )
        self._take_over(settled.state)
        self._shipments[case.subject].note(facts.Decided(settled=settled))
        answer = VerbAnswer(text=settled.text, added=settled.added)
        if not (verb.elsewhere and settled.added):
            return answer
        return _both(
            answer, await self._change_address(ChangeAddress(by=verb.by, request_id=verb.request_id))
        )

    def _case_of(self, verb: AnswerCase) -> Case | None:
        """Return the open case that an answer is about; None when there is none, or more than one."""
        found = [
            case for case in self.cases.cases if case.kind is verb.kind and verb.subject in ("", case.subject)
        ]
        return found[0] if len(found) == 1 else None

    async def _hold(self, verb: HoldOrder) -> VerbAnswer:
        due_at = self.now() + self.policy.hold_default_after
        await self.holds.place(verb.reason, due_at, by=verb.by, request_id=verb.request_id, note=verb.note)
        return VerbAnswer(text=f"Held ({verb.reason}). Nothing leaves until it is released.")

    async def _release(self, verb: ReleaseOrder) -> VerbAnswer:
        await self.holds.release(verb.reason, by=verb.by, request_id=verb.request_id, note=verb.note)
        still = ", ".join(hold.reason for hold in self.holds.standing)
        return VerbAnswer(text=f"Released; still held: {still}." if still else "Released. The order goes on.")

    async def _retry_payment(self, verb: RetryPayment) -> VerbAnswer:
        await steps.change_payment_method(
            ChangePaymentMethod(
                order_id=self.order_id, method=verb.method, by=verb.by, request_id=verb.request_id
            )
        )
        if not self.till.wants_method:  # its time ran out meanwhile, or another method came first
            raise NotAllowed(f"{self.order_id} waits for no payment any more.")
        self.till.another_method()
        return VerbAnswer(text="We try the payment again.")

    async def give_up(self, why: str, request_id: str, *, by: str = "policy") -> None:
        """Stop what has not left, because nobody answered."""
        try:
            await self._cancel(CancelOrder(reason=why, by=by, request_id=request_id))
        except NotAllowed as no:  # everything left meanwhile: then there is nothing to hold
            self._say(str(no))

    # --- the books ------------------------------------------------------------------------------------

    async def _keep_up_with_the_books(self) -> NoReturn:
        """What changes the order beside its workflow (a count, a dispute, a review) is read from the books."""
        while True:
            await workflow.wait_condition(lambda: self._replanned)
            await self.read_the_books()
            await self.stock_came()
            if self.promise_date:  # what a hold or a count kept back may go on now
                await steps.confirm_order(self.order_id)

    async def read_the_books(self) -> None:
        """Take over the order as the books have it now."""
        self._replanned = False
        ahead, self._ahead = self._ahead, []
        self._take_over(await steps.read_state(self.order_id))
        self._hear_what_came_ahead(ahead)

    def _look_into_the_books(self) -> None:
        self._replanned = True

    def _take_over_change(self, changed: Changed, *, known: bool = False) -> None:
        if not known:
            self._take_over(changed.state)
        for shipment_id in changed.reworked:
            self._shipments[shipment_id].rework()
        for shipment_id in changed.stopped:
            self._shipments[shipment_id].stop()

    def _take_over(self, state: OrderState) -> None:
        for part in state.shipments:
            shipment_id = part.plan.shipment_id
            if shipment_id in self._being_paid:
                continue
            if shipment_id not in self._shipments:
                self._shipments[shipment_id] = ShipmentProcess(self, part.plan)
            self._shipments[shipment_id].replanned(part)
        self.holds.take_over(state.holds)
        self.cases.take_over(state.cases)
        for shipment in self._shipments.values():
            if shipment.outcome and self.cases.stands(shipment.id, *UNDECIDED):
                shipment.goes_on()
        if self.promise_date:
            self.promise_date = state.promise_date or self.promise_date
        self.show()

    # --- what its shipments, its holds and its till need of it -------------------------------------------

    def replan(self, state: OrderState) -> None:
        """Take over the order as an answer of the books has it."""
        self._take_over(state)

    def now(self) -> datetime:
        """Return the shop's time."""
        return self._start.clock.shop_time(workflow.now())

    async def sleep(self, span: timedelta, summary: str) -> None:
        """Wait for a span of shop time."""
        await workflow.sleep(self._start.clock.real_span(span), summary=summary)

    async def within(self, span: timedelta | None, there: Callable[[], bool], caption: str) -> bool:
        """Wait at most a span of shop time, or without end; return whether it came true."""
        real = None if span is None else max(self._start.clock.real_span(span), timedelta(0))
        try:
            await workflow.wait_condition(there, timeout=real, timeout_summary=caption)
        except TimeoutError:
            return False
        return True

    async def place_payment_hold(self, shipment_id: str, why: str) -> None:
        """Hold the order until the customer pays, and say so."""
        self._wait_for_money.add(shipment_id)
        due_at = self.now() + self.policy.hold_default_after
        self.cases.joined(self.order_id, CaseKind.PAYMENT_DECLINED, now=self.now(), due_at=due_at)
        request_id = f"{shipment_id}:payment:{self.till.methods}"
        await self.holds.place(HoldReason.PAYMENT, due_at, by="policy", request_id=request_id, note=why)
        self.show()

    async def waits_no_more_for_money(self, shipment_id: str) -> None:
        """End the payment hold when this was the last shipment that waited for another way to pay."""
        if shipment_id not in self._wait_for_money:
            return
        self._wait_for_money.discard(shipment_id)
        if not self._wait_for_money:
            await self._release_hold(HoldReason.PAYMENT)
            await self.cases.resolve(self.order_id, CaseKind.PAYMENT_DECLINED, resolution="paid another way")

    async def _release_hold(self, reason: HoldReason) -> None:
        """End a hold whose reason is gone, where it still stands."""
        if self.holds.stands(reason):
            await self.holds.release(reason, by="policy", request_id=f"{self.order_id}:{reason}:gone")

    def expected(self) -> list[ShipmentProcess]:
        """Return what is followed to the door."""
        return [shipment for shipment in self._shipments.values() if shipment.followed]

    @property
    def waits_for_address(self) -> bool:
        """Whether it is held until somebody says where it goes."""
        return self.holds.stands(HoldReason.ADDRESS)

    async def stock_came(self) -> None:
        """Let go what waited for the last missing piece, or for an answer about it."""
        missing = any(not s.has_stock for s in self._shipments.values() if not s.stopped)
        asked = any(
            hold.reason is HoldReason.STOCK and hold.placed_by == "policy" for hold in self.holds.standing
        )
        if asked and not missing:
            await self._release_hold(HoldReason.STOCK)

    async def nothing_blocks_capture(self, unless: Callable[[], bool]) -> None:
        """Wait until no hold stands that keeps money from being taken, or it need not be taken any more."""
        await workflow.wait_condition(lambda: not self.holds.blocks_capture or unless())

    def uncover(self, shipments: tuple[str, ...]) -> None:
        """Note that these shipments lost the money that was reserved for them."""
        for shipment_id in shipments:
            self._shipments[shipment_id].lost_its_money()

    def take_over(self, answer: Authorization) -> None:
        """Take over what the books did together with an authorization: holds, and the first promise."""
        for hold in answer.holds:
            self.holds.note(hold)
        self.promise_date = self.promise_date or answer.promise_date

    def must_act(self, answer: Authorization) -> None:
        """Let the storefront know that the bank asks the customer to confirm; a slow bank is no answer yet."""
        if answer.status is PaymentStatus.ACTION_REQUIRED:
            self._answer = self._answer or PlaceAnswer(
                placed=Placed.DECLINED, next_action_url=answer.next_action_url, short=self._short
            )
        self.show()

    # --- facts: noted here, acted on by the process -----------------------------------------------------

    def _takes_facts(self) -> bool:
        return bool(self._shipments)

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
            case contract.PAYMENT_NEWS:
                self.till.news(facts.PaymentNews.read(body).payment_id)
            case contract.REPLANNED:
                facts.Replanned.read(body)
                self._replanned = True
        about = body.get("shipment_id") or body.get("payment_id") or body.get("why") or ""
        self._say(f"{name} {about} {body.get('status', '')}".strip())

    def _shipment(self, shipment_id: str) -> ShipmentProcess:
        if shipment_id in self._shipments:
            return self._shipments[shipment_id]
        why = f"{self.order_id} has no shipment {shipment_id}"
        # The floor may be faster than the answer about a change that added the shipment.
        raise facts.NotPlannedYet(why) if shipment_id.startswith(f"{self.order_id}-") else facts.BadFact(why)

    # --- what may be done now -----------------------------------------------------------------------------

    def _why_not(self, verb: Verb) -> str | None:
        if self._ended:
            return f"{self.order_id} has ended ({self._stage}). A return or a refund is the way now."
        match verb:
            case ReleaseOrder() if not self.holds.standing:
                return f"{self.order_id} has no hold to release."
            case ReleaseOrder(reason=HoldReason() as reason) if not self.holds.stands(reason):
                standing = ", ".join(hold.reason for hold in self.holds.standing)
                return f"{self.order_id} has no {reason} hold, only {standing}."
            case RetryPayment() if not self.till.wants_method:
                return f"{self.order_id} waits for no payment."
            case AnswerShortage() if not self.holds.stands(HoldReason.STOCK):
                return f"{self.order_id} waits for no answer about what is missing."
            case AnswerCase() if self._case_of(verb) is None:
                return self._no_case_like(verb)
            case AnswerCase() if no := why_not(verb.kind, verb.answer):
                return no
            case ChangeItems() | ChangeAddress() | ChangeService() if self.promise_date is None:
                return f"{self.order_id} is not confirmed yet. Cancel it and place another, or wait until it is paid."
            case CancelOrder() if not any(s.handed_over for s in self._shipments.values()):
                return None  # a cancel whose answer was lost is asked again, and then everything is stopped
            case CancelOrder() | HoldOrder() | ChangeItems() | ChangeAddress() | ChangeService():
                return self._too_late() if self._everything_left() else None
        return None

    def _no_case_like(self, verb: AnswerCase) -> str:
        if not self.cases.cases:
            return f"{self.order_id} has no open case to answer."
        named = f"{verb.kind} of {verb.subject}" if verb.subject else verb.kind
        standing = ", ".join(f"{case.kind} of {case.subject}" for case in self.cases.cases)
        return (
            f"{self.order_id} has not one open case {named}. Open are: {standing}. Name its kind and subject."
        )

    def _everything_left(self) -> bool:
        return bool(self._shipments) and all(s.handed_over or s.stopped for s in self._shipments.values())

    def _too_late(self) -> str:
        gone = ", ".join(
            f"{s.parcel_id or s.id} was handed to {s.carrier or 'the carrier'} on {s.left_at:%a %d %b %H:%M}"
            for s in self._shipments.values()
            if s.left_at
        )
        if not gone:
            return "Too late: it was cancelled, and nothing of it will be sent. Place a new order."
        until = f"{gone}; until then it was possible"
        return f"Too late: {until}. Ask the carrier to redirect it, or take it back as a return."

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
            (contract.CHANGE_ITEMS, ChangeItems(lines=(), added=(), by="?", request_id="")),
            (contract.CHANGE_ADDRESS, ChangeAddress(by="?", request_id="")),
            (contract.CHANGE_SERVICE, ChangeService(service="?", fee=0, by="?", request_id="")),
            (contract.ANSWER_SHORTAGE, AnswerShortage(choice=ShortageChoice.WAIT, by="?", request_id="")),
        )
        actions = {name: self._why_not(verb) or "yes" for name, verb in samples}
        waits = not self._ended and any(PLAYBOOKS[case.kind].answers for case in self.cases.cases)
        return actions | {contract.ANSWER_CASE: "yes" if waits else f"{self.order_id} has no case to answer."}

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
            holds=self.holds.standing,
            cases=self.cases.cases,
            actions=self.allowed_actions(),
            log=tuple(self._log[-8:]),
            rejected=self.rejected,
        )

    def _say(self, what: str) -> None:
        self._log.append(f"{self.now():%a %d %b %H:%M}  {what}")
        del self._log[:-_LOG_KEPT]


def _did(changed: Changed) -> VerbAnswer:
    return VerbAnswer(text=changed.text, stopped=changed.stopped, added=changed.added, delta=changed.delta)


def _both(more: VerbAnswer, less: VerbAnswer) -> VerbAnswer:
    return VerbAnswer(
        text=f"{more.text} {less.text}",
        stopped=less.stopped,
        added=more.added,
        delta=more.delta + less.delta,
    )


def _differences(
    state: OrderState, verb: ChangeItems
) -> tuple[tuple[LineQuantity, ...], tuple[NewLine, ...]]:
    """Return how many units of which lines are too many, and what is to be added.

    The quantity of a line counts what was added to it: lines of the same SKU at the same price. So the same change
    asked for twice is made once.

    Raises:
        NotAllowed: there is no such line.
    """
    named = {wanted.line_no for wanted in verb.lines}
    known = {line.line_no: line for line in state.lines}
    fewer: list[LineQuantity] = []
    more = list(verb.added)
    for wanted in verb.lines:
        if wanted.line_no not in known:
            there = ", ".join(str(line_no) for line_no in known)
            raise NotAllowed(f"{state.order_id} has no line {wanted.line_no}, only {there}.")
        line = known[wanted.line_no]
        group = [
            one for one in state.lines if one is line or (_alike(one, line) and one.line_no not in named)
        ]
        change = wanted.quantity - sum(one.quantity for one in group)
        if change > 0:
            more.append(NewLine(sku=line.sku, quantity=change, unit_price=line.unit_price))
        fewer += _taken_from(sorted(group, key=lambda one: -one.line_no), -change)
    return tuple(fewer), tuple(more)


def _alike(one: LineState, other: LineState) -> bool:
    return (one.sku, one.unit_price) == (other.sku, other.unit_price)


def _taken_from(lines: list[LineState], count: int) -> list[LineQuantity]:
    """Take so many units from these lines, the first one first."""
    taken: list[LineQuantity] = []
    for line in lines:
        if count > 0 and line.quantity:
            taken.append(LineQuantity(line_no=line.line_no, quantity=min(count, line.quantity)))
            count -= line.quantity
    return taken
