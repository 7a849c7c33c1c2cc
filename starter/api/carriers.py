"""Carriers over HTTP: which of them labels are bought of, and the switch that turns one off."""

from datetime import datetime
from typing import Annotated, Self

from fastapi import APIRouter, Depends, Path, Request
from pydantic import BaseModel

from fulfillment.domain.carriers import Carrier, CarrierUse
from starter.access import Caller, Needs, Scope
from starter.api.schemas import WhyIn
from starter.doors import Standing

router = APIRouter(prefix="/v1/carriers", tags=["carriers"])

Managing = Annotated[Caller, Depends(Needs(Scope.OPS))]
Staff = Annotated[Caller, Depends(Needs(Scope.SUPPORT, Scope.WAREHOUSE, Scope.OPS))]
Name = Annotated[str, Path(max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]*$")]


class CarrierOut(BaseModel):
    """A carrier. `parcels` of the last 90 days left with it; nine of ten took `slowest_days` working days or fewer."""

    carrier: str
    use: CarrierUse
    paused_at: datetime | None
    paused_by: str
    why: str
    failing_since: datetime | None
    said: str
    parcels: int
    slowest_days: int | None

    @classmethod
    def of(cls, one: Carrier, use: CarrierUse) -> Self:
        """Return a carrier as the API shows it."""
        return cls(
            carrier=one.name,
            use=use,
            paused_at=one.paused_at,
            paused_by=one.paused_by,
            why=one.why,
            failing_since=one.failing_since,
            said=one.said if one.failing_since else "",
            parcels=one.parcels,
            slowest_days=one.slowest_days,
        )


class CarriersOut(BaseModel):
    """The carriers we know of, by name."""

    carriers: list[CarrierOut]


@router.get("", response_model=CarriersOut, summary="Carriers, and whether they are used")
def carriers(doors: Standing, _caller: Staff) -> CarriersOut:
    """List the carriers that parcels left with, or that were paused, or that failed."""
    return CarriersOut(carriers=[CarrierOut.of(one, use) for one, use in doors.carriers.carriers()])


@router.post("/{carrier}/pause", response_model=CarrierOut, summary="Buy no label of a carrier")
def pause(carrier: Name, body: WhyIn, request: Request, doors: Standing, caller: Managing) -> CarrierOut:
    """Take others from now on; what was bought already still travels. The same again changes nothing."""
    request_id = str(request.state.request_id)
    paused = doors.carriers.pause(carrier, by=caller.name, why=body.reason, request_id=request_id)
    return CarrierOut.of(paused, CarrierUse.PAUSED)


@router.post("/{carrier}/resume", response_model=CarrierOut, summary="Use a carrier again")
def resume(carrier: Name, request: Request, doors: Standing, caller: Managing) -> CarrierOut:
    """Use a paused carrier again; what it failed at before says nothing of today."""
    resumed = doors.carriers.resume(carrier, by=caller.name, request_id=str(request.state.request_id))
    return CarrierOut.of(resumed, CarrierUse.IN_USE)
