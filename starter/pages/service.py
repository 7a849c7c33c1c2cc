"""What a service shows of itself: where to begin, its API page, its refusals, its health and its figures."""

from typing import Final

from fastapi import APIRouter, Depends, Response
from fastapi.responses import HTMLResponse, JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy.exc import SQLAlchemyError

from starter.access import anyone
from starter.api.problems import CODES
from starter.doors import Standing
from starter.pages.rendering import page

router = APIRouter(include_in_schema=False, dependencies=[Depends(anyone)])

# Swagger UI styles its elements in place, and draws with data URLs.
_DOCS_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@router.get("/", response_class=HTMLResponse)
def start(doors: Standing) -> Response:
    """Show the ways in."""
    return page("service/start.html", shop=doors.shop_name)


@router.get("/docs", response_class=HTMLResponse)
def docs() -> Response:
    """Show the API, with all it takes to try it."""
    return page("service/docs.html", policy=_DOCS_POLICY)


@router.get("/docs/errors", response_class=HTMLResponse)
def errors(doors: Standing) -> Response:
    """Show every refusal and what to do instead."""
    return page("service/errors.html", shop=doors.shop_name, codes=CODES)


@router.get("/healthz")
def healthz() -> Response:
    """Say that the process answers."""
    return JSONResponse({"status": "ok"})


@router.get("/readyz")
def readyz(doors: Standing) -> Response:
    """Say whether orders can be taken: Temporal may be away for that, the database may not."""
    try:
        doors.ping()
    except SQLAlchemyError:
        return JSONResponse({"status": "database away"}, 503, headers={"Retry-After": "2"})
    return JSONResponse({"status": "ok"})


@router.get("/metrics")
def metrics() -> Response:
    """Give the figures to Prometheus."""
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
