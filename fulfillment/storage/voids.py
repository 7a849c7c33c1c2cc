"""Letting money go: a shipment's share of it, or a payment nobody needs."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, case, exists, select, update

from fulfillment.domain.events import EventKind
from fulfillment.domain.money import format_minor
from fulfillment.domain.operation import Operation
from fulfillment.domain.order import ENDED, OrderStatus
from fulfillment.domain.payment import (
    OperationKind,
    OperationState,
    PaymentSnapshot,
    PaymentStatus,
    operation_key,
)
from fulfillment.domain.refund import RefundCause
from fulfillment.domain.shipment import Stop, WorkStatus
from fulfillment.storage import journal, shares
from fulfillment.storage.coverage import LIVE
from fulfillment.storage.operations import Operations, read
from fulfillment.storage.refunding import Refunds
from fulfillment.storage.tables import payments, provider_operations, shipments

_S, _O = PaymentStatus, OperationState
_LEFT: Final = (WorkStatus.HANDED_OVER, WorkStatus.CLOSED)

_THE_PAYMENT: Final = payments.c.payment_id == bindparam("the_payment")
_PAYMENT: Final = select(payments).where(_THE_PAYMENT)
_WORK_STATUS: Final = select(shipments.c.work_status).where(
    shipments.c.shipment_id == bindparam("the_shipment")
)
_BEING_TAKEN: Final = select(
    exists().where(
        provider_operations.c.payment_id == bindparam("the_payment"),
        provider_operations.c.kind == OperationKind.CAPTURE.value,
        provider_operations.c.state.in_([_O.CLAIMED.value, _O.UNKNOWN.value]),
    )
)
_LET_GO: Final = (
    update(payments)
    .where(_THE_PAYMENT, payments.c.status.in_([status.value for status in LIVE]))
    .values(
        status=case((payments.c.captured > 0, _S.CAPTURED.value), else_=bindparam("ended")),
        next_action_url=None,
    )
)
_TAKEN: Final = update(payments).where(_THE_PAYMENT).values(status=_S.CAPTURED.value, next_action_url=None)


class Voids:
    """Voids as rows. The order must be locked."""

    def __init__(self, operations: Operations, refunds: Refunds, now: Callable[[], datetime]) -> None:
        self._operations, self._refunds, self._now = operations, refunds, now

    def claim_of_shipment(self, conn: Connection, order: Row[Any], shipment_id: str) -> Operation | None:
        """Claim the release of the next payment that is a shipment's alone; its other shares go in the books."""
        # The hand-over looks for our claim under the same lock: either the goods leave or the money goes.
        work_status = conn.execute(_WORK_STATUS, {"the_shipment": shipment_id}).scalar_one()
        for payment in shares.of_shipment(conn, shipment_id, now=self._now()):
            left_over = payment.share - payment.share_captured - payment.share_released
            if payment.status not in LIVE or payment.provider_ref is None or not left_over:
                continue
            if work_status in _LEFT and payment.status == _S.AUTHORIZED:
                raise Stop(shipment_id, "it has left: its money is due")
            if not _needed_by_others(conn, payment.payment_id, shipment_id):
                return self._claim(conn, order, payment, payment.share)
            shares.let_go(conn, payment.payment_id, shipment_id)
        return None

    def claim_of_payment(self, conn: Connection, order: Row[Any], payment_id: str) -> Operation | None:
        """Claim the release of a payment that nobody needs."""
        payment = conn.execute(_PAYMENT, {"the_payment": payment_id}).one()
        if payment.status not in LIVE or payment.provider_ref is None:
            return None
        is_needed = payment.status == _S.AUTHORIZED and OrderStatus(order.status) not in ENDED
        if is_needed and _needed_by_others(conn, payment_id, ""):
            raise Stop(payment_id, "a shipment needs its money")
        return self._claim(conn, order, payment, payment.asked)

    def record(
        self, conn: Connection, order: Row[Any], key: str, snapshot: PaymentSnapshot
    ) -> Row[Any] | None:
        """Record that the money of a payment is let go, or as much of it as was not taken.

        Return the payment where it was an attempt that its customer never confirmed.
        """
        operation = read(conn, key)
        if not self._operations.settle(conn, key, _O.SUCCEEDED, reference=snapshot.reference):
            return None
        payment = conn.execute(_PAYMENT, {"the_payment": operation.payment_id}).one()
        ended = _S.EXPIRED if snapshot.status is _S.EXPIRED else _S.VOIDED
        conn.execute(_LET_GO, {"the_payment": operation.payment_id, "ended": ended.value})
        shares.let_go(conn, operation.payment_id)
        # An attempt that waited for the bank never came to anything: it ends with its money.
        self._operations.settle(conn, operation.payment_id, _O.FAILED, error_class="Voided")
        if payment.status == _S.ACTION_REQUIRED:
            return payment
        amount = format_minor(operation.amount, order.currency)
        text = f"We released the {amount} that your bank had set aside."
        journal.event(conn, order.order_id, EventKind.VOIDED, text, at=self._now())
        return None

    def taken_meanwhile(
        self, conn: Connection, order: Row[Any], key: str, snapshot: PaymentSnapshot
    ) -> str | None:
        """Record money that was taken while we wanted to let it go, and ask for its return."""
        payment_id = read(conn, key).payment_id
        payment = conn.execute(_PAYMENT, {"the_payment": payment_id}).one()
        too_much = snapshot.captured - payment.captured
        if too_much <= 0 or not self._operations.settle(conn, key, _O.FAILED, error_class="Captured"):
            return self._refunds.of_payment(conn, order.order_id, payment_id)
        self._operations.settle(conn, payment_id, _O.SUCCEEDED, reference=snapshot.reference)
        taken = {"authorized": max(payment.authorized, snapshot.captured), "captured": snapshot.captured}
        conn.execute(_TAKEN.values(taken), {"the_payment": payment_id})
        _spread(conn, payment_id, too_much)
        return self._refunds.by_system(
            conn, order, RefundCause.OVERPAID, too_much, request_id=f"overpaid:{payment_id}"
        )

    def _claim(self, conn: Connection, order: Row[Any], payment: Row[Any], amount: int) -> Operation:
        if conn.execute(_BEING_TAKEN, {"the_payment": payment.payment_id}).scalar_one():
            raise Stop(payment.payment_id, "its money is being taken")
        subject = read(conn, payment.payment_id).subject
        key = operation_key(order.order_id, OperationKind.VOID, subject, payment.attempt)
        return self._operations.claim(
            conn,
            order,
            key,
            OperationKind.VOID,
            payment_id=payment.payment_id,
            subject=subject,
            amount=amount,
        )


def _needed_by_others(conn: Connection, payment_id: str, shipment_id: str) -> bool:
    return any(
        share.asked > share.captured + share.released
        for share in shares.of_payment(conn, payment_id)
        if share.shipment_id != shipment_id and share.work_status != WorkStatus.CANCELLED
    )


def _spread(conn: Connection, payment_id: str, amount: int) -> None:
    """Book an amount as taken for the payment's shipments, the first one first."""
    rest = amount
    for share in shares.of_payment(conn, payment_id):
        part = min(rest, share.asked - share.captured)
        shares.take(conn, payment_id, share.shipment_id, part)
        rest -= part
