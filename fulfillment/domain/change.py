"""Changing an order that stands: fewer units, more, another address, another service."""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from fulfillment.domain.cases import Case
from fulfillment.domain.errors import FulfillmentError
from fulfillment.domain.holds import Hold
from fulfillment.domain.reservation import PlannedShipment


class ChangeKind(StrEnum):
    """What was changed."""

    CANCEL_UNITS = "cancel_units"
    ADD_LINES = "add_lines"
    ADDRESS = "address"
    SERVICE = "service"
    SUBSTITUTE = "substitute"


class ChangeState(StrEnum):
    """What became of a change. What was refused left no trace."""

    CONFIRMED = "confirmed"
    UNDONE = "undone"


class ChangeRefused(FulfillmentError):
    """The change may not be made any more; the message says why, until when it could, and what to do instead."""


def change_id(order_id: str, n: int) -> str:
    """Return the id of an order's n-th change, for example `SO-10483-C1`."""
    return f"{order_id}-C{n}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LineQuantity:
    """How many units of one line."""

    line_no: int
    quantity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NewLine:
    """A line to add; `unit_price` in minor units, None for the catalogue's price."""

    sku: str
    quantity: int
    unit_price: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelUnits:
    """Take units off the order that have not left."""

    order_id: str
    lines: tuple[LineQuantity, ...]
    reason: str
    by: str
    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AddLines:
    """Add lines: their stock is claimed and their shipments planned; the money is asked for afterwards."""

    order_id: str
    lines: tuple[NewLine, ...]
    by: str
    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Substitute:
    """Send listed equals for the units that wait for stock, as the customer agreed."""

    order_id: str
    by: str
    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UndoChange:
    """Take back what one change added, because it was not paid."""

    order_id: str
    change_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeAddress:
    """Send what has not left to the address that was left in the books under this request's id.

    The address itself stays in the database: what a workflow is told is kept in its history.
    """

    order_id: str
    by: str
    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeService:
    """Send what has not left by another service; `fee` (minor units) is what the customer pays on top."""

    order_id: str
    service: str
    fee: int
    by: str
    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShipmentState:
    """A shipment as the books have it now, for the workflow to go on from."""

    plan: PlannedShipment
    work_status: str
    covered: bool  # money for all of its value is held or taken
    expires_at: datetime | None = None  # when the first of what is held for it runs out
    parcel_id: str | None = None
    outcome: str | None = None
    settled: str | None = None  # what the customer got for it instead
    carrier: str = ""
    tracking_number: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LineState:
    """A line with the units that are not cancelled; `unit_price` in minor units."""

    line_no: int
    sku: str
    quantity: int
    unit_price: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderState:
    """The order as the books have it now. `attempts` is the number of the latest payment that was tried."""

    order_id: str
    shipments: tuple[ShipmentState, ...]
    lines: tuple[LineState, ...] = ()
    holds: tuple[Hold, ...] = ()
    promise_date: date | None = None
    cases: tuple[Case, ...] = ()
    outcome: str | None = None  # how it ended, once it has
    attempts: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """What a change came to. `delta` is what the customer owes more (or less, negative), in minor units.

    `added` are new shipments that wait for money or stock, `stopped` those that lost their last unit, `reworked`
    those on the floor that go back a step: their label, if they have one, must be voided.
    """

    change_id: str
    text: str
    delta: int
    state: OrderState
    added: tuple[str, ...] = ()
    stopped: tuple[str, ...] = ()
    reworked: tuple[str, ...] = ()
