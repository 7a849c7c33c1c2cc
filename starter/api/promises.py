"""What could be promised for a cart before it is ordered; nothing is claimed."""

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from fulfillment.domain.address import Address
from fulfillment.domain.promise import CartPart, CartPromise
from starter.access import Caller, Needs, Scope
from starter.api.schemas import CartIn
from starter.doors import Standing

router = APIRouter(prefix="/v1", tags=["orders"])

Asking = Annotated[Caller, Depends(Needs(Scope.STOREFRONT, Scope.SUPPORT, Scope.OPS))]


class CartItemOut(BaseModel):
    """Units of one SKU."""

    sku: str
    quantity: int


class CartParcelOut(BaseModel):
    """A parcel the cart would become, and the day by which it should arrive."""

    location_id: str
    items: list[CartItemOut]
    promised_by: date
    waits_for_stock: bool


class CartShortOut(BaseModel):
    """A SKU of which not everything is there: how many would wait, how many could never come."""

    sku: str
    asked: int
    in_stock: int
    backordered: int
    unavailable: int


class CartPromiseOut(BaseModel):
    """What could be promised now; `promised_by` is when all of it is there, null when none of it can come."""

    promised_by: date | None
    parcels: list[CartParcelOut]
    short: list[CartShortOut]


@router.post("/promises", response_model=CartPromiseOut, summary="When a cart would arrive")
def promise(body: CartIn, doors: Standing, _caller: Asking) -> CartPromiseOut:
    """Say in which parcels a cart would be shipped and by which day. It reads only, and claims nothing."""
    cart: dict[str, int] = {}
    for line in body.lines:
        cart[line.sku] = cart.get(line.sku, 0) + line.quantity
    where = body.ship_to
    found = doors.sourcing.promise(cart, destination(where.country, where.region, where.postal_code))
    return shown(found)


def destination(country: str, region: str, postal_code: str = "") -> Address:
    """Return as much of an address as sourcing looks at."""
    return Address(name="", line1="", city="", country=country, region=region, postal_code=postal_code)


def shown(found: CartPromise) -> CartPromiseOut:
    """Return a promise as the API shows it."""
    return CartPromiseOut(
        promised_by=found.promise_date,
        parcels=[_parcel(part) for part in found.parts],
        short=[
            CartShortOut(
                sku=line.sku,
                asked=line.asked,
                in_stock=line.got,
                backordered=line.backordered,
                unavailable=line.cancelled,
            )
            for line in found.short
        ],
    )


def _parcel(part: CartPart) -> CartParcelOut:
    return CartParcelOut(
        location_id=part.location_id,
        items=[CartItemOut(sku=sku, quantity=units) for sku, units in part.units.items()],
        promised_by=part.promise_date,
        waits_for_stock=part.waits_for_stock,
    )
