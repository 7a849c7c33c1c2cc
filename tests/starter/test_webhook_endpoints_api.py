"""The storefront's webhooks over HTTP: endpoints, and the events themselves."""

from typing import Any

import pytest

from tests.starter.world import World


async def test_an_endpoint_is_added_with_a_secret_that_is_never_shown_again(
    storefront: Any, world: World
) -> None:
    body = {"url": "https://shop.example/hooks", "kinds": ["shipped"], "after": 3}

    added = await storefront.post("/v1/webhook_endpoints", json=body)
    listed = await storefront.get("/v1/webhook_endpoints")

    assert (added.status_code, added.json()["secret"]) == (201, "whsec_c2VjcmV0")
    assert world.webhooks.asked == [("add", "https://shop.example/hooks", ("shipped",), 3)]
    assert listed.json()["webhook_endpoints"][0]["secret"] is None


@pytest.mark.parametrize(
    "url", ["ftp://shop.example", "https://user:secret@shop.example", "https://", "hooks"]
)
async def test_an_address_that_is_none_is_refused(storefront: Any, world: World, url: str) -> None:
    answer = await storefront.post("/v1/webhook_endpoints", json={"url": url})

    assert (answer.status_code, answer.json()["param"]) == (422, "url")
    assert world.webhooks.asked == []


async def test_a_kind_of_event_that_does_not_exist_is_refused(storefront: Any, world: World) -> None:
    body = {"url": "https://shop.example/hooks", "kinds": ["shiped"]}

    added = await storefront.post("/v1/webhook_endpoints", json=body)
    read = await storefront.get("/v1/events", params={"kind": "shiped"})

    assert (added.status_code, added.json()["param"]) == (422, "kinds[0]")
    assert "'shipped'" in added.json()["detail"]
    assert (read.status_code, read.json()["param"]) == (422, "kind[0]")
    assert world.webhooks.asked == []


async def test_events_are_sent_again_from_any_point(storefront: Any, world: World) -> None:
    known = await storefront.post("/v1/webhook_endpoints/we_1/resend", json={"after": 0})
    unknown = await storefront.post("/v1/webhook_endpoints/we_2/resend", json={})

    assert (known.status_code, unknown.status_code) == (200, 404)
    assert world.webhooks.asked == [("enable", "we_1", 0)]


async def test_a_secret_is_exchanged_and_an_endpoint_removed(storefront: Any, world: World) -> None:
    rotated = await storefront.post("/v1/webhook_endpoints/we_1/rotate")
    removed = await storefront.delete("/v1/webhook_endpoints/we_1")

    assert (rotated.json()["secret"], removed.status_code) == ("whsec_bmV3", 204)
    assert world.webhooks.asked == [("remove", "we_1")]


async def test_the_events_are_read_page_by_page_from_a_cursor(storefront: Any) -> None:
    first = (await storefront.get("/v1/events?limit=1")).json()
    second = (await storefront.get(f"/v1/events?after={first['next']}")).json()
    last = (await storefront.get(f"/v1/events?after={second['next']}")).json()

    assert [event["id"] for event in first["events"] + second["events"]] == ["evt_4", "evt_7"]
    assert first["events"][0]["type"] == "order.shipped.v1"
    assert last == {"events": [], "next": 7}
