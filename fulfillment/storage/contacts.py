"""How customers want to be told, where they cannot be told, and what is done then."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Row,
    and_,
    bindparam,
    case,
    delete,
    func,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from fulfillment.domain.cases import CaseKind
from fulfillment.domain.erasure import Forgotten
from fulfillment.domain.errors import UnknownOrder
from fulfillment.domain.notifications import (
    Block,
    Channel,
    Fact,
    NotificationState,
    Preferences,
    Told,
    rule_of,
)
from fulfillment.domain.playbooks import due_at
from fulfillment.domain.policy import DEFAULT, Policy
from fulfillment.storage import cases, inbox, journal
from fulfillment.storage.orders import lock_order
from fulfillment.storage.tables import contact_blocks, customer_preferences, orders, outbox

_N = NotificationState
_EFFECTIVE: Final = (_N.PENDING.value, _N.CLAIMED.value, _N.UNKNOWN.value, _N.SENT.value)
_FAILED: Final = (_N.DEAD.value, _N.BOUNCED.value)
_AT_WORK: Final = (_N.CLAIMED.value, _N.UNKNOWN.value, _N.SENT.value)
_MESSAGE: Final = select(outbox).where(outbox.c.notification_id == bindparam("the_message"))
_LOCKED: Final = _MESSAGE.with_for_update()
_END: Final = update(outbox).where(outbox.c.notification_id == bindparam("the_message"))
_BLOCK: Final = insert(contact_blocks).on_conflict_do_nothing()
_PREFERRED: Final = select(customer_preferences).where(
    customer_preferences.c.customer_id == bindparam("the_customer")
)
_NOT_TOLD: Final = (
    select(outbox)
    .where(outbox.c.order_id == bindparam("the_order"), outbox.c.state.in_(_FAILED))
    .order_by(outbox.c.notification_id)
)


def blocked(channel: Any, recipient: Any) -> ColumnElement[bool]:
    """Return the condition under which a block is about this recipient. E-mail addresses ignore case here."""
    written = case((channel == Channel.EMAIL.value, func.lower(recipient)), else_=recipient)
    return and_(contact_blocks.c.channel == channel, contact_blocks.c.recipient == written)


def prefer(conn: Connection, wanted: Preferences, *, by: str, now: datetime) -> None:
    """Note how a customer wants to be told. Consent to SMS keeps the moment at which it was first given."""
    row = {
        "customer_id": wanted.customer_id,
        "main": wanted.main.value,
        "sms": wanted.sms,
        "delivery_news": wanted.delivery_news,
        "locale": wanted.locale,
        "zone": wanted.zone,
        "by": by,
        "at": now,
        "sms_since": now if wanted.sms else None,
    }
    new = insert(customer_preferences).values(row)
    kept = func.coalesce(customer_preferences.c.sms_since, new.excluded.sms_since)
    changed: dict[str, Any] = {name: new.excluded[name] for name in row if name != "customer_id"}
    changed["sms_since"] = case((new.excluded.sms, kept), else_=None)
    conn.execute(new.on_conflict_do_update(index_elements=["customer_id"], set_=changed))


def preferred(conn: Connection, customer_id: str) -> Preferences:
    """Return how a customer wants to be told; who said nothing gets e-mail."""
    row = conn.execute(_PREFERRED, {"the_customer": customer_id}).one_or_none()
    if row is None:
        return Preferences(customer_id=customer_id)
    return Preferences(
        customer_id=customer_id,
        main=Channel(row.main),
        sms=row.sms,
        delivery_news=row.delivery_news,
        locale=row.locale,
        zone=row.zone,
    )


def block(
    conn: Connection, channel: Channel, recipient: str, reason: Block, *, why: str, now: datetime
) -> None:
    """Let nothing more go to a recipient."""
    row = {"channel": channel.value, "recipient": _written(channel, recipient), "reason": reason.value}
    conn.execute(_BLOCK, row | {"why": why, "at": now})


def lost(
    conn: Connection,
    notification_id: int,
    state: NotificationState,
    why: str,
    reason: Block | None,
    *,
    now: datetime,
    policy: Policy,
) -> None:
    """End a message that cannot arrive. What must be told goes on the other channel, or is a case for support."""
    found = conn.execute(_MESSAGE, {"the_message": notification_id}).one_or_none()
    if found is None or found.state not in _AT_WORK:
        return
    order = lock_order(conn, found.order_id)
    if order.erased_at:  # whoever was forgotten is not told otherwise
        return
    row = conn.execute(_LOCKED, {"the_message": notification_id}).one()
    if row.state not in _AT_WORK or (row.state == _N.SENT and state is _N.DEAD):
        return
    if reason is not None:
        block(conn, Channel(row.channel), row.recipient, reason, why=why, now=now)
    conn.execute(
        _END, {"the_message": notification_id, "state": state.value, "why": why, "lease_until": None}
    )
    if rule_of(Fact(row.fact)).must_be_told and not _told_otherwise(conn, row):
        _tell_otherwise(conn, order, row, why, now=now, policy=policy)


def _written(channel: Channel, recipient: str) -> str:
    return recipient.lower() if channel is Channel.EMAIL else recipient


def _same_news(row: Row[Any]) -> ColumnElement[bool]:
    return and_(
        outbox.c.order_id == row.order_id,
        outbox.c.fact == row.fact,
        outbox.c.subject == row.subject,
        outbox.c.version == row.version,
    )


def _told_otherwise(conn: Connection, row: Row[Any]) -> bool:
    others = select(func.count()).where(_same_news(row), outbox.c.state.in_(_EFFECTIVE))
    return bool(conn.execute(others).scalar_one())


def _tell_otherwise(
    conn: Connection, order: Row[Any], row: Row[Any], why: str, *, now: datetime, policy: Policy
) -> None:
    other = Channel.SMS if row.channel == Channel.EMAIL else Channel.EMAIL
    recipient = order.phone if other is Channel.SMS else order.email
    may = other is Channel.EMAIL or preferred(conn, order.customer_id).sms
    open_way = recipient and may and not is_blocked(conn, other, recipient)
    if open_way and _queue(conn, row, other, recipient, now):
        return
    cases.open_case(
        conn,
        row.order_id,
        CaseKind.CUSTOMER_UNREACHABLE,
        subject=row.order_id,
        due_at=due_at(CaseKind.CUSTOMER_UNREACHABLE, now, policy),
        now=now,
        note=f"{row.fact} not told: {why}",
    )


def is_blocked(conn: Connection, channel: Channel, recipient: str) -> bool:
    """Test whether nothing may go to a recipient."""
    written = _written(channel, recipient)
    here = and_(contact_blocks.c.channel == channel.value, contact_blocks.c.recipient == written)
    return conn.execute(select(contact_blocks.c.reason).where(here)).first() is not None


def _queue(conn: Connection, row: Row[Any], channel: Channel, recipient: str, now: datetime) -> bool:
    """Queue the same news for another recipient; False when that one was told, or tried, before."""
    names = ("order_id", "fact", "subject", "version", "data")
    copy = {name: getattr(row, name) for name in names}
    copy |= {"channel": channel.value, "recipient": recipient, "state": _N.PENDING.value}
    new = insert(outbox).values(copy | {"at": now, "not_before": now})
    return conn.execute(new.on_conflict_do_nothing(constraint="uq_outbox_once")).rowcount == 1


class ContactStore:
    """How customers are reached. Every call is one transaction. `now` is shop time."""

    def __init__(self, engine: Engine, now: Callable[[], datetime], *, policy: Policy = DEFAULT) -> None:
        self._engine, self._now, self._policy = engine, now, policy

    def preferences(self, customer_id: str) -> Preferences:
        """Return how a customer wants to be told."""
        with self._engine.connect() as conn:
            return preferred(conn, customer_id)

    def prefer(self, wanted: Preferences, *, by: str) -> Preferences:
        """Note how a customer wants to be told from now on; messages already queued obey it too."""
        with self._engine.begin() as conn:
            prefer(conn, wanted, by=by, now=self._now())
            self._audit(conn, wanted.customer_id, by)
        return wanted

    def unsubscribe(self, order_id: str) -> None:
        """Switch off what the customer of this order may switch off, as they asked by a link in a mail."""
        with self._engine.begin() as conn:
            customer_id = _order(conn, order_id).customer_id
            had = preferred(conn, customer_id)
            wanted = Preferences(
                customer_id=customer_id, main=had.main, sms=had.sms, locale=had.locale, zone=had.zone,
                delivery_news=False,
            )  # fmt: skip
            prefer(conn, wanted, by="customer", now=self._now())
            self._audit(conn, customer_id, "customer")

    def blocked(self, order_id: str) -> dict[Channel, str]:
        """Return why an order's customer cannot be reached, by channel."""
        with self._engine.connect() as conn:
            order = _order(conn, order_id)
            here = select(contact_blocks).where(
                contact_blocks.c.recipient.in_([order.email.lower(), order.phone])
            )
            return {Channel(row.channel): f"{row.reason}: {row.why}" for row in conn.execute(here)}

    def unblock(self, channel: Channel, recipient: str, *, by: str) -> bool:
        """Let messages go to a recipient again; False when they could already."""
        here = and_(
            contact_blocks.c.channel == channel.value,
            contact_blocks.c.recipient == _written(channel, recipient),
        )
        with self._engine.begin() as conn:
            gone = conn.execute(delete(contact_blocks).where(here)).rowcount == 1
            if gone:
                outcome = f"{channel} messages may go there again"
                journal.audit(
                    conn, None, actor=by, command="unblock_contact", outcome=outcome, at=self._now()
                )
        return gone

    def reach_at(self, order_id: str, *, email: str, phone: str, by: str) -> None:
        """Reach an order's customer elsewhere from now on, and tell them there what they were not told.

        An empty address or number leaves it as it is.

        Raises:
            UnknownOrder: there is no such order.
            Forgotten: its customer wanted to be.
        """
        now = self._now()
        with self._engine.begin() as conn:
            order = lock_order(conn, order_id)
            if order.erased_at:
                raise Forgotten(order_id)
            email, phone = email or order.email, phone or order.phone
            here = update(orders).where(orders.c.order_id == order_id)
            conn.execute(here.values(email=email, phone=phone))
            self._tell_again(conn, order_id, {Channel.EMAIL: email, Channel.SMS: phone}, now)
            kind, how = CaseKind.CUSTOMER_UNREACHABLE, "reached elsewhere"
            cases.resolve(conn, kind, subject=order_id, resolution=how, now=now)
            journal.audit(conn, order_id, actor=by, command="contact", outcome="changed", at=now)

    def stop(self, event_id: str, phone: str, said: str) -> None:
        """Let no text message go to a number any more, because its owner said so; once per event."""
        with inbox.receiving(self._engine) as conn:
            if _new(conn, event_id, "stop", said, self._now()):
                block(conn, Channel.SMS, phone, Block.STOPPED, why=f"said {said}", now=self._now())

    def start(self, event_id: str, phone: str, said: str) -> None:
        """Let text messages go to a number again, because its owner said so; once per event."""
        here = and_(contact_blocks.c.channel == Channel.SMS.value, contact_blocks.c.recipient == phone)
        with inbox.receiving(self._engine) as conn:
            if _new(conn, event_id, "start", said, self._now()):
                conn.execute(delete(contact_blocks).where(here))

    def heard(self, event_id: str) -> None:
        """Note a text message that asks for nothing we do; its words are not kept."""
        with inbox.receiving(self._engine) as conn:
            if _new(conn, event_id, "text", "", self._now()):
                inbox.settle(conn, "twilio", event_id, inbox.IGNORED, why="neither STOP nor START")

    def arrived(self, notification_id: int, ref: str, *, delivered: bool) -> None:
        """Note that a channel knows a message, and with `delivered` that its recipient has it."""
        known = func.array_append(func.array_remove(outbox.c.provider_refs, ref), ref)
        values: dict[str, Any] = {"state": _N.SENT.value, "lease_until": None, "provider_refs": known}
        values["sent_at"] = func.coalesce(outbox.c.sent_at, self._now())
        values |= {"delivered_at": self._now()} if delivered else {}
        still = outbox.c.state.in_((*_AT_WORK, _N.PENDING.value))
        with self._engine.begin() as conn:
            conn.execute(
                update(outbox).where(outbox.c.notification_id == notification_id, still).values(values)
            )

    def bounced(
        self, notification_id: int, ref: str, why: str, reason: Block | None, *, again: bool = False
    ) -> None:
        """Note that a text message came back; once per send, whatever how often its provider says so.

        With `again` it is sent once more, later, where that was not done before.
        """
        now = self._now()
        with inbox.receiving(self._engine) as conn:
            if not _new(conn, f"{ref}:failed", "failed", why, now):
                return
            row = conn.execute(_MESSAGE, {"the_message": notification_id}).one_or_none()
            if row is None or row.state not in _AT_WORK:
                return
            if again and not set(row.provider_refs) - {ref}:
                self._once_more(conn, row, ref, why, now)
            else:
                lost(conn, notification_id, _N.BOUNCED, why, reason, now=now, policy=self._policy)

    def bounced_mail(self, recipient: str, told: Told | None, why: str, reason: Block | None) -> bool:
        """Note that one e-mail came back, and with `reason` that no more may go there; False if it is none of ours."""
        now = self._now()
        with self._engine.begin() as conn:
            number = _mail_of(conn, told, recipient) if told else None
            if number is None:
                return False
            lost(conn, number, _N.BOUNCED, why, reason, now=now, policy=self._policy)
        return True

    def _once_more(self, conn: Connection, row: Row[Any], ref: str, why: str, now: datetime) -> None:
        later = {"state": _N.PENDING.value, "why": why, "not_before": now + self._policy.message_retry_after}
        conn.execute(
            _END, {"the_message": row.notification_id, "lease_until": None, "provider_refs": [ref], **later}
        )

    def _tell_again(self, conn: Connection, order_id: str, ways: dict[Channel, str], now: datetime) -> None:
        for row in conn.execute(_NOT_TOLD, {"the_order": order_id}).all():
            recipient = ways[Channel(row.channel)]
            if rule_of(Fact(row.fact)).must_be_told and recipient and not _told_otherwise(conn, row):
                _queue(conn, row, Channel(row.channel), recipient, now)

    def _audit(self, conn: Connection, customer_id: str, by: str) -> None:
        outcome = f"preferences of {customer_id} changed"
        journal.audit(conn, None, actor=by, command="prefer", outcome=outcome, at=self._now())


def _order(conn: Connection, order_id: str) -> Row[Any]:
    row = conn.execute(select(orders).where(orders.c.order_id == order_id)).one_or_none()
    if row is None:
        raise UnknownOrder(order_id)
    return row


def _mail_of(conn: Connection, told: Told, recipient: str) -> int | None:
    here = and_(
        outbox.c.order_id == told.order_id,
        outbox.c.fact == told.fact.value,
        outbox.c.subject == told.subject,
        outbox.c.version == told.version,
        outbox.c.channel == Channel.EMAIL.value,
        func.lower(outbox.c.recipient) == recipient.lower(),
    )
    number: int | None = conn.execute(select(outbox.c.notification_id).where(here)).scalar_one_or_none()
    return number


def _new(conn: Connection, event_id: str, kind: str, said: str, now: datetime) -> bool:
    # Neither the number nor free words: what somebody texts us is personal, and not ours to keep.
    new = inbox.record_once(conn, "twilio", event_id, kind=kind, subject=kind, body={"said": said}, now=now)
    if new:
        inbox.settle(conn, "twilio", event_id, inbox.APPLIED)
    return new
