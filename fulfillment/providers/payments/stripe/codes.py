"""Stripe's words into ours: declines, errors, states and how it counts money. No word is dropped."""

from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final, TypeVar

import structlog

from fulfillment.domain.money import exponent
from fulfillment.domain.payment import (
    DeclineGroup,
    PaymentStatus,
    RefundSnapshot,
    RefundStatus,
    RiskLevel,
)
from fulfillment.domain.provider_errors import Rejected

_G = DeclineGroup
_T = TypeVar("_T")
_log = structlog.stdlib.get_logger(__name__)

# https://docs.stripe.com/declines/codes
_DECLINE_GROUPS: Final[Mapping[str, DeclineGroup]] = MappingProxyType(
    dict.fromkeys(
        (
            "processing_error",
            "issuer_not_available",
            "reenter_transaction",
            "try_again_later",
            "approve_with_id",
            "insufficient_funds",
        ),
        _G.RETRY_LATER,
    )
    | dict.fromkeys(
        (
            "incorrect_cvc",
            "invalid_cvc",
            "incorrect_number",
            "invalid_number",
            "incorrect_zip",
            "incorrect_address",
            "expired_card",
            "invalid_expiry_month",
            "invalid_expiry_year",
            "authentication_required",
            "payment_intent_authentication_failure",
        ),
        _G.CHECK_DETAILS,
    )
    | dict.fromkeys(
        (
            "generic_decline",
            "do_not_honor",
            "call_issuer",
            "card_not_supported",
            "currency_not_supported",
            "card_velocity_exceeded",
            "withdrawal_count_limit_exceeded",
            "transaction_not_allowed",
            "invalid_account",
        ),
        _G.OTHER_METHOD,
    )
    | dict.fromkeys(
        (
            "fraudulent",
            "lost_card",
            "stolen_card",
            "pickup_card",
            "restricted_card",
            "merchant_blacklist",
            "do_not_try_again",
        ),
        _G.NEVER_AGAIN,
    )
)
_ADVICE: Final[Mapping[str, DeclineGroup]] = MappingProxyType(
    {
        "try_again_later": _G.RETRY_LATER,
        "confirm_card_data": _G.CHECK_DETAILS,
        "do_not_try_again": _G.NEVER_AGAIN,
    }
)

# https://docs.stripe.com/error-codes
STATE_CONFLICTS: Final = frozenset(
    {"payment_intent_unexpected_state", "charge_already_captured", "charge_already_refunded"}
)
EXPIRED: Final = frozenset({"capture_charge_authorization_expired", "charge_expired_for_capture"})
IN_USE: Final = frozenset({"idempotency_key_in_use", "lock_timeout"})

# https://docs.stripe.com/payments/paymentintents/lifecycle
_STATES: Final[Mapping[str, PaymentStatus]] = MappingProxyType(
    {
        "requires_payment_method": PaymentStatus.DECLINED,
        "requires_confirmation": PaymentStatus.AUTHORIZING,
        "requires_action": PaymentStatus.ACTION_REQUIRED,
        "processing": PaymentStatus.AUTHORIZING,
        "requires_capture": PaymentStatus.AUTHORIZED,
        "succeeded": PaymentStatus.CAPTURED,
        "canceled": PaymentStatus.VOIDED,
    }
)
# https://docs.stripe.com/refunds#failed-refunds
_REFUND_STATES: Final[Mapping[str, RefundStatus]] = MappingProxyType(
    {
        "pending": RefundStatus.PENDING,
        "requires_action": RefundStatus.PENDING,
        "succeeded": RefundStatus.SUCCEEDED,
        "failed": RefundStatus.FAILED,
        "canceled": RefundStatus.FAILED,
    }
)
# https://docs.stripe.com/api/disputes/object: may still be answered, or is over
_DISPUTE_STATES: Final[Mapping[str, bool]] = MappingProxyType(
    dict.fromkeys(
        (
            "warning_needs_response",
            "warning_under_review",
            "needs_response",
            "under_review",
            "appeal_needs_response",
            "appeal_under_review",
        ),
        False,
    )
    | dict.fromkeys(("warning_closed", "won", "lost", "prevented"), True)
)
# https://docs.stripe.com/api/charges/object#charge_object-outcome-risk_level: with every account; the score is not
_RISK_LEVELS: Final[Mapping[str, RiskLevel | None]] = MappingProxyType(
    {"normal": RiskLevel.NORMAL, "elevated": RiskLevel.ELEVATED, "highest": RiskLevel.HIGHEST}
    | dict.fromkeys(("not_assessed", "unknown"))
)
_CANCELED_BY_STRIPE: Final = frozenset({"automatic", "expired", "failed_invoice", "void_invoice"})

# https://docs.stripe.com/currencies: Stripe counts some unlike ISO 4217.
_ZERO_DECIMAL: Final = (
    *("BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA"),
    *("PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF"),
)
_EXPONENTS: Final[Mapping[str, int]] = MappingProxyType(
    dict.fromkeys(_ZERO_DECIMAL, 0)
    | dict.fromkeys(("BHD", "JOD", "KWD", "OMR", "TND"), 3)
    | dict.fromkeys(("ISK", "UGX"), 2)
)


class InexactAmount(Rejected):
    """An amount that Stripe cannot express in its own unit."""


def decline_group(error: Mapping[str, Any]) -> DeclineGroup:
    """Return what a declined customer can do, from the error of a card; a code in no table is a plain no."""
    for code in (error.get("decline_code"), error.get("code")):
        if group := _DECLINE_GROUPS.get(code or ""):
            return group
    return _ADVICE.get(error.get("advice_code") or "", _G.OTHER_METHOD)


def payment_status(state: str, cancellation_reason: str | None) -> PaymentStatus:
    """Return our status of a PaymentIntent.

    A state in no table is kept as still under way, so that nobody takes it for money or for a no, and is
    logged: the payment is asked about again until a person has taught us the word.
    """
    if state == "canceled" and cancellation_reason in _CANCELED_BY_STRIPE:
        return PaymentStatus.EXPIRED
    return _known(_STATES, state, PaymentStatus.AUTHORIZING, "payment")


def refund_status(state: str) -> RefundStatus:
    """Return our status of a refund; one in no table is kept as pending, and logged."""
    return _known(_REFUND_STATES, state, RefundStatus.PENDING, "refund")


def refund_snapshot(refund: Mapping[str, Any]) -> RefundSnapshot:
    """Return what a Refund says."""
    status = refund_status(refund["status"])
    why = refund.get("failure_reason") or refund.get("pending_reason") or ""
    if status is RefundStatus.FAILED:
        why = why or refund["status"]
    return RefundSnapshot(reference=str(refund["id"]), status=status, reason=str(why))


def capture_before(charge: Mapping[str, Any]) -> datetime | None:
    """Return until when a charge can be captured, None where it does not say."""
    card = (charge.get("payment_method_details") or {}).get("card") or {}
    before = card.get("capture_before")
    return datetime.fromtimestamp(before, UTC) if before else None


def risk_level(word: str | None) -> RiskLevel | None:
    """Return how Stripe finds a charge, None where it did not assess it; a word in no table says nothing, and is logged."""
    return None if word is None else _known(_RISK_LEVELS, word, None, "risk")


def dispute_is_over(state: str) -> bool:
    """Test whether a dispute can no longer be answered; one in no table can, and is logged."""
    return _known(_DISPUTE_STATES, state, False, "dispute")


def _known(table: Mapping[str, _T], word: str, otherwise: _T, what: str) -> _T:
    if word not in table:
        _log.warning("a state of Stripe's we do not know", of=what, state=word)
    return table.get(word, otherwise)


def to_stripe(minor: int, currency: str) -> int:
    """Return an amount of ISO minor units in Stripe's smallest unit.

    Raises:
        InexactAmount: Stripe counts this currency more coarsely than the amount needs.
    """
    finer, coarser = _scale(currency)
    amount, rest = divmod(minor * finer, coarser)
    if rest or (_EXPONENTS.get(currency) == 3 and amount % 10):  # of three decimals the last must be 0
        raise InexactAmount(f"{minor} {currency} is no whole number of what Stripe can charge")
    return amount


def from_stripe(amount: int, currency: str) -> int:
    """Return an amount in Stripe's smallest unit as ISO minor units, rounded down."""
    finer, coarser = _scale(currency)
    return amount * coarser // finer


def _scale(currency: str) -> tuple[int, int]:
    """Return by how much Stripe counts finer, and by how much coarser, than ISO; one of them is 1."""
    more = _EXPONENTS.get(currency, 2) - exponent(currency)
    return int(10 ** max(more, 0)), int(10 ** max(-more, 0))
