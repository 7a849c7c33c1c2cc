"""Refunds as people ask for them: checked, allowed by a second person where it must be, and booked by hand."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, bindparam, func, select, update

from fulfillment.domain.money import format_minor
from fulfillment.domain.order import UnitRange
from fulfillment.domain.policy import DEFAULT, Policy
from fulfillment.domain.refund import FOR_GOODS, Refund, RefundNotAllowed, RefundState, RequestRefund
from fulfillment.storage import journal, locks, owed, refund_rows
from fulfillment.storage.operations import Operations
from fulfillment.storage.orders import lines_of, lock_order, order_from
from fulfillment.storage.refunding import Refunds, tell_paid
from fulfillment.storage.tables import orders, payment_shares, payments, refunds, unit_ranges

_S = RefundState
_CHANGE: Final = update(refunds).where(refunds.c.refund_id == bindparam("the_refund"))
_BY_HAND: Final = select(refunds.c.by_hand_ref).where(refunds.c.refund_id == bindparam("the_refund"))
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
_BY_CUSTOMER: Final = (
    select(func.count())
    .select_from(refunds)
    .join(orders, orders.c.order_id == refunds.c.order_id)
    .where(
        orders.c.customer_id == bindparam("the_customer"),
        refunds.c.by != refund_rows.SYSTEM,
        refunds.c.at > bindparam("since"),
        refunds.c.state != _S.REJECTED.value,
    )
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
            known = refund_rows.by_request(conn, request.order_id, request.request_id)
            if known is not None:
                return known
            amount = _checked_amount(conn, order, request)
            why = self._why_approval(conn, order, amount)
            made = refund_rows.add(conn, order, request, amount, why=why, now=self._now())
            self._audit(
                conn, made, "refund", f"{made} {'waits for approval' if why else 'approved'}", request.by
            )
            return refund_rows.find(conn, made)

    def of_order(self, order_id: str) -> tuple[Refund, ...]:
        """Return an order's refunds, oldest first."""
        with self._engine.connect() as conn:
            return refund_rows.of_order(conn, order_id)

    def get(self, refund_id: str) -> Refund:
        """Return a refund.

        Raises:
            UnknownRefund: there is no such refund.
        """
        with self._engine.connect() as conn:
            return refund_rows.find(conn, refund_id)

    def refundable(self, order_id: str) -> int:
        """Return what can still be given back for an order, in minor units."""
        with self._engine.connect() as conn:
            return refund_rows.refundable(conn, order_id)

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
            return refund_rows.find(conn, refund_id)

    def reject(self, refund_id: str, *, by: str, request_id: str = "", reason: str = "") -> Refund:
        """Refuse a refund that waits for a second person: what it had reserved can be given back again.

        What of it goes back anyway, for goods that did not reach the customer, is asked for anew, and waits for nobody.

        Raises:
            RefundNotAllowed: it waits for nobody, or all of it goes back anyway.
        """
        with self._engine.begin() as conn:
            order = lock_order(conn, refund_rows.order_of(conn, refund_id))
            refund = refund_rows.find(conn, refund_id)
            if refund.state is not _S.REJECTED:
                self._decide(conn, refund, _S.REJECTED, by=by, request_id=request_id, reason=reason)
                self._keep_what_is_not_owed(conn, order, refund)
            return refund_rows.find(conn, refund_id)

    def book_by_hand(self, refund_id: str, *, reference: str, by: str, request_id: str = "") -> Refund:
        """Note that a person paid a refund past the provider, which had refused it.

        Raises:
            RefundNotAllowed: the provider may still pay it, or has.
        """
        with self._engine.begin() as conn:
            refund = self._locked(conn, refund_id)
            if conn.execute(_BY_HAND, {"the_refund": refund_id}).scalar_one() == reference:
                return refund
            if refund.state not in (_S.FAILED, _S.MANUAL):
                raise RefundNotAllowed(f"{refund_id} is {refund.state}: only a failed one is paid by hand")
            paid = {"state": _S.SUCCEEDED.value, "by_hand_ref": reference, "ended_at": self._now()}
            conn.execute(_CHANGE, {"the_refund": refund_id, **paid})
            self._audit(
                conn, refund_id, "paid_by_hand", f"{refund_id}: {reference}", by, request_id=request_id
            )
            tell_paid(conn, refund_rows.find(conn, refund_id), now=self._now(), by_hand=True)
            return refund_rows.find(conn, refund_id)

    def _keep_what_is_not_owed(self, conn: Connection, order: Row[Any], refund: Refund) -> None:
        """Ask anew for what a rejected refund would have given back of goods that did not reach the customer."""
        refunding = Refunds(Operations(self._now, self._now), self._now, self._policy)
        parts = refund_rows.by_shipment(conn, refund.refund_id)
        asked = [made for part in parts if (made := refunding.of_surplus(conn, order, part))]
        if sum(refund_rows.find(conn, made).amount for made in asked) >= refund.amount:
            goods = ", ".join(sorted(parts))
            raise RefundNotAllowed(
                f"{refund.refund_id} cannot be refused: what it is for did not reach the customer ({goods}); approve it"
            )

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
        lock_order(conn, refund_rows.order_of(conn, refund_id))
        return refund_rows.find(conn, refund_id)

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
            refund_rows.order_of(conn, refund_id),
            actor=by,
            command=command,
            outcome=outcome,
            at=self._now(),
            request_id=request_id,
            reason=reason,
        )


def _checked_amount(conn: Connection, order: Row[Any], request: RequestRefund) -> int:
    refundable = refund_rows.refundable(conn, order.order_id)
    _check_units(conn, order.order_id, request.units)
    if request.cause in FOR_GOODS:
        _check_not_sent_again(conn, order.order_id, request.units)
    worth = order_from(order, lines_of(conn, order.order_id)).worth(request.units)
    amount = request.amount if request.amount is not None else worth if request.units else refundable
    most = min(worth, refundable) if request.units else refundable
    if 0 < amount <= most:
        return amount
    if not refundable:
        raise RefundNotAllowed(_why_nothing(conn, order.order_id))
    asked, left = format_minor(amount, order.currency), format_minor(most, order.currency)
    raise RefundNotAllowed(f"{asked} cannot be given back: {left} of {order.order_id} is left to refund")


def _why_nothing(conn: Connection, order_id: str) -> str:
    if conn.execute(_CHARGED, {"the_order": order_id}).first() is None:
        return (
            f"nothing of {order_id} was charged yet: cancel what shall not be sent, and its money is let go"
        )
    return f"all that was charged for {order_id} is given back, or asked back, already"


def _check_units(conn: Connection, order_id: str, units: tuple[UnitRange, ...]) -> None:
    wanted = refund_rows.numbers(units)
    if len(wanted) < sum(part.count for part in units):
        raise RefundNotAllowed("a unit is named twice")
    charged = refund_rows.numbers(refund_rows.ranges(conn.execute(_CHARGED, {"the_order": order_id})))
    if missing := sorted(wanted - charged):
        line_no, unit = missing[0]
        raise RefundNotAllowed(
            f"unit {unit} of line {line_no} was never charged: there is nothing to give back"
        )
    if twice := sorted(wanted & refund_rows.units_back(conn, order_id)):
        line_no, unit = twice[0]
        raise RefundNotAllowed(f"unit {unit} of line {line_no} has a refund already")


def _check_not_sent_again(conn: Connection, order_id: str, units: tuple[UnitRange, ...]) -> None:
    under_way = owed.sent_again(conn, order_id)
    for unit in sorted(refund_rows.numbers(units) & set(under_way)):
        raise RefundNotAllowed(
            f"unit {unit[1]} of line {unit[0]} is sent again with {under_way[unit]}: "
            "cancel that while it is here, and the money goes back"
        )
