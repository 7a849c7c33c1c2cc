"""A count says what was there at a moment: what moved since then, and every claim, stays."""

from datetime import timedelta

import pytest

from fulfillment.domain.counts import Count, CountRefused, CountState, UnknownCount
from fulfillment.domain.inventory import Condition, Level
from fulfillment.storage.tables import stock_counts, stock_movements
from tests.storage.house import MORNING, MUG, House, only

RENO = "wh-reno"


def level(house: House) -> Level:
    return only(house.stock.levels(MUG))


def started(house: House, count_id: str = "CC-1") -> None:
    house.counts.plan(count_id, MUG, RENO, by="ann", reason="weekly")
    house.counts.start(count_id, by="bob")


def report(house: House, counted: int, by: str = "bob", count_id: str = "CC-1") -> Count:
    return house.counts.report(count_id, counted, at=house.time, by=by)[0]


def adjusted(house: House) -> list[int]:
    return [row["on_hand"] for row in house.rows(stock_movements, kind="adjusted", sku=MUG)][1:]


def test_a_count_that_equals_the_book_is_posted_and_moves_nothing(house: House) -> None:
    house.stocked(mugs=10)
    started(house)

    counted = report(house, 10)

    assert (counted.state, counted.difference, counted.closed_at) == (CountState.POSTED, 0, MORNING)
    assert adjusted(house) == []


def test_a_difference_is_counted_again_by_somebody_else_and_then_booked_once(house: House) -> None:
    house.stocked(mugs=10)
    started(house)

    first = report(house, 8)
    with pytest.raises(CountRefused, match="somebody else"):
        report(house, 7, by="bob")
    for _ in range(2):
        second = report(house, 9, by="cat")

    assert first.state == CountState.RECOUNTING
    assert (second.state, second.difference) == (CountState.POSTED, -1)
    assert (level(house).on_hand, adjusted(house)) == (9, [-1])


@pytest.mark.parametrize(("approve", "on_hand", "state"), [(True, 4, "posted"), (False, 10, "cancelled")])
def test_a_large_difference_is_somebodys_decision(
    house: House, approve: bool, on_hand: int, state: str
) -> None:
    house.stocked(mugs=10)
    started(house)
    report(house, 4)

    waits = report(house, 4, by="cat")
    for counter in ("bob", "cat"):
        with pytest.raises(CountRefused, match=f"{counter} counted it"):
            house.counts.decide("CC-1", approve=True, by=counter, reason="I counted it")
    with pytest.raises(CountRefused, match="say why"):
        house.counts.decide("CC-1", approve=approve, by="dan", reason=" ")
    for _ in range(2):
        decided, _ = house.counts.decide("CC-1", approve=approve, by="dan", reason="the rack fell over")

    assert waits.state == CountState.REVIEW
    assert (decided.state, decided.decided_by, level(house).on_hand) == (state, "dan", on_hand)


def test_a_costly_difference_is_reviewed_even_if_it_is_few_units(house: House) -> None:
    house.stocked(mugs=10)
    started(house)
    report(house, 5)

    waits = report(house, 5, by="cat")  # five mugs of 12.00

    assert waits.state == CountState.REVIEW


def test_what_moved_after_the_moment_of_counting_stays(house: House) -> None:
    house.stocked(mugs=10)
    started(house)
    report(house, 9)
    seen_at = house.time
    house.wait(timedelta(minutes=30))
    house.stock.receive(MUG, RENO, 5, key="R-1", by="dock")

    posted, _ = house.counts.report("CC-1", 9, at=seen_at, by="cat")

    assert (posted.expected, level(house).on_hand) == (10, 14)


def test_a_count_settles_what_was_held_until_it_was_counted(house: House) -> None:
    house.stocked(mugs=3)
    house.conditions.set_aside(MUG, RENO, 3, Condition.HELD, key="h-1", by="pia", reason="not found")
    started(house)
    report(house, 0)

    posted = report(house, 0, by="cat")

    assert posted.state == CountState.POSTED
    assert (level(house).on_hand, level(house).held) == (0, 0)


def test_a_count_that_finds_too_few_lets_the_youngest_wait_again(house: House) -> None:
    house.stocked(mugs=3)
    house.released("SO-1", mugs=3, teas=0)
    started(house)
    report(house, 2)

    _, receipt = house.counts.report("CC-1", 2, at=house.time, by="cat")

    assert receipt.short == ("SO-1-1",)
    assert (level(house).on_hand, level(house).allocated) == (2, 2)


def test_one_shelf_is_counted_once_at_a_time_and_a_cancelled_count_books_nothing(house: House) -> None:
    house.stocked(mugs=3)
    started(house)

    with pytest.raises(CountRefused, match="being counted already"):
        house.counts.plan("CC-2", MUG, RENO, by="ann", reason="again")
    with pytest.raises(UnknownCount):
        report(house, 2, count_id="CC-2")
    with pytest.raises(CountRefused, match="future"):
        house.counts.report("CC-1", 3, at=house.time + timedelta(hours=1), by="bob")
    cancelled = house.counts.cancel("CC-1", by="ann", reason="the shelf moves")
    with pytest.raises(CountRefused, match="cancelled"):
        report(house, 2)

    assert (cancelled.state, adjusted(house)) == (CountState.CANCELLED, [])
    assert house.row(stock_counts)["decision"] == "the shelf moves"
    assert house.counts.counts(only_open=True) == ()


def test_p15_absolute_stock_from_another_system_is_a_count_with_a_time_and_changes_no_claim(
    house: House,
) -> None:
    """Attacks `CountStore._correct`, which compares with the book AT THE MOMENT of the count.

    Against the book of now, the 29 sold since then would be put back on the shelf; and a counter set to what came
    would forget the claims.
    """
    house.stocked(mugs=100)
    counted_at = house.time
    house.wait(timedelta(hours=1))
    house.labeled("SO-1", mugs=29, teas=0)
    house.floor.hand_over("SO-1-1", by="dock")
    house.reserved("SO-2", mugs=10, teas=0)

    for _ in range(2):
        house.counts.snapshot(MUG, RENO, 80, counted_at=counted_at, key="wms-7", by="wms")

    assert (level(house).on_hand, level(house).reserved) == (80 - 29, 10)
    assert adjusted(house) == [-20]


def test_a_snapshot_of_an_earlier_moment_than_the_latest_count_is_refused(house: House) -> None:
    house.stocked(mugs=100)
    early = house.time
    house.wait(timedelta(hours=1))
    house.counts.snapshot(MUG, RENO, 80, counted_at=house.time, key="wms-2", by="wms")

    with pytest.raises(CountRefused, match="counted again"):
        house.counts.snapshot(MUG, RENO, 80, counted_at=early, key="wms-1", by="wms")

    assert level(house).on_hand == 80


def test_two_systems_that_saw_the_same_do_not_correct_it_twice(house: House) -> None:
    house.stocked(mugs=100)
    seen_at = house.time
    house.wait(timedelta(hours=1))

    for system in ("wms", "erp"):
        house.counts.snapshot(MUG, RENO, 80, counted_at=seen_at, key=f"{system}-1", by=system)

    assert level(house).on_hand == 80
