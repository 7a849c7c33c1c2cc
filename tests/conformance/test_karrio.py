"""Our Karrio adapter against a Karrio server that nobody of this project wrote, and our double of it against the same.

The server weighs 400 MB and takes minutes to set up, so these tests run only when asked for:

    pip install karrio-server==2026.1.32 karrio-server-{manager,proxy,events,graph,orders,data,pricing}==2026.1.32 \\
        karrio-generic==2026.1.32                                         (into an environment of its own, Python 3.11)
    export DATABASE_NAME=db.sqlite3 WORK_DIR=$PWD/karrio SECRET_KEY=dev; mkdir karrio; karrio migrate
    echo 'from django.contrib.auth import get_user_model as u; u().objects.create_superuser("a@b.example", "Pass-1")' \\
        | karrio shell
    karrio runserver 127.0.0.1:5002 --noreload

    KARRIO_URL=http://127.0.0.1:5002 KARRIO_USER=a@b.example KARRIO_PASSWORD=Pass-1 pytest -m karrio

Its "generic" carrier sells labels by a table of prices and follows no parcel.
"""

import os
from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest

from fulfillment.domain.provider_errors import (
    AuthConfig,
    LabelRefused,
    NotFound,
    ProviderUnavailable,
    Rejected,
    StateConflict,
)
from fulfillment.providers.carriers.karrio.client import KarrioCarrier
from tests.providers.carriers.karrio.double import KarrioDouble
from tests.providers.carriers.karrio.test_client import BOSTON, JOB

NEEDED = ("KARRIO_URL", "KARRIO_USER", "KARRIO_PASSWORD")


@pytest.fixture(scope="module", params=["double", pytest.param("server", marks=pytest.mark.karrio)])
def carrier(request: pytest.FixtureRequest) -> Iterator[KarrioCarrier]:
    if request.param == "server":
        url, key = _server()
        carrier = KarrioCarrier(key=key, base_url=url)
        yield carrier
        carrier.close()
        return
    double = KarrioDouble()
    carrier = KarrioCarrier(key="key_1", base_url=double.url)
    yield carrier
    carrier.close()
    double.close()


def _server() -> tuple[str, str]:
    """Return the address of a real server that has a carrier, and a key to it."""
    if missing := [name for name in NEEDED if not os.environ.get(name)]:
        pytest.skip(f"no Karrio server: {', '.join(missing)} not set; {__name__} says how to start one")
    url, user, password = (os.environ[name] for name in NEEDED)
    with httpx.Client(base_url=url, timeout=60) as http:
        token = http.post("/api/token", json={"email": user, "password": password}).raise_for_status()
        http.headers["authorization"] = f"Bearer {token.json()['access']}"
        if not http.get("/v1/connections").raise_for_status().json()["results"]:
            names = {"display_name": "Gen", "custom_carrier_name": "gen"}
            generic = {"carrier_name": "generic", "carrier_id": "gen", "credentials": names}
            http.post("/v1/connections", json=generic).raise_for_status()
        asked = http.post("/graphql", json={"query": "{ token { key } }"}).raise_for_status()
    return url, str(asked.json()["data"]["token"]["key"])


def test_a_label_is_quoted_bought_once_and_given_back(carrier: KarrioCarrier) -> None:
    quoted = carrier.quote(JOB)
    with pytest.raises(ProviderUnavailable):
        carrier.bought(quoted.reference)

    label = carrier.buy(quoted.reference, quoted.quotes[0])

    assert (label.carrier, label.service) == (quoted.quotes[0].carrier, quoted.quotes[0].service)
    assert (label.cost, label.currency) == (quoted.quotes[0].price, "USD")
    assert label.tracking_number
    assert label.label_url.endswith(f"/v1/shipments/{quoted.reference}/label.pdf")
    assert carrier.bought(quoted.reference) == label
    with pytest.raises(StateConflict):
        carrier.buy(quoted.reference, quoted.quotes[0])
    assert not carrier.is_void(quoted.reference)
    carrier.void(quoted.reference)
    carrier.void(quoted.reference)
    assert carrier.is_void(quoted.reference)
    assert carrier.bought(quoted.reference) is None


def test_the_same_shipment_is_offered_again(carrier: KarrioCarrier) -> None:
    first = carrier.quote(JOB)

    again = carrier.quote(replace(JOB, reference=first.reference))

    assert [quote.quote_id for quote in again.quotes] == [quote.quote_id for quote in first.quotes]


def test_refusals_are_of_the_class_we_take_them_for(carrier: KarrioCarrier) -> None:
    quoted = carrier.quote(JOB)

    with pytest.raises(LabelRefused, match="recipient"):
        carrier.quote(replace(JOB, destination=replace(BOSTON, country="XX")))
    with pytest.raises(Rejected, match="not available"):
        carrier.buy(quoted.reference, replace(quoted.quotes[0], quote_id="rat_of_another"))
    with pytest.raises(NotFound):
        carrier.bought("shp_nobody")
    with pytest.raises(NotFound):
        carrier.void("shp_nobody")


def test_a_cancelled_shipment_is_sold_no_label(carrier: KarrioCarrier) -> None:
    quoted = carrier.quote(JOB)
    carrier.void(quoted.reference)

    with pytest.raises(StateConflict):
        carrier.buy(quoted.reference, quoted.quotes[0])
    with pytest.raises(LabelRefused, match="was cancelled"):
        carrier.quote(replace(JOB, reference=quoted.reference, sends=1))


def test_a_carrier_that_is_not_followed_has_no_history(carrier: KarrioCarrier) -> None:
    assert carrier.track("generic", "1Z1") == ((), None)
    assert carrier.track("no such carrier", "1Z1") == ((), None)


def test_a_wrong_key_is_a_matter_of_the_settings(carrier: KarrioCarrier) -> None:
    stranger = KarrioCarrier(key="key_of_nobody", base_url=carrier._base_url)

    with pytest.raises(AuthConfig):
        stranger.is_void("shp_1")

    stranger.close()
