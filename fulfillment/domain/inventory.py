"""Buckets of stock and the movements that are their only writers."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from fulfillment.domain.errors import FulfillmentError


class Movement(StrEnum):
    """Why buckets change. What each kind does to them is in `EFFECT`.

    Where units may come off the shelf or out of a claim, each has a kind of its own: what is claimed and what is
    free are never told apart by a quantity.
    """

    EXPECTED = "expected"
    RECEIVED = "received"
    ADJUSTED = "adjusted"
    RESERVED = "reserved"
    RESERVATION_RELEASED = "reservation_released"
    ALLOCATED = "allocated"
    ALLOCATED_FROM_STOCK = "allocated_from_stock"
    ALLOCATION_RELEASED = "allocation_released"
    SHIPPED = "shipped"
    RETURNED = "returned"
    RETURNED_DAMAGED = "returned_damaged"
    RETURNED_QUARANTINED = "returned_quarantined"
    DAMAGED = "damaged"
    DAMAGED_CLAIMED = "damaged_claimed"
    QUARANTINED = "quarantined"
    QUARANTINED_CLAIMED = "quarantined_claimed"
    HELD = "held"
    HELD_CLAIMED = "held_claimed"
    HOLD_RELEASED = "hold_released"
    DAMAGE_RESTOCKED = "damage_restocked"
    QUARANTINE_RESTOCKED = "quarantine_restocked"
    SCRAPPED = "scrapped"
    DAMAGE_SCRAPPED = "damage_scrapped"
    QUARANTINE_SCRAPPED = "quarantine_scrapped"
    TRANSFERRED_OUT = "transferred_out"  # at the source
    TRANSFER_COMING = "transfer_coming"  # at the destination, in the same transaction
    TRANSFERRED_IN = "transferred_in"
    TRANSFER_LOST = "transfer_lost"
    SAFETY_STOCK = "safety_stock"


BUCKETS: Final = (
    "on_hand",
    "reserved",
    "allocated",
    "damaged",
    "quarantine",
    "held",
    "incoming",
    "in_transfer",
    "safety_stock",
)
# What is on hand and spoken for already, by an order or by its condition.
TAKEN: Final = ("reserved", "allocated", "damaged", "quarantine", "held")

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
        Movement.RETURNED: {"on_hand": 1},
        Movement.RETURNED_DAMAGED: {"on_hand": 1, "damaged": 1},
        Movement.RETURNED_QUARANTINED: {"on_hand": 1, "quarantine": 1},
        Movement.DAMAGED: {"damaged": 1},
        Movement.DAMAGED_CLAIMED: {"allocated": -1, "damaged": 1},
        Movement.QUARANTINED: {"quarantine": 1},
        Movement.QUARANTINED_CLAIMED: {"allocated": -1, "quarantine": 1},
        Movement.HELD: {"held": 1},
        Movement.HELD_CLAIMED: {"allocated": -1, "held": 1},
        Movement.HOLD_RELEASED: {"held": -1},
        Movement.DAMAGE_RESTOCKED: {"damaged": -1},
        Movement.QUARANTINE_RESTOCKED: {"quarantine": -1},
        Movement.SCRAPPED: {"on_hand": -1},
        Movement.DAMAGE_SCRAPPED: {"on_hand": -1, "damaged": -1},
        Movement.QUARANTINE_SCRAPPED: {"on_hand": -1, "quarantine": -1},
        Movement.TRANSFERRED_OUT: {"on_hand": -1},
        Movement.TRANSFER_COMING: {"in_transfer": 1},
        Movement.TRANSFERRED_IN: {"on_hand": 1, "in_transfer": -1},
        Movement.TRANSFER_LOST: {"in_transfer": -1},
        Movement.SAFETY_STOCK: {"safety_stock": 1},
    }
)


class Condition(StrEnum):
    """Why units on the shelf may not be promised; each is a bucket of its own."""

    DAMAGED = "damaged"
    QUARANTINE = "quarantine"
    HELD = "held"


# How units come into a condition: from the free ones, or from those a shipment claims.
SET_ASIDE: Final[Mapping[Condition, tuple[Movement, Movement]]] = MappingProxyType(
    {
        Condition.DAMAGED: (Movement.DAMAGED, Movement.DAMAGED_CLAIMED),
        Condition.QUARANTINE: (Movement.QUARANTINED, Movement.QUARANTINED_CLAIMED),
        Condition.HELD: (Movement.HELD, Movement.HELD_CLAIMED),
    }
)
RESTOCK: Final[Mapping[Condition, Movement]] = MappingProxyType(
    {
        Condition.DAMAGED: Movement.DAMAGE_RESTOCKED,
        Condition.QUARANTINE: Movement.QUARANTINE_RESTOCKED,
        Condition.HELD: Movement.HOLD_RELEASED,
    }
)
# What is held was not found: whether it exists is for a count to say, so it is never scrapped.
SCRAP: Final[Mapping[Condition, Movement]] = MappingProxyType(
    {
        Condition.DAMAGED: Movement.DAMAGE_SCRAPPED,
        Condition.QUARANTINE: Movement.QUARANTINE_SCRAPPED,
    }
)


class Grade(StrEnum):
    """What units are taken for: among those that may be promised, in a condition, or written off."""

    FREE = "free"
    DAMAGED = "damaged"
    QUARANTINE = "quarantine"
    HELD = "held"
    SCRAP = "scrap"


class Disposition(StrEnum):
    """What becomes of a unit that came back."""

    RESTOCK = "restock"
    DAMAGED = "damaged"
    QUARANTINE = "quarantine"


RETURN: Final[Mapping[Disposition, Movement]] = MappingProxyType(
    {
        Disposition.RESTOCK: Movement.RETURNED,
        Disposition.DAMAGED: Movement.RETURNED_DAMAGED,
        Disposition.QUARANTINE: Movement.RETURNED_QUARANTINED,
    }
)


class StockNews(StrEnum):
    """What is worth telling about the stock of a SKU at a location."""

    LOW_STOCK = "low_stock"
    OUT_OF_STOCK = "out_of_stock"
    BACK_IN_STOCK = "back_in_stock"
    DRIFT_REPAIRED = "drift_repaired"


class InsufficientStock(FulfillmentError):
    """Fewer units are there than were asked for; `of` says of what: what is available, or one bucket."""

    def __init__(self, sku: str, asked: int, available: int, *, of: str = "available") -> None:
        super().__init__(f"{sku}: {asked} asked, {available} {of.replace('_', ' ')}")
        self.sku, self.asked, self.available, self.of = sku, asked, available, of


class CannotRegrade(FulfillmentError):
    """Units do not go from the one to the other; the message says which way they can."""

    def __init__(self, sku: str, of: Grade, to: Grade) -> None:
        super().__init__(
            f"{sku}: what is {of} does not become {to}; it goes by way of {Grade.FREE}, and what is held is counted"
        )
        self.sku, self.of, self.to = sku, of, to


class UnknownSku(FulfillmentError):
    """The catalogue has no such SKU."""

    def __init__(self, sku: str) -> None:
        super().__init__(f"there is no SKU {sku} in the catalogue; import products first")
        self.sku = sku


class PackedAlready(FulfillmentError):
    """The units that are missing are in parcels that are closed: a person must look before the book is changed."""

    def __init__(self, sku: str, location_id: str, shipments: tuple[str, ...], missing: int) -> None:
        packed = ", ".join(shipments) or "other conditions"
        super().__init__(
            f"{sku} at {location_id}: {missing} of the units that would be missing are packed in {packed}; "
            "open the parcels and count again, or cancel the shipments first"
        )
        self.sku, self.location_id, self.shipments, self.missing = sku, location_id, shipments, missing


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """What one location holds of one SKU."""

    sku: str
    location_id: str
    on_hand: int
    reserved: int
    allocated: int
    damaged: int = 0
    quarantine: int = 0
    held: int = 0
    safety_stock: int = 0
    incoming: int = 0
    in_transfer: int = 0

    @property
    def taken(self) -> int:
        """What is on hand and spoken for, by an order or by its condition."""
        return self.reserved + self.allocated + self.damaged + self.quarantine + self.held

    @property
    def available(self) -> int:
        """What a new order may claim; negative when more is promised than safety stock allows."""
        return self.on_hand - self.taken - self.safety_stock


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """What somebody does to stock: its key, why, who and when. Under a key that was used nothing changes."""

    key: str
    cause: str
    by: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ShortLine:
    """What became of a line of which not everything was there."""

    line_no: int
    sku: str
    asked: int
    got: int
    backordered: int
    cancelled: int
