"""What people look at, and goods that come in."""

import json
from datetime import UTC, date, datetime

import pytest
from sqlalchemy import Engine, select

from fulfillment.domain.policy import Policy, Substitution
from fulfillment.settings import real_now
from fulfillment.storage.orders import OrderStore
from fulfillment.storage.stock import StockStore
from fulfillment.storage.tables import promises, stock_levels, stock_movements
from tests.starter.cli.conftest import Waybill
from tests.starter.imports.test_json_lines import a_body, read


@pytest.fixture
def placed(books: Engine) -> str:
    """An order of two tees and five maps, of which six are there; stock claimed."""
    lines = [
        {"sku": "TEE-BLK-M", "name": "Organic tee", "quantity": 2, "unit_price": 2400},
        {"sku": "MAP-ALPS", "name": "Map", "quantity": 7, "unit_price": 1500},
    ]
    (found,) = read(json.dumps(a_body(lines=lines, total=2 * 2400 + 7 * 1500)))
    OrderStore(books, real_now).accept(found.order, by="maria")  # type: ignore[union-attr]  # it is an order
    StockStore(books, real_now).reserve("SO-10483")
    return "SO-10483"


def test_an_order_is_shown_with_its_parts_its_money_and_what_happened(waybill: Waybill, placed: str) -> None:
    result = waybill("show", placed)

    assert result.exit_code == 0
    for shown in ("SO-10483", "153.00 USD", "noor@example.com", "2 x TEE-BLK-M", "We received your order."):
        assert shown in result.stdout
    assert "SO-10483-1" in result.stdout


def test_an_order_shows_what_is_sent_instead_of_what(waybill: Waybill, books: Engine) -> None:
    lines = [{"sku": "MAP-ALPS", "name": "Map", "quantity": 7, "unit_price": 1500}]
    (found,) = read(json.dumps(a_body(lines=lines, total=7 * 1500)))
    OrderStore(books, real_now).accept(found.order, by="maria")  # type: ignore[union-attr]  # it is an order
    stock = StockStore(books, real_now, policy=Policy(substitution=Substitution.AUTOMATIC))
    stock.set_substitutes("MAP-ALPS", ["BTL-750"], by="maria")
    stock.reserve("SO-10483")

    shown = " ".join(waybill("show", "SO-10483").stdout.split())
    answer = json.loads(waybill("show", "SO-10483", "--json").stdout)

    assert "replaced by Steel bottle 750 ml" in shown
    assert "Not in stock: 1 × Map. We send you instead, at no higher price: 1 × Steel bottle 750 ml." in shown
    ordered, instead = answer["lines"]
    assert (ordered["substituted"], ordered["cancelled"], ordered["instead_of"]) == (1, 0, None)
    assert (instead["sku"], instead["unit_price"], instead["instead_of"]) == ("BTL-750", 1500, 1)
    assert answer["payable"] == 7 * 1500


def test_an_order_that_was_promised_for_two_days_shows_both_and_who_was_told(
    waybill: Waybill, placed: str, books: Engine
) -> None:
    day = {"order_id": placed, "at": datetime(2026, 11, 23, 12, tzinfo=UTC)}
    rows = [
        day | {"n": 1, "promised_date": date(2026, 11, 27), "source": "confirmed"},
        day | {"n": 2, "promised_date": date(2026, 11, 28), "source": "carrier", "reason": "weather_delay"},
    ]
    with books.begin() as conn:
        conn.execute(promises.insert().values(reason=""), rows)

    lines = [" ".join(line.split()) for line in waybill("show", placed).stdout.splitlines()]

    assert "Fri 27 Nov Mon 23 Nov 12:00 confirmed nobody" in lines
    assert "Sat 28 Nov Mon 23 Nov 12:00 weather delay carrier nobody" in lines


def test_an_order_as_json_is_what_the_api_answers(waybill: Waybill, placed: str) -> None:
    answer = json.loads(waybill("show", placed, "--json").stdout)

    assert (answer["id"], answer["stage"], answer["total"]) == ("SO-10483", "received", 15_300)
    assert answer["tracking_url"].startswith("http")


def test_explain_is_one_sentence_for_people_and_its_parts_for_programs(waybill: Waybill, placed: str) -> None:
    sentence = waybill("explain", placed).stdout.strip()
    parts = json.loads(waybill("explain", placed, "--json").stdout)

    assert sentence == parts["sentence"]
    assert sentence.startswith("SO-10483 waits for the bank")
    assert parts["actions"]["release"] == "SO-10483 has no hold."


def test_why_an_order_ships_from_where_it_does_is_shown_and_told_with_what_went_into_it(
    waybill: Waybill, placed: str
) -> None:
    shown = waybill("show", placed).stdout
    (decided,) = json.loads(waybill("explain", placed, "--json").stdout)["sourcing"]

    assert "sourced" in shown
    assert decided["why"] in shown
    assert decided["inputs"]["asked"] == {"TEE-BLK-M": 2, "MAP-ALPS": 7}


def test_an_order_that_does_not_exist_is_refused_with_what_to_do_instead(waybill: Waybill) -> None:
    result = waybill("show", "SO-1")

    assert result.exit_code == 1
    assert "there is no order SO-1; look for it with `find`" in result.stderr


def test_a_refusal_for_programs_is_json_too(waybill: Waybill) -> None:
    result = waybill("explain", "SO-1", "--json")

    assert result.exit_code == 1
    assert json.loads(result.stdout)["error"] == "not_found"


@pytest.mark.parametrize("text", ["SO-10483", "noor@example.com", "NOOR@example.com"])
def test_an_order_is_found_by_what_a_customer_can_say(waybill: Waybill, placed: str, text: str) -> None:
    result = waybill("find", text)

    assert result.exit_code == 0
    assert "SO-10483" in result.stdout


def test_what_is_not_there_is_not_found(waybill: Waybill) -> None:
    result = waybill("find", "nobody@example.com")

    assert result.exit_code == 1
    assert "nothing found for 'nobody@example.com'" in result.stderr


def test_orders_are_listed_by_stage_and_by_trouble(waybill: Waybill, placed: str) -> None:
    assert "SO-10483" in waybill("ls").stdout
    assert "SO-10483" in waybill("ls", "--stage", "received").stdout
    assert "no orders" in waybill("ls", "--stage", "delivered").stdout
    assert "no orders" in waybill("ls", "--attention", "any").stdout
    assert "no orders" in waybill("ls", "--attention", "lost").stdout
    assert waybill("ls", "--attention", "bad_luck").exit_code == 2


def test_a_list_that_is_cut_short_says_so(waybill: Waybill, books: Engine, placed: str) -> None:
    (other,) = read(json.dumps(a_body(order_id="SO-10484")))
    OrderStore(books, real_now).accept(other.order, by="maria")  # type: ignore[union-attr]  # it is an order

    result = waybill("ls", "--limit", "1")

    assert "the newest 1; --limit shows more" in result.stdout
    assert json.loads(waybill("ls", "--limit", "1", "--json").stdout)["more"] is True


def test_stock_shows_what_may_still_be_claimed(waybill: Waybill, placed: str) -> None:
    result = waybill("stock", "--sku", "TEE-BLK-M")

    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["TEE-BLK-M", "wh-reno", "600", "598", "0", "0", "-", "100", "set", "-", "-"] in lines
    (_, reno) = json.loads(waybill("stock", "--sku", "TEE-BLK-M", "--json").stdout)["stock"]
    assert (reno["available"], reno["reorder_point"], reno["suggested"]) == (598, 100, 0)
    assert "no location holds NOPE" in waybill("stock", "--sku", "NOPE").stdout


def test_goods_that_come_in_count_once_under_the_number_of_their_delivery_note(
    waybill: Waybill, books: Engine
) -> None:
    words = ("stock", "receive", "MUG-12", 40, "--location", "wh-reno", "--key", "note-7")

    first, again = waybill(*words), waybill(*words)

    assert (first.exit_code, again.exit_code) == (0, 0)
    assert "40 x MUG-12 received at wh-reno" in first.stdout
    with books.connect() as conn:
        there = (stock_levels.c.sku == "MUG-12") & (stock_levels.c.location_id == "wh-reno")
        assert conn.scalar(select(stock_levels.c.on_hand).where(there)) == 540
        by = conn.scalars(
            select(stock_movements.c.by).where(stock_movements.c.operation_key == "note-7")
        ).all()
    assert by == ["maria"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("NOPE", 1, "--location", "wh-reno"), 1),
        (("MUG-12", 1, "--location", "wh-moon"), 1),
        (("MUG-12", 0, "--location", "wh-reno"), 2),
        (("MUG-12", 1), 2),
    ],
)
def test_goods_that_cannot_be_are_refused(waybill: Waybill, words: tuple[object, ...], code: int) -> None:
    result = waybill("stock", "receive", *words)

    assert result.exit_code == code
    assert result.stderr
