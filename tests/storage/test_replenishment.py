"""Stock that runs low is ordered once, however many look at the same time, and covers all who wait."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import Engine

from fulfillment.domain.policy import Policy
from fulfillment.domain.replenishment import NotFromHere, StockRow, UnknownReplenishment, quantity_to_order
from fulfillment.storage.hand_over import _ship_allocations as ship
from fulfillment.storage.replenishment import ReplenishmentStore
from fulfillment.storage.tables import (
    backorders,
    replenishment_orders,
    shipments,
    skus,
    stock_levels,
    stock_movements,
)
from tests.storage.house import DEPOT, MORNING, MUG, TEA, House


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


def sold(house: House, *, days: int, mugs: int = 2) -> None:
    """Ship mugs every day, at noon."""
    for day in range(days):
        order_id = f"SO-{day}"
        parcel_id = house.packed(order_id, mugs=mugs, teas=0)
        house.label(parcel_id, number=f"1Z{day:016}")
        house.floor.hand_over(f"{order_id}-1", by="dock")
        house.wait(timedelta(days=1))


def mug(house: House) -> StockRow:
    (row,) = house.replenishment.overview(MUG)
    return row


def test_sales_set_the_reorder_point_once_there_are_two_weeks_of_them(engine: Engine) -> None:
    house = House(engine).stocked(mugs=200, reorder_point=5, lead_time_days=7)
    sold(house, days=13)
    early = mug(house)
    sold_more = house.packed("SO-13", mugs=2, teas=0)
    house.label(sold_more, number="1Z-last")
    house.floor.hand_over("SO-13-1", by="dock")
    house.wait(timedelta(days=1))

    later = mug(house)

    assert (early.reorder_point, early.from_sales) == (5, False)
    assert (later.reorder_point, later.from_sales, later.per_day) == (14, True, 2.0)  # 2 a day, 7 days
    assert (later.on_hand, later.days_of_supply) == (172, 86.0)


def test_days_without_stock_and_without_demand_are_left_out(engine: Engine) -> None:
    house = House(engine).stocked(mugs=28)
    sold(house, days=14)
    house.wait(timedelta(days=20))  # nothing is there, and nobody asks

    assert mug(house).per_day == 2.0


def test_what_waits_and_what_was_refused_is_demand_and_what_waited_counts_once(engine: Engine) -> None:
    house = House(engine).stocked(mugs=0, teas=1)
    house.reserved("SO-1", mugs=4, teas=3)  # four mugs wait, two teas are refused
    house.wait(timedelta(days=1))
    house.stock.receive(MUG, "wh-reno", 10, key="in-1", by="dock")
    pay_and_ship(house, "SO-1-2")
    house.wait(timedelta(days=1))

    (mugs, teas) = house.replenishment.overview()

    assert (mugs.sku, mugs.per_day) == (MUG, 2.0)  # four in two days
    assert (teas.sku, teas.per_day) == (
        TEA,
        1.0,
    )  # two in two days; the one that was there is not shipped yet


def pay_and_ship(house: House, shipment_id: str) -> None:
    house.change(shipments, {"value": 0, "waits_for": "nothing"}, shipment_id=shipment_id)
    house.change(shipments, {"work_status": "labeled"}, shipment_id=shipment_id)
    with house.engine.begin() as conn:
        ship(conn, shipment_id, by="dock", now=house.now())


def test_the_vendors_last_receipts_say_how_long_they_take(engine: Engine) -> None:
    house = House(engine).stocked(mugs=100, lead_time_days=2, reorder_point=95)
    for took, burnt in ((4, 60), (6, 120)):
        house.stock.adjust(MUG, "wh-reno", -burnt, key=f"lost-{took}", by="maria", reason="fire")
        (ordered,) = house.replenishment.order_what_is_low()
        house.wait(timedelta(days=took))
        house.stock.receive(
            MUG, "wh-reno", ordered.quantity, key=f"in-{took}", by="dock",
            replenishment_id=ordered.replenishment_id,
        )  # fmt: skip
    sold(house, days=14)

    assert (
        mug(house).reorder_point > 2 * 5
    )  # two a day, five days on the way, and something for the deviation


def test_what_comes_in_parts_is_partially_received_until_the_last_of_it(engine: Engine) -> None:
    house = House(engine).stocked(mugs=0, reorder_point=3)
    house.replenishment.order_what_is_low()
    states = []

    for n, quantity in enumerate((4, 2)):
        house.stock.receive(MUG, "wh-reno", quantity, key=f"in-{n}", by="dock", replenishment_id="RO-1")
        states.append(house.row(replenishment_orders)["state"])

    assert states == ["partially_received", "received"]
    assert house.row(replenishment_orders)["received_at"] == MORNING


def asked_first(engine: Engine, house: House) -> ReplenishmentStore:
    return ReplenishmentStore(engine, house.now, policy=Policy(orders_by_itself=False))


def test_where_a_person_approves_nothing_is_expected_before(engine: Engine) -> None:
    house = House(engine).stocked(mugs=0, reorder_point=3, lead_time_days=2)
    store = asked_first(engine, house)
    store.order_what_is_low()
    again = store.order_what_is_low()
    before = house.row(stock_levels, sku=MUG)["incoming"]
    house.wait(timedelta(days=1))

    approved = store.approve("RO-1", by="maria")
    store.approve("RO-1", by="maria")

    assert (again, before) == ((), 0)
    assert house.row(stock_levels, sku=MUG)["incoming"] == approved.quantity == 6
    assert approved.due_at == MORNING + timedelta(days=3)
    assert house.row(stock_movements, kind="expected")["by"] == "maria"


def test_what_is_withdrawn_is_expected_no_more_and_what_came_stays(engine: Engine) -> None:
    house = House(engine).stocked(mugs=0, reorder_point=3)
    house.replenishment.order_what_is_low()
    house.stock.receive(MUG, "wh-reno", 4, key="in-1", by="dock", replenishment_id="RO-1")

    house.replenishment.withdraw("RO-1", by="maria")
    house.replenishment.withdraw("RO-1", by="maria")

    level = house.row(stock_levels, sku=MUG)
    assert (level["on_hand"], level["incoming"]) == (4, 0)
    assert house.row(replenishment_orders)["state"] == "cancelled"
    with pytest.raises(NotFromHere, match="RO-1 is cancelled and cannot become ordered"):
        house.replenishment.approve("RO-1", by="maria")
    with pytest.raises(UnknownReplenishment):
        house.replenishment.withdraw("RO-9", by="maria")


def test_the_shelf_is_remembered(engine: Engine) -> None:
    house = House(engine).stocked(mugs=3)
    house.wait(timedelta(days=1))
    house.stock.receive(MUG, "wh-reno", 5, key="in-1", by="dock")

    points = house.replenishment.shelf(MUG)

    assert [(point.on_hand, point.received) for point in points] == [(3, 0), (8, 5)]
