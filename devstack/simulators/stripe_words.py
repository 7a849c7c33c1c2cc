"""How Stripe says things: its errors, its ids, its way of sending numbers and truths."""

from typing import Any, NoReturn
from uuid import uuid4

from devstack.simulators.store import Json
from devstack.simulators.wire import Answer, Call, Refusal, as_json


class Settled(Refusal):
    """An error of the execution itself: what was written stays, and the key keeps the answer."""


def key_of(call: Call) -> str:
    """Return the call's idempotency key, "" where it has none."""
    return call.headers.get("idempotency-key", "")


def error(
    status: int, message: str, *, kind: str = "invalid_request_error", code: str | None = None, **more: Any
) -> Answer:
    """Return an error in Stripe's shape."""
    said = {"type": kind, "message": message} | ({"code": code} if code else {}) | more
    return as_json({"error": said}, status)


def invalid(message: str, *, param: str | None = None, code: str | None = None) -> NoReturn:
    """Refuse a request before anything is executed."""
    more = {"param": param} if param else {}
    raise Refusal(error(400, message, code=code, **more))


def missing(kind: str, identity: str) -> NoReturn:
    """Say that there is no such object."""
    raise Refusal(error(404, f"No such {kind}: '{identity}'", code="resource_missing", param="id"))


def new_id(prefix: str) -> str:
    """Return an id nobody has."""
    return prefix + uuid4().hex[:24]


def amount_in(params: Json, name: str) -> int | None:
    """Return a whole number sent as a word, None where it was not sent."""
    value = params.get(name)
    if value is None:
        return None
    if not str(value).isdigit():
        invalid(f"Invalid integer: {value}", param=name, code="parameter_invalid_integer")
    return int(value)


def words_of(value: Any) -> Json:
    """Return metadata: a flat tree of words."""
    return {str(k): str(v) for k, v in value.items()} if isinstance(value, dict) else {}


def is_true(value: Any) -> bool:
    """Test whether a parameter says yes."""
    return str(value).lower() == "true"
