"""What the shop sells."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """One SKU of the catalogue; `price` is in minor units.

    `on_hand` and `on_order` are what the shop starts with: they count only until stock of it has moved.
    """

    sku: str
    name: str
    weight_g: int
    price: int
    vendor: str = ""
    backorderable: bool = False
    archived: bool = False
    reorder_point: int = 0
    lead_time_days: int = 5
    safety_stock: int = 0
    on_hand: int = 0
    on_order: int = 0
