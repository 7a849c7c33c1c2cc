"""A vendor does not deliver in time: who waits is told another day once, and people see it until it is over."""

from datetime import date, timedelta

import pytest

from fulfillment.domain.clock import ShopClock
from fulfillment.domain.policy import Policy, Shortage
from fulfillment.storage.reconciliation import ReconciliationStore
from fulfillment.storage.stock import StockStore
from fulfillment.storage.tables import (
    backorders,
    cases,
    holds,
    order_events,
    orders,
    outbox,
    promises,
    replenishment_orders,
    signals,
)
from tests.storage.house import MUG, House, an_order
from tests.storage.paying import pay

DUE_IN = 5


@pytest.fixture
def waiting(house: House) -> House:
    """Two orders wait for mugs that a vendor should bring in five days; one of them is confirmed and has its tea."""
    house.stocked(mugs=0, vendor="Potter", lead_time_days=DUE_IN)
    house.reserved("SO-1", mugs=2, teas=1)
    pay(house, "SO-1-1")
    house.reserved("SO-2", mugs=1, teas=1)
    house.replenishment.order_what_is_low()
    return house


def days(house: House, order_id: str) -> tuple[date, date]:
    """The day a mug is promised for in the queue, and the one the customer knows."""
    queue = house.row(backorders, order_id=order_id)["promise_date"]
    return queue, house.row(orders, order_id=order_id)["promise_date"]


def arrive(house: House, quantity: int, key: str = "R-1") -> None:
    house.stock.receive(MUG, "wh-reno", quantity, key=key, by="dock", replenishment_id="RO-1")


def test_a_receipt_has_all_of_its_day_to_come(waiting: House) -> None:
    waiting.wait(timedelta(days=DUE_IN, hours=12))
    before = days(waiting, "SO-1")

    waiting.reconciliation.sweep()

    assert days(waiting, "SO-1") == before
    assert waiting.rows(cases, kind="receipt_late") == []


def test_who_waits_for_a_late_receipt_is_promised_another_day_and_told_once(waiting: House) -> None:
    before, promised = days(waiting, "SO-1")
    waiting.wait(timedelta(days=DUE_IN + 1))

    for _ in range(3):
        waiting.reconciliation.sweep()

    after, told = days(waiting, "SO-1")
    assert promised == before < after == told
    revised = waiting.row(promises, order_id="SO-1", n=2)
    assert (revised["promised_date"], revised["source"], revised["told_at"]) == (after, "stock", waiting.time)
    message = waiting.row(outbox, fact="delayed")
    assert (message["order_id"], message["data"]["promise_date"]) == ("SO-1", after.isoformat())
    assert len(waiting.rows(order_events, kind="delayed")) == 1
    assert waiting.row(signals, order_id="SO-1", name="replanned")["body"]["why"] == "receipt_late"
    assert waiting.records.read_state("SO-1").promise_date == after


def test_a_receipt_that_stays_away_moves_the_promise_again_when_it_cannot_be_kept(waiting: House) -> None:
    """Seen to fail when a late receipt was looked at only once: the second promise passed in silence."""
    waiting.wait(timedelta(days=DUE_IN + 1))
    told = dict[date, date]()  # on which day, by the day promised
    for _ in range(30):
        waiting.reconciliation.sweep()
        told.setdefault(days(waiting, "SO-1")[1], waiting.time.date())
        waiting.wait(timedelta(days=1))

    first, second, third = told
    assert told[second] < first < second
    assert told[third] < second < third
    assert [row["promised_date"] for row in waiting.rows(promises, order_id="SO-1")][1:] == list(told)
    heard = waiting.rows(signals, order_id="SO-1", name="replanned")
    assert len(heard) == len(waiting.rows(outbox, fact="delayed")) == 3
    assert len(waiting.rows(cases, kind="receipt_late")) == 1


def test_who_can_still_be_served_in_time_keeps_the_promise_that_was_moved(waiting: House) -> None:
    waiting.wait(timedelta(days=DUE_IN + 1))
    waiting.reconciliation.sweep()
    moved = days(waiting, "SO-1")
    waiting.wait(timedelta(days=1))

    waiting.reconciliation.sweep()

    assert days(waiting, "SO-1") == moved


def test_an_order_that_is_not_confirmed_only_waits_longer(waiting: House) -> None:
    before = waiting.row(backorders, order_id="SO-2")["promise_date"]
    waiting.wait(timedelta(days=DUE_IN + 1))

    waiting.reconciliation.sweep()

    assert waiting.row(backorders, order_id="SO-2")["promise_date"] > before
    assert waiting.rows(promises, order_id="SO-2") == waiting.rows(outbox, order_id="SO-2") == []


@pytest.mark.parametrize("end", ["received", "cancelled"])
def test_the_case_stands_until_the_receipt_came_or_will_not_come(waiting: House, end: str) -> None:
    waiting.wait(timedelta(days=DUE_IN + 1))
    waiting.reconciliation.sweep()
    case = waiting.row(cases, kind="receipt_late")
    quantity = waiting.row(replenishment_orders)["quantity"]

    arrive(waiting, quantity - 1)
    in_part = waiting.row(cases, kind="receipt_late")["state"]
    if end == "received":
        arrive(waiting, 1, "R-2")
    else:
        waiting.replenishment.withdraw("RO-1", by="ops")
    waiting.reconciliation.sweep()

    assert (case["subject"], case["order_id"], case["owner"]) == ("RO-1", None, "ops")
    assert "MUG from Potter for wh-reno" in case["note"]
    after = waiting.row(cases, kind="receipt_late")
    assert (in_part, after["state"], after["resolution"]) == ("waiting", "resolved", end)


def test_who_comes_first_stays_first_when_all_wait_longer(waiting: House) -> None:
    waiting.wait(timedelta(days=DUE_IN + 1))
    waiting.reconciliation.sweep()

    arrive(waiting, 2)

    assert waiting.row(backorders, order_id="SO-1")["filled"] == 2
    assert waiting.row(backorders, order_id="SO-2")["filled"] == 0


def test_an_order_that_ships_whole_is_held_until_after_the_later_day(house: House) -> None:
    policy = Policy(shortage=Shortage.SHIP_COMPLETE)
    house.stocked(mugs=0, lead_time_days=DUE_IN)
    house.orders.accept(an_order(mugs=1, teas=1, placed_at=house.time), by="web")
    StockStore(house.engine, house.now, policy=policy).reserve("SO-1")
    house.replenishment.order_what_is_low()
    before = house.row(holds)["due_at"]
    house.wait(timedelta(days=DUE_IN + 1))

    ReconciliationStore(house.engine, house.now, ShopClock(), policy=policy).sweep()

    assert house.row(holds)["due_at"] > before
    assert house.row(holds)["due_at"].date() > house.row(backorders)["promise_date"]
