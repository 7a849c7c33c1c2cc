"""The books of money: what was asked of the payment provider, under which key, and what came of it."""

from collections.abc import Callable, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, bindparam, func, insert, select, update

from fulfillment.crashpoints import crashpoint
from fulfillment.domain.cases import CaseKind
from fulfillment.domain.events import EventKind
from fulfillment.domain.notifications import Fact
from fulfillment.domain.operation import Authorization, Captured, Operation
from fulfillment.domain.order import UNPAID, OrderStatus
from fulfillment.domain.payment import (
    AuthorizationExpired,
    Declined,
    DeclineGroup,
    OperationKind,
    OperationState,
    PaymentSnapshot,
    PaymentStatus,
    RefundSnapshot,
    operation_key,
)
from fulfillment.domain.policy import DEFAULT, Policy
from fulfillment.domain.refund import Refund
from fulfillment.domain.shipment import Stop, WorkStatus
from fulfillment.storage import cases, holds, journal, locks, payment_news, risk, shares
from fulfillment.storage.advance import CONFIRMED, advance
from fulfillment.storage.captures import Captures
from fulfillment.storage.coverage import LIVE, OPEN_ATTEMPT
from fulfillment.storage.lapsing import reclaim
from fulfillment.storage.operations import Operations, lock, read
from fulfillment.storage.orders import lock_order
from fulfillment.storage.refunding import Refunds
from fulfillment.storage.tables import orders, payment_shares, payments, shipments
from fulfillment.storage.voids import Voids

_S, _O, _K = PaymentStatus, OperationState, OperationKind
PROVIDER: Final = "stripe"
_ADVICE: Final = MappingProxyType(
    {
        DeclineGroup.RETRY_LATER: "Your bank could not take the payment just now.",
        DeclineGroup.CHECK_DETAILS: "Your bank did not accept the card details.",
        DeclineGroup.OTHER_METHOD: "Your bank declined the payment; please pay another way.",
        DeclineGroup.NEVER_AGAIN: "Your bank declined the payment; please pay another way.",
    }
)

_THE_PAYMENT: Final = payments.c.payment_id == bindparam("the_payment")
_PAYMENT: Final = select(payments).where(_THE_PAYMENT)
_ATTEMPT: Final = select(payments).where(
    payments.c.order_id == bindparam("the_order"), payments.c.attempt == bindparam("the_attempt")
)
_LATEST_OF: Final = (
    select(payments.c.payment_id)
    .join(payment_shares, payment_shares.c.payment_id == payments.c.payment_id)
    .where(
        payment_shares.c.shipment_id.in_(bindparam("those", expanding=True)),
        payments.c.status.in_([_S.CAPTURED.value, *(status.value for status in LIVE)]),
    )
    .order_by(payments.c.attempt.desc())
    .limit(1)
)
_SHIPMENTS_OF: Final = (
    select(payment_shares.c.shipment_id)
    .where(payment_shares.c.payment_id == bindparam("the_payment"))
    .order_by(payment_shares.c.shipment_id)
)
_ADD: Final = insert(payments)
_ANSWERED: Final = (
    update(payments)
    .where(_THE_PAYMENT, payments.c.status.in_([status.value for status in OPEN_ATTEMPT]))
    .returning(payments)
)
_RELEASED: Final = (
    select(shipments.c.shipment_id)
    .where(shipments.c.order_id == bindparam("the_order"), shipments.c.released_at.is_not(None))
    .order_by(shipments.c.n)
)
_TO_PAGE: Final = (
    select(orders.c.tracking_token, func.count(payments.c.payment_id).label("attempts"))
    .outerjoin(payments, payments.c.order_id == orders.c.order_id)
    .where(orders.c.order_id == bindparam("the_order"))
    .group_by(orders.c.order_id)
)


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
        self._engine, self._now, self._policy = engine, now, policy
        self._operations = Operations(now, real_now)
        self._refunds = Refunds(self._operations, now, policy)
        self._captures = Captures(self._operations, now)
        self._voids = Voids(self._operations, self._refunds, now)

    def claim_authorization(
        self, order_id: str, attempt: int, wanted: Sequence[str]
    ) -> Operation | Authorization:
        """Claim the reservation of the money these shipments lack; a claim found again counts one more sending.

        Return what it came to where there is nothing to ask: it was answered before, nothing is missing, or
        the order's stock was gone and its plan is another now.

        Raises:
            Stop: one of them was cancelled before anything was asked.
        """
        with self._engine.begin() as conn:
            order = lock_order(conn, order_id)
            attempted = {"the_order": order_id, "the_attempt": attempt}
            found = conn.execute(_ATTEMPT, attempted).one_or_none()
            if found is not None:
                claimed = self._claim_again(conn, order, found)
            elif not reclaim(conn, order, now=self._now(), policy=self._policy):
                return Authorization(payment_id="", status=_S.VOIDED, stock_gone=True)
            else:
                claimed = self._claim_new(conn, order, attempt, tuple(wanted))
        crashpoint("authorize.after_claim")
        return claimed

    def authorized(self, key: str, snapshot: PaymentSnapshot) -> Authorization:
        """Record what the provider says of an attempt, and go on at once in the same transaction."""
        with self._engine.begin() as conn:
            order = lock(conn, key)
            self._record(conn, order, key, snapshot)
            answer = _outcome(conn, lock_order(conn, order.order_id), key)
        crashpoint("authorize.after_record")
        return answer

    def declined(self, key: str, no: Declined) -> Authorization:
        """Record the bank's no, open its case and tell the customer."""
        with self._engine.begin() as conn:
            order = lock(conn, key)
            self._decline(conn, order, key, no.group, no.code or type(no).__name__)
            return _outcome(conn, lock(conn, key), key)

    def outcome(self, key: str) -> Authorization:
        """Return what an authorization came to so far."""
        with self._engine.begin() as conn:
            return _outcome(conn, lock(conn, key), key)

    def waiting(self, payment_id: str) -> Operation | None:
        """Return the request of an attempt that waits for the customer or the bank; None when it is over."""
        with self._engine.begin() as conn:
            order = lock(conn, payment_id)
            payment = conn.execute(_PAYMENT, {"the_payment": payment_id}).one()
            row = read(conn, payment_id)
            is_open = payment.status in OPEN_ATTEMPT
            return self._operations.of(conn, order, row, sends=row.sends) if is_open else None

    def claim_capture(self, shipment_id: str, *, early: bool = False) -> Operation | Captured:
        """Claim the next capture a shipment needs; what was captured when it needs none.

        Raises:
            NotHandedOver: the shipment has not left, and it is not the time for an early capture.
            Held: a hold stands that blocks it.
            AuthorizationExpired: no money is reserved for it.
            Conflict: another capture of the same payment is under way.
        """
        with self._engine.begin() as conn:
            order = locks.order_of_shipment(conn, shipment_id)
            claimed = self._captures.claim(conn, order, shipment_id, early=early)
        crashpoint("capture.after_claim")
        return claimed

    def claim_void(self, shipment_id: str) -> Operation | None:
        """Claim the release of what is reserved for a shipment alone; None when there is nothing (any more).

        Its share of a payment that others still need is let go in the books, and with the last of them there.

        Raises:
            Stop: the goods have left, so the money is due.
        """
        with self._engine.begin() as conn:
            order = locks.order_of_shipment(conn, shipment_id)
            claimed = self._voids.claim_of_shipment(conn, order, shipment_id)
        crashpoint("void.after_claim")
        return claimed

    def claim_payment_void(self, payment_id: str) -> Operation | None:
        """Claim the release of one payment; None when it holds nothing (any more).

        Raises:
            Stop: a shipment needs its money.
        """
        with self._engine.begin() as conn:
            return self._voids.claim_of_payment(conn, lock(conn, payment_id), payment_id)

    def taken_meanwhile(self, key: str, snapshot: PaymentSnapshot) -> str | None:
        """Record money that was taken while we wanted to let it go; return the refund that gives it back."""
        with self._engine.begin() as conn:
            return self._voids.taken_meanwhile(conn, lock(conn, key), key, snapshot)

    def claim_refund(self, shipment_id: str) -> str | None:
        """Return the refund of everything captured for a shipment, requesting it; None when nothing is owed."""
        with self._engine.begin() as conn:
            order = locks.order_of_shipment(conn, shipment_id)
            return self._refunds.of_shipment(conn, order, shipment_id)

    def next_of_refund(self, refund_id: str) -> Operation | Refund:
        """Claim the next request of a refund; the refund as it stands when there is nothing to ask."""
        with self._engine.begin() as conn:
            claimed = self._refunds.next_step(conn, refund_id)
        crashpoint("refund.after_claim")
        return claimed

    def open_operation(self, key: str) -> Operation | None:
        """Return an operation whose outcome is still open, without claiming it."""
        with self._engine.begin() as conn:
            order = lock(conn, key)
            row = read(conn, key)
            operation = self._operations.of(conn, order, row, sends=row.sends)
            return None if operation.settled else operation

    def renewed(self, key: str) -> Operation:
        """Return the operation with a fresh provider key, its absence at the provider being proven."""
        with self._engine.begin() as conn:
            return self._operations.renew(conn, lock(conn, key), key)

    def captured(self, key: str, snapshot: PaymentSnapshot) -> None:
        """Record that a capture was done."""
        with self._engine.begin() as conn:
            self._captures.record(conn, lock(conn, key), key, snapshot)
        crashpoint("capture.after_record")

    def voided(self, key: str, snapshot: PaymentSnapshot) -> None:
        """Record that money was let go."""
        with self._engine.begin() as conn:
            order = lock(conn, key)
            unconfirmed = self._voids.record(conn, order, key, snapshot)
            if unconfirmed is not None and order.status in UNPAID:
                self._tell_declined(conn, order, unconfirmed, DeclineGroup.CHECK_DETAILS)
        crashpoint("void.after_record")

    def refunded(self, key: str, snapshot: RefundSnapshot) -> None:
        """Record what the provider says of a refund; what it only took waits for its event."""
        with self._engine.begin() as conn:
            self._refunds.record(conn, lock(conn, key), key, snapshot)
        crashpoint("refund.after_record")

    def failed(self, key: str, error_class: str) -> None:
        """Record that an operation was refused for good."""
        with self._engine.begin() as conn:
            order = lock(conn, key)
            operation = read(conn, key)
            if operation.kind == _K.REFUND:
                self._refunds.refused(conn, order, key, error_class)
            elif self._operations.settle(conn, key, _O.FAILED, error_class=error_class):
                self._end_of(conn, operation, error_class)

    def unknown(self, key: str, error_class: str) -> None:
        """Record that the answer to an operation is lost."""
        with self._engine.begin() as conn:
            lock(conn, key)
            self._operations.settle(conn, key, _O.UNKNOWN, error_class=error_class)

    def way_to_page(self, order_id: str) -> tuple[str, int]:
        """Return an order's tracking token and how many payments it tried, for a page to pay another way."""
        with self._engine.connect() as conn:
            row = conn.execute(_TO_PAGE, {"the_order": order_id}).one()
            return row.tracking_token, row.attempts

    def page_made(self, order_id: str, link: str) -> None:
        """Keep the link of the page on which the customer gives another way to pay."""
        with self._engine.begin() as conn:
            lock_order(conn, order_id)
            this = orders.c.order_id == order_id
            conn.execute(update(orders).where(this).values(payment_link=link))

    def _claim_again(self, conn: Connection, order: Row[Any], payment: Row[Any]) -> Operation | Authorization:
        row = read(conn, payment.payment_id)
        if row.state in (_O.CLAIMED, _O.UNKNOWN):
            return self._operations.again(conn, order, row)
        return _outcome(conn, order, payment.payment_id)

    def _claim_new(
        self, conn: Connection, order: Row[Any], attempt: int, wanted: tuple[str, ...]
    ) -> Operation | Authorization:
        shares.run_out(conn, order.order_id, now=self._now())
        missing: dict[str, int] = {}
        for shipment in shares.wanting(conn, wanted, now=self._now()):
            if shipment.work_status == WorkStatus.CANCELLED:
                raise Stop(shipment.shipment_id, "it was cancelled: nothing is owed for it")
            if shipment.value > shipment.covered:
                missing[shipment.shipment_id] = shipment.value - shipment.covered
        if not missing:
            return self._nothing_missing(conn, order, wanted)
        return self._open_payment(conn, order, attempt, missing)

    def _nothing_missing(self, conn: Connection, order: Row[Any], wanted: tuple[str, ...]) -> Authorization:
        payment_id = conn.execute(_LATEST_OF, {"those": wanted}).scalar_one_or_none()
        if payment_id is not None:
            return _outcome(conn, order, payment_id)
        return Authorization(payment_id="", status=_S.AUTHORIZED, shipments=wanted, **_stand(conn, order))

    def _open_payment(
        self, conn: Connection, order: Row[Any], attempt: int, missing: dict[str, int]
    ) -> Operation:
        subject = next(iter(missing)) if len(missing) == 1 else order.order_id
        key, amount = operation_key(order.order_id, _K.AUTHORIZE, subject, attempt), sum(missing.values())
        row = {
            "payment_id": key,
            "order_id": order.order_id,
            "attempt": attempt,
            "provider": PROVIDER,
            "status": _S.AUTHORIZING.value,
            "currency": order.currency,
            "asked": amount,
            "created_at": self._now(),
        }
        conn.execute(_ADD, row)
        shares.add(conn, key, missing)
        return self._operations.new(
            conn, order, key, _K.AUTHORIZE, payment_id=key, subject=subject, amount=amount
        )

    def _record(self, conn: Connection, order: Row[Any], key: str, snapshot: PaymentSnapshot) -> None:
        """Record the snapshot; one that was recorded before changes nothing."""
        match snapshot.status:
            case _S.AUTHORIZED | _S.CAPTURED:
                self._record_money(conn, order, key, snapshot)
            case _S.ACTION_REQUIRED | _S.AUTHORIZING:
                self._record_waiting(conn, order, key, snapshot)
            case _:
                group = snapshot.decline_group or DeclineGroup.RETRY_LATER
                self._decline(conn, order, key, group, snapshot.decline_code or str(snapshot.status))

    def _record_money(self, conn: Connection, order: Row[Any], key: str, snapshot: PaymentSnapshot) -> None:
        reserved: dict[str, Any] = {"authorized": snapshot.authorized, "expires_at": snapshot.expires_at}
        reserved |= {"status": _S.AUTHORIZED.value, "provider_ref": snapshot.reference}
        reserved |= {"multicapture": snapshot.multicapture, "next_action_url": None}
        payment = conn.execute(_ANSWERED, {"the_payment": key, **reserved}).one_or_none()
        if payment is None:
            return
        self._operations.settle(conn, key, _O.SUCCEEDED, reference=snapshot.reference)
        payment_news.match_again(conn, payment, now=self._now(), policy=self._policy)
        if (refused := self._why_not(conn, order, payment, snapshot)) is not None:
            self._stands_refused(conn, order, payment, refused)
            return
        if payment.attempt > 1:
            self._paid_at_last(conn, order)
        risk.hold_if_risky(conn, order, snapshot, now=self._now(), policy=self._policy)
        advance(conn, order, now=self._now(), policy=self._policy)

    def _why_not(
        self, conn: Connection, order: Row[Any], payment: Row[Any], snapshot: PaymentSnapshot
    ) -> DeclineGroup | None:
        """Return why money that is reserved is not accepted, None when it is."""
        if snapshot.authorized < payment.asked:
            return DeclineGroup.OTHER_METHOD
        too_risky = risk.too_risky(conn, order, snapshot, policy=self._policy)
        return DeclineGroup.NEVER_AGAIN if too_risky else None

    def _stands_refused(
        self, conn: Connection, order: Row[Any], payment: Row[Any], group: DeclineGroup
    ) -> None:
        """Count the money as not there. It stands at the provider until it is let go, and shows as surplus."""
        refused = {"the_payment": payment.payment_id, "decline_group": group.value}
        conn.execute(update(payments).where(_THE_PAYMENT), refused)
        shares.let_go(conn, payment.payment_id)
        self._tell_declined(conn, order, payment, group)

    def _record_waiting(self, conn: Connection, order: Row[Any], key: str, snapshot: PaymentSnapshot) -> None:
        payment = conn.execute(_PAYMENT, {"the_payment": key}).one()
        waiting: dict[str, Any] = {"status": snapshot.status.value, "provider_ref": snapshot.reference}
        waiting |= {"next_action_url": snapshot.next_action_url}
        if conn.execute(_ANSWERED, {"the_payment": key, **waiting}).one_or_none() is None:
            return
        if snapshot.status is _S.AUTHORIZING:
            self._operations.settle(conn, key, _O.ACCEPTED, reference=snapshot.reference)
            return
        self._operations.settle(conn, key, _O.SUCCEEDED, reference=snapshot.reference)
        if payment.status != _S.ACTION_REQUIRED:
            self._tell_action(conn, order, payment, snapshot)

    def _tell_action(
        self, conn: Connection, order: Row[Any], payment: Row[Any], snapshot: PaymentSnapshot
    ) -> None:
        order_id, now = order.order_id, self._now()
        _answer(conn, order)
        journal.event(
            conn, order_id, EventKind.PAYMENT_ACTION, "Your bank asks you to confirm the payment.", at=now
        )
        confirm_by = now + self._policy.payment_action_wait
        told = {"next_action_url": snapshot.next_action_url, "pay_by": confirm_by.isoformat()}
        fact, version = Fact.PAYMENT_ACTION, payment.attempt
        journal.tell(conn, order_id, fact, subject=order_id, version=version, data=told, now=now)

    def _paid_at_last(self, conn: Connection, order: Row[Any]) -> None:
        kind, now = CaseKind.PAYMENT_DECLINED, self._now()
        cases.resolve(conn, kind, subject=order.order_id, resolution="paid", now=now)

    def _decline(
        self, conn: Connection, order: Row[Any], key: str, group: DeclineGroup, error_class: str
    ) -> None:
        no = {"status": _S.DECLINED.value, "decline_group": group.value, "next_action_url": None}
        payment = conn.execute(_ANSWERED, {"the_payment": key, **no}).one_or_none()
        if payment is None:
            return
        self._operations.settle(conn, key, _O.FAILED, error_class=error_class)
        shares.let_go(conn, key)
        self._tell_declined(conn, order, payment, group)

    def _tell_declined(
        self, conn: Connection, order: Row[Any], payment: Row[Any], group: DeclineGroup
    ) -> None:
        order_id, now = order.order_id, self._now()
        _not_paid(conn, order)
        due_at = now + self._policy.payment_retry_wait
        cases.open_case(conn, order_id, CaseKind.PAYMENT_DECLINED, subject=order_id, due_at=due_at, now=now)
        journal.event(conn, order_id, EventKind.PAYMENT_DECLINED, _ADVICE[group], at=now)
        told = {"decline_group": group.value, "pay_by": due_at.isoformat()}
        fact, version = Fact.PAYMENT_DECLINED, payment.attempt
        journal.tell(conn, order_id, fact, subject=order_id, version=version, data=told, now=now)

    def _end_of(self, conn: Connection, operation: Row[Any], error_class: str) -> None:
        """Note what a refusal means for its payment."""
        this = {"the_payment": operation.payment_id}
        if operation.kind == _K.AUTHORIZE:
            conn.execute(_ANSWERED, this | {"status": _S.VOIDED.value})
            shares.let_go(conn, operation.payment_id)
        elif operation.kind == _K.CAPTURE and error_class == AuthorizationExpired.__name__:
            self._captures.ran_out(conn, operation.payment_id)


def _answer(conn: Connection, order: Row[Any], **changes: Any) -> None:
    """Answer the placing with "declined" where nothing was answered yet: the storefront shows what to do next."""
    changes["placed"] = func.coalesce(orders.c.placed, "declined")
    conn.execute(update(orders).where(orders.c.order_id == order.order_id).values(changes))


def _not_paid(conn: Connection, order: Row[Any]) -> None:
    changes: dict[str, Any] = {}
    if order.status == OrderStatus.RESERVED:
        changes["status"] = OrderStatus.PAYMENT_FAILED.value
    _answer(conn, order, **changes)


def _outcome(conn: Connection, order: Row[Any], key: str) -> Authorization:
    payment = conn.execute(_PAYMENT, {"the_payment": key}).one()
    return Authorization(
        payment_id=key,
        # What was refused though the bank said yes stands until it is let go; it counts as declined at once.
        status=_S.DECLINED if payment.decline_group else _S(payment.status),
        shipments=tuple(conn.execute(_SHIPMENTS_OF, {"the_payment": key}).scalars()),
        expires_at=payment.expires_at,
        decline_group=payment.decline_group,
        next_action_url=payment.next_action_url,
        **_stand(conn, order),
    )


def _stand(conn: Connection, order: Row[Any]) -> dict[str, Any]:
    return {
        "confirmed": order.status in CONFIRMED,
        "promise_date": order.promise_date,
        "released": tuple(conn.execute(_RELEASED, {"the_order": order.order_id}).scalars()),
        "holds": holds.active(conn, order.order_id),
    }
