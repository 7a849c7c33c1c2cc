"""The order's own record: state, audit entry and messages in one transaction each."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol

from temporalio import activity

from activities.errors import told_to_temporal
from fulfillment.domain.cases import Case, CaseKind
from fulfillment.domain.holds import Hold, HoldReason
from fulfillment.domain.order import Outcome


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
    """Stop every shipment of the order that has not left, for `reason`."""

    order_id: str
    reason: str
    by: str
    request_id: str


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


class OrderRecords(Protocol):
    """What we need of the order's record. Every call is one transaction and safe to repeat."""

    def confirm(self, request: Confirm) -> Confirmed: ...

    def place_hold(self, request: PlaceHold) -> Hold: ...

    def release_hold(self, request: ReleaseHold) -> Released: ...

    def stop_shipments(self, request: StopShipments) -> Stopped:
        """Stop what has not left. The floor and this call meet at the shipment's row: one of them wins."""
        ...

    def open_case(self, request: OpenCase) -> Case: ...

    def resolve_case(self, request: ResolveCase) -> None: ...

    def revise_promise(self, request: RevisePromise) -> None: ...

    def declare_lost(self, request: DeclareLost) -> None: ...

    def change_payment_method(self, request: ChangePaymentMethod) -> None: ...

    def close(self, request: CloseOrder) -> datetime | None:
        """Close the order and return when it was delivered, if it was."""
        ...


class RecordActivities:
    """Deeds on our own books."""

    def __init__(self, records: OrderRecords) -> None:
        self._records = records

    @activity.defn
    def confirm_order(self, request: Confirm) -> Confirmed:
        with told_to_temporal():
            return self._records.confirm(request)

    @activity.defn
    def place_hold(self, request: PlaceHold) -> Hold:
        with told_to_temporal():
            return self._records.place_hold(request)

    @activity.defn
    def release_hold(self, request: ReleaseHold) -> Released:
        with told_to_temporal():
            return self._records.release_hold(request)

    @activity.defn
    def stop_shipments(self, request: StopShipments) -> Stopped:
        with told_to_temporal():
            return self._records.stop_shipments(request)

    @activity.defn
    def open_case(self, request: OpenCase) -> Case:
        with told_to_temporal():
            return self._records.open_case(request)

    @activity.defn
    def resolve_case(self, request: ResolveCase) -> None:
        with told_to_temporal():
            self._records.resolve_case(request)

    @activity.defn
    def revise_promise(self, request: RevisePromise) -> None:
        with told_to_temporal():
            self._records.revise_promise(request)

    @activity.defn
    def declare_lost(self, request: DeclareLost) -> None:
        with told_to_temporal():
            self._records.declare_lost(request)

    @activity.defn
    def change_payment_method(self, request: ChangePaymentMethod) -> None:
        with told_to_temporal():
            self._records.change_payment_method(request)

    @activity.defn
    def close_order(self, request: CloseOrder) -> datetime | None:
        with told_to_temporal():
            return self._records.close(request)
