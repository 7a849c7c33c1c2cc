"""What every provider's door shares: a request read once, an answer, routing, and the faults on the way."""

import asyncio
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import parse_qsl

from starlette.types import Message, Receive, Scope, Send

from devstack.simulators.faults import Fault, Faults
from devstack.simulators.store import Json, Store

ABORT = "waybill.abort"
_BRACKET = re.compile(r"\[([^\]]*)\]")


@dataclass(slots=True, kw_only=True)
class Call:
    """A request, its parameters already nested whatever their encoding was."""

    method: str
    path: str
    headers: Mapping[str, str]
    params: Json
    base_url: str
    decline_code: str | None = None
    stored_failure: bool = False


@dataclass(slots=True, kw_only=True)
class Answer:
    """A response, kept as bytes so that a replay is the same to the letter."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


Handler = Callable[..., Answer]


class Refusal(Exception):
    """The provider says no before anything was changed."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


class Desk(Protocol):
    """One provider: answers calls and knows its own error shapes."""

    provider: str

    def serve(self, call: Call) -> Answer:
        """Answer, and change the world where the call asks for it."""

    def begin(self, call: Call) -> Answer | None:
        """Note that the call is being worked on; return a refusal if its key already is."""

    def end(self, call: Call) -> None:
        """Forget what `begin` noted."""

    def failure(self, status: int, *, retry_after: int | None = None) -> Answer:
        """Return this provider's way of saying that something is wrong with itself."""

    def references(self, call: Call) -> list[str]:
        """Return every word in the call that may name an order."""


class Routes:
    """Method and path to handler; the groups of the pattern become its arguments."""

    def __init__(self, table: list[tuple[str, str, Handler]]) -> None:
        self._table = [(method, re.compile(_pattern(path)), handler) for method, path, handler in table]

    def find(self, method: str, path: str) -> tuple[Handler, tuple[str, ...]] | None:
        """Return the handler and the path's ids, or None where nothing lives."""
        for wanted, pattern, handler in self._table:
            if wanted == method and (found := pattern.fullmatch(path)):
                return handler, found.groups()
        return None


def _pattern(path: str) -> str:
    return path.replace("*", "([^/]+)")


def as_json(body: Any, status: int = 200, **headers: str) -> Answer:
    """Return a JSON answer; header names take underscores for dashes."""
    encoded = json.dumps(body, separators=(",", ":")).encode()
    return Answer(status=status, body=encoded, headers={k.replace("_", "-"): v for k, v in headers.items()})


def nested(pairs: list[tuple[str, str]]) -> Json:
    """Return form fields such as metadata[order_id] as the tree they spell."""
    tree: Json = {}
    for name, value in pairs:
        head, *rest = [name.partition("[")[0], *_BRACKET.findall(name)]
        _plant(tree, [head, *rest], value)
    return tree


def _plant(tree: Json, path: list[str], value: str) -> None:
    for step in path[:-1]:
        branch = tree.setdefault(step, {})
        if not isinstance(branch, dict):
            return  # a field given both as a word and as a tree: the word stands
        tree = branch
    tree[path[-1] or str(len(tree))] = value


class Door:
    """The ASGI side of one provider: reads, lets faults strike, asks the desk, answers."""

    def __init__(self, desk: Desk, faults: Faults, store: Store) -> None:
        self._desk, self._faults, self._store = desk, faults, store

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        call = await _read(scope, receive)
        wire = Wire(scope, receive, send)
        if call is None:
            await wire.answer(self._desk.failure(400))
            return
        fault = self._faults.on_call(
            self._desk.provider, call.method, call.path, lambda: self._desk.references(call)
        ) or self._faults.from_header(call.headers.get("x-sim-fault"))
        if fault is None:
            await wire.answer(self._serve(call))
        else:
            await self._strike(fault, call, wire)

    async def _strike(self, fault: Fault, call: Call, wire: "Wire") -> None:
        if fault.when == "before":
            if await self._spoil(fault, None, wire):
                return
            busy = await self._hold(fault, call)
            await wire.answer(busy or self._serve(call), slow_ms=fault.slow_ms)
            return
        call.stored_failure = fault.kind == "http_5xx"
        answer = self._serve(call)
        if await self._spoil(fault, answer, wire):
            return
        await asyncio.sleep(fault.latency_s)
        await wire.answer(answer, slow_ms=fault.slow_ms)

    async def _hold(self, fault: Fault, call: Call) -> Answer | None:
        """Start late. Meanwhile a second call with the same key finds the first one under way."""
        call.decline_code = fault.decline_code if fault.kind == "decline" else None
        if not fault.latency_s:
            return None
        if busy := self._desk.begin(call):
            return busy
        try:
            await asyncio.sleep(fault.latency_s)
        finally:
            self._desk.end(call)
        return None

    async def _spoil(self, fault: Fault, answer: Answer | None, wire: "Wire") -> bool:
        """Replace the answer by what the fault asks for; return whether it did."""
        match fault.kind:
            case "reset":
                await wire.abort()
            case "timeout":
                await wire.silence(fault.timeout_s)
            case "http_5xx":
                await wire.answer(answer or self._desk.failure(fault.status))
            case "html_502":
                await wire.answer(BAD_GATEWAY)
            case "truncated_json":
                await wire.answer(truncated(answer or self._desk.failure(500), 200))
            case "http_429":
                await wire.answer(self._desk.failure(429, retry_after=fault.retry_after))
            case _:
                return False
        return True

    def _serve(self, call: Call) -> Answer:
        if busy := self._desk.begin(call):
            return busy
        try:
            with self._store.transaction():
                return self._desk.serve(call)
        except Refusal as refusal:
            return refusal.answer
        finally:
            self._desk.end(call)


BAD_GATEWAY = Answer(
    status=502,
    body=b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>",
    content_type="text/html",
)


def truncated(answer: Answer, status: int) -> Answer:
    """Return the answer as valid HTTP whose JSON stops in the middle."""
    half = answer.body[: max(1, len(answer.body) // 2)]
    return Answer(status=status if answer.status >= 500 else answer.status, body=half)


class Wire:
    """One client's connection, which can also be treated badly."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope, self._receive, self._send = scope, receive, send

    async def answer(self, answer: Answer, *, slow_ms: int = 0) -> None:
        """Send the answer; slowly in two halves where asked."""
        await self._send(_start(answer))
        if slow_ms:
            half = len(answer.body) // 2
            await self._body(answer.body[:half], more=True)
            await asyncio.sleep(slow_ms / 1000)
            await self._body(answer.body[half:], more=False)
        else:
            await self._body(answer.body, more=False)

    async def _body(self, part: bytes, *, more: bool) -> None:
        await self._send({"type": "http.response.body", "body": part, "more_body": more})

    async def abort(self) -> None:
        """Close the connection without a byte of an answer."""
        abort = self._scope.get(ABORT)
        if abort is None:
            raise ConnectionResetError("this server cannot close a connection on request")
        abort()
        while (await self._receive())["type"] != "http.disconnect":
            pass  # the server must have seen the loss before the application returns

    async def silence(self, seconds: float) -> None:
        """Say nothing for a while, then close. A client that leaves earlier is not waited for."""
        gone = asyncio.ensure_future(self._until_gone())
        done, _ = await asyncio.wait([gone], timeout=seconds)
        if not done:
            gone.cancel()
            await self.abort()

    async def _until_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass


def _start(answer: Answer) -> Message:
    headers = [
        (b"content-type", answer.content_type.encode()),
        (b"content-length", str(len(answer.body)).encode()),
        *((name.lower().encode(), value.encode("latin-1")) for name, value in answer.headers.items()),
    ]
    return {"type": "http.response.start", "status": answer.status, "headers": headers}


async def _read(scope: Scope, receive: Receive) -> Call | None:
    """Return the request, or None where its body cannot be read."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    body = await _body(receive)
    params = nested(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
    sent = _parameters(body, headers.get("content-type", ""))
    if sent is None:
        return None
    host = headers.get("host", "127.0.0.1")
    path = scope["path"].removeprefix("/stripe").removeprefix("/easypost").removeprefix("/twilio")
    return Call(
        method=scope["method"], path=path, headers=headers, params=params | sent, base_url=f"http://{host}"
    )


async def _body(receive: Receive) -> bytes:
    message = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body"):
        message = await receive()
        body += message.get("body", b"")
    return body


def _parameters(body: bytes, content_type: str) -> Json | None:
    if not body:
        return {}
    if not content_type.startswith("application/json"):
        return nested(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
    try:
        parsed = json.loads(body)
    except ValueError:
        return None
    return parsed if isinstance(parsed, dict) else None
