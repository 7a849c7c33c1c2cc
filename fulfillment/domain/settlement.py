"""What a customer gets for goods that were lost, damaged or came back: another one, or the money. Never both."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from fulfillment.domain.change import OrderState
from fulfillment.domain.errors import FulfillmentError


class Settlement(StrEnum):
    """What the customer gets."""

    RESHIP = "reship"
    REFUND = "refund"


class Cause(StrEnum):
    """Why they get it."""

    LOST = "lost"
    SILENT = "silent"  # nobody has seen it for too long, and it is waited for no longer
    CARRIER_PROBLEM = "carrier_problem"
    DAMAGED = "damaged"
    RETURNED = "returned"  # it is back with us
    RETURNING = "returning"  # it is on its way back
    REFUSED = "refused"  # at the door: it is on its way back
    NOT_RECEIVED = "not_received"
    NOT_BROUGHT = "not_brought"  # the carrier tries no more, and has not brought it back yet


# What is said so of a parcel is true until it is back.
COMING_BACK: Final = frozenset({Cause.RETURNING, Cause.REFUSED, Cause.NOT_BROUGHT})
# Nobody knows whether it ever comes: a scan of it is news.
GIVEN_UP: Final = frozenset({Cause.LOST, Cause.SILENT, Cause.CARRIER_PROBLEM})


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


class Meanwhile(StrEnum):
    """What becomes of what the customer was to get instead, once the first one has turned up."""

    STAYS = "stays"  # it has not left, and stays here
    COMES = "comes"
    REFUNDED = "refunded"


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
