"""What `/v1` reads and answers, and its translation to and from the domain."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from datetime import date, datetime, time
from typing import Annotated, Any, Final, Literal, Self, cast

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)
from pydantic_core import PydanticCustomError

from fulfillment.domain.address import Address, AddressAnswer, Verdict
from fulfillment.domain.carrier_claims import ClaimOutcome
from fulfillment.domain.carriers import Carrier, CarrierUse
from fulfillment.domain.cases import CaseKind
from fulfillment.domain.events import EventKind
from fulfillment.domain.explanation import allowed_actions, wants_payment
from fulfillment.domain.hand_over import Evidence, Proof
from fulfillment.domain.headline import headline, shipment_headline, still_expected_on
from fulfillment.domain.holds import Hold, HoldReason
from fulfillment.domain.inventory import Disposition, Grade
from fulfillment.domain.money import without_amounts
from fulfillment.domain.notifications import Channel
from fulfillment.domain.order import Customer, Order, OrderLine, UnitRange
from fulfillment.domain.payment import DeclineGroup, OrderPayment
from fulfillment.domain.picking import CheckGrade, PickMode, Rejection, Settled
from fulfillment.domain.playbooks import Answer
from fulfillment.domain.policy import ShortageChoice
from fulfillment.domain.promise import Promise, Source
from fulfillment.domain.refund import Refund, RefundCause, RefundState
from fulfillment.domain.shipment import WaitsFor, WorkStatus
from fulfillment.domain.stage import Stage
from fulfillment.domain.tracking import CarrierStatus, Flag, Standing
from fulfillment.domain.view import EventView, OrderRow, OrderView, ParcelView, ScanView, ShipmentSummary
from starter.api import patterns
from starter.pages.links import tracking_url
from workflows.contract import order_workflow_id

MAX_LINES: Final = 50
_MAX_MINOR: Final = 2_000_000_000  # fits the database's integers

# --- what comes in ---------------------------------------------------------------------------------------

_DIGIT_GROUPS: Final = re.compile(r"\d+(?:[ -]\d+)*")


def holds_card_number(text: str) -> bool:
    """Test whether a text holds a run of 13 to 19 digits that passes the Luhn check, spaced or not."""
    return any(_luhn(run) for match in _DIGIT_GROUPS.finditer(text) for run in _runs(match.group()))


def _runs(match: str) -> Iterator[str]:
    groups = re.split(r"[ -]", match)
    for first in range(len(groups)):
        for last in range(first + 1, len(groups) + 1):
            run = "".join(groups[first:last])
            if len(run) > 19:
                break
            if len(run) >= 13:
                yield run


def _luhn(digits: str) -> bool:
    doubled = [int(digit) * (2 if n % 2 else 1) for n, digit in enumerate(reversed(digits))]
    return sum(n - 9 if n > 9 else n for n in doubled) % 10 == 0


def _no_card(text: str) -> str:
    if holds_card_number(text):
        raise PydanticCustomError("card_number", "holds what looks like a card number; send a token instead")
    return text


def _text(most: int, *, least: int = 1, pattern: str = patterns.ONE_LINE) -> StringConstraints:
    return StringConstraints(min_length=least, max_length=most, pattern=pattern, strip_whitespace=True)


Id = Annotated[str, _text(64, pattern=patterns.ID)]
Word = Annotated[str, _text(64, pattern=patterns.WORD)]
Line = Annotated[str, _text(200)]
OptionalLine = Annotated[str, _text(200, least=0)]
Note = Annotated[str, _text(500, least=0, pattern=patterns.LINES), AfterValidator(_no_card)]
Reason = Annotated[str, _text(200), AfterValidator(_no_card)]
PaymentMethod = Annotated[str, _text(255), AfterValidator(_no_card)]
Email = Annotated[str, _text(254, pattern=patterns.EMAIL)]
Phone = Annotated[str, _text(16, least=0, pattern=patterns.PHONE)]
Country = Annotated[str, StringConstraints(pattern=patterns.COUNTRY), AfterValidator(patterns.known_country)]
Currency = Annotated[str, StringConstraints(pattern=patterns.CURRENCY)]
Locale = Annotated[str, StringConstraints(pattern=patterns.LOCALE, max_length=35)]
Sku = Annotated[str, _text(64)]
Minor = Annotated[int, Field(strict=True, ge=0, le=_MAX_MINOR)]
Quantity = Annotated[int, Field(strict=True, ge=1, le=10_000)]


Service = Literal["standard", "express"]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class CustomerIn(_Request):
    """Who ordered."""

    id: Id
    email: Email
    phone: Phone = Field("", description="E.164, for example +12085550142.")
    locale: Locale = Field("en-US", description="BCP 47.")


class PreferencesIn(_Request):
    """How a customer wants to be told. What is left out stays as it is: silence takes back no consent and no wish."""

    main: Channel | None = Field(None, description="On which all that must be told arrives; at first e-mail.")
    sms: bool | None = Field(None, description="Whether they agreed to text messages; at first no.")
    delivery_news: bool | None = Field(
        None, description="Whether they want to hear where their parcels are; at first yes."
    )
    locale: Locale | Literal[""] | None = Field(None, description="BCP 47; empty is that of each order.")
    zone: OptionalLine | None = Field(None, description="Of the IANA list; empty is that of the address.")


class ContactIn(_Request):
    """Where a customer can be reached; what is empty stays as it is."""

    email: Email | Literal[""] = ""
    phone: Phone = ""


class LiftIn(_Request):
    """Where messages may go again."""

    channel: Channel
    recipient: Line


class SubstitutesIn(_Request):
    """What may be sent instead of a product that is not there."""

    substitutes: Annotated[list[Sku], Field(max_length=20)] = Field(
        description="SKUs that are as good, the best first; none is sent where the list is empty."
    )


class ClaimEndIn(_Request):
    """What came of a claim against a carrier. `paid` is in minor units, and above 0 only where they paid."""

    outcome: ClaimOutcome
    paid: Minor = 0
    note: Note = ""


class EndpointIn(_Request):
    """Where webhooks go."""

    url: Annotated[str, StringConstraints(pattern=patterns.WEB_ADDRESS, max_length=500)]
    kinds: list[EventKind] = Field([], description="Of events; none is all.")
    after: Annotated[int, Field(ge=0, le=2**62)] | None = Field(
        None, description="Send everything later than this event; by default what happens from now on."
    )


class ReplayIn(_Request):
    """From where to send again; by default from where it stopped."""

    after: Annotated[int, Field(ge=0, le=2**62)] | None = None


class LineIn(_Request):
    """One SKU. `unit_price` is for one piece; `discount` and `tax` are for the whole line. Minor units."""

    sku: Sku
    name: OptionalLine = ""
    quantity: Quantity
    unit_price: Annotated[int, Field(strict=True, ge=0, le=100_000_000)]
    discount: Minor = 0
    tax: Minor = 0


class AddressIn(_Request):
    """A postal address; `country` is ISO 3166-1 alpha-2."""

    name: Line
    line1: Line
    city: Line
    country: Country
    line2: OptionalLine = ""
    company: OptionalLine = ""
    region: OptionalLine = ""
    postal_code: Annotated[str, _text(16, least=0)] = ""
    phone: Annotated[str, _text(32, least=0)] = ""


class PaymentIn(_Request):
    """How the customer pays: the token of a saved method, never a card number."""

    method: PaymentMethod


class PlaceOrder(_Request):
    """An order. Amounts are in minor units of `currency`, and must add up to `total`."""

    order_id: Id | None = Field(None, description="Yours; we make a readable one if you give none.")
    channel: Word = "storefront"
    external_ref: Annotated[str, _text(64, least=0)] = Field(
        "", description="Your own reference; once per channel."
    )
    customer: CustomerIn
    lines: Annotated[list[LineIn], Field(min_length=1, max_length=MAX_LINES)]
    currency: Currency
    total: Minor
    shipping_fee: Minor = 0
    ship_to: AddressIn
    service: Service = "standard"
    payment: PaymentIn
    note: Note = ""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "order_id": "SO-10483",
                    "channel": "storefront-us",
                    "customer": {"id": "cus_4103", "email": "noor@example.com", "phone": "+12085550142"},
                    "lines": [
                        {
                            "sku": "TEE-BLK-M",
                            "name": "Organic tee, black, M",
                            "quantity": 2,
                            "unit_price": 2400,
                        },
                        {"sku": "MUG-12", "name": "Enamel mug 12 oz", "quantity": 1, "unit_price": 1800},
                    ],
                    "currency": "USD",
                    "total": 6600,
                    "ship_to": {
                        "name": "Noor Haddad",
                        "line1": "103 Main St",
                        "city": "Boise",
                        "region": "ID",
                        "postal_code": "83702",
                        "country": "US",
                    },
                    "service": "standard",
                    "payment": {"method": "pm_card_visa"},
                }
            ]
        },
    )

    def order(self, order_id: str, *, placed_at: datetime) -> Order:
        """Return the order the domain knows.

        Raises:
            InvalidOrder: the parts do not add up.
        """
        lines = tuple(
            OrderLine(
                line_no=n,
                sku=line.sku,
                name=line.name or line.sku,
                quantity=line.quantity,
                unit_price=line.unit_price,
                discount=line.discount,
                tax=line.tax,
            )
            for n, line in enumerate(self.lines, start=1)
        )
        who = self.customer
        return Order(
            order_id=order_id,
            channel=self.channel,
            external_ref=self.external_ref or order_id,
            customer=Customer(customer_id=who.id, email=who.email, phone=who.phone, locale=who.locale),
            lines=lines,
            currency=self.currency,
            total=self.total,
            shipping_fee=self.shipping_fee,
            ship_to=Address(**self.ship_to.model_dump()),
            payment_method=self.payment.method,
            placed_at=placed_at,
            service=self.service,
            note=self.note,
        ).checked()


class CancelIn(_Request):
    """Why the order is cancelled; with `lines`, how many units of which lines instead of all of it."""

    reason: Reason
    lines: Annotated[list["CancelledLineIn"], Field(max_length=MAX_LINES)] = []


class CancelledLineIn(_Request):
    """Units of one line to take off."""

    line_no: Annotated[int, Field(strict=True, ge=1, le=10_000)]
    quantity: Quantity


class ChangedLineIn(_Request):
    """The quantity a line shall have from now on; 0 takes it off."""

    line_no: Annotated[int, Field(strict=True, ge=1, le=10_000)]
    quantity: Annotated[int, Field(strict=True, ge=0, le=10_000)]


class AddedLineIn(_Request):
    """A line to add; without `unit_price` (minor units) it costs what the catalogue says."""

    sku: Sku
    quantity: Quantity
    unit_price: Annotated[int, Field(strict=True, ge=0, le=100_000_000)] | None = None


class ItemsIn(_Request):
    """Which quantities change, and what is added."""

    lines: Annotated[list[ChangedLineIn], Field(max_length=MAX_LINES)] = []
    add: Annotated[list[AddedLineIn], Field(max_length=MAX_LINES)] = []

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.lines and not self.add:
            raise PydanticCustomError("nothing", "name `lines` to change or lines to `add`")
        return self


class ServiceIn(_Request):
    """Another service, and what the customer pays for it on top, in minor units."""

    service: Service
    fee: Minor = 0


class ShortageIn(_Request):
    """What becomes of what is missing: `wait` for all, `split`, or `drop` it."""

    choice: ShortageChoice


class CaseAnswerIn(_Request):
    """What becomes of a case: `reship` or `refund` the goods, `wait`, `reroute` or `pickup` at the carrier, or it is `done`.

    `shipment` is needed where several have a case of this kind, `note` where the answer is `done`. What is sent again
    goes to `ship_to`, or where the order goes.
    """

    kind: CaseKind
    answer: Answer
    shipment: Annotated[str, Field(max_length=80)] = ""
    note: Note = ""
    ship_to: AddressIn | None = None


class AnswerAlikeIn(_Request):
    """Which cases are answered: those of this kind in the same words as on the order `like`, opened by `until`."""

    like: Id
    kind: CaseKind
    answer: Answer
    note: Note = ""
    until: AwareDatetime | None = None
    dry_run: bool = True


class NotReceivedIn(_Request):
    """Which parcel did not reach the customer, by its number in the order; the only delivered one by default."""

    parcel: Annotated[int, Field(ge=1)] | None = None
    note: Note = ""


class HoldIn(_Request):
    """Why nothing may leave for now."""

    reason: HoldReason
    note: Note = ""


class ReleaseAlikeIn(_Request):
    """Which holds end: those for this reason in the same words as on the order `like`, placed by `until`."""

    like: Id
    reason: HoldReason
    until: AwareDatetime | None = None
    dry_run: bool = True


class UnitsIn(_Request):
    """Pieces of a line, counted from 1: `first` and the `count - 1` after it."""

    line: Annotated[int, Field(strict=True, ge=1)]
    first: Annotated[int, Field(strict=True, ge=1)]
    count: Annotated[int, Field(strict=True, ge=1)]


class RefundIn(_Request):
    """What is given back and why: these units, this amount in minor units, or without either all that is left."""

    cause: RefundCause
    units: Annotated[list[UnitsIn], Field(max_length=50)] = []
    amount: Annotated[int | None, Field(strict=True, ge=1)] = None
    note: Note = ""


class RejectIn(_Request):
    """Why a refund is not allowed."""

    reason: Note = ""


class PaidByHandIn(_Request):
    """How a person paid a refund, for example the reference of a bank transfer."""

    reference: Reason


class RefundOut(BaseModel):
    """One refund. `why_approval` says why it needs a second person."""

    id: str
    order_id: str
    cause: RefundCause
    amount: int
    currency: str
    state: RefundState
    by: str
    approved_by: str | None
    at: datetime
    units: list[UnitsIn]
    note: str
    why_approval: str

    @classmethod
    def of(cls, refund: Refund) -> Self:
        """Return a refund as the API shows it."""
        return cls(
            id=refund.refund_id,
            order_id=refund.order_id,
            cause=refund.cause,
            amount=refund.amount,
            currency=refund.currency,
            state=refund.state,
            by=refund.by,
            approved_by=refund.approved_by,
            at=refund.at,
            units=[UnitsIn(line=u.line_no, first=u.first, count=u.count) for u in refund.units],
            note=refund.note,
            why_approval=refund.why_approval,
        )


class RefundsOut(BaseModel):
    """An order's refunds, oldest first."""

    refunds: list[RefundOut]


class CorrectionIn(_Request):
    """Where a parcel really is, since when (now where it is left out), and how you know."""

    status: CarrierStatus
    reason: Reason
    happened_at: AwareDatetime | None = None


class CorrectionOut(BaseModel):
    """A correction that is made; a repeat answers the same."""

    order_id: str
    parcel_id: str
    status: CarrierStatus
    text: str


class ScanOut(BaseModel):
    """One scan of a parcel. A code in no table is `unknown`; one that is not `folded` does not count (any more)."""

    at: datetime
    status: CarrierStatus | None
    code: str
    provider: str
    text: str
    place: str
    unknown: bool
    standing: Standing
    by: str
    why: str

    @classmethod
    def of(cls, scan: ScanView) -> Self:
        """Return a scan as the API shows it."""
        shown = asdict(scan)
        return cls(unknown=shown.pop("is_unknown"), **shown)


class ScansOut(BaseModel):
    """Everything that was said about a parcel, newest first."""

    parcel_id: str
    scans: list[ScanOut]


class UnknownCodeOut(BaseModel):
    """A carrier's code in no table; `count` is of scans in the last 90 days."""

    provider: str
    carrier: str
    code: str
    text: str
    count: int
    first_seen: datetime
    last_seen: datetime


class UnknownCodesOut(BaseModel):
    """The codes that nobody has given a meaning, the most frequent first."""

    codes: list[UnknownCodeOut]


class PackedIn(_Request):
    """What the packed parcel weighs, and in which carton it is, if not in the one that was proposed.

    A weight that is not the expected one passes only with a `weight_reason`.
    """

    weight_g: Annotated[int, Field(strict=True, ge=1, le=70_000)]
    carton_id: OptionalLine = ""
    weight_reason: Note = ""


class AtBenchIn(_Request):
    """Where somebody packs. What is at another bench is given only to who wants to `take_over`."""

    station: OptionalLine = ""
    take_over: bool = False


class UnitScanIn(_Request):
    """One unit. `scan_id` is the scanner's own id of the scan: sending it twice is harmless."""

    scan_id: Annotated[str, _text(64)]
    code: Sku
    serial: OptionalLine = ""


class UnitsScannedIn(_Request):
    """Units that go into the carton, in the order of their scans."""

    scans: Annotated[list[UnitScanIn], Field(min_length=1, max_length=500)]


class CartonIn(_Request):
    """A kind of carton: inner sides in mm, what it carries and weighs in grams, what it costs in minor units."""

    size_mm: Annotated[
        list[Annotated[int, Field(strict=True, ge=1, le=5_000)]], Field(min_length=3, max_length=3)
    ]
    max_weight_g: Annotated[int, Field(strict=True, ge=1, le=70_000)]
    tare_g: Annotated[int, Field(strict=True, ge=0, le=20_000)]
    price: Minor = 0


class SeenIn(_Request):
    """The scan that was wrong."""

    scan_id: Annotated[str, _text(64)]


class ProofIn(_Request):
    """How we know that the carrier has it: `ref` is a driver's name, a receipt's number, the reference of a picture.

    What others say (`driver_scan`, `scan_form`) needs a `ref` by which to find it again.
    """

    evidence: Literal[Evidence.STAFF, Evidence.DRIVER_SCAN, Evidence.SCAN_FORM] = Evidence.STAFF
    ref: OptionalLine = ""

    @model_validator(mode="after")
    def _can_be_found(self) -> Self:
        if self.evidence is not Evidence.STAFF and not self.ref:
            raise ValueError(f"evidence {self.evidence.value} needs a ref: who drove, or which paper says so")
        return self

    def as_proof(self) -> Proof:
        """Return it as the books keep it."""
        return Proof(evidence=self.evidence, ref=self.ref)


class ManifestIn(_Request):
    """For whom a list is made, and where."""

    location_id: Id
    carrier: Word


class TakenIn(ProofIn):
    """What the driver took, by parcel or tracking number, in any order and as often as it was scanned."""

    codes: Annotated[list[Annotated[str, _text(80)]], Field(min_length=1, max_length=1000)]


class ScanIn(_Request):
    """A step on the floor. `scan_id` is the scanner's own id of the scan: sending it twice is harmless.

    `picker` is who has the goods in hand, where several people work under one key.
    """

    scan_id: Annotated[str, _text(64, least=0)] = ""
    picker: OptionalLine = ""


class RejectionIn(_Request):
    """Units of a SKU that cannot leave, and why. `scan_id` is the scanner's own id: sending it twice is harmless.

    `photo` is a reference to a picture, needed of what is damaged or worn; `found_sku` is what lay there instead.
    """

    scan_id: Id
    sku: Sku
    quantity: Quantity = 1
    reason: Rejection
    found_sku: Sku | None = None
    note: Note = ""
    photo: OptionalLine = ""


class LookIn(_Request):
    """What somebody saw of units of a SKU. Below grade A a reference to a picture is needed as `photo`."""

    check_id: Id
    sku: Sku
    quantity: Quantity = 1
    grade: CheckGrade
    defect: OptionalLine = ""
    note: Note = ""
    photo: OptionalLine = ""


class WalkIn(_Request):
    """Work for one picker. `walk_id` is the device's own: sending it twice is harmless."""

    walk_id: Id
    location_id: Id
    picker: Id
    mode: PickMode = PickMode.SINGLE
    size: Annotated[int, Field(ge=1, le=100)] = 1


class PickScanIn(_Request):
    """Units that were scanned and put into a tote. `scan_id` is the scanner's own: sending it twice is harmless."""

    scan_id: Id
    tote: Annotated[int, Field(ge=1, le=100)]
    sku: Sku
    picker: Id
    quantity: Quantity = 1


class BinIn(_Request):
    """Where units of a SKU lie: aisle, bay and level, for example `A-03-2`."""

    sku: Sku
    location_id: Id
    bin: Annotated[str, _text(32)]


class InspectionIn(_Request):
    """What becomes of units that were set aside: back to the shelf, written off, or left as they are."""

    to: Settled
    note: Note = ""


class ReceiptIn(_Request):
    """Goods that came in. `key` makes a repeat harmless, for example the number of the delivery note."""

    sku: Sku
    location_id: Id
    quantity: Annotated[int, Field(strict=True, ge=1, le=1_000_000)]
    key: Annotated[str, _text(120)]
    replenishment_id: Annotated[str, _text(120)] | None = None


class LocationIn(_Request):
    """A place that ships. `cut_off` and the days are local, in `zone`; 0 is Monday."""

    name: Line
    address: AddressIn
    priority: Annotated[int, Field(ge=0, le=10_000, description="The lowest is asked first.")] = 100
    zone: Annotated[str, _text(64)] = Field(description="Of the IANA list, for example Europe/Berlin.")
    cut_off: time = Field(time(14), description="What is ordered later counts for the next working day.")
    working_days: Annotated[list[Annotated[int, Field(ge=0, le=6)]], Field(min_length=1)] = [0, 1, 2, 3, 4]
    closed_days: Annotated[list[date], Field(max_length=400)] = []
    public_holidays: bool = Field(True, description="Whether it rests on its country's public holidays.")
    daily_capacity: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    on_time: Annotated[float, Field(ge=0, le=1)] | None = Field(
        None, description="The share of its parcels that keep their promise, where it is known."
    )


class CartLineIn(_Request):
    """How many of a SKU."""

    sku: Sku
    quantity: Quantity


class DestinationIn(_Request):
    """Where a cart would go; no name and no street are needed."""

    country: Country
    region: OptionalLine = ""
    postal_code: Annotated[str, _text(16, least=0)] = ""


class CartIn(_Request):
    """What somebody thinks of ordering."""

    lines: Annotated[list[CartLineIn], Field(min_length=1, max_length=MAX_LINES)]
    ship_to: DestinationIn


Units = Annotated[int, Field(strict=True, ge=1, le=1_000_000)]
DeedKey = Annotated[str, _text(120)]


class AdjustmentIn(_Request):
    """What is on the shelf is `delta` units more, or fewer, than the book says. `key` makes a repeat harmless."""

    sku: Sku
    location_id: Id
    delta: Annotated[int, Field(strict=True, ge=-1_000_000, le=1_000_000)]
    reason: Reason
    key: DeedKey

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.delta:
            raise PydanticCustomError("nothing", "a difference of 0 is no adjustment")
        return self


class SafetyStockIn(_Request):
    """How many units new orders may not claim."""

    sku: Sku
    location_id: Id
    units: Annotated[int, Field(strict=True, ge=0, le=1_000_000)]
    reason: Reason
    key: DeedKey


class SnapshotIn(_Request):
    """What another system counted at a moment; what moved since then stays."""

    sku: Sku
    location_id: Id
    counted: Annotated[int, Field(strict=True, ge=0, le=1_000_000)]
    counted_at: AwareDatetime
    key: DeedKey


class DispositionIn(_Request):
    """Units that are something else than they were; with `shipment_id` they come out of its claim."""

    sku: Sku
    location_id: Id
    quantity: Units
    of: Grade
    to: Grade
    shipment_id: Annotated[str, _text(80)] | None = None
    reason: Reason
    key: DeedKey


class ReturnedIn(_Request):
    """Units of a line that came back; each is numbered within its line, from 1, and comes back once."""

    order_id: Id
    line_no: Annotated[int, Field(strict=True, ge=1, le=10_000)]
    units: Annotated[list[Quantity], Field(min_length=1, max_length=1000)]
    disposition: Disposition
    location_id: Id
    reason: OptionalLine = ""
    key: DeedKey


class CountIn(_Request):
    """A shelf to be counted."""

    count_id: Id
    sku: Sku
    location_id: Id
    reason: Reason


class CountedIn(_Request):
    """What somebody saw, and when."""

    counted: Annotated[int, Field(strict=True, ge=0, le=1_000_000)]
    counted_at: AwareDatetime
    by: Annotated[str, _text(64)] = Field(description="Who counted; a recount is somebody else's.")


class CountDecisionIn(_Request):
    """Whether a large difference is booked, and why."""

    approve: bool
    reason: Reason


class WhyIn(_Request):
    """Why it is stopped or given up."""

    reason: Reason


class TransferIn(_Request):
    """Units to be sent from one location to another."""

    transfer_id: Id
    sku: Sku
    from_location: Id
    to_location: Id
    quantity: Units
    reason: Reason


class ArrivalIn(_Request):
    """Units of a transfer that arrived. `key` makes a repeat harmless."""

    quantity: Units
    key: DeedKey


# --- what goes out ---------------------------------------------------------------------------------------


class ItemOut(BaseModel):
    """Some units of one line."""

    sku: str
    name: str
    quantity: int


class LineOut(ItemOut):
    """A line as ordered, amounts in minor units; `cancelled` units will not come.

    For `substituted` units a line of an equal is sent: it names this one as `instead_of`.
    """

    line_no: int
    unit_price: int
    discount: int
    tax: int
    cancelled: int
    substituted: int = 0
    instead_of: int | None = None


class PromisedDayOut(BaseModel):
    """One day that was promised: who says so, why, and since when; `told_at` is when a message about it was sent."""

    by: date
    source: Source
    reason: str
    at: datetime
    told_at: datetime | None


class PromiseOut(BaseModel):
    """The day the order should arrive by; `changed_from` is the day promised first, if it moved."""

    by: date | None
    changed_from: date | None
    history: list[PromisedDayOut] = Field(
        default=[], description="Every day promised so far, the first one first."
    )


class OfferOut(BaseModel):
    """One carrier's offer as it was weighed. Prices are in minor units.

    `likely` is the chance to arrive in time, `at_least` what our own parcels bear out of it (90 %), `parcels` how many
    those were, counting older ones less, `circle` how far around the lane they were gathered. `expected` is the price with
    what lateness, loss and damage cost on average. `left_out` says why it was not to be chosen.
    """

    carrier: str
    service: str
    price: int
    currency: str
    days: int | None
    arrives: date | None
    in_time: bool
    likely: float | None = None
    at_least: float | None = None
    parcels: float = 0
    circle: str = ""
    expected: int | None = None
    left_out: str = ""
    chosen: bool = False


class DecisionOut(BaseModel):
    """Why a parcel goes with its carrier.

    `tried` is a service of which little is known and that a few parcels try; `dearer` was taken though it costs more than
    what was quoted before allows; `said` is by carriers that made no offer.
    """

    why: str
    promise_date: date | None
    policy_version: str
    tried: bool
    dearer: bool
    said: list[str]
    offers: list[OfferOut]

    @classmethod
    def of(cls, kept: Mapping[str, Any]) -> Self:
        """Return a decision as the API shows it, from how it is kept."""
        options = kept.get("options") or []
        return cls(
            why=kept.get("why", ""),
            promise_date=kept.get("promise_date"),
            policy_version=kept.get("policy_version", ""),
            tried=kept.get("tried", False),
            dearer=kept.get("dearer", False),
            said=kept.get("said", []),
            offers=[OfferOut(**one, chosen=one["quote_id"] == kept["chosen"]) for one in options],
        )


class ParcelOut(BaseModel):
    """One parcel; `carrier_status`, `flags` and `reason` are the carrier's news in our words."""

    id: str
    n: int
    shipment_id: str
    stage: Stage
    carrier: str
    service: str
    tracking_number: str
    carrier_status: CarrierStatus
    flags: list[Flag]
    reason: str
    place: str
    weight_g: int
    expected_on: date | None
    handed_over_at: datetime | None
    delivered_at: datetime | None
    decision: DecisionOut | None
    items: list[ItemOut]

    @classmethod
    def of(cls, view: OrderView, shipment: ShipmentSummary, parcel: ParcelView) -> Self:
        """Return a parcel as the API shows it."""
        return cls(
            id=parcel.parcel_id,
            n=parcel.n,
            shipment_id=shipment.shipment_id,
            stage=shipment.stage,
            carrier=parcel.carrier if parcel.has_label else "",
            service=parcel.service if parcel.has_label else "",
            tracking_number=parcel.tracking_number if parcel.has_label else "",
            carrier_status=parcel.carrier_status,
            flags=list(parcel.flags),
            reason=parcel.reason,
            place=parcel.place,
            weight_g=parcel.weight_g,
            expected_on=parcel.edd_date or view.promise_date,
            handed_over_at=parcel.handed_over_at,
            delivered_at=parcel.delivered_at,
            decision=DecisionOut.of(parcel.decision) if parcel.decision else None,
            items=items(view.order, shipment.units),
        )


class ShipmentOut(BaseModel):
    """The work of one location."""

    id: str
    location_id: str
    stage: Stage
    work_status: WorkStatus
    waits_for: WaitsFor
    ship_by: datetime
    items: list[ItemOut]


class DeclineOut(BaseModel):
    """A declined payment; the bank's own words are never shown."""

    group: DeclineGroup
    text: str
    pay_by: datetime | None


class PaymentOut(BaseModel):
    """Where the money is, in minor units. `next_action` is what the customer can do about it now."""

    status: OrderPayment
    authorized: int
    captured: int
    refunded: int
    decline: DeclineOut | None = None
    next_action: "NextActionOut | None" = None


class NextActionOut(BaseModel):
    """A page to send the customer to: the bank's to confirm, or the provider's to pay another way."""

    type: Literal["confirm", "choose_method"]
    url: str


class HoldOut(BaseModel):
    """A hold that stands. At `due_at`, if nobody acted, `by_default` happens."""

    id: str
    reason: HoldReason
    placed_by: str
    placed_at: datetime
    due_at: datetime
    by_default: str
    note: str


class ShortOut(BaseModel):
    """A line of which not everything is there; `later` units wait for stock, `cancelled` ones never come."""

    sku: str
    asked: int
    got: int
    later: int
    cancelled: int
    expected_on: date | None


Placement = Literal["confirmed", "short", "declined", "received"]


class AddressCheckOut(BaseModel):
    """What the carriers say of where the order goes; `suggestion` is the form in which they know it, if another."""

    verdict: Verdict
    suggestion: AddressIn | None
    said: str

    @classmethod
    def of(cls, answer: AddressAnswer) -> Self:
        """Return an answer as the API shows it."""
        better = answer.suggestion
        suggestion = AddressIn.model_construct(**asdict(better)) if better else None
        return cls(verdict=answer.verdict, suggestion=suggestion, said=answer.said)


class OrderOut(BaseModel):
    """An order as it stands."""

    id: str
    placed: Placement
    stage: Stage
    stage_text: str
    attention: CaseKind | None
    units_by_stage: dict[str, int]
    promise: PromiseOut
    currency: str
    total: int
    payable: int
    lines: list[LineOut]
    shipments: list[ShipmentOut]
    parcels: list[ParcelOut]
    payment: PaymentOut
    short: list[ShortOut]
    holds: list[HoldOut]
    address_check: AddressCheckOut | None
    outcome: str | None
    allowed_actions: list[str]
    tracking_url: str
    workflow_id: str
    created_at: datetime
    request_id: str

    @classmethod
    def of(cls, view: OrderView, *, now: datetime, public_url: str, request_id: str) -> Self:
        """Return an order as the API shows it."""
        order, placed = view.order, cast(Placement, view.placed or "received")
        return cls(
            id=order.order_id,
            placed=placed,
            stage=view.stage,
            stage_text=headline(view, now).sentence,
            attention=view.attention,
            units_by_stage=view.units_by_stage,
            promise=_promise(view),
            currency=order.currency,
            total=order.total,
            payable=view.payable,
            lines=_lines(view),
            shipments=[_shipment(view, shipment) for shipment in view.shipments],
            parcels=[ParcelOut.of(view, s, s.parcel) for s in view.shipments if s.parcel],
            payment=_payment(view),
            short=_short(view) if placed == "short" else [],
            holds=[_hold(hold) for hold in view.holds],
            address_check=AddressCheckOut.of(view.address_answer) if view.address_answer else None,
            outcome=view.outcome,
            allowed_actions=[action for action, why_not in allowed_actions(view).items() if why_not is None],
            tracking_url=tracking_url(public_url, view.tracking_token),
            workflow_id=order_workflow_id(order.order_id),
            created_at=order.placed_at,
            request_id=request_id,
        )


def items(order: Order, units: tuple[UnitRange, ...]) -> list[ItemOut]:
    """Return what some units are, one entry a line."""
    counted: dict[int, int] = {}
    for unit in units:
        counted[unit.line_no] = counted.get(unit.line_no, 0) + unit.count
    lines = ((order.line(line_no), count) for line_no, count in sorted(counted.items()))
    return [ItemOut(sku=line.sku, name=line.name, quantity=count) for line, count in lines]


def _promise(view: OrderView) -> PromiseOut:
    moved = view.promise_first_date != view.promise_date
    return PromiseOut(
        by=view.promise_date,
        changed_from=view.promise_first_date if moved else None,
        history=[_promised_day(promise) for promise in view.promises],
    )


def _promised_day(promise: Promise) -> PromisedDayOut:
    return PromisedDayOut(
        by=promise.day,
        source=promise.source,
        reason=promise.reason,
        at=promise.at,
        told_at=promise.told_at,
    )


def _cancelled(view: OrderView, line_no: int) -> int:
    return sum(unit.count for unit in view.cancelled_units if unit.line_no == line_no)


def _lines(view: OrderView) -> list[LineOut]:
    return [
        LineOut(
            line_no=line.line_no,
            sku=line.sku,
            name=line.name,
            quantity=line.quantity,
            unit_price=line.unit_price,
            discount=line.discount,
            tax=line.tax,
            cancelled=_cancelled(view, line.line_no),
            substituted=sum(one.units.count for one in view.replaced if one.units.line_no == line.line_no),
            instead_of=next(
                (one.units.line_no for one in view.replaced if one.line.line_no == line.line_no), None
            ),
        )
        for line in view.order.lines
    ]


def _shipment(view: OrderView, shipment: ShipmentSummary) -> ShipmentOut:
    return ShipmentOut(
        id=shipment.shipment_id,
        location_id=shipment.location_id,
        stage=shipment.stage,
        work_status=shipment.work_status,
        waits_for=shipment.waits_for,
        ship_by=shipment.ship_by,
        items=items(view.order, shipment.units),
    )


_DECLINE_TEXT: Final = {
    DeclineGroup.RETRY_LATER: "The payment did not go through this time. Try again later or pay another way.",
    DeclineGroup.CHECK_DETAILS: "The payment did not go through. Check the details or pay another way.",
    DeclineGroup.OTHER_METHOD: "The payment did not go through. Choose another way to pay.",
    DeclineGroup.NEVER_AGAIN: "The payment did not go through. Choose another way to pay.",
}


def _payment(view: OrderView) -> PaymentOut:
    money, decline = view.payment, None
    unpaid = money.status in (OrderPayment.DECLINED, OrderPayment.ACTION_REQUIRED)
    if money.decline_group and unpaid:
        due = next((case.due_at for case in view.cases if case.kind is CaseKind.PAYMENT_DECLINED), None)
        group = DeclineGroup(money.decline_group)
        decline = DeclineOut(group=group, text=_DECLINE_TEXT[group], pay_by=due)
    return PaymentOut(
        status=money.status,
        authorized=money.authorized,
        captured=money.captured,
        refunded=money.refunded,
        decline=decline,
        next_action=_next_action(view),
    )


def _next_action(view: OrderView) -> NextActionOut | None:
    money = view.payment
    if money.confirm_url:
        return NextActionOut(type="confirm", url=money.confirm_url)
    if money.other_url and wants_payment(view):
        return NextActionOut(type="choose_method", url=money.other_url)
    return None


def _short(view: OrderView) -> list[ShortOut]:
    found = []
    for line in view.order.lines:
        waiting = [s for s in view.shipments if s.stage is Stage.BACKORDERED]
        later = sum(u.count for s in waiting for u in s.units if u.line_no == line.line_no)
        gone = _cancelled(view, line.line_no)
        if later or gone:
            got = line.quantity - later - gone
            found.append(
                ShortOut(
                    sku=line.sku,
                    asked=line.quantity,
                    got=got,
                    later=later,
                    cancelled=gone,
                    expected_on=view.promise_date if later else None,
                )
            )
    return found


def _hold(hold: Hold) -> HoldOut:
    return HoldOut(
        id=hold.hold_id,
        reason=hold.reason,
        placed_by=hold.placed_by,
        placed_at=hold.placed_at,
        due_at=hold.due_at,
        by_default=hold.default,
        note=hold.note,
    )


class OrderRowOut(BaseModel):
    """One order of a list."""

    id: str
    stage: Stage
    attention: CaseKind | None
    holds: list[str]
    promised_by: date | None
    total: int
    currency: str
    customer_id: str
    created_at: datetime
    placed: str | None

    @classmethod
    def of(cls, row: OrderRow) -> Self:
        """Return a row as the API shows it."""
        return cls(
            id=row.order_id,
            stage=row.stage,
            attention=row.attention,
            holds=list(row.holds),
            promised_by=row.promise_date,
            total=row.total,
            currency=row.currency,
            customer_id=row.customer_id,
            created_at=row.placed_at,
            placed=row.placed,
        )


class OrdersOut(BaseModel):
    """A page of orders, newest first; `next_cursor` is null on the last page."""

    orders: list[OrderRowOut]
    next_cursor: str | None


class ExplanationOut(BaseModel):
    """What the order waits for, in a sentence and in parts; `actions` says of each why it may not be done."""

    order_id: str
    sentence: str
    waits_for: str
    since: datetime | None
    next: str
    who: str | None
    customer_sees: str
    actions: dict[str, str | None]


class EventOut(BaseModel):
    """One thing that happened. `seq` grows within an order; it is the id of the live stream."""

    seq: int
    kind: str
    text: str
    at: datetime

    @classmethod
    def of(cls, event: EventView) -> Self:
        """Return an event as the API shows it."""
        return cls(seq=event.seq, kind=event.kind, text=event.text, at=event.at)


class EventsOut(BaseModel):
    """The order's events, oldest first."""

    events: list[EventOut]


class DidOut(BaseModel):
    """What came of a change: a sentence, which shipments stopped, which had left already, which are new.

    `delta` is what the customer owes more than before (or less, negative), in minor units.
    """

    text: str
    stopped: list[str] = []
    left: list[str] = []
    added: list[str] = []
    delta: int = 0


class ChangedOut(OrderOut):
    """The order after a change."""

    did: DidOut


class UpdateOut(BaseModel):
    """News for whoever holds the tracking link."""

    seq: int
    at: datetime
    text: str


class TrackedParcelOut(BaseModel):
    """A part of the order as the customer sees it."""

    headline: str
    line: str
    stage: Stage
    expected_on: date | None
    was: date | None
    carrier: str
    tracking_number: str
    items: list[ItemOut]


class TrackOut(BaseModel):
    """What the holder of a tracking link may see: no name, no street, no amounts."""

    order_id: str
    stage: Stage
    headline: str
    line: str
    city: str
    promised_by: date | None
    parcels: list[TrackedParcelOut]
    updates: list[UpdateOut]

    @classmethod
    def of(cls, view: OrderView, *, now: datetime) -> Self:
        """Return an order as its tracking link shows it."""
        news = headline(view, now)
        return cls(
            order_id=view.order.order_id,
            stage=view.stage,
            headline=news.text,
            line=news.line,
            city=view.order.ship_to.city,
            promised_by=view.promise_date,
            parcels=[_tracked_parcel(view, shipment, now) for shipment in view.shipments],
            updates=[UpdateOut(seq=e.seq, at=e.at, text=e.text) for e in newest_first(view)],
        )


def newest_first(view: OrderView) -> list[EventView]:
    """Return the order's events, the newest first, without the amounts in them: whoever has the link may read these."""
    told = (replace(event, text=without_amounts(event.text, view.order.currency)) for event in view.events)
    return sorted(told, key=lambda event: -event.seq)


def _tracked_parcel(view: OrderView, shipment: ShipmentSummary, now: datetime) -> TrackedParcelOut:
    news = shipment_headline(view, shipment, now)
    labeled = shipment.parcel if shipment.parcel and shipment.parcel.has_label else None
    return TrackedParcelOut(
        headline=news.text,
        line=news.line,
        stage=shipment.stage,
        expected_on=still_expected_on(view, shipment),
        was=news.was,
        carrier=labeled.carrier if labeled else "",
        tracking_number=labeled.tracking_number if labeled else "",
        items=items(view.order, shipment.units),
    )


class CarrierOut(BaseModel):
    """A carrier. `parcels` of the last 90 days left with it; nine of ten took `slowest_days` working days or fewer."""

    carrier: str
    use: CarrierUse
    paused_at: datetime | None
    paused_by: str
    why: str
    failing_since: datetime | None
    said: str
    parcels: int
    slowest_days: int | None

    @classmethod
    def of(cls, one: Carrier, use: CarrierUse) -> Self:
        """Return a carrier as the API shows it."""
        return cls(
            carrier=one.name,
            use=use,
            paused_at=one.paused_at,
            paused_by=one.paused_by,
            why=one.why,
            failing_since=one.failing_since,
            said=one.said if one.failing_since else "",
            parcels=one.parcels,
            slowest_days=one.slowest_days,
        )
