"""Messages to customers on their way out: leased, sent once, withdrawn when their news is no longer true."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Engine, and_, exists, or_, select, update

from fulfillment.domain.cases import CaseKind, CaseState
from fulfillment.domain.clock import ShopClock
from fulfillment.domain.holds import HoldReason
from fulfillment.domain.notifications import Fact, NotificationState
from fulfillment.domain.order import OrderStatus
from fulfillment.domain.payment import PaymentStatus
from fulfillment.storage.tables import backorders, cases, holds, orders, outbox, payments, shipments

_LEASE: Final = timedelta(seconds=60)  # real time: longer than any mail server's patience
_STALE: Final = "no longer true"
_STOPPED: Final = (OrderStatus.CANCELLING, OrderStatus.CANCELLED, OrderStatus.EXPIRED, OrderStatus.REJECTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A fact to tell. `tries` counts the sendings before this one."""

    notification_id: int
    order_id: str
    fact: Fact
    subject: str
    version: int
    channel: str
    recipient: str
    data: dict[str, Any]
    tries: int
    at: datetime


class OutboxStore:
    """The messages still to send. `now` is shop time; a sender's patience is real time."""

    def __init__(self, engine: Engine, now: Callable[[], datetime], clock: ShopClock) -> None:
        self._engine, self._now, self._clock = engine, now, clock

    def lease(self, limit: int) -> tuple[Message, ...]:
        """Take messages that are due; nobody else gets them until the lease has run out.

        A message whose lease ran out was sent or was not; it is taken again under the same Message-ID.
        """
        now = self._now()
        with self._engine.begin() as conn:
            _withdraw_stale(conn, now)
            return _leased(conn, limit, now, now + _LEASE * self._clock.speed)

    def sent(self, notification_id: int) -> None:
        """Note that the mail server took it."""
        self._ended(notification_id, NotificationState.SENT, sent_at=self._now())

    def later(self, notification_id: int, why: str, after: timedelta) -> None:
        """Put it back for another try after `after` of real time."""
        due = self._now() + after * self._clock.speed
        self._ended(notification_id, NotificationState.PENDING, why=why, not_before=due)

    def dead(self, notification_id: int, why: str) -> None:
        """Give it up: no try will ever succeed."""
        self._ended(notification_id, NotificationState.DEAD, why=why)

    def withdraw(self, notification_id: int, why: str) -> None:
        """Do not send it: its news is no longer true."""
        self._ended(notification_id, NotificationState.WITHDRAWN, why=why)

    def _ended(self, notification_id: int, state: NotificationState, **values: Any) -> None:
        # What is sent stays sent, whatever a sender with an older lease reports afterwards.
        mine = and_(
            outbox.c.notification_id == notification_id, outbox.c.state == NotificationState.CLAIMED.value
        )
        with self._engine.begin() as conn:
            conn.execute(update(outbox).where(mine).values(state=state.value, lease_until=None, **values))


def _withdraw_stale(conn: Connection, now: datetime) -> None:
    stale = and_(_due(now), _no_longer_true())
    withdrawn = {"state": NotificationState.WITHDRAWN.value, "why": _STALE, "lease_until": None}
    conn.execute(update(outbox).where(stale).values(withdrawn))


def _due(now: datetime) -> ColumnElement[bool]:
    return or_(
        and_(outbox.c.state == NotificationState.PENDING.value, outbox.c.not_before <= now),
        and_(outbox.c.state == NotificationState.CLAIMED.value, outbox.c.lease_until <= now),
    )


def _no_longer_true() -> ColumnElement[bool]:
    waits = exists().where(backorders.c.order_id == outbox.c.order_id, backorders.c.state == "waiting")
    newer = outbox.alias("newer")
    superseded = exists().where(
        newer.c.order_id == outbox.c.order_id,
        newer.c.fact == outbox.c.fact,
        newer.c.subject == outbox.c.subject,
        newer.c.version > outbox.c.version,
    )
    arrived = exists().where(shipments.c.shipment_id == outbox.c.subject, shipments.c.outcome == "delivered")
    stopped = exists().where(
        orders.c.order_id == outbox.c.order_id, orders.c.status.in_([status.value for status in _STOPPED])
    )
    asks = exists().where(
        payments.c.order_id == outbox.c.order_id,
        payments.c.attempt == outbox.c.version,
        payments.c.status == PaymentStatus.ACTION_REQUIRED.value,
    )
    unanswered = exists().where(
        cases.c.order_id == outbox.c.order_id,
        cases.c.kind == CaseKind.OUT_OF_STOCK.value,
        cases.c.state != CaseState.RESOLVED.value,
    )
    held_for_address = exists().where(
        holds.c.order_id == outbox.c.order_id,
        holds.c.reason == HoldReason.ADDRESS.value,
        holds.c.state == "active",
    )
    return or_(
        and_(outbox.c.fact == Fact.BACKORDERED.value, ~waits),
        and_(outbox.c.fact == Fact.PAYMENT_ACTION.value, ~asks),
        and_(outbox.c.fact == Fact.SHORTAGE_ASKED.value, ~unanswered),
        and_(outbox.c.fact == Fact.ADDRESS_ASKED.value, ~held_for_address),
        and_(outbox.c.fact == Fact.DELAYED.value, or_(superseded, arrived)),
        and_(outbox.c.fact == Fact.CONFIRMED.value, stopped),
    )


def _leased(conn: Connection, limit: int, now: datetime, until: datetime) -> tuple[Message, ...]:
    chosen = (
        select(outbox.c.notification_id)
        .where(_due(now))
        .order_by(outbox.c.notification_id)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("chosen")
    )
    taken = (
        update(outbox)
        .where(outbox.c.notification_id == chosen.c.notification_id)
        .values(state=NotificationState.CLAIMED.value, lease_until=until, tries=outbox.c.tries + 1)
        .returning(outbox)
    )
    rows = sorted(conn.execute(taken), key=lambda row: row.notification_id)
    return tuple(_message(row) for row in rows)


def _message(row: Any) -> Message:
    return Message(
        notification_id=row.notification_id,
        order_id=row.order_id,
        fact=Fact(row.fact),
        subject=row.subject,
        version=row.version,
        channel=row.channel,
        recipient=row.recipient,
        data=row.data,
        tries=row.tries - 1,
        at=row.at,
    )
