"""Stock that runs low is ordered from its vendor, and its counters are what its movements add up to."""

from collections.abc import Sized
from typing import Protocol

from temporalio import activity

from activities.errors import told_to_temporal
from fulfillment.domain.replenishment import Ordered


class Replenishment(Protocol):
    """What we need to know what runs low."""

    def order_what_is_low(self) -> tuple[Ordered, ...]:
        """Order every SKU at or below its reorder point, backorders counted, and expect it after its lead time."""
        ...


class Ledger(Protocol):
    """What we need to keep the counters of stock true."""

    def repair_drift(self) -> Sized:
        """Set every counter that drifted to the sum of its movements, and name each in a case of its own."""
        ...


class ReplenishmentActivities:
    """Deeds for the vendor, and on the ledger whose numbers decide what is ordered."""

    def __init__(self, replenishment: Replenishment, ledger: Ledger) -> None:
        self._replenishment, self._ledger = replenishment, ledger

    @activity.defn
    def repair_drift(self) -> int:
        """Repair the counters that drifted; return how many places had any."""
        with told_to_temporal():
            return len(self._ledger.repair_drift())

    @activity.defn
    def order_what_is_low(self) -> int:
        """Order what runs low; return how many orders went to vendors."""
        with told_to_temporal():
            return len(self._replenishment.order_what_is_low())
