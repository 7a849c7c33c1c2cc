"""An order's events, as a list and live by SSE."""

from collections.abc import AsyncIterator
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event
from sqlalchemy.exc import SQLAlchemyError

from starter.access import Caller, Needs, Scope, anyone
from starter.api.live import Watch
from starter.api.orders import OrderId
from starter.api.problems import Problem
from starter.api.schemas import EventOut, EventsOut, TrackOut
from starter.doors import Doors, Standing, tracked

router = APIRouter(prefix="/v1", tags=["events"])

# An intermediary must neither keep the stream nor hold it back.
_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_RETRY_MS: Final = 2000

Reading = Annotated[Caller, Depends(Needs(Scope.STOREFRONT, Scope.SUPPORT, Scope.OPS))]
LastEventId = Annotated[int | None, Header(ge=0, le=2**62, description="Resume after this event.")]
After = Annotated[int, Query(ge=0, le=2**62, description="Only events later than this one.")]


def watch_of(request: Request) -> Watch:
    """Return what wakes the streams of this application."""
    watch: Watch = request.app.state.watch
    return watch


Watching = Annotated[Watch, Depends(watch_of)]


@router.get(
    "/orders/{order_id}/events",
    response_model=EventsOut,
    summary="What happened",
    responses={200: {"content": {"text/event-stream": {}}}},
)
async def events(
    order_id: OrderId,
    request: Request,
    doors: Standing,
    watch: Watching,
    _caller: Reading,
    after: After = 0,
    last_event_id: LastEventId = None,
) -> Response:
    """List the order's events, oldest first; with `Accept: text/event-stream` they come as they happen.

    `Last-Event-ID` resumes a stream where it was cut; a comment every 15 seconds says that it is still there.
    """
    after = last_event_id if last_event_id is not None else after
    view = await run_in_threadpool(doors.views.view, order_id)
    if "text/event-stream" in request.headers.get("accept", ""):
        watch.check_room()
        return EventSourceResponse(_events(doors, watch, view.order.order_id, after), headers=_HEADERS)
    found = await run_in_threadpool(doors.views.events, order_id, after)
    return JSONResponse(EventsOut(events=[EventOut.of(e) for e in found]).model_dump(mode="json"))


async def _events(doors: Doors, watch: Watch, order_id: str, after: int) -> AsyncIterator[bytes]:
    yield format_sse_event(retry=_RETRY_MS)
    async with watch.watching(order_id):
        while True:
            if await watch.news(order_id, after) is None:
                yield KEEPALIVE_COMMENT
                continue
            try:
                found = await run_in_threadpool(doors.views.events, order_id, after)
            except SQLAlchemyError:
                return  # the reader comes back with Last-Event-ID
            for event in found:
                data = EventOut.of(event).model_dump_json()
                yield format_sse_event(data_str=data, event=event.kind, id=str(event.seq))
                after = event.seq


@router.get(
    "/track/{token}", response_model=TrackOut, summary="Track an order", dependencies=[Depends(anyone)]
)
def track(token: str, response: Response, doors: Standing) -> TrackOut:
    """Return what the holder of a tracking link may see: nothing personal beyond the city."""
    response.headers["Cache-Control"] = "no-store"
    return TrackOut.of(tracked(doors, token), now=doors.now())


@router.get(
    "/track/{token}/events",
    summary="Track an order, live",
    dependencies=[Depends(anyone)],
    responses={200: {"content": {"text/event-stream": {}}}},
)
async def track_events(
    token: str, doors: Standing, watch: Watching, after: After = 0, last_event_id: LastEventId = None
) -> Response:
    """Send an event `state` whenever something changed; its data is what `/v1/track/{token}` answers."""
    after = last_event_id if last_event_id is not None else after
    view = await run_in_threadpool(tracked, doors, token)
    watch.check_room()
    return EventSourceResponse(_states(doors, watch, view.order.order_id, token, after), headers=_HEADERS)


async def _states(doors: Doors, watch: Watch, order_id: str, token: str, after: int) -> AsyncIterator[bytes]:
    yield format_sse_event(retry=_RETRY_MS)
    async with watch.watching(order_id):
        while True:
            head = await watch.news(order_id, after)
            if head is None:
                yield KEEPALIVE_COMMENT
                continue
            try:
                view = await run_in_threadpool(tracked, doors, token)
            except (SQLAlchemyError, Problem):
                return
            after = head
            data = TrackOut.of(view, now=doors.now()).model_dump_json()
            yield format_sse_event(data_str=data, event="state", id=str(after))
