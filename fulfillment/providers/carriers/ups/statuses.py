"""UPS's status types and codes into ours.

Types and codes are those of the `activity` of UPS's Track API (github.com/UPS-API/api-documentation, Tracking.yaml).
The list of its exception codes stands behind a login: an exception is read by its text until somebody has seen it.
Type D is "delivery information", loading included: a parcel is delivered only where the code or the carrier's own
date of delivery says so.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from fulfillment.domain.reasons import Reason
from fulfillment.domain.tracking import CarrierStatus, Flag
from fulfillment.providers.carriers.meanings import NOTHING, UNKNOWN, Meaning

_C, _R = CarrierStatus, Reason
_MOVES: Final = Meaning(status=_C.IN_TRANSIT)

TYPES: Final[Mapping[str, Meaning]] = MappingProxyType(
    {
        "M": Meaning(status=_C.PRE_TRANSIT),
        "MV": Meaning(status=_C.CANCELLED),
        "P": Meaning(status=_C.PICKED_UP),
        "I": _MOVES,
        "U": _MOVES,
        "DO": _MOVES,  # freight: delivered to the origin's container station
        "DD": _MOVES,  # to the destination's
        "W": _MOVES,  # in a warehouse
        "O": Meaning(status=_C.OUT_FOR_DELIVERY),
        "D": NOTHING,
        "RS": Meaning(status=_C.RETURN_TO_SENDER),
        "X": Meaning(reason=_R.UNKNOWN),
        "NA": NOTHING,
    }
)
# A code that says more than its type.
CODES: Final[Mapping[str, Meaning]] = MappingProxyType(
    {
        "MP": Meaning(status=_C.PRE_TRANSIT),
        "VD": Meaning(status=_C.CANCELLED),
        "OR": Meaning(status=_C.PICKED_UP),
        "PU": Meaning(status=_C.PICKED_UP),
        "AR": _MOVES,
        "DP": _MOVES,
        "OT": Meaning(status=_C.OUT_FOR_DELIVERY),
        "FS": Meaning(status=_C.DELIVERED),
        "KB": Meaning(status=_C.DELIVERED),
    }
)
# What an exception's sentence says; the first that fits.
_SAYS: Final = (
    ("return to sender", Meaning(status=_C.RETURN_TO_SENDER)),
    ("returned to the sender", Meaning(status=_C.RETURN_TO_SENDER)),
    ("refused", Meaning(status=_C.ATTEMPTED, reason=_R.CONSIGNEE_REFUSED)),
    ("closed", Meaning(status=_C.ATTEMPTED, reason=_R.CONSIGNEE_BUSINESS_CLOSED)),
    ("delivery attempt", Meaning(status=_C.ATTEMPTED, reason=_R.CONSIGNEE_NOT_AVAILABLE)),
    ("address", Meaning(reason=_R.CONSIGNEE_INCORRECT_ADDRESS)),
    ("damage", Meaning(flag=Flag.DAMAGED, reason=_R.CARRIER_DAMAGED_PARCEL)),
    ("lost", Meaning(status=_C.LOST, reason=_R.CARRIER_PARCEL_LOST)),
    ("customs", Meaning(flag=Flag.CUSTOMS, reason=_R.CUSTOMS_DELAY)),
    ("clearance", Meaning(flag=Flag.CUSTOMS, reason=_R.CUSTOMS_DELAY)),
    ("weather", Meaning(flag=Flag.DELAYED, reason=_R.WEATHER_DELAY)),
    ("mechanical", Meaning(flag=Flag.DELAYED, reason=_R.CARRIER_MECHANICAL_DELAY)),
    ("delay", Meaning(flag=Flag.DELAYED)),
)


def translate(kind: str, code: str = "", *, text: str = "", delivered: bool = False) -> Meaning:
    """Return what an activity means; `delivered` says that the package bears an `actualDeliveryDate`."""
    if kind == "X":
        said = text.casefold()
        return next((meaning for sign, meaning in _SAYS if sign in said), TYPES["X"])
    if kind == "D" and delivered:
        return CODES["FS"]
    # A code we do not know beside a type we do says less than the type, not something else.
    return CODES.get(code) or TYPES.get(kind, UNKNOWN)
