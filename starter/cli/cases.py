"""What is in trouble, and saying what becomes of it: one order, or all that are in the same trouble; and what
carriers owe us for it.
"""

import asyncio
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.table import Table

from fulfillment.domain.carrier_claims import CarrierClaim, ClaimOutcome
from fulfillment.domain.cases import CaseKind, CasesAlike
from fulfillment.domain.money import format_minor
from fulfillment.domain.playbooks import Answer
from starter.bulk import Came, answer_alike
from starter.cli import reach
from starter.cli.holds import UntilOption, moment
from starter.cli.terminal import (
    ByOption,
    Exit,
    JsonOption,
    OrderArgument,
    Out,
    RequestOption,
    answering,
    no_card_number,
    table,
)
from starter.cli.verbs import ask

app = typer.Typer()

KindArgument = Annotated[CaseKind, typer.Argument(help="The trouble, as `explain` and `ls` name it.")]


@app.command()
def cases(
    kind: Annotated[CaseKind | None, typer.Option(help="Only these.")] = None, as_json: JsonOption = False
) -> None:
    """List how many cases are open for the same reason, the most urgent first."""
    with answering(as_json=as_json) as out, reach.books() as books:
        groups = books.cases.groups(kind)
        out.answer(
            {"groups": [_data(group) for group in groups]}, _groups(groups) if groups else "nothing is open"
        )


@app.command()
def answer(
    order: OrderArgument,
    kind: KindArgument,
    what: Annotated[Answer, typer.Argument(help="What becomes of it.")],
    by: ByOption,
    request_id: RequestOption,
    shipment: Annotated[str, typer.Option(help="Where several of the order have this trouble.")] = "",
    note: Annotated[
        str, typer.Option(callback=no_card_number, help="What was done, where that is the answer.")
    ] = "",
    alike: Annotated[
        bool, typer.Option("--alike", help="Every order's that is in the same trouble, in the same words.")
    ] = False,
    until: UntilOption = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="With --alike: do it; otherwise they are only counted.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Answer a case: send the goods again, refund them, wait, reroute them, let them be picked up, or say what was done."""
    if not alike:
        said: dict[str, Any] = {"kind": kind, "answer": what, "subject": shipment, "note": note, "by": by}
        ask(
            "answer_case",
            order,
            request_id,
            as_json,
            lambda o: o.answer_case(order, request_id=request_id, **said),
        )
        return
    with answering(as_json=as_json) as out, reach.books() as books:
        seen = moment(until) or books.now()
        group = books.cases.like(order, kind, until=seen)
        if yes:
            _answer_all(out, group, what, note, by=by, request_id=request_id)
        else:
            again = f"{order} {kind} {what} --alike --until {seen.isoformat()} --yes"
            would = f"{len(group.cases)} cases are open for the same reason: {kind}, {group.note}"
            nothing = f"nothing was answered; to answer them: ./waybill answer {again}"
            out.answer({"dry_run": True, "until": seen, **_data(group)}, would, nothing)


@app.command()
def claims(as_json: JsonOption = False) -> None:
    """List what is to be claimed from carriers, the first deadline first."""
    with answering(as_json=as_json) as out, reach.books() as books:
        found = books.claims.open()
        out.answer(
            {"claims": [asdict(claim) for claim in found]},
            _claims(found) if found else "nothing is claimed from any carrier",
        )


@app.command("end-claim")
def end_claim(
    parcel: Annotated[str, typer.Argument(metavar="PARCEL", help="For example SO-10483-P1.")],
    outcome: Annotated[ClaimOutcome, typer.Argument(help="What came of it.")],
    by: ByOption,
    request_id: RequestOption,
    paid: Annotated[int, typer.Option(min=0, help="In the smallest unit of the currency.")] = 0,
    note: Annotated[str, typer.Option(callback=no_card_number, help="For whoever reads it later.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Say what came of a claim against a carrier."""
    with answering(as_json=as_json) as out, reach.books() as books:
        said = books.claims.end(parcel, outcome, paid=paid, by=by, request_id=request_id, note=note)
        out.answer({"parcel_id": parcel, "outcome": outcome, "paid": paid, "request_id": request_id}, said)


def _claims(found: tuple[CarrierClaim, ...]) -> Table:
    made = table("Parcel", "Carrier", "Number", "Why", "Amount", "File until", "Who acts", right=("Amount",))
    for claim in found:
        amount, until = format_minor(claim.amount, claim.currency), f"{claim.deadline:%a %d %b}"
        made.add_row(
            claim.parcel_id, claim.carrier, claim.tracking_number, claim.cause, amount, until, claim.owner
        )
    return made


def _answer_all(out: Out, group: CasesAlike, what: Answer, note: str, *, by: str, request_id: str) -> None:
    out.say(f"request {request_id}: repeating it with --request-id {request_id} does nothing twice")
    came = asyncio.run(_each(group, what, note, by, request_id))
    refused = [one for one in came if one.refused]
    data = {
        "request_id": request_id,
        "answered": [one.name for one in came if not one.refused],
        "refused": [{"subject": one.name, "detail": one.refused} for one in refused],
    }
    shown = [f"  {one.name} was not answered: {one.refused}" for one in refused]
    out.answer(data, f"answered {len(came) - len(refused)} of {len(group.cases)} cases", *shown)
    if refused:
        raise typer.Exit(Exit.REFUSED)


async def _each(group: CasesAlike, what: Answer, note: str, by: str, request_id: str) -> list[Came]:
    async with reach.orders() as orders:
        each = answer_alike(orders, group, what, note=note, by=by, request_id=request_id)
        return [one async for one in each]


def _groups(groups: tuple[CasesAlike, ...]) -> Table:
    made = table("Trouble", "Why", "Cases", "First due", "For example", right=("Cases",))
    for group in groups:
        due = f"{group.first_due_at:%a %d %b %H:%M}"
        made.add_row(group.kind, group.note, str(len(group.cases)), due, group.cases[0].order_id)
    return made


def _data(group: CasesAlike) -> dict[str, Any]:
    return {"kind": group.kind, "note": group.note, "cases": [one.case.subject for one in group.cases]}
