"""Payments and the operations asked of their provider."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from fulfillment.domain.errors import FulfillmentError


class PaymentStatus(StrEnum):
    """One attempt to get the money for one shipment, as one object at the provider."""

    AUTHORIZING = "authorizing"
    ACTION_REQUIRED = "action_required"
    AUTHORIZED = "authorized"
    DECLINED = "declined"
    CAPTURED = "captured"
    VOIDED = "voided"
    EXPIRED = "expired"


_P = PaymentStatus
NEXT: Final[Mapping[PaymentStatus, frozenset[PaymentStatus]]] = MappingProxyType(
    {
        _P.AUTHORIZING: frozenset({_P.AUTHORIZED, _P.ACTION_REQUIRED, _P.DECLINED, _P.VOIDED}),
        _P.ACTION_REQUIRED: frozenset({_P.AUTHORIZED, _P.DECLINED, _P.VOIDED}),
        _P.AUTHORIZED: frozenset({_P.CAPTURED, _P.VOIDED, _P.EXPIRED}),
        _P.DECLINED: frozenset(),
        _P.CAPTURED: frozenset(),
        _P.VOIDED: frozenset(),
        _P.EXPIRED: frozenset(),
    }
)


class OperationKind(StrEnum):
    """What a provider can be asked to do."""

    AUTHORIZE = "authorize"
    CAPTURE = "capture"
    VOID = "void"
    REFUND = "refund"
    BUY_LABEL = "buy_label"
    VOID_LABEL = "void_label"


class OperationState(StrEnum):
    """Where one request to a provider stands. UNKNOWN is left only by asking the provider."""

    CLAIMED = "claimed"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNKNOWN = "unknown"


_O = OperationState
NEXT_OPERATION: Final[Mapping[OperationState, frozenset[OperationState]]] = MappingProxyType(
    {
        _O.CLAIMED: frozenset({_O.SUCCEEDED, _O.FAILED, _O.UNKNOWN}),
        _O.UNKNOWN: frozenset({_O.CLAIMED, _O.SUCCEEDED, _O.FAILED}),
        _O.SUCCEEDED: frozenset(),
        _O.FAILED: frozenset(),
    }
)


def operation_key(order_id: str, kind: OperationKind, subject: str, n: int) -> str:
    """Return the key of a business attempt; retries of it carry the same one."""
    return f"{order_id}:{kind}:{subject}:{n}"


class DeclineGroup(StrEnum):
    """What a declined customer can do about it. The bank's own words are never shown."""

    RETRY_LATER = "retry_later"
    CHECK_DETAILS = "check_details"
    OTHER_METHOD = "other_method"
    NEVER_AGAIN = "never_again"


class Declined(FulfillmentError):
    """The bank said no to this card."""

    def __init__(self, group: DeclineGroup, code: str = "") -> None:
        super().__init__(f"the payment was declined ({group})")
        self.group, self.code = group, code


class RefundRefused(FulfillmentError):
    """The provider will not give this money back the way it came."""


class AuthorizationExpired(FulfillmentError):
    """The money was reserved, and the reservation ran out before it was taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentSnapshot:
    """What a provider says about one payment, in minor units."""

    reference: str
    status: PaymentStatus
    authorized: int
    captured: int
    refunded: int
    expires_at: datetime | None = None
    risk_score: int | None = None
    next_action_url: str | None = None


# What people call the state of an order's money, computed from all its payments (`stage.py`).
class OrderPayment(StrEnum):
    """Where the money of the whole order is."""

    NONE = "none"
    PENDING = "pending"
    ACTION_REQUIRED = "action_required"
    DECLINED = "declined"
    AUTHORIZED = "authorized"
    PARTIALLY_PAID = "partially_paid"
    PAID = "paid"
    OVERPAID = "overpaid"
    PARTIALLY_REFUNDED = "partially_refunded"
    REFUNDED = "refunded"
    VOIDED = "voided"
