"""Why a parcel is in trouble, in words that every carrier's codes are translated into, and the case each opens."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from fulfillment.domain.cases import CaseKind


class Reason(StrEnum):
    """Why something went wrong with a parcel: the names of karrio's `TrackingIncidentReason`.

    Source: karrio 2026.1.32, modules/sdk/karrio/core/units.py.
    """

    CARRIER_DAMAGED_PARCEL = "carrier_damaged_parcel"
    CARRIER_SORTING_ERROR = "carrier_sorting_error"
    CARRIER_ADDRESS_NOT_FOUND = "carrier_address_not_found"
    CARRIER_PARCEL_LOST = "carrier_parcel_lost"
    CARRIER_NOT_ENOUGH_TIME = "carrier_not_enough_time"
    CARRIER_VEHICLE_ISSUE = "carrier_vehicle_issue"
    CARRIER_CAPACITY_EXCEEDED = "carrier_capacity_exceeded"
    CARRIER_MECHANICAL_DELAY = "carrier_mechanical_delay"
    RETAILER_CANCELLED = "retailer_cancelled"
    RETAILER_INCORRECT_DATA = "retailer_incorrect_data"
    RETAILER_NOT_READY = "retailer_not_ready"
    RETAILER_INCORRECT_PARCEL = "retailer_incorrect_parcel"
    RETAILER_INCORRECT_DIMENSIONS = "retailer_incorrect_dimensions"
    RETAILER_PACKAGING_ISSUE = "retailer_packaging_issue"
    CONSIGNEE_REFUSED = "consignee_refused"
    CONSIGNEE_BUSINESS_CLOSED = "consignee_business_closed"
    CONSIGNEE_NOT_AVAILABLE = "consignee_not_available"
    CONSIGNEE_NOT_HOME = "consignee_not_home"
    CONSIGNEE_CANCELLED = "consignee_cancelled"
    CONSIGNEE_VERIFICATION_FAILED = "consignee_verification_failed"
    CONSIGNEE_INCORRECT_ADDRESS = "consignee_incorrect_address"
    CONSIGNEE_ACCESS_RESTRICTED = "consignee_access_restricted"
    CONSIGNEE_SAFE_PLACE_UNAVAILABLE = "consignee_safe_place_unavailable"
    CUSTOMS_DELAY = "customs_delay"
    CUSTOMS_DOCUMENTATION = "customs_documentation"
    CUSTOMS_DUTIES_UNPAID = "customs_duties_unpaid"
    CUSTOMS_PROHIBITED = "customs_prohibited"
    CUSTOMS_INSPECTION = "customs_inspection"
    WEATHER_DELAY = "weather_delay"
    NATURAL_DISASTER = "natural_disaster"
    FORCE_MAJEURE = "force_majeure"
    PARCEL_BEING_RESEARCHED = "parcel_being_researched"
    SECURITY_ISSUE = "security_issue"
    REGULATORY_HOLD = "regulatory_hold"
    UNKNOWN = "unknown"  # the carrier says that something is wrong, and not what


_R, _K = Reason, CaseKind
# A delay is a case only when it moves the promise; the others are one by themselves.
CASE_OF_REASON: Final[Mapping[Reason, CaseKind]] = MappingProxyType(
    {
        _R.CARRIER_DAMAGED_PARCEL: _K.DAMAGED,
        _R.CARRIER_SORTING_ERROR: _K.DELAYED,
        _R.CARRIER_ADDRESS_NOT_FOUND: _K.ADDRESS_PROBLEM,
        _R.CARRIER_PARCEL_LOST: _K.LOST,
        _R.CARRIER_NOT_ENOUGH_TIME: _K.DELAYED,
        _R.CARRIER_VEHICLE_ISSUE: _K.DELAYED,
        _R.CARRIER_CAPACITY_EXCEEDED: _K.DELAYED,
        _R.CARRIER_MECHANICAL_DELAY: _K.DELAYED,
        _R.RETAILER_CANCELLED: _K.CARRIER_PROBLEM,
        _R.RETAILER_INCORRECT_DATA: _K.CARRIER_PROBLEM,
        _R.RETAILER_NOT_READY: _K.CARRIER_PROBLEM,
        _R.RETAILER_INCORRECT_PARCEL: _K.CARRIER_PROBLEM,
        _R.RETAILER_INCORRECT_DIMENSIONS: _K.CARRIER_PROBLEM,
        _R.RETAILER_PACKAGING_ISSUE: _K.CARRIER_PROBLEM,
        _R.CONSIGNEE_REFUSED: _K.REFUSED,
        _R.CONSIGNEE_BUSINESS_CLOSED: _K.FAILED_ATTEMPT,
        _R.CONSIGNEE_NOT_AVAILABLE: _K.FAILED_ATTEMPT,
        _R.CONSIGNEE_NOT_HOME: _K.FAILED_ATTEMPT,
        _R.CONSIGNEE_CANCELLED: _K.REFUSED,
        _R.CONSIGNEE_VERIFICATION_FAILED: _K.FAILED_ATTEMPT,
        _R.CONSIGNEE_INCORRECT_ADDRESS: _K.ADDRESS_PROBLEM,
        _R.CONSIGNEE_ACCESS_RESTRICTED: _K.FAILED_ATTEMPT,
        _R.CONSIGNEE_SAFE_PLACE_UNAVAILABLE: _K.FAILED_ATTEMPT,
        _R.CUSTOMS_DELAY: _K.CUSTOMS,
        _R.CUSTOMS_DOCUMENTATION: _K.CUSTOMS,
        _R.CUSTOMS_DUTIES_UNPAID: _K.CUSTOMS,
        _R.CUSTOMS_PROHIBITED: _K.CUSTOMS,
        _R.CUSTOMS_INSPECTION: _K.CUSTOMS,
        _R.WEATHER_DELAY: _K.DELAYED,
        _R.NATURAL_DISASTER: _K.DELAYED,
        _R.FORCE_MAJEURE: _K.DELAYED,
        _R.PARCEL_BEING_RESEARCHED: _K.CARRIER_PROBLEM,
        _R.SECURITY_ISSUE: _K.CARRIER_PROBLEM,
        _R.REGULATORY_HOLD: _K.CUSTOMS,
        _R.UNKNOWN: _K.CARRIER_PROBLEM,
    }
)


def trouble_of(reason: str) -> CaseKind | None:
    """Return the case that a reason is by itself: none for a delay or a loss, or in words that nobody knows."""
    kind = CASE_OF_REASON[Reason(reason)] if reason in tuple(Reason) else None
    return None if kind in (CaseKind.DELAYED, CaseKind.LOST) else kind
