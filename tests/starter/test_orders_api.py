"""Orders over HTTP: read, listed, explained, changed; a refusal says what to do instead."""

from typing import Any

import pytest

from fulfillment.domain.address import Address
from fulfillment.domain.change import LineQuantity, NewLine
from fulfillment.domain.errors import UnknownOrder
from fulfillment.domain.order import OrderStatus
from starter.orders import NotRunning, TemporalAway, VerbRefused
from tests.starter import states
from tests.starter.views import a_parcel, a_shipment, a_view, an_order
from tests.starter.world import World, an_open_order
from workflows.contract import VerbAnswer

ORDER = "/v1/orders/SO-10483"


async def test_an_order_shows_its_parcels_and_what_is_in_them(storefront: Any, world: World) -> None:
    world.books.put(states.in_two_parts())

    answer = (await storefront.get(ORDER)).json()

    first, second = answer["parcels"]
    assert (first["id"], first["carrier_status"]) == ("SO-10483-P1", "delivered")
    assert first["items"] == [{"sku": "TEE-BLK-M", "name": "Organic tee, black, M", "quantity": 2}]
    assert (second["flags"], second["reason"]) == (["delayed"], "weather_delay")
    assert answer["stage"] == "in_transit"
    assert answer["units_by_stage"] == {"delivered": 2, "in_transit": 1}
    assert answer["promise"] == {"by": "2026-11-28", "changed_from": "2026-11-27", "history": []}
    assert answer["attention"] == "delayed"


async def test_an_unknown_order_is_not_found(storefront: Any) -> None:
    for path in ("/v1/orders/SO-9", "/v1/orders/SO-9/explain", "/v1/orders/SO-9/events"):
        response = await storefront.get(path)

        assert response.status_code == 404
        assert response.json()["code"] == "not_found"


async def test_explain_says_the_sentence_and_what_may_be_done(support: Any, world: World) -> None:
    world.books.put(states.held())

    answer = (await support.get(f"{ORDER}/explain")).json()

    assert answer["sentence"].startswith("SO-10483 waits for a person to check it for fraud since 12:00.")
    assert answer["who"] == "support"
    assert answer["customer_sees"] == "We're checking your order. You don't need to do anything."
    assert answer["actions"]["release"] is None
    assert answer["actions"]["retry_payment"] == "No payment of SO-10483 was declined."


async def test_orders_are_listed_page_by_page(support: Any, world: World) -> None:
    for n in (1, 2, 3):
        world.books.put(a_view(a_shipment(), order=an_order(order_id=f"SO-{n}")))

    page = (await support.get("/v1/orders", params={"limit": 2, "stage": "allocated"})).json()

    assert [row["id"] for row in page["orders"]] == ["SO-1", "SO-2"]
    assert page["next_cursor"] == "next"
    assert page["orders"][0]["promised_by"] == "2026-11-27"


@pytest.mark.parametrize(
    ("param", "value"),
    [
        ("stage", "teleported"),
        ("attention", "boredom"),
        ("placed_after", "yesterday"),
        ("placed_after", "2026-11-23T00:00:00"),
        ("limit", "0"),
        ("limit", "201"),
        ("cursor", "nonsense"),
    ],
)
async def test_a_filter_that_makes_no_sense_is_named(support: Any, param: str, value: str) -> None:
    response = await support.get("/v1/orders", params={param: value})

    assert response.status_code == 422
    assert response.json()["param"] == param


async def test_events_are_listed_and_may_be_continued(storefront: Any, world: World) -> None:
    an_open_order(world.books)

    everything = (await storefront.get(f"{ORDER}/events")).json()["events"]
    rest = (await storefront.get(f"{ORDER}/events", params={"after": 11})).json()["events"]

    assert [event["seq"] for event in everything] == [11, 12]
    assert [event["text"] for event in rest] == ["Your order is confirmed."]


# --- changes -----------------------------------------------------------------------------------------------

ELSEWHERE = {"name": "Noor Haddad", "line1": "9 Elm St", "city": "Reno", "country": "US"}
VERBS = [
    ("post", f"{ORDER}/cancel", {"reason": "changed_mind"}, "cancel", {"reason": "changed_mind"}),
    (
        "post",
        f"{ORDER}/holds",
        {"reason": "customer", "note": "on holiday"},
        "hold",
        {"reason": "customer", "note": "on holiday"},
    ),
    ("delete", f"{ORDER}/holds/fraud", None, "release", {"reason": "fraud"}),
    ("post", f"{ORDER}/payment", {"method": "pm_card_2"}, "retry_payment", {"method": "pm_card_2"}),
    (
        "post",
        f"{ORDER}/cancel",
        {"reason": "one too many", "lines": [{"line_no": 1, "quantity": 1}]},
        "cancel",
        {"lines": (LineQuantity(line_no=1, quantity=1),)},
    ),
    (
        "post",
        f"{ORDER}/items",
        {"lines": [{"line_no": 1, "quantity": 3}], "add": [{"sku": "MUG-12", "quantity": 1}]},
        "change_items",
        {
            "lines": [LineQuantity(line_no=1, quantity=3)],
            "added": [NewLine(sku="MUG-12", quantity=1, unit_price=None)],
        },
    ),
    ("post", f"{ORDER}/address", ELSEWHERE, "change_address", {"ship_to": Address(**ELSEWHERE)}),
    (
        "post",
        f"{ORDER}/service",
        {"service": "express", "fee": 900},
        "change_service",
        {"service": "express", "fee": 900},
    ),
    ("post", f"{ORDER}/shortage", {"choice": "drop"}, "answer_shortage", {"choice": "drop"}),
    (
        "post",
        f"{ORDER}/cases/answer",
        {"kind": "return_to_sender", "answer": "reship", "ship_to": ELSEWHERE},
        "answer_case",
        {"kind": "return_to_sender", "answer": "reship", "ship_to": Address(**ELSEWHERE)},
    ),
]

BAD_CHANGES = [
    (f"{ORDER}/items", {}, ""),
    (f"{ORDER}/items", {"lines": [{"line_no": 0, "quantity": 1}]}, "lines[0].line_no"),
    (f"{ORDER}/items", {"lines": [{"line_no": 1, "quantity": -1}]}, "lines[0].quantity"),
    (f"{ORDER}/items", {"add": [{"sku": "MUG-12", "quantity": 0}]}, "add[0].quantity"),
    (f"{ORDER}/cancel", {"reason": "x", "lines": [{"line_no": 1, "quantity": "1"}]}, "lines[0].quantity"),
    (f"{ORDER}/address", {"name": "Noor"}, "line1"),
    (f"{ORDER}/service", {"service": "teleport"}, "service"),
    (f"{ORDER}/service", {"service": "express", "fee": -1}, "fee"),
    (f"{ORDER}/shortage", {"choice": "hope"}, "choice"),
    (f"{ORDER}/cases/answer", {"kind": "lost", "answer": "both"}, "answer"),
    (f"{ORDER}/not_received", {"parcel": 0}, "parcel"),
]


async def test_a_storefront_answers_only_what_its_customer_was_asked(storefront: Any, world: World) -> None:
    an_open_order(world.books)

    damaged = await storefront.post(f"{ORDER}/cases/answer", json={"kind": "damaged", "answer": "refund"})
    asked = await storefront.post(
        f"{ORDER}/cases/answer", json={"kind": "return_to_sender", "answer": "refund"}
    )

    assert (damaged.status_code, asked.status_code) == (403, 200)
    assert [verb for verb, *_ in world.processes.asked] == ["answer_case"]


async def test_a_parcel_that_was_not_received_is_noted_and_answered_with_when_it_is_decided(
    storefront: Any, world: World
) -> None:
    an_open_order(world.books)

    response = await storefront.post(f"{ORDER}/not_received", json={"parcel": 1, "note": "not at the door"})

    assert response.json()["did"]["text"].startswith("We look into it; on ")
    assert world.books.recorded == [("SO-10483", "parcel 1 not received: not at the door")]


@pytest.mark.parametrize(("path", "body", "param"), BAD_CHANGES)
async def test_a_change_that_makes_no_sense_names_its_field_and_asks_nothing(
    support: Any, world: World, path: str, body: Any, param: str
) -> None:
    an_open_order(world.books)

    response = await support.post(path, json=body)

    assert response.status_code == 422
    assert param in (response.json().get("param") or "")
    assert world.processes.asked == []


@pytest.mark.parametrize(("method", "path", "body", "verb", "said"), VERBS)
async def test_a_change_is_asked_of_the_order_and_answered_with_it(
    support: Any, world: World, method: str, path: str, body: Any, verb: str, said: dict[str, str]
) -> None:
    an_open_order(world.books)
    world.processes.did = VerbAnswer(text="Done as asked.", stopped=("SO-10483-1",), left=())

    response = await support.request(method.upper(), path, json=body)

    assert response.status_code == 200
    assert response.json()["id"] == "SO-10483"
    assert response.json()["did"] == {
        "text": "Done as asked.",
        "stopped": ["SO-10483-1"],
        "left": [],
        "added": [],
        "delta": 0,
    }
    ((asked, order_id, what),) = world.processes.asked
    assert (asked, order_id) == (verb, "SO-10483")
    assert said.items() <= what.items()
    assert what["by"].startswith("key-")


async def test_who_asked_is_the_holder_of_the_key_and_nobody_else(support: Any, world: World) -> None:
    an_open_order(world.books)

    response = await support.post(f"{ORDER}/cancel", json={"reason": "changed_mind", "by": "maria"})

    assert response.status_code == 422
    assert response.json()["param"] == "by"
    assert world.processes.asked == []


async def test_a_change_with_a_key_happens_once(support: Any, world: World) -> None:
    an_open_order(world.books)
    key = {"Idempotency-Key": "press-1"}

    first = await support.post(f"{ORDER}/cancel", json={"reason": "changed_mind"}, headers=key)
    again = await support.post(f"{ORDER}/cancel", json={"reason": "changed_mind"}, headers=key)
    other = await support.post(f"{ORDER}/cancel", json={"reason": "mistake"}, headers=key)

    assert again.json() == first.json()
    assert again.headers["idempotency-replayed"] == "true"
    assert other.status_code == 422
    assert len(world.processes.asked) == 1


async def test_one_key_for_two_verbs_is_two_requests(support: Any, world: World) -> None:
    an_open_order(world.books)
    key = {"Idempotency-Key": "press-1"}

    await support.post(f"{ORDER}/holds", json={"reason": "manual"}, headers=key)
    await support.post(f"{ORDER}/cancel", json={"reason": "changed_mind"}, headers=key)

    first, second = (what["request_id"] for _, _, what in world.processes.asked)
    assert first != second


async def test_without_a_key_every_request_is_new_whatever_id_the_client_gives_it(
    support: Any, world: World
) -> None:
    an_open_order(world.books)
    trace = {"X-Request-Id": "trace-1"}

    for _ in range(2):
        await support.post(f"{ORDER}/payment", json={"method": "pm_1"}, headers=trace)

    first, second = (what["request_id"] for _, _, what in world.processes.asked)
    assert first != second


async def test_a_refusal_says_what_else_may_be_done(support: Any, world: World) -> None:
    world.books.put(states.in_transit())
    world.processes.refusal = VerbRefused("too_late", "SO-10483-P1 was handed to UPS at 16:02.")

    response = await support.post(f"{ORDER}/cancel", json={"reason": "changed_mind"})

    assert response.status_code == 409
    problem = response.json()
    assert problem["code"] == "too_late"
    assert problem["detail"] == "SO-10483-P1 was handed to UPS at 16:02."
    assert problem["order_stage"] == "in_transit"
    assert problem["allowed_actions"] == []
    assert problem["instead"] == "Do what `detail` says."
    assert problem["type"] == "https://shop.example/docs/errors#too_late"


async def test_a_refusal_points_at_what_is_allowed_where_something_is(support: Any, world: World) -> None:
    an_open_order(world.books)
    world.processes.refusal = VerbRefused("not_allowed", "Not now.")

    problem = (await support.post(f"{ORDER}/cancel", json={"reason": "changed_mind"})).json()

    assert problem["allowed_actions"]
    assert "`allowed_actions`" in problem["instead"]


async def test_an_order_that_is_about_to_go_on_is_asked_again_in_a_moment(support: Any, world: World) -> None:
    an_open_order(world.books)
    world.processes.refusal = NotRunning("not_allowed", "It has not started yet.")

    response = await support.post(f"{ORDER}/cancel", json={"reason": "changed_mind"})

    assert (response.status_code, response.json()["retryable"]) == (503, True)
    assert "about to go on" in response.json()["detail"]


async def test_a_refused_change_may_be_asked_again_with_its_key(support: Any, world: World) -> None:
    an_open_order(world.books)
    key = {"Idempotency-Key": "press-1"}
    world.processes.refusal = VerbRefused("not_allowed", "Not now.")
    await support.post(f"{ORDER}/cancel", json={"reason": "changed_mind"}, headers=key)
    world.processes.refusal = None

    response = await support.post(f"{ORDER}/cancel", json={"reason": "changed_mind"}, headers=key)

    assert response.status_code == 200


@pytest.mark.parametrize(
    ("trouble", "status", "code"),
    [
        (TemporalAway("no answer"), 503, "temporarily_unavailable"),
        (VerbRefused("invalid_request", "It cannot be read."), 422, "invalid_request"),
        (VerbRefused("nobody_knows", "No."), 409, "not_allowed"),
        (UnknownOrder("SO-10483"), 404, "not_found"),
    ],
)
async def test_what_stops_a_change_has_its_own_status(
    support: Any, world: World, trouble: Exception, status: int, code: str
) -> None:
    an_open_order(world.books)
    world.processes.refusal = trouble

    response = await support.post(f"{ORDER}/cancel", json={"reason": "changed_mind"})

    assert response.status_code == status
    assert response.json()["code"] == code


@pytest.mark.parametrize(("method", "path", "body", "verb", "said"), VERBS)
async def test_an_order_nobody_knows_is_not_asked(
    support: Any, world: World, method: str, path: str, body: Any, verb: str, said: Any
) -> None:
    response = await support.request(method.upper(), path, json=body)

    assert response.status_code == 404
    assert world.processes.asked == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("cancel", {}),
        ("cancel", {"reason": ""}),
        ("cancel", {"reason": "4242 4242 4242 4242"}),
        ("holds", {"reason": "boredom"}),
        ("holds", {"reason": "manual", "note": "card 4242424242424242"}),
        ("payment", {"method": "4242424242424242"}),
    ],
)
async def test_a_change_that_cannot_be_read_reaches_no_order(
    support: Any, world: World, path: str, body: dict[str, str]
) -> None:
    an_open_order(world.books)

    response = await support.post(f"{ORDER}/{path}", json=body)

    assert response.status_code == 422
    assert world.processes.asked == []


async def test_a_storefront_may_hold_for_its_customer_but_not_judge_fraud(
    storefront: Any, world: World
) -> None:
    an_open_order(world.books)

    allowed = await storefront.post(f"{ORDER}/holds", json={"reason": "customer"})
    placed = await storefront.post(f"{ORDER}/holds", json={"reason": "fraud"})
    released = await storefront.delete(f"{ORDER}/holds/fraud")

    assert allowed.status_code == 200
    assert placed.status_code == released.status_code == 403
    assert [verb for verb, _, _ in world.processes.asked] == ["hold"]


async def test_a_label_that_was_taken_back_still_belongs_to_no_parcel_of_the_customer(
    anybody: Any, world: World
) -> None:
    taken_back = a_parcel(label_state="voided", handed_over_at=None)
    world.books.put(a_view(a_shipment(parcel=taken_back), status=OrderStatus.IN_FULFILLMENT))

    page = await anybody.get("/t/8F3KQ2ZDmVw4hTqL0XyB1c")
    answer = await anybody.get("/v1/track/8F3KQ2ZDmVw4hTqL0XyB1c")

    assert taken_back.tracking_number not in page.text
    assert taken_back.tracking_number not in answer.text
