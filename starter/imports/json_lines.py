"""Our own format: one order a line, each the body of `POST /v1/orders`."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails, from_json

from fulfillment.domain.order import InvalidOrder
from starter.api.schemas import PlaceOrder
from starter.imports.entries import BadRow, Entry, FoundOrder
from starter.imports.rows import Line, Lines

_MOST_COMPLAINTS = 3


def orders(lines: Lines, *, now: datetime) -> Iterator[Entry]:
    """Read the file line by line; `now` becomes the moment the orders were placed.

    Raises:
        NotThisFile: it is not even text.
    """
    for line in lines:
        if line.text.strip():
            yield _entry(line, now)


def _entry(line: Line, now: datetime) -> Entry:
    if line.fault:
        return BadRow(line=line.number, subject="", why=line.fault)
    try:
        body = PlaceOrder.model_validate_json(line.text)
        if body.order_id is None:
            why = "order_id is missing: without it a repeat of the import would order again"
            return BadRow(line=line.number, subject=body.external_ref, why=why)
        order = body.order(body.order_id, placed_at=now)
    except (ValidationError, InvalidOrder) as error:
        return BadRow(line=line.number, subject=_order_id(line.text), why=_why(error))
    return FoundOrder(line=line.number, order=order)


def _order_id(text: str) -> str:
    """Return the order's id if so much of the line can be read."""
    try:
        body: Any = from_json(text)
    except ValueError:
        return ""
    order_id = body.get("order_id") if isinstance(body, dict) else ""
    return order_id[:64] if isinstance(order_id, str) else ""


def _why(error: ValidationError | InvalidOrder) -> str:
    if isinstance(error, InvalidOrder):
        return str(error)
    # Never the value itself: it may be what must not be repeated.
    found = error.errors(include_input=False, include_url=False, include_context=False)
    told = "; ".join(_complaint(one) for one in found[:_MOST_COMPLAINTS])
    more = len(found) - _MOST_COMPLAINTS
    return f"{told}; and {more} more" if more > 0 else told


def _complaint(one: ErrorDetails) -> str:
    where = ""
    for part in one["loc"]:
        where += f"[{part}]" if isinstance(part, int) else f"{'.' if where else ''}{part}"
    message = one["msg"].removeprefix("Value error, ")
    return f"{where}: {message}" if where else message
