"""When a carrier's event happened. Many of them write local time and name no zone."""

from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final
from zoneinfo import ZoneInfo

from fulfillment.providers.carriers.meanings import Moment

_EASTERN, _CENTRAL = "America/New_York", "America/Chicago"
_MOUNTAIN, _PACIFIC = "America/Denver", "America/Los_Angeles"


def _each(zone: str, places: str) -> dict[str, str]:
    return dict.fromkeys(places.split(), zone)


# Countries that lie in one zone, or of which nearly everybody does; from the tz database's zone1970.tab.
_COUNTRIES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "AE": "Asia/Dubai",
        "AT": "Europe/Vienna",
        "BE": "Europe/Brussels",
        "BG": "Europe/Sofia",
        "CH": "Europe/Zurich",
        "CN": "Asia/Shanghai",
        "CZ": "Europe/Prague",
        "DE": "Europe/Berlin",
        "DK": "Europe/Copenhagen",
        "EE": "Europe/Tallinn",
        "ES": "Europe/Madrid",
        "FI": "Europe/Helsinki",
        "FR": "Europe/Paris",
        "GB": "Europe/London",
        "GR": "Europe/Athens",
        "HK": "Asia/Hong_Kong",
        "HR": "Europe/Zagreb",
        "HU": "Europe/Budapest",
        "IE": "Europe/Dublin",
        "IL": "Asia/Jerusalem",
        "IN": "Asia/Kolkata",
        "IT": "Europe/Rome",
        "JP": "Asia/Tokyo",
        "KR": "Asia/Seoul",
        "LT": "Europe/Vilnius",
        "LU": "Europe/Luxembourg",
        "LV": "Europe/Riga",
        "NL": "Europe/Amsterdam",
        "NO": "Europe/Oslo",
        "NZ": "Pacific/Auckland",
        "PL": "Europe/Warsaw",
        "PR": "America/Puerto_Rico",
        "RO": "Europe/Bucharest",
        "SE": "Europe/Stockholm",
        "SG": "Asia/Singapore",
        "SI": "Europe/Ljubljana",
        "SK": "Europe/Bratislava",
        "TR": "Europe/Istanbul",
        "TW": "Asia/Taipei",
        "ZA": "Africa/Johannesburg",
    }
)
# Regions of countries with several zones. A state that lies in two has the one in which most of it lives.
_REGIONS: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "US": _each(_EASTERN, "CT DC DE FL GA IN KY MA MD ME MI NC NH NJ NY OH PA RI SC VA VT WV")
        | _each(_CENTRAL, "AL AR IA IL KS LA MN MO MS ND NE OK SD TN TX WI")
        | _each(_MOUNTAIN, "CO ID MT NM UT WY")
        | _each(_PACIFIC, "CA NV OR WA")
        | {"AZ": "America/Phoenix", "AK": "America/Anchorage", "HI": "Pacific/Honolulu"}
        | {"PR": "America/Puerto_Rico"},
        "CA": _each("America/Toronto", "ON QC")
        | _each("America/Halifax", "NB NS PE")
        | _each("America/Edmonton", "AB NT NU")
        | {"BC": "America/Vancouver", "MB": "America/Winnipeg", "NL": "America/St_Johns"}
        | {"SK": "America/Regina", "YT": "America/Whitehorse"},
        "AU": _each("Australia/Sydney", "NSW ACT")
        | {"VIC": "Australia/Melbourne", "QLD": "Australia/Brisbane", "SA": "Australia/Adelaide"}
        | {"WA": "Australia/Perth", "TAS": "Australia/Hobart", "NT": "Australia/Darwin"},
    }
)
# Where each carrier sorts most of what it carries: Worldport, Memphis, Leipzig; the postal service by its seat.
_HUBS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "ups": "America/Kentucky/Louisville",
        "fedex": _CENTRAL,
        "dhl": "Europe/Berlin",
        "usps": _EASTERN,
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
    zone = _zone(country.upper(), region.upper()) or _HUBS.get(carrier.casefold())
    if zone is None:
        return Moment(at=at.replace(tzinfo=UTC), assumed=True)
    return Moment(at=at.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC))


def _zone(country: str, region: str) -> str | None:
    return _REGIONS.get(country, {}).get(region) or _COUNTRIES.get(country)
