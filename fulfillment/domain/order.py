"""What a customer asked for, and how far their order has come."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Self

from fulfillment.domain.address import Address
from fulfillment.domain.errors import FulfillmentError
from fulfillment.domain.money import part_of, spread

STANDARD: Final = "standard"
EXPRESS: Final = "express"  # the service that takes the fastest offer instead of the cheapest in time


class OrderStatus(StrEnum):
    """What we did with the order. People read the computed stage instead (`stage.py`)."""

    RECEIVED = "received"
    RESERVED = "reserved"
    PAYMENT_FAILED = "payment_failed"
    CONFIRMED = "confirmed"
    IN_FULFILLMENT = "in_fulfillment"
    FULFILLED = "fulfilled"
    COMPLETED = "completed"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    EXPIRED = "expired"


_S = OrderStatus
NEXT: Final[Mapping[OrderStatus, frozenset[OrderStatus]]] = MappingProxyType(
    {
        _S.RECEIVED: frozenset({_S.RESERVED, _S.REJECTED, _S.CANCELLING}),
        _S.RESERVED: frozenset({_S.CONFIRMED, _S.PAYMENT_FAILED, _S.EXPIRED, _S.CANCELLING}),
        _S.PAYMENT_FAILED: frozenset({_S.RESERVED, _S.CONFIRMED, _S.EXPIRED, _S.CANCELLING}),
        _S.CONFIRMED: frozenset({_S.IN_FULFILLMENT, _S.CANCELLING}),
        _S.IN_FULFILLMENT: frozenset({_S.FULFILLED, _S.CANCELLING}),
        _S.FULFILLED: frozenset({_S.IN_FULFILLMENT, _S.COMPLETED}),
        _S.CANCELLING: frozenset({_S.CANCELLED, _S.IN_FULFILLMENT}),
        _S.COMPLETED: frozenset(),
        _S.CANCELLED: frozenset(),
        _S.REJECTED: frozenset(),
        _S.EXPIRED: frozenset(),
    }
)
UNPAID: Final = (_S.RESERVED, _S.PAYMENT_FAILED)  # planned, and waiting for its money
ENDED: Final = frozenset(status for status, following in NEXT.items() if not following)


class Outcome(StrEnum):
    """How an order ended; the result of its workflow."""

    DELIVERED = "delivered"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    EXPIRED = "expired"
    LOST = "lost"
    RETURNED = "returned"


class InvalidOrder(FulfillmentError):
    """The order contradicts itself; `param` names the field."""

    def __init__(self, param: str, why: str) -> None:
        super().__init__(f"{param}: {why}")
        self.param, self.why = param, why


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderLine:
    """One SKU with a quantity. Amounts are in minor units; all but `unit_price` are for the whole line."""

    line_no: int
    sku: str
    name: str
    quantity: int
    unit_price: int
    discount: int = 0
    tax: int = 0
    shipping_share: int = 0

    @property
    def goods(self) -> int:
        """What the pieces cost after the discount."""
        return self.unit_price * self.quantity - self.discount

    @property
    def value(self) -> int:
        """Goods, tax and the line's share of shipping."""
        return self.goods + self.tax + self.shipping_share

    def worth(self, *, first: int, count: int) -> int:
        """Return what units `first` .. `first + count - 1` cost the customer, tax and shipping included."""
        amounts = (self.unit_price * self.quantity, -self.discount, self.tax, self.shipping_share)
        return sum(part_of(amount, of=self.quantity, first=first, count=count) for amount in amounts)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitRange:
    """Units `first` .. `first + count - 1` of a line; units are numbered from 1."""

    line_no: int
    first: int
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """Who ordered; `customer_id` is opaque and the only part that may leave for Temporal."""

    customer_id: str
    email: str
    phone: str = ""
    locale: str = "en-US"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """The customer's accepted request. Lines never change."""

    order_id: str
    channel: str
    customer: Customer
    lines: tuple[OrderLine, ...]
    currency: str
    total: int
    ship_to: Address
    payment_method: str
    placed_at: datetime
    external_ref: str = ""
    service: str = STANDARD
    shipping_fee: int = 0
    note: str = ""

    def checked(self) -> Self:
        """Return the order with its shipping fee spread over the lines.

        Raises:
            InvalidOrder: an amount or a quantity is impossible, or the parts do not add up to the total.
        """
        _check_lines(self.lines)
        shares = spread(self.shipping_fee, [line.goods for line in self.lines])
        lines = tuple(replace(line, shipping_share=s) for line, s in zip(self.lines, shares, strict=True))
        if (adds_up := sum(line.value for line in lines)) != self.total:
            raise InvalidOrder("total", f"lines, tax and shipping add up to {adds_up}, not {self.total}")
        return replace(self, lines=lines)

    def line(self, line_no: int) -> OrderLine:
        """Return the line with this number."""
        return next(line for line in self.lines if line.line_no == line_no)

    def worth(self, units: tuple[UnitRange, ...]) -> int:
        """Return what these units cost the customer, in minor units."""
        return sum(self.line(u.line_no).worth(first=u.first, count=u.count) for u in units)


def _check_lines(lines: tuple[OrderLine, ...]) -> None:
    if not lines:
        raise InvalidOrder("lines", "an order needs at least one line")
    for n, line in enumerate(lines):
        if line.quantity < 1:
            raise InvalidOrder(f"lines[{n}].quantity", "must be at least 1")
        if line.unit_price < 0 or line.tax < 0 or line.discount < 0:
            raise InvalidOrder(f"lines[{n}]", "amounts must not be negative")
        if line.goods < 0:
            raise InvalidOrder(f"lines[{n}].discount", "is more than the line costs")
