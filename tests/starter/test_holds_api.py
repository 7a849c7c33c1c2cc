"""Holds over HTTP, many at a time: counted first, released one by one, refused one by one."""

from typing import Any

from fulfillment.domain.holds import HoldReason
from starter.orders import TemporalAway, VerbRefused
from tests.starter.views import NOON, a_hold, a_shipment, a_view, an_order
from tests.starter.world import World
from workflows.contract import VerbAnswer

LIKE = {"like": "SO-1", "reason": "fraud"}


def held(world: World, count: int) -> None:
    for n in range(1, count + 1):
        order = an_order(order_id=f"SO-{n}")
        world.books.put(a_view(a_shipment(), order=order, holds=(a_hold(HoldReason.FRAUD),)))


async def test_what_is_held_is_listed_by_reason(support: Any, world: World) -> None:
    held(world, 5)

    (group,) = (await support.get("/v1/holds")).json()["groups"]

    assert (group["reason"], group["orders"], group["examples"]) == ("fraud", 5, ["SO-1", "SO-2", "SO-3"])
    assert group["worth"] == [{"amount": 5 * 6600, "currency": "USD"}]
    assert (await support.get("/v1/holds", params={"reason": "manual"})).json() == {"groups": []}


async def test_nothing_is_released_unless_it_is_said(support: Any, world: World) -> None:
    held(world, 3)

    answer = (await support.post("/v1/holds/release", json=LIKE)).json()

    assert (answer["dry_run"], answer["orders"], answer["released"]) == (True, 3, [])
    assert answer["until"] == NOON.isoformat().replace("+00:00", "Z")
    assert world.processes.asked == []


async def test_each_order_is_released_by_a_request_of_its_own(support: Any, world: World) -> None:
    held(world, 20)
    key = {"Idempotency-Key": "k-1"}

    first = await support.post("/v1/holds/release", json=LIKE | {"dry_run": False}, headers=key)
    again = await support.post("/v1/holds/release", json=LIKE | {"dry_run": False}, headers=key)

    assert first.json() == again.json()
    assert (
        first.json()["released"] == [f"SO-{n}" for n in range(1, 21)] or len(first.json()["released"]) == 20
    )
    requests = {order_id: said["request_id"] for _, order_id, said in world.processes.asked}
    by = world.processes.asked[0][2]["by"]
    assert requests == {f"SO-{n}": f"release:{by}:k-1:SO-{n}" for n in range(1, 21)}
    assert len(world.processes.asked) == 20


async def test_an_order_that_refuses_is_named_and_the_others_go_on(support: Any, world: World) -> None:
    held(world, 3)
    said = VerbRefused("not_allowed", "SO-2 has no fraud hold, only stock.")
    refuse(world, "SO-2", said)

    answer = (await support.post("/v1/holds/release", json=LIKE | {"dry_run": False})).json()

    assert answer["released"] == ["SO-1", "SO-3"]
    assert answer["refused"] == [{"order_id": "SO-2", "detail": "SO-2 has no fraud hold, only stock."}]


async def test_with_temporal_away_it_is_said_how_far_it_came_and_the_key_may_be_used_again(
    support: Any, world: World
) -> None:
    held(world, 20)
    refuse(world, "SO-1", TemporalAway("no"))
    wanted, key = LIKE | {"dry_run": False}, {"Idempotency-Key": "k-1"}

    away = await support.post("/v1/holds/release", json=wanted, headers=key)
    refuse(world, "nobody", TemporalAway("no"))
    again = await support.post("/v1/holds/release", json=wanted, headers=key)

    assert (away.status_code, away.json()["code"]) == (503, "temporarily_unavailable")
    assert len(away.json()["released"]) == 7
    assert "7 of 20 orders answered" in away.json()["detail"]
    assert again.status_code == 200
    assert len(again.json()["released"]) == 20


async def test_only_support_may_release_many(storefront: Any, warehouse: Any, world: World) -> None:
    held(world, 1)

    for somebody in (storefront, warehouse):
        assert (await somebody.get("/v1/holds")).status_code == 403
        assert (await somebody.post("/v1/holds/release", json=LIKE)).status_code == 403


async def test_an_order_without_such_a_hold_is_not_found(support: Any, world: World) -> None:
    held(world, 1)

    response = await support.post("/v1/holds/release", json=LIKE | {"reason": "dispute"})

    assert response.status_code == 404


def refuse(world: World, order_id: str, no: Exception) -> None:
    """Let one order answer otherwise than the rest."""

    async def release(asked: str, **what: Any) -> VerbAnswer:
        world.processes.asked.append(("release", asked, what))
        if asked == order_id:
            raise no
        return VerbAnswer(text="Released.")

    world.processes.release = release  # type: ignore[method-assign]  # one answer for one order
