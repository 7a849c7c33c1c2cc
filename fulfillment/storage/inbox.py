"""Providers' events: each recorded once, those about nothing we know kept until we know it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Engine, bindparam, null, update
from sqlalchemy.dialects.postgresql import insert

from fulfillment.crashpoints import crashpoint
from fulfillment.storage.tables import inbox, orders

APPLIED: Final = "applied"
UNMATCHED: Final = "unmatched"
IGNORED: Final = "ignored"
_OF_NOBODY: Final = (
    update(inbox)
    .where(
        inbox.c.provider == bindparam("the_provider"),
        inbox.c.event_id == bindparam("the_event"),
        inbox.c.order_id == orders.c.order_id,
        orders.c.erased_at.is_not(None),
    )
    .values(body={}, hint=null(), why="")
)


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
    hint: Mapping[str, Any] | None = None,
) -> bool:
    """Record an event as not matched yet; False when it was recorded before, which ends its story here.

    `hint` is what it says in our words, for those that are matched again later.
    """
    row: dict[str, Any] = {"provider": provider, "event_id": event_id, "kind": kind, "subject": subject}
    row |= {"body": body, "hint": hint, "state": UNMATCHED, "received_at": now}
    new = insert(inbox).values(row).on_conflict_do_nothing()
    return conn.execute(new).rowcount == 1


def settle(
    conn: Connection, provider: str, event_id: str, state: str, *, order_id: str | None = None, why: str = ""
) -> None:
    """Note what became of an event. Of an order whose customer was forgotten, what it said is not kept."""
    this = (inbox.c.provider == provider) & (inbox.c.event_id == event_id)
    conn.execute(update(inbox).where(this).values(state=state, order_id=order_id, why=why))
    if order_id is not None:
        conn.execute(_OF_NOBODY, {"the_provider": provider, "the_event": event_id})
