"""The floor over HTTP: what is to be done, and each step of a shipment up to the carrier's hands."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Depends, Path, Query
from pydantic import BaseModel

from fulfillment.domain.hand_over import STAFF
from fulfillment.domain.shipment import WorkStatus
from fulfillment.storage.warehouse import WorkItem
from starter.access import Caller, Needs, Scope
from starter.api.delivery import tell_orders
from starter.api.schemas import ItemOut, PackedIn, ProofIn, ScanIn
from starter.doors import Standing

router = APIRouter(prefix="/v1/warehouse", tags=["warehouse"])

Working = Annotated[Caller, Depends(Needs(Scope.WAREHOUSE))]
ShipmentId = Annotated[str, Path(max_length=80, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


class WorkOut(BaseModel):
    """A shipment on the floor. While `held` is not empty nobody goes on with it."""

    shipment_id: str
    order_id: str
    location_id: str
    work_status: WorkStatus
    items: list[ItemOut]
    ship_by: datetime
    late: bool
    service: str
    goes_to: str
    held: list[str]
    picker: str | None
    parcel_id: str | None
    weight_g: int | None
    carrier: str | None
    tracking_number: str | None
    label_url: str | None


class FloorOut(BaseModel):
    """What is on the floor, the latest first."""

    work: list[WorkOut]


class StepOut(BaseModel):
    """A step that is done; a repeat answers the same."""

    shipment_id: str
    done: str
    parcel_id: str | None = None
    carrier: str | None = None
    tracking_number: str | None = None
    at: datetime | None = None


@router.get("/work", response_model=FloorOut, summary="What is to be done")
def work(
    doors: Standing, _caller: Working, location: Annotated[str | None, Query(max_length=64)] = None
) -> FloorOut:
    """List the shipments on the floor of a location, or of all."""
    return FloorOut(work=[_work_out(item) for item in doors.floor.work(location)])


@router.post("/shipments/{shipment_id}/start", response_model=StepOut, summary="Start picking")
def start(shipment_id: ShipmentId, doors: Standing, caller: Working, scan: ScanIn | None = None) -> StepOut:
    """Take a shipment to pick it."""
    doors.floor.start_picking(shipment_id, by=caller.name, scan_id=scan.scan_id if scan else "")
    return StepOut(shipment_id=shipment_id, done="start")


@router.post("/shipments/{shipment_id}/picked", response_model=StepOut, summary="Everything is picked")
def picked(shipment_id: ShipmentId, doors: Standing, caller: Working, scan: ScanIn | None = None) -> StepOut:
    """Note that every piece is in the tote."""
    doors.floor.picked(shipment_id, by=caller.name, scan_id=scan.scan_id if scan else "")
    return StepOut(shipment_id=shipment_id, done="picked")


@router.post("/shipments/{shipment_id}/packed", response_model=StepOut, summary="The parcel is closed")
def packed(
    shipment_id: ShipmentId, body: PackedIn, doors: Standing, caller: Working, after: BackgroundTasks
) -> StepOut:
    """Close the parcel once every unit was scanned at the bench; its label follows by itself."""
    parcel_id = doors.floor.pack(
        shipment_id,
        weight_g=body.weight_g,
        by=caller.name,
        carton_id=body.carton_id,
        weight_reason=body.weight_reason,
    )
    after.add_task(tell_orders, doors, [order_of(shipment_id)])
    return StepOut(shipment_id=shipment_id, done="packed", parcel_id=parcel_id)


@router.post("/shipments/{shipment_id}/handed_over", response_model=StepOut, summary="It has left")
def handed_over(
    shipment_id: ShipmentId,
    doors: Standing,
    caller: Working,
    after: BackgroundTasks,
    proof: ProofIn | None = None,
) -> StepOut:
    """Give the parcel to the carrier: from here it cannot be stopped."""
    left = doors.floor.hand_over(shipment_id, by=caller.name, proof=proof.as_proof() if proof else STAFF)
    after.add_task(tell_orders, doors, [order_of(shipment_id)])
    return StepOut(
        shipment_id=shipment_id,
        done="handed_over",
        parcel_id=left.parcel_id,
        carrier=left.carrier,
        tracking_number=left.tracking_number,
        at=left.at,
    )


def order_of(shipment_id: str) -> str:
    """Return the order a shipment's id begins with."""
    return shipment_id.rpartition("-")[0]


def _work_out(item: WorkItem) -> WorkOut:
    return WorkOut(
        shipment_id=item.shipment_id,
        order_id=item.order_id,
        location_id=item.location_id,
        work_status=item.work_status,
        items=[ItemOut(sku=one.sku, name=one.name, quantity=one.quantity) for one in item.items],
        ship_by=item.ship_by,
        late=item.late,
        service=item.service,
        goes_to=item.ship_to.place,
        held=list(item.held),
        picker=item.picker,
        parcel_id=item.parcel_id,
        weight_g=item.weight_g,
        carrier=item.carrier,
        tracking_number=item.tracking_number,
        label_url=item.label_url,
    )
