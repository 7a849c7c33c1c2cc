"""How customers are reached, over HTTP: wishes, the unsubscribe link, bounces, and what phones answer."""

import base64
import hashlib
import hmac
from typing import Any
from urllib.parse import urlencode

import pytest

from fulfillment.domain.notifications import Block, Channel, Fact, Preferences, Told
from tests.starter.states import STATES
from tests.starter.views import TOKEN
from tests.starter.world import TWILIO_TOKEN, World

STATUS = "/webhooks/twilio/status?notification=7"
MESSAGES = "/webhooks/twilio/messages"
BOUNCE = b"""From: Mail Delivery System <MAILER-DAEMON@mx.example>
To: orders@northwind.example
Subject: Undelivered Mail Returned to Sender
Content-Type: multipart/report; report-type=delivery-status; boundary="b"
MIME-Version: 1.0

--b
Content-Type: text/plain

I'm sorry to have to inform you that your message could not be delivered.

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example

Final-Recipient: rfc822; noor@example.com
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 <noor@example.com>: Recipient
    address rejected

--b
Content-Type: text/rfc822-headers

Message-ID: <order-SO-10483.shipped.SO-10483-1.1@northwind.example>
Subject: Arriving Fri 27 Nov

--b--
"""


def from_twilio(path: str, token: str = TWILIO_TOKEN, **form: str) -> Any:
    signed = f"https://shop.example{path}" + "".join(name + form[name] for name in sorted(form))
    signature = base64.b64encode(hmac.new(token.encode(), signed.encode(), hashlib.sha1).digest()).decode()
    headers = {"X-Twilio-Signature": signature, "Content-Type": "application/x-www-form-urlencoded"}
    return {"url": path, "content": urlencode(form).encode(), "headers": headers}


async def test_a_storefront_keeps_what_its_customer_wants(storefront: Any, world: World) -> None:
    path = "/v1/customers/cus_4103/preferences"
    body = {"sms": True, "main": "sms", "locale": "ja", "zone": "Asia/Tokyo"}

    changed = await storefront.put(path, json=body)
    read = await storefront.get(path)

    wanted = Preferences(customer_id="cus_4103", sms=True, main=Channel.SMS, locale="ja", zone="Asia/Tokyo")
    assert world.contacts.wanted == wanted
    assert changed.json() == read.json() == {**body, "delivery_news": True}


async def test_what_a_change_leaves_out_stays(storefront: Any, world: World) -> None:
    """Guard: what is left out stays. Without it a new language takes back a consent and an unsubscription."""
    path = "/v1/customers/cus_4103/preferences"
    await storefront.put(path, json={"sms": True, "main": "sms", "delivery_news": False})

    changed = await storefront.put(path, json={"locale": "de"})

    assert changed.json() == {
        "main": "sms", "sms": True, "delivery_news": False, "locale": "de", "zone": ""
    }  # fmt: skip


@pytest.mark.parametrize("body", [{"main": "sms"}, {"zone": "Mars/Olympus"}, {"main": "pigeon"}])
async def test_wishes_nobody_can_fulfil_are_refused(storefront: Any, body: dict[str, str]) -> None:
    answer = await storefront.put("/v1/customers/cus_4103/preferences", json=body)

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


async def test_one_click_unsubscribes_and_looking_at_the_link_does_not(anybody: Any, world: World) -> None:
    world.books.put(STATES["in_transit"][0]())
    link = f"/t/{TOKEN}/unsubscribe"

    looked = await anybody.get(link)
    untouched = list(world.contacts.asked)
    clicked = await anybody.post(link, data={"List-Unsubscribe": "One-Click"})
    wrong = await anybody.post("/t/AAAAAAAAAAAAAAAAAAAAAA/unsubscribe")

    assert (looked.status_code, clicked.status_code, wrong.status_code) == (200, 200, 404)
    assert (untouched, world.contacts.asked) == ([], [("unsubscribe", "SO-10483")])
    assert "form-action 'self'" in looked.headers["content-security-policy"]


async def test_support_sees_why_nothing_arrives_and_reaches_the_customer_elsewhere(
    support: Any, storefront: Any, world: World
) -> None:
    path = "/v1/orders/SO-10483/contact"

    answer = await support.put(path, json={"phone": "+12085550142"})

    assert answer.json() == {"blocked": {"email": "bounced: no such user"}}
    assert world.contacts.asked == [("reach_at", "SO-10483", "", "+12085550142")]
    assert (await storefront.get(path)).status_code == 403


async def test_a_block_is_lifted_once(support: Any, world: World) -> None:
    body = {"channel": "sms", "recipient": "+12085550142"}

    first = await support.post("/v1/contact_blocks/lift", json=body)
    world.contacts.known = False
    second = await support.post("/v1/contact_blocks/lift", json=body)

    assert (first.status_code, second.status_code) == (204, 404)


async def test_the_mail_server_hands_us_what_came_back(open_door: Any, world: World) -> None:
    answer = await open_door("operator-key").post("/v1/bounces", content=BOUNCE)

    told = Told(order_id="SO-10483", fact=Fact.SHIPPED, subject="SO-10483-1", version=1)
    why = "550 5.1.1 <noor@example.com>: Recipient address rejected"
    assert answer.status_code == 202
    assert world.contacts.asked == [("bounced_mail", "noor@example.com", told, why, Block.BOUNCED)]


@pytest.mark.parametrize(
    ("change", "status", "block"),
    [
        ((b"5.1.1", b"5.2.2"), 202, None),  # a full mailbox is about today
        ((b"Action: failed", b"Action: delayed"), 400, None),
        ((b"message/delivery-status", b"text/plain"), 400, None),
    ],
)
async def test_only_what_says_that_nobody_lives_there_blocks_an_address(
    open_door: Any, world: World, change: tuple[bytes, bytes], status: int, block: Block | None
) -> None:
    answer = await open_door("operator-key").post("/v1/bounces", content=BOUNCE.replace(*change))

    assert answer.status_code == status
    assert [asked[-1] for asked in world.contacts.asked] == ([block] if status == 202 else [])


@pytest.mark.parametrize(
    ("form", "asked"),
    [
        ({"MessageStatus": "sent"}, ("arrived", 7, "SM1", False)),
        ({"MessageStatus": "delivered"}, ("arrived", 7, "SM1", True)),
        ({"MessageStatus": "undelivered", "ErrorCode": "30003"}, ("bounced", 7, "SM1", None, True)),
        ({"MessageStatus": "undelivered", "ErrorCode": "30005"}, ("bounced", 7, "SM1", Block.BOUNCED, False)),
        ({"MessageStatus": "failed", "ErrorCode": "21610"}, ("bounced", 7, "SM1", Block.STOPPED, False)),
        ({"MessageStatus": "failed", "ErrorCode": "99999"}, ("bounced", 7, "SM1", None, False)),
    ],
)
async def test_what_became_of_a_text_message_is_noted(
    anybody: Any, world: World, form: dict[str, str], asked: tuple[Any, ...]
) -> None:
    answer = await anybody.post(**from_twilio(STATUS, MessageSid="SM1", **form))

    assert answer.status_code == 204
    assert world.contacts.asked == [asked]


@pytest.mark.parametrize(
    ("form", "asked"),
    [
        ({"Body": " Stop. "}, ("stop", "SM2", "+12085550142", "stop")),
        ({"Body": "bitte nicht", "OptOutType": "STOP"}, ("stop", "SM2", "+12085550142", "stop")),
        ({"Body": "UNSTOP"}, ("start", "SM2", "+12085550142", "unstop")),
        ({"Body": "please stop by tomorrow"}, ("heard", "SM2")),
    ],
)
async def test_stop_and_start_are_obeyed_and_nothing_else_is_kept(
    anybody: Any, world: World, form: dict[str, str], asked: tuple[Any, ...]
) -> None:
    await anybody.post(**from_twilio(MESSAGES, MessageSid="SM2", From="+12085550142", **form))

    assert world.contacts.asked == [asked]


@pytest.mark.parametrize("path", [STATUS, MESSAGES])
async def test_what_twilio_did_not_sign_for_this_address_is_turned_away(
    anybody: Any, world: World, path: str
) -> None:
    forged = from_twilio(
        path, "another-token", MessageSid="SM1", MessageStatus="failed", From="+1", Body="stop"
    )
    moved = from_twilio(path, MessageSid="SM1", MessageStatus="failed", From="+1", Body="stop")
    moved["url"] = path + ("&" if "?" in path else "?") + "x=1"

    answers = [await anybody.post(**request) for request in (forged, moved)]

    assert [answer.status_code for answer in answers] == [401, 401]
    assert world.contacts.asked == []
