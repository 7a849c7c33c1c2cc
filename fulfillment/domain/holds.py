"""Holds: named reasons that keep an order from going on. Several may stand at once."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from fulfillment.domain.errors import FulfillmentError


class HoldReason(StrEnum):
    """Why an order is held."""

    FRAUD = "fraud"
    ADDRESS = "address"
    PAYMENT = "payment"
    STOCK = "stock"
    CUSTOMER = "customer"
    DISPUTE = "dispute"
    MANUAL = "manual"


class HoldScope(StrEnum):
    """What a hold blocks."""

    RELEASE = "release"
    CAPTURE = "capture"
    BOTH = "both"


class HoldDefault(StrEnum):
    """What happens when nobody answers a hold in time."""

    CANCEL = "cancel"
    RELEASE = "release"
    ESCALATE = "escalate"
    POLICY = "policy"  # what the shop does about a shortage that nobody answered


SCOPE: Final[Mapping[HoldReason, HoldScope]] = MappingProxyType(
    dict.fromkeys(HoldReason, HoldScope.RELEASE)
    | dict.fromkeys((HoldReason.FRAUD, HoldReason.DISPUTE), HoldScope.BOTH)
)
DEFAULT: Final[Mapping[HoldReason, HoldDefault]] = MappingProxyType(
    {
        HoldReason.FRAUD: HoldDefault.CANCEL,
        HoldReason.ADDRESS: HoldDefault.CANCEL,
        HoldReason.PAYMENT: HoldDefault.CANCEL,
        HoldReason.STOCK: HoldDefault.POLICY,
        HoldReason.CUSTOMER: HoldDefault.RELEASE,
        HoldReason.DISPUTE: HoldDefault.ESCALATE,
        HoldReason.MANUAL: HoldDefault.ESCALATE,
    }
)


ADDRESS_CHECK: Final = "address check"  # who places a hold because no carrier is sure of the address


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """One active hold. `hold_id` is readable: `SO-10483:fraud`; one per reason may stand at a time."""

    hold_id: str
    reason: HoldReason
    placed_by: str
    placed_at: datetime
    due_at: datetime
    note: str = ""

    @property
    def default(self) -> HoldDefault:
        """What happens at `due_at` when nobody acted."""
        return DEFAULT[self.reason]


class NoSuchHold(FulfillmentError):
    """There is no such hold to release."""

    def __init__(self, order_id: str, wanted: str) -> None:
        super().__init__(f"{order_id} has no hold {wanted}")
        self.order_id, self.wanted = order_id, wanted


def hold_id(order_id: str, reason: HoldReason) -> str:
    """Return the id of an order's hold for this reason."""
    return f"{order_id}:{reason}"
