"""Orders over HTTP: place, read, list, explain."""

import hashlib
from functools import partial
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import AwareDatetime

from fulfillment.domain.cases import CaseKind
from fulfillment.domain.explanation import allowed_actions, explain
from fulfillment.domain.headline import headline
from fulfillment.domain.stage import Stage
from fulfillment.domain.view import OrderView
from fulfillment.storage.views import OrderFilter
from starter.access import Caller, Needs, Scope
from starter.api import patterns
from starter.api.idempotency import Answered, Key, asked, once
from starter.api.problems import Problem
from starter.api.schemas import ExplanationOut, OrderOut, OrderRowOut, OrdersOut, PlaceOrder
from starter.doors import Doors, Standing

router = APIRouter(prefix="/v1/orders", tags=["orders"])

# Crockford's alphabet: nothing in it can be mistaken for something else on the telephone.
_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

OrderId = Annotated[str, Path(max_length=64, pattern=patterns.ID)]
Placing = Annotated[Caller, Depends(Needs(Scope.STOREFRONT))]
Reading = Annotated[Caller, Depends(Needs(Scope.STOREFRONT, Scope.SUPPORT, Scope.OPS))]


@router.post("", status_code=201, response_model=OrderOut, summary="Place an order")
async def place(body: PlaceOrder, request: Request, doors: Standing, caller: Placing, key: Key) -> Response:
    """Store the order, reserve its stock and its money, and answer with what came of it.

    A business no is a result: `placed` is `confirmed`, `short`, `declined`, or `received` when the answer takes
    longer. Repeat it with the same Idempotency-Key, or the same `order_id`, as often as you like.
    """
    if not key and body.order_id is None:
        raise Problem("idempotency_key_missing")
    order_id = body.order_id or order_id_of(caller, key)
    work = partial(_place, body, order_id, request, doors, caller)
    if key:
        answered = await once(doors.idempotency, asked(request, body, caller=caller, key=key), work)
    else:
        answered = await work()
    return answered.response(Location=f"/v1/orders/{answered.body['id']}")


def order_id_of(caller: Caller, key: str) -> str:
    """Return a readable order id for a key: always the same, so that a lost answer cannot make a second order."""
    number = int.from_bytes(hashlib.sha256(f"{caller.name}\n{key}".encode()).digest()[:8])
    signs = [_ALPHABET[number >> shift & 31] for shift in range(0, 60, 5)]
    return "SO-" + "-".join("".join(signs[n : n + 4]) for n in range(0, 12, 4))


async def _place(body: PlaceOrder, order_id: str, request: Request, doors: Doors, caller: Caller) -> Answered:
    order = body.order(order_id, placed_at=doors.now())
    accepted = await run_in_threadpool(partial(doors.intake.accept, order, by=caller.name))
    view = None if accepted.created else await run_in_threadpool(doors.views.view, accepted.order_id)
    if view is None or view.placed is None:
        await doors.processes.place(accepted.order_id)
        view = await run_in_threadpool(doors.views.view, accepted.order_id)
    answer = order_out(view, request, doors).model_dump(mode="json")
    return Answered(status=201, body=answer, replayed=not accepted.created)


@router.get("", response_model=OrdersOut, summary="List orders")
def orders(
    doors: Standing,
    _caller: Reading,
    stage: Annotated[Stage | None, Query()] = None,
    attention: Annotated[CaseKind | None, Query()] = None,
    needs_attention: Annotated[bool, Query(description="Only those with an open case.")] = False,
    customer_id: Annotated[str | None, Query(max_length=64)] = None,
    placed_after: Annotated[AwareDatetime | None, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
) -> OrdersOut:
    """List orders, newest first, page by page."""
    wanted = OrderFilter(
        stage=stage,
        attention=attention,
        needs_attention=needs_attention,
        customer_id=customer_id,
        placed_after=placed_after,
        cursor=cursor,
        limit=limit,
    )
    rows, next_cursor = doors.views.list(wanted)
    return OrdersOut(orders=[OrderRowOut.of(row) for row in rows], next_cursor=next_cursor)


@router.get("/{order_id}", response_model=OrderOut, summary="Read an order")
def order(order_id: OrderId, request: Request, doors: Standing, _caller: Reading) -> OrderOut:
    """Return the order as it stands."""
    return order_out(doors.views.view(order_id), request, doors)


@router.get("/{order_id}/explain", response_model=ExplanationOut, summary="Why is it where it is?")
def explanation(order_id: OrderId, doors: Standing, _caller: Reading) -> ExplanationOut:
    """Say what the order waits for, since when, what comes next, who acts, and what may be done."""
    view, now = doors.views.view(order_id), doors.now()
    found = explain(view, now)
    return ExplanationOut(
        order_id=order_id,
        sentence=found.sentence,
        waits_for=found.waits_for,
        since=found.since,
        next=found.next,
        who=found.who,
        customer_sees=headline(view, now).sentence,
        actions=allowed_actions(view),
    )


def order_out(view: OrderView, request: Request, doors: Doors) -> OrderOut:
    """Return the order as this request is answered with."""
    return OrderOut.of(
        view, now=doors.now(), public_url=doors.public_url, request_id=request.state.request_id
    )
