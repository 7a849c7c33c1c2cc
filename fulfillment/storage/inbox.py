"""Providers' events: each recorded once, those about nothing we know kept until we know it."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from fulfillment.crashpoints import crashpoint
from fulfillment.domain.findings import Unheard
from fulfillment.domain.payment import PaymentStatus
from fulfillment.storage import journal, locks, signals
from fulfillment.storage.tables import inbox, payments

APPLIED: Final = "applied"
UNMATCHED: Final = "unmatched"
IGNORED: Final = "ignored"


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentHint:
    """What a payment provider's event says, in our words. It is a hint: only asking the provider is believed.

    `operation` is the key of ours that the provider carries with the payment, for events that come before its
    reference is known here. `status` is None for news that means nothing to us.
    """

    kind: str
    reference: str
    operation: str = ""
    status: PaymentStatus | None = None
    expires_at: datetime | None = None


@contextmanager
def receiving(engine: Engine) -> Iterator[Connection]:
    """Receive one event in one transaction: only what is committed may be answered with a 2xx."""
    with engine.begin() as conn:
        yield conn
        crashpoint("webhook.before_commit")
    crashpoint("webhook.after_commit")


def record_once(
    conn: Connection,
    provider: str,
    event_id: str,
    *,
    kind: str,
    subject: str,
    body: Mapping[str, Any],
    now: datetime,
) -> bool:
    """Record an event as not matched yet; False when it was recorded before, which ends its story here."""
    row = {"provider": provider, "event_id": event_id, "kind": kind, "subject": subject, "body": body}
    new = insert(inbox).values(row | {"state": UNMATCHED, "received_at": now}).on_conflict_do_nothing()
    return conn.execute(new).rowcount == 1


def settle(
    conn: Connection, provider: str, event_id: str, state: str, *, order_id: str | None = None, why: str = ""
) -> None:
    """Note what became of an event."""
    this = (inbox.c.provider == provider) & (inbox.c.event_id == event_id)
    conn.execute(update(inbox).where(this).values(state=state, order_id=order_id, why=why))


class PaymentInbox:
    """Events of payment providers. `now` is shop time."""

    def __init__(self, engine: Engine, now: Callable[[], datetime]) -> None:
        self._engine, self._now = engine, now

    def record(
        self, provider: str, event_id: str, hint: PaymentHint, body: Mapping[str, Any]
    ) -> tuple[Unheard, ...]:
        """Record an event, apply what is safe, and return what the order must hear; a repeat does nothing."""
        now = self._now()
        with receiving(self._engine) as conn:
            if not record_once(
                conn, provider, event_id, kind=hint.kind, subject=hint.reference, body=body, now=now
            ):
                return ()
            if hint.status is None:
                settle(conn, provider, event_id, IGNORED, why="it means nothing to us")
                return ()
            payment = _payment(conn, provider, hint)
            if payment is None:
                settle(conn, provider, event_id, UNMATCHED, why="no payment of ours has this reference")
                return ()
            why = self._apply(conn, payment, hint, now)
            settle(conn, provider, event_id, APPLIED, order_id=payment.order_id, why=why)
            return signals.waiting(conn, payment.order_id)

    def _apply(self, conn: Connection, payment: Row[Any], hint: PaymentHint, now: datetime) -> str:
        if payment.status != PaymentStatus.AUTHORIZED.value:
            return f"the payment is {payment.status}"
        if hint.status is PaymentStatus.EXPIRED:
            self._expire(conn, payment, now)
            return "the authorization ran out"
        if hint.status is PaymentStatus.AUTHORIZED and hint.expires_at is not None:
            _change(conn, payment, expires_at=hint.expires_at)
            return "the authorization's end is known"
        return "a hint without effect"

    def _expire(self, conn: Connection, payment: Row[Any], now: datetime) -> None:
        """Note that the money is gone; the sweep tells the order, which gets it again before anything leaves."""
        _change(conn, payment, status=PaymentStatus.EXPIRED.value)
        journal.event(
            conn,
            payment.order_id,
            "authorization_expired",
            "The money we had reserved on your card was released by your bank.",
            at=now,
            data={"shipment_id": payment.shipment_id},
        )


def _payment(conn: Connection, provider: str, hint: PaymentHint) -> Row[Any] | None:
    """The payment as it stands once its order is locked."""
    named = or_(payments.c.provider_ref == hint.reference, payments.c.payment_id == hint.operation)
    found = conn.execute(select(payments).where(payments.c.provider == provider, named)).first()
    if found is None:
        return None
    locks.order_of_shipment(conn, found.shipment_id)
    return conn.execute(select(payments).where(payments.c.payment_id == found.payment_id)).one()


def _change(conn: Connection, payment: Row[Any], **values: Any) -> None:
    conn.execute(update(payments).where(payments.c.payment_id == payment.payment_id).values(values))
