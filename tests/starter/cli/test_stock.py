"""Work on stock by hand: every deed says what came of it, and under its key it counts once."""

import json

import pytest

from tests.starter.cli.conftest import Waybill

SHELF = ("--location", "wh-reno")


def level(waybill: Waybill, location: str = "wh-reno") -> dict[str, int]:
    levels = json.loads(waybill("stock", "--sku", "MUG-12", "--json").stdout)["levels"]
    return next(level for level in levels if level["location_id"] == location)


def test_a_correction_counts_once_under_its_key(waybill: Waybill) -> None:
    words = ("stock", "adjust", "MUG-12", "-3", *SHELF, "--reason", "broken", "--key", "a-1")

    said = [waybill(*words) for _ in range(2)]

    assert [result.exit_code for result in said] == [0, 0]
    assert "-3 x MUG-12 at wh-reno" in said[0].stdout
    assert level(waybill)["on_hand"] == 497


def test_units_are_set_aside_kept_back_and_put_back(waybill: Waybill) -> None:
    move = ("stock", "move", "MUG-12", 5, *SHELF, "--reason", "recall")

    waybill(*move, "--from", "free", "--to", "quarantine")
    waybill("stock", "safety", "MUG-12", 10, *SHELF, "--reason", "season")
    no = waybill(*move, "--from", "held", "--to", "scrap")

    assert (level(waybill)["quarantine"], level(waybill)["available"]) == (5, 485)
    assert no.exit_code == 1
    assert "counted" in no.stderr


def test_a_count_is_planned_counted_twice_and_approved(waybill: Waybill) -> None:
    waybill("stock", "count", "plan", "CC-1", "MUG-12", *SHELF, "--reason", "weekly")
    waybill("stock", "count", "start", "CC-1", "--by", "bob")
    first = waybill("stock", "count", "report", "CC-1", 400, "--by", "bob")
    same = waybill("stock", "count", "report", "CC-1", 400, "--by", "bob")
    other = waybill("stock", "count", "report", "CC-1", 401, "--by", "bob")
    second = waybill("stock", "count", "report", "CC-1", 401, "--by", "cat")

    approved = waybill("stock", "count", "approve", "CC-1", "--reason", "a rack fell over")

    assert "recounting, -100 against 500 in the book" in first.stdout
    assert (same.exit_code, other.exit_code) == (1, 1)
    assert "somebody else must count again" in other.stderr
    assert "review" in second.stdout
    assert "posted" in approved.stdout
    assert level(waybill)["on_hand"] == 401
    assert json.loads(waybill("stock", "count", "ls", "--open", "--json").stdout) == {"counts": []}


def test_a_transfer_arrives_in_part_and_is_closed(waybill: Waybill) -> None:
    route = ("--from", "wh-reno", "--to", "wh-lehigh", "--reason", "sells there")
    before = level(waybill, "wh-lehigh")["on_hand"]

    sent = waybill("stock", "transfer", "send", "T-1", "MUG-12", 4, *route)
    waybill("stock", "transfer", "receive", "T-1", 3)
    closed = waybill("stock", "transfer", "close", "T-1", "--reason", "lost")

    assert "on the way to wh-lehigh" in sent.stdout
    assert "3 arrived, 1 lost" in closed.stdout
    assert level(waybill, "wh-lehigh")["on_hand"] == before + 3
    assert "T-1" in waybill("stock", "transfer", "ls").stdout


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("adjust", "NOPE", "1", *SHELF, "--reason", "x"), 1),
        (("adjust", "MUG-12", "1", "--location", "wh-moon", "--reason", "x"), 1),
        (("adjust", "MUG-12", "-9999", *SHELF, "--reason", "x"), 1),
        (("move", "MUG-12", 1, *SHELF, "--from", "free", "--to", "moon", "--reason", "x"), 2),
        (("count", "start", "CC-9"), 1),
        (("transfer", "close", "T-9", "--reason", "x"), 1),
        (("return", "SO-9", 1, "--unit", 1, "--as", "restock", *SHELF), 1),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence(
    waybill: Waybill, words: tuple[object, ...], code: int
) -> None:
    result = waybill("stock", *words)

    assert result.exit_code == code
    assert result.stderr


def test_what_is_as_good_as_a_product_is_listed_shown_and_forgotten(waybill: Waybill) -> None:
    listed = waybill("stock", "substitutes", "MUG-12", "BTL-750")
    shown = waybill("stock", "substitutes", "MUG-12", "--json")
    itself = waybill("stock", "substitutes", "MUG-12", "MUG-12")
    none = waybill("stock", "substitutes", "MUG-12", "--none")

    assert "instead of MUG-12: BTL-750" in listed.stdout
    assert json.loads(shown.stdout) == {"sku": "MUG-12", "substitutes": ["BTL-750"]}
    assert (itself.exit_code, "MUG-12 cannot be sent instead of MUG-12" in itself.stderr) == (1, True)
    assert "instead of MUG-12: nothing" in none.stdout
