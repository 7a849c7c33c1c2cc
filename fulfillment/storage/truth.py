"""Which messages have nothing true to say any more."""

from sqlalchemy import ColumnElement, and_, exists, or_

from fulfillment.domain.cases import CaseKind, CaseState
from fulfillment.domain.holds import HoldReason
from fulfillment.domain.notifications import Fact
from fulfillment.domain.order import OrderStatus
from fulfillment.domain.payment import PaymentStatus
from fulfillment.domain.shipment import WorkStatus
from fulfillment.storage.tables import backorders, cases, holds, orders, outbox, payments, shipments

_STOPPED = (OrderStatus.CANCELLING, OrderStatus.CANCELLED, OrderStatus.EXPIRED, OrderStatus.REJECTED)
_CASE = outbox.c.data["case_id"].astext
# What passes with its case. A parcel that was refused or is coming back stays so, whoever has its case by then; what
# it asks, or says of the money, is over when it was made good.
_PASSING = (
    Fact.SLOW.value,
    Fact.FAILED_ATTEMPT.value,
    Fact.LAST_ATTEMPT.value,
    Fact.PICKUP_WAITING.value,
    Fact.NOT_COLLECTED.value,
    Fact.CUSTOMS.value,
    Fact.CUSTOMS_ASKED.value,
    Fact.ADDRESS_PROBLEM.value,
)
_COMES_BACK = (Fact.RETURNING.value, Fact.REFUSED.value)
_LEFT = (WorkStatus.HANDED_OVER.value, WorkStatus.CLOSED.value)


def no_longer_true() -> ColumnElement[bool]:
    """Return the condition on a message under which its news is not sent."""
    return or_(
        and_(outbox.c.fact == Fact.BACKORDERED.value, ~_waits()),
        and_(outbox.c.fact == Fact.PAYMENT_ACTION.value, ~_asks()),
        and_(outbox.c.fact == Fact.SHORTAGE_ASKED.value, ~_unanswered()),
        and_(outbox.c.fact == Fact.ADDRESS_ASKED.value, ~_held_for_address()),
        and_(outbox.c.fact == Fact.DELAYED.value, or_(_superseded(), _arrived())),
        and_(outbox.c.fact == Fact.CONFIRMED.value, _stopped()),
        and_(outbox.c.fact == Fact.SHIPPED.value, or_(~_left(), _arrived())),
        and_(outbox.c.fact.in_(_PASSING), or_(_superseded(), _settled())),
        and_(outbox.c.fact.in_(_COMES_BACK), _made_good()),
    )


def _settled() -> ColumnElement[bool]:
    """Whether the case that it tells of is over by now: its end is told by what ended it."""
    return exists().where(cases.c.case_id == _CASE, cases.c.state == CaseState.RESOLVED.value)


def _made_good() -> ColumnElement[bool]:
    return exists().where(shipments.c.shipment_id == outbox.c.subject, shipments.c.settled.is_not(None))


def _waits() -> ColumnElement[bool]:
    return exists().where(backorders.c.order_id == outbox.c.order_id, backorders.c.state == "waiting")


def _superseded() -> ColumnElement[bool]:
    newer = outbox.alias("newer")
    return exists().where(
        newer.c.order_id == outbox.c.order_id,
        newer.c.fact == outbox.c.fact,
        newer.c.subject == outbox.c.subject,
        newer.c.version > outbox.c.version,
    )


def _left() -> ColumnElement[bool]:
    """Only hand-over is evidence: neither a label nor a packed parcel has left."""
    return exists().where(shipments.c.shipment_id == outbox.c.subject, shipments.c.work_status.in_(_LEFT))


def _arrived() -> ColumnElement[bool]:
    return exists().where(shipments.c.shipment_id == outbox.c.subject, shipments.c.outcome == "delivered")


def _stopped() -> ColumnElement[bool]:
    return exists().where(
        orders.c.order_id == outbox.c.order_id, orders.c.status.in_([status.value for status in _STOPPED])
    )


def _asks() -> ColumnElement[bool]:
    return exists().where(
        payments.c.order_id == outbox.c.order_id,
        payments.c.attempt == outbox.c.version,
        payments.c.status == PaymentStatus.ACTION_REQUIRED.value,
    )


def _unanswered() -> ColumnElement[bool]:
    return exists().where(
        cases.c.order_id == outbox.c.order_id,
        cases.c.kind == CaseKind.OUT_OF_STOCK.value,
        cases.c.state != CaseState.RESOLVED.value,
    )


def _held_for_address() -> ColumnElement[bool]:
    return exists().where(
        holds.c.order_id == outbox.c.order_id,
        holds.c.reason == HoldReason.ADDRESS.value,
        holds.c.state == "active",
    )
