"""One verb for many orders: each order is asked by itself, a few at a time, and answers for itself."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from fulfillment.domain.errors import FulfillmentError
from fulfillment.domain.holds import HeldAlike, HoldReason
from starter.orders import TemporalAway
from workflows.contract import VerbAnswer

_AT_ONCE: Final = 8


class Releasing(Protocol):
    """What ends a hold of one order."""

    async def release(
        self, order_id: str, *, reason: HoldReason | str | None, by: str, request_id: str
    ) -> VerbAnswer: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Came:
    """What came of asking one order; `refused` says why it did not, empty when it did."""

    order_id: str
    refused: str = ""


class NotAllAsked(TemporalAway):
    """Temporal stopped answering; `came` holds the answers so far. Repeating the request asks the rest."""

    def __init__(self, came: Sequence[Came], of: int) -> None:
        super().__init__(f"{len(came)} of {of} orders answered, then Temporal did not; repeat for the rest")
        self.came, self.of = tuple(came), of


async def release_alike(
    orders: Releasing, held: HeldAlike, *, by: str, request_id: str
) -> AsyncIterator[Came]:
    """Release each of these orders, and say of each what came of it as soon as it is known.

    Every order hears a request of its own, named after the whole one: repeating the whole does nothing twice.

    Raises:
        NotAllAsked: Temporal does not answer any more.
    """
    came: list[Came] = []
    for first in range(0, len(held.orders), _AT_ONCE):
        some = [order.order_id for order in held.orders[first : first + _AT_ONCE]]
        asked = [_release(orders, order_id, held.reason, by, f"{request_id}:{order_id}") for order_id in some]
        answers = await asyncio.gather(*asked)
        for answer in answers:
            if answer is not None:
                came.append(answer)
                yield answer
        if None in answers:
            raise NotAllAsked(came, len(held.orders))


async def _release(
    orders: Releasing, order_id: str, reason: HoldReason, by: str, request_id: str
) -> Came | None:
    try:
        await orders.release(order_id, reason=reason, by=by, request_id=request_id)
    except TemporalAway:
        return None
    except FulfillmentError as no:
        return Came(order_id=order_id, refused=str(no))
    return Came(order_id=order_id)
