"""The application around its routes: request ids, refusals, health, figures, and an API page that needs nobody else."""

import re
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from fulfillment.domain.errors import FulfillmentError
from starter.api.problems import CODES
from tests.starter.world import World, an_open_order

ELSEWHERE = re.compile(r"""(?:src|href)=["'](?:https?:)?//""")


async def test_every_answer_carries_a_request_id(anybody: Any, storefront: Any, world: World) -> None:
    an_open_order(world.books)

    for response in (
        await anybody.get("/healthz"),
        await anybody.get("/nowhere"),
        await storefront.get("/v1/orders/SO-10483"),
    ):
        assert re.fullmatch(r"req_[0-9a-f]{20}", response.headers["x-request-id"])


async def test_a_request_id_of_the_clients_is_kept_if_it_is_one(anybody: Any) -> None:
    kept = await anybody.get("/nowhere", headers={"X-Request-Id": "trace-1"})
    replaced = await anybody.get("/nowhere", headers={"X-Request-Id": "x" * 65})

    assert kept.headers["x-request-id"] == kept.json()["request_id"] == "trace-1"
    assert replaced.headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/v1/nowhere", 404, "not_found"),
        ("PUT", "/v1/orders", 405, "method_not_allowed"),
        ("DELETE", "/healthz", 405, "method_not_allowed"),
    ],
)
async def test_what_is_not_there_is_a_problem_too(
    anybody: Any, method: str, path: str, status: int, code: str
) -> None:
    response = await anybody.request(method, path)

    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["code"] == code
    assert response.json()["instead"]


@pytest.mark.parametrize(
    ("trouble", "status", "code"),
    [
        (RuntimeError("a bug with secrets in it"), 500, "internal_error"),
        (OperationalError("SELECT secrets", {}, Exception("gone")), 503, "temporarily_unavailable"),
        (PoolTimeout("no connection in time, secrets"), 503, "temporarily_unavailable"),
        (FulfillmentError("a rule said no"), 409, "not_allowed"),
    ],
)
async def test_what_goes_wrong_inside_is_a_problem_without_its_insides(
    storefront: Any, world: World, trouble: Exception, status: int, code: str
) -> None:
    world.books.away = trouble

    response = await storefront.get("/v1/orders/SO-10483")

    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["code"] == code
    assert response.headers["x-request-id"] == response.json()["request_id"]
    assert "secrets" not in response.text
    assert ("retry-after" in response.headers) is response.json()["retryable"]


async def test_a_bug_is_logged_with_its_traceback(storefront: Any, world: World, logged: list[Any]) -> None:
    world.books.away = bug = RuntimeError("a bug")

    await storefront.get("/v1/orders/SO-10483")

    (line,) = logged
    assert (line["log_level"], line["exc_info"]) == ("error", bug)


async def test_a_process_is_healthy_without_its_database_but_not_ready(anybody: Any, world: World) -> None:
    ready = await anybody.get("/readyz")
    world.books.away = OperationalError("SELECT 1", {}, Exception("gone"))
    away, healthy = await anybody.get("/readyz"), await anybody.get("/healthz")

    assert (ready.status_code, away.status_code, healthy.status_code) == (200, 503, 200)


async def test_figures_count_by_route_and_never_by_address(
    anybody: Any, storefront: Any, world: World
) -> None:
    an_open_order(world.books)
    await storefront.get("/v1/orders/SO-10483")

    text = (await anybody.get("/metrics")).text

    assert 'waybill_http_requests_total{method="GET",route="/v1/orders/{order_id}",status="200"}' in text
    assert "SO-10483" not in text


async def test_every_code_of_a_refusal_is_explained_where_its_link_leads(anybody: Any) -> None:
    page = (await anybody.get("/docs/errors")).text

    for code in CODES:
        assert f'id="{code}"' in page


@pytest.mark.parametrize("path", ["/", "/docs", "/docs/errors"])
async def test_a_page_needs_nothing_from_elsewhere(anybody: Any, path: str) -> None:
    response = await anybody.get(path)

    assert response.status_code == 200
    assert not ELSEWHERE.search(response.text)
    for asset in re.findall(r'(?:src|href)="(/static/[^"]+)"', response.text):
        assert (await anybody.get(asset)).status_code == 200
    assert "default-src 'none'" in response.headers["content-security-policy"]


async def test_the_start_page_leads_to_the_api(anybody: Any) -> None:
    assert 'href="/docs"' in (await anybody.get("/")).text


async def test_the_description_for_programs_names_every_route_and_how_to_get_in(anybody: Any) -> None:
    described = (await anybody.get("/openapi.json")).json()

    assert described["openapi"].startswith("3.1")
    assert "post" in described["paths"]["/v1/orders"]
    assert "/v1/warehouse/shipments/{shipment_id}/handed_over" in described["paths"]
    assert "HTTPBearer" in described["components"]["securitySchemes"]
    assert "ProblemAnswer" in described["components"]["schemas"]
