"""What is held, and letting it go on: one order, or all that are held alike."""

import asyncio
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.table import Table

from fulfillment.domain.holds import HeldAlike, HoldReason
from fulfillment.domain.money import format_minor
from starter.bulk import Came, release_alike
from starter.cli import reach
from starter.cli.terminal import ByOption, Exit, JsonOption, Out, RequestOption, answering, table
from starter.cli.verbs import ask

app = typer.Typer()

UntilOption = Annotated[str | None, typer.Option(metavar="MOMENT", help="Of many: only what stood by then.")]

_SAY_EVERY = 50


@app.command()
def holds(
    hold: Annotated[HoldReason | None, typer.Option(help="Only this one.")] = None,
    as_json: JsonOption = False,
) -> None:
    """List how many orders are held for the same reason, and what they are worth."""
    with answering(as_json=as_json) as out, reach.books() as books:
        groups = books.held.groups(hold)
        out.answer(
            {"groups": [_data(group) for group in groups]}, _groups(groups) if groups else "nothing is held"
        )


@app.command()
def release(
    by: ByOption,
    request_id: RequestOption,
    order: Annotated[
        str | None, typer.Argument(metavar="ORDER", help="The order's number, for example SO-10483.")
    ] = None,
    hold: Annotated[HoldReason | None, typer.Option(help="Only this one; every hold by default.")] = None,
    like: Annotated[
        str | None,
        typer.Option(metavar="ORDER", help="Every order that is held like this one. Needs --hold."),
    ] = None,
    until: UntilOption = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="With --like: do it; otherwise they are only counted.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """End one hold of an order, or all of them, or that of every order held alike; what may ship goes to the floor."""
    if (order is None) == (like is None):
        raise typer.BadParameter("give one ORDER, or --like ORDER", param_hint="--like")
    if order is not None:
        ask(
            "release",
            order,
            request_id,
            as_json,
            lambda o: o.release(order, reason=hold, by=by, request_id=request_id),
        )
        return
    if hold is None:
        raise typer.BadParameter("say which hold with --hold", param_hint="--hold")
    with answering(as_json=as_json) as out:
        group, seen = _found(str(like), hold, moment(until))
        if yes:
            _release_all(out, group, by=by, request_id=request_id)
        else:
            out.answer({"dry_run": True, "until": seen, **_data(group)}, _would(group, str(like), seen))


def _found(like: str, hold: HoldReason, until: datetime | None) -> tuple[HeldAlike, datetime]:
    with reach.books() as books:
        seen = until or books.now()
        return books.held.like(like, hold, until=seen), seen


def _release_all(out: Out, group: HeldAlike, *, by: str, request_id: str) -> None:
    out.say(f"request {request_id}: repeating it with --request-id {request_id} does nothing twice")
    came = asyncio.run(_each(out, group, by, request_id))
    refused = [one for one in came if one.refused]
    data = {
        "request_id": request_id,
        "released": [one.name for one in came if not one.refused],
        "refused": [{"order_id": one.name, "detail": one.refused} for one in refused],
    }
    shown = [f"  {one.name} was not released: {one.refused}" for one in refused]
    out.answer(data, f"released {len(came) - len(refused)} of {len(group.orders)} orders", *shown)
    if refused:
        raise typer.Exit(Exit.REFUSED)


async def _each(out: Out, group: HeldAlike, by: str, request_id: str) -> list[Came]:
    came: list[Came] = []
    async with reach.orders() as orders:
        async for one in release_alike(orders, group, by=by, request_id=request_id):
            came.append(one)
            if len(came) % _SAY_EVERY == 0:
                out.say(f"{len(came)} of {len(group.orders)}")
    return came


def _would(group: HeldAlike, like: str, seen: datetime) -> str:
    if not group.orders:
        return f"no order waits like {like} any more"
    again = f"--hold {group.reason} --like {like} --until {seen.isoformat()} --yes"
    return (
        f"{len(group.orders)} orders worth {_worth(group)} are held for the same reason: {group.reason}, {group.note}\n"
        f"nothing was released; to release them: ./waybill release {again}"
    )


def moment(text: str | None) -> datetime | None:
    """Return the moment that somebody names with --until."""
    try:
        named = datetime.fromisoformat(text) if text else None
    except ValueError:
        raise typer.BadParameter(f"`{text}` is not a moment", param_hint="--until") from None
    if named is not None and named.tzinfo is None:
        raise typer.BadParameter(f"`{text}` does not say its zone", param_hint="--until")
    return named


def _groups(groups: tuple[HeldAlike, ...]) -> Table:
    made = table("Hold", "Why", "Orders", "Worth", "First due", "For example", right=("Orders", "Worth"))
    for group in groups:
        due = f"{group.first_due_at:%a %d %b %H:%M}"
        example = group.orders[0].order_id
        made.add_row(group.reason, group.note, str(len(group.orders)), _worth(group), due, example)
    return made


def _worth(group: HeldAlike) -> str:
    return ", ".join(format_minor(amount, currency) for currency, amount in sorted(group.worth.items()))


def _data(group: HeldAlike) -> dict[str, Any]:
    return {
        "reason": group.reason,
        "note": group.note,
        "orders": [order.order_id for order in group.orders],
        "worth": dict(group.worth),
    }
