"""The floor and goods in, over HTTP, as people and bots use them."""

from typing import Any

import pytest

from fulfillment.domain.address import Address
from fulfillment.domain.calendars import Calendar
from fulfillment.domain.label import LabelDocument
from tests.starter.world import World, a_work_item

SHIPMENT = "/v1/warehouse/shipments/SO-10483-1"


def a_place(world: World, location_id: str) -> None:
    home = Address(name="Northwind", line1="1 Dock Rd", city="Reno", country="US")
    world.books.add_location(
        location_id, name="Reno", address=home, priority=1, calendar=Calendar(zone="America/Los_Angeles")
    )


async def test_the_floor_lists_what_is_to_be_done_without_anybodys_name(warehouse: Any, world: World) -> None:
    world.books.work_items = [a_work_item(held=("fraud",)), a_work_item(location_id="wh-lehigh")]
    a_place(world, "wh-reno")

    response = await warehouse.get("/v1/warehouse/work", params={"location": "wh-reno"})

    (item,) = response.json()["work"]
    assert item["shipment_id"] == "SO-10483-1"
    assert item["items"] == [{"sku": "MUG-12", "name": "Enamel mug 12 oz", "quantity": 1}]
    assert (item["work_status"], item["held"], item["goes_to"]) == ("released", ["fraud"], "Boise, ID")
    assert "Haddad" not in response.text


@pytest.mark.parametrize("listed", ["work", "pick-list", "put-backs", "rejections"])
async def test_a_location_that_does_not_exist_is_no_idle_floor(
    warehouse: Any, world: World, listed: str
) -> None:
    a_place(world, "wh-reno")

    response = await warehouse.get(f"/v1/warehouse/{listed}", params={"location": "wh-rno"})

    assert (response.status_code, response.json()["param"]) == (422, "location")
    assert "only wh-reno" in response.json()["detail"]


@pytest.mark.parametrize(
    ("step", "body", "answer"),
    [
        ("start", None, {"done": "start"}),
        ("picked", {"scan_id": "scan-1"}, {"done": "picked"}),
        ("packed", {"weight_g": 900}, {"done": "packed", "parcel_id": "SO-10483-P1"}),
        (
            "handed_over",
            None,
            {"done": "handed_over", "tracking_number": "1Z999AA10123456781", "carrier": "UPS"},
        ),
    ],
)
async def test_each_step_answers_the_same_when_it_is_repeated(
    warehouse: Any, step: str, body: Any, answer: dict[str, str]
) -> None:
    first = await warehouse.post(f"{SHIPMENT}/{step}", json=body)
    again = await warehouse.post(f"{SHIPMENT}/{step}", json=body)

    assert first.status_code == again.status_code == 200
    assert first.json() == again.json()
    assert answer.items() <= first.json().items()


@pytest.mark.parametrize("step", ["packed", "handed_over"])
async def test_the_order_hears_of_a_step_that_concerns_it(warehouse: Any, world: World, step: str) -> None:
    await warehouse.post(f"{SHIPMENT}/{step}", json={"weight_g": 900} if step == "packed" else None)

    assert [fact.order_id for fact in world.processes.delivered] == ["SO-10483"]


@pytest.mark.parametrize("step", ["start", "picked", "packed", "handed_over"])
async def test_a_stop_says_what_to_do_with_the_goods(warehouse: Any, world: World, step: str) -> None:
    world.books.stopped = "it was cancelled: put the goods back on the shelf"

    response = await warehouse.post(
        f"{SHIPMENT}/{step}", json={"weight_g": 900} if step == "packed" else None
    )

    assert response.status_code == 409
    assert response.json()["code"] == "stop"
    assert "put the goods back on the shelf" in response.json()["detail"]
    assert world.processes.delivered == []


@pytest.mark.parametrize(("shipment", "status"), [("SO-404-1", 404), ("SO-10483-9", 409)])
async def test_a_shipment_that_is_not_there_or_not_ready_is_refused(
    warehouse: Any, shipment: str, status: int
) -> None:
    response = await warehouse.post(f"/v1/warehouse/shipments/{shipment}/start")

    assert response.status_code == status


@pytest.mark.parametrize("weight", [0, -1, 1.5, "900", 70_001, None])
async def test_a_weight_that_cannot_be_is_refused(warehouse: Any, weight: Any) -> None:
    response = await warehouse.post(f"{SHIPMENT}/packed", json={"weight_g": weight})

    assert response.status_code == 422
    assert response.json()["param"] == "weight_g"


REJECTION = {"scan_id": "scan-1", "sku": "MUG-12", "quantity": 1, "reason": "not_found"}


async def test_units_that_cannot_leave_are_taken_out_and_the_picker_is_told_what_to_do(
    warehouse: Any, world: World
) -> None:
    response = await warehouse.post(f"{SHIPMENT}/rejections", json=REJECTION)

    assert response.status_code == 200
    said = response.json()
    assert (said["resourced"], said["left"], said["say"]) == (1, 2, "Go on with the rest.")
    assert [fact.order_id for fact in world.processes.delivered] == ["SO-10483"]


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"reason": "ugly"}, "reason"),
        ({"quantity": 0}, "quantity"),
        ({"scan_id": ""}, "scan_id"),
        ({"by": "pia"}, "by"),
    ],
)
async def test_a_broken_rejection_is_refused(warehouse: Any, changes: dict[str, Any], param: str) -> None:
    response = await warehouse.post(f"{SHIPMENT}/rejections", json=REJECTION | changes)

    assert response.status_code == 422
    assert response.json()["param"] == param


@pytest.mark.parametrize(("rejection", "status"), [("scan-1", 200), ("scan-2", 404)])
async def test_what_was_set_aside_is_inspected(warehouse: Any, rejection: str, status: int) -> None:
    response = await warehouse.post(
        f"/v1/warehouse/rejections/{rejection}/inspection", json={"to": "restock"}
    )

    assert response.status_code == status


# --- labels ------------------------------------------------------------------------------------------------

LABEL = "/v1/warehouse/parcels/SO-10483-P1/label"
LABELS = {
    "pdf": (b"%PDF-1.4\n\xff\x00 label", "application/pdf"),
    "png": (b"\x89PNG\r\n\x1a\n\x00\xfe", "image/png"),
    "zpl": (b"\r\n^XA^FO50,50^FDSO-10483^FS^XZ\r\n", "application/zpl"),
}


@pytest.mark.parametrize("kind", LABELS)
async def test_a_label_is_given_out_byte_for_byte_in_the_format_it_came_in(
    warehouse: Any, world: World, kind: str
) -> None:
    world.books.printed["SO-10483-P1"] = [LabelDocument.of(content) for content, _ in LABELS.values()]
    content, content_type = LABELS[kind]

    response = await warehouse.get(LABEL, params={"format": kind})

    assert (response.content, response.headers["content-type"]) == (content, content_type)
    assert response.headers["etag"] == f'"{LabelDocument.of(content).sha256}"'
    assert response.headers["content-disposition"] == f'inline; filename="SO-10483-P1.{kind}"'


async def test_a_label_that_is_not_there_is_not_made_up(warehouse: Any, world: World) -> None:
    nothing = await warehouse.get(LABEL)
    world.books.printed["SO-10483-P1"] = [LabelDocument.of(LABELS["zpl"][0])]
    other = await warehouse.get(LABEL, params={"format": "pdf"})

    assert (nothing.status_code, other.status_code) == (404, 404)
    assert "no label to print" in nothing.json()["detail"]
    assert "was bought as zpl, not as pdf" in other.json()["detail"]
    assert (await warehouse.get(LABEL)).content == LABELS["zpl"][0]


# --- stock -------------------------------------------------------------------------------------------------

RECEIPT = {"sku": "MUG-12", "location_id": "wh-reno", "quantity": 24, "key": "note-77"}


async def test_stock_levels_say_what_a_new_order_may_claim(warehouse: Any) -> None:
    (level,) = (await warehouse.get("/v1/stock")).json()["levels"]

    assert (level["on_hand"], level["available"]) == (10, 4)


async def test_what_vendors_owe_is_listed(warehouse: Any) -> None:
    (due,) = (await warehouse.get("/v1/receipts/due")).json()["due"]

    assert due["replenishment_id"] == "RO-1"
    assert due["due_at"] == "2026-11-23T12:00:00Z"


async def test_a_receipt_names_the_shipments_it_filled_and_their_orders_hear_of_it(
    warehouse: Any, world: World
) -> None:
    response = await warehouse.post("/v1/receipts", json=RECEIPT | {"replenishment_id": "RO-1"})

    assert response.status_code == 201
    assert response.json() == {"key": "note-77", "filled": ["SO-10483-2"]}
    assert [fact.order_id for fact in world.processes.delivered] == ["SO-10483"]


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"sku": ""}, "sku"),
        ({"location_id": "a b"}, "location_id"),
        ({"quantity": 0}, "quantity"),
        ({"quantity": 1.0}, "quantity"),
        ({"key": ""}, "key"),
        ({"key": "x" * 121}, "key"),
        ({"by": "maria"}, "by"),
    ],
)
async def test_a_broken_receipt_is_refused(
    warehouse: Any, world: World, changes: dict[str, Any], param: str
) -> None:
    response = await warehouse.post("/v1/receipts", json=RECEIPT | changes)

    assert response.status_code == 422
    assert response.json()["param"] == param
    assert world.books.receipts == {}


async def test_goods_nobody_knows_are_refused(warehouse: Any) -> None:
    response = await warehouse.post("/v1/receipts", json=RECEIPT | {"sku": "NO-SUCH"})

    assert response.status_code == 422
    assert response.json()["code"] == "unknown_sku"
