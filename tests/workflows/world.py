"""A small world for one order: deeds that note what was asked of them and answer as the test wants."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activities.errors import refusal
from activities.payments import AuthorizePayments, CapturePayment
from fulfillment.domain.cases import Case
from fulfillment.domain.change import (
    AddLines,
    CancelUnits,
    ChangeAddress,
    Changed,
    ChangeService,
    LineState,
    OrderState,
    ShipmentState,
    Substitute,
    UndoChange,
)
from fulfillment.domain.findings import Findings
from fulfillment.domain.holds import Hold, HoldReason, NoSuchHold, hold_id
from fulfillment.domain.inventory import ShortLine
from fulfillment.domain.label import Label
from fulfillment.domain.operation import Authorization, Captured
from fulfillment.domain.payment import PaymentStatus
from fulfillment.domain.policy import Policy
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
from fulfillment.domain.reservation import PlannedShipment, Reservation
from fulfillment.domain.settlement import Found, Settle, Settled, Settlement, Unsettled
from fulfillment.domain.shipment import WaitsFor
from fulfillment.domain.tracking import CarrierStatus

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
PROMISED = date(2099, 11, 27)


def a_shipment(n: int = 1, *, waits_for: WaitsFor = WaitsFor.PAYMENT, value: int = 6600) -> PlannedShipment:
    return PlannedShipment(
        shipment_id=f"SO-1-{n}", location_id="wh-reno", value=value, units=3, waits_for=waits_for
    )


def state_of(
    plan: PlannedShipment, work_status: str = "scheduled", *, covered: bool = False, parcel: str | None = None
) -> ShipmentState:
    return ShipmentState(plan=plan, work_status=work_status, covered=covered, parcel_id=parcel)


def _no(kind: str, why: str = "no") -> ApplicationError:
    """A refusal, as the real deeds raise it."""
    return ApplicationError(why, type=kind, non_retryable=True, category=ApplicationErrorCategory.BENIGN)


class World:
    """What the deeds of one order find, and what was done."""

    def __init__(self, *shipments: PlannedShipment, short: tuple[ShortLine, ...] = ()) -> None:
        self.shipments = shipments
        self.short = short
        self.states = {plan.shipment_id: state_of(plan) for plan in shipments}
        self.lines = (LineState(line_no=1, sku="MUG", quantity=3, unit_price=2200),)
        self.tried_before = 0
        self.waiting: list[
            PaymentStatus
        ] = []  # what the provider says when asked about an attempt that waits
        self._changes: dict[str, tuple[Changed, ShipmentState | None]] = {}
        self.reserved_holds: tuple[Hold, ...] = ()
        self.expires_soon = False
        self.stock_gone = 0
        self.away = 0
        self.uncovered: tuple[str, ...] = ()
        self.held_captures = 0
        self.refund_states: list[RefundState] = []
        self.policy = Policy()
        self.declines: list[str] = []
        self.holds: dict[HoldReason, Hold] = {}
        self.left: set[str] = set()
        self.done: list[str] = []
        self.label_failures = 0
        self.expired_captures = 0
        self.promise = PROMISED
        self.may_revise = True  # not told of another day today
        self.promised_later: date | None = None
        self.scans_say = CarrierStatus.LOST
        self.settles = Settlement.REFUND
        self.sent_again: ShipmentState | None = None  # what is sent when goods are made good
        self.cases: list[Case] = []  # what the books opened beside the workflow
        self.risky = False
        self.late_holds: tuple[Hold, ...] = ()  # named by an authorization that began before they ended
        self.refused: dict[str, str] = {}
        self.refused_refunds = 0
        self.refused_labels: list[str] = []
        self.expires_at: datetime | None = None
        self.before: dict[str, Callable[[], None]] = {}

    def did(self, prefix: str) -> list[str]:
        return [deed for deed in self.done if deed.startswith(prefix)]

    def _note(self, deed: str) -> None:
        self.done.append(deed)
        name = deed.split(" ")[0]
        if why := self.refused.pop(name, None):
            raise _no("Surprise", why)
        if hook := self.before.pop(deed.split(" ")[0], None):
            hook()

    def activities(self) -> list[Callable[..., Any]]:
        return [
            self.reserve_stock,
            self.authorize_payments,
            self.capture_payment,
            self.void_authorization,
            self.void_payment,
            self.check_payment,
            self.ask_for_method,
            self.refund_payment,
            self.pay_refund,
            self.read_state,
            self.cancel_units,
            self.add_lines,
            self.substitute,
            self.undo_change,
            self.change_address,
            self.change_service,
            self.buy_label,
            self.void_label,
            self.confirm_order,
            self.place_hold,
            self.wait_for_all,
            self.release_hold,
            self.stop_shipments,
            self.open_case,
            self.resolve_case,
            self.answer_case,
            self.settle_shipment,
            self.found_again,
            self.revise_promise,
            self.declare_lost,
            self.change_payment_method,
            self.close_order,
            self.find_what_was_missed,
        ]

    @activity.defn
    def reserve_stock(self, order_id: str) -> Reservation:
        self._note(f"reserve {order_id}")
        return Reservation(
            order_id=order_id, shipments=self.shipments, short=self.short, holds=self.reserved_holds
        )

    @activity.defn
    def authorize_payments(self, request: AuthorizePayments) -> tuple[Authorization, ...]:
        answers: list[Authorization] = []
        for attempt, shipments in enumerate(request.groups, start=request.attempt):
            answers.append(self._authorized(shipments, attempt))
            if answers[-1].status is not PaymentStatus.AUTHORIZED:
                break
        return tuple(answers)

    def _authorized(self, shipments: tuple[str, ...], attempt: int) -> Authorization:
        ids = " ".join(shipments)
        self._note(f"authorize {ids} {attempt}")
        payment_id = f"SO-1:authorize:{ids}:{attempt}"
        if self.away:
            self.away -= 1
            raise ApplicationError("503", type="ProviderUnavailable")
        if self.waiting:
            return Authorization(
                payment_id=payment_id,
                status=self.waiting.pop(0),
                next_action_url="https://bank.example/confirm",
            )
        if self.stock_gone:
            self.stock_gone -= 1
            return Authorization(payment_id=payment_id, status=PaymentStatus.AUTHORIZING, stock_gone=True)
        if self.declines:
            return Authorization(
                payment_id=payment_id, status=PaymentStatus.DECLINED, decline_group=self.declines.pop(0)
            )
        holds = self.late_holds
        if self.risky:
            fraud = PlaceHold(
                order_id="SO-1",
                reason=HoldReason.FRAUD,
                by="policy",
                request_id="-",
                due_at=self._now() + timedelta(hours=72),
            )
            holds = (self._hold(fraud),)
        for shipment_id in shipments:
            if shipment_id in self.states:
                self.states[shipment_id] = replace(self.states[shipment_id], covered=True)
        return Authorization(
            payment_id=payment_id,
            status=PaymentStatus.AUTHORIZED,
            shipments=shipments,
            confirmed=True,
            promise_date=self.promise,
            holds=holds,
            expires_at=self._now() + timedelta(hours=12) if self.expires_soon else self.expires_at,
        )

    def _now(self) -> datetime:
        return activity.info().started_time

    def _hold(self, request: PlaceHold) -> Hold:
        hold = Hold(
            hold_id=hold_id(request.order_id, request.reason),
            reason=request.reason,
            placed_by=request.by,
            placed_at=self._now(),
            due_at=request.due_at,
            note=request.note,
        )
        self.holds[request.reason] = hold
        return hold

    @activity.defn
    def check_payment(self, payment_id: str) -> Authorization:
        self._note(f"check {payment_id}")
        return Authorization(
            payment_id=payment_id,
            status=self.waiting.pop(0) if self.waiting else PaymentStatus.AUTHORIZED,
            confirmed=True,
            promise_date=None if self.waiting else self.promise,
        )

    @activity.defn
    def void_payment(self, payment_id: str) -> None:
        self._note(f"let-go {payment_id}")

    @activity.defn
    def ask_for_method(self, order_id: str) -> str:
        self._note(f"link {order_id}")
        return "https://pay.example/choose"

    @activity.defn
    def pay_refund(self, refund_id: str) -> RefundState:
        self._note(f"pay {refund_id}")
        return self.refund_states.pop(0)

    @activity.defn
    def read_state(self, order_id: str) -> OrderState:
        self._note(f"read {order_id}")
        return self.state()

    def state(self) -> OrderState:
        return OrderState(
            order_id="SO-1",
            shipments=tuple(self.states.values()),
            lines=self.lines,
            holds=tuple(self.holds.values()),
            promise_date=self.promised_later,
            cases=tuple(self.cases),
            attempts=self.tried_before,
        )

    def changes(self, deed: str, *, then: ShipmentState | None = None, **came_to: Any) -> None:
        """Let the next change of this kind succeed; `then` is what it makes of a shipment."""
        changed = Changed(change_id="SO-1-C1", text="Done.", state=self.state(), **{"delta": 0, **came_to})
        self._changes[deed] = changed, then

    def _changed(self, what: str) -> Changed:
        self._note(what)
        if (coming := self._changes.pop(what.split(" ")[0], None)) is None:
            raise _no("ChangeRefused", "Too late.")
        changed, then = coming
        if then:
            self.states[then.plan.shipment_id] = then
        return replace(changed, state=self.state())

    def hold_beside_the_order(
        self, reason: HoldReason, by: str = "stripe", due_at: datetime = datetime(2099, 1, 1, tzinfo=UTC)
    ) -> None:
        """Let the books hold the order without its workflow knowing."""
        self.holds[reason] = Hold(
            hold_id=hold_id("SO-1", reason), reason=reason, placed_by=by, placed_at=NOON, due_at=due_at
        )

    @activity.defn
    def cancel_units(self, request: CancelUnits) -> Changed:
        return self._changed(f"cancel-units {[(n.line_no, n.quantity) for n in request.lines]}")

    @activity.defn
    def add_lines(self, request: AddLines) -> Changed:
        return self._changed(f"add {[(n.sku, n.quantity) for n in request.lines]}")

    @activity.defn
    def substitute(self, request: Substitute) -> Changed:
        return self._changed(f"substitute by {request.by}")

    @activity.defn
    def undo_change(self, request: UndoChange) -> Changed:
        return self._changed(f"undo {request.change_id}")

    @activity.defn
    def change_address(self, request: ChangeAddress) -> Changed:
        return self._changed("address")

    @activity.defn
    def change_service(self, request: ChangeService) -> Changed:
        return self._changed(f"service {request.service} {request.fee}")

    @activity.defn
    def capture_payment(self, request: CapturePayment) -> Captured:
        self._note(f"capture {request.shipment_id}" + (" early" if request.early else ""))
        if self.expired_captures:
            self.expired_captures -= 1
            raise _no("AuthorizationExpired")
        if self.held_captures:
            self.held_captures -= 1
            raise _no("Held")
        uncovered, self.uncovered = self.uncovered, ()
        return Captured(amount=6600, uncovered=uncovered)

    @activity.defn
    def void_authorization(self, shipment_id: str) -> None:
        self._note(f"void {shipment_id}")

    @activity.defn
    def refund_payment(self, shipment_id: str) -> None:
        self._note(f"refund {shipment_id}")
        if self.refused_refunds:
            self.refused_refunds -= 1
            raise _no("RefundRefused")

    @activity.defn
    def buy_label(self, parcel_id: str) -> Label:
        self._note(f"label {parcel_id}")
        if self.refused_labels:
            raise _no(self.refused_labels.pop(0))
        if self.label_failures:
            self.label_failures -= 1
            raise ApplicationError("503", type="ProviderUnavailable")
        return Label(
            carrier="UPS",
            service="Ground",
            tracking_number="1Z1",
            cost=700,
            currency="USD",
            label_url="http://x",
        )

    @activity.defn
    def void_label(self, parcel_id: str) -> bool:
        self._note(f"void-label {parcel_id}")
        return True

    @activity.defn
    def confirm_order(self, request: Confirm) -> Confirmed:
        self._note(f"confirm {request.order_id}")
        return Confirmed(promise_date=self.promise, released=())

    @activity.defn
    def place_hold(self, request: PlaceHold) -> Hold:
        self._note(f"hold {request.reason}")
        return self._hold(request)

    @activity.defn
    def wait_for_all(self, request: WaitForAll) -> tuple[Hold, ...]:
        self._note(f"wait for all, says {request.by}")
        stock = self.holds[HoldReason.STOCK]
        self.holds[HoldReason.STOCK] = replace(stock, due_at=self._now() + timedelta(days=14))
        return tuple(self.holds.values())

    @activity.defn
    def release_hold(self, request: ReleaseHold) -> Released:
        self._note(f"release {request.reason} by {request.by}")
        if request.reason and request.reason not in self.holds and not request.defaulted:
            raise refusal(NoSuchHold("SO-1", request.reason))
        for reason in [request.reason] if request.reason else list(self.holds):
            self.holds.pop(reason, None)
        return Released(holds=tuple(self.holds.values()), released=())

    @activity.defn
    def stop_shipments(self, request: StopShipments) -> Stopped:
        self._note(f"stop {request.reason}")
        ids = [i for i in self.states if not request.shipments or i in request.shipments]
        return Stopped(
            stopped=tuple(i for i in ids if i not in self.left),
            labeled_parcels=(),
            left=tuple(i for i in ids if i in self.left),
        )

    @activity.defn
    def open_case(self, request: OpenCase) -> Case:
        self._note(f"case {request.kind} {request.subject}")
        return Case(
            case_id=f"{request.subject}:{request.kind}",
            kind=request.kind,
            subject=request.subject,
            opened_at=self._now(),
            due_at=request.due_at,
            note=request.note,
        )

    @activity.defn
    def resolve_case(self, request: ResolveCase) -> None:
        self._note(f"resolved {request.kind} {request.resolution}")

    @activity.defn
    def answer_case(self, request: AnswerCase) -> Case:
        self._note(f"answer {request.kind} {request.answer}")
        return Case(
            case_id=f"{request.subject}:{request.kind}",
            kind=request.kind,
            subject=request.subject,
            opened_at=self._now(),
            due_at=self._now() + timedelta(days=2),
        )

    @activity.defn
    def settle_shipment(self, request: Settle) -> Settled:
        self._note(f"settle {request.shipment_id} {request.cause} {request.wanted or ''}".strip())
        added: tuple[str, ...] = ()
        settlement = request.wanted or self.settles
        if settlement is Settlement.RESHIP and self.sent_again:
            added = (self.sent_again.plan.shipment_id,)
            self.states[added[0]] = self.sent_again
        return Settled(
            settlement=settlement, cause=request.cause, text="Made good.", added=added, state=self.state()
        )

    @activity.defn
    def found_again(self, request: Found) -> Unsettled:
        self._note(f"found {request.shipment_id}")
        assert self.sent_again
        stopped = self.sent_again.plan.shipment_id
        self.states[stopped] = replace(self.states[stopped], work_status="cancelled")
        return Unsettled(stopped=(stopped,), settlement=None, state=self.state())

    @activity.defn
    def revise_promise(self, request: RevisePromise) -> date:
        self._note(f"promise {request.promised_date}")
        self.promise = max(self.promise, request.promised_date) if self.may_revise else self.promise
        return self.promise

    @activity.defn
    def declare_lost(self, request: DeclareLost) -> CarrierStatus:
        self._note(f"lost {request.parcel_id}")
        return self.scans_say

    @activity.defn
    def change_payment_method(self, request: ChangePaymentMethod) -> None:
        self._note(f"method {request.method}")

    @activity.defn
    def close_order(self, request: CloseOrder) -> datetime | None:
        self._note(f"close {request.outcome}")
        return NOON if request.outcome == "delivered" else None

    @activity.defn
    def find_what_was_missed(self) -> Findings:
        return Findings(unheard=(), unstarted=(), silent_parcels=(), doubtful_operations=())
