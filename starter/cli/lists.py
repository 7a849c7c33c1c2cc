"""What people look at: one order, why it waits, many orders."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from fulfillment.domain.address import Address, Verdict
from fulfillment.domain.cases import CaseKind
from fulfillment.domain.explanation import allowed_actions, explain
from fulfillment.domain.headline import headline
from fulfillment.domain.money import format_minor
from fulfillment.domain.order import UnitRange
from fulfillment.domain.promise import Telling
from fulfillment.domain.sourcing import Decision
from fulfillment.domain.stage import Stage
from fulfillment.domain.view import OrderRow, OrderView, ShipmentSummary
from fulfillment.storage.views import OrderFilter
from starter.api.schemas import DecisionOut, OrderOut, OrderRowOut
from starter.cli import reach
from starter.cli.terminal import (
    Exit,
    JsonOption,
    OrderArgument,
    answering,
    short_day,
    table,
)

app = typer.Typer()

_ALL_TROUBLE = "any"


@app.command()
def show(order: OrderArgument, as_json: JsonOption = False) -> None:
    """Show an order: where it is, its parts, its money, what happened."""
    with answering(as_json=as_json) as out, reach.books() as books:
        view = books.views.view(order)
        now = books.now()
        data = OrderOut.of(view, now=now, public_url=books.public_url, request_id="").model_dump(mode="json")
        del data["request_id"]
        said = headline(view, now).sentence
        decided = books.sourcing.decisions(order)
        data["sourcing"] = [decision.why for decision in decided]
        out.answer(
            data,
            _head(view, decided),
            "",
            said,
            "",
            _shipments(view),
            *_decisions(view),
            *_promises(view),
            *_trouble(view),
            "",
            _events(view),
        )


@app.command("explain")
def explain_order(order: OrderArgument, as_json: JsonOption = False) -> None:
    """Say in a sentence what an order waits for, since when, what comes next and who must act."""
    with answering(as_json=as_json) as out, reach.books() as books:
        view = books.views.view(order)
        why = explain(view, books.now())
        sourcing = [asdict(decision) for decision in books.sourcing.decisions(order)]
        data = {"order_id": order, **asdict(why), "actions": allowed_actions(view), "sourcing": sourcing}
        out.answer(data, why.sentence)


@app.command("ls")
def list_orders(
    stage: Annotated[Stage | None, typer.Option(help="Only orders at this stage.")] = None,
    attention: Annotated[
        str | None,
        typer.Option(
            metavar="KIND", help=f"Only orders with this trouble; `{_ALL_TROUBLE}` for all that need someone."
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="At most so many.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """List orders, newest first."""
    wanted = OrderFilter(
        stage=stage, attention=_kind(attention), needs_attention=attention == _ALL_TROUBLE, limit=limit
    )
    with answering(as_json=as_json) as out, reach.books() as books:
        rows, more = books.views.list(wanted)
        listed = [OrderRowOut.of(row).model_dump(mode="json") for row in rows]
        out.answer({"orders": listed, "more": more is not None}, _orders(rows), *_more(rows, more))


@app.command()
def find(
    text: Annotated[str, typer.Argument(help="An order number, an e-mail address or a tracking number.")],
    as_json: JsonOption = False,
) -> None:
    """Find orders by number, e-mail address or tracking number."""
    with answering(as_json=as_json) as out, reach.books() as books:
        views = [books.views.view(order_id) for order_id in books.views.find(text)]
        if not views:
            out.trouble(
                "not_found", f"nothing found for {text!r}: give a whole order, e-mail or tracking number"
            )
            raise typer.Exit(Exit.REFUSED)
        found = [_row_of(view) for view in views]
        out.answer({"orders": [OrderRowOut.of(row).model_dump(mode="json") for row in found]}, _orders(found))


def _kind(attention: str | None) -> CaseKind | None:
    if attention is None or attention == _ALL_TROUBLE:
        return None
    if attention not in tuple(CaseKind):
        kinds = ", ".join(CaseKind)
        raise typer.BadParameter(
            f"there is no trouble {attention!r}, only {kinds}; or `{_ALL_TROUBLE}` for all"
        )
    return CaseKind(attention)


def _row_of(view: OrderView) -> OrderRow:
    order = view.order
    return OrderRow(
        order_id=order.order_id,
        stage=view.stage,
        attention=view.attention,
        holds=tuple(hold.reason for hold in view.holds),
        promise_date=view.promise_date,
        total=order.total,
        currency=order.currency,
        customer_id=order.customer.customer_id,
        placed_at=order.placed_at,
        placed=view.placed,
    )


def _orders(rows: Iterable[OrderRow]) -> Table:
    made = table("Order", "Stage", "Attention", "Holds", "Promised", "Total", right=("Total",))
    for row in rows:
        made.add_row(
            row.order_id,
            _words(row.stage),
            _words(row.attention or ""),
            ", ".join(row.holds),
            short_day(row.promise_date),
            format_minor(row.total, row.currency),
        )
    return made


def _more(rows: tuple[OrderRow, ...], more: str | None) -> list[str]:
    if not rows:
        return ["no orders"]
    return [f"the newest {len(rows)}; --limit shows more"] if more else []


def _head(view: OrderView, decided: Iterable[Decision]) -> Table:
    order = view.order
    made = Table.grid(padding=(0, 2))
    for name, text in (
        (order.order_id, _stage(view)),
        ("promised", _promised(view)),
        ("total", f"{_money(view, order.total)}, payable {_money(view, view.payable)}"),
        ("payment", _payment(view)),
        ("customer", f"{order.customer.email} ({order.customer.customer_id})"),
        ("ship to", _ship_to(order.ship_to)),
        *_address_check(view),
        *(("sourced", decision.why) for decision in decided),
        ("placed", f"{order.placed_at:%a %d %b %Y %H:%M} UTC, {order.channel} {order.external_ref}"),
    ):
        made.add_row(Text(name, style="bold"), Text(text))
    return made


def _stage(view: OrderView) -> str:
    stage = _words(view.stage)
    return f"{stage}, attention: {_words(view.attention)}" if view.attention else stage


def _money(view: OrderView, minor: int) -> str:
    return format_minor(minor, view.order.currency)


def _payment(view: OrderView) -> str:
    money = view.payment
    held, taken, back = (_money(view, n) for n in (money.authorized, money.captured, money.refunded))
    return f"{_words(money.status)}: {held} authorized, {taken} taken, {back} given back"


def _ship_to(where: Address) -> str:
    return ", ".join(part for part in (where.name, where.line1, where.postal_code, where.place) if part)


def _address_check(view: OrderView) -> list[tuple[str, str]]:
    """Return what the carriers know otherwise of where it goes."""
    answer = view.address_answer
    if answer is None or answer.verdict in (Verdict.DELIVERABLE, Verdict.UNKNOWN):
        return []
    better = f"; they suggest {_ship_to(answer.suggestion)}" if answer.suggestion else ""
    return [("address check", f"{_words(answer.verdict)}{f', {answer.said}' if answer.said else ''}{better}")]


def _promised(view: OrderView) -> str:
    moved = view.promise_first_date != view.promise_date
    return f"{short_day(view.promise_date)}{f', first {short_day(view.promise_first_date)}' if moved else ''}"


def _shipments(view: OrderView) -> Table:
    made = table("Shipment", "Where", "Stage", "Items", "Tracking")
    for shipment in view.shipments:
        made.add_row(
            shipment.shipment_id,
            shipment.location_id,
            _words(shipment.stage),
            _items(view, shipment.units),
            _tracking(shipment),
        )
    if view.cancelled_units:
        made.add_row("-", "", "cancelled", _items(view, view.cancelled_units), "")
    for one in view.replaced:
        made.add_row("-", "", f"replaced by {one.line.name}", _items(view, (one.units,)), "")
    return made


def _promises(view: OrderView) -> list[str | Table]:
    """Return every day that was promised, once there is more than one."""
    if len(view.promises) < 2:
        return []
    made = table("Promised", "Since", "Because", "By", "Told")
    for promise in view.promises:
        told = ", ".join(_telling(one) for one in promise.told) or "nobody"
        since = f"{promise.at:%a %d %b %H:%M}"
        made.add_row(short_day(promise.day), since, _words(promise.reason), promise.source, told)
    return ["", made]


def _telling(told: Telling) -> str:
    return (
        f"{told.channel} {told.sent_at:%a %d %b %H:%M}" if told.sent_at else f"{told.channel}: {told.state}"
    )


def _items(view: OrderView, units: tuple[UnitRange, ...]) -> str:
    counted: dict[str, int] = {}
    for unit in units:
        sku = view.order.line(unit.line_no).sku
        counted[sku] = counted.get(sku, 0) + unit.count
    return ", ".join(f"{count} x {sku}" for sku, count in counted.items())


def _tracking(shipment: ShipmentSummary) -> str:
    parcel = shipment.parcel
    if parcel is None or not parcel.tracking_number:
        return ""
    return f"{parcel.carrier} {parcel.tracking_number}, {_words(parcel.carrier_status)}"


def _decisions(view: OrderView) -> list[RenderableType]:
    """Return for each parcel why it goes with its carrier, every offer beside the others."""
    parcels = [shipment.parcel for shipment in view.shipments if shipment.parcel is not None]
    told = [(one.parcel_id, DecisionOut.of(one.decision)) for one in parcels if one.decision]
    return [part for parcel_id, decision in told for part in ("", *_decision(parcel_id, decision))]


def _decision(parcel_id: str, decision: DecisionOut) -> list[RenderableType]:
    made = table(
        "Offer", "Price", "Arrives", "In time", "At least", "Parcels", "In all", "",
        right=("Price", "In time", "At least", "Parcels", "In all"),
    )  # fmt: skip
    for offer in sorted(decision.offers, key=lambda one: (one.price, one.carrier, one.service)):
        made.add_row(
            f"{'> ' if offer.chosen else '  '}{offer.carrier} {offer.service}",
            format_minor(offer.price, offer.currency),
            short_day(offer.arrives),
            _percent(offer.likely),
            _percent(offer.at_least),
            f"{offer.parcels:.0f} {offer.circle}",
            "" if offer.expected is None else format_minor(offer.expected, offer.currency),
            offer.left_out,
        )
    return [f"carrier of {parcel_id}: {decision.why}", made, *decision.said]


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"


def _trouble(view: OrderView) -> list[str]:
    holds = [
        f"hold {hold.reason} by {hold.placed_by}{f': {hold.note}' if hold.note else ''}; "
        f"at {hold.due_at:%a %d %b %H:%M}: {hold.default}"
        for hold in view.holds
    ]
    cases = [
        f"case {_words(case.kind)}, {case.owner} must act by {case.due_at:%a %d %b %H:%M}"
        f"{f': {case.note}' if case.note else ''}"
        for case in view.cases
    ]
    return ["", *holds, *cases] if holds or cases else []


def _events(view: OrderView) -> Table:
    made = table("When", "What happened")
    for event in view.events:
        made.add_row(f"{event.at:%a %d %b %H:%M}", event.text)
    return made


def _words(name: str) -> str:
    return name.replace("_", " ")
