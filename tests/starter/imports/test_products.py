"""The products export: catalogue, stock and what was ordered from vendors."""

import csv
import io

import pytest

from starter.imports import products
from starter.imports.entries import BadRow, NotThisFile
from starter.imports.products import FoundProduct
from starter.imports.rows import Lines
from tests import northwind

COLUMNS = (
    *products.NEEDED,
    "Vendor",
    "Option1 Value",
    "Reorder Point",
    "On Order",
    "Image Src",
    "Length mm",
    "Width mm",
    "Height mm",
    "Fragile",
    "Serial",
    "Substitutes",
)


def a_row(**cells: str) -> dict[str, str]:
    usual = {
        "Handle": "chai",
        "Title": "Chai",
        "Vendor": "Exotic Liquids",
        "Variant SKU": "NW-001",
        "Variant Grams": "1000",
        "Variant Inventory Qty": "39",
        "Variant Inventory Policy": "continue",
        "Variant Price": "18.00",
        "Status": "active",
        "Reorder Point": "10",
        "On Order": "40",
    }
    return usual | {name.replace("_", " "): text for name, text in cells.items()}


def read(*rows: dict[str, str]) -> list[FoundProduct | BadRow]:
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return list(products.products(Lines(io.BytesIO(out.getvalue().encode()), "products.csv")))


def test_a_product_is_read_with_its_stock_and_what_is_on_its_way() -> None:
    (found,) = read(a_row())

    assert isinstance(found, FoundProduct)
    product = found.product
    assert (product.sku, product.name, product.vendor) == ("NW-001", "Chai", "Exotic Liquids")
    assert (product.weight_g, product.price) == (1000, 1800)
    assert (product.on_hand, product.on_order, product.reorder_point) == (39, 40, 10)
    assert (product.backorderable, product.archived) == (True, False)


def test_a_product_that_will_never_come_again_is_archived_and_cannot_wait() -> None:
    (found,) = read(a_row(Variant_Inventory_Policy="deny", Status="archived"))

    assert isinstance(found, FoundProduct)
    assert (found.product.backorderable, found.product.archived) == (False, True)


def test_a_product_without_a_weight_still_weighs_something() -> None:
    (found,) = read(a_row(Variant_Grams="0"))

    assert isinstance(found, FoundProduct)
    assert found.product.weight_g == 1


def test_a_measured_product_has_three_sides_and_may_be_fragile() -> None:
    sides = {"Length_mm": "120", "Width_mm": "90", "Height_mm": "100"}
    measured, unmeasured = read(
        a_row(**sides, Fragile="true", Serial="true"), a_row(Handle="tea", Variant_SKU="NW-002")
    )

    assert isinstance(measured, FoundProduct)
    assert isinstance(unmeasured, FoundProduct)
    one, other = measured.product, unmeasured.product
    assert (one.length_mm, one.width_mm, one.height_mm) == (120, 90, 100)
    assert (other.length_mm, other.width_mm, other.height_mm) == (None, None, None)
    assert (one.fragile, one.serial, other.fragile, other.serial) == (True, True, False, False)


@pytest.mark.parametrize(
    ("cells", "column"),
    [
        ({"Length_mm": "120"}, "Width mm"),
        ({"Length_mm": "120", "Width_mm": "0", "Height_mm": "10"}, "Width mm"),
        ({"Length_mm": "wide", "Width_mm": "1", "Height_mm": "10"}, "Length mm"),
        ({"Fragile": "very"}, "Fragile"),
        ({"Serial": "perhaps"}, "Serial"),
    ],
)
def test_a_measure_that_cannot_be_is_a_bad_row(cells: dict[str, str], column: str) -> None:
    (bad,) = read(a_row(**cells))

    assert isinstance(bad, BadRow)
    assert column in bad.why


def test_variants_take_title_vendor_and_status_from_the_first_row_and_pictures_are_passed_over() -> None:
    small = a_row(Option1_Value="S")
    large = dict.fromkeys(a_row(), "") | {
        "Handle": "chai",
        "Variant SKU": "NW-001-L",
        "Variant Inventory Policy": "deny",
        "Variant Price": "20",
        "Option1 Value": "L",
    }
    picture = {"Handle": "chai", "Image Src": "https://cdn.example/chai.png"}

    one, other = read(small, large, picture)

    assert isinstance(one, FoundProduct)
    assert isinstance(other, FoundProduct)
    assert [one.product.name, other.product.name] == ["Chai, S", "Chai, L"]
    assert (other.product.vendor, other.product.on_hand, other.product.price) == ("Exotic Liquids", 0, 2000)


@pytest.mark.parametrize(
    ("column", "text", "why"),
    [
        ("Title", "", "is missing"),
        ("Variant SKU", "", "is missing"),
        ("Variant Price", "cheap", "is not an amount"),
        ("Variant Grams", "1.5 kg", "is not a whole number"),
        ("Variant Inventory Qty", "-3", "is not a whole number"),
        ("Variant Inventory Qty", "3000000000", "is more than can be counted"),
        ("Variant Inventory Policy", "maybe", "is not one of continue, deny"),
        ("Status", "gone", "is not one of"),
        ("On Order", "some", "is not a whole number"),
    ],
)
def test_a_broken_product_is_told_with_its_line_and_the_next_one_is_read(
    column: str, text: str, why: str
) -> None:
    bad, good = read(a_row() | {column: text}, a_row(Handle="chang", Variant_SKU="NW-002"))

    assert isinstance(bad, BadRow)
    assert bad.line == 2
    assert why in bad.why
    assert isinstance(good, FoundProduct)


def test_a_sku_that_stands_there_twice_is_told_with_the_line_of_the_first() -> None:
    _, again = read(a_row(), a_row(Handle="other"))

    assert isinstance(again, BadRow)
    assert "stands on line 2 already" in again.why


def test_an_order_export_is_not_taken_for_products() -> None:
    with pytest.raises(NotThisFile, match="is not a Shopify products export: it has no column Handle"):
        list(products.products(Lines(io.BytesIO(b"Name,Email\nx,y\n"), "orders.csv")))


@pytest.mark.northwind
def test_all_of_northwinds_products_are_read() -> None:
    with northwind.PRODUCTS.open("rb") as file:
        found = list(products.products(Lines(file, northwind.PRODUCTS.name)))

    catalogue = [entry.product for entry in found if isinstance(entry, FoundProduct)]
    assert len(catalogue) == len(found) == 77
    assert sum(product.on_hand for product in catalogue) == 3119
    assert sum(product.archived for product in catalogue) == 8


def test_what_is_as_good_is_read_in_its_order_and_an_export_without_the_column_says_nothing_of_it() -> None:
    (listed,) = read(a_row(Substitutes="NW-002, NW-003,"))
    (empty,) = read(a_row())
    (silent,) = products.products(Lines(io.BytesIO(_without_column("Substitutes")), "products.csv"))

    found = [entry.substitutes for entry in (listed, empty, silent) if isinstance(entry, FoundProduct)]
    assert found == [("NW-002", "NW-003"), (), None]


def _without_column(column: str) -> bytes:
    out = io.StringIO()
    writer = csv.DictWriter(
        out, [name for name in COLUMNS if name != column], restval="", lineterminator="\n"
    )
    writer.writeheader()
    writer.writerow(a_row())
    return out.getvalue().encode()
