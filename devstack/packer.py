"""A packer, for whatever drives the floor without HTTP."""

from fulfillment.domain.packing import Bench, UnitScan
from fulfillment.storage.packing import PackingStore
from fulfillment.storage.warehouse import WarehouseStore


def pack(floor: WarehouseStore, benches: PackingStore, shipment_id: str, *, weight_g: int, by: str) -> str:
    """Scan every unit of a picked shipment, close its parcel at this weight and return the parcel. Safe to repeat."""
    scan_all(benches, shipment_id, by=by)
    return floor.pack(shipment_id, weight_g=weight_g, by=by, weight_reason="no scales here")


def scan_all(benches: PackingStore, shipment_id: str, *, by: str) -> Bench:
    """Scan every unit of a picked shipment into its carton."""
    bench = benches.start(shipment_id, by=by)
    scans = [
        UnitScan(
            scan_id=f"{shipment_id}.{bench.round}.{line.sku}.{n}", code=line.sku, serial=f"{line.sku}-{n}"
        )
        for line in bench.lines
        for n in range(1, line.quantity + 1)
    ]
    return benches.scan(shipment_id, scans, by=by)
