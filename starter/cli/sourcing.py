"""`source`: which location would ship what, why, and when it would arrive. It reads only."""

from typing import Annotated

import typer
from rich.table import Table

from fulfillment.domain.address import Address
from fulfillment.domain.promise import CartPromise
from fulfillment.domain.sourcing import Candidate
from starter.api.promises import destination, shown
from starter.cli import reach
from starter.cli.reach import Books
from starter.cli.terminal import JsonOption, answering, short_day, table
from starter.countries import is_country

app = typer.Typer()


@app.command()
def source(
    skus: Annotated[
        list[str] | None, typer.Option("--sku", metavar="SKU=QTY", help="What is ordered; several times.")
    ] = None,
    to: Annotated[
        str, typer.Option(metavar="COUNTRY[-REGION]", help="Where it goes, for example US-NV or DE.")
    ] = "US",
    order: Annotated[
        str | None, typer.Option(metavar="ORDER", help="What an order has in it, as stock stands now.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show what would ship from where, why, and when it would arrive. Nothing is claimed."""
    if bool(skus) == bool(order):
        raise typer.BadParameter("give --sku SKU=QTY, or --order ORDER", param_hint="--sku")
    with answering(as_json=as_json) as out, reach.books() as books:
        cart, where = _of_order(books, order) if order else (_cart(skus or []), _destination(to))
        found = books.sourcing.promise(cart, where)
        data = shown(found).model_dump(mode="json") | {
            "why": found.why,
            "candidates": [
                {"locations": c.locations, "units": c.units, "scores": dict(c.scores)}
                for c in found.candidates
            ],
        }
        out.answer(data, _head(found), *_parcels(found), *_candidates(found.candidates))


def _of_order(books: Books, order_id: str) -> tuple[dict[str, int], Address]:
    order = books.views.view(order_id).order
    cart: dict[str, int] = {}
    for line in order.lines:
        cart[line.sku] = cart.get(line.sku, 0) + line.quantity
    return cart, order.ship_to


def _cart(asked: list[str]) -> dict[str, int]:
    cart: dict[str, int] = {}
    for one in asked:
        sku, _, units = one.rpartition("=")
        if not sku or not units.isdecimal() or int(units) < 1:
            raise typer.BadParameter(f"{one!r} is not SKU=QTY, for example MUG-12=2", param_hint="--sku")
        cart[sku] = cart.get(sku, 0) + int(units)
    return cart


def _destination(to: str) -> Address:
    country, _, region = to.upper().partition("-")
    if not is_country(country):
        raise typer.BadParameter(f"{to!r} does not begin with a country such as US or DE", param_hint="--to")
    return destination(country, region)


def _head(found: CartPromise) -> str:
    if found.promise_date is None:
        return "none of it can come"
    return f"all that can come is there by {short_day(found.promise_date)}; {found.why}"


def _parcels(found: CartPromise) -> list[Table]:
    made = table("Parcel", "From", "Items", "Arrives by")
    for n, part in enumerate(found.parts, start=1):
        items = ", ".join(f"{units} x {sku}" for sku, units in part.units.items())
        waits = ", waits for stock" if part.waits_for_stock else ""
        made.add_row(str(n), part.location_id, items, f"{short_day(part.promise_date)}{waits}")
    gone = [line for line in found.short if line.cancelled]
    short = table("Not to be had", "Asked", "There", right=("Asked", "There"))
    for line in gone:
        short.add_row(line.sku, str(line.asked), str(line.got))
    return [*([made] if found.parts else []), *([short] if gone else [])]


def _candidates(candidates: tuple[Candidate, ...]) -> list[Table]:
    if len(candidates) < 2:
        return []
    rules = list(candidates[0].scores)
    names = [rule.replace("_", " ") for rule in rules]
    made = table("Considered", "Units", *names, right=("Units", *names), title="by rule, lower is better")
    for one in candidates:
        scores = (f"{one.scores[rule]:g}" for rule in rules)
        made.add_row(" + ".join(one.locations), str(one.units), *scores)
    return [made]
