"""Payments and the operations asked of their provider."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from fulfillment.domain.errors import FulfillmentError


class PaymentStatus(StrEnum):
    """One attempt to get money, as one object at the provider; it may cover several shipments.

    AUTHORIZED says that more may be captured: where a charge allows several captures, some may have been.
    """

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
        _P.CAPTURED: frozenset(),
        _P.EXPIRED: frozenset(),
        # Given up by us and finished by the customer after all, it stands: a recorded correction, to let it go.
        _P.DECLINED: frozenset(),
        _P.VOIDED: frozenset(),
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
    """Where one request to a provider stands. UNKNOWN is left only by asking the provider.

    ACCEPTED: the provider took it and will report; its event or asking again brings the outcome.
    """

    CLAIMED = "claimed"
    ACCEPTED = "accepted"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNKNOWN = "unknown"


_O = OperationState
NEXT_OPERATION: Final[Mapping[OperationState, frozenset[OperationState]]] = MappingProxyType(
    {
        _O.CLAIMED: frozenset({_O.ACCEPTED, _O.SUCCEEDED, _O.FAILED, _O.UNKNOWN}),
        _O.ACCEPTED: frozenset({_O.SUCCEEDED, _O.FAILED}),
        _O.UNKNOWN: frozenset({_O.CLAIMED, _O.ACCEPTED, _O.SUCCEEDED, _O.FAILED}),
        _O.SUCCEEDED: frozenset(),  # a refund leaves it by a recorded correction alone: it failed after all
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


class Held(FulfillmentError):
    """No money is taken while a hold stands that blocks it."""

    def __init__(self, shipment_id: str, reasons: str) -> None:
        super().__init__(f"{shipment_id} is on hold ({reasons}): its money is not taken")
        self.shipment_id = shipment_id


class RiskLevel(StrEnum):
    """How a provider that assesses fraud finds a payment."""

    NORMAL = "normal"
    ELEVATED = "elevated"
    HIGHEST = "highest"


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentSnapshot:
    """What a provider says about one payment, in minor units.

    `authorized` is what was reserved in all, captured parts included; `captured` and `refunded` are sums over
    its life. `multicapture` says whether this charge allows several captures. `decline_group` and
    `decline_code` tell why a DECLINED one was; `card_country` (ISO 3166-1 alpha-2) is where the card is from.
    `risk_level` is None where the provider did not assess it, `risk_score` (0 to 99) where it tells no number.
    """

    reference: str
    status: PaymentStatus
    authorized: int
    captured: int
    refunded: int
    expires_at: datetime | None = None
    risk_score: int | None = None
    risk_level: RiskLevel | None = None
    next_action_url: str | None = None
    multicapture: bool = False
    decline_group: DeclineGroup | None = None
    decline_code: str = ""
    card_country: str | None = None


class RefundStatus(StrEnum):
    """What a provider says of a refund. PENDING: it took the request and will report."""

    SUCCEEDED = "succeeded"
    PENDING = "pending"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundSnapshot:
    """What a provider says about one refund; `reason` tells why it failed, in the provider's word."""

    reference: str
    status: RefundStatus
    reason: str = ""


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
