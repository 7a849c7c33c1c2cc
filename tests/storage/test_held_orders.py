"""Which orders are held alike, on the real books."""

from datetime import datetime, timedelta

import pytest

from fulfillment.domain.errors import UnknownOrder
from fulfillment.domain.holds import HeldAlike, HoldReason, NoSuchHold
from fulfillment.domain.record import PlaceHold, ReleaseHold
from fulfillment.storage.held_orders import HeldOrders
from tests.storage.house import House, an_order

FRAUD, MANUAL = HoldReason.FRAUD, HoldReason.MANUAL
ABROAD = "a card from US pays for goods to another country"


def hold(house: House, order_id: str, reason: HoldReason, note: str, **order: object) -> None:
    house.orders.accept(an_order(order_id, **order), by="test")  # type: ignore[arg-type]  # the test knows its order
    due_at = house.time + timedelta(hours=72)
    request = PlaceHold(
        order_id=order_id, reason=reason, by="system", request_id="r-1", due_at=due_at, note=note
    )
    house.records.place_hold(request)


def release(house: House, order_id: str) -> None:
    request = ReleaseHold(order_id=order_id, reason=FRAUD, by="sue", request_id="r-2")
    house.records.release_hold(request)


def like(house: House, order_id: str, reason: HoldReason, until: datetime | None = None) -> HeldAlike:
    return HeldOrders(house.engine).like(order_id, reason, until=until or house.time)


def names(group: HeldAlike) -> list[str]:
    return [order.order_id for order in group.orders]


@pytest.fixture
def held(house: House) -> House:
    """Three orders for the same reason, one of them in euro; one for another, and one that was released."""
    house.stocked()
    for n in (1, 2, 5):
        hold(house, f"SO-{n}", FRAUD, ABROAD)
        house.wait(timedelta(minutes=1))
    hold(house, "SO-3", FRAUD, ABROAD, currency="EUR")
    hold(house, "SO-4", MANUAL, "call them")
    release(house, "SO-5")
    return house


def test_orders_held_for_the_same_reason_are_counted_and_added_up_by_currency(held: House) -> None:
    alike, other = HeldOrders(held.engine).groups()

    assert (alike.reason, alike.note, names(alike)) == (FRAUD, ABROAD, ["SO-1", "SO-2", "SO-3"])
    assert alike.worth == {"USD": 5800, "EUR": 2900}
    assert alike.first_due_at == held.time - timedelta(minutes=3) + timedelta(hours=72)
    assert (other.reason, names(other)) == (MANUAL, ["SO-4"])


def test_only_one_reason_is_listed_when_only_one_is_asked_for(held: House) -> None:
    assert [group.reason for group in HeldOrders(held.engine).groups(MANUAL)] == [MANUAL]


def test_what_is_held_like_an_order_leaves_out_what_was_held_after_someone_looked(held: House) -> None:
    seen = held.time
    held.wait(timedelta(seconds=1))
    hold(held, "SO-9", FRAUD, ABROAD)

    assert names(like(held, "SO-1", FRAUD, until=seen)) == ["SO-1", "SO-2", "SO-3"]
    assert "SO-9" in names(like(held, "SO-1", FRAUD))


def test_what_is_held_in_other_words_is_not_alike(held: House) -> None:
    hold(held, "SO-9", FRAUD, "risk score 80")

    assert names(like(held, "SO-9", FRAUD)) == ["SO-9"]


def test_the_likes_of_an_order_that_was_released_are_still_found(held: House) -> None:
    """Whoever repeats the request after half of it was done finds the other half."""
    release(held, "SO-1")

    assert names(like(held, "SO-1", FRAUD)) == ["SO-2", "SO-3"]


def test_nothing_is_held_like_an_order_that_never_was_held_for_it(held: House) -> None:
    with pytest.raises(NoSuchHold):
        like(held, "SO-4", FRAUD)
    with pytest.raises(UnknownOrder):
        like(held, "SO-77", FRAUD)
