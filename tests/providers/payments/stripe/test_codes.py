"""Stripe's words and amounts in ours."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from fulfillment.domain.payment import DeclineGroup, PaymentStatus, RefundStatus, RiskLevel
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


@given(
    minor=st.integers(min_value=1, max_value=10**9),
    currency=st.sampled_from(["JPY", "KRW", "USD", "EUR", "KWD", "BHD", "ISK", "UGX", "MGA", "HUF"]),
)
def test_p32_what_stripe_can_express_comes_back_to_the_unit(minor: int, currency: str) -> None:
    """Attacks the scale between the two tables: without it a currency without decimals goes out times 100."""
    try:
        amount = codes.to_stripe(minor, currency)
    except codes.InexactAmount:
        assert currency in ("KWD", "BHD", "MGA")
        return
    assert codes.from_stripe(amount, currency) == minor


@pytest.mark.parametrize(
    ("error", "group"),
    [
        ({"decline_code": "do_not_honor", "advice_code": "try_again_later"}, DeclineGroup.OTHER_METHOD),
        ({"decline_code": "brand_new", "advice_code": "do_not_try_again"}, DeclineGroup.NEVER_AGAIN),
        ({"code": "incorrect_cvc"}, DeclineGroup.CHECK_DETAILS),
        ({"code": "payment_intent_authentication_failure"}, DeclineGroup.CHECK_DETAILS),
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


# All that stripe 16.1.0 declares.
INTENTS = {
    "canceled": PaymentStatus.VOIDED,
    "processing": PaymentStatus.AUTHORIZING,
    "requires_action": PaymentStatus.ACTION_REQUIRED,
    "requires_capture": PaymentStatus.AUTHORIZED,
    "requires_confirmation": PaymentStatus.AUTHORIZING,
    "requires_payment_method": PaymentStatus.DECLINED,
    "succeeded": PaymentStatus.CAPTURED,
}
REFUNDS = {
    "pending": RefundStatus.PENDING,
    "requires_action": RefundStatus.PENDING,
    "succeeded": RefundStatus.SUCCEEDED,
    "failed": RefundStatus.FAILED,
    "canceled": RefundStatus.FAILED,
}
OPEN_DISPUTES = (
    *("appeal_needs_response", "appeal_under_review", "needs_response", "under_review"),
    *("warning_needs_response", "warning_under_review"),
)
CLOSED_DISPUTES = ("lost", "prevented", "warning_closed", "won")
RISK_LEVELS = ("normal", "elevated", "highest", "not_assessed", "unknown")


def test_p36_every_state_of_stripes_is_one_of_ours_and_an_unknown_one_is_kept_and_logged() -> None:
    """Attacks the tables and what stands behind them: a word of none is neither money nor a no, and is seen.

    Without the log nobody learns of it; without the fall-back the event is lost.
    """
    with capture_logs() as logs:
        assert {state: codes.payment_status(state, None) for state in INTENTS} == INTENTS
        assert {state: codes.refund_status(state) for state in REFUNDS} == REFUNDS
        assert not any(codes.dispute_is_over(state) for state in OPEN_DISPUTES)
        assert all(codes.dispute_is_over(state) for state in CLOSED_DISPUTES)
        assert [codes.risk_level(word) for word in RISK_LEVELS] == [*RiskLevel, None, None]
    assert logs == []

    with capture_logs() as logs:
        assert codes.payment_status("a_state_of_2030", None) is PaymentStatus.AUTHORIZING
        assert codes.refund_status("a_state_of_2030") is RefundStatus.PENDING
        assert codes.dispute_is_over("a_state_of_2030") is False
        assert codes.risk_level("a_state_of_2030") is None
    assert [(entry["of"], entry["state"]) for entry in logs] == [
        (of, "a_state_of_2030") for of in ("payment", "refund", "dispute", "risk")
    ]
