"""Paying, as the payment activities do it."""

from datetime import datetime
from typing import Any

from fulfillment.domain.errors import FulfillmentError
from fulfillment.domain.operation import Authorization, Captured, Operation
from fulfillment.domain.payment import PaymentSnapshot, PaymentStatus, RefundSnapshot, RefundStatus
from fulfillment.domain.refund import Refund
from fulfillment.storage.tables import payments
from tests.storage.house import House


class NothingToAsk(FulfillmentError):
    """There was nothing to ask the provider."""


def a_snapshot(
    amount: int,
    *,
    status: PaymentStatus = PaymentStatus.AUTHORIZED,
    captured: int = 0,
    expires_at: datetime | None = None,
    risk_score: int | None = None,
    reference: str = "pi_1",
    **more: Any,
) -> PaymentSnapshot:
    """Return what the provider says of a payment."""
    return PaymentSnapshot(
        reference=reference,
        status=status,
        authorized=amount,
        captured=captured,
        refunded=0,
        expires_at=expires_at,
        risk_score=risk_score,
        **more,
    )


def claim(house: House, shipment_id: str, attempt: int = 1, *others: str) -> Operation:
    """Claim the reservation of the money for shipments of one order.

    Raises:
        NothingToAsk: it was answered before, or the order's claim ran out and its goods are gone.
    """
    order_id = shipment_id.rpartition("-")[0]
    claimed = house.payments.claim_authorization(order_id, attempt, (shipment_id, *others))
    if not isinstance(claimed, Operation):
        raise NothingToAsk(str(claimed))
    return claimed


def pay(
    house: House, shipment_id: str, attempt: int | None = None, *others: str, **said: Any
) -> Authorization:
    """Reserve the money for a shipment, or for several by one payment; by default in the order's next attempt."""
    if attempt is None:
        attempt = len(house.rows(payments, order_id=shipment_id.rpartition("-")[0])) + 1
    operation = claim(house, shipment_id, attempt, *others)
    reference = f"pi_{shipment_id}_{attempt}"
    snapshot = a_snapshot(operation.amount.minor, **{"reference": reference} | said)
    return house.payments.authorized(operation.key, snapshot)


def capture(house: House, shipment_id: str, *, early: bool = False) -> Captured:
    """Take the money of a shipment as the activity does: payment by payment."""
    while isinstance(step := house.payments.claim_capture(shipment_id, early=early), Operation):
        amount = step.amount.minor
        taken = a_snapshot(
            amount, status=PaymentStatus.CAPTURED, captured=step.captured + amount, reference=step.reference
        )
        house.payments.captured(step.key, taken)
    return step


def void(house: House, shipment_id: str) -> None:
    """Let the money of a shipment go as the activity does."""
    while (step := house.payments.claim_void(shipment_id)) is not None:
        status = PaymentStatus.CAPTURED if step.captured else PaymentStatus.VOIDED
        gone = a_snapshot(step.amount.minor, status=status, reference=step.reference)
        house.payments.voided(step.key, gone)


def give_back(
    house: House, refund_id: str, status: RefundStatus = RefundStatus.SUCCEEDED, reason: str = ""
) -> Refund:
    """Pay a refund as the activity does; `status` is what the provider says of each request."""
    while isinstance(step := house.payments.next_of_refund(refund_id), Operation):
        said = RefundSnapshot(reference=f"re_{step.key}", status=status, reason=reason)
        house.payments.refunded(step.key, said)
        if status is not RefundStatus.SUCCEEDED:
            return house.refunds.get(refund_id)
    return step


def leave_and_capture(house: House, shipment_id: str, **label: Any) -> None:
    """Bring a shipment that is on the floor to the carrier, and take its money."""
    house.leave(shipment_id, **label)
    capture(house, shipment_id)
