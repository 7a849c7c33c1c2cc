"""A door that dies where it is told and does the same deed again: `python -m tests.chaos.door FOLDER DEED ORDER`."""

import sys
from datetime import datetime
from pathlib import Path

from sqlalchemy import Engine, select

from devstack import packer
from devstack.lives import live_again
from fulfillment import crashpoints
from fulfillment.domain.tracking import CarrierStatus, Scan
from fulfillment.settings import load_settings, real_now, shop_now
from fulfillment.storage.engine import connect
from fulfillment.storage.packing import PackingStore
from fulfillment.storage.shipping import ShippingBooks
from fulfillment.storage.tables import labels
from fulfillment.storage.warehouse import WarehouseStore


class Door:
    """The floor and the carrier's webhook, as far as they are killed."""

    def __init__(self, engine: Engine, order_id: str) -> None:
        self._engine, self._order_id, self._shipment_id = engine, order_id, f"{order_id}-1"
        self._floor = WarehouseStore(engine, _now)

    def pack(self) -> None:
        self._floor.start_picking(self._shipment_id, by="door", scan_id="1")
        self._floor.picked(self._shipment_id, by="door", scan_id="2")
        benches = PackingStore(self._engine, _now)
        packer.pack(self._floor, benches, self._shipment_id, weight_g=500, by="door")

    def hand_over(self) -> None:
        self._floor.hand_over(self._shipment_id, by="door")

    def webhook(self) -> None:
        with self._engine.connect() as conn:
            label = conn.execute(select(labels).where(labels.c.order_id == self._order_id)).one()
        scan = Scan(status=CarrierStatus.IN_TRANSIT, occurred_at=_now(), code="in_transit")
        ShippingBooks(self._engine, _now, real_now).record_report(
            "easypost", f"evt-{self._order_id}", label.carrier, label.tracking_number, (scan,), None, {}
        )


def _now() -> datetime:
    return shop_now(load_settings().clock)


def life(deed: str, order_id: str) -> int:
    engine = connect(load_settings("database_url").database_url, pool_size=1)
    getattr(Door(engine, order_id), deed)()
    engine.dispose()
    return 0


if __name__ == "__main__":
    crashpoints.arm(Path(sys.argv[1]))
    sys.exit(live_again(lambda: life(*sys.argv[2:])))
