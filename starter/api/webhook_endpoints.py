"""Webhooks to the storefront over HTTP: where they go, and every event to be read from any point."""

from datetime import datetime
from typing import Annotated, Any, Self

from fastapi import APIRouter, Depends, Path, Query, Response
from pydantic import BaseModel, Field

from fulfillment.domain.events import EventKind
from fulfillment.domain.webhooks import Endpoint, EndpointState
from starter.access import Caller, Needs, Scope
from starter.api import patterns
from starter.api.schemas import EndpointIn, ReplayIn
from starter.doors import Standing

router = APIRouter(prefix="/v1", tags=["webhooks"])

EndpointId = Annotated[str, Path(max_length=64, pattern=patterns.ENDPOINT)]
Integrating = Annotated[Caller, Depends(Needs(Scope.STOREFRONT, Scope.OPS))]


class EndpointOut(BaseModel):
    """An endpoint. `secret` is shown when it is new, and never again."""

    id: str
    url: str
    kinds: list[str]
    state: EndpointState
    cursor: int = Field(description="The last event that was laid out for it.")
    waiting: int = Field(description="Events it has yet to take.")
    failing_since: datetime | None
    why: str
    secret: str | None = None

    @classmethod
    def of(cls, endpoint: Endpoint) -> Self:
        """Return an endpoint as the API shows it."""
        return cls(
            id=endpoint.endpoint_id,
            url=endpoint.url,
            kinds=list(endpoint.kinds),
            state=endpoint.state,
            cursor=endpoint.cursor,
            waiting=endpoint.waiting,
            failing_since=endpoint.failing_since,
            why=endpoint.why,
            secret=endpoint.secret or None,
        )


class EndpointsOut(BaseModel):
    """Every endpoint."""

    webhook_endpoints: list[EndpointOut]


class FeedOut(BaseModel):
    """Events in order. `next` is where to go on; it stays the same while nothing happens."""

    events: list[dict[str, Any]]
    next: int


@router.post(
    "/webhook_endpoints", status_code=201, response_model=EndpointOut, summary="Send webhooks somewhere"
)
def add(body: EndpointIn, doors: Standing, caller: Integrating) -> EndpointOut:
    """Add an endpoint; the answer holds its secret, which is never shown again."""
    made = doors.webhooks.add(str(body.url), body.kinds, by=caller.name, after=body.after)
    return EndpointOut.of(made)


@router.get("/webhook_endpoints", response_model=EndpointsOut, summary="Where webhooks go")
def listed(doors: Standing, _caller: Integrating) -> EndpointsOut:
    """List the endpoints, with what they have yet to take."""
    return EndpointsOut(webhook_endpoints=[EndpointOut.of(one) for one in doors.webhooks.endpoints()])


@router.post("/webhook_endpoints/{endpoint_id}/rotate", response_model=EndpointOut, summary="A new secret")
def rotate(endpoint_id: EndpointId, doors: Standing, caller: Integrating) -> EndpointOut:
    """Give an endpoint a new secret; for a day webhooks are signed with both."""
    return EndpointOut.of(doors.webhooks.rotate(endpoint_id, by=caller.name))


@router.post("/webhook_endpoints/{endpoint_id}/resend", response_model=EndpointOut, summary="Send again")
def resend(endpoint_id: EndpointId, body: ReplayIn, doors: Standing, caller: Integrating) -> EndpointOut:
    """Switch an endpoint on, if it was off, and go on where it stopped; with `after`, send all later events again."""
    return EndpointOut.of(doors.webhooks.enable(endpoint_id, by=caller.name, after=body.after))


@router.delete("/webhook_endpoints/{endpoint_id}", status_code=204, summary="Send nothing there any more")
def remove(endpoint_id: EndpointId, doors: Standing, caller: Integrating) -> Response:
    """Forget an endpoint."""
    doors.webhooks.remove(endpoint_id, by=caller.name)
    return Response(status_code=204)


@router.get("/events", response_model=FeedOut, summary="All events, in order")
def feed(
    doors: Standing,
    _caller: Integrating,
    after: Annotated[int, Query(ge=0, le=2**62, description="Only events later than this one.")] = 0,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    kind: Annotated[list[EventKind] | None, Query(description="Only these kinds.")] = None,
) -> FeedOut:
    """Read what webhooks said, or would have said: who was away for days misses nothing."""
    found = doors.webhooks.events(after, limit, kind or ())
    events = [event.as_cloud_event(doors.public_url) for event in found]
    return FeedOut(events=events, next=found[-1].seq if found else after)
