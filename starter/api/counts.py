"""Counting over HTTP: a shelf is counted, counted again by somebody else, and a large difference is decided."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Depends, Path, Query
from pydantic import BaseModel

from fulfillment.domain.counts import Count, CountState
from starter.access import Caller, Needs, Scope
from starter.api import patterns
from starter.api.schemas import CountDecisionIn, CountedIn, CountIn, SnapshotIn, WhyIn
from starter.api.stock import MovedOut, moved_out, tell
from starter.doors import Standing

router = APIRouter(prefix="/v1", tags=["stock"])

Counting = Annotated[Caller, Depends(Needs(Scope.WAREHOUSE))]
Deciding = Annotated[Caller, Depends(Needs(Scope.OPS))]
Looking = Annotated[Caller, Depends(Needs(Scope.WAREHOUSE, Scope.OPS))]
CountId = Annotated[str, Path(max_length=64, pattern=patterns.ID)]


class CountOut(BaseModel):
    """A count; `expected` is what the book said at the moment of the latest count."""

    count_id: str
    sku: str
    location_id: str
    state: CountState
    reason: str
    planned_by: str
    planned_at: datetime
    counter: str | None
    counted: int | None
    counted_at: datetime | None
    recounter: str | None
    recounted: int | None
    recounted_at: datetime | None
    expected: int | None
    difference: int | None
    decided_by: str | None
    decision: str
    closed_at: datetime | None
    short: list[str] = []


class CountsOut(BaseModel):
    """Counts, oldest first."""

    counts: list[CountOut]


@router.get("/counts", response_model=CountsOut, summary="Counts")
def counts(
    doors: Standing,
    _caller: Looking,
    only_open: Annotated[bool, Query(alias="open", description="Only those that are not over.")] = False,
) -> CountsOut:
    """List the counts."""
    return CountsOut(counts=[_out(count) for count in doors.counts.counts(only_open=only_open)])


@router.post("/counts", status_code=201, response_model=CountOut, summary="Plan a count")
def plan(body: CountIn, doors: Standing, caller: Looking) -> CountOut:
    """Ask for a shelf to be counted. The same count again changes nothing."""
    return _out(
        doors.counts.plan(body.count_id, body.sku, body.location_id, by=caller.name, reason=body.reason)
    )


@router.post("/counts/{count_id}/start", response_model=CountOut, summary="Begin to count")
def start(count_id: CountId, doors: Standing, caller: Counting) -> CountOut:
    """Begin to count."""
    return _out(doors.counts.start(count_id, by=caller.name))


@router.post("/counts/{count_id}/reports", response_model=CountOut, summary="What was seen")
def report(
    count_id: CountId, body: CountedIn, doors: Standing, _caller: Counting, after: BackgroundTasks
) -> CountOut:
    """Say what was seen. A difference is counted again by somebody else; a large one is decided."""
    count, receipt = doors.counts.report(count_id, body.counted, at=body.counted_at, by=body.by)
    tell(doors, after, receipt)
    return _out(count, receipt.short)


@router.post("/counts/{count_id}/decision", response_model=CountOut, summary="Decide a large difference")
def decide(
    count_id: CountId, body: CountDecisionIn, doors: Standing, caller: Deciding, after: BackgroundTasks
) -> CountOut:
    """Book a large difference, or reject it."""
    count, receipt = doors.counts.decide(count_id, approve=body.approve, by=caller.name, reason=body.reason)
    tell(doors, after, receipt)
    return _out(count, receipt.short)


@router.post("/counts/{count_id}/cancel", response_model=CountOut, summary="Stop a count")
def cancel(count_id: CountId, body: WhyIn, doors: Standing, caller: Looking) -> CountOut:
    """Stop a count; nothing is booked."""
    return _out(doors.counts.cancel(count_id, by=caller.name, reason=body.reason))


@router.post("/snapshots", status_code=201, response_model=MovedOut, summary="What another system counted")
def snapshot(body: SnapshotIn, doors: Standing, caller: Counting, after: BackgroundTasks) -> MovedOut:
    """Take over what another system counted at a moment: what moved since then, and every claim, stays."""
    moved = doors.counts.snapshot(
        body.sku,
        body.location_id,
        body.counted,
        counted_at=body.counted_at,
        key=body.key,
        by=caller.name,
    )
    return moved_out(doors, after, body.key, moved)


def _out(count: Count, short: tuple[str, ...] = ()) -> CountOut:
    return CountOut(**asdict(count), difference=count.difference, short=list(short))
