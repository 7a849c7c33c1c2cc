"""A shipment: the work asked of one location for part of an order, and the parcel it becomes."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from fulfillment.domain.errors import FulfillmentError


class WorkStatus(StrEnum):
    """What we did with the shipment; ends at hand-over. What the carrier says is a parcel's (`tracking.py`)."""

    SCHEDULED = "scheduled"
    RELEASED = "released"
    PICKING = "picking"
    PICKED = "picked"
    PACKED = "packed"
    LABELED = "labeled"
    HANDED_OVER = "handed_over"
    CLOSED = "closed"
    CANCELLED = "cancelled"


_W = WorkStatus
NEXT: Final[Mapping[WorkStatus, frozenset[WorkStatus]]] = MappingProxyType(
    {
        _W.SCHEDULED: frozenset({_W.RELEASED, _W.CANCELLED}),
        # Back to scheduled: what was to be picked is not there after all, and waits for stock again.
        _W.RELEASED: frozenset({_W.PICKING, _W.SCHEDULED, _W.CANCELLED}),
        # Back to released: the order was changed, and what was picked is not what is asked for any more.
        _W.PICKING: frozenset({_W.PICKED, _W.RELEASED, _W.SCHEDULED, _W.CANCELLED}),
        _W.PICKED: frozenset({_W.PACKED, _W.RELEASED, _W.SCHEDULED, _W.CANCELLED}),
        _W.PACKED: frozenset({_W.LABELED, _W.RELEASED, _W.CANCELLED}),
        _W.LABELED: frozenset({_W.PACKED, _W.RELEASED, _W.HANDED_OVER, _W.CANCELLED}),
        _W.HANDED_OVER: frozenset({_W.CLOSED}),
        _W.CLOSED: frozenset(),
        _W.CANCELLED: frozenset(),
    }
)
ON_THE_FLOOR: Final = (_W.RELEASED, _W.PICKING, _W.PICKED, _W.PACKED, _W.LABELED)
BEFORE_HAND_OVER: Final = (_W.SCHEDULED, *ON_THE_FLOOR)


class WaitsFor(StrEnum):
    """Why a scheduled shipment is not on the floor yet."""

    PAYMENT = "payment"
    STOCK = "stock"
    HOLD = "hold"
    DATE = "date"  # something in it is not for sale yet
    NOTHING = "nothing"


_STANDS: Final[Mapping[WorkStatus, str]] = MappingProxyType(
    {
        _W.SCHEDULED: "is not on the floor yet",
        _W.RELEASED: "waits to be picked",
        _W.PICKING: "is being picked",
        _W.PICKED: "is picked and waits to be packed",
        _W.PACKED: "is packed and waits for its label",
        _W.LABELED: "has its label and waits for the carrier",
        _W.HANDED_OVER: "was handed to the carrier",
        _W.CLOSED: "is over",
        _W.CANCELLED: "was cancelled",
    }
)


class InvalidTransition(FulfillmentError):
    """A shipment was asked to move to a status its present one does not lead to."""

    def __init__(self, shipment_id: str, status: WorkStatus, to: WorkStatus) -> None:
        wanted = WorkStatus.PICKED if to is WorkStatus.PICKING else to
        super().__init__(f"{shipment_id} {_STANDS[status]}: it cannot be {wanted.replace('_', ' ')} now")
        self.shipment_id, self.status, self.to = shipment_id, status, to


class Stop(FulfillmentError):
    """The floor must not go on with this shipment; the message says why and what to do with the goods."""

    def __init__(self, shipment_id: str, why: str) -> None:
        super().__init__(f"STOP {shipment_id}: {why}")
        self.shipment_id, self.why = shipment_id, why


def shipment_id(order_id: str, n: int) -> str:
    """Return the id of an order's n-th shipment, for example `SO-10483-1`."""
    return f"{order_id}-{n}"


def parcel_id(order_id: str, n: int) -> str:
    """Return the id of an order's n-th parcel, for example `SO-10483-P1`."""
    return f"{order_id}-P{n}"
