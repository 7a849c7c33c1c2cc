"""What a file holds, entry by entry: orders, what is skipped on purpose, and rows that cannot be read."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from fulfillment.domain.errors import FulfillmentError
from fulfillment.domain.order import Order


class NotThisFile(FulfillmentError):
    """The file as a whole is not what it was given as; nothing of it was read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundOrder:
    """An order and the line it begins on; `line_of` tells where each of its lines stands in the file."""

    line: int
    order: Order
    line_of: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SkippedOrder:
    """An order that is none of our business, and why."""

    line: int
    order_id: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BadRow:
    """A row that keeps its order from being accepted. `subject` is the order or SKU, where it can be read."""

    line: int
    subject: str
    why: str


Entry = FoundOrder | SkippedOrder | BadRow
