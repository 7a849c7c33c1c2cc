"""Locations and promises over HTTP."""

from typing import Any

import pytest

from tests.starter.world import World

RENO = {
    "name": "Reno",
    "address": {
        "name": "Northwind",
        "line1": "1 Distribution Drive",
        "city": "Reno",
        "region": "NV",
        "country": "US",
    },
    "zone": "America/Los_Angeles",
    "cut_off": "15:30",
    "closed_days": ["2026-12-24"],
}
CART = {"lines": [{"sku": "MUG-12", "quantity": 2}], "ship_to": {"country": "US", "region": "NV"}}


@pytest.fixture
def operator(open_door: Any) -> Any:
    return open_door("operator-key")


async def test_a_location_is_added_with_the_holidays_of_its_country(operator: Any, world: World) -> None:
    answer = await operator.put("/v1/locations/wh-reno", json=RENO)

    assert answer.status_code == 200
    shown = answer.json()
    assert (shown["zone"], shown["cut_off"], shown["city"]) == ("America/Los_Angeles", "15:30:00", "Reno")
    assert {"2026-12-24", "2026-12-25", "2026-11-26", "2026-10-30"} <= set(shown["closed_days"])  # Nevada Day
    assert (await operator.get("/v1/locations")).json() == {"locations": [shown]}


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"zone": "Mars/Base"}, "zone"),
        ({"working_days": []}, "working_days"),
        ({"working_days": [7]}, "working_days[0]"),
        ({"cut_off": "25:00"}, "cut_off"),
        ({"on_time": 1.2}, "on_time"),
    ],
)
async def test_a_location_nobody_could_work_by_is_refused(
    operator: Any, world: World, wrong: dict[str, Any], param: str
) -> None:
    answer = await operator.put("/v1/locations/wh-reno", json=RENO | wrong)

    assert (answer.status_code, answer.json()["param"]) == (422, param)
    assert world.books.places == {}


async def test_a_country_without_known_holidays_is_told_so(operator: Any) -> None:
    nowhere = RENO | {"address": RENO["address"] | {"country": "AC"}}  # type: ignore[operator]

    refused = await operator.put("/v1/locations/wh-q", json=nowhere)
    accepted = await operator.put("/v1/locations/wh-q", json=nowhere | {"public_holidays": False})

    assert "public holidays of AC are not known" in refused.json()["detail"]
    assert accepted.json()["closed_days"] == ["2026-12-24"]


async def test_a_cart_is_promised_before_it_is_ordered(storefront: Any, world: World) -> None:
    twice = CART | {"lines": [{"sku": "MUG-12", "quantity": 2}, {"sku": "MUG-12", "quantity": 1}]}

    answer = await storefront.post("/v1/promises", json=twice)

    assert answer.json() == {
        "promised_by": "2026-11-30",
        "parcels": [
            {
                "location_id": "wh-reno",
                "items": [{"sku": "MUG-12", "quantity": 3}],
                "promised_by": "2026-11-30",
                "waits_for_stock": False,
            }
        ],
        "short": [],
    }
    ((cart, where),) = world.books.carts
    assert (cart, where.country, where.region) == ({"MUG-12": 3}, "US", "NV")


async def test_a_promise_for_what_is_not_sold_is_refused(storefront: Any) -> None:
    answer = await storefront.post("/v1/promises", json=CART | {"lines": [{"sku": "NOPE", "quantity": 1}]})

    assert answer.json()["code"] == "unknown_sku"
