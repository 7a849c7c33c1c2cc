"""Money that goes back: why, how much, for which units, and who allowed it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from fulfillment.domain.errors import FulfillmentError
from fulfillment.domain.order import UnitRange


class RefundCause(StrEnum):
    """Why money goes back."""

    CANCELLED = "cancelled"  # captured before it left, then cancelled
    LOST = "lost"
    RETURNED = "returned"
    DAMAGED = "damaged"
    PRICE = "price"
    GOODWILL = "goodwill"
    OVERPAID = "overpaid"  # paid twice, or paid after we gave up


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
        _R.SUCCEEDED: frozenset(
            {_R.FAILED}
        ),  # the provider says later that it failed after all: a correction
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
    units: tuple[UnitRange, ...] = ()
    note: str = ""
    why_approval: str = ""


def refund_id(order_id: str, n: int) -> str:
    """Return the id of an order's n-th refund, for example `SO-10483-F1`."""
    return f"{order_id}-F{n}"
