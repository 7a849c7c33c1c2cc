"""Parcels on the road: scan series by profile, and what the webhooks tell of them."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from easypost.util import validate_webhook


def times(tracker: dict[str, Any]) -> list[datetime]:
    return [datetime.fromisoformat(scan["datetime"]) for scan in tracker["tracking_details"]]


def details(tracker: dict[str, Any]) -> list[str]:
    return [scan["status_detail"] for scan in tracker["tracking_details"]]


def bought_est(fast: Any, code: str) -> datetime:
    return datetime.fromisoformat(fast.http.get(f"/_sim/parcels/{code}").json()["est_delivery_date"])


def test_a_parcel_lies_at_the_dock_until_it_is_handed_over(fast: Any, wait: Any) -> None:
    code = fast.label("SO-300")["tracking_code"]
    wait(lambda: fast.http.get("/_sim/counts").json()["labels"])

    before = fast.http.get(f"/_sim/parcels/{code}").json()
    first = fast.http.post(f"/_sim/parcels/{code}/handed_over").json()
    second = fast.http.post(f"/_sim/parcels/{code}/handed_over").json()

    assert [scan["status"] for scan in before["scans"]] == ["pre_transit"]
    assert len(first["scans"]) >= 6
    assert [scan["at"] for scan in second["scans"]] == [scan["at"] for scan in first["scans"]]


def test_a_way_that_is_given_is_travelled_as_it_is(fast: Any) -> None:
    code = fast.label("SO-300-given")["tracking_code"]
    printed = fast.http.get(f"/_sim/parcels/{code}").json()["scans"][0]["at"]
    begin = datetime.fromisoformat(printed) + timedelta(days=15)  # ahead, even if the request takes a second
    way = [
        {
            "at": (begin + timedelta(hours=n)).isoformat(),
            "status": "delivered" if n == 2 else "in_transit",
            "status_detail": detail,
            "place": ["Boise", "ID", "US", "83702"],
            "est": "2041-01-06T04:00:00Z" if detail == "delayed" else None,
        }
        for n, detail in enumerate(("arrived_at_facility", "delayed", "delivered"))
    ]

    fast.http.post(f"/_sim/parcels/{code}/handed_over", json={"way": way})
    tracker = fast.arrive(code)

    assert details(tracker) == ["label_created", "arrived_at_facility", "delayed", "delivered"]
    assert tracker["est_delivery_date"] == "2041-01-05T00:00:00Z"  # eight in the evening in Portland
    assert times(tracker)[1] == begin


def test_a_way_without_its_times_is_refused(fast: Any) -> None:
    code = fast.label("SO-300-bad")["tracking_code"]

    answer = fast.http.post(f"/_sim/parcels/{code}/handed_over", json={"way": [{"status": "delivered"}]})

    assert answer.status_code == 422


def test_a_happy_parcel_is_scanned_all_the_way_and_arrives_by_day(fast: Any) -> None:
    code = fast.travel("SO-301", "happy")
    tracker = fast.arrive(code)

    seen = details(tracker)
    assert seen[:3] == ["label_created", "received_at_origin_facility", "arrived_at_facility"]
    assert seen[-3:] == ["arrived_at_destination", "out_for_delivery", "delivered"]
    assert times(tracker) == sorted(times(tracker))
    assert tracker["status"] == "delivered"
    loaded = times(tracker)[-2] - timedelta(hours=8)  # Portland
    assert 6 <= loaded.hour <= 10


@pytest.mark.parametrize("profile", ["late", "weather_delay"])
def test_a_late_parcel_says_so_and_comes_after_the_promised_day(fast: Any, profile: str) -> None:
    bought = fast.label(f"SO-302-{profile}")
    promised = datetime.fromisoformat(bought["tracker"]["est_delivery_date"])
    match = {"reference": f"SO-302-{profile}"}
    fast.http.post("/_sim/parcels", json={"match": match, "profile": profile})
    fast.http.post(f"/_sim/parcels/{bought['tracking_code']}/handed_over")

    tracker = fast.arrive(bought["tracking_code"])

    assert {"delayed", "weather_delay"} & set(details(tracker))
    assert datetime.fromisoformat(tracker["est_delivery_date"]) - promised >= timedelta(days=1)
    assert tracker["status"] == "delivered"
    assert times(tracker)[-1] > promised


def test_a_scan_may_name_another_day(simulator: Any) -> None:
    code = simulator.label("SO-320")["tracking_code"]
    scan = {"status": "in_transit", "status_detail": "weather_delay", "est_delivery_date": "2030-01-05"}

    tracker = simulator.http.post(f"/_sim/parcels/{code}/scans", json=scan).json()
    wrong = simulator.http.post(f"/_sim/parcels/{code}/scans", json=scan | {"est_delivery_date": "soon"})

    assert tracker["est_delivery_date"] == "2030-01-05T00:00:00Z"
    assert wrong.status_code == 422


def test_a_silent_parcel_says_nothing_for_days_and_is_delivered(fast: Any) -> None:
    tracker = fast.arrive(fast.travel("SO-303", "silent"))

    at = times(tracker)
    assert timedelta(days=4) <= at[3] - at[2] <= timedelta(days=6)
    assert tracker["status"] == "delivered"


def test_a_lost_parcel_is_never_seen_after_its_first_hub(fast: Any) -> None:
    tracker = fast.arrive(fast.travel("SO-304", "lost"))

    assert details(tracker) == ["label_created", "received_at_origin_facility", "arrived_at_facility"]


@pytest.mark.parametrize(
    ("profile", "has", "ends"),
    [
        ("failed_attempt", "delivery_exception", "delivered"),
        ("damaged", "damaged", "failure"),
        ("return_to_sender", "refused", "return_to_sender"),
    ],
)
def test_a_parcel_in_trouble_ends_as_its_profile_says(fast: Any, profile: str, has: str, ends: str) -> None:
    tracker = fast.arrive(fast.travel(f"SO-305-{profile}", profile))

    assert has in details(tracker)
    assert tracker["status"] == ends


def test_a_profile_does_not_reach_orders_whose_id_only_begins_alike(fast: Any) -> None:
    fast.http.post("/_sim/parcels", json={"match": {"reference": "SO-31"}, "profile": "lost"})
    code = fast.label("SO-310:buy_label:P1:1")["tracking_code"]

    assert fast.http.post(f"/_sim/parcels/{code}/handed_over").json()["profile"] == "happy"


def test_a_parcel_on_the_road_changes_its_course(simulator: Any) -> None:
    code = simulator.travel("SO-311", "happy")

    armed = simulator.http.post(
        "/_sim/parcels", json={"match": {"reference": "SO-311"}, "profile": "lost"}
    ).json()

    planned = simulator.http.get(f"/_sim/parcels/{code}").json()
    assert (armed["changed_course"], planned["profile"], len(planned["scans"])) == (1, "lost", 3)


def test_each_scan_is_told_with_the_whole_history_and_a_good_signature(
    fast: Any, listener: Any, wait: Any
) -> None:
    code = fast.travel("SO-312", "happy")
    tracker = fast.arrive(code)

    count = len(tracker["tracking_details"])
    wait(lambda: len(listener.events(code)) == count)

    told = [(headers, body) for headers, body in listener.taken if code.encode() in body]
    headers = {"X-Hmac-Signature": {k.lower(): v for k, v in told[-1][0].items()}["x-hmac-signature"]}
    assert validate_webhook(told[-1][1], headers, "sécret")["description"] == "tracker.updated"
    lengths = sorted(len(event["result"]["tracking_details"]) for event in listener.events(code))
    assert lengths == list(range(1, count + 1))


def test_duplicates_tell_every_scan_twice_under_one_id(fast: Any, listener: Any, wait: Any) -> None:
    code = fast.travel("SO-313", "duplicates")
    tracker = fast.arrive(code)

    wait(lambda: len(listener.events(code)) == 2 * len(tracker["tracking_details"]) - 1)

    ids = [event["id"] for event in listener.events(code) if event["description"] == "tracker.updated"]
    assert len(ids) == 2 * len(set(ids))


def test_disordered_webhooks_tell_newer_things_before_older_ones(fast: Any, listener: Any, wait: Any) -> None:
    code = fast.travel("SO-314", "disordered")
    tracker = fast.arrive(code)

    wait(lambda: len(listener.events(code)) == len(tracker["tracking_details"]))

    lengths = [len(event["result"]["tracking_details"]) for event in listener.events(code)]
    assert lengths != sorted(lengths)


def test_a_scan_can_be_made_at_once(simulator: Any, listener: Any, wait: Any) -> None:
    code = simulator.label("SO-315")["tracking_code"]
    scan = {"status": "in_transit", "status_detail": "arrived_at_facility", "city": "Denver", "state": "CO"}

    tracker = simulator.http.post(f"/_sim/parcels/{code}/scans", json=scan).json()

    assert (tracker["status"], tracker["tracking_details"][-1]["tracking_location"]["city"]) == (
        "in_transit",
        "Denver",
    )
    wait(lambda: len(listener.events(code)) == 2)


def test_an_old_scan_that_comes_late_does_not_become_the_status(simulator: Any) -> None:
    code = simulator.label("SO-316")["tracking_code"]
    path = f"/_sim/parcels/{code}/scans"
    simulator.http.post(path, json={"status": "delivered", "status_detail": "delivered"})

    old = {"status": "in_transit", "datetime": "2020-01-01T00:00:00Z"}
    tracker = simulator.http.post(path, json=old).json()

    assert tracker["status"] == "delivered"
    assert tracker["tracking_details"][0]["datetime"] == "2020-01-01T00:00:00Z"


def test_nobody_can_hand_over_what_has_no_number(simulator: Any) -> None:
    assert simulator.http.post("/_sim/parcels/1Z0/handed_over").status_code == 404
    unknown = {"match": {"reference": "SO-1"}, "profile": "teleported"}
    assert simulator.http.post("/_sim/parcels", json=unknown).status_code == 422
