"""AfterShip's sub-tags into ours.

Tags and sub-tags are those of https://www.aftership.com/docs/tracking/2026-07/enum/delivery-sub-statuses; 016 to 018
are of March 2026. What a sub-tag means for us is our own reading of it.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from fulfillment.domain.reasons import Reason
from fulfillment.domain.tracking import CarrierStatus, Flag
from fulfillment.providers.carriers.meanings import NOTHING, UNKNOWN, Meaning

_C, _R = CarrierStatus, Reason
_TROUBLE: Final = Meaning(reason=_R.UNKNOWN)

TAGS: Final[Mapping[str, Meaning]] = MappingProxyType(
    {
        "Pending": NOTHING,
        "InfoReceived": Meaning(status=_C.PRE_TRANSIT),
        "InTransit": Meaning(status=_C.IN_TRANSIT),
        "OutForDelivery": Meaning(status=_C.OUT_FOR_DELIVERY),
        "AttemptFail": Meaning(status=_C.ATTEMPTED),
        "AvailableForPickup": Meaning(status=_C.AVAILABLE_FOR_PICKUP),
        "Delivered": Meaning(status=_C.DELIVERED),
        "Exception": _TROUBLE,
        "Expired": NOTHING,
    }
)
# A sub-tag that says more than its tag.
SUBTAGS: Final[Mapping[str, Meaning]] = MappingProxyType(
    {
        "InTransit_002": Meaning(status=_C.PICKED_UP),
        "InTransit_006": Meaning(status=_C.IN_TRANSIT, flag=Flag.CUSTOMS),
        "AttemptFail_002": Meaning(status=_C.ATTEMPTED, reason=_R.CONSIGNEE_NOT_AVAILABLE),
        "AttemptFail_003": Meaning(status=_C.ATTEMPTED, reason=_R.CONSIGNEE_BUSINESS_CLOSED),
        "Exception_001": _TROUBLE,
        "Exception_002": Meaning(reason=_R.CONSIGNEE_INCORRECT_ADDRESS),
        "Exception_003": Meaning(reason=_R.CONSIGNEE_REFUSED),
        "Exception_004": Meaning(flag=Flag.CUSTOMS, reason=_R.CUSTOMS_DELAY),
        "Exception_005": Meaning(flag=Flag.DELAYED),
        "Exception_006": Meaning(flag=Flag.ON_HOLD, reason=_R.CUSTOMS_DUTIES_UNPAID),
        "Exception_007": Meaning(reason=_R.CONSIGNEE_INCORRECT_ADDRESS),
        "Exception_008": _TROUBLE,
        "Exception_009": _TROUBLE,
        "Exception_010": Meaning(status=_C.RETURN_TO_SENDER),
        "Exception_011": Meaning(status=_C.RETURNED),
        "Exception_012": Meaning(flag=Flag.DAMAGED, reason=_R.CARRIER_DAMAGED_PARCEL),
        "Exception_013": Meaning(status=_C.LOST, reason=_R.CARRIER_PARCEL_LOST),
        "Exception_016": Meaning(flag=Flag.DELAYED),
        "Exception_017": Meaning(flag=Flag.DELAYED, reason=_R.WEATHER_DELAY),
        "Exception_018": Meaning(flag=Flag.CUSTOMS, reason=_R.CUSTOMS_DOCUMENTATION),
    }
)
# Sub-tags that say no more than their tag.
PLAIN: Final = frozenset(
    {
        "Delivered_001",
        "Delivered_002",
        "Delivered_003",
        "Delivered_004",
        "Delivered_005",
        "AvailableForPickup_001",
        "AttemptFail_001",
        "InTransit_001",
        "InTransit_003",
        "InTransit_004",
        "InTransit_005",
        "InTransit_007",
        "InTransit_008",
        "InTransit_009",
        "InfoReceived_001",
        "OutForDelivery_001",
        "OutForDelivery_003",
        "OutForDelivery_004",
        "Pending_001",
        "Expired_001",
    }
)


def translate(subtag: str, *, abroad: bool = True) -> Meaning:
    """Return what a sub-tag such as Exception_003 means, or a tag alone.

    A payment that a parcel at home is held for is no duty: `abroad` says whether it crosses a border.
    """
    if subtag == "Exception_006" and not abroad:
        return Meaning(flag=Flag.ON_HOLD, reason=_R.UNKNOWN)
    if subtag in SUBTAGS:
        return SUBTAGS[subtag]
    tag, _, number = subtag.partition("_")
    return TAGS.get(tag, UNKNOWN) if not number or subtag in PLAIN else UNKNOWN
