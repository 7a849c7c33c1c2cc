"""What is judged: our books, the providers' ledgers and Temporal's runs, as plain facts of one moment.

Statuses are plain text: a row that says something no program of ours would write is still a fact. Moments are the
shop's time, amounts minor units.
"""

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import TypeVar

from fulfillment.domain.order import ENDED
from fulfillment.domain.shipment import WorkStatus

Row = TypeVar("Row")
Key = TypeVar("Key", bound=Hashable)


def grouped(rows: Iterable[Row], key: Callable[[Row], Key]) -> dict[Key, list[Row]]:
    """Return the rows by their key, in their order."""
    found: dict[Key, list[Row]] = {}
    for row in rows:
        found.setdefault(key(row), []).append(row)
    return found


# --- stock -------------------------------------------------------------------------------------------


# Between us and a carrier: they say nothing of the order they are about.
_BESIDE_THE_ORDER = frozenset({"carrier_claim", "carrier_trace"})


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelFact:
    """The counters of one SKU at one location."""

    sku: str
    location_id: str
    on_hand: int
    reserved: int
    allocated: int
    incoming: int
    damaged: int = 0
    quarantine: int = 0
    held: int = 0
    in_transfer: int = 0
    safety_stock: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MovementFact:
    """All movements of one kind of one SKU at one location, added up; `unsigned` of them name nobody."""

    kind: str
    sku: str
    location_id: str
    on_hand: int
    reserved: int
    allocated: int
    incoming: int
    movements: int
    unsigned: int
    damaged: int = 0
    quarantine: int = 0
    held: int = 0
    in_transfer: int = 0
    safety_stock: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferFact:
    """Units of a SKU sent from one location to another."""

    transfer_id: str
    sku: str
    from_location: str
    to_location: str
    quantity: int
    received: int
    lost: int
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatedMovementFact:
    """One operation that moved the same SKU at the same location more than once."""

    operation_key: str
    kind: str
    sku: str
    location_id: str
    times: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReservationFact:
    """Units claimed for an order that is not confirmed yet."""

    order_id: str
    sku: str
    location_id: str
    quantity: int
    state: str
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AllocationFact:
    """Units claimed for a shipment."""

    shipment_id: str
    sku: str
    location_id: str
    quantity: int
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BackorderFact:
    """Units of a line that wait for a receipt."""

    order_id: str
    line_no: int
    shipment_id: str
    sku: str
    location_id: str
    quantity: int
    filled: int
    promise_date: date
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplenishmentFact:
    """An order to a vendor."""

    replenishment_id: str
    sku: str
    location_id: str
    quantity: int
    received: int
    state: str


# --- orders ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderFact:
    """An order; `last_event_at` is of the newest entry in its record. `fees` are a part of its total."""

    order_id: str
    channel: str
    external_ref: str
    status: str
    currency: str
    shipping_fee: int
    total: int
    fees: int
    promise_first_date: date | None
    promise_date: date | None
    outcome: str | None
    accepted_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    last_event_at: datetime | None

    @property
    def ended(self) -> bool:
        """Whether nothing more happens to it."""
        return self.status in ENDED


@dataclass(frozen=True, slots=True, kw_only=True)
class LineFact:
    """One line of an order; all amounts but `unit_price` are for the whole line."""

    order_id: str
    line_no: int
    sku: str
    quantity: int
    unit_price: int
    discount: int
    tax: int
    shipping_share: int

    def worth(self, first: int, count: int) -> int:
        """Return what units `first` .. `first + count - 1` cost the customer.

        Unit n of q is worth `floor(T*n/q) - floor(T*(n-1)/q)` of each amount T.
        """
        upto, before = first - 1 + count, first - 1
        amounts = (self.unit_price * self.quantity, -self.discount, self.tax, self.shipping_share)
        return sum(a * upto // self.quantity - a * before // self.quantity for a in amounts)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitsFact:
    """Where some units of a line are: in a shipment, or cancelled."""

    order_id: str
    line_no: int
    first_unit: int
    quantity: int
    shipment_id: str | None
    cancelled_reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplacementFact:
    """A line that was added for nothing: its units stand for paid ones, from `root_unit` of `root_line` on."""

    order_id: str
    line_no: int
    root_line: int
    root_unit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SubstitutionFact:
    """A line of a listed equal: its units stand for others, from `root_unit` of `root_line` on."""

    order_id: str
    line_no: int
    root_line: int
    root_unit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldFact:
    """A hold, standing or ended."""

    hold_id: str
    order_id: str
    placed_by: str
    state: str
    released_by: str | None
    placed_at: datetime
    due_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseFact:
    """A case, open or resolved."""

    case_id: str
    order_id: str | None
    subject: str
    kind: str
    owner: str
    state: str
    due_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CarrierClaimFact:
    """A claim against a carrier; `outcome` is what came of it, `paid` in minor units."""

    case_id: str
    parcel_id: str
    outcome: str | None
    paid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LossFact:
    """What became of a shipment with its carrier, `lost` or `damaged`, as it was decided and told."""

    shipment_id: str
    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PromiseFact:
    """The n-th date an order was promised for; the message that told it, where it is known which."""

    order_id: str
    n: int
    promised_date: date
    reason: str
    told_at: datetime | None
    told_fact: str | None = None
    told_subject: str | None = None
    told_version: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ActFact:
    """One audit entry: who did what to an order."""

    entry_id: int
    order_id: str | None
    actor: str
    command: str


# --- money -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentFact:
    """One attempt to get money, for one shipment or several."""

    payment_id: str
    order_id: str
    provider_ref: str | None
    status: str
    asked: int
    authorized: int
    captured: int
    refunded: int
    created_at: datetime
    expires_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareFact:
    """What of a payment is for one shipment."""

    payment_id: str
    shipment_id: str
    asked: int
    captured: int
    refunded: int
    released: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundFact:
    """Money that goes back; `shipment_id` where it is all of one shipment's, `by_hand` past the provider.

    `payment_id` is the payment that had taken too much, where that is why; `of_shipments` are those in which the
    units were that it gives back.
    """

    refund_id: str
    order_id: str
    shipment_id: str | None
    cause: str
    amount: int
    state: str
    by_hand: bool
    at: datetime
    payment_id: str | None = None
    of_shipments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationFact:
    """One request to a provider; `subject` is the shipment or parcel it is about, else the order or refund."""

    operation_key: str
    order_id: str
    kind: str
    subject: str
    amount: int
    state: str
    claimed_at: datetime
    ended_at: datetime | None
    payment_id: str | None = None


# --- shipping ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ShipmentFact:
    """A shipment; `handed_by` is who gave it to the carrier, or the carrier whose scan proved it.

    `settled` is what the customer got for it instead: another one, or the money.
    `for_sale_at` is when the day comes from which all that is in it may be sent, of one that waits for its day.
    """

    shipment_id: str
    order_id: str
    work_status: str
    waits_for: str
    value: int
    fee: int
    outcome: str | None
    ship_by: datetime
    released_at: datetime | None
    handed_over_at: datetime | None
    closed_at: datetime | None
    handed_by: str | None
    settled: str | None = None
    for_sale_at: datetime | None = None

    @property
    def left(self) -> bool:
        """Whether the carrier has it, or had it."""
        return self.work_status in (WorkStatus.HANDED_OVER, WorkStatus.CLOSED)

    @property
    def terminal(self) -> bool:
        """Whether its work is over."""
        return self.work_status in (WorkStatus.CLOSED, WorkStatus.CANCELLED)


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectionFact:
    """Units that were taken out of a shipment while it was picked, and what their movements put where.

    `gone` are those written off the shelf; `is_counted` says whether a count of the shelf was asked for.
    """

    rejection_id: str
    shipment_id: str
    reason: str
    units: int
    damaged: int
    quarantine: int
    held: int
    gone: int
    is_counted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchFact:
    """Units of a SKU that were scanned into a shipment that is closed; without a SKU nothing was.

    `problem` is what lay there wrongly and nobody had seen.
    """

    shipment_id: str
    sku: str
    units: int
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ParcelFact:
    """A parcel as our books say the carrier sees it; `address_hash` is of where it went, once it has left.

    `evidence` is how we know that it left, `handed_over_by` who saw it.
    """

    parcel_id: str
    order_id: str
    shipment_id: str
    weight_g: int
    carrier_status: str
    address_hash: str | None
    flags: tuple[str, ...]
    handed_over_at: datetime | None
    latest_scan_at: datetime | None
    next_check_at: datetime | None
    delivered_at: datetime | None
    evidence: str | None
    handed_over_by: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestFact:
    """A parcel on a carrier's list, and what the list says became of it."""

    manifest_id: str
    parcel_id: str
    label_id: str
    outcome: str
    handed_over_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelFact:
    """A label of a parcel. `dearer` is whether it was decided to pay more than `quoted_price` allows.

    `form` is the carrier's scan form that it is on, empty while that is being asked for, None where it is on none.
    """

    label_id: str
    parcel_id: str
    state: str
    provider_shipment_ref: str | None
    carrier: str | None
    tracking_number: str | None
    cost: int | None
    quoted_price: int | None
    dearer: bool
    address_hash: str
    created_at: datetime
    form: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanFact:
    """One scan of a parcel."""

    parcel_id: str
    status: str | None
    flag: str | None
    reason: str
    code: str
    text: str
    place: str
    source: str
    correction: bool
    occurred_at: datetime
    received_at: datetime


# --- messages in and out -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageFact:
    """A message to a customer; `recipient` is a hash, for the audit prints what it finds.

    `taken_at` is when it was last decided to send it, `zone` where its recipient lives.
    `promise_date` is the day that it promises.
    """

    notification_id: int
    order_id: str
    fact: str
    subject: str
    version: int
    channel: str
    recipient: str
    state: str
    why: str
    not_before: datetime
    lease_until: datetime | None
    promise_date: date | None = None
    taken_at: datetime | None = None
    zone: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockFact:
    """A recipient to whom nothing may go on a channel since `at`; `recipient` is a hash as of messages."""

    channel: str
    recipient: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFact:
    """An event a provider sent us."""

    provider: str
    event_id: str
    kind: str
    subject: str
    state: str
    why: str
    received_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgottenFact:
    """An order whose customer was forgotten, and what still says who they are."""

    order_id: str
    left: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalFact:
    """A fact that an order's workflow has not been told."""

    signal_id: int
    order_id: str
    name: str
    fact_key: str
    at: datetime


# --- what the three witnesses say --------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """What our database says at the shop's moment `now`.

    `since` is when the audit began to wait for rest. `grace` is the shop time that passes while a deed done is still
    on its way into the next row, `patience` the same for what only a sweep picks up, and `skew` bounds how far the
    clocks of two transactions that met may differ. `away` says why nothing could be read.
    """

    now: datetime
    since: datetime
    grace: timedelta
    patience: timedelta
    skew: timedelta
    levels: tuple[LevelFact, ...] = ()
    movements: tuple[MovementFact, ...] = ()
    repeated_movements: tuple[RepeatedMovementFact, ...] = ()
    reservations: tuple[ReservationFact, ...] = ()
    allocations: tuple[AllocationFact, ...] = ()
    backorders: tuple[BackorderFact, ...] = ()
    transfers: tuple[TransferFact, ...] = ()
    replenishments: tuple[ReplenishmentFact, ...] = ()
    orders: tuple[OrderFact, ...] = ()
    lines: tuple[LineFact, ...] = ()
    units: tuple[UnitsFact, ...] = ()
    replacements: tuple[ReplacementFact, ...] = ()
    substitutions: tuple[SubstitutionFact, ...] = ()
    holds: tuple[HoldFact, ...] = ()
    cases: tuple[CaseFact, ...] = ()
    carrier_claims: tuple[CarrierClaimFact, ...] = ()
    losses: tuple[LossFact, ...] = ()
    promises: tuple[PromiseFact, ...] = ()
    acts: tuple[ActFact, ...] = ()
    payments: tuple[PaymentFact, ...] = ()
    shares: tuple[ShareFact, ...] = ()
    refunds: tuple[RefundFact, ...] = ()
    operations: tuple[OperationFact, ...] = ()
    shipments: tuple[ShipmentFact, ...] = ()
    benches: tuple[BenchFact, ...] = ()
    rejections: tuple[RejectionFact, ...] = ()
    parcels: tuple[ParcelFact, ...] = ()
    manifests: tuple[ManifestFact, ...] = ()
    labels: tuple[LabelFact, ...] = ()
    scans: tuple[ScanFact, ...] = ()
    messages: tuple[MessageFact, ...] = ()
    blocks: tuple[BlockFact, ...] = ()
    events: tuple[EventFact, ...] = ()
    signals: tuple[SignalFact, ...] = ()
    forgotten: tuple[ForgottenFact, ...] = ()
    away: str = ""

    def recent(self, moment: datetime | None) -> bool:
        """Test whether what follows from `moment` may still be on its way."""
        return moment is not None and moment > self.now - self.grace

    def stale(self, moment: datetime) -> bool:
        """Test whether even the next sweep is overdue for what was due at `moment`."""
        return moment <= self.now - self.patience

    def order_of(self) -> dict[str, OrderFact]:
        """Return the orders by their id."""
        return {order.order_id: order for order in self.orders}

    def shipment_of(self) -> dict[str, ShipmentFact]:
        """Return the shipments by their id."""
        return {shipment.shipment_id: shipment for shipment in self.shipments}

    def parcel_of(self) -> dict[str, ParcelFact]:
        """Return the parcels by their shipment."""
        return {parcel.shipment_id: parcel for parcel in self.parcels}

    def open_cases(self) -> list[CaseFact]:
        """Return the cases of orders that nobody resolved; a claim against a carrier is beside its order."""
        return [
            case for case in self.cases if case.state != "resolved" and case.kind not in _BESIDE_THE_ORDER
        ]

    def in_doubt(self) -> list[OperationFact]:
        """Return the requests to providers whose outcome is not known."""
        return [
            operation
            for operation in self.operations
            if operation.state in ("claimed", "accepted", "unknown")
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """One thing a payment provider did; `key` is the idempotency key it came with, empty if it came by itself."""

    kind: str
    key: str
    amount: int

    @property
    def operation_key(self) -> str:
        """Our key of the operation: a renewed request adds `~1`, `~2`, .. to it."""
        return self.key.partition("~")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerPayment:
    """A payment in the provider's own ledger."""

    ref: str
    order_id: str
    state: str
    authorized: int
    captured: int
    refunded: int
    effects: tuple[Effect, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerLabel:
    """A label in the carrier's own ledger; `to` are street, postal code and city as printed, `form` a scan form."""

    ref: str
    reference: str
    tracking_number: str
    cost: int
    state: str
    carrier: str = ""
    to: str = ""
    form: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerMessage:
    """A message the channel accepted, and how often."""

    message_id: str
    accepted: int

    @property
    def fact(self) -> str:
        """The part that names order, fact, subject and version."""
        return self.message_id.strip("<>").partition("@")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerText:
    """A text message that Twilio accepted; `notification_id` is what it was told of ours, None where nothing."""

    sid: str
    notification_id: int | None
    failed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """What the providers say; `away` says why it could not be read."""

    payments: tuple[LedgerPayment, ...] = ()
    labels: tuple[LedgerLabel, ...] = ()
    messages: tuple[LedgerMessage, ...] = ()
    texts: tuple[LedgerText, ...] = ()
    away: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """An order's workflow as Temporal shows it: all that are open, and of the closed those that did not end well.

    `task_attempts` is how often the pending workflow task was tried, `deeds` are the activities under way.
    """

    order_id: str
    status: str
    task_attempts: int = 0
    deeds: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """What Temporal says; `away` says why it could not be asked."""

    runs: tuple[Run, ...] = ()
    away: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The three witnesses side by side. There is no ledger where the providers show none."""

    books: Books
    ledger: Ledger | None = field(default=None)
    runs: Runs | None = field(default=None)

    @property
    def readable_ledger(self) -> Ledger | None:
        """The providers' ledger, if there is one that answered."""
        return self.ledger if self.ledger and not self.ledger.away else None

    @property
    def readable_runs(self) -> Runs | None:
        """Temporal's runs, if it answered."""
        return self.runs if self.runs and not self.runs.away else None
