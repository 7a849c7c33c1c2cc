"""Messages to customers on their way out: leased, sent once, withdrawn when their news is no longer true."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Engine, Row, and_, func, not_, or_, select, update

from fulfillment.domain.address import Address
from fulfillment.domain.clock import ShopClock
from fulfillment.domain.notifications import Block, Channel, Fact, NotificationState, QuietHours, rule_of
from fulfillment.domain.policy import DEFAULT, Policy
from fulfillment.domain.zones import zone_of
from fulfillment.storage import contacts
from fulfillment.storage.tables import contact_blocks, customer_preferences, orders, outbox
from fulfillment.storage.truth import no_longer_true

_LEASE: Final = timedelta(seconds=60)  # real time: longer than any provider's patience
_STALE: Final = "no longer true"
_OFF: Final = "this shop sends none"
_N = NotificationState
_OPEN_AGAIN: Final = (_N.CLAIMED.value, _N.UNKNOWN.value)
_LOOKED_AT_ONCE: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A fact to tell. `tries` counts the sendings before this one; `zone` and `locale` are the recipient's.

    `blocked` says why it cannot go to this recipient. `body` is what was sent before, where that is kept;
    `provider_refs` name the sends that the provider told us of, `first_sent_at` is real time.
    """

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
    zone: str = "UTC"
    locale: str = ""
    blocked: str = ""
    body: str = ""
    provider_refs: tuple[str, ...] = ()
    first_sent_at: datetime | None = None


class OutboxStore:
    """The messages still to send. `now` is shop time; a sender's patience is real time.

    `channels` are those that this shop has.
    """

    def __init__(
        self,
        engine: Engine,
        now: Callable[[], datetime],
        clock: ShopClock,
        *,
        policy: Policy = DEFAULT,
        channels: Collection[Channel] = tuple(Channel),
    ) -> None:
        self._engine, self._now, self._clock, self._policy = engine, now, clock, policy
        self._channels = frozenset(channels)
        self._quiet = QuietHours.between(policy.quiet_from, policy.quiet_until)

    def lease(self, limit: int) -> tuple[Message, ...]:
        """Take messages that are due; nobody else gets them until the lease has run out.

        What is stale is withdrawn, what is not wanted suppressed, what would come in quiet hours put off.
        A message whose lease ran out was sent or was not; the next sender sees that it was tried.
        """
        now = self._now()
        with self._engine.begin() as conn:
            _withdraw_stale(conn, now)
            while rows := _due_rows(conn, now, min(limit, _LOOKED_AT_ONCE)):
                if taken := self._sorted_out(conn, rows, now):
                    return taken
        return ()

    def sent(self, notification_id: int, ref: str = "") -> None:
        """Note that the channel took it; `ref` is its name there, where it has one."""
        self._ended(notification_id, _N.SENT, sent_at=self._now(), **_with_ref(ref))

    def later(self, notification_id: int, why: str, after: timedelta) -> None:
        """Put it back for another try after `after` of real time."""
        due = self._now() + after * self._clock.speed
        self._ended(notification_id, _N.PENDING, why=why, not_before=due)

    def unknown(self, notification_id: int, why: str, after: timedelta) -> None:
        """Note that it may have left; after `after` of real time the channel is to be asked."""
        due = self._now() + after * self._clock.speed
        mine = _mine(notification_id)
        with self._engine.begin() as conn:
            values = {"state": _N.UNKNOWN.value, "why": why, "lease_until": due}
            conn.execute(update(outbox).where(mine).values(values))

    def dead(self, notification_id: int, why: str, block: Block | None = None) -> None:
        """Give it up for this recipient, who with `block` gets nothing more on this channel.

        What must be told goes another way, or is a case for support.
        """
        with self._engine.begin() as conn:
            contacts.lost(conn, notification_id, _N.DEAD, why, block, now=self._now(), policy=self._policy)

    def withdraw(self, notification_id: int, why: str) -> None:
        """Do not send it: its news is no longer true."""
        self._ended(notification_id, _N.WITHDRAWN, why=why)

    def keep_body(self, notification_id: int, body: str) -> None:
        """Keep what is about to be sent, and since when: by these its provider can be asked about it."""
        first = func.coalesce(outbox.c.first_sent_at, func.clock_timestamp())
        with self._engine.begin() as conn:
            conn.execute(update(outbox).where(_mine(notification_id)).values(body=body, first_sent_at=first))

    def _sorted_out(self, conn: Connection, rows: Sequence[Row[Any]], now: datetime) -> tuple[Message, ...]:
        taken = []
        for row in rows:
            zone = row.chosen_zone or zone_of(Address(**row.ship_to))
            if (why := _unwanted(row)) and row.state == _N.PENDING:
                _set(conn, row, state=_N.SUPPRESSED.value, why=why, zone=zone)
            elif (opens := self._opens(row, now, zone)) > now:
                _set(conn, row, state=row.state, not_before=opens, zone=zone, lease_until=_later(row, opens))
            else:
                taken.append((row, zone))
        for row, zone in taken:
            until = now + _LEASE * self._clock.speed
            claimed = {"state": _N.CLAIMED.value, "lease_until": until, "taken_at": now, "zone": zone}
            _set(conn, row, **claimed, tries=row.tries + 1)
        return tuple(self._message(row, zone) for row, zone in taken)

    def _opens(self, row: Row[Any], now: datetime, zone: str) -> datetime:
        """Return from when on it may go."""
        earliest = now
        if row.fact == Fact.DELAYED.value and row.told_late_at is not None:
            earliest = max(now, row.told_late_at + self._policy.delay_told_every)
        return earliest if rule_of(Fact(row.fact)).at_once else self._quiet.next_open(earliest, zone)

    def _message(self, row: Row[Any], zone: str) -> Message:
        off = "" if Channel(row.channel) in self._channels else _OFF
        return Message(
            notification_id=row.notification_id,
            order_id=row.order_id,
            fact=Fact(row.fact),
            subject=row.subject,
            version=row.version,
            channel=row.channel,
            recipient=row.recipient,
            data=row.data,
            tries=row.tries,
            at=row.at,
            zone=zone,
            locale=row.chosen_locale or row.order_locale,
            blocked=row.blocked or off,
            body=row.body or "",
            provider_refs=tuple(row.provider_refs),
            first_sent_at=row.first_sent_at,
        )

    def _ended(self, notification_id: int, state: NotificationState, **values: Any) -> None:
        # What is sent stays sent, whatever a sender with an older lease reports afterwards.
        with self._engine.begin() as conn:
            ended = {"state": state.value, "lease_until": None, **values}
            conn.execute(update(outbox).where(_mine(notification_id)).values(ended))


def _mine(notification_id: int) -> ColumnElement[bool]:
    return and_(outbox.c.notification_id == notification_id, outbox.c.state == _N.CLAIMED.value)


def _with_ref(ref: str) -> dict[str, Any]:
    if not ref:
        return {}
    known = func.array_remove(outbox.c.provider_refs, ref)
    return {"provider_refs": func.array_append(known, ref)}


def _withdraw_stale(conn: Connection, now: datetime) -> None:
    # A text message that may have left cannot be withdrawn: it is asked about first.
    in_doubt = and_(outbox.c.channel == Channel.SMS.value, outbox.c.state.in_(_OPEN_AGAIN))
    stale = and_(_due(now), no_longer_true(), not_(in_doubt))
    withdrawn = {"state": _N.WITHDRAWN.value, "why": _STALE, "lease_until": None}
    conn.execute(update(outbox).where(stale).values(withdrawn))


def _due(now: datetime) -> ColumnElement[bool]:
    return or_(
        and_(outbox.c.state == _N.PENDING.value, outbox.c.not_before <= now),
        and_(outbox.c.state.in_(_OPEN_AGAIN), outbox.c.lease_until <= now),
    )


def _told_late_at() -> Any:
    """When this recipient was last told that something of the order is late."""
    earlier = outbox.alias("earlier")
    return (
        select(func.max(earlier.c.sent_at))
        .where(
            earlier.c.order_id == outbox.c.order_id,
            earlier.c.fact == Fact.DELAYED.value,
            earlier.c.channel == outbox.c.channel,
        )
        .scalar_subquery()
    )


def _due_rows(conn: Connection, now: datetime, limit: int) -> Sequence[Row[Any]]:
    told = (
        select(
            outbox,
            orders.c.ship_to,
            orders.c.locale.label("order_locale"),
            func.coalesce(customer_preferences.c.zone, "").label("chosen_zone"),
            customer_preferences.c.locale.label("chosen_locale"),
            func.coalesce(customer_preferences.c.sms, False).label("may_text"),
            func.coalesce(customer_preferences.c.delivery_news, True).label("delivery_news"),
            contact_blocks.c.why.label("blocked"),
            _told_late_at().label("told_late_at"),
        )
        .join(orders, orders.c.order_id == outbox.c.order_id)
        .outerjoin(customer_preferences, customer_preferences.c.customer_id == orders.c.customer_id)
        .outerjoin(contact_blocks, contacts.blocked(outbox.c.channel, outbox.c.recipient))
        .where(_due(now))
        .order_by(outbox.c.notification_id)
        .limit(limit)
        .with_for_update(skip_locked=True, of=outbox)
    )
    return conn.execute(told).all()


def _unwanted(row: Row[Any]) -> str:
    """Return why its customer does not want it, if they do not."""
    if not row.delivery_news and not rule_of(Fact(row.fact)).must_be_told:
        return "the customer wants no news of delivery"
    if row.channel == Channel.SMS and not row.may_text:
        return "the customer wants no text messages"
    return ""


def _later(row: Row[Any], opens: datetime) -> datetime | None:
    return None if row.state == _N.PENDING else opens


def _set(conn: Connection, row: Row[Any], **values: Any) -> None:
    conn.execute(update(outbox).where(outbox.c.notification_id == row.notification_id).values(values))
