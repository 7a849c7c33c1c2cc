"""Manifests: the parcels of one place that one carrier takes together, and what really left."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from fulfillment.domain.errors import FulfillmentError
from fulfillment.domain.hand_over import Proof
from fulfillment.domain.scan_forms import ScanForm


class Departure(StrEnum):
    """What became of a parcel on a manifest."""

    LISTED = "listed"
    LEFT = "left"
    MISSING = "missing"  # it was not among what the carrier took
    REFUSED = "refused"  # it was there and may not leave


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestLine:
    """A parcel on a manifest; `why` says what kept it here."""

    parcel_id: str
    shipment_id: str
    tracking_number: str
    weight_g: int
    outcome: Departure
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A list for one carrier. Until it is handed over, whatever is labeled meanwhile may join it."""

    manifest_id: str
    location_id: str
    carrier: str
    by: str
    at: datetime
    lines: tuple[ManifestLine, ...]
    forms: tuple[ScanForm, ...] = ()
    proof: Proof | None = None
    handed_over_by: str = ""
    handed_over_at: datetime | None = None

    def of(self, outcome: Departure) -> tuple[ManifestLine, ...]:
        """Return the parcels of which this became."""
        return tuple(line for line in self.lines if line.outcome is outcome)


class UnknownManifest(FulfillmentError):
    """There is no such manifest."""

    def __init__(self, manifest_id: str) -> None:
        super().__init__(f"there is no manifest {manifest_id}")
        self.manifest_id = manifest_id


class NothingToHandOver(FulfillmentError):
    """No parcel of this carrier is ready at this place."""

    code = "nothing_to_hand_over"

    def __init__(self, location_id: str, carrier: str) -> None:
        super().__init__(f"no parcel with a label of {carrier} is ready to leave {location_id}")
        self.location_id, self.carrier = location_id, carrier


class NotOnManifest(FulfillmentError):
    """The driver holds something that is not on the list. Nothing was handed over."""

    code = "not_on_manifest"

    def __init__(self, manifest_id: str, codes: Sequence[str]) -> None:
        super().__init__(
            f"{', '.join(codes)} {'is' if len(codes) == 1 else 'are'} not on {manifest_id}: take it back, "
            "or make the list again if it is labeled for this carrier"
        )
        self.manifest_id, self.codes = manifest_id, tuple(codes)
