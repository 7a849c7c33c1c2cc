"""EasyPost's webhooks: is this one genuine, and what does it say. Pure."""

import hashlib
import hmac
import json
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from fulfillment.domain.tracking import Scan
from fulfillment.providers.carriers.easypost.statuses import arrival_of, scans_of

SIGNATURE_HEADER: Final = "x-hmac-signature"
_SCHEME: Final = "hmac-sha256-hex="


class BadEvent(ValueError):
    """A genuine request whose body is no event of EasyPost's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackingReport:
    """A parcel's whole history so far; `edd` is the day the carrier expects to deliver.

    `kind` is EasyPost's name of the event. An event about something else has no tracking number.
    """

    event_id: str
    kind: str
    carrier: str
    tracking_number: str
    scans: tuple[Scan, ...]
    edd: date | None


def verify(body: bytes, headers: Mapping[str, str], secrets: Sequence[str], *, now: datetime) -> bool:
    """Test whether EasyPost sent these bytes. It signs no time, so `now` cannot matter: keep the event ids.

    Several secrets are accepted while one replaces another; an empty one accepts nothing. Header names are
    expected in lower case.
    """
    signature = headers.get(SIGNATURE_HEADER, "").encode()
    expected = [_signature(body, secret) for secret in secrets if secret]
    return any(hmac.compare_digest(one, signature) for one in expected)


def parse(body: bytes) -> TrackingReport:
    """Return what an event says.

    Raises:
        BadEvent: this is no event of EasyPost's.
    """
    try:
        event = json.loads(body)
        tracker = event["result"] if str(event["description"]).startswith("tracker.") else {}
        return TrackingReport(
            event_id=str(event["id"]),
            kind=str(event["description"]),
            carrier=str(tracker.get("carrier") or ""),
            tracking_number=str(tracker.get("tracking_code") or ""),
            scans=scans_of(tracker),
            edd=arrival_of(tracker),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadEvent(f"no event of EasyPost's: {error!r}") from error


def _signature(body: bytes, secret: str) -> bytes:
    key = unicodedata.normalize("NFKD", secret).encode()  # as EasyPost's own clients do
    return (_SCHEME + hmac.new(key, body, hashlib.sha256).hexdigest()).encode()
