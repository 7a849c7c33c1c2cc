"""Placing over HTTP: one order whatever is repeated, and a clear no for whatever is wrong."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from starter.access import Caller
from starter.api.orders import order_id_of
from starter.api.schemas import holds_card_number
from tests.starter import states
from tests.starter.world import World
from workflows.contract import PlaceAnswer, Placed

PATH = "/v1/orders"


def a_body(**changes: Any) -> dict[str, Any]:
    """The example of the reference: what a storefront sends."""
    body = {
        "order_id": "SO-10483",
        "channel": "storefront-us",
        "customer": {
            "id": "cus_4103",
            "email": "noor@example.com",
            "phone": "+12085550142",
            "locale": "en-US",
        },
        "lines": [
            {"sku": "TEE-BLK-M", "name": "Organic tee, black, M", "quantity": 2, "unit_price": 2400},
            {"sku": "MUG-12", "name": "Enamel mug 12 oz", "quantity": 1, "unit_price": 1800},
        ],
        "currency": "USD",
        "total": 6600,
        "ship_to": {
            "name": "Noor Haddad",
            "line1": "103 Main St",
            "city": "Boise",
            "region": "ID",
            "postal_code": "83702",
            "country": "US",
        },
        "service": "standard",
        "payment": {"method": "pm_card_visa"},
    }
    return body | changes


def without(body: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in body.items() if key != name}


# --- what comes of it --------------------------------------------------------------------------------------


async def test_a_placed_order_is_answered_with_all_a_storefront_needs(storefront: Any, world: World) -> None:
    response = await storefront.post(PATH, json=a_body())

    assert response.status_code == 201
    assert response.headers["location"] == "/v1/orders/SO-10483"
    answer = response.json()
    assert answer["id"] == "SO-10483"
    assert answer["placed"] == "confirmed"
    assert answer["allowed_actions"] == [
        "cancel",
        "hold",
        "change_items",
        "change_address",
        "change_service",
    ]
    assert answer["tracking_url"].startswith("https://shop.example/t/")
    assert answer["workflow_id"] == "order-SO-10483"
    assert answer["request_id"] == response.headers["x-request-id"]
    assert answer["promise"] == {"by": "2026-11-27", "changed_from": None, "history": []}
    assert world.processes.placed == ["SO-10483"]


async def test_what_is_stored_is_what_was_sent(storefront: Any, world: World) -> None:
    sent = a_body(note="ring twice\nthank you", external_ref="#1001", shipping_fee=600, total=7200)

    await storefront.post(PATH, json=sent)

    order = world.books.orders["SO-10483"].order
    assert order.external_ref == "#1001"
    assert order.note == "ring twice\nthank you"
    assert order.ship_to.city == "Boise"
    assert [(line.line_no, line.sku, line.quantity) for line in order.lines] == [
        (1, "TEE-BLK-M", 2),
        (2, "MUG-12", 1),
    ]
    assert sum(line.shipping_share for line in order.lines) == 600
    assert order.placed_at == world.now


async def test_an_order_is_stored_and_answered_as_received_while_temporal_is_away(
    storefront: Any, world: World
) -> None:
    world.processes.answer = None

    response = await storefront.post(PATH, json=a_body())

    assert response.status_code == 201
    assert response.json()["placed"] == "received"
    assert "SO-10483" in world.books.orders


async def test_a_decline_is_an_answer_that_says_how_to_go_on(storefront: Any, world: World) -> None:
    world.books.put(states.declined())

    answer = (await storefront.get(f"{PATH}/SO-10483")).json()

    assert answer["placed"] == "declined"
    assert answer["stage"] == "received"
    assert answer["attention"] == "payment_declined"
    assert answer["payment"]["decline"] == {
        "group": "other_method",
        "text": "The payment did not go through. Choose another way to pay.",
        "pay_by": "2026-11-24T12:00:00Z",
    }
    assert answer["allowed_actions"] == ["cancel", "hold", "retry_payment"]


async def test_a_short_order_says_what_comes_later(storefront: Any, world: World) -> None:
    world.books.put(states.backordered())

    answer = (await storefront.get(f"{PATH}/SO-10483")).json()

    assert answer["placed"] == "short"
    assert answer["short"] == [
        {
            "sku": "MUG-12",
            "asked": 1,
            "got": 0,
            "later": 1,
            "cancelled": 0,
            "expected_on": "2026-11-27",
        }
    ]


# --- once --------------------------------------------------------------------------------------------------


async def test_a_key_is_needed_where_no_order_id_is_given(storefront: Any, world: World) -> None:
    response = await storefront.post(PATH, json=without(a_body(), "order_id"))

    assert response.status_code == 400
    assert response.json()["code"] == "idempotency_key_missing"
    assert world.books.orders == {}


@pytest.mark.parametrize("key", ['"2f6c"', "2f6c", '"with \\"quotes\\""', "x" * 255])
async def test_a_key_may_be_quoted_or_bare(storefront: Any, world: World, key: str) -> None:
    body = without(a_body(), "order_id")

    first = await storefront.post(PATH, json=body, headers={"Idempotency-Key": key})
    again = await storefront.post(PATH, json=body, headers={"Idempotency-Key": key})

    assert first.status_code == again.status_code == 201
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json() == first.json()
    assert "idempotency-replayed" not in first.headers
    assert len(world.books.orders) == 1
    assert len(world.processes.placed) == 1


@pytest.mark.parametrize("key", ["", '""', "x" * 256, "tab\tinside"])
async def test_what_cannot_be_a_key_is_refused(storefront: Any, key: str) -> None:
    response = await storefront.post(PATH, json=a_body(), headers={"Idempotency-Key": key})

    assert response.status_code == 400
    assert response.json()["code"] == "idempotency_key_invalid"


async def test_the_same_key_with_another_body_is_refused(storefront: Any, world: World) -> None:
    key = {"Idempotency-Key": "k-1"}
    await storefront.post(PATH, json=a_body(), headers=key)

    response = await storefront.post(PATH, json=a_body(note="another"), headers=key)

    assert response.status_code == 422
    assert response.json()["code"] == "idempotency_mismatch"
    assert len(world.books.orders) == 1


async def test_the_same_body_in_another_order_of_fields_is_the_same_request(storefront: Any) -> None:
    body = a_body()
    turned = {name: body[name] for name in reversed(body)}
    key = {"Idempotency-Key": "k-1"}

    await storefront.post(PATH, json=body, headers=key)
    response = await storefront.post(PATH, json=turned, headers=key)

    assert response.status_code == 201
    assert response.headers["idempotency-replayed"] == "true"


async def test_a_key_belongs_to_its_owner(open_door: Callable[[str], Any], world: World) -> None:
    key = {"Idempotency-Key": "k-1"}
    body = without(a_body(), "order_id")

    mine = await open_door("storefront-key").post(PATH, json=body, headers=key)
    theirs = await open_door("other-shop-key").post(PATH, json=body, headers=key)

    assert theirs.status_code == 201
    assert theirs.json()["id"] != mine.json()["id"]


async def test_a_second_request_waits_while_the_first_is_running(storefront: Any, world: World) -> None:
    key = {"Idempotency-Key": "k-1"}
    answering, may_answer = asyncio.Event(), asyncio.Event()
    place = world.processes.place

    async def slow(order_id: str) -> PlaceAnswer | None:
        answering.set()
        await may_answer.wait()
        return await place(order_id)

    world.processes.place = slow  # type: ignore[method-assign]
    first = asyncio.create_task(storefront.post(PATH, json=a_body(), headers=key))
    await answering.wait()

    response = await storefront.post(PATH, json=a_body(), headers=key)
    may_answer.set()

    assert response.status_code == 409
    assert response.json()["code"] == "idempotency_in_progress"
    assert response.headers["retry-after"] == "1"
    assert response.json()["retryable"] is True
    assert (await first).status_code == 201


async def test_a_refused_request_leaves_its_key_free(storefront: Any, world: World) -> None:
    key = {"Idempotency-Key": "k-1"}
    world.books.catalogue.discard("MUG-12")
    refused = await storefront.post(PATH, json=a_body(), headers=key)

    world.books.catalogue.add("MUG-12")
    response = await storefront.post(PATH, json=a_body(note="other words"), headers=key)

    assert refused.status_code == 422
    assert refused.json()["code"] == "unknown_sku"
    assert "MUG-12" in refused.json()["detail"]
    assert response.status_code == 201


async def test_a_request_that_died_after_storing_makes_no_second_order(storefront: Any, world: World) -> None:
    key = {"Idempotency-Key": "k-1"}
    body = without(a_body(), "order_id")
    first = await storefront.post(PATH, json=body, headers=key)
    world.keys.kept.clear()  # the process died before it could keep the answer, and the claim ran out

    response = await storefront.post(PATH, json=body, headers=key)

    assert response.json()["id"] == first.json()["id"]
    assert len(world.books.orders) == 1


async def test_the_same_order_id_with_the_same_content_is_a_repeat(storefront: Any, world: World) -> None:
    await storefront.post(PATH, json=a_body())

    response = await storefront.post(PATH, json=a_body())

    assert response.status_code == 201
    assert response.headers["idempotency-replayed"] == "true"
    assert response.json()["id"] == "SO-10483"
    assert world.processes.placed == ["SO-10483"]


async def test_a_repeat_of_an_order_still_unanswered_asks_again(storefront: Any, world: World) -> None:
    world.processes.answer = None
    await storefront.post(PATH, json=a_body())
    world.processes.answer = PlaceAnswer(placed=Placed.CONFIRMED)

    response = await storefront.post(PATH, json=a_body())

    assert response.json()["placed"] == "confirmed"


async def test_the_same_order_id_with_other_content_is_a_conflict(storefront: Any, world: World) -> None:
    await storefront.post(PATH, json=a_body())

    response = await storefront.post(PATH, json=a_body(note="another"))

    assert response.status_code == 409
    assert response.json()["code"] == "order_exists"
    assert world.books.orders["SO-10483"].order.note == ""


def test_an_order_id_made_from_a_key_is_readable_and_always_the_same() -> None:
    caller = Caller(name="key-1a2b3c4d", scopes=frozenset())

    made = {order_id_of(caller, f"k-{n}") for n in range(500)}

    assert len(made) == 500
    assert order_id_of(caller, "k-1") == order_id_of(caller, "k-1")
    assert all(len(one) == 17 and not set(one) & set("ILU") for one in made)


async def test_nothing_is_kept_when_the_database_goes_away_meanwhile(storefront: Any, world: World) -> None:
    key = {"Idempotency-Key": "k-1"}
    world.books.away = OperationalError("SELECT", {}, Exception("gone"))
    away = await storefront.post(PATH, json=a_body(), headers=key)

    world.books.away = None
    response = await storefront.post(PATH, json=a_body(), headers=key)

    assert away.status_code == 503
    assert away.json()["code"] == "temporarily_unavailable"
    assert away.headers["retry-after"] == "2"
    assert response.status_code == 201


# --- wrong input -------------------------------------------------------------------------------------------

VISA = "4242 4242 4242 4242"


def _broken() -> list[tuple[str, str, dict[str, Any]]]:
    """Each field broken: which, and the pointer the answer must give."""
    line, to, who = a_body()["lines"][0], a_body()["ship_to"], a_body()["customer"]
    lines = lambda **changes: {"lines": [line | changes]}
    ship_to = lambda **changes: {"ship_to": to | changes}
    customer = lambda **changes: {"customer": who | changes}
    return [
        ("order_id", "#/order_id", {"order_id": "SO 1/../2"}),
        ("order_id", "#/order_id", {"order_id": "x" * 65}),
        ("channel", "#/channel", {"channel": ""}),
        ("channel", "#/channel", {"channel": "x" * 65}),
        ("external_ref", "#/external_ref", {"external_ref": "x" * 65}),
        ("customer.id", "#/customer/id", customer(id="")),
        ("customer.email", "#/customer/email", customer(email="noor")),
        ("customer.email", "#/customer/email", customer(email="a@b.co" + "m" * 250)),
        ("customer.phone", "#/customer/phone", customer(phone="call me")),
        ("customer.locale", "#/customer/locale", customer(locale="en_US!")),
        ("lines", "#/lines", {"lines": []}),
        ("lines", "#/lines", {"lines": [line] * 51}),
        ("lines[0].sku", "#/lines/0/sku", lines(sku="")),
        ("lines[0].sku", "#/lines/0/sku", lines(sku="A\u0000B")),
        ("lines[0].name", "#/lines/0/name", lines(name="x" * 201)),
        ("lines[0].quantity", "#/lines/0/quantity", lines(quantity=0)),
        ("lines[0].quantity", "#/lines/0/quantity", lines(quantity=2.0)),
        ("lines[0].quantity", "#/lines/0/quantity", lines(quantity="2")),
        ("lines[0].quantity", "#/lines/0/quantity", lines(quantity=True)),
        ("lines[0].unit_price", "#/lines/0/unit_price", lines(unit_price=-1)),
        ("lines[0].unit_price", "#/lines/0/unit_price", lines(unit_price=24.0)),
        ("lines[0].discount", "#/lines/0/discount", lines(discount=-1)),
        ("lines[0].tax", "#/lines/0/tax", lines(tax="1")),
        ("lines[0].colour", "#/lines/0/colour", lines(colour="red")),
        ("currency", "#/currency", {"currency": "usd"}),
        ("total", "#/total", {"total": -1}),
        ("total", "#/total", {"total": 2**31}),
        ("total", "#/total", {"total": 6599}),
        ("shipping_fee", "#/shipping_fee", {"shipping_fee": -1}),
        ("ship_to.name", "#/ship_to/name", ship_to(name=" ")),
        ("ship_to.line1", "#/ship_to/line1", ship_to(line1="x" * 201)),
        ("ship_to.city", "#/ship_to/city", ship_to(city=7)),
        ("ship_to.country", "#/ship_to/country", ship_to(country="USA")),
        ("ship_to.country", "#/ship_to/country", ship_to(country="XX")),
        ("ship_to.postal_code", "#/ship_to/postal_code", ship_to(postal_code="9" * 17)),
        ("service", "#/service", {"service": "teleport"}),
        ("payment.method", "#/payment/method", {"payment": {"method": ""}}),
        ("payment.cvc", "#/payment/cvc", {"payment": {"method": "pm_1", "cvc": "123"}}),
        ("note", "#/note", {"note": "x" * 501}),
        ("coupon", "#/coupon", {"coupon": "SPRING"}),
    ]


@pytest.mark.parametrize(("param", "pointer", "changes"), _broken())
async def test_a_broken_field_is_named_and_nothing_is_stored(
    storefront: Any, world: World, param: str, pointer: str, changes: dict[str, Any]
) -> None:
    response = await storefront.post(PATH, json=a_body(**changes))

    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["code"] == "invalid_request"
    assert problem["param"] == param
    assert problem["errors"][0]["pointer"] == pointer
    assert problem["errors"][0]["detail"]
    assert world.books.orders == {}


async def test_what_a_text_must_look_like_is_said_in_words(storefront: Any) -> None:
    response = await storefront.post(PATH, json=a_body(currency="usd"))

    assert response.json()["detail"] == (
        "currency: must be a currency of three capital letters (ISO 4217), such as USD"
    )


@pytest.mark.parametrize("missing", ["customer", "lines", "currency", "total", "ship_to", "payment"])
async def test_a_missing_field_is_named(storefront: Any, missing: str) -> None:
    response = await storefront.post(PATH, json=without(a_body(), missing))

    assert response.status_code == 422
    assert response.json()["errors"][0]["param"] == missing


async def test_all_that_is_wrong_is_said_at_once(storefront: Any) -> None:
    response = await storefront.post(PATH, json=a_body(currency="usd", coupon="SPRING", total="6600"))

    assert {error["param"] for error in response.json()["errors"]} == {"currency", "coupon", "total"}


@pytest.mark.parametrize("body", ["{", "", "[1, 2", "\ud800"])
async def test_what_is_no_json_is_refused(storefront: Any, body: str) -> None:
    content = body.encode("utf-8", "surrogatepass")

    response = await storefront.post(PATH, content=content, headers={"content-type": "application/json"})

    assert response.status_code in (400, 422)
    assert response.json()["code"] in ("malformed_body", "invalid_request")


async def test_a_lone_surrogate_in_a_text_is_refused(storefront: Any) -> None:
    content = json.dumps(a_body(note="?")).replace("?", "\\ud800")

    response = await storefront.post(PATH, content=content, headers={"content-type": "application/json"})

    assert response.status_code == 422


@pytest.mark.parametrize(
    "changes",
    [
        {"payment": {"method": "4242424242424242"}},
        {"payment": {"method": VISA}},
        {"note": f"my card is {VISA}, thanks"},
        {"note": "4242-4242-4242-4242 12/27"},
        {"note": "amex 378282246310005"},
        {"note": f"order 12 {VISA} 34"},
    ],
)
async def test_a_card_number_is_refused_and_not_repeated(
    storefront: Any, world: World, changes: dict[str, Any]
) -> None:
    response = await storefront.post(PATH, json=a_body(**changes))

    assert response.status_code == 422
    assert response.json()["code"] == "card_number"
    assert "4242" not in response.text
    assert "3782" not in response.text
    assert world.books.orders == {}


@pytest.mark.parametrize(
    "text", ["1Z999AA10123456784", "4242424242424243", "call 208 555 0142", "123456789012", "4" * 40]
)
def test_a_number_that_is_no_card_passes(text: str) -> None:
    assert not holds_card_number(text)


@pytest.mark.parametrize("announced", [True, False])
async def test_a_body_beyond_64_kb_is_refused(storefront: Any, world: World, announced: bool) -> None:
    async def in_pieces() -> Any:
        for _ in range(70):
            yield b" " * 1024

    content = b" " * 70 * 1024 if announced else in_pieces()

    response = await storefront.post(PATH, content=content, headers={"content-type": "application/json"})

    assert response.status_code == 413
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["code"] == "body_too_large"


async def test_a_refusal_never_repeats_what_was_sent(storefront: Any) -> None:
    response = await storefront.post(PATH, json=a_body(customer={"id": "c", "email": "secret-marker"}))

    assert "secret-marker" not in response.text
