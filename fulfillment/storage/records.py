"""The order's own record: what was decided, by whom, and what follows at once."""

from collections.abc import Callable
from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, bindparam, func, select, update

from fulfillment.crashpoints import crashpoint
from fulfillment.domain.address import Address
from fulfillment.domain.cases import Case, CaseKind, CaseRefused
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
from fulfillment.domain.events import EventKind
from fulfillment.domain.holds import Hold, HoldReason, NoSuchHold
from fulfillment.domain.notifications import Fact
from fulfillment.domain.order import ENDED, OrderStatus, Outcome
from fulfillment.domain.payment import PaymentStatus
from fulfillment.domain.playbooks import last_day
from fulfillment.domain.policy import DEFAULT, Policy
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
from fulfillment.domain.shipment import WorkStatus
from fulfillment.domain.tracking import CarrierStatus, Scan, ScanSource
from fulfillment.storage import (
    answering,
    cases,
    changes,
    delivery,
    holds,
    items,
    journal,
    late_parcels,
    parcels,
    settling,
    shortages,
    state,
    stopping,
    substitutions,
)
from fulfillment.storage.advance import advance
from fulfillment.storage.orders import lock_order
from fulfillment.storage.tables import orders, payments, shipments
from fulfillment.storage.tables import parcels as parcel_rows

_S = OrderStatus
_SYSTEM: Final = "system"
_NOBODY: Final = (_SYSTEM, "policy", "waybill", "temporal")  # who signs what no person asked for
_FINAL: Final = {
    Outcome.DELIVERED: _S.COMPLETED,
    Outcome.LOST: _S.COMPLETED,
    Outcome.RETURNED: _S.COMPLETED,
    Outcome.CANCELLED: _S.CANCELLED,
    Outcome.REJECTED: _S.REJECTED,
    Outcome.EXPIRED: _S.EXPIRED,
}
_SENTENCE: Final = {
    Outcome.CANCELLED: "Your order was cancelled.",
    Outcome.EXPIRED: "Your order was cancelled, because it was not paid.",
    Outcome.REJECTED: "We could not accept your order.",
}
_CASE_OF: Final = {
    HoldReason.FRAUD: CaseKind.FRAUD_REVIEW,
    HoldReason.STOCK: CaseKind.OUT_OF_STOCK,
    HoldReason.ADDRESS: CaseKind.ADDRESS_PROBLEM,
}
_CASES: Final = (*_CASE_OF.values(), CaseKind.ON_HOLD)

_ORDER: Final = update(orders).where(orders.c.order_id == bindparam("the_order"))
_DELIVERED_AT: Final = select(func.max(parcel_rows.c.delivered_at)).where(
    parcel_rows.c.order_id == bindparam("the_order")
)
_LET_GO: Final = select(func.coalesce(func.sum(payments.c.authorized), 0)).where(
    payments.c.order_id == bindparam("the_order"),
    payments.c.status.in_(
        [PaymentStatus.AUTHORIZED.value, PaymentStatus.VOIDED.value, PaymentStatus.EXPIRED.value]
    ),
)
_CLOSE_SHIPMENTS: Final = update(shipments).where(
    shipments.c.order_id == bindparam("the_order"),
    shipments.c.work_status == WorkStatus.HANDED_OVER.value,
)


class RecordStore:
    """The order's record. Every call is one transaction, begins by locking the order, and is safe to repeat."""

    def __init__(self, engine: Engine, now: Callable[[], datetime], *, policy: Policy = DEFAULT) -> None:
        self._engine, self._now, self._policy = engine, now, policy

    def confirm(self, request: Confirm) -> Confirmed:
        """Confirm an order whose shipments need no money yet, or let it go on."""
        with self._engine.begin() as conn:
            order = lock_order(conn, request.order_id)
            came_to = advance(conn, order, now=self._now(), policy=self._policy)
            return Confirmed(promise_date=came_to.promise_date, released=came_to.released)

    def place_hold(self, request: PlaceHold) -> Hold:
        """Put a hold on the order; a second one for the same reason joins the first."""
        order_id, now = request.order_id, self._now()
        with self._engine.begin() as conn:
            lock_order(conn, order_id)
            hold, is_new = holds.place(
                conn,
                order_id,
                request.reason,
                by=request.by,
                due_at=request.due_at,
                note=request.note,
                now=now,
            )
            if is_new:
                journal.event(conn, order_id, EventKind.HELD, "Your order is on hold for a moment.", at=now)
            outcome = f"held: {hold.reason}" if is_new else f"was held already: {hold.reason}"
            self._audit(conn, request, "hold", outcome, reason=request.note)
            return hold

    def wait_for_all(self, request: WaitForAll) -> tuple[Hold, ...]:
        """Let the order wait until all of it is there; return the holds that stand. Nobody is asked any more."""
        order_id, now = request.order_id, self._now()
        with self._engine.begin() as conn:
            order = lock_order(conn, order_id)
            substitutions.give_up(conn, order, by=request.by, now=now, policy=self._policy)
            until = shortages.wait_for_all(conn, order_id, now=now, policy=self._policy)
            self._audit(conn, request, "wait_for_all", f"waits for all of it until {until:%d %b %Y}")
            return holds.active(conn, order_id)

    def release_hold(self, request: ReleaseHold) -> Released:
        """End a hold, or all of them, and let the order go on.

        Raises:
            NoSuchHold: a person named a hold that does not stand.
        """
        with self._engine.begin() as conn:
            order = lock_order(conn, request.order_id)
            self._end_holds(conn, request)
            if request.reason in (None, HoldReason.STOCK):
                order = substitutions.give_up(
                    conn, order, by=request.by, now=self._now(), policy=self._policy
                )
            came_to = advance(conn, order, now=self._now(), policy=self._policy)
            return Released(holds=came_to.holds, released=came_to.released)

    def stop_shipments(self, request: StopShipments) -> Stopped:
        """Stop what has not left. The floor and this call meet at the shipment's row: one of them wins."""
        with self._engine.begin() as conn:
            order = lock_order(conn, request.order_id)
            stopped = stopping.stop(
                conn,
                order,
                reason=request.reason,
                by=request.by,
                now=self._now(),
                only=request.shipments,
            )
            outcome = f"stopped {', '.join(stopped.stopped) or 'nothing'}"
            if stopped.left:
                outcome += f"; {', '.join(stopped.left)} had left"
            self._audit(conn, request, "cancel", outcome, reason=request.reason)
            if lock_order(conn, request.order_id).status not in (_S.CANCELLING, *ENDED):
                self._tell_what_is_cancelled(conn, request, stopped)
            return stopped

    def read_state(self, order_id: str) -> OrderState:
        """Return the order as the books have it now."""
        with self._engine.connect() as conn:
            return state.read(conn, order_id, now=self._now())

    def cancel_units(self, request: CancelUnits) -> Changed:
        """Take units off the order that have not left, those of the shipment least far along first.

        Raises:
            ChangeRefused: some of them have left or were cancelled before; nothing was changed.
        """
        with self._engine.begin() as conn:
            return items.cancel_units(conn, request, now=self._now(), policy=self._policy)

    def add_lines(self, request: AddLines) -> Changed:
        """Add lines to a confirmed order and claim their stock; their money is asked for afterwards.

        Raises:
            ChangeRefused: everything has left, or there is not enough; nothing was added.
            UnknownSku: the catalogue has no such SKU.
        """
        with self._engine.begin() as conn:
            return items.add_lines(conn, request, now=self._now(), policy=self._policy)

    def substitute(self, request: Substitute) -> Changed:
        """Send listed equals for what waits for stock, at no higher price; their shipments wait for their money.

        Raises:
            ChangeRefused: the order is not confirmed or has ended, or nothing that is as good is there any more.
        """
        with self._engine.begin() as conn:
            return substitutions.substitute(conn, request, now=self._now(), policy=self._policy)

    def undo_change(self, request: UndoChange) -> Changed:
        """Take back what one change added and nobody paid for; what went on already stays.

        Raises:
            ChangeRefused: it added nothing.
        """
        with self._engine.begin() as conn:
            return items.undo_change(conn, request, now=self._now(), policy=self._policy)

    def propose_address(self, order_id: str, ship_to: Address, *, by: str, request_id: str) -> None:
        """Leave an address for the order to take under this request's id.

        Raises:
            UnknownOrder: there is no such order.
        """
        with self._engine.begin() as conn:
            lock_order(conn, order_id)
            delivery.propose(conn, order_id, ship_to, by=by, request_id=request_id, now=self._now())

    def propose_suggested(self, order_id: str, *, by: str, request_id: str) -> None:
        """Leave the address that the carriers suggest for the order to take under this request's id.

        Raises:
            UnknownOrder: there is no such order.
            ChangeRefused: nobody suggests another one.
        """
        with self._engine.begin() as conn:
            delivery.propose_suggested(conn, order_id, by=by, request_id=request_id, now=self._now())

    def change_address(self, request: ChangeAddress) -> Changed:
        """Send what has not left to another address; its labels must be bought again.

        Raises:
            ChangeRefused: everything has left.
        """
        with self._engine.begin() as conn:
            return delivery.change_address(conn, request, now=self._now(), policy=self._policy)

    def change_service(self, request: ChangeService) -> Changed:
        """Send what has not left by another service, for a fee; its labels must be bought again.

        Raises:
            ChangeRefused: everything has left, or it goes by that service already.
        """
        with self._engine.begin() as conn:
            return delivery.change_service(conn, request, now=self._now())

    def open_case(self, request: OpenCase) -> Case:
        """Open a case; a second detection joins the open one.

        Raises:
            CaseRefused: the order has ended. Its workflow asks for none then, but a try that it had given up may.
        """
        now, kind = self._now(), request.kind
        with self._engine.begin() as conn:
            if lock_order(conn, request.order_id).status in ENDED:
                raise CaseRefused(f"{request.order_id} has ended: no {kind} is opened about it any more")
            return cases.open_case(
                conn,
                request.order_id,
                kind,
                subject=request.subject,
                due_at=request.due_at,
                now=now,
                note=request.note,
                until=last_day(kind, now, self._policy),
            )

    def resolve_case(self, request: ResolveCase) -> None:
        """Resolve a case, if it is open."""
        with self._engine.begin() as conn:
            lock_order(conn, request.order_id)
            now, how = self._now(), request.resolution
            cases.resolve(conn, request.kind, subject=request.subject, resolution=how, now=now)

    def answer_case(self, request: AnswerCase) -> Case:
        """Note what a person answered a case with; one that is to wait begins its playbook anew.

        Raises:
            CaseRefused: there is no such case, or it cannot be answered so.
        """
        with self._engine.begin() as conn:
            order = lock_order(conn, request.order_id)
            return answering.answer(conn, order, request, now=self._now(), policy=self._policy)

    def settle(self, request: Settle) -> Settled:
        """Decide once what the customer gets for a shipment that did not serve them: another one, or the money.

        Raises:
            NotSettled: it was settled the other way, has not left, or what is wanted is not there.
        """
        with self._engine.begin() as conn:
            settled = settling.settle(conn, request, now=self._now(), policy=self._policy)
            crashpoint("settle.before_commit")
        crashpoint("settle.after_commit")
        return settled

    def found(self, request: Found) -> Unsettled:
        """Let what replaces a shipment stay here where it has not left, because that has turned up."""
        with self._engine.begin() as conn:
            return settling.found(conn, request, now=self._now())

    def revise_promise(self, request: RevisePromise) -> date | None:
        """Promise a later day and tell the customer why, once a day at most; return the day promised now.

        An earlier day is no news. The day may be a later one than asked for, where the lane says so.
        """
        order_id, now = request.order_id, self._now()
        with self._engine.begin() as conn:
            order = lock_order(conn, order_id)
            return late_parcels.put_off(conn, order, request, now=now, policy=self._policy)

    def declare_lost(self, request: DeclareLost) -> CarrierStatus:
        """Give a parcel up; our own event joins its scans. Return what they come to: it may have been delivered."""
        now = self._now()
        given_up = Scan(
            status=CarrierStatus.LOST,
            occurred_at=now,
            code="given_up",
            text="No scan for too long",
            source=ScanSource.WAYBILL,
        )
        with self._engine.begin() as conn:
            lock_order(conn, request.order_id)
            source = ScanSource.WAYBILL.value
            return parcels.record(
                conn, request.parcel_id, (given_up,), None, source=source, now=now, policy=self._policy
            )

    def change_payment_method(self, request: ChangePaymentMethod) -> None:
        """Let the customer pay another way from now on."""
        with self._engine.begin() as conn:
            order = lock_order(conn, request.order_id)
            if order.payment_method == request.method:
                return
            conn.execute(_ORDER, {"the_order": request.order_id, "payment_method": request.method})
            text = "The way you pay was changed."
            journal.event(conn, request.order_id, EventKind.PAYMENT_METHOD_CHANGED, text, at=self._now())
            self._audit(conn, request, "change_payment_method", "changed")

    def close(self, request: CloseOrder) -> datetime | None:
        """Close the order and return when it was delivered, if it was."""
        order_id = request.order_id
        with self._engine.begin() as conn:
            order = lock_order(conn, order_id)
            if order.completed_at is None:
                self._close(conn, order, request)
            delivered_at: datetime | None = conn.execute(_DELIVERED_AT, {"the_order": order_id}).scalar_one()
            crashpoint("close.before_commit")
        crashpoint("close.after_commit")
        return delivered_at

    def _tell_what_is_cancelled(self, conn: Connection, request: StopShipments, stopped: Stopped) -> None:
        """Only when the rest goes on: an order that is cancelled as a whole is told so when it closes."""
        now, told, fact = self._now(), {"reason": request.reason}, Fact.PART_CANCELLED
        known = changes.stopped_by_changes(conn, request.order_id)
        for shipment_id in (one for one in stopped.stopped if one not in known):
            journal.tell(conn, request.order_id, fact, subject=shipment_id, version=1, data=told, now=now)

    def _close(self, conn: Connection, order: Row[Any], request: CloseOrder) -> None:
        order_id, now, status = order.order_id, self._now(), _FINAL[request.outcome]
        if status is _S.COMPLETED:
            left = {"work_status": WorkStatus.CLOSED.value, "outcome": request.outcome.value}
            conn.execute(_CLOSE_SHIPMENTS, {"the_order": order_id, **left, "closed_at": now})
            journal.event(conn, order_id, EventKind.COMPLETED, "Your order is complete.", at=now)
        else:
            self._tell_the_end(conn, order, request)
        holds.end(conn, order_id, None, by=_SYSTEM, now=now)
        cases.resolve_all(conn, order_id, resolution="order_closed", now=now)
        ended = {"status": status.value, "outcome": request.outcome.value, "completed_at": now}
        conn.execute(_ORDER, {"the_order": order_id, **ended})

    def _tell_the_end(self, conn: Connection, order: Row[Any], request: CloseOrder) -> None:
        """Let go of whatever is still claimed, and tell the customer unless the rejection already did."""
        order_id, now = order.order_id, self._now()
        stopping.stop(conn, order, reason=request.reason or request.outcome.value, by=_SYSTEM, now=now)
        if order.status == _S.REJECTED:
            return
        released = conn.execute(_LET_GO, {"the_order": order_id}).scalar_one()
        told = {"reason": request.reason, "released": released, "currency": order.currency}
        journal.tell(conn, order_id, Fact.CANCELLED, subject=order_id, version=1, data=told, now=now)
        journal.event(conn, order_id, EventKind(request.outcome), _SENTENCE[request.outcome], at=now)

    def _end_holds(self, conn: Connection, request: ReleaseHold) -> None:
        order_id, now = request.order_id, self._now()
        ended = holds.end(conn, order_id, request.reason, by=request.by, now=now, defaulted=request.defaulted)
        if not ended:
            # A policy that comes after a person had the same in mind.
            asked = request.by not in _NOBODY and not request.defaulted
            if asked and not journal.audited(conn, order_id, "release", request.request_id):
                raise NoSuchHold(order_id, request.reason or "at all")
            return
        for kind in _CASES if request.reason is None else (_case_of(request.reason),):
            cases.resolve(conn, kind, subject=order_id, resolution="released", now=now)
        journal.event(conn, order_id, EventKind.HOLD_RELEASED, "Your order goes on.", at=now)
        self._audit(conn, request, "release", f"released {', '.join(ended)}", reason=request.note)

    def _audit(
        self,
        conn: Connection,
        request: PlaceHold | WaitForAll | ReleaseHold | StopShipments | ChangePaymentMethod,
        command: str,
        outcome: str,
        *,
        reason: str = "",
    ) -> None:
        """Note who asked, once per request."""
        if journal.audited(conn, request.order_id, command, request.request_id):
            return
        journal.audit(
            conn,
            request.order_id,
            actor=request.by,
            command=command,
            outcome=outcome,
            at=self._now(),
            request_id=request.request_id,
            reason=reason,
        )


def _case_of(reason: HoldReason) -> CaseKind:
    return _CASE_OF.get(reason, CaseKind.ON_HOLD)
