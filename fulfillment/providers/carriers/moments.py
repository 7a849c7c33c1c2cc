"""When a carrier's event happened. Many of them write local time and name no zone."""

from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final
from zoneinfo import ZoneInfo

from fulfillment.domain.zones import zone_at
from fulfillment.providers.carriers.meanings import Moment

# Where each carrier sorts most of what it carries: Worldport, Memphis, Leipzig; the postal service by its seat.
_HUBS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "ups": "America/Kentucky/Louisville",
        "fedex": "America/Chicago",
        "dhl": "Europe/Berlin",
        "usps": "America/New_York",
    }
)


def moment(text: str, *, country: str = "", region: str = "", carrier: str = "") -> Moment:
    """Return the instant of an ISO 8601 time.

    One without a zone takes that of its place, else that of the carrier's hub, else UTC and is marked; never the
    time of arrival.

    Raises:
        ValueError: this is no time.
    """
    at = datetime.fromisoformat(text)
    if at.tzinfo is not None:
        return Moment(at=at.astimezone(UTC))
    zone = zone_at(country, region) or _HUBS.get(carrier.casefold())
    if zone is None:
        return Moment(at=at.replace(tzinfo=UTC), assumed=True)
    return Moment(at=at.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC))
