"""What was missed: found by looking, because silence sends no event."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, exists, or_, select, text, update

from fulfillment.domain.cases import CaseKind, CaseState
from fulfillment.domain.clock import ShopClock
from fulfillment.domain.findings import Findings, Unstarted
from fulfillment.domain.order import ENDED
from fulfillment.domain.payment import OperationKind, OperationState, PaymentStatus
from fulfillment.domain.playbooks import due_at
from fulfillment.domain.policy import DEFAULT, Policy
from fulfillment.domain.reasons import trouble_of
from fulfillment.domain.refund import RefundState
from fulfillment.domain.shipment import BEFORE_HAND_OVER, ON_THE_FLOOR, WorkStatus
from fulfillment.domain.tracking import JOURNEY_OVER, CarrierStatus, Flag
from fulfillment.domain.transit import Patience
from fulfillment.storage import (
    backorders,
    carrier_claims,
    due_cases,
    erasure,
    journal,
    lapsing,
    late_parcels,
    late_receipts,
    locks,
    scan_forms,
    signals,
    transits,
)
from fulfillment.storage import cases as case_rows
from fulfillment.storage.advance import advance
from fulfillment.storage.coverage import covered
from fulfillment.storage.inbox import UNMATCHED
from fulfillment.storage.orders import lock_order
from fulfillment.storage.tables import (
    cases,
    inbox,
    orders,
    parcels,
    payment_shares,
    payments,
    provider_operations,
    refunds,
    shipments,
)

_AT_MOST: Final = 100
_AT_ONCE: Final = 10  # of what takes twenty statements each
_STANDS_STILL: Final = frozenset({Flag.CUSTOMS.value, Flag.ON_HOLD.value})
# Real time: how long the doors and their relay may take before somebody else looks.
_UNHEARD_AFTER: Final = timedelta(seconds=30)
_UNSTARTED_AFTER: Final = timedelta(minutes=5)
_IN_DOUBT_AFTER: Final = timedelta(seconds=30)
_UNDER_WAY: Final = (OperationState.CLAIMED, OperationState.ACCEPTED, OperationState.UNKNOWN)
_IN_DOUBT: Final = (OperationState.CLAIMED, OperationState.UNKNOWN)
_MONEY: Final = (OperationKind.AUTHORIZE, OperationKind.CAPTURE, OperationKind.VOID, OperationKind.REFUND)
# A day begins where the goods are.
_DAY_CAME: Final = text(
    """
    SELECT DISTINCT s.order_id
    FROM shipments s JOIN locations l USING (location_id)
    WHERE s.work_status = 'scheduled' AND s.waits_for = 'date' AND NOT EXISTS (
        SELECT FROM unit_ranges u
        JOIN order_lines i USING (order_id, line_no)
        JOIN skus k USING (sku)
        WHERE u.shipment_id = s.shipment_id
            AND k.available_from > (CAST(:now AS timestamptz) AT TIME ZONE l.zone)::date
    )
    ORDER BY s.order_id LIMIT :at_most
    """
)


class ReconciliationStore:
    """Our books, read for what nobody acted on. `now` is shop time, `clock` says how fast it runs."""

    def __init__(
        self, engine: Engine, now: Callable[[], datetime], clock: ShopClock, *, policy: Policy = DEFAULT
    ) -> None:
        self._engine, self._now, self._clock, self._policy = engine, now, clock, policy

    def sweep(self) -> Findings:
        """Find what was missed. Shipments past their ship-by are queued as facts for their orders at once.

        Claims that ran out are given back. Units that a claim or a cancel let go, or that were found, are given to
        those who wait for them. What was sold ahead goes to the floor on its day, a vendor's late receipt is noted, so is
        a parcel that will not come by its promised day, and a case that is due takes the next step of its playbook. Orders
        that ended long ago are nobody's then.
        """
        now = self._now()
        self._expire_claims(now)
        self._serve_who_waits(now)
        self._let_go_whose_day_came(now)
        late_receipts.note(self._engine, now=now, at_most=_AT_MOST, policy=self._policy)
        late_parcels.note(self._engine, now=now, policy=self._policy)
        due_cases.act(self._engine, now=now, at_most=_AT_MOST, policy=self._policy)
        erasure.retire(self._engine, now=now, at_most=_AT_ONCE, policy=self._policy)
        doubtful = max(self._policy.unknown_sla, self._shop_span(_IN_DOUBT_AFTER))
        with self._engine.begin() as conn:
            _resolve_doubts(conn, now)
            carrier_claims.end_traces(conn, now)
            _queue_late_shipments(conn, now)
            _queue_money_running_out(conn, now, now + self._policy.authorization_lead)
            _queue_unmatched(conn, now, self._policy)
            return Findings(
                unheard=signals.unheard(conn, _AT_MOST, queued_before=now - self._shop_span(_UNHEARD_AFTER)),
                unstarted=_unstarted(conn, now - self._shop_span(_UNSTARTED_AFTER)),
                silent_parcels=_silent(conn, now),
                doubtful_operations=_doubtful(conn, now - doubtful),
                surplus_payments=_surplus(conn, now - doubtful),
                due_refunds=_due_refunds(conn, now - doubtful),
                due_forms=scan_forms.left_lying(
                    conn, asked_before=now - self._shop_span(_UNSTARTED_AFTER), at_most=_AT_MOST
                ),
            )

    def heard(self, signal_ids: tuple[int, ...]) -> None:
        """Note that these facts were handed on."""
        with self._engine.begin() as conn:
            signals.heard(conn, signal_ids, at=self._now())

    def silence(self, parcel_id: str) -> None:
        """The carrier was asked and knows nothing new: queue that as a fact, and set the next check.

        A scan that came meanwhile has moved the check, and then nothing is wrong.
        """
        now = self._now()
        with self._engine.begin() as conn:
            locks.order_of_parcel(conn, parcel_id)
            parcel = conn.execute(select(parcels).where(parcels.c.parcel_id == parcel_id)).one()
            if parcel.next_check_at is None or parcel.next_check_at > now or parcel.handed_over_at is None:
                return
            allowed = transits.allowed(conn, parcel_id, policy=self._policy)
            given_up_at = _given_up_at(parcel, allowed, self._policy)
            _queue_overdue(
                conn,
                parcel.order_id,
                _kind_of_silence(parcel, given_up_at, now),
                subject=parcel_id,
                shipment_id=parcel.shipment_id,
                checked=parcel.next_check_at,
                now=now,
            )
            again = now + allowed.scan_silence / 2
            next_check = min(again, given_up_at) if given_up_at and given_up_at > now else again
            this = parcels.c.parcel_id == parcel_id
            conn.execute(update(parcels).where(this).values(next_check_at=next_check))

    def doubt(self, operation_key: str) -> None:
        """Open a case about a request that has been open longer than the policy allows; settled ones have none."""
        now = self._now()
        query = select(provider_operations).where(provider_operations.c.operation_key == operation_key)
        with self._engine.begin() as conn:
            found = conn.execute(query).one()
            lock_order(conn, found.order_id)
            operation = conn.execute(query).one()
            if operation.state not in _IN_DOUBT or operation.claimed_at > now - self._policy.unknown_sla:
                return
            case_rows.open_case(
                conn,
                operation.order_id,
                CaseKind.OPERATION_UNKNOWN,
                subject=operation_key,
                due_at=due_at(CaseKind.OPERATION_UNKNOWN, now, self._policy),
                now=now,
                note=f"{operation.kind} of {operation.subject}",
            )

    def _expire_claims(self, now: datetime) -> None:
        """Each order in a transaction of its own, as below."""
        with self._engine.connect() as conn:
            over = lapsing.expirable(conn, now, _AT_MOST)
        for order_id in over:
            with self._engine.begin() as conn:
                lapsing.expire(conn, order_id, now)

    def _serve_who_waits(self, now: datetime) -> None:
        """Each place in a transaction of its own: orders are locked before stock, and not for long."""
        with self._engine.connect() as conn:
            places = backorders.servable(conn, _AT_MOST)
        for place in places:
            with self._engine.begin() as conn:
                # A moment is a key of its own: a line that was served in part is served again by a later sweep.
                backorders.serve(conn, place, key=f"sweep:{now.isoformat()}", by="system", now=now)

    def _let_go_whose_day_came(self, now: datetime) -> None:
        """Each order in a transaction of its own: what was sold ahead goes to the floor."""
        with self._engine.connect() as conn:
            order_ids = conn.execute(_DAY_CAME, {"now": now, "at_most": _AT_MOST}).scalars().all()
        for order_id in order_ids:
            with self._engine.begin() as conn:
                advance(conn, lock_order(conn, order_id), now=now, policy=self._policy)

    def _shop_span(self, real: timedelta) -> timedelta:
        return real * self._clock.speed


def _resolve_doubts(conn: Connection, now: datetime) -> None:
    """End the cases of requests whose outcome is known by now."""
    still_open = exists().where(
        provider_operations.c.operation_key == cases.c.subject,
        provider_operations.c.state.in_([state.value for state in _IN_DOUBT]),
    )
    known = update(cases).where(
        cases.c.kind == CaseKind.OPERATION_UNKNOWN.value,
        cases.c.state != CaseState.RESOLVED.value,
        ~still_open,
    )
    how = {"state": CaseState.RESOLVED.value, "resolution": "the provider said what happened"}
    conn.execute(known.values(how | {"resolved_at": now}))


def _given_up_at(parcel: Row[Any], allowed: Patience, policy: Policy) -> datetime | None:
    """Return when silence is a loss. While customs or a hold keep a parcel, nobody expects a scan of it.

    Neither does anybody while it waits at a counter: its clock begins when that time is over.
    """
    if _STANDS_STILL & set(parcel.flags) or trouble_of(parcel.reason) is CaseKind.CUSTOMS:
        return None
    since: datetime = parcel.latest_scan_at or parcel.handed_over_at
    waits = parcel.carrier_status == CarrierStatus.AVAILABLE_FOR_PICKUP
    return since + allowed.lost_after + (policy.pickup_hold if waits else timedelta())


def _kind_of_silence(parcel: Row[Any], given_up_at: datetime | None, now: datetime) -> CaseKind:
    if given_up_at and given_up_at <= now:
        return CaseKind.LOST
    return CaseKind.NO_FIRST_SCAN if parcel.latest_scan_at is None else CaseKind.NO_SCAN


def _queue_late_shipments(conn: Connection, now: datetime) -> None:
    # A resolved case counts too: each ship-by is missed once, and is told once.
    known = exists().where(
        cases.c.order_id == shipments.c.order_id,
        cases.c.subject == shipments.c.shipment_id,
        cases.c.kind == CaseKind.WAREHOUSE_LATE.value,
    )
    late = (
        select(shipments)
        .where(
            shipments.c.work_status.in_([status.value for status in ON_THE_FLOOR]),
            shipments.c.ship_by < now,
            ~known,
        )
        .order_by(shipments.c.ship_by)
        .limit(_AT_MOST)
    )
    for shipment in conn.execute(late).all():
        _queue_overdue(
            conn,
            shipment.order_id,
            CaseKind.WAREHOUSE_LATE,
            subject=shipment.shipment_id,
            shipment_id=shipment.shipment_id,
            checked=shipment.ship_by,
            now=now,
        )


def _queue_money_running_out(conn: Connection, now: datetime, soon: datetime) -> None:
    """Nothing leaves on an authorization that ran out, so its order must get the money again in time."""
    live = (payments.c.status == PaymentStatus.AUTHORIZED.value) & (
        payment_shares.c.asked > payment_shares.c.captured + payment_shares.c.released
    )
    # What ran out is let go in the books: it is missed as long as nothing came in its place.
    gone = (payments.c.status == PaymentStatus.EXPIRED.value) & (
        covered(shipments.c.shipment_id, and_asked=True) < shipments.c.value
    )
    running_out = (
        select(payments, payment_shares.c.shipment_id)
        .join(payment_shares, payment_shares.c.payment_id == payments.c.payment_id)
        .join(shipments, shipments.c.shipment_id == payment_shares.c.shipment_id)
        .where(
            shipments.c.work_status.in_([status.value for status in BEFORE_HAND_OVER]),
            payments.c.expires_at <= soon,
            or_(live, gone),
        )
        .order_by(payments.c.expires_at)
        .limit(_AT_MOST)
    )
    for payment in conn.execute(running_out, {"now": now}).all():
        _queue_overdue(
            conn,
            payment.order_id,
            CaseKind.AUTHORIZATION_EXPIRING,
            subject=payment.shipment_id,
            shipment_id=payment.shipment_id,
            checked=payment.expires_at,
            now=now,
        )


def _queue_overdue(
    conn: Connection,
    order_id: str,
    kind: CaseKind,
    *,
    subject: str,
    shipment_id: str,
    checked: datetime,
    now: datetime,
) -> None:
    body = {"subject": subject, "kind": kind.value, "shipment_id": shipment_id}
    key = f"{subject}:{kind}:{checked.isoformat()}"
    journal.signal(conn, order_id, signals.OVERDUE, body, fact_key=key, at=now)


def _unstarted(conn: Connection, accepted_before: datetime) -> tuple[Unstarted, ...]:
    waiting = (
        select(*orders.c["order_id", "currency", "total"])
        # One that goes on after its end is started again by the door that opened it.
        .where(orders.c.started_at.is_(None), orders.c.accepted_at <= accepted_before, orders.c.reopened == 0)
        .order_by(orders.c.accepted_at)
        .limit(_AT_MOST)
    )
    return tuple(
        Unstarted(order_id=row.order_id, currency=row.currency, total=row.total)
        for row in conn.execute(waiting)
    )


def _silent(conn: Connection, now: datetime) -> tuple[str, ...]:
    silent = (
        select(parcels.c.parcel_id)
        .where(
            parcels.c.next_check_at <= now,
            parcels.c.handed_over_at.is_not(None),
            parcels.c.carrier_status.not_in([status.value for status in JOURNEY_OVER]),
        )
        .order_by(parcels.c.next_check_at)
        .limit(_AT_MOST)
    )
    return tuple(conn.scalars(silent))


def _surplus(conn: Connection, claimed_before: datetime) -> tuple[str, ...]:
    """Return payments that hold money nobody needs: all they were for is cancelled, or their order has ended."""
    needed = exists().where(
        payment_shares.c.payment_id == payments.c.payment_id,
        payment_shares.c.asked > payment_shares.c.captured + payment_shares.c.released,
        shipments.c.shipment_id == payment_shares.c.shipment_id,
        shipments.c.work_status != WorkStatus.CANCELLED.value,
    )
    under_way = exists().where(
        provider_operations.c.payment_id == payments.c.payment_id,
        provider_operations.c.state.in_([state.value for state in _IN_DOUBT]),
        # Asking alone settles no void that never took effect: an old one is sent again, under its own key.
        or_(
            provider_operations.c.kind != OperationKind.VOID.value,
            provider_operations.c.claimed_at > claimed_before,
        ),
    )
    waiting = payments.c.status == PaymentStatus.ACTION_REQUIRED.value
    ended = orders.c.status.in_([status.value for status in ENDED])
    surplus = (
        select(payments.c.payment_id)
        .join(orders, orders.c.order_id == payments.c.order_id)
        .where(
            payments.c.created_at <= claimed_before,
            or_(payments.c.status == PaymentStatus.AUTHORIZED.value, waiting),
            or_(ended, ~needed),
            ~under_way,
        )
        .order_by(payments.c.created_at)
        .limit(_AT_MOST)
    )
    return tuple(conn.scalars(surplus))


def _due_refunds(conn: Connection, allowed_before: datetime) -> tuple[str, ...]:
    """Return refunds that are allowed and that nobody pays: no request of them is under way."""
    under_way = exists().where(
        provider_operations.c.subject == refunds.c.refund_id,
        provider_operations.c.kind == OperationKind.REFUND.value,
        provider_operations.c.order_id == refunds.c.order_id,
        provider_operations.c.state.in_([state.value for state in _UNDER_WAY]),
    )
    due = (
        select(refunds.c.refund_id)
        .where(
            refunds.c.state.in_([RefundState.APPROVED.value, RefundState.RUNNING.value]),
            refunds.c.at <= allowed_before,
            ~under_way,
        )
        .order_by(refunds.c.at)
        .limit(_AT_MOST)
    )
    return tuple(conn.scalars(due))


def _queue_unmatched(conn: Connection, now: datetime, policy: Policy) -> None:
    """Open a case for every event that nothing of ours explains: it must not be forgotten."""
    known = exists().where(
        cases.c.subject == inbox.c.event_id, cases.c.kind == CaseKind.UNMATCHED_EVENT.value
    )
    lost = (
        select(inbox)
        .where(inbox.c.state == UNMATCHED, inbox.c.received_at <= now - policy.unmatched_after, ~known)
        .order_by(inbox.c.received_at)
        .limit(_AT_MOST)
    )
    for event in conn.execute(lost).all():
        case_rows.open_case(
            conn,
            event.order_id,
            CaseKind.UNMATCHED_EVENT,
            subject=event.event_id,
            due_at=due_at(CaseKind.UNMATCHED_EVENT, now, policy),
            now=now,
            note=f"{event.provider} said {event.kind} of {event.subject}: {event.why}",
        )


def _doubtful(conn: Connection, claimed_before: datetime) -> tuple[str, ...]:
    in_doubt = [state.value for state in _UNDER_WAY]
    open_ones = (
        select(provider_operations.c.operation_key)
        .where(
            provider_operations.c.state.in_(in_doubt),
            provider_operations.c.kind.in_([kind.value for kind in _MONEY]),
            provider_operations.c.claimed_at <= claimed_before,
        )
        .order_by(provider_operations.c.claimed_at)
        .limit(_AT_MOST)
    )
    return tuple(conn.scalars(open_ones))
