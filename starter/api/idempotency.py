"""One key, one body, one answer: the header `Idempotency-Key`, as draft-ietf-httpapi-idempotency-key-header-07."""

import hashlib
import json
import re
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Final

from anyio import CancelScope
from fastapi import Depends, Header, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from fulfillment.storage.idempotency import InProgress, Mismatch, Replay
from starter.access import Caller
from starter.api.problems import Problem
from starter.doors import Keys

REPLAYED: Final = "Idempotency-Replayed"
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\["\\])*)"')  # RFC 8941 3.3.3
_PRINTABLE: Final = re.compile(r"[\x20-\x7e]{1,255}")


def read_key(
    idempotency_key: Annotated[
        str | None, Header(description="Quoted or bare, 1 to 255 characters; kept for ever.")
    ] = None,
) -> str:
    """Return the key the client chose, "" where none was sent.

    Raises:
        Problem: it cannot be a key.
    """
    if idempotency_key is None:
        return ""
    quoted = _QUOTED.fullmatch(idempotency_key.strip())
    key = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else idempotency_key.strip()
    if not _PRINTABLE.fullmatch(key):
        raise Problem("idempotency_key_invalid")
    return key


Key = Annotated[str, Depends(read_key)]


def request_id(verb: str, caller: Caller, key: str) -> str:
    """Return the id of a request. A client's key is its own and counts for one verb; without one each is new."""
    return f"{verb}:{caller.name}:{key}" if key else f"{verb}:{secrets.token_hex(12)}"


def fingerprint(request: Request, body: BaseModel | None) -> str:
    """Return the hash of what was asked: method, path and body, whatever the order of its fields."""
    sent = None if body is None else body.model_dump(mode="json")
    canonical = json.dumps(sent, sort_keys=True, separators=(",", ":"))
    asked = f"{request.method}\n{request.url.path}\n{canonical}"
    return hashlib.sha256(asked.encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request that carries a key; the key is the caller's own, and counts for one route."""

    owner: str
    route: str
    key: str
    body_hash: str


def asked(request: Request, body: BaseModel | None, *, caller: Caller, key: str) -> Asked:
    """Return what identifies this request."""
    route = f"{request.method} {request.scope['route'].path}"
    return Asked(owner=caller.name, route=route, key=key, body_hash=fingerprint(request, body))


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """An answer, and whether it is the one of an earlier request."""

    body: Any
    status: int = 200
    replayed: bool = False

    def response(self, **headers: str) -> JSONResponse:
        """Return it as an HTTP answer."""
        marked = {REPLAYED: "true"} if self.replayed else {}
        return JSONResponse(self.body, self.status, headers={**headers, **marked})


async def once(keys: Keys, what: Asked, work: Callable[[], Awaitable[Answered]]) -> Answered:
    """Answer a request with a key: by doing the work, or with what it came to before.

    A refusal or a failure keeps nothing: the key is free again, and everything behind it is safe to repeat.

    Raises:
        Problem: the first request is still running, or the key was used for another body.
    """
    name = (what.owner, what.route, what.key)
    match await run_in_threadpool(keys.begin, *name, what.body_hash):
        case Replay(status=status, answer=answer):
            return Answered(body=answer, status=status, replayed=True)
        case Mismatch():
            raise Problem("idempotency_mismatch")
        case InProgress():
            raise Problem("idempotency_in_progress", headers={"Retry-After": "1"})
    try:
        answered = await work()
    except BaseException:
        with CancelScope(shield=True):
            await run_in_threadpool(keys.abandon, *name)
        raise
    await run_in_threadpool(partial(keys.finish, *name, status=answered.status, answer=answered.body))
    return answered
