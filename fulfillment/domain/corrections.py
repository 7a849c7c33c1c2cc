"""Corrections of tracking by people: the only way out of an end state that no carrier's scan opens."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Final

from fulfillment.domain.errors import FulfillmentError
from fulfillment.domain.tracking import CarrierStatus

FIX_TRACKING: Final = "fix_tracking"  # what the act is called in the books

_C = CarrierStatus
# What a person can know of a parcel. That it left is said by handing it over, that its label is void by the label.
CORRECTABLE_TO: Final = frozenset(_C) - {_C.UNKNOWN, _C.PRE_TRANSIT, _C.CANCELLED}
SENTENCE: Final[Mapping[CarrierStatus, str]] = MappingProxyType(
    {status: f"Corrected by us: {status.replace('_', ' ')}" for status in sorted(CORRECTABLE_TO)}
)


class CorrectionRefused(FulfillmentError):
    """The tracking of this parcel is not to be corrected like this."""


class UnknownParcel(FulfillmentError):
    """The order has no such parcel."""

    def __init__(self, order_id: str, parcel_id: str) -> None:
        super().__init__(f"{order_id} has no parcel {parcel_id}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrectTracking:
    """Somebody knows better than the carrier where a parcel is.

    `happened_at` is when it came to be there; None is now. The same `request_id` is the same correction.
    """

    order_id: str
    parcel_id: str
    status: CarrierStatus
    reason: str
    by: str
    request_id: str
    happened_at: datetime | None = None

    def __post_init__(self) -> None:
        if not self.reason.strip():
            raise CorrectionRefused("say why: whoever reads it later was not there")
        if self.status not in CORRECTABLE_TO:
            words = ", ".join(sorted(CORRECTABLE_TO))
            raise CorrectionRefused(f"a parcel cannot be said to be {self.status}: choose one of {words}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrected:
    """What a correction came to, and a sentence that says so."""

    order_id: str
    parcel_id: str
    status: CarrierStatus
    text: str
