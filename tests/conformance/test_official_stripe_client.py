"""Stripe's own client, with its own retries and error classes, finds in the simulator what it knows of Stripe."""

from datetime import UTC, datetime
from typing import Any

import pytest
import stripe

from fulfillment.providers.payments.stripe import webhook
from tests.devstack.simulators.conftest import STRIPE_SECRET, Listener, Simulator, wait_for

CARD: Any = {
    "currency": "usd",
    "amount": 5000,
    "capture_method": "manual",
    "confirm": True,
    "payment_method": "pm_card_visa",
    "expand": ["latest_charge"],
}
IN_PARTS: Any = CARD | {"payment_method_options": {"card": {"request_multicapture": "if_available"}}}


@pytest.fixture
def client(world: Simulator) -> stripe.StripeClient:
    return _client(world, retries=0)


@pytest.fixture
def stubborn(world: Simulator, monkeypatch: pytest.MonkeyPatch) -> stripe.StripeClient:
    """A client that tries again by itself, without its pauses."""
    monkeypatch.setattr("stripe._http_client.HTTPClient._sleep_time_seconds", lambda *_: 0.0)
    return _client(world, retries=2)


def _client(world: Simulator, *, retries: int) -> stripe.StripeClient:
    addresses: Any = {"api": f"{world.url}/stripe"}
    return stripe.StripeClient("sk_test_x", base_addresses=addresses, max_network_retries=retries)


def _of(order: str, **more: Any) -> Any:
    return CARD | {"metadata": {"order_id": order}} | more


def _kinds(world: Simulator, order: str) -> list[tuple[str, int]]:
    return [(done["kind"], done["amount"]) for done in world.payment(order)["operations"]]


@pytest.mark.parametrize(
    ("kind", "when"),
    [("reset", "after_commit"), ("reset", "before"), ("html_502", "after_commit"), ("html_502", "before")],
)
def test_a_key_is_kept_over_the_clients_own_retries_and_charges_once(
    stubborn: stripe.StripeClient, world: Simulator, kind: str, when: str
) -> None:
    order = f"SO-K{kind}{when}".replace("_", "")
    world.fault(kind, when, match={"provider": "stripe", "order": order})

    intent = stubborn.v1.payment_intents.create(_of(order))

    assert intent.status == "requires_capture"
    assert _kinds(world, order) == [("authorize", 5000)]
    assert world.payment(order)["operations"][0]["key"]


def test_a_failure_kept_under_the_key_is_not_tried_again(
    stubborn: stripe.StripeClient, world: Simulator
) -> None:
    world.fault("http_5xx", "after_commit", match={"provider": "stripe", "order": "SO-K5"})

    with pytest.raises(stripe.APIError) as failed:
        stubborn.v1.payment_intents.create(_of("SO-K5"))

    assert failed.value.http_status == 500
    assert _kinds(world, "SO-K5") == [("authorize", 5000)]


def test_every_refusal_is_of_the_class_the_client_has_for_it(
    client: stripe.StripeClient, world: Simulator
) -> None:
    with pytest.raises(stripe.CardError) as declined:
        client.v1.payment_intents.create(_of("SO-E1", payment_method="pm_card_chargeDeclinedLostCard"))
    key: Any = {"idempotency_key": "SO-E2:authorize:1"}
    client.v1.payment_intents.create(_of("SO-E2"), key)
    with pytest.raises(stripe.IdempotencyError):
        client.v1.payment_intents.create(_of("SO-E2", amount=5001), key)
    with pytest.raises(stripe.InvalidRequestError) as unknown:
        client.v1.payment_intents.retrieve("pi_nobody")
    world.fault("http_429", match={"provider": "stripe", "order": "SO-E3"})
    with pytest.raises(stripe.RateLimitError):
        client.v1.payment_intents.create(_of("SO-E3"))
    stranger: Any = client.v1.payment_intents.create
    with pytest.raises(stripe.InvalidRequestError) as outdated:
        stranger(_of("SO-E4") | {"payment_method_types": ["card"]})

    assert (declined.value.code, declined.value.error.decline_code) == ("card_declined", "lost_card")  # type: ignore[union-attr]
    assert declined.value.error.advice_code == "do_not_try_again"  # type: ignore[union-attr]
    assert unknown.value.code == "resource_missing"
    assert outdated.value.code == "payment_method_types_no_longer_supported"


def test_a_busy_provider_keeps_nothing_under_the_key(client: stripe.StripeClient, world: Simulator) -> None:
    world.fault("http_429", match={"provider": "stripe", "order": "SO-E5"})
    key: Any = {"idempotency_key": "SO-E5:authorize:1"}
    with pytest.raises(stripe.RateLimitError):
        client.v1.payment_intents.create(_of("SO-E5"), key)

    assert client.v1.payment_intents.create(_of("SO-E5"), key).status == "requires_capture"


def test_a_key_that_was_forgotten_charges_again(client: stripe.StripeClient, world: Simulator) -> None:
    key: Any = {"idempotency_key": "SO-E6:authorize:1"}
    first = client.v1.payment_intents.create(_of("SO-E6"), key)
    assert client.v1.payment_intents.create(_of("SO-E6"), key).id == first.id

    world.http.post("/_sim/keys/forget", json={"order": "SO-E6"}).raise_for_status()

    assert client.v1.payment_intents.create(_of("SO-E6"), key).id != first.id


def test_lists_page_by_themselves_newest_first_and_expand(client: stripe.StripeClient) -> None:
    made = [client.v1.payment_intents.create(_of(f"SO-L{n}", customer="cus_list")).id for n in range(5)]

    page = client.v1.payment_intents.list(
        {"customer": "cus_list", "limit": 2, "expand": ["data.latest_charge"]}
    )
    found = list(page.auto_paging_iter())

    assert [intent.id for intent in found] == made[::-1]
    assert [charge.object for charge in (intent.latest_charge for intent in found)] == ["charge"] * 5  # type: ignore[union-attr]


def test_a_charge_is_captured_in_parts_and_the_rest_is_let_go(
    client: stripe.StripeClient, world: Simulator
) -> None:
    intent = client.v1.payment_intents.create(IN_PARTS | {"metadata": {"order_id": "SO-M1"}})
    charge: Any = intent.latest_charge
    assert charge.payment_method_details.card.multicapture.status == "available"

    first = client.v1.payment_intents.capture(intent.id, {"amount_to_capture": 2000, "final_capture": False})
    second = client.v1.payment_intents.capture(intent.id, {"amount_to_capture": 500, "final_capture": False})
    last = client.v1.payment_intents.capture(
        intent.id, {"amount_to_capture": 0, "final_capture": True, "expand": ["latest_charge"]}
    )

    states = [(step.status, step.amount_capturable, step.amount_received) for step in (first, second, last)]
    assert states == [
        ("requires_capture", 3000, 2000),
        ("requires_capture", 2500, 2500),
        ("succeeded", 0, 2500),
    ]
    assert (last.latest_charge.amount_captured, last.latest_charge.captured) == (2500, True)  # type: ignore[union-attr]
    assert _kinds(world, "SO-M1") == [
        ("authorize", 5000),
        ("capture", 2000),
        ("capture", 500),
        ("void", 2500),
    ]


@pytest.mark.parametrize(
    "params",
    [CARD, IN_PARTS | {"payment_method": "pm_card_credit_disableEnterpriseCardFeatures"}],
    ids=["not asked for", "not by this card"],
)
def test_a_charge_that_cannot_be_captured_in_parts_says_so(client: stripe.StripeClient, params: Any) -> None:
    intent = client.v1.payment_intents.create(params | {"metadata": {"order_id": "SO-M2"}})
    charge: Any = intent.latest_charge
    assert charge.payment_method_details.card.multicapture.status == "unavailable"

    with pytest.raises(stripe.InvalidRequestError):
        client.v1.payment_intents.capture(intent.id, {"amount_to_capture": 100, "final_capture": False})


def test_what_was_captured_in_part_can_be_refunded_before_the_last_capture(
    client: stripe.StripeClient,
) -> None:
    intent = client.v1.payment_intents.create(IN_PARTS | {"metadata": {"order_id": "SO-M3"}})
    client.v1.payment_intents.capture(intent.id, {"amount_to_capture": 2000, "final_capture": False})

    with pytest.raises(stripe.InvalidRequestError):
        client.v1.refunds.create({"payment_intent": intent.id, "amount": 2001})
    refund = client.v1.refunds.create({"payment_intent": intent.id, "amount": 2000})

    assert refund.status == "succeeded"
    charge: Any = client.v1.payment_intents.retrieve(intent.id, {"expand": ["latest_charge"]}).latest_charge
    assert (charge.amount_refunded, charge.refunded) == (2000, False)


def test_a_refund_that_waits_succeeds_later(
    client: stripe.StripeClient, world: Simulator, listener: Listener
) -> None:
    intent = client.v1.payment_intents.create(_of("SO-R1", payment_method="pm_card_pendingRefund"))
    client.v1.payment_intents.capture(intent.id)
    refund = client.v1.refunds.create({"payment_intent": intent.id})
    assert (refund.status, refund.pending_reason) == ("pending", "processing")

    world.http.post(f"/_sim/refunds/{refund.id}/settle").raise_for_status()

    assert client.v1.refunds.retrieve(refund.id).status == "succeeded"
    wait_for(lambda: [event for event in listener.events(refund.id) if event["type"] == "refund.updated"])


def test_a_saved_card_is_charged_with_its_owner_only(client: stripe.StripeClient, world: Simulator) -> None:
    session = client.v1.checkout.sessions.create(
        {
            "mode": "setup",
            "allowed_payment_method_types": ["card"],
            "customer_creation": "always",
            "success_url": "http://shop.test/back?session={CHECKOUT_SESSION_ID}",
            "setup_intent_data": {"metadata": {"order_id": "SO-S1"}},
        }
    )
    assert "Mastercard" in world.http.get(str(session.url)).text
    answer = world.http.post(str(session.url), data={"card": "mastercard"})
    setup = client.v1.setup_intents.retrieve(str(session.setup_intent))

    assert answer.headers["location"] == f"http://shop.test/back?session={session.id}"
    assert (setup.status, setup.metadata["order_id"]) == ("succeeded", "SO-S1")  # type: ignore[index]
    card, owner = str(setup.payment_method), str(setup.customer)
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.payment_intents.create(_of("SO-S1", payment_method=card))
    assert client.v1.payment_intents.create(_of("SO-S1", payment_method=card, customer=owner)).amount == 5000


def test_a_dispute_takes_the_money_is_answered_and_decided(
    client: stripe.StripeClient, world: Simulator, listener: Listener
) -> None:
    intent = client.v1.payment_intents.create(_of("SO-D1", payment_method="pm_card_createDispute"))
    client.v1.payment_intents.capture(intent.id)
    (dispute,) = client.v1.disputes.list({"payment_intent": intent.id}).data
    assert (dispute.status, dispute.reason, dispute.amount) == ("needs_response", "fraudulent", 5000)
    assert dispute.evidence_details.due_by is not None
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.refunds.create({"payment_intent": intent.id})

    client.v1.disputes.update(dispute.id, {"evidence": {"shipping_tracking_number": "1Z"}})
    world.http.post(f"/_sim/disputes/{dispute.id}/close", json={"status": "won"}).raise_for_status()

    assert refused.value.code == "charge_disputed"
    assert client.v1.disputes.retrieve(dispute.id).status == "won"
    told = ["created", "funds_withdrawn", "updated", "closed", "funds_reinstated"]
    wait_for(lambda: len(listener.events(f'"{dispute.id}"')) == len(told))
    kinds = {event["type"] for event in listener.events(f'"{dispute.id}"')}
    assert kinds == {f"charge.dispute.{word}" for word in told}


def test_every_event_bears_a_signature_that_the_client_and_we_accept(
    client: stripe.StripeClient, world: Simulator, listener: Listener
) -> None:
    intent = client.v1.payment_intents.create(IN_PARTS | {"metadata": {"order_id": "SO-W9"}})
    client.v1.payment_intents.capture(intent.id, {"amount_to_capture": 1, "final_capture": False})
    client.v1.payment_intents.capture(intent.id)
    world.http.post(f"/_sim/payments/{intent.id}/review").raise_for_status()

    wait_for(lambda: len(listener.events(intent.id)) == 8)

    mine = [(headers, body) for headers, body in listener.taken if intent.id.encode() in body]
    for headers, body in mine:
        lower = {name.lower(): value for name, value in headers.items()}
        official = stripe.Webhook.construct_event(body, lower["stripe-signature"], STRIPE_SECRET)  # type: ignore[no-untyped-call]
        assert webhook.verify(body, lower, [STRIPE_SECRET], now=datetime.now(UTC))
        assert webhook.parse(body).event_id == official.id
        assert webhook.parse(body).hint.reference == intent.id
