"""Webhooks to the storefront: Standard Webhooks 1.0.0 (https://www.standardwebhooks.com), a CloudEvent in each."""

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from fulfillment.domain.errors import FulfillmentError

# Real time before each next try: the schedule that Standard Webhooks recommends, three days in all.
GAPS: Final = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    *(timedelta(hours=hours) for hours in (2, 5, 10, 14, 20, 24)),
)
GONE: Final = 410  # "do not send me any more"
_PREFIX: Final = "whsec_"
_SECRET_BYTES: Final = 32


class UnknownEndpoint(FulfillmentError):
    """There is no such endpoint, or it was removed."""

    def __init__(self, endpoint_id: str) -> None:
        super().__init__(f"there is no webhook endpoint {endpoint_id}")


class EndpointState(StrEnum):
    """Whether events go to an endpoint."""

    ENABLED = "enabled"
    DISABLED = "disabled"
    REMOVED = "removed"


class DeliveryState(StrEnum):
    """What becomes of one event at one endpoint."""

    PENDING = "pending"
    CLAIMED = "claimed"
    DELIVERED = "delivered"
    DEAD = "dead"  # ten tries while other events arrived


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where events go. No `kinds` are all; `cursor` is the last event laid out for it; `old_secret` still signs."""

    endpoint_id: str
    url: str
    kinds: tuple[str, ...]
    state: EndpointState
    cursor: int
    created_at: datetime
    failing_since: datetime | None
    why: str
    waiting: int = 0
    secret: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShopEvent:
    """Something that happened to an order; `seq` rises, with gaps."""

    seq: int
    order_id: str
    kind: str
    text: str
    data: Mapping[str, Any]
    at: datetime

    @property
    def event_id(self) -> str:
        """Its id as a webhook and as a CloudEvent: the same however often it is sent."""
        return f"evt_{self.seq}"

    def as_cloud_event(self, source: str) -> dict[str, Any]:
        """Return it as CloudEvents 1.0 has it; (`source`, `id`) is what a receiver remembers it by."""
        return {
            "specversion": "1.0",
            "id": self.event_id,
            "source": source,
            "type": f"order.{self.kind}.v1",
            "subject": self.order_id,
            "time": self.at.isoformat(),
            "datacontenttype": "application/json",
            "data": {**self.data, "order_id": self.order_id, "text": self.text},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """An event to be sent to an endpoint; `tries` counts the sendings before this one."""

    endpoint_id: str
    url: str
    secrets: tuple[str, ...] = field(repr=False)
    tries: int
    event: ShopEvent


def new_secret() -> str:
    """Return a new signing secret."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def body_of(event: ShopEvent, source: str) -> bytes:
    """Return the bytes that are signed and sent."""
    return json.dumps(event.as_cloud_event(source), ensure_ascii=False, separators=(",", ":")).encode()


def signed_headers(event_id: str, at: datetime, body: bytes, signing: Sequence[str]) -> dict[str, str]:
    """Return the headers that prove who sent these bytes, and when; one signature for each secret."""
    timestamp = str(int(at.timestamp()))
    content = f"{event_id}.{timestamp}.".encode() + body
    return {
        "webhook-id": event_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(f"v1,{_signature(content, secret)}" for secret in signing),
    }


def _signature(content: bytes, secret: str) -> str:
    key = base64.b64decode(secret.removeprefix(_PREFIX))
    return base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
