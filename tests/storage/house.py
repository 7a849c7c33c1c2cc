"""A shop with a floor and carriers on a real database, for tests of the storage room: orders brought as far as a test needs them."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import Engine, Table, select

from devstack import packer
from fulfillment.domain.address import Address
from fulfillment.domain.carrier_choice import Choice, Quote
from fulfillment.domain.catalogue import Product
from fulfillment.domain.clock import ShopClock
from fulfillment.domain.label import Label
from fulfillment.domain.operation import Operation
from fulfillment.domain.order import Customer, Order, OrderLine
from fulfillment.domain.payment import PaymentSnapshot, PaymentStatus
from fulfillment.domain.tracking import CarrierStatus, Scan
from fulfillment.storage.carriers import CarrierStore
from fulfillment.storage.conditions import ConditionStore
from fulfillment.storage.corrections import CorrectionStore
from fulfillment.storage.counts import CountStore
from fulfillment.storage.drift import DriftStore
from fulfillment.storage.manifests import ManifestStore
from fulfillment.storage.orders import OrderStore
from fulfillment.storage.outbox import OutboxStore
from fulfillment.storage.packing import PackingStore
from fulfillment.storage.payment_news import PaymentInbox
from fulfillment.storage.payments import PaymentStore
from fulfillment.storage.picking import PickingStore
from fulfillment.storage.reconciliation import ReconciliationStore
from fulfillment.storage.records import RecordStore
from fulfillment.storage.refunds import RefundStore
from fulfillment.storage.rejections import RejectionStore
from fulfillment.storage.replenishment import ReplenishmentStore
from fulfillment.storage.returns import ReturnStore
from fulfillment.storage.scan_forms import ScanFormStore
from fulfillment.storage.shipping import ShippingBooks
from fulfillment.storage.signals import SignalStore
from fulfillment.storage.stock import StockStore
from fulfillment.storage.transfers import TransferStore
from fulfillment.storage.unknown_codes import UnknownCodes
from fulfillment.storage.views import OrderViews
from fulfillment.storage.warehouse import WarehouseStore

MORNING = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
HOME = Address(name="Ann Example", line1="1 Main St", city="Reno", region="NV", country="US")
DEPOT = Address(name="Waybill", line1="9 Depot Rd", city="Sparks", region="NV", country="US")
MUG, TEA = "MUG", "TEA"
NUMBER = "1Z999AA10123456784"


class House:
    """The stores on one database and one clock that only the test moves."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.time, clock = engine, MORNING, ShopClock()
        self.stock, self.orders = StockStore(engine, self.now), OrderStore(engine, self.now)
        self.payments = PaymentStore(engine, self.now, self.now)
        self.refunds = RefundStore(engine, self.now)
        self.records = RecordStore(engine, self.now)
        self.floor, self.views = WarehouseStore(engine, self.now), OrderViews(engine, self.now)
        self.picking = PickingStore(engine, self.now, self.floor)
        self.rejections = RejectionStore(engine, self.now)
        self.benches, self.manifests = PackingStore(engine, self.now), ManifestStore(engine, self.now)
        self.scan_forms = ScanFormStore(engine, self.now)
        self.shipping = ShippingBooks(engine, self.now, self.now)
        self.signals, self.outbox = SignalStore(engine, self.now), OutboxStore(engine, self.now, clock)
        self.payment_news = PaymentInbox(engine, self.now)
        self.replenishment = ReplenishmentStore(engine, self.now)
        self.conditions, self.counts = ConditionStore(engine, self.now), CountStore(engine, self.now)
        self.transfers, self.returns = TransferStore(engine, self.now), ReturnStore(engine, self.now)
        self.carriers = CarrierStore(engine, self.now)
        self.drift = DriftStore(engine, self.now)
        self.corrections, self.unknown_codes = (
            CorrectionStore(engine, self.now),
            UnknownCodes(engine, self.now),
        )
        self.reconciliation = ReconciliationStore(engine, self.now, clock)

    def now(self) -> datetime:
        return self.time

    def wait(self, span: timedelta) -> None:
        self.time += span

    def stocked(self, *, mugs: int = 10, teas: int = 10, **changes: Any) -> "House":
        """Open the first location with mugs and teas; `changes` are about the mug."""
        self.stock.add_location("wh-reno", name="Reno", address=DEPOT, priority=1)
        mug = {"sku": MUG, "name": "Mug", "weight_g": 400, "price": 1200, "backorderable": True} | changes
        tea = Product(sku=TEA, name="Tea", weight_g=100, price=500, on_hand=teas)
        self.stock.set_catalogue([Product(**mug, on_hand=mugs), tea], by="test")
        return self

    def reserved(self, order_id: str = "SO-1", **changes: Any) -> tuple[str, ...]:
        """Accept an order, claim its stock and return the shipments that can be paid."""
        self.orders.accept(an_order(order_id, placed_at=self.time, **changes), by="test")
        plan = self.stock.reserve(order_id)
        return tuple(s.shipment_id for s in plan.shipments if s.waits_for != "stock")

    def released(self, order_id: str = "SO-1", *, expires_at: datetime | None = None, **changes: Any) -> str:
        """Bring an order to the floor and return its first shipment."""
        shipments = self.reserved(order_id, **changes)
        for attempt, shipment_id in enumerate(shipments, start=1):
            operation = self.payments.claim_authorization(order_id, attempt, (shipment_id,))
            assert isinstance(operation, Operation)
            snapshot = PaymentSnapshot(
                reference=f"pi_{shipment_id}",
                status=PaymentStatus.AUTHORIZED,
                authorized=operation.amount.minor,
                captured=0,
                refunded=0,
                expires_at=expires_at,
            )
            self.payments.authorized(operation.key, snapshot)
        return shipments[0]

    def packed(self, order_id: str = "SO-1", **changes: Any) -> str:
        """Pick and pack an order's first shipment and return its parcel."""
        shipment_id = self.released(order_id, **changes)
        self.floor.start_picking(shipment_id, by="pia")
        self.floor.picked(shipment_id, by="pia")
        return self.pack(shipment_id)

    def pack(self, shipment_id: str, *, weight_g: int = 900) -> str:
        """Scan every unit of a picked shipment, close its parcel and return it."""
        return packer.pack(self.floor, self.benches, shipment_id, weight_g=weight_g, by="pia")

    def labeled(self, order_id: str = "SO-1", *, number: str = NUMBER, **changes: Any) -> str:
        """Label an order's first parcel and return it."""
        parcel_id = self.packed(order_id, **changes)
        self.label(parcel_id, number=number)
        return parcel_id

    def label(self, parcel_id: str, *, number: str = NUMBER, edd: date | None = None) -> str:
        """Buy a label as the activity does, and return the key of the purchase."""
        job = self.shipping.claim_label(parcel_id)
        self.shipping.quoted(job.key, f"shp_{job.key}", A_CHOICE)
        self.shipping.sending(job.key)
        self.shipping.labeled(job.key, a_label(number=number, edd=edd))
        return job.key

    def leave(self, shipment_id: str, *, number: str = NUMBER, edd: date | None = None) -> None:
        """Bring a shipment that is on the floor to the carrier."""
        self.floor.start_picking(shipment_id, by="pia")
        self.floor.picked(shipment_id, by="pia")
        self.label(self.pack(shipment_id), number=number, edd=edd)
        self.floor.hand_over(shipment_id, by="dock")

    def shipped(self, order_id: str = "SO-1", **changes: Any) -> str:
        """Hand an order's first parcel over and return it."""
        parcel_id = self.labeled(order_id, **changes)
        self.floor.hand_over(f"{order_id}-1", by="dock")
        return parcel_id

    def rows(self, table: Table, **equal: Any) -> list[dict[str, Any]]:
        """Return the rows of a table in which these columns have these values, by their keys."""
        query = select(table).where(*(table.c[name] == value for name, value in equal.items()))
        query = query.order_by(*table.primary_key)
        with self.engine.connect() as conn:
            return [dict(row) for row in conn.execute(query).mappings()]

    def row(self, table: Table, **equal: Any) -> dict[str, Any]:
        (row,) = self.rows(table, **equal)
        return row

    def change(self, table: Table, values: dict[str, Any], **equal: Any) -> None:
        """Write directly, where a test needs a state that no store of this version leads to."""
        conditions = (table.c[name] == value for name, value in equal.items())
        with self.engine.begin() as conn:
            conn.execute(table.update().where(*conditions).values(values))


def an_order(
    order_id: str = "SO-1", *, mugs: int = 2, teas: int = 1, placed_at: datetime = MORNING, **changes: Any
) -> Order:
    """Return a valid order of mugs and teas."""
    wanted = [(MUG, "Mug", mugs, 1200), (TEA, "Tea", teas, 500)]
    lines = tuple(
        OrderLine(line_no=n, sku=sku, name=name, quantity=quantity, unit_price=price)
        for n, (sku, name, quantity, price) in enumerate(wanted, start=1)
        if quantity
    )
    order = {
        "order_id": order_id,
        "channel": "web",
        "customer": Customer(customer_id="C-1", email="ann@example.com"),
        "lines": lines,
        "currency": "USD",
        "total": sum(line.value for line in lines),
        "ship_to": HOME,
        "payment_method": "pm_card_visa",
        "placed_at": placed_at,
    }
    return Order(**order | changes).checked()


_QUOTE = Quote(quote_id="rate_1", carrier="UPS", service="Ground", price=799, currency="USD", days=3)
A_CHOICE = Choice(chosen=_QUOTE, why="cheapest that keeps the promise", options=())


def a_label(*, number: str = NUMBER, edd: date | None = None) -> Label:
    """Return a bought label."""
    return Label(
        carrier="UPS",
        service="Ground",
        tracking_number=number,
        cost=799,
        currency="USD",
        label_url="https://labels.example/1.pdf",
        edd=edd,
    )


def a_scan(status: CarrierStatus | None, hours: float = 1, **changes: Any) -> Scan:
    """Return a carrier's scan so many hours after MORNING."""
    at = MORNING + timedelta(hours=hours)
    return Scan(
        **{"status": status, "occurred_at": at, "code": str(status or "note"), "place": "Reno"} | changes
    )


def only(items: Iterable[Any]) -> Any:
    """Return the one item there must be."""
    (item,) = items
    return item
