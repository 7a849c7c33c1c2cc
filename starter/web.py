"""The FastAPI application: routers, request ids, refusals, health, metrics."""

import re
import secrets
import time
from pathlib import Path
from typing import Final

import structlog
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from fastapi.staticfiles import StaticFiles
from prometheus_client import Counter, Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from starter import webhooks
from starter.access import Guard, anyone
from starter.api import (
    carriers,
    cartons,
    cases,
    changes,
    claims,
    contacts,
    counts,
    erasure,
    events,
    holds,
    labels,
    locations,
    manifests,
    orders,
    packing,
    parcels,
    problems,
    promises,
    refunds,
    stock,
    transfers,
    warehouse,
    webhook_endpoints,
)
from starter.api.live import Watch
from starter.api.problems import Problem, ProblemAnswer
from starter.doors import Doors
from starter.pages import prints, service, tracking, unsubscribing
from starter.pages import stock as stock_page

MAX_BODY_BYTES: Final = 64 * 1024
ROUTERS: Final = (
    orders.router,
    changes.router,
    contacts.router,
    claims.router,
    erasure.router,
    holds.router,
    cases.router,
    refunds.router,
    parcels.router,
    events.router,
    warehouse.router,
    packing.router,
    cartons.router,
    labels.router,
    manifests.router,
    stock.router,
    locations.router,
    promises.router,
    counts.router,
    transfers.router,
    carriers.router,
    webhook_endpoints.router,
    webhooks.router,
    tracking.router,
    unsubscribing.router,
    stock_page.router,
    prints.router,
    service.router,
)
_STATIC: Final = Path(__file__).parent / "pages" / "static"
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_log = structlog.get_logger(__name__)

_REQUESTS: Final = Counter(
    "waybill_http_requests", "Requests answered, by route and status.", ["method", "route", "status"]
)
_SECONDS: Final = Histogram(
    "waybill_http_request_seconds", "Time until the answer began, by route.", ["method", "route"]
)


class UnguardedRoute(Exception):
    """A route does not say who may pass: it would be open to everybody by oversight."""


def create_app(doors: Doors) -> FastAPI:
    """Return the application on what it stands on.

    Raises:
        UnguardedRoute: a route does not say who may pass.
    """
    app = FastAPI(
        title="Waybill",
        summary="Order fulfillment and tracking",
        description="Amounts are in minor units, moments in RFC 3339 UTC, promises are local dates.",
        version="1",
        docs_url=None,
        redoc_url=None,
        responses={"4XX": {"model": ProblemAnswer, "description": "A refusal, with what to do instead."}},
    )
    app.state.doors, app.state.watch = doors, Watch(doors.views.heads)
    problems.install(app)
    for router in ROUTERS:
        check_guarded(router)
        app.include_router(router)
    app.mount("/static", StaticFiles(directory=_STATIC), name="static")
    app.add_middleware(_Around)
    return app


def check_guarded(router: APIRouter) -> None:
    """Refuse a router with a route that anybody may pass though it does not say so.

    Raises:
        UnguardedRoute: names the route.
    """
    for route in router.routes:
        guards = [one.call for one in route.dependant.dependencies] if isinstance(route, APIRoute) else []
        if not any(isinstance(guard, Guard) or guard is anyone for guard in guards):
            raise UnguardedRoute(f"{getattr(route, 'path', route)} has no guard; see starter/access.py")


class _Around:
    """Around every request: its id, a limit on its body, what it cost, and a last catch for bugs."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(Headers(scope=scope))
        scope.setdefault("state", {})["request_id"] = request_id
        exchange = _Exchange(self._app, scope, receive, send, request_id)
        with bound_contextvars(request_id=request_id):
            await exchange.run()


class _Exchange:
    """One request and its answer."""

    def __init__(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        self._app, self._scope, self._receive, self._send = app, scope, receive, send
        self._request_id = request_id
        self._began = time.perf_counter()
        self._body_bytes = 0
        self._started = False

    async def run(self) -> None:
        """Let the application answer; a bug ends as a problem too."""
        announced = Headers(scope=self._scope).get("content-length", "")
        if announced.isdigit() and int(announced) > MAX_BODY_BYTES:
            await self._end_with(Problem("body_too_large"))
            return
        try:
            await self._app(self._scope, self._limited, self._marked)
        except Exception as error:
            _log.error("request failed", path=self._scope["path"], exc_info=error)
            if self._started:
                raise
            await self._end_with(Problem("internal_error"))

    async def _end_with(self, problem: Problem) -> None:
        request = Request(self._scope)
        await problems.answer(request, problem)(self._scope, self._receive, self._marked)

    async def _limited(self) -> Message:
        message = await self._receive()
        self._body_bytes += len(message.get("body", b""))
        if self._body_bytes > MAX_BODY_BYTES:
            raise HTTPException(413)
        return message

    async def _marked(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._started = True
            headers = MutableHeaders(scope=message)
            headers["X-Request-Id"] = self._request_id
            headers["X-Content-Type-Options"] = "nosniff"
            self._count(message["status"])
        await self._send(message)

    def _count(self, status: int) -> None:
        route = self._scope.get("route")
        path, method = getattr(route, "path", "none"), self._scope["method"]
        _REQUESTS.labels(method, path, status).inc()
        _SECONDS.labels(method, path).observe(time.perf_counter() - self._began)


def _request_id(headers: Headers) -> str:
    given = headers.get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else f"req_{secrets.token_hex(10)}"
