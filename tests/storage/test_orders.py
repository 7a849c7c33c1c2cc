"""An order is accepted once."""

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from fulfillment.domain.errors import UnknownOrder
from fulfillment.domain.inventory import UnknownSku
from fulfillment.domain.order import Order, OrderLine
from fulfillment.storage.orders import OrderExists
from fulfillment.storage.tables import audit_entries, order_events, orders
from tests.storage.house import MORNING, House, an_order
from tests.storage.paying import pay


def test_an_accepted_order_is_read_back_as_it_was(house: House) -> None:
    house.stocked()
    order = an_order(external_ref="#1001", note="please ring", shipping_fee=500, total=3400)

    house.orders.accept(order, by="web")

    assert house.orders.get("SO-1") == order
    assert re.fullmatch(r"[\w-]{22}", house.row(orders)["tracking_token"])


def test_the_same_order_again_is_a_repeat_that_changes_nothing(house: House) -> None:
    house.stocked().orders.accept(an_order(external_ref="#1001"), by="web")
    later = an_order(external_ref="#1001", placed_at=MORNING + timedelta(minutes=3))

    again = house.orders.accept(later, by="web")

    assert (again.order_id, again.created) == ("SO-1", False)
    assert len(house.rows(order_events)) == len(house.rows(audit_entries)) == 1


def test_the_same_reference_under_a_new_id_is_a_repeat_of_the_first(house: House) -> None:
    house.stocked().orders.accept(an_order("SO-1", external_ref="#1001"), by="web")

    again = house.orders.accept(an_order("SO-2", external_ref="#1001"), by="web")

    assert (again.order_id, again.created) == ("SO-1", False)


@pytest.mark.parametrize(
    "other", [an_order(mugs=3), an_order(note="gift"), an_order("SO-2", mugs=3, external_ref="#1001")]
)
def test_another_order_under_the_same_name_is_refused(house: House, other: Order) -> None:
    house.stocked().orders.accept(an_order(external_ref="#1001"), by="web")

    with pytest.raises(OrderExists):
        house.orders.accept(other, by="web")

    assert len(house.rows(orders)) == 1


def test_doors_that_accept_the_same_order_at_once_store_one(house: House) -> None:
    house.stocked()

    with ThreadPoolExecutor(8) as doors:
        answers = list(doors.map(lambda _: house.orders.accept(an_order(), by="web"), range(8)))

    assert sorted(answer.created for answer in answers) == [False] * 7 + [True]


def test_an_order_for_an_unknown_sku_is_refused_before_anything_is_stored(house: House) -> None:
    house.stocked()
    order = an_order(teas=0)
    extra = OrderLine(line_no=2, sku="NOPE", name="?", quantity=1, unit_price=100)

    with pytest.raises(UnknownSku, match="NOPE"):
        house.orders.accept(replace(order, lines=(*order.lines, extra), total=order.total + 100), by="web")

    assert house.rows(orders) == []


def test_an_order_nobody_placed_is_unknown(house: House) -> None:
    with pytest.raises(UnknownOrder):
        house.orders.get("SO-404")


def test_orders_wait_for_their_start_in_the_order_they_came(house: House) -> None:
    house.stocked()
    for n in (1, 2, 3):
        house.orders.accept(an_order(f"SO-{n}"), by="web")
        house.wait(timedelta(seconds=1))

    house.orders.started("SO-2")

    assert house.orders.unstarted(10) == ("SO-1", "SO-3")
    assert house.orders.unstarted(1) == ("SO-1",)


def test_what_placing_came_to_is_known_once_it_is(house: House) -> None:
    house.stocked().orders.accept(an_order(mugs=12), by="web")
    before = house.orders.placed("SO-1")
    house.stock.reserve("SO-1")
    pay(house, "SO-1-1")

    after = house.orders.placed("SO-1")

    assert (before.placed, before.short) == (None, ())
    assert after.placed == "short"
    assert [(line.sku, line.got, line.backordered) for line in after.short] == [("MUG", 10, 2)]
