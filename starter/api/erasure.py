"""Customers who want to be forgotten."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel

from starter.access import Caller, Needs, Scope
from starter.api.contacts import CustomerId
from starter.api.schemas import WhyIn
from starter.doors import Standing

router = APIRouter(prefix="/v1/customers", tags=["messages"])

Operating = Annotated[Caller, Depends(Needs(Scope.OPS))]


class ErasedOut(BaseModel):
    """Of which orders nobody can say any more whose they were."""

    customer_id: str
    orders: list[str]
    erased_at: datetime


@router.post("/{customer_id}/erasure", response_model=ErasedOut, summary="Forget a customer")
async def erase(
    customer_id: CustomerId, body: WhyIn, request: Request, doors: Standing, caller: Operating
) -> ErasedOut:
    """Take out of all books and histories who a customer is; what was bought and paid stays. A repeat does no harm.

    Refused while anything of theirs is not over. Payment providers and carriers keep books of their own.
    """
    erased = await run_in_threadpool(
        doors.erasures.erase,
        customer_id,
        by=caller.name,
        reason=body.reason,
        request_id=str(request.state.request_id),
    )
    await doors.processes.forget(erased.order_ids)
    return ErasedOut(customer_id=erased.customer_id, orders=list(erased.order_ids), erased_at=erased.at)
