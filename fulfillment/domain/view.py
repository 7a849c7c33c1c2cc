"""An order as people and programs read it: one shape for the API, the pages, the command line and `explain`."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from fulfillment.domain.address import AddressAnswer
from fulfillment.domain.cases import Case, CaseKind
from fulfillment.domain.errors import UnknownParcel
from fulfillment.domain.holds import Hold, HoldReason
from fulfillment.domain.order import Order, OrderStatus, UnitRange
from fulfillment.domain.payment import OrderPayment
from fulfillment.domain.promise import Promise
from fulfillment.domain.shipment import WaitsFor, WorkStatus
from fulfillment.domain.stage import Stage
from fulfillment.domain.substitution import Instead
from fulfillment.domain.tracking import CarrierStatus, Flag, Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanView:
    """One scan of a parcel, newest first in `ParcelView.scans`.

    `code` is what `provider` calls it, `by` and `why` are those of a person's correction.
    """

    at: datetime
    status: CarrierStatus | None
    text: str
    place: str
    code: str = ""
    provider: str = ""
    is_unknown: bool = False
    standing: Standing = Standing.FOLDED
    by: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParcelView:
    """One parcel; `carrier_status` stands beside the stage and never overwrites it."""

    parcel_id: str
    n: int
    weight_g: int
    carrier_status: CarrierStatus
    flags: tuple[Flag, ...]
    reason: str
    place: str
    carrier: str
    service: str
    tracking_number: str
    label_state: str
    edd_date: date | None
    handed_over_at: datetime | None
    latest_scan_at: datetime | None
    delivered_at: datetime | None
    again_on: date | None = None  # the day on which the customer was told that the carrier comes again
    pick_up_until: datetime | None = None  # how long they were told that it waits at a counter
    decision: Mapping[str, Any] | None = None  # why this carrier, with every offer there was
    scans: tuple[ScanView, ...] = ()

    @property
    def has_label(self) -> bool:
        """Whether it travels, or may travel, under this carrier's number; a label taken back is none."""
        return self.label_state in ("live", "used")


@dataclass(frozen=True, slots=True, kw_only=True)
class ShipmentSummary:
    """One shipment of the order, with its parcel once it is packed."""

    shipment_id: str
    n: int
    location_id: str
    work_status: WorkStatus
    waits_for: WaitsFor
    stage: Stage
    units: tuple[UnitRange, ...]
    value: int
    ship_by: datetime
    outcome: str | None
    parcel: ParcelView | None
    settled: str | None = None  # what the customer got for it instead: reship or refund
    replaces: str | None = None  # the shipment whose goods are sent again with it


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentSummary:
    """The order's money in minor units, summed over its payments.

    `confirm_url` is the bank's page on which the customer confirms, `other_url` the provider's for another way.
    """

    status: OrderPayment
    authorized: int
    captured: int
    refunded: int
    decline_group: str | None = None
    confirm_url: str | None = None
    other_url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventView:
    """One thing that happened to the order, in a sentence."""

    seq: int
    kind: str
    text: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderView:
    """The order as it stands. `payable` is the value of all units not cancelled, in minor units.

    `replaced` are the lines of equals that are sent instead of units, which are not among the cancelled ones.
    """

    order: Order
    status: OrderStatus
    stage: Stage
    attention: CaseKind | None
    placed: str | None
    outcome: str | None
    payable: int
    cancelled_units: tuple[UnitRange, ...]
    shipments: tuple[ShipmentSummary, ...]
    payment: PaymentSummary
    holds: tuple[Hold, ...]
    cases: tuple[Case, ...]
    promise_first_date: date | None
    promise_date: date | None
    tracking_token: str
    confirmed_at: datetime | None
    completed_at: datetime | None
    address_answer: AddressAnswer | None = None  # where it now goes, as the carriers see it
    events: tuple[EventView, ...] = ()
    promises: tuple[Promise, ...] = ()
    replaced: tuple[Instead, ...] = ()
    beside: tuple[Case, ...] = ()  # what is open between us and a carrier, and keeps the order from nothing
    cases_alike: int = (
        0  # how many other orders wait for the reason of the most urgent case, in the same words
    )

    @property
    def waits_for_rest(self) -> bool:
        """Whether only missing stock holds it, and nobody is asked about it: it leaves when all of it is there."""
        asked = any(case.kind is CaseKind.OUT_OF_STOCK for case in self.cases)
        by_policy = all(hold.reason is HoldReason.STOCK and hold.placed_by == "policy" for hold in self.holds)
        return bool(self.holds) and by_policy and not asked

    @property
    def units_by_stage(self) -> dict[str, int]:
        """How many units are at which stage, cancelled ones included."""
        counted: dict[str, int] = {}
        for shipment in self.shipments:
            units = sum(u.count for u in shipment.units)
            counted[shipment.stage] = counted.get(shipment.stage, 0) + units
        if gone := sum(u.count for u in self.cancelled_units):
            counted[Stage.CANCELLED] = counted.get(Stage.CANCELLED, 0) + gone
        return {stage: n for stage, n in counted.items() if n}

    def parcel(self, parcel_id: str) -> ParcelView:
        """Return a parcel of this order.

        Raises:
            UnknownParcel: it has none of that name.
        """
        for shipment in self.shipments:
            if shipment.parcel and shipment.parcel.parcel_id == parcel_id:
                return shipment.parcel
        raise UnknownParcel(self.order.order_id, parcel_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRow:
    """One line of a list of orders."""

    order_id: str
    stage: Stage
    attention: CaseKind | None
    holds: tuple[str, ...]
    promise_date: date | None
    total: int
    currency: str
    customer_id: str
    placed_at: datetime
    placed: str | None
