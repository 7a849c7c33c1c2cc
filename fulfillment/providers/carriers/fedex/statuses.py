"""FedEx's scan events into ours.

Event types are those of FedEx's Track API (developer.fedex.com, "Tracking status codes"); delay types are those of
`delayDetail` there. What a code means for us is our own reading of it. A pick-up's time is unreliable: one recorded
series has PU at midnight, before its label; so PU gives a status and never the time of a measure.
"""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from fulfillment.domain.reasons import Reason
from fulfillment.domain.tracking import CarrierStatus, Flag
from fulfillment.providers.carriers.meanings import UNKNOWN, Meaning

_C, _R = CarrierStatus, Reason
_DELAYED: Final = Meaning(status=_C.IN_TRANSIT, flag=Flag.DELAYED)

EVENTS: Final[Mapping[str, Meaning]] = MappingProxyType(
    dict.fromkeys(("OC", "OX", "EP", "MD"), Meaning(status=_C.PRE_TRANSIT))
    | dict.fromkeys(("PU", "PX"), Meaning(status=_C.PICKED_UP))
    | dict.fromkeys(
        ("AR", "DP", "IT", "AF", "FD", "LO", "TR", "AO", "AE"),
        Meaning(status=_C.IN_TRANSIT),
    )
    | dict.fromkeys(("DY", "SE"), _DELAYED)
    | dict.fromkeys(("HL", "HP"), Meaning(status=_C.AVAILABLE_FOR_PICKUP))
    | dict.fromkeys(("RS", "RT"), Meaning(status=_C.RETURN_TO_SENDER))
    | {
        "CD": Meaning(status=_C.IN_TRANSIT, flag=Flag.CUSTOMS, reason=_R.CUSTOMS_DELAY),
        "OD": Meaning(status=_C.OUT_FOR_DELIVERY),
        "DE": Meaning(status=_C.ATTEMPTED),
        "DL": Meaning(status=_C.DELIVERED),
        "CA": Meaning(status=_C.CANCELLED),
    }
)
# What the exception code of an event adds: 08 nobody there or closed, A47 sent elsewhere at the customer's wish.
EXCEPTIONS: Final[Mapping[str, Reason | None]] = MappingProxyType(
    {"08": _R.CONSIGNEE_NOT_AVAILABLE, "A47": None, "A52": None}
)
DELAYS: Final[Mapping[str, Reason | None]] = MappingProxyType(
    {
        "WEATHER": _R.WEATHER_DELAY,
        "CLEARANCE": _R.CUSTOMS_DELAY,
        "OPERATIONAL": None,
        "LOCAL": None,
        "GENERAL": None,
    }
)


def translate(event: str, *, exception: str = "", delay: str = "") -> Meaning:
    """Return what an `eventType` means, with its `exceptionCode` and the type of its `delayDetail`."""
    meaning = EVENTS.get(event, UNKNOWN)
    reason = EXCEPTIONS.get(exception) or DELAYS.get(delay.upper()) or meaning.reason
    return replace(meaning, reason=reason)
