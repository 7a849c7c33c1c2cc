"""Stock that runs low is ordered once, however many look at the same time, and covers all who wait."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import Engine

from fulfillment.domain.replenishment import quantity_to_order
from fulfillment.storage.tables import backorders, replenishment_orders, skus, stock_levels, stock_movements
from tests.storage.house import DEPOT, MORNING, MUG, House


def test_what_is_above_its_reorder_point_is_left_alone(engine: Engine) -> None:
    house = House(engine).stocked(mugs=6, reorder_point=5)

    ordered = house.replenishment.order_what_is_low()

    assert ordered == ()
    assert house.rows(replenishment_orders) == []


def test_what_is_at_its_reorder_point_is_ordered_and_expected(engine: Engine) -> None:
    house = House(engine).stocked(mugs=5, reorder_point=5, vendor="Potter", lead_time_days=3)

    (ordered,) = house.replenishment.order_what_is_low()

    assert (ordered.replenishment_id, ordered.sku, ordered.vendor) == ("RO-1", MUG, "Potter")
    assert (ordered.quantity, ordered.due_at) == (5, MORNING + timedelta(days=3))
    assert house.row(stock_levels, sku=MUG)["incoming"] == 5
    assert house.row(stock_movements, kind="expected")["operation_key"] == "RO-1:expected"


def test_orders_that_wait_are_all_covered(engine: Engine) -> None:
    house = House(engine).stocked(mugs=1)
    house.reserved("SO-1", mugs=4)
    house.reserved("SO-2", mugs=3)

    (ordered,) = house.replenishment.order_what_is_low()
    house.stock.receive(
        MUG, "wh-reno", ordered.quantity, key="in-1", by="dock", replenishment_id=ordered.replenishment_id
    )

    assert ordered.quantity == 3 + 3 + 1
    assert {row["state"] for row in house.rows(backorders)} == {"filled"}
    assert house.row(stock_levels, sku=MUG)["incoming"] == 0


def test_safety_stock_does_not_starve_those_who_wait(engine: Engine) -> None:
    house = House(engine).stocked(mugs=3, safety_stock=3)
    house.reserved(mugs=2)

    (ordered,) = house.replenishment.order_what_is_low()
    house.stock.receive(MUG, "wh-reno", ordered.quantity, key="in-1", by="dock")

    assert house.row(backorders)["state"] == "filled"


def test_running_it_again_orders_nothing_more(engine: Engine) -> None:
    house = House(engine).stocked(mugs=2, reorder_point=5)
    house.replenishment.order_what_is_low()

    again = house.replenishment.order_what_is_low()

    assert again == ()
    assert len(house.rows(replenishment_orders)) == 1


def test_four_runs_at_once_order_what_one_would(engine: Engine) -> None:
    house = House(engine).stocked(mugs=2, reorder_point=5)

    with ThreadPoolExecutor(4) as runs:
        ordered = list(runs.map(lambda _: house.replenishment.order_what_is_low(), range(4)))

    assert sum(map(len, ordered)) == 1
    assert house.row(stock_levels, sku=MUG)["incoming"] == 8


def test_an_open_order_is_topped_up_by_another_when_more_orders_wait(engine: Engine) -> None:
    house = House(engine).stocked(mugs=2, reorder_point=2)
    (first,) = house.replenishment.order_what_is_low()
    house.reserved(mugs=9)

    (second,) = house.replenishment.order_what_is_low()

    assert (first.replenishment_id, first.quantity) == ("RO-1", 2)
    assert (second.replenishment_id, second.quantity) == ("RO-2", 4 - (4 - 9))


def test_a_place_without_a_stock_row_is_counted_when_somebody_waits_there(engine: Engine) -> None:
    house = House(engine).stocked(mugs=0)
    house.reserved(mugs=2)
    house.stock.add_location("wh-lehigh", name="Lehigh", address=DEPOT, priority=2)
    house.change(backorders, {"location_id": "wh-lehigh"})

    ordered = house.replenishment.order_what_is_low()

    assert {(o.location_id, o.quantity) for o in ordered} == {("wh-lehigh", 3), ("wh-reno", 1)}


@pytest.mark.parametrize("gone", [{"backorderable": False}, {"archived": True}])
def test_what_is_no_longer_sold_is_not_ordered(engine: Engine, gone: dict[str, bool]) -> None:
    house = House(engine).stocked(mugs=0)
    house.change(skus, gone, sku=MUG)

    ordered = house.replenishment.order_what_is_low()

    assert ordered == ()


def test_numbers_go_on_after_the_ninth(engine: Engine) -> None:
    house = House(engine).stocked(mugs=0)

    numbers = []
    for n in range(11):
        house.reserved(f"SO-{n}", mugs=2)
        numbers += [o.replenishment_id for o in house.replenishment.order_what_is_low()]

    assert numbers == [f"RO-{n}" for n in range(1, 12)]


def test_what_should_have_arrived_is_due_until_all_of_it_has(engine: Engine) -> None:
    house = House(engine).stocked(mugs=0, reorder_point=3, lead_time_days=2)
    house.replenishment.order_what_is_low()
    early = house.replenishment.due()
    house.wait(timedelta(days=2))

    due = house.replenishment.due()
    house.stock.receive(MUG, "wh-reno", 4, key="in-1", by="dock", replenishment_id="RO-1")
    rest = house.replenishment.due()
    house.stock.receive(MUG, "wh-reno", 2, key="in-2", by="dock", replenishment_id="RO-1")

    assert early == ()
    assert [(o.replenishment_id, o.sku, o.quantity) for o in due] == [("RO-1", MUG, 6)]
    assert [o.quantity for o in rest] == [2]
    assert house.replenishment.due() == ()


@pytest.mark.parametrize(
    ("position", "reorder_point", "quantity"),
    [(6, 5, 0), (5, 5, 5), (0, 5, 10), (-4, 5, 14), (0, 0, 1), (-3, 0, 4), (1, 0, 0), (1, 1, 1)],
)
def test_an_order_brings_the_position_to_twice_the_reorder_point(
    position: int, reorder_point: int, quantity: int
) -> None:
    wanted = quantity_to_order(position, reorder_point)

    assert wanted == quantity
