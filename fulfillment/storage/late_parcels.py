"""Parcels that will not come by their promised day: found before it, by how long others took from where they are."""

from datetime import date, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, bindparam, select, update

from fulfillment.domain.address import Address
from fulfillment.domain.calendars import Calendar
from fulfillment.domain.forecast import Deliveries, Forecast, forecast, journey
from fulfillment.domain.policy import Policy
from fulfillment.domain.promise import Source
from fulfillment.domain.record import RevisePromise
from fulfillment.domain.tracking import JOURNEY_OVER, CarrierStatus, Flag
from fulfillment.domain.zones import day_in
from fulfillment.storage import locks, promises, transits
from fulfillment.storage.parcels import scans_of
from fulfillment.storage.tables import locations, orders, parcels, shipments
from fulfillment.storage.tables import transits as rows

REASON: Final = "it is slower than usual on its way"
_AT_MOST: Final = 500
_LOOK_EVERY: Final = timedelta(hours=3)
# On its way back nobody waits for it at the door, and what is out is told by its status.
_NOT_ASKED: Final = (
    *JOURNEY_OVER,
    CarrierStatus.RETURN_TO_SENDER,
    CarrierStatus.OUT_FOR_DELIVERY,
    CarrierStatus.AVAILABLE_FOR_PICKUP,
)
_DUE: Final = (
    select(
        rows,
        locations.c.closed_days,
        *orders.c["order_id", "ship_to", "promise_date"],
        shipments.c.settled,
        *parcels.c["shipment_id", "carrier_status", "edd_first_date", "edd_date", "flags", "reason"],
    )
    .join(parcels, parcels.c.parcel_id == rows.c.parcel_id)
    .join(shipments, shipments.c.shipment_id == parcels.c.shipment_id)
    .join(orders, orders.c.order_id == parcels.c.order_id)
    .join(locations, locations.c.location_id == rows.c.location_id)
)
_LATE: Final = _DUE.where(rows.c.look_at <= bindparam("now")).order_by(rows.c.look_at).limit(_AT_MOST)
_ONE: Final = _DUE.where(parcels.c.shipment_id == bindparam("the_shipment"), rows.c.look_at.is_not(None))
_AGAIN: Final = update(rows).where(rows.c.parcel_id.in_(bindparam("those", expanding=True)))

Past = dict[tuple[str, ...], Deliveries]


def note(engine: Engine, *, now: datetime, policy: Policy) -> None:
    """Promise a later day for every parcel under way that will be late, as far as its lane can tell.

    Each order in a transaction of its own. Who was told today already is looked at again, like everybody.
    """
    past: Past = {}
    with engine.begin() as conn:
        due = conn.execute(_LATE, {"now": now}).all()
        found = [(row, _delay(conn, row, past, now=now, policy=policy)) for row in due]
        conn.execute(_AGAIN.values(look_at=now + _LOOK_EVERY), {"those": [row.parcel_id for row, _ in found]})
    for row, delay in found:
        if delay:
            with engine.begin() as conn:
                promises.put_off(conn, locks.order_of_parcel(conn, row.parcel_id), delay, now=now)


def put_off(
    conn: Connection, order: Row[Any], asked: RevisePromise, *, now: datetime, policy: Policy
) -> date | None:
    """Promise the locked order the day its workflow asks for, or the later one that the parcel's lane says.

    Return the day that is promised now.
    """
    row = conn.execute(_ONE, {"the_shipment": asked.shipment_id}).first()
    delay = _asked(conn, row, order, asked, now=now, policy=policy)
    if delay and promises.put_off(conn, order, delay, now=now, by_its_workflow=True):
        return delay.day
    promised: date | None = order.promise_date
    return promised


def _asked(
    conn: Connection,
    row: Row[Any] | None,
    order: Row[Any],
    asked: RevisePromise,
    *,
    now: datetime,
    policy: Policy,
) -> promises.Delay | None:
    if (
        row is not None
        and row.edd_date == asked.promised_date
        and order.promise_date >= day_in(row.zone, now)
    ):
        return _delay(conn, row, {}, now=now, policy=policy)
    seen = _forecast(conn, row, {}, now=now, policy=policy) if row else None
    return promises.Delay(
        shipment_id=asked.shipment_id,
        subject=asked.shipment_id,
        day=max(asked.promised_date, seen.day) if seen else asked.promised_date,
        source=Source.COMPUTED,
        reason=asked.reason,
    )


def _delay(
    conn: Connection, row: Row[Any], past: Past, *, now: datetime, policy: Policy
) -> promises.Delay | None:
    """Return by how much a parcel will be late; None when it will not, or when nobody can tell."""
    if row.promise_date is None or row.carrier_status in _NOT_ASKED or row.settled:
        return None
    says = row.edd_date and row.edd_date > row.promise_date
    delayed, known_by = Flag.DELAYED in row.flags, row.learned_from
    if says and promises.is_news(row.edd_first_date, row.edd_date, known_by=known_by, delayed=delayed):
        why = row.reason or "the carrier is running late"
        return _of(row, row.edd_date, Source.CARRIER, why)
    seen = _forecast(conn, row, past, now=now, policy=policy)
    if seen is None or seen.late < policy.late_when or seen.day <= row.promise_date:
        return None
    return _of(row, seen.day, Source.COMPUTED, REASON)


def _of(row: Row[Any], day: date, source: Source, reason: str) -> promises.Delay:
    return promises.Delay(
        shipment_id=row.shipment_id, subject=row.parcel_id, day=day, source=source, reason=reason
    )


def _forecast(
    conn: Connection, row: Row[Any], past: Past, *, now: datetime, policy: Policy
) -> Forecast | None:
    lane = (row.location_id, row.country, row.area, row.service, row.carrier, row.zone)
    if lane not in past:
        calendar = Calendar(zone=row.zone, closed_days=frozenset(row.closed_days))
        past[lane] = Deliveries(transits.past(conn, row, now=now, policy=policy), calendar)
    if len(past[lane]) < policy.lane_parcels_at_least:
        return None
    scans = [scan for scan in scans_of(conn, row.parcel_id) if scan.occurred_at <= now]
    return forecast(
        journey(scans, row.left_at, Address(**row.ship_to)),
        past[lane],
        promise_date=row.promise_date,
        now=now,
        policy=policy,
    )
