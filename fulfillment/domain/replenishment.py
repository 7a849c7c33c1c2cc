"""When stock is ordered from its vendor, and how much of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from math import ceil, sqrt
from types import MappingProxyType
from typing import Final

from fulfillment.domain.errors import FulfillmentError
from fulfillment.domain.policy import Policy


class ReplenishmentState(StrEnum):
    """How far an order to a vendor has come."""

    SUGGESTED = "suggested"  # a person must approve it; nothing is expected yet
    ORDERED = "ordered"
    PARTIALLY_RECEIVED = "partially_received"
    RECEIVED = "received"
    CANCELLED = "cancelled"  # what had come until then stays


_S = ReplenishmentState
NEXT: Final[Mapping[ReplenishmentState, frozenset[ReplenishmentState]]] = MappingProxyType(
    {
        _S.SUGGESTED: frozenset({_S.ORDERED, _S.CANCELLED}),
        _S.ORDERED: frozenset({_S.PARTIALLY_RECEIVED, _S.RECEIVED, _S.CANCELLED}),
        _S.PARTIALLY_RECEIVED: frozenset({_S.PARTIALLY_RECEIVED, _S.RECEIVED, _S.CANCELLED}),
        _S.RECEIVED: frozenset(),
        _S.CANCELLED: frozenset(),
    }
)
COMING: Final = frozenset({_S.ORDERED, _S.PARTIALLY_RECEIVED})


class NotFromHere(FulfillmentError):
    """The order to a vendor is no longer where this could be done to it."""

    def __init__(self, replenishment_id: str, state: str, wanted: str) -> None:
        super().__init__(f"{replenishment_id} is {state.replace('_', ' ')} and cannot become {wanted}")
        self.replenishment_id, self.state, self.wanted = replenishment_id, state, wanted


class UnknownReplenishment(FulfillmentError):
    """There is no order to a vendor of this number."""

    def __init__(self, replenishment_id: str) -> None:
        super().__init__(f"there is no order {replenishment_id} to a vendor")
        self.replenishment_id = replenishment_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordered:
    """An order to a vendor, expected at `due_at`."""

    replenishment_id: str
    sku: str
    location_id: str
    vendor: str
    quantity: int
    due_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What was asked for: units a day, their deviation, and how many days and sales that is known from."""

    per_day: float
    deviation: float = 0.0
    days: int = 0
    sales: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadTime:
    """From order to receipt, in days."""

    days: float
    deviation: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ByHand:
    """What a person set: when to order, up to how much, and in which quantities the vendor sells."""

    reorder_point: int = 0
    maximum: int | None = None
    pack_size: int = 1
    minimum_order: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Reckoned:
    """When to order a SKU at a location, how much now (0 is nothing), and whether sales say so or a person."""

    reorder_point: int
    safety_stock: int
    quantity: int
    from_sales: bool


def reckon(position: int, *, demand: Demand, lead: LeadTime, by_hand: ByHand, policy: Policy) -> Reckoned:
    """Return when to order and how much at this position, which counts what is coming and what is promised.

    Until enough of it was sold to tell, the minimum and maximum set by hand count.
    """
    if demand.days < policy.demand_days_at_least or demand.sales < policy.demand_sales_at_least:
        quantity = packed(quantity_to_order(position, by_hand.reorder_point, by_hand.maximum), by_hand)
        return Reckoned(
            reorder_point=by_hand.reorder_point, safety_stock=0, quantity=quantity, from_sales=False
        )
    review = policy.review_days
    safety = safety_stock(demand, lead, z=policy.service_level_z, review_days=review)
    point = ceil(demand.per_day * lead.days + safety)
    wanted = ceil(point + demand.per_day * review) - position if position <= point else 0
    return Reckoned(
        reorder_point=point, safety_stock=safety, quantity=packed(wanted, by_hand), from_sales=True
    )


def safety_stock(demand: Demand, lead: LeadTime, *, z: float, review_days: float = 0) -> int:
    """Return the units that cover the deviations of demand and lead time at the service level `z`.

    What is looked at every `review_days` only may run low a day after it was looked at.
    """
    of_demand = (lead.days + review_days) * demand.deviation**2
    of_vendor = demand.per_day**2 * lead.deviation**2
    return ceil(z * sqrt(of_demand + of_vendor))


def quantity_to_order(position: int, reorder_point: int, maximum: int | None = None) -> int:
    """Return how many units bring this position to the maximum, twice the reorder point unless it is set.

    0 while it is above the reorder point. The position counts what is promised to orders already, so a negative one is
    brought up to cover them all.
    """
    if position > reorder_point:
        return 0
    return max(2 * reorder_point if maximum is None else maximum, reorder_point + 1) - position


def packed(quantity: int, by_hand: ByHand) -> int:
    """Return the quantity the vendor sells: whole packs, and not fewer than it delivers."""
    if quantity < 1:
        return 0
    packs = ceil(max(quantity, by_hand.minimum_order) / by_hand.pack_size)
    return packs * by_hand.pack_size


def days_of_supply(available: int, demand: Demand) -> float | None:
    """Return for how many days what may be claimed lasts; None while nothing is sold."""
    return round(available / demand.per_day, 1) if demand.per_day > 0 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class StockRow:
    """A SKU at a location as a buyer looks at it.

    `suggested` is what should be ordered now, `from_sales` whether the reorder point is reckoned or set by hand.
    `due_at` is when the earliest open order to a vendor should come; it may have passed.
    """

    sku: str
    name: str
    location_id: str
    on_hand: int
    available: int
    incoming: int
    backordered: int
    per_day: float
    days_of_supply: float | None
    reorder_point: int
    from_sales: bool
    suggested: int
    due_at: datetime | None
    late: bool

    @property
    def low(self) -> bool:
        """Whether something is to be ordered, or somebody waits for it."""
        return self.suggested > 0 or self.backordered > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ShelfPoint:
    """What lay on a shelf from this moment on; `received` is how many of it came just then."""

    at: datetime
    location_id: str
    on_hand: int
    received: int
