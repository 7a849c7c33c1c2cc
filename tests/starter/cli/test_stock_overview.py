"""What is in stock, what would ship from where, and the places it ships from, on the command line."""

import json
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select

from fulfillment.storage.tables import stock_levels
from tests.starter.cli.conftest import Waybill

BERLIN = (
    "--name",
    "Berlin",
    "--line1",
    "Lagerstr. 1",
    "--city",
    "Berlin",
    "--country",
    "DE",
    "--region",
    "BE",
)
CSV = (
    "Handle,Title,Vendor,Variant SKU,Variant Grams,Variant Inventory Qty,Variant Inventory Policy,"
    "Variant Price,Status,Reorder Point,On Order,Pack Size\n"
    "chai,Chai,Liquids,NW-1,1000,39,continue,18.00,active,10,7,12\n"
)


def test_what_is_low_is_what_is_to_be_ordered(waybill: Waybill) -> None:
    low = waybill("stock", "--low", "--json")

    assert [(row["sku"], row["suggested"]) for row in json.loads(low.stdout)["stock"]] == [
        ("MAP-ALPS", 17),
        ("MAP-ALPS", 17),
    ]
    assert "10 set" in waybill("stock", "--low").stdout


def test_stock_over_time_is_drawn_as_a_picture(waybill: Waybill, tmp_path: Path) -> None:
    waybill("receive", "MUG-12", 40, "--location", "wh-reno")

    drawn = waybill("stock", "--sku", "MUG-12", "--plot", tmp_path / "mug.png")
    undrawn = waybill("stock", "--plot", tmp_path / "all.png")

    assert drawn.exit_code == 0
    assert (tmp_path / "mug.png").read_bytes().startswith(b"\x89PNG")
    assert (undrawn.exit_code, "say which SKU" in undrawn.stderr) == (2, True)


def test_source_shows_where_a_cart_would_come_from_and_why(waybill: Waybill) -> None:
    far = waybill("source", "--sku", "MUG-12=2", "--sku", "PACK-30=1", "--to", "US-PA")
    data = json.loads(waybill("source", "--sku", "MUG-12=2", "--to", "US-NV", "--json").stdout)

    assert "wh-lehigh: cheaper than wh-reno" in far.stdout
    assert "2 x MUG-12, 1 x PACK-30" in far.stdout
    assert data["parcels"][0]["location_id"] == "wh-reno"
    assert [one["locations"] for one in data["candidates"]] == [["wh-reno"], ["wh-lehigh"]]
    assert data["candidates"][0]["scores"]["fewest_parcels"] == 1


def test_source_names_what_waits_and_what_cannot_be_had(waybill: Waybill) -> None:
    result = waybill("source", "--sku", "MAP-ALPS=8", "--sku", "STV-1=9")

    assert "2 x MAP-ALPS" in result.stdout
    assert "waits for stock" in result.stdout
    assert ["STV-1", "9", "4"] in [line.split() for line in result.stdout.splitlines()]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--sku", "MUG-12"), "is not SKU=QTY"),
        (("--sku", "MUG-12=0"), "is not SKU=QTY"),
        (("--sku", "MUG-12=1", "--to", "Nevada"), "does not begin with a country"),
        ((), "give --sku SKU=QTY, or --order ORDER"),
        (("--sku", "MUG-12=1", "--order", "SO-1"), "give --sku SKU=QTY, or --order ORDER"),
    ],
)
def test_source_says_what_is_wrong_with_the_question(
    waybill: Waybill, words: tuple[str, ...], why: str
) -> None:
    result = waybill("source", *words)

    assert (result.exit_code, why in " ".join(result.stderr.split())) == (2, True)


def test_source_knows_no_sku_that_is_not_sold(waybill: Waybill) -> None:
    result = waybill("source", "--sku", "NOPE=1")

    assert (result.exit_code, "there is no SKU NOPE" in result.stderr) == (1, True)


def test_a_location_is_added_and_listed_with_its_days(waybill: Waybill) -> None:
    added = waybill("location", "add", "wh-berlin", *BERLIN, "--zone", "Europe/Berlin", "--cut-off", "16:00",
                    "--days", "mon,tue,wed,thu,fri,sat", "--capacity", 200, "--json")  # fmt: skip
    listed = waybill("location", "list")

    assert added.exit_code == 0
    shown = json.loads(added.stdout)
    assert (shown["cut_off"], shown["working_days"]) == ("16:00:00", [0, 1, 2, 3, 4, 5])
    assert any(day.endswith("-10-03") for day in shown["closed_days"])  # the Day of German Unity
    assert "wh-berlin" in listed.stdout
    assert "Europe/Berlin" in listed.stdout


@pytest.mark.parametrize(
    ("words", "exit_code", "why"),
    [
        (("--zone", "Berlin"), 1, "'Berlin' is no zone of the IANA list"),
        (("--zone", "Europe/Berlin", "--cut-off", "2pm"), 2, "'2pm' is no time of day"),
        (("--zone", "Europe/Berlin", "--days", "mon,blue"), 2, "'blue' is not one of mon, tue"),
        (("--zone", "Europe/Berlin", "--country", "Germany"), 2, "'Germany' is no country of two letters"),
    ],
)
def test_a_location_that_cannot_be_is_refused_with_the_reason(
    waybill: Waybill, words: tuple[str, ...], exit_code: int, why: str
) -> None:
    result = waybill("location", "add", "wh-berlin", *BERLIN, *words)

    assert (result.exit_code, why in " ".join(result.stderr.replace("│", " ").split())) == (exit_code, True)


def test_imported_stock_is_spread_over_locations_to_the_last_unit(
    waybill: Waybill, books: Engine, tmp_path: Path
) -> None:
    file = tmp_path / "products.csv"
    file.write_text(CSV)

    waybill("import", "--products", file, "--split", "wh-reno=60,wh-lehigh=40")
    again = waybill("import", "--products", file, "--split", "wh-reno=60,wh-lehigh=40")

    assert again.exit_code == 0
    with books.connect() as conn:
        query = select(stock_levels.c.location_id, stock_levels.c.on_hand, stock_levels.c.incoming)
        rows = conn.execute(query.where(stock_levels.c.sku == "NW-1").order_by("location_id")).all()
        assert [tuple(row) for row in rows] == [("wh-lehigh", 16, 3), ("wh-reno", 23, 4)]
        assert conn.scalar(select(func.sum(stock_levels.c.on_hand)).where(stock_levels.c.sku == "NW-1")) == 39


@pytest.mark.parametrize(
    ("words", "exit_code", "why"),
    [
        (("--split", "wh-reno"), 2, "is not a location and its share"),
        (("--split", "wh-reno=0"), 2, "is not a location and its share"),
        (("--split", "wh-reno=1,wh-reno=2"), 2, "is not a location and its share"),
        (("--split", "wh-reno=1", "--location", "wh-reno"), 2, "not both"),
        (("--split", "wh-mars=1"), 1, "there is no location wh-mars; `location list` shows which there are"),
    ],
)
def test_a_split_that_cannot_be_is_refused(
    waybill: Waybill, tmp_path: Path, words: tuple[str, ...], exit_code: int, why: str
) -> None:
    file = tmp_path / "products.csv"
    file.write_text(CSV)

    result = waybill("import", "--products", file, *words)

    assert (result.exit_code, why in " ".join(result.stderr.replace("│", " ").split())) == (exit_code, True)


def test_nothing_is_suggested_or_late_at_first(waybill: Waybill) -> None:
    assert "nothing is suggested, and nothing is late" in waybill("replenish", "list").stdout
    unknown = waybill("replenish", "approve", "RO-9")
    assert (unknown.exit_code, "there is no order RO-9" in unknown.stderr) == (1, True)
