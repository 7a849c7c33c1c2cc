"""Faults: answers that are lost, spoiled or late, and webhooks that misbehave, each counted in the ledger."""

import threading
import time
from typing import Any

import httpx
import pytest
import stripe

KEY = {"authorization": "Bearer sk"}
FORM = {"amount": "500", "currency": "usd", "payment_method": "pm_card_visa", "confirm": "true",
        "capture_method": "manual"}  # fmt: skip


def authorize(simulator: Any, order: str, **more: Any) -> httpx.Response:
    headers = KEY | {"idempotency-key": f"{order}:authorize:order:1"}
    form = FORM | {"metadata[order_id]": order}
    answer: httpx.Response = simulator.http.post(
        "/stripe/v1/payment_intents", data=form, headers=headers, **more
    )
    return answer


def capture(simulator: Any, order: str, intent: str) -> httpx.Response:
    headers = KEY | {"idempotency-key": f"{order}:capture:{order}-1:1"}
    answer: httpx.Response = simulator.http.post(
        f"/stripe/v1/payment_intents/{intent}/capture", headers=headers
    )
    return answer


def test_a_reset_after_the_commit_loses_the_answer_and_not_the_money(simulator: Any) -> None:
    intent = authorize(simulator, "SO-400").json()["id"]
    route = "POST /v1/payment_intents/*/capture"
    simulator.fault("reset", "after_commit", match={"provider": "stripe", "route": route, "order": "SO-400"})

    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        capture(simulator, "SO-400", intent)

    again = capture(simulator, "SO-400", intent)
    assert (again.json()["status"], again.headers["idempotent-replayed"]) == ("succeeded", "true")
    steps = simulator.payment("SO-400")["operations"]
    assert [(step["kind"], step["amount"]) for step in steps] == [("authorize", 500), ("capture", 500)]
    (struck,) = [f for f in simulator.ledger()["faults"] if f["match"].get("order") == "SO-400"]
    assert (struck["kind"], struck["when"], struck["fired"]) == ("reset", "after_commit", 1)


def test_a_reset_before_the_commit_leaves_nothing_behind(simulator: Any) -> None:
    simulator.fault("reset", match={"provider": "stripe", "order": "SO-401"})

    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        authorize(simulator, "SO-401")

    assert [p for p in simulator.ledger()["payments"] if p["order"] == "SO-401"] == []
    assert authorize(simulator, "SO-401").status_code == 200


def test_a_bought_label_whose_answer_was_lost_is_found_by_asking(simulator: Any) -> None:
    simulator.fault("reset", "after_commit", match={"route": "POST /v2/shipments/*/buy", "order": "SO-402"})

    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        simulator.label("SO-402:buy_label:P1:1")

    (label,) = [x for x in simulator.ledger()["labels"] if x["reference"] == "SO-402:buy_label:P1:1"]
    shipment = simulator.http.get(f"/easypost/v2/shipments/{label['ref']}", headers=KEY).json()
    assert shipment["tracking_code"] == label["tracking_number"]


def test_a_timeout_holds_the_answer_back(simulator: Any) -> None:
    simulator.fault("timeout", "after_commit", match={"order": "SO-403"}, ms=5000)

    with pytest.raises(httpx.ReadTimeout):
        authorize(simulator, "SO-403", timeout=0.2)

    assert authorize(simulator, "SO-403").headers["idempotent-replayed"] == "true"


def test_a_timeout_that_is_outwaited_ends_without_an_answer(simulator: Any) -> None:
    simulator.fault("timeout", match={"order": "SO-404"}, ms=150)

    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        authorize(simulator, "SO-404")


def test_a_stored_500_is_replayed_although_the_money_is_held(simulator: Any) -> None:
    simulator.fault("http_5xx", "after_commit", match={"order": "SO-405"})

    answers = [authorize(simulator, "SO-405") for _ in range(2)]

    assert [answer.status_code for answer in answers] == [500, 500]
    assert answers[1].headers["stripe-should-retry"] == "false"
    assert answers[1].headers["idempotent-replayed"] == "true"
    assert simulator.payment("SO-405")["authorized"] == 500


def test_a_500_before_the_commit_is_not_stored(simulator: Any) -> None:
    simulator.fault("http_5xx", match={"order": "SO-406"}, status=503)

    assert [authorize(simulator, "SO-406").status_code for _ in range(2)] == [503, 200]


def test_useless_answers_hide_what_happened(simulator: Any) -> None:
    simulator.fault("html_502", "after_commit", match={"order": "SO-407"})
    simulator.fault("truncated_json", "after_commit", match={"order": "SO-408"})

    html, cut = authorize(simulator, "SO-407"), authorize(simulator, "SO-408")

    assert (html.status_code, html.headers["content-type"]) == (502, "text/html")
    with pytest.raises(ValueError, match=r"Expecting|Unterminated|delimiter"):
        cut.json()
    assert simulator.payment("SO-407")["authorized"] == simulator.payment("SO-408")["authorized"] == 500


def test_a_429_says_how_long_to_wait_and_is_not_stored(simulator: Any) -> None:
    simulator.fault("http_429", match={"order": "SO-409"}, retry_after=7)

    refused, accepted = authorize(simulator, "SO-409"), authorize(simulator, "SO-409")

    assert (refused.status_code, refused.headers["retry-after"]) == (429, "7")
    assert refused.json()["error"]["code"] == "rate_limit"
    assert accepted.status_code == 200


def test_a_decline_can_be_ordered_for_a_good_card(simulator: Any) -> None:
    simulator.fault("decline", match={"order": "SO-410"}, decline_code="insufficient_funds")

    answer = authorize(simulator, "SO-410")

    assert (answer.status_code, answer.json()["error"]["decline_code"]) == (402, "insufficient_funds")


def test_a_key_that_is_being_worked_on_is_refused(simulator: Any) -> None:
    simulator.fault("latency", match={"order": "SO-411"}, ms=400)
    first: list[httpx.Response] = []
    thread = threading.Thread(target=lambda: first.append(authorize(simulator, "SO-411")))

    thread.start()
    time.sleep(0.15)
    second = authorize(simulator, "SO-411")
    thread.join()

    assert (second.status_code, second.json()["error"]["code"]) == (409, "idempotency_key_in_use")
    assert first[0].status_code == 200


def test_a_slow_body_arrives_whole(simulator: Any) -> None:
    simulator.fault("slow_body", "after_commit", match={"order": "SO-412"}, ms=200)
    began = time.monotonic()

    answer = authorize(simulator, "SO-412")

    assert answer.json()["status"] == "requires_capture"
    assert time.monotonic() - began >= 0.2


def test_an_outage_ends_by_itself(simulator: Any) -> None:
    outage = {"match": {"provider": "easypost"}, "kind": "http_5xx", "seconds": 0.4}
    simulator.http.post("/_sim/faults", json=outage)

    during = [simulator.http.get("/easypost/v2/trackers", headers=KEY).status_code for _ in range(2)]
    stripe_during = simulator.http.get("/stripe/v1/refunds", headers=KEY).status_code
    time.sleep(0.45)

    assert (during, stripe_during) == ([500, 500], 200)
    assert simulator.http.get("/easypost/v2/trackers", headers=KEY).status_code == 200


def test_one_request_can_carry_its_own_fault(simulator: Any) -> None:
    answer = simulator.http.get("/stripe/v1/refunds", headers=KEY | {"x-sim-fault": "before:html_502"})

    assert answer.status_code == 502


def test_a_fault_that_does_not_exist_is_refused(simulator: Any) -> None:
    for nonsense in ({"kind": "earthquake"}, {"kind": "http_429", "when": "after_commit"}):
        assert simulator.http.post("/_sim/faults", json=nonsense).status_code == 422


def test_a_refused_webhook_is_sent_again_until_it_is_accepted(
    simulator: Any, listener: Any, wait: Any
) -> None:
    listener.refusing = 1

    intent = authorize(simulator, "SO-420").json()["id"]

    (event,) = wait(lambda: listener.events(intent))
    refused = [body for _, body in listener.refused if intent.encode() in body]
    assert [event["id"].encode() in body for body in refused] == [True]


def test_webhook_faults_duplicate_drop_and_delay(simulator: Any, listener: Any, wait: Any) -> None:
    for kind, order in (("duplicate", "SO-421"), ("drop", "SO-422"), ("delay", "SO-423")):
        simulator.fault(kind, match={"provider": "stripe", "order": order}, ms=300)

    intents = [authorize(simulator, order).json()["id"] for order in ("SO-421", "SO-422", "SO-423")]

    wait(lambda: len(listener.events(intents[0])) == 2)
    assert len({event["id"] for event in listener.events(intents[0])}) == 1
    assert listener.events(intents[2]) == []
    wait(lambda: listener.events(intents[2]))
    assert listener.events(intents[1]) == []
    assert {f["kind"] for f in simulator.ledger()["faults"] if f["when"] == "webhook"} >= {
        "duplicate",
        "drop",
        "delay",
    }


def test_the_noise_of_real_webhooks_is_off_until_it_is_switched_on(simulator: Any) -> None:
    def noise() -> dict[str, float]:
        return {fault["kind"]: fault["p"] for fault in simulator.http.get("/_sim/faults").json()["faults"]}

    assert noise() == {}
    for _ in range(2):
        simulator.http.post("/_sim/webhooks", json={"noise": True})
    assert noise() == {"duplicate": 0.03, "reorder": 0.05, "drop": 0.005}
    simulator.http.post("/_sim/webhooks", json={"noise": False})
    assert noise() == {}


@pytest.mark.parametrize("flaw", ["bad_signature", "old_timestamp"])
def test_a_flawed_signature_is_refused_by_the_client_and_the_repeat_is_honest(
    simulator: Any, listener: Any, wait: Any, flaw: str
) -> None:
    simulator.fault(flaw, match={"provider": "stripe", "order": f"SO-424-{flaw}"})
    listener.refusing = 1

    intent = authorize(simulator, f"SO-424-{flaw}").json()["id"]

    wait(lambda: listener.events(intent))
    ((bad, body),) = [(h, b) for h, b in listener.refused if intent.encode() in b]
    ((good, same),) = [(h, b) for h, b in listener.taken if intent.encode() in b]
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.Webhook.construct_event(body, _signature(bad), "whsec_tests")  # type: ignore[no-untyped-call]
    assert stripe.Webhook.construct_event(same, _signature(good), "whsec_tests").id  # type: ignore[no-untyped-call]


def _signature(headers: dict[str, str]) -> str:
    return {name.lower(): value for name, value in headers.items()}["stripe-signature"]
