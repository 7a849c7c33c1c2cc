"""`carriers`: which of them labels are bought of, and the switch that turns one off."""

from collections.abc import Iterable, Sequence
from typing import Annotated

import typer
from rich.table import Table

from fulfillment.domain.carriers import Carrier, CarrierUse
from starter.api.schemas import CarrierOut
from starter.cli import reach
from starter.cli.terminal import ByOption, JsonOption, RequestOption, answering, table

app = typer.Typer()
carriers = typer.Typer(
    invoke_without_command=True, help="Which carriers labels are bought of; pause and resume one."
)
app.add_typer(carriers, name="carriers")

CarrierArgument = Annotated[str, typer.Argument(metavar="CARRIER", help="For example UPS.")]


@carriers.callback()
def listed(context: typer.Context, as_json: JsonOption = False) -> None:
    """List the carriers: whether they are used, since when they fail, how they did in the last 90 days."""
    if context.invoked_subcommand is not None:
        return
    with answering(as_json=as_json) as out, reach.books() as books:
        known = books.carriers.carriers()
        data = {"carriers": [CarrierOut.of(one, use).model_dump(mode="json") for one, use in known]}
        out.answer(data, _table(known) if known else "no parcel has left yet, and no carrier is paused")


@carriers.command()
def pause(
    carrier: CarrierArgument,
    by: ByOption,
    request_id: RequestOption,
    why: Annotated[str, typer.Option(help="Shown wherever it is passed over.")],
    as_json: JsonOption = False,
) -> None:
    """Buy no label of a carrier from now on; what was bought already still travels."""
    with answering(as_json=as_json) as out, reach.books() as books:
        paused = books.carriers.pause(carrier, by=by, why=why, request_id=request_id)
        data = CarrierOut.of(paused, CarrierUse.PAUSED).model_dump(mode="json")
        used = sorted(one.name for one, _ in books.carriers.carriers() if one.parcels)
        out.answer(
            data, f"{paused.name} is paused by {paused.paused_by}: {paused.why}{misspelled(paused, used)}"
        )


@carriers.command()
def resume(
    carrier: CarrierArgument, by: ByOption, request_id: RequestOption, as_json: JsonOption = False
) -> None:
    """Use a paused carrier again."""
    with answering(as_json=as_json) as out, reach.books() as books:
        resumed = books.carriers.resume(carrier, by=by, request_id=request_id)
        data = CarrierOut.of(resumed, CarrierUse.IN_USE).model_dump(mode="json")
        out.answer(data, f"{resumed.name} is used again")


def misspelled(paused: Carrier, used: Sequence[str]) -> str:
    """Say that a name may be misspelled: a switch that turns nothing off is found out too late."""
    if paused.name in used or not used:
        return ""
    return f"\nno parcel has left with {paused.name} in 90 days; parcels left with {', '.join(used)}"


def _table(known: Iterable[tuple[Carrier, CarrierUse]]) -> Table:
    made = table(
        "Carrier",
        "Use",
        "Why",
        "Parcels, 90 days",
        "9 of 10 within",
        right=("Parcels, 90 days", "9 of 10 within"),
    )
    for one, use in known:
        days = "" if one.slowest_days is None else f"{one.slowest_days} days"
        made.add_row(one.name, use.replace("_", " "), _why(one, use), str(one.parcels), days)
    return made


def _why(one: Carrier, use: CarrierUse) -> str:
    if use is CarrierUse.PAUSED:
        return f"{one.why} ({one.paused_by})"
    return f"since {one.failing_since:%a %d %b %H:%M}: {one.said}" if one.failing_since else ""
