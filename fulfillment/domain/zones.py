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

_EASTERN, _CENTRAL, _MOUNTAIN, _PACIFIC = (
    "America/New_York",
    "America/Chicago",
    "America/Denver",
    "America/Los_Angeles",
)
_COUNTRIES: Final[Mapping[str, str]] = MappingProxyType(
    {
        **dict.fromkeys(("AT", "SK", "SI", "HR", "CZ", "HU"), "Europe/Vienna"),
        "DE": "Europe/Berlin",
        "FR": "Europe/Paris",
        "BE": "Europe/Brussels",
        "NL": "Europe/Amsterdam",
        "LU": "Europe/Luxembourg",
        "CH": "Europe/Zurich",
        "LI": "Europe/Zurich",
        "IT": "Europe/Rome",
        "ES": "Europe/Madrid",
        "PT": "Europe/Lisbon",
        "PL": "Europe/Warsaw",
        "DK": "Europe/Copenhagen",
        "SE": "Europe/Stockholm",
        "NO": "Europe/Oslo",
        "FI": "Europe/Helsinki",
        "EE": "Europe/Tallinn",
        "LV": "Europe/Riga",
        "LT": "Europe/Vilnius",
        "GB": "Europe/London",
        "IE": "Europe/Dublin",
        "IS": "Atlantic/Reykjavik",
        "GR": "Europe/Athens",
        "RO": "Europe/Bucharest",
        "BG": "Europe/Sofia",
        "UA": "Europe/Kyiv",
        "TR": "Europe/Istanbul",
        "RU": "Europe/Moscow",
        "IL": "Asia/Jerusalem",
        "AE": "Asia/Dubai",
        "SA": "Asia/Riyadh",
        "EG": "Africa/Cairo",
        "ZA": "Africa/Johannesburg",
        "MA": "Africa/Casablanca",
        "NG": "Africa/Lagos",
        "KE": "Africa/Nairobi",
        "IN": "Asia/Kolkata",
        "CN": "Asia/Shanghai",
        "HK": "Asia/Hong_Kong",
        "TW": "Asia/Taipei",
        "SG": "Asia/Singapore",
        "MY": "Asia/Kuala_Lumpur",
        "TH": "Asia/Bangkok",
        "VN": "Asia/Ho_Chi_Minh",
        "ID": "Asia/Jakarta",
        "PH": "Asia/Manila",
        "KR": "Asia/Seoul",
        "JP": "Asia/Tokyo",
        "NZ": "Pacific/Auckland",
        "BR": "America/Sao_Paulo",
        "AR": "America/Argentina/Buenos_Aires",
        "CL": "America/Santiago",
        "CO": "America/Bogota",
        "PE": "America/Lima",
        "MX": "America/Mexico_City",
        "PR": "America/Puerto_Rico",
        "US": _EASTERN,
        "CA": "America/Toronto",
        "AU": "Australia/Sydney",
    }
)
_REGIONS: Final[Mapping[tuple[str, str], str]] = MappingProxyType(
    {
        **{
            ("US", state): _CENTRAL
            for state in [
                "AL",
                "AR",
                "IA",
                "IL",
                "KS",
                "LA",
                "MN",
                "MO",
                "MS",
                "ND",
                "NE",
                "OK",
                "SD",
                "TN",
                "TX",
                "WI",
            ]
        },
        **{("US", state): _MOUNTAIN for state in ["CO", "ID", "MT", "NM", "UT", "WY"]},
        **{("US", state): _PACIFIC for state in ["CA", "NV", "OR", "WA"]},
        ("US", "AZ"): "America/Phoenix",  # keeps no summer time
        ("US", "AK"): "America/Anchorage",
        ("US", "HI"): "Pacific/Honolulu",
        ("CA", "BC"): "America/Vancouver",
        ("CA", "AB"): "America/Edmonton",
        ("CA", "SK"): "America/Regina",
        ("CA", "MB"): "America/Winnipeg",
        **{("CA", province): "America/Halifax" for province in ("NB", "NS", "PE")},
        ("CA", "NL"): "America/St_Johns",
        ("AU", "WA"): "Australia/Perth",
        ("AU", "SA"): "Australia/Adelaide",
        ("AU", "NT"): "Australia/Darwin",
        ("AU", "QLD"): "Australia/Brisbane",
    }
)


def zone_of(address: Address) -> str:
    """Return the IANA zone of an address; UTC for a country that is not listed here."""
    country = address.country.upper()
    return _REGIONS.get((country, address.region.strip().upper())) or _COUNTRIES.get(country, "UTC")


def day_in(zone: str, moment: datetime) -> date:
    """Return the day it is in a zone at a moment."""
    return moment.astimezone(ZoneInfo(zone)).date()
