"""Stripe's own client against the simulator: shapes, states, keys, declines, signatures."""

from collections.abc import Callable
from typing import Any

import pytest
import stripe

ORDER = {"currency": "usd", "capture_method": "manual", "confirm": True}
Authorize = Callable[..., stripe.PaymentIntent]


@pytest.fixture
def client(simulator: Any) -> stripe.StripeClient:
    addresses: Any = {"api": f"{simulator.url}/stripe"}
    return stripe.StripeClient("sk_test_x", base_addresses=addresses, max_network_retries=0)


@pytest.fixture
def authorize(client: stripe.StripeClient) -> Authorize:
    def authorize(
        order: str, amount: int = 5000, card: str = "pm_card_visa", key: str = "", **more: Any
    ) -> stripe.PaymentIntent:
        params: Any = {
            **ORDER,
            "amount": amount,
            "payment_method": card,
            "metadata": {"order_id": order},
            **more,
        }
        options: Any = {"idempotency_key": key} if key else {}
        return client.v1.payment_intents.create(params, options)

    return authorize


def test_an_authorization_holds_the_amount_and_says_until_when(
    authorize: Authorize, client: stripe.StripeClient
) -> None:
    intent = authorize("SO-100", expand=["latest_charge"])

    assert (intent.status, intent.amount_capturable, intent.amount_received) == ("requires_capture", 5000, 0)
    charge: Any = intent.latest_charge
    assert charge.payment_method_details.card.capture_before == intent.created + 7 * 86_400
    assert (charge.outcome.risk_level, charge.outcome.risk_score) == ("normal", 12)
    again = client.v1.payment_intents.retrieve(intent.id)
    assert again.latest_charge == charge.id
    assert again.metadata["order_id"] == "SO-100"


def test_a_partial_capture_releases_the_rest_and_cannot_be_repeated(
    authorize: Authorize, client: stripe.StripeClient, simulator: Any
) -> None:
    intent = authorize("SO-101")

    captured = client.v1.payment_intents.capture(intent.id, {"amount_to_capture": 3000})

    assert (captured.status, captured.amount_received, captured.amount_capturable) == ("succeeded", 3000, 0)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.payment_intents.capture(intent.id)
    assert (refused.value.http_status, refused.value.code) == (400, "payment_intent_unexpected_state")
    payment = simulator.payment("SO-101")
    assert (payment["authorized"], payment["captured"], payment["released"]) == (5000, 3000, 2000)


def test_more_than_is_held_cannot_be_captured(authorize: Authorize, client: stripe.StripeClient) -> None:
    intent = authorize("SO-102")

    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.payment_intents.capture(intent.id, {"amount_to_capture": 5001})

    assert refused.value.code == "amount_too_large"
    assert client.v1.payment_intents.retrieve(intent.id).status == "requires_capture"


def test_a_cancelled_authorization_cannot_be_captured(
    authorize: Authorize, client: stripe.StripeClient, simulator: Any
) -> None:
    intent = authorize("SO-103")

    cancelled = client.v1.payment_intents.cancel(intent.id, {"cancellation_reason": "requested_by_customer"})

    assert (cancelled.status, cancelled.cancellation_reason) == ("canceled", "requested_by_customer")
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.payment_intents.capture(intent.id)
    assert refused.value.code == "payment_intent_unexpected_state"
    assert simulator.payment("SO-103")["voided"] == 5000


def test_no_more_is_refunded_than_was_captured(
    authorize: Authorize, client: stripe.StripeClient, simulator: Any
) -> None:
    intent = authorize("SO-104")
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.refunds.create({"payment_intent": intent.id})
    client.v1.payment_intents.capture(intent.id, {"amount_to_capture": 3000})

    first = client.v1.refunds.create(
        {"payment_intent": intent.id, "amount": 1000, "reason": "requested_by_customer"}
    )
    with pytest.raises(stripe.InvalidRequestError) as too_much:
        client.v1.refunds.create({"payment_intent": intent.id, "amount": 2001})
    rest = client.v1.refunds.create({"payment_intent": intent.id})
    with pytest.raises(stripe.InvalidRequestError) as nothing_left:
        client.v1.refunds.create({"payment_intent": intent.id})

    assert (first.status, rest.amount) == ("succeeded", 2000)
    assert (too_much.value.code, nothing_left.value.code) == ("amount_too_large", "charge_already_refunded")
    listed = client.v1.refunds.list({"payment_intent": intent.id}).data
    assert [refund.id for refund in listed] == [rest.id, first.id]
    assert simulator.payment("SO-104")["refunded"] == 3000


def test_a_repeated_key_replays_the_first_answer_and_charges_once(simulator: Any) -> None:
    headers = {"authorization": "Bearer sk", "idempotency-key": "SO-105:authorize:order:1"}
    form = {"amount": "700", "currency": "usd", "payment_method": "pm_card_visa", "confirm": "true",
            "capture_method": "manual", "metadata[order_id]": "SO-105"}  # fmt: skip
    path = "/stripe/v1/payment_intents"

    first = simulator.http.post(path, data=form, headers=headers | {"stripe-version": "2026-10-28.endive"})
    again = simulator.http.post(path, data=form, headers=headers)
    other = simulator.http.post(path, data=form | {"amount": "701"}, headers=headers)

    assert again.content == first.content
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert first.headers["request-id"].startswith("req_")
    assert first.headers["stripe-version"] == "2026-10-28.endive"
    assert (other.status_code, other.json()["error"]["type"]) == (400, "idempotency_error")
    assert [step["key"] for step in simulator.payment("SO-105")["operations"]] == ["SO-105:authorize:order:1"]


def test_a_repeated_key_replays_a_decline(authorize: Authorize, simulator: Any) -> None:
    for _ in range(2):
        with pytest.raises(stripe.CardError) as declined:
            authorize("SO-106", card="pm_card_chargeDeclined", key="SO-106:authorize:order:1")
        assert declined.value.code == "card_declined"

    assert simulator.payment("SO-106")["authorized"] == 0


@pytest.mark.parametrize(
    ("card", "code", "decline", "advice"),
    [
        ("pm_card_0002", "card_declined", "generic_decline", None),
        ("pm_card_visa_chargeDeclined", "card_declined", "generic_decline", None),
        (
            "pm_card_visa_chargeDeclinedInsufficientFunds",
            "card_declined",
            "insufficient_funds",
            "try_again_later",
        ),
        ("pm_card_9987", "card_declined", "lost_card", "do_not_try_again"),
        ("4000000000009979", "card_declined", "stolen_card", "do_not_try_again"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card", "expired_card", "confirm_card_data"),
        ("pm_card_0127", "incorrect_cvc", "incorrect_cvc", "confirm_card_data"),
        ("pm_card_0119", "processing_error", "processing_error", "try_again_later"),
    ],
)
def test_each_magic_card_is_declined_for_its_own_reason(
    authorize: Authorize, card: str, code: str, decline: str, advice: str | None
) -> None:
    with pytest.raises(stripe.CardError) as refused:
        authorize("SO-107", card=card)

    body: Any = refused.value.json_body
    error = body["error"]
    assert (refused.value.http_status, error["code"], error["decline_code"]) == (402, code, decline)
    assert error.get("advice_code") == advice
    assert error["payment_intent"]["status"] == "requires_payment_method"


def test_a_declined_payment_succeeds_with_another_card(
    authorize: Authorize, client: stripe.StripeClient
) -> None:
    with pytest.raises(stripe.CardError) as declined:
        authorize("SO-108", card="pm_card_9995")
    body: Any = declined.value.json_body

    intent = client.v1.payment_intents.confirm(
        body["error"]["payment_intent"]["id"], {"payment_method": "pm_card_visa"}
    )

    assert intent.status == "requires_capture"


def test_an_elevated_risk_is_told_with_the_charge(authorize: Authorize) -> None:
    charge: Any = authorize(
        "SO-109", card="pm_card_riskLevelElevated", expand=["latest_charge"]
    ).latest_charge

    assert (charge.outcome.risk_level, charge.outcome.risk_score) == ("elevated", 78)


def test_three_d_secure_waits_for_the_customer(
    authorize: Authorize, client: stripe.StripeClient, simulator: Any
) -> None:
    intent = authorize("SO-110", card="pm_card_authenticationRequired", return_url="http://shop/back")
    action: Any = intent.next_action
    assert (intent.status, action.type) == ("requires_action", "redirect_to_url")
    assert "Complete authentication" in simulator.http.get(action.redirect_to_url.url).text

    answer = simulator.http.post(action.redirect_to_url.url, data={"success": "true"})

    assert (answer.status_code, answer.headers["location"]) == (
        303,
        f"http://shop/back?payment_intent={intent.id}&redirect_status=succeeded",
    )
    assert client.v1.payment_intents.retrieve(intent.id).status == "requires_capture"


def test_three_d_secure_that_fails_leaves_no_hold(
    authorize: Authorize, client: stripe.StripeClient, simulator: Any
) -> None:
    intent = authorize("SO-111", card="pm_card_3155")

    simulator.http.post(f"/_sim/payments/{intent.id}/authenticate", json={"success": False})

    again = client.v1.payment_intents.retrieve(intent.id)
    error: Any = again.last_payment_error
    assert (again.status, error.code) == ("requires_payment_method", "payment_intent_authentication_failure")


def test_three_d_secure_without_a_customer_is_an_error(authorize: Authorize) -> None:
    with pytest.raises(stripe.CardError) as refused:
        authorize("SO-112", card="pm_card_3184", error_on_requires_action=True)

    assert refused.value.code == "authentication_required"


def test_without_a_key_of_the_account_nothing_is_answered(simulator: Any) -> None:
    answer = simulator.http.get("/stripe/v1/payment_intents")

    assert (answer.status_code, answer.json()["error"]["type"]) == (401, "invalid_request_error")


def test_what_does_not_exist_is_not_found(client: stripe.StripeClient) -> None:
    with pytest.raises(stripe.InvalidRequestError) as missing:
        client.v1.payment_intents.retrieve("pi_nowhere")

    assert (missing.value.http_status, missing.value.code) == (404, "resource_missing")


def test_payments_are_listed_by_customer_and_time(authorize: Authorize, client: stripe.StripeClient) -> None:
    older = authorize("SO-113", customer="cus_113")
    newer = authorize("SO-114", customer="cus_113")

    listed = client.v1.payment_intents.list({"customer": "cus_113", "created": {"gte": older.created}})
    page = client.v1.payment_intents.list({"customer": "cus_113", "limit": 1})

    assert [intent.metadata["order_id"] for intent in listed.data] == ["SO-114", "SO-113"]
    assert (page.data[0].id, page.has_more) == (newer.id, True)
    future = {"customer": "cus_113", "created": {"gt": newer.created + 86_400}}
    assert client.v1.payment_intents.list(future).data == []  # type: ignore[arg-type]


def test_a_hold_that_is_not_captured_in_time_expires(fast: Any, listener: Any, wait: Any) -> None:
    addresses: Any = {"api": f"{fast.url}/stripe"}
    client = stripe.StripeClient("sk", base_addresses=addresses, max_network_retries=0)
    params: Any = {
        **ORDER,
        "amount": 900,
        "payment_method": "pm_card_visa",
        "metadata": {"order_id": "SO-115"},
    }
    intent = client.v1.payment_intents.create(params)

    wait(lambda: client.v1.payment_intents.retrieve(intent.id).status == "canceled")

    with pytest.raises(stripe.InvalidRequestError) as late:
        client.v1.payment_intents.capture(intent.id)
    assert late.value.code == "charge_expired_for_capture"
    assert client.v1.payment_intents.retrieve(intent.id).cancellation_reason == "expired"
    (expiry,) = wait(
        lambda: [e for e in listener.events(intent.id) if e["type"] == "payment_intent.canceled"]
    )
    assert expiry["data"]["object"]["cancellation_reason"] == "expired"
    assert [step["kind"] for step in fast.payment("SO-115")["operations"]] == ["authorize", "expire"]


def test_every_fact_of_a_payment_is_told_with_a_signature_the_client_accepts(
    authorize: Authorize, client: stripe.StripeClient, listener: Any, wait: Any
) -> None:
    intent = authorize("SO-116")
    client.v1.payment_intents.capture(intent.id)
    client.v1.refunds.create({"payment_intent": intent.id, "amount": 100})

    wait(lambda: len(listener.events(intent.id)) == 5)

    told = [(headers, body) for headers, body in listener.taken if intent.id.encode() in body]
    events = [
        stripe.Webhook.construct_event(body, headers["stripe-signature"], "whsec_tests")  # type: ignore[no-untyped-call]
        for headers, body in ((_lower(headers), body) for headers, body in told)
    ]
    assert {event.type for event in events} == {
        "payment_intent.amount_capturable_updated", "charge.captured", "payment_intent.succeeded",
        "refund.created", "charge.refunded",
    }  # fmt: skip
    assert {headers["path"] for headers, _ in told} == {"/stripe"}


def test_a_refund_can_fail_after_it_succeeded(
    authorize: Authorize, client: stripe.StripeClient, simulator: Any, listener: Any, wait: Any
) -> None:
    intent = authorize("SO-117")
    client.v1.payment_intents.capture(intent.id)
    keys: list[Any] = [{"idempotency_key": f"SO-117:refund:{n}"} for n in (1, 2)]
    client.v1.refunds.create({"payment_intent": intent.id, "amount": 1000}, keys[0])
    refund = client.v1.refunds.create({"payment_intent": intent.id, "amount": 700}, keys[1])

    simulator.http.post(f"/_sim/refunds/{refund.id}/fail")

    assert client.v1.refunds.retrieve(refund.id).status == "failed"
    payment = simulator.payment("SO-117")
    assert payment["refunded"] == 1000
    assert [(step["kind"], step["key"]) for step in payment["operations"][2:]] == [
        ("refund", "SO-117:refund:1"),
        ("refund", "SO-117:refund:2"),
        ("refund_failed", "SO-117:refund:2"),
    ]
    wait(lambda: [e for e in listener.events(refund.id) if e["type"] == "refund.failed"])


def _lower(headers: dict[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
