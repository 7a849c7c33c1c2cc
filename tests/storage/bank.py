"""A payment provider in memory, as strict as a real one: it keeps keys, and refuses to be called under a lock."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from sqlalchemy import Engine, text

from fulfillment.domain.money import Money
from fulfillment.domain.payment import (
    Declined,
    PaymentSnapshot,
    PaymentStatus,
    RefundSnapshot,
    RefundStatus,
)
from fulfillment.domain.provider_errors import OutcomeUnknown, Rejected, StateConflict

_S = PaymentStatus


@dataclass
class Intent:
    """One payment at the bank."""

    snapshot: PaymentSnapshot
    operation: str
    refunds: dict[str, RefundSnapshot] = field(default_factory=dict)


class Bank:
    """Says yes to everything, once per key, unless a test says otherwise.

    `loses` names the calls whose answer is lost after the deed, each once. `authorizes` changes what it says of
    a new payment; `refunds_are` is how its refunds stand.
    """

    key_life = timedelta(hours=23)
    multicapture = True

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.intents: dict[str, Intent] = {}
        self.answers: dict[str, Any] = {}
        self.calls: list[str] = []
        self.loses: set[str] = set()
        self.authorizes: Callable[[PaymentSnapshot], PaymentSnapshot] = lambda snapshot: snapshot
        self.declines: Declined | None = None
        self.refunds_are = RefundStatus.SUCCEEDED
        self.refuses_refunds_of: set[str] = set()

    def authorize(
        self, amount: Money, *, method: str, key: str, operation: str, order_id: str, several: bool
    ) -> PaymentSnapshot:
        self._called("authorize", key)
        if self.declines is not None:
            raise self.declines
        if key not in self.answers:
            reference = f"pi_{len(self.intents) + 1}"
            plain = PaymentSnapshot(
                reference=reference,
                status=_S.AUTHORIZED,
                authorized=amount.minor,
                captured=0,
                refunded=0,
                multicapture=several and self.multicapture,
            )
            self.intents[reference] = Intent(self.authorizes(plain), operation)
            self.answers[key] = self.intents[reference].snapshot
        answer: PaymentSnapshot = self._answer("authorize", key)
        return answer

    def capture(self, reference: str, amount: Money, *, key: str, final: bool) -> PaymentSnapshot:
        self._called("capture", key)
        if key not in self.answers:
            now = self.intents[reference].snapshot
            if now.status is not _S.AUTHORIZED or now.captured + amount.minor > now.authorized:
                raise StateConflict(f"{reference} is {now.status}")
            assert final or now.multicapture
            captured = now.captured + amount.minor
            over = final or captured == now.authorized
            self._becomes(reference, status=_S.CAPTURED if over else _S.AUTHORIZED, captured=captured)
            self.answers[key] = self.intents[reference].snapshot
        answer: PaymentSnapshot = self._answer("capture", key)
        return answer

    def void(self, reference: str, *, key: str) -> PaymentSnapshot:
        self._called("void", key)
        if key not in self.answers:
            now = self.intents[reference].snapshot
            if now.status not in (_S.AUTHORIZED, _S.ACTION_REQUIRED, _S.AUTHORIZING):
                raise StateConflict(f"{reference} is {now.status}")
            self._becomes(reference, status=_S.CAPTURED if now.captured else _S.VOIDED)
            self.answers[key] = self.intents[reference].snapshot
        answer: PaymentSnapshot = self._answer("void", key)
        return answer

    def refund(self, reference: str, amount: Money, *, key: str, operation: str) -> RefundSnapshot:
        self._called("refund", key)
        if reference in self.refuses_refunds_of:
            raise Rejected("the card is closed", code="expired_or_canceled_card")
        if key not in self.answers:
            now = self.intents[reference]
            assert now.snapshot.refunded + amount.minor <= now.snapshot.captured
            said = RefundSnapshot(reference=f"re_{len(self.answers)}", status=self.refunds_are)
            now.refunds[operation] = said
            self._becomes(reference, refunded=now.snapshot.refunded + amount.minor)
            self.answers[key] = said
        answer: RefundSnapshot = self._answer("refund", key)
        return answer

    def ask(self, reference: str) -> PaymentSnapshot:
        self._called("ask", reference)
        return self.intents[reference].snapshot

    def find(self, operation: str) -> PaymentSnapshot | None:
        self._called("find", operation)
        made = [intent.snapshot for intent in self.intents.values() if intent.operation == operation]
        return made[-1] if made else None

    def find_refund(self, reference: str, operation: str) -> RefundSnapshot | None:
        self._called("find_refund", operation)
        return self.intents[reference].refunds.get(operation)

    def method_link(self, order_id: str, *, return_url: str, key: str) -> str:
        self._called("method_link", key)
        return f"https://pay.example/{key}?back={return_url}"

    def becomes(self, reference: str, status: PaymentStatus, **changes: int) -> None:
        """Let something happen at the bank without us, such as a customer who confirms."""
        self._becomes(reference, status=status, **changes)

    @property
    def kept(self) -> int:
        """What the bank took and did not give back."""
        return sum(i.snapshot.captured - i.snapshot.refunded for i in self.intents.values())

    def _becomes(self, reference: str, **changes: Any) -> None:
        intent = self.intents[reference]
        intent.snapshot = replace(intent.snapshot, **changes)

    def _called(self, call: str, key: str) -> None:
        """Note the call. Nobody may hold a lock or a connection of ours while a provider takes its time."""
        self.calls.append(f"{call} {key}")
        with self._engine.connect() as conn:
            idle = "state LIKE 'idle in transaction%' AND datname = current_database()"
            assert conn.execute(text(f"SELECT count(*) FROM pg_stat_activity WHERE {idle}")).scalar() == 0
            conn.execute(text("SELECT 1 FROM orders FOR UPDATE NOWAIT"))
            conn.rollback()

    def _answer(self, call: str, key: str) -> Any:
        if call in self.loses:
            self.loses.remove(call)
            raise OutcomeUnknown(f"the answer to {call} is lost")
        return self.answers[key]
