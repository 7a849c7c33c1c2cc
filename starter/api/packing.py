"""The packing bench over HTTP: which cartons to take, every unit scanned, and what is wrong until somebody has seen it."""

from collections import Counter
from typing import Self

from fastapi import APIRouter
from pydantic import BaseModel, Field

from fulfillment.domain.cartons import Filled
from fulfillment.domain.packing import Bench, UnitScan
from starter.api.schemas import AtBenchIn, SeenIn, UnitsScannedIn
from starter.api.warehouse import ShipmentId, Working
from starter.doors import Standing

router = APIRouter(prefix="/v1/warehouse", tags=["warehouse"])


class BenchLineOut(BaseModel):
    """Units of one SKU that go in, and how many of them were scanned."""

    sku: str
    name: str
    quantity: int
    verified: int
    fragile: bool
    has_serials: bool
    serials: list[str]


class CartonUnitsOut(BaseModel):
    """Units that lie in a carton or in none."""

    sku: str
    quantity: int


class CartonOut(BaseModel):
    """A carton to take, and what goes into it in which order. Sizes are inner ones in mm."""

    carton_id: str
    size_mm: list[int]
    weight_g: int = Field(description="With its contents.")
    contents: list[CartonUnitsOut]

    @classmethod
    def of(cls, filled: Filled) -> Self:
        """Return the answer for a carton of a plan."""
        units = Counter(placed.piece.sku for placed in filled.placements)
        return cls(
            carton_id=filled.carton.carton_id,
            size_mm=list(filled.carton.size),
            weight_g=filled.weight_g,
            contents=[CartonUnitsOut(sku=sku, quantity=count) for sku, count in units.items()],
        )


class BenchOut(BaseModel):
    """A shipment at the bench. While `problem` is not empty nothing more is scanned, and there is no label."""

    shipment_id: str
    order_id: str
    round: int = Field(
        description="Counts how often the content changed; scans of an earlier one do not count."
    )
    packer: str
    station: str
    lines: list[BenchLineOut]
    cartons: list[CartonOut]
    in_none: list[CartonUnitsOut] = Field(description="What no carton takes.")
    guessed: list[str] = Field(description="SKUs that nobody measured: their size was guessed.")
    expected_g: int | None = Field(
        description="What it should weigh; null where something was never weighed."
    )
    verified: bool = Field(description="Whether the parcel may be closed.")
    problem: str = Field(description="What lies there wrongly, and what to do about it.")
    problem_scan: str | None
    to_send_again: list[str] = Field(
        description="Scans of this request that came after a wrong one: they did not count."
    )

    @classmethod
    def of(cls, bench: Bench) -> Self:
        """Return the answer for a shipment at the bench."""
        plan = bench.packing
        left = Counter(left.piece.sku for left in plan.left)
        return cls(
            shipment_id=bench.shipment_id,
            order_id=bench.order_id,
            round=bench.round,
            packer=bench.packer,
            station=bench.station,
            lines=[
                BenchLineOut(
                    sku=line.sku,
                    name=line.name,
                    quantity=line.quantity,
                    verified=line.verified,
                    fragile=line.fragile,
                    has_serials=line.has_serials,
                    serials=list(line.serials),
                )
                for line in bench.lines
            ],
            cartons=[CartonOut.of(filled) for filled in plan.filled],
            in_none=[CartonUnitsOut(sku=sku, quantity=count) for sku, count in left.items()],
            guessed=list(plan.guessed),
            expected_g=bench.expected_g,
            verified=bench.is_verified,
            problem=bench.problem,
            problem_scan=bench.problem_scan,
            to_send_again=list(bench.to_send_again),
        )


@router.post("/shipments/{shipment_id}/bench", response_model=BenchOut, summary="Begin to pack")
def begin(shipment_id: ShipmentId, doors: Standing, caller: Working, at: AtBenchIn | None = None) -> BenchOut:
    """Take a picked shipment to a bench, and be told which cartons to take. A repeat answers the same."""
    at = at or AtBenchIn()
    bench = doors.benches.start(shipment_id, by=caller.name, station=at.station, take_over=at.take_over)
    return BenchOut.of(bench)


@router.get("/shipments/{shipment_id}/bench", response_model=BenchOut, summary="What lies on the bench")
def show(shipment_id: ShipmentId, doors: Standing, _caller: Working) -> BenchOut:
    """Read what was scanned, what is missing, and what is wrong."""
    return BenchOut.of(doors.benches.show(shipment_id))


@router.post("/shipments/{shipment_id}/bench/scans", response_model=BenchOut, summary="Units go in")
def scan(shipment_id: ShipmentId, body: UnitsScannedIn, doors: Standing, caller: Working) -> BenchOut:
    """Count units, each scan once. The first that is wrong stands as `problem`, and those after it are not counted.

    Once the wrong one was sent as seen, send those that `to_send_again` names again, under the same ids.
    """
    scans = [UnitScan(scan_id=one.scan_id, code=one.code, serial=one.serial) for one in body.scans]
    return BenchOut.of(doors.benches.scan(shipment_id, scans, by=caller.name))


@router.post("/shipments/{shipment_id}/bench/seen", response_model=BenchOut, summary="What was wrong is away")
def seen(shipment_id: ShipmentId, body: SeenIn, doors: Standing, caller: Working) -> BenchOut:
    """Note that somebody has seen what was wrong and taken it away. A repeat changes nothing."""
    return BenchOut.of(doors.benches.acknowledge(shipment_id, body.scan_id, by=caller.name))
