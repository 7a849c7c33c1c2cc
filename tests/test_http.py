"""HTTP failures and what they mean, against a server that misbehaves as told."""

import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from fastapi import FastAPI, Request

from fulfillment.domain.provider_errors import (
    AuthConfig,
    NotFound,
    OutcomeUnknown,
    ProviderUnavailable,
    RateLimited,
    Rejected,
    StateConflict,
)
from fulfillment.http import (
    ApiAway,
    ApiRefused,
    ProviderHttp,
    Reply,
    api_client,
    asgi_client,
    legible,
    retry_after,
)
from tests.devstack.simulators.conftest import free_port

SILENCE = b""
RESET = b"reset"


def answer(status: str, body: bytes = b"{}", *headers: str, length: int | None = None) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


class Server:
    """Reads whole requests, keeps them, and answers each with `says`."""

    def __init__(self) -> None:
        self.says = answer("200 OK")
        self.requests: list[bytes] = []
        self.connections = 0
        server = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                server.connections += 1
                while request := server.read(self.request):
                    server.requests.append(request)
                    if server.says == SILENCE:
                        server.over.wait(5)
                        return
                    if server.says == RESET:
                        self.request.setsockopt(
                            socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00"
                        )
                        return
                    self.request.sendall(server.says)
                    if b"truncated" in server.says:
                        return

        self.over = threading.Event()
        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/base"

    def read(self, connection: socket.socket) -> bytes:
        data = b""
        while b"\r\n\r\n" not in data:
            if not (part := connection.recv(65536)):
                return b""
            data += part
        head, _, body = data.partition(b"\r\n\r\n")
        length = next(
            (
                int(line.split(b":")[1])
                for line in head.split(b"\r\n")
                if line.lower().startswith(b"content-length")
            ),
            0,
        )
        while len(body) < length:
            body += connection.recv(65536)
        return head + b"\r\n\r\n" + body

    def close(self) -> None:
        self.over.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


def says_nothing(reply: Reply) -> Exception | None:
    return None


def client_of(url: str, explain: Callable[[Reply], Exception | None] = says_nothing) -> ProviderHttp:
    return ProviderHttp(
        "Acme",
        url,
        headers={"authorization": "Bearer k"},
        read_timeout=0.3,
        request_id_header="x-request",
        explain=explain,
    )


@pytest.fixture
def http(server: Server) -> Iterator[ProviderHttp]:
    http = client_of(server.url)
    yield http
    http.close()


def change(http: ProviderHttp) -> Reply:
    return http.submit("/things", [("a[b]", "c d"), ("e[]", "f")], headers={"idempotency-key": "k-1"})


def test_a_form_goes_out_with_its_names_its_key_and_our_credentials(
    http: ProviderHttp, server: Server
) -> None:
    server.says = answer("200 OK", b'{"id": 7}', "X-Request: r-1")

    reply = change(http)

    (request,) = server.requests
    head, _, body = request.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /base/things HTTP/1.1")
    assert b"idempotency-key: k-1" in head.lower()
    assert b"authorization: bearer k" in head.lower()
    assert body == b"a%5Bb%5D=c+d&e%5B%5D=f"
    assert (reply.body, reply.request_id, reply.was_change) == ({"id": 7}, "r-1", True)


def test_connections_are_kept_between_requests(http: ProviderHttp, server: Server) -> None:
    http.read("/a")
    http.post("/b", {"c": 1})

    assert (len(server.requests), server.connections) == (2, 1)


def test_a_change_that_was_never_sent_changed_nothing() -> None:
    http = client_of(f"http://127.0.0.1:{free_port()}")

    with pytest.raises(ProviderUnavailable):
        change(http)

    http.close()


LOST = [
    pytest.param(SILENCE, id="no answer in time"),
    pytest.param(RESET, id="the connection is reset"),
    pytest.param(answer("200 OK", b'{"truncated', length=99), id="half an answer"),
    pytest.param(answer("200 OK", b"<html>hello</html>"), id="a page instead of JSON"),
    pytest.param(answer("200 OK", b"[1]"), id="JSON that is no object"),
    pytest.param(answer("200 OK", b'{"a": "\xff"}'), id="JSON that is no text"),
    pytest.param(b"what?\r\n\r\ntruncated", id="no HTTP"),
    pytest.param(answer("500 Oops"), id="500"),
    pytest.param(answer("502 Bad Gateway", b"<html>502</html>"), id="a page from a gateway"),
    pytest.param(answer("408 Timeout"), id="408"),
]


@pytest.mark.parametrize("says", LOST)
def test_a_change_without_a_readable_answer_is_in_doubt_and_sent_once(
    http: ProviderHttp, server: Server, says: bytes
) -> None:
    server.says = says

    with pytest.raises(OutcomeUnknown):
        change(http)

    assert len(server.requests) == 1


@pytest.mark.parametrize("says", LOST)
def test_a_read_without_a_readable_answer_leaves_nothing_in_doubt(
    http: ProviderHttp, server: Server, says: bytes
) -> None:
    server.says = says

    with pytest.raises(ProviderUnavailable):
        http.read("/things")

    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("says", "kind"),
    [
        (answer("401 No"), AuthConfig),
        (answer("403 No"), AuthConfig),
        (answer("404 No", b"<html>"), NotFound),
        (answer("422 No"), Rejected),
        (answer("302 Over there", b"", "Location: /elsewhere"), Rejected),
    ],
)
def test_a_refusal_is_read_from_its_status(
    http: ProviderHttp, server: Server, says: bytes, kind: type[Exception]
) -> None:
    server.says = says

    with pytest.raises(kind) as refused:
        change(http)

    assert type(refused.value) is kind


def test_what_the_provider_means_by_a_refusal_stands_above_the_status(server: Server) -> None:
    http = client_of(server.url, lambda reply: StateConflict(str(reply.body["code"])))
    server.says = answer("500 Oops", b'{"code": "already"}')

    with pytest.raises(StateConflict, match="already"):
        change(http)

    http.close()


def test_a_busy_provider_says_how_long_to_wait(http: ProviderHttp, server: Server) -> None:
    server.says = answer("429 Slow down", b"", "Retry-After: 12")

    with pytest.raises(RateLimited) as busy:
        change(http)

    assert busy.value.retry_after == timedelta(seconds=12)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("12", 12),
        ("", 1),
        ("soon", 1),
        ("Mon, 23 Nov 2026 12:00:30 GMT", 30),
        ("Mon, 23 Nov 2026 12:00:30 -0000", 30),
        ("Mon, 23 Nov 2026 11:00:00 GMT", 0),
    ],
)
def test_retry_after_is_a_number_or_a_date(header: str, seconds: int) -> None:
    now = datetime(2026, 11, 23, 12, tzinfo=UTC)

    assert retry_after(header, now=now) == timedelta(seconds=seconds)


@pytest.mark.parametrize(("was_change", "kind"), [(True, OutcomeUnknown), (False, ProviderUnavailable)])
def test_an_answer_without_what_it_must_hold_is_as_good_as_lost(
    was_change: bool, kind: type[Exception]
) -> None:
    reply = Reply(status=200, body={}, headers={}, request_id="", was_change=was_change)

    with pytest.raises(kind), legible(reply):
        reply.body["id"]


# Our own API


def test_the_api_client_speaks_json_with_its_key(server: Server) -> None:
    server.says = answer("200 OK", b'{"data": [1]}')

    with api_client(server.url, "wb_1") as api:
        got = api.get("/v1/orders", limit=5, cursor=None)
        api.post("/v1/receipts", {"sku": "MUG"}, key="r-1")

    listed, posted = server.requests
    assert got == {"data": [1]}
    assert listed.startswith(b"GET /base/v1/orders?limit=5 HTTP")
    assert b"bearer wb_1" in listed.lower()
    assert b'idempotency-key: "r-1"' in posted.lower()
    assert posted.endswith(b'{"sku":"MUG"}')


def test_a_no_of_the_api_carries_its_code_and_its_sentence(server: Server) -> None:
    server.says = answer("409 Conflict", b'{"code": "order_held", "detail": "SO-1 is on hold."}')

    with api_client(server.url) as api, pytest.raises(ApiRefused, match="SO-1 is on hold") as no:
        api.post("/v1/x")

    assert (no.value.status, no.value.code) == (409, "order_held")


@pytest.mark.parametrize(("body", "said"), [(b"", "status 500"), (b"[1]", "[1]"), (b"oops", "oops")])
def test_a_no_without_a_problem_still_says_something(server: Server, body: bytes, said: str) -> None:
    server.says = answer("500 Oops", body)

    with api_client(server.url) as api, pytest.raises(ApiRefused) as no:
        api.get("/v1/x")

    assert no.value.detail == said


def test_an_api_that_is_not_there_is_told_apart_from_a_no() -> None:
    with api_client(f"http://127.0.0.1:{free_port()}") as api, pytest.raises(ApiAway):
        api.get("/v1/x")


async def test_an_application_is_called_in_this_process() -> None:
    app = FastAPI()

    @app.get("/hello")
    def hello(request: Request) -> dict[str, str | None]:
        return {"key": request.headers.get("authorization")}

    async with asgi_client(app, key="wb_1") as client:
        got = await client.get("/hello")

    assert got.json() == {"key": "Bearer wb_1"}
