"""Locations over HTTP: where stock is kept, and when each place works."""

from collections.abc import Sequence
from datetime import date, datetime, time
from typing import Annotated, Final, Self

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from fulfillment.domain.address import Address
from fulfillment.domain.calendars import Calendar
from fulfillment.domain.location import Location
from fulfillment.providers.calendars import public_holidays
from starter.access import Caller, Needs, Scope
from starter.api.schemas import Id, LocationIn
from starter.doors import Standing

router = APIRouter(prefix="/v1", tags=["stock"])

Managing = Annotated[Caller, Depends(Needs(Scope.OPS))]
Staff = Annotated[Caller, Depends(Needs(Scope.SUPPORT, Scope.WAREHOUSE, Scope.OPS))]

_YEARS_AHEAD: Final = 2


class LocationOut(BaseModel):
    """A place that ships. `cut_off` and the days are its own, in `zone`; 0 is Monday."""

    id: str
    name: str
    city: str
    region: str
    country: str
    priority: int
    zone: str
    cut_off: time
    working_days: list[int]
    closed_days: list[date]
    daily_capacity: int | None
    on_time: float | None

    @classmethod
    def of(cls, location: Location) -> Self:
        """Return a location as the API shows it."""
        calendar, where = location.calendar, location.address
        return cls(
            id=location.location_id,
            name=location.name,
            city=where.city,
            region=where.region,
            country=where.country,
            priority=location.priority,
            zone=calendar.zone,
            cut_off=calendar.cut_off,
            working_days=sorted(calendar.working_days),
            closed_days=sorted(calendar.closed_days),
            daily_capacity=location.daily_capacity,
            on_time=location.on_time,
        )


class LocationsOut(BaseModel):
    """Every place that ships, the one asked first first."""

    locations: list[LocationOut]


@router.get("/locations", response_model=LocationsOut, summary="Where stock is kept")
def listed(doors: Standing, _caller: Staff) -> LocationsOut:
    """List the locations with the days on which they work."""
    return LocationsOut(locations=[LocationOut.of(location) for location in doors.stock.locations()])


@router.put("/locations/{location_id}", response_model=LocationOut, summary="Add or change a location")
def put(location_id: Id, body: LocationIn, doors: Standing, _caller: Managing) -> LocationOut:
    """Add a location, or replace all that is known of it. Its country's public holidays are closed days."""
    address = Address(**body.address.model_dump())
    calendar = calendar_of(
        address,
        zone=body.zone,
        cut_off=body.cut_off,
        working_days=body.working_days,
        closed_days=body.closed_days,
        rests_on_holidays=body.public_holidays,
        now=doors.now(),
    )
    location = Location(
        location_id=location_id,
        name=body.name,
        address=address,
        priority=body.priority,
        calendar=calendar,
        daily_capacity=body.daily_capacity,
        on_time=body.on_time,
    )
    doors.stock.add_location(
        location_id,
        name=location.name,
        address=address,
        priority=location.priority,
        calendar=calendar,
        daily_capacity=location.daily_capacity,
        on_time=location.on_time,
    )
    return LocationOut.of(location)


def calendar_of(
    address: Address,
    *,
    zone: str,
    cut_off: time,
    working_days: Sequence[int],
    closed_days: Sequence[date],
    rests_on_holidays: bool,
    now: datetime,
) -> Calendar:
    """Return the calendar of a place at this address, with the holidays of this year and the next ones.

    Raises:
        InvalidCalendar: nobody could work by it.
        UnknownCountry: its holidays are not known.
    """
    years = range(now.year, now.year + 1 + _YEARS_AHEAD)
    rests = public_holidays(address.country, address.region, years) if rests_on_holidays else frozenset()
    return Calendar(
        zone=zone,
        cut_off=cut_off,
        working_days=frozenset(working_days),
        closed_days=rests | frozenset(closed_days),
    )
