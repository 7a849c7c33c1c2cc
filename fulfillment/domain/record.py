"""What can be written in the order's record, and what the record answers."""

from dataclasses import dataclass
from datetime import date, datetime

from fulfillment.domain.cases import CaseKind
from fulfillment.domain.holds import Hold, HoldReason
from fulfillment.domain.order import Outcome
from fulfillment.domain.playbooks import Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirm:
    """Confirm an order of which no shipment needs money yet."""

    order_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmed:
    """What confirming came to."""

    promise_date: date | None
    released: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceHold:
    """Put a hold on an order; a second one for the same reason joins the first."""

    order_id: str
    reason: HoldReason
    by: str
    request_id: str
    due_at: datetime
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitForAll:
    """Let an order that was asked about what is missing wait until all of it is there."""

    order_id: str
    by: str
    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseHold:
    """End a hold; `defaulted` when nobody answered it in time. No reason means every hold."""

    order_id: str
    reason: HoldReason | None
    by: str
    request_id: str
    defaulted: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """The holds that still stand, and the shipments that went to the floor."""

    holds: tuple[Hold, ...]
    released: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StopShipments:
    """Stop every shipment of the order that has not left, for `reason`; or only those named in `shipments`."""

    order_id: str
    reason: str
    by: str
    request_id: str
    shipments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """Which shipments stopped, which of them have a label to give back, and which had already left."""

    stopped: tuple[str, ...]
    labeled_parcels: tuple[str, ...]
    left: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenCase:
    """Something went wrong with `subject`: the order, a shipment or a parcel."""

    order_id: str
    subject: str
    kind: CaseKind
    due_at: datetime
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolveCase:
    """The case is over; `resolution` says how, in a word or two."""

    order_id: str
    subject: str
    kind: CaseKind
    resolution: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerCase:
    """A person said what becomes of a case: waited for, brought elsewhere, sent again or refunded."""

    order_id: str
    subject: str
    kind: CaseKind
    answer: Answer
    by: str
    request_id: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisePromise:
    """The order comes on another day than promised, and the customer hears it with the reason."""

    order_id: str
    shipment_id: str
    promised_date: date
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclareLost:
    """We give a parcel up; our own event joins its scans."""

    order_id: str
    parcel_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseOrder:
    """Write the end: releases whatever claim is left and tells the customer, where that is news."""

    order_id: str
    outcome: Outcome
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangePaymentMethod:
    """The customer pays another way from now on."""

    order_id: str
    method: str
    by: str
    request_id: str
