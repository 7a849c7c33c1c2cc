"""Webhooks: every event, in each order's order, for days; given up only alone, and never lost."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, insert

from fulfillment.domain.cases import CaseKind
from fulfillment.domain.clock import ShopClock
from fulfillment.domain.events import EventKind
from fulfillment.domain.webhooks import GAPS, GONE, Delivery, Endpoint, EndpointState, UnknownEndpoint
from fulfillment.storage.tables import cases, order_events, webhook_deliveries
from fulfillment.storage.webhooks import WebhookStore
from tests.storage.house import House, an_order, only

URL = "https://storefront.example/hooks"


@pytest.fixture
def house(engine: Engine) -> House:
    """Two orders of which nothing happened yet but that they came."""
    house = House(engine).stocked()
    for order_id in ("SO-1", "SO-2"):
        house.orders.accept(an_order(order_id), by="test")
    return house


@pytest.fixture
def hooks(house: House) -> WebhookStore:
    return WebhookStore(house.engine, house.now, ShopClock())


@pytest.fixture
def endpoint(hooks: WebhookStore) -> Endpoint:
    return hooks.add(URL, [], by="ops")


def happens(house: House, order_id: str, *kinds: str) -> None:
    with house.engine.begin() as conn:
        for kind in kinds:
            row = {"order_id": order_id, "kind": kind, "text": f"It is {kind}.", "at": house.time}
            conn.execute(insert(order_events).values(**row, data={"kind": kind}))


def due(hooks: WebhookStore) -> list[tuple[str, str]]:
    return [(one.event.order_id, one.event.kind) for one in take(hooks)]


def take(hooks: WebhookStore) -> tuple[Delivery, ...]:
    for _ in range(2):  # what was the newest at the first look is safe at the second
        hooks.lay_out()
    return hooks.lease(10)


def deliver_all(hooks: WebhookStore) -> list[tuple[str, str]]:
    arrived = []
    while deliveries := take(hooks):
        for delivery in deliveries:
            hooks.delivered(delivery, 204)
            arrived.append((delivery.event.order_id, delivery.event.kind))
    return arrived


def test_p51_a_consumer_that_was_away_for_days_gets_every_event_in_order_and_can_read_and_repeat_them(
    house: House, hooks: WebhookStore, endpoint: Endpoint
) -> None:
    for day in range(4):
        happens(house, "SO-1", f"day{day}")
        for delivery in take(hooks):
            hooks.failed(delivery, None, "nobody answers")
        house.wait(timedelta(days=1))
    days = [("SO-1", f"day{day}") for day in range(4)]

    back = deliver_all(hooks)
    hooks.enable(endpoint.endpoint_id, by="ops", after=endpoint.cursor)
    again = deliver_all(hooks)
    read = [(event.order_id, event.kind) for event in hooks.events(endpoint.cursor, 100)]

    assert back == again == read == days


def test_an_orders_next_event_waits_for_the_one_before_and_other_orders_do_not(
    house: House, hooks: WebhookStore, endpoint: Endpoint
) -> None:
    happens(house, "SO-1", "shipped", "delivered")
    happens(house, "SO-2", "shipped")
    first, other = take(hooks)
    hooks.failed(first, 500, "it answered 500")
    hooks.delivered(other, 204)

    waiting = due(hooks)
    house.wait(GAPS[0])
    again = only(take(hooks))
    hooks.delivered(again, 204)

    assert (first.event.kind, other.event.order_id, waiting) == ("shipped", "SO-2", [])
    assert (again.event.event_id, again.tries) == (first.event.event_id, 1)
    assert due(hooks) == [("SO-1", "delivered")]


def test_what_a_dead_courier_held_is_sent_again(
    house: House, hooks: WebhookStore, endpoint: Endpoint
) -> None:
    happens(house, "SO-1", "shipped")
    take(hooks)

    early = due(hooks)
    house.wait(timedelta(seconds=90))

    assert (early, due(hooks)) == ([], [("SO-1", "shipped")])


def test_an_event_that_is_committed_late_is_not_jumped_over(
    house: House, hooks: WebhookStore, endpoint: Endpoint
) -> None:
    with house.engine.connect() as slow, slow.begin():
        row = {"order_id": "SO-1", "kind": "slow", "text": "It takes long.", "data": {}, "at": house.time}
        slow.execute(insert(order_events), row)
        happens(house, "SO-2", "quick")
        meanwhile = due(hooks)
        read = hooks.events(endpoint.cursor, 10)

    assert (meanwhile, read) == ([], ())
    assert deliver_all(hooks) == [("SO-1", "slow"), ("SO-2", "quick")]


def test_an_endpoint_gets_the_kinds_it_asked_for_and_only_what_happens_from_then_on(
    house: House, hooks: WebhookStore
) -> None:
    happens(house, "SO-1", "shipped")
    hooks.add(URL, [EventKind.DELIVERED], by="ops")
    happens(house, "SO-1", "packed", "delivered")

    assert deliver_all(hooks) == [("SO-1", "delivered")]
    assert deliver_all(hooks) == []


def test_the_tries_grow_apart_over_three_days(house: House, hooks: WebhookStore, endpoint: Endpoint) -> None:
    happens(house, "SO-1", "shipped")
    began, tried_after = house.time, []
    while deliveries := take(hooks):
        tried_after.append(house.time - began)
        hooks.failed(deliveries[0], 503, "it answered 503", wait=timedelta(minutes=1))
        house.wait(
            GAPS[min(len(tried_after), len(GAPS)) - 1] if len(tried_after) > 1 else timedelta(minutes=1)
        )

    assert len(tried_after) == 10
    assert timedelta(days=3) < tried_after[-1] < timedelta(days=3.5)


def test_an_endpoint_that_took_nothing_for_three_days_is_switched_off_and_goes_on_where_it_stopped(
    house: House, hooks: WebhookStore, endpoint: Endpoint
) -> None:
    happens(house, "SO-1", "shipped")
    for _ in range(10):
        hooks.failed(only(take(hooks)), 500, "it answered 500")
        house.wait(timedelta(days=1))
    off, case = only(hooks.endpoints()), house.row(cases)
    happens(house, "SO-1", "delivered")
    meanwhile = deliver_all(hooks)

    hooks.enable(endpoint.endpoint_id, by="ops")

    assert (off.state, off.waiting, case["kind"]) == (EndpointState.DISABLED, 1, CaseKind.WEBHOOK_FAILING)
    assert meanwhile == []
    assert deliver_all(hooks) == [("SO-1", "shipped"), ("SO-1", "delivered")]
    assert house.row(cases)["state"] == "resolved"


def test_one_event_that_is_never_taken_is_given_up_alone(
    house: House, hooks: WebhookStore, endpoint: Endpoint
) -> None:
    happens(house, "SO-1", "poison", "after")
    for n in range(10):
        happens(house, "SO-2", f"other{n}")
        for delivery in take(hooks):
            if delivery.event.kind == "poison":
                hooks.failed(delivery, 400, "it answered 400")
            else:
                hooks.delivered(delivery, 204)
        house.wait(timedelta(days=1))

    assert only(hooks.endpoints()).state is EndpointState.ENABLED
    assert house.row(webhook_deliveries, state="dead")["why"] == "it answered 400"
    assert deliver_all(hooks) == [("SO-1", "after")]


def test_an_endpoint_that_says_it_is_gone_is_switched_off_at_once(
    house: House, hooks: WebhookStore, endpoint: Endpoint
) -> None:
    happens(house, "SO-1", "shipped")
    hooks.failed(only(take(hooks)), GONE, "it answered 410")

    assert only(hooks.endpoints()).state is EndpointState.DISABLED


def test_an_hour_without_success_is_a_case_and_one_success_ends_it(
    house: House, hooks: WebhookStore, endpoint: Endpoint
) -> None:
    happens(house, "SO-1", "shipped")
    hooks.failed(only(take(hooks)), 500, "it answered 500")
    before = house.rows(cases)
    house.wait(timedelta(hours=1))
    hooks.failed(only(take(hooks)), 500, "it answered 500")
    alarmed = house.row(cases)["state"]
    house.wait(timedelta(hours=1))
    hooks.delivered(only(take(hooks)), 204)

    assert (before, alarmed) == ([], "waiting")
    assert house.row(cases)["state"] == "resolved"
    assert only(hooks.endpoints()).failing_since is None


def test_a_rotated_secret_signs_beside_the_old_one_for_a_day(
    house: House, hooks: WebhookStore, endpoint: Endpoint
) -> None:
    new = hooks.rotate(endpoint.endpoint_id, by="ops").secret
    happens(house, "SO-1", "shipped")
    delivery = only(take(hooks))
    hooks.failed(delivery, 500, "it answered 500")
    house.wait(timedelta(days=1))

    assert delivery.secrets == (new, endpoint.secret)
    assert only(take(hooks)).secrets == (new,)


@pytest.mark.parametrize("deed", ["rotate", "enable", "remove"])
def test_an_endpoint_that_was_removed_is_unknown(
    house: House, hooks: WebhookStore, endpoint: Endpoint, deed: str
) -> None:
    hooks.remove(endpoint.endpoint_id, by="ops")
    happens(house, "SO-1", "shipped")

    assert (deliver_all(hooks), hooks.endpoints()) == ([], ())
    with pytest.raises(UnknownEndpoint):
        getattr(hooks, deed)(endpoint.endpoint_id, by="ops")


def test_secrets_are_not_in_what_is_listed_or_printed(hooks: WebhookStore, endpoint: Endpoint) -> None:
    listed: Any = only(hooks.endpoints())

    assert endpoint.secret.startswith("whsec_")
    assert endpoint.secret not in f"{listed} {endpoint}"
