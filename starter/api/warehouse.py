"""The floor over HTTP: what is to be done, and each step of a shipment up to the carrier's hands."""

from dataclasses import asdict
from datetime import date, datetime
from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Depends, Path, Query
from pydantic import BaseModel

from fulfillment.domain.hand_over import STAFF
from fulfillment.domain.picking import CheckGrade, Look, PickMode, PickScan, Rejection, TakeWalk
from fulfillment.domain.shipment import WorkStatus
from fulfillment.storage.rejections import Reject
from fulfillment.storage.warehouse import WorkItem
from starter.access import Caller, Needs, Scope
from starter.api import patterns
from starter.api.delivery import tell_orders
from starter.api.problems import Problem, field_error
from starter.api.schemas import (
    BinIn,
    InspectionIn,
    ItemOut,
    LookIn,
    PackedIn,
    PickScanIn,
    ProofIn,
    RejectionIn,
    ScanIn,
    WalkIn,
)
from starter.doors import Standing

router = APIRouter(prefix="/v1/warehouse", tags=["warehouse"])

Working = Annotated[Caller, Depends(Needs(Scope.WAREHOUSE))]
ShipmentId = Annotated[str, Path(max_length=80, pattern=patterns.ID)]


def _asked_about(doors: Standing, location: Annotated[str | None, Query(max_length=64)] = None) -> str | None:
    """Return the location of the query. None where none was named.

    Raises:
        Problem: 422, there is no such place: an empty list would pass for an idle floor.
    """
    places = [place.location_id for place in doors.stock.locations()]
    if location is None or location in places:
        return location
    why = f"there is no location {location}, only {', '.join(places) or 'none yet'}"
    raise Problem("invalid_request", f"location: {why}", errors=[field_error("location", "unknown", why)])


Location = Annotated[str | None, Depends(_asked_about)]


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


class ToPickOut(BaseModel):
    """A shipment that may be taken now; it must leave by `ship_by`."""

    shipment_id: str
    order_id: str
    ship_by: datetime
    promise_date: date | None
    units: int
    late: bool


class PickListOut(BaseModel):
    """What may be taken at a location: what must leave first comes first, then what is promised first."""

    to_pick: list[ToPickOut]


class ToteOut(BaseModel):
    """A shipment on a walk. While `stop` is not empty nobody goes on with it: it says what to do with the goods."""

    tote: int
    shipment_id: str
    work_status: WorkStatus
    units: int
    scanned: int
    stop: str


class PutOut(BaseModel):
    """Units of a stop that go into a tote."""

    tote: int
    units: int
    scanned: int


class WalkStopOut(BaseModel):
    """A shelf on the way; without a `bin` nobody said where it is."""

    bin: str
    sku: str
    name: str
    puts: list[PutOut]


class WalkOut(BaseModel):
    """One walk of one picker; its stops are in the order of the way."""

    walk_id: str
    location_id: str
    mode: PickMode
    picker: str
    totes: list[ToteOut]
    stops: list[WalkStopOut]


class ScannedOut(BaseModel):
    """What a scan came to: `left` units are missing in the tote. `to_check` must be looked at before it is picked."""

    shipment_id: str
    tote: int
    sku: str
    units: int
    left: int
    picked: bool
    to_check: list[str]


class LookedOut(BaseModel):
    """What was seen. `missing` must still be found good; `reject_as` is how these units are taken out.

    With the last check that its scans waited for the shipment is `picked`; `say` is what is done now.
    """

    shipment_id: str
    sku: str
    grade: CheckGrade
    missing: dict[str, int]
    picked: bool
    reject_as: Rejection | None
    say: str


class PutBackOut(BaseModel):
    """Goods that go back to their shelf, and why."""

    shipment_id: str
    location_id: str
    why: str
    picker: str | None
    asked_at: datetime


class PutBacksOut(BaseModel):
    """What is to be put back, what was asked for first at the top."""

    put_backs: list[PutBackOut]


class BinOut(BaseModel):
    """Where units of a SKU lie."""

    sku: str
    location_id: str
    bin: str


class RejectedOut(BaseModel):
    """What taking units out came to; a repeat answers the same. `say` is what the picker does now.

    Of the `units` so many were `replaced` from the same shelf, come from another location (`resourced`), were
    wait for stock, or were taken off the order. `added` are the shipments that carry them now, `left` is
    how many units this one still has, `count_id` the count that was asked for.
    """

    shipment_id: str
    sku: str
    units: int
    reason: Rejection
    replaced: int
    resourced: int
    waiting: int
    cancelled: int
    left: int
    added: list[str]
    count_id: str | None
    say: str


class SetAsideOut(BaseModel):
    """Units that were taken out of a shipment and wait to be looked at."""

    rejection_id: str
    shipment_id: str
    sku: str
    location_id: str
    units: int
    reason: Rejection
    note: str
    photo: str
    by: str
    at: datetime


class ToInspectOut(BaseModel):
    """What was set aside and nobody has looked at yet, the oldest first."""

    rejections: list[SetAsideOut]


class InspectedOut(BaseModel):
    """Units that were set aside and looked at."""

    rejection_id: str
    to: str


@router.get("/work", response_model=FloorOut, summary="What is to be done")
def work(doors: Standing, _caller: Working, location: Location) -> FloorOut:
    """List the shipments on the floor of a location, or of all."""
    return FloorOut(work=[_work_out(item) for item in doors.floor.work(location)])


@router.put("/bins", response_model=BinOut, summary="Say where a SKU lies")
def set_bin(body: BinIn, doors: Standing, _caller: Working) -> BinOut:
    """Give a SKU its place at a location; walks follow it from then on."""
    doors.picking.set_bin(body.sku, body.location_id, body.bin)
    return BinOut(sku=body.sku, location_id=body.location_id, bin=body.bin)


@router.get("/pick-list", response_model=PickListOut, summary="What is to be picked")
def pick_list(doors: Standing, _caller: Working, location: Location) -> PickListOut:
    """List what nobody has in hand at a location."""
    if location is None:
        why = "a pick list is of one location: name it"
        raise Problem("invalid_request", f"location: {why}", errors=[field_error("location", "missing", why)])
    listed = doors.picking.pick_list(location)
    return PickListOut(to_pick=[ToPickOut.model_validate(one, from_attributes=True) for one in listed])


@router.post("/walks", response_model=WalkOut, summary="Take shipments to pick")
def take_walk(body: WalkIn, doors: Standing, _caller: Working) -> WalkOut:
    """Take one shipment, a batch, or a wave of those that leave at the same cut-off; they are this picker's then."""
    walk = doors.picking.take(
        TakeWalk(
            walk_id=body.walk_id,
            location_id=body.location_id,
            picker=body.picker,
            mode=body.mode,
            size=body.size,
        )
    )
    return WalkOut.model_validate(walk, from_attributes=True)


@router.get("/walks/{walk_id}", response_model=WalkOut, summary="A walk as it stands")
def show_walk(walk_id: ShipmentId, doors: Standing, _caller: Working) -> WalkOut:
    """Show what is still to be scanned, and which totes must go no further."""
    return WalkOut.model_validate(doors.picking.walk(walk_id), from_attributes=True)


@router.post("/walks/{walk_id}/scans", response_model=ScannedOut, summary="Units are in their tote")
def scan_unit(walk_id: ShipmentId, body: PickScanIn, doors: Standing, _caller: Working) -> ScannedOut:
    """Count units into a tote; with the last one its shipment is picked. A repeat answers the same."""
    scanned = doors.picking.scan(
        PickScan(
            scan_id=body.scan_id,
            walk_id=walk_id,
            tote=body.tote,
            sku=body.sku,
            picker=body.picker,
            units=body.quantity,
        )
    )
    return ScannedOut.model_validate(scanned, from_attributes=True)


@router.get("/put-backs", response_model=PutBacksOut, summary="What is to be put back")
def list_put_backs(doors: Standing, _caller: Working, location: Location) -> PutBacksOut:
    """List the goods in somebody's hands whose shipment was cancelled or changed."""
    asked = doors.picking.put_backs(location)
    return PutBacksOut(put_backs=[PutBackOut.model_validate(one, from_attributes=True) for one in asked])


@router.post("/shipments/{shipment_id}/put_back", response_model=StepOut, summary="The goods are back")
def put_back(
    shipment_id: ShipmentId, doors: Standing, caller: Working, scan: ScanIn | None = None
) -> StepOut:
    """Note that the goods lie on their shelf again. A repeat changes nothing."""
    said = scan or ScanIn()
    doors.picking.put_back(shipment_id, by=said.picker or caller.name, scan_id=said.scan_id)
    return StepOut(shipment_id=shipment_id, done="put_back")


@router.post(
    "/shipments/{shipment_id}/checks", response_model=LookedOut, summary="Its condition was looked at"
)
def look(shipment_id: ShipmentId, body: LookIn, doors: Standing, caller: Working) -> LookedOut:
    """Keep what was seen of units at the shelf or the bench. Only what is as new, grade A, may leave."""
    looked = doors.picking.look(
        Look(
            check_id=body.check_id,
            shipment_id=shipment_id,
            sku=body.sku,
            units=body.quantity,
            grade=body.grade,
            by=caller.name,
            defect=body.defect,
            note=body.note,
            photo=body.photo,
        )
    )
    return LookedOut.model_validate(looked, from_attributes=True)


@router.post("/shipments/{shipment_id}/start", response_model=StepOut, summary="Start picking")
def start(shipment_id: ShipmentId, doors: Standing, caller: Working, scan: ScanIn | None = None) -> StepOut:
    """Take a shipment to pick it."""
    said = scan or ScanIn()
    doors.floor.start_picking(shipment_id, by=said.picker or caller.name, scan_id=said.scan_id)
    return StepOut(shipment_id=shipment_id, done="start")


@router.post("/shipments/{shipment_id}/picked", response_model=StepOut, summary="Everything is picked")
def picked(shipment_id: ShipmentId, doors: Standing, caller: Working, scan: ScanIn | None = None) -> StepOut:
    """Note that every piece is in the tote."""
    said = scan or ScanIn()
    doors.floor.picked(shipment_id, by=said.picker or caller.name, scan_id=said.scan_id)
    return StepOut(shipment_id=shipment_id, done="picked")


@router.post("/shipments/{shipment_id}/rejections", response_model=RejectedOut, summary="Units cannot leave")
def reject(
    shipment_id: ShipmentId, body: RejectionIn, doors: Standing, caller: Working, after: BackgroundTasks
) -> RejectedOut:
    """Take units out of a shipment that is picked or packed; what follows for the order is the shop's rule."""
    answer = doors.rejections.reject(
        Reject(
            shipment_id=shipment_id,
            sku=body.sku,
            units=body.quantity,
            reason=body.reason,
            by=caller.name,
            scan_id=body.scan_id,
            found_sku=body.found_sku,
            note=body.note,
            photo=body.photo,
        )
    )
    after.add_task(tell_orders, doors, [order_of(shipment_id)])
    return RejectedOut(**asdict(answer), say=answer.say)


@router.get("/rejections", response_model=ToInspectOut, summary="What is to be inspected")
def to_inspect(doors: Standing, _caller: Working, location: Location) -> ToInspectOut:
    """List units that could not leave, until somebody says what becomes of them."""
    waiting = doors.rejections.to_inspect(location)
    return ToInspectOut(rejections=[SetAsideOut.model_validate(one, from_attributes=True) for one in waiting])


@router.post("/rejections/{rejection_id}/inspection", response_model=InspectedOut, summary="Inspected")
def inspect(rejection_id: ShipmentId, body: InspectionIn, doors: Standing, caller: Working) -> InspectedOut:
    """Settle what was set aside at the shelf or the bench. A repeat changes nothing."""
    doors.rejections.inspected(rejection_id, body.to, by=caller.name, note=body.note)
    return InspectedOut(rejection_id=rejection_id, to=body.to)


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
