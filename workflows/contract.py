"""All an outsider needs to talk to the workflows: names, ids, queues, what goes in and what comes out."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Final

from temporalio.common import SearchAttributeKey, WorkflowIDReusePolicy

from fulfillment.domain.clock import ShopClock
from fulfillment.domain.inventory import ShortLine
from fulfillment.domain.order import Outcome
from fulfillment.domain.policy import Policy

ORDER: Final = "Order"
REPLENISHMENT: Final = "Replenishment"
RECONCILIATION: Final = "Reconciliation"
REFUND: Final = "Refund"
SCAN_FORM: Final = "ScanForm"

ORDERS_QUEUE: Final = "orders"
PAYMENTS_QUEUE: Final = "payments-stripe"
CARRIERS_QUEUE: Final = "carriers-easypost"

# The id of an order is used once: the same order placed again finds its workflow, even a closed one.
ONCE: Final = WorkflowIDReusePolicy.REJECT_DUPLICATE
# One that goes on after its end has a run more, under the same number. Two beside each other it never has.
ONCE_MORE: Final = WorkflowIDReusePolicy.ALLOW_DUPLICATE

# After a crash in the middle of a database step its order stands this long; the server's own default is ten seconds.
TASK_TIMEOUT: Final = timedelta(seconds=5)

PLACE: Final = "place"  # also the id of that update: placing twice is placing once

# Facts that the doors and the floor tell an order (`storage.signals` rows carry these names).
PACKED: Final = "packed"
HANDED_OVER: Final = "handed_over"
MILESTONE: Final = "milestone"
STOCK_FILLED: Final = "stock_filled"
OVERDUE: Final = "overdue"
REPLANNED: Final = "replanned"
PAYMENT_NEWS: Final = "payment_news"

# Verbs of support: updates, and tolerant signals of the same name for people in the Temporal UI.
CANCEL: Final = "cancel"
HOLD: Final = "hold"
RELEASE: Final = "release"
RETRY_PAYMENT: Final = "retry_payment"
CHANGE_ITEMS: Final = "change_items"
CHANGE_ADDRESS: Final = "change_address"
CHANGE_SERVICE: Final = "change_service"
ANSWER_SHORTAGE: Final = "answer_shortage"
ANSWER_CASE: Final = "answer_case"

STAGE: Final = SearchAttributeKey.for_keyword("Stage")
ATTENTION: Final = SearchAttributeKey.for_keyword("Attention")
ORDER_ID: Final = SearchAttributeKey.for_keyword("OrderId")
CUSTOMER: Final = SearchAttributeKey.for_keyword("Customer")
CHANNEL: Final = SearchAttributeKey.for_keyword("Channel")
CARRIER: Final = SearchAttributeKey.for_keyword("Carrier")
LOCATION: Final = SearchAttributeKey.for_keyword_list("Location")
HOLDS: Final = SearchAttributeKey.for_keyword_list("Holds")
TRACKING: Final = SearchAttributeKey.for_keyword_list("Tracking")
PROMISED: Final = SearchAttributeKey.for_datetime("Promised")
EDD: Final = SearchAttributeKey.for_datetime("Edd")
VALUE: Final = SearchAttributeKey.for_float("Value")


def order_workflow_id(order_id: str) -> str:
    """Return the workflow id of an order: the number people read on the slip is in it."""
    return f"order-{order_id}"


def refund_workflow_id(refund_id: str) -> str:
    """Return the workflow id of a refund."""
    return f"refund-{refund_id}"


def scan_form_workflow_id(form_id: str) -> str:
    """Return the workflow id of a scan form."""
    return f"scan-form-{form_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderStart:
    """What an order's workflow starts with. Nothing personal: that stays in the database."""

    order_id: str
    currency: str
    total: int
    policy: Policy
    clock: ShopClock
    goes_on: bool = False  # it had ended, and something came up: the books say how far it is


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconciliationStart:
    """What a sweep needs to start an order that was missed."""

    policy: Policy
    clock: ShopClock


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundStart:
    """What paying a refund starts with."""

    refund_id: str
    clock: ShopClock


class Placed(StrEnum):
    """What `place` answers."""

    CONFIRMED = "confirmed"
    SHORT = "short"
    DECLINED = "declined"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceAnswer:
    """What came of placing. A business no is an answer, not an error."""

    placed: Placed
    promise_date: date | None = None
    decline_group: str | None = None
    next_action_url: str | None = None
    short: tuple[ShortLine, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class VerbAnswer:
    """What came of a verb: a sentence, and which shipments stopped, had left, or were added.

    `delta` is what the customer owes more than before (or less, negative), in minor units.
    """

    text: str
    stopped: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    delta: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderResult:
    """How the order ended, readable in the Temporal UI."""

    order_id: str
    outcome: Outcome
    delivered_at: datetime | None
    parcels: tuple[str, ...]
    refunds: tuple[str, ...]
    note: str = ""
