"""Claims against carriers over HTTP, on the real books."""

from datetime import timedelta
from typing import Any

import pytest

from fulfillment.domain.record import DeclareLost
from fulfillment.domain.settlement import Cause, Settle
from tests.starter.postgres.desk import Desk
from tests.storage.paying import capture

END = "/v1/carrier_claims/SO-1-P1/end"


@pytest.fixture
def lost(desk: Desk) -> Desk:
    house = desk.house
    house.shipped()
    capture(house, "SO-1-1")
    house.wait(timedelta(days=10))
    house.records.declare_lost(DeclareLost(order_id="SO-1", parcel_id="SO-1-P1"))
    settle = Settle(order_id="SO-1", shipment_id="SO-1-1", cause=Cause.LOST, by="policy", request_id="r-1")
    house.records.settle(settle)
    return desk


async def test_a_claim_is_listed_until_it_is_said_what_came_of_it(api: Any, lost: Desk) -> None:
    (claim,) = (await api.get("/v1/carrier_claims")).json()["claims"]
    wrong = await api.post(END, json={"outcome": "paid"})
    ended = [await api.post(END, json={"outcome": "paid", "paid": 2900, "note": "UPS C-77"}) for _ in "ab"]
    left = (await api.get("/v1/carrier_claims")).json()["claims"]

    assert (claim["parcel_id"], claim["cause"], claim["amount"]) == ("SO-1-P1", "lost", 2900)
    assert (wrong.status_code, "say how much was paid" in wrong.json()["detail"].lower()) == (409, True)
    assert [answer.status_code for answer in ended] == [200, 200]
    assert left == []
