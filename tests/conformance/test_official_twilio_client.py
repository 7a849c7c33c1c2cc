"""Twilio's own client finds in the simulator what it knows of Twilio, and its validator what we take as genuine."""

from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from twilio.base.exceptions import TwilioRestException
from twilio.request_validator import RequestValidator
from twilio.rest import Client

from fulfillment.providers.notifications.twilio import webhook
from tests.devstack.simulators.conftest import TWILIO_TOKEN, Listener, Simulator, wait_for

OURS = "+15005550006"


@pytest.fixture
def client(world: Simulator) -> Any:
    made = Client("AC1", TWILIO_TOKEN)
    made.api.base_url = f"{world.url}/twilio"
    yield made
    made.http_client.session.close()


def test_a_message_is_sent_listed_and_read(client: Any) -> None:
    sent = client.messages.create(to="+12085550101", from_=OURS, body="It is late")

    (listed,) = client.messages.list(to="+12085550101", limit=5)
    read = client.messages(sent.sid).fetch()

    assert (listed.sid, read.sid, read.body) == (sent.sid, sent.sid, "It is late")
    assert read.date_created.tzinfo is not None
    assert read.status in ("queued", "sent", "delivered")


@pytest.mark.parametrize(("number", "code"), [("+15005550001", 21211), ("+15005550004", 21610)])
def test_a_refusal_has_twilios_code(client: Any, number: str, code: int) -> None:
    with pytest.raises(TwilioRestException) as no:
        client.messages.create(to=number, from_=OURS, body="It is late")

    assert (no.value.code, no.value.status) == (code, 400)


def test_the_official_validator_takes_the_simulators_callback_as_genuine(
    client: Any, listener: Listener
) -> None:
    url = f"{listener.url}/status?notification=12"
    client.messages.create(to="+12085550102", from_=OURS, body="It is late", status_callback=url)

    def called() -> Any:
        return [call for call in list(listener.taken) if call[0]["path"] == "/status?notification=12"]

    headers, body = wait_for(called)[0]
    assert RequestValidator(TWILIO_TOKEN).validate(
        url, dict(parse_qsl(body.decode())), headers["X-Twilio-Signature"]
    )


def test_we_take_as_genuine_what_the_official_library_signs() -> None:
    url, form = (
        "https://shop.example/webhooks/twilio/messages",
        {"Body": "Stop, bitte: ä & 1+1", "From": "+1"},
    )
    signature = RequestValidator("token").compute_signature(url, form)

    assert webhook.verify(url, urlencode(form).encode(), {"x-twilio-signature": signature}, ["old", "token"])
    assert not webhook.verify(
        url, urlencode(form | {"From": "+2"}).encode(), {"x-twilio-signature": signature}, ["token"]
    )
