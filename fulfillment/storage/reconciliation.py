"""What was missed: found by looking, because silence sends no event."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, exists, select, update

from fulfillment.domain.cases import CaseKind
from fulfillment.domain.clock import ShopClock
from fulfillment.domain.findings import Findings, Unstarted
from fulfillment.domain.payment import OperationKind, OperationState, PaymentStatus
from fulfillment.domain.policy import DEFAULT, Policy
from fulfillment.domain.shipment import BEFORE_HAND_OVER, ON_THE_FLOOR
from fulfillment.domain.tracking import JOURNEY_OVER
from fulfillment.storage import backorders, journal, lapsing, locks, signals
from fulfillment.storage.tables import cases, orders, parcels, payments, provider_operations, shipments

_AT_MOST: Final = 100
# Real time: how long the doors and their relay may take before somebody else looks.
_UNHEARD_AFTER: Final = timedelta(seconds=30)
_UNSTARTED_AFTER: Final = timedelta(minutes=5)
_IN_DOUBT_AFTER: Final = timedelta(seconds=30)
_MONEY: Final = (OperationKind.AUTHORIZE, OperationKind.CAPTURE, OperationKind.VOID, OperationKind.REFUND)


class ReconciliationStore:
    """Our books, read for what nobody acted on. `now` is shop time, `clock` says how fast it runs."""

    def __init__(
        self, engine: Engine, now: Callable[[], datetime], clock: ShopClock, *, policy: Policy = DEFAULT
    ) -> None:
        self._engine, self._now, self._clock, self._policy = engine, now, clock, policy

    def sweep(self) -> Findings:
        """Find what was missed. Shipments past their ship-by are queued as facts for their orders at once.

        Claims that ran out are given back. Units that a claim or a cancel let go, or that were found, are given to
        those who wait for them.
        """
        now = self._now()
        self._expire_claims(now)
        self._serve_who_waits(now)
        doubtful = max(self._policy.unknown_sla, self._shop_span(_IN_DOUBT_AFTER))
        with self._engine.begin() as conn:
            _queue_late_shipments(conn, now)
            _queue_money_running_out(conn, now, now + self._policy.authorization_lead)
            return Findings(
                unheard=signals.unheard(conn, _AT_MOST, queued_before=now - self._shop_span(_UNHEARD_AFTER)),
                unstarted=_unstarted(conn, now - self._shop_span(_UNSTARTED_AFTER)),
                silent_parcels=_silent(conn, now),
                doubtful_operations=_doubtful(conn, now - doubtful),
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
            given_up_at = (parcel.latest_scan_at or parcel.handed_over_at) + self._policy.lost_after
            _queue_overdue(
                conn,
                parcel.order_id,
                _kind_of_silence(parcel, given_up_at, now),
                subject=parcel_id,
                shipment_id=parcel.shipment_id,
                checked=parcel.next_check_at,
                now=now,
            )
            again = now + self._policy.scan_silence / 2
            next_check = min(again, given_up_at) if given_up_at > now else again
            this = parcels.c.parcel_id == parcel_id
            conn.execute(update(parcels).where(this).values(next_check_at=next_check))

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

    def _shop_span(self, real: timedelta) -> timedelta:
        return real * self._clock.speed


def _kind_of_silence(parcel: Row[Any], given_up_at: datetime, now: datetime) -> CaseKind:
    if given_up_at <= now:
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
    later = payments.alias("later")
    newest = ~exists().where(
        later.c.shipment_id == payments.c.shipment_id, later.c.attempt > payments.c.attempt
    )
    running_out = (
        select(payments)
        .join(shipments, shipments.c.shipment_id == payments.c.shipment_id)
        .where(
            shipments.c.work_status.in_([status.value for status in BEFORE_HAND_OVER]),
            payments.c.status.in_([PaymentStatus.AUTHORIZED.value, PaymentStatus.EXPIRED.value]),
            payments.c.expires_at <= soon,
            newest,
        )
        .order_by(payments.c.expires_at)
        .limit(_AT_MOST)
    )
    for payment in conn.execute(running_out).all():
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
        .where(orders.c.started_at.is_(None), orders.c.accepted_at <= accepted_before)
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


def _doubtful(conn: Connection, claimed_before: datetime) -> tuple[str, ...]:
    in_doubt = (OperationState.CLAIMED.value, OperationState.UNKNOWN.value)
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
