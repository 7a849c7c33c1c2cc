"""Refunds over HTTP, on the real books."""

from dataclasses import replace
from typing import Any

import pytest
from fastapi import FastAPI

from fulfillment.http import asgi_client
from fulfillment.storage.tables import audit_entries, refunds, shipments
from starter.access import Keyring
from starter.doors import Doors
from starter.web import create_app
from tests.starter.postgres.desk import Desk
from tests.storage.paying import capture, pay

KEYS = {"sue-key-1": ("support",), "max-key-1": ("support",), "shop-key-1": ("storefront",)}


class Shop:
    """An order that has left and is charged, two people of support, and what was started."""

    def __init__(self, app: FastAPI, desk: Desk) -> None:
        self.started = desk.refunds
        doors: Doors = app.state.doors
        self.app = create_app(replace(doors, keyring=Keyring(KEYS)))
        house = self.house = desk.house
        house.reserved()
        pay(house, "SO-1-1")
        house.change(shipments, {"work_status": "handed_over"}, shipment_id="SO-1-1")
        capture(house, "SO-1-1")

    async def post(self, who: str, path: str, body: Any = None, key: str = "") -> Any:
        headers = {"Idempotency-Key": key} if key else {}
        async with asgi_client(self.app, key=who) as client:
            return await client.post(path, json=body, headers=headers)


@pytest.fixture
def shop(app: FastAPI, desk: Desk) -> Shop:
    return Shop(app, desk)


ASK = "/v1/orders/SO-1/refunds"


async def test_a_refund_is_asked_for_and_started(shop: Shop) -> None:
    answer = await shop.post("sue-key-1", ASK, {"cause": "goodwill", "amount": 500})

    assert answer.status_code == 201
    assert (answer.json()["id"], answer.json()["state"]) == ("SO-1-F1", "approved")
    assert shop.started == ["SO-1-F1"]
    async with asgi_client(shop.app, key="sue-key-1") as client:
        listed = (await client.get(ASK)).json()["refunds"]
    assert listed == [answer.json()]


async def test_p25_a_double_click_is_one_refund(shop: Shop) -> None:
    """Attacks: the request's id is the refund's, behind the key. Without both there are two refunds."""
    body = {"cause": "goodwill", "amount": 500}
    first = await shop.post("sue-key-1", ASK, body, key="click")
    second = await shop.post("sue-key-1", ASK, body, key="click")

    assert first.json() == second.json()
    assert len(shop.house.rows(refunds)) == 1


async def test_p35_a_key_counts_for_its_caller_and_its_body_alone(shop: Shop) -> None:
    """Attacks: a key belongs to its caller, route and body. Unscoped, max would be told of sue's refund as his."""
    sue = await shop.post("sue-key-1", ASK, {"cause": "goodwill", "amount": 500}, key="k")
    other_body = await shop.post("sue-key-1", ASK, {"cause": "goodwill", "amount": 501}, key="k")
    other_caller = await shop.post("max-key-1", ASK, {"cause": "goodwill", "amount": 500}, key="k")

    assert (other_body.status_code, other_body.json()["code"]) == (422, "idempotency_mismatch")
    assert sue.json()["id"] != other_caller.json()["id"]


async def test_too_much_is_refused_with_what_is_left(shop: Shop) -> None:
    answer = await shop.post("sue-key-1", ASK, {"cause": "price", "amount": 2901})

    assert answer.status_code == 409
    assert "29.00 USD of SO-1 is left to refund" in answer.json()["detail"]


async def test_a_refund_that_waits_is_allowed_by_another_person(shop: Shop) -> None:
    shop.house.refunds._policy = replace(shop.house.refunds._policy, refund_approval_over=100)
    asked = await shop.post("sue-key-1", ASK, {"cause": "goodwill", "amount": 500})
    refund_id = asked.json()["id"]

    herself = await shop.post("sue-key-1", f"/v1/refunds/{refund_id}/approve")
    another = await shop.post("max-key-1", f"/v1/refunds/{refund_id}/approve")

    assert (asked.json()["state"], asked.json()["why_approval"]) == ("requested", "more than 1.00 USD")
    assert herself.status_code == 409
    assert another.json()["state"] == "approved"
    assert shop.started == [refund_id]
    assert [row["command"] for row in shop.house.rows(audit_entries)][-2:] == ["refund", "approve_refund"]


async def test_a_storefront_gives_no_money_back(shop: Shop) -> None:
    answer = await shop.post("shop-key-1", ASK, {"cause": "goodwill", "amount": 500})

    assert answer.status_code == 403
    assert (await shop.post("sue-key-1", "/v1/refunds/SO-1-F9/approve")).status_code == 404
