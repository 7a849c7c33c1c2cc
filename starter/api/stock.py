"""Stock over HTTP: levels, what vendors owe us, and goods that come in."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Depends, Query
from pydantic import BaseModel

from starter.access import Caller, Needs, Scope
from starter.api.delivery import tell_orders
from starter.api.schemas import ReceiptIn
from starter.doors import Standing

router = APIRouter(prefix="/v1", tags=["stock"])

Receiving = Annotated[Caller, Depends(Needs(Scope.WAREHOUSE))]
Looking = Annotated[Caller, Depends(Needs(Scope.STOREFRONT, Scope.SUPPORT, Scope.WAREHOUSE, Scope.OPS))]


class LevelOut(BaseModel):
    """What one location holds of one SKU; `available` is what a new order may claim."""

    sku: str
    location_id: str
    on_hand: int
    reserved: int
    allocated: int
    safety_stock: int
    available: int


class LevelsOut(BaseModel):
    """Stock levels by SKU and location."""

    levels: list[LevelOut]


class DueOut(BaseModel):
    """An order to a vendor that should be here."""

    replenishment_id: str
    sku: str
    location_id: str
    vendor: str
    quantity: int
    due_at: datetime


class DuesOut(BaseModel):
    """What vendors owe us, the longest overdue first."""

    due: list[DueOut]


class ReceiptOut(BaseModel):
    """A receipt, and the shipments that no longer wait for stock because of it."""

    key: str
    filled: list[str]


@router.get("/stock", response_model=LevelsOut, summary="Stock levels")
def levels(
    doors: Standing, _caller: Looking, sku: Annotated[str | None, Query(max_length=64)] = None
) -> LevelsOut:
    """List what every location holds, of everything or of one SKU."""
    return LevelsOut(
        levels=[
            LevelOut(
                sku=level.sku,
                location_id=level.location_id,
                on_hand=level.on_hand,
                reserved=level.reserved,
                allocated=level.allocated,
                safety_stock=level.safety_stock,
                available=level.available,
            )
            for level in doors.stock.levels(sku)
        ]
    )


@router.get("/receipts/due", response_model=DuesOut, summary="What vendors owe us")
def due(doors: Standing, _caller: Receiving) -> DuesOut:
    """List the orders to vendors that should have arrived by now."""
    return DuesOut(
        due=[
            DueOut(
                replenishment_id=ordered.replenishment_id,
                sku=ordered.sku,
                location_id=ordered.location_id,
                vendor=ordered.vendor,
                quantity=ordered.quantity,
                due_at=ordered.due_at,
            )
            for ordered in doors.expected.due()
        ]
    )


@router.post("/receipts", status_code=201, response_model=ReceiptOut, summary="Goods came in")
def receive(body: ReceiptIn, doors: Standing, caller: Receiving, after: BackgroundTasks) -> ReceiptOut:
    """Put goods on the shelf and serve the orders that wait for them. A repeat with the same key does nothing."""
    receipt = doors.stock.receive(
        body.sku,
        body.location_id,
        body.quantity,
        key=body.key,
        by=caller.name,
        replenishment_id=body.replenishment_id,
    )
    orders = dict.fromkeys(shipment_id.rpartition("-")[0] for shipment_id in receipt.filled)
    after.add_task(tell_orders, doors, list(orders))
    return ReceiptOut(key=body.key, filled=list(receipt.filled))
