"""What claiming stock for a new order came to."""

from dataclasses import dataclass

from fulfillment.domain.holds import Hold
from fulfillment.domain.inventory import ShortLine
from fulfillment.domain.shipment import WaitsFor


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedShipment:
    """A shipment as sourcing made it; `value` is what its units cost the customer, in minor units."""

    shipment_id: str
    location_id: str
    value: int
    units: int
    waits_for: WaitsFor


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """What the claim found. Without any shipment nothing may ship or wait, and the order was rejected."""

    order_id: str
    shipments: tuple[PlannedShipment, ...]
    short: tuple[ShortLine, ...] = ()
    holds: tuple[Hold, ...] = ()
