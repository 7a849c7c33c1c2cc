"""The handheld: a walk from the pick list to the last tote, on the real books."""

from collections.abc import Callable
from typing import Any

import pytest

from fulfillment.domain.record import StopShipments
from tests.starter.postgres.desk import Desk
from tests.storage.house import MUG, TEA

WALK = {"walk_id": "w-1", "location_id": "wh-reno", "picker": "pia", "mode": "batch", "size": 3}
SHIPMENTS = "/v1/warehouse/shipments"


@pytest.fixture
def door(open_door: Callable[[str], Any]) -> Any:
    return open_door("every-key")


async def scan(door: Any, scan_id: str, sku: str, **changes: Any) -> Any:
    said = {"scan_id": scan_id, "tote": 1, "sku": sku, "picker": "pia"} | changes
    return await door.post("/v1/warehouse/walks/w-1/scans", json=said)


async def test_a_handheld_goes_from_the_pick_list_to_the_last_tote(door: Any, desk: Desk) -> None:
    desk.house.released("SO-1")
    desk.house.released("SO-2", mugs=1, teas=0)
    placed = {"sku": MUG, "location_id": "wh-reno", "bin": "A-03-2"}

    assert (await door.put("/v1/warehouse/bins", json=placed)).json() == placed
    listed = (await door.get("/v1/warehouse/pick-list", params={"location": "wh-reno"})).json()["to_pick"]
    walk = (await door.post("/v1/warehouse/walks", json=WALK)).json()
    wrong = await scan(door, "s-0", "POT")
    await scan(door, "s-1", MUG, quantity=2)
    last = await scan(door, "s-2", TEA)
    again = await scan(door, "s-2", TEA)

    assert [one["shipment_id"] for one in listed] == ["SO-1-1", "SO-2-1"]
    assert [(stop["bin"], stop["sku"]) for stop in walk["stops"]] == [("A-03-2", MUG), ("", TEA)]
    assert (wrong.status_code, wrong.json()["code"]) == (409, "wrong_scan")
    assert wrong.json()["expected"] == "2 of MUG, 1 of TEA"
    assert last.json() == again.json()
    assert (last.json()["left"], last.json()["picked"]) == (0, True)
    shown = (await door.get("/v1/warehouse/walks/w-1")).json()
    assert [tote["work_status"] for tote in shown["totes"]] == ["picked", "picking"]


async def test_an_id_of_another_walk_scan_or_bench_problem_is_refused_in_words_a_scanner_can_act_on(
    door: Any, desk: Desk
) -> None:
    desk.house.released("SO-1")
    await door.post("/v1/warehouse/walks", json=WALK)
    first = await scan(door, "s-1", MUG)

    walk = await door.post("/v1/warehouse/walks", json=WALK | {"picker": "kim"})
    other = await scan(door, "s-1", TEA)
    await scan(door, "s-2", MUG)
    await scan(door, "s-3", TEA)
    await door.post(f"{SHIPMENTS}/SO-1-1/bench")
    seen = await door.post(f"{SHIPMENTS}/SO-1-1/bench/seen", json={"scan_id": "zz"})

    assert first.json()["left"] == 2
    assert [(no.status_code, no.json()["code"]) for no in (walk, other)] == [(409, "id_used")] * 2
    assert "walk of pia at wh-reno" in walk.json()["detail"]
    assert "1 of MUG into tote 1" in other.json()["detail"]
    assert (seen.status_code, seen.json()["code"]) == (404, "no_such_problem")


async def test_a_handheld_hears_who_else_picks_what_is_missing_and_what_is_to_be_looked_at(
    door: Any, desk: Desk
) -> None:
    desk.house.stocked(fragile=True)
    desk.house.released(teas=0)
    await door.post("/v1/warehouse/walks", json=WALK)

    other = await door.post(f"{SHIPMENTS}/SO-1-1/start", json={"picker": "rob"})
    early = await door.post(f"{SHIPMENTS}/SO-1-1/picked", json={"picker": "pia"})
    scanned = await scan(door, "s-1", MUG, quantity=2)
    unseen = await door.post(f"{SHIPMENTS}/SO-1-1/picked", json={"picker": "pia"})
    check = {"check_id": "c-1", "sku": MUG, "quantity": 1, "grade": "D"}
    blind = await door.post(f"{SHIPMENTS}/SO-1-1/checks", json=check)
    broken = await door.post(f"{SHIPMENTS}/SO-1-1/checks", json=check | {"photo": "p.jpg"})
    good = await door.post(
        f"{SHIPMENTS}/SO-1-1/checks", json=check | {"check_id": "c-2", "grade": "A", "quantity": 2}
    )
    done = await door.post(f"{SHIPMENTS}/SO-1-1/picked", json={"picker": "pia"})

    assert (other.status_code, other.json()["code"], other.json()["picker"]) == (409, "in_other_hands", "pia")
    assert (early.json()["code"], early.json()["missing"]) == ("not_scanned", {MUG: 2})
    assert (scanned.json()["picked"], scanned.json()["to_check"]) == (False, [MUG])
    assert (unseen.json()["code"], unseen.json()["skus"]) == ("check_needed", [MUG])
    assert (blind.status_code, blind.json()["code"]) == (422, "photo_needed")
    assert (broken.json()["reject_as"], broken.json()["missing"]) == ("damaged", {MUG: 2})
    assert broken.json()["say"] == "Take these units out as a rejection, reason damaged."
    assert (good.json()["picked"], good.json()["say"]) == (True, "It is picked: bring it to the bench.")
    assert done.status_code == 200


async def test_goods_of_a_cancelled_order_are_asked_for_until_they_are_back(door: Any, desk: Desk) -> None:
    desk.house.released()
    await door.post("/v1/warehouse/walks", json=WALK)
    desk.house.records.stop_shipments(
        StopShipments(order_id="SO-1", reason="changed my mind", by="ann", request_id="r")
    )

    stopped = await scan(door, "s-1", MUG)
    asked = (await door.get("/v1/warehouse/put-backs")).json()["put_backs"]
    for _ in range(2):
        back = await door.post(f"{SHIPMENTS}/SO-1-1/put_back", json={"picker": "pia", "scan_id": "s-2"})
        assert back.status_code == 200

    assert (stopped.status_code, stopped.json()["code"]) == (409, "stop")
    assert [(one["shipment_id"], one["picker"]) for one in asked] == [("SO-1-1", "pia")]
    assert (await door.get("/v1/warehouse/put-backs")).json() == {"put_backs": []}


async def test_a_walk_nobody_began_is_not_there(door: Any) -> None:
    assert (await door.get("/v1/warehouse/walks/w-9")).status_code == 404
