"""What every change writes beside itself, in the same transaction: events, audit entries, messages, facts."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Connection,
    Text,
    and_,
    bindparam,
    case,
    column,
    exists,
    func,
    insert,
    literal,
    not_,
    or_,
    select,
    values,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import insert as pg_insert

from fulfillment.domain.events import EventKind, Happened
from fulfillment.domain.notifications import Channel, Fact, NotificationState, rule_of
from fulfillment.storage.tables import (
    audit_entries,
    customer_preferences,
    order_events,
    orders,
    outbox,
    signals,
)


def _main_is(channel: Channel) -> ColumnElement[bool]:
    return func.coalesce(customer_preferences.c.main, Channel.EMAIL.value) == channel.value


_EVENT: Final = insert(order_events)
_AUDIT: Final = insert(audit_entries)
_AUDITED: Final = select(
    exists().where(
        audit_entries.c.order_id == bindparam("the_order"),
        audit_entries.c.command == bindparam("the_command"),
        audit_entries.c.request_id == bindparam("the_request"),
    )
)
_SIGNAL: Final = pg_insert(signals).on_conflict_do_nothing(index_elements=["fact_key"])
_WAY: Final = values(column("channel", Text), name="way").data([(channel.value,) for channel in Channel])
_MAY_TEXT: Final = and_(orders.c.phone != "", func.coalesce(customer_preferences.c.sms, False))
_BY_TEXT: Final = and_(_MAY_TEXT, or_(bindparam("by_sms", type_=Boolean), _main_is(Channel.SMS)))
_BY_MAIL: Final = or_(_main_is(Channel.EMAIL), not_(_MAY_TEXT))
_WAYS: Final = (
    select(
        orders.c.order_id,
        bindparam("fact", type_=Text),
        bindparam("subject", type_=Text),
        bindparam("version"),
        _WAY.c.channel,
        case((_WAY.c.channel == Channel.EMAIL.value, orders.c.email), else_=orders.c.phone),
        bindparam("data", type_=JSONB),
        literal(NotificationState.PENDING.value),
        bindparam("at", type_=outbox.c.at.type),
        bindparam("at", type_=outbox.c.at.type),
    )
    .select_from(
        orders.outerjoin(
            customer_preferences, customer_preferences.c.customer_id == orders.c.customer_id
        ).join(_WAY, literal(True))
    )
    .where(
        orders.c.order_id == bindparam("told_order"),
        orders.c.erased_at.is_(None),  # who was forgotten is told nothing any more
        case((_WAY.c.channel == Channel.EMAIL.value, _BY_MAIL), else_=_BY_TEXT),
    )
)
_LAST_VERSION: Final = select(func.coalesce(func.max(outbox.c.version), 0)).where(
    outbox.c.order_id == bindparam("the_order"),
    outbox.c.fact == bindparam("the_fact"),
    outbox.c.subject == bindparam("the_subject"),
)
_TOLD: Final = (
    "order_id",
    "fact",
    "subject",
    "version",
    "channel",
    "recipient",
    "data",
    "state",
    "at",
    "not_before",
)
_TELL: Final = pg_insert(outbox).from_select(_TOLD, _WAYS).on_conflict_do_nothing(constraint="uq_outbox_once")


def event(
    conn: Connection,
    order_id: str,
    kind: EventKind,
    text: str,
    *,
    at: datetime,
    data: Mapping[str, Any] | None = None,
) -> None:
    """Add to what people read about the order: one sentence in our words, fit for the customer."""
    events(conn, order_id, [(kind, text, data or {})], at=at)


def events(conn: Connection, order_id: str, happened: Sequence[Happened], *, at: datetime) -> None:
    """Add several events at once, each with its kind, sentence and data."""
    if happened:
        rows = [
            {"order_id": order_id, "kind": kind.value, "text": text, "data": data, "at": at}
            for kind, text, data in happened
        ]
        conn.execute(_EVENT, rows)


def audit(
    conn: Connection,
    order_id: str | None,
    *,
    actor: str,
    command: str,
    outcome: str,
    at: datetime,
    request_id: str = "",
    reason: str = "",
) -> None:
    """Note who asked for what, and what came of it; of stock, where it is about no order."""
    row = {"order_id": order_id, "actor": actor, "command": command, "outcome": outcome, "at": at}
    conn.execute(_AUDIT, row | {"request_id": request_id, "reason": reason})


def audited(conn: Connection, order_id: str, command: str, request_id: str) -> bool:
    """Test whether this request was noted before; a request without an id never was."""
    if not request_id:
        return False
    said = {"the_order": order_id, "the_command": command, "the_request": request_id}
    return bool(conn.execute(_AUDITED, said).scalar_one())


def tell(
    conn: Connection,
    order_id: str,
    fact: Fact,
    *,
    subject: str,
    version: int,
    data: Mapping[str, Any],
    now: datetime,
) -> None:
    """Queue a message to the customer on each channel they take it on, once per fact, subject and version.

    What is no longer true or no longer wanted when its turn comes is not sent: that is seen to then.
    """
    row = {"told_order": order_id, "fact": fact.value, "subject": subject, "version": version, "data": data}
    conn.execute(_TELL, row | {"at": now, "by_sms": rule_of(fact).by_sms})


def next_version(conn: Connection, order_id: str, fact: Fact, *, subject: str) -> int:
    """Return the version that makes the next telling of a fact about the same subject news again."""
    told = {"the_order": order_id, "the_fact": fact.value, "the_subject": subject}
    last: int = conn.execute(_LAST_VERSION, told).scalar_one()
    return last + 1


def signal(
    conn: Connection, order_id: str, name: str, body: Mapping[str, Any], *, fact_key: str, at: datetime
) -> None:
    """Queue a fact for the order's workflow. The same key is queued once; the body carries it and its moment."""
    body = {**body, "fact_key": fact_key, "at": at.isoformat()}
    row = {"order_id": order_id, "name": name, "body": body, "fact_key": fact_key, "at": at}
    conn.execute(_SIGNAL, row)
