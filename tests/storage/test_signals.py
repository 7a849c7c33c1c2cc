"""Facts on their way to the workflows: queued once, handed on once."""

from datetime import timedelta

from sqlalchemy import Engine

from fulfillment.storage import signals as names
from fulfillment.storage.tables import signals
from tests.storage.house import MORNING, House
from workflows import contract


def test_facts_carry_the_names_the_workflows_listen_to() -> None:
    ours = [names.PACKED, names.HANDED_OVER, names.MILESTONE, names.STOCK_FILLED, names.OVERDUE]

    theirs = [
        contract.PACKED,
        contract.HANDED_OVER,
        contract.MILESTONE,
        contract.STOCK_FILLED,
        contract.OVERDUE,
    ]

    assert ours == theirs


def test_an_order_hears_its_own_facts_in_the_order_they_happened(engine: Engine) -> None:
    house = House(engine).stocked()
    house.shipped("SO-1", number="1Z1")
    house.packed("SO-2")

    facts = house.signals.for_order("SO-1")

    assert [(fact.order_id, fact.name) for fact in facts] == [("SO-1", "packed"), ("SO-1", "handed_over")]


def test_a_fact_handed_on_is_not_handed_on_again(engine: Engine) -> None:
    house = House(engine).stocked()
    house.shipped()
    packed, left = house.signals.for_order("SO-1")

    house.signals.delivered([packed.signal_id])
    house.wait(timedelta(hours=1))
    house.signals.delivered([packed.signal_id])

    assert house.signals.for_order("SO-1") == (left,)
    assert house.row(signals, name="packed")["delivered_at"] == MORNING


def test_facts_left_over_are_found_oldest_first_after_their_time(engine: Engine) -> None:
    house = House(engine).stocked()
    house.packed("SO-1")
    house.wait(timedelta(seconds=30))
    house.packed("SO-2")

    left = house.signals.undelivered(10, timedelta(seconds=30))
    every = house.signals.undelivered(10)

    assert [fact.order_id for fact in left] == ["SO-1"]
    assert [fact.order_id for fact in every] == ["SO-1", "SO-2"]
    assert house.signals.undelivered(1) == every[:1]


def test_noting_no_fact_at_all_is_harmless(engine: Engine) -> None:
    house = House(engine).stocked()
    house.packed()

    house.signals.delivered([])

    assert len(house.signals.for_order("SO-1")) == 1
