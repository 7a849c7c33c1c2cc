"""What people ask of an order: cancel, change, hold, pay another way. Repeating a request does nothing twice."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from enum import StrEnum
from typing import Annotated

import typer

from fulfillment.domain.address import Address
from fulfillment.domain.change import LineQuantity, NewLine
from fulfillment.domain.errors import FulfillmentError, UnknownOrder
from fulfillment.domain.explanation import allowed_actions
from fulfillment.domain.holds import HoldReason
from fulfillment.domain.policy import ShortageChoice
from starter.cli import reach
from starter.cli.terminal import ByOption, JsonOption, OrderArgument, RequestOption, answering, no_card_number
from starter.countries import is_country
from starter.orders import NotRunning, Orders, VerbRefused
from workflows.contract import VerbAnswer

app = typer.Typer()

LinesOption = Annotated[
    list[str], typer.Option("--line", help="LINE=QUANTITY, for example 1=2; may be given several times.")
]


class Service(StrEnum):
    """How fast it travels."""

    STANDARD = "standard"
    EXPRESS = "express"


@app.command()
def cancel(
    order: OrderArgument,
    reason: Annotated[
        str, typer.Option(callback=no_card_number, help="Why, in a word: changed_mind, mistake ...")
    ],
    by: ByOption,
    request_id: RequestOption,
    line: LinesOption = [],  # noqa: B006 - typer needs a list, and nobody changes it
    as_json: JsonOption = False,
) -> None:
    """Stop everything of an order that has not left, or only some units, and let their money go."""
    lines = [_line(text, least=1) for text in line]
    ask(
        "cancel",
        order,
        request_id,
        as_json,
        lambda o: o.cancel(order, reason=reason, lines=lines, by=by, request_id=request_id),
    )


@app.command()
def items(
    order: OrderArgument,
    by: ByOption,
    request_id: RequestOption,
    line: LinesOption = [],  # noqa: B006 - typer needs a list, and nobody changes it
    add: Annotated[
        list[str], typer.Option(help="A line to add: SKU=QUANTITY, or SKU=QUANTITY@PRICE in minor units.")
    ] = [],  # noqa: B006 - typer needs a list, and nobody changes it
    as_json: JsonOption = False,
) -> None:
    """Give lines of an order another quantity (0 takes a line off), or add lines; what costs more is reserved first."""
    if not line and not add:
        raise typer.BadParameter("name lines with --line, or something to --add")
    lines, added = [_line(text, least=0) for text in line], [_new_line(text) for text in add]
    ask(
        "change_items",
        order,
        request_id,
        as_json,
        lambda o: o.change_items(order, lines=lines, added=added, by=by, request_id=request_id),
    )


@app.command()
def address(
    order: OrderArgument,
    name: Annotated[str, typer.Option(help="Who receives it.")],
    line1: Annotated[str, typer.Option(help="Street and number.")],
    city: Annotated[str, typer.Option()],
    country: Annotated[str, typer.Option(help="ISO 3166-1 alpha-2, for example US.")],
    by: ByOption,
    request_id: RequestOption,
    line2: Annotated[str, typer.Option()] = "",
    company: Annotated[str, typer.Option()] = "",
    region: Annotated[str, typer.Option()] = "",
    postal_code: Annotated[str, typer.Option()] = "",
    phone: Annotated[str, typer.Option()] = "",
    as_json: JsonOption = False,
) -> None:
    """Send what has not left to another address; a label made for the old one is bought again."""
    if not is_country(country):
        why = f"{country!r} is no country: two capital letters of ISO 3166-1, for example US"
        raise typer.BadParameter(why, param_hint="--country")
    there = Address(
        name=name,
        line1=line1,
        line2=line2,
        company=company,
        city=city,
        region=region,
        postal_code=postal_code,
        country=country,
        phone=phone,
    )
    ask(
        "change_address",
        order,
        request_id,
        as_json,
        lambda o: o.change_address(order, ship_to=there, by=by, request_id=request_id),
    )


@app.command("accept-address")
def accept_address(
    order: OrderArgument, by: ByOption, request_id: RequestOption, as_json: JsonOption = False
) -> None:
    """Send an order to its address as the carriers know it; `show` names it. `release --reason address` keeps it as it is."""
    ask(
        "accept_address",
        order,
        request_id,
        as_json,
        lambda o: o.accept_address(order, by=by, request_id=request_id),
    )


@app.command()
def service(
    order: OrderArgument,
    to: Annotated[Service, typer.Argument(help="standard or express.")],
    by: ByOption,
    request_id: RequestOption,
    fee: Annotated[int, typer.Option(min=0, help="What the customer pays on top, in minor units.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Send what has not left by another service; its fee is reserved first."""
    ask(
        "change_service",
        order,
        request_id,
        as_json,
        lambda o: o.change_service(order, service=to.value, fee=fee, by=by, request_id=request_id),
    )


@app.command()
def shortage(
    order: OrderArgument,
    choice: Annotated[ShortageChoice, typer.Argument(help="What becomes of what is missing.")],
    by: ByOption,
    request_id: RequestOption,
    as_json: JsonOption = False,
) -> None:
    """Answer for the customer: wait until all is there, split the order, or drop what is missing."""
    ask(
        "answer_shortage",
        order,
        request_id,
        as_json,
        lambda o: o.answer_shortage(order, choice=choice, by=by, request_id=request_id),
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
    ask(
        "hold",
        order,
        request_id,
        as_json,
        lambda o: o.hold(order, reason=reason, note=note, by=by, request_id=request_id),
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
    ask(
        "retry_payment",
        order,
        request_id,
        as_json,
        lambda o: o.retry_payment(order, method=method, by=by, request_id=request_id),
    )


def ask(
    action: str, order: str, request_id: str, as_json: bool, verb: Callable[[Orders], Awaitable[VerbAnswer]]
) -> None:
    """Ask an order for a verb and print what came of it."""

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
        shown = [
            answer.text,
            *_which("stopped", answer.stopped),
            *_which("already left", answer.left),
            *_which("added", answer.added),
        ]
        out.answer(data | asdict(answer), *shown)


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


def _line(text: str, *, least: int) -> LineQuantity:
    match = re.fullmatch(r"(\d+)=(\d+)", text)
    if match is None or int(match[2]) < least:
        raise typer.BadParameter(
            f"`{text}` is not LINE=QUANTITY with a quantity from {least} on", param_hint="--line"
        )
    return LineQuantity(line_no=int(match[1]), quantity=int(match[2]))


def _new_line(text: str) -> NewLine:
    match = re.fullmatch(r"([^=]+)=([1-9]\d*)(?:@(\d+))?", text)
    if match is None:
        raise typer.BadParameter(f"`{text}` is not SKU=QUANTITY or SKU=QUANTITY@PRICE", param_hint="--add")
    price = int(match[3]) if match[3] is not None else None
    return NewLine(sku=match[1], quantity=int(match[2]), unit_price=price)
