"""Listed equals: what is sent instead of units that are not there, at no higher price."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from fulfillment.domain.money import part_of
from fulfillment.domain.order import Order, OrderLine, UnitRange

SUBSTITUTED: Final = "substituted"  # why units are cancelled for which an equal is sent


@dataclass(frozen=True, slots=True, kw_only=True)
class Equal:
    """A SKU that the shop lists as as good as another; `price` is the catalogue's, in minor units."""

    sku: str
    name: str
    price: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Instead:
    """A line of an equal, and the units of another line that it stands for."""

    line: OrderLine
    units: UnitRange


def instead(
    order: Order,
    short: Sequence[UnitRange],
    listed: Mapping[str, Sequence[Equal]],
    there: Mapping[str, int],
) -> tuple[Instead, ...]:
    """Return lines for as many of the short units as there are equals, the one listed first first.

    `listed` has the equals of each SKU, `there` how many units of each equal may be taken.
    """
    left, made = dict(there), list[Instead]()
    line_no = max(line.line_no for line in order.lines)
    for some in short:
        line, first, end = order.line(some.line_no), some.first, some.first + some.count
        for equal in listed.get(line.sku, ()):
            if not (count := min(end - first, left.get(equal.sku, 0))):
                continue
            left[equal.sku] -= count
            units = UnitRange(line_no=line.line_no, first=first, count=count)
            line_no, first = line_no + 1, first + count
            made.append(Instead(line=_priced(line_no, line, units, equal), units=units))
    return tuple(made)


def without(short: Sequence[UnitRange], made: Sequence[Instead]) -> tuple[UnitRange, ...]:
    """Return the short units for which no equal is sent."""
    rest: list[UnitRange] = []
    for some in short:
        taken = sum(
            one.units.count
            for one in made
            if one.units.line_no == some.line_no and some.first <= one.units.first < some.first + some.count
        )
        if taken < some.count:
            rest.append(UnitRange(line_no=some.line_no, first=some.first + taken, count=some.count - taken))
    return tuple(rest)


def _priced(line_no: int, line: OrderLine, units: UnitRange, equal: Equal) -> OrderLine:
    """Return the line of an equal: what the units cost the customer, or less where the equal is cheaper.

    Discount and tax go with the price, rounded in the customer's favour; shipping costs what it did.
    """

    def of_units(amount: int) -> int:
        return part_of(amount, of=line.quantity, first=units.first, count=units.count)

    discount, tax = -of_units(-line.discount), of_units(line.tax)
    price = min(line.unit_price, equal.price)
    if price < line.unit_price:
        discount = -(-discount * price // line.unit_price)
        tax = tax * price // line.unit_price
    return OrderLine(
        line_no=line_no,
        sku=equal.sku,
        name=equal.name,
        quantity=units.count,
        unit_price=price,
        discount=discount,
        tax=tax,
        shipping_share=of_units(line.shipping_share),
    )
