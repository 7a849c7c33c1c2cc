"""How much of a shipment's value is there: taken, or reserved and not running out or being let go."""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Integer,
    ScalarSelect,
    bindparam,
    case,
    exists,
    func,
    literal,
    or_,
    select,
)

from fulfillment.domain.payment import OperationKind, OperationState, PaymentStatus
from fulfillment.domain.refund import RefundCause, RefundState
from fulfillment.storage.tables import payment_shares, payments, provider_operations, refunds

OPEN_ATTEMPT: Final = (PaymentStatus.AUTHORIZING, PaymentStatus.ACTION_REQUIRED)
LIVE: Final = (*OPEN_ATTEMPT, PaymentStatus.AUTHORIZED)

_op = provider_operations.alias("letting_go")
# Until it is refused, a request that lets the money go may have been done already.
_GOING: Final = exists().where(
    _op.c.payment_id == payments.c.payment_id,
    _op.c.state != OperationState.FAILED.value,
    or_(
        _op.c.kind == OperationKind.VOID.value,
        (_op.c.kind == OperationKind.CAPTURE.value)
        & _op.c.final
        & (_op.c.subject != payment_shares.c.shipment_id),
    ),
)
_HOLDS: Final = (
    (payments.c.status == PaymentStatus.AUTHORIZED.value)
    & or_(payments.c.expires_at.is_(None), payments.c.expires_at > bindparam("now"))
    & ~_GOING
)
_ASKED: Final = payments.c.status.in_([status.value for status in OPEN_ATTEMPT])


# What a payment had taken too much goes back: only what we asked it for is the shipment's.
_capture = provider_operations.alias("our_capture")
_OVERPAID: Final = exists().where(
    refunds.c.order_id == payments.c.order_id,
    refunds.c.request_id == literal("overpaid:") + payments.c.payment_id,
)
_ASKED_FOR: Final = (
    select(func.coalesce(func.sum(_capture.c.amount), 0, type_=Integer))
    .where(
        _capture.c.payment_id == payments.c.payment_id,
        _capture.c.kind == OperationKind.CAPTURE.value,
        _capture.c.subject == payment_shares.c.shipment_id,
        _capture.c.state == OperationState.SUCCEEDED.value,
    )
    .scalar_subquery()
)
TAKEN: Final = case((_OVERPAID, _ASKED_FOR), else_=payment_shares.c.captured)


def covered(shipment_id: ColumnElement[Any], *, and_asked: bool = False) -> ColumnElement[int]:
    """Return the SQL for what a shipment's payments cover at `now`, in minor units; what goes back does not.

    `and_asked` counts what an attempt that is still open may bring.
    """
    counts = or_(_HOLDS, _ASKED) if and_asked else _HOLDS
    worth = case((counts, payment_shares.c.asked - payment_shares.c.released), else_=TAKEN)
    return _sum_over(shipment_id, worth) - given_back_early(shipment_id)


def given_back_early(shipment_id: ColumnElement[Any]) -> ScalarSelect[int]:
    """Return the SQL for what goes back of a shipment's early captures because its units were cancelled."""
    return (
        select(func.coalesce(func.sum(refunds.c.amount), 0, type_=Integer))
        .where(
            refunds.c.shipment_id == shipment_id,
            refunds.c.cause == RefundCause.CANCELLED.value,
            refunds.c.state != RefundState.REJECTED.value,
        )
        .scalar_subquery()
    )


def runs_out(shipment_id: ColumnElement[Any]) -> ScalarSelect[datetime | None]:
    """Return the SQL for when the first of what is reserved for a shipment at `now` runs out."""
    return (
        select(func.min(payments.c.expires_at))
        .join(payment_shares, payment_shares.c.payment_id == payments.c.payment_id)
        .where(
            payment_shares.c.shipment_id == shipment_id,
            payment_shares.c.asked > payment_shares.c.captured + payment_shares.c.released,
            _HOLDS,
        )
        .scalar_subquery()
    )


def _sum_over(shipment_id: ColumnElement[Any], amount: ColumnElement[Any]) -> ScalarSelect[int]:
    return (
        select(func.coalesce(func.sum(amount), 0, type_=Integer))
        .join(payments, payments.c.payment_id == payment_shares.c.payment_id)
        .where(payment_shares.c.shipment_id == shipment_id)
        .scalar_subquery()
    )


HOLDS_MONEY: Final = _HOLDS
