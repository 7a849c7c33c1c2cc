"""The books of money: what was asked of the payment provider, under which key, and what came of it."""

from collections.abc import Callable
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, bindparam, func, insert, select, update

from fulfillment.crashpoints import crashpoint
from fulfillment.domain.cases import CaseKind
from fulfillment.domain.errors import FulfillmentError
from fulfillment.domain.holds import HoldReason
from fulfillment.domain.money import Money, format_minor
from fulfillment.domain.notifications import Fact
from fulfillment.domain.operation import Authorization, Operation
from fulfillment.domain.order import OrderStatus
from fulfillment.domain.payment import (
    AuthorizationExpired,
    Declined,
    DeclineGroup,
    OperationKind,
    OperationState,
    PaymentSnapshot,
    PaymentStatus,
    operation_key,
)
from fulfillment.domain.policy import DEFAULT, Policy
from fulfillment.domain.shipment import Stop, WorkStatus
from fulfillment.storage import cases, holds, journal, locks
from fulfillment.storage.advance import CONFIRMED, Advanced, advance
from fulfillment.storage.tables import orders, payments, provider_operations, shipments

_S, _O, _K = PaymentStatus, OperationState, OperationKind
_PROVIDER: Final = "stripe"
_LEFT: Final = (WorkStatus.HANDED_OVER, WorkStatus.CLOSED)
_OPEN_ATTEMPT: Final = (_S.AUTHORIZING, _S.ACTION_REQUIRED)
_LIVE: Final = (*_OPEN_ATTEMPT, _S.AUTHORIZED)
_ADVICE: Final = MappingProxyType(
    {
        DeclineGroup.RETRY_LATER: "Your bank could not take the payment just now.",
        DeclineGroup.CHECK_DETAILS: "Your bank did not accept the card details.",
        DeclineGroup.OTHER_METHOD: "Your bank declined the payment; please pay another way.",
        DeclineGroup.NEVER_AGAIN: "Your bank declined the payment; please pay another way.",
    }
)

_THE_KEY: Final = provider_operations.c.operation_key == bindparam("the_key")
_THE_PAYMENT: Final = payments.c.payment_id == bindparam("the_payment")
_OWNER: Final = select(provider_operations.c.order_id).where(_THE_KEY).scalar_subquery()
_LOCK: Final = select(orders).where(orders.c.order_id == _OWNER).with_for_update(key_share=True)
_OPERATION: Final = select(provider_operations).where(_THE_KEY)
_ADD_OPERATION: Final = insert(provider_operations)
_CHANGE_OPERATION: Final = update(provider_operations).where(_THE_KEY).returning(provider_operations)
_SETTLE: Final = update(provider_operations).where(
    _THE_KEY, provider_operations.c.state.in_([_O.CLAIMED.value, _O.UNKNOWN.value])
)
_SHIPMENT: Final = select(shipments.c.value, shipments.c.work_status).where(
    shipments.c.shipment_id == bindparam("the_shipment")
)
_PAYMENTS: Final = (
    select(payments)
    .where(payments.c.shipment_id == bindparam("the_shipment"))
    .order_by(payments.c.attempt.desc())
)
_PAYMENT: Final = select(payments).where(_THE_PAYMENT)
_ADD_PAYMENT: Final = insert(payments)
_RUN_OUT: Final = (
    update(payments)
    .where(
        payments.c.shipment_id == bindparam("the_shipment"),
        payments.c.status == _S.AUTHORIZED.value,
        payments.c.expires_at <= bindparam("now"),
    )
    .values(status=_S.EXPIRED.value)
)
_ANSWERED: Final = (
    update(payments)
    .where(_THE_PAYMENT, payments.c.status.in_([status.value for status in _OPEN_ATTEMPT]))
    .returning(payments.c.shipment_id, payments.c.attempt)
)
_CAPTURED: Final = update(payments).where(_THE_PAYMENT, payments.c.status == _S.AUTHORIZED.value)
_LET_GO: Final = update(payments).where(_THE_PAYMENT, payments.c.status.in_([s.value for s in _LIVE]))
_REFUNDED: Final = (
    update(payments).where(_THE_PAYMENT).values(refunded=payments.c.refunded + bindparam("given_back"))
)
_RELEASED: Final = (
    select(shipments.c.shipment_id)
    .where(shipments.c.order_id == bindparam("the_order"), shipments.c.released_at.is_not(None))
    .order_by(shipments.c.n)
)


class NotHandedOver(FulfillmentError):
    """Money is taken for what has left, never before."""

    def __init__(self, shipment_id: str) -> None:
        super().__init__(f"{shipment_id} has not left: its money is not taken yet")
        self.shipment_id = shipment_id


class UnknownOperation(FulfillmentError):
    """Nothing was ever asked of the provider under this key."""

    def __init__(self, key: str) -> None:
        super().__init__(f"there is no operation {key}")
        self.key = key


class PaymentStore:
    """Payments and the operations asked of their provider. `now` is shop time, `real_now` the provider's."""

    def __init__(
        self,
        engine: Engine,
        now: Callable[[], datetime],
        real_now: Callable[[], datetime],
        *,
        policy: Policy = DEFAULT,
    ) -> None:
        self._engine, self._now, self._real_now, self._policy = engine, now, real_now, policy

    def claim_authorization(self, shipment_id: str, attempt: int) -> Operation:
        """Claim the reservation of a shipment's money; a claim found again counts one more sending.

        Raises:
            Stop: the shipment was cancelled before anything was asked.
        """
        with self._engine.begin() as conn:
            order = locks.order_of_shipment(conn, shipment_id)
            key = operation_key(order.order_id, _K.AUTHORIZE, shipment_id, attempt)
            found = conn.execute(_OPERATION, {"the_key": key}).one_or_none()
            if found is None:
                amount = self._open_payment(conn, order, shipment_id, attempt, key)
                claimed = self._claim_new(conn, order, key, _K.AUTHORIZE, shipment_id, amount)
            else:
                claimed = self._claim_again(conn, order, found)
        crashpoint("authorize.after_claim")
        return claimed

    def authorized(self, key: str, snapshot: PaymentSnapshot) -> Authorization:
        """Record what the provider says of an attempt, and go on at once in the same transaction."""
        with self._engine.begin() as conn:
            order = _lock(conn, key)
            answer = self._record(conn, order, key, snapshot) or _outcome(conn, order, key)
        crashpoint("authorize.after_record")
        return answer

    def declined(self, key: str, no: Declined) -> Authorization:
        """Record the bank's no, open its case and tell the customer."""
        with self._engine.begin() as conn:
            order = _lock(conn, key)
            self._decline(conn, order, key, no.group, no.code or type(no).__name__)
            return _outcome(conn, _lock(conn, key), key)

    def outcome(self, key: str) -> Authorization:
        """Return what a settled authorization came to."""
        with self._engine.begin() as conn:
            return _outcome(conn, _lock(conn, key), key)

    def claim_capture(self, shipment_id: str) -> Operation | None:
        """Claim the capture of what a handed-over shipment holds; None when it is worth nothing.

        Raises:
            NotHandedOver: the shipment has not left.
            AuthorizationExpired: no money is reserved for it.
        """
        with self._engine.begin() as conn:
            order = locks.order_of_shipment(conn, shipment_id)
            shipment = conn.execute(_SHIPMENT, {"the_shipment": shipment_id}).one()
            if shipment.value == 0:
                return None
            if shipment.work_status not in _LEFT:
                raise NotHandedOver(shipment_id)
            payment = _latest(conn, shipment_id, _S.CAPTURED, _S.AUTHORIZED)
            if payment is None:
                raise AuthorizationExpired(f"{shipment_id} holds no money any more")
            claimed = self._claim(conn, order, _K.CAPTURE, payment, payment.authorized)
        crashpoint("capture.after_claim")
        return claimed

    def claim_void(self, shipment_id: str) -> Operation | None:
        """Claim the release of a shipment's live authorization; None when there is none.

        Raises:
            Stop: the goods have left, so the money is due.
        """
        with self._engine.begin() as conn:
            order = locks.order_of_shipment(conn, shipment_id)
            payment = _latest(conn, shipment_id, *_LIVE)
            if payment is None or payment.provider_ref is None:
                return None
            # The hand-over looks for our claim under the same lock: either the goods leave or the money goes.
            work_status = conn.execute(_SHIPMENT, {"the_shipment": shipment_id}).one().work_status
            if work_status in _LEFT and payment.status == _S.AUTHORIZED:
                raise Stop(shipment_id, "it has left: its money is due")
            claimed = self._claim(conn, order, _K.VOID, payment, payment.asked)
        crashpoint("void.after_claim")
        return claimed

    def claim_refund(self, shipment_id: str) -> Operation | None:
        """Claim the return of everything captured for a shipment; None when nothing is owed."""
        with self._engine.begin() as conn:
            order = locks.order_of_shipment(conn, shipment_id)
            payment = _latest(conn, shipment_id, _S.CAPTURED)
            if payment is None or payment.captured == payment.refunded:
                return None
            claimed = self._claim(conn, order, _K.REFUND, payment, payment.captured - payment.refunded)
        crashpoint("refund.after_claim")
        return claimed

    def open_operation(self, key: str) -> Operation | None:
        """Return an operation whose outcome is still open, without claiming it."""
        with self._engine.begin() as conn:
            order = _lock(conn, key)
            row = conn.execute(_OPERATION, {"the_key": key}).one()
            operation = self._operation(conn, order, row, sends=row.sends)
            return None if operation.settled else operation

    def renewed(self, key: str) -> Operation:
        """Return the operation with a fresh provider key, its absence at the provider being proven."""
        with self._engine.begin() as conn:
            order = _lock(conn, key)
            fresh = {
                "renewals": provider_operations.c.renewals + 1,
                "first_sent_at": self._real_now(),
                "error_class": None,
            }
            row = conn.execute(_CHANGE_OPERATION.values(fresh), {"the_key": key}).one()
            return self._operation(conn, order, row, sends=row.sends - 1)

    def succeeded(self, key: str, snapshot: PaymentSnapshot) -> None:
        """Record that a capture or a void was done."""
        with self._engine.begin() as conn:
            order = _lock(conn, key)
            kind = self._succeed(conn, order, key, snapshot)
        if kind is _K.CAPTURE:
            crashpoint("capture.after_record")
        else:
            crashpoint("void.after_record")

    def refunded(self, key: str, refund_reference: str) -> None:
        """Record that the money went back."""
        with self._engine.begin() as conn:
            order = _lock(conn, key)
            operation = conn.execute(_OPERATION, {"the_key": key}).one()
            if not self._settle(conn, key, _O.SUCCEEDED, reference=refund_reference):
                return
            conn.execute(_REFUNDED, {"the_payment": _payment_id(operation), "given_back": operation.amount})
            text = f"We returned {format_minor(operation.amount, order.currency)} to you."
            self._note(conn, order, "refunded", text)
        crashpoint("refund.after_record")

    def failed(self, key: str, error_class: str) -> None:
        """Record that an operation was refused for good."""
        with self._engine.begin() as conn:
            _lock(conn, key)
            operation = conn.execute(_OPERATION, {"the_key": key}).one()
            if not self._settle(conn, key, _O.FAILED, error_class=error_class):
                return
            this = {"the_payment": _payment_id(operation)}
            if operation.kind == _K.AUTHORIZE:
                conn.execute(_ANSWERED, this | {"status": _S.VOIDED.value})
            elif operation.kind == _K.CAPTURE and error_class == AuthorizationExpired.__name__:
                conn.execute(_CAPTURED, this | {"status": _S.EXPIRED.value})

    def unknown(self, key: str, error_class: str) -> None:
        """Record that the answer to an operation is lost."""
        with self._engine.begin() as conn:
            _lock(conn, key)
            lost = {"state": _O.UNKNOWN.value, "error_class": error_class}
            conn.execute(_SETTLE, {"the_key": key, **lost})

    def _open_payment(
        self, conn: Connection, order: Row[Any], shipment_id: str, attempt: int, key: str
    ) -> int:
        shipment = conn.execute(_SHIPMENT, {"the_shipment": shipment_id}).one()
        if shipment.work_status == WorkStatus.CANCELLED:
            raise Stop(shipment_id, "it was cancelled: nothing is owed for it")
        if attempt > 1:
            conn.execute(_RUN_OUT, {"the_shipment": shipment_id, "now": self._now()})
        row = {
            "payment_id": key,
            "order_id": order.order_id,
            "shipment_id": shipment_id,
            "attempt": attempt,
            "provider": _PROVIDER,
            "status": _S.AUTHORIZING.value,
            "currency": order.currency,
            "asked": shipment.value,
            "created_at": self._now(),
        }
        conn.execute(_ADD_PAYMENT, row)
        return int(shipment.value)

    def _claim(
        self, conn: Connection, order: Row[Any], kind: OperationKind, payment: Row[Any], amount: int
    ) -> Operation:
        key = operation_key(order.order_id, kind, payment.shipment_id, payment.attempt)
        found = conn.execute(_OPERATION, {"the_key": key}).one_or_none()
        if found is None:
            return self._claim_new(
                conn, order, key, kind, payment.shipment_id, amount, reference=payment.provider_ref
            )
        return self._claim_again(conn, order, found)

    def _claim_new(
        self,
        conn: Connection,
        order: Row[Any],
        key: str,
        kind: OperationKind,
        shipment_id: str,
        amount: int,
        *,
        reference: str = "",
    ) -> Operation:
        row = {
            "operation_key": key,
            "order_id": order.order_id,
            "kind": kind.value,
            "subject": shipment_id,
            "amount": amount,
            "state": _O.CLAIMED.value,
            "sends": 1,
            "first_sent_at": self._real_now(),
            "claimed_at": self._now(),
        }
        conn.execute(_ADD_OPERATION, row)
        return Operation(
            key=key,
            provider_key=key,
            kind=kind,
            state=_O.CLAIMED,
            order_id=order.order_id,
            amount=Money(minor=amount, currency=order.currency),
            method=order.payment_method,
            reference=reference,
        )

    def _claim_again(self, conn: Connection, order: Row[Any], found: Row[Any]) -> Operation:
        if found.state == _O.SUCCEEDED or (found.state == _O.FAILED and found.kind == _K.AUTHORIZE):
            return self._operation(conn, order, found, sends=found.sends)
        again: dict[str, Any] = {"state": _O.CLAIMED.value, "sends": found.sends + 1}
        if found.state == _O.FAILED:
            # A refused attempt is over; what is owed is not. Under the old key the refusal would come again.
            again |= {"renewals": found.renewals + 1, "first_sent_at": self._real_now(), "ended_at": None}
            again |= {"error_class": None, "claimed_at": self._now()}
        row = conn.execute(_CHANGE_OPERATION, {"the_key": found.operation_key, **again}).one()
        return self._operation(conn, order, row, sends=found.sends)

    def _operation(self, conn: Connection, order: Row[Any], row: Row[Any], *, sends: int) -> Operation:
        payment = conn.execute(_PAYMENT, {"the_payment": _payment_id(row)}).one()
        key: str = row.operation_key
        age = self._real_now() - row.first_sent_at if row.first_sent_at else timedelta(0)
        return Operation(
            key=key,
            provider_key=f"{key}~{row.renewals}" if row.renewals else key,
            kind=_K(row.kind),
            state=_O(row.state),
            order_id=row.order_id,
            amount=Money(minor=row.amount, currency=order.currency),
            method=order.payment_method,
            reference=payment.provider_ref or "",
            sends=sends,
            key_age=age,
            error_class=row.error_class or "",
        )

    def _record(
        self, conn: Connection, order: Row[Any], key: str, snapshot: PaymentSnapshot
    ) -> Authorization | None:
        """Record the snapshot; None when it was recorded before or is a no."""
        if snapshot.status in _OPEN_ATTEMPT:
            waiting = {"status": snapshot.status.value, "provider_ref": snapshot.reference}
            conn.execute(_ANSWERED, {"the_payment": key, **waiting})
            return None
        if snapshot.status not in (_S.AUTHORIZED, _S.CAPTURED):
            self._decline(conn, order, key, DeclineGroup.RETRY_LATER, str(snapshot.status))
            return None
        reserved: dict[str, Any] = {"authorized": snapshot.authorized, "expires_at": snapshot.expires_at}
        reserved |= {"status": _S.AUTHORIZED.value, "provider_ref": snapshot.reference}
        payment = conn.execute(_ANSWERED, {"the_payment": key, **reserved}).one_or_none()
        if payment is None:
            return None
        self._settle(conn, key, _O.SUCCEEDED, reference=snapshot.reference)
        if payment.attempt > 1:
            self._paid_at_last(conn, order)
        self._hold_if_risky(conn, order, snapshot.risk_score)
        return _authorization(key, snapshot, advance(conn, order, now=self._now(), policy=self._policy))

    def _paid_at_last(self, conn: Connection, order: Row[Any]) -> None:
        kind, now = CaseKind.PAYMENT_DECLINED, self._now()
        cases.resolve(conn, kind, subject=order.order_id, resolution="paid", now=now)

    def _hold_if_risky(self, conn: Connection, order: Row[Any], risk_score: int | None) -> None:
        if risk_score is None or risk_score < self._policy.risk_hold_score:
            return
        order_id, now = order.order_id, self._now()
        # A person looked at this order and cleared it; another authorization of it is no new reason to doubt.
        if holds.was_released(conn, order_id, HoldReason.FRAUD):
            return
        due_at, note = now + self._policy.hold_default_after, f"risk score {risk_score}"
        _, is_new = holds.place(
            conn, order_id, HoldReason.FRAUD, by="system", due_at=due_at, note=note, now=now
        )
        if is_new:
            cases.open_case(
                conn, order_id, CaseKind.FRAUD_REVIEW, subject=order_id, due_at=due_at, now=now, note=note
            )
            self._note(conn, order, "held", "We are checking your order before it goes on.")

    def _decline(
        self, conn: Connection, order: Row[Any], key: str, group: DeclineGroup, error_class: str
    ) -> None:
        no = {"status": _S.DECLINED.value, "decline_group": group.value}
        payment = conn.execute(_ANSWERED, {"the_payment": key, **no}).one_or_none()
        if payment is None:
            return
        self._settle(conn, key, _O.FAILED, error_class=error_class)
        order_id, now = order.order_id, self._now()
        _not_paid(conn, order)
        due_at = now + self._policy.payment_retry_wait
        cases.open_case(conn, order_id, CaseKind.PAYMENT_DECLINED, subject=order_id, due_at=due_at, now=now)
        self._note(conn, order, "payment_declined", _ADVICE[group])
        told = {
            "shipment_id": payment.shipment_id,
            "decline_group": group.value,
            "pay_by": due_at.isoformat(),
        }
        fact, version = Fact.PAYMENT_DECLINED, payment.attempt
        journal.tell(conn, order_id, fact, subject=order_id, version=version, data=told, now=now)

    def _succeed(
        self, conn: Connection, order: Row[Any], key: str, snapshot: PaymentSnapshot
    ) -> OperationKind:
        operation = conn.execute(_OPERATION, {"the_key": key}).one()
        kind = _K(operation.kind)
        if not self._settle(conn, key, _O.SUCCEEDED, reference=snapshot.reference):
            return kind
        this, amount = {"the_payment": _payment_id(operation)}, format_minor(operation.amount, order.currency)
        if kind is _K.CAPTURE:
            taken = {"status": _S.CAPTURED.value, "captured": snapshot.captured}
            conn.execute(_CAPTURED, this | taken)
            self._note(conn, order, "captured", f"We charged {amount} for what has left.")
        else:
            ended = _S.EXPIRED if snapshot.status is _S.EXPIRED else _S.VOIDED
            conn.execute(_LET_GO, this | {"status": ended.value})
            # An attempt that waited for the customer never came to anything: it ends with its money.
            self._settle(conn, this["the_payment"], _O.FAILED, error_class="Voided")
            self._note(conn, order, "voided", f"We released the {amount} that your bank had set aside.")
        return kind

    def _settle(
        self,
        conn: Connection,
        key: str,
        state: OperationState,
        *,
        reference: str | None = None,
        error_class: str | None = None,
    ) -> bool:
        """Give an open operation its outcome; return whether it was still open."""
        how = {"state": state.value, "error_class": error_class, "ended_at": self._now()}
        if reference is not None:
            how["provider_ref"] = reference
        return bool(conn.execute(_SETTLE, {"the_key": key, **how}).rowcount)

    def _note(self, conn: Connection, order: Row[Any], kind: str, text: str) -> None:
        journal.event(conn, order.order_id, kind, text, at=self._now())


def _lock(conn: Connection, key: str) -> Row[Any]:
    """Lock the order an operation belongs to."""
    row = conn.execute(_LOCK, {"the_key": key}).one_or_none()
    if row is None:
        raise UnknownOperation(key)
    return row


def _payment_id(operation: Row[Any]) -> str:
    """Return which payment an operation is about: the attempt is the last part of every key."""
    attempt = int(operation.operation_key.rsplit(":", 1)[1])
    return operation_key(operation.order_id, _K.AUTHORIZE, operation.subject, attempt)


def _latest(conn: Connection, shipment_id: str, *statuses: PaymentStatus) -> Row[Any] | None:
    """Return the shipment's latest payment in one of these statuses, the first status first."""
    found = conn.execute(_PAYMENTS, {"the_shipment": shipment_id}).all()
    for status in statuses:
        for payment in found:
            if payment.status == status:
                return payment
    return None


def _not_paid(conn: Connection, order: Row[Any]) -> None:
    changes: dict[str, Any] = {"placed": func.coalesce(orders.c.placed, "declined")}
    if order.status == OrderStatus.RESERVED:
        changes["status"] = OrderStatus.PAYMENT_FAILED.value
    conn.execute(update(orders).where(orders.c.order_id == order.order_id).values(changes))


def _authorization(key: str, snapshot: PaymentSnapshot, came_to: Advanced) -> Authorization:
    return Authorization(
        payment_id=key,
        status=_S.AUTHORIZED,
        expires_at=snapshot.expires_at,
        confirmed=came_to.confirmed,
        promise_date=came_to.promise_date,
        released=came_to.released,
        holds=came_to.holds,
    )


def _outcome(conn: Connection, order: Row[Any], key: str) -> Authorization:
    payment = conn.execute(_PAYMENT, {"the_payment": key}).one()
    return Authorization(
        payment_id=key,
        status=_S(payment.status),
        expires_at=payment.expires_at,
        decline_group=payment.decline_group,
        confirmed=order.status in CONFIRMED,
        promise_date=order.promise_date,
        released=tuple(conn.execute(_RELEASED, {"the_order": order.order_id}).scalars()),
        holds=holds.active(conn, order.order_id),
    )
