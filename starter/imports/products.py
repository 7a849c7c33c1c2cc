"""Shopify's products export: one row per variant; the product's own fields on the first row of each product."""

from collections.abc import Iterator
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from fulfillment.domain.catalogue import Product
from starter.imports.entries import BadRow
from starter.imports.rows import BadCell, CsvRows, Lines, Row

NEEDED: Final = (
    "Handle",
    "Title",
    "Variant SKU",
    "Variant Grams",
    "Variant Inventory Qty",
    "Variant Inventory Policy",
    "Variant Price",
    "Status",
)

# The export names no currency: prices are read with two decimals.
_PRICED_LIKE: Final = "USD"
_BACKORDERABLE: Final = MappingProxyType({"continue": True, "deny": False})
_ARCHIVED: Final = MappingProxyType({"active": False, "draft": False, "archived": True})
_ON_FIRST_ROW: Final = ("Title", "Vendor", "Status")
_OF_A_VARIANT: Final = ("Variant SKU", "Variant Price", "Variant Inventory Qty")
_OPTIONS: Final = ("Option1 Value", "Option2 Value", "Option3 Value")
_MEASURES: Final = MappingProxyType(
    {"length_mm": "Length mm", "width_mm": "Width mm", "height_mm": "Height mm"}
)
_YES_OR_NO: Final = MappingProxyType({"": False, "false": False, "true": True})
_NO_OPTION: Final = "Default Title"
_SUBSTITUTES: Final = "Substitutes"


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundProduct:
    """A product and the line it stands on; `substitutes` are listed as as good, None where there is no such column."""

    line: int
    product: Product
    substitutes: tuple[str, ...] | None = None


def products(lines: Lines) -> Iterator[FoundProduct | BadRow]:
    """Read the export row by row; each SKU counts once.

    Raises:
        NotThisFile: its columns are not those of a products export.
    """
    seen: dict[str, int] = {}
    first = Row(0, {})
    for row in CsvRows(lines, NEEDED, "a Shopify products export"):
        if row["Handle"] != first["Handle"]:
            first = row
        if not row.fault and not any(row[column] for column in _OF_A_VARIANT):
            continue  # a further picture of the product above
        yield _entry(row, first, seen)


def _entry(row: Row, first: Row, seen: dict[str, int]) -> FoundProduct | BadRow:
    if row.fault:
        return BadRow(line=row.line, subject="", why=row.fault)
    try:
        product = _product(row, first)
        if (before := seen.setdefault(product.sku, row.line)) != row.line:
            raise BadCell("Variant SKU", f"{product.sku} stands on line {before} already")
    except BadCell as error:
        return BadRow(line=row.line, subject=row["Variant SKU"], why=str(error))
    return FoundProduct(line=row.line, product=product, substitutes=_substitutes(row))


def _product(row: Row, first: Row) -> Product:
    title, vendor, status = (row[column] or first[column] for column in _ON_FIRST_ROW)
    if not title:
        raise BadCell("Title", "is missing")
    return Product(
        sku=row.needed("Variant SKU"),
        name=_name(title, row),
        vendor=vendor,
        weight_g=max(1, row.count("Variant Grams", default=0)),
        price=row.amount("Variant Price", _PRICED_LIKE),
        backorderable=_one_of("Variant Inventory Policy", row["Variant Inventory Policy"], _BACKORDERABLE),
        archived=_one_of("Status", status, _ARCHIVED),
        reorder_point=row.count("Reorder Point", default=0),
        backorder_limit=row.count("Backorder Limit") if row["Backorder Limit"] else None,
        reorder_maximum=row.count("Reorder Maximum") if row["Reorder Maximum"] else None,
        pack_size=max(1, row.count("Pack Size", default=1)),
        minimum_order=max(1, row.count("Minimum Order", default=1)),
        on_hand=row.count("Variant Inventory Qty", default=0),
        on_order=row.count("On Order", default=0),
        fragile=_one_of("Fragile", row["Fragile"], _YES_OR_NO),
        serial=_one_of("Serial", row["Serial"], _YES_OR_NO),
        **_measured(row),
    )


def _substitutes(row: Row) -> tuple[str, ...] | None:
    """Return the SKUs between the commas, the best first."""
    if _SUBSTITUTES not in row.cells:
        return None
    return tuple(sku for one in row[_SUBSTITUTES].split(",") if (sku := one.strip()))


def _measured(row: Row) -> dict[str, Any]:
    """Return the sides of the packed unit; nothing where nobody measured it.

    Raises:
        BadCell: a side is missing or nothing, though another one is given.
    """
    if not any(row[column] for column in _MEASURES.values()):
        return {}
    return {name: _side(row, column) for name, column in _MEASURES.items()}


def _side(row: Row, column: str) -> int:
    if not row[column] or not (side := row.count(column)):
        raise BadCell(column, "must be at least 1 where another side is given")
    return side


def _name(title: str, row: Row) -> str:
    options = [value for column in _OPTIONS if (value := row[column]) and value != _NO_OPTION]
    return f"{title}, {', '.join(options)}" if options else title


def _one_of(column: str, text: str, meanings: MappingProxyType[str, bool]) -> bool:
    if text not in meanings:
        raise BadCell(column, f"{text!r} is not one of {', '.join(meanings)}")
    return meanings[text]
