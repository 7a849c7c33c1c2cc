"""Cases over HTTP, many at a time: counted first, answered one by one, refused one by one."""

from typing import Any

from fulfillment.domain.cases import CaseKind
from tests.starter.views import a_case, a_shipment, a_view, an_order
from tests.starter.world import World

LIKE = {"like": "SO-1", "kind": "damaged", "answer": "refund"}


def damaged(world: World, count: int) -> None:
    for n in range(1, count + 1):
        case = a_case(CaseKind.DAMAGED, f"SO-{n}-1", note="a lorry burned")
        world.books.put(a_view(a_shipment(), order=an_order(order_id=f"SO-{n}"), cases=(case,)))


async def test_what_is_open_is_listed_by_reason(support: Any, world: World) -> None:
    damaged(world, 5)

    (group,) = (await support.get("/v1/cases")).json()["groups"]

    assert (group["kind"], group["note"], group["cases"]) == ("damaged", "a lorry burned", 5)
    assert group["examples"] == ["SO-1", "SO-2", "SO-3"]
    assert (await support.get("/v1/cases", params={"kind": "lost"})).json() == {"groups": []}


async def test_no_case_is_answered_unless_it_is_said(support: Any, world: World) -> None:
    damaged(world, 3)

    answer = (await support.post("/v1/cases/answer", json=LIKE)).json()

    assert (answer["dry_run"], answer["cases"], answer["answered"]) == (True, 3, [])
    assert world.processes.asked == []


async def test_each_case_is_answered_by_a_request_of_its_own(support: Any, world: World) -> None:
    damaged(world, 10)
    key = {"Idempotency-Key": "k-1"}

    for _ in range(2):
        answer = await support.post("/v1/cases/answer", json=LIKE | {"dry_run": False}, headers=key)

    assert sorted(answer.json()["answered"]) == sorted(f"SO-{n}-1" for n in range(1, 11))
    asked = {order_id: said for _, order_id, said in world.processes.asked}
    assert len(world.processes.asked) == 10
    assert asked["SO-3"]["request_id"].endswith(":k-1:SO-3-1")
    assert (asked["SO-3"]["subject"], asked["SO-3"]["answer"]) == ("SO-3-1", "refund")


async def test_an_answer_that_no_such_case_takes_asks_nobody(support: Any, world: World) -> None:
    damaged(world, 2)

    answer = await support.post("/v1/cases/answer", json=LIKE | {"answer": "reroute", "dry_run": False})

    assert (answer.status_code, answer.json()["code"]) == (409, "not_allowed")
    assert world.processes.asked == []


async def test_only_support_may_answer_many(storefront: Any, warehouse: Any, world: World) -> None:
    damaged(world, 1)

    for somebody in (storefront, warehouse):
        assert (await somebody.get("/v1/cases")).status_code == 403
        assert (await somebody.post("/v1/cases/answer", json=LIKE)).status_code == 403


async def test_an_order_without_such_a_case_is_not_found(support: Any, world: World) -> None:
    damaged(world, 1)

    assert (await support.post("/v1/cases/answer", json=LIKE | {"kind": "lost"})).status_code == 404
