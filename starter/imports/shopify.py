"""Shopify's order export: one row per line item, the order's own fields on the first row of each order."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

from fulfillment.domain.address import Address
from fulfillment.domain.money import format_minor, spread
from fulfillment.domain.order import Customer, InvalidOrder, Order, OrderLine
from starter.api.schemas import holds_card_number
from starter.countries import is_country
from starter.imports.entries import BadRow, Entry, FoundOrder, SkippedOrder
from starter.imports.rows import LARGEST, BadCell, CsvRows, Lines, Row

CHANNEL: Final = "shopify"
NEEDED: Final = (
    "Name",
    "Email",
    "Financial Status",
    "Currency",
    "Subtotal",
    "Shipping",
    "Taxes",
    "Total",
    "Created at",
    "Lineitem quantity",
    "Lineitem name",
    "Lineitem price",
    "Lineitem sku",
    "Shipping Name",
    "Shipping City",
    "Shipping Country",
)
ORDER_ID: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"

_ON_FIRST_ROW: Final = ("Financial Status", "Currency", "Total")
_ACCEPTED: Final = frozenset({"authorized", "pending"})
_PAID_THERE: Final = "its money was already taken in the shop; Waybill would take it again"
_SKIPPED: Final = MappingProxyType(
    {
        "voided": "its payment was voided",
        "refunded": "its money was given back",
        "expired": "its authorization ran out",
        "partially_refunded": "part of its money was given back in the shop",
        "paid": _PAID_THERE,
        "partially_paid": _PAID_THERE,
    }
)


def orders(lines: Lines, *, payment_method: str) -> Iterator[Entry]:
    """Read the export order by order; only one order is in memory at a time.

    Raises:
        NotThisFile: its columns are not those of an order export.
    """
    for group in _groups(CsvRows(lines, NEEDED, "a Shopify order export")):
        yield from _entries(group, payment_method)


def customer_id(email: str) -> str:
    """Return an opaque id that is the same for every order of this address."""
    return "cus_" + hashlib.sha256(email.casefold().encode()).hexdigest()[:16]


def _groups(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Put the rows of an order together. A row without a name belongs to what stands above it."""
    group: list[Row] = []
    for row in rows:
        if group and _begins_another(row, group[0]):
            yield group
            group = []
        group.append(row)
    if group:
        yield group


def _begins_another(row: Row, first: Row) -> bool:
    if row["Name"] and row["Name"] != first["Name"]:
        return True
    return not row.fault and any(row[column] for column in _ON_FIRST_ROW)


def _entries(group: list[Row], payment_method: str) -> Iterator[Entry]:
    first, order_id = group[0], group[0]["Name"].lstrip("#")
    if broken := [row for row in group if row.fault]:
        yield from (BadRow(line=row.line, subject=order_id, why=row.fault) for row in broken)
    elif why := _not_ours(first):
        yield SkippedOrder(line=first.line, order_id=order_id, why=why)
    else:
        yield from _read(group, order_id, payment_method)


def _not_ours(first: Row) -> str:
    """Say why the shop's order is not for us; empty when it is, or when that cannot be told."""
    if first["Cancelled at"]:
        return "it was cancelled in the shop"
    if first["Fulfillment Status"] in ("fulfilled", "partial", "restocked"):
        return f"the shop has it as {first['Fulfillment Status']}"
    return _SKIPPED.get(first["Financial Status"], "")


def _read(group: list[Row], order_id: str, payment_method: str) -> Iterator[Entry]:
    first = group[0]
    lines, bad = _lines(group, order_id)
    if bad:
        yield from bad
        return
    try:
        order = _order(first, lines, payment_method).checked()
    except (BadCell, InvalidOrder) as error:
        yield BadRow(line=first.line, subject=order_id, why=str(error))
        return
    yield FoundOrder(line=first.line, order=order, line_of={n: row.line for n, row in enumerate(group, 1)})


def _lines(group: list[Row], order_id: str) -> tuple[list[OrderLine], list[BadRow]]:
    lines: list[OrderLine] = []
    bad: list[BadRow] = []
    for n, row in enumerate(group, 1):
        try:
            lines.append(_line(n, row, group[0]["Currency"]))
        except BadCell as error:
            bad.append(BadRow(line=row.line, subject=order_id, why=str(error)))
    return lines, bad


def _line(n: int, row: Row, currency: str) -> OrderLine:
    line = OrderLine(
        line_no=n,
        sku=row.needed("Lineitem sku"),
        name=row.needed("Lineitem name"),
        quantity=row.count("Lineitem quantity"),
        unit_price=row.amount("Lineitem price", currency),
        discount=row.amount("Lineitem discount", currency, default=0),
    )
    if line.quantity < 1:
        raise BadCell("Lineitem quantity", "must be at least 1")
    if line.goods < 0:
        raise BadCell(
            "Lineitem discount", f"is more than the line costs ({line.quantity} x {line.unit_price})"
        )
    if line.goods > LARGEST:
        raise BadCell("Lineitem price", "times the quantity is more than can be counted")
    if row["Lineitem requires shipping"].casefold() == "false":
        raise BadCell("Lineitem requires shipping", "is false: only goods that ship can be fulfilled")
    return line


def _order(first: Row, lines: Sequence[OrderLine], payment_method: str) -> Order:
    name = first.needed("Name")
    if not any(first[column] for column in _ON_FIRST_ROW):
        raise BadCell(
            "Name", f"{name}: the row with the order's own fields (Currency, Total) is not above it"
        )
    if first.needed("Financial Status") not in _ACCEPTED:
        raise BadCell(
            "Financial Status",
            f"{first['Financial Status']!r} is not known; it must be authorized or pending",
        )
    currency = first.matching("Currency", "[A-Z]{3}", "a currency code such as USD")
    email = first.matching("Email", r"[^@\s]+@[^@\s]+", "an email address")
    return Order(
        order_id=_order_id(name),
        external_ref=first["Id"] or name,
        channel=CHANNEL,
        customer=Customer(
            customer_id=customer_id(email), email=email, phone=first["Phone"] or first["Shipping Phone"]
        ),
        lines=_priced(first, lines, currency),
        currency=currency,
        total=first.amount("Total", currency),
        shipping_fee=first.amount("Shipping", currency, default=0),
        ship_to=_address(first),
        payment_method=payment_method,
        placed_at=_moment(first),
        service=first["Shipping Method"] or "standard",
        note=_note(first),
    )


def _order_id(name: str) -> str:
    order_id = name.lstrip("#")
    if not re.fullmatch(ORDER_ID, order_id):
        raise BadCell(
            "Name", f"{name!r} is not an order number: letters, digits, dot, dash and underscore, at most 64"
        )
    return order_id


def _priced(first: Row, lines: Sequence[OrderLine], currency: str) -> tuple[OrderLine, ...]:
    """Return the lines with what the export gives for the whole order: a discount on top, and the taxes."""
    taxes = spread(first.amount("Taxes", currency, default=0), [line.goods for line in lines])
    extra = spread(_discount_on_top(first, lines, currency), [line.goods for line in lines])
    priced = tuple(
        replace(line, discount=line.discount + off, tax=tax)
        for line, off, tax in zip(lines, extra, taxes, strict=True)
    )
    goods, subtotal = sum(line.goods for line in priced), first.amount("Subtotal", currency)
    if goods != subtotal:
        said, found = format_minor(subtotal, currency), format_minor(goods, currency)
        raise BadCell("Subtotal", f"says {said}, but the lines add up to {found} after discounts")
    return priced


def _discount_on_top(first: Row, lines: Sequence[OrderLine], currency: str) -> int:
    """Return what the order's discount takes off beyond the discounts of its lines."""
    on_lines = sum(line.discount for line in lines)
    extra = first.amount("Discount Amount", currency, default=on_lines) - on_lines
    if extra < 0:
        raise BadCell(
            "Discount Amount", f"is less than the lines' discounts, {format_minor(on_lines, currency)}"
        )
    if extra > sum(line.goods for line in lines):
        raise BadCell("Discount Amount", "is more than the goods cost")
    return extra


def _address(first: Row) -> Address:
    street = first["Shipping Address1"] or first["Shipping Street"]
    if not street:
        raise BadCell("Shipping Address1", "is missing")
    return Address(
        name=first.needed("Shipping Name"),
        line1=street,
        line2=first["Shipping Address2"],
        company=first["Shipping Company"],
        city=first.needed("Shipping City"),
        region=first["Shipping Province"],
        # Shopify puts an apostrophe before a postal code, so that spreadsheets keep its zeros.
        postal_code=first["Shipping Zip"].lstrip("'"),
        country=_country(first),
        phone=first["Shipping Phone"],
    )


def _country(first: Row) -> str:
    code = first.needed("Shipping Country")
    if not is_country(code):
        raise BadCell("Shipping Country", f"{code!r} is not a country code such as US")
    return code


def _note(first: Row) -> str:
    note = first.cells.get("Notes", "").strip()
    if holds_card_number(note):
        raise BadCell("Notes", "holds what looks like a card number; take it out")
    return note


def _moment(first: Row) -> datetime:
    text = first.needed("Created at")
    try:
        return datetime.strptime(text, "%Y-%m-%d %H:%M:%S %z").astimezone(UTC)
    except (ValueError, OverflowError):
        raise BadCell("Created at", f"{text!r} is not a moment such as 2026-11-23 09:00:00 +0000") from None
