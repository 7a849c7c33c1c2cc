"""Stripe's webhooks: the official client's signatures are ours and ours are its."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from stripe import Webhook, WebhookSignature

from fulfillment.domain.payment import RefundStatus
from fulfillment.domain.payment_news import RefundHint
from fulfillment.providers.payments.stripe import webhook
from tests.devstack.simulators.conftest import STRIPE_SECRET, Listener, Simulator, wait_for
from tests.providers.payments.stripe.test_client import AMOUNT, _gateway, authorize

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
REFUND_FAILED = {
    "id": "evt_1",
    "type": "refund.failed",
    "created": int(NOW.timestamp()),
    "data": {
        "object": {
            "id": "re_1",
            "object": "refund",
            "payment_intent": "pi_1",
            "status": "failed",
            "failure_reason": "expired_or_canceled_card",
            "metadata": {"operation": "SO-1:refund:SO-1-1:1"},
        }
    },
}
BODY = json.dumps(REFUND_FAILED).encode()


def signed(body: bytes, secret: str, at: datetime) -> dict[str, str]:
    """Sign as the official client does."""
    stamp = int(at.timestamp())
    signature = WebhookSignature._compute_signature(f"{stamp}.{body.decode()}", secret)
    return {"stripe-signature": f"t={stamp},v1={signature}"}


def test_a_signature_of_the_official_client_is_accepted() -> None:
    headers = signed(BODY, "whsec_1", NOW)

    assert webhook.verify(BODY, headers, ["whsec_1"], now=NOW)


def test_what_we_accept_the_official_client_accepts_too() -> None:
    now = datetime.now(UTC)
    headers = signed(BODY, "whsec_1", now)

    event = Webhook.construct_event(BODY, headers["stripe-signature"], "whsec_1")

    assert event.id == "evt_1"
    assert webhook.verify(BODY, headers, ["whsec_1"], now=now)


@pytest.mark.parametrize("seconds", [-301, 301])
def test_a_signature_is_refused_when_its_time_is_far_off_in_either_direction(seconds: int) -> None:
    headers = signed(BODY, "whsec_1", NOW + timedelta(seconds=seconds))

    assert not webhook.verify(BODY, headers, ["whsec_1"], now=NOW)


@pytest.mark.parametrize("seconds", [-299, 299])
def test_a_signature_is_accepted_within_the_tolerance(seconds: int) -> None:
    headers = signed(BODY, "whsec_1", NOW + timedelta(seconds=seconds))

    assert webhook.verify(BODY, headers, ["whsec_1"], now=NOW)


def test_while_a_secret_is_replaced_both_are_accepted() -> None:
    headers = signed(BODY, "whsec_old", NOW)

    assert webhook.verify(BODY, headers, ["whsec_new", "whsec_old"], now=NOW)
    assert not webhook.verify(BODY, headers, ["whsec_new"], now=NOW)


@pytest.mark.parametrize("secrets", [[], [""]])
def test_without_a_secret_everything_is_refused(secrets: list[str]) -> None:
    headers = signed(BODY, "", NOW)

    assert not webhook.verify(BODY, headers, secrets, now=NOW)


def test_a_changed_body_is_refused() -> None:
    headers = signed(BODY, "whsec_1", NOW)

    assert not webhook.verify(BODY + b" ", headers, ["whsec_1"], now=NOW)


@pytest.mark.parametrize(
    "header", ["", "t=", "v1=abc", "t=now,v1=abc", "t=²,v1=abc", "t=99999999999999999999,v1=é"]
)
def test_a_header_that_makes_no_sense_is_refused(header: str) -> None:
    assert not webhook.verify(BODY, {"stripe-signature": header}, ["whsec_1"], now=NOW)


def test_an_event_says_what_happened_to_which_payment() -> None:
    news = webhook.parse(BODY)

    assert (news.event_id, news.occurred_at) == ("evt_1", NOW)
    assert news.hint == RefundHint(
        kind="refund.failed",
        reference="pi_1",
        refund="re_1",
        status=RefundStatus.FAILED,
        operation="SO-1:refund:SO-1-1:1",
        reason="expired_or_canceled_card",
    )


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"id": 1, "data": null}', b"\xff\xfe\x00"])
def test_what_is_no_event_is_refused(body: bytes) -> None:
    with pytest.raises(webhook.BadEvent):
        webhook.parse(body)


def test_the_events_of_a_whole_payment_are_genuine_and_name_it(world: Simulator, listener: Listener) -> None:
    gateway = _gateway(world)
    held = authorize(gateway, "SO-W1")
    gateway.capture(held.reference, AMOUNT, key="SO-W1:capture", final=True)
    gateway.close()

    wait_for(lambda: len(listener.events(held.reference)) == 3)

    mine = [(headers, body) for headers, body in listener.taken if held.reference.encode() in body]
    for headers, body in mine:
        lower = {name.lower(): value for name, value in headers.items()}
        assert webhook.verify(body, lower, [STRIPE_SECRET], now=datetime.now(UTC))
        assert webhook.parse(body).hint.reference == held.reference
    assert {webhook.parse(body).hint.kind for _, body in mine} == {
        "payment_intent.amount_capturable_updated",
        "charge.captured",
        "payment_intent.succeeded",
    }
