"""Stripe's webhooks: is this one genuine, and what does it say. Pure."""

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

TOLERANCE: Final = timedelta(seconds=300)
SIGNATURE_HEADER: Final = "stripe-signature"


class BadEvent(ValueError):
    """A genuine request whose body is no event of Stripe's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentNews:
    """Something happened to a payment. It is a hint: order is not promised, so read the payment again.

    `kind` is Stripe's name of the event. `reference` is the payment it is about, "" where the event names
    none. `operation` and `order_id` are ours, from the object's metadata; `object_id` is the refund's,
    dispute's or charge's own id. `occurred_at` is by the provider's clock.
    """

    event_id: str
    kind: str
    reference: str
    occurred_at: datetime
    object_id: str
    order_id: str = ""
    operation: str = ""
    status: str = ""
    reason: str = ""


def verify(body: bytes, headers: Mapping[str, str], secrets: Sequence[str], *, now: datetime) -> bool:
    """Test whether Stripe sent these bytes within the tolerance; `now` is real time.

    Several secrets are accepted while one replaces another; an empty one accepts nothing. Header names are
    expected in lower case.
    """
    at, signatures = _signature(headers.get(SIGNATURE_HEADER, ""))
    if not at or abs(now - datetime.fromtimestamp(int(at), UTC)) > TOLERANCE:
        return False
    signed = f"{at}.".encode() + body
    expected = [_hmac(secret, signed) for secret in secrets if secret]
    return any(hmac.compare_digest(a, b.encode()) for a in expected for b in signatures)


def parse(body: bytes) -> PaymentNews:
    """Return what an event says.

    Raises:
        BadEvent: this is no event of Stripe's.
    """
    try:
        event = json.loads(body)
        return _news(event, event["data"]["object"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadEvent(f"no event of Stripe's: {error!r}") from error


def _news(event: Mapping[str, Any], subject: Mapping[str, Any]) -> PaymentNews:
    is_intent = subject["object"] == "payment_intent"
    metadata = subject.get("metadata") or {}
    return PaymentNews(
        event_id=str(event["id"]),
        kind=str(event["type"]),
        reference=str(subject["id"] if is_intent else subject.get("payment_intent") or ""),
        occurred_at=datetime.fromtimestamp(event["created"], UTC),
        object_id=str(subject["id"]),
        order_id=str(metadata.get("order_id", "")),
        operation=str(metadata.get("operation", "")),
        status=str(subject.get("status") or ""),
        reason=str(
            subject.get("failure_reason") or subject.get("cancellation_reason") or subject.get("reason") or ""
        ),
    )


def _signature(header: str) -> tuple[str, list[str]]:
    """Return the timestamp and the v1 signatures of `t=..,v1=..,v1=..`; no timestamp if it is none."""
    pairs = [part.strip().partition("=")[::2] for part in header.split(",")]
    at = next((value for name, value in pairs if name == "t"), "")
    is_moment = at.isascii() and at.isdigit() and len(at) <= 11
    return at if is_moment else "", [value for name, value in pairs if name == "v1"]


def _hmac(secret: str, signed: bytes) -> bytes:
    return hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest().encode()
