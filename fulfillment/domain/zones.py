"""Whose midnight counts: the time zone of an address, by its country and region.

A country with one zone has it; of one with several the region says which. An address that says too little gets the
zone in which most of its country lives: the day is then right for most people, and off by one near midnight for few.
Names and borders are those of the IANA list (https://www.iana.org/time-zones, `zone1970.tab`).
"""

from collections.abc import Mapping
from datetime import date, datetime
from types import MappingProxyType
from typing import Final
from zoneinfo import ZoneInfo

from fulfillment.domain.address import Address

# The zone in which most of a country lives.
_COUNTRIES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "AE": "Asia/Dubai",
        "AR": "America/Argentina/Buenos_Aires",
        "AT": "Europe/Vienna",
        "AU": "Australia/Sydney",
        "BE": "Europe/Brussels",
        "BG": "Europe/Sofia",
        "BR": "America/Sao_Paulo",
        "CA": "America/Toronto",
        "CH": "Europe/Zurich",
        "CL": "America/Santiago",
        "CN": "Asia/Shanghai",
        "CO": "America/Bogota",
        "CZ": "Europe/Prague",
        "DE": "Europe/Berlin",
        "DK": "Europe/Copenhagen",
        "EE": "Europe/Tallinn",
        "EG": "Africa/Cairo",
        "ES": "Europe/Madrid",
        "FI": "Europe/Helsinki",
        "FR": "Europe/Paris",
        "GB": "Europe/London",
        "GR": "Europe/Athens",
        "HK": "Asia/Hong_Kong",
        "HR": "Europe/Zagreb",
        "HU": "Europe/Budapest",
        "ID": "Asia/Jakarta",
        "IE": "Europe/Dublin",
        "IL": "Asia/Jerusalem",
        "IN": "Asia/Kolkata",
        "IS": "Atlantic/Reykjavik",
        "IT": "Europe/Rome",
        "JP": "Asia/Tokyo",
        "KE": "Africa/Nairobi",
        "KR": "Asia/Seoul",
        "LI": "Europe/Vaduz",
        "LT": "Europe/Vilnius",
        "LU": "Europe/Luxembourg",
        "LV": "Europe/Riga",
        "MA": "Africa/Casablanca",
        "MX": "America/Mexico_City",
        "MY": "Asia/Kuala_Lumpur",
        "NG": "Africa/Lagos",
        "NL": "Europe/Amsterdam",
        "NO": "Europe/Oslo",
        "NZ": "Pacific/Auckland",
        "PE": "America/Lima",
        "PH": "Asia/Manila",
        "PL": "Europe/Warsaw",
        "PR": "America/Puerto_Rico",
        "PT": "Europe/Lisbon",
        "RO": "Europe/Bucharest",
        "RU": "Europe/Moscow",
        "SA": "Asia/Riyadh",
        "SE": "Europe/Stockholm",
        "SG": "Asia/Singapore",
        "SI": "Europe/Ljubljana",
        "SK": "Europe/Bratislava",
        "TH": "Asia/Bangkok",
        "TR": "Europe/Istanbul",
        "TW": "Asia/Taipei",
        "UA": "Europe/Kyiv",
        "US": "America/New_York",
        "VN": "Asia/Ho_Chi_Minh",
        "ZA": "Africa/Johannesburg",
    }
)
# Where a country has several, the others and the regions that keep them.
_OTHERS: Final = (
    ("US", "America/Chicago", "AL AR IA IL KS LA MN MO MS ND NE OK SD TN TX WI"),
    ("US", "America/Denver", "CO ID MT NM UT WY"),
    ("US", "America/Los_Angeles", "CA NV OR WA"),
    ("US", "America/Phoenix", "AZ"),  # keeps no summer time
    ("US", "America/Anchorage", "AK"),
    ("US", "Pacific/Honolulu", "HI"),
    ("CA", "America/Vancouver", "BC"),
    ("CA", "America/Edmonton", "AB"),
    ("CA", "America/Regina", "SK"),
    ("CA", "America/Winnipeg", "MB"),
    ("CA", "America/Halifax", "NB NS PE"),
    ("CA", "America/St_Johns", "NL"),
    ("AU", "Australia/Perth", "WA"),
    ("AU", "Australia/Adelaide", "SA"),
    ("AU", "Australia/Darwin", "NT"),
    ("AU", "Australia/Brisbane", "QLD"),
)
_REGIONS: Final[Mapping[tuple[str, str], str]] = MappingProxyType(
    {(country, region): zone for country, zone, regions in _OTHERS for region in regions.split()}
)


def zone_of(address: Address) -> str:
    """Return the IANA zone of an address; UTC for a country that is not listed here."""
    country = address.country.upper()
    return _REGIONS.get((country, address.region.strip().upper())) or _COUNTRIES.get(country, "UTC")


def day_in(zone: str, moment: datetime) -> date:
    """Return the day it is in a zone at a moment."""
    return moment.astimezone(ZoneInfo(zone)).date()
