"""Not everything of an order is there: who is asked, what waits for whom, and what goes when."""

from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest

from fulfillment.domain.explanation import allowed_actions, explain
from fulfillment.domain.headline import headline
from fulfillment.domain.holds import Hold, HoldReason
from fulfillment.domain.policy import Policy, Shortage
from fulfillment.domain.record import ReleaseHold, StopShipments, WaitForAll
from fulfillment.domain.reservation import Reservation
from fulfillment.storage import lapsing, shortages
from fulfillment.storage.orders import lock_order
from fulfillment.storage.records import RecordStore
from fulfillment.storage.stock import StockStore
from fulfillment.storage.tables import (
    audit_entries,
    backorders,
    cases,
    holds,
    order_events,
    outbox,
    shipments,
    unit_ranges,
)
from tests.storage.house import MUG, House, an_order, only
from tests.storage.paying import pay
from tests.storage.proof import check_books

SPLIT = Policy()
ASK = Policy(shortage=Shortage.ASK)
WHOLE = Policy(shortage=Shortage.SHIP_COMPLETE)
NONE_WAITS = Policy(shortage=Shortage.CANCEL)


def placed(house: House, policy: Policy, *, mugs: int = 3, teas: int = 1) -> Reservation:
    """Place an order under a policy of its own."""
    stock = StockStore(house.engine, house.now, policy=policy)
    house.orders.accept(an_order(mugs=mugs, teas=teas, placed_at=house.time), by="web")
    return stock.reserve("SO-1")


def release(house: House, by: str, *, defaulted: bool = False) -> tuple[str, ...]:
    request = ReleaseHold(
        order_id="SO-1", reason=HoldReason.STOCK, by=by, request_id="r-1", defaulted=defaulted
    )
    return RecordStore(house.engine, house.now).release_hold(request).released


def wait_for_all(house: House) -> tuple[Hold, ...]:
    request = WaitForAll(order_id="SO-1", by="ann", request_id="w-1")
    return RecordStore(house.engine, house.now, policy=ASK).wait_for_all(request)


def where(house: House) -> dict[str, tuple[str, str]]:
    """What each shipment is and waits for."""
    return {row["shipment_id"]: (row["work_status"], row["waits_for"]) for row in house.rows(shipments)}


def arrive(house: House, mugs: int) -> None:
    house.stock.receive(MUG, "wh-reno", mugs, key=f"R-{mugs}", by="dock")


@pytest.fixture
def asked(house: House) -> House:
    """An order of three mugs and a tea, of which one mug is missing and about which its customer is asked."""
    house.stocked(mugs=2)
    placed(house, ASK)
    pay(house, "SO-1-1")
    return house


def test_a_customer_is_asked_about_what_is_missing(house: House) -> None:
    house.stocked(mugs=2)

    plan = placed(house, ASK)

    hold = only(plan.holds)
    due_at = house.time + ASK.ask_customer_wait
    assert (hold.reason, hold.due_at, hold.placed_by) == (HoldReason.STOCK, due_at, "policy")
    case = house.row(cases)
    assert (case["kind"], case["owner"], case["due_at"]) == ("out_of_stock", "customer", due_at)
    told: dict[str, Any] = house.row(outbox, fact="shortage_asked")["data"]
    assert told == {
        "missing": [MUG],
        "choices": ["wait", "split", "drop"],
        "answer_by": due_at.isoformat(),
        "default": "split",
    }
    assert len(house.rows(order_events, kind="shortage_asked")) == 1


def test_placing_that_is_repeated_after_a_crash_asks_once(house: House) -> None:
    house.stocked(mugs=2)
    first = placed(house, ASK)

    again = house.stock.reserve("SO-1")

    assert again.holds == first.holds
    assert len(house.rows(outbox, fact="shortage_asked")) == len(house.rows(holds)) == 1


def test_an_order_that_waits_for_an_answer_says_so_and_takes_one(asked: House) -> None:
    view = asked.views.view("SO-1")

    why = explain(view, asked.time)
    assert "an answer about missing stock" in why.waits_for
    assert why.who == "customer"
    assert headline(view, asked.time).sentence.startswith("Not everything is there. Tell us by")
    assert allowed_actions(view)["answer_shortage"] is None


def test_nothing_goes_to_the_floor_while_the_customer_is_asked(asked: House) -> None:
    assert where(asked) == {"SO-1-1": ("scheduled", "hold"), "SO-1-2": ("scheduled", "stock")}


def test_a_customer_who_waits_gets_all_of_it_when_the_last_piece_came(asked: House) -> None:
    arrive(asked, 1)
    before = where(asked)["SO-1-1"]

    release(asked, "policy")
    pay(asked, "SO-1-2")

    assert before == ("scheduled", "hold")
    assert where(asked) == {"SO-1-1": ("released", "nothing"), "SO-1-2": ("released", "nothing")}
    assert asked.row(cases)["state"] == "resolved"


def test_a_customer_who_waits_is_asked_no_more_and_has_until_after_the_promise(asked: House) -> None:
    promise = asked.row(backorders)["promise_date"]

    for _ in range(2):
        (hold,) = wait_for_all(asked)

    assert hold.due_at == datetime.combine(promise, time(), UTC) + timedelta(days=1) + ASK.hold_default_after
    case = asked.row(cases)
    assert (case["state"], case["resolution"]) == ("resolved", "wait")
    assert len(asked.rows(audit_entries, command="wait_for_all")) == 1
    view = asked.views.view("SO-1")
    why = explain(view, asked.time)
    assert ("the rest of it" in why.waits_for, why.who) == (True, "warehouse")
    assert headline(view, asked.time).text == "Waiting for the rest of it"


def test_a_question_that_was_answered_is_not_sent_any_more(asked: House) -> None:
    """Seen to fail when the message asked only whether the order is still held."""
    wait_for_all(asked)

    asked.outbox.lease(10)

    assert asked.row(outbox, fact="shortage_asked")["state"] == "withdrawn"


def test_who_waits_long_past_the_promise_is_not_settled_at_once(asked: House) -> None:
    asked.wait(timedelta(days=90))

    (hold,) = wait_for_all(asked)

    assert hold.due_at == asked.time + ASK.ask_customer_wait


def test_a_promise_that_moves_gives_whoever_waits_more_time_and_whoever_is_asked_none(asked: House) -> None:
    day = (asked.time + timedelta(days=60)).date()

    def move() -> datetime:
        with asked.engine.begin() as conn:
            shortages.put_off(conn, "SO-1", day, now=asked.time, policy=ASK)
        due_at: datetime = asked.row(holds)["due_at"]
        return due_at

    while_asked = move()
    wait_for_all(asked)

    assert while_asked == asked.time + ASK.ask_customer_wait
    assert move() == datetime.combine(day, time(), UTC) + timedelta(days=1) + ASK.hold_default_after


def test_a_customer_who_splits_gets_what_is_there_now(asked: House) -> None:
    released = release(asked, "ann")

    assert released == ("SO-1-1",)
    assert where(asked)["SO-1-2"] == ("scheduled", "stock")
    assert asked.row(holds)["state"] == "released"
    assert asked.row(cases)["state"] == "resolved"


def test_a_customer_who_drops_what_is_missing_gets_and_pays_the_rest(asked: House) -> None:
    drop = StopShipments(
        order_id="SO-1", reason="out_of_stock", by="ann", request_id="d-1", shipments=("SO-1-2",)
    )
    asked.records.stop_shipments(drop)

    released = release(asked, "ann")

    assert released == ("SO-1-1",)
    assert where(asked)["SO-1-2"] == ("cancelled", "nothing")
    assert asked.row(backorders)["state"] == "cancelled"
    assert asked.row(unit_ranges, cancelled_reason="out_of_stock")["quantity"] == 1


def test_without_an_answer_the_hold_ends_by_default(asked: House) -> None:
    asked.wait(ASK.ask_customer_wait)

    released = release(asked, "policy", defaulted=True)

    assert released == ("SO-1-1",)
    assert asked.row(holds)["state"] == "defaulted"


@pytest.mark.parametrize(("mugs", "asks"), [(0, 1), (3, 0)])
def test_nobody_is_asked_where_all_or_nothing_is_there(house: House, mugs: int, asks: int) -> None:
    house.stocked(mugs=mugs, teas=0)

    plan = placed(house, ASK, teas=0)

    assert (plan.holds, house.rows(cases)) == ((), [])
    assert len(house.rows(backorders)) == asks


def test_an_order_that_ships_whole_waits_for_the_last_piece_and_asks_nobody(house: House) -> None:
    house.stocked(mugs=2)
    plan = placed(house, WHOLE)
    pay(house, "SO-1-1")

    promise = house.row(backorders)["promise_date"]
    assert only(plan.holds).due_at > datetime.combine(promise, time.max, UTC)
    assert where(house)["SO-1-1"] == ("scheduled", "hold")
    assert (house.rows(cases), house.rows(outbox, fact="shortage_asked")) == ([], [])


@pytest.mark.parametrize("policy", [ASK, WHOLE])
def test_parcels_of_which_nothing_is_there_leave_together_and_nobody_is_asked(
    house: House, policy: Policy
) -> None:
    """Guard: each waits by itself. Without the hold the first that came would leave alone."""
    house.stocked(mugs=0, teas=0, weight_g=17_000)
    plan = placed(house, policy, mugs=2, teas=0)
    arrive(house, 1)
    pay(house, "SO-1-1")
    early = where(house)

    release(house, "policy")

    assert only(plan.holds).reason is HoldReason.STOCK
    assert early == {"SO-1-1": ("scheduled", "hold"), "SO-1-2": ("scheduled", "stock")}
    assert where(house)["SO-1-1"] == ("released", "nothing")
    assert house.rows(cases) == []


def test_where_nothing_waits_what_is_missing_is_taken_off_the_order(house: House) -> None:
    house.stocked(mugs=2)

    plan = placed(house, NONE_WAITS)

    assert [(s.units, s.value) for s in plan.shipments] == [(3, 2900)]
    assert [(line.sku, line.got, line.backordered, line.cancelled) for line in plan.short] == [(MUG, 2, 0, 1)]
    assert house.rows(backorders) == house.rows(holds) == []


@pytest.mark.parametrize(("policy", "waits"), [(ASK, True), (WHOLE, True), (NONE_WAITS, False)])
def test_what_was_lost_while_nobody_paid_is_a_shortage_like_any_other(
    house: House, policy: Policy, waits: bool
) -> None:
    house.stocked(mugs=3)
    house.reserved(mugs=3, teas=1)
    house.wait(policy.reservation_ttl)
    house.reconciliation.sweep()
    house.reserved("SO-2", mugs=2, teas=0)

    with house.engine.begin() as conn:
        lapsing.reclaim(conn, lock_order(conn, "SO-1"), now=house.now(), policy=policy)

    assert bool(house.rows(holds, order_id="SO-1", state="active")) == waits
    assert bool(house.rows(backorders)) == waits
    assert len(house.rows(cases, kind="out_of_stock")) == (policy is ASK)


def test_a_choice_is_needed_only_once_per_hold(house: House) -> None:
    house.stocked(mugs=2)
    placed(house, ASK)
    release(house, "ann")

    release(house, "policy", defaulted=True)

    assert house.row(holds)["released_by"] == "ann"


# --- what a count takes away -------------------------------------------------------------------------


def missed(house: House, policy: Policy, *, mugs: int = 3, **product: Any) -> None:
    """Let a count find one mug too few of an order that is paid and on the floor."""
    house.stocked(mugs=mugs, **product)
    house.released(mugs=mugs, teas=1)
    StockStore(house.engine, house.now, policy=policy).adjust(
        MUG, "wh-reno", -1, key="count-1", by="ann", reason="cycle count"
    )
    check_books(house)


@pytest.mark.parametrize(
    ("policy", "holds_now", "asks"),
    [(SPLIT, 0, 0), (ASK, 1, 1), (WHOLE, 1, 0)],
    ids=["split", "ask", "whole"],
)
def test_what_a_count_takes_away_is_a_shortage_like_any_other(
    house: House, policy: Policy, holds_now: int, asks: int
) -> None:
    """Seen to fail when what was lost on the shelf only waited again: nobody was asked, and nothing held the rest."""
    missed(house, policy)

    assert where(house)["SO-1-2"] == ("scheduled", "stock")
    assert len(house.rows(holds, reason="stock", state="active")) == holds_now
    assert (
        len(house.rows(outbox, fact="shortage_asked")) == len(house.rows(cases, kind="out_of_stock")) == asks
    )


def test_where_nothing_waits_what_a_count_takes_away_is_taken_off_the_order(house: House) -> None:
    missed(house, NONE_WAITS)

    assert where(house) == {"SO-1-1": ("released", "nothing")}
    assert house.row(unit_ranges, cancelled_reason="out_of_stock")["quantity"] == 1
    assert house.rows(backorders) == []


def test_where_nothing_waits_a_count_takes_nothing_off_an_order_that_was_sold_ahead(house: House) -> None:
    missed(house, NONE_WAITS, available_from=(house.time + timedelta(days=30)).date())

    assert only(house.rows(backorders))["quantity"] == 1
    assert house.rows(unit_ranges, cancelled_reason="out_of_stock") == []


def test_an_order_that_a_count_leaves_nothing_of_asks_nobody(house: House) -> None:
    house.stocked(mugs=1)
    house.released(mugs=1, teas=0)
    stock = StockStore(house.engine, house.now, policy=ASK)

    stock.adjust(MUG, "wh-reno", -1, key="count-1", by="ann", reason="cycle count")

    assert where(house) == {"SO-1-1": ("scheduled", "stock")}
    assert house.rows(holds) == []


def test_who_drops_what_a_count_took_away_still_gets_the_rest(house: House) -> None:
    """Seen to fail when the units waited in their shipment: dropping it dropped what was there."""
    missed(house, ASK)
    drop = StopShipments(
        order_id="SO-1", reason="out_of_stock", by="ann", request_id="d-1", shipments=("SO-1-2",)
    )
    house.records.stop_shipments(drop)

    release(house, "ann")

    assert where(house) == {"SO-1-1": ("released", "nothing"), "SO-1-2": ("cancelled", "nothing")}
    assert house.row(shipments, shipment_id="SO-1-1")["value"] == 2 * 1200 + 500
