"""Stock over HTTP: levels, what vendors owe us, goods that come in, and what becomes of those that are there."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Depends, Path, Query
from pydantic import BaseModel

from fulfillment.domain.inventory import StockNews
from fulfillment.storage.stock import Receipt
from starter.access import Caller, Needs, Scope
from starter.api import patterns
from starter.api.delivery import tell_orders
from starter.api.schemas import (
    AdjustmentIn,
    DispositionIn,
    ReceiptIn,
    ReturnedIn,
    SafetyStockIn,
    SubstitutesIn,
)
from starter.doors import Doors, Standing

router = APIRouter(prefix="/v1", tags=["stock"])

Receiving = Annotated[Caller, Depends(Needs(Scope.WAREHOUSE))]
Keeping = Annotated[Caller, Depends(Needs(Scope.WAREHOUSE, Scope.OPS))]
Looking = Annotated[Caller, Depends(Needs(Scope.STOREFRONT, Scope.SUPPORT, Scope.WAREHOUSE, Scope.OPS))]

SkuPath = Annotated[str, Path(max_length=64, pattern=patterns.ONE_LINE)]


class LevelOut(BaseModel):
    """What one location holds of one SKU; `available` is what a new order may claim.

    `damaged`, `quarantine` and `held` are on hand and may not be claimed; `incoming` and `in_transfer` are not there yet.
    """

    sku: str
    location_id: str
    on_hand: int
    reserved: int
    allocated: int
    damaged: int
    quarantine: int
    held: int
    safety_stock: int
    available: int
    incoming: int
    in_transfer: int


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


class SubstitutesOut(BaseModel):
    """What may be sent instead of a product, the best first."""

    sku: str
    substitutes: list[str]


class DuesOut(BaseModel):
    """What vendors owe us, the longest overdue first."""

    due: list[DueOut]


class ReceiptOut(BaseModel):
    """A receipt, and the shipments that no longer wait for stock because of it."""

    key: str
    filled: list[str]


class MovedOut(ReceiptOut):
    """A deed on stock; the shipments in `short` lost units by it and wait for stock again."""

    short: list[str]


class StockEventOut(BaseModel):
    """What is worth telling about a SKU at a location; `available` as it was then."""

    event_id: int
    kind: StockNews
    sku: str
    location_id: str
    available: int
    at: datetime


class StockEventsOut(BaseModel):
    """What happened to stock, oldest first; go on after the last `event_id`."""

    events: list[StockEventOut]


@router.get("/stock", response_model=LevelsOut, summary="Stock levels")
def levels(
    doors: Standing, _caller: Looking, sku: Annotated[str | None, Query(max_length=64)] = None
) -> LevelsOut:
    """List what every location holds, of everything or of one SKU."""
    return LevelsOut(
        levels=[LevelOut(**asdict(level), available=level.available) for level in doors.stock.levels(sku)]
    )


@router.get("/stock/{sku:path}/substitutes", response_model=SubstitutesOut, summary="What is as good")
def substitutes(sku: SkuPath, doors: Standing, _caller: Looking) -> SubstitutesOut:
    """List what may be sent instead of a product that is not there, the best first."""
    return SubstitutesOut(sku=sku, substitutes=list(doors.stock.substitutes(sku)))


@router.put("/stock/{sku:path}/substitutes", response_model=SubstitutesOut, summary="Say what is as good")
def set_substitutes(sku: SkuPath, body: SubstitutesIn, doors: Standing, caller: Keeping) -> SubstitutesOut:
    """Replace the list; whether and how it is used is the policy's `substitution`."""
    doors.stock.set_substitutes(sku, body.substitutes, by=caller.name)
    return SubstitutesOut(sku=sku, substitutes=body.substitutes)


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
    tell(doors, after, receipt)
    return ReceiptOut(key=body.key, filled=list(receipt.filled))


@router.post(
    "/adjustments", status_code=201, response_model=MovedOut, summary="The shelf holds more, or less"
)
def adjust(body: AdjustmentIn, doors: Standing, caller: Receiving, after: BackgroundTasks) -> MovedOut:
    """Correct what is on the shelf. Where it is less than promised, the youngest claims wait again."""
    moved = doors.stock.adjust(
        body.sku, body.location_id, body.delta, key=body.key, by=caller.name, reason=body.reason
    )
    return moved_out(doors, after, body.key, moved)


@router.post("/safety_stock", status_code=201, response_model=MovedOut, summary="Keep units back")
def keep_back(body: SafetyStockIn, doors: Standing, caller: Keeping, after: BackgroundTasks) -> MovedOut:
    """Set how many units new orders may not claim."""
    moved = doors.stock.set_safety_stock(
        body.sku, body.location_id, body.units, key=body.key, by=caller.name, reason=body.reason
    )
    return moved_out(doors, after, body.key, moved)


@router.post("/dispositions", status_code=201, response_model=MovedOut, summary="Units are something else")
def regrade(body: DispositionIn, doors: Standing, caller: Receiving, after: BackgroundTasks) -> MovedOut:
    """Set units aside as damaged, doubted or held, put them back among the free ones, or write them off."""
    moved = doors.conditions.regrade(
        body.sku,
        body.location_id,
        body.quantity,
        body.of,
        body.to,
        key=body.key,
        by=caller.name,
        reason=body.reason,
        shipment_id=body.shipment_id,
    )
    return moved_out(doors, after, body.key, moved)


@router.post("/returned_units", status_code=201, response_model=MovedOut, summary="Goods came back")
def put_back(body: ReturnedIn, doors: Standing, caller: Receiving, after: BackgroundTasks) -> MovedOut:
    """Take units of an order in by their disposition, each once. Money is decided elsewhere."""
    moved = doors.returns.put_back(
        body.order_id,
        body.line_no,
        body.units,
        body.disposition,
        body.location_id,
        key=body.key,
        by=caller.name,
        reason=body.reason,
    )
    return moved_out(doors, after, body.key, moved)


@router.get("/stock/events", response_model=StockEventsOut, summary="What happened to stock")
def stock_events(
    doors: Standing,
    _caller: Looking,
    after: Annotated[int, Query(ge=0, le=2**62, description="Only events later than this one.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
) -> StockEventsOut:
    """List what ran low, ran out and came back, each crossing once."""
    return StockEventsOut(events=[StockEventOut(**asdict(event)) for event in doors.stock.news(after, limit)])


def moved_out(doors: Doors, after: BackgroundTasks, key: str, moved: Receipt) -> MovedOut:
    """Return what a deed on stock came to; the orders it touched hear of it."""
    tell(doors, after, moved)
    return MovedOut(key=key, filled=list(moved.filled), short=list(moved.short))


def tell(doors: Doors, after: BackgroundTasks, moved: Receipt) -> None:
    """Let the orders hear whose shipments got or lost units."""
    touched = [*moved.filled, *moved.short]
    orders = dict.fromkeys(shipment_id.rpartition("-")[0] for shipment_id in touched)
    after.add_task(tell_orders, doors, list(orders))
