"""What claiming stock for a new order came to."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from fulfillment.domain.holds import Hold
from fulfillment.domain.inventory import ShortLine
from fulfillment.domain.shipment import WaitsFor


class ReservationState(StrEnum):
    """A claim on stock has one end. What ran out may be claimed anew, which is another claim."""

    ACTIVE = "active"
    CONSUMED = "consumed"  # became allocations
    RELEASED = "released"  # its order was stopped
    EXPIRED = "expired"  # nobody paid in time


_R = ReservationState
NEXT: Final[Mapping[ReservationState, frozenset[ReservationState]]] = MappingProxyType(
    {
        _R.ACTIVE: frozenset({_R.CONSUMED, _R.RELEASED, _R.EXPIRED}),
        _R.CONSUMED: frozenset(),
        _R.RELEASED: frozenset(),
        _R.EXPIRED: frozenset(),
    }
)


def claim_key(order_id: str, n: int) -> str:
    """Return the key of an order's n-th claim on stock, for example `SO-10483:reserve`, then `SO-10483:reserve:2`."""
    return f"{order_id}:reserve" if n == 1 else f"{order_id}:reserve:{n}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedShipment:
    """A shipment as sourcing made it; `value` is what its units cost the customer, in minor units.

    `replaces` is the shipment whose goods are sent again with it.
    """

    shipment_id: str
    location_id: str
    value: int
    units: int
    waits_for: WaitsFor
    replaces: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """What the claim found. Without any shipment nothing may ship or wait, and the order was rejected."""

    order_id: str
    shipments: tuple[PlannedShipment, ...]
    short: tuple[ShortLine, ...] = ()
    holds: tuple[Hold, ...] = ()
