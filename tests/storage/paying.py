"""Paying, as the payment activities do it."""

from datetime import datetime

from fulfillment.domain.operation import Authorization
from fulfillment.domain.payment import PaymentSnapshot, PaymentStatus
from tests.storage.house import House


def a_snapshot(
    amount: int,
    *,
    status: PaymentStatus = PaymentStatus.AUTHORIZED,
    captured: int = 0,
    expires_at: datetime | None = None,
    risk_score: int | None = None,
    reference: str = "pi_1",
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
    )


def pay(
    house: House,
    shipment_id: str,
    attempt: int = 1,
    *,
    risk_score: int | None = None,
    expires_at: datetime | None = None,
) -> Authorization:
    """Reserve the money for a shipment."""
    operation = house.payments.claim_authorization(shipment_id, attempt)
    snapshot = a_snapshot(
        operation.amount.minor,
        reference=f"pi_{shipment_id}_{attempt}",
        risk_score=risk_score,
        expires_at=expires_at,
    )
    return house.payments.authorized(operation.key, snapshot)


def capture(house: House, shipment_id: str) -> None:
    """Take the money of a shipment that has left."""
    operation = house.payments.claim_capture(shipment_id)
    assert operation is not None
    amount = operation.amount.minor
    taken = a_snapshot(amount, status=PaymentStatus.CAPTURED, captured=amount, reference=operation.reference)
    house.payments.succeeded(operation.key, taken)
