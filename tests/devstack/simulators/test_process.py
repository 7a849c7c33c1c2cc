"""The process: its memory outlives a kill, its clock does not jump, it ends when asked to."""

from datetime import datetime
from typing import Any

import httpx
import pytest

KEY = {"authorization": "Bearer sk"}


def test_what_was_true_before_a_kill_is_true_after_it(mortal: Any, listener: Any, wait: Any) -> None:
    mortal.start()
    form = {"amount": "500", "currency": "usd", "payment_method": "pm_card_visa", "confirm": "true",
            "capture_method": "manual", "metadata[order_id]": "SO-600"}  # fmt: skip
    headers = KEY | {"idempotency-key": "SO-600:authorize:order:1"}
    mortal.fault("delay", match={"order": "SO-600"}, ms=1500)
    first = mortal.http.post("/stripe/v1/payment_intents", data=form, headers=headers)
    code = mortal.travel("SO-601", "silent")
    mortal.send_mail("ada@example.com", "<before@shop>")
    planned = mortal.http.get(f"/_sim/parcels/{code}").json()["scans"]
    anchor = mortal.http.get("/_sim/clock").json()["anchor"]

    mortal.kill()
    assert listener.events(first.json()["id"]) == []
    mortal.start()

    replay = mortal.http.post("/stripe/v1/payment_intents", data=form, headers=headers)
    assert (replay.content, replay.headers["idempotent-replayed"]) == (first.content, "true")
    wait(lambda: listener.events(first.json()["id"]))
    after = mortal.http.get(f"/_sim/parcels/{code}").json()["scans"]
    assert [scan["at"] for scan in after] == [scan["at"] for scan in planned]
    assert [mail["message_id"] for mail in mortal.http.get("/_sim/mails").json()["mails"]] == [
        "<before@shop>"
    ]
    assert mortal.http.get("/_sim/clock").json()["anchor"] == anchor
    assert [fault["fired"] for fault in mortal.http.get("/_sim/faults").json()["faults"]] == [1]


def test_scans_planned_before_a_kill_happen_after_it(mortal: Any, wait: Any) -> None:
    mortal.speed = 100_000
    mortal.start()
    code = mortal.travel("SO-602", "happy")

    mortal.kill()
    mortal.start()

    assert mortal.arrive(code)["status"] == "delivered"


def test_it_ends_within_two_seconds_though_an_answer_is_held_back(mortal: Any) -> None:
    mortal.start()
    mortal.fault("timeout", match={"provider": "stripe"})
    with pytest.raises(httpx.ReadTimeout):
        mortal.http.get("/stripe/v1/refunds", headers=KEY, timeout=0.1)

    assert mortal.stop() < 2.0


def test_shop_time_runs_by_the_factor(simulator: Any) -> None:
    clock = simulator.http.get("/_sim/clock").json()

    assert clock["speed"] == 600
    assert datetime.fromisoformat(clock["shop_time"]) >= datetime.fromisoformat(clock["anchor"])


def test_webhook_addresses_change_at_run_time(mortal: Any, listener: Any, wait: Any) -> None:
    mortal.start()

    told = mortal.http.post(
        "/_sim/webhooks", json={"easypost": {"url": f"{listener.url}/moved", "secret": "s"}}
    ).json()
    code = mortal.label("SO-603")["tracking_code"]

    assert told["easypost"]["url"].endswith("/moved")
    wait(lambda: listener.events(code))
    assert {headers["path"] for headers, body in listener.taken if code.encode() in body} == {"/moved"}


def test_the_ledger_can_be_read_from_a_shop_time_on(simulator: Any) -> None:
    simulator.label("SO-604")

    everything = simulator.http.get("/_sim/ledger", params={"since": "2020-01-01T00:00:00+00:00"}).json()
    nothing = simulator.http.get("/_sim/ledger", params={"since": "2090-01-01T00:00:00+00:00"}).json()

    assert "SO-604" in [label["reference"] for label in everything["labels"]]
    assert (nothing["labels"], nothing["payments"], nothing["messages"]) == ([], [], [])


def test_the_control_room_shows_what_is_armed(simulator: Any) -> None:
    simulator.fault("html_502", match={"order": "SO-605"})
    simulator.http.post("/_sim/parcels", json={"match": {"reference": "SO-605"}, "profile": "lost"})

    page = simulator.http.get("/_sim").text

    assert "before html_502" in page
    assert "SO-605" in page


def test_what_is_wrong_on_a_shelf_is_remembered(mortal: Any) -> None:
    surprise = {"order": "SO-1", "sku": "MUG-12", "reason": "damaged"}

    mortal.start()
    mortal.http.post("/_sim/shelves", json=surprise)
    mortal.kill()
    mortal.start()

    assert mortal.http.get("/_sim/shelves").json() == {"surprises": [surprise | {"id": 1, "units": 1}]}
    assert mortal.http.post("/_sim/shelves", json={"order": "SO-1"}).status_code == 422
