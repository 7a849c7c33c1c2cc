"""Tracking put right over HTTP, on the real books, and the codes that no table knows."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from fulfillment.domain.tracking import CarrierStatus
from fulfillment.storage.tables import cases, parcels, tracking_events
from tests.starter.postgres.desk import Desk
from tests.storage.house import NUMBER, House, a_scan

FIX = "/v1/orders/SO-1/parcels/SO-1-P1/tracking"
TAKE_BACK = {"status": "in_transit", "reason": "the neighbour never had it"}


@pytest.fixture
def delivered(desk: Desk) -> House:
    house = desk.house
    house.shipped()
    house.wait(timedelta(hours=48))
    strange = replace(a_scan(None, 20, code="beamed_up"), provider="easypost", is_unknown=True)
    scans = (strange, a_scan(CarrierStatus.DELIVERED, 33))
    house.shipping.record_report("easypost", "evt_1", "UPS", NUMBER, scans, None, {})
    house.signals.delivered([fact.signal_id for fact in house.signals.for_order("SO-1")])
    return house


async def test_a_delivery_is_taken_back_once_per_key_and_the_order_hears_it(
    api: Any, delivered: House, desk: Desk
) -> None:
    answers = [
        await api.post(FIX, json=TAKE_BACK, headers={"Idempotency-Key": "called-twice"}) for _ in range(2)
    ]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json() == answers[1].json()
    assert answers[0].json()["text"] == "SO-1-P1 is in transit now."
    assert delivered.row(parcels)["carrier_status"] == "in_transit"
    assert delivered.row(tracking_events, source="staff")["why"] == "the neighbour never had it"
    assert len(delivered.rows(cases)) == 1
    assert desk.heard[-1] == "milestone"


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        (FIX, TAKE_BACK | {"status": "pre_transit"}, 409, "choose one of"),
        (FIX, TAKE_BACK | {"status": "delivered"}, 409, "is delivered already"),
        (FIX, {"status": "in_transit"}, 422, "reason"),
        (FIX.replace("SO-1-P1", "SO-1-P9"), TAKE_BACK, 404, "has no parcel SO-1-P9"),
    ],
)
async def test_what_cannot_be_put_right_is_refused_with_what_to_do(
    api: Any, delivered: House, path: str, body: dict[str, str], status: int, said: str
) -> None:
    answer = await api.post(path, json=body)

    assert answer.status_code == status
    assert said in answer.json()["detail"]
    assert delivered.rows(tracking_events, source="staff") == []


async def test_the_codes_that_no_table_knows_are_listed(api: Any, delivered: House) -> None:
    (code,) = (await api.get("/v1/tracking/unknown_codes")).json()["codes"]

    assert (code["provider"], code["carrier"], code["code"], code["count"]) == (
        "easypost",
        "UPS",
        "beamed_up",
        1,
    )
