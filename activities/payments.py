"""Money: one deed per request to the provider, safe to repeat, believed only when the provider says so."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from temporalio import activity

from activities.errors import told_to_temporal
from fulfillment.domain.errors import FulfillmentError
from fulfillment.domain.money import Money
from fulfillment.domain.operation import Authorization, Captured, Operation
from fulfillment.domain.payment import (
    AuthorizationExpired,
    Declined,
    DeclineGroup,
    OperationKind,
    PaymentSnapshot,
    PaymentStatus,
    RefundRefused,
    RefundSnapshot,
    RefundStatus,
)
from fulfillment.domain.provider_errors import (
    AuthConfig,
    FailureStored,
    OutcomeUnknown,
    Rejected,
    StateConflict,
)
from fulfillment.domain.refund import Refund, RefundState


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizePayments:
    """Reserve the money that these shipments lack, by one payment for each group of them.

    `attempt` is the number of the first payment, the others count on. It counts business attempts through the order,
    never retries.
    """

    order_id: str
    attempt: int
    groups: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CapturePayment:
    """Take the money for a shipment; `early` takes it before it has left, where the policy says so."""

    shipment_id: str
    early: bool = False


class PaymentGateway(Protocol):
    """What we need of a payment provider. Every change is safe to repeat with the same key while it lives.

    `multicapture` says whether a payment made with `several` may be captured in parts; whether this one may is
    in its snapshot, because a bank can refuse.

    Raises:
        Declined: the bank said no.
        AuthorizationExpired: too late to capture.
        ProviderError: see `fulfillment.domain.provider_errors` for what follows from which.
    """

    key_life: timedelta
    multicapture: bool

    def authorize(
        self, amount: Money, *, method: str, key: str, operation: str, order_id: str, several: bool
    ) -> PaymentSnapshot:
        """Reserve the amount. A customer who must confirm is no error: ACTION_REQUIRED with the link."""
        ...

    def capture(self, reference: str, amount: Money, *, key: str, final: bool) -> PaymentSnapshot:
        """Take this amount more. `final` lets the rest go; else it stays reserved and the status AUTHORIZED."""
        ...

    def void(self, reference: str, *, key: str) -> PaymentSnapshot:
        """Let go of what is not captured. A payment of which a part was captured ends CAPTURED."""
        ...

    def refund(self, reference: str, amount: Money, *, key: str, operation: str) -> RefundSnapshot:
        """Give the amount back. A refund that failed at once is a FAILED snapshot, not an error."""
        ...

    def ask(self, reference: str) -> PaymentSnapshot: ...

    def find(self, operation: str) -> PaymentSnapshot | None:
        """Return the payment this operation made, or None when the provider proves there is none."""
        ...

    def find_refund(self, reference: str, operation: str) -> RefundSnapshot | None:
        """Return the newest refund this operation made, or None when there is none."""
        ...

    def method_link(self, order_id: str, *, return_url: str, key: str) -> str:
        """Return the provider's page on which the customer gives another way to pay for the order."""
        ...


class PaymentBooks(Protocol):
    """Our record of payments. Claims are committed before the provider is called; no call is inside one."""

    def claim_authorization(
        self, order_id: str, attempt: int, wanted: Sequence[str]
    ) -> Operation | Authorization:
        """Claim the reservation of what these shipments lack; what came of it where nothing is to be asked."""
        ...

    def authorized(self, key: str, snapshot: PaymentSnapshot) -> Authorization:
        """Record what the provider says of an attempt and go on at once, in one transaction.

        When every shipment with stock has its money the order is confirmed (reservations become
        allocations, the promise and its message are written); what no hold blocks goes to the floor.
        """
        ...

    def declined(self, key: str, no: Declined) -> Authorization: ...

    def outcome(self, key: str) -> Authorization:
        """Return what an authorization came to so far; the same as when it was first recorded."""
        ...

    def waiting(self, payment_id: str) -> Operation | None:
        """Return the request of an attempt that waits for the customer or the bank; None when it is over."""
        ...

    def claim_capture(self, shipment_id: str, *, early: bool = False) -> Operation | Captured:
        """Claim the next capture a shipment needs; what was captured when it needs none."""
        ...

    def claim_void(self, shipment_id: str) -> Operation | None:
        """Claim the next release of what is reserved for a shipment; None when there is none."""
        ...

    def claim_payment_void(self, payment_id: str) -> Operation | None:
        """Claim the release of one payment; None when it holds nothing."""
        ...

    def taken_meanwhile(self, key: str, snapshot: PaymentSnapshot) -> str | None:
        """Record money that was taken while we wanted to let it go; return the refund that gives it back."""
        ...

    def claim_refund(self, shipment_id: str) -> str | None:
        """Return the refund of everything captured for a shipment; None when nothing is owed."""
        ...

    def next_of_refund(self, refund_id: str) -> Operation | Refund:
        """Claim the next request of a refund; the refund as it stands when there is nothing to ask."""
        ...

    def open_operation(self, key: str) -> Operation | None:
        """Return an operation whose outcome is still open, without claiming it."""
        ...

    def renewed(self, key: str) -> Operation:
        """Return the operation with a fresh provider key, its absence at the provider being proven."""
        ...

    def captured(self, key: str, snapshot: PaymentSnapshot) -> None: ...

    def voided(self, key: str, snapshot: PaymentSnapshot) -> None: ...

    def refunded(self, key: str, snapshot: RefundSnapshot) -> None: ...

    def failed(self, key: str, error_class: str) -> None: ...

    def unknown(self, key: str, error_class: str) -> None: ...

    def way_to_page(self, order_id: str) -> tuple[str, int]:
        """Return an order's tracking token and how many payments it tried."""
        ...

    def page_made(self, order_id: str, link: str) -> None: ...


class PaymentActivities:
    """Deeds at the payment provider. Each one is: claim, ask if an answer was lost, call, record.

    A cancel that the server sends to a deed under way must not break it off between the call and the record.
    `public_url` is where the customer comes back to from the provider's pages.
    """

    def __init__(self, gateway: PaymentGateway, books: PaymentBooks, *, public_url: str) -> None:
        self._gateway, self._books, self._public_url = gateway, books, public_url

    @activity.defn(no_thread_cancel_exception=True)
    def authorize_payments(self, request: AuthorizePayments) -> tuple[Authorization, ...]:
        """Reserve the money that shipments lack, payment by payment, up to the first one that is not held.

        A decline is a result, and so is a bank that asks the customer.

        Raises:
            ApplicationError: type Stop, never retried: one of them was cancelled. What was held before stays held.
        """
        answers: list[Authorization] = []
        with told_to_temporal():
            for attempt, shipments in enumerate(request.groups, start=request.attempt):
                answers.append(self._authorized(request.order_id, attempt, shipments))
                if answers[-1].status is not PaymentStatus.AUTHORIZED:
                    break
        return tuple(answers)

    @activity.defn(no_thread_cancel_exception=True)
    def check_payment(self, payment_id: str) -> Authorization:
        """Ask what became of an attempt that waited for the customer or the bank; still waiting is an answer."""
        with told_to_temporal():
            operation = self._books.waiting(payment_id)
            if operation is not None:
                self._look(operation)
            return self._without_leftovers(self._books.outcome(payment_id))

    @activity.defn(no_thread_cancel_exception=True)
    def capture_payment(self, request: CapturePayment) -> Captured:
        """Take exactly what a shipment is worth, the oldest payment first.

        Raises:
            ApplicationError: type AuthorizationExpired, Held or NotHandedOver, never retried.
        """
        with told_to_temporal():
            shipment_id, early = request.shipment_id, request.early
            while isinstance(step := self._books.claim_capture(shipment_id, early=early), Operation):
                with self._trouble_recorded(step):
                    snapshot = self._captured(step) or self._capture(self._sendable(step))
                self._books.captured(step.key, snapshot)
            return step

    @activity.defn(no_thread_cancel_exception=True)
    def void_authorization(self, shipment_id: str) -> None:
        """Let the money of a shipment go. Harmless when none is held.

        Raises:
            ApplicationError: type Stop, never retried: the goods have left.
        """
        with told_to_temporal():
            while (step := self._books.claim_void(shipment_id)) is not None:
                self._let_go(step)

    @activity.defn(no_thread_cancel_exception=True)
    def void_payment(self, payment_id: str) -> None:
        """Let one payment go: an attempt nobody finished, or more than is needed. Harmless when it holds nothing.

        Raises:
            ApplicationError: type Stop, never retried: a shipment needs its money.
        """
        with told_to_temporal():
            self._release(payment_id)

    @activity.defn(no_thread_cancel_exception=True)
    def refund_payment(self, shipment_id: str) -> None:
        """Give back all that was captured for a shipment. Harmless when nothing is owed.

        Raises:
            ApplicationError: type RefundRefused, never retried.
        """
        with told_to_temporal():
            refund_id = self._books.claim_refund(shipment_id)
            if refund_id is not None and self._give_back(refund_id) is RefundState.FAILED:
                raise RefundRefused(f"{refund_id}: the provider does not give it back")

    @activity.defn(no_thread_cancel_exception=True)
    def pay_refund(self, refund_id: str) -> RefundState:
        """Pay an allowed refund, the newest capture first. What the provider only took goes on by its event."""
        with told_to_temporal():
            return self._give_back(refund_id)

    @activity.defn(no_thread_cancel_exception=True)
    def ask_for_method(self, order_id: str) -> str:
        """Return the provider's page on which the customer gives another way to pay. Harmless to repeat."""
        with told_to_temporal():
            token, attempts = self._books.way_to_page(order_id)
            link = self._gateway.method_link(
                order_id, return_url=f"{self._public_url}/t/{token}", key=f"{order_id}:method:{attempts}"
            )
            self._books.page_made(order_id, link)
            return link

    @activity.defn(no_thread_cancel_exception=True)
    def ask_about_operation(self, key: str) -> bool:
        """Ask the provider about a request left in doubt; return whether that settled it.

        What is proven absent stays open: only the order that wanted it may send it again.
        """
        with told_to_temporal():
            operation = self._books.open_operation(key)
            return operation is None or self._adopt(operation)

    def _authorized(self, order_id: str, attempt: int, shipments: Sequence[str]) -> Authorization:
        claimed = self._books.claim_authorization(order_id, attempt, shipments)
        return self._without_leftovers(
            claimed if isinstance(claimed, Authorization) else self._answer(claimed)
        )

    def _answer(self, operation: Operation) -> Authorization:
        try:
            with self._trouble_recorded(operation):
                snapshot = self._found(operation) or self._authorize(self._sendable(operation))
        except Declined as no:
            return self._books.declined(operation.key, no)
        except AuthConfig:
            raise
        except Rejected as wrong:  # such as a method the provider does not know: the customer gives another
            return self._books.declined(operation.key, Declined(DeclineGroup.CHECK_DETAILS, wrong.code))
        return self._books.authorized(operation.key, snapshot)

    def _without_leftovers(self, answer: Authorization) -> Authorization:
        """Let go what the bank reserved and we do not accept, such as too risky a payment."""
        if answer.status is PaymentStatus.DECLINED:
            self._release(answer.payment_id)
        return answer

    def _look(self, operation: Operation) -> None:
        try:
            if operation.reference:
                snapshot: PaymentSnapshot | None = self._gateway.ask(operation.reference)
            else:
                snapshot = self._gateway.find(operation.key)
        except Declined as no:
            self._books.declined(operation.key, no)
            return
        if snapshot is not None:
            self._books.authorized(operation.key, snapshot)

    def _release(self, payment_id: str) -> None:
        step = self._books.claim_payment_void(payment_id)
        if step is not None:
            self._let_go(step)

    def _let_go(self, step: Operation) -> None:
        """Let the money go; what was taken meanwhile is given back instead."""
        try:
            with self._trouble_recorded(step):
                snapshot = self._voided(step) or self._void(self._sendable(step))
        except StateConflict:
            refund_id = self._books.taken_meanwhile(step.key, self._gateway.ask(step.reference))
            if refund_id is None:
                raise
            self._give_back(refund_id)
        else:
            self._books.voided(step.key, snapshot)

    def _give_back(self, refund_id: str) -> RefundState:
        while isinstance(step := self._books.next_of_refund(refund_id), Operation):
            with self._trouble_recorded(step):
                snapshot = self._refunded(step) or self._refund(self._sendable(step))
            self._books.refunded(step.key, snapshot)
            if snapshot.status is RefundStatus.FAILED:
                return RefundState.FAILED
        return step.state

    def _adopt(self, operation: Operation) -> bool:
        match operation.kind:
            case OperationKind.AUTHORIZE:
                self._look(operation)
                return self._books.open_operation(operation.key) is None
            case OperationKind.REFUND:
                return self._adopt_refund(operation)
            case _:
                return self._adopt_change(operation)

    def _adopt_refund(self, operation: Operation) -> bool:
        snapshot = self._gateway.find_refund(operation.reference, operation.key)
        if snapshot is None:
            return False
        self._books.refunded(operation.key, snapshot)
        return snapshot.status is not RefundStatus.PENDING

    def _adopt_change(self, operation: Operation) -> bool:
        snapshot = self._gateway.ask(operation.reference)
        if operation.kind is OperationKind.CAPTURE and _was_captured(operation, snapshot):
            self._books.captured(operation.key, snapshot)
            return True
        if operation.kind is OperationKind.VOID and _was_let_go(operation, snapshot):
            self._books.voided(operation.key, snapshot)
            return True
        return False

    @contextmanager
    def _trouble_recorded(self, operation: Operation) -> Iterator[None]:
        """Leave the operation in the state its trouble means, before the trouble goes on to Temporal."""
        try:
            yield
        except OutcomeUnknown as error:
            self._books.unknown(operation.key, type(error).__name__)
            raise
        except Declined:
            raise  # recorded with its group, by the caller
        except FulfillmentError as no:
            self._books.failed(operation.key, type(no).__name__)
            raise

    def _sendable(self, operation: Operation) -> Operation:
        """Return the operation under a key that the provider will act on.

        The same key as before while it lives, because an earlier sending may still be on its way. A key that
        the provider forgot, or under which it keeps a failure, is replaced now that nothing was found.
        """
        stale = operation.error_class == FailureStored.__name__ or operation.key_age > self._gateway.key_life
        return self._books.renewed(operation.key) if operation.sends and stale else operation

    def _found(self, operation: Operation) -> PaymentSnapshot | None:
        return self._gateway.find(operation.key) if operation.sends else None

    def _refunded(self, operation: Operation) -> RefundSnapshot | None:
        return self._gateway.find_refund(operation.reference, operation.key) if operation.sends else None

    def _captured(self, operation: Operation) -> PaymentSnapshot | None:
        return self._ask_captured(operation) if operation.sends else None

    def _voided(self, operation: Operation) -> PaymentSnapshot | None:
        return self._ask_voided(operation) if operation.sends else None

    def _ask_captured(self, operation: Operation) -> PaymentSnapshot | None:
        """Return the payment if this amount was taken of it, None if it still can be.

        Raises:
            AuthorizationExpired: neither, because the reservation ran out or was let go.
        """
        snapshot = self._gateway.ask(operation.reference)
        if _was_captured(operation, snapshot):
            return snapshot
        if snapshot.status is PaymentStatus.AUTHORIZED:
            return None
        raise AuthorizationExpired(f"{operation.reference} is {snapshot.status}: nothing left to capture")

    def _ask_voided(self, operation: Operation) -> PaymentSnapshot | None:
        """Return the payment if it is let go, None if it still can be.

        Raises:
            StateConflict: neither, because the money was taken meanwhile.
        """
        snapshot = self._gateway.ask(operation.reference)
        if _was_let_go(operation, snapshot):
            return snapshot
        if snapshot.status is PaymentStatus.CAPTURED:
            raise StateConflict(f"{operation.reference} was captured meanwhile")
        return None

    def _authorize(self, operation: Operation) -> PaymentSnapshot:
        return self._gateway.authorize(
            operation.amount,
            method=operation.method,
            key=operation.provider_key,
            operation=operation.key,
            order_id=operation.order_id,
            several=operation.several,
        )

    def _capture(self, operation: Operation) -> PaymentSnapshot:
        """Take the money; read before believing a 4xx: "already captured" after a lost answer is a success."""
        try:
            return self._gateway.capture(
                operation.reference, operation.amount, key=operation.provider_key, final=operation.final
            )
        except StateConflict:
            if (snapshot := self._ask_captured(operation)) is not None:
                return snapshot
            raise

    def _void(self, operation: Operation) -> PaymentSnapshot:
        try:
            return self._gateway.void(operation.reference, key=operation.provider_key)
        except StateConflict:
            if (snapshot := self._ask_voided(operation)) is not None:
                return snapshot
            raise

    def _refund(self, operation: Operation) -> RefundSnapshot:
        """Give the money back; a request the provider finds wrong is a refund that failed."""
        try:
            return self._gateway.refund(
                operation.reference, operation.amount, key=operation.provider_key, operation=operation.key
            )
        except AuthConfig:
            raise
        except Rejected as wrong:
            return RefundSnapshot(reference="", status=RefundStatus.FAILED, reason=wrong.code or str(wrong))


def _was_captured(operation: Operation, snapshot: PaymentSnapshot) -> bool:
    """Test whether the payment has been charged this amount more than our books had taken of it."""
    return snapshot.captured >= operation.captured + operation.amount.minor


def _was_let_go(operation: Operation, snapshot: PaymentSnapshot) -> bool:
    """Test whether nothing is reserved any more: it ran out, was declined, or all that was taken is known."""
    if snapshot.status is PaymentStatus.CAPTURED:
        return 0 < snapshot.captured <= operation.captured
    return snapshot.status in (PaymentStatus.VOIDED, PaymentStatus.EXPIRED, PaymentStatus.DECLINED)
