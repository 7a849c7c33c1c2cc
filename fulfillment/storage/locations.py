"""Locations as rows, and their calendars read back from them."""

from dataclasses import asdict
from typing import Any, Final

from sqlalchemy import Connection, Row, select
from sqlalchemy.dialects.postgresql import insert

from fulfillment.domain.address import Address
from fulfillment.domain.calendars import Calendar
from fulfillment.domain.location import Location
from fulfillment.storage.tables import locations

CALENDAR: Final = (
    locations.c.zone,
    locations.c.cut_off,
    locations.c.working_days,
    locations.c.closed_days,
)
_LOCATION: Final = insert(locations)
_ALL: Final = select(locations).order_by(locations.c.priority, locations.c.location_id)


def calendar_from(row: Row[*tuple[Any, ...]]) -> Calendar:
    """Return when the location of this row works."""
    return Calendar(
        zone=row.zone,
        cut_off=row.cut_off,
        working_days=frozenset(row.working_days),
        closed_days=frozenset(row.closed_days),
    )


def put(conn: Connection, location: Location) -> None:
    """Add a location, or change all that is known of it."""
    values = _values(location)
    conn.execute(
        _LOCATION.values(location_id=location.location_id, **values).on_conflict_do_update(
            index_elements=["location_id"], set_=values
        )
    )


def every(conn: Connection) -> tuple[Location, ...]:
    """Return every location, the one asked first first."""
    return tuple(_location(row) for row in conn.execute(_ALL))


def _values(location: Location) -> dict[str, Any]:
    calendar = location.calendar
    return {
        "name": location.name,
        "address": asdict(location.address),
        "priority": location.priority,
        "zone": calendar.zone,
        "cut_off": calendar.cut_off,
        "working_days": sorted(calendar.working_days),
        "closed_days": sorted(calendar.closed_days),
        "daily_capacity": location.daily_capacity,
        "on_time": location.on_time,
    }


def _location(row: Row[*tuple[Any, ...]]) -> Location:
    return Location(
        location_id=row.location_id,
        name=row.name,
        address=Address(**row.address),
        priority=row.priority,
        calendar=calendar_from(row),
        daily_capacity=row.daily_capacity,
        on_time=row.on_time,
    )
