"""Changes of an order over HTTP: cancel, items, address, service, holds, another way to pay."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from functools import partial
from typing import Annotated, Final, Protocol

from fastapi import APIRouter, Depends, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel

from fulfillment.domain.address import Address
from fulfillment.domain.cases import OWNER, Owner
from fulfillment.domain.change import LineQuantity, NewLine
from fulfillment.domain.errors import FulfillmentError
from fulfillment.domain.explanation import allowed_actions
from fulfillment.domain.holds import HoldReason
from fulfillment.domain.view import OrderView
from starter.access import Caller, Needs, Scope
from starter.api.idempotency import Answered, Key, asked, once, request_id
from starter.api.orders import OrderId, order_out
from starter.api.problems import Problem, of_business
from starter.api.schemas import (
    AddressIn,
    CancelIn,
    CaseAnswerIn,
    ChangedOut,
    DidOut,
    HoldIn,
    ItemsIn,
    NotReceivedIn,
    PaymentIn,
    ServiceIn,
    ShortageIn,
)
from starter.doors import Doors, Standing
from starter.orders import NotRunning, VerbRefused
from workflows.contract import VerbAnswer

router = APIRouter(prefix="/v1/orders", tags=["orders"])

# Holds a storefront may place and release by itself; the others are support's to judge.
_STOREFRONT_HOLDS: Final = (HoldReason.CUSTOMER, HoldReason.ADDRESS)

Changing = Annotated[Caller, Depends(Needs(Scope.STOREFRONT, Scope.SUPPORT))]


@router.post("/{order_id}/cancel", response_model=ChangedOut, summary="Cancel what has not left")
async def cancel(
    order_id: OrderId, body: CancelIn, request: Request, doors: Standing, caller: Changing, key: Key
) -> Response:
    """Stop every part that has not left, or take units off that have not, and let their money go."""
    lines = [LineQuantity(line_no=line.line_no, quantity=line.quantity) for line in body.lines]
    ask = partial(doors.processes.cancel, order_id, reason=body.reason, lines=lines)
    return await _change("cancel", order_id, ask, body, request=request, doors=doors, caller=caller, key=key)


@router.post("/{order_id}/items", response_model=ChangedOut, summary="Change quantities, add lines")
async def change_items(
    order_id: OrderId, body: ItemsIn, request: Request, doors: Standing, caller: Changing, key: Key
) -> Response:
    """Give lines another quantity, or add lines. What costs more is reserved first; declined, nothing changes."""
    ask = partial(
        doors.processes.change_items,
        order_id,
        lines=[LineQuantity(line_no=line.line_no, quantity=line.quantity) for line in body.lines],
        added=[NewLine(**line.model_dump()) for line in body.add],
    )
    return await _change(
        "change_items", order_id, ask, body, request=request, doors=doors, caller=caller, key=key
    )


@router.post("/{order_id}/address", response_model=ChangedOut, summary="Send it elsewhere")
async def change_address(
    order_id: OrderId, body: AddressIn, request: Request, doors: Standing, caller: Changing, key: Key
) -> Response:
    """Send what has not left to another address; a label made for the old one is bought again."""
    ask = partial(doors.processes.change_address, order_id, ship_to=Address(**body.model_dump()))
    return await _change(
        "change_address", order_id, ask, body, request=request, doors=doors, caller=caller, key=key
    )


@router.post(
    "/{order_id}/address/suggested",
    response_model=ChangedOut,
    summary="Send it to the address as carriers know it",
)
async def accept_address(
    order_id: OrderId, request: Request, doors: Standing, caller: Changing, key: Key
) -> Response:
    """Accept the form of the address that the carriers suggest, and let the order go on."""
    ask = partial(doors.processes.accept_address, order_id)
    return await _change(
        "change_address", order_id, ask, None, request=request, doors=doors, caller=caller, key=key
    )


@router.post("/{order_id}/service", response_model=ChangedOut, summary="Send it faster, or slower")
async def change_service(
    order_id: OrderId, body: ServiceIn, request: Request, doors: Standing, caller: Changing, key: Key
) -> Response:
    """Send what has not left by another service; its fee is reserved first."""
    ask = partial(doors.processes.change_service, order_id, service=body.service, fee=body.fee)
    return await _change(
        "change_service", order_id, ask, body, request=request, doors=doors, caller=caller, key=key
    )


@router.post(
    "/{order_id}/shortage", response_model=ChangedOut, summary="Answer what becomes of what is missing"
)
async def answer_shortage(
    order_id: OrderId, body: ShortageIn, request: Request, doors: Standing, caller: Changing, key: Key
) -> Response:
    """Wait for all of it, split the order, or drop what is missing."""
    ask = partial(doors.processes.answer_shortage, order_id, choice=body.choice)
    return await _change(
        "answer_shortage", order_id, ask, body, request=request, doors=doors, caller=caller, key=key
    )


@router.post("/{order_id}/cases/answer", response_model=ChangedOut, summary="Answer a case")
async def answer_case(
    order_id: OrderId, body: CaseAnswerIn, request: Request, doors: Standing, caller: Changing, key: Key
) -> Response:
    """Say what becomes of goods in trouble. Each shipment is sent again or refunded once, and never both."""
    if OWNER[body.kind] is not Owner.CUSTOMER and not caller.may(Scope.SUPPORT):
        raise Problem("forbidden", f"A case {body.kind} is support's to answer.")
    ask = partial(
        doors.processes.answer_case,
        order_id,
        kind=body.kind,
        answer=body.answer,
        subject=body.shipment,
        note=body.note,
        ship_to=Address(**body.ship_to.model_dump()) if body.ship_to else None,
    )
    return await _change(
        "answer_case", order_id, ask, body, request=request, doors=doors, caller=caller, key=key
    )


@router.post("/{order_id}/not_received", response_model=ChangedOut, summary="It was not received")
async def not_received(
    order_id: OrderId, body: NotReceivedIn, request: Request, doors: Standing, caller: Changing, key: Key
) -> Response:
    """Say that a parcel did not reach the customer, whatever the carrier says. An order that has ended goes on."""
    report = partial(doors.missing.report, order_id, parcel=body.parcel, note=body.note)

    async def ask(*, by: str, request_id: str) -> VerbAnswer:
        case = await run_in_threadpool(partial(report, by=by, request_id=request_id))
        return VerbAnswer(text=f"We look into it; on {case.due_at:%a %d %b %H:%M} we decide.")

    return await _change(
        "not_received", order_id, ask, body, request=request, doors=doors, caller=caller, key=key
    )


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
    order_id: OrderId, reason: HoldReason, request: Request, doors: Standing, caller: Changing, key: Key
) -> Response:
    """End the hold with this reason."""
    _may_hold(caller, reason)
    ask = partial(doors.processes.release, order_id, reason=reason)
    return await _change("release", order_id, ask, None, request=request, doors=doors, caller=caller, key=key)


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
    asking = partial(ask, by=caller.name, request_id=request_id(verb, caller, key))
    work = partial(_changed, verb, order_id, asking, request, doors)
    if key:
        return (await once(doors.idempotency, asked(request, body, caller=caller, key=key), work)).response()
    return (await work()).response()


async def _changed(
    verb: str, order_id: str, ask: Callable[[], Awaitable[VerbAnswer]], request: Request, doors: Doors
) -> Answered:
    before = await run_in_threadpool(doors.views.view, order_id)
    try:
        came_of_it = await ask()
    except NotRunning as no:
        raise _not_running(verb, before) from no
    except FulfillmentError as no:
        raise _refused(no, before) from no
    view = await run_in_threadpool(doors.views.view, order_id)
    did = DidOut(**asdict(came_of_it))
    answer = ChangedOut(**order_out(view, request, doors).model_dump(), did=did)
    return Answered(body=answer.model_dump(mode="json"))


def _not_running(verb: str, view: OrderView) -> Problem:
    """Return what the books say about an order on which nothing works: not any more, or not yet."""
    if why := allowed_actions(view)[verb]:
        return _refused(VerbRefused("too_late", why), view)
    return Problem(
        "temporarily_unavailable", f"{view.order.order_id} is about to go on: ask again in a moment."
    )


def _refused(no: FulfillmentError, view: OrderView) -> Problem:
    problem = of_business(no)
    allowed = [action for action, why_not in allowed_actions(view).items() if why_not is None]
    problem.more |= {"order_stage": view.stage, "allowed_actions": allowed}
    if allowed:
        problem.instead = "Do what `detail` says, or choose one of `allowed_actions`."
    return problem
