"""What the doors stand on: the books, the orders' workflows, keys, clocks and where we are on the web."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Any, Protocol

from fastapi import Depends, Request

from fulfillment.domain.address import Address
from fulfillment.domain.calendars import Calendar
from fulfillment.domain.carrier_claims import CarrierClaim, ClaimOutcome
from fulfillment.domain.carriers import Carrier, CarrierUse
from fulfillment.domain.cartons import Carton
from fulfillment.domain.cases import Case, CaseKind, CasesAlike
from fulfillment.domain.change import LineQuantity, NewLine
from fulfillment.domain.corrections import Corrected, CorrectTracking
from fulfillment.domain.counts import Count
from fulfillment.domain.erasure import Erased
from fulfillment.domain.events import EventKind
from fulfillment.domain.findings import Unheard
from fulfillment.domain.hand_over import STAFF, Proof
from fulfillment.domain.holds import HeldAlike, HoldReason
from fulfillment.domain.inventory import Disposition, Grade, Level
from fulfillment.domain.label import LabelDocument
from fulfillment.domain.location import Location
from fulfillment.domain.manifests import Manifest
from fulfillment.domain.notifications import Block, Channel, Preferences, Told
from fulfillment.domain.order import Order
from fulfillment.domain.packing import Bench, UnitScan
from fulfillment.domain.payment_news import Hint
from fulfillment.domain.picking import (
    Look,
    Looked,
    PickScan,
    PutBack,
    Rejected,
    Scanned,
    SetAside,
    Settled,
    TakeWalk,
    ToPick,
    Walk,
)
from fulfillment.domain.playbooks import Answer
from fulfillment.domain.policy import ShortageChoice
from fulfillment.domain.promise import CartPromise
from fulfillment.domain.refund import Refund, RequestRefund
from fulfillment.domain.replenishment import Ordered, ShelfPoint, StockRow
from fulfillment.domain.scan_forms import FormDocument
from fulfillment.domain.tracking import Scan
from fulfillment.domain.transfers import Transfer
from fulfillment.domain.view import EventView, OrderRow, OrderView
from fulfillment.domain.webhooks import Endpoint, ShopEvent
from fulfillment.storage.hand_over import HandedOver
from fulfillment.storage.idempotency import InProgress, Mismatch, New, Replay
from fulfillment.storage.orders import Accepted
from fulfillment.storage.rejections import Reject
from fulfillment.storage.stock import Receipt, StockEvent
from fulfillment.storage.unknown_codes import UnknownCode
from fulfillment.storage.views import OrderFilter
from fulfillment.storage.warehouse import WorkItem
from starter.access import Keyring, is_tracking_token
from starter.api.problems import Problem
from workflows.contract import PlaceAnswer, VerbAnswer


class Processes(Protocol):
    """The orders' workflows, as people and programs reach them."""

    async def place(self, order_id: str) -> PlaceAnswer | None:
        """Start the order and return what came of placing; None when no answer came in time."""
        ...

    async def forget(self, order_ids: Sequence[str]) -> None: ...

    async def cancel(
        self,
        order_id: str,
        *,
        reason: str,
        by: str,
        request_id: str,
        lines: Sequence[LineQuantity] = (),
    ) -> VerbAnswer: ...

    async def change_items(
        self,
        order_id: str,
        *,
        lines: Sequence[LineQuantity],
        added: Sequence[NewLine],
        by: str,
        request_id: str,
    ) -> VerbAnswer: ...

    async def change_address(
        self, order_id: str, *, ship_to: Address, by: str, request_id: str
    ) -> VerbAnswer: ...

    async def accept_address(self, order_id: str, *, by: str, request_id: str) -> VerbAnswer: ...

    async def change_service(
        self, order_id: str, *, service: str, fee: int, by: str, request_id: str
    ) -> VerbAnswer: ...

    async def answer_shortage(
        self, order_id: str, *, choice: ShortageChoice, by: str, request_id: str
    ) -> VerbAnswer: ...

    async def answer_case(
        self,
        order_id: str,
        *,
        kind: CaseKind,
        answer: Answer,
        subject: str = "",
        note: str = "",
        ship_to: Address | None = None,
        by: str,
        request_id: str,
    ) -> VerbAnswer: ...

    async def start_refund(self, refund_id: str) -> None:
        """Let an approved refund be paid, as far as Temporal answers; the sweep does the rest."""
        ...

    async def get_scan_form(self, form_id: str) -> None:
        """Let a form be asked for, as far as Temporal answers; the sweep does the rest."""
        ...

    async def hold(
        self, order_id: str, *, reason: str, by: str, request_id: str, note: str = ""
    ) -> VerbAnswer: ...

    async def release(
        self, order_id: str, *, reason: HoldReason | str | None, by: str, request_id: str
    ) -> VerbAnswer: ...

    async def retry_payment(self, order_id: str, *, method: str, by: str, request_id: str) -> VerbAnswer: ...

    async def deliver(self, facts: Sequence[Unheard]) -> int:
        """Hand facts on to their orders, as far as it goes; the relay does the rest."""
        ...


class Intake(Protocol):
    """Where new orders are stored."""

    def accept(self, order: Order, *, by: str) -> Accepted: ...


class Views(Protocol):
    """Orders as people read them."""

    def view(self, order_id: str) -> OrderView: ...

    def by_token(self, token: str) -> OrderView | None:
        """Return the order of a tracking link that still works."""
        ...

    def list(self, wanted: OrderFilter) -> tuple[tuple[OrderRow, ...], str | None]: ...

    def events(self, order_id: str, after_seq: int) -> tuple[EventView, ...]: ...

    def heads(self, order_ids: Collection[str]) -> Mapping[str, int]:
        """Return the number of each order's latest event; one query, whatever how many are watched."""
        ...


class Facts(Protocol):
    """What orders must still hear."""

    def for_order(self, order_id: str) -> tuple[Unheard, ...]: ...


class Floor(Protocol):
    """The warehouse floor. Every step answers a repeat as it answered the first time."""

    def work(self, location_id: str | None = None) -> tuple[WorkItem, ...]: ...

    def start_picking(self, shipment_id: str, *, by: str, scan_id: str = "") -> None: ...

    def picked(self, shipment_id: str, *, by: str, scan_id: str = "") -> None: ...

    def pack(
        self, shipment_id: str, *, weight_g: int, by: str, carton_id: str = "", weight_reason: str = ""
    ) -> str: ...

    def hand_over(self, shipment_id: str, *, by: str, proof: Proof = STAFF) -> HandedOver: ...


class Benches(Protocol):
    """Shipments that are packed. Every step answers a repeat as it answered the first time."""

    def start(self, shipment_id: str, *, by: str, station: str = "", take_over: bool = False) -> Bench: ...

    def show(self, shipment_id: str) -> Bench: ...

    def scan(self, shipment_id: str, scans: Sequence[UnitScan], *, by: str) -> Bench: ...

    def acknowledge(self, shipment_id: str, scan_id: str, *, by: str) -> Bench: ...

    def cartons(self) -> tuple[Carton, ...]: ...

    def put_carton(self, carton: Carton) -> None: ...

    def retire_carton(self, carton_id: str) -> None: ...


class Labels(Protocol):
    """What is glued on parcels."""

    def documents(self, parcel_id: str) -> tuple[LabelDocument, ...]: ...


class Manifests(Protocol):
    """What carriers take together."""

    def make(self, location_id: str, carrier: str, *, by: str) -> Manifest: ...

    def show(self, manifest_id: str) -> Manifest: ...

    def latest(self) -> tuple[Manifest, ...]: ...

    def hand_over(self, manifest_id: str, codes: Sequence[str], *, by: str, proof: Proof) -> Manifest: ...


class ScanForms(Protocol):
    """The carriers' codes for what they take together."""

    def ask(self, manifest_id: str, *, by: str) -> str: ...

    def document(self, form_id: str) -> FormDocument: ...


class Rejections(Protocol):
    """Units that cannot leave. The same scan answers the same again."""

    def reject(self, request: Reject) -> Rejected: ...

    def to_inspect(self, location_id: str | None = None) -> tuple[SetAside, ...]: ...

    def inspected(self, rejection_id: str, to: Settled, *, by: str, note: str = "") -> None: ...


class Picking(Protocol):
    """The shelf. The same walk, scan or check again answers the same."""

    def set_bin(self, sku: str, location_id: str, name: str) -> None: ...

    def pick_list(self, location_id: str) -> tuple[ToPick, ...]: ...

    def take(self, ask: TakeWalk) -> Walk: ...

    def walk(self, walk_id: str) -> Walk: ...

    def scan(self, scan: PickScan) -> Scanned: ...

    def look(self, look: Look) -> Looked: ...

    def put_backs(self, location_id: str | None = None) -> tuple[PutBack, ...]: ...

    def put_back(self, shipment_id: str, *, by: str, scan_id: str = "") -> bool: ...


class Stock(Protocol):
    """Goods in, and what is where."""

    def receive(
        self,
        sku: str,
        location_id: str,
        quantity: int,
        *,
        key: str,
        by: str,
        replenishment_id: str | None = None,
    ) -> Receipt: ...

    def adjust(
        self, sku: str, location_id: str, delta: int, *, key: str, by: str, reason: str
    ) -> Receipt: ...

    def set_safety_stock(
        self, sku: str, location_id: str, units: int, *, key: str, by: str, reason: str
    ) -> Receipt: ...

    def levels(self, sku: str | None = None) -> tuple[Level, ...]: ...

    def set_substitutes(self, sku: str, instead: Sequence[str], *, by: str) -> None: ...

    def substitutes(self, sku: str) -> tuple[str, ...]: ...

    def add_location(
        self,
        location_id: str,
        *,
        name: str,
        address: Address,
        priority: int,
        calendar: Calendar,
        daily_capacity: int | None,
        on_time: float | None,
    ) -> None: ...

    def locations(self) -> tuple[Location, ...]: ...

    def news(self, after: int, limit: int) -> tuple[StockEvent, ...]: ...


class Sourcing(Protocol):
    """What would ship from where."""

    def promise(self, cart: Mapping[str, int], ship_to: Address) -> CartPromise:
        """Return what a cart of SKUs and quantities would become; it reads only."""
        ...


class Conditions(Protocol):
    """Units that may be promised, that may not, and that are written off."""

    def regrade(
        self,
        sku: str,
        location_id: str,
        units: int,
        of: Grade,
        to: Grade,
        *,
        key: str,
        by: str,
        reason: str,
        shipment_id: str | None = None,
    ) -> Receipt: ...


class Returns(Protocol):
    """Goods that came back."""

    def put_back(
        self,
        order_id: str,
        line_no: int,
        units: Sequence[int],
        disposition: Disposition,
        location_id: str,
        *,
        key: str,
        by: str,
        reason: str,
    ) -> Receipt: ...


class Counts(Protocol):
    """What somebody saw on a shelf."""

    def counts(self, *, only_open: bool = False) -> tuple[Count, ...]: ...

    def plan(self, count_id: str, sku: str, location_id: str, *, by: str, reason: str) -> Count: ...

    def start(self, count_id: str, *, by: str) -> Count: ...

    def report(self, count_id: str, counted: int, *, at: datetime, by: str) -> tuple[Count, Receipt]: ...

    def decide(self, count_id: str, *, approve: bool, by: str, reason: str) -> tuple[Count, Receipt]: ...

    def cancel(self, count_id: str, *, by: str, reason: str) -> Count: ...

    def snapshot(
        self, sku: str, location_id: str, counted: int, *, counted_at: datetime, key: str, by: str
    ) -> Receipt: ...


class Transfers(Protocol):
    """Goods between our own locations."""

    def transfers(self, *, only_open: bool = False) -> tuple[Transfer, ...]: ...

    def send(
        self,
        transfer_id: str,
        sku: str,
        from_location: str,
        to_location: str,
        quantity: int,
        *,
        by: str,
        reason: str,
    ) -> Transfer: ...

    def receive(self, transfer_id: str, quantity: int, *, key: str, by: str) -> Receipt: ...

    def close(self, transfer_id: str, *, by: str, reason: str) -> Transfer: ...


class Expected(Protocol):
    """What vendors still owe us."""

    def due(self) -> tuple[Ordered, ...]:
        """Return the orders to vendors that should have arrived by now."""
        ...

    def overview(self, sku: str | None = None) -> tuple[StockRow, ...]:
        """Return every place where a SKU is kept or waited for, and what should be ordered there."""
        ...

    def shelf(self, sku: str) -> tuple[ShelfPoint, ...]:
        """Return how the stock of a SKU went over the last weeks, oldest first."""
        ...


class PaymentNews(Protocol):
    """Where a payment provider's events are recorded, each once."""

    def record(
        self, provider: str, event_id: str, hint: Hint, body: Mapping[str, Any]
    ) -> tuple[Unheard, ...]: ...


class RefundBooks(Protocol):
    """Refunds: asked for, allowed by a second person, paid by hand where the provider will not."""

    def request(self, request: RequestRefund) -> Refund: ...

    def of_order(self, order_id: str) -> tuple[Refund, ...]: ...

    def approve(self, refund_id: str, *, by: str, request_id: str = "") -> Refund: ...

    def reject(self, refund_id: str, *, by: str, request_id: str = "", reason: str = "") -> Refund: ...

    def book_by_hand(self, refund_id: str, *, reference: str, by: str, request_id: str = "") -> Refund: ...


class Missing(Protocol):
    """Where it is noted that something was not received."""

    def report(
        self, order_id: str, *, parcel: int | None = None, by: str, request_id: str, note: str = ""
    ) -> Case: ...


class Cases(Protocol):
    """Which cases are open, and which are alike."""

    def groups(self, kind: CaseKind | None = None) -> tuple[CasesAlike, ...]: ...

    def like(self, order_id: str, kind: CaseKind, *, until: datetime) -> CasesAlike: ...


class Held(Protocol):
    """Which orders are held, and which are held alike."""

    def groups(self, reason: HoldReason | None = None) -> tuple[HeldAlike, ...]: ...

    def like(self, order_id: str, reason: HoldReason, *, until: datetime) -> HeldAlike: ...


class ParcelNews(Protocol):
    """Where a carrier's reports are recorded, each once."""

    def record_report(
        self,
        provider: str,
        event_id: str,
        carrier: str,
        tracking_number: str,
        scans: tuple[Scan, ...],
        edd: date | None,
        body: Mapping[str, Any],
    ) -> tuple[Unheard, ...]: ...


class Contacts(Protocol):
    """How customers are reached, and what came back."""

    def preferences(self, customer_id: str) -> Preferences: ...

    def prefer(self, wanted: Preferences, *, by: str) -> Preferences: ...

    def unsubscribe(self, order_id: str) -> None: ...

    def blocked(self, order_id: str) -> dict[Channel, str]: ...

    def unblock(self, channel: Channel, recipient: str, *, by: str) -> bool: ...

    def reach_at(self, order_id: str, *, email: str, phone: str, by: str) -> None: ...

    def stop(self, event_id: str, phone: str, said: str) -> None: ...

    def start(self, event_id: str, phone: str, said: str) -> None: ...

    def heard(self, event_id: str) -> None: ...

    def arrived(self, notification_id: int, ref: str, *, delivered: bool) -> None: ...

    def bounced(
        self, notification_id: int, ref: str, why: str, reason: Block | None, *, again: bool = False
    ) -> None: ...

    def bounced_mail(self, recipient: str, told: Told | None, why: str, reason: Block | None) -> bool: ...


class Claims(Protocol):
    """What is claimed from carriers."""

    def open(self) -> tuple[CarrierClaim, ...]: ...

    def end(
        self,
        parcel_id: str,
        outcome: ClaimOutcome,
        *,
        paid: int = 0,
        by: str,
        request_id: str,
        note: str = "",
    ) -> str: ...


class Erasures(Protocol):
    """Customers who want to be forgotten."""

    def erase(self, customer_id: str, *, by: str, reason: str, request_id: str = "") -> Erased: ...


class Webhooks(Protocol):
    """Where the storefront's events go, and the events themselves."""

    def add(self, url: str, kinds: Sequence[EventKind], *, by: str, after: int | None = None) -> Endpoint: ...

    def endpoints(self) -> tuple[Endpoint, ...]: ...

    def rotate(self, endpoint_id: str, *, by: str) -> Endpoint: ...

    def enable(self, endpoint_id: str, *, by: str, after: int | None = None) -> Endpoint: ...

    def remove(self, endpoint_id: str, *, by: str) -> None: ...

    def events(self, after: int, limit: int, kinds: Sequence[EventKind] = ()) -> tuple[ShopEvent, ...]: ...


class Corrections(Protocol):
    """Tracking put right by people."""

    def correct(self, request: CorrectTracking) -> Corrected: ...


class UnknownCodes(Protocol):
    """What carriers said that none of our tables knows."""

    def list(self) -> tuple[UnknownCode, ...]: ...


class Keys(Protocol):
    """One key, one body, one answer."""

    def begin(
        self, owner: str, route: str, key: str, body_hash: str
    ) -> New | Replay | Mismatch | InProgress: ...

    def finish(self, owner: str, route: str, key: str, *, status: int, answer: Any) -> None: ...

    def abandon(self, owner: str, route: str, key: str) -> None: ...


class Carriers(Protocol):
    """Which carriers labels are bought of."""

    def carriers(self) -> tuple[tuple[Carrier, CarrierUse], ...]: ...

    def pause(self, carrier: str, *, by: str, why: str, request_id: str) -> Carrier:
        """Buy no label of a carrier from now on; a repeat changes nothing."""
        ...

    def resume(self, carrier: str, *, by: str, request_id: str) -> Carrier:
        """Use a carrier again.

        Raises:
            NoSuchPause: it is not paused.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """Everything the routes need.

    `now` is shop time, `real_now` the providers' clock. `ping` raises while the database is away. An empty
    webhook secret lets nothing in.
    """

    processes: Processes
    intake: Intake
    views: Views
    facts: Facts
    floor: Floor
    picking: Picking
    rejections: Rejections
    benches: Benches
    labels: Labels
    manifests: Manifests
    scan_forms: ScanForms
    stock: Stock
    conditions: Conditions
    returns: Returns
    counts: Counts
    transfers: Transfers
    carriers: Carriers
    expected: Expected
    sourcing: Sourcing
    payment_news: PaymentNews
    refunds: RefundBooks
    missing: Missing
    cases: Cases
    held: Held
    parcel_news: ParcelNews
    contacts: Contacts
    erasures: Erasures
    claims: Claims
    webhooks: Webhooks
    corrections: Corrections
    unknown_codes: UnknownCodes
    idempotency: Keys
    keyring: Keyring
    now: Callable[[], datetime]
    real_now: Callable[[], datetime]
    ping: Callable[[], None]
    public_url: str
    shop_name: str
    stripe_secrets: tuple[str, ...]
    easypost_secrets: tuple[str, ...]
    twilio_tokens: tuple[str, ...]


def doors_of(request: Request) -> Doors:
    """Return what this application stands on."""
    doors: Doors = request.app.state.doors
    return doors


Standing = Annotated[Doors, Depends(doors_of)]


def tracked(doors: Doors, token: str) -> OrderView:
    """Return the order a tracking link is for.

    Raises:
        Problem: 404, the same for every link that does not work.
    """
    view = doors.views.by_token(token) if is_tracking_token(token) else None
    if view is None:
        raise Problem("not_found", "This link does not work (any more).")
    return view
