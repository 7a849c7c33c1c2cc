"""Parcels over HTTP: tracking put right by a person, and the carriers' codes that nobody has given a meaning."""

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Depends, Path

from fulfillment.domain.corrections import CorrectTracking
from starter.access import Caller, Needs, Scope
from starter.api import patterns
from starter.api.delivery import tell_orders
from starter.api.idempotency import Key, request_id
from starter.api.orders import OrderId
from starter.api.schemas import (
    CorrectionIn,
    CorrectionOut,
    ScanOut,
    ScansOut,
    UnknownCodeOut,
    UnknownCodesOut,
)
from starter.doors import Standing

router = APIRouter(prefix="/v1", tags=["parcels"])

ParcelId = Annotated[str, Path(max_length=80, pattern=patterns.ID)]
Supporting = Annotated[Caller, Depends(Needs(Scope.SUPPORT))]
Reading = Annotated[Caller, Depends(Needs(Scope.SUPPORT, Scope.OPS))]
Operating = Annotated[Caller, Depends(Needs(Scope.OPS))]


@router.get(
    "/orders/{order_id}/parcels/{parcel_id}/tracking",
    response_model=ScansOut,
    summary="All that was said about a parcel",
)
def scans(order_id: OrderId, parcel_id: ParcelId, doors: Standing, _caller: Reading) -> ScansOut:
    """List every scan, those that do not count included, and who put what right."""
    parcel = doors.views.view(order_id).parcel(parcel_id)
    return ScansOut(parcel_id=parcel_id, scans=[ScanOut.of(scan) for scan in parcel.scans])


@router.post(
    "/orders/{order_id}/parcels/{parcel_id}/tracking",
    response_model=CorrectionOut,
    summary="Put tracking right",
)
def correct(
    order_id: OrderId,
    parcel_id: ParcelId,
    body: CorrectionIn,
    doors: Standing,
    caller: Supporting,
    key: Key,
    after: BackgroundTasks,
) -> CorrectionOut:
    """Say where a parcel really is. It is the way out of an end such as a delivery that never was."""
    done = doors.corrections.correct(
        CorrectTracking(
            order_id=order_id,
            parcel_id=parcel_id,
            status=body.status,
            reason=body.reason,
            by=caller.name,
            request_id=request_id("fix_tracking", caller, key),
            happened_at=body.happened_at,
        )
    )
    after.add_task(tell_orders, doors, [order_id])
    return CorrectionOut(**asdict(done))


@router.get("/tracking/unknown_codes", response_model=UnknownCodesOut, summary="Codes without a meaning")
def unknown_codes(doors: Standing, _caller: Operating) -> UnknownCodesOut:
    """List what carriers said lately that none of our tables knows: it was kept, and moved no parcel."""
    return UnknownCodesOut(codes=[UnknownCodeOut(**asdict(code)) for code in doors.unknown_codes.list()])
