"""USPS's event codes into ours.

Codes are those of Publication 199, appendix G-4, as two secondary tables agree on them; what a code means for us is
our own reading of it.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from fulfillment.domain.reasons import Reason
from fulfillment.domain.tracking import CarrierStatus, Flag
from fulfillment.providers.carriers.meanings import UNKNOWN, Meaning

_C, _R = CarrierStatus, Reason


def _back(reason: Reason | None = None) -> Meaning:
    return Meaning(status=_C.RETURN_TO_SENDER, reason=reason)


def _tried(reason: Reason | None) -> Meaning:
    return Meaning(status=_C.ATTEMPTED, reason=reason)


_PRINTED, _TAKEN = Meaning(status=_C.PRE_TRANSIT), Meaning(status=_C.PICKED_UP)
_MOVES, _ON_THE_VAN = Meaning(status=_C.IN_TRANSIT), Meaning(status=_C.OUT_FOR_DELIVERY)
_WAITS, _THERE = Meaning(status=_C.AVAILABLE_FOR_PICKUP), Meaning(status=_C.DELIVERED)
_ASTRAY = Meaning(status=_C.IN_TRANSIT, flag=Flag.DELAYED, reason=_R.CARRIER_SORTING_ERROR)
_AT_A_PARTNER = Meaning(status=_C.IN_TRANSIT, reason=_R.UNKNOWN)

CODES: Final[Mapping[str, Meaning]] = MappingProxyType(
    dict.fromkeys(("GX", "MA"), _PRINTED)
    | dict.fromkeys(("03", "OA", "UA", "TM", "PA"), _TAKEN)
    | dict.fromkeys(("10", "A1", "T1", "TL", "NT", "SF", "EF", "PC", "06", "07"), _MOVES)
    | dict.fromkeys(("08", "15"), _ASTRAY)
    | dict.fromkeys(("80", "81", "82"), _AT_A_PARTNER)
    | dict.fromkeys(("OF", "59", "DG"), _ON_THE_VAN)
    | dict.fromkeys(("14", "16"), _WAITS)
    | dict.fromkeys(("01", "17", "43"), _THERE)
    | {
        "02": _tried(_R.CONSIGNEE_NOT_HOME),
        "30": _tried(_R.CONSIGNEE_ACCESS_RESTRICTED),
        "51": _tried(_R.CONSIGNEE_BUSINESS_CLOSED),
        "53": _tried(_R.CONSIGNEE_ACCESS_RESTRICTED),
        "54": _tried(_R.CONSIGNEE_SAFE_PLACE_UNAVAILABLE),
        "55": _tried(_R.CONSIGNEE_SAFE_PLACE_UNAVAILABLE),
        "56": _tried(_R.CONSIGNEE_NOT_AVAILABLE),
        "71": Meaning(status=_C.ATTEMPTED, flag=Flag.DELAYED),
        "04": _back(_R.CONSIGNEE_REFUSED),
        "05": _back(_R.CONSIGNEE_INCORRECT_ADDRESS),
        "09": _back(),
        "21": _back(_R.CARRIER_ADDRESS_NOT_FOUND),
        "22": _back(_R.CONSIGNEE_INCORRECT_ADDRESS),
        "23": _back(_R.CONSIGNEE_INCORRECT_ADDRESS),
        "24": _back(_R.CONSIGNEE_INCORRECT_ADDRESS),
        "25": _back(_R.CONSIGNEE_INCORRECT_ADDRESS),
        "26": _back(_R.CARRIER_ADDRESS_NOT_FOUND),
        "27": _back(_R.CONSIGNEE_NOT_AVAILABLE),
        "28": _back(_R.CONSIGNEE_NOT_AVAILABLE),
        "31": _back(_R.CONSIGNEE_NOT_AVAILABLE),
        "44": _back(_R.RETAILER_CANCELLED),
        "11": Meaning(status=_C.LOST, reason=_R.CARRIER_PARCEL_LOST),
    }
)


def translate(code: str) -> Meaning:
    """Return what an `eventCode` means."""
    return CODES.get(code.upper(), UNKNOWN)
