"""Refunds as rows: asked for once, allowed by a second person where it must be, and given back payment by payment.

A refund reserves the balance the moment it is asked for: what is captured less every refund that was not
rejected is all that can still be given back.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, bindparam, case, func, insert, select, update

from fulfillment.domain.cases import CaseKind
from fulfillment.domain.money import format_minor
from fulfillment.domain.notifications import Fact
from fulfillment.domain.operation import Operation
from fulfillment.domain.order import Outcome, UnitRange
from fulfillment.domain.payment import (
    OperationKind,
    OperationState,
    RefundSnapshot,
    RefundStatus,
    operation_key,
)
from fulfillment.domain.policy import DEFAULT, Policy
from fulfillment.domain.refund import (
    NEXT,
    Refund,
    RefundCause,
    RefundNotAllowed,
    RefundState,
    RequestRefund,
    UnknownRefund,
    refund_id,
)
from fulfillment.domain.shipment import BEFORE_HAND_OVER, WorkStatus
from fulfillment.storage import cases, journal, locks, shares
from fulfillment.storage.operations import Operations, read
from fulfillment.storage.orders import lines_of, lock_order, order_from
from fulfillment.storage.tables import (
    orders,
    payment_shares,
    payments,
    provider_operations,
    refund_units,
    refunds,
    shipments,
    unit_ranges,
)

_S, _O = RefundState, OperationState
SYSTEM: Final = "system"
_UNDER_WAY: Final = (_O.CLAIMED, _O.ACCEPTED, _O.UNKNOWN)

_THE_ORDER: Final = refunds.c.order_id == bindparam("the_order")
_STANDS: Final = refunds.c.state != _S.REJECTED.value
_THIS: Final = refunds.c.refund_id == bindparam("the_refund")
_READ: Final = select(refunds, orders.c.currency).join(orders, orders.c.order_id == refunds.c.order_id)
_ONE: Final = _READ.where(_THIS)
_OWNER: Final = select(refunds.c.order_id).where(_THIS)
_SAME: Final = _READ.where(_THE_ORDER, refunds.c.request_id == bindparam("the_request"))
_OF_ORDER: Final = _READ.where(_THE_ORDER).order_by(refunds.c.n)
_LAST_N: Final = select(func.coalesce(func.max(refunds.c.n), 0)).where(_THE_ORDER)
_ADD: Final = insert(refunds)
_ADD_UNITS: Final = insert(refund_units)
_CHANGE: Final = update(refunds).where(_THIS)
_CAPTURED: Final = (
    select(func.coalesce(func.sum(payments.c.captured), 0))
    .where(payments.c.order_id == bindparam("the_order"))
    .scalar_subquery()
)
_RESERVED: Final = (
    select(func.coalesce(func.sum(refunds.c.amount), 0)).where(_THE_ORDER, _STANDS).scalar_subquery()
)
_REFUNDABLE: Final = select(_CAPTURED - _RESERVED)
_UNITS_OF: Final = select(refund_units).where(refund_units.c.refund_id == bindparam("the_refund"))
_UNITS_BACK: Final = (
    select(refund_units, refunds.c.refund_id.label("refund"))
    .join(refunds, refunds.c.refund_id == refund_units.c.refund_id)
    .where(_THE_ORDER, _STANDS)
)
_CHARGED: Final = (
    select(unit_ranges)
    .where(
        unit_ranges.c.order_id == bindparam("the_order"),
        unit_ranges.c.shipment_id.in_(
            select(payment_shares.c.shipment_id)
            .join(payments, payments.c.payment_id == payment_shares.c.payment_id)
            .where(payments.c.order_id == bindparam("the_order"), payment_shares.c.captured > 0)
        ),
    )
    .order_by(unit_ranges.c.line_no, unit_ranges.c.first_unit)
)
_UNITS_IN: Final = (
    select(unit_ranges)
    .where(unit_ranges.c.shipment_id == bindparam("the_shipment"))
    .order_by(unit_ranges.c.line_no, unit_ranges.c.first_unit)
)
_BY_CUSTOMER: Final = (
    select(func.count())
    .select_from(refunds)
    .join(orders, orders.c.order_id == refunds.c.order_id)
    .where(
        orders.c.customer_id == bindparam("the_customer"),
        refunds.c.by != SYSTEM,
        refunds.c.at > bindparam("since"),
        _STANDS,
    )
)
_SHIPMENT: Final = select(*shipments.c["work_status", "outcome", "value"]).where(
    shipments.c.shipment_id == bindparam("the_shipment")
)
_HELD_FOR: Final = select(
    func.coalesce(func.sum(payment_shares.c.captured - payment_shares.c.refunded), 0)
).where(payment_shares.c.shipment_id == bindparam("the_shipment"))
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


class RefundStore:
    """Refunds as people ask for them. Every call is one transaction and begins by locking the order."""

    def __init__(self, engine: Engine, now: Callable[[], datetime], *, policy: Policy = DEFAULT) -> None:
        self._engine, self._now, self._policy = engine, now, policy

    def request(self, request: RequestRefund) -> Refund:
        """Ask for money back; the same request is the same refund. Above the limits it waits for a second person.

        Raises:
            RefundNotAllowed: there is not so much to give back, or these units were given back before.
        """
        with self._engine.begin() as conn:
            order = lock_order(conn, request.order_id)
            said = {"the_order": request.order_id, "the_request": request.request_id}
            known = conn.execute(_SAME, said).one_or_none()
            if known is not None:
                return refund_from(conn, known)
            amount = _checked_amount(conn, order, request)
            why = self._why_approval(conn, order, amount)
            made = _add(conn, order, request, amount, why=why, now=self._now())
            self._audit(
                conn, made, "refund", f"{made} {'waits for approval' if why else 'approved'}", request.by
            )
            return self._read(conn, made)

    def of_order(self, order_id: str) -> tuple[Refund, ...]:
        """Return an order's refunds, oldest first."""
        with self._engine.connect() as conn:
            return tuple(refund_from(conn, row) for row in conn.execute(_OF_ORDER, {"the_order": order_id}))

    def get(self, refund_id: str) -> Refund:
        """Return a refund.

        Raises:
            UnknownRefund: there is no such refund.
        """
        with self._engine.connect() as conn:
            return self._read(conn, refund_id)

    def refundable(self, order_id: str) -> int:
        """Return what can still be given back for an order, in minor units."""
        with self._engine.connect() as conn:
            return _refundable(conn, order_id)

    def approve(self, refund_id: str, *, by: str, request_id: str = "") -> Refund:
        """Allow a refund that waits for a second person; a repeat says the same.

        Raises:
            RefundNotAllowed: it is the very person who asked for it, or it waits for nobody.
        """
        with self._engine.begin() as conn:
            refund = self._locked(conn, refund_id)
            if refund.approved_by == by and refund.state is not _S.REJECTED:
                return refund
            if refund.by == by:
                raise RefundNotAllowed(f"{refund_id} was asked for by {by}: another person must approve it")
            self._decide(conn, refund, _S.APPROVED, by=by, request_id=request_id)
            return self._read(conn, refund_id)

    def reject(self, refund_id: str, *, by: str, request_id: str = "", reason: str = "") -> Refund:
        """Refuse a refund that waits for a second person: what it had reserved can be given back again.

        Raises:
            RefundNotAllowed: it waits for nobody.
        """
        with self._engine.begin() as conn:
            refund = self._locked(conn, refund_id)
            if refund.state is not _S.REJECTED:
                self._decide(conn, refund, _S.REJECTED, by=by, request_id=request_id, reason=reason)
            return self._read(conn, refund_id)

    def book_by_hand(self, refund_id: str, *, reference: str, by: str, request_id: str = "") -> Refund:
        """Note that a person paid a refund past the provider, which had refused it.

        Raises:
            RefundNotAllowed: the provider may still pay it, or has.
        """
        with self._engine.begin() as conn:
            refund = self._locked(conn, refund_id)
            row = conn.execute(_ONE, {"the_refund": refund_id}).one()
            if row.by_hand_ref == reference:
                return refund
            if refund.state not in (_S.FAILED, _S.MANUAL):
                raise RefundNotAllowed(f"{refund_id} is {refund.state}: only a failed one is paid by hand")
            paid = {"state": _S.SUCCEEDED.value, "by_hand_ref": reference, "ended_at": self._now()}
            conn.execute(_CHANGE, {"the_refund": refund_id, **paid})
            self._audit(
                conn, refund_id, "paid_by_hand", f"{refund_id}: {reference}", by, request_id=request_id
            )
            tell_paid(conn, self._read(conn, refund_id), now=self._now(), by_hand=True)
            return self._read(conn, refund_id)

    def _why_approval(self, conn: Connection, order: Row[Any], amount: int) -> str:
        policy = self._policy
        if amount > policy.refund_approval_over:
            return f"more than {format_minor(policy.refund_approval_over, order.currency)}"
        # Two orders of one customer are two locks: whoever counts waits for whoever counted before.
        locks.named(conn, f"refunds:{order.customer_id}")
        since = self._now() - policy.refund_approval_within
        said = {"the_customer": order.customer_id, "since": since}
        before = conn.execute(_BY_CUSTOMER, said).scalar_one()
        days = policy.refund_approval_within.days
        return (
            f"{before} refunds to this customer in {days} days"
            if before >= policy.refund_approval_count
            else ""
        )

    def _decide(
        self, conn: Connection, refund: Refund, to: RefundState, *, by: str, request_id: str, reason: str = ""
    ) -> None:
        if refund.state is not _S.REQUESTED:
            raise RefundNotAllowed(f"{refund.refund_id} is {refund.state}: it waits for nobody")
        decided: dict[str, Any] = {"state": to.value}
        decided |= {"approved_by": by} if to is _S.APPROVED else {"ended_at": self._now()}
        conn.execute(_CHANGE, {"the_refund": refund.refund_id, **decided})
        verb = "approve_refund" if to is _S.APPROVED else "reject_refund"
        outcome = f"{refund.refund_id} {to}"
        self._audit(conn, refund.refund_id, verb, outcome, by, request_id=request_id, reason=reason)

    def _locked(self, conn: Connection, refund_id: str) -> Refund:
        lock_order(conn, _order_of(conn, refund_id))
        return self._read(conn, refund_id)

    def _read(self, conn: Connection, refund_id: str) -> Refund:
        row = conn.execute(_ONE, {"the_refund": refund_id}).one_or_none()
        if row is None:
            raise UnknownRefund(refund_id)
        return refund_from(conn, row)

    def _audit(
        self,
        conn: Connection,
        refund_id: str,
        command: str,
        outcome: str,
        by: str,
        *,
        request_id: str = "",
        reason: str = "",
    ) -> None:
        journal.audit(
            conn,
            _order_of(conn, refund_id),
            actor=by,
            command=command,
            outcome=outcome,
            at=self._now(),
            request_id=request_id,
            reason=reason,
        )


class Refunds:
    """How an approved refund is paid, request by request. The order must be locked, or is locked here first."""

    def __init__(self, operations: Operations, now: Callable[[], datetime], policy: Policy) -> None:
        self._operations, self._now, self._policy = operations, now, policy

    def of_shipment(self, conn: Connection, order: Row[Any], shipment_id: str) -> str | None:
        """Return the refund of what is kept for a shipment and not owed, requesting it; None when nothing is.

        Before it leaves, its present value is owed: what was taken early for units that were cancelled is over.
        Once it is lost, came back or was cancelled, nothing is owed for it.
        """
        this = {"the_shipment": shipment_id}
        unfinished: str | None = conn.execute(_UNFINISHED, this).scalar_one_or_none()
        if unfinished is not None:
            return unfinished
        shipment = conn.execute(_SHIPMENT, this).one()
        still_owed = shipment.value if shipment.work_status in BEFORE_HAND_OVER else 0
        over = conn.execute(_HELD_FOR, this).scalar_one() - still_owed
        kept = min(over, _refundable(conn, order.order_id))
        if kept <= 0:
            return None
        all_of_it = _not_back(conn, order.order_id, _ranges(conn.execute(_UNITS_IN, this)))
        units = () if still_owed else all_of_it
        return self.by_system(
            conn,
            order,
            _cause(shipment.work_status, shipment.outcome),
            kept,
            request_id=f"{shipment_id}:{_next_n(conn, order.order_id)}",
            shipment_id=shipment_id,
            units=units,
        )

    def of_payment(self, conn: Connection, order_id: str, payment_id: str) -> str | None:
        """Return the refund of what one payment had taken too much."""
        said = {"the_order": order_id, "the_request": f"overpaid:{payment_id}"}
        row = conn.execute(_SAME, said).one_or_none()
        return row.refund_id if row else None

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
            order_id=order.order_id, cause=cause, by=SYSTEM, request_id=request_id, units=units
        )
        return _add(conn, order, request, amount, why="", now=self._now(), shipment_id=shipment_id)

    def next_step(self, conn: Connection, refund_id: str) -> Operation | Refund:
        """Claim what the refund asks of the provider next, the newest capture first."""
        order = lock_order(conn, _order_of(conn, refund_id))
        refund = _one(conn, refund_id)
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
            journal.event(conn, order.order_id, "refund_came_back", text, at=self._now())
        elif not self._operations.settle(conn, key, _O.FAILED, error_class=reason, reference=reference):
            return
        self._failed(conn, _one(conn, operation.subject), reason)

    def _claim_next(
        self, conn: Connection, order: Row[Any], refund: Refund, asked: Sequence[Row[Any]]
    ) -> Operation | Refund:
        rest = refund.amount - sum(o.amount for o in asked if o.state == _O.SUCCEEDED)
        payment = self._payment_for(conn, refund, asked)
        if payment is None:
            self._failed(conn, refund, "no payment has so much left")
            return _one(conn, refund.refund_id)
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
        refund = _one(conn, operation.subject)
        asked = conn.execute(_OPERATIONS, {"the_refund": refund.refund_id}).all()
        if sum(o.amount for o in asked if o.state == _O.SUCCEEDED) < refund.amount:
            return
        self._become(conn, refund, _S.SUCCEEDED)
        tell_paid(conn, refund, now=self._now())

    def _book(self, conn: Connection, operation: Row[Any], amount: int) -> None:
        refund = _one(conn, operation.subject)
        conn.execute(_GIVEN_BACK, {"the_payment": operation.payment_id, "given_back": amount})
        shares.give_back(conn, operation.payment_id, amount, first=refund.shipment_id)

    def _failed(self, conn: Connection, refund: Refund, reason: str) -> None:
        self._become(conn, refund, _S.FAILED)
        now = self._now()
        cases.open_case(
            conn,
            refund.order_id,
            CaseKind.REFUND_FAILED,
            subject=refund.shipment_id or refund.order_id,
            due_at=now + self._policy.support_answer_within,
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
    journal.event(conn, refund.order_id, "refunded", f"We returned {amount} to you.", at=now, data=data)
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


def refund_from(conn: Connection, row: Row[Any]) -> Refund:
    """Return a refund as the domain knows it."""
    return Refund(
        refund_id=row.refund_id,
        order_id=row.order_id,
        cause=RefundCause(row.cause),
        amount=row.amount,
        currency=row.currency,
        state=RefundState(row.state),
        by=row.by,
        approved_by=row.approved_by,
        at=row.at,
        shipment_id=row.shipment_id,
        units=_ranges(conn.execute(_UNITS_OF, {"the_refund": row.refund_id})),
        note=row.note,
        why_approval=row.why_approval,
    )


def _one(conn: Connection, refund_id: str) -> Refund:
    return refund_from(conn, conn.execute(_ONE, {"the_refund": refund_id}).one())


def _order_of(conn: Connection, refund_id: str) -> str:
    order_id: str | None = conn.execute(_OWNER, {"the_refund": refund_id}).scalar_one_or_none()
    if order_id is None:
        raise UnknownRefund(refund_id)
    return order_id


def _refundable(conn: Connection, order_id: str) -> int:
    amount: int = conn.execute(_REFUNDABLE, {"the_order": order_id}).scalar_one()
    return amount


def _next_n(conn: Connection, order_id: str) -> int:
    last: int = conn.execute(_LAST_N, {"the_order": order_id}).scalar_one()
    return last + 1


def _add(
    conn: Connection,
    order: Row[Any],
    request: RequestRefund,
    amount: int,
    *,
    why: str,
    now: datetime,
    shipment_id: str | None = None,
) -> str:
    n = _next_n(conn, order.order_id)
    made = refund_id(order.order_id, n)
    row = {
        "refund_id": made,
        "order_id": order.order_id,
        "n": n,
        "shipment_id": shipment_id,
        "cause": request.cause.value,
        "amount": amount,
        "state": (_S.REQUESTED if why else _S.APPROVED).value,
        "by": request.by,
        "approved_by": None if why else SYSTEM,
        "request_id": request.request_id,
        "note": request.note,
        "why_approval": why,
        "at": now,
    }
    conn.execute(_ADD, row)
    units = [
        {"refund_id": made, "line_no": u.line_no, "first_unit": u.first, "quantity": u.count}
        for u in request.units
    ]
    if units:
        conn.execute(_ADD_UNITS, units)
    return made


def _checked_amount(conn: Connection, order: Row[Any], request: RequestRefund) -> int:
    refundable = _refundable(conn, order.order_id)
    _check_units(conn, order.order_id, request.units)
    worth = order_from(order, lines_of(conn, order.order_id)).worth(request.units)
    amount = request.amount if request.amount is not None else worth if request.units else refundable
    most = min(worth, refundable) if request.units else refundable
    if 0 < amount <= most:
        return amount
    asked, left = format_minor(amount, order.currency), format_minor(most, order.currency)
    raise RefundNotAllowed(f"{asked} cannot be given back: {left} of {order.order_id} is left to refund")


def _check_units(conn: Connection, order_id: str, units: tuple[UnitRange, ...]) -> None:
    wanted = _numbers(units)
    if len(wanted) < sum(part.count for part in units):
        raise RefundNotAllowed("a unit is named twice")
    charged = _numbers(_ranges(conn.execute(_CHARGED, {"the_order": order_id})))
    if missing := sorted(wanted - charged):
        line_no, unit = missing[0]
        raise RefundNotAllowed(
            f"unit {unit} of line {line_no} was never charged: there is nothing to give back"
        )
    back = _numbers(_ranges(conn.execute(_UNITS_BACK, {"the_order": order_id})))
    if twice := sorted(wanted & back):
        line_no, unit = twice[0]
        raise RefundNotAllowed(f"unit {unit} of line {line_no} has a refund already")


def _not_back(conn: Connection, order_id: str, units: tuple[UnitRange, ...]) -> tuple[UnitRange, ...]:
    """Return the ranges of which no unit has a refund yet."""
    back = _numbers(_ranges(conn.execute(_UNITS_BACK, {"the_order": order_id})))
    return tuple(part for part in units if not _numbers((part,)) & back)


def _numbers(units: Sequence[UnitRange]) -> set[tuple[int, int]]:
    return {(part.line_no, part.first + n) for part in units for n in range(part.count)}


def _ranges(rows: Any) -> tuple[UnitRange, ...]:
    return tuple(UnitRange(line_no=row.line_no, first=row.first_unit, count=row.quantity) for row in rows)


def _cause(work_status: str, outcome: str | None) -> RefundCause:
    if work_status == WorkStatus.CANCELLED or work_status in BEFORE_HAND_OVER:
        return RefundCause.CANCELLED
    return RefundCause.RETURNED if outcome == Outcome.RETURNED else RefundCause.LOST
