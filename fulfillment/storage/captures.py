"""Taking money: exactly what a shipment is worth, over the payments that hold its money."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, case, exists, select, update

from fulfillment.domain.errors import FulfillmentError
from fulfillment.domain.events import EventKind
from fulfillment.domain.holds import SCOPE, HoldScope
from fulfillment.domain.money import format_minor
from fulfillment.domain.operation import Captured, Operation
from fulfillment.domain.payment import (
    AuthorizationExpired,
    Held,
    OperationKind,
    OperationState,
    PaymentSnapshot,
    PaymentStatus,
    operation_key,
)
from fulfillment.domain.provider_errors import Conflict
from fulfillment.domain.shipment import BEFORE_HAND_OVER, Stop, WorkStatus
from fulfillment.storage import holds, journal, shares
from fulfillment.storage.coverage import given_back_early
from fulfillment.storage.operations import Operations, read
from fulfillment.storage.tables import payment_shares, payments, provider_operations, shipments

_S, _O = PaymentStatus, OperationState
_LEFT: Final = (WorkStatus.HANDED_OVER, WorkStatus.CLOSED)
_BLOCKS: Final = (HoldScope.CAPTURE, HoldScope.BOTH)

_SHIPMENT: Final = select(
    *shipments.c["value", "work_status"], given_back_early(shipments.c.shipment_id).label("given_back")
).where(shipments.c.shipment_id == bindparam("the_shipment"))
_THE_PAYMENT: Final = payments.c.payment_id == bindparam("the_payment")
_UNDER_WAY: Final = select(
    exists().where(
        provider_operations.c.payment_id == bindparam("the_payment"),
        provider_operations.c.kind == OperationKind.CAPTURE.value,
        provider_operations.c.subject != bindparam("the_shipment"),
        provider_operations.c.state.in_([_O.CLAIMED.value, _O.UNKNOWN.value]),
    )
)
_TAKEN: Final = (
    update(payments)
    .where(_THE_PAYMENT)
    .values(
        captured=payments.c.captured + bindparam("taken"),
        status=case(
            (bindparam("is_final"), _S.CAPTURED.value),
            (payments.c.captured + bindparam("taken") >= payments.c.authorized, _S.CAPTURED.value),
            else_=payments.c.status,
        ),
    )
)
_RAN_OUT: Final = (
    update(payments)
    .where(_THE_PAYMENT, payments.c.status == _S.AUTHORIZED.value)
    .values(status=case((payments.c.captured > 0, _S.CAPTURED.value), else_=_S.EXPIRED.value))
)
_beside = payment_shares.alias("beside")
_BESIDE: Final = (
    select(shipments.c.shipment_id)
    .distinct()
    .join(payment_shares, payment_shares.c.shipment_id == shipments.c.shipment_id)
    .join(_beside, _beside.c.payment_id == payment_shares.c.payment_id)
    .where(
        _beside.c.shipment_id == bindparam("the_shipment"),
        shipments.c.shipment_id != bindparam("the_shipment"),
        shipments.c.work_status.in_([status.value for status in BEFORE_HAND_OVER]),
    )
)


class NotHandedOver(FulfillmentError):
    """Money is taken for what has left, never before."""

    def __init__(self, shipment_id: str) -> None:
        super().__init__(f"{shipment_id} has not left: its money is not taken yet")
        self.shipment_id = shipment_id


class Captures:
    """Captures as rows. The order must be locked."""

    def __init__(self, operations: Operations, now: Callable[[], datetime]) -> None:
        self._operations, self._now = operations, now

    def claim(
        self, conn: Connection, order: Row[Any], shipment_id: str, *, early: bool
    ) -> Operation | Captured:
        """Claim the next capture of a shipment, the oldest payment first."""
        shipment = conn.execute(_SHIPMENT, {"the_shipment": shipment_id}).one()
        found = shares.of_shipment(conn, shipment_id, now=self._now())
        # What went back, or is to, because units were cancelled or too much was taken, is not ours to count.
        due = shipment.value + shipment.given_back - sum(payment.share_taken for payment in found)
        if due <= 0:
            return Captured(amount=shipment.value, uncovered=self._uncovered(conn, shipment_id))
        _check_may_capture(conn, order, shipment_id, shipment.work_status, early=early)
        for payment in found:
            # Not `holds`: the clock of whoever expires it is the provider's, and it is asked.
            live = payment.share - payment.share_captured - payment.share_released
            if payment.status == _S.AUTHORIZED and live > 0:
                return self._claim_of(conn, order, payment, shipment_id, min(live, due))
        raise AuthorizationExpired(f"{shipment_id} holds no money any more")

    def record(self, conn: Connection, order: Row[Any], key: str, snapshot: PaymentSnapshot) -> None:
        """Record that a capture was done; what it let go is gone from the other shares too."""
        operation = read(conn, key)
        if not self._operations.settle(conn, key, _O.SUCCEEDED, reference=snapshot.reference):
            return
        payment_id = operation.payment_id
        taken = {"the_payment": payment_id, "taken": operation.amount, "is_final": operation.final}
        conn.execute(_TAKEN, taken)
        shares.take(conn, payment_id, operation.subject, operation.amount)
        if operation.final:
            shares.let_go(conn, payment_id)
        amount = format_minor(operation.amount, order.currency)
        text = f"We charged {amount} for what has left."
        journal.event(conn, order.order_id, EventKind.CAPTURED, text, at=self._now())

    def ran_out(self, conn: Connection, payment_id: str) -> None:
        """Note that an authorization was gone when its money was to be taken."""
        conn.execute(_RAN_OUT, {"the_payment": payment_id})
        shares.let_go(conn, payment_id)

    def _claim_of(
        self, conn: Connection, order: Row[Any], payment: Row[Any], shipment_id: str, amount: int
    ) -> Operation:
        about = {"the_payment": payment.payment_id, "the_shipment": shipment_id}
        # One at a time: whether a lost capture was done is told from what the payment has been charged since.
        if conn.execute(_UNDER_WAY, about).scalar_one():
            raise Conflict(f"another capture of {payment.payment_id} is under way")
        key = operation_key(order.order_id, OperationKind.CAPTURE, shipment_id, payment.attempt)
        return self._operations.claim(
            conn,
            order,
            key,
            OperationKind.CAPTURE,
            payment_id=payment.payment_id,
            subject=shipment_id,
            amount=amount,
            final=not payment.multicapture or not _others_live(conn, payment.payment_id, shipment_id),
        )

    def _uncovered(self, conn: Connection, shipment_id: str) -> tuple[str, ...]:
        """Return which shipments of the same payments lost their money by this one's capture."""
        beside = tuple(conn.execute(_BESIDE, {"the_shipment": shipment_id}).scalars())
        if not beside:
            return ()
        standing = shares.wanting(conn, beside, now=self._now())
        return tuple(other.shipment_id for other in standing if other.covered < other.value)


def _check_may_capture(
    conn: Connection, order: Row[Any], shipment_id: str, work_status: str, *, early: bool
) -> None:
    if work_status == WorkStatus.CANCELLED:
        raise Stop(shipment_id, "it was cancelled: nothing is owed for it")
    if work_status not in _LEFT and not early:
        raise NotHandedOver(shipment_id)
    standing = [hold.reason for hold in holds.active(conn, order.order_id) if SCOPE[hold.reason] in _BLOCKS]
    if standing:
        raise Held(shipment_id, ", ".join(standing))


def _others_live(conn: Connection, payment_id: str, shipment_id: str) -> bool:
    return any(
        share.asked > share.captured + share.released
        for share in shares.of_payment(conn, payment_id)
        if share.shipment_id != shipment_id and share.work_status != WorkStatus.CANCELLED
    )
