"""`location`: the places that ship, and when each of them works."""

from datetime import datetime, time
from typing import Annotated, Final

import typer
from rich.table import Table

from fulfillment.domain.address import Address
from fulfillment.domain.location import Location
from starter.api.locations import LocationOut, calendar_of
from starter.cli import reach
from starter.cli.terminal import JsonOption, answering, table
from starter.countries import is_country

app = typer.Typer()
location = typer.Typer(no_args_is_help=True, help="The places that ship, and when each of them works.")
app.add_typer(location, name="location")

_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@location.command()
def add(
    location_id: Annotated[str, typer.Argument(metavar="ID", help="For example wh-berlin.")],
    name: Annotated[str, typer.Option(help="What people call it.")],
    line1: Annotated[str, typer.Option(help="Street and number: labels are sent from here.")],
    city: Annotated[str, typer.Option()],
    country: Annotated[str, typer.Option(metavar="CC", help="Two letters, for example DE.")],
    zone: Annotated[str, typer.Option(help="Of the IANA list, for example Europe/Berlin.")],
    region: Annotated[str, typer.Option(help="Its code, for example NV or BE.")] = "",
    postal_code: Annotated[str, typer.Option()] = "",
    phone: Annotated[str, typer.Option()] = "",
    priority: Annotated[int, typer.Option(min=0, help="The lowest is asked first.")] = 100,
    cut_off: Annotated[
        str, typer.Option(metavar="HH:MM", help="What is ordered later counts for the next working day.")
    ] = "14:00",
    days: Annotated[str, typer.Option(metavar="DAY,..", help="On which it works.")] = "mon,tue,wed,thu,fri",
    closed: Annotated[
        list[datetime] | None, typer.Option(formats=["%Y-%m-%d"], help="A day on which it is closed.")
    ] = None,
    holidays: Annotated[bool, typer.Option(help="Closed on its country's public holidays.")] = True,
    capacity: Annotated[
        int | None, typer.Option(min=1, help="Shipments on its floor before others are asked first.")
    ] = None,
    on_time: Annotated[
        float | None, typer.Option(min=0, max=1, help="The share of its parcels that arrive on time.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Add a place that ships, or replace all that is known of it."""
    address = Address(
        name=name,
        line1=line1,
        city=city,
        region=region,
        postal_code=postal_code,
        country=_country(country),
        phone=phone,
    )
    hour, working = _time(cut_off), _working(days)
    with answering(as_json=as_json) as out, reach.books() as books:
        calendar = calendar_of(
            address,
            zone=zone,
            cut_off=hour,
            working_days=working,
            closed_days=[day.date() for day in closed or []],
            rests_on_holidays=holidays,
            now=books.now(),
        )
        books.stock.add_location(
            location_id,
            name=name,
            address=address,
            priority=priority,
            calendar=calendar,
            daily_capacity=capacity,
            on_time=on_time,
        )
        added = next(one for one in books.stock.locations() if one.location_id == location_id)
        out.answer(LocationOut.of(added).model_dump(mode="json"), _places([added]))


@location.command("list")
def listed(as_json: JsonOption = False) -> None:
    """List the places that ship, the one asked first first."""
    with answering(as_json=as_json) as out, reach.books() as books:
        places = books.stock.locations()
        data = {"locations": [LocationOut.of(place).model_dump(mode="json") for place in places]}
        out.answer(data, _places(places) if places else "there is no location yet; `location add` adds one")


def _country(text: str) -> str:
    if not is_country(text.upper()):
        raise typer.BadParameter(f"{text!r} is no country of two letters", param_hint="--country")
    return text.upper()


def _time(text: str) -> time:
    try:
        return datetime.strptime(text, "%H:%M").time()
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is no time of day such as 14:00", param_hint="--cut-off"
        ) from None


def _working(text: str) -> list[int]:
    words = [word.strip().lower() for word in text.split(",")]
    if unknown := [word for word in words if word not in _DAYS]:
        raise typer.BadParameter(f"{unknown[0]!r} is not one of {', '.join(_DAYS)}", param_hint="--days")
    return [_DAYS.index(word) for word in words]


def _places(places: list[Location] | tuple[Location, ...]) -> Table:
    made = table("Location", "Where", "Zone", "Cut-off", "Works", "Closed days", "Priority", "Capacity",
                 right=("Closed days", "Priority", "Capacity"))  # fmt: skip
    for place in places:
        calendar = place.calendar
        made.add_row(
            place.location_id,
            ", ".join(part for part in (place.address.place, place.address.country) if part),
            calendar.zone,
            f"{calendar.cut_off:%H:%M}",
            " ".join(_DAYS[day] for day in sorted(calendar.working_days)),
            str(len(calendar.closed_days)),
            str(place.priority),
            str(place.daily_capacity or "-"),
        )
    return made
