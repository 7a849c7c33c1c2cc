"""`import`: orders and products from files into the books. Repeating it is harmless; the web process starts the orders."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BufferedReader
from itertools import batched
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from sqlalchemy.exc import IntegrityError

from fulfillment.domain.errors import FulfillmentError
from fulfillment.domain.inventory import UnknownSku
from starter.cli import reach
from starter.cli.reach import Books
from starter.cli.terminal import ByOption, Exit, JsonOption, Out, answering, no_card_number
from starter.imports import json_lines, products, shopify
from starter.imports.entries import BadRow, Entry, FoundOrder, NotThisFile, SkippedOrder
from starter.imports.products import FoundProduct
from starter.imports.rows import Lines

app = typer.Typer()

_LINE_EVERY: Final = 500
_MOST_TOLD_TO_PROGRAMS: Final = 1000
_PRODUCTS_AT_ONCE: Final = 200

Moved = Callable[[], None]


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
    payment_method: Annotated[
        str, typer.Option(callback=no_card_number, help="What Shopify orders are paid with: a saved method's token.")
    ] = "pm_card_visa",
    as_json: JsonOption = False,
) -> None:
    """Take orders, products and stock from files. A bad row is told with its line; the rest goes on."""
    if file is None and catalogue is None:
        raise typer.BadParameter("give a FILE of orders, --products FILE, or both")
    with answering(as_json=as_json) as out, reach.books() as books:
        tallies: list[Tally] = []
        if catalogue is not None:
            tallies.append(_import_products(catalogue, books, out, location=location, by=by))
        if file is not None:
            tallies.append(_import_orders(file, books, out, payment_method=payment_method, by=by))
        _sum_up(tallies, out)


@dataclass(slots=True, kw_only=True)
class Tally:
    """What became of the entries of one file. `bad` counts orders or products, `bad_rows` their rows."""

    what: str
    new_is: str
    out: Out
    new: int = 0
    known: int = 0
    skipped: int = 0
    bad: int = 0
    bad_rows: int = 0
    seconds: float = 0.0
    told: list[dict[str, Any]] = field(default_factory=list)
    _last_bad: str = ""

    @property
    def total(self) -> int:
        """How many orders or products the file holds."""
        return self.new + self.known + self.skipped + self.bad

    def count_bad(self, row: BadRow) -> None:
        """Tell a bad row; several rows of one order spoil one order."""
        self.bad_rows += 1
        if not row.subject or row.subject != self._last_bad:
            self.bad += 1
        self._last_bad = row.subject
        self._tell("bad", row.line, row.subject, row.why)

    def count_skipped(self, entry: SkippedOrder) -> None:
        """Tell an order that is not for us."""
        self.skipped += 1
        self._tell("skipped", entry.line, entry.order_id, entry.why)

    def _tell(self, what: str, line: int, subject: str, why: str) -> None:
        about = f" {subject}:" if subject else ""
        self.out.say(f"line {line}:{about} {what}: {why}")
        if len(self.told) < _MOST_TOLD_TO_PROGRAMS:
            self.told.append({"line": line, "subject": subject, "what": what, "why": why})

    def sentence(self) -> str:
        """Sum up for people."""
        skipped = f", {self.skipped} skipped" if self.skipped else ""
        known = f", {self.known} known" if self.what == "orders" else ""
        counted = f"{self.new} {self.new_is}{known}{skipped}, {self.bad} bad"
        return f"{self.total} {self.what}: {counted} in {self.seconds:.1f} s"

    def as_data(self) -> dict[str, Any]:
        """Sum up for programs."""
        counts = {"total": self.total, self.new_is: self.new, "known": self.known, "skipped": self.skipped}
        return counts | {"bad": self.bad, "bad_rows": self.bad_rows, "seconds": self.seconds, "told": self.told}


def _sum_up(tallies: list[Tally], out: Out) -> None:
    bad = sum(tally.bad_rows for tally in tallies)
    data = {tally.what: tally.as_data() for tally in tallies} | {"bad_rows": bad}
    out.answer(data, *(tally.sentence() for tally in tallies))
    if bad:
        rows = "1 bad row" if bad == 1 else f"{bad} bad rows"
        out.say(f"{rows}: put them right and import the file again; what was accepted is then known")
        raise typer.Exit(Exit.REFUSED)


def _import_products(file: Path, books: Books, out: Out, *, location: str | None, by: str) -> Tally:
    tally = Tally(what="products", new_is="set", out=out)
    with _reading(file, tally) as (lines, moved):
        found = _good_products(lines, tally)
        for batch in batched(found, _PRODUCTS_AT_ONCE):
            try:
                books.stock.set_catalogue(batch, by=by, location_id=location)
            except IntegrityError as error:
                raise NotThisFile(f"there is no location {location}; `stock` shows which there are") from error
            tally.new += len(batch)
            moved()
    return tally
