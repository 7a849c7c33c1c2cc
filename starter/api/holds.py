"""Holds over HTTP, many at a time: which orders wait alike, and ending the hold of all of them."""

import secrets
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Annotated, Final, Self

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel

from fulfillment.domain.holds import HeldAlike, HoldReason
from starter.access import Caller, Needs, Scope
from starter.api.idempotency import Answered, Key, asked, once
from starter.api.problems import Problem
from starter.api.schemas import ReleaseAlikeIn
from starter.bulk import Came, NotAllAsked, release_alike
from starter.doors import Doors, Standing

router = APIRouter(prefix="/v1/holds", tags=["orders"])

Supporting = Annotated[Caller, Depends(Needs(Scope.SUPPORT))]

_EXAMPLES: Final = 3


class WorthOut(BaseModel):
    """An amount in minor units."""

    amount: int
    currency: str


class HeldAlikeOut(BaseModel):
    """Orders held for the same reason in the same words. At `first_due_at` the first of them takes its default."""

    reason: HoldReason
    note: str
    orders: int
    worth: list[WorthOut]
    first_due_at: datetime
    examples: list[str]

    @classmethod
    def of(cls, group: HeldAlike) -> Self:
        """Return a group as the API shows it."""
        return cls(
            reason=group.reason,
            note=group.note,
            orders=len(group.orders),
            worth=_worth(group),
            first_due_at=group.first_due_at,
            examples=[order.order_id for order in group.orders[:_EXAMPLES]],
        )


class HoldsOut(BaseModel):
    """What is held, the largest group first."""

    groups: list[HeldAlikeOut]


class RefusedOut(BaseModel):
    """An order that could not be released, and why."""

    order_id: str
    detail: str


class ReleasedAlikeOut(BaseModel):
    """What was released, or with `dry_run` what would be. Only what was held by `until` counts."""

    dry_run: bool
    reason: HoldReason
    note: str
    orders: int
    worth: list[WorthOut]
    until: datetime
    released: list[str]
    refused: list[RefusedOut]


@router.get("", response_model=HoldsOut, summary="What is held, by reason")
def held(
    doors: Standing, _caller: Supporting, reason: Annotated[HoldReason | None, Query()] = None
) -> HoldsOut:
    """List how many orders are held for the same reason, and what they are worth."""
    return HoldsOut(groups=[HeldAlikeOut.of(group) for group in doors.held.groups(reason)])


@router.post("/release", response_model=ReleasedAlikeOut, summary="Release orders that are held alike")
async def release(
    body: ReleaseAlikeIn, request: Request, doors: Standing, caller: Supporting, key: Key
) -> Response:
    """Release every order that is held like the one named, or with `dry_run`, as it comes, only count them.

    Each order is asked by itself and may refuse. Send the `until` of the dry run, and nothing is released that you
    did not see.
    """
    work = partial(_release, body, doors, caller, key)
    if key:
        return (await once(doors.idempotency, asked(request, body, caller=caller, key=key), work)).response()
    return (await work()).response()


async def _release(body: ReleaseAlikeIn, doors: Doors, caller: Caller, key: str) -> Answered:
    until = body.until or doors.now()
    group = await run_in_threadpool(partial(doors.held.like, body.like, body.reason, until=until))
    came = [] if body.dry_run else await _each(group, doors, caller, key)
    answer = ReleasedAlikeOut(
        dry_run=body.dry_run,
        reason=group.reason,
        note=group.note,
        orders=len(group.orders),
        worth=_worth(group),
        until=until,
        released=_released(came),
        refused=[RefusedOut(order_id=one.name, detail=one.refused) for one in came if one.refused],
    )
    return Answered(body=answer.model_dump(mode="json"))


async def _each(group: HeldAlike, doors: Doors, caller: Caller, key: str) -> list[Came]:
    request_id = f"release:{caller.name}:{key or secrets.token_hex(12)}"
    each = release_alike(doors.processes, group, by=caller.name, request_id=request_id)
    try:
        return [one async for one in each]
    except NotAllAsked as away:
        more = {"released": _released(away.came)}
        raise Problem("temporarily_unavailable", f"{away}.", more=more) from away


def _released(came: Sequence[Came]) -> list[str]:
    return [one.name for one in came if not one.refused]


def _worth(group: HeldAlike) -> list[WorthOut]:
    return [WorthOut(amount=amount, currency=currency) for currency, amount in sorted(group.worth.items())]
