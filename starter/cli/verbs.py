"""What people ask of an order: cancel, hold, release, another way to pay. Repeating a request does nothing twice."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated

import typer

from fulfillment.domain.errors import FulfillmentError, UnknownOrder
from fulfillment.domain.explanation import allowed_actions
from fulfillment.domain.holds import HoldReason
from starter.cli import reach
from starter.cli.terminal import ByOption, JsonOption, OrderArgument, RequestOption, answering, no_card_number
from starter.orders import NotRunning, Orders, VerbRefused
from workflows.contract import VerbAnswer

app = typer.Typer()


@app.command()
def cancel(
    order: OrderArgument,
    reason: Annotated[
        str, typer.Option(callback=no_card_number, help="Why, in a word: changed_mind, mistake ...")
    ],
    by: ByOption,
    request_id: RequestOption,
    as_json: JsonOption = False,
) -> None:
    """Stop everything of an order that has not left, and let its money go."""
    _ask(
        "cancel",
        order,
        request_id,
        as_json,
        lambda o: o.cancel(order, reason=reason, by=by, request_id=request_id),
    )


@app.command()
def hold(
    order: OrderArgument,
    by: ByOption,
    request_id: RequestOption,
    reason: Annotated[HoldReason, typer.Option(help="Why.")] = HoldReason.MANUAL,
    note: Annotated[str, typer.Option(callback=no_card_number, help="For whoever releases it.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Let nothing of an order leave until the hold is released."""
    _ask(
        "hold",
        order,
        request_id,
        as_json,
        lambda o: o.hold(order, reason=reason, note=note, by=by, request_id=request_id),
    )


@app.command()
def release(
    order: OrderArgument,
    by: ByOption,
    request_id: RequestOption,
    hold: Annotated[HoldReason | None, typer.Option(help="Only this one; every hold by default.")] = None,
    as_json: JsonOption = False,
) -> None:
    """End one hold of an order, or all of them; what may ship then goes to the floor."""
    _ask(
        "release",
        order,
        request_id,
        as_json,
        lambda o: o.release(order, reason=hold, by=by, request_id=request_id),
    )


@app.command("retry-payment")
def retry_payment(
    order: OrderArgument,
    method: Annotated[
        str, typer.Option(callback=no_card_number, help="The token of a saved payment method.")
    ],
    by: ByOption,
    request_id: RequestOption,
    as_json: JsonOption = False,
) -> None:
    """Try to get the money of a declined order another way."""
    _ask(
        "retry_payment",
        order,
        request_id,
        as_json,
        lambda o: o.retry_payment(order, method=method, by=by, request_id=request_id),
    )


def _ask(
    action: str, order: str, request_id: str, as_json: bool, verb: Callable[[Orders], Awaitable[VerbAnswer]]
) -> None:
    async def asked() -> VerbAnswer:
        async with reach.orders() as orders:
            return await verb(orders)

    with answering(as_json=as_json) as out:
        out.say(f"request {request_id}: repeating it with --request-id {request_id} does nothing twice")
        try:
            answer = asyncio.run(asked())
        except NotRunning as no:
            raise _why_not(order, action, no) from no
        data = {"order_id": order, "text": answer.text, "request_id": request_id}
        shown = [answer.text, *_which("stopped", answer.stopped), *_which("already left", answer.left)]
        out.answer(data | {"stopped": answer.stopped, "left": answer.left}, *shown)


def _why_not(order: str, action: str, no: NotRunning) -> FulfillmentError:
    """Return what the books say about an order on which nothing works (any more)."""
    with reach.books() as books:
        try:
            why = allowed_actions(books.views.view(order))[action]
        except UnknownOrder as unknown:
            return unknown
    return VerbRefused(no.code, why) if why else no


def _which(what: str, shipments: tuple[str, ...]) -> list[str]:
    return [f"  {what}: {', '.join(shipments)}"] if shipments else []
