"""Work on stock over HTTP, on the real books: wrong input gets a clear answer, and repeats change nothing."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.starter.postgres.desk import Desk
from tests.storage.house import DEPOT, MUG, TEA, an_order

SHELF = {"sku": MUG, "location_id": "wh-reno"}


@pytest.fixture
def door(open_door: Callable[[str], Any]) -> Any:
    return open_door("every-key")


async def level(door: Any) -> dict[str, Any]:
    levels = (await door.get("/v1/stock", params={"sku": MUG})).json()["levels"]
    return dict(levels[0])


async def test_an_adjustment_below_the_claims_names_who_waits_again_and_they_hear_of_it(
    door: Any, desk: Desk
) -> None:
    desk.house.released("SO-1", mugs=10, teas=0)
    body = SHELF | {"delta": -1, "reason": "broken", "key": "a-1"}

    first, again = [await door.post("/v1/adjustments", json=body) for _ in range(2)]

    assert (first.status_code, first.json()) == (201, {"key": "a-1", "filled": [], "short": ["SO-1-1"]})
    assert again.json() == first.json()
    assert desk.heard == ["replanned"]
    assert (await level(door))["on_hand"] == 9


async def test_goods_in_closed_parcels_are_named(door: Any, desk: Desk) -> None:
    desk.house.packed("SO-1", mugs=10, teas=0)

    no = await door.post("/v1/adjustments", json=SHELF | {"delta": -1, "reason": "broken", "key": "a-1"})

    assert (no.status_code, no.json()["code"]) == (409, "packed_already")
    assert no.json()["shipments"] == ["SO-1-1"]


async def test_units_are_set_aside_and_put_back(door: Any) -> None:
    aside = SHELF | {"quantity": 4, "of": "free", "to": "quarantine", "reason": "recall", "key": "d-1"}
    back = SHELF | {"quantity": 1, "of": "quarantine", "to": "free", "reason": "fine", "key": "d-2"}
    wrong = SHELF | {"quantity": 1, "of": "quarantine", "to": "damaged", "reason": "?", "key": "d-3"}

    answers = [await door.post("/v1/dispositions", json=body) for body in (aside, aside, back, wrong)]

    assert [answer.status_code for answer in answers] == [201, 201, 201, 409]
    assert answers[-1].json()["code"] == "stock_refused"
    after = await level(door)
    assert (after["on_hand"], after["quarantine"], after["available"]) == (10, 3, 7)


async def test_a_count_goes_from_plan_to_posted(door: Any, desk: Desk) -> None:
    now = desk.house.now().isoformat()
    plan = SHELF | {"count_id": "CC-1", "reason": "weekly"}
    seen = {"counted": 8, "counted_at": now}

    states = [
        (await door.post("/v1/counts", json=plan)).json()["state"],
        (await door.post("/v1/counts/CC-1/start")).json()["state"],
        (await door.post("/v1/counts/CC-1/reports", json=seen | {"by": "bob"})).json()["state"],
        (await door.post("/v1/counts/CC-1/reports", json=seen | {"by": "cat"})).json()["state"],
    ]

    assert states == ["planned", "counting", "recounting", "posted"]
    (count,) = (await door.get("/v1/counts")).json()["counts"]
    assert (count["difference"], count["recounter"]) == (-2, "cat")
    assert (await level(door))["on_hand"] == 8


async def test_a_transfer_goes_from_sent_to_closed(door: Any, desk: Desk) -> None:
    desk.house.stock.add_location("wh-lehigh", name="Lehigh", address=DEPOT, priority=2)
    route = {"from_location": "wh-reno", "to_location": "wh-lehigh"}
    body = route | {"transfer_id": "T-1", "sku": MUG, "quantity": 4, "reason": "sells there"}

    sent = await door.post("/v1/transfers", json=body)
    arrived = await door.post("/v1/transfers/T-1/receipts", json={"quantity": 3, "key": "one"})
    closed = await door.post("/v1/transfers/T-1/close", json={"reason": "fell off the lorry"})

    assert [answer.status_code for answer in (sent, arrived, closed)] == [201, 201, 200]
    assert (closed.json()["state"], closed.json()["lost"]) == ("closed", 1)
    assert (await door.get("/v1/transfers", params={"open": True})).json() == {"transfers": []}


async def test_what_came_back_is_taken_in_once(door: Any, desk: Desk) -> None:
    desk.house.shipped("SO-1", mugs=2, teas=0)
    body = {
        "order_id": "SO-1",
        "line_no": 1,
        "units": [2],
        "disposition": "restock",
        "location_id": "wh-reno",
    }

    answers = [
        await door.post("/v1/returned_units", json=body | {"key": key}) for key in ("r-1", "r-1", "r-2")
    ]

    assert [answer.status_code for answer in answers] == [201, 201, 409]
    assert "came back before" in answers[-1].json()["detail"]
    assert (await level(door))["on_hand"] == 9


async def test_what_is_as_good_is_listed_and_replaced(door: Any) -> None:
    path = f"/v1/stock/{MUG}/substitutes"

    empty = await door.get(path)
    listed = await door.put(path, json={"substitutes": [TEA]})
    unknown = await door.get("/v1/stock/NO-SUCH/substitutes")
    wrong = {
        why: await door.put(path, json={"substitutes": those})
        for why, those in {"it is the same": [MUG], "in the catalogue": ["NO"], "twice": [TEA, TEA]}.items()
    }

    assert empty.json() == {"sku": MUG, "substitutes": []}
    assert listed.json() == (await door.get(path)).json() == {"sku": MUG, "substitutes": [TEA]}
    assert (unknown.status_code, unknown.json()["code"]) == (422, "unknown_sku")
    for why, refused in wrong.items():
        assert (refused.status_code, refused.json()["param"]) == (422, "substitutes")
        assert why in refused.json()["detail"]


async def test_safety_stock_and_snapshots_and_news(door: Any, desk: Desk) -> None:
    now = desk.house.now().isoformat()
    kept = await door.post("/v1/safety_stock", json=SHELF | {"units": 3, "reason": "season", "key": "s-1"})
    seen = SHELF | {"counted": 3, "counted_at": now, "key": "w-1"}
    counted = await door.post("/v1/snapshots", json=seen)

    events = (await door.get("/v1/stock/events")).json()["events"]

    assert (kept.status_code, counted.status_code) == (201, 201)
    assert [event["kind"] for event in events if event["sku"] == MUG] == ["back_in_stock", "out_of_stock"]
    after = (await door.get("/v1/stock/events", params={"after": events[-1]["event_id"]})).json()
    assert after == {"events": []}


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("adjustments", SHELF | {"delta": 0, "reason": "x", "key": "k"}, 422, "invalid_request"),
        ("adjustments", SHELF | {"delta": -99, "reason": "x", "key": "k"}, 409, "insufficient_stock"),
        ("adjustments", {"sku": "NO", "location_id": "wh-reno", "delta": 1, "reason": "x", "key": "k"}, 422, "unknown_sku"),
        ("adjustments", {"sku": MUG, "location_id": "wh-moon", "delta": 1, "reason": "x", "key": "k"}, 422, "invalid_request"),
        ("dispositions", SHELF | {"quantity": 1, "of": "free", "to": "moon", "reason": "x", "key": "k"}, 422, "invalid_request"),
        ("counts/CC-9/start", {}, 404, "not_found"),
        ("transfers/T-9/close", {"reason": "x"}, 404, "not_found"),
        ("snapshots", SHELF | {"counted": 1, "counted_at": "2026-11-23", "key": "k"}, 422, "invalid_request"),
        ("snapshots", SHELF | {"counted": 1, "counted_at": "2099-01-01T00:00:00Z", "key": "k"}, 409, "stock_refused"),
    ],
)  # fmt: skip
async def test_what_cannot_be_is_refused_with_a_word(
    door: Any, path: str, body: dict[str, Any], status: int, code: str
) -> None:
    no = await door.post(f"/v1/{path}", json=body)

    assert (no.status_code, no.json()["code"]) == (status, code)


async def test_what_is_back_goes_to_those_who_wait(door: Any, desk: Desk) -> None:
    desk.house.orders.accept(an_order("SO-1", mugs=12, teas=0), by="web")
    desk.house.stock.reserve("SO-1")

    found = await door.post("/v1/adjustments", json=SHELF | {"delta": 2, "reason": "found", "key": "a-1"})

    assert found.json()["filled"] == ["SO-1-2"]
    assert desk.heard == ["stock_filled"]
