"""What a payment provider's event says, in our words. It is a hint: only asking the provider is believed."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

from fulfillment.domain.payment import PaymentStatus, RefundSnapshot, RefundStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentHint:
    """News of a payment. `kind` is the provider's name of the event, `reference` its id of the payment.

    `operation` is the key of ours that the provider carries with the payment, for events that come before its
    reference is known here. `status` is None for news that means nothing to us.
    """

    kind: str
    reference: str
    operation: str = ""
    status: PaymentStatus | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundHint:
    """News of a refund of the payment `reference`; `refund` is its own id, `operation` our key of it."""

    kind: str
    reference: str
    refund: str
    status: RefundStatus
    operation: str = ""
    reason: str = ""

    @property
    def snapshot(self) -> RefundSnapshot:
        """What the provider would say if asked."""
        return RefundSnapshot(reference=self.refund, status=self.status, reason=self.reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class DisputeHint:
    """The customer's bank takes money of the payment `reference` back for now, or has decided.

    `amount` is in minor units, `state` the provider's word, `is_over` whether nothing can be answered any more.
    """

    kind: str
    reference: str
    dispute: str
    reason: str
    amount: int
    state: str
    is_over: bool = False
    evidence_due_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewHint:
    """The provider's fraud desk looks at the payment `reference`, or has approved or refused it."""

    kind: str
    reference: str
    is_open: bool
    approved: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FraudWarningHint:
    """The bank of the card says that the payment `reference` was fraud, before anybody disputes it.

    `reason` is the provider's word; `can_be_answered` is over once it is given back or disputed.
    """

    kind: str
    reference: str
    reason: str
    can_be_answered: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodHint:
    """The customer gave another way to pay on the provider's page; `method` is the provider's id of it."""

    kind: str
    reference: str
    order_id: str
    method: str


Hint = PaymentHint | RefundHint | DisputeHint | ReviewHint | FraudWarningHint | MethodHint

_WORDS: Final[Mapping[str, type[Hint]]] = MappingProxyType(
    {
        "payment": PaymentHint,
        "refund": RefundHint,
        "dispute": DisputeHint,
        "review": ReviewHint,
        "fraud_warning": FraudWarningHint,
        "method": MethodHint,
    }
)
_MOMENTS: Final = frozenset({"expires_at", "evidence_due_at"})


def as_json(hint: Hint) -> dict[str, Any]:
    """Return a hint as JSON can keep it."""
    word = next(word for word, kind in _WORDS.items() if isinstance(hint, kind))
    values = {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in asdict(hint).items()
    }
    return {"about": word, **values}


def from_json(kept: Mapping[str, Any]) -> Hint:
    """Return a hint that was kept as JSON."""
    kind = _WORDS[kept["about"]]
    values = {field.name: kept[field.name] for field in fields(kind) if field.name in kept}
    for name in _MOMENTS & values.keys():
        values[name] = datetime.fromisoformat(values[name]) if values[name] else None
    if values.get("status"):
        values["status"] = (RefundStatus if kind is RefundHint else PaymentStatus)(values["status"])
    return kind(**values)
