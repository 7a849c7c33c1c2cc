"""How an approved refund is paid: request by request, the newest capture first, until all of it went back."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, case, func, select, text, update

from fulfillment.domain.cases import CaseKind
from fulfillment.domain.events import EventKind
from fulfillment.domain.money import format_minor
from fulfillment.domain.notifications import Fact
from fulfillment.domain.operation import Operation
from fulfillment.domain.order import Order, Outcome, UnitRange
from fulfillment.domain.payment import (
    OperationKind,
    OperationState,
    RefundSnapshot,
    RefundStatus,
    operation_key,
)
from fulfillment.domain.playbooks import due_at
from fulfillment.domain.policy import Policy
from fulfillment.domain.refund import NEXT, Refund, RefundCause, RefundState, RequestRefund
from fulfillment.domain.settlement import COMING_BACK, Cause
from fulfillment.storage import cases, journal, owed, refund_rows, shares
from fulfillment.storage.coverage import TAKEN
from fulfillment.storage.operations import Operations, read
from fulfillment.storage.orders import lines_of, lock_order, order_from
from fulfillment.storage.tables import (
    payment_shares,
    payments,
    provider_operations,
    refunds,
    shipments,
    unit_ranges,
)

_S, _O = RefundState, OperationState
_UNDER_WAY: Final = (_O.CLAIMED, _O.ACCEPTED, _O.UNKNOWN)
# The carrier's word is written with the scan, before the order hears of it.
_CAUSE: Final = {Outcome.LOST: RefundCause.LOST, Outcome.RETURNED: RefundCause.RETURNED}
# What was decided last about the goods of a shipment, or about those that were sent for it, and where they are now.
_DECIDED: Final = text(
    """
    WITH RECURSIVE below AS (
        SELECT shipment_id, outcome FROM shipments WHERE shipment_id = :the_shipment
        UNION ALL
        SELECT s.shipment_id, s.outcome FROM shipments s JOIN below b ON s.replaces = b.shipment_id
    )
    SELECT e.data ->> 'cause' AS cause, below.outcome
    FROM order_events e JOIN below ON e.data ->> 'shipment_id' = below.shipment_id
    WHERE e.order_id = :the_order AND e.kind IN ('reshipped', 'refund_decided')
    ORDER BY e.seq DESC LIMIT 1
    """
)

_CHANGE: Final = update(refunds).where(refunds.c.refund_id == bindparam("the_refund"))
_UNITS_IN: Final = (
    select(unit_ranges)
    .where(unit_ranges.c.shipment_id == bindparam("the_shipment"))
    .order_by(unit_ranges.c.line_no, unit_ranges.c.first_unit)
)
_SHIPMENT: Final = select(*shipments.c["shipment_id", "outcome"]).where(
    shipments.c.shipment_id == bindparam("the_shipment")
)
_TAKEN_FOR: Final = (
    select(
        func.coalesce(func.sum(payment_shares.c.captured), 0).label("captured"),
        func.coalesce(func.sum(payment_shares.c.refunded), 0).label("refunded"),
        func.coalesce(func.sum(payment_shares.c.captured - TAKEN), 0).label("overpaid"),
    )
    .join(payments, payments.c.payment_id == payment_shares.c.payment_id)
    .where(payment_shares.c.shipment_id == bindparam("the_shipment"))
)
_UNFINISHED: Final = (
    select(refunds.c.refund_id)
    .where(
        refunds.c.shipment_id == bindparam("the_shipment"),
        refunds.c.state.in_([_S.APPROVED.value, _S.RUNNING.value, _S.FAILED.value]),
    )
    .order_by(refunds.c.n)
    .limit(1)
)
_OPERATIONS: Final = (
    select(provider_operations)
    .where(
        provider_operations.c.kind == OperationKind.REFUND.value,
        provider_operations.c.subject == bindparam("the_refund"),
    )
    .order_by(provider_operations.c.claimed_at, provider_operations.c.operation_key)
)
_asked = provider_operations.alias("asked")
_BALANCE: Final = (
    payments.c.captured
    - payments.c.refunded
    - select(func.coalesce(func.sum(_asked.c.amount), 0))
    .where(
        _asked.c.payment_id == payments.c.payment_id,
        _asked.c.kind == OperationKind.REFUND.value,
        _asked.c.state.in_([state.value for state in _UNDER_WAY]),
    )
    .scalar_subquery()
)
_IS_OF_SHIPMENT: Final = (
    select(payment_shares.c.payment_id)
    .where(
        payment_shares.c.payment_id == payments.c.payment_id,
        payment_shares.c.shipment_id == bindparam("the_shipment"),
        payment_shares.c.captured > payment_shares.c.refunded,
    )
    .exists()
)
_BALANCES: Final = (
    select(payments.c.payment_id, _BALANCE.label("balance"))
    .where(payments.c.order_id == bindparam("the_order"), _BALANCE > 0)
    .order_by(case((_IS_OF_SHIPMENT, 0), else_=1), payments.c.attempt.desc())
)
_GIVEN_BACK: Final = (
    update(payments)
    .where(payments.c.payment_id == bindparam("the_payment"))
    .values(refunded=payments.c.refunded + bindparam("given_back"))
)


class Refunds:
    """How an approved refund is paid, request by request. The order must be locked, or is locked here first."""

    def __init__(self, operations: Operations, now: Callable[[], datetime], policy: Policy) -> None:
        self._operations, self._now, self._policy = operations, now, policy

    def of_shipment(self, conn: Connection, order: Row[Any], shipment_id: str) -> str | None:
        """Return the refund of what is kept for a shipment and not owed, requesting it; None when nothing is.

        Its present value is owed, left or not: what was taken early for units that were cancelled is over.
        Once it is lost, came back or was cancelled, only what is sent instead is owed for it; what is sent for nothing
        has the money of what it replaces. What a person asked back of it before waits for nobody then.
        """
        shipment_id = owed.paid_as(conn, shipment_id)
        allowed = self._allow_what_is_not_owed(conn, order, shipment_id)
        unfinished: str | None = conn.execute(_UNFINISHED, {"the_shipment": shipment_id}).scalar_one_or_none()
        return unfinished or self.of_surplus(conn, order, shipment_id) or allowed

    def of_surplus(self, conn: Connection, order: Row[Any], shipment_id: str) -> str | None:
        """Return a new refund of what is kept for a shipment, is not owed, and no other refund gives back."""
        this = {"the_shipment": shipment_id}
        shipment = conn.execute(_SHIPMENT, this).one()
        units = refund_rows.ranges(conn.execute(_UNITS_IN, this))
        still = owed.of_shipment(conn, order_from(order, lines_of(conn, order.order_id)), shipment_id)
        over = self._not_given_back(conn, order, shipment_id, still.units) - still.amount
        kept = min(over, refund_rows.refundable(conn, order.order_id))
        if kept <= 0:
            return None
        return self.by_system(
            conn,
            order,
            _cause(conn, order.order_id, shipment),
            kept,
            request_id=f"{shipment_id}:{refund_rows.next_n(conn, order.order_id)}",
            shipment_id=shipment_id,
            units=() if still.units else _not_back(conn, order.order_id, units),
        )

    def _allow_what_is_not_owed(self, conn: Connection, order: Row[Any], shipment_id: str) -> str | None:
        """Allow what a person asked back of a shipment, where all of it goes back anyway; return the last of it."""
        allowed, kept = None, owed.coming(conn, order.order_id)
        for refund in refund_rows.of_order(conn, order.order_id):
            parts = refund_rows.by_shipment(conn, refund.refund_id)
            if refund.state is not _S.REQUESTED or shipment_id not in parts:
                continue
            if not any(refund_rows.numbers(units) & kept for units in parts.values()):
                decided = {"state": _S.APPROVED.value, "approved_by": refund_rows.SYSTEM}
                conn.execute(_CHANGE, {"the_refund": refund.refund_id, **decided})
                outcome = f"{refund.refund_id} approved: nothing of it is owed any more"
                journal.audit(
                    conn,
                    order.order_id,
                    actor=refund_rows.SYSTEM,
                    command="approve_refund",
                    outcome=outcome,
                    at=self._now(),
                )
                allowed = refund.refund_id
        return allowed

    def _not_given_back(
        self, conn: Connection, order: Row[Any], shipment_id: str, still: tuple[UnitRange, ...]
    ) -> int:
        """Return what was taken for a shipment and no refund gives back, booked at the provider yet or not.

        What goes back for units that are owed all the same lessens their price, and nothing else. Refunds that a
        person pays never are booked, and one that waits for approval may be paid tomorrow.
        """
        held = conn.execute(_TAKEN_FOR, {"the_shipment": shipment_id}).one()
        placed, kept = order_from(order, lines_of(conn, order.order_id)), refund_rows.numbers(still)
        back, booked = held.overpaid, held.overpaid
        for refund in refund_rows.of_order(conn, order.order_id):
            if refund.state is _S.REJECTED:
                continue
            units = _in_shipment(conn, refund, shipment_id)
            part, gone = (
                _part_of(placed, refund, shipment_id, units),
                _part_of(placed, refund, shipment_id, units - kept),
            )
            back += gone
            asked = conn.execute(_OPERATIONS, {"the_refund": refund.refund_id})
            booked += min(part, sum(o.amount for o in asked if o.state == _O.SUCCEEDED))
        # The rest of what its shares gave back was for nothing in particular, such as goodwill.
        taken: int = held.captured - back - max(held.refunded - booked, 0)
        return taken

    def of_payment(self, conn: Connection, order_id: str, payment_id: str) -> str | None:
        """Return the refund of what one payment had taken too much."""
        refund = refund_rows.by_request(conn, order_id, f"overpaid:{payment_id}")
        return refund.refund_id if refund else None

    def by_system(
        self,
        conn: Connection,
        order: Row[Any],
        cause: RefundCause,
        amount: int,
        *,
        request_id: str,
        shipment_id: str | None = None,
        units: tuple[UnitRange, ...] = (),
    ) -> str:
        """Book a refund that nobody needs to allow: money we have no right to."""
        request = RequestRefund(
            order_id=order.order_id, cause=cause, by=refund_rows.SYSTEM, request_id=request_id, units=units
        )
        return refund_rows.add(conn, order, request, amount, why="", now=self._now(), shipment_id=shipment_id)

    def next_step(self, conn: Connection, refund_id: str) -> Operation | Refund:
        """Claim what the refund asks of the provider next, the newest capture first."""
        order = lock_order(conn, refund_rows.order_of(conn, refund_id))
        refund = refund_rows.find(conn, refund_id)
        if refund.state not in (_S.APPROVED, _S.RUNNING, _S.FAILED):
            return refund
        asked = conn.execute(_OPERATIONS, {"the_refund": refund_id}).all()
        for operation in asked:
            if operation.state in (_O.CLAIMED, _O.UNKNOWN):
                return self._operations.again(conn, order, operation)
        if any(operation.state == _O.ACCEPTED for operation in asked):
            return refund
        return self._claim_next(conn, order, refund, asked)

    def record(self, conn: Connection, order: Row[Any], key: str, snapshot: RefundSnapshot) -> None:
        """Record what the provider says of one request."""
        match snapshot.status:
            case RefundStatus.PENDING:
                self._operations.settle(conn, key, _O.ACCEPTED, reference=snapshot.reference)
            case RefundStatus.SUCCEEDED:
                self._given_back(conn, order, key, snapshot.reference)
            case RefundStatus.FAILED:
                self.refused(conn, order, key, snapshot.reason or "failed", reference=snapshot.reference)

    def refused(
        self, conn: Connection, order: Row[Any], key: str, reason: str, *, reference: str | None = None
    ) -> None:
        """Record that the provider gives this money not back, at once or after it had said otherwise."""
        operation = read(conn, key)
        if self._operations.correct(conn, key, error_class=reason):
            self._book(conn, operation, -operation.amount)
            text = f"Your bank sent back {format_minor(operation.amount, order.currency)}; we look into it."
            journal.event(conn, order.order_id, EventKind.REFUND_CAME_BACK, text, at=self._now())
        elif not self._operations.settle(conn, key, _O.FAILED, error_class=reason, reference=reference):
            return
        self._failed(conn, refund_rows.find(conn, operation.subject), reason)

    def _claim_next(
        self, conn: Connection, order: Row[Any], refund: Refund, asked: Sequence[Row[Any]]
    ) -> Operation | Refund:
        rest = refund.amount - sum(o.amount for o in asked if o.state == _O.SUCCEEDED)
        payment = self._payment_for(conn, refund, asked)
        if payment is None:
            self._failed(conn, refund, "no payment has so much left")
            return refund_rows.find(conn, refund.refund_id)
        self._become(conn, refund, _S.RUNNING)
        key = operation_key(order.order_id, OperationKind.REFUND, refund.refund_id, len(asked) + 1)
        return self._operations.new(
            conn,
            order,
            key,
            OperationKind.REFUND,
            payment_id=payment.payment_id,
            subject=refund.refund_id,
            amount=min(rest, payment.balance),
        )

    def _payment_for(
        self, conn: Connection, refund: Refund, asked: Sequence[Row[Any]]
    ) -> Row[Any, Any] | None:
        """Return the payment to give back from: one that did not refuse this refund before, if there is one."""
        refused = {o.payment_id for o in asked if o.state == _O.FAILED}
        said = {"the_order": refund.order_id, "the_shipment": refund.shipment_id or ""}
        found = conn.execute(_BALANCES, said).all()
        return min(found, key=lambda payment: payment.payment_id in refused, default=None)

    def _given_back(self, conn: Connection, order: Row[Any], key: str, reference: str) -> None:
        if not self._operations.settle(conn, key, _O.SUCCEEDED, reference=reference):
            return
        operation = read(conn, key)
        self._book(conn, operation, operation.amount)
        refund = refund_rows.find(conn, operation.subject)
        asked = conn.execute(_OPERATIONS, {"the_refund": refund.refund_id}).all()
        if sum(o.amount for o in asked if o.state == _O.SUCCEEDED) < refund.amount:
            return
        self._become(conn, refund, _S.SUCCEEDED)
        tell_paid(conn, refund, now=self._now())

    def _book(self, conn: Connection, operation: Row[Any], amount: int) -> None:
        refund = refund_rows.find(conn, operation.subject)
        conn.execute(_GIVEN_BACK, {"the_payment": operation.payment_id, "given_back": amount})
        shares.give_back(conn, operation.payment_id, amount, first=_shipments_of(conn, refund))

    def _failed(self, conn: Connection, refund: Refund, reason: str) -> None:
        self._become(conn, refund, _S.FAILED)
        now = self._now()
        cases.open_case(
            conn,
            refund.order_id,
            CaseKind.REFUND_FAILED,
            subject=refund.shipment_id or refund.order_id,
            due_at=due_at(CaseKind.REFUND_FAILED, now, self._policy),
            now=now,
            note=f"{refund.refund_id}: {reason}",
        )

    def _become(self, conn: Connection, refund: Refund, to: RefundState) -> None:
        if refund.state is to:
            return
        changes: dict[str, Any] = {"state": to.value}
        if not NEXT[to] or to is _S.SUCCEEDED:
            changes["ended_at"] = self._now()
        conn.execute(_CHANGE, {"the_refund": refund.refund_id, **changes})


def tell_paid(conn: Connection, refund: Refund, *, now: datetime, by_hand: bool = False) -> None:
    """Tell the customer that the money is on its way, and close the case about it."""
    amount = format_minor(refund.amount, refund.currency)
    data = {"refund_id": refund.refund_id}
    journal.event(
        conn, refund.order_id, EventKind.REFUNDED, f"We returned {amount} to you.", at=now, data=data
    )
    told = {
        "amount": refund.amount,
        "currency": refund.currency,
        "cause": refund.cause.value,
        "by_hand": by_hand,
    }
    fact = Fact.REFUNDED
    journal.tell(conn, refund.order_id, fact, subject=refund.refund_id, version=1, data=told, now=now)
    subject = refund.shipment_id or refund.order_id
    cases.resolve(conn, CaseKind.REFUND_FAILED, subject=subject, resolution="refunded", now=now)


def _not_back(conn: Connection, order_id: str, units: tuple[UnitRange, ...]) -> tuple[UnitRange, ...]:
    """Return the ranges of which no unit has a refund yet."""
    back = refund_rows.units_back(conn, order_id)
    return tuple(part for part in units if not refund_rows.numbers((part,)) & back)


def _cause(conn: Connection, order_id: str, shipment: Row[*tuple[Any, ...]]) -> RefundCause:
    """Return why its money goes back: as it was decided, unless what was on its way back is here by now."""
    about = {"the_order": order_id, "the_shipment": shipment.shipment_id}
    decided = conn.execute(_DECIDED, about).one_or_none()
    if decided is None:
        return _CAUSE.get(shipment.outcome, RefundCause.CANCELLED)
    cause = Cause(decided.cause)
    is_back = decided.outcome == Outcome.RETURNED and cause in COMING_BACK
    return RefundCause.RETURNED if is_back else RefundCause(cause.value)


def _in_shipment(conn: Connection, refund: Refund, shipment_id: str) -> set[tuple[int, int]]:
    return refund_rows.numbers(refund_rows.by_shipment(conn, refund.refund_id).get(shipment_id, ()))


def _part_of(order: Order, refund: Refund, shipment_id: str, units: set[tuple[int, int]]) -> int:
    """Return how much of a refund is for a shipment: by its name, or for these units of it."""
    if refund.shipment_id is not None or not refund.units:
        return refund.amount if refund.shipment_id == shipment_id else 0
    here = tuple(UnitRange(line_no=line_no, first=unit, count=1) for line_no, unit in sorted(units))
    return refund.amount * order.worth(here) // max(order.worth(refund.units), 1)


def _shipments_of(conn: Connection, refund: Refund) -> frozenset[str]:
    if refund.shipment_id is not None:
        return frozenset({refund.shipment_id})
    return frozenset(refund_rows.by_shipment(conn, refund.refund_id))
