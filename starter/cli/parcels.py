"""Parcels: tracking put right by a person, and the carriers' codes that nobody has given a meaning."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Final

import typer

from fulfillment.domain.corrections import CorrectTracking
from fulfillment.domain.tracking import CarrierStatus, Standing
from starter.cli import reach
from starter.cli.terminal import (
    ByOption,
    JsonOption,
    OrderArgument,
    RequestOption,
    answering,
    no_card_number,
    table,
)

app = typer.Typer()

ParcelArgument = Annotated[str, typer.Argument(metavar="PARCEL", help="For example SO-10483-P1.")]

_COUNTS: Final = {
    Standing.FOLDED: "yes",
    Standing.SET_ASIDE: "when its time comes",
    Standing.AFTER_END: "no, it had ended",
}


@app.command("fix-tracking")
def fix_tracking(
    order: OrderArgument,
    parcel: ParcelArgument,
    status: Annotated[CarrierStatus, typer.Option(help="Where it really is.")],
    reason: Annotated[str, typer.Option(callback=no_card_number, help="How you know.")],
    by: ByOption,
    request_id: RequestOption,
    since: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%dT%H:%M"], help="In UTC, for example 2026-11-23T08:00; now by default."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say where a parcel really is: the way out of an end such as a delivery that never was."""
    with answering(as_json=as_json) as out, reach.books() as books:
        done = books.corrections.correct(
            CorrectTracking(
                order_id=order,
                parcel_id=parcel,
                status=status,
                reason=reason,
                by=by,
                request_id=request_id,
                happened_at=since and since.replace(tzinfo=UTC),
            )
        )
        out.answer(asdict(done), done.text)


@app.command()
def scans(order: OrderArgument, parcel: ParcelArgument, as_json: JsonOption = False) -> None:
    """List all that was said about a parcel, newest first, what does not count included."""
    with answering(as_json=as_json) as out, reach.books() as books:
        told = books.views.view(order).parcel(parcel).scans
        shown = table("At (UTC)", "Status", "Counts", "Code", "Where", "It said")
        for one in told:
            said = f"{one.by}: {one.why}" if one.by else one.text or "-"
            status = "unknown" if one.is_unknown and not one.status else one.status or "-"
            shown.add_row(
                f"{one.at:%Y-%m-%d %H:%M}", status, _COUNTS[one.standing], one.code, one.place, said
            )
        data = {"parcel_id": parcel, "scans": [asdict(one) for one in told]}
        out.answer(data, shown if told else "nothing was said about it yet")


@app.command("unknown-codes")
def unknown_codes(as_json: JsonOption = False) -> None:
    """List what carriers said in the last 90 days that none of our tables knows: it was kept, and moved no parcel."""
    with answering(as_json=as_json) as out, reach.books() as books:
        found = books.unknown_codes.list()
        shown = table("Provider", "Carrier", "Code", "Scans", "Last", "It said", right=("Scans",))
        for one in found:
            last = f"{one.last_seen:%Y-%m-%d}"
            shown.add_row(one.provider, one.carrier or "-", one.code, str(one.count), last, one.text or "-")
        nothing = "every code of the last 90 days is in a table"
        out.answer({"codes": [asdict(one) for one in found]}, shown if found else nothing)
