"""Money that goes back: why, how much, for which units, and who allowed it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from fulfillment.domain.errors import FulfillmentError
from fulfillment.domain.order import UnitRange
from fulfillment.domain.settlement import Cause


class RefundCause(StrEnum):
    """Why money goes back."""

    CANCELLED = "cancelled"  # captured before it left, then cancelled
    LOST = "lost"
    SILENT = "silent"  # this one and those below: as `settlement.Cause` has them
    CARRIER_PROBLEM = "carrier_problem"
    RETURNED = "returned"
    RETURNING = "returning"
    REFUSED = "refused"
    NOT_RECEIVED = "not_received"
    NOT_BROUGHT = "not_brought"
    DAMAGED = "damaged"
    PRICE = "price"
    GOODWILL = "goodwill"
    OVERPAID = "overpaid"  # paid twice, or paid after we gave up


# What the customer did not get, or not as it should be: the goods or the money.
FOR_GOODS: Final = frozenset(RefundCause(cause.value) for cause in Cause)


class RefundState(StrEnum):
    """Where a refund stands."""

    REQUESTED = "requested"  # waits for a second person
    APPROVED = "approved"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    MANUAL = "manual"  # no way by the provider: a person pays by hand
    REJECTED = "rejected"


_R = RefundState
NEXT: Final[Mapping[RefundState, frozenset[RefundState]]] = MappingProxyType(
    {
        _R.REQUESTED: frozenset({_R.APPROVED, _R.REJECTED}),
        _R.APPROVED: frozenset({_R.RUNNING}),
        _R.RUNNING: frozenset({_R.SUCCEEDED, _R.FAILED}),
        _R.FAILED: frozenset({_R.RUNNING, _R.MANUAL}),
        _R.MANUAL: frozenset({_R.SUCCEEDED}),
        _R.SUCCEEDED: frozenset(),  # left by a recorded correction alone: it failed after all
        _R.REJECTED: frozenset(),
    }
)


class RefundNotAllowed(FulfillmentError):
    """The refund may not be made; the message says why, how much could be, and what to do instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRefund:
    """Ask for money back: for units, for an amount (minor units), or with neither for all that is refundable."""

    order_id: str
    cause: RefundCause
    by: str
    request_id: str
    units: tuple[UnitRange, ...] = ()
    amount: int | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """One refund, for example `SO-10483-F1`."""

    refund_id: str
    order_id: str
    cause: RefundCause
    amount: int
    currency: str
    state: RefundState
    by: str
    approved_by: str | None
    at: datetime
    shipment_id: str | None = None
    units: tuple[UnitRange, ...] = ()
    note: str = ""
    why_approval: str = ""


class UnknownRefund(FulfillmentError):
    """There is no such refund."""

    def __init__(self, refund_id: str) -> None:
        super().__init__(f"there is no refund {refund_id}")
        self.refund_id = refund_id


def refund_id(order_id: str, n: int) -> str:
    """Return the id of an order's n-th refund, for example `SO-10483-F1`."""
    return f"{order_id}-F{n}"
