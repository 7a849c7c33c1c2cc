"""The bank and the carrier of a run: each keeps a ledger of its own, and may fail at any call."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Engine

from fulfillment.domain.address import Address, AddressAnswer, Verdict
from fulfillment.domain.carrier_choice import Quote
from fulfillment.domain.invariants.facts import Effect, LedgerLabel, LedgerPayment
from fulfillment.domain.label import Label, LabelDocument, LabelJob, Quoted
from fulfillment.domain.money import Money
from fulfillment.domain.payment import (
    Declined,
    DeclineGroup,
    PaymentSnapshot,
    PaymentStatus,
    RefundSnapshot,
    RefundStatus,
)
from fulfillment.domain.payment_news import Hint, PaymentHint, RefundHint
from fulfillment.domain.provider_errors import (
    FailureStored,
    OutcomeUnknown,
    ProviderUnavailable,
    Rejected,
    StateConflict,
)
from fulfillment.domain.tracking import Scan
from tests.storage.bank import Bank

_S = PaymentStatus
_STATE_THERE = {
    _S.ACTION_REQUIRED: "requires_action",
    _S.AUTHORIZED: "requires_capture",
    _S.CAPTURED: "succeeded",
    _S.VOIDED: "canceled",
    _S.EXPIRED: "canceled",
    _S.DECLINED: "requires_payment_method",
}
_AUTHORIZATION_LIFE = timedelta(days=7)
_KEYS_KEPT = timedelta(hours=24)
# What the bank says to each way to pay.
NO = {
    "pm_later": DeclineGroup.RETRY_LATER,
    "pm_poor": DeclineGroup.OTHER_METHOD,
    "pm_stolen": DeclineGroup.NEVER_AGAIN,
}
ASKS, RISKY, FRAUD, GOOD = "pm_3ds", "pm_risky", "pm_fraud", "pm_card_visa"
_RISK = {RISKY: 80, FRAUD: 97}


class Trouble(StrEnum):
    """What goes wrong with one call."""

    REPLY_LOST = "the reply is lost after the deed"
    LOST_BEFORE = "the request is lost before the deed"
    STORED = "an error is kept under the key"
    AWAY = "nobody answers"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A webhook of the bank; it may be delivered early, late, often or never."""

    event_id: str
    hint: Hint


class Provider(Bank):
    """A bank that forgets keys after a day, refuses a key with other parameters, and sends events of all it does.

    `trouble` befalls the next change that is asked of it. `meanwhile` happens between that change and its answer.
    """

    def __init__(self, engine: Engine, now: Callable[[], datetime]) -> None:
        super().__init__(engine)
        self._now = now
        self.trouble: Trouble | None = None
        self.meanwhile: Callable[[], None] | None = None
        self.events: list[Event] = []
        self.order_of: dict[str, str] = {}
        self._effects: dict[str, list[Effect]] = {}
        self._first_seen: dict[str, datetime] = {}
        self._asked: dict[str, object] = {}
        self._stored: set[str] = set()
        self._now_doing = ("", "")

    # --- what is asked of it --------------------------------------------------------------------------

    def authorize(
        self, amount: Money, *, method: str, key: str, operation: str, order_id: str, several: bool
    ) -> PaymentSnapshot:
        self.declines = Declined(NO[method], method) if method in NO else None
        self.authorizes = lambda plain: self._first_answer(plain, method)
        self._same_as_before(key, (amount, method))
        snapshot = super().authorize(
            amount, method=method, key=key, operation=operation, order_id=order_id, several=several
        )
        self.order_of[snapshot.reference] = order_id
        return snapshot

    def capture(self, reference: str, amount: Money, *, key: str, final: bool) -> PaymentSnapshot:
        self._same_as_before(key, (reference, amount))
        return super().capture(reference, amount, key=key, final=final)

    def refund(self, reference: str, amount: Money, *, key: str, operation: str) -> RefundSnapshot:
        self._same_as_before(key, (reference, amount))
        return super().refund(reference, amount, key=key, operation=operation)

    # --- what happens there without us ------------------------------------------------------------------

    def becomes(self, reference: str, status: PaymentStatus, **changes: Any) -> None:
        """Let the customer or time do something to a payment."""
        self._now_doing = ("", "")
        self._becomes(reference, status=status, **changes)
        if status is _S.AUTHORIZED:
            self._effects[reference].append(
                Effect(kind="authorize", key="", amount=self.intents[reference].snapshot.authorized)
            )

    def time_passed(self) -> None:
        """Let authorizations run out and keys be forgotten."""
        for reference, intent in self.intents.items():
            until = intent.snapshot.expires_at
            if intent.snapshot.status is _S.AUTHORIZED and until and until <= self._now():
                self.becomes(reference, _S.CAPTURED if intent.snapshot.captured else _S.EXPIRED)
        for key, seen in list(self._first_seen.items()):
            if seen <= self._now() - _KEYS_KEPT:
                self._first_seen.pop(key)
                self.answers.pop(key, None)
                self._asked.pop(key, None)
                self._stored.discard(key)

    def refunds(self, status: RefundStatus) -> list[tuple[str, str]]:
        """Return the refunds that stand so, as payment and operation."""
        return [
            (reference, operation)
            for reference, intent in self.intents.items()
            for operation, refund in intent.refunds.items()
            if refund.status is status
        ]

    def refund_ends(self, reference: str, operation: str, status: RefundStatus) -> None:
        """Let a refund succeed, or fail even after it had succeeded."""
        intent = self.intents[reference]
        said = replace(intent.refunds[operation], status=status)
        intent.refunds[operation] = said
        if status is RefundStatus.FAILED:
            effects = self._effects[reference]
            (made,) = (e for e in effects if e.kind == "refund" and e.operation_key == operation)
            effects.remove(made)
            intent.snapshot = replace(intent.snapshot, refunded=intent.snapshot.refunded - made.amount)
        self._say(
            RefundHint(
                kind="refund.updated",
                reference=reference,
                refund=said.reference,
                status=status,
                operation=operation,
                reason="the account is closed" if status is RefundStatus.FAILED else "",
            )
        )

    def ledger(self) -> tuple[LedgerPayment, ...]:
        """Return its own record."""
        return tuple(
            LedgerPayment(
                ref=reference,
                order_id=self.order_of[reference],
                state=_STATE_THERE[intent.snapshot.status],
                authorized=intent.snapshot.authorized if self._was_reserved(reference) else 0,
                captured=intent.snapshot.captured,
                refunded=intent.snapshot.refunded,
                effects=tuple(self._effects[reference]),
            )
            for reference, intent in self.intents.items()
        )

    # --- how -------------------------------------------------------------------------------------------

    def _first_answer(self, plain: PaymentSnapshot, method: str) -> PaymentSnapshot:
        until = self._now() + _AUTHORIZATION_LIFE
        status = _S.ACTION_REQUIRED if method == ASKS else _S.AUTHORIZED
        link = "https://bank.example/confirm" if method == ASKS else None
        return replace(
            plain, status=status, expires_at=until, risk_score=_RISK.get(method), next_action_url=link
        )

    def _same_as_before(self, key: str, asked: object) -> None:
        self.time_passed()
        if self._asked.get(key, asked) != asked:
            raise Rejected(f"the key {key} was used with other parameters", code="idempotency_error")
        if self.trouble not in (Trouble.LOST_BEFORE, Trouble.AWAY):
            self._asked[key] = asked
            self._first_seen.setdefault(key, self._now())

    def _called(self, call: str, key: str) -> None:
        super()._called(call, key)
        self.time_passed()
        if self.trouble is Trouble.AWAY:
            self.trouble = None
            raise ProviderUnavailable("the bank is away")
        if call not in ("authorize", "capture", "void", "refund"):
            return
        self._now_doing = (call, key)
        if self.trouble is Trouble.LOST_BEFORE:
            self.trouble = None
            raise OutcomeUnknown(f"{call} did not arrive")
        if self.trouble is Trouble.STORED and key not in self.answers:
            self.trouble = None
            self._stored.add(key)
            self._first_seen.setdefault(key, self._now())
        if key in self._stored:
            raise FailureStored(f"{call} failed, and the failure is kept")

    def _becomes(self, reference: str, **changes: Any) -> None:
        before = self.intents[reference].snapshot
        super()._becomes(reference, **changes)
        now, (call, key) = self.intents[reference].snapshot, self._now_doing
        amount = {
            "capture": now.captured - before.captured,
            "void": now.authorized - now.captured,
            "refund": now.refunded - before.refunded,
        }
        if call in amount:
            self._effects[reference].append(Effect(kind=call, key=key, amount=amount[call]))
        if call != "refund":
            self._say_payment(reference)

    def _answer(self, call: str, key: str) -> Any:
        self._note_what_is_new(call, key)
        self._now_doing = ("", "")
        if self.meanwhile:
            meanwhile, self.meanwhile = self.meanwhile, None
            meanwhile()
        if self.trouble is Trouble.REPLY_LOST:
            self.trouble = None
            raise OutcomeUnknown(f"the answer to {call} is lost")
        return self.answers[key]

    def _note_what_is_new(self, call: str, key: str) -> None:
        said = self.answers[key]
        if call == "authorize" and said.reference not in self._effects:
            self._effects[said.reference] = []
            self.order_of[said.reference] = self.intents[said.reference].operation.partition(":")[0]
            if said.status is _S.AUTHORIZED:
                effect = Effect(kind="authorize", key=key, amount=said.authorized)
                self._effects[said.reference].append(effect)
            self._say_payment(said.reference)

    def _was_reserved(self, reference: str) -> bool:
        return any(effect.kind == "authorize" for effect in self._effects[reference])

    def _say_payment(self, reference: str) -> None:
        intent = self.intents[reference]
        self._say(
            PaymentHint(
                kind=f"payment_intent.{_STATE_THERE[intent.snapshot.status]}",
                reference=reference,
                operation=intent.operation,
                status=intent.snapshot.status,
                expires_at=intent.snapshot.expires_at,
            )
        )

    def _say(self, hint: Hint) -> None:
        self.events.append(Event(event_id=f"evt_{len(self.events) + 1}", hint=hint))

    def say(self, hint: Hint) -> None:
        """Send an event that is about no change of a payment, such as a dispute."""
        self._say(hint)


@dataclass
class Printed:
    """A label at the carrier."""

    reference: str
    label: Label
    is_void: bool = False


class Post:
    """A carrier that prints each shipment once. `loses` says that the answer to the next purchase is lost."""

    def __init__(self) -> None:
        self.printed: dict[str, Printed] = {}
        self.loses = False
        self._jobs: dict[str, str] = {}

    def check_address(self, address: Address) -> AddressAnswer:
        return AddressAnswer(verdict=Verdict.DELIVERABLE)

    def document(self, label: Label) -> LabelDocument:
        return LabelDocument.of(f"^XA^FD{label.tracking_number}^FS^XZ".encode())

    def quote(self, job: LabelJob) -> Quoted:
        reference = job.reference or f"shp_{len(self._jobs) + 1}"
        self._jobs[reference] = job.key
        ground = Quote(
            quote_id=f"rate_{reference}", carrier="UPS", service="Ground", price=799, currency="USD", days=3
        )
        return Quoted(reference=reference, quotes=(ground,))

    def buy(self, reference: str, quote: Quote) -> Label:
        if reference in self.printed:
            raise StateConflict(f"{reference} is bought already")
        label = Label(
            carrier=quote.carrier,
            service=quote.service,
            tracking_number=f"1Z{len(self.printed) + 1:06}",
            cost=quote.price,
            currency=quote.currency,
            label_url="https://labels.example/1.pdf",
        )
        self.printed[reference] = Printed(self._jobs[reference], label)
        if self.loses:
            self.loses = False
            raise OutcomeUnknown("the label was printed, and its answer is lost")
        return label

    def bought(self, reference: str) -> Label | None:
        return self.printed[reference].label if reference in self.printed else None

    def void(self, reference: str) -> None:
        self.printed[reference].is_void = True

    def is_void(self, reference: str) -> bool:
        return self.printed[reference].is_void

    def track(self, carrier: str, tracking_number: str) -> tuple[tuple[Scan, ...], date | None]:
        return (), None

    def ledger(self) -> tuple[LedgerLabel, ...]:
        """Return its own record."""
        return tuple(
            LedgerLabel(
                ref=reference,
                reference=there.reference,
                tracking_number=there.label.tracking_number,
                cost=there.label.cost,
                state="refunded" if there.is_void else "purchased",
            )
            for reference, there in self.printed.items()
        )
