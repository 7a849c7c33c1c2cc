"""The shop that every bench runs: real books, real provider wires, a floor that never rests."""

import asyncio
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from tempfile import mkdtemp
from typing import Self

from sqlalchemy import Engine, select
from temporalio.client import Client

from devstack import packer, seed
from devstack.stack import SERVERS, Stack, StackSpec, forget
from fulfillment import temporal
from fulfillment.domain.address import Address
from fulfillment.domain.catalogue import Product
from fulfillment.domain.order import Customer, Order, OrderLine
from fulfillment.domain.policy import DEFAULT
from fulfillment.domain.shipment import WorkStatus
from fulfillment.domain.tracking import CarrierStatus, Scan
from fulfillment.settings import Settings, load_settings, real_now, shop_now
from fulfillment.storage.engine import connect
from fulfillment.storage.orders import OrderStore
from fulfillment.storage.packing import PackingStore
from fulfillment.storage.records import RecordStore
from fulfillment.storage.shipping import ShippingBooks
from fulfillment.storage.signals import SignalStore
from fulfillment.storage.stock import StockStore
from fulfillment.storage.tables import orders
from fulfillment.storage.warehouse import WarehouseStore, WorkItem
from starter.orders import Orders

MILESTONES = (CarrierStatus.IN_TRANSIT, CarrierStatus.OUT_FOR_DELIVERY, CarrierStatus.DELIVERED)
SKU = "TEE-BLK-M"
FLOOR_THREADS = 12
PLACERS = 8
SHELVES = 1_000_000
BETWEEN_SCANS = 0.15  # seconds


@contextmanager
def bench_stack(*, workers: int = 1, speed: float = 1.0, web: bool = False) -> Iterator[Stack]:
    """Run servers, simulator and workers of a bench in a folder of their own, deleted afterwards.

    At its natural speed no timer fires within a bench. `web` adds the doors, to which providers report.
    """
    state = Path(mkdtemp(prefix="waybill-bench-"))
    spec = StackSpec(
        state=state,
        services=SERVERS | {"simulator", "workers"} | ({"web"} if web else set()),
        workers=workers,
        speed=speed,
        quiet_ports=True,
    )
    try:
        with Stack(spec) as stack:
            yield stack
    finally:
        forget(state)


@dataclass(frozen=True, kw_only=True)
class Shop:
    """Everything a bench needs to place orders and to move them along."""

    settings: Settings
    engine: Engine
    client: Client
    accepted: OrderStore
    stock: StockStore
    floor: WarehouseStore
    benches: PackingStore
    parcels: ShippingBooks
    signals: SignalStore
    processes: Orders

    @property
    def now(self) -> Callable[[], datetime]:
        """The shop's time."""
        return lambda: shop_now(self.settings.clock)

    def order(self, order_id: str) -> Order:
        """Return a plain order: one line, one shipment."""
        return an_order(order_id, self.now())

    def order_from_two_places(self, order_id: str) -> Order:
        """Return an order of two lines, each of which lies in another warehouse: two shipments."""
        light = Product(sku="BENCH-R", name="Light, Reno", weight_g=400, price=2400, on_hand=SHELVES)
        self.stock.set_catalogue([light], by="bench", location_id=seed.RENO)
        return self._order_of(order_id, light, self._only_in_lehigh())

    def order_from_lehigh(self, order_id: str) -> Order:
        """Return an order of one line that lies in the second warehouse: one shipment, away from the plain ones."""
        return self._order_of(order_id, self._only_in_lehigh())

    def _only_in_lehigh(self) -> Product:
        light = Product(sku="BENCH-L", name="Light, Lehigh", weight_g=400, price=2400, on_hand=SHELVES)
        self.stock.set_catalogue([light], by="bench", location_id=seed.LEHIGH)
        return light

    def order_of_two_parcels(self, order_id: str) -> Order:
        """Return an order of two lines from one warehouse, each too heavy to share a label: two shipments."""
        heavy = Product(sku="BENCH-H", name="Heavy", weight_g=20_000, price=2400, on_hand=SHELVES)
        other = replace(heavy, sku="BENCH-I", name="As heavy")
        self.stock.set_catalogue([heavy, other], by="bench", location_id=seed.RENO)
        return self._order_of(order_id, heavy, other)

    def _order_of(self, order_id: str, *products: Product) -> Order:
        lines = tuple(
            OrderLine(line_no=n, sku=one.sku, name=one.name, quantity=1, unit_price=one.price)
            for n, one in enumerate(products, start=1)
        )
        order = an_order(order_id, self.now())
        total = sum(product.price for product in products) + order.shipping_fee
        return replace(order, lines=lines, total=total).checked()

    def ended(self, prefix: str) -> tuple[str, ...]:
        """Return the orders with this prefix that have ended."""
        wanted = select(orders.c.order_id).where(
            orders.c.order_id.startswith(f"{prefix}-"), orders.c.completed_at.is_not(None)
        )
        with self.engine.connect() as conn:
            return tuple(conn.execute(wanted).scalars())

    def pick_and_pack(self, shipment_id: str) -> None:
        """Do what a picker and a packer do."""
        self.floor.start_picking(shipment_id, by="bench")
        self.floor.picked(shipment_id, by="bench")
        packer.pack(self.floor, self.benches, shipment_id, weight_g=500, by="bench")

    def scan(self, parcel_id: str, status: CarrierStatus) -> None:
        """Do what the carrier does."""
        scan = Scan(status=status, occurred_at=self.now(), code=status)
        self.parcels.scanned(parcel_id, (scan,), None, source="carrier")


async def open_shop(stack: Stack) -> Shop:
    """Open the shop on a running stack, with its shelves full. This process becomes a part of the stack."""
    os.environ.update(stack.env)
    settings = load_settings("database_url")
    engine = connect(settings.database_url, pool_size=FLOOR_THREADS + PLACERS + 4)

    def now() -> datetime:
        return shop_now(settings.clock)

    stock, accepted, signals = StockStore(engine, now), OrderStore(engine, now), SignalStore(engine, now)
    seed.seed(stock)
    stock.adjust(SKU, seed.RENO, SHELVES, key="bench", by="bench", reason="for the bench")
    client = await temporal.connect()
    return Shop(
        settings=settings,
        engine=engine,
        client=client,
        accepted=accepted,
        stock=stock,
        floor=WarehouseStore(engine, now),
        benches=PackingStore(engine, now),
        parcels=ShippingBooks(engine, now, real_now),
        signals=signals,
        processes=Orders(
            client,
            orders=accepted,
            addresses=RecordStore(engine, now),
            signals=signals,
            policy=DEFAULT,
            clock=settings.clock,
        ),
    )


def an_order(order_id: str, now: datetime) -> Order:
    """Return a plain order: one line of two, one shipment, one parcel."""
    return Order(
        order_id=order_id,
        external_ref=order_id,
        channel="bench",
        customer=Customer(customer_id="cus_bench", email="bench@example.com"),
        lines=(OrderLine(line_no=1, sku=SKU, name="Organic tee, black, M", quantity=2, unit_price=2400),),
        currency="USD",
        shipping_fee=500,
        total=5300,
        ship_to=Address(
            name="Bench", line1="103 Main St", city="Boise", region="ID", postal_code="83702", country="US"
        ),
        payment_method="pm_card_visa",
        placed_at=now,
    ).checked()


class RestlessFloor:
    """Picks, packs, hands over and delivers whatever is there, as fast as it can; hands facts on as doors do.

    The carrier's news are `between` seconds apart, so that each is news of its own, as in life.
    """

    def __init__(self, shop: Shop, *, between: float = BETWEEN_SCANS) -> None:
        self.between = between
        self._shop = shop
        self._loop = asyncio.get_running_loop()
        self._closing = threading.Event()
        self._mine: set[tuple[str, str]] = set()
        self._handing_on: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._pool = ThreadPoolExecutor(FLOOR_THREADS, thread_name_prefix="floor")
        self._watching = threading.Thread(target=self._watch, name="floor")

    def __enter__(self) -> Self:
        self._watching.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._watching.join()
        self._pool.shutdown()

    def _watch(self) -> None:
        while not self._closing.wait(0.05):
            for item in self._shop.floor.work():
                step = (item.shipment_id, item.work_status)
                if step not in self._mine:
                    self._take(item, step)

    def _take(self, item: WorkItem, step: tuple[str, str]) -> None:
        if item.work_status is WorkStatus.RELEASED:
            self._mine.add(step)
            self._pool.submit(self._pack, item)
        elif item.work_status is WorkStatus.LABELED and item.parcel_id:
            self._mine.add(step)
            self._pool.submit(self._to_the_door, item, item.parcel_id)

    def _pack(self, item: WorkItem) -> None:
        self._shop.pick_and_pack(item.shipment_id)
        self._hand_on(item.order_id)

    def _to_the_door(self, item: WorkItem, parcel_id: str) -> None:
        self._shop.floor.hand_over(item.shipment_id, by="bench")
        self._hand_on(item.order_id)
        for status in self._news(item):
            time.sleep(self.between)
            self._shop.scan(parcel_id, status)
            self._hand_on(item.order_id)

    def _news(self, item: WorkItem) -> Sequence[CarrierStatus]:
        """Return what the carrier reports of it, one after another."""
        return MILESTONES

    def _hand_on(self, order_id: str) -> None:
        with self._handing_on[order_id]:  # two parcels of one order are news at once: each fact is told once
            facts = self._shop.signals.for_order(order_id)
            asyncio.run_coroutine_threadsafe(self._shop.processes.deliver(facts), self._loop).result()
