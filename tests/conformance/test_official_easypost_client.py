"""EasyPost's own client finds in the simulator what it knows of EasyPost, and sees the labels that our adapter bought.

It repeats nothing by itself: after a lost answer it must read, as we do. What it finds in a good day's answers stands in
tests/devstack/simulators/test_shipments.py.
"""

from collections.abc import Iterator
from typing import Any

import easypost
import easypost.errors
import easypost.util
import pytest

from fulfillment.domain.address import Address
from fulfillment.domain.label import LabelJob
from fulfillment.domain.provider_errors import StateConflict
from fulfillment.domain.tracking import CarrierStatus
from fulfillment.providers.carriers.easypost import webhook
from fulfillment.providers.carriers.easypost.client import EasyPostCarrier
from fulfillment.settings import real_now
from tests.devstack.simulators.conftest import (
    EASYPOST_SECRET,
    FROM,
    PARCEL,
    TO,
    Listener,
    Simulator,
    wait_for,
)

BUY = {"provider": "easypost", "route": "POST /v2/shipments/*/buy"}
RENO = Address(name="Dock", line1="1 Dock Rd", city="Reno", region="NV", postal_code="89501", country="US")
BOSTON = Address(name="Ada", line1="5 Elm St", city="Boston", region="MA", postal_code="02101", country="US")


@pytest.fixture
def client(world: Simulator) -> Any:
    return easypost.EasyPostClient("EZTK1", api_base=f"{world.url}/easypost/v2", timeout=5)


@pytest.fixture
def ours(world: Simulator) -> Iterator[EasyPostCarrier]:
    carrier = EasyPostCarrier(key="EZTK1", base_url=f"{world.url}/easypost/v2")
    yield carrier
    carrier.close()


def quoted(client: Any, reference: str) -> Any:
    return client.shipment.create(from_address=FROM, to_address=TO, parcel=PARCEL, reference=reference)


def printed(world: Simulator, reference: str) -> list[str]:
    """Return the labels of a reference by the provider's own books."""
    labels = world.ledger()["labels"]
    return [x["tracking_number"] for x in labels if x["reference"] == reference and x["tracking_number"]]


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("http_429", "RateLimitError"),
        ("http_5xx", "InternalServerError"),
        ("html_502", "JsonError"),
        ("truncated_json", "JsonError"),
        ("reset", "HttpError"),
        ("decline", "InvalidRequestError"),
    ],
)
def test_trouble_before_the_deed_is_of_the_class_the_client_has_for_it_and_buys_nothing(
    client: Any, world: Simulator, kind: str, error: str
) -> None:
    reference = f"SO-EP1-{kind}:buy_label:P1:1"
    shipment = quoted(client, reference)
    world.fault(kind, match=BUY)

    with pytest.raises(getattr(easypost.errors, error)):
        client.shipment.buy(shipment.id, rate=shipment.lowest_rate())

    assert printed(world, reference) == []
    assert client.shipment.buy(shipment.id, rate=shipment.lowest_rate()).tracking_code


@pytest.mark.parametrize("kind", ["reset", "html_502", "http_5xx", "truncated_json"])
def test_a_purchase_whose_answer_was_lost_is_found_by_reading_and_a_repeat_is_refused(
    client: Any, world: Simulator, kind: str
) -> None:
    reference = f"SO-EP2-{kind}:buy_label:P1:1"
    shipment = quoted(client, reference)
    world.fault(kind, "after_commit", match=BUY)

    with pytest.raises(easypost.errors.EasyPostError):
        client.shipment.buy(shipment.id, rate=shipment.lowest_rate())
    found = client.shipment.retrieve(shipment.id)
    with pytest.raises(easypost.errors.InvalidRequestError) as repeated:
        client.shipment.buy(shipment.id, rate=shipment.lowest_rate())

    assert printed(world, reference) == [found.tracking_code]
    assert repeated.value.code == "SHIPMENT.POSTAGE.EXISTS"


def test_a_carrier_that_refuses_names_itself_in_the_clients_own_fields(client: Any, world: Simulator) -> None:
    shipment = quoted(client, "SO-EP3:buy_label:P1:1")
    world.fault("decline", match=BUY)

    with pytest.raises(easypost.errors.InvalidRequestError) as refused:
        client.shipment.buy(shipment.id, rate=shipment.lowest_rate())

    assert (refused.value.http_status, refused.value.code) == (422, "SHIPMENT.POSTAGE.FAILURE")
    assert refused.value.errors == ["refused"]


def test_the_client_and_our_adapter_speak_of_the_same_labels(
    client: Any, ours: EasyPostCarrier, world: Simulator
) -> None:
    day = real_now().date()
    job = LabelJob(
        key="SO-EP4:buy_label:SO-EP4-P1:1",
        parcel_id="SO-EP4-P1",
        order_id="SO-EP4",
        origin=RENO,
        destination=BOSTON,
        weight_g=900,
        promise_date=day,
        currency="USD",
        today=day,
    )
    quotes = ours.quote(job)

    theirs = client.shipment.retrieve(quotes.reference)
    bought = client.shipment.buy(theirs.id, rate=theirs.lowest_rate())
    label = ours.bought(quotes.reference)
    with pytest.raises(StateConflict):
        ours.buy(quotes.reference, quotes.quotes[0])
    client.shipment.refund(theirs.id)

    assert theirs.reference == job.key
    assert {quote.quote_id for quote in quotes.quotes} == {rate.id for rate in theirs.rates}
    assert label is not None
    assert (label.tracking_number, label.label_url) == (bought.tracking_code, bought.postage_label.label_url)
    assert label.cost == round(float(bought.selected_rate.rate) * 100)
    assert ours.is_void(quotes.reference)


def test_a_parcels_history_is_the_same_in_the_clients_trackers_in_its_events_and_in_our_scans(
    client: Any, ours: EasyPostCarrier, world: Simulator, listener: Listener
) -> None:
    code = world.label("SO-EP5:buy_label:SO-EP5-P1:1")["tracking_code"]
    for detail in ("received_at_origin_facility", "arrived_at_facility", "weather_delay"):
        scan = {"status": "in_transit", "status_detail": detail}
        world.http.post(f"/_sim/parcels/{code}/scans", json=scan).raise_for_status()
    wait_for(lambda: any("weather_delay" in str(event) for event in listener.events(code)))

    (tracker,) = client.tracker.all(tracking_code=code)["trackers"]
    followed = client.tracker.create(tracking_code=code, carrier="USPS")
    scans, _ = ours.track("USPS", code)
    reports = [
        (webhook.parse(body), easypost.util.validate_webhook(body, headers, EASYPOST_SECRET))
        for headers, body in listener.taken
        if code.encode() in body
    ]

    told = [detail.status_detail for detail in tracker.tracking_details]
    assert followed.id == tracker.id
    assert [scan.code.split(".")[1] for scan in scans] == told
    assert scans[told.index("received_at_origin_facility")].status is CarrierStatus.PICKED_UP
    assert {report.event_id for report, _ in reports} == {event["id"] for _, event in reports}
    longest = max((report for report, _ in reports), key=lambda report: len(report.scans))
    assert set(longest.scans) == set(scans)


def test_what_is_not_there_and_who_may_not_are_told_apart(client: Any, world: Simulator) -> None:
    with pytest.raises(easypost.errors.NotFoundError) as nowhere:
        client.tracker.retrieve("trk_nowhere")
    with pytest.raises(easypost.errors.InvalidRequestError) as incomplete:
        client.tracker.create(carrier="USPS")
    with pytest.raises(easypost.errors.InvalidRequestError) as unpaid:
        client.shipment.refund(quoted(client, "SO-EP6").id)

    assert nowhere.value.code == "NOT_FOUND"
    assert incomplete.value.errors == [{"field": "tracking_code", "message": "cannot be blank"}]
    assert unpaid.value.code == "SHIPMENT.REFUND.UNAVAILABLE"
