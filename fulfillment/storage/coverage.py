"""How much of a shipment's value is there: taken, or reserved and not running out or being let go."""

from typing import Any, Final

from sqlalchemy import ColumnElement, Integer, ScalarSelect, bindparam, case, exists, func, or_, select

from fulfillment.domain.payment import OperationKind, OperationState, PaymentStatus
from fulfillment.storage.tables import payment_shares, payments, provider_operations

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


def covered(shipment_id: ColumnElement[Any], *, and_asked: bool = False) -> ScalarSelect[int]:
    """Return the SQL for what a shipment's payments cover at `now`, in minor units.

    `and_asked` counts what an attempt that is still open may bring.
    """
    counts = or_(_HOLDS, _ASKED) if and_asked else _HOLDS
    worth = case(
        (counts, payment_shares.c.asked - payment_shares.c.released), else_=payment_shares.c.captured
    )
    return (
        select(func.coalesce(func.sum(worth), 0, type_=Integer))
        .join(payments, payments.c.payment_id == payment_shares.c.payment_id)
        .where(payment_shares.c.shipment_id == shipment_id)
        .scalar_subquery()
    )


HOLDS_MONEY: Final = _HOLDS
