"""Money: one deed per request to the provider, safe to repeat, believed only when the provider says so."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from temporalio import activity

from activities.errors import told_to_temporal
from fulfillment.domain.errors import FulfillmentError
from fulfillment.domain.money import Money
from fulfillment.domain.operation import Authorization, Operation
from fulfillment.domain.payment import (
    AuthorizationExpired,
    Declined,
    DeclineGroup,
    OperationKind,
    PaymentSnapshot,
    PaymentStatus,
    RefundRefused,
    RefundSnapshot,
)
from fulfillment.domain.provider_errors import (
    AuthConfig,
    FailureStored,
    OutcomeUnknown,
    Rejected,
    StateConflict,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizePayment:
    """Reserve the money that these shipments lack, by one payment.

    `attempt` counts business attempts through the order, never retries.
    """

    order_id: str
    attempt: int
    shipments: tuple[str, ...]


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

    def claim_authorization(self, shipment_id: str, attempt: int) -> Operation: ...

    def authorized(self, key: str, snapshot: PaymentSnapshot) -> Authorization:
        """Record the money as reserved and go on at once, in one transaction.

        When every shipment with stock has its money the order is confirmed (reservations become
        allocations, the promise and its message are written); what no hold blocks goes to the floor.
        """
        ...

    def declined(self, key: str, no: Declined) -> Authorization: ...

    def outcome(self, key: str) -> Authorization:
        """Return what a settled authorization came to; the same as when it was first recorded."""
        ...

    def claim_capture(self, shipment_id: str) -> Operation | None:
        """Claim the capture of what a handed-over shipment holds; None when it is worth nothing."""
        ...

    def claim_void(self, shipment_id: str) -> Operation | None:
        """Claim the release of a shipment's live authorization; None when there is none."""
        ...

    def claim_refund(self, shipment_id: str) -> Operation | None:
        """Claim the return of everything captured for a shipment; None when nothing is owed."""
        ...

    def open_operation(self, key: str) -> Operation | None:
        """Return an operation whose outcome is still open, without claiming it."""
        ...

    def renewed(self, key: str) -> Operation:
        """Return the operation with a fresh provider key, its absence at the provider being proven."""
        ...

    def succeeded(self, key: str, snapshot: PaymentSnapshot) -> None: ...

    def refunded(self, key: str, refund_reference: str) -> None: ...

    def failed(self, key: str, error_class: str) -> None: ...

    def unknown(self, key: str, error_class: str) -> None: ...


class PaymentActivities:
    """Deeds at the payment provider. Each one is: claim, ask if an answer was lost, call, record.

    A cancel that the server sends to a deed under way must not break it off between the call and the record.
    """

    def __init__(self, gateway: PaymentGateway, books: PaymentBooks) -> None:
        self._gateway, self._books = gateway, books

    @activity.defn(no_thread_cancel_exception=True)
    def authorize_payment(self, request: AuthorizePayment) -> Authorization:
        """Reserve the money for a shipment. A decline is a result, not a failure."""
        with told_to_temporal():
            operation = self._books.claim_authorization(request.shipment_id, request.attempt)
            if operation.settled:
                return self._books.outcome(operation.key)
            try:
                with self._trouble_recorded(operation):
                    snapshot = self._found(operation) or self._authorize(self._sendable(operation))
            except Declined as no:
                return self._books.declined(operation.key, no)
            except AuthConfig:
                raise
            except (
                Rejected
            ) as wrong:  # such as a method the provider does not know: the customer gives another
                return self._books.declined(operation.key, Declined(DeclineGroup.CHECK_DETAILS, wrong.code))
            return self._books.authorized(operation.key, snapshot)

    @activity.defn(no_thread_cancel_exception=True)
    def capture_payment(self, shipment_id: str) -> None:
        """Take the money for a shipment that has left.

        Raises:
            ApplicationError: type AuthorizationExpired, never retried.
        """
        with told_to_temporal():
            operation = self._books.claim_capture(shipment_id)
            if operation is None or operation.settled:
                return
            with self._trouble_recorded(operation):
                snapshot = self._captured(operation) or self._capture(self._sendable(operation))
            self._books.succeeded(operation.key, snapshot)

    @activity.defn(no_thread_cancel_exception=True)
    def void_authorization(self, shipment_id: str) -> None:
        """Let the money of a shipment go. Harmless when none is held."""
        with told_to_temporal():
            operation = self._books.claim_void(shipment_id)
            if operation is None or operation.settled:
                return
            with self._trouble_recorded(operation):
                snapshot = self._voided(operation) or self._void(self._sendable(operation))
            self._books.succeeded(operation.key, snapshot)

    @activity.defn(no_thread_cancel_exception=True)
    def refund_payment(self, shipment_id: str) -> None:
        """Give back all that was captured for a shipment. Harmless when nothing is owed.

        Raises:
            ApplicationError: type RefundRefused, never retried.
        """
        with told_to_temporal():
            operation = self._books.claim_refund(shipment_id)
            if operation is None or operation.settled:
                return
            with self._trouble_recorded(operation):
                reference = self._refunded(operation) or self._refund(self._sendable(operation))
            self._books.refunded(operation.key, reference)

    @activity.defn(no_thread_cancel_exception=True)
    def ask_about_operation(self, key: str) -> bool:
        """Ask the provider about a request left in doubt; return whether that settled it.

        What is proven absent stays open: only the order that wanted it may send it again.
        """
        with told_to_temporal():
            operation = self._books.open_operation(key)
            return operation is None or self._adopt(operation)

    def _adopt(self, operation: Operation) -> bool:
        match operation.kind:
            case OperationKind.AUTHORIZE:
                return self._adopt_authorization(operation)
            case OperationKind.REFUND:
                if reference := self._gateway.find_refund(operation.reference, operation.key):
                    self._books.refunded(operation.key, reference)
                return reference is not None
            case _:
                return self._adopt_change(operation)

    def _adopt_authorization(self, operation: Operation) -> bool:
        try:
            snapshot = self._gateway.find(operation.key)
        except Declined as no:
            self._books.declined(operation.key, no)
            return True
        if snapshot:
            self._books.authorized(operation.key, snapshot)
        return snapshot is not None

    def _adopt_change(self, operation: Operation) -> bool:
        wanted = PaymentStatus.CAPTURED if operation.kind is OperationKind.CAPTURE else PaymentStatus.VOIDED
        snapshot = self._gateway.ask(operation.reference)
        if snapshot.status is wanted:
            self._books.succeeded(operation.key, snapshot)
        return snapshot.status is wanted

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

    def _captured(self, operation: Operation) -> PaymentSnapshot | None:
        return self._asked(operation, PaymentStatus.CAPTURED) if operation.sends else None

    def _voided(self, operation: Operation) -> PaymentSnapshot | None:
        return self._asked(operation, PaymentStatus.VOIDED) if operation.sends else None

    def _refunded(self, operation: Operation) -> str | None:
        return self._gateway.find_refund(operation.reference, operation.key) if operation.sends else None

    def _asked(self, operation: Operation, wanted: PaymentStatus) -> PaymentSnapshot | None:
        """Return the payment if it already is as wanted, None if it can still become so.

        Raises:
            AuthorizationExpired: neither, because the reservation ran out or was let go.
            StateConflict: neither, because the money was taken meanwhile.
        """
        snapshot = self._gateway.ask(operation.reference)
        if snapshot.status is wanted:
            return snapshot
        if snapshot.status is PaymentStatus.AUTHORIZED:
            return None
        if snapshot.status in (PaymentStatus.EXPIRED, PaymentStatus.VOIDED):
            return self._gone(snapshot, wanted)
        raise StateConflict(f"{operation.reference} is {snapshot.status}, wanted {wanted}")

    def _gone(self, snapshot: PaymentSnapshot, wanted: PaymentStatus) -> PaymentSnapshot:
        if wanted is PaymentStatus.VOIDED:
            return snapshot  # an authorization that ran out holds no money: as good as voided
        raise AuthorizationExpired(f"{snapshot.reference} is {snapshot.status}: nothing left to capture")

    def _authorize(self, operation: Operation) -> PaymentSnapshot:
        return self._gateway.authorize(
            operation.amount,
            method=operation.method,
            key=operation.provider_key,
            operation=operation.key,
            order_id=operation.order_id,
        )

    def _capture(self, operation: Operation) -> PaymentSnapshot:
        try:
            return self._gateway.capture(operation.reference, operation.amount, key=operation.provider_key)
        except StateConflict as conflict:
            return self._as_wanted(operation, PaymentStatus.CAPTURED, conflict)

    def _void(self, operation: Operation) -> PaymentSnapshot:
        try:
            return self._gateway.void(operation.reference, key=operation.provider_key)
        except StateConflict as conflict:
            return self._as_wanted(operation, PaymentStatus.VOIDED, conflict)

    def _as_wanted(
        self, operation: Operation, wanted: PaymentStatus, conflict: StateConflict
    ) -> PaymentSnapshot:
        """Read before believing a 4xx: "already captured" after a lost answer is a success."""
        if snapshot := self._asked(operation, wanted):
            return snapshot
        raise conflict

    def _refund(self, operation: Operation) -> str:
        try:
            return self._gateway.refund(
                operation.reference, operation.amount, key=operation.provider_key, operation=operation.key
            )
        except AuthConfig:
            raise
        except Rejected as wrong:
            raise RefundRefused(str(wrong)) from wrong
