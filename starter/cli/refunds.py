"""Giving money back: ask for a refund, and allow one that another person asked for."""

from typing import Annotated

import typer

from fulfillment.domain.money import format_minor
from fulfillment.domain.order import UnitRange
from fulfillment.domain.refund import Refund, RefundCause, RequestRefund
from starter.cli import reach
from starter.cli.terminal import (
    ByOption,
    JsonOption,
    OrderArgument,
    Out,
    RequestOption,
    answering,
    no_card_number,
)

app = typer.Typer()


@app.command()
def refund(
    order: OrderArgument,
    cause: Annotated[RefundCause, typer.Option(help="Why.")],
    by: ByOption,
    request_id: RequestOption,
    units: Annotated[
        list[str] | None,
        typer.Option("--unit", help="Line:first or line:first-last; all that is left by default."),
    ] = None,
    amount: Annotated[int | None, typer.Option(min=1, help="In the smallest unit of the currency.")] = None,
    note: Annotated[str, typer.Option(callback=no_card_number, help="For whoever reads it later.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Give back units, an amount, or all that can be; a large refund waits for a second person."""
    with answering(as_json=as_json) as out, reach.books() as books:
        wanted = RequestRefund(
            order_id=order,
            cause=cause,
            by=by,
            request_id=request_id,
            units=tuple(_range(text) for text in units or ()),
            amount=amount,
            note=note,
        )
        _show(out, books.refunds.request(wanted))


@app.command("approve-refund")
def approve_refund(
    refund_id: Annotated[str, typer.Argument(metavar="REFUND", help="For example SO-10483-F1.")],
    by: ByOption,
    request_id: RequestOption,
    as_json: JsonOption = False,
) -> None:
    """Allow a refund that another person asked for."""
    with answering(as_json=as_json) as out, reach.books() as books:
        _show(out, books.refunds.approve(refund_id, by=by, request_id=request_id))


def _show(out: Out, refund: Refund) -> None:
    data = {"refund_id": refund.refund_id, "state": refund.state, "amount": refund.amount}
    text = f"{refund.refund_id}: {format_minor(refund.amount, refund.currency)}, {refund.state}"
    waits = [f"  a second person must allow it: {refund.why_approval}"] if refund.state == "requested" else []
    out.answer(data | {"why_approval": refund.why_approval}, text, *waits)


def _range(text: str) -> UnitRange:
    line, _, numbers = text.partition(":")
    first, _, last = numbers.partition("-")
    if not (line.isdigit() and first.isdigit() and (last or first).isdigit()):
        raise typer.BadParameter(f"`{text}` is not like 1:2 or 1:2-3")
    return UnitRange(line_no=int(line), first=int(first), count=int(last or first) - int(first) + 1)
