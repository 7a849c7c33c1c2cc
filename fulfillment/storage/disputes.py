"""Disputes: the customer's bank takes money back for now, perhaps months after the order ended."""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, exists, select
from sqlalchemy.dialects.postgresql import insert

from fulfillment.domain.cases import CaseKind
from fulfillment.domain.events import EventKind
from fulfillment.domain.holds import HoldReason
from fulfillment.domain.money import format_minor
from fulfillment.domain.order import ENDED, OrderStatus
from fulfillment.domain.payment_news import DisputeHint
from fulfillment.domain.policy import Policy
from fulfillment.domain.shipment import BEFORE_HAND_OVER
from fulfillment.storage import cases, holds, journal, signals
from fulfillment.storage.tables import disputes, payments, shipments
from fulfillment.storage.tables import holds as holds_rows

_SYSTEM: Final = "system"
_LOST: Final = "lost"

_ADD: Final = insert(disputes)
_UPSERT: Final = _ADD.on_conflict_do_update(
    index_elements=["dispute_id"],
    set_={
        "state": _ADD.excluded.state,
        "amount": _ADD.excluded.amount,
        "is_over": _ADD.excluded.is_over,
        "evidence_due_at": _ADD.excluded.evidence_due_at,
    },
    # What is decided stays decided, whatever comes late.
    where=~disputes.c.is_over,
)
_ONE: Final = select(disputes).where(disputes.c.dispute_id == bindparam("the_dispute"))
_OTHERS: Final = (
    select(disputes.c.is_over, disputes.c.state)
    .join(payments, payments.c.payment_id == disputes.c.payment_id)
    .where(payments.c.order_id == bindparam("the_order"), disputes.c.dispute_id != bindparam("the_dispute"))
)
# Whoever released the hold had this dispute before them: a later word about it does not place it again.
_LET_GO_ON: Final = select(
    exists().where(
        holds_rows.c.order_id == bindparam("the_order"),
        holds_rows.c.reason == HoldReason.DISPUTE.value,
        holds_rows.c.state == "released",
        holds_rows.c.released_by != _SYSTEM,
        holds_rows.c.ended_at >= bindparam("opened_at"),
    )
)
_STAYS: Final = select(
    exists().where(
        shipments.c.order_id == bindparam("the_order"),
        shipments.c.work_status.in_([status.value for status in BEFORE_HAND_OVER]),
    )
)


def record(
    conn: Connection,
    order: Row[Any],
    payment: Row[Any],
    hint: DisputeHint,
    *,
    now: datetime,
    policy: Policy,
) -> str:
    """Record what is said of a dispute, and return what follows. The order must be locked; it may have ended."""
    conn.execute(_UPSERT, _row(payment, hint, now))
    dispute = conn.execute(_ONE, {"the_dispute": hint.dispute}).one()
    if dispute.is_over:
        return _over(conn, order, dispute, now)
    lead = policy.dispute_lead
    due_at = dispute.evidence_due_at - lead if dispute.evidence_due_at else now + lead
    amount = format_minor(dispute.amount, order.currency)
    cases.open_case(
        conn,
        order.order_id,
        CaseKind.DISPUTE,
        subject=order.order_id,
        due_at=due_at,
        now=now,
        note=f"{dispute.dispute_id}: {amount}, {dispute.reason}",
    )
    return _hold(conn, order, dispute, due_at, now)


def warn(
    conn: Connection, order: Row[Any], payment: Row[Any], reason: str, *, now: datetime, policy: Policy
) -> str:
    """Open the case of a payment that its bank calls fraud, and say so; empty where nothing of it is kept."""
    kept = payment.captured - payment.refunded
    if kept <= 0:
        return ""
    amount = format_minor(kept, order.currency)
    cases.open_case(
        conn,
        order.order_id,
        CaseKind.DISPUTE,
        subject=payment.payment_id,
        due_at=now + policy.support_answer_within,
        now=now,
        note=f"not disputed yet, but its bank reports fraud ({reason}): give {amount} back before it is",
    )
    return "a case is open"


def warning_over(conn: Connection, payment: Row[Any], *, now: datetime) -> None:
    """End the case of a payment that its bank had called fraud."""
    said = "given back or disputed"
    cases.resolve(conn, CaseKind.DISPUTE, subject=payment.payment_id, resolution=said, now=now)


def stays(conn: Connection, order: Row[Any]) -> bool:
    """Test whether something of an order that goes on has not left yet."""
    is_open = OrderStatus(order.status) not in ENDED
    return is_open and bool(conn.execute(_STAYS, {"the_order": order.order_id}).scalar_one())


def _hold(conn: Connection, order: Row[Any], dispute: Row[Any], due_at: datetime, now: datetime) -> str:
    """Keep back what has not left; an order that ended is not woken."""
    order_id = order.order_id
    if not stays(conn, order):
        return "a case is open"
    if conn.execute(_LET_GO_ON, {"the_order": order_id, "opened_at": dispute.opened_at}).scalar_one():
        return "a case is open, and a person let the order go on"
    note = f"{dispute.dispute_id}: {dispute.reason}"
    hold, is_new = holds.place(
        conn, order_id, HoldReason.DISPUTE, by=_SYSTEM, due_at=due_at, note=note, now=now
    )
    if is_new:
        journal.event(conn, order_id, EventKind.HELD, "Your order is on hold for a moment.", at=now)
        say_replanned(conn, order, f"{hold.hold_id}:held", "a payment is disputed", now)
    return "a case is open, and what has not left is held"


def _over(conn: Connection, order: Row[Any], dispute: Row[Any], now: datetime) -> str:
    kind, order_id = CaseKind.DISPUTE, order.order_id
    states = conn.execute(_OTHERS, {"the_order": order_id, "the_dispute": dispute.dispute_id}).all()
    if any(not other.is_over for other in states):
        return f"the dispute is {dispute.state}, and another is open"
    cases.resolve(conn, kind, subject=order_id, resolution=dispute.state, now=now)
    is_lost = _LOST in (dispute.state, *(other.state for other in states))
    if not is_lost and holds.end(conn, order_id, HoldReason.DISPUTE, by=_SYSTEM, now=now):
        journal.event(conn, order_id, EventKind.HOLD_RELEASED, "Your order goes on.", at=now)
        say_replanned(conn, order, f"{dispute.dispute_id}:over", "a dispute is over", now)
    return f"the dispute is {dispute.state}"


def say_replanned(conn: Connection, order: Row[Any], key: str, why: str, now: datetime) -> None:
    """Tell the order's workflow to read its books again; an order that ended is not woken."""
    if OrderStatus(order.status) not in ENDED:
        journal.signal(conn, order.order_id, signals.REPLANNED, {"why": why}, fact_key=key, at=now)


def _row(payment: Row[Any], hint: DisputeHint, now: datetime) -> dict[str, Any]:
    return {
        "dispute_id": hint.dispute,
        "payment_id": payment.payment_id,
        "reason": hint.reason,
        "amount": hint.amount,
        "state": hint.state,
        "is_over": hint.is_over,
        "opened_at": now,
        "evidence_due_at": hint.evidence_due_at,
    }
