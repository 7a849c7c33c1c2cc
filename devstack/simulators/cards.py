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
    refund_waits: bool = False
    is_slow: bool = False
    multicapture: bool = True
    dispute: str | None = None
    country: str = "US"


def _declines(code: str, last4: str) -> Card:
    return Card(last4=last4, decline_code=code)


_THREE_D_SECURE: Final = Card(last4="3155", needs_action=True)
_ELEVATED: Final = Card(last4="9235", risk_level="elevated", risk_score=78)
_WITHOUT_FEATURES: Final = Card(last4="0076", multicapture=False)
_SLOW: Final = Card(last4="4242", is_slow=True)  # no card of Stripe's: its slow methods are no cards

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
    | {name: Card(last4="7726", refund_waits=True) for name in ("pendingRefund", "7726")}
    | {name: Card(last4="0259", dispute="fraudulent") for name in ("createDispute", "0259")}
    | {
        name: Card(last4="2685", dispute="product_not_received")
        for name in ("createDisputeProductNotReceived", "2685")
    }
    | dict.fromkeys(("credit_disableEnterpriseCardFeatures", "0076"), _WITHOUT_FEATURES)
    | {"processing": _SLOW}
    | {"de": Card(last4="0016", country="DE"), "gb": Card(last4="0000", country="GB")}
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

# What a customer may choose on the page that saves a card, and what it is called there.
CHOICES: Final = MappingProxyType(
    {
        "visa": "Visa 4242, works",
        "mastercard": "Mastercard 4444, works",
        "authenticationRequired": "Visa 3155, the bank asks first",
        "chargeDeclinedInsufficientFunds": "Visa 9995, has no money",
        "chargeDeclined": "Visa 0002, is declined",
        "processing": "Visa 4242, takes its time",
    }
)


def card(payment_method: str) -> Card:
    """Return the card behind a payment method; one without magic simply works.

    A saved card is named by its magic and a number of its own: `pm_card_visa__1f3a` is like `pm_card_visa`.
    """
    name = payment_method.removeprefix("pm_card_").partition("__")[0]
    return CARDS.get(name) or CARDS.get(payment_method[-4:] if payment_method.isdigit() else "") or Card()
