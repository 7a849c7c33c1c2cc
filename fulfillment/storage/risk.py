"""What a payment tells of fraud: hold the order for a person, or refuse it."""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, exists, select

from fulfillment.domain.cases import CaseKind
from fulfillment.domain.events import EventKind
from fulfillment.domain.holds import HoldReason
from fulfillment.domain.order import Outcome
from fulfillment.domain.payment import PaymentSnapshot, RiskLevel
from fulfillment.domain.policy import ForeignCard, Policy
from fulfillment.storage import cases, disputes, holds, journal
from fulfillment.storage.tables import disputes as dispute_rows
from fulfillment.storage.tables import holds as hold_rows
from fulfillment.storage.tables import orders, payments

_OF_CUSTOMER: Final = orders.c.customer_id == bindparam("the_customer")
# An order that reached its customer, and none whose money their bank wanted back.
_IS_KNOWN: Final = select(
    exists().where(_OF_CUSTOMER, orders.c.outcome == Outcome.DELIVERED.value)
    & ~exists().where(
        _OF_CUSTOMER,
        payments.c.order_id == orders.c.order_id,
        dispute_rows.c.payment_id == payments.c.payment_id,
    )
)

_WAS_HELD: Final = select(
    exists().where(
        hold_rows.c.order_id == bindparam("the_order"),
        hold_rows.c.reason == HoldReason.FRAUD.value,
        hold_rows.c.note == bindparam("why"),
    )
)


def too_risky(conn: Connection, order: Row[Any], snapshot: PaymentSnapshot, *, policy: Policy) -> bool:
    """Test whether an order is refused for its risk. One that a person cleared is not."""
    score = snapshot.risk_score
    return (
        score is not None
        and score >= policy.risk_reject_score
        and not holds.was_released(conn, order.order_id, HoldReason.FRAUD)
    )


def hold_if_risky(
    conn: Connection, order: Row[Any], snapshot: PaymentSnapshot, *, now: datetime, policy: Policy
) -> None:
    """Hold the locked order if its payment looks like fraud."""
    if why := _why_risky(conn, order, snapshot, policy):
        hold_for_review(conn, order, why, now=now, policy=policy)


def hold_for_review(conn: Connection, order: Row[Any], why: str, *, now: datetime, policy: Policy) -> None:
    """Hold the locked order until a person has looked at it, unless one has before."""
    # A person looked at this order and cleared it; another authorization of it is no new reason to doubt.
    if not holds.was_released(conn, order.order_id, HoldReason.FRAUD):
        _hold(conn, order, why, now=now, policy=policy)


def hold_for_warning(
    conn: Connection, order: Row[Any], reason: str, *, now: datetime, policy: Policy
) -> bool:
    """Hold what has not left of the locked order because the card's bank reports fraud, once; return whether it was."""
    why = f"the bank of the card reports fraud ({reason})"
    said = {"the_order": order.order_id, "why": why}
    if not disputes.stays(conn, order) or conn.execute(_WAS_HELD, said).scalar_one():
        return False
    _hold(conn, order, why, now=now, policy=policy)
    return True


def _hold(conn: Connection, order: Row[Any], why: str, *, now: datetime, policy: Policy) -> None:
    order_id, due_at = order.order_id, now + policy.hold_default_after
    _, is_new = holds.place(conn, order_id, HoldReason.FRAUD, by="system", due_at=due_at, note=why, now=now)
    if is_new:
        cases.open_case(
            conn, order_id, CaseKind.FRAUD_REVIEW, subject=order_id, due_at=due_at, now=now, note=why
        )
        journal.event(conn, order_id, EventKind.HELD, "We are checking your order before it goes on.", at=now)


def cleared(conn: Connection, order: Row[Any], *, now: datetime) -> None:
    """Close the review of an order that is no longer doubted."""
    kind, order_id = CaseKind.FRAUD_REVIEW, order.order_id
    cases.resolve(conn, kind, subject=order_id, resolution="released", now=now)
    journal.event(conn, order_id, EventKind.HOLD_RELEASED, "Your order goes on.", at=now)


def _why_risky(conn: Connection, order: Row[Any], snapshot: PaymentSnapshot, policy: Policy) -> str:
    if snapshot.risk_score is not None and snapshot.risk_score >= policy.risk_hold_score:
        return f"risk score {snapshot.risk_score}"
    if snapshot.risk_level is RiskLevel.HIGHEST:
        return "the payment provider sees the highest risk"
    card, goods = snapshot.card_country, order.ship_to["country"]
    foreign = order.total > policy.risk_value and card and card != goods
    if foreign and _doubts_foreign_card(conn, order, snapshot, policy):
        # Where they go is said by the order: so alike orders are held in the same words.
        return f"a card from {card} pays for goods to another country"
    return ""


def _doubts_foreign_card(
    conn: Connection, order: Row[Any], snapshot: PaymentSnapshot, policy: Policy
) -> bool:
    """Test whether a card of another country is reason enough: that alone is how most of an exporter's customers pay."""
    match policy.risk_foreign_card:
        case ForeignCard.EVERYBODY:
            return True
        case ForeignCard.NOBODY:
            return False
        case ForeignCard.UNPROVEN:
            known = conn.execute(_IS_KNOWN, {"the_customer": order.customer_id}).scalar_one()
            return snapshot.risk_level is not RiskLevel.NORMAL and not known
