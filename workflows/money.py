"""How an order gets its money: one attempt after another, the bank's questions, other ways to pay."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, Protocol

from temporalio.exceptions import ActivityError

from activities.errors import is_refusal
from fulfillment.domain.operation import Authorization
from fulfillment.domain.payment import DeclineGroup, PaymentStatus
from fulfillment.domain.policy import Policy
from fulfillment.domain.shipment import Stop
from workflows import options, steps

_WAITING: Final = (PaymentStatus.ACTION_REQUIRED, PaymentStatus.AUTHORIZING)


class StoppedOnTheWay(Exception):
    """The shipment was stopped before it left."""


class Payer(Protocol):
    """What of a shipment matters for its money."""

    id: str

    @property
    def value(self) -> int:
        """What it costs the customer, in minor units."""
        ...

    @property
    def stopped(self) -> bool:
        """Whether it was stopped before it left."""
        ...

    def asks_for_money(self) -> None:
        """Note, before it is asked for, that its money may have to be let go."""
        ...

    def note_money(self, answer: Authorization) -> None:
        """Take over what an attempt came to."""
        ...


class Customer(Protocol):
    """What is needed of the order whose customer pays."""

    order_id: str
    currency: str
    policy: Policy

    def now(self) -> datetime:
        """The shop's time."""
        ...

    async def within(self, span: timedelta | None, there: Callable[[], bool], caption: str) -> bool:
        """Wait at most a span of shop time, or without end; return whether it came true."""
        ...

    def take_over(self, answer: Authorization) -> None:
        """Take over what the books did together with an authorization."""
        ...

    def must_act(self, answer: Authorization) -> None:
        """Let the storefront know that the bank asks the customer to confirm."""
        ...


class Till:
    """Asks for money, attempt by attempt, and knows how often the customer gave another way to pay."""

    def __init__(self, customer: Customer) -> None:
        self._customer = customer
        self._attempts = 0
        self._methods = 0
        self._waiting = 0
        self._news: set[str] = set()

    @property
    def methods(self) -> int:
        """How many other ways to pay the customer has given so far."""
        return self._methods

    @property
    def wants_method(self) -> bool:
        """Whether another way to pay would help now."""
        return self._waiting > 0

    def goes_on_after(self, attempts: int) -> None:
        """Count on from the attempts of before: a number used twice would find the answer of the first."""
        self._attempts = attempts

    def another_method(self) -> None:
        """Note that the customer gave another way to pay."""
        self._methods += 1

    def news(self, payment_id: str) -> None:
        """Note that the provider has news of an attempt; what they are is asked."""
        self._news.add(payment_id)

    async def ask(self, *shipments: Payer, patient: bool = True) -> Authorization:
        """Try once to reserve the money that these shipments lack, by one payment. A decline is an answer.

        Where the bank asks the customer to confirm, a patient caller waits for that; for any other the attempt is
        let go and counts as declined. A provider that does not answer is asked without end only by the patient.

        Raises:
            StoppedOnTheWay: somebody stopped one of them first.
        """
        return await self.ask_for_each((shipments,), patient=patient)

    async def ask_for_each(self, groups: Sequence[Sequence[Payer]], *, patient: bool = True) -> Authorization:
        """Try once by a payment for each group, up to the first that is not held; return what the last one came to.

        Raises:
            StoppedOnTheWay: somebody stopped one of the shipments first.
        """
        for shipments in groups:
            for shipment in shipments:
                shipment.asks_for_money()
        answers = await self._attempt(groups, patient=patient)
        return [
            await self._come_to(answer, shipments, patient=patient)
            for answer, shipments in zip(answers, groups, strict=False)
        ][-1]

    async def wait_for_method(self, after: int, there: Callable[[], bool], within: timedelta | None) -> None:
        """Wait until the customer has given a method after the `after`-th one, or `there` comes true, or time is up."""
        self._waiting += 1
        try:
            await self._customer.within(
                within,
                lambda: self._methods > after or there(),
                "until it is paid another way",
            )
        finally:
            self._waiting -= 1

    async def _attempt(self, groups: Sequence[Sequence[Payer]], *, patient: bool) -> Sequence[Authorization]:
        first = self._attempts + 1
        self._attempts += len(groups)
        try:
            return await steps.authorize_payments(
                self._customer.order_id,
                first,
                tuple(tuple(shipment.id for shipment in shipments) for shipments in groups),
                sum(shipment.value for shipments in groups for shipment in shipments),
                self._customer.currency,
                patience=options.PAYMENT if patient else options.PAYMENT_SOON,
            )
        except ActivityError as failure:
            if is_refusal(failure, Stop):
                raise StoppedOnTheWay from failure
            raise

    async def _come_to(
        self, answer: Authorization, shipments: Sequence[Payer], *, patient: bool
    ) -> Authorization:
        self._customer.take_over(answer)
        if answer.status in _WAITING and not answer.stock_gone:
            if patient:
                answer = await self._wait_for_the_bank(answer, shipments)
            else:
                answer = await self._let_go(answer)
        for shipment in shipments:
            shipment.note_money(answer)
        return answer

    async def _wait_for_the_bank(self, answer: Authorization, shipments: Sequence[Payer]) -> Authorization:
        """Wait until the customer has confirmed, or the bank has made up its mind; give the attempt up in the end."""
        self._customer.must_act(answer)
        policy, method, payment_id = self._customer.policy, self._methods, answer.payment_id
        confirming = answer.status is PaymentStatus.ACTION_REQUIRED
        until = self._customer.now() + (
            policy.payment_action_wait if confirming else policy.payment_retry_wait
        )

        def moved_on() -> bool:
            return self._methods > method or any(shipment.stopped for shipment in shipments)

        while answer.status in _WAITING:
            heard = await self._heard_of(payment_id, until, moved_on)
            answer = await steps.check_payment(
                payment_id
            )  # asked even when nobody spoke: news may never come
            self._customer.take_over(answer)
            if answer.status in _WAITING and (moved_on() or not heard):
                return await self._let_go(answer)
        return answer

    async def _let_go(self, answer: Authorization) -> Authorization:
        await steps.void_payment(answer.payment_id)
        return replace(answer, status=PaymentStatus.DECLINED, decline_group=DeclineGroup.CHECK_DETAILS.value)

    async def _heard_of(self, payment_id: str, until: datetime, moved_on: Callable[[], bool]) -> bool:
        self._waiting += 1
        try:
            return await self._customer.within(
                until - self._customer.now(),
                lambda: payment_id in self._news or moved_on(),
                "until the customer confirms the payment",
            )
        finally:
            self._waiting -= 1
            self._news.discard(payment_id)
