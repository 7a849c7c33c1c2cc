"""An order through every door, on the real books."""

import asyncio
import hashlib
import hmac
import json
from typing import Any

from fastapi import FastAPI

from fulfillment.storage.tables import idempotency_keys, inbox, orders, parcels
from starter.api.live import Watch
from tests.starter.postgres.desk import Desk
from tests.starter.world import EASYPOST_SECRET
from tests.storage.house import NUMBER


def a_body(**changes: Any) -> dict[str, Any]:
    body = {
        "customer": {"id": "c-1", "email": "ann@example.com"},
        "lines": [{"sku": "MUG", "name": "Mug", "quantity": 2, "unit_price": 1200}],
        "currency": "USD",
        "total": 2400,
        "ship_to": {"name": "Ann", "line1": "1 Main St", "city": "Reno", "region": "NV", "country": "US"},
        "payment": {"method": "pm_card_visa"},
    }
    return body | changes


def a_report(event_id: str, status: str, at: str) -> dict[str, Any]:
    scan = {
        "status": status,
        "status_detail": "",
        "message": status,
        "datetime": at,
        "tracking_location": {"city": "Reno", "state": "NV", "country": "US"},
    }
    tracker = {"carrier": "UPS", "tracking_code": NUMBER, "status": status, "tracking_details": [scan]}
    body = json.dumps({"id": event_id, "description": "tracker.updated", "result": tracker}).encode()
    signature = hmac.new(EASYPOST_SECRET.encode(), body, hashlib.sha256).hexdigest()
    return {"content": body, "headers": {"X-Hmac-Signature": f"hmac-sha256-hex={signature}"}}


async def test_p21_twenty_at_once_with_one_key_make_one_order(api: Any, desk: Desk) -> None:
    """Attacks: one key, one answer (`once`), and an order id that follows from the key.

    Without either (an id of its own for every request) twenty orders are placed.
    """

    async def press() -> Any:
        return await api.post("/v1/orders", json=a_body(), headers={"Idempotency-Key": "one-press"})

    responses = await asyncio.gather(*(press() for _ in range(20)))

    placed = [response.json() for response in responses if response.status_code == 201]
    refused = {response.json()["code"] for response in responses if response.status_code != 201}
    assert len({order["id"] for order in placed}) == 1
    assert refused <= {"idempotency_in_progress"}
    assert len(desk.house.rows(orders)) == len(desk.house.rows(idempotency_keys)) == 1


async def test_ten_at_once_with_one_order_id_make_one_order(api: Any, desk: Desk) -> None:
    async def press() -> Any:
        return await api.post("/v1/orders", json=a_body(order_id="SO-1"))

    responses = await asyncio.gather(*(press() for _ in range(10)))

    assert {response.status_code for response in responses} == {201}
    assert {response.json()["placed"] for response in responses} == {"confirmed"}
    assert len(desk.house.rows(orders)) == 1


async def test_an_unknown_sku_stores_nothing_and_frees_its_key(api: Any, desk: Desk) -> None:
    body = a_body(lines=[{"sku": "NO-SUCH", "quantity": 2, "unit_price": 1200}])

    response = await api.post("/v1/orders", json=body, headers={"Idempotency-Key": "k"})

    assert response.status_code == 422
    assert desk.house.rows(orders) == desk.house.rows(idempotency_keys) == []


async def test_an_order_goes_through_every_door_to_its_customers(api: Any, desk: Desk) -> None:
    placed = (await api.post("/v1/orders", json=a_body(order_id="SO-1"))).json()
    token = placed["tracking_url"].rpartition("/")[2]
    assert (placed["stage"], placed["payment"]["status"]) == ("allocated", "authorized")

    ((item,), shipment) = ((await api.get("/v1/warehouse/work")).json()["work"], "SO-1-1")
    assert item["shipment_id"] == shipment
    scans = [
        {"scan_id": f"s-{n}", "code": unit["sku"]}
        for n, unit in enumerate(unit for unit in item["items"] for _ in range(unit["quantity"]))
    ]
    for step, body in (
        ("start", None),
        ("picked", {"scan_id": "s-1"}),
        ("bench", {"station": "bench 2"}),
        ("bench/scans", {"scans": scans}),
        ("packed", {"weight_g": 1010}),
    ):
        answer = await api.post(f"/v1/warehouse/shipments/{shipment}/{step}", json=body)
        assert answer.status_code == 200, answer.text
    left = (await api.post(f"/v1/warehouse/shipments/{shipment}/handed_over")).json()
    assert (left["parcel_id"], left["tracking_number"]) == ("SO-1-P1", NUMBER)

    for _ in range(3):
        for event_id, status, at in (
            ("evt_2", "delivered", "2026-11-23T07:59:00Z"),
            ("evt_1", "in_transit", "2026-11-23T07:30:00Z"),
        ):
            response = await api.post("/webhooks/easypost", **a_report(event_id, status, at))
            assert response.status_code == 202

    order = (await api.get("/v1/orders/SO-1")).json()
    page = (await api.get(f"/t/{token}")).text.replace("\u00a0", " ")
    assert order["stage"] == "delivered"
    assert "Delivered Mon 23 Nov, 7:59 am" in page
    assert len(desk.house.rows(inbox)) == 2
    assert desk.heard.count("handed_over") == 1
    assert desk.heard.count("milestone") == 1


async def test_a_wrong_item_and_a_missing_one_keep_the_parcel_open(api: Any, desk: Desk) -> None:
    await api.post("/v1/orders", json=a_body(order_id="SO-1"))
    shipment = "/v1/warehouse/shipments/SO-1-1"
    for step in ("start", "picked", "bench"):
        await api.post(f"{shipment}/{step}")

    wrong = await api.post(f"{shipment}/bench/scans", json={"scans": [{"scan_id": "s-1", "code": "HAT"}]})
    blocked = await api.post(f"{shipment}/packed", json={"weight_g": 1010})
    seen = await api.post(f"{shipment}/bench/seen", json={"scan_id": "s-1"})
    missing = await api.post(f"{shipment}/packed", json={"weight_g": 1010})

    assert wrong.json()["problem"].startswith("HAT does not belong in this shipment")
    assert (wrong.json()["verified"], seen.json()["problem"]) == (False, "")
    assert (blocked.status_code, blocked.json()["code"]) == (409, "packing_problem")
    assert (missing.status_code, missing.json()["code"]) == (422, "not_verified")
    assert desk.house.rows(parcels) == []


async def test_orders_are_paged_through_without_losing_one(api: Any) -> None:
    for n in range(5):
        await api.post("/v1/orders", json=a_body(order_id=f"SO-{n}"))

    found, cursor = [], None
    while True:
        params = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await api.get("/v1/orders", params=params)).json()
        found += [row["id"] for row in page["orders"]]
        if not (cursor := page["next_cursor"]):
            break

    assert sorted(found) == [f"SO-{n}" for n in range(5)]


async def test_a_receipt_fills_what_waits_for_it(api: Any, desk: Desk) -> None:
    body = a_body(order_id="SO-1", lines=[{"sku": "MUG", "quantity": 12, "unit_price": 1200}], total=14_400)
    placed = (await api.post("/v1/orders", json=body)).json()
    receipt = {"sku": "MUG", "location_id": "wh-reno", "quantity": 5, "key": "note-1"}

    first = (await api.post("/v1/receipts", json=receipt)).json()
    again = (await api.post("/v1/receipts", json=receipt)).json()

    assert [s["stage"] for s in placed["shipments"]] == ["allocated", "backordered"]
    assert first == again == {"key": "note-1", "filled": ["SO-1-2"]}
    assert desk.heard == ["stock_filled"]


async def test_a_receipt_for_a_place_that_is_not_there_is_refused(api: Any) -> None:
    receipt = {"sku": "MUG", "location_id": "wh-nowhere", "quantity": 5, "key": "note-1"}

    response = await api.post("/v1/receipts", json=receipt)

    assert response.status_code == 422
    assert response.json()["param"] == "location_id"


async def test_the_watch_hears_of_an_event_when_it_is_committed(app: FastAPI, api: Any, desk: Desk) -> None:
    await api.post("/v1/orders", json=a_body(order_id="SO-1"))
    watch: Watch = app.state.watch
    before = desk.house.views.heads(["SO-1"])["SO-1"]

    async with watch.watching("SO-1"):
        waiting = asyncio.create_task(watch.news("SO-1", before))
        await api.post("/v1/warehouse/shipments/SO-1-1/start")
        head = await asyncio.wait_for(waiting, 5)

    assert head is not None
    assert head > before
