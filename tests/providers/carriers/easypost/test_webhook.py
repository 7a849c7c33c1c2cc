"""EasyPost's webhooks: the official client's signatures are ours and ours are its."""

import hashlib
import hmac
import json
import unicodedata
from datetime import UTC, date, datetime

import pytest
from easypost import util as official

from fulfillment.domain.tracking import CarrierStatus
from fulfillment.providers.carriers.easypost import webhook
from tests.devstack.simulators.conftest import EASYPOST_SECRET, Listener, Simulator, wait_for

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
EVENT = {
    "id": "evt_1",
    "object": "Event",
    "description": "tracker.updated",
    "result": {
        "object": "Tracker",
        "tracking_code": "9400100000000000000000",
        "carrier": "USPS",
        "est_delivery_date": "2026-11-27T00:00:00Z",
        "tracking_details": [
            {"datetime": "2026-11-23T10:00:00Z", "status": "pre_transit", "status_detail": "label_created"},
            {"datetime": "2026-11-23T11:00:00Z", "status": "in_transit", "status_detail": "in_transit"},
        ],
    },
}
BODY = json.dumps(EVENT).encode()


def signed(body: bytes, secret: str) -> dict[str, str]:
    """Sign as EasyPost does."""
    key = unicodedata.normalize("NFKD", secret).encode()
    return {"x-hmac-signature": "hmac-sha256-hex=" + hmac.new(key, body, hashlib.sha256).hexdigest()}


@pytest.mark.parametrize("secret", ["plain", "sécret", "ﬁne"])
def test_what_the_official_client_accepts_we_accept(secret: str) -> None:
    headers = signed(BODY, secret)

    event = official.validate_webhook(BODY, {"X-Hmac-Signature": headers["x-hmac-signature"]}, secret)

    assert event["id"] == "evt_1"
    assert webhook.verify(BODY, headers, [secret], now=NOW)


def test_what_the_official_client_refuses_we_refuse() -> None:
    headers = signed(BODY, "another")

    with pytest.raises(Exception, match="Webhook"):
        official.validate_webhook(BODY, {"X-Hmac-Signature": headers["x-hmac-signature"]}, "plain")

    assert not webhook.verify(BODY, headers, ["plain"], now=NOW)


def test_while_a_secret_is_replaced_both_are_accepted() -> None:
    assert webhook.verify(BODY, signed(BODY, "old"), ["new", "old"], now=NOW)


@pytest.mark.parametrize("secrets", [[], [""]])
def test_without_a_secret_everything_is_refused(secrets: list[str]) -> None:
    assert not webhook.verify(BODY, signed(BODY, ""), secrets, now=NOW)


@pytest.mark.parametrize("header", ["", "hmac-sha256-hex=", "hmac-sha256-hex=é"])
def test_a_header_that_makes_no_sense_is_refused(header: str) -> None:
    assert not webhook.verify(BODY, {"x-hmac-signature": header}, ["plain"], now=NOW)


def test_a_changed_body_is_refused() -> None:
    assert not webhook.verify(BODY + b" ", signed(BODY, "plain"), ["plain"], now=NOW)


def test_an_event_carries_the_whole_history_of_a_parcel() -> None:
    report = webhook.parse(BODY)

    assert (report.event_id, report.kind) == ("evt_1", "tracker.updated")
    assert (report.carrier, report.tracking_number) == ("USPS", "9400100000000000000000")
    assert [scan.status for scan in report.scans] == [CarrierStatus.PRE_TRANSIT, CarrierStatus.IN_TRANSIT]
    assert report.edd == date(2026, 11, 27)


def test_an_event_about_something_else_has_no_parcel() -> None:
    report = webhook.parse(json.dumps(EVENT | {"description": "batch.created"}).encode())

    assert (report.kind, report.tracking_number, report.scans) == ("batch.created", "", ())


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"id":"e","description":"tracker.updated","result":null}', b"\xff"]
)
def test_what_is_no_event_is_refused(body: bytes) -> None:
    with pytest.raises(webhook.BadEvent):
        webhook.parse(body)


def test_the_events_of_a_journey_are_genuine(world: Simulator, listener: Listener) -> None:
    code = world.label("SO-W2:buy_label:SO-W2-P1:1")["tracking_code"]
    world.http.post(f"/_sim/parcels/{code}/scans", json={"status": "in_transit", "status_detail": "held"})
    wait_for(lambda: any("tracker.updated" in event["description"] for event in listener.events(code)))

    mine = [(headers, body) for headers, body in listener.taken if code.encode() in body]

    for headers, body in mine:
        lower = {name.lower(): value for name, value in headers.items()}
        assert webhook.verify(body, lower, [EASYPOST_SECRET], now=datetime.now(UTC))
        assert webhook.parse(body).tracking_number == code
