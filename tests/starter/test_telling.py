"""What is told to an order by one signal."""

from fulfillment.domain.findings import Unheard
from starter.orders import told_together
from workflows.contract import HANDED_OVER, MILESTONE, PACKED, REPLANNED


def a_fact(signal_id: int, name: str, order_id: str = "SO-1") -> Unheard:
    return Unheard(signal_id=signal_id, order_id=order_id, name=name, body={})


def told(*facts: Unheard) -> list[list[int]]:
    return [[fact.signal_id for fact in together] for together in told_together(facts)]


def test_parcels_that_leave_together_are_told_by_one_signal() -> None:
    assert told(a_fact(1, HANDED_OVER), a_fact(2, HANDED_OVER)) == [[1, 2]]


def test_an_order_hears_its_facts_in_their_order() -> None:
    facts = [a_fact(n, name) for n, name in enumerate((PACKED, MILESTONE, PACKED, PACKED, MILESTONE))]

    assert told(*facts) == [[0], [1], [2, 3], [4]]


def test_facts_of_two_orders_are_told_to_each() -> None:
    mixed = (a_fact(1, MILESTONE), a_fact(2, MILESTONE, "SO-2"), a_fact(3, MILESTONE))

    assert told(*mixed) == [[1, 3], [2]]


def test_what_is_not_about_parcels_is_told_one_by_one() -> None:
    assert told(a_fact(1, REPLANNED), a_fact(2, REPLANNED)) == [[1], [2]]
