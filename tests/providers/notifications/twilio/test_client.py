"""Text messages by Twilio's wire: sent once, found again after a lost answer, refused for good, reported."""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count
from urllib.parse import parse_qsl

import pytest

from fulfillment.domain.notifications import Block
from fulfillment.domain.provider_errors import OutcomeUnknown, RateLimited, Undeliverable
from fulfillment.providers.notifications.letters import Text
from fulfillment.providers.notifications.twilio import webhook
from fulfillment.providers.notifications.twilio.client import TwilioChannel
from tests.devstack.simulators.conftest import TWILIO_TOKEN, Listener, Simulator, wait_for

NUMBERS = count(7_000)


@pytest.fixture
def channel(world: Simulator, listener: Listener) -> Iterator[TwilioChannel]:
    made = TwilioChannel(
        account="AC1",
        token=TWILIO_TOKEN,
        sender="+15005550006",
        callback_url=f"{listener.url}/status",
        base_url=f"{world.url}/twilio",
    )
    yield made
    made._http.close()


def a_text(recipient: str = "+12085550142", **changes: object) -> Text:
    number = next(NUMBERS)
    text = {"notification_id": number, "recipient": recipient, "body": f"Northwind: SO-{number} is late"}
    return Text(**text | {"since": datetime.now(UTC)} | changes)  # type: ignore[arg-type]


def reports(listener: Listener, text: Text) -> list[tuple[str, webhook.Report]]:
    """Return what Twilio reported of a text, each proven by its signature."""
    path = f"/status?notification={text.notification_id}"
    found = []
    for headers, body in list(listener.taken):
        if headers["path"] == path:
            lower = {name.lower(): value for name, value in headers.items()}
            assert webhook.verify(listener.url + path, body, lower, ["", TWILIO_TOKEN])
            report = webhook.parse_report(body, str(text.notification_id))
            found.append((dict(parse_qsl(body.decode()))["MessageStatus"], report))
    return found


def test_a_text_message_is_sent_and_reported_step_by_step(channel: TwilioChannel, listener: Listener) -> None:
    text = a_text()

    sid = channel.send(text)

    said = wait_for(lambda: len(reports(listener, text)) == 2 and dict(reports(listener, text)))
    assert set(said) == {"sent", "delivered"}
    assert (said["sent"].sid, said["sent"].delivered, said["delivered"].delivered) == (sid, False, True)
    assert said["delivered"].failure is None


def test_after_a_lost_answer_the_message_is_found_and_no_other_is(
    channel: TwilioChannel, world: Simulator
) -> None:
    text = a_text()
    order = f"SO-{text.notification_id}"
    world.fault("reset", "after_commit", match={"provider": "twilio", "order": order}, times=1)

    with pytest.raises(OutcomeUnknown):
        channel.send(text)
    sid = channel.find(text)

    assert sid.startswith("SM")
    assert channel.find(a_text()) == ""
    assert channel.find(a_text(body=text.body, known_refs=(sid,))) == ""
    assert channel.find(a_text(body=text.body, since=datetime(2100, 1, 1, tzinfo=UTC))) == ""


def test_what_never_left_is_not_found(channel: TwilioChannel, world: Simulator) -> None:
    text = a_text()
    order = f"SO-{text.notification_id}"
    world.fault("reset", "before", match={"provider": "twilio", "order": order}, times=1)

    with pytest.raises(OutcomeUnknown):
        channel.send(text)

    assert channel.find(text) == ""


@pytest.mark.parametrize(
    ("number", "block"),
    [
        ("+15005550001", Block.BOUNCED),
        ("+15005550009", Block.BOUNCED),
        ("+15005550004", Block.STOPPED),
    ],
)
def test_a_number_that_takes_no_messages_is_never_tried_again(
    channel: TwilioChannel, number: str, block: Block
) -> None:
    with pytest.raises(Undeliverable) as no:
        channel.send(a_text(number))

    assert no.value.block is block


def test_who_says_stop_gets_nothing_more_until_they_say_start(
    channel: TwilioChannel, world: Simulator, listener: Listener
) -> None:
    phone = "+12085550199"
    for body in ("STOP", "START"):
        world.http.post("/_sim/texts", json={"from": phone, "body": body}).raise_for_status()
        if body == "STOP":
            with pytest.raises(Undeliverable) as no:
                channel.send(a_text(phone))
            assert no.value.block is Block.STOPPED

    assert channel.send(a_text(phone))
    heard = wait_for(lambda: [body for headers, body in listener.taken if headers["path"] == "/twilio"][1:])
    assert webhook.parse_heard(heard[0]).wish in (webhook.Wish.STOP, webhook.Wish.START)


@pytest.mark.parametrize(("code", "again"), [(30003, True), (30005, False)])
def test_a_message_that_fails_on_its_way_is_reported_with_its_reason(
    channel: TwilioChannel, listener: Listener, code: int, again: bool
) -> None:
    text = a_text(f"+1500550{code}")

    channel.send(text)

    failed = wait_for(lambda: dict(reports(listener, text)).get("undelivered"))
    assert failed.failure is not None
    assert (failed.failure.again, failed.delivered) == (again, False)


@pytest.mark.parametrize(
    ("kind", "error"), [("http_5xx", OutcomeUnknown), ("http_429", RateLimited), ("html_502", OutcomeUnknown)]
)
def test_twilios_own_trouble_is_no_trouble_of_the_number(
    channel: TwilioChannel, world: Simulator, kind: str, error: type[Exception]
) -> None:
    text = a_text()
    world.fault(kind, "before", match={"provider": "twilio", "order": f"SO-{text.notification_id}"}, times=1)

    with pytest.raises(error):
        channel.send(text)
