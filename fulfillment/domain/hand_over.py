"""How we know that the carrier has a parcel: without evidence nothing has left."""

from dataclasses import dataclass
from enum import StrEnum


class Evidence(StrEnum):
    """What a hand-over is known by."""

    STAFF = "staff"  # somebody of ours says so
    DRIVER_SCAN = "driver_scan"  # the driver scanned it into the car
    SCAN_FORM = "scan_form"  # the carrier signed for the list it is on
    CARRIER_SCAN = "carrier_scan"  # it was scanned on its way, though nobody here saw it leave


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """The evidence, and what to find it by: a driver's name, a receipt's number, the reference of a picture."""

    evidence: Evidence
    ref: str = ""


STAFF = Proof(evidence=Evidence.STAFF)
