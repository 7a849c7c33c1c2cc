"""Who may pass which door: every role at every route, and no route without a guard."""

import base64
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute

from starter.access import Keyring, Needs, UnknownScope, anyone
from starter.web import ROUTERS, UnguardedRoute, check_guarded
from tests.starter.views import TOKEN
from tests.starter.world import World, an_open_order

ROLES = ("storefront", "support", "warehouse", "ops")
ORDER, SHIPMENT = "/v1/orders/SO-10483", "/v1/warehouse/shipments/SO-10483-1"
COUNT, TRANSFER = "/v1/counts/CC-1", "/v1/transfers/T-1"
READERS, CHANGERS = {"storefront", "support", "ops"}, {"storefront", "support"}
ROUTES: dict[tuple[str, str], set[str]] = {
    ("POST", "/v1/orders"): {"storefront"},
    ("GET", "/v1/orders"): READERS,
    ("GET", ORDER): READERS,
    ("GET", f"{ORDER}/explain"): READERS,
    ("GET", f"{ORDER}/events"): READERS,
    ("POST", f"{ORDER}/cancel"): CHANGERS,
    ("POST", f"{ORDER}/holds"): CHANGERS,
    ("DELETE", f"{ORDER}/holds/customer"): CHANGERS,
    ("POST", f"{ORDER}/payment"): CHANGERS,
    ("GET", f"{ORDER}/refunds"): {"support"},
    ("POST", f"{ORDER}/refunds"): {"support"},
    ("POST", "/v1/refunds/SO-10483-F1/approve"): {"support"},
    ("POST", "/v1/refunds/SO-10483-F1/reject"): {"support"},
    ("POST", "/v1/refunds/SO-10483-F1/paid_by_hand"): {"support"},
    ("POST", f"{ORDER}/items"): CHANGERS,
    ("POST", f"{ORDER}/address"): CHANGERS,
    ("POST", f"{ORDER}/address/suggested"): CHANGERS,
    ("POST", f"{ORDER}/service"): CHANGERS,
    ("POST", f"{ORDER}/shortage"): CHANGERS,
    ("POST", f"{ORDER}/cases/answer"): CHANGERS,
    ("POST", f"{ORDER}/not_received"): CHANGERS,
    ("GET", "/v1/cases"): {"support"},
    ("POST", "/v1/cases/answer"): {"support"},
    ("GET", f"{ORDER}/contact"): {"support"},
    ("PUT", f"{ORDER}/contact"): {"support"},
    ("GET", "/v1/customers/cus_4103/preferences"): CHANGERS,
    ("PUT", "/v1/customers/cus_4103/preferences"): CHANGERS,
    ("POST", "/v1/contact_blocks/lift"): {"support"},
    ("POST", "/v1/bounces"): {"ops"},
    ("POST", "/v1/webhook_endpoints"): {"storefront", "ops"},
    ("GET", "/v1/webhook_endpoints"): {"storefront", "ops"},
    ("POST", "/v1/webhook_endpoints/we_1/rotate"): {"storefront", "ops"},
    ("POST", "/v1/webhook_endpoints/we_1/resend"): {"storefront", "ops"},
    ("DELETE", "/v1/webhook_endpoints/we_1"): {"storefront", "ops"},
    ("GET", "/v1/events"): {"storefront", "ops"},
    ("GET", f"{ORDER}/parcels/SO-10483-P1/tracking"): {"support", "ops"},
    ("POST", f"{ORDER}/parcels/SO-10483-P1/tracking"): {"support"},
    ("GET", "/v1/tracking/unknown_codes"): {"ops"},
    ("GET", "/v1/holds"): {"support"},
    ("POST", "/v1/holds/release"): {"support"},
    ("GET", "/v1/warehouse/work"): {"warehouse"},
    ("POST", f"{SHIPMENT}/start"): {"warehouse"},
    ("POST", f"{SHIPMENT}/picked"): {"warehouse"},
    ("POST", f"{SHIPMENT}/rejections"): {"warehouse"},
    ("POST", f"{SHIPMENT}/checks"): {"warehouse"},
    ("POST", f"{SHIPMENT}/put_back"): {"warehouse"},
    ("POST", f"{SHIPMENT}/bench"): {"warehouse"},
    ("GET", f"{SHIPMENT}/bench"): {"warehouse"},
    ("POST", f"{SHIPMENT}/bench/scans"): {"warehouse"},
    ("POST", f"{SHIPMENT}/bench/seen"): {"warehouse"},
    ("GET", "/v1/warehouse/parcels/SO-10483-P1/label"): {"warehouse"},
    ("GET", "/v1/cartons"): {"warehouse", "ops"},
    ("PUT", "/v1/cartons/CUBE"): {"ops"},
    ("DELETE", "/v1/cartons/CUBE"): {"ops"},
    ("POST", "/v1/warehouse/manifests"): {"warehouse"},
    ("GET", "/v1/warehouse/manifests"): {"warehouse"},
    ("GET", "/v1/warehouse/manifests/M-1"): {"warehouse"},
    ("POST", "/v1/warehouse/manifests/M-1/handed_over"): {"warehouse"},
    ("POST", "/v1/warehouse/manifests/M-1/scan_forms"): {"warehouse"},
    ("GET", "/v1/warehouse/scan_forms/M-2-F1"): {"warehouse"},
    ("POST", f"{SHIPMENT}/packed"): {"warehouse"},
    ("POST", f"{SHIPMENT}/handed_over"): {"warehouse"},
    ("GET", "/v1/warehouse/rejections"): {"warehouse"},
    ("POST", "/v1/warehouse/rejections/R-1/inspection"): {"warehouse"},
    ("PUT", "/v1/warehouse/bins"): {"warehouse"},
    ("GET", "/v1/warehouse/pick-list"): {"warehouse"},
    ("GET", "/v1/warehouse/put-backs"): {"warehouse"},
    ("POST", "/v1/warehouse/walks"): {"warehouse"},
    ("GET", "/v1/warehouse/walks/W-1"): {"warehouse"},
    ("POST", "/v1/warehouse/walks/W-1/scans"): {"warehouse"},
    ("GET", "/v1/receipts/due"): {"warehouse"},
    ("POST", "/v1/receipts"): {"warehouse"},
    ("GET", "/v1/stock"): {"storefront", "support", "warehouse", "ops"},
    ("GET", "/v1/stock/MUG-12/substitutes"): {"storefront", "support", "warehouse", "ops"},
    ("POST", "/v1/customers/cus_4103/erasure"): {"ops"},
    ("GET", "/v1/carrier_claims"): {"support", "ops"},
    ("POST", "/v1/carrier_claims/SO-10483-P1/end"): {"support", "ops"},
    ("PUT", "/v1/stock/MUG-12/substitutes"): {"warehouse", "ops"},
    ("GET", "/v1/locations"): {"support", "warehouse", "ops"},
    ("PUT", "/v1/locations/wh-reno"): {"ops"},
    ("POST", "/v1/promises"): READERS,
    ("GET", "/v1/stock/events"): {"storefront", "support", "warehouse", "ops"},
    ("POST", "/v1/adjustments"): {"warehouse"},
    ("POST", "/v1/dispositions"): {"warehouse"},
    ("POST", "/v1/returned_units"): {"warehouse"},
    ("POST", "/v1/safety_stock"): {"warehouse", "ops"},
    ("POST", "/v1/snapshots"): {"warehouse"},
    ("GET", "/v1/counts"): {"warehouse", "ops"},
    ("POST", "/v1/counts"): {"warehouse", "ops"},
    ("POST", f"{COUNT}/start"): {"warehouse"},
    ("POST", f"{COUNT}/reports"): {"warehouse"},
    ("POST", f"{COUNT}/decision"): {"ops"},
    ("POST", f"{COUNT}/cancel"): {"warehouse", "ops"},
    ("GET", "/v1/carriers"): {"support", "warehouse", "ops"},
    ("POST", "/v1/carriers/UPS/pause"): {"ops"},
    ("POST", "/v1/carriers/UPS/resume"): {"ops"},
    ("GET", "/v1/transfers"): {"warehouse", "ops"},
    ("POST", "/v1/transfers"): {"warehouse", "ops"},
    ("POST", f"{TRANSFER}/receipts"): {"warehouse"},
    ("POST", f"{TRANSFER}/close"): {"warehouse", "ops"},
}
STAFF_PAGES = {
    "/stock": {"support", "warehouse", "ops"},
    "/warehouse/print/slips/SO-10483-1": {"warehouse"},
    "/warehouse/print/picks": {"warehouse"},
    "/warehouse/print/manifests/M-1": {"warehouse"},
}
PUBLIC = {
    "/",
    "/docs",
    "/docs/errors",
    "/healthz",
    "/readyz",
    "/metrics",
    "/t/{token}",
    "/t/{token}/now",
    "/v1/track/{token}",
    "/v1/track/{token}/events",
    "/webhooks/stripe",
    "/webhooks/easypost",
    "/webhooks/twilio/status",
    "/webhooks/twilio/messages",
    "/t/{token}/unsubscribe",
}
KEY_OF = {
    "storefront": "storefront-key",
    "support": "support-key",
    "warehouse": "warehouse-key",
    "ops": "operator-key",
}


def _routes() -> list[APIRoute]:
    return [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_a_role_passes_its_own_doors_alone(
    open_door: Callable[[str], Any], world: World, method: str, path: str, role: str
) -> None:
    an_open_order(world.books)

    response = await open_door(KEY_OF[role]).request(method, path)

    allowed = role in ROUTES[method, path]
    assert (response.status_code != 403) is allowed
    if not allowed:
        assert response.json()["code"] == "forbidden"


@pytest.mark.parametrize("key", ["", "no-such-key", "storefront-ke"])
@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_without_a_key_no_door_opens(
    open_door: Callable[[str], Any], world: World, method: str, path: str, key: str
) -> None:
    an_open_order(world.books)

    response = await open_door(key).request(method, path)

    assert response.status_code == 401
    assert response.json()["code"] == "unauthenticated"
    assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("role", ["", *ROLES])
@pytest.mark.parametrize("path", STAFF_PAGES)
async def test_a_page_for_staff_asks_for_the_key_as_a_password(
    open_door: Callable[[str], Any], world: World, path: str, role: str
) -> None:
    an_open_order(world.books)
    password = base64.b64encode(f"maria:{KEY_OF.get(role, 'guess')}".encode()).decode()

    response = await open_door("").get(path, headers={"Authorization": f"Basic {password}"})

    assert response.status_code == (401 if not role else 200 if role in STAFF_PAGES[path] else 403)
    assert response.headers.get("www-authenticate", "").startswith("Basic" if not role else "")


def test_the_matrix_above_names_every_route_that_is_not_public() -> None:
    guarded = {
        (method, route.path) for route in _routes() for method in route.methods if route.path not in PUBLIC
    }

    ids = {
        "SO-10483-1": "{shipment_id}",
        "SO-10483": "{order_id}",
        "CC-1": "{count_id}",
        "M-1": "{manifest_id}",
        "M-2-F1": "{form_id}",
        "CUBE": "{carton_id}",
        "T-1": "{transfer_id}",
        "R-1": "{rejection_id}",
        "W-1": "{walk_id}",
        "we_1": "{endpoint_id}",
        "cus_4103": "{customer_id}",
        "SO-10483-F1": "{refund_id}",
        "UPS": "{carrier}",
        "SO-10483-P1": "{parcel_id}",
        "MUG-12": "{sku:path}",
    }
    passed = [*ROUTES, *(("GET", page) for page in STAFF_PAGES)]
    named = {(method, "/".join(ids.get(part, part) for part in path.split("/"))) for method, path in passed}

    assert guarded == {
        (method, path.replace("holds/customer", "holds/{reason}").replace("/wh-reno", "/{location_id}"))
        for method, path in named
    }


def test_what_is_public_says_so_and_nothing_else_does() -> None:
    said = {
        route.path for route in _routes() if any(one.call is anyone for one in route.dependant.dependencies)
    }

    assert said == PUBLIC


def test_a_route_without_a_guard_is_refused_when_the_application_is_built() -> None:
    router = APIRouter()
    router.add_api_route("/forgotten", lambda: None)

    with pytest.raises(UnguardedRoute, match="/forgotten"):
        check_guarded(router)


def test_an_unknown_scope_refuses_to_start() -> None:
    with pytest.raises(UnknownScope, match="warehous"):
        Keyring({"some-long-key": ("storefront", "warehous")})


def test_a_key_that_can_be_guessed_refuses_to_start() -> None:
    with pytest.raises(ValueError, match="8 characters"):
        Keyring({"short": ("storefront",)})


def test_the_books_never_see_a_key() -> None:
    keyring = Keyring({"a-secret-key": ("support",)})

    caller = keyring.caller("a-secret-key")

    assert caller is not None
    assert "secret" not in caller.name
    assert "a-secret-key" not in repr(vars(keyring))


def test_a_guard_wants_one_of_its_scopes() -> None:
    guards = [
        one.call for route in _routes() for one in route.dependant.dependencies if isinstance(one.call, Needs)
    ]

    assert guards
    assert all(guard.scopes for guard in guards)


# --- tracking links ----------------------------------------------------------------------------------------

BAD_TOKENS = [
    "x",
    "null",
    TOKEN[:-1],
    TOKEN + "A",
    TOKEN[:-1] + "d",
    "A" * 22,
    "%00" * 22,
    "'or'1'='1",
    "é" * 22,
]


@pytest.mark.parametrize("token", BAD_TOKENS)
@pytest.mark.parametrize("path", ["/v1/track/{}", "/v1/track/{}/events"])
async def test_a_link_that_does_not_work_says_the_same_whatever_is_wrong_with_it(
    anybody: Any, world: World, path: str, token: str
) -> None:
    an_open_order(world.books)

    response = await anybody.get(path.format(token))

    assert response.status_code == 404
    problem = response.json()
    assert problem["code"] == "not_found"
    assert problem["detail"] == "This link does not work (any more)."


@pytest.mark.parametrize("token", BAD_TOKENS)
async def test_a_page_that_does_not_exist_says_the_same_whatever_is_wrong_with_its_link(
    anybody: Any, world: World, token: str
) -> None:
    an_open_order(world.books)

    pages = {
        (await anybody.get(f"/t/{one}{part}")).text for one in (token, "A" * 22) for part in ("", "/now")
    }
    response = await anybody.get(f"/t/{token}")

    assert response.status_code == 404
    assert len(pages) == 1
    assert "This link does not work" in response.text


async def test_an_empty_token_is_no_order(anybody: Any, world: World) -> None:
    an_open_order(world.books)

    responses = [await anybody.get(path) for path in ("/v1/track/", "/t/", "/v1/track//events")]

    assert {response.status_code for response in responses} == {404}


@pytest.mark.parametrize("token", ["x", "A" * 21, "A" * 23, "'or'1'='1"])
async def test_what_cannot_be_a_token_is_not_looked_up(anybody: Any, world: World, token: str) -> None:
    world.books.away = AssertionError("it was looked up")

    response = await anybody.get(f"/v1/track/{token}")

    assert response.status_code == 404


async def test_a_leaked_link_shows_no_name_no_street_and_no_money(anybody: Any, world: World) -> None:
    an_open_order(world.books)

    for path in (f"/v1/track/{TOKEN}", f"/t/{TOKEN}", f"/t/{TOKEN}/now"):
        text = (await anybody.get(path)).text

        assert "Boise" in text
        for private in (
            "Noor",
            "Haddad",
            "103 Main",
            "83702",
            "noor@",
            "208555",
            "cus_4103",
            "6600",
            "66.00",
        ):
            assert private not in text, private
