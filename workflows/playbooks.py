"""Which news from the carrier opens which case, and which cases a moving parcel ends by itself."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from fulfillment.domain.cases import CaseKind
from fulfillment.domain.tracking import CarrierStatus, Flag

CASE_OF_STATUS: Final[Mapping[CarrierStatus, CaseKind]] = MappingProxyType(
    {
        CarrierStatus.ATTEMPTED: CaseKind.FAILED_ATTEMPT,
        CarrierStatus.RETURN_TO_SENDER: CaseKind.RETURN_TO_SENDER,
        CarrierStatus.CANCELLED: CaseKind.CARRIER_PROBLEM,
    }
)
CASE_OF_FLAG: Final[Mapping[Flag, CaseKind]] = MappingProxyType(
    {
        Flag.DAMAGED: CaseKind.DAMAGED,
        Flag.ON_HOLD: CaseKind.CARRIER_PROBLEM,
        Flag.CUSTOMS: CaseKind.CARRIER_PROBLEM,
    }
)
ENDED_BY_A_SCAN: Final = (CaseKind.NO_FIRST_SCAN, CaseKind.NO_SCAN)
