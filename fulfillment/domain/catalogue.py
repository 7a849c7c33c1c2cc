"""What the shop sells."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date

from fulfillment.domain.money import spread


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """One SKU of the catalogue; `price` is in minor units.

    `on_hand` and `on_order` are what the shop starts with: they count only until stock of it has moved.
    `backorder_limit` is how many units may wait for stock at once, None for no limit; before `available_from` none
    leave. `reorder_point` and `reorder_maximum` are set by hand and count until enough of it was sold to reckon them.
    `length_mm`, `width_mm` and `height_mm` are of the packed unit, in any turn; None where nobody measured it. Every
    unit of what is `serial` has a number of its own, which is scanned with it. Such a unit, and what is `fragile`, is
    looked at before it leaves. Vendors sell in packs of `pack_size`, and `minimum_order` units at least.
    """

    sku: str
    name: str
    weight_g: int
    price: int
    vendor: str = ""
    backorderable: bool = False
    archived: bool = False
    available_from: date | None = None
    backorder_limit: int | None = None
    reorder_point: int = 0
    reorder_maximum: int | None = None
    pack_size: int = 1
    minimum_order: int = 1
    lead_time_days: int = 5
    safety_stock: int = 0
    length_mm: int | None = None
    width_mm: int | None = None
    height_mm: int | None = None
    fragile: bool = False
    serial: bool = False
    on_hand: int = 0
    on_order: int = 0


def shared(product: Product, shares: Mapping[str, int]) -> dict[str, Product]:
    """Return the product as each location starts with it, what there is spread by these shares to the last unit."""
    places, weights = list(shares), list(shares.values())
    there, coming = spread(product.on_hand, weights), spread(product.on_order, weights)
    return {
        place: replace(product, on_hand=on_hand, on_order=on_order)
        for place, on_hand, on_order in zip(places, there, coming, strict=True)
    }
