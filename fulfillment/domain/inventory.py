"""Buckets of stock and the movements that are their only writers."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from fulfillment.domain.errors import FulfillmentError


class Movement(StrEnum):
    """Why buckets change. What each kind does to them is in `EFFECT`."""

    EXPECTED = "expected"
    RECEIVED = "received"
    ADJUSTED = "adjusted"
    RESERVED = "reserved"
    RESERVATION_RELEASED = "reservation_released"
    ALLOCATED = "allocated"
    ALLOCATED_FROM_STOCK = "allocated_from_stock"
    ALLOCATION_RELEASED = "allocation_released"
    SHIPPED = "shipped"


BUCKETS: Final = ("on_hand", "reserved", "allocated", "incoming")

# The change of each bucket per unit moved.
EFFECT: Final[Mapping[Movement, Mapping[str, int]]] = MappingProxyType(
    {
        Movement.EXPECTED: {"incoming": 1},
        Movement.RECEIVED: {"on_hand": 1},
        Movement.ADJUSTED: {"on_hand": 1},
        Movement.RESERVED: {"reserved": 1},
        Movement.RESERVATION_RELEASED: {"reserved": -1},
        Movement.ALLOCATED: {"reserved": -1, "allocated": 1},
        Movement.ALLOCATED_FROM_STOCK: {"allocated": 1},
        Movement.ALLOCATION_RELEASED: {"allocated": -1},
        Movement.SHIPPED: {"on_hand": -1, "allocated": -1},
    }
)


class InsufficientStock(FulfillmentError):
    """Fewer units are available than were asked for."""

    def __init__(self, sku: str, asked: int, available: int) -> None:
        super().__init__(f"{sku}: {asked} asked, {available} available")
        self.sku, self.asked, self.available = sku, asked, available


class UnknownSku(FulfillmentError):
    """The catalogue has no such SKU."""

    def __init__(self, sku: str) -> None:
        super().__init__(f"there is no SKU {sku} in the catalogue; import products first")
        self.sku = sku


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """What one location holds of one SKU."""

    sku: str
    location_id: str
    on_hand: int
    reserved: int
    allocated: int
    safety_stock: int = 0
    incoming: int = 0

    @property
    def available(self) -> int:
        """What a new order may claim; negative when more is promised than safety stock allows."""
        return self.on_hand - self.reserved - self.allocated - self.safety_stock


@dataclass(frozen=True, slots=True, kw_only=True)
class ShortLine:
    """What became of a line of which not everything was there."""

    line_no: int
    sku: str
    asked: int
    got: int
    backordered: int
    cancelled: int
