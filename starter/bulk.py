"""One verb for many orders: each is asked by itself, a few at a time, and answers for itself."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from fulfillment.domain.cases import CaseKind, CasesAlike
from fulfillment.domain.errors import FulfillmentError
from fulfillment.domain.holds import HeldAlike, HoldReason
from fulfillment.domain.playbooks import Answer
from starter.orders import TemporalAway
from workflows.contract import VerbAnswer

_AT_ONCE: Final = 8


class Releasing(Protocol):
    """What ends a hold of one order."""

    async def release(
        self, order_id: str, *, reason: HoldReason | str | None, by: str, request_id: str
    ) -> VerbAnswer: ...


class Answering(Protocol):
    """What answers a case of one order."""

    async def answer_case(
        self,
        order_id: str,
        *,
        kind: CaseKind,
        answer: Answer,
        subject: str = "",
        note: str = "",
        by: str,
        request_id: str,
    ) -> VerbAnswer: ...


class Ask(Protocol):
    """Asks one of many."""

    def __call__(self, *, request_id: str) -> Awaitable[VerbAnswer]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Came:
    """What came of asking one order, or about one shipment; `refused` says why it did not, empty when it did."""

    name: str
    refused: str = ""


class NotAllAsked(TemporalAway):
    """Temporal stopped answering; `came` holds the answers so far. Repeating the request asks the rest."""

    def __init__(self, came: Sequence[Came], of: int) -> None:
        super().__init__(f"{len(came)} of {of} orders answered, then Temporal did not; repeat for the rest")
        self.came, self.of = tuple(came), of


def release_alike(orders: Releasing, held: HeldAlike, *, by: str, request_id: str) -> AsyncIterator[Came]:
    """Release each of these orders. See `ask_each`."""
    those = [order.order_id for order in held.orders]
    asks = {order_id: partial(orders.release, order_id, reason=held.reason, by=by) for order_id in those}
    return ask_each(asks, request_id=request_id)


def answer_alike(
    orders: Answering, alike: CasesAlike, answer: Answer, *, note: str, by: str, request_id: str
) -> AsyncIterator[Came]:
    """Answer each of these cases. See `ask_each`."""
    say = partial(orders.answer_case, kind=alike.kind, answer=answer, note=note, by=by)
    asks = {one.case.subject: partial(say, one.order_id, subject=one.case.subject) for one in alike.cases}
    return ask_each(asks, request_id=request_id)


async def ask_each(asks: Mapping[str, Ask], *, request_id: str) -> AsyncIterator[Came]:
    """Ask each by its name, and say of each what came of it as soon as it is known.

    Each hears a request of its own, named after the whole one: repeating the whole does nothing twice.

    Raises:
        NotAllAsked: Temporal does not answer any more.
    """
    came: list[Came] = []
    names = list(asks)
    for first in range(0, len(names), _AT_ONCE):
        some = names[first : first + _AT_ONCE]
        answers = await asyncio.gather(*(_ask(name, asks[name], f"{request_id}:{name}") for name in some))
        for answer in answers:
            if answer is not None:
                came.append(answer)
                yield answer
        if None in answers:
            raise NotAllAsked(came, len(names))


async def _ask(name: str, ask: Ask, request_id: str) -> Came | None:
    try:
        await ask(request_id=request_id)
    except TemporalAway:
        return None
    except FulfillmentError as no:
        return Came(name=name, refused=str(no))
    return Came(name=name)
