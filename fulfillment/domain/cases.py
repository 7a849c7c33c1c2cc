"""Cases: something went wrong, and who does what about it until when."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from fulfillment.domain.errors import FulfillmentError


class CaseKind(StrEnum):
    """What went wrong."""

    PAYMENT_DECLINED = "payment_declined"
    AUTHORIZATION_EXPIRING = "authorization_expiring"
    FRAUD_REVIEW = "fraud_review"
    ON_HOLD = "on_hold"
    CAPTURE_FAILED = "capture_failed"
    OPERATION_UNKNOWN = "operation_unknown"
    REFUND_FAILED = "refund_failed"
    DISPUTE = "dispute"
    UNMATCHED_EVENT = "unmatched_event"
    OUT_OF_STOCK = "out_of_stock"
    SHORT_PICK = "short_pick"
    DAMAGED_PICK = "damaged_pick"
    STOCK_DRIFT = "stock_drift"
    RECEIPT_LATE = "receipt_late"
    CARRIER_DOWN = "carrier_down"
    LABEL_REFUSED = "label_refused"
    RATE_EXPIRED = "rate_expired"
    WAREHOUSE_LATE = "warehouse_late"
    NO_FIRST_SCAN = "no_first_scan"
    NO_SCAN = "no_scan"
    DELAYED = "delayed"
    FAILED_ATTEMPT = "failed_attempt"
    LAST_ATTEMPT = (
        "last_attempt"  # the carrier came as often as it does: it waits at a counter, or comes back
    )
    PICKUP_WAITING = "pickup_waiting"
    ADDRESS_PROBLEM = "address_problem"
    REFUSED = "refused"
    CUSTOMS = "customs"
    DAMAGED = "damaged"
    RETURN_TO_SENDER = "return_to_sender"
    CARRIER_PROBLEM = "carrier_problem"
    LEFT_UNRECORDED = "left_unrecorded"  # the carrier has goods of which our books say that they are here
    LOST = "lost"
    NOT_RECEIVED = "not_received"  # the customer says so of what the carrier calls delivered
    CARRIER_CLAIM = "carrier_claim"  # the carrier owes us for what it lost or broke
    CARRIER_TRACE = "carrier_trace"  # the carrier is to look for a parcel
    CUSTOMER_UNREACHABLE = "customer_unreachable"  # what must be told arrives on no channel
    WEBHOOK_FAILING = "webhook_failing"  # the storefront's endpoint takes none of its events
    BAD_SIGNAL = "bad_signal"
    STUCK = "stuck"


class CaseState(StrEnum):
    """Where a case stands."""

    WAITING = "waiting"
    ESCALATED = "escalated"
    RESOLVED = "resolved"


class Owner(StrEnum):
    """Who must act if the default does not help."""

    CUSTOMER = "customer"
    SUPPORT = "support"
    WAREHOUSE = "warehouse"
    OPS = "ops"
    SYSTEM = "system"


_K = CaseKind
# 1: money or stock at risk now; 2: the order cannot go on without an answer; 3: the rest.
SEVERITY: Final[Mapping[CaseKind, int]] = MappingProxyType(
    dict.fromkeys(CaseKind, 3)
    | dict.fromkeys(
        (
            _K.CAPTURE_FAILED,
            _K.OPERATION_UNKNOWN,
            _K.REFUND_FAILED,
            _K.DISPUTE,
            _K.STOCK_DRIFT,
            _K.STUCK,
            _K.LEFT_UNRECORDED,
        ),
        1,
    )
    | dict.fromkeys(
        (
            _K.PAYMENT_DECLINED,
            _K.AUTHORIZATION_EXPIRING,
            _K.FRAUD_REVIEW,
            _K.OUT_OF_STOCK,
            _K.LABEL_REFUSED,
            _K.ADDRESS_PROBLEM,
            _K.LAST_ATTEMPT,
            _K.LOST,
            _K.DAMAGED,
            _K.RETURN_TO_SENDER,
            _K.REFUSED,
            _K.CUSTOMS,
            _K.NOT_RECEIVED,
            _K.BAD_SIGNAL,
        ),
        2,
    )
)
OWNER: Final[Mapping[CaseKind, Owner]] = MappingProxyType(
    {
        _K.PAYMENT_DECLINED: Owner.CUSTOMER,
        _K.AUTHORIZATION_EXPIRING: Owner.SYSTEM,
        _K.FRAUD_REVIEW: Owner.SUPPORT,
        _K.ON_HOLD: Owner.SUPPORT,
        _K.CAPTURE_FAILED: Owner.SUPPORT,
        _K.OPERATION_UNKNOWN: Owner.OPS,
        _K.REFUND_FAILED: Owner.SUPPORT,
        _K.DISPUTE: Owner.SUPPORT,
        _K.UNMATCHED_EVENT: Owner.OPS,
        _K.OUT_OF_STOCK: Owner.CUSTOMER,
        _K.SHORT_PICK: Owner.WAREHOUSE,
        _K.DAMAGED_PICK: Owner.WAREHOUSE,
        _K.STOCK_DRIFT: Owner.OPS,
        _K.RECEIPT_LATE: Owner.OPS,
        _K.CARRIER_DOWN: Owner.OPS,
        _K.LABEL_REFUSED: Owner.SUPPORT,
        _K.RATE_EXPIRED: Owner.SYSTEM,
        _K.WAREHOUSE_LATE: Owner.WAREHOUSE,
        _K.NO_FIRST_SCAN: Owner.WAREHOUSE,
        _K.NO_SCAN: Owner.SYSTEM,
        _K.DELAYED: Owner.SYSTEM,
        _K.FAILED_ATTEMPT: Owner.CUSTOMER,
        _K.LAST_ATTEMPT: Owner.SUPPORT,
        _K.PICKUP_WAITING: Owner.CUSTOMER,
        _K.ADDRESS_PROBLEM: Owner.CUSTOMER,
        _K.REFUSED: Owner.SUPPORT,
        _K.CUSTOMS: Owner.SUPPORT,
        _K.DAMAGED: Owner.SYSTEM,
        _K.RETURN_TO_SENDER: Owner.CUSTOMER,
        _K.CARRIER_PROBLEM: Owner.SUPPORT,
        _K.LEFT_UNRECORDED: Owner.SUPPORT,
        _K.LOST: Owner.SYSTEM,
        _K.NOT_RECEIVED: Owner.SUPPORT,
        _K.CARRIER_CLAIM: Owner.SUPPORT,
        _K.CARRIER_TRACE: Owner.SUPPORT,
        _K.CUSTOMER_UNREACHABLE: Owner.SUPPORT,
        _K.WEBHOOK_FAILING: Owner.OPS,
        _K.BAD_SIGNAL: Owner.SUPPORT,
        _K.STUCK: Owner.OPS,
    }
)


# Between us and a carrier: no order waits for it or hears of it, and none is in trouble by it.
BESIDE_THE_ORDER: Final = frozenset({_K.CARRIER_CLAIM, _K.CARRIER_TRACE})
# Trouble with money that is no better when the order is over.
OUTLIVES_ORDER: Final = frozenset({_K.DISPUTE, _K.REFUND_FAILED, *BESIDE_THE_ORDER})


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One open case. `case_id` names its subject and kind, so a second detection joins the first."""

    case_id: str
    kind: CaseKind
    subject: str
    opened_at: datetime
    due_at: datetime
    note: str = ""
    called: Owner | None = None  # who must act since it escalated

    @property
    def owner(self) -> Owner:
        """Who must act."""
        return self.called or OWNER[self.kind]


class NoSuchCase(FulfillmentError):
    """The order never had such a case."""

    def __init__(self, order_id: str, kind: CaseKind) -> None:
        super().__init__(f"{order_id} never had a case {kind}")


class CaseRefused(FulfillmentError):
    """The case cannot be answered or resolved so; the message says why, and what can be done instead."""


def case_id(subject: str, kind: CaseKind, n: int = 1) -> str:
    """Return the id of the n-th case of this kind about an order, shipment or parcel."""
    return f"{subject}:{kind}:{n}"


def attention(cases: Iterable[Case]) -> CaseKind | None:
    """Return the kind of the most urgent open case; None when all is well."""
    urgent = most_urgent(cases)
    return urgent.kind if urgent else None


def most_urgent(cases: Iterable[Case]) -> Case | None:
    """Return the most urgent case, None when there is none."""
    return min(cases, key=lambda c: (SEVERITY[c.kind], c.due_at, c.case_id), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenCase:
    """An open case of an order."""

    order_id: str
    case: Case


@dataclass(frozen=True, slots=True, kw_only=True)
class CasesAlike:
    """Cases of one kind with the same words, the one that is due first at the head."""

    kind: CaseKind
    note: str
    cases: tuple[OpenCase, ...]

    @property
    def first_due_at(self) -> datetime:
        """When the first of them is due."""
        return min(one.case.due_at for one in self.cases)


def alike(cases: Iterable[OpenCase]) -> tuple[CasesAlike, ...]:
    """Return open cases by kind and note, the most urgent kind and the largest group first."""
    groups: dict[tuple[CaseKind, str], list[OpenCase]] = {}
    for one in sorted(cases, key=lambda one: (one.case.due_at, one.case.case_id)):
        groups.setdefault((one.case.kind, one.case.note), []).append(one)
    found = [CasesAlike(kind=kind, note=note, cases=tuple(those)) for (kind, note), those in groups.items()]
    return tuple(sorted(found, key=lambda group: (SEVERITY[group.kind], -len(group.cases), group.note)))
