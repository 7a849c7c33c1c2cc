"""Giving money back: ask for a refund, and allow one that another person asked for."""

from typing import Annotated

import typer

from fulfillment.domain.money import format_minor
from fulfillment.domain.order import UnitRange
from fulfillment.domain.refund import Refund, RefundCause, RefundState, RequestRefund
from starter.cli import reach
from starter.cli.terminal import (
    ByOption,
    JsonOption,
    OrderArgument,
    Out,
    RequestOption,
    answering,
    no_card_number,
    table,
)

app = typer.Typer()

RefundArgument = Annotated[str, typer.Argument(metavar="REFUND", help="For example SO-10483-F1.")]


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


@app.command("refunds")
def refunds(order: OrderArgument, as_json: JsonOption = False) -> None:
    """List the refunds of an order, and how much could still be given back."""
    with answering(as_json=as_json) as out, reach.books() as books:
        currency = books.views.view(order).order.currency
        found, left = books.refunds.of_order(order), books.refunds.refundable(order)
        shown = table("Refund", "Amount", "State", "Why", "Asked by", "Allowed by", right=("Amount",))
        for one in found:
            amount = format_minor(one.amount, one.currency)
            shown.add_row(one.refund_id, amount, one.state, one.cause, one.by, one.approved_by or "-")
        data = {"refunds": [_data(one) for one in found], "refundable": left}
        more = f"{format_minor(left, currency)} can still be given back"
        out.answer(data, shown if found else "nothing was given back", more)


@app.command("approve-refund")
def approve_refund(
    refund_id: RefundArgument,
    by: ByOption,
    request_id: RequestOption,
    as_json: JsonOption = False,
) -> None:
    """Allow a refund that another person asked for."""
    with answering(as_json=as_json) as out, reach.books() as books:
        _show(out, books.refunds.approve(refund_id, by=by, request_id=request_id))


@app.command("reject-refund")
def reject_refund(
    refund_id: RefundArgument,
    reason: Annotated[str, typer.Option(callback=no_card_number, help="Why not.")],
    by: ByOption,
    request_id: RequestOption,
    as_json: JsonOption = False,
) -> None:
    """Refuse a refund that waits for a second person; what it had reserved can be given back again."""
    with answering(as_json=as_json) as out, reach.books() as books:
        _show(out, books.refunds.reject(refund_id, by=by, request_id=request_id, reason=reason))


@app.command("refund-by-hand")
def refund_by_hand(
    refund_id: RefundArgument,
    reference: Annotated[str, typer.Option(callback=no_card_number, help="Of the payment you made.")],
    by: ByOption,
    request_id: RequestOption,
    as_json: JsonOption = False,
) -> None:
    """Note that a person paid a refund which the provider had refused."""
    with answering(as_json=as_json) as out, reach.books() as books:
        paid = books.refunds.book_by_hand(refund_id, reference=reference, by=by, request_id=request_id)
        _show(out, paid)


def _data(refund: Refund) -> dict[str, object]:
    return {
        "refund_id": refund.refund_id,
        "state": refund.state,
        "amount": refund.amount,
        "currency": refund.currency,
        "cause": refund.cause,
        "by": refund.by,
        "approved_by": refund.approved_by,
        "why_approval": refund.why_approval,
    }


def _show(out: Out, refund: Refund) -> None:
    text = f"{refund.refund_id}: {format_minor(refund.amount, refund.currency)}, {refund.state}"
    out.answer(_data(refund), text, *_follows(refund))


def _follows(refund: Refund) -> list[str]:
    match refund.state:
        case RefundState.REQUESTED:
            return [
                f"  a second person must allow it: {refund.why_approval}",
                f"  ./waybill approve-refund {refund.refund_id}, or reject-refund",
            ]
        case RefundState.APPROVED:
            return [f"  the money goes back within minutes: ./waybill refunds {refund.order_id}"]
        case _:
            return []


def _range(text: str) -> UnitRange:
    line, _, numbers = text.partition(":")
    first, _, last = numbers.partition("-")
    if not (line.isdigit() and first.isdigit() and (last or first).isdigit()):
        raise typer.BadParameter(f"`{text}` is not like 1:2 or 1:2-3")
    return UnitRange(line_no=int(line), first=int(first), count=int(last or first) - int(first) + 1)
