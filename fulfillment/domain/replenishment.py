"""When stock is ordered from its vendor, and how much of it."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordered:
    """An order to a vendor, expected at `due_at`."""

    replenishment_id: str
    sku: str
    location_id: str
    vendor: str
    quantity: int
    due_at: datetime


def quantity_to_order(position: int, reorder_point: int) -> int:
    """Return how many units to order at this position; 0 while it is above the reorder point.

    The position counts what is promised to orders already, so a negative one is brought up to cover them all.
    """
    if position > reorder_point:
        return 0
    return max(reorder_point * 2, reorder_point + 1) - position
