"""Stock that runs low is ordered from its vendor."""

from typing import Protocol

from temporalio import activity

from activities.errors import told_to_temporal
from fulfillment.domain.replenishment import Ordered


class Replenishment(Protocol):
    """What we need to know what runs low."""

    def order_what_is_low(self) -> tuple[Ordered, ...]:
        """Order every SKU at or below its reorder point, backorders counted, and expect it after its lead time."""
        ...


class ReplenishmentActivities:
    """Deeds for the vendor."""

    def __init__(self, replenishment: Replenishment) -> None:
        self._replenishment = replenishment

    @activity.defn
    def order_what_is_low(self) -> int:
        """Order what runs low; return how many orders went to vendors."""
        with told_to_temporal():
            return len(self._replenishment.order_what_is_low())
