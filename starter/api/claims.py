"""What is claimed from carriers for parcels that they lost or broke."""

from datetime import date, datetime
from typing import Annotated, Self

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field

from fulfillment.domain.carrier_claims import CarrierClaim, ClaimOutcome
from fulfillment.domain.cases import Owner
from fulfillment.domain.settlement import Cause
from starter.access import Caller, Needs, Scope
from starter.api.parcels import ParcelId
from starter.api.schemas import ClaimEndIn
from starter.doors import Standing

router = APIRouter(prefix="/v1/carrier_claims", tags=["carriers"])

Claiming = Annotated[Caller, Depends(Needs(Scope.SUPPORT, Scope.OPS))]


class ClaimOut(BaseModel):
    """A claim that nothing came of yet. `amount` is in minor units."""

    parcel_id: str
    order_id: str
    carrier: str
    tracking_number: str
    cause: Cause
    amount: int
    currency: str
    deadline: date = Field(description="The carrier takes no claim after this day.")
    due_at: datetime
    owner: Owner

    @classmethod
    def of(cls, claim: CarrierClaim) -> Self:
        """Return a claim as the API shows it."""
        return cls(**{name: getattr(claim, name) for name in cls.model_fields})


class ClaimsOut(BaseModel):
    """What is to be claimed, the first deadline first."""

    claims: list[ClaimOut]


class ClaimEndOut(BaseModel):
    """What came of a claim."""

    parcel_id: str
    outcome: ClaimOutcome
    text: str


@router.get("", response_model=ClaimsOut, summary="What is to be claimed")
def claims(doors: Standing, _caller: Claiming) -> ClaimsOut:
    """List the claims against carriers that are open; they open and, where a parcel is found, end by themselves."""
    return ClaimsOut(claims=[ClaimOut.of(claim) for claim in doors.claims.open()])


@router.post("/{parcel_id}/end", response_model=ClaimEndOut, summary="Say what came of a claim")
def end(
    parcel_id: ParcelId, body: ClaimEndIn, request: Request, doors: Standing, caller: Claiming
) -> ClaimEndOut:
    """End a claim with its outcome; the same again is harmless."""
    said = doors.claims.end(
        parcel_id,
        body.outcome,
        paid=body.paid,
        by=caller.name,
        request_id=str(request.state.request_id),
        note=body.note,
    )
    return ClaimEndOut(parcel_id=parcel_id, outcome=body.outcome, text=said)
