"""Stripe's words and amounts in ours."""

import pytest

from fulfillment.domain.payment import DeclineGroup, PaymentStatus
from fulfillment.providers.payments.stripe import codes


@pytest.mark.parametrize(
    ("minor", "currency", "amount"),
    [
        (1999, "USD", 1999),
        (500, "JPY", 500),
        (12, "ISK", 1200),  # ISO has no decimals here, Stripe wants two
        (12, "UGX", 1200),
        (1230, "KWD", 1230),
        (1200, "MGA", 12),  # ISO has two decimals, Stripe none
    ],
)
def test_an_amount_goes_to_stripe_and_comes_back(minor: int, currency: str, amount: int) -> None:
    assert codes.to_stripe(minor, currency) == amount
    assert codes.from_stripe(amount, currency) == minor


@pytest.mark.parametrize(("minor", "currency"), [(1234, "KWD"), (1250, "MGA")])
def test_an_amount_stripe_cannot_express_is_refused_rather_than_rounded(minor: int, currency: str) -> None:
    with pytest.raises(codes.InexactAmount):
        codes.to_stripe(minor, currency)


@pytest.mark.parametrize(
    ("error", "group"),
    [
        ({"decline_code": "do_not_honor", "advice_code": "try_again_later"}, DeclineGroup.OTHER_METHOD),
        ({"decline_code": "brand_new", "advice_code": "do_not_try_again"}, DeclineGroup.NEVER_AGAIN),
        ({"code": "incorrect_cvc"}, DeclineGroup.CHECK_DETAILS),
        ({"code": "card_declined", "advice_code": "try_again_later"}, DeclineGroup.RETRY_LATER),
        ({}, DeclineGroup.OTHER_METHOD),
    ],
)
def test_the_decline_code_decides_and_the_advice_where_it_is_silent(
    error: dict[str, str], group: DeclineGroup
) -> None:
    assert codes.decline_group(error) is group


@pytest.mark.parametrize(
    ("state", "reason", "status"),
    [
        ("canceled", None, PaymentStatus.VOIDED),
        ("canceled", "requested_by_customer", PaymentStatus.VOIDED),
        ("canceled", "expired", PaymentStatus.EXPIRED),
        ("canceled", "automatic", PaymentStatus.EXPIRED),
        ("requires_action", None, PaymentStatus.ACTION_REQUIRED),
        ("a_state_of_2030", None, PaymentStatus.AUTHORIZING),
    ],
)
def test_a_cancellation_by_stripe_is_an_expiry(state: str, reason: str | None, status: PaymentStatus) -> None:
    assert codes.payment_status(state, reason) is status
