"""Tracking put right by people who know better than the carrier."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, bindparam, select

from fulfillment.domain.corrections import (
    FIX_TRACKING,
    SENTENCE,
    Corrected,
    CorrectionRefused,
    CorrectTracking,
    UnknownParcel,
)
from fulfillment.domain.policy import DEFAULT, Policy
from fulfillment.domain.tracking import Scan, ScanSource
from fulfillment.storage import journal, parcels
from fulfillment.storage.orders import lock_order
from fulfillment.storage.tables import parcels as parcels_table
from fulfillment.storage.tables import tracking_events

_PARCEL: Final = select(parcels_table).where(
    parcels_table.c.order_id == bindparam("the_order"), parcels_table.c.parcel_id == bindparam("the_parcel")
)
_MADE: Final = select(tracking_events.c.status).where(
    tracking_events.c.parcel_id == bindparam("the_parcel"),
    tracking_events.c.source == ScanSource.STAFF.value,
    tracking_events.c.raw_code == bindparam("the_code"),
)


class CorrectionStore:
    """What people know better than carriers. Every correction is one transaction and begins by locking the order."""

    def __init__(self, engine: Engine, now: Callable[[], datetime], *, policy: Policy = DEFAULT) -> None:
        self._engine, self._now, self._policy = engine, now, policy

    def correct(self, request: CorrectTracking) -> Corrected:
        """Say where a parcel is; the same request is the same correction.

        Raises:
            UnknownParcel: the order has no such parcel.
            CorrectionRefused: it has not left, is there already, was scanned later, or the time lies ahead.
        """
        now = self._now()
        with self._engine.begin() as conn:
            lock_order(conn, request.order_id)
            parcel = _parcel(conn, request)
            if not _made_before(conn, request):
                _check(request, parcel, now)
                self._record(conn, request, parcel, now)
        return Corrected(
            order_id=request.order_id,
            parcel_id=request.parcel_id,
            status=request.status,
            text=f"{request.parcel_id} is {_said(request.status)} now.",
        )

    def _record(self, conn: Connection, request: CorrectTracking, parcel: Row[Any], now: datetime) -> None:
        scan = Scan(
            status=request.status,
            occurred_at=request.happened_at or max(now, parcel.latest_scan_at or now),
            code=_code(request),
            text=SENTENCE[request.status],
            source=ScanSource.STAFF,
            correction=True,
            by=request.by,
            why=request.reason,
        )
        source = ScanSource.STAFF.value
        parcels.record(conn, request.parcel_id, (scan,), None, source=source, now=now, policy=self._policy)
        journal.audit(
            conn,
            request.order_id,
            actor=request.by,
            command=FIX_TRACKING,
            request_id=request.request_id,
            outcome=f"{request.parcel_id}: {parcel.carrier_status} to {request.status}",
            reason=request.reason,
            at=now,
        )


def _parcel(conn: Connection, request: CorrectTracking) -> Row[Any]:
    asked = {"the_order": request.order_id, "the_parcel": request.parcel_id}
    row = conn.execute(_PARCEL, asked).one_or_none()
    if row is None:
        raise UnknownParcel(request.order_id, request.parcel_id)
    return row


def _made_before(conn: Connection, request: CorrectTracking) -> bool:
    """Test whether this request was made before.

    Raises:
        CorrectionRefused: it asked for something else then.
    """
    asked = {"the_parcel": request.parcel_id, "the_code": _code(request)}
    status = conn.execute(_MADE, asked).scalar_one_or_none()
    if status not in (None, request.status.value):
        raise CorrectionRefused(f"request {request.request_id} said {_said(status)} before: use a new one")
    return status is not None


def _check(request: CorrectTracking, parcel: Row[Any], now: datetime) -> None:
    name, happened_at = request.parcel_id, request.happened_at
    if parcel.handed_over_at is None:
        raise CorrectionRefused(f"{name} has not left: hand it over first, and its tracking begins")
    if happened_at and happened_at > now:
        raise CorrectionRefused("what has not happened yet cannot be put right")
    if happened_at and parcel.latest_scan_at and happened_at < parcel.latest_scan_at:
        last = f"{parcel.latest_scan_at:%Y-%m-%d %H:%M} UTC"
        raise CorrectionRefused(f"{name} was scanned after that, {last}: say what holds since then")
    if parcel.carrier_status == request.status and not parcel.flags:
        raise CorrectionRefused(f"{name} is {_said(request.status)} already")


def _code(request: CorrectTracking) -> str:
    return f"corrected:{request.request_id}"


def _said(status: str) -> str:
    return status.replace("_", " ")
