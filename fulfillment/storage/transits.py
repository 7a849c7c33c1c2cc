"""How parcels' journeys went, as rows: begun at hand-over, completed at their end, read as what a lane is known by."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, select, text, update
from sqlalchemy.dialects.postgresql import insert

from fulfillment.domain.address import Address
from fulfillment.domain.calendars import Calendar
from fulfillment.domain.forecast import Journey, journey, longest_silence
from fulfillment.domain.policy import Policy
from fulfillment.domain.tracking import CarrierStatus, Scan
from fulfillment.domain.transit import (
    History,
    Patience,
    Times,
    Transit,
    area_of,
    patience,
    usual,
    working_days,
)
from fulfillment.domain.zones import day_in, zone_of
from fulfillment.storage.locations import CALENDAR, calendar_from
from fulfillment.storage.tables import locations, transits

_NEWEST: Final = 200  # of a lane: what it did lately is what it will do
_STATED: Final = 50
_PLACE: Final = select(*CALENDAR, locations.c.address["country"].astext.label("country")).where(
    locations.c.location_id == bindparam("there")
)
_LATELY: Final = """
    location_id = :there AND country = :country AND service = :service
    AND outcome = 'delivered' AND ended_at > :since
"""
_HISTORY: Final = text(
    f"""
    SELECT 'area' AS of, days, count(*) AS parcels FROM (
        SELECT days FROM transits WHERE {_LATELY} AND area = :area ORDER BY ended_at DESC LIMIT {_NEWEST}
    ) AS lately GROUP BY days
    UNION ALL
    SELECT 'country', days, count(*) FROM (
        SELECT days FROM transits WHERE {_LATELY} ORDER BY ended_at DESC LIMIT {_NEWEST}
    ) AS lately GROUP BY days
    UNION ALL
    SELECT 'stated', days, count(*) FROM (
        SELECT stated_days AS days FROM transits
        WHERE location_id = :there AND country = :country AND service = :service AND stated_days IS NOT NULL
            AND left_at > :since
        ORDER BY left_at DESC LIMIT {_STATED}
    ) AS lately GROUP BY days
    """
)
_SPANS: Final = """
    SELECT count(*) AS parcels,
        percentile_disc(0.95) WITHIN GROUP (ORDER BY first_scan_at - left_at) AS first_scan,
        percentile_disc(0.95) WITHIN GROUP (ORDER BY longest_silence) AS silence,
        percentile_disc(0.95) WITHIN GROUP (ORDER BY ended_at - left_at) AS door
"""
_TIMES: Final = text(
    f"""
    {_SPANS}, 'area' AS of FROM (
        SELECT * FROM transits WHERE {_LATELY} AND carrier = :carrier AND area = :area
        ORDER BY ended_at DESC LIMIT {_NEWEST}
    ) AS lately
    UNION ALL
    {_SPANS}, 'country' FROM (
        SELECT * FROM transits WHERE {_LATELY} AND carrier = :carrier ORDER BY ended_at DESC LIMIT {_NEWEST}
    ) AS lately
    """
)
_JOURNEYS: Final = text(
    f"""
    SELECT area = :area AS here, left_at, first_scan_at, near_at, out_at, ended_at FROM (
        (SELECT * FROM transits WHERE {_LATELY} AND carrier = :carrier AND area = :area
            ORDER BY ended_at DESC LIMIT {_NEWEST})
        UNION
        (SELECT * FROM transits WHERE {_LATELY} AND carrier = :carrier ORDER BY ended_at DESC LIMIT {_NEWEST})
    ) AS lately
    """
)
_BEGIN: Final = insert(transits).on_conflict_do_nothing()
_END: Final = update(transits).where(transits.c.parcel_id == bindparam("the_parcel"))


def usual_days(
    conn: Connection,
    location_id: str,
    to: Address,
    service: str,
    *,
    abroad: bool,
    now: datetime,
    policy: Policy,
) -> Transit:
    """Return how many working days to reckon with from a location to an address, before a carrier is chosen."""
    asked = _lane(location_id, to.country, area_of(to.postal_code), service, now, policy)
    counted: dict[str, dict[int, int]] = {"area": {}, "country": {}, "stated": {}}
    for row in conn.execute(_HISTORY, asked):
        counted[row.of][row.days] = row.parcels
    return usual(History(**counted), abroad=abroad, policy=policy)


def begin(
    conn: Connection,
    order: Row[Any],
    parcel: Row[Any],
    label: Row[Any],
    location_id: str,
    *,
    now: datetime,
    policy: Policy,
) -> Patience:
    """Note that a parcel leaves, and return how long it may be silent by what its lane has shown so far."""
    place = conn.execute(_PLACE, {"there": location_id}).one()
    to, calendar = Address(**order.ship_to), calendar_from(place)
    allowed = _patience(conn, order, to, label, location_id, place, now=now, policy=policy)
    left = calendar.today(now)
    row = {
        "parcel_id": parcel.parcel_id,
        "location_id": location_id,
        "country": to.country,
        "area": area_of(to.postal_code),
        "region": to.region,
        "zone": zone_of(to),
        "service": order.service,
        "carrier": label.carrier,
        "carrier_service": label.service,
        "left_date": left,
        "left_at": now,
        "look_at": now,
        "stated_days": _days(calendar, left, parcel.edd_date) if parcel.edd_date else None,
        "scan_silence": allowed.scan_silence,
        "lost_after": allowed.lost_after,
        "learned_from": allowed.parcels,
    }
    conn.execute(_BEGIN, row)
    return allowed


def end(
    conn: Connection,
    parcel_id: str,
    to: Address,
    scans: Sequence[Scan],
    outcome: CarrierStatus,
    now: datetime,
) -> None:
    """Complete a parcel's journey; one that is found, or corrected, has its end rewritten."""
    row = conn.execute(
        select(*transits.c["left_at", "left_date"], transits.c.zone.label("recipients_zone"), *CALENDAR)
        .join(locations, locations.c.location_id == transits.c.location_id)
        .where(transits.c.parcel_id == parcel_id)
    ).first()
    if row is None:
        return  # it left before journeys were noted
    went = journey(scans, row.left_at, to)
    ended_at, days = went.delivered_at or now, None
    if outcome is CarrierStatus.DELIVERED:
        days = _days(calendar_from(row), row.left_date, day_in(row.recipients_zone, ended_at))
    values = {
        "first_scan_at": went.first_scan_at,
        "near_at": went.near_at,
        "out_at": went.out_at,
        "ended_at": ended_at,
        "outcome": outcome.value,
        "days": days,
        "longest_silence": longest_silence(scans),
        "look_at": None,
    }
    conn.execute(_END, {"the_parcel": parcel_id, **values})


def allowed(conn: Connection, parcel_id: str, *, policy: Policy) -> Patience:
    """Return how long this parcel may be silent; one that left before journeys were noted has the policy's spans."""
    row = conn.execute(select(transits).where(transits.c.parcel_id == parcel_id)).first()
    if row is None:
        return Patience(
            first_scan_within=policy.first_scan_within,
            scan_silence=policy.scan_silence,
            lost_after=policy.lost_after,
        )
    return Patience(
        first_scan_within=policy.first_scan_within,
        scan_silence=row.scan_silence,
        lost_after=row.lost_after,
        parcels=row.learned_from,
    )


def past(conn: Connection, row: Row[Any], *, now: datetime, policy: Policy) -> tuple[Journey, ...]:
    """Return the deliveries a parcel is to be compared with: those of its area, else those of its country."""
    asked = _lane(row.location_id, row.country, row.area, row.service, now, policy)
    rows = conn.execute(_JOURNEYS, {**asked, "carrier": row.carrier}).all()
    here = [found for found in rows if found.here]
    chosen = here if len(here) >= policy.lane_parcels_at_least else rows
    return tuple(
        Journey(
            left_at=found.left_at,
            first_scan_at=found.first_scan_at,
            near_at=found.near_at,
            out_at=found.out_at,
            delivered_at=found.ended_at,
        )
        for found in chosen
    )


def _patience(
    conn: Connection,
    order: Row[Any],
    to: Address,
    label: Row[Any],
    location_id: str,
    place: Row[*tuple[Any, ...]],
    *,
    now: datetime,
    policy: Policy,
) -> Patience:
    asked = _lane(location_id, to.country, area_of(to.postal_code), order.service, now, policy)
    found = {row.of: _times(row) for row in conn.execute(_TIMES, {**asked, "carrier": label.carrier})}
    return patience(found["area"], found["country"], abroad=to.country != place.country, policy=policy)


def _times(row: Row[Any]) -> Times:
    return Times(parcels=row.parcels, first_scan=row.first_scan, silence=row.silence, door=row.door)


def _lane(
    location_id: str, country: str, area: str, service: str, now: datetime, policy: Policy
) -> Mapping[str, Any]:
    since = now - policy.lane_window
    return {"there": location_id, "country": country, "area": area, "service": service, "since": since}


def _days(calendar: Calendar, left: date, arrived: date) -> int:
    carriers = Calendar(closed_days=calendar.closed_days)
    return working_days(carriers, left, arrived) if arrived - left < timedelta(days=365) else 365
