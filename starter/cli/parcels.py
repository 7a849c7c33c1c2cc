"""Parcels: tracking put right by a person, and the carriers' codes that nobody has given a meaning."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer

from fulfillment.domain.corrections import CorrectTracking
from fulfillment.domain.tracking import CarrierStatus
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


@app.command("fix-tracking")
def fix_tracking(
    order: OrderArgument,
    parcel: Annotated[str, typer.Argument(metavar="PARCEL", help="For example SO-10483-P1.")],
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
