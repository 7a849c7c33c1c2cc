"""The dock over HTTP: the list of a carrier, and what the driver really took."""

from datetime import datetime
from typing import Annotated, Self

from fastapi import APIRouter, BackgroundTasks, Path, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from fulfillment.domain.hand_over import Evidence
from fulfillment.domain.manifests import Departure, Manifest
from fulfillment.domain.scan_forms import FormState, ScanForm
from starter.api import patterns
from starter.api.delivery import tell_orders
from starter.api.schemas import ManifestIn, TakenIn
from starter.api.warehouse import Working, order_of
from starter.doors import Standing

router = APIRouter(prefix="/v1/warehouse", tags=["warehouse"])

ManifestId = Annotated[str, Path(max_length=200, pattern=patterns.MANIFEST)]
FormId = Annotated[str, Path(max_length=200, pattern=patterns.SCAN_FORM)]


class ManifestLineOut(BaseModel):
    """A parcel on a manifest; `why` says what kept it here."""

    parcel_id: str
    shipment_id: str
    tracking_number: str
    weight_g: int
    outcome: Departure
    why: str


class ScanFormOut(BaseModel):
    """A carrier's own code for parcels of the list: scanned once, it takes them all. `said` is why there is none."""

    form_id: str
    state: FormState
    said: str
    parcels: list[str] = Field(description="What is on it and still on the list.")
    asked_by: str
    asked_at: datetime

    @classmethod
    def of(cls, form: ScanForm) -> Self:
        """Return the answer for a form."""
        return cls(
            form_id=form.form_id,
            state=form.state,
            said=form.said,
            parcels=list(form.parcels),
            asked_by=form.by,
            asked_at=form.at,
        )


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
    scan_forms: list[ScanFormOut]
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
            scan_forms=[ScanFormOut.of(form) for form in manifest.forms],
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
    "/manifests/{manifest_id}/scan_forms",
    response_model=ManifestOut,
    status_code=202,
    summary="Ask the carrier for its code for the list",
)
async def ask_for_form(manifest_id: ManifestId, doors: Standing, caller: Working) -> ManifestOut:
    """Ask for one code for what waits on the list and is on no form yet; it is printed once it is `made`.

    Carriers take a parcel onto one form for good, so ask when the list is whole. What is labeled later needs another.
    """
    form_id = await run_in_threadpool(doors.scan_forms.ask, manifest_id, by=caller.name)
    await doors.processes.get_scan_form(form_id)
    return ManifestOut.of(await run_in_threadpool(doors.manifests.show, manifest_id))


@router.get(
    "/scan_forms/{form_id}",
    response_class=Response,
    responses={200: {"content": {"application/pdf": {}}}},
    summary="The form, as the carrier sent it",
)
def scan_form(form_id: FormId, doors: Standing, _caller: Working) -> Response:
    """Give out a form byte for byte."""
    document = doors.scan_forms.document(form_id)
    headers = {
        "Content-Disposition": f'inline; filename="{form_id}.pdf"',
        "ETag": f'"{document.sha256}"',
        "X-Content-Type-Options": "nosniff",
    }
    return Response(document.content, media_type="application/pdf", headers=headers)


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
