"""Events of payment providers: what is safe is applied, the rest is a hint on which the order asks.

An event about a payment we do not know yet waits in the inbox, and is applied when the payment is written.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, bindparam, exists, or_, select, update

from fulfillment.domain.events import EventKind
from fulfillment.domain.findings import Unheard
from fulfillment.domain.holds import HoldReason
from fulfillment.domain.order import ENDED, OrderStatus
from fulfillment.domain.payment import OperationKind, OperationState, PaymentStatus
from fulfillment.domain.payment_news import (
    DisputeHint,
    FraudWarningHint,
    Hint,
    MethodHint,
    PaymentHint,
    RefundHint,
    ReviewHint,
    as_json,
    from_json,
)
from fulfillment.domain.policy import DEFAULT, Policy
from fulfillment.storage import disputes, holds, journal, risk, shares, signals
from fulfillment.storage.coverage import OPEN_ATTEMPT
from fulfillment.storage.inbox import APPLIED, IGNORED, UNMATCHED, receiving, record_once, settle
from fulfillment.storage.operations import Operations
from fulfillment.storage.orders import lock_order
from fulfillment.storage.refunding import Refunds
from fulfillment.storage.tables import inbox, orders, payments, provider_operations

_S = PaymentStatus
_REVIEW_APPROVED: Final = "the review ended well"
_NAMED: Final = (
    select(payments.c.payment_id, payments.c.order_id)
    .where(
        payments.c.provider == bindparam("the_provider"),
        or_(
            payments.c.provider_ref == bindparam("the_reference"),
            payments.c.payment_id == bindparam("the_key"),
        ),
    )
    .limit(1)
)
_PAYMENT: Final = select(payments).where(payments.c.payment_id == bindparam("the_payment"))
_CHANGE: Final = update(payments).where(payments.c.payment_id == bindparam("the_payment"))
_BEING_TAKEN: Final = select(
    exists().where(
        provider_operations.c.payment_id == bindparam("the_payment"),
        provider_operations.c.kind == OperationKind.CAPTURE.value,
        provider_operations.c.state.in_([OperationState.CLAIMED.value, OperationState.UNKNOWN.value]),
    )
)
# What the provider let go for us is never reserved again: news of that is old.
_LET_GO: Final = select(
    exists().where(
        provider_operations.c.payment_id == bindparam("the_payment"),
        provider_operations.c.kind == OperationKind.VOID.value,
        provider_operations.c.state == OperationState.SUCCEEDED.value,
    )
)
_REFUND: Final = select(provider_operations.c.operation_key).where(
    or_(
        provider_operations.c.operation_key == bindparam("the_key"),
        provider_operations.c.provider_ref == bindparam("the_refund"),
    ),
    provider_operations.c.kind == "refund",
)
_WAITING: Final = (
    select(inbox)
    .where(
        inbox.c.provider == bindparam("the_provider"),
        inbox.c.state == UNMATCHED,
        inbox.c.subject == bindparam("the_reference"),
        inbox.c.hint.is_not(None),
    )
    .order_by(inbox.c.received_at, inbox.c.event_id)
)
_WARNING_OVER: Final = "given back or disputed: there is nothing to prevent any more"
_WAS_SAID: Final = select(
    exists().where(inbox.c.subject == bindparam("the_reference"), inbox.c.why == bindparam("this"))
)


class PaymentInbox:
    """Events of payment providers. `now` is shop time."""

    def __init__(self, engine: Engine, now: Callable[[], datetime], *, policy: Policy = DEFAULT) -> None:
        self._engine, self._now, self._policy = engine, now, policy

    def record(
        self, provider: str, event_id: str, hint: Hint, body: Mapping[str, Any]
    ) -> tuple[Unheard, ...]:
        """Record an event, apply what is safe, and return what the order must hear; a repeat does nothing."""
        now = self._now()
        with receiving(self._engine) as conn:
            kept = as_json(hint)
            if not record_once(
                conn,
                provider,
                event_id,
                kind=hint.kind,
                subject=hint.reference,
                body=body,
                now=now,
                hint=kept,
            ):
                return ()
            if isinstance(hint, MethodHint):
                return self._offer_method(conn, provider, event_id, hint)
            if isinstance(hint, PaymentHint) and hint.status is None:
                settle(conn, provider, event_id, IGNORED, why="it means nothing to us")
                return ()
            payment = _payment(conn, provider, hint)
            if payment is None:
                settle(conn, provider, event_id, UNMATCHED, why="no payment of ours has this reference")
                return ()
            _apply(conn, provider, event_id, payment, hint, now=now, policy=self._policy)
            return signals.waiting(conn, payment.order_id)

    def _offer_method(
        self, conn: Connection, provider: str, event_id: str, hint: MethodHint
    ) -> tuple[Unheard, ...]:
        """Hand a new way to pay on to the order, which tries it; only the order changes how it is paid."""
        known = select(orders.c.order_id).where(orders.c.order_id == hint.order_id)
        if conn.execute(known).one_or_none() is None:
            settle(conn, provider, event_id, UNMATCHED, why="there is no such order")
            return ()
        order = lock_order(conn, hint.order_id)
        if OrderStatus(order.status) in ENDED:
            settle(conn, provider, event_id, IGNORED, order_id=hint.order_id, why="the order has ended")
            return ()
        said = {"method": hint.method, "by": "customer", "request_id": event_id}
        key, at = f"{provider}:{event_id}", self._now()
        journal.signal(conn, hint.order_id, signals.RETRY_PAYMENT, said, fact_key=key, at=at)
        settle(conn, provider, event_id, APPLIED, order_id=hint.order_id, why="another way to pay")
        return signals.waiting(conn, hint.order_id)


def match_again(conn: Connection, payment: Row[Any], *, now: datetime, policy: Policy) -> None:
    """Apply what came about a payment before its reference was known. The order must be locked."""
    said = {"the_provider": payment.provider, "the_reference": payment.provider_ref}
    for event in conn.execute(_WAITING, said).all():
        hint = from_json(event.hint)
        fresh = conn.execute(_PAYMENT, {"the_payment": payment.payment_id}).one()
        _apply(conn, event.provider, event.event_id, fresh, hint, now=now, policy=policy)


def _apply(
    conn: Connection,
    provider: str,
    event_id: str,
    payment: Row[Any],
    hint: Hint,
    *,
    now: datetime,
    policy: Policy,
) -> None:
    order = lock_order(conn, payment.order_id)
    match hint:
        case PaymentHint():
            why = _payment_news(conn, order, payment, hint, key=f"{provider}:{event_id}", now=now)
        case RefundHint():
            why = _refund_news(conn, order, hint, now=now, policy=policy)
        case DisputeHint():
            why = disputes.record(conn, order, payment, hint, now=now, policy=policy)
        case ReviewHint():
            why = _review_news(conn, order, hint, now=now, policy=policy)
        case FraudWarningHint():
            why = _warning_news(conn, order, payment, hint, now=now, policy=policy)
        case MethodHint():
            raise AssertionError("a method is offered to an order, not to a payment")
    state = APPLIED if why else UNMATCHED
    settle(conn, provider, event_id, state, order_id=order.order_id, why=why or "no refund of ours is meant")


def _payment_news(
    conn: Connection, order: Row[Any], payment: Row[Any], hint: PaymentHint, *, key: str, now: datetime
) -> str:
    if payment.status == _S.AUTHORIZED:
        return _authorized_news(conn, order, payment, hint, key=key, now=now)
    if payment.status in OPEN_ATTEMPT:
        # Before the provider has answered us, its answer is on its way and says more.
        if payment.provider_ref is not None and OrderStatus(order.status) not in ENDED:
            said = {"payment_id": payment.payment_id}
            journal.signal(conn, order.order_id, signals.PAYMENT_NEWS, said, fact_key=key, at=now)
        return "the order asks what became of the attempt"
    if hint.status is _S.AUTHORIZED and _was_let_go(conn, payment):
        return "it was let go since"
    if hint.status in (_S.AUTHORIZED, _S.CAPTURED) and not payment.authorized:
        return _stands_after_all(conn, order, payment, hint.reference, now)
    return f"the payment is {payment.status}"


def _was_let_go(conn: Connection, payment: Row[Any]) -> bool:
    return bool(conn.execute(_LET_GO, {"the_payment": payment.payment_id}).scalar_one())


def _authorized_news(
    conn: Connection, order: Row[Any], payment: Row[Any], hint: PaymentHint, *, key: str, now: datetime
) -> str:
    if hint.status is _S.CAPTURED and _rest_ran_out(conn, payment):
        _expire(conn, payment, now)
        disputes.say_replanned(conn, order, f"{key}:rest", "the rest of a payment ran out", now)
        return "the rest of the payment ran out"
    if hint.status is _S.EXPIRED:
        _expire(conn, payment, now)
        disputes.say_replanned(conn, order, f"{key}:expired", "an authorization ran out", now)
        return "the authorization ran out"
    if hint.status is _S.AUTHORIZED and hint.expires_at is not None:
        conn.execute(_CHANGE, {"the_payment": payment.payment_id, "expires_at": hint.expires_at})
        return "the authorization's end is known"
    return "a hint without effect"


def _rest_ran_out(conn: Connection, payment: Row[Any]) -> bool:
    """Whether a payment that is charged part by part ended without our doing.

    The provider lets the rest go when its time is over, and calls the payment succeeded. It says the same of our own
    last capture, whose answer may still be on its way.
    """
    if not payment.multicapture or not payment.captured:
        return False
    return not conn.execute(_BEING_TAKEN, {"the_payment": payment.payment_id}).scalar_one()


def _expire(conn: Connection, payment: Row[Any], now: datetime) -> None:
    """Note that the money is gone; the order is told, and gets it again before anything leaves."""
    ended = _S.CAPTURED if payment.captured else _S.EXPIRED
    conn.execute(_CHANGE, {"the_payment": payment.payment_id, "status": ended.value})
    shares.let_go(conn, payment.payment_id)
    text = "The money we had reserved on your card was released by your bank."
    data = {"payment_id": payment.payment_id}
    journal.event(conn, payment.order_id, EventKind.AUTHORIZATION_EXPIRED, text, at=now, data=data)


def _stands_after_all(
    conn: Connection, order: Row[Any], payment: Row[Any], reference: str, now: datetime
) -> str:
    """Correct an attempt we had given up: it covers nothing any more, so the sweep lets its money go."""
    # Where the bank's no was all we heard of it, we learn its name only now.
    stands = {"status": _S.AUTHORIZED.value, "authorized": payment.asked, "provider_ref": reference}
    conn.execute(_CHANGE, {"the_payment": payment.payment_id, **stands})
    shares.let_go(conn, payment.payment_id)
    outcome = f"{payment.payment_id} was {payment.status}; the provider says that it stands: it is let go"
    journal.audit(conn, order.order_id, actor="system", command="correct_payment", outcome=outcome, at=now)
    return "an attempt we had given up came to something"


def _refund_news(
    conn: Connection, order: Row[Any], hint: RefundHint, *, now: datetime, policy: Policy
) -> str:
    said = {"the_key": hint.operation, "the_refund": hint.refund}
    key = conn.execute(_REFUND, said).scalars().first()
    if key is None:
        return ""

    def clock() -> datetime:
        return now

    refunds = Refunds(Operations(clock, clock), clock, policy)
    refunds.record(conn, order, key, hint.snapshot)
    return f"the refund is {hint.status}"


def _review_news(
    conn: Connection, order: Row[Any], hint: ReviewHint, *, now: datetime, policy: Policy
) -> str:
    if not hint.is_open:
        return _review_closed(conn, order, hint, now)
    # Its end may overtake its beginning.
    if _was_said(conn, hint.reference, _REVIEW_APPROVED):
        return "the review has ended already"
    if OrderStatus(order.status) in ENDED:
        return "the order has ended"
    risk.hold_for_review(conn, order, "the payment provider reviews it", now=now, policy=policy)
    disputes.say_replanned(conn, order, f"{hint.reference}:review", "a payment is under review", now)
    return "held for the review"


def _review_closed(conn: Connection, order: Row[Any], hint: ReviewHint, now: datetime) -> str:
    if not hint.approved:
        return "the review ended badly: the hold stands"
    if holds.end(conn, order.order_id, HoldReason.FRAUD, by="review", now=now):
        risk.cleared(conn, order, now=now)
        disputes.say_replanned(conn, order, f"{hint.reference}:reviewed", "a review ended well", now)
    return _REVIEW_APPROVED


def _warning_news(
    conn: Connection,
    order: Row[Any],
    payment: Row[Any],
    hint: FraudWarningHint,
    *,
    now: datetime,
    policy: Policy,
) -> str:
    """The bank's word weighs more than a score: what a person cleared before is held again, once per reason."""
    if not hint.can_be_answered:
        disputes.warning_over(conn, payment, now=now)
        return _WARNING_OVER
    if _was_said(conn, hint.reference, _WARNING_OVER):
        return "it has been answered already"
    came_to = [disputes.warn(conn, order, payment, hint.reason, now=now, policy=policy)]
    if risk.hold_for_warning(conn, order, hint.reason, now=now, policy=policy):
        disputes.say_replanned(
            conn, order, f"{hint.reference}:warning", "the bank of a card reports fraud", now
        )
        came_to.append("what has not left is held")
    return (
        ", ".join(text for text in came_to if text) or "nothing of it is taken, and nothing can be held back"
    )


def _was_said(conn: Connection, reference: str, this: str) -> bool:
    """Test whether another event about a payment had come to this: the end of a thing may overtake its beginning."""
    said = {"the_reference": reference, "this": this}
    return bool(conn.execute(_WAS_SAID, said).scalar_one())


def _payment(conn: Connection, provider: str, hint: Hint) -> Row[Any] | None:
    """The payment as it stands once its order is locked."""
    named = {"the_provider": provider, "the_reference": hint.reference}
    key = hint.operation if isinstance(hint, PaymentHint) else ""
    found = conn.execute(_NAMED, {**named, "the_key": key}).first()
    if found is None:
        return None
    lock_order(conn, found.order_id)
    return conn.execute(_PAYMENT, {"the_payment": found.payment_id}).one()
