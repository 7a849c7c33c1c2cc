"""The cartons a shop packs in, over HTTP."""

from typing import Annotated, Self

from fastapi import APIRouter, Depends, Path, Response
from pydantic import BaseModel

from fulfillment.domain.cartons import Carton
from starter.access import Caller, Needs, Scope
from starter.api import patterns
from starter.api.schemas import CartonIn
from starter.doors import Standing

router = APIRouter(prefix="/v1/cartons", tags=["warehouse"])

Reading = Annotated[Caller, Depends(Needs(Scope.WAREHOUSE, Scope.OPS))]
Changing = Annotated[Caller, Depends(Needs(Scope.OPS))]
CartonId = Annotated[str, Path(max_length=64, pattern=patterns.ID)]


class CartonKindOut(BaseModel):
    """A kind of carton. Sides are inner ones in mm, the weight it carries and its own in grams, the price in minor units."""

    carton_id: str
    size_mm: list[int]
    max_weight_g: int
    tare_g: int
    price: int

    @classmethod
    def of(cls, carton: Carton) -> Self:
        """Return the answer for a carton."""
        return cls(
            carton_id=carton.carton_id,
            size_mm=list(carton.size),
            max_weight_g=carton.max_weight_g,
            tare_g=carton.tare_g,
            price=carton.price,
        )


class CartonKindsOut(BaseModel):
    """The kinds of cartons there are."""

    cartons: list[CartonKindOut]


@router.get("", response_model=CartonKindsOut, summary="The cartons there are")
def cartons(doors: Standing, _caller: Reading) -> CartonKindsOut:
    """List the shop's cartons, or the usual ones while it has named none."""
    return CartonKindsOut(cartons=[CartonKindOut.of(carton) for carton in doors.benches.cartons()])


@router.put("/{carton_id}", response_model=CartonKindOut, summary="Add or change a carton")
def put(carton_id: CartonId, body: CartonIn, doors: Standing, _caller: Changing) -> CartonKindOut:
    """Add a kind of carton, or change it. As soon as there is one, the usual ones are not used any more."""
    length, width, height = body.size_mm
    carton = Carton(
        carton_id=carton_id,
        size=(length, width, height),
        max_weight_g=body.max_weight_g,
        tare_g=body.tare_g,
        price=body.price,
    )
    doors.benches.put_carton(carton)
    return CartonKindOut.of(carton)


@router.delete("/{carton_id}", status_code=204, summary="Use a carton no more")
def retire(carton_id: CartonId, doors: Standing, _caller: Changing) -> Response:
    """Propose a kind of carton no more; what is packed in it stays so."""
    doors.benches.retire_carton(carton_id)
    return Response(status_code=204)
