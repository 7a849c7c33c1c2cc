"""Holds: named reasons that keep an order from going on. Several may stand at once."""

from collections.abc import Iterable, Mapping
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


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOrder:
    """An order under one of its holds; `total` is what it is worth, in minor units of its currency."""

    order_id: str
    hold: Hold
    total: int
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldAlike:
    """Orders that are held for the same reason in the same words, the one that has waited longest first."""

    reason: HoldReason
    note: str
    orders: tuple[HeldOrder, ...]

    @property
    def worth(self) -> Mapping[str, int]:
        """What they are worth together, by currency, in minor units."""
        return worth(self.orders)

    @property
    def first_due_at(self) -> datetime:
        """When the first of them takes its default."""
        return min(order.hold.due_at for order in self.orders)


class NoSuchHold(FulfillmentError):
    """There is no such hold to release."""

    def __init__(self, order_id: str, wanted: str) -> None:
        super().__init__(f"{order_id} has no hold {wanted}")
        self.order_id, self.wanted = order_id, wanted


def hold_id(order_id: str, reason: HoldReason) -> str:
    """Return the id of an order's hold for this reason."""
    return f"{order_id}:{reason}"


def worth(held: Iterable[HeldOrder]) -> Mapping[str, int]:
    """Return what orders are worth together, by currency, in minor units."""
    added: dict[str, int] = {}
    for order in held:
        added[order.currency] = added.get(order.currency, 0) + order.total
    return added


def alike(held: Iterable[HeldOrder]) -> tuple[HeldAlike, ...]:
    """Return held orders by reason and note, the largest group first."""
    groups: dict[tuple[HoldReason, str], list[HeldOrder]] = {}
    for order in sorted(held, key=lambda one: (one.hold.placed_at, one.order_id)):
        groups.setdefault((order.hold.reason, order.hold.note), []).append(order)
    found = [
        HeldAlike(reason=reason, note=note, orders=tuple(those)) for (reason, note), those in groups.items()
    ]
    return tuple(sorted(found, key=lambda group: (-len(group.orders), group.reason, group.note)))
