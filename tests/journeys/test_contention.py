"""Many customers, few units: what is sold is there, and everybody gets an answer."""

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest

from devstack import seed
from devstack.chaos import Arena, Tale
from fulfillment.domain.catalogue import Product
from fulfillment.domain.order import Order
from workflows.contract import PlaceAnswer, Placed

CUSTOMERS = 200
UNITS = 10
_TRIES = 4


@pytest.mark.parametrize("backorderable", [False, True])
async def test_of_two_hundred_orders_for_ten_units_ten_are_served(
    journeys: Arena, *, backorderable: bool
) -> None:
    sku = "RARE-LATER" if backorderable else "RARE"
    product = Product(
        sku=sku, name="Rare", weight_g=100, price=2400, backorderable=backorderable, on_hand=UNITS
    )
    journeys.shop.stock.set_catalogue([product], by="test", location_id=seed.RENO)

    answers = await asyncio.gather(*(_place(journeys, _an_order(journeys, sku)) for _ in range(CUSTOMERS)))

    assert Counter(answer.placed if answer else None for answer in answers) == {
        Placed.CONFIRMED: UNITS,
        Placed.SHORT: CUSTOMERS - UNITS,
    }
    [level] = journeys.shop.stock.levels(sku)
    assert (level.on_hand, level.allocated, level.reserved) == (UNITS, UNITS, 0)
    report = await journeys.verdict()
    assert report.clean, "\n".join(report.lines())


def _an_order(journeys: Arena, sku: str) -> Order:
    order = journeys.shop.order(journeys.new_id("RUSH"))
    [line] = order.lines
    return replace(order, lines=(replace(line, sku=sku, quantity=1),), total=2900).checked()


async def _place(journeys: Arena, order: Order) -> PlaceAnswer | None:
    """Place, and ask again where the answer takes longer, as storefronts do."""
    for _ in range(_TRIES):
        if answer := await journeys.place(order, Tale.BY_HAND, within=timedelta(seconds=60)):
            return answer
    return None
