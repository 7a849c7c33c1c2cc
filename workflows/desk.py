"""Where people and doors speak to an order: verbs as updates and tolerant signals, facts as signals."""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import FailureError

from activities.errors import why_refused
from fulfillment.domain.errors import FulfillmentError
from workflows import contract
from workflows.contract import PlaceAnswer, VerbAnswer
from workflows.facts import NotPlannedYet
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

_REJECTED_KEPT = 20  # a person at a keyboard sends few bad commands, a broken program many


class Request:
    """Something a person asked for, and what came of it."""

    def __init__(self, verb: Verb) -> None:
        self.verb = verb
        self.answer: VerbAnswer | None = None
        self.refusal: FulfillmentError | None = None


class Desk(ABC):
    """The front of an order: reads what comes, refuses in a sentence what may not be, keeps the rest in order."""

    def __init__(self) -> None:
        self.rejected = 0
        self._answer: PlaceAnswer | None = None
        self._requests: deque[Request] = deque()
        self._asked: dict[str, Request] = {}
        self._unreadable: deque[str] = deque()
        self._early: list[tuple[str, Any]] = []
        self._ahead: list[tuple[str, Any]] = []
        self._heard: set[str] = set()
        self._acting = False

    @abstractmethod
    def _takes_facts(self) -> bool:
        """Whether there is a plan that facts can be about."""

    @abstractmethod
    def _take(self, name: str, body: Any) -> None:
        """Take a fact.

        Raises:
            BadFact: it cannot be read, or is about nothing we have.
            NotPlannedYet: it is about a shipment that only the books may know.
        """

    @abstractmethod
    def _look_into_the_books(self) -> None:
        """See to it that the books are read soon, and `_hear_what_came_ahead` called with them."""

    @abstractmethod
    def _why_not(self, verb: Verb) -> str | None:
        """Return why this may not be done now, and what instead; None when it may."""

    @abstractmethod
    async def _act(self, verb: Verb) -> VerbAnswer:
        """Do what a person asked for."""

    @abstractmethod
    async def _report_unreadable(self, what: str) -> None:
        """Show what could not be read."""

    @abstractmethod
    def show(self) -> None:
        """Bring what people see up to date."""

    # --- what is done with it ---------------------------------------------------------------------------

    async def _attend_to_people(self) -> NoReturn:
        """Act on what people asked for, one after another; say what could not be read."""
        while True:
            await workflow.wait_condition(lambda: bool(self._requests) or bool(self._unreadable))
            if self._unreadable:
                await self._report_unreadable(self._unreadable.popleft())
                continue
            self._acting = True
            await self._serve(self._requests.popleft())
            self._acting = False
            self.show()

    async def _serve(self, request: Request) -> None:
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

    async def _nobody_is_served(self) -> None:
        """Wait until the desk is empty, so that nothing changes under a decision."""
        await workflow.wait_condition(lambda: not self._acting and not self._requests)

    def _refuse_whoever_still_waits(self, why: str) -> None:
        while self._requests:
            self._requests.popleft().refusal = NotAllowed(why)

    def command_rejected(self, name: str, why: str) -> None:
        """Note something unreadable; a flood of it is counted, not kept."""
        self.rejected += 1
        if self.rejected <= _REJECTED_KEPT:
            self._unreadable.append(f"{name}: {why}")

    def _hear_all(self, name: str, body: Any) -> None:
        """Take a fact, or a list of several of its kind: those of parcels that go together come together."""
        for one in body if isinstance(body, list) and body else (body,):
            self._hear(name, one)

    def _hear(self, name: str, body: Any, *, by_the_books: bool = False) -> None:
        """Take a fact once, however often it is told. `by_the_books`: they were read since it came."""
        if not self._takes_facts():
            self._early.append((name, body))
            return
        try:
            key = body.get("fact_key") if isinstance(body, Mapping) else None
            if not isinstance(key, str) or key not in self._heard:
                self._take(name, body)
                self._heard |= {str(key)}
        except NotPlannedYet as no:
            if by_the_books:
                self.command_rejected(name, str(no))
            else:
                self._ahead.append((name, body))
                self._look_into_the_books()
        except FulfillmentError as no:
            self.command_rejected(name, str(no))

    def _hear_what_came_early(self) -> None:
        early, self._early = self._early, []
        for name, body in early:
            self._hear(name, body)

    def _hear_what_came_ahead(self, facts: list[tuple[str, Any]]) -> None:
        for name, body in facts:
            self._hear(name, body, by_the_books=True)

    async def _ask(self, verb: Verb) -> VerbAnswer:
        """Hand a verb to the desk and wait for what comes of it; the same request is asked once."""
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

    # --- facts: noted here, acted on by the process -----------------------------------------------------

    @workflow.signal(name=contract.PACKED, description="The floor packed a shipment into a parcel")
    def packed(self, body: Any = None, *_more: Any) -> None:
        """Note that a shipment is packed."""
        self._hear_all(contract.PACKED, body)

    @workflow.signal(name=contract.HANDED_OVER, description="The carrier has a parcel")
    def handed_over(self, body: Any = None, *_more: Any) -> None:
        """Note that a shipment left."""
        self._hear_all(contract.HANDED_OVER, body)

    @workflow.signal(name=contract.MILESTONE, description="The carrier's news about a parcel, after the fold")
    def milestone(self, body: Any = None, *_more: Any) -> None:
        """Note the carrier's news."""
        self._hear_all(contract.MILESTONE, body)

    @workflow.signal(name=contract.STOCK_FILLED, description="A receipt covered a waiting shipment")
    def stock_filled(self, body: Any = None, *_more: Any) -> None:
        """Note that stock came."""
        self._hear(contract.STOCK_FILLED, body)

    @workflow.signal(name=contract.OVERDUE, description="Something should have happened by now")
    def overdue(self, body: Any = None, *_more: Any) -> None:
        """Note that something is late."""
        self._hear(contract.OVERDUE, body)

    @workflow.signal(
        name=contract.PAYMENT_NEWS, description="The provider has news of an attempt that waited"
    )
    def payment_news(self, body: Any = None, *_more: Any) -> None:
        """Note that the provider should be asked."""
        self._hear(contract.PAYMENT_NEWS, body)

    @workflow.signal(name=contract.REPLANNED, description="The books changed the order beside its workflow")
    def replanned(self, body: Any = None, *_more: Any) -> None:
        """Note that the books should be read again."""
        self._hear(contract.REPLANNED, body)

    @workflow.signal(dynamic=True)
    def unknown_signal(self, name: str, _args: Sequence[RawValue]) -> None:
        """Show a signal that nobody knows instead of losing it."""
        self.command_rejected(name, "there is no such signal")

    # --- verbs: updates for programs, tolerant signals of the same name for people ----------------------

    @workflow.update(name=contract.PLACE, description="Answered when stock and money are reserved, or not")
    async def place(self, _request: Any = None, *_more: Any) -> PlaceAnswer:
        """Wait for what comes of placing."""
        await workflow.wait_condition(lambda: self._answer is not None)
        assert self._answer  # the condition just waited for
        return self._answer

    @place.validator  # noqa: B027 - meant: whoever asks hears the same answer
    def check_place(self, _request: Any = None, *_more: Any) -> None:
        """Refuse nothing."""

    @workflow.update(name=contract.CANCEL, description=CancelOrder.FORM)
    async def cancel(self, request: Any = None, *_more: Any) -> VerbAnswer:
        """Stop everything that has not left, or only some units."""
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

    @workflow.update(name=contract.CHANGE_ITEMS, description=ChangeItems.FORM)
    async def change_items(self, request: Any = None, *_more: Any) -> VerbAnswer:
        """Give lines another quantity, or add lines."""
        return await self._ask(ChangeItems.read(request))

    @change_items.validator
    def check_change_items(self, request: Any = None, *_more: Any) -> None:
        """Refuse in a sentence what cannot be read or comes too late."""
        self._check(ChangeItems.read(request))

    @workflow.signal(name=contract.CHANGE_ITEMS, description=ChangeItems.FORM)
    def change_items_signal(self, request: Any = None, *_more: Any) -> None:
        """As the update, without an answer."""
        self._note_or_reject(contract.CHANGE_ITEMS, ChangeItems.read, request)

    @workflow.update(name=contract.CHANGE_ADDRESS, description=ChangeAddress.FORM)
    async def change_address(self, request: Any = None, *_more: Any) -> VerbAnswer:
        """Send what has not left to another address."""
        return await self._ask(ChangeAddress.read(request))

    @change_address.validator
    def check_change_address(self, request: Any = None, *_more: Any) -> None:
        """Refuse in a sentence what cannot be read or comes too late."""
        self._check(ChangeAddress.read(request))

    @workflow.signal(name=contract.CHANGE_ADDRESS, description=ChangeAddress.FORM)
    def change_address_signal(self, request: Any = None, *_more: Any) -> None:
        """As the update, without an answer."""
        self._note_or_reject(contract.CHANGE_ADDRESS, ChangeAddress.read, request)

    @workflow.update(name=contract.CHANGE_SERVICE, description=ChangeService.FORM)
    async def change_service(self, request: Any = None, *_more: Any) -> VerbAnswer:
        """Send what has not left by another service."""
        return await self._ask(ChangeService.read(request))

    @change_service.validator
    def check_change_service(self, request: Any = None, *_more: Any) -> None:
        """Refuse in a sentence what cannot be read or comes too late."""
        self._check(ChangeService.read(request))

    @workflow.signal(name=contract.CHANGE_SERVICE, description=ChangeService.FORM)
    def change_service_signal(self, request: Any = None, *_more: Any) -> None:
        """As the update, without an answer."""
        self._note_or_reject(contract.CHANGE_SERVICE, ChangeService.read, request)

    @workflow.update(name=contract.ANSWER_SHORTAGE, description=AnswerShortage.FORM)
    async def answer_shortage(self, request: Any = None, *_more: Any) -> VerbAnswer:
        """Say what becomes of what is missing."""
        return await self._ask(AnswerShortage.read(request))

    @answer_shortage.validator
    def check_answer_shortage(self, request: Any = None, *_more: Any) -> None:
        """Refuse in a sentence what cannot be read, or an order of which nothing is missing."""
        self._check(AnswerShortage.read(request))

    @workflow.signal(name=contract.ANSWER_SHORTAGE, description=AnswerShortage.FORM)
    def answer_shortage_signal(self, request: Any = None, *_more: Any) -> None:
        """As the update, without an answer."""
        self._note_or_reject(contract.ANSWER_SHORTAGE, AnswerShortage.read, request)

    @workflow.update(name=contract.ANSWER_CASE, description=AnswerCase.FORM)
    async def answer_case(self, request: Any = None, *_more: Any) -> VerbAnswer:
        """Say what becomes of a case."""
        return await self._ask(AnswerCase.read(request))

    @answer_case.validator
    def check_answer_case(self, request: Any = None, *_more: Any) -> None:
        """Refuse in a sentence what cannot be read, or a case that is not there or takes no such answer."""
        self._check(AnswerCase.read(request))

    @workflow.signal(name=contract.ANSWER_CASE, description=AnswerCase.FORM)
    def answer_case_signal(self, request: Any = None, *_more: Any) -> None:
        """As the update, without an answer."""
        self._note_or_reject(contract.ANSWER_CASE, AnswerCase.read, request)
