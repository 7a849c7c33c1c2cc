"""Carriers over HTTP: which of them labels are bought of, and the switch that turns one off."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request
from pydantic import BaseModel

from fulfillment.domain.carriers import CarrierUse
from starter.access import Caller, Needs, Scope
from starter.api import patterns
from starter.api.schemas import CarrierOut, WhyIn
from starter.doors import Standing

router = APIRouter(prefix="/v1/carriers", tags=["carriers"])

Managing = Annotated[Caller, Depends(Needs(Scope.OPS))]
Staff = Annotated[Caller, Depends(Needs(Scope.SUPPORT, Scope.WAREHOUSE, Scope.OPS))]
Name = Annotated[str, Path(max_length=64, pattern=patterns.NAME)]


class CarriersOut(BaseModel):
    """The carriers we know of, by name."""

    carriers: list[CarrierOut]


@router.get("", response_model=CarriersOut, summary="Carriers, and whether they are used")
def carriers(doors: Standing, _caller: Staff) -> CarriersOut:
    """List the carriers that parcels left with, or that were paused, or that failed."""
    return CarriersOut(carriers=[CarrierOut.of(one, use) for one, use in doors.carriers.carriers()])


@router.post("/{carrier}/pause", response_model=CarrierOut, summary="Buy no label of a carrier")
def pause(carrier: Name, body: WhyIn, request: Request, doors: Standing, caller: Managing) -> CarrierOut:
    """Take others from now on; what was bought already still travels. Another reason takes the place of the first."""
    request_id = str(request.state.request_id)
    paused = doors.carriers.pause(carrier, by=caller.name, why=body.reason, request_id=request_id)
    return CarrierOut.of(paused, CarrierUse.PAUSED)


@router.post("/{carrier}/resume", response_model=CarrierOut, summary="Use a carrier again")
def resume(carrier: Name, request: Request, doors: Standing, caller: Managing) -> CarrierOut:
    """Use a paused carrier again; what it failed at before says nothing of today."""
    resumed = doors.carriers.resume(carrier, by=caller.name, request_id=str(request.state.request_id))
    return CarrierOut.of(resumed, CarrierUse.IN_USE)
