"""The order's own record: state, audit entry and messages in one transaction each."""

from datetime import date, datetime
from typing import Protocol

from temporalio import activity

from activities.errors import told_to_temporal
from fulfillment.domain.cases import Case
from fulfillment.domain.change import (
    AddLines,
    CancelUnits,
    ChangeAddress,
    Changed,
    ChangeService,
    OrderState,
    Substitute,
    UndoChange,
)
from fulfillment.domain.holds import Hold
from fulfillment.domain.record import (
    AnswerCase,
    ChangePaymentMethod,
    CloseOrder,
    Confirm,
    Confirmed,
    DeclareLost,
    OpenCase,
    PlaceHold,
    Released,
    ReleaseHold,
    ResolveCase,
    RevisePromise,
    Stopped,
    StopShipments,
    WaitForAll,
)
from fulfillment.domain.settlement import Found, Settle, Settled, Unsettled
from fulfillment.domain.tracking import CarrierStatus


class OrderRecords(Protocol):
    """What we need of the order's record. Every call is one transaction and safe to repeat."""

    def confirm(self, request: Confirm) -> Confirmed: ...

    def place_hold(self, request: PlaceHold) -> Hold: ...

    def wait_for_all(self, request: WaitForAll) -> tuple[Hold, ...]: ...

    def release_hold(self, request: ReleaseHold) -> Released: ...

    def stop_shipments(self, request: StopShipments) -> Stopped:
        """Stop what has not left. The floor and this call meet at the shipment's row: one of them wins."""
        ...

    def read_state(self, order_id: str) -> OrderState: ...

    def cancel_units(self, request: CancelUnits) -> Changed:
        """Take units off the order that have not left. The floor and this call meet at the order's row."""
        ...

    def add_lines(self, request: AddLines) -> Changed:
        """Add lines and claim their stock, all of it or nothing."""
        ...

    def substitute(self, request: Substitute) -> Changed:
        """Send listed equals for what waits for stock."""
        ...

    def undo_change(self, request: UndoChange) -> Changed:
        """Take back what one change added and nobody paid for."""
        ...

    def change_address(self, request: ChangeAddress) -> Changed: ...

    def change_service(self, request: ChangeService) -> Changed: ...

    def open_case(self, request: OpenCase) -> Case: ...

    def resolve_case(self, request: ResolveCase) -> None: ...

    def answer_case(self, request: AnswerCase) -> Case:
        """Note what a person answered a case with."""
        ...

    def settle(self, request: Settle) -> Settled:
        """Decide once what the customer gets for a shipment: another one, or the money."""
        ...

    def found(self, request: Found) -> Unsettled:
        """Let what replaces a shipment stay here where it has not left."""
        ...

    def revise_promise(self, request: RevisePromise) -> date | None:
        """Promise a later day, if one may be told today; return the day that is promised now."""
        ...

    def declare_lost(self, request: DeclareLost) -> CarrierStatus:
        """Give a parcel up; return what all its scans say together then."""
        ...

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
    def wait_for_all(self, request: WaitForAll) -> tuple[Hold, ...]:
        with told_to_temporal():
            return self._records.wait_for_all(request)

    @activity.defn
    def release_hold(self, request: ReleaseHold) -> Released:
        with told_to_temporal():
            return self._records.release_hold(request)

    @activity.defn
    def stop_shipments(self, request: StopShipments) -> Stopped:
        with told_to_temporal():
            return self._records.stop_shipments(request)

    @activity.defn
    def read_state(self, order_id: str) -> OrderState:
        with told_to_temporal():
            return self._records.read_state(order_id)

    @activity.defn
    def cancel_units(self, request: CancelUnits) -> Changed:
        with told_to_temporal():
            return self._records.cancel_units(request)

    @activity.defn
    def add_lines(self, request: AddLines) -> Changed:
        with told_to_temporal():
            return self._records.add_lines(request)

    @activity.defn
    def substitute(self, request: Substitute) -> Changed:
        with told_to_temporal():
            return self._records.substitute(request)

    @activity.defn
    def undo_change(self, request: UndoChange) -> Changed:
        with told_to_temporal():
            return self._records.undo_change(request)

    @activity.defn
    def change_address(self, request: ChangeAddress) -> Changed:
        with told_to_temporal():
            return self._records.change_address(request)

    @activity.defn
    def change_service(self, request: ChangeService) -> Changed:
        with told_to_temporal():
            return self._records.change_service(request)

    @activity.defn
    def open_case(self, request: OpenCase) -> Case:
        with told_to_temporal():
            return self._records.open_case(request)

    @activity.defn
    def resolve_case(self, request: ResolveCase) -> None:
        with told_to_temporal():
            self._records.resolve_case(request)

    @activity.defn
    def answer_case(self, request: AnswerCase) -> Case:
        with told_to_temporal():
            return self._records.answer_case(request)

    @activity.defn
    def settle_shipment(self, request: Settle) -> Settled:
        with told_to_temporal():
            return self._records.settle(request)

    @activity.defn
    def found_again(self, request: Found) -> Unsettled:
        with told_to_temporal():
            return self._records.found(request)

    @activity.defn
    def revise_promise(self, request: RevisePromise) -> date | None:
        with told_to_temporal():
            return self._records.revise_promise(request)

    @activity.defn
    def declare_lost(self, request: DeclareLost) -> CarrierStatus:
        with told_to_temporal():
            return self._records.declare_lost(request)

    @activity.defn
    def change_payment_method(self, request: ChangePaymentMethod) -> None:
        with told_to_temporal():
            self._records.change_payment_method(request)

    @activity.defn
    def close_order(self, request: CloseOrder) -> datetime | None:
        with told_to_temporal():
            return self._records.close(request)
