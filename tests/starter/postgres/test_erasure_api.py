"""Forgetting a customer over HTTP, on the real books (P54)."""

from dataclasses import replace
from typing import Any

import pytest
from fastapi import FastAPI

from fulfillment.domain.order import Customer, Outcome
from fulfillment.domain.record import CloseOrder
from fulfillment.domain.tracking import CarrierStatus
from fulfillment.http import asgi_client
from starter.access import Keyring
from starter.doors import Doors
from starter.web import create_app
from tests.starter.postgres.desk import Desk
from tests.storage.house import a_scan

PATH = "/v1/customers/cus_ann/erasure"
WHY = {"reason": "asked by letter"}


@pytest.fixture
def ops(app: FastAPI) -> Any:
    doors: Doors = app.state.doors
    shop = create_app(
        replace(doors, keyring=Keyring({"olga-key-1": ("ops",), "shop-key-1": ("storefront",)}))
    )

    async def post(who: str, path: str, body: Any) -> Any:
        async with asgi_client(shop, key=who) as client:
            return await client.post(path, json=body)

    return post


async def test_p54_a_customer_is_forgotten_in_the_books_and_in_temporal(ops: Any, desk: Desk) -> None:
    house = desk.house
    house.shipped(customer=Customer(customer_id="cus_ann", email="ann@example.com"))

    too_early = await ops("olga-key-1", PATH, WHY)
    house.shipping.scanned("SO-1-P1", (a_scan(CarrierStatus.DELIVERED),), None, source="carrier")
    house.records.close(CloseOrder(order_id="SO-1", outcome=Outcome.DELIVERED))
    done = await ops("olga-key-1", PATH, WHY)
    again = await ops("olga-key-1", PATH, WHY)

    assert (too_early.status_code, too_early.json()["code"]) == (409, "not_allowed")
    assert "SO-1 is in_fulfillment" in too_early.json()["detail"]
    assert (done.status_code, done.json()["orders"]) == (200, ["SO-1"])
    assert again.json() == done.json()
    assert desk.forgotten == ["SO-1", "SO-1"]
    assert house.views.view("SO-1").order.customer.email == ""


async def test_p54_only_ops_forget_and_only_whom_we_know(ops: Any) -> None:
    not_yours = await ops("shop-key-1", PATH, WHY)
    unknown = await ops("olga-key-1", PATH, WHY)

    assert (not_yours.status_code, unknown.status_code) == (403, 404)
    assert "nothing is known of a customer cus_ann" in unknown.json()["detail"].lower()
