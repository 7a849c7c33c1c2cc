"""The days an order was promised for: every one stays on record, with why it was another and by which message it was told."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, func, insert, select, update

from fulfillment.domain.address import Address
from fulfillment.domain.cases import CaseKind
from fulfillment.domain.events import EventKind
from fulfillment.domain.notifications import Fact
from fulfillment.domain.order import ENDED, OrderStatus
from fulfillment.domain.promise import Source
from fulfillment.domain.zones import day_in, zone_of
from fulfillment.storage import journal, signals
from fulfillment.storage.tables import orders, promises

_ADD: Final = insert(promises)
_COUNT: Final = select(func.count()).where(promises.c.order_id == bindparam("the_order"))
_ORDER: Final = update(orders).where(orders.c.order_id == bindparam("the_order"))
_LATEST_TOLD: Final = select(func.max(promises.c.told_at)).where(
    promises.c.order_id == bindparam("the_order"), promises.c.told_fact == Fact.DELAYED.value
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """The message that tells a promise, by its key in the outbox. Without a `version` it is the promise's number."""

    fact: Fact
    subject: str
    version: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delay:
    """A shipment comes later: on which day, who says so, and the reason as the customer may read it.

    Of what is not `under_way` yet nothing can be overdue: its order reads the new day from the books.
    """

    shipment_id: str
    subject: str
    day: date
    source: Source
    reason: str
    under_way: bool = True


def first(conn: Connection, order_id: str, day: date, *, because: str, told: Told, now: datetime) -> None:
    """Write the day promised first. The caller writes it to the order and tells the customer."""
    conn.execute(_ADD, _row(order_id, 1, day, Source.CONFIRMED, because, told, None, now))


def revise(
    conn: Connection,
    order_id: str,
    day: date,
    *,
    source: Source,
    reason: str,
    told: Told,
    now: datetime,
    shipment_id: str | None = None,
) -> int:
    """Promise another day and return its number in the record. The caller tells the customer in the same transaction."""
    n: int = conn.execute(_COUNT, {"the_order": order_id}).scalar_one() + 1
    conn.execute(_ADD, _row(order_id, n, day, source, reason, told, shipment_id, now))
    conn.execute(_ORDER, {"the_order": order_id, "promise_date": day})
    return n


def revise_if_later(
    conn: Connection, order: Row[Any], day: date, *, source: Source, reason: str, told: Told, now: datetime
) -> bool:
    """Promise the locked order another day where a day stands and this one is later; return whether it was done."""
    if order.promise_date is None or day <= order.promise_date:
        return False
    revise(conn, order.order_id, day, source=source, reason=reason, told=told, now=now)
    return True


def is_news(first: date | None, named: date, *, known_by: int, delayed: bool) -> bool:
    """Test whether a day that the carrier names says more than what it said at first.

    Where its lane is known by deliveries, the promise was made by them, and its first word is that of a timetable,
    until it reports a delay.
    """
    return delayed or not known_by or named != (first or named)


def put_off(
    conn: Connection, order: Row[Any], delay: Delay, *, now: datetime, by_its_workflow: bool = False
) -> bool:
    """Promise the locked order a later day, tell the customer and queue it for the order; return whether it was done.

    An earlier day is no news, one that is over nothing to wait for, and a second one on the same day waits for the
    next: whoever found it looks again. What its own workflow found, or hears anyway, is not queued for it.
    """
    late = order.promise_date is not None and delay.day > order.promise_date
    if not late or OrderStatus(order.status) in ENDED:
        return False
    zone = zone_of(Address(**order.ship_to))
    if delay.day < day_in(zone, now) or _was_told_today(conn, order.order_id, zone, now):
        return False
    told = Told(fact=Fact.DELAYED, subject=delay.shipment_id)
    n = revise(
        conn,
        order.order_id,
        delay.day,
        source=delay.source,
        reason=delay.reason,
        told=told,
        now=now,
        shipment_id=delay.shipment_id,
    )
    _tell(conn, order, delay, n, now)
    if not by_its_workflow:
        _queue(conn, order.order_id, delay, n, now)
    return True


def _was_told_today(conn: Connection, order_id: str, zone: str, now: datetime) -> bool:
    """Whether another day was promised since midnight, where the customer is."""
    latest = conn.execute(_LATEST_TOLD, {"the_order": order_id}).scalar_one()
    return latest is not None and day_in(zone, latest) == day_in(zone, now)


def _tell(conn: Connection, order: Row[Any], delay: Delay, n: int, now: datetime) -> None:
    order_id, day = order.order_id, delay.day
    text = f"Your order is delayed; we now expect it by {day:%A, %B} {day.day}."
    data = {"shipment_id": delay.shipment_id, "promise_date": day.isoformat(), "source": delay.source.value}
    journal.event(conn, order_id, EventKind.DELAYED, text, at=now, data=data)
    told = {
        "promise_date": day.isoformat(),
        "was": order.promise_date.isoformat(),
        "reason": delay.reason,
    }
    journal.tell(conn, order_id, Fact.DELAYED, subject=delay.shipment_id, version=n, data=told, now=now)


def _queue(conn: Connection, order_id: str, delay: Delay, n: int, now: datetime) -> None:
    key = f"{delay.shipment_id}:{CaseKind.DELAYED}:{n}"
    if not delay.under_way:
        journal.signal(conn, order_id, signals.REPLANNED, {"why": "delayed"}, fact_key=key, at=now)
        return
    body = {
        "shipment_id": delay.shipment_id,
        "subject": delay.subject,
        "kind": CaseKind.DELAYED.value,
        "day": delay.day.isoformat(),
        "reason": delay.reason,
    }
    journal.signal(conn, order_id, signals.OVERDUE, body, fact_key=key, at=now)


def _row(
    order_id: str,
    n: int,
    day: date,
    source: Source,
    reason: str,
    told: Told,
    shipment_id: str | None,
    now: datetime,
) -> dict[str, Any]:
    return {
        "order_id": order_id,
        "n": n,
        "promised_date": day,
        "source": source.value,
        "reason": reason,
        "shipment_id": shipment_id,
        "told_fact": told.fact.value,
        "told_subject": told.subject,
        "told_version": told.version or n,
        "at": now,
        "told_at": now,
    }
