"""Labels bought by the deed itself on real books: never two live ones, at no higher price than quoted, to the right door."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine
from temporalio.exceptions import ApplicationError

from activities.shipping import ShippingActivities
from fulfillment.domain.carriers import CarrierUse
from fulfillment.domain.cases import CaseKind
from fulfillment.domain.change import ChangeAddress
from fulfillment.domain.policy import Policy
from fulfillment.domain.provider_errors import (
    LabelRefused,
    OutcomeUnknown,
    ProviderUnavailable,
    RateGone,
)
from fulfillment.domain.record import StopShipments
from fulfillment.domain.shipment import InvalidTransition
from fulfillment.storage.shipping import ShippingBooks
from fulfillment.storage.tables import (
    allocations,
    label_documents,
    labels,
    orders,
    reservations,
    shipments,
    stock_levels,
    unit_ranges,
)
from fulfillment.storage.tables import cases as cases_table
from tests.storage.house import HOME, House
from tests.storage.post import Post, an_offer

UPS, FEDEX = an_offer("UPS", 800), an_offer("FedEx", 950)
ELSEWHERE = replace(HOME, line1="2 Other St")


class Dock:
    """The deed beside its books and the carriers' desk."""

    def __init__(self, engine: Engine, post: Post, policy: Policy | None = None) -> None:
        self.house, self.post = House(engine).stocked(), post
        if policy is not None:
            self.house.shipping = ShippingBooks(engine, self.house.now, self.house.now, policy=policy)
        self.deeds = ShippingActivities(post, self.house.shipping)

    def buy(self, parcel_id: str) -> Any:
        return self.deeds.buy_label(parcel_id)

    def fails_to_buy(self, parcel_id: str) -> str:
        """Return as what it was told to Temporal."""
        with pytest.raises(ApplicationError) as told:
            self.deeds.buy_label(parcel_id)
        return told.value.type or ""

    def readdress(self, request_id: str = "d-1") -> None:
        self.house.records.propose_address("SO-1", ELSEWHERE, by="ann", request_id=request_id)
        self.house.records.change_address(ChangeAddress(order_id="SO-1", by="ann", request_id=request_id))

    def live_labels(self) -> list[dict[str, Any]]:
        return [row for row in self.house.rows(labels) if row["state"] in ("live", "used")]

    def label(self) -> dict[str, Any]:
        """Return the latest label."""
        return max(self.house.rows(labels), key=lambda row: str(row["label_id"]))


# --- nothing outside before it is allowed inside (P40) --------------------------------------------------


@pytest.mark.parametrize("state", ["picking", "cancelled"])
def test_p40_a_purchase_that_the_books_refuse_calls_no_carrier(engine: Engine, state: str) -> None:
    dock = Dock(engine, Post())
    parcel_id = dock.house.packed()
    dock.house.change(shipments, {"work_status": state}, order_id="SO-1")

    dock.fails_to_buy(parcel_id)

    assert dock.post.calls == []


# --- never two live labels (P41) ------------------------------------------------------------------------


def test_p41_a_label_whose_answer_was_lost_is_found_and_not_bought_again(engine: Engine) -> None:
    dock = Dock(engine, Post())
    parcel_id = dock.house.packed()
    dock.post.loses_its_answer()

    assert dock.fails_to_buy(parcel_id) == "OutcomeUnknown"
    dock.post.heals()
    label = dock.buy(parcel_id)

    assert [label] == dock.post.live
    assert [row["tracking_number"] for row in dock.live_labels()] == [label.tracking_number]


def test_p41_a_lost_answer_is_asked_after_even_when_another_carrier_would_be_taken_now(
    engine: Engine,
) -> None:
    dock = Dock(engine, Post(offers=[UPS, FEDEX]))
    parcel_id = dock.house.packed()
    dock.post.loses_its_answer()
    dock.fails_to_buy(parcel_id)
    dock.house.carriers.pause("UPS", by="olga", why="strike", request_id="r-1")

    label = dock.buy(parcel_id)

    assert (label.carrier, len(dock.post.live)) == ("UPS", 1)


def test_p41_an_attempt_that_comes_late_buys_nothing_once_another_has_ended_its_purchase(
    engine: Engine,
) -> None:
    post = Post()
    dock = Dock(engine, post)
    parcel_id = dock.house.packed()
    late = dock.house.shipping.claim_label(parcel_id)
    dock.house.shipping.failed(late.key, "Conflict")
    dock.buy(parcel_id)

    class Late(ShippingBooks):
        def claim_label(self, parcel_id: str) -> Any:
            return late

        def quoted(self, *_: Any) -> None:
            return None

    with pytest.raises(ApplicationError, match="another attempt has ended"):
        ShippingActivities(post, Late(engine, dock.house.now, dock.house.now)).buy_label(parcel_id)

    assert len(post.live) == 1


# --- a parcel is its own unit of work (P42) -------------------------------------------------------------


def test_p42_a_parcel_that_nobody_takes_leaves_the_labels_of_the_others_as_they_are(engine: Engine) -> None:
    dock = Dock(engine, Post())
    good, bad = dock.house.packed("SO-1"), dock.house.packed("SO-2")
    dock.buy(good)
    dock.post.trouble = {"UPS": LabelRefused("too heavy")}

    assert dock.fails_to_buy(bad) == "LabelRefused"

    assert [(row["parcel_id"], row["state"]) for row in dock.house.rows(labels)] == [
        (good, "live"),
        (bad, "failed"),
    ]


def test_p42_a_label_is_in_the_books_before_anything_else_is_tried(engine: Engine) -> None:
    dock = Dock(engine, Post(no_document=ProviderUnavailable("no file yet")))
    parcel_id = dock.house.packed()

    assert dock.fails_to_buy(parcel_id) == "ProviderUnavailable"
    bought = dock.live_labels()
    dock.post.no_document = None
    dock.buy(parcel_id)

    assert [row["tracking_number"] for row in bought] == [dock.post.live[0].tracking_number]
    assert len(dock.post.printed) == 1
    assert len(dock.house.rows(label_documents)) == 1


# --- a number belongs to a parcel (P43) -----------------------------------------------------------------


def test_p43_every_parcel_has_its_own_number_and_its_own_print(engine: Engine) -> None:
    dock = Dock(engine, Post())
    parcels = [dock.house.packed(f"SO-{n}") for n in (1, 2)]

    numbers = [dock.buy(parcel_id).tracking_number for parcel_id in parcels]

    assert len(set(numbers)) == 2
    for parcel_id, number in zip(parcels, numbers, strict=True):
        (printed,) = dock.house.shipping.documents(parcel_id)
        assert number.encode() in printed.content


# --- the label is for the address it goes to (P44) ------------------------------------------------------


def test_p44_a_label_of_the_old_address_cannot_leave_and_a_new_one_is_bought(engine: Engine) -> None:
    dock = Dock(engine, Post())
    parcel_id = dock.house.packed()
    dock.buy(parcel_id)
    dock.readdress()

    with pytest.raises(InvalidTransition):
        dock.house.floor.hand_over("SO-1-1", by="dock")
    dock.deeds.void_label(parcel_id)
    dock.buy(parcel_id)

    assert dock.label()["address_hash"] == ELSEWHERE.digest()
    assert dock.post.jobs["shp_2"].destination == ELSEWHERE
    assert len(dock.post.live) == 1


def test_p44_offers_for_the_old_address_are_not_bought(engine: Engine) -> None:
    dock = Dock(engine, Post())
    parcel_id = dock.house.packed()
    first = dock.house.shipping.claim_label(parcel_id)
    dock.post.quote(first)
    dock.readdress()

    assert dock.fails_to_buy(parcel_id) == "Conflict"
    dock.buy(parcel_id)

    assert dock.label()["address_hash"] == ELSEWHERE.digest()
    assert dock.post.jobs[dock.label()["provider_shipment_ref"]].destination == ELSEWHERE


# --- at no higher price than was quoted (P45) -----------------------------------------------------------


def test_p45_a_rate_that_is_gone_is_quoted_anew_and_bought_within_the_tolerance(engine: Engine) -> None:
    dock = Dock(engine, Post())
    parcel_id = dock.house.packed()
    dock.post.trouble = {"UPS": RateGone("not sold any more")}
    dock.post.fresh = [an_offer("FedEx", 900)]

    label = dock.buy(parcel_id)

    assert (label.carrier, label.cost) == ("FedEx", 900)
    assert dock.label()["quoted_price"] == 800


def test_p45_a_price_that_rose_too_much_is_not_paid_until_time_has_said_yes(engine: Engine) -> None:
    dock = Dock(engine, Post())
    parcel_id = dock.house.packed()
    dock.post.trouble = {"UPS": ProviderUnavailable("away")}
    dock.fails_to_buy(parcel_id)
    dock.post.heals()
    dock.post.offer(an_offer("UPS", 2000))

    assert dock.fails_to_buy(parcel_id) == "RateExpired"
    dock.house.wait(timedelta(hours=1))
    assert dock.fails_to_buy(parcel_id) == "RateExpired"
    assert dock.post.live == []
    dock.house.wait(timedelta(hours=1))
    label = dock.buy(parcel_id)

    assert label.cost == 2000
    assert dock.label()["quotes"]["dearer"] is True


def test_p45_offers_that_are_a_day_old_are_asked_for_anew_before_one_is_bought(engine: Engine) -> None:
    dock = Dock(engine, Post(fresh=[an_offer("UPS", 850)]))
    parcel_id = dock.house.packed()
    dock.post.trouble = {"UPS": ProviderUnavailable("away")}
    dock.fails_to_buy(parcel_id)
    dock.post.heals()
    dock.house.wait(timedelta(hours=24))

    assert dock.buy(parcel_id).cost == 850


# --- another carrier (fall-over, kill switch) -----------------------------------------------------------


def test_a_carrier_that_is_down_is_left_after_an_hour_for_the_next_that_keeps_the_promise(
    engine: Engine,
) -> None:
    dock = Dock(engine, Post(offers=[UPS, FEDEX]))
    parcel_id = dock.house.packed()
    dock.post.trouble = {"UPS": OutcomeUnknown("no response")}

    dock.fails_to_buy(parcel_id)
    dock.house.wait(timedelta(minutes=59))
    dock.fails_to_buy(parcel_id)
    dock.house.wait(timedelta(minutes=1))
    label = dock.buy(parcel_id)

    assert label.carrier == "FedEx"
    ups = next(one for one in dock.label()["quotes"]["options"] if one["carrier"] == "UPS")
    assert "its labels fail since" in ups["left_out"]
    assert len(dock.post.live) == len(dock.live_labels()) == 1


def test_one_alarm_is_raised_for_a_carrier_that_is_down_and_ends_with_its_next_label(engine: Engine) -> None:
    dock = Dock(engine, Post())
    parcels = [dock.house.packed(f"SO-{n}") for n in (1, 2)]
    dock.post.trouble = {"UPS": ProviderUnavailable("away")}
    for _ in range(2):
        for parcel_id in parcels:
            dock.fails_to_buy(parcel_id)
        dock.house.wait(timedelta(minutes=10))
    dock.fails_to_buy(parcels[0])
    (alarm,) = dock.house.rows(cases_table, kind=CaseKind.CARRIER_DOWN.value)

    dock.post.heals()
    dock.buy(parcels[1])

    (ended,) = dock.house.rows(cases_table, kind=CaseKind.CARRIER_DOWN.value)
    assert (alarm["subject"], alarm["order_id"], alarm["state"]) == ("UPS", None, "waiting")
    assert ended["state"] == "resolved"


def test_a_paused_carrier_gets_no_parcel_until_it_is_resumed(engine: Engine) -> None:
    dock = Dock(engine, Post(offers=[UPS, FEDEX]))
    first, second = dock.house.packed("SO-1"), dock.house.packed("SO-2")

    dock.house.carriers.pause("ups", by="olga", why="strike", request_id="r-1")
    while_paused = dock.buy(first)
    dock.house.carriers.resume("UPS", by="olga", request_id="r-2")

    assert (while_paused.carrier, dock.buy(second).carrier) == ("FedEx", "UPS")


def test_while_every_carrier_is_paused_a_purchase_waits_and_costs_nothing(engine: Engine) -> None:
    dock = Dock(engine, Post())
    parcel_id = dock.house.packed()
    dock.house.carriers.pause("UPS", by="olga", why="strike", request_id="r-1")

    assert dock.fails_to_buy(parcel_id) == "NobodyMayCarry"

    assert dock.post.live == []


def test_a_carrier_that_makes_no_offers_is_seen_failing_until_it_makes_one(engine: Engine) -> None:
    dock = Dock(engine, Post(offers=[FEDEX], silent=("UPS",)))
    first, second = dock.house.packed("SO-1"), dock.house.packed("SO-2")

    dock.buy(first)
    seen = {one.name: use for one, use in dock.house.carriers.carriers()}
    dock.post.silent, dock.post.offers = (), [FEDEX, an_offer("UPS", 990)]
    dock.buy(second)

    assert seen["UPS"] is CarrierUse.FAILING
    assert {use for _, use in dock.house.carriers.carriers()} == {CarrierUse.IN_USE}


# --- a label given back is no cancelled order (P56) -----------------------------------------------------


def test_p56_giving_a_label_back_moves_no_stock_and_no_unit(engine: Engine) -> None:
    dock = Dock(engine, Post())
    parcel_id = dock.house.packed()
    tables = (stock_levels, reservations, allocations, unit_ranges, orders)
    before = [dock.house.rows(table) for table in tables]

    dock.buy(parcel_id)
    dock.deeds.void_label(parcel_id)

    assert [dock.house.rows(table) for table in tables] == before
    assert dock.house.row(shipments, order_id="SO-1")["work_status"] == "packed"
    assert dock.buy(parcel_id) == dock.post.live[0]


# --- the decision, and what is printed ------------------------------------------------------------------


def test_a_decision_is_kept_with_every_offer_and_all_it_was_weighed_by(engine: Engine) -> None:
    dock = Dock(engine, Post(offers=[UPS, FEDEX]))
    dock.buy(dock.house.packed())

    (shipment,) = dock.house.views.view("SO-1").shipments
    decision = shipment.parcel.decision if shipment.parcel else None

    assert decision is not None
    assert decision["chosen"] == UPS.quote_id
    assert {one["carrier"] for one in decision["options"]} == {"UPS", "FedEx"}
    assert [one["likely"] for one in decision["options"]] == [0.8, 0.8]


def test_a_label_cancelled_before_its_purchase_is_never_bought(engine: Engine) -> None:
    dock = Dock(engine, Post())
    parcel_id = dock.house.packed()
    dock.house.shipping.claim_label(parcel_id)
    dock.house.records.stop_shipments(
        StopShipments(order_id="SO-1", reason="changed_mind", by="ann", request_id="c-1")
    )

    assert dock.fails_to_buy(parcel_id) == "Stop"
    assert dock.post.printed == {}
