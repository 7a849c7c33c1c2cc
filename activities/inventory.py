"""Claiming stock for a new order."""

from typing import Protocol

from temporalio import activity

from activities.errors import told_to_temporal
from fulfillment.domain.reservation import Reservation


class Stock(Protocol):
    """What we need of the stock ledger. The order's id is the key: a repeat returns the first answer."""

    def reserve(self, order_id: str) -> Reservation:
        """Claim every unit that is there, queue what may wait, cancel what will never come; one transaction.

        Raises:
            UnknownOrder: there is no such order.
        """
        ...


class InventoryActivities:
    """Deeds on stock."""

    def __init__(self, stock: Stock) -> None:
        self._stock = stock

    @activity.defn
    def reserve_stock(self, order_id: str) -> Reservation:
        """Claim the order's stock and plan its shipments."""
        with told_to_temporal():
            return self._stock.reserve(order_id)
