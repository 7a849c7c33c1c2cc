"""Stripe's magic cards: which payment method does what."""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """How a card behaves when it is charged."""

    brand: str = "visa"
    last4: str = "4242"
    decline_code: str | None = None
    needs_action: bool = False
    risk_level: str = "normal"
    risk_score: int = 12
    refund_fails: bool = False


def _declines(code: str, last4: str) -> Card:
    return Card(last4=last4, decline_code=code)


_THREE_D_SECURE: Final = Card(last4="3155", needs_action=True)
_ELEVATED: Final = Card(last4="9235", risk_level="elevated", risk_score=78)

_DECLINES: Final = (
    (("chargeDeclined", "visa_chargeDeclined", "chargeCustomerFail"), "generic_decline", "0002"),
    (("chargeDeclinedInsufficientFunds",), "insufficient_funds", "9995"),
    (("chargeDeclinedLostCard",), "lost_card", "9987"),
    (("chargeDeclinedStolenCard",), "stolen_card", "9979"),
    (("chargeDeclinedExpiredCard",), "expired_card", "0069"),
    (("chargeDeclinedIncorrectCvc",), "incorrect_cvc", "0127"),
    (("chargeDeclinedProcessingError",), "processing_error", "0119"),
    (("chargeDeclinedFraudulent",), "fraudulent", "0019"),
    (("chargeDeclinedVelocityLimitExceeded",), "card_velocity_exceeded", "6975"),
)

CARDS: Final = MappingProxyType(
    {name: _declines(code, last4) for names, code, last4 in _DECLINES for name in (*names, last4)}
    | {f"visa_{names[0]}": _declines(code, last4) for names, code, last4 in _DECLINES}
    | {"0341": _declines("generic_decline", "0341")}
    | dict.fromkeys(("authenticationRequired", "threeDSecure2Required", "3155", "3184"), _THREE_D_SECURE)
    | {"riskLevelElevated": _ELEVATED, "9235": _ELEVATED}
    | {name: Card(last4="5126", refund_fails=True) for name in ("refundFail", "5126")}
    | {"mastercard": Card(brand="mastercard", last4="4444"), "amex": Card(brand="amex", last4="8431")}
)

# code of the error where it is not card_declined, from Stripe's list of test cards
ERROR_CODES: Final = MappingProxyType(
    {"expired_card": "expired_card", "incorrect_cvc": "incorrect_cvc", "processing_error": "processing_error"}
)
ADVICE: Final = MappingProxyType(
    {
        "processing_error": "try_again_later",
        "insufficient_funds": "try_again_later",
        "card_velocity_exceeded": "try_again_later",
        "expired_card": "confirm_card_data",
        "incorrect_cvc": "confirm_card_data",
        "lost_card": "do_not_try_again",
        "stolen_card": "do_not_try_again",
        "fraudulent": "do_not_try_again",
    }
)
SENTENCES: Final = MappingProxyType(
    {
        "insufficient_funds": "Your card has insufficient funds.",
        "expired_card": "Your card has expired.",
        "incorrect_cvc": "Your card's security code is incorrect.",
        "processing_error": "An error occurred while processing your card. Try again in a little bit.",
    }
)


def card(payment_method: str) -> Card:
    """Return the card behind a payment method; one without magic simply works."""
    name = payment_method.removeprefix("pm_card_")
    return CARDS.get(name) or CARDS.get(payment_method[-4:] if payment_method.isdigit() else "") or Card()
