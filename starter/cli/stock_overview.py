"""What is in stock, for how long it lasts and what to order; and the orders to vendors a person approves."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.table import Table

from fulfillment.domain.inventory import Level
from fulfillment.domain.replenishment import Ordered, ShelfPoint, StockRow
from starter.cli import reach
from starter.cli.terminal import ByOption, JsonOption, answering, short_day, table

app = typer.Typer()
replenish = typer.Typer(no_args_is_help=True, help="Orders to vendors: what is suggested and what is late.")
app.add_typer(replenish, name="replenish")

_PNG_DPI: Final = 144


def overview(
    context: typer.Context,
    sku: Annotated[str | None, typer.Option(help="Only this SKU.")] = None,
    low: Annotated[bool, typer.Option("--low", help="Only what is to be ordered or waited for.")] = False,
    plot: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Draw the stock of --sku over time into this PNG.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show what every location holds, how long it lasts and what to order; or work on it by a command."""
    if context.invoked_subcommand is not None:
        return
    if plot is not None and sku is None:
        raise typer.BadParameter("say which SKU to draw: --sku SKU", param_hint="--plot")
    with answering(as_json=as_json) as out, reach.books() as books:
        rows = [row for row in books.expected.overview(sku) if row.low or not low]
        levels = books.stock.levels(sku) if sku else ()
        data = {
            "stock": [asdict(row) for row in rows],
            "levels": [asdict(level) | {"available": level.available} for level in levels],
        }
        out.answer(data, _stock(rows) if rows else _nothing(sku, low=low), *_set_aside(levels))
        if plot is not None and sku is not None:
            draw(books.expected.shelf(sku), rows, sku, plot, now=books.now())
            out.say(f"drawn into {plot}")


def _set_aside(levels: Sequence[Level]) -> list[Table]:
    """Show what of a SKU is there and may not be promised, where there is any."""
    if not any(level.damaged or level.quarantine or level.held or level.in_transfer for level in levels):
        return []
    columns = ("damaged", "quarantine", "held", "in transfer")
    shown = table("set aside at", *columns, right=columns)
    for level in levels:
        counts = (level.damaged, level.quarantine, level.held, level.in_transfer)
        shown.add_row(level.location_id, *map(str, counts))
    return [shown]


@replenish.command("list")
def listed(as_json: JsonOption = False) -> None:
    """List what waits for approval, and what vendors should have brought by now."""
    with answering(as_json=as_json) as out, reach.books() as books:
        suggested, late = books.expected.suggested(), books.expected.due()
        data = {"suggested": [asdict(one) for one in suggested], "late": [asdict(one) for one in late]}
        parts: list[Table | str] = [
            _orders(name, some) for name, some in (("suggested", suggested), ("late", late)) if some
        ]
        out.answer(data, *(parts or ["nothing is suggested, and nothing is late"]))


@replenish.command()
def approve(
    number: Annotated[str, typer.Argument(metavar="RO", help="The order's number, for example RO-7.")],
    by: ByOption,
    as_json: JsonOption = False,
) -> None:
    """Order what was suggested."""
    with answering(as_json=as_json) as out, reach.books() as books:
        order = books.expected.approve(number, by=by)
        text = f"{number}: {order.quantity} x {order.sku} ordered from {order.vendor or 'its vendor'}"
        out.answer(asdict(order), f"{text}, expected {short_day(order.due_at.date())}")


@replenish.command()
def withdraw(
    number: Annotated[str, typer.Argument(metavar="RO", help="The order's number, for example RO-7.")],
    by: ByOption,
    as_json: JsonOption = False,
) -> None:
    """Reject what was suggested, or give up what has not come of an order to a vendor."""
    with answering(as_json=as_json) as out, reach.books() as books:
        books.expected.withdraw(number, by=by)
        out.answer({"replenishment_id": number, "state": "cancelled"}, f"{number}: nothing more of it comes")


def _stock(rows: Iterable[StockRow]) -> Table:
    numbers = (
        "On\nhand",
        "Avail-\nable",
        "In-\ncoming",
        "Back-\norders",
        "Days\nleft",
        "Reorder\nat",
        "To\norder",
    )
    made = table("SKU", "Location", *numbers, "Expected", right=numbers)
    made.collapse_padding = True  # ten columns have to share 80 characters
    for row in rows:
        made.add_row(
            row.sku,
            row.location_id,
            *(str(n) for n in (row.on_hand, row.available, row.incoming, row.backordered)),
            "-" if row.days_of_supply is None else f"{row.days_of_supply:g}",
            f"{row.reorder_point}" if row.from_sales else f"{row.reorder_point} set",
            str(row.suggested or "-"),
            _expected(row),
        )
    return made


def _expected(row: StockRow) -> str:
    day = short_day(row.due_at.date() if row.due_at else None)
    return f"{day}, late" if row.late else day


def _nothing(sku: str | None, *, low: bool) -> str:
    if low:
        return "nothing is low"
    return f"no location holds {sku}" if sku else "there is no stock yet; `import --products FILE` brings it"


def _orders(title: str, orders: Sequence[Ordered]) -> Table:
    made = table("Order", "SKU", "Location", "Vendor", "Units", "Due", right=("Units",), title=title)
    for order in orders:
        due = short_day(order.due_at.date())
        made.add_row(
            order.replenishment_id, order.sku, order.location_id, order.vendor, str(order.quantity), due
        )
    return made


def draw(
    points: Sequence[ShelfPoint], rows: Sequence[StockRow], sku: str, file: Path, *, now: datetime
) -> None:
    """Draw the stock of a SKU over time: a line per location, its reorder point, and what came in."""
    # They take a second to load, and only a picture needs them.
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4.5), layout="constrained")
    axes: Any = figure.subplots()
    for n, row in enumerate(rows):
        colour = f"C{n}"
        mine = [point for point in points if point.location_id == row.location_id]
        units = [p.on_hand for p in mine]
        moments = [p.at for p in mine] + [now] * bool(mine)
        axes.step(moments, [*units, *units[-1:]], where="post", color=colour, label=row.location_id)
        axes.axhline(row.reorder_point, color=colour, linestyle=":", linewidth=1)
        came = [p for p in mine if p.received]
        axes.plot([p.at for p in came], [p.on_hand for p in came], "^", color=colour, markersize=7)
    axes.set_title(f"{sku} on hand (dotted: reorder point, triangles: receipts)", loc="left")
    axes.set_ylim(bottom=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.yaxis.get_major_locator().set_params(integer=True)
    days = AutoDateLocator()  # type: ignore[no-untyped-call]  # matplotlib types these not yet
    axes.xaxis.set_major_locator(days)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(days))  # type: ignore[no-untyped-call]  # as above
    if rows:
        axes.legend(frameon=False)
    figure.savefig(file, dpi=_PNG_DPI, format="png")
