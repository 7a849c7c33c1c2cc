"""When to order and how much: the textbook's example, and what counts before there is any experience."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fulfillment.domain.policy import Policy
from fulfillment.domain.replenishment import ByHand, Demand, LeadTime, days_of_supply, reckon, safety_stock

POLICY = Policy(service_level_z=1.65, review_days=0)
TEN_A_DAY = Demand(per_day=10, deviation=4, days=56, sales=300)
A_WEEK = LeadTime(days=7, deviation=2)


def test_the_worked_example() -> None:
    reckoned = reckon(108, demand=TEN_A_DAY, lead=A_WEEK, by_hand=ByHand(reorder_point=5), policy=POLICY)

    assert safety_stock(TEN_A_DAY, A_WEEK, z=1.65) == reckoned.safety_stock == 38
    assert (reckoned.reorder_point, reckoned.from_sales) == (108, True)


def test_what_is_above_its_reorder_point_is_left_alone() -> None:
    reckoned = reckon(109, demand=TEN_A_DAY, lead=A_WEEK, by_hand=ByHand(), policy=POLICY)

    assert reckoned.quantity == 0


def test_who_looks_once_a_week_needs_more_and_orders_for_a_week_more() -> None:
    weekly = replace(POLICY, review_days=7)

    reckoned = reckon(100, demand=TEN_A_DAY, lead=A_WEEK, by_hand=ByHand(), policy=weekly)

    assert (reckoned.safety_stock, reckoned.reorder_point) == (42, 112)
    assert reckoned.quantity == 112 + 70 - 100


@pytest.mark.parametrize(
    ("by_hand", "quantity"),
    [
        (ByHand(), 18),
        (ByHand(pack_size=12), 24),
        (ByHand(minimum_order=50), 50),
        (ByHand(pack_size=12, minimum_order=50), 60),
    ],
)
def test_vendors_sell_in_packs_and_not_below_their_minimum(by_hand: ByHand, quantity: int) -> None:
    assert reckon(90, demand=TEN_A_DAY, lead=A_WEEK, by_hand=by_hand, policy=POLICY).quantity == quantity


@pytest.mark.parametrize("demand", [replace(TEN_A_DAY, days=13), replace(TEN_A_DAY, sales=4)])
def test_too_little_experience_leaves_it_to_what_was_set_by_hand(demand: Demand) -> None:
    by_hand = ByHand(reorder_point=20, maximum=50)

    low = reckon(20, demand=demand, lead=A_WEEK, by_hand=by_hand, policy=POLICY)
    enough = reckon(21, demand=demand, lead=A_WEEK, by_hand=by_hand, policy=POLICY)

    assert (low.reorder_point, low.quantity, low.from_sales) == (20, 30, False)
    assert enough.quantity == 0


@given(st.integers(-200, 200), st.floats(0.1, 20), st.floats(0, 10), st.integers(1, 24))
def test_what_is_low_is_above_its_reorder_point_once_it_has_come(
    position: int, per_day: float, deviation: float, pack: int
) -> None:
    demand = Demand(per_day=per_day, deviation=deviation, days=30, sales=30)

    reckoned = reckon(
        position,
        demand=demand,
        lead=A_WEEK,
        by_hand=ByHand(pack_size=pack),
        policy=replace(POLICY, review_days=1),
    )

    assert reckoned.quantity % pack == 0
    assert (reckoned.quantity > 0) is (position <= reckoned.reorder_point)
    assert position + reckoned.quantity > reckoned.reorder_point


def test_days_of_supply_are_known_while_something_is_sold() -> None:
    assert days_of_supply(25, TEN_A_DAY) == 2.5
    assert days_of_supply(25, Demand(per_day=0)) is None
