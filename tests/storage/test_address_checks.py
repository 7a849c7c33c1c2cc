"""What carriers say of an address before a label is bought: nothing is bought for a place that nobody knows."""

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine
from temporalio.exceptions import ApplicationError

from activities.shipping import ShippingActivities
from fulfillment.domain.address import Address, AddressAnswer, Verdict, leads_elsewhere
from fulfillment.domain.cases import CaseKind
from fulfillment.domain.change import ChangeAddress, ChangeRefused
from fulfillment.domain.holds import HoldReason
from fulfillment.domain.policy import AddressCheck, Policy
from fulfillment.domain.record import ReleaseHold
from fulfillment.storage.shipping import ShippingBooks
from fulfillment.storage.tables import address_checks, holds, labels, outbox
from fulfillment.storage.tables import cases as cases_table
from tests.storage.house import HOME, MORNING, House, only
from tests.storage.post import Post, corrected

NOWHERE = AddressAnswer(verdict=Verdict.UNDELIVERABLE, said="address: Address not found")
NEXT_DOOR = corrected(HOME, line1="3 Main St")


class Desk:
    """A packed parcel, and what the carriers say of where it goes."""

    def __init__(self, engine: Engine, answer: AddressAnswer, policy: Policy | None = None) -> None:
        self.house, self.post = House(engine).stocked(), Post(answer=answer)
        rules = {} if policy is None else {"policy": policy}
        books = ShippingBooks(engine, self.house.now, self.house.now, **rules)
        self.deeds, self.parcel_id = ShippingActivities(self.post, books), self.house.packed()

    def buy(self) -> Any:
        return self.deeds.buy_label(self.parcel_id)

    def is_asked(self) -> None:
        """Try to buy a label, and see that the customer is asked instead."""
        with pytest.raises(ApplicationError) as told:
            self.buy()
        assert told.value.type == "AddressRefused"

    def accept(self, request_id: str = "a-1") -> None:
        self.house.records.propose_suggested("SO-1", by="ann", request_id=request_id)
        self.house.records.change_address(ChangeAddress(order_id="SO-1", by="ann", request_id=request_id))

    def give(self, to: Address, request_id: str = "d-1") -> None:
        self.house.records.propose_address("SO-1", to, by="ann", request_id=request_id)
        self.house.records.change_address(ChangeAddress(order_id="SO-1", by="ann", request_id=request_id))

    def keep(self) -> None:
        request = ReleaseHold(order_id="SO-1", reason=HoldReason.ADDRESS, by="sue", request_id="k-1")
        self.house.records.release_hold(request)

    @property
    def goes_to(self) -> Address:
        return self.house.orders.get("SO-1").ship_to


def test_an_address_that_carriers_know_is_asked_about_once_and_its_label_is_bought(engine: Engine) -> None:
    desk = Desk(engine, AddressAnswer(verdict=Verdict.DELIVERABLE))

    desk.buy()
    desk.deeds.void_label(desk.parcel_id)
    desk.buy()

    assert desk.post.calls.count("check") == 1
    assert only(desk.house.rows(address_checks))["verdict"] == "deliverable"


def test_an_address_that_nobody_can_check_never_blocks(engine: Engine) -> None:
    desk = Desk(engine, AddressAnswer(verdict=Verdict.UNKNOWN, said="timed out"))

    desk.buy()

    assert len(desk.post.live) == 1


def test_an_undeliverable_address_holds_the_order_and_asks_the_customer_once_and_nothing_is_bought(
    engine: Engine,
) -> None:
    desk = Desk(engine, NOWHERE)

    desk.is_asked()
    desk.is_asked()

    hold = only(desk.house.rows(holds, state="active"))
    case = only(desk.house.rows(cases_table, kind=CaseKind.ADDRESS_PROBLEM.value))
    assert (hold["reason"], hold["due_at"]) == ("address", MORNING + Policy().address_give_up)
    assert (case["owner"], case["due_at"]) == ("customer", MORNING + Policy().hold_escalate_after)
    assert len(desk.house.rows(outbox, fact="address_asked")) == 1
    assert desk.post.calls.count("check") == 1
    assert desk.post.printed == {}


def test_support_may_say_that_the_address_is_right_as_it_is(engine: Engine) -> None:
    desk = Desk(engine, NOWHERE)
    desk.is_asked()

    desk.keep()
    desk.buy()

    assert desk.goes_to == HOME
    assert only(desk.house.rows(cases_table, kind=CaseKind.ADDRESS_PROBLEM.value))["state"] == "resolved"


def test_another_address_ends_the_question_and_is_asked_about_itself(engine: Engine) -> None:
    desk = Desk(engine, NOWHERE)
    desk.is_asked()
    better = replace(HOME, line1="8 Oak St")

    desk.give(better)
    desk.post.answer = AddressAnswer(verdict=Verdict.DELIVERABLE)
    desk.buy()

    assert desk.house.rows(holds, state="active") == []
    assert desk.post.calls.count("check") == 2
    assert desk.house.rows(labels, state="live")[0]["address_hash"] == better.digest()


def test_a_correction_is_taken_and_told_where_the_shop_says_so(engine: Engine) -> None:
    desk = Desk(engine, NEXT_DOOR)

    desk.buy()

    assert desk.goes_to == NEXT_DOOR.suggestion
    assert desk.house.rows(labels, state="live")[0]["address_hash"] == desk.goes_to.digest()
    told = only(desk.house.rows(outbox, fact="changed"))
    assert "corrected the address" in told["data"]["text"]


def test_a_correction_is_asked_about_where_the_shop_says_so_and_can_be_accepted(engine: Engine) -> None:
    desk = Desk(engine, NEXT_DOOR, Policy(address_check=AddressCheck.ASK))

    desk.is_asked()
    unchanged = desk.goes_to
    desk.accept()
    desk.post.answer = AddressAnswer(verdict=Verdict.DELIVERABLE)
    desk.buy()

    assert (unchanged, desk.goes_to) == (HOME, NEXT_DOOR.suggestion)
    assert desk.house.rows(holds, state="active") == []


def test_nothing_can_be_accepted_that_nobody_suggested(engine: Engine) -> None:
    desk = Desk(engine, NOWHERE)
    desk.is_asked()

    with pytest.raises(ChangeRefused, match="suggest no other address"):
        desk.accept()


def test_a_shop_may_have_no_address_checked(engine: Engine) -> None:
    desk = Desk(engine, NOWHERE, Policy(address_check=AddressCheck.OFF))

    desk.buy()

    assert "check" not in desk.post.calls


@pytest.mark.parametrize(
    ("parts", "elsewhere"),
    [
        ({"line1": "1 MAIN STREET", "city": "RENO", "postal_code": "89501-1234"}, False),
        ({"line1": "1 Main St", "line2": "Apt 4"}, True),
        ({"line1": "7 Main St"}, True),
        ({"city": "Sparks"}, True),
        ({"postal_code": "89502"}, True),
    ],
)
def test_another_spelling_is_no_other_place(parts: dict[str, str], elsewhere: bool) -> None:
    written = replace(HOME, postal_code="89501")

    assert leads_elsewhere(written, replace(written, **parts)) is elsewhere
