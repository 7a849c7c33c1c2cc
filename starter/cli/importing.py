"""`import`: orders and products from files into the books. Repeating it is harmless; the web process starts the orders."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from io import BufferedReader
from itertools import islice
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.progress import BarColumn, Progress, TextColumn

from fulfillment.domain.catalogue import Product, shared
from fulfillment.domain.errors import FulfillmentError
from fulfillment.domain.inventory import UnknownSku
from starter.cli import reach
from starter.cli.reach import Books
from starter.cli.tally import Tally
from starter.cli.terminal import ByOption, Exit, JsonOption, Out, answering, no_card_number
from starter.imports import json_lines, shopify
from starter.imports.entries import BadRow, Entry, FoundOrder, SkippedOrder
from starter.imports.products import FoundProduct, products
from starter.imports.rows import Lines

app = typer.Typer()

_SAY_EVERY: Final = 500
_PRODUCTS_AT_ONCE: Final = 200

Moved = Callable[[], None]
Places = str | dict[str, int] | None  # one location, several with their shares, or the one asked first


@app.command("import")
def import_files(
    by: ByOption,
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            readable=True,
            help="Orders: a Shopify order export (CSV) or JSON Lines.",
        ),
    ] = None,
    catalogue: Annotated[
        Path | None,
        typer.Option(
            "--products", exists=True, dir_okay=False, readable=True, help="A Shopify products export (CSV)."
        ),
    ] = None,
    location: Annotated[
        str | None, typer.Option(help="Where the products' stock is; by default the location asked first.")
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            metavar="ID=SHARE,..", help="Their stock is spread, for example wh-reno=60,wh-lehigh=40."
        ),
    ] = None,
    payment_method: Annotated[
        str,
        typer.Option(
            callback=no_card_number, help="What Shopify orders are paid with: a saved method's token."
        ),
    ] = "pm_card_visa",
    as_json: JsonOption = False,
) -> None:
    """Take orders, products and stock from files. A bad row is told with its line; the rest goes on."""
    if file is None and catalogue is None:
        raise typer.BadParameter("give a FILE of orders, --products FILE, or both")
    if split is not None and location is not None:
        raise typer.BadParameter("give --location or --split, not both", param_hint="--split")
    where: Places = location if split is None else _shares(split)
    with answering(as_json=as_json) as out, reach.books() as books:
        tallies = []
        if catalogue is not None:
            tallies.append(_import_products(catalogue, books, out, where=where, by=by))
        if file is not None:
            tallies.append(_import_orders(file, books, out, payment_method=payment_method, by=by))
        _sum_up(tallies, out)


def _sum_up(tallies: list[Tally], out: Out) -> None:
    bad = sum(tally.bad_rows for tally in tallies)
    data = {tally.what: tally.as_data() for tally in tallies} | {"bad_rows": bad}
    out.answer(data, *(tally.sentence() for tally in tallies))
    if bad:
        rows = "1 bad row" if bad == 1 else f"{bad} bad rows"
        out.say(f"{rows}: put them right and import the file again; what was accepted is then known")
        raise typer.Exit(Exit.REFUSED)


def _import_products(file: Path, books: Books, out: Out, *, where: Places, by: str) -> Tally:
    tally = Tally(what="products", new_is="set", out=out)
    with _reading(file, tally) as (_, lines, moved):
        good = _good_products(products(lines), tally)
        listed: list[FoundProduct] = []
        while batch := list(islice(good, _PRODUCTS_AT_ONCE)):
            _set_catalogue([found.product for found in batch], books, where=where, by=by)
            listed += [found for found in batch if found.substitutes is not None]
            tally.new += len(batch)
            moved()
        _list_substitutes(listed, books, tally, by)
    return tally


def _good_products(found: Iterable[FoundProduct | BadRow], tally: Tally) -> Iterator[FoundProduct]:
    for entry in found:
        if isinstance(entry, BadRow):
            tally.count_bad(entry)
        else:
            yield entry


def _list_substitutes(listed: list[FoundProduct], books: Books, tally: Tally, by: str) -> None:
    """List what is as good once all products are there: a row may name one that stands below it."""
    for found in listed:
        sku, substitutes = found.product.sku, found.substitutes or ()
        if substitutes == books.stock.substitutes(sku):
            continue
        try:
            books.stock.set_substitutes(sku, substitutes, by=by)
        except FulfillmentError as no:
            tally.new -= 1  # a row counts once
            tally.count_bad(BadRow(line=found.line, subject=sku, why=f"Substitutes: {no}"))


def _set_catalogue(batch: list[Product], books: Books, *, where: Places, by: str) -> None:
    if where is None or isinstance(where, str):
        with reach.known_location(where or ""):
            books.stock.set_catalogue(batch, by=by, location_id=where)
        return
    there = [shared(product, where) for product in batch]
    for place in where:
        with reach.known_location(place):
            books.stock.set_catalogue([parts[place] for parts in there], by=by, location_id=place)


def _shares(text: str) -> dict[str, int]:
    """Read `wh-reno=60,wh-lehigh=40`: what each location gets of every product."""
    shares: dict[str, int] = {}
    for one in text.split(","):
        place, _, share = one.strip().partition("=")
        if not place or place in shares or not share.isdecimal() or int(share) < 1:
            raise typer.BadParameter(f"{one.strip()!r} is not a location and its share", param_hint="--split")
        shares[place] = int(share)
    return shares


def _import_orders(file: Path, books: Books, out: Out, *, payment_method: str, by: str) -> Tally:
    tally = Tally(what="orders", new_is="accepted", out=out)
    with _reading(file, tally) as (raw, lines, moved):
        for entry in _orders(raw, lines, books, payment_method):
            _take(entry, books, tally, by)
            moved()
    return tally


def _orders(raw: BufferedReader, lines: Lines, books: Books, payment_method: str) -> Iterator[Entry]:
    """Read orders in the format that the first character tells."""
    if raw.peek(512).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{"):
        return json_lines.orders(lines, now=books.now())
    return shopify.orders(lines, payment_method=payment_method)


def _take(entry: Entry, books: Books, tally: Tally, by: str) -> None:
    match entry:
        case BadRow():
            tally.count_bad(entry)
        case SkippedOrder():
            tally.count_skipped(entry)
        case FoundOrder():
            _accept(entry, books, tally, by)


def _accept(found: FoundOrder, books: Books, tally: Tally, by: str) -> None:
    """Accept an order in a transaction of its own: one that is refused takes no other with it."""
    try:
        accepted = books.orders.accept(found.order, by=by)
    except UnknownSku as no:
        line_no = next((line.line_no for line in found.order.lines if line.sku == no.sku), 0)
        line = found.line_of.get(line_no, found.line)
        tally.count_bad(BadRow(line=line, subject=found.order.order_id, why=str(no)))
    except FulfillmentError as no:
        tally.count_bad(BadRow(line=found.line, subject=found.order.order_id, why=str(no)))
    else:
        tally.new += accepted.created
        tally.known += not accepted.created


@contextmanager
def _reading(file: Path, tally: Tally) -> Iterator[tuple[BufferedReader, Lines, Moved]]:
    """Open the file and show how far it is read; say how far it came if it ends early."""
    began = time.monotonic()
    with file.open("rb") as raw, _shown(file, tally) as moved:
        lines = Lines(raw, file.name)
        try:
            yield raw, lines, lambda: moved(lines.consumed)
        except BaseException:
            if tally.new:
                tally.out.say(f"{tally.new} {tally.what} {tally.new_is} so far; importing again is harmless")
            raise
    tally.seconds = time.monotonic() - began


@contextmanager
def _shown(file: Path, tally: Tally) -> Iterator[Callable[[int], None]]:
    """Show progress: a bar on a terminal, a line now and then otherwise."""
    if tally.out.as_json or not tally.out.console.is_terminal:
        yield lambda _: _say_now_and_then(tally)
        return
    columns = (TextColumn(tally.what), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    with Progress(*columns, console=tally.out.console, transient=True) as progress:
        task = progress.add_task(tally.what, total=file.stat().st_size or None)
        yield lambda consumed: progress.update(task, completed=consumed)


def _say_now_and_then(tally: Tally) -> None:
    if tally.total and tally.total % _SAY_EVERY == 0:
        tally.out.say(f"{tally.total} {tally.what} ..")
