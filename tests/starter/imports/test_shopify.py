"""The Shopify order export: what is read, what is skipped, and what is told about every kind of broken row."""

import csv
import io
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from starter.imports import shopify
from starter.imports.entries import BadRow, Entry, FoundOrder, NotThisFile, SkippedOrder
from starter.imports.rows import Lines
from tests import northwind

COLUMNS = (
    *shopify.NEEDED,
    "Fulfillment Status",
    "Discount Amount",
    "Lineitem discount",
    "Lineitem requires shipping",
    "Shipping Method",
    "Shipping Address1",
    "Shipping Address2",
    "Shipping Zip",
    "Shipping Province",
    "Shipping Company",
    "Shipping Phone",
    "Cancelled at",
    "Notes",
    "Id",
)


def a_row(**cells: str) -> dict[str, str]:
    """An order of one line: two tees at 24.00, shipping 5.00."""
    usual = {
        "Name": "#1001",
        "Email": "noor@example.com",
        "Financial Status": "authorized",
        "Currency": "USD",
        "Subtotal": "48.00",
        "Shipping": "5.00",
        "Taxes": "0.00",
        "Total": "53.00",
        "Created at": "2026-11-23 10:00:00 +0100",
        "Lineitem quantity": "2",
        "Lineitem name": "Organic tee",
        "Lineitem price": "24.00",
        "Lineitem sku": "TEE-BLK-M",
        "Shipping Name": "Noor Haddad",
        "Shipping Address1": "103 Main St",
        "Shipping City": "Boise",
        "Shipping Zip": "'83702",
        "Shipping Province": "ID",
        "Shipping Country": "US",
        "Shipping Method": "Ground",
        "Id": "77",
    }
    return usual | {name.replace("_", " "): text for name, text in cells.items()}


def a_further_line(name: str = "#1001", **cells: str) -> dict[str, str]:
    usual = {
        "Name": name,
        "Lineitem quantity": "1",
        "Lineitem name": "Enamel mug",
        "Lineitem price": "18.00",
        "Lineitem sku": "MUG-12",
    }
    return usual | {column.replace("_", " "): text for column, text in cells.items()}


def an_export(*rows: Mapping[str, str]) -> bytes:
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def read(content: bytes) -> list[Entry]:
    lines = Lines(io.BytesIO(content), "orders.csv")
    return list(shopify.orders(lines, payment_method="pm_card_visa"))


def only_bad(content: bytes) -> list[tuple[int, str]]:
    entries = read(content)
    assert all(isinstance(entry, BadRow) for entry in entries), entries
    return [(entry.line, entry.why) for entry in entries if isinstance(entry, BadRow)]


def only_order(content: bytes) -> FoundOrder:
    (entry,) = read(content)
    assert isinstance(entry, FoundOrder), entry
    return entry


def test_an_order_of_several_lines_is_read_with_its_address_and_amounts() -> None:
    content = an_export(a_row(Subtotal="66.00", Total="71.00"), a_further_line())

    found = only_order(content)

    order = found.order
    assert (order.order_id, order.external_ref, order.channel) == ("1001", "77", "shopify")
    assert (order.total, order.shipping_fee, order.currency) == (7100, 500, "USD")
    assert [(line.sku, line.quantity, line.unit_price) for line in order.lines] == [
        ("TEE-BLK-M", 2, 2400),
        ("MUG-12", 1, 1800),
    ]
    assert (order.ship_to.name, order.ship_to.line1, order.ship_to.postal_code) == (
        "Noor Haddad",
        "103 Main St",
        "83702",
    )
    assert order.placed_at == datetime(2026, 11, 23, 9, tzinfo=UTC)
    assert (order.service, order.payment_method) == ("Ground", "pm_card_visa")
    assert found.line_of == {1: 2, 2: 3}


def test_the_parts_of_every_order_add_up_again_after_the_fee_was_spread() -> None:
    order = only_order(an_export(a_row(Subtotal="66.00", Total="71.00"), a_further_line())).order

    assert [line.shipping_share for line in order.lines] == [364, 136]
    assert sum(line.value for line in order.lines) == order.total


def test_discounts_of_lines_and_what_the_order_takes_off_beyond_them_both_count() -> None:
    first = a_row(Subtotal="56.00", Total="61.00", Discount_Amount="10.00", Lineitem_discount="4.00")

    order = only_order(an_export(first, a_further_line())).order

    # 10.00 off the order, 4.00 of it on the first line; 6.00 is spread over 44.00 and 18.00 of goods.
    assert [line.discount for line in order.lines] == [400 + 426, 174]


def test_taxes_of_the_order_are_spread_over_its_lines() -> None:
    first = a_row(Subtotal="66.00", Taxes="6.60", Total="77.60")

    order = only_order(an_export(first, a_further_line())).order

    assert [line.tax for line in order.lines] == [480, 180]


def test_a_customer_has_the_same_opaque_id_in_every_order_whatever_the_case() -> None:
    one = only_order(an_export(a_row())).order.customer
    other = only_order(an_export(a_row(Name="#1002", Email="NOOR@example.com"))).order.customer

    assert one.customer_id == other.customer_id
    assert "noor" not in one.customer_id


def test_amounts_follow_the_currency() -> None:
    yen = a_row(Currency="JPY", Subtotal="4800", Shipping="500.00", Total="5300", Lineitem_price="2400")

    order = only_order(an_export(yen)).order

    assert (order.total, order.lines[0].unit_price) == (5300, 2400)


def test_a_byte_order_mark_and_notes_over_several_lines_are_no_trouble() -> None:
    content = b"\xef\xbb\xbf" + an_export(
        a_row(Notes='Gift: "for you"\nring twice'), a_row(Name="#1002", Id="78")
    )

    first, second = read(content)

    assert isinstance(first, FoundOrder)
    assert isinstance(second, FoundOrder)
    assert first.order.note == 'Gift: "for you"\nring twice'
    assert (first.line, second.line) == (2, 4)


@pytest.mark.parametrize(
    ("cells", "why"),
    [
        ({"Financial Status": "voided"}, "voided"),
        ({"Financial Status": "refunded"}, "given back"),
        ({"Financial Status": "paid"}, "already taken"),
        ({"Fulfillment Status": "fulfilled"}, "fulfilled"),
        ({"Cancelled at": "2026-11-24 09:00:00 +0000"}, "cancelled"),
    ],
)
def test_an_order_that_is_over_or_paid_in_the_shop_is_skipped_with_the_reason(
    cells: dict[str, str], why: str
) -> None:
    (entry,) = read(an_export(a_row() | cells))

    assert isinstance(entry, SkippedOrder)
    assert (entry.line, entry.order_id) == (2, "1001")
    assert why in entry.why


BROKEN_CELLS = [
    ("Name", "SO 1/../2", "is not an order number"),
    ("Email", "", "is missing"),
    ("Email", "noor at example.com", "is not an email address"),
    ("Financial Status", "", "is missing"),
    ("Financial Status", "maybe", "is not known"),
    ("Currency", "dollars", "is not a currency code"),
    ("Subtotal", "48.01", "the lines add up to 48.00 USD"),
    ("Subtotal", "", "is missing"),
    ("Shipping", "free", "is not an amount"),
    ("Taxes", "-1.00", "is not an amount"),
    ("Total", "53.01", "add up to 5300, not 5301"),
    ("Total", "53.001", "has more decimals than USD has"),
    ("Total", "99999999999.00", "is more than can be counted"),
    ("Created at", "yesterday", "is not a moment"),
    ("Created at", "0001-01-01 00:00:00 +0100", "is not a moment"),
    ("Discount Amount", "60.00", "is more than the goods cost"),
    ("Lineitem quantity", "two", "is not a whole number"),
    ("Lineitem quantity", "2.5", "is not a whole number"),
    ("Lineitem quantity", "0", "must be at least 1"),
    ("Lineitem quantity", "-2", "is not a whole number"),
    ("Lineitem quantity", "3", "the lines add up to 72.00 USD"),
    ("Lineitem price", "1,024.00", "is not an amount"),
    ("Lineitem price", "1e3", "is not an amount"),
    ("Lineitem price", "NaN", "is not an amount"),
    ("Lineitem price", "٢٤", "is not an amount"),
    ("Lineitem price", "21474836.47", "times the quantity is more than can be counted"),
    ("Lineitem discount", "48.01", "is more than the line costs"),
    ("Lineitem sku", "", "is missing"),
    ("Lineitem name", "  ", "is missing"),
    ("Lineitem requires shipping", "false", "only goods that ship"),
    ("Shipping Name", "", "is missing"),
    ("Shipping Address1", "", "is missing"),
    ("Shipping City", "", "is missing"),
    ("Shipping Country", "USA", "is not a country code"),
    ("Shipping Country", "", "is missing"),
]


@pytest.mark.parametrize(("column", "text", "why"), BROKEN_CELLS)
def test_a_broken_cell_is_told_with_its_line_and_the_orders_around_it_are_read(
    column: str, text: str, why: str
) -> None:
    around = a_row(Name="#1000", Id="76"), a_row(Name="#1002", Id="78")

    before, bad, after = read(an_export(around[0], a_row() | {column: text}, around[1]))

    assert isinstance(before, FoundOrder)
    assert isinstance(bad, BadRow)
    assert isinstance(after, FoundOrder)
    assert bad.line == 3
    assert why in bad.why


def test_every_broken_line_of_an_order_is_told_and_the_order_only_once() -> None:
    rows = a_row(), a_further_line(Lineitem_quantity="x"), a_further_line(Lineitem_price="y")

    bad = only_bad(an_export(*rows))

    assert [line for line, _ in bad] == [3, 4]


def test_a_line_without_its_orders_row_is_told() -> None:
    bad = only_bad(an_export(a_further_line("#1009")))

    assert bad[0][0] == 2
    assert "is not above it" in bad[0][1]


def test_a_line_that_lost_its_name_belongs_to_the_order_above_it() -> None:
    order = only_order(an_export(a_row(Subtotal="66.00", Total="71.00"), a_further_line("")))

    assert len(order.order.lines) == 2


def test_the_same_order_twice_in_a_row_is_two_entries_not_one_order_of_two_lines() -> None:
    entries = read(an_export(a_row(), a_row()))

    assert [entry.line for entry in entries if isinstance(entry, FoundOrder)] == [2, 3]


def test_a_row_with_too_few_columns_spoils_its_own_order_only() -> None:
    rows = an_export(a_row(Subtotal="66.00", Total="71.00"), a_further_line(), a_row(Name="#1002", Id="78"))
    header, first, _, last = rows.splitlines(keepends=True)

    entries = read(header + first + b"#1001,half a row\n" + last)

    assert [(type(entry), entry.line) for entry in entries] == [(BadRow, 3), (FoundOrder, 4)]


def test_a_quote_that_is_never_closed_does_not_swallow_the_rest_of_the_file() -> None:
    header, first, last = an_export(a_row(), a_row(Name="#1002", Id="78")).splitlines(keepends=True)
    stray = first.replace(b"Organic tee", b'"Organic tee')

    entries = read(header + stray + last + stray.replace(b"#1001", b"#1003"))

    assert [(type(entry), entry.line) for entry in entries] == [(BadRow, 2), (FoundOrder, 3), (BadRow, 4)]


def test_a_line_in_another_encoding_is_told_with_the_byte_and_what_to_do() -> None:
    header, first, last = an_export(a_row(), a_row(Name="#1002", Id="78")).splitlines(keepends=True)

    bad, good = read(header + first.replace(b"Boise", "Bogotá".encode("latin-1")) + last)

    assert isinstance(bad, BadRow)
    assert "is not UTF-8 (byte 0xe1); save the file as UTF-8" in bad.why
    assert isinstance(good, FoundOrder)


def test_a_control_character_is_told_because_no_label_and_no_database_can_hold_it() -> None:
    bad = only_bad(an_export(a_row(Notes="a\0b")))

    assert bad == [(2, "holds a control character")]


def test_an_address_over_two_lines_becomes_one() -> None:
    order = only_order(an_export(a_row(Shipping_Address1="103 Main St\n  Back door"))).order

    assert order.ship_to.line1 == "103 Main St Back door"


def test_a_card_number_in_the_notes_is_refused_and_not_repeated() -> None:
    ((_, why),) = only_bad(an_export(a_row(Notes="pay with 4242 4242 4242 4242")))

    assert "card number" in why
    assert "4242" not in why


def test_a_line_without_an_end_is_told_and_not_kept_in_memory() -> None:
    content = (
        an_export(a_row())
        + b"x" * (3 << 20)
        + b"\n"
        + an_export(a_row(Name="#1002", Id="78")).splitlines()[1]
    )

    entries = read(content)

    # It may have been a line of the order above it, which therefore waits for the file to be put right.
    assert [(type(entry), entry.line) for entry in entries] == [(BadRow, 3), (FoundOrder, 4)]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is empty"),
        (an_export(a_row()).decode().encode("utf-16"), "is UTF-16"),
        (b"Handle,Title\nx,y\n", "is not a Shopify order export: it has no column Name"),
        (b"Name;Email;Total\n", "must be separated by commas"),
    ],
)
def test_a_file_that_is_something_else_is_refused_as_a_whole(content: bytes, why: str) -> None:
    with pytest.raises(NotThisFile) as no:
        read(content)

    assert why in str(no.value)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300), st.integers(0, 400))
def test_whatever_stands_in_a_file_never_ends_the_reading(noise: bytes, at: int) -> None:
    content = an_export(a_row(Subtotal="66.00", Total="71.00"), a_further_line())
    cut = content.index(b"\n") + 1 + at % 100

    entries = read(content[:cut] + noise + content[cut:] + an_export(a_row(Name="#1002", Id="78")))

    assert entries
    assert all(entry.line >= 2 for entry in entries)


def _northwind() -> bytes:
    return northwind.ORDERS.read_bytes()


@pytest.mark.northwind
def test_all_of_northwind_is_read_and_every_order_adds_up() -> None:
    entries = read(_northwind())

    orders = [entry.order for entry in entries if isinstance(entry, FoundOrder)]
    assert len(orders) == len(entries) == 560
    assert sum(len(order.lines) for order in orders) == 1464
    assert sum(line.quantity for order in orders for line in order.lines) == 35_070
    assert all(sum(line.value for line in order.lines) == order.total for order in orders)
    assert len({order.ship_to.country for order in orders}) == 21


@pytest.mark.northwind
def test_northwind_with_three_broken_rows_keeps_all_other_orders() -> None:
    lines = _northwind().splitlines(keepends=True)
    lines[2] = lines[2].replace(b",10,", b",ten,", 1)
    lines[8] = b"garbage\n"
    lines[100] = lines[100].replace(b".", b"!")

    entries = read(b"".join(lines))

    bad = [entry.line for entry in entries if isinstance(entry, BadRow)]
    assert 3 in bad
    assert 9 in bad
    assert 101 in bad
    assert sum(isinstance(entry, FoundOrder) for entry in entries) >= 557 - 1
