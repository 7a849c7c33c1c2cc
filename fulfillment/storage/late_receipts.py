"""What a vendor should have brought and did not: who waits for it is promised another day, and a case says so."""

from datetime import UTC, date, datetime, time
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, bindparam, select, text, update

from fulfillment.domain.cases import CaseKind
from fulfillment.domain.events import EventKind
from fulfillment.domain.notifications import Fact
from fulfillment.domain.order import ENDED, OrderStatus
from fulfillment.domain.playbooks import due_at
from fulfillment.domain.policy import Policy
from fulfillment.domain.promise import Source, promised
from fulfillment.storage import cases, journal, promises, shortages, signals, sourcing
from fulfillment.storage.orders import lock_order
from fulfillment.storage.promises import Told
from fulfillment.storage.sourcing import Place
from fulfillment.storage.tables import backorders

_REASON: Final = "what we wait for has not reached us in time"
# A receipt has all of its day to come; on every day after it is looked at once.
_LATE: Final = text(
    """
    SELECT r.replenishment_id, r.sku, r.location_id, r.vendor, r.due_at, r.quantity - r.received AS missing, r.late_on
    FROM replenishment_orders r
    WHERE r.state IN ('ordered', 'partially_received') AND r.due_at < :today
        AND (r.late_on IS NULL OR r.late_on < CAST(:today AS date))
    ORDER BY r.due_at, r.replenishment_id LIMIT :at_most
    """
)
_SEEN: Final = text("UPDATE replenishment_orders SET late_on = :today WHERE replenishment_id = :wanted")
_OPEN: Final = text(
    """
    SELECT FROM replenishment_orders
    WHERE replenishment_id = :wanted AND state IN ('ordered', 'partially_received') FOR UPDATE
    """
)
_HERE: Final = (
    (backorders.c.sku == bindparam("the_sku"))
    & (backorders.c.location_id == bindparam("there"))
    & (backorders.c.state == "waiting")
)
_WHO_WAITS: Final = select(backorders.c.order_id).distinct().where(_HERE).order_by(backorders.c.order_id)
_LATER: Final = (
    update(backorders)
    .where(
        _HERE,
        backorders.c.order_id == bindparam("the_order"),
        backorders.c.promise_date < bindparam("before"),
    )
    .values(promise_date=bindparam("day"))
)


def note(engine: Engine, *, now: datetime, at_most: int, policy: Policy) -> None:
    """Move the promises of whoever waits for a receipt that is late, then open its case.

    Where it is not there on the day after either, whoever was promised a day that cannot be kept any more is moved
    again. Each order in a transaction of its own: a crash in between moves nobody twice, and leaves the case to the
    next run.
    """
    today = datetime.combine(now.astimezone(UTC).date(), time(), UTC)
    with engine.connect() as conn:
        late = conn.execute(_LATE, {"today": today, "at_most": at_most}).all()
    for receipt in late:
        with engine.connect() as conn:
            waiting = conn.execute(_WHO_WAITS, _place(receipt)).scalars().all()
        for order_id in waiting:
            with engine.begin() as conn:
                _wait_longer(conn, order_id, receipt, now=now, policy=policy)
        with engine.begin() as conn:
            if receipt.late_on is None:
                _open_case(conn, receipt, now=now, policy=policy)
            conn.execute(_SEEN, {"wanted": receipt.replenishment_id, "today": today.date()})


def resolve(conn: Connection, replenishment_id: str, *, resolution: str, now: datetime) -> None:
    """End the case of a receipt that came or will not come any more, if it was late."""
    cases.resolve(conn, CaseKind.RECEIPT_LATE, subject=replenishment_id, resolution=resolution, now=now)


def _wait_longer(
    conn: Connection, order_id: str, receipt: Row[Any], *, now: datetime, policy: Policy
) -> None:
    order = lock_order(conn, order_id)
    place = next(one for one in sourcing.places(conn) if one.location_id == receipt.location_id)
    abroad = place.country != order.ship_to["country"]
    day = _comes_now(conn, place, receipt, abroad=abroad, now=now, policy=policy)
    # When it was first late everybody waits longer; after that, only who waits in vain even if it came today.
    at_best = promised(now=now, calendar=place.calendar, abroad=abroad, policy=policy)
    before = day if receipt.late_on is None else min(day, at_best)
    these = _place(receipt) | {"the_order": order_id, "day": day, "before": before}
    moved = conn.execute(_LATER, these).rowcount
    if not moved or OrderStatus(order.status) in ENDED:
        return
    shortages.put_off(conn, order_id, day, now=now, policy=policy)
    if order.promise_date is not None and day > order.promise_date:
        told_by = Told(fact=Fact.DELAYED, subject=order_id)
        n = promises.revise(conn, order_id, day, source=Source.STOCK, reason=_REASON, told=told_by, now=now)
        sentence = f"Your order is delayed; we now expect it by {day:%A, %B} {day.day}."
        journal.event(conn, order_id, EventKind.DELAYED, sentence, at=now)
        told = {"promise_date": day.isoformat(), "reason": _REASON}
        journal.tell(conn, order_id, Fact.DELAYED, subject=order_id, version=n, data=told, now=now)
    key = f"{order_id}:late:{receipt.replenishment_id}:{day}"
    journal.signal(conn, order_id, signals.REPLANNED, {"why": "receipt_late"}, fact_key=key, at=now)


def _comes_now(
    conn: Connection, place: Place, receipt: Row[Any], *, abroad: bool, now: datetime, policy: Policy
) -> date:
    """Return the day to promise: nobody knows when the receipt comes, so the shop's usual wait begins anew."""
    terms = sourcing.terms(conn, [receipt.sku]).get(receipt.sku, sourcing.Terms())
    until = sourcing.missing_until(conn, place, {receipt.sku: terms}, abroad=abroad, now=now, policy=policy)
    return until[receipt.sku]


def _open_case(conn: Connection, receipt: Row[Any], *, now: datetime, policy: Policy) -> None:
    if conn.execute(_OPEN, {"wanted": receipt.replenishment_id}).first() is None:
        return  # it came meanwhile
    vendor = f" from {receipt.vendor}" if receipt.vendor else ""
    cases.open_case(
        conn,
        None,
        CaseKind.RECEIPT_LATE,
        subject=receipt.replenishment_id,
        due_at=due_at(CaseKind.RECEIPT_LATE, now, policy),
        now=now,
        note=f"{receipt.missing} x {receipt.sku}{vendor} for {receipt.location_id}, due {receipt.due_at:%d %b %Y}",
    )


def _place(receipt: Row[Any]) -> dict[str, Any]:
    return {"the_sku": receipt.sku, "there": receipt.location_id}
