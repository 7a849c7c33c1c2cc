"""Forgetting a customer who asks for it."""

import asyncio
from collections.abc import Sequence
from typing import Annotated

import typer

from starter.cli import reach
from starter.cli.terminal import ByOption, JsonOption, RequestOption, answering, no_card_number

app = typer.Typer()


@app.command()
def erase(
    customer: Annotated[str, typer.Argument(metavar="CUSTOMER", help="The storefront's id, as in cus_4103.")],
    reason: Annotated[str, typer.Option(callback=no_card_number, help="On whose word.")],
    by: ByOption,
    request_id: RequestOption,
    as_json: JsonOption = False,
) -> None:
    """Forget a customer: what was bought and paid stays, who they are does not. It cannot be undone."""
    with answering(as_json=as_json) as out, reach.books() as books:
        erased = books.erasures.erase(customer, by=by, reason=reason, request_id=request_id)
        asyncio.run(_forget(erased.order_ids))
        data = {"customer_id": customer, "orders": list(erased.order_ids), "erased_at": erased.at.isoformat()}
        out.answer(data, f"{customer} is forgotten: {len(erased.order_ids)} orders are nobody's now")


async def _forget(order_ids: Sequence[str]) -> None:
    async with reach.orders() as orders:
        await orders.forget(order_ids)
