"""What becomes of payments by themselves or by others: time, banks, fraud desks, customers on the provider's pages."""

from typing import Any

import pytest

KEY = {"authorization": "Bearer sk"}
FORM = {
    "amount": "5000",
    "currency": "usd",
    "payment_method": "pm_card_visa",
    "confirm": "true",
    "capture_method": "manual",
    "payment_method_options[card][request_multicapture]": "if_available",
}


def post(simulator: Any, path: str, **form: str) -> Any:
    answer = simulator.http.post(f"/stripe/v1/{path}", data=form, headers=KEY)
    assert answer.is_success, answer.text
    return answer.json()


def pay(simulator: Any, order: str, **more: str) -> Any:
    return post(simulator, "payment_intents", **(FORM | {"metadata[order_id]": order} | more))


def get(simulator: Any, path: str) -> Any:
    return simulator.http.get(f"/stripe/v1/{path}", headers=KEY).json()


def sim(simulator: Any, path: str, **said: Any) -> Any:
    answer = simulator.http.post(f"/_sim/{path}", json=said)
    assert answer.is_success, answer.text
    return answer.json()


@pytest.fixture
def in_parts(simulator: Any) -> Any:
    sim(simulator, "account", multicapture=True)
    yield simulator
    sim(simulator, "account", multicapture=False)


def test_what_was_captured_in_part_has_succeeded_when_its_time_is_over(fast: Any, wait: Any) -> None:
    sim(fast, "account", multicapture=True)
    intent = pay(fast, "SO-700")
    post(fast, f"payment_intents/{intent['id']}/capture", amount_to_capture="2000", final_capture="false")

    wait(lambda: get(fast, f"payment_intents/{intent['id']}")["status"] == "succeeded")

    assert get(fast, f"payment_intents/{intent['id']}")["amount_received"] == 2000
    steps = [(step["kind"], step["amount"]) for step in fast.payment("SO-700")["operations"]]
    assert steps == [("authorize", 5000), ("capture", 2000), ("expire", 3000)]
    sim(fast, "account", multicapture=False)


def test_every_part_is_told_and_the_charge_is_captured_with_the_last(
    in_parts: Any, listener: Any, wait: Any
) -> None:
    intent = pay(in_parts, "SO-701")
    capture = f"payment_intents/{intent['id']}/capture"
    post(in_parts, capture, amount_to_capture="2000", final_capture="false")
    post(in_parts, capture, amount_to_capture="0", final_capture="true")

    wait(lambda: len(listener.events(intent["id"])) == 7)

    told = sorted(event["type"] for event in listener.events(intent["id"]))
    assert told == sorted(
        ["payment_intent.amount_capturable_updated"] * 3
        + ["charge.updated"] * 2
        + ["charge.captured", "payment_intent.succeeded"]
    )


def test_a_payment_captured_in_part_is_not_cancelled_but_closed(in_parts: Any) -> None:
    intent = pay(in_parts, "SO-702")
    post(in_parts, f"payment_intents/{intent['id']}/capture", amount_to_capture="1", final_capture="false")

    refused = in_parts.http.post(f"/stripe/v1/payment_intents/{intent['id']}/cancel", headers=KEY)

    assert refused.json()["error"]["code"] == "payment_intent_unexpected_state"
    assert in_parts.payment("SO-702")["voided"] == 0


def test_nothing_cannot_be_captured_first(in_parts: Any) -> None:
    intent = pay(in_parts, "SO-703")

    refused = in_parts.http.post(
        f"/stripe/v1/payment_intents/{intent['id']}/capture", data={"amount_to_capture": "0"}, headers=KEY
    )

    assert refused.status_code == 400


def test_a_slow_payment_and_a_slow_refund_are_decided_in_time(fast: Any, wait: Any) -> None:
    slow = pay(fast, "SO-704", payment_method="pm_card_processing", capture_method="automatic")
    assert slow["status"] == "processing"
    paid = pay(fast, "SO-705", payment_method="pm_card_pendingRefund", capture_method="automatic")
    refund = post(fast, "refunds", payment_intent=paid["id"])
    assert refund["status"] == "pending"

    wait(lambda: get(fast, f"payment_intents/{slow['id']}")["status"] == "succeeded")
    wait(lambda: get(fast, f"refunds/{refund['id']}")["status"] == "succeeded")


def test_a_review_that_was_asked_for_is_told_before_its_payment(
    simulator: Any, listener: Any, wait: Any
) -> None:
    sim(simulator, "orders/SO-706/review")
    intent = pay(simulator, "SO-706")

    opened = wait(lambda: [e for e in listener.events(intent["id"]) if e["type"] == "review.opened"])
    review = opened[0]["data"]["object"]
    assert (review["object"], review["open"], review["payment_intent"]) == ("review", True, intent["id"])
    sim(simulator, f"reviews/{review['id']}/close", reason="refunded_as_fraud")

    closed = wait(lambda: [e for e in listener.events(review["id"]) if e["type"] == "review.closed"])
    assert closed[0]["data"]["object"]["closed_reason"] == "refunded_as_fraud"
    assert len([e for e in listener.events(intent["id"]) if e["type"] == "review.opened"]) == 1


def test_a_payment_is_disputed_once_and_a_lost_one_stays_lost(simulator: Any) -> None:
    intent = pay(simulator, "SO-707")
    refused = simulator.http.post(f"/_sim/payments/{intent['id']}/dispute", json={})
    assert refused.status_code == 400
    post(simulator, f"payment_intents/{intent['id']}/capture")

    dispute = sim(simulator, f"payments/{intent['id']}/dispute", reason="duplicate", amount=100)
    again = simulator.http.post(f"/_sim/payments/{intent['id']}/dispute", json={})
    post(simulator, f"disputes/{dispute['id']}/close")
    late = sim(simulator, f"disputes/{dispute['id']}/close", status="won")

    assert (dispute["amount"], dispute["reason"], again.status_code) == (100, "duplicate", 400)
    assert late["status"] == "lost"


def test_a_page_for_a_card_is_good_once_and_says_so_afterwards(simulator: Any) -> None:
    form = {"mode": "setup", "currency": "usd", "success_url": "http://shop/back"}
    session = post(simulator, "checkout/sessions", **form, cancel_url="http://shop/no?a=1&b=2")
    assert "http://shop/no?a=1&amp;b=2" in simulator.http.get(session["url"]).text
    assert simulator.http.post(session["url"], data={"card": "no such card"}).status_code == 400

    assert (
        simulator.http.post(session["url"], data={"card": "visa"}).headers["location"] == "http://shop/back"
    )

    assert "used or has run out" in simulator.http.get(session["url"]).text
    assert simulator.http.post(session["url"], data={"card": "visa"}).status_code == 400


@pytest.mark.parametrize(
    "wrong",
    [
        {"mode": "payment"},
        {"success_url": ""},
        {"currency": ""},
        {"payment_method_types[]": "card"},
    ],
)
def test_a_page_that_makes_no_sense_is_not_made(simulator: Any, wrong: dict[str, str]) -> None:
    form = {"mode": "setup", "currency": "usd", "success_url": "http://shop/back"} | wrong

    assert simulator.http.post("/stripe/v1/checkout/sessions", data=form, headers=KEY).status_code == 400


def test_only_the_keys_of_one_order_are_forgotten(simulator: Any) -> None:
    def held(order: str) -> Any:
        headers = KEY | {"idempotency-key": f"{order}:authorize:1"}
        form = FORM | {"metadata[order_id]": order}
        return simulator.http.post("/stripe/v1/payment_intents", data=form, headers=headers).json()["id"]

    first, other = held("SO-708"), held("SO-7089")

    assert sim(simulator, "keys/forget", order="SO-708") == {"forgotten": 1}

    assert held("SO-708") != first
    assert held("SO-7089") == other
