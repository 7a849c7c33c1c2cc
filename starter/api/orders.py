"""Orders over HTTP: place, read, list, explain, cancel, hold, release, pay another way."""

import hashlib
import secrets
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Final, Protocol

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import AwareDatetime, BaseModel

from fulfillment.domain.cases import CaseKind
from fulfillment.domain.errors import FulfillmentError
from fulfillment.domain.explanation import allowed_actions, explain
from fulfillment.domain.headline import headline
from fulfillment.domain.holds import HoldReason
from fulfillment.domain.stage import Stage
from fulfillment.domain.view import OrderView
from fulfillment.storage.views import OrderFilter
from starter.access import Caller, Needs, Scope
from starter.api.idempotency import Answered, Key, asked, once
from starter.api.problems import Problem, of_business
from starter.api.schemas import (
    CancelIn,
    ChangedOut,
    DidOut,
    ExplanationOut,
    HoldIn,
    OrderOut,
    OrderRowOut,
    OrdersOut,
    PaymentIn,
    PlaceOrder,
)
from starter.doors import Doors, Standing
from workflows.contract import VerbAnswer

router = APIRouter(prefix="/v1/orders", tags=["orders"])

# Crockford's alphabet: nothing in it can be mistaken for something else on the telephone.
_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
# Holds a storefront may place and release by itself; the others are support's to judge.
_STOREFRONT_HOLDS: Final = (HoldReason.CUSTOMER, HoldReason.ADDRESS)

OrderId = Annotated[str, Path(max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Placing = Annotated[Caller, Depends(Needs(Scope.STOREFRONT))]
Reading = Annotated[Caller, Depends(Needs(Scope.STOREFRONT, Scope.SUPPORT, Scope.OPS))]
Changing = Annotated[Caller, Depends(Needs(Scope.STOREFRONT, Scope.SUPPORT))]


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
    answer = _order_out(view, request, doors).model_dump(mode="json")
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
    return _order_out(doors.views.view(order_id), request, doors)


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


@router.post("/{order_id}/cancel", response_model=ChangedOut, summary="Cancel what has not left")
async def cancel(
    order_id: OrderId, body: CancelIn, request: Request, doors: Standing, caller: Changing, key: Key
) -> Response:
    """Stop every part that has not left, and let its money go."""
    ask = partial(doors.processes.cancel, order_id, reason=body.reason)
    return await _change("cancel", order_id, ask, body, request=request, doors=doors, caller=caller, key=key)


@router.post("/{order_id}/holds", response_model=ChangedOut, summary="Hold it")
async def hold(
    order_id: OrderId, body: HoldIn, request: Request, doors: Standing, caller: Changing, key: Key
) -> Response:
    """Let nothing leave until the hold is released, or until its default happens."""
    _may_hold(caller, body.reason)
    ask = partial(doors.processes.hold, order_id, reason=body.reason, note=body.note)
    return await _change("hold", order_id, ask, body, request=request, doors=doors, caller=caller, key=key)


@router.delete("/{order_id}/holds/{reason}", response_model=ChangedOut, summary="Release a hold")
async def release(
    order_id: OrderId, reason: HoldReason, request: Request, doors: Standing, caller: Changing
) -> Response:
    """End the hold with this reason."""
    _may_hold(caller, reason)
    ask = partial(doors.processes.release, order_id, reason=reason)
    return await _change("release", order_id, ask, None, request=request, doors=doors, caller=caller, key="")


@router.post("/{order_id}/payment", response_model=ChangedOut, summary="Pay another way")
async def retry_payment(
    order_id: OrderId, body: PaymentIn, request: Request, doors: Standing, caller: Changing, key: Key
) -> Response:
    """Try to get the money with another method, after a decline."""
    ask = partial(doors.processes.retry_payment, order_id, method=body.method)
    return await _change(
        "retry_payment", order_id, ask, body, request=request, doors=doors, caller=caller, key=key
    )


def _may_hold(caller: Caller, reason: HoldReason) -> None:
    if reason not in _STOREFRONT_HOLDS and not caller.may(Scope.SUPPORT):
        raise Problem("forbidden", f"A hold for {reason} is support's to place and to release.")


class _Ask(Protocol):
    def __call__(self, *, by: str, request_id: str) -> Awaitable[VerbAnswer]: ...


async def _change(
    verb: str,
    order_id: str,
    ask: _Ask,
    body: BaseModel | None,
    *,
    request: Request,
    doors: Doors,
    caller: Caller,
    key: str,
) -> Response:
    """Ask the order for a change, once per key, and answer with the order after it."""
    # A key of the client's is the caller's own and counts for one verb; without one every request is new.
    request_id = f"{verb}:{caller.name}:{key}" if key else f"{verb}:{secrets.token_hex(12)}"
    work = partial(_changed, order_id, partial(ask, by=caller.name, request_id=request_id), request, doors)
    if key and body is not None:
        return (await once(doors.idempotency, asked(request, body, caller=caller, key=key), work)).response()
    return (await work()).response()


async def _changed(
    order_id: str, ask: Callable[[], Awaitable[VerbAnswer]], request: Request, doors: Doors
) -> Answered:
    before = await run_in_threadpool(doors.views.view, order_id)
    try:
        came_of_it = await ask()
    except FulfillmentError as no:
        raise _refused(no, before) from no
    view = await run_in_threadpool(doors.views.view, order_id)
    did = DidOut(text=came_of_it.text, stopped=list(came_of_it.stopped), left=list(came_of_it.left))
    answer = ChangedOut(**_order_out(view, request, doors).model_dump(), did=did)
    return Answered(body=answer.model_dump(mode="json"))


def _refused(no: FulfillmentError, view: OrderView) -> Problem:
    problem = of_business(no)
    problem.more |= {"order_stage": view.stage, "allowed_actions": _allowed(view)}
    return problem


def _allowed(view: OrderView) -> list[str]:
    return [action for action, why_not in allowed_actions(view).items() if why_not is None]


def _order_out(view: OrderView, request: Request, doors: Doors) -> OrderOut:
    return OrderOut.of(
        view, now=doors.now(), public_url=doors.public_url, request_id=request.state.request_id
    )
