"""What a customer gets for goods that were lost, damaged or came back: another one, or the money. Never both."""

from dataclasses import dataclass
from enum import StrEnum

from fulfillment.domain.change import OrderState
from fulfillment.domain.errors import FulfillmentError


class Settlement(StrEnum):
    """What the customer gets."""

    RESHIP = "reship"
    REFUND = "refund"


class Cause(StrEnum):
    """Why they get it."""

    LOST = "lost"
    DAMAGED = "damaged"
    RETURNED = "returned"
    NOT_RECEIVED = "not_received"
    NOT_BROUGHT = "not_brought"  # the carrier tries no more, and has not brought it back yet


class NotSettled(FulfillmentError):
    """It cannot be settled so; the message says why, and what can be done instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settle:
    """Settle what a shipment's goods became. Without `wanted` the shop's policy decides."""

    order_id: str
    shipment_id: str
    cause: Cause
    by: str
    request_id: str
    wanted: Settlement | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What was decided; `added` are the shipments that are sent for nothing."""

    settlement: Settlement
    cause: Cause
    text: str
    state: OrderState
    added: tuple[str, ...] = ()

    @property
    def resolution(self) -> str:
        """With what its cases are closed."""
        return f"sent again with {', '.join(self.added)}" if self.added else "the money goes back"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What was given up has turned up: let what was to replace it stay here, if it has not left."""

    order_id: str
    shipment_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsettled:
    """What became of that: `stopped` stays here. `settlement` is what the customer keeps of what they were given."""

    stopped: tuple[str, ...]
    settlement: Settlement | None
    state: OrderState
