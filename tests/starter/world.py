"""The doors on books that are kept in memory: what the storage rooms promise, without their SQL."""

import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from fulfillment.domain.address import Address
from fulfillment.domain.carrier_claims import CarrierClaim, ClaimOutcome
from fulfillment.domain.carriers import Carrier, CarrierUse
from fulfillment.domain.cartons import STANDARD, Carton
from fulfillment.domain.cases import Case, CaseKind, CasesAlike, NoSuchCase, OpenCase
from fulfillment.domain.cases import alike as alike_cases
from fulfillment.domain.change import LineQuantity
from fulfillment.domain.counts import Count, UnknownCount
from fulfillment.domain.erasure import Erased
from fulfillment.domain.errors import UnknownOrder
from fulfillment.domain.events import EventKind
from fulfillment.domain.findings import Unheard
from fulfillment.domain.hand_over import STAFF, Proof
from fulfillment.domain.holds import HeldAlike, HeldOrder, HoldReason, NoSuchHold, alike
from fulfillment.domain.inventory import Level, UnknownSku
from fulfillment.domain.label import LabelDocument
from fulfillment.domain.location import Location
from fulfillment.domain.manifests import (
    Departure,
    Manifest,
    ManifestLine,
    NothingToHandOver,
    UnknownManifest,
)
from fulfillment.domain.notifications import Block, Channel, Preferences, Told
from fulfillment.domain.order import Order, OrderStatus
from fulfillment.domain.packing import Bench, NotAtBench, UnitScan
from fulfillment.domain.payment_news import PaymentHint
from fulfillment.domain.picking import PutBack, Rejected, SetAside, Settled, UnknownWalk, Walk
from fulfillment.domain.promise import CartPart, CartPromise
from fulfillment.domain.replenishment import Ordered, ShelfPoint, StockRow
from fulfillment.domain.scan_forms import FormDocument, UnknownForm
from fulfillment.domain.shipment import InvalidTransition, Stop, WorkStatus
from fulfillment.domain.tracking import Scan
from fulfillment.domain.transfers import Transfer
from fulfillment.domain.view import EventView, OrderRow, OrderView
from fulfillment.domain.webhooks import Endpoint, EndpointState, ShopEvent, UnknownEndpoint
from fulfillment.storage.hand_over import HandedOver
from fulfillment.storage.idempotency import InProgress, Mismatch, New, Replay
from fulfillment.storage.locks import UnknownShipment
from fulfillment.storage.orders import Accepted, OrderExists
from fulfillment.storage.rejections import Reject, UnknownRejection
from fulfillment.storage.stock import Receipt, StockEvent
from fulfillment.storage.views import BadCursor, OrderFilter
from fulfillment.storage.warehouse import Item, WorkItem
from starter.access import Keyring
from starter.doors import Doors
from tests.starter.views import DAY, NOON, a_shipment, a_view, an_order
from workflows.contract import PlaceAnswer, Placed, VerbAnswer

KEYS: Mapping[str, tuple[str, ...]] = {
    "storefront-key": ("storefront",),
    "support-key": ("support",),
    "warehouse-key": ("warehouse",),
    "operator-key": ("ops",),
    "other-shop-key": ("storefront",),
}
STRIPE_SECRET, EASYPOST_SECRET, TWILIO_TOKEN = "whsec_test", "easypost_test", "twilio_test"


class Processes:
    """The orders' workflows: they answer what the test told them, and remember what they were asked."""

    def __init__(self, books: "Books") -> None:
        self._books = books
        self.placed: list[str] = []
        self.forgotten: list[str] = []
        self.asked: list[tuple[str, str, dict[str, Any]]] = []
        self.delivered: list[Unheard] = []
        self.refunds: list[str] = []
        self.answer: PlaceAnswer | None = PlaceAnswer(placed=Placed.CONFIRMED)
        self.refusal: Exception | None = None
        self.did = VerbAnswer(text="Done.")

    async def forget(self, order_ids: Sequence[str]) -> None:
        self.forgotten += order_ids

    async def place(self, order_id: str) -> PlaceAnswer | None:
        self.placed.append(order_id)
        if self.answer is not None:
            self._books.change(order_id, placed=str(self.answer.placed))
        return self.answer

    async def cancel(self, order_id: str, *, lines: Sequence[LineQuantity] = (), **what: Any) -> VerbAnswer:
        return self._do("cancel", order_id, lines=tuple(lines), **what)

    async def change_items(self, order_id: str, **what: Any) -> VerbAnswer:
        return self._do("change_items", order_id, **what)

    async def change_address(self, order_id: str, **what: Any) -> VerbAnswer:
        return self._do("change_address", order_id, **what)

    async def accept_address(self, order_id: str, **what: Any) -> VerbAnswer:
        return self._do("change_address", order_id, **what)

    async def change_service(self, order_id: str, **what: Any) -> VerbAnswer:
        return self._do("change_service", order_id, **what)

    async def answer_shortage(self, order_id: str, **what: Any) -> VerbAnswer:
        return self._do("answer_shortage", order_id, **what)

    async def answer_case(self, order_id: str, **what: Any) -> VerbAnswer:
        return self._do("answer_case", order_id, **what)

    async def start_refund(self, refund_id: str) -> None:
        self.refunds.append(refund_id)

    async def hold(
        self, order_id: str, *, reason: str, by: str, request_id: str, note: str = ""
    ) -> VerbAnswer:
        return self._do("hold", order_id, reason=reason, by=by, request_id=request_id, note=note)

    async def release(
        self, order_id: str, *, reason: HoldReason | str | None, by: str, request_id: str
    ) -> VerbAnswer:
        return self._do("release", order_id, reason=reason, by=by, request_id=request_id)

    async def retry_payment(self, order_id: str, *, method: str, by: str, request_id: str) -> VerbAnswer:
        return self._do("retry_payment", order_id, method=method, by=by, request_id=request_id)

    async def get_scan_form(self, form_id: str) -> None:
        self.asked.append(("get_scan_form", form_id, {}))

    async def deliver(self, facts: Sequence[Unheard]) -> int:
        self.delivered.extend(facts)
        return len(facts)

    def _do(self, verb: str, order_id: str, **what: Any) -> VerbAnswer:
        self.asked.append((verb, order_id, what))
        if self.refusal:
            raise self.refusal
        return self.did


class Troubles:
    """The open cases of the orders in the books."""

    def __init__(self, books: "Books") -> None:
        self._books = books

    def groups(self, kind: CaseKind | None = None) -> tuple[CasesAlike, ...]:
        return alike_cases(
            OpenCase(order_id=name, case=case)
            for name, view in self._books.orders.items()
            for case in view.cases
            if kind in (None, case.kind)
        )

    def like(self, order_id: str, kind: CaseKind, *, until: datetime) -> CasesAlike:
        for group in self.groups(kind):
            if order_id in [one.order_id for one in group.cases]:
                return group
        raise NoSuchCase(order_id, kind)


class Books:
    """Orders, stock, the floor and what came in by webhook."""

    def __init__(self) -> None:
        self.orders: dict[str, OrderView] = {}
        self.accepted_by: list[str] = []
        self.catalogue = {"TEE-BLK-M", "MUG-12"}
        self.work_items: list[WorkItem] = []
        self.stopped = ""
        self.printed: dict[str, list[LabelDocument]] = {}
        self.manifests = {"M-1": a_manifest()}
        self.receipts: dict[str, Receipt] = {}
        self.places: dict[str, Location] = {}
        self.equals: dict[str, tuple[str, ...]] = {}
        self.carts: list[tuple[dict[str, int], Address]] = []
        self.shelves = [a_stock_row(), a_stock_row(sku="TEE-BLK-M", suggested=0, due_at=None)]
        self.points = tuple(
            ShelfPoint(at=NOON - (20 - n) * DAY, location_id="wh-reno", on_hand=units, received=came)
            for n, (units, came) in enumerate([(24, 24), (20, 0), (11, 0), (3, 0), (27, 24), (10, 0)])
        )
        self.recorded: list[tuple[str, str]] = []
        self.hints: list[PaymentHint] = []
        self.head_queries = 0
        self.away: Exception | None = None

    def put(self, view: OrderView) -> OrderView:
        self.orders[view.order.order_id] = view
        return view

    def change(self, order_id: str, **changes: Any) -> None:
        self.orders[order_id] = replace(self.orders[order_id], **changes)

    def happen(self, order_id: str, text: str, **changes: Any) -> None:
        """Something happens to an order."""
        events = self.orders[order_id].events
        event = EventView(seq=events[-1].seq + 3, kind="news", text=text, at=NOON + DAY)
        self.change(order_id, events=(*events, event), **changes)

    # --- intake

    def accept(self, order: Order, *, by: str) -> Accepted:
        self._check()
        for line in order.lines:
            if line.sku not in self.catalogue:
                raise UnknownSku(line.sku)
        known = self.orders.get(order.order_id)
        if known is None:
            self.accepted_by.append(by)
            self.put(a_view(order=order, status=OrderStatus.RESERVED, placed=None, tracking_token="t" * 22))
            return Accepted(order_id=order.order_id, created=True)
        if replace(known.order, placed_at=order.placed_at) != order:
            raise OrderExists(order.order_id)
        return Accepted(order_id=order.order_id, created=False)

    # --- views

    def view(self, order_id: str) -> OrderView:
        self._check()
        if order_id not in self.orders:
            raise UnknownOrder(order_id)
        return self.orders[order_id]

    def by_token(self, token: str) -> OrderView | None:
        self._check()
        return next((view for view in self.orders.values() if view.tracking_token == token), None)

    def list(self, wanted: OrderFilter) -> tuple[tuple[OrderRow, ...], str | None]:
        if wanted.cursor == "nonsense":
            raise BadCursor(wanted.cursor)
        rows = [_row(view) for view in self.orders.values() if wanted.stage in (None, view.stage)]
        return tuple(rows[: wanted.limit]), "next" if len(rows) > wanted.limit else None

    def events(self, order_id: str, after_seq: int = 0) -> tuple[EventView, ...]:
        return tuple(event for event in self.view(order_id).events if event.seq > after_seq)

    def heads(self, order_ids: Collection[str]) -> Mapping[str, int]:
        self.head_queries += 1
        return {name: self.orders[name].events[-1].seq for name in order_ids if name in self.orders}

    # --- what was not received

    def report(
        self, order_id: str, *, parcel: int | None = None, by: str, request_id: str, note: str = ""
    ) -> Case:
        self.recorded.append((order_id, f"parcel {parcel} not received: {note}"))
        return Case(
            case_id=f"{order_id}-1:not_received:1",
            kind=CaseKind.NOT_RECEIVED,
            subject=f"{order_id}-1",
            opened_at=NOON,
            due_at=NOON + 2 * DAY,
        )

    # --- holds

    def groups(self, reason: HoldReason | None = None) -> tuple[HeldAlike, ...]:
        held = [
            HeldOrder(order_id=name, hold=hold, total=view.order.total, currency=view.order.currency)
            for name, view in self.orders.items()
            for hold in view.holds
            if reason in (None, hold.reason)
        ]
        return alike(held)

    def like(self, order_id: str, reason: HoldReason, *, until: datetime) -> HeldAlike:
        self.view(order_id)
        for group in self.groups(reason):
            if order_id in [order.order_id for order in group.orders]:
                return group
        raise NoSuchHold(order_id, reason)

    # --- facts

    def for_order(self, order_id: str) -> tuple[Unheard, ...]:
        return (Unheard(signal_id=1, order_id=order_id, name="packed", body={}),)

    # --- the floor

    def work(self, location_id: str | None = None) -> tuple[WorkItem, ...]:
        return tuple(item for item in self.work_items if location_id in (None, item.location_id))

    def start_picking(self, shipment_id: str, *, by: str, scan_id: str = "") -> None:
        self._step(shipment_id)

    def picked(self, shipment_id: str, *, by: str, scan_id: str = "") -> None:
        self._step(shipment_id)

    def pack(
        self, shipment_id: str, *, weight_g: int, by: str, carton_id: str = "", weight_reason: str = ""
    ) -> str:
        self._step(shipment_id)
        return "SO-10483-P1"

    def hand_over(self, shipment_id: str, *, by: str, proof: Proof = STAFF) -> HandedOver:
        self._step(shipment_id)
        return HandedOver(
            shipment_id=shipment_id,
            parcel_id="SO-10483-P1",
            carrier="UPS",
            tracking_number="1Z999AA10123456781",
            at=NOON,
        )

    def make(self, location_id: str, carrier: str, *, by: str) -> Manifest:
        raise NothingToHandOver(location_id, carrier)

    def show(self, manifest_id: str) -> Manifest:
        if manifest_id not in self.manifests:
            raise UnknownManifest(manifest_id)
        return self.manifests[manifest_id]

    def latest(self) -> tuple[Manifest, ...]:
        return tuple(self.manifests.values())

    def ask(self, manifest_id: str, *, by: str) -> str:
        return f"{self.show(manifest_id).manifest_id}-F1"

    def document(self, form_id: str) -> FormDocument:
        raise UnknownForm(form_id)

    def documents(self, parcel_id: str) -> tuple[LabelDocument, ...]:
        return tuple(self.printed.get(parcel_id, ()))

    def _step(self, shipment_id: str) -> None:
        if shipment_id == "SO-404-1":
            raise UnknownShipment(shipment_id)
        if shipment_id == "SO-10483-9":
            raise InvalidTransition(shipment_id, WorkStatus.SCHEDULED, WorkStatus.PICKING)
        if self.stopped:
            raise Stop(shipment_id, self.stopped)

    def reject(self, request: Reject) -> Rejected:
        self._step(request.shipment_id)
        return Rejected(
            shipment_id=request.shipment_id,
            sku=request.sku,
            units=request.units,
            reason=request.reason,
            resourced=request.units,
            left=2,
            added=("SO-10483-2",),
            count_id="CNT-scan-1",
        )

    def to_inspect(self, location_id: str | None = None) -> tuple[SetAside, ...]:
        return ()

    def inspected(self, rejection_id: str, to: Settled, *, by: str, note: str = "") -> None:
        if rejection_id != "scan-1":
            raise UnknownRejection(rejection_id)

    def put_backs(self, location_id: str | None = None) -> tuple[PutBack, ...]:
        return ()

    def walk(self, walk_id: str) -> Walk:
        raise UnknownWalk(walk_id)

    # --- stock

    def receive(
        self,
        sku: str,
        location_id: str,
        quantity: int,
        *,
        key: str,
        by: str,
        replenishment_id: str | None = None,
    ) -> Receipt:
        if sku not in self.catalogue:
            raise UnknownSku(sku)
        return self.receipts.setdefault(key, Receipt(filled=("SO-10483-2",)))

    def levels(self, sku: str | None = None) -> tuple[Level, ...]:
        return (
            Level(sku="MUG-12", location_id="wh-reno", on_hand=10, reserved=2, allocated=3, safety_stock=1),
        )

    def news(self, after: int, limit: int) -> tuple[StockEvent, ...]:
        return ()

    def counts(self, *, only_open: bool = False) -> tuple[Count, ...]:
        return ()

    def start(self, count_id: str, *, by: str) -> Count:
        raise UnknownCount(count_id)

    def carriers(self) -> tuple[tuple[Carrier, CarrierUse], ...]:
        return ((Carrier(name="UPS", parcels=120, slowest_days=4), CarrierUse.IN_USE),)

    def transfers(self, *, only_open: bool = False) -> tuple[Transfer, ...]:
        return ()

    def due(self) -> tuple[Ordered, ...]:
        return (
            Ordered(
                replenishment_id="RO-1",
                sku="MUG-12",
                location_id="wh-reno",
                vendor="Kiln",
                quantity=24,
                due_at=NOON,
            ),
        )

    def add_location(self, location_id: str, **known: Any) -> None:
        self.places[location_id] = Location(location_id=location_id, **known)

    def open(self) -> tuple[CarrierClaim, ...]:
        return ()

    def end(self, parcel_id: str, outcome: ClaimOutcome, **said: Any) -> str:
        return f"The claim for {parcel_id} is over."

    def erase(self, customer_id: str, *, by: str, reason: str, request_id: str = "") -> Erased:
        return Erased(customer_id=customer_id, order_ids=tuple(self.orders), at=NOON)

    def set_substitutes(self, sku: str, instead: Sequence[str], *, by: str) -> None:
        self.equals[sku] = tuple(instead)

    def substitutes(self, sku: str) -> tuple[str, ...]:
        return self.equals.get(sku, ())

    def locations(self) -> tuple[Location, ...]:
        return tuple(self.places.values())

    def overview(self, sku: str | None = None) -> tuple[StockRow, ...]:
        return tuple(row for row in self.shelves if sku in (None, row.sku))

    def shelf(self, sku: str) -> tuple[ShelfPoint, ...]:
        return self.points if sku == "MUG-12" else ()

    def promise(self, cart: Mapping[str, int], ship_to: Address) -> CartPromise:
        if unknown := [sku for sku in cart if sku not in self.catalogue]:
            raise UnknownSku(unknown[0])
        self.carts.append((dict(cart), ship_to))
        part = CartPart(
            location_id="wh-reno", units=cart, promise_date=NOON.date() + 7 * DAY, waits_for_stock=False
        )
        return CartPromise(
            parts=(part,), promise_date=part.promise_date, short=(), candidates=(), why="wh-reno"
        )

    # --- what comes in by webhook

    def record(
        self, provider: str, event_id: str, hint: PaymentHint, body: Mapping[str, Any]
    ) -> tuple[Unheard, ...]:
        self._check()
        return self._once(provider, event_id, hint)

    def record_report(
        self,
        provider: str,
        event_id: str,
        carrier: str,
        tracking_number: str,
        scans: tuple[Scan, ...],
        edd: date | None,
        body: Mapping[str, Any],
    ) -> tuple[Unheard, ...]:
        self._check()
        return self._once(provider, event_id, None)

    def _once(self, provider: str, event_id: str, hint: PaymentHint | None) -> tuple[Unheard, ...]:
        if (provider, event_id) in self.recorded:
            return ()
        self.recorded.append((provider, event_id))
        self.hints += [hint] if hint else []
        return (Unheard(signal_id=7, order_id="SO-10483", name="milestone", body={}),)

    def ping(self) -> None:
        self._check()

    def _check(self) -> None:
        if self.away:
            raise self.away


class EmptyBenches:
    """Benches at which nothing is packed; real ones are tested on a real database."""

    def start(self, shipment_id: str, *, by: str, station: str = "", take_over: bool = False) -> Bench:
        raise NotAtBench(shipment_id)

    def show(self, shipment_id: str) -> Bench:
        raise NotAtBench(shipment_id)

    def scan(self, shipment_id: str, scans: Sequence[UnitScan], *, by: str) -> Bench:
        raise NotAtBench(shipment_id)

    def acknowledge(self, shipment_id: str, scan_id: str, *, by: str) -> Bench:
        raise NotAtBench(shipment_id)

    def cartons(self) -> tuple[Carton, ...]:
        return STANDARD

    def put_carton(self, carton: Carton) -> None: ...

    def retire_carton(self, carton_id: str) -> None: ...


class Keys:
    """Idempotency keys; `taken_over` lets a request that died be repeated."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.kept: dict[tuple[str, str, str], list[Any]] = {}

    def begin(self, owner: str, route: str, key: str, body_hash: str) -> New | Replay | Mismatch | InProgress:
        with self._lock:
            kept = self.kept.get((owner, route, key))
            if kept is None:
                self.kept[owner, route, key] = [body_hash, None, None]
                return New()
        if kept[0] != body_hash:
            return Mismatch()
        return InProgress() if kept[1] is None else Replay(kept[1], kept[2])

    def finish(self, owner: str, route: str, key: str, *, status: int, answer: Any) -> None:
        self.kept[owner, route, key][1:] = [status, answer]

    def abandon(self, owner: str, route: str, key: str) -> None:
        del self.kept[owner, route, key]


class Contacts:
    """What was asked of the books about reaching customers."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.wanted = Preferences(customer_id="cus_4103")
        self.known = True

    def preferences(self, customer_id: str) -> Preferences:
        return self.wanted

    def prefer(self, wanted: Preferences, *, by: str) -> Preferences:
        self.asked.append(("prefer", wanted, by))
        self.wanted = wanted
        return wanted

    def unsubscribe(self, order_id: str) -> None:
        self.asked.append(("unsubscribe", order_id))

    def blocked(self, order_id: str) -> dict[Channel, str]:
        return {Channel.EMAIL: "bounced: no such user"}

    def unblock(self, channel: Channel, recipient: str, *, by: str) -> bool:
        self.asked.append(("unblock", channel, recipient))
        return self.known

    def reach_at(self, order_id: str, *, email: str, phone: str, by: str) -> None:
        self.asked.append(("reach_at", order_id, email, phone))

    def stop(self, event_id: str, phone: str, said: str) -> None:
        self.asked.append(("stop", event_id, phone, said))

    def start(self, event_id: str, phone: str, said: str) -> None:
        self.asked.append(("start", event_id, phone, said))

    def heard(self, event_id: str) -> None:
        self.asked.append(("heard", event_id))

    def arrived(self, notification_id: int, ref: str, *, delivered: bool) -> None:
        self.asked.append(("arrived", notification_id, ref, delivered))

    def bounced(
        self, notification_id: int, ref: str, why: str, reason: Block | None, *, again: bool = False
    ) -> None:
        self.asked.append(("bounced", notification_id, ref, reason, again))

    def bounced_mail(self, recipient: str, told: Told | None, why: str, reason: Block | None) -> bool:
        self.asked.append(("bounced_mail", recipient, told, why, reason))
        return self.known


class Webhooks:
    """One endpoint, and two events."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.known = [
            ShopEvent(seq=n, order_id="SO-10483", kind="shipped", text="It left.", data={"n": n}, at=NOON)
            for n in (4, 7)
        ]

    def add(self, url: str, kinds: Sequence[EventKind], *, by: str, after: int | None = None) -> Endpoint:
        self.asked.append(("add", url, tuple(kinds), after))
        return an_endpoint(url=url, secret="whsec_c2VjcmV0")

    def endpoints(self) -> tuple[Endpoint, ...]:
        return (an_endpoint(),)

    def rotate(self, endpoint_id: str, *, by: str) -> Endpoint:
        return an_endpoint(secret="whsec_bmV3")

    def enable(self, endpoint_id: str, *, by: str, after: int | None = None) -> Endpoint:
        if endpoint_id != an_endpoint().endpoint_id:
            raise UnknownEndpoint(endpoint_id)
        self.asked.append(("enable", endpoint_id, after))
        return an_endpoint()

    def remove(self, endpoint_id: str, *, by: str) -> None:
        self.asked.append(("remove", endpoint_id))

    def events(self, after: int, limit: int, kinds: Sequence[EventKind] = ()) -> tuple[ShopEvent, ...]:
        return tuple(event for event in self.known if event.seq > after)[:limit]


def an_endpoint(**changes: Any) -> Endpoint:
    endpoint: dict[str, Any] = {"endpoint_id": "we_1", "url": "https://shop.example/hooks", "kinds": ()}
    endpoint |= {"state": EndpointState.ENABLED, "cursor": 7, "created_at": NOON, "waiting": 2}
    return Endpoint(**endpoint | {"failing_since": None, "why": ""} | changes)


@dataclass
class World:
    """Everything behind the doors, in a test's hands."""

    books: Books
    processes: Processes
    keys: Keys
    contacts: "Contacts"
    webhooks: "Webhooks"
    now: datetime = NOON

    def doors(self) -> Doors:
        books = self.books
        return Doors(
            processes=self.processes,
            intake=books,
            views=books,
            facts=books,
            floor=books,
            picking=books,
            rejections=books,
            benches=EmptyBenches(),
            labels=books,
            manifests=books,
            scan_forms=books,
            stock=books,
            conditions=books,
            returns=books,
            counts=books,
            transfers=books,
            carriers=books,
            expected=books,
            sourcing=books,
            payment_news=books,
            refunds=books,
            missing=books,
            cases=Troubles(books),
            held=books,
            parcel_news=books,
            contacts=self.contacts,
            erasures=books,
            claims=books,
            webhooks=self.webhooks,
            corrections=books,
            unknown_codes=books,
            idempotency=self.keys,
            keyring=Keyring(KEYS),
            now=lambda: self.now,
            real_now=lambda: self.now,
            ping=books.ping,
            public_url="https://shop.example",
            shop_name="Northwind Outfitters",
            stripe_secrets=(STRIPE_SECRET,),
            easypost_secrets=(EASYPOST_SECRET,),
            twilio_tokens=(TWILIO_TOKEN,),
        )


def a_manifest(**changes: Any) -> Manifest:
    line = ManifestLine(
        parcel_id="SO-10483-P1",
        shipment_id="SO-10483-1",
        tracking_number="1Z999AA10123456784",
        weight_g=900,
        outcome=Departure.LISTED,
        why="",
    )
    manifest = Manifest(
        manifest_id="M-1", location_id="wh-reno", carrier="UPS", by="pia", at=NOON, lines=(line,)
    )
    return replace(manifest, **changes)


def a_stock_row(**changes: Any) -> StockRow:
    row = {
        "sku": "MUG-12",
        "name": "Enamel mug 12 oz",
        "location_id": "wh-reno",
        "on_hand": 10,
        "available": 4,
        "incoming": 24,
        "backordered": 0,
        "per_day": 1.5,
        "days_of_supply": 2.7,
        "reorder_point": 12,
        "from_sales": True,
        "suggested": 12,
        "due_at": NOON,
        "late": False,
    }
    return StockRow(**row | changes)


def a_world() -> World:
    books = Books()
    return World(
        books=books, processes=Processes(books), keys=Keys(), contacts=Contacts(), webhooks=Webhooks()
    )


def a_work_item(**changes: Any) -> WorkItem:
    order = an_order()
    item = WorkItem(
        shipment_id="SO-10483-1",
        order_id="SO-10483",
        location_id="wh-reno",
        work_status=WorkStatus.RELEASED,
        items=(Item(sku="MUG-12", name="Enamel mug 12 oz", quantity=1, bin="A-03-2"),),
        ship_by=NOON + DAY,
        zone="America/Los_Angeles",
        late=False,
        service="standard",
        ship_to=order.ship_to,
        held=(),
        picker=None,
        parcel_id=None,
        weight_g=None,
        carrier=None,
        tracking_number=None,
        label_url=None,
    )
    return replace(item, **changes)


def an_open_order(books: Books) -> OrderView:
    return books.put(a_view(a_shipment()))


def _row(view: OrderView) -> OrderRow:
    order = view.order
    return OrderRow(
        order_id=order.order_id,
        stage=view.stage,
        attention=view.attention,
        holds=tuple(hold.reason for hold in view.holds),
        promise_date=view.promise_date,
        total=order.total,
        currency=order.currency,
        customer_id=order.customer.customer_id,
        placed_at=order.placed_at,
        placed=view.placed,
    )
