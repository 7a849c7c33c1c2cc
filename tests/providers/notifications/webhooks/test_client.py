"""Webhooks on the wire: what the official library accepts, sent where it may go."""

import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from fulfillment.domain.webhooks import Delivery, ShopEvent, body_of, new_secret, signed_headers
from fulfillment.providers.notifications.webhooks.client import NotTaken, WebhookChannel

EVENT = ShopEvent(
    seq=41,
    order_id="SO-1",
    kind="shipped",
    text="Your parcel is on its way, Zoë.",
    data={"parcel_id": "SO-1-P1"},
    at=datetime(2026, 11, 23, 12, tzinfo=UTC),
)


def now() -> datetime:
    return datetime.now(UTC)


def test_the_official_library_accepts_our_signature_and_each_secret_of_a_rotation() -> None:
    old, new = new_secret(), new_secret()
    body = body_of(EVENT, "https://shop.example")
    headers = signed_headers(EVENT.event_id, now(), body, [new, old])

    for secret in (old, new):
        event: Any = Webhook(secret).verify(body, headers)
        assert (event["specversion"], event["id"], event["type"]) == ("1.0", "evt_41", "order.shipped.v1")
        assert (event["source"], event["subject"]) == ("https://shop.example", "SO-1")
        assert event["data"] == {"parcel_id": "SO-1-P1", "order_id": "SO-1", "text": EVENT.text}


@pytest.mark.parametrize("spoiled", ["body", "id", "time", "secret"])
def test_the_official_library_refuses_anything_we_did_not_sign(spoiled: str) -> None:
    secret, body = new_secret(), body_of(EVENT, "https://shop.example")
    at = now() - timedelta(hours=1) if spoiled == "time" else now()
    headers = signed_headers(EVENT.event_id, at, body, [secret])
    headers |= {"webhook-id": "evt_42"} if spoiled == "id" else {}

    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret() if spoiled == "secret" else secret).verify(
            body.replace(b"SO-1", b"SO-2") if spoiled == "body" else body, headers
        )


class Storefront:
    """Somebody who takes webhooks, and answers what the test says."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, dict[str, str], bytes]] = []
        self.status, self.headers = 204, dict[str, str]()
        storefront = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                storefront.taken.append((self.path, dict(self.headers.items()), body))
                self.send_response(storefront.status)
                for name, value in storefront.headers.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *words: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://localhost:{self.server.server_port}"


@pytest.fixture
def storefront() -> Iterator[Storefront]:
    made = Storefront()
    serving = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.02})
    serving.start()
    yield made
    made.server.shutdown()
    serving.join()
    made.server.server_close()


@pytest.fixture
def channel() -> Iterator[WebhookChannel]:
    made = WebhookChannel(source="https://shop.example", real_now=now, to_private=True)
    yield made
    made.close()


def a_delivery(url: str, secret: str = "") -> Delivery:
    return Delivery(endpoint_id="we_1", url=url, secrets=(secret or new_secret(),), tries=0, event=EVENT)


def test_what_arrives_is_what_was_signed(channel: WebhookChannel, storefront: Storefront) -> None:
    secret = new_secret()

    status = channel.send(a_delivery(f"{storefront.url}/hooks?shop=1", secret))

    ((path, headers, body),) = storefront.taken
    assert (status, path) == (204, "/hooks?shop=1")
    assert headers["content-type"].startswith("application/cloudevents+json")
    assert Webhook(secret).verify(body, headers)


@pytest.mark.parametrize(
    ("status", "headers", "wait"),
    [
        (500, {}, timedelta(0)),
        (429, {"Retry-After": "120"}, timedelta(seconds=120)),
        (410, {}, timedelta(0)),
        (302, {"Location": "http://127.0.0.1:1/elsewhere"}, timedelta(0)),
    ],
)
def test_only_a_2xx_is_taken_and_no_redirect_is_followed(
    channel: WebhookChannel, storefront: Storefront, status: int, headers: dict[str, str], wait: timedelta
) -> None:
    storefront.status, storefront.headers = status, headers

    with pytest.raises(NotTaken) as no:
        channel.send(a_delivery(storefront.url))

    assert (no.value.status, no.value.wait, len(storefront.taken)) == (status, wait, 1)


def test_nobody_there_is_not_taken(channel: WebhookChannel, storefront: Storefront) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(NotTaken) as no:
            channel.send(a_delivery(f"http://127.0.0.1:{closed.getsockname()[1]}/"))

    assert no.value.status is None


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "192.168.0.1", "169.254.169.254", "::1", "fd00::1", "::ffff:10.0.0.1"],
)
def test_an_endpoint_in_our_own_network_is_never_called(
    storefront: Storefront, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    """Whatever its name says: what counts is the address to which the connection would go."""
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, storefront.server.server_port))]
    monkeypatch.setattr("fulfillment.http.socket.getaddrinfo", lambda *asked, **more: found)
    strict = WebhookChannel(source="https://shop.example", real_now=now)

    with pytest.raises(NotTaken, match="not on the internet"):
        strict.send(a_delivery(storefront.url.replace("localhost", "storefront.example")))

    assert storefront.taken == []
    strict.close()
