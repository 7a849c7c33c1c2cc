"""Each deed as one awaitable line, with its options and its caption in the Temporal UI."""

from datetime import date, datetime
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    FailureError,
    is_cancelled_exception,
)
from temporalio.types import MethodSyncSingleParam

from activities.dock import DockActivities
from activities.errors import is_refusal
from activities.inventory import InventoryActivities
from activities.payments import AuthorizePayments, CapturePayment, PaymentActivities
from activities.reconciliation import ReconciliationActivities
from activities.records import RecordActivities
from activities.replenishment import ReplenishmentActivities
from activities.shipping import ShippingActivities
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
from fulfillment.domain.errors import FulfillmentError
from fulfillment.domain.findings import Findings
from fulfillment.domain.holds import Hold
from fulfillment.domain.label import Label
from fulfillment.domain.money import format_minor
from fulfillment.domain.operation import Authorization, Captured
from fulfillment.domain.payment import RefundRefused
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
from fulfillment.domain.refund import RefundState
from fulfillment.domain.reservation import Reservation
from fulfillment.domain.scan_forms import FormState
from fulfillment.domain.settlement import Found, Settle, Settled, Unsettled
from fulfillment.domain.shipment import Stop
from fulfillment.domain.tracking import CarrierStatus
from workflows import options

A = TypeVar("A")
R = TypeVar("R")


async def reserve_stock(order_id: str) -> Reservation:
    """Claim every line's stock."""
    return await _in_database(InventoryActivities.reserve_stock, order_id, "reserve every line")


async def authorize_payments(
    order_id: str,
    attempt: int,
    groups: tuple[tuple[str, ...], ...],
    amount: int,
    currency: str,
    *,
    patience: options.Patience,
) -> tuple[Authorization, ...]:
    """Reserve the money that is missing for these shipments, by one payment for each group of them."""
    shipments = [shipment_id for group in groups for shipment_id in group]
    about = shipments[0] if len(shipments) == 1 else order_id
    return await workflow.execute_activity_method(
        PaymentActivities.authorize_payments,
        AuthorizePayments(order_id=order_id, attempt=attempt, groups=groups),
        activity_id=f"authorize-{about}-{attempt}",
        summary=f"hold {format_minor(amount, currency)} for {', '.join(shipments)}",
        **patience,
    )


async def check_payment(payment_id: str) -> Authorization:
    """Ask the provider what became of an attempt that waited for the customer."""
    return await workflow.execute_activity_method(
        PaymentActivities.check_payment,
        payment_id,
        summary=f"what became of {payment_id}?",
        **options.PAYMENT,
    )


async def void_payment(payment_id: str, *, patience: options.Patience = options.PAYMENT) -> None:
    """Let go of an attempt that nobody finished, or of money that nothing is owed for."""
    await workflow.execute_activity_method(
        PaymentActivities.void_payment, payment_id, summary=f"let {payment_id} go", **patience
    )


async def ask_for_method(order_id: str) -> str:
    """Get a link under which the customer gives another way to pay."""
    return await workflow.execute_activity_method(
        PaymentActivities.ask_for_method, order_id, summary="a link to pay another way", **options.PAYMENT
    )


async def capture_payment(shipment_id: str, *, early: bool = False) -> Captured:
    """Take the money for what has left, or earlier where the policy says so.

    Raises:
        ActivityError: refused as `AuthorizationExpired` when it ran out before, as `Held` while a hold blocks it.
    """
    return await workflow.execute_activity_method(
        PaymentActivities.capture_payment,
        CapturePayment(shipment_id=shipment_id, early=early),
        summary=f"capture what {shipment_id} is worth",
        **options.PAYMENT,
    )


async def void_authorization(shipment_id: str) -> bool:
    """Let a shipment's money go; False when it has left, so that its money is due."""
    return await _with_money(
        PaymentActivities.void_authorization,
        shipment_id,
        f"void the authorization of {shipment_id}",
        unless=Stop,
    )


async def refund_payment(shipment_id: str) -> bool:
    """Give back what was captured for a shipment and is not owed; False when the provider refuses."""
    return await _with_money(
        PaymentActivities.refund_payment, shipment_id, f"refund {shipment_id}", unless=RefundRefused
    )


async def pay_refund(refund_id: str) -> RefundState:
    """Pay an approved refund."""
    return await workflow.execute_activity_method(
        PaymentActivities.pay_refund, refund_id, summary=f"pay {refund_id}", **options.PAYMENT
    )


async def ask_about_operation(key: str) -> bool:
    """Ask the payment provider about a request left in doubt; the next sweep asks again."""
    return await workflow.execute_activity_method(
        PaymentActivities.ask_about_operation, key, summary=f"ask about {key}", **options.PAYMENT_ONCE
    )


async def buy_label(parcel_id: str, *, patience: options.Patience) -> Label:
    """Choose a rate and buy a label for a parcel."""
    return await workflow.execute_activity_method(
        ShippingActivities.buy_label, parcel_id, summary=f"label for parcel {parcel_id}", **patience
    )


async def void_label(parcel_id: str) -> bool:
    """Give a label back; False when the carrier refuses."""
    return await workflow.execute_activity_method(
        ShippingActivities.void_label, parcel_id, summary=f"void the label of {parcel_id}", **options.CARRIER
    )


async def make_scan_form(form_id: str) -> FormState | None:
    """Get a form and keep it; None when that had ended before."""
    return await workflow.execute_activity_method(
        DockActivities.make_scan_form, form_id, summary=f"form {form_id}", **options.CARRIER
    )


async def ask_carrier_once(parcel_id: str) -> None:
    """Ask the carrier what became of a parcel; the next sweep asks again."""
    await workflow.execute_activity_method(
        ShippingActivities.ask_carrier,
        parcel_id,
        summary=f"where is {parcel_id}?",
        **options.CARRIER_ONCE,
    )


async def confirm_order(order_id: str) -> Confirmed:
    """Confirm an order of which no shipment needs money yet."""
    return await _in_database(RecordActivities.confirm_order, Confirm(order_id=order_id), "confirm")


async def place_hold(request: PlaceHold) -> Hold:
    """Put a hold on the order."""
    return await _in_database(RecordActivities.place_hold, request, f"hold: {request.reason}")


async def wait_for_all(request: WaitForAll) -> tuple[Hold, ...]:
    """Let the order wait until all of it is there, and return the holds that stand."""
    return await _in_database(RecordActivities.wait_for_all, request, "wait for all of it")


async def release_hold(request: ReleaseHold) -> Released:
    """End holds, and let go to the floor what nothing blocks any more."""
    return await _in_database(
        RecordActivities.release_hold, request, f"release {request.reason or 'every hold'}"
    )


async def stop_shipments(request: StopShipments) -> Stopped:
    """Stop everything that has not left."""
    return await _in_database(RecordActivities.stop_shipments, request, f"stop: {request.reason}")


async def read_state(order_id: str) -> OrderState:
    """Read the order again as the books have it."""
    return await _in_database(RecordActivities.read_state, order_id, "read the books")


async def cancel_units(request: CancelUnits) -> Changed:
    """Take units off the order."""
    units = sum(line.quantity for line in request.lines)
    return await _in_database(RecordActivities.cancel_units, request, f"cancel {units} units")


async def add_lines(request: AddLines) -> Changed:
    """Add lines and claim their stock."""
    return await _in_database(RecordActivities.add_lines, request, f"add {len(request.lines)} lines")


async def substitute(request: Substitute) -> Changed:
    """Send listed equals for what waits for stock."""
    return await _in_database(RecordActivities.substitute, request, "send what is as good instead")


async def undo_change(request: UndoChange) -> Changed:
    """Take back what a change added."""
    return await _in_database(RecordActivities.undo_change, request, f"undo {request.change_id}")


async def change_address(request: ChangeAddress) -> Changed:
    """Send what has not left to another address."""
    return await _in_database(RecordActivities.change_address, request, "another address")


async def change_service(request: ChangeService) -> Changed:
    """Send what has not left by another service."""
    return await _in_database(RecordActivities.change_service, request, f"by {request.service}")


async def open_case(request: OpenCase) -> Case:
    """Say that something is wrong, and who acts until when."""
    return await _in_database(RecordActivities.open_case, request, f"{request.kind} about {request.subject}")


async def resolve_case(request: ResolveCase) -> None:
    """The case is over."""
    await _in_database(
        RecordActivities.resolve_case, request, f"{request.kind} is over: {request.resolution}"
    )


async def answer_case(request: AnswerCase) -> Case:
    """Note what a person answered a case with."""
    return await _in_database(
        RecordActivities.answer_case, request, f"{request.kind} of {request.subject}: {request.answer}"
    )


async def settle_shipment(request: Settle) -> Settled:
    """Decide what the customer gets for a shipment that did not serve them."""
    return await _in_database(
        RecordActivities.settle_shipment, request, f"{request.shipment_id} is {request.cause}: make it good"
    )


async def found_again(request: Found) -> Unsettled:
    """Keep here what was to replace a shipment that has turned up."""
    return await _in_database(RecordActivities.found_again, request, f"{request.shipment_id} has turned up")


async def revise_promise(request: RevisePromise) -> date | None:
    """Tell the customer of another day; return the one that is promised now."""
    return await _in_database(
        RecordActivities.revise_promise, request, f"promise {request.promised_date.isoformat()}"
    )


async def declare_lost(request: DeclareLost) -> CarrierStatus:
    """Give a parcel up; return what all its scans say together then."""
    return await _in_database(RecordActivities.declare_lost, request, f"{request.parcel_id} is lost")


async def change_payment_method(request: ChangePaymentMethod) -> None:
    """Use another way to pay from now on."""
    await _in_database(RecordActivities.change_payment_method, request, "another way to pay")


async def close_order(request: CloseOrder) -> datetime | None:
    """Write the end of the order."""
    return await _in_database(RecordActivities.close_order, request, f"close: {request.outcome}")


async def repair_drift() -> int:
    """Set the counters of stock to what their movements add up to."""
    return await workflow.execute_local_activity_method(
        ReplenishmentActivities.repair_drift, summary="do the counters add up?", **options.DATABASE_FAST
    )


async def order_what_is_low() -> int:
    """Order from the vendors what runs low."""
    return await workflow.execute_local_activity_method(
        ReplenishmentActivities.order_what_is_low, summary="order what runs low", **options.DATABASE_FAST
    )


async def find_what_was_missed() -> Findings:
    """Look for what nobody acted on."""
    return await workflow.execute_local_activity_method(
        ReconciliationActivities.find_what_was_missed, summary="what was missed?", **options.DATABASE_FAST
    )


async def note_heard(signal_ids: tuple[int, ...]) -> None:
    """Note facts as handed on."""
    await _in_database(ReconciliationActivities.note_heard, signal_ids, f"{len(signal_ids)} facts handed on")


async def note_doubt(operation_key: str) -> None:
    """Open a case about a request that has been in doubt for too long."""
    await _in_database(ReconciliationActivities.note_doubt, operation_key, f"{operation_key} is in doubt")


async def note_silence(parcel_id: str) -> None:
    """Let an order hear that its parcel is silent."""
    await _in_database(ReconciliationActivities.note_silence, parcel_id, f"{parcel_id} is silent")


async def _with_money(
    deed: MethodSyncSingleParam[Any, str, None],
    shipment_id: str,
    summary: str,
    *,
    unless: type[FulfillmentError],
) -> bool:
    """Move a shipment's money; False when the deed was refused for this one reason."""
    try:
        await workflow.execute_activity_method(deed, shipment_id, summary=summary, **options.PAYMENT)
    except ActivityError as failure:
        if is_refusal(failure, unless):
            return False
        raise
    return True


async def _in_database(deed: MethodSyncSingleParam[Any, A, R], request: A, summary: str) -> R:
    """Run a database deed beside the workflow; in an outage, the same deed as a regular activity."""
    try:
        return await workflow.execute_local_activity_method(
            deed, request, summary=summary, **options.DATABASE_FAST
        )
    except FailureError as failure:
        if is_cancelled_exception(failure) or (
            isinstance(failure, ApplicationError) and failure.non_retryable
        ):
            raise
    return await workflow.execute_activity_method(deed, request, summary=summary, **options.DATABASE)
