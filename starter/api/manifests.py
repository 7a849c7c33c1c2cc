"""The dock over HTTP: the list of a carrier, and what the driver really took."""

from datetime import datetime
from typing import Annotated, Self

from fastapi import APIRouter, BackgroundTasks, Path
from pydantic import BaseModel, Field

from fulfillment.domain.hand_over import Evidence
from fulfillment.domain.manifests import Departure, Manifest
from starter.api import patterns
from starter.api.delivery import tell_orders
from starter.api.schemas import ManifestIn, TakenIn
from starter.api.warehouse import Working, order_of
from starter.doors import Standing

router = APIRouter(prefix="/v1/warehouse", tags=["warehouse"])

ManifestId = Annotated[str, Path(max_length=200, pattern=patterns.MANIFEST)]


class ManifestLineOut(BaseModel):
    """A parcel on a manifest; `why` says what kept it here."""

    parcel_id: str
    shipment_id: str
    tracking_number: str
    weight_g: int
    outcome: Departure
    why: str


class ManifestOut(BaseModel):
    """A list for one carrier, with the evidence once it was handed over."""

    manifest_id: str
    location_id: str
    carrier: str
    made_by: str
    made_at: datetime
    parcels: list[ManifestLineOut]
    missing: list[str] = Field(
        description="Parcels that were listed, and that nobody took: look for them now."
    )
    evidence: Evidence | None
    evidence_ref: str
    handed_over_by: str
    handed_over_at: datetime | None

    @classmethod
    def of(cls, manifest: Manifest) -> Self:
        """Return the answer for a manifest."""
        return cls(
            manifest_id=manifest.manifest_id,
            location_id=manifest.location_id,
            carrier=manifest.carrier,
            made_by=manifest.by,
            made_at=manifest.at,
            parcels=[
                ManifestLineOut(
                    parcel_id=line.parcel_id,
                    shipment_id=line.shipment_id,
                    tracking_number=line.tracking_number,
                    weight_g=line.weight_g,
                    outcome=line.outcome,
                    why=line.why,
                )
                for line in manifest.lines
            ],
            missing=[line.parcel_id for line in manifest.of(Departure.MISSING)],
            evidence=manifest.proof.evidence if manifest.proof else None,
            evidence_ref=manifest.proof.ref if manifest.proof else "",
            handed_over_by=manifest.handed_over_by,
            handed_over_at=manifest.handed_over_at,
        )


class ManifestsOut(BaseModel):
    """The latest manifests, the newest first."""

    manifests: list[ManifestOut]


@router.post("/manifests", response_model=ManifestOut, summary="List what a carrier takes")
def make(body: ManifestIn, doors: Standing, caller: Working) -> ManifestOut:
    """List every parcel that may leave with a carrier; once more before the driver comes, and it is up to date."""
    return ManifestOut.of(doors.manifests.make(body.location_id, body.carrier, by=caller.name))


@router.get("/manifests", response_model=ManifestsOut, summary="Manifests")
def latest(doors: Standing, _caller: Working) -> ManifestsOut:
    """List the latest manifests."""
    return ManifestsOut(manifests=[ManifestOut.of(manifest) for manifest in doors.manifests.latest()])


@router.get("/manifests/{manifest_id}", response_model=ManifestOut, summary="A manifest")
def show(manifest_id: ManifestId, doors: Standing, _caller: Working) -> ManifestOut:
    """Read who took which parcels, and what was missing."""
    return ManifestOut.of(doors.manifests.show(manifest_id))


@router.post(
    "/manifests/{manifest_id}/handed_over", response_model=ManifestOut, summary="The driver took these"
)
def handed_over(
    manifest_id: ManifestId, body: TakenIn, doors: Standing, caller: Working, after: BackgroundTasks
) -> ManifestOut:
    """Hand over what was scanned into the car. What was listed and not scanned is `missing`; a repeat is harmless."""
    left = doors.manifests.hand_over(manifest_id, body.codes, by=caller.name, proof=body.as_proof())
    gone = [order_of(line.shipment_id) for line in left.of(Departure.LEFT)]
    after.add_task(tell_orders, doors, list(dict.fromkeys(gone)))
    return ManifestOut.of(left)
