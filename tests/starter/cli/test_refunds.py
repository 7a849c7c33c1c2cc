"""Refunds on the command line: asked for by one, allowed by another."""

import json

import pytest
from sqlalchemy import Engine

from fulfillment.storage.tables import shipments
from tests.starter.cli.conftest import Waybill
from tests.storage.house import House
from tests.storage.paying import capture, pay


@pytest.fixture
def charged(books: Engine) -> House:
    """An order that has left and whose 29.00 USD are taken."""
    house = House(books)
    house.stocked()
    house.reserved()
    pay(house, "SO-1-1")
    house.change(shipments, {"work_status": "handed_over"}, shipment_id="SO-1-1")
    capture(house, "SO-1-1")
    return house


def test_a_refund_is_asked_for_listed_and_counted_against_what_is_left(
    charged: House, waybill: Waybill
) -> None:
    asked = waybill("refund", "SO-1", "--cause", "goodwill", "--amount", 500, "--by", "sue")
    listed = json.loads(waybill("refunds", "SO-1", "--json").stdout)

    assert "SO-1-F1: 5.00 USD, approved" in asked.stdout
    assert [one["refund_id"] for one in listed["refunds"]] == ["SO-1-F1"]
    assert listed["refundable"] == 2400


def test_the_same_request_twice_is_one_refund(charged: House, waybill: Waybill) -> None:
    words = ("refund", "SO-1", "--cause", "price", "--amount", 500, "--request-id", "r-1", "--by", "sue")

    said = [waybill(*words).exit_code for _ in range(2)]

    assert said == [0, 0]
    assert len(json.loads(waybill("refunds", "SO-1", "--json").stdout)["refunds"]) == 1


def test_more_than_was_taken_is_refused_with_what_could_be(charged: House, waybill: Waybill) -> None:
    result = waybill("refund", "SO-1", "--cause", "goodwill", "--amount", 9900, "--by", "sue")

    assert result.exit_code == 1
    assert "29.00 USD" in result.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("approve-refund", "SO-1-F9", "--by", "max"),
        ("reject-refund", "SO-1-F9", "--reason", "no", "--by", "max"),
        ("refund-by-hand", "SO-1-F9", "--reference", "BANK-1", "--by", "max"),
    ],
)
def test_a_refund_that_is_not_there_is_refused_in_a_sentence(
    charged: House, waybill: Waybill, words: tuple[str, ...]
) -> None:
    result = waybill(*words)

    assert result.exit_code == 1
    assert "SO-1-F9" in result.stderr


def test_what_nobody_has_to_allow_cannot_be_rejected(charged: House, waybill: Waybill) -> None:
    waybill("refund", "SO-1", "--cause", "goodwill", "--amount", 500, "--by", "sue")

    result = waybill("reject-refund", "SO-1-F1", "--reason", "no", "--by", "max")

    assert result.exit_code == 1


def test_before_anything_is_charged_a_refund_is_refused_with_what_to_do_instead(
    books: Engine, waybill: Waybill
) -> None:
    House(books).stocked().reserved()

    result = waybill("refund", "SO-1", "--cause", "goodwill", "--by", "sue")

    assert result.exit_code == 1
    assert "nothing of SO-1 was charged yet: cancel what shall not be sent" in result.stderr


def test_when_all_is_given_back_a_refund_is_refused_and_says_so(charged: House, waybill: Waybill) -> None:
    waybill("refund", "SO-1", "--cause", "goodwill", "--by", "sue")

    result = waybill("refund", "SO-1", "--cause", "goodwill", "--amount", 1, "--by", "sue")

    assert "all that was charged for SO-1 is given back, or asked back, already" in result.stderr
    assert "0.00 USD can still be given back" in waybill("refunds", "SO-1").stdout


def test_the_refunds_of_an_order_that_does_not_exist_are_refused(waybill: Waybill) -> None:
    assert "there is no order SO-404" in waybill("refunds", "SO-404").stderr
