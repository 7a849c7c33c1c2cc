"""Work on stock: goods in, corrections, counts, transfers, and what may not be promised. A key makes a repeat harmless."""

from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Annotated, Final

import typer
from rich.table import Table

from fulfillment.domain.counts import Count, CountState
from fulfillment.domain.inventory import Disposition, Grade
from fulfillment.domain.transfers import Transfer
from fulfillment.storage.stock import Receipt
from starter.cli import reach
from starter.cli.reach import Books
from starter.cli.stock_overview import overview
from starter.cli.terminal import ByOption, JsonOption, answering, new_request_id, table

app = typer.Typer()
stock = typer.Typer(invoke_without_command=True, callback=overview)
counting = typer.Typer(
    no_args_is_help=True, help="Count a shelf; a difference is counted again by somebody else."
)
moving = typer.Typer(no_args_is_help=True, help="Send units from one location to another.")
stock.add_typer(counting, name="count")
stock.add_typer(moving, name="transfer")
app.add_typer(stock, name="stock")

SkuArgument = Annotated[str, typer.Argument(metavar="SKU", help="Which product.")]
QuantityArgument = Annotated[int, typer.Argument(metavar="QTY", min=1, max=1_000_000, help="How many units.")]
LocationOption = Annotated[str, typer.Option(help="Which location.")]
ReasonOption = Annotated[str, typer.Option(help="Why, in a few words; it stands in the ledger.")]
KeyOption = Annotated[
    str,
    typer.Option(
        default_factory=new_request_id,
        show_default="a new one",
        help="The number of the note or scan: the same deed twice under it counts once.",
    ),
]
CountArgument = Annotated[str, typer.Argument(metavar="COUNT", help="The number of the count.")]
TransferArgument = Annotated[str, typer.Argument(metavar="TRANSFER", help="The number of the transfer.")]
OpenOption = Annotated[bool, typer.Option("--open", help="Only those that are not over.")]


@stock.command()
def receive(
    sku: SkuArgument,
    quantity: QuantityArgument,
    location: LocationOption,
    by: ByOption,
    key: KeyOption,
    as_json: JsonOption = False,
) -> None:
    """Put goods on the shelf and serve the orders that wait for them."""
    _do(
        as_json,
        key,
        f"{quantity} x {sku} received at {location}",
        lambda books: books.stock.receive(sku, location, quantity, key=key, by=by),
    )


@stock.command(context_settings={"ignore_unknown_options": True})
def adjust(
    sku: SkuArgument,
    delta: Annotated[int, typer.Argument(metavar="DELTA", help="How many units more; negative for fewer.")],
    location: LocationOption,
    reason: ReasonOption,
    by: ByOption,
    key: KeyOption,
    as_json: JsonOption = False,
) -> None:
    """Correct what is on the shelf. Where it is less than promised, the youngest orders wait again."""
    _do(
        as_json,
        key,
        f"{delta:+} x {sku} at {location}",
        lambda books: books.stock.adjust(sku, location, delta, key=key, by=by, reason=reason),
    )


@stock.command()
def safety(
    sku: SkuArgument,
    units: Annotated[int, typer.Argument(metavar="QTY", min=0, help="How many units are kept back.")],
    location: LocationOption,
    reason: ReasonOption,
    by: ByOption,
    key: KeyOption,
    as_json: JsonOption = False,
) -> None:
    """Set how many units new orders may not claim."""
    _do(
        as_json,
        key,
        f"{units} x {sku} kept back at {location}",
        lambda books: books.stock.set_safety_stock(sku, location, units, key=key, by=by, reason=reason),
    )


@stock.command()
def move(
    sku: SkuArgument,
    quantity: QuantityArgument,
    location: LocationOption,
    of: Annotated[Grade, typer.Option("--from", help="What they were.")],
    to: Annotated[Grade, typer.Option("--to", help="What they are.")],
    reason: ReasonOption,
    by: ByOption,
    key: KeyOption,
    shipment: Annotated[str | None, typer.Option(help="Take them out of this shipment's claim.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Set units aside as damaged, doubted or held, put them back among the free ones, or write them off."""
    _do(
        as_json,
        key,
        f"{quantity} x {sku} at {location}: from {of} to {to}",
        lambda books: books.conditions.regrade(
            sku, location, quantity, of, to, key=key, by=by, reason=reason, shipment_id=shipment
        ),
    )


@stock.command("return")
def take_back(
    order: Annotated[str, typer.Argument(metavar="ORDER", help="The order they came from.")],
    line: Annotated[int, typer.Argument(metavar="LINE", min=1, help="Its line.")],
    unit: Annotated[
        list[int], typer.Option(min=1, help="The number of a unit within the line; again for more.")
    ],
    disposition: Annotated[Disposition, typer.Option("--as", help="What becomes of them.")],
    location: LocationOption,
    by: ByOption,
    key: KeyOption,
    reason: Annotated[str, typer.Option(help="Why they came back.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Take units of an order in again, each once. Money is decided elsewhere."""
    _do(
        as_json,
        key,
        f"{len(unit)} units of {order} taken in at {location}: {disposition}",
        lambda books: books.returns.put_back(
            order, line, unit, disposition, location, key=key, by=by, reason=reason
        ),
    )


@stock.command("substitutes")
def list_substitutes(
    sku: SkuArgument,
    by: ByOption,
    instead: Annotated[
        list[str] | None, typer.Argument(metavar="[SUBSTITUTE]...", help="What is as good, the best first.")
    ] = None,
    none: Annotated[bool, typer.Option("--none", help="Nothing is as good.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Say what may be sent instead of a product that is not there; without any, show what is listed."""
    if instead and none:
        raise typer.BadParameter("name substitutes or --none, not both", param_hint="--none")
    with answering(as_json=as_json) as out, reach.books() as books:
        if instead or none:
            books.stock.set_substitutes(sku, instead or (), by=by)
        listed = books.stock.substitutes(sku)
        out.answer({"sku": sku, "substitutes": listed}, f"instead of {sku}: {', '.join(listed) or 'nothing'}")


# --- counting ----------------------------------------------------------------------------------------


@counting.command("ls")
def list_counts(only_open: OpenOption = False, as_json: JsonOption = False) -> None:
    """List the counts, oldest first."""
    with answering(as_json=as_json) as out, reach.books() as books:
        found = books.counts.counts(only_open=only_open)
        out.answer({"counts": [_count(one) for one in found]}, _counts(found) if found else "no counts")


@counting.command()
def plan(
    count: CountArgument,
    sku: SkuArgument,
    location: LocationOption,
    reason: ReasonOption,
    by: ByOption,
    as_json: JsonOption = False,
) -> None:
    """Ask for a shelf to be counted."""
    _on_count(as_json, lambda b: (b.counts.plan(count, sku, location, by=by, reason=reason), Receipt()))


@counting.command()
def start(count: CountArgument, by: ByOption, as_json: JsonOption = False) -> None:
    """Begin to count."""
    _on_count(as_json, lambda b: (b.counts.start(count, by=by), Receipt()))


@counting.command()
def report(
    count: CountArgument,
    counted: Annotated[int, typer.Argument(metavar="QTY", min=0, help="How many units there are.")],
    by: ByOption,
    as_json: JsonOption = False,
) -> None:
    """Say how many units are there now. A difference is counted again by somebody else."""
    _on_count(as_json, lambda b: b.counts.report(count, counted, at=b.now(), by=by))


@counting.command()
def approve(count: CountArgument, reason: ReasonOption, by: ByOption, as_json: JsonOption = False) -> None:
    """Book a large difference."""
    _on_count(as_json, lambda b: b.counts.decide(count, approve=True, by=by, reason=reason))


@counting.command()
def reject(count: CountArgument, reason: ReasonOption, by: ByOption, as_json: JsonOption = False) -> None:
    """Reject a large difference: nothing is booked."""
    _on_count(as_json, lambda b: b.counts.decide(count, approve=False, by=by, reason=reason))


@counting.command("cancel")
def cancel_count(
    count: CountArgument, reason: ReasonOption, by: ByOption, as_json: JsonOption = False
) -> None:
    """Stop a count: nothing is booked."""
    _on_count(as_json, lambda b: (b.counts.cancel(count, by=by, reason=reason), Receipt()))


# --- transfers ---------------------------------------------------------------------------------------


@moving.command("ls")
def list_transfers(only_open: OpenOption = False, as_json: JsonOption = False) -> None:
    """List the transfers, oldest first."""
    with answering(as_json=as_json) as out, reach.books() as books:
        found = books.transfers.transfers(only_open=only_open)
        data = [asdict(one) | {"under_way": one.under_way} for one in found]
        out.answer({"transfers": data}, _transfers(found) if found else "no transfers")


@moving.command()
def send(
    transfer: TransferArgument,
    sku: SkuArgument,
    quantity: QuantityArgument,
    from_location: Annotated[str, typer.Option("--from", help="Where they leave.")],
    to_location: Annotated[str, typer.Option("--to", help="Where they go.")],
    reason: ReasonOption,
    by: ByOption,
    as_json: JsonOption = False,
) -> None:
    """Let unclaimed units leave for another location."""
    with answering(as_json=as_json) as out, reach.books() as books:
        sent = books.transfers.send(transfer, sku, from_location, to_location, quantity, by=by, reason=reason)
        out.answer(asdict(sent), f"{transfer}: {quantity} x {sku} on the way to {to_location}")


@moving.command("receive")
def arrive(
    transfer: TransferArgument,
    quantity: QuantityArgument,
    by: ByOption,
    key: KeyOption,
    as_json: JsonOption = False,
) -> None:
    """Put what arrived on the shelf and serve who waits there."""
    _do(
        as_json,
        key,
        f"{transfer}: {quantity} units arrived",
        lambda books: books.transfers.receive(transfer, quantity, key=key, by=by),
    )


@moving.command("close")
def give_up(
    transfer: TransferArgument, reason: ReasonOption, by: ByOption, as_json: JsonOption = False
) -> None:
    """Record what did not arrive as the difference."""
    with answering(as_json=as_json) as out, reach.books() as books:
        closed = books.transfers.close(transfer, by=by, reason=reason)
        out.answer(
            asdict(closed), f"{transfer}: {closed.state}, {closed.received} arrived, {closed.lost} lost"
        )


def _do(as_json: bool, key: str, what: str, deed: Callable[[Books], Receipt]) -> None:
    with answering(as_json=as_json) as out, reach.books() as books:
        out.say(f"{key}: repeating it with --key {key} counts it once")
        done = deed(books)
        out.answer({"key": key, "filled": done.filled, "short": done.short}, f"{what}; {_who(done)}")


def _who(done: Receipt) -> str:
    went = f"{', '.join(done.filled)} can go now" if done.filled else "no order was waiting for that alone"
    return f"{went}; {', '.join(done.short)} must wait again" if done.short else went


def _on_count(as_json: bool, deed: Callable[[Books], tuple[Count, Receipt]]) -> None:
    with answering(as_json=as_json) as out, reach.books() as books:
        count, receipt = deed(books)
        told = f"{count.count_id}: {count.state}{_differs(count)}"
        if receipt.short:
            told += f"; {', '.join(receipt.short)} must wait again"
        follows = _FOLLOWS.get(count.state)
        out.answer(_count(count) | {"short": receipt.short}, told, *([f"  {follows}"] if follows else []))


_FOLLOWS: Final = {
    CountState.RECOUNTING: "somebody else counts it again: `stock count report`",
    CountState.REVIEW: "nothing is booked yet: somebody who did not count decides, `stock count approve` or `reject`",
}


def _differs(count: Count) -> str:
    if count.difference is None:
        return ""
    return f", {count.difference:+} against {count.expected} in the book"


def _count(count: Count) -> dict[str, object]:
    return asdict(count) | {"difference": count.difference}


def _counts(counts: Iterable[Count]) -> Table:
    made = table("Count", "SKU", "Location", "State", "Difference", right=("Difference",))
    for one in counts:
        difference = "" if one.difference is None else f"{one.difference:+}"
        made.add_row(one.count_id, one.sku, one.location_id, one.state, difference)
    return made


def _transfers(transfers: Iterable[Transfer]) -> Table:
    numbers = ("Sent", "Arrived", "Under way", "Lost")
    made = table("Transfer", "SKU", "From", "To", "State", *numbers, right=numbers)
    for one in transfers:
        counts = (one.quantity, one.received, one.under_way, one.lost)
        route = (one.transfer_id, one.sku, one.from_location, one.to_location, one.state.replace("_", " "))
        made.add_row(*route, *(str(count) for count in counts))
    return made
