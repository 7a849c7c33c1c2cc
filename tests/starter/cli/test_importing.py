"""`import`: what is taken, what is told, and what a repeat does."""

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, func, select

from fulfillment.settings import real_now
from fulfillment.storage.replenishment import ReplenishmentStore
from fulfillment.storage.stock import StockStore
from fulfillment.storage.tables import (
    audit_entries,
    order_events,
    order_lines,
    orders,
    skus,
    stock_levels,
    stock_movements,
)
from tests import northwind
from tests.starter.cli.conftest import Waybill, invoke
from tests.starter.imports.test_json_lines import a_body
from tests.starter.imports.test_shopify import a_further_line, a_row, an_export


def rows(books: Engine, table: Any) -> int:
    with books.connect() as conn:
        return conn.scalar(select(func.count()).select_from(table)) or 0


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """Two orders, the first of two lines."""
    file = tmp_path / "orders.csv"
    first = a_row(Subtotal="66.00", Total="71.00"), a_further_line()
    file.write_bytes(an_export(*first, a_row(Name="#1002", Id="78")))
    return file


def test_orders_are_accepted_in_the_name_of_who_imports_and_wait_to_be_started(
    waybill: Waybill, books: Engine, export: Path
) -> None:
    result = waybill("import", export)

    assert result.exit_code == 0
    assert "2 orders: 2 accepted, 0 known, 0 bad in" in result.stdout
    with books.connect() as conn:
        stored = conn.execute(select(orders).order_by(orders.c.order_id)).all()
        by = conn.scalars(select(audit_entries.c.actor)).all()
    assert [(row.order_id, row.channel, row.external_ref, row.status) for row in stored] == [
        ("1001", "shopify", "77", "received"),
        ("1002", "shopify", "78", "received"),
    ]
    assert all(row.started_at is None for row in stored)
    assert by == ["maria", "maria"]


def test_a_repeat_changes_nothing(waybill: Waybill, books: Engine, export: Path) -> None:
    waybill("import", export)
    before = [rows(books, table) for table in (orders, order_lines, order_events, audit_entries)]

    result = waybill("import", export)

    assert result.exit_code == 0
    assert "2 orders: 0 accepted, 2 known, 0 bad" in result.stdout
    assert [rows(books, table) for table in (orders, order_lines, order_events, audit_entries)] == before


def test_bad_rows_are_told_with_their_lines_and_the_other_orders_are_accepted(
    waybill: Waybill, books: Engine, tmp_path: Path
) -> None:
    file = tmp_path / "orders.csv"
    broken = (
        a_row(Subtotal="66.00", Total="71.00", Lineitem_quantity="two"),
        a_further_line(Lineitem_price="-"),
    )
    unknown = a_row(Name="#1002", Id="78", Subtotal="66.00", Total="71.00")
    theirs = a_further_line("#1002", Lineitem_sku="NOPE")
    file.write_bytes(an_export(*broken, unknown, theirs, a_row(Name="#1003", Id="79")))

    result = waybill("import", file)

    assert result.exit_code == 1
    assert "line 2: 1001 bad: Lineitem quantity 'two' is not a whole number" in result.stdout
    assert "line 3: 1001 bad: Lineitem price '-' is not an amount" in result.stdout
    assert "line 5: 1002 bad: there is no SKU NOPE in the catalogue" in result.stdout
    assert "3 orders: 1 accepted, 0 known, 2 bad in" in result.stdout
    assert "3 bad rows: put them right and import the file again" in result.stdout
    assert rows(books, orders) == 1


def test_an_order_that_changed_since_it_was_accepted_is_told_and_not_changed(
    waybill: Waybill, books: Engine, export: Path
) -> None:
    waybill("import", export)
    export.write_bytes(export.read_bytes().replace(b"Boise", b"Nampa", 1))

    result = waybill("import", export)

    assert result.exit_code == 1
    assert "line 2: 1001 bad: 1001 was already accepted with other content" in result.stdout
    with books.connect() as conn:
        assert set(conn.scalars(select(orders.c.ship_to["city"].astext))) == {"Boise"}


def test_orders_that_are_over_in_the_shop_are_skipped_and_that_is_no_failure(
    waybill: Waybill, books: Engine, tmp_path: Path
) -> None:
    file = tmp_path / "orders.csv"
    file.write_bytes(an_export(a_row(Financial_Status="voided"), a_row(Name="#1002", Id="78")))

    result = waybill("import", file)

    assert result.exit_code == 0
    assert "line 2: 1001 skipped: its payment was voided" in result.stdout
    assert "2 orders: 1 accepted, 0 known, 1 skipped, 0 bad" in result.stdout


def test_json_lines_are_recognised_by_what_stands_in_them(
    waybill: Waybill, books: Engine, tmp_path: Path
) -> None:
    file = tmp_path / "orders.txt"
    lines = [json.dumps(a_body()), "{}", json.dumps(a_body(order_id="SO-10484"))]
    file.write_text("\n".join(lines))

    result = waybill("import", file)

    assert result.exit_code == 1
    assert "line 2: bad:" in result.stdout
    assert "3 orders: 2 accepted, 0 known, 1 bad" in result.stdout


def test_programs_get_one_json_value_with_every_bad_row(
    waybill: Waybill, books: Engine, tmp_path: Path
) -> None:
    file = tmp_path / "orders.csv"
    file.write_bytes(an_export(a_row(Total="1.00"), a_row(Name="#1002", Id="78")))

    result = waybill("import", file, "--json")

    answer = json.loads(result.stdout)
    assert result.exit_code == 1
    assert (answer["orders"]["accepted"], answer["orders"]["bad"], answer["bad_rows"]) == (1, 1, 1)
    assert answer["orders"]["told"][0]["line"] == 2


def test_the_payment_method_of_imported_orders_may_be_chosen_but_never_be_a_card(
    waybill: Waybill, books: Engine, export: Path
) -> None:
    refused = waybill("import", export, "--payment-method", "4242424242424242")
    waybill("import", export, "--payment-method", "pm_card_mastercard")

    assert refused.exit_code == 2
    with books.connect() as conn:
        assert set(conn.scalars(select(orders.c.payment_method))) == {"pm_card_mastercard"}


def a_catalogue(folder: Path, *more: str) -> Path:
    file = folder / "products.csv"
    header = (
        "Handle,Title,Vendor,Variant SKU,Variant Grams,Variant Inventory Qty,Variant Inventory Policy,"
        "Variant Price,Status,Reorder Point,On Order"
    )
    chai = "chai,Chai,Exotic Liquids,NW-001,1000,39,continue,18.00,active,10,40"
    file.write_text("\n".join([header, chai, *more]) + "\n")
    return file


def test_products_come_before_the_orders_that_ask_for_them(
    waybill: Waybill, books: Engine, tmp_path: Path
) -> None:
    file = tmp_path / "orders.csv"
    file.write_bytes(an_export(a_row(Lineitem_sku="NW-001")))

    result = waybill("import", file, "--products", a_catalogue(tmp_path), "--location", "wh-lehigh")

    assert result.exit_code == 0
    with books.connect() as conn:
        level = conn.execute(select(stock_levels).where(stock_levels.c.sku == "NW-001")).one()
    assert (level.location_id, level.on_hand, level.incoming) == ("wh-lehigh", 39, 40)


def test_products_again_change_no_stock_but_what_is_said_of_them(
    waybill: Waybill, books: Engine, tmp_path: Path
) -> None:
    waybill("import", "--products", a_catalogue(tmp_path))
    before = rows(books, stock_movements)
    file = a_catalogue(tmp_path)
    file.write_text(file.read_text().replace("Chai", "Chai tea").replace(",39,", ",500,"))

    result = waybill("import", "--products", file)

    assert "1 products: 1 set, 0 bad" in result.stdout
    assert rows(books, stock_movements) == before
    with books.connect() as conn:
        assert conn.scalar(select(skus.c.name).where(skus.c.sku == "NW-001")) == "Chai tea"
        assert conn.scalar(select(stock_levels.c.on_hand).where(stock_levels.c.sku == "NW-001")) == 39


def test_a_bad_product_is_told_and_the_next_one_is_set(
    waybill: Waybill, books: Engine, tmp_path: Path
) -> None:
    file = a_catalogue(
        tmp_path, "x,X,V,NW-009,1,-5,deny,1.00,active,0,0", "y,Y,V,NW-010,1,5,deny,1.00,active,0,0"
    )

    result = waybill("import", "--products", file)

    assert result.exit_code == 1
    assert "line 3: NW-009 bad: Variant Inventory Qty '-5' is not a whole number" in result.stdout
    assert "3 products: 2 set, 1 bad" in result.stdout


def test_a_row_may_list_what_stands_below_it_and_one_that_lists_itself_is_told(
    waybill: Waybill, books: Engine, tmp_path: Path
) -> None:
    file = a_catalogue(tmp_path)
    header, chai = file.read_text().splitlines()
    chang = "chang,Chang,V,NW-002,1,5,deny,1.00,active,0,0"
    file.write_text("\n".join([f"{header},Substitutes", f"{chai},NW-002", f"{chang},NW-002"]) + "\n")

    result = waybill("import", "--products", file)

    assert StockStore(books, real_now).substitutes("NW-001") == ("NW-002",)
    assert "line 3: NW-002 bad: Substitutes: NW-002 cannot be sent instead of NW-002" in result.stdout
    assert "2 products: 1 set, 1 bad" in result.stdout


def test_a_location_that_does_not_exist_is_refused_and_nothing_is_set(
    waybill: Waybill, books: Engine, tmp_path: Path
) -> None:
    before = rows(books, skus)

    result = waybill("import", "--products", a_catalogue(tmp_path), "--location", "wh-moon")

    assert result.exit_code == 1
    assert "there is no location wh-moon" in result.stderr
    assert rows(books, skus) == before


def test_a_file_of_another_kind_is_refused_as_a_whole(waybill: Waybill, tmp_path: Path) -> None:
    result = waybill("import", a_catalogue(tmp_path))

    assert result.exit_code == 1
    assert "products.csv is not a Shopify order export: it has no column Name" in result.stderr


def test_without_a_file_it_is_a_mistake_of_usage(waybill: Waybill) -> None:
    assert waybill("import").exit_code == 2
    assert waybill("import", "/nowhere/orders.csv").exit_code == 2


def test_a_database_that_is_away_is_unreachable(
    waybill: Waybill, export: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")

    result = waybill("import", export)

    assert result.exit_code == 3
    assert "the database does not answer" in result.stderr


def test_a_database_without_tables_is_told_to_be_upgraded(
    server_url: Any, export: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = server_url.set(database="postgres").render_as_string(hide_password=False)
    monkeypatch.setenv("DATABASE_URL", empty)

    result = invoke(["import", str(export), "--by", "maria"])

    assert result.exit_code == 2
    assert "run `db upgrade` first" in result.stderr


@pytest.mark.northwind
def test_all_of_northwind_is_accepted_once(waybill: Waybill, books: Engine, tmp_path: Path) -> None:
    catalogue, export = northwind.PRODUCTS, northwind.ORDERS
    some = tmp_path / "some.csv"
    some.write_text("".join(export.read_text().splitlines(keepends=True)[:148]))

    first = waybill("import", export, "--products", catalogue)
    again = waybill("import", some, "--products", catalogue)

    assert "77 products: 77 set, 0 bad in" in first.stdout
    assert "560 orders: 560 accepted, 0 known, 0 bad in" in first.stdout
    assert ": 0 accepted, " in again.stdout
    assert (first.exit_code, again.exit_code) == (0, 0)
    assert (rows(books, orders), rows(books, order_lines)) == (560, 1464)


@pytest.mark.northwind
def test_after_northwind_on_two_warehouses_everything_low_is_ordered_and_nothing_archived(
    waybill: Waybill, books: Engine
) -> None:
    store = StockStore(books, real_now)
    waybill(
        "import", northwind.ORDERS, "--products", northwind.PRODUCTS, "--split", "wh-reno=60,wh-lehigh=40"
    )
    with books.connect() as conn:
        placed = conn.scalars(select(orders.c.order_id).order_by(orders.c.order_id)).all()
        archived = frozenset(conn.scalars(select(skus.c.sku).where(skus.c.archived)))
    for order_id in placed:
        store.reserve(order_id)

    vendors = ReplenishmentStore(books, real_now)
    ordered = vendors.order_what_is_low()

    assert {order.location_id for order in ordered} == {"wh-reno", "wh-lehigh"}
    assert not archived & {order.sku for order in ordered}
    for row in vendors.overview():
        if row.sku not in archived:
            assert row.available + row.incoming - row.backordered > row.reorder_point, row
    assert vendors.order_what_is_low() == ()
