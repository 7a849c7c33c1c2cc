"""DHL's event codes into ours: those of Express, and the five words of its unified API.

Codes and their titles are DHL Express's own list of checkpoints (status_1.csv of its developer portal, June 2024, as
two tables of others repeat it); the words are those of "Shipment Tracking - Unified" 1.5
(https://developer.dhl.com/api-reference/shipment-tracking). What a code means for us is our own reading of it.
karrio's table of the same codes is not followed: it takes CM, "customer moved", for missing customs documents.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from fulfillment.domain.reasons import Reason
from fulfillment.domain.tracking import CarrierStatus, Flag
from fulfillment.providers.carriers.meanings import NOTHING, UNKNOWN, Meaning

_C, _R = CarrierStatus, Reason
_MOVES: Final = Meaning(status=_C.IN_TRANSIT)


def _tried(reason: Reason) -> Meaning:
    return Meaning(status=_C.ATTEMPTED, reason=reason)


def _moves_with(flag: Flag, reason: Reason | None = None) -> Meaning:
    return Meaning(status=_C.IN_TRANSIT, flag=flag, reason=reason)


CODES: Final[Mapping[str, Meaning]] = MappingProxyType(
    dict.fromkeys(("DU", "SD"), Meaning(status=_C.PRE_TRANSIT))  # shipment information received
    | dict.fromkeys(("PU", "SA"), Meaning(status=_C.PICKED_UP))  # picked up, accepted
    # processed, departed, arrived, transferred, scheduled, forwarded, loaded, unloaded, cleared, checked in
    | dict.fromkeys(
        ("PL", "DF", "AF", "AR", "TR", "SM", "FD", "LV", "UV", "CU", "CI", "IC", "ES", "CR", "BR", "TP"),
        _MOVES,
    )
    # agreed delivery, service changed, answer received, payment, image, weighed, inspected, handed over, bonded,
    # broker notified, duty invoice, file closed, trace begun and ended: beside the parcel's way
    | dict.fromkeys(
        ("AD", "SC", "RR", "PY", "IA", "RW", "SI", "HN", "BL", "BN", "DI", "CS", "TI", "TT", "HI", "HO"),
        NOTHING,
    )
    | {
        "WC": Meaning(status=_C.OUT_FOR_DELIVERY),
        "OK": Meaning(status=_C.DELIVERED),
        "DD": Meaning(status=_C.DELIVERED, flag=Flag.DAMAGED, reason=_R.CARRIER_DAMAGED_PARCEL),
        "PD": Meaning(reason=_R.UNKNOWN),  # a part of it was delivered
        "CC": Meaning(status=_C.AVAILABLE_FOR_PICKUP),
        "NH": _tried(_R.CONSIGNEE_NOT_HOME),
        "CA": _tried(_R.CONSIGNEE_BUSINESS_CLOSED),
        "BA": _tried(_R.CONSIGNEE_INCORRECT_ADDRESS),
        "CM": _tried(_R.CONSIGNEE_INCORRECT_ADDRESS),
        "RD": _tried(_R.CONSIGNEE_REFUSED),
        "ND": _tried(_R.CONSIGNEE_NOT_AVAILABLE),
        "MD": _moves_with(Flag.DELAYED, _R.CARRIER_NOT_ENOUGH_TIME),
        "NA": _moves_with(Flag.DELAYED),  # not arrived
        "TD": _moves_with(Flag.DELAYED),
        "MS": _moves_with(Flag.DELAYED, _R.CARRIER_SORTING_ERROR),
        "MC": _moves_with(Flag.DELAYED, _R.CARRIER_SORTING_ERROR),
        "IR": _moves_with(Flag.DELAYED, _R.CARRIER_SORTING_ERROR),
        "CD": _moves_with(Flag.CUSTOMS, _R.CUSTOMS_DOCUMENTATION),  # a delay that somebody can end
        "UD": _moves_with(Flag.CUSTOMS, _R.CUSTOMS_INSPECTION),  # one that nobody can
        "HP": _moves_with(Flag.CUSTOMS, _R.CUSTOMS_DUTIES_UNPAID),
        "OH": _moves_with(Flag.ON_HOLD),
        "DM": _moves_with(Flag.DAMAGED, _R.CARRIER_DAMAGED_PARCEL),
        "DP": _moves_with(Flag.ON_HOLD, _R.REGULATORY_HOLD),  # denied parties
        "SS": _moves_with(Flag.ON_HOLD, _R.RETAILER_CANCELLED),  # stopped
        "ST": _moves_with(Flag.ON_HOLD, _R.RETAILER_CANCELLED),  # intercepted
        "RT": Meaning(status=_C.RETURN_TO_SENDER),
        "DS": Meaning(status=_C.DESTROYED),
    }
)
WORDS: Final[Mapping[str, Meaning]] = MappingProxyType(
    {
        "pre-transit": Meaning(status=_C.PRE_TRANSIT),
        "transit": _MOVES,
        "delivered": Meaning(status=_C.DELIVERED),
        "failure": Meaning(reason=_R.UNKNOWN),
        "unknown": NOTHING,
    }
)


def translate(code: str, word: str = "") -> Meaning:
    """Return what an event's code means; by the unified word where there is no code."""
    if code:
        return CODES.get(code.upper(), UNKNOWN)
    return WORDS.get(word, UNKNOWN)
