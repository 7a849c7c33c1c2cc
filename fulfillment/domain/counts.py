"""Counting what is on a shelf: a difference is counted again by somebody else, and a large one is approved."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from fulfillment.domain.errors import FulfillmentError
from fulfillment.domain.policy import Policy


class CountState(StrEnum):
    """Where a count stands."""

    PLANNED = "planned"
    COUNTING = "counting"
    RECOUNTING = "recounting"
    REVIEW = "review"
    POSTED = "posted"
    CANCELLED = "cancelled"


_S = CountState
NEXT: Final[Mapping[CountState, frozenset[CountState]]] = MappingProxyType(
    {
        _S.PLANNED: frozenset({_S.COUNTING, _S.CANCELLED}),
        _S.COUNTING: frozenset({_S.POSTED, _S.RECOUNTING, _S.CANCELLED}),
        _S.RECOUNTING: frozenset({_S.POSTED, _S.REVIEW, _S.CANCELLED}),
        _S.REVIEW: frozenset({_S.POSTED, _S.CANCELLED}),
        _S.POSTED: frozenset(),
        _S.CANCELLED: frozenset(),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """One count of a SKU at a location. `expected` is what the book said at the moment of the latest count."""

    count_id: str
    sku: str
    location_id: str
    state: CountState
    reason: str
    planned_by: str
    planned_at: datetime
    counter: str | None
    counted: int | None
    counted_at: datetime | None
    recounter: str | None
    recounted: int | None
    recounted_at: datetime | None
    expected: int | None
    decided_by: str | None
    decision: str
    closed_at: datetime | None

    @property
    def difference(self) -> int | None:
        """What was seen less what the book said; None until somebody counted."""
        seen = self.counted if self.recounted is None else self.recounted
        return None if seen is None or self.expected is None else seen - self.expected


class UnknownCount(FulfillmentError):
    """There is no such count."""

    def __init__(self, count_id: str) -> None:
        super().__init__(f"there is no count {count_id}")
        self.count_id = count_id


class CountRefused(FulfillmentError):
    """The count does not go on like this; the message says what to do instead."""

    def __init__(self, count_id: str, why: str) -> None:
        super().__init__(f"count {count_id}: {why}")
        self.count_id, self.why = count_id, why


def after_counting(difference: int) -> CountState:
    """Return what follows a first count: who differs from the book is counted again."""
    return CountState.RECOUNTING if difference else CountState.POSTED


def after_recounting(difference: int, price: int, policy: Policy) -> CountState:
    """Return what follows a second count; `price` of one unit and the limit are in minor units."""
    units = abs(difference)
    large = units > policy.count_review_over_units or units * price > policy.count_review_over_value
    return CountState.REVIEW if large else CountState.POSTED
