"""Karrio's trackers into ours.

Its words and the names of its reasons are those of karrio 2026.1.32 (karrio/core/units.py). Beside its word it hands on
the carrier's own code. Where we have that carrier's table, the table decides: Karrio's own for UPS and USPS are partly
guesses. Its `timestamp` ends in Z but is the carrier's local time with the zone cut off (karrio/lib.py,
`fiso_timestamp`), so the local date and time are read, in the zone of their place.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date, datetime
from types import MappingProxyType
from typing import Any, Final

from fulfillment.domain.reasons import Reason
from fulfillment.domain.tracking import CarrierStatus, Flag, Scan, reason_of
from fulfillment.providers.carriers.dhl import statuses as dhl
from fulfillment.providers.carriers.fedex import statuses as fedex
from fulfillment.providers.carriers.meanings import NOTHING, UNKNOWN, Meaning, Moment, scan_of
from fulfillment.providers.carriers.moments import moment
from fulfillment.providers.carriers.ups import statuses as ups
from fulfillment.providers.carriers.usps import statuses as usps

PROVIDER: Final = "karrio"
_C = CarrierStatus

WORDS: Final[Mapping[str, Meaning]] = MappingProxyType(
    {
        "pending": Meaning(status=_C.PRE_TRANSIT),
        "picked_up": Meaning(status=_C.PICKED_UP),
        "in_transit": Meaning(status=_C.IN_TRANSIT),
        "delivery_delayed": Meaning(status=_C.IN_TRANSIT, flag=Flag.DELAYED),
        "on_hold": Meaning(flag=Flag.ON_HOLD),
        "out_for_delivery": Meaning(status=_C.OUT_FOR_DELIVERY),
        "ready_for_pickup": Meaning(status=_C.AVAILABLE_FOR_PICKUP),
        "delivery_failed": Meaning(status=_C.ATTEMPTED),
        "return_to_sender": Meaning(status=_C.RETURN_TO_SENDER),
        "delivered": Meaning(status=_C.DELIVERED),
        "cancelled": Meaning(status=_C.CANCELLED),
        "unknown": NOTHING,
    }
)
# What a reason makes of a parcel that is merely "on hold" or "delayed".
_EFFECTS: Final[Mapping[Reason, Meaning]] = MappingProxyType(
    {
        Reason.CARRIER_PARCEL_LOST: Meaning(status=_C.LOST),
        Reason.CARRIER_DAMAGED_PARCEL: Meaning(flag=Flag.DAMAGED),
    }
    | {reason: Meaning(flag=Flag.CUSTOMS) for reason in Reason if reason.startswith("customs_")}
)
# The carriers, as Karrio calls them, whose own codes we have.
TABLES: Final[Mapping[str, Callable[[str], Meaning]]] = MappingProxyType(
    {
        "usps": usps.translate,
        "usps_international": usps.translate,
        "ups": lambda code: ups.translate("", code),
        "fedex": fedex.translate,
        "dhl_express": dhl.translate,
    }
)
# Karrio takes all of UPS's "delivery information" for a delivery, loading on the van included.
_NOT_BELIEVED: Final = frozenset({("ups", "delivered")})
_TIMES: Final = ("%H:%M", "%I:%M %p", "%H:%M:%S")
_PLACE: Final = re.compile(r"(?:.*, )?(?P<region>[A-Z]{2,3})(?:, [^,]*\d[^,]*)?, (?P<country>[A-Z]{2})")


def scans_of(tracker: Mapping[str, Any]) -> tuple[Scan, ...]:
    """Return the whole history a tracker carries. Details without a day are left out."""
    carrier = str(tracker.get("carrier_name") or "")
    return tuple(_scan(event, carrier) for event in tracker.get("events") or () if event.get("date"))


def arrival_of(tracker: Mapping[str, Any]) -> date | None:
    """Return the day on which the carrier expects to deliver."""
    expected = tracker.get("estimated_delivery")
    return date.fromisoformat(str(expected)[:10]) if expected else None


def translate(carrier: str, word: str, code: str = "", reason: str = "") -> Meaning:
    """Return what an event means: by the carrier's own code where we know it, else by Karrio's word and reason."""
    table = TABLES.get(carrier)
    told = table(code) if table and code else None
    if told and not told.is_unknown:
        return told
    if (carrier, word) in _NOT_BELIEVED:
        return UNKNOWN
    meaning = _by_word(word, None if table else reason_of(reason))
    return replace(meaning, is_unknown=meaning.is_unknown or told is not None)


def _by_word(word: str, reason: Reason | None) -> Meaning:
    meaning = WORDS.get(word, UNKNOWN)
    if reason is None:
        return meaning
    effect = _EFFECTS.get(reason, NOTHING)
    return replace(
        meaning, status=effect.status or meaning.status, flag=effect.flag or meaning.flag, reason=reason
    )


def _scan(event: Mapping[str, Any], carrier: str) -> Scan:
    word, code = str(event.get("status") or ""), str(event.get("code") or "")
    place = str(event.get("location") or "")
    return scan_of(
        translate(carrier, word, code, str(event.get("reason") or "")),
        _moment(event, place, carrier),
        provider=PROVIDER,
        code=".".join(part for part in (word, code) if part),
        place=place,
        text=str(event.get("description") or ""),
    )


def _moment(event: Mapping[str, Any], place: str, carrier: str) -> Moment:
    found = _PLACE.fullmatch(place)
    where = found.groupdict() if found else {}
    local = f"{event['date']}T{_time(str(event.get('time') or ''))}"
    return moment(local, carrier=carrier.partition("_")[0], **where)


def _time(text: str) -> str:
    """Return a time of day in ISO 8601; midnight where there is none."""
    for form in _TIMES:
        try:
            return datetime.strptime(text, form).time().isoformat()
        except ValueError:
            continue
    return "00:00:00"
