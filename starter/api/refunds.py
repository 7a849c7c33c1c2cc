"""Refunds over HTTP: ask for one, let a second person decide, book what was paid by hand."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel

from fulfillment.domain.order import UnitRange
from fulfillment.domain.refund import Refund, RefundState, RequestRefund
from starter.access import Caller, Needs, Scope
from starter.api import patterns
from starter.api.idempotency import Answered, Key, asked, once, request_id
from starter.api.orders import OrderId
from starter.api.schemas import PaidByHandIn, RefundIn, RefundOut, RefundsOut, RejectIn
from starter.doors import Doors, Standing

router = APIRouter(prefix="/v1", tags=["refunds"])

RefundId = Annotated[str, Path(max_length=72, pattern=patterns.ID)]
Supporting = Annotated[Caller, Depends(Needs(Scope.SUPPORT))]


@router.post(
    "/orders/{order_id}/refunds", status_code=201, response_model=RefundOut, summary="Give money back"
)
async def request_refund(
    order_id: OrderId, body: RefundIn, request: Request, doors: Standing, caller: Supporting, key: Key
) -> Response:
    """Ask for a refund. What it asks for is set aside at once; a large one waits for a second person."""
    wanted = RequestRefund(
        order_id=order_id,
        cause=body.cause,
        by=caller.name,
        request_id=request_id("refund", caller, key),
        units=tuple(UnitRange(line_no=u.line, first=u.first, count=u.count) for u in body.units),
        amount=body.amount,
        note=body.note,
    )

    async def work() -> Answered:
        refund = await run_in_threadpool(doors.refunds.request, wanted)
        return await _started(refund, doors, status=201)

    return await _once(work, body, request, doors, caller, key)


@router.get("/orders/{order_id}/refunds", response_model=RefundsOut, summary="Refunds of an order")
def refunds(order_id: OrderId, doors: Standing, _caller: Supporting) -> RefundsOut:
    """List what was given back, or is to be."""
    return RefundsOut(refunds=[RefundOut.of(refund) for refund in doors.refunds.of_order(order_id)])


@router.post("/refunds/{refund_id}/approve", response_model=RefundOut, summary="Allow a refund")
async def approve(refund_id: RefundId, doors: Standing, caller: Supporting, key: Key) -> Response:
    """Allow a refund that another person asked for."""
    ask = partial(doors.refunds.approve, refund_id, by=caller.name)
    refund = await run_in_threadpool(ask, request_id=request_id("approve_refund", caller, key))
    return (await _started(refund, doors)).response()


@router.post("/refunds/{refund_id}/reject", response_model=RefundOut, summary="Refuse a refund")
def reject(refund_id: RefundId, body: RejectIn, doors: Standing, caller: Supporting, key: Key) -> RefundOut:
    """Refuse a refund: what it had set aside can be given back otherwise."""
    this = request_id("reject_refund", caller, key)
    return RefundOut.of(doors.refunds.reject(refund_id, by=caller.name, request_id=this, reason=body.reason))


@router.post("/refunds/{refund_id}/paid_by_hand", response_model=RefundOut, summary="It was paid by hand")
def paid_by_hand(
    refund_id: RefundId, body: PaidByHandIn, doors: Standing, caller: Supporting, key: Key
) -> RefundOut:
    """Book a refund that the provider refused and a person paid another way."""
    this = request_id("paid_by_hand", caller, key)
    return RefundOut.of(
        doors.refunds.book_by_hand(refund_id, reference=body.reference, by=caller.name, request_id=this)
    )


async def _started(refund: Refund, doors: Doors, *, status: int = 200) -> Answered:
    if refund.state is RefundState.APPROVED:
        await doors.processes.start_refund(refund.refund_id)
    return Answered(status=status, body=RefundOut.of(refund).model_dump(mode="json"))


async def _once(
    work: Callable[[], Awaitable[Answered]],
    body: BaseModel,
    request: Request,
    doors: Doors,
    caller: Caller,
    key: str,
) -> Response:
    if not key:
        return (await work()).response()
    return (await once(doors.idempotency, asked(request, body, caller=caller, key=key), work)).response()
