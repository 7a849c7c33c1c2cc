"""Goods on their way between our own locations."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from fulfillment.domain.errors import FulfillmentError


class TransferState(StrEnum):
    """Where a transfer stands."""

    UNDER_WAY = "under_way"
    RECEIVED = "received"
    CLOSED = "closed"  # with a recorded difference


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """Units sent from one location to another: `quantity` left, of which some arrived and some were lost."""

    transfer_id: str
    sku: str
    from_location: str
    to_location: str
    quantity: int
    received: int
    lost: int
    state: TransferState
    reason: str
    sent_by: str
    sent_at: datetime
    closed_at: datetime | None

    @property
    def under_way(self) -> int:
        """How many units have neither arrived nor been given up."""
        return self.quantity - self.received - self.lost


class UnknownTransfer(FulfillmentError):
    """There is no such transfer."""

    def __init__(self, transfer_id: str) -> None:
        super().__init__(f"there is no transfer {transfer_id}")
        self.transfer_id = transfer_id


class TransferRefused(FulfillmentError):
    """The transfer cannot be made, or not go on so."""

    def __init__(self, transfer_id: str, why: str) -> None:
        super().__init__(f"transfer {transfer_id}: {why}")
        self.transfer_id, self.why = transfer_id, why
