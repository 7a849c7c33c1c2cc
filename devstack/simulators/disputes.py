"""Disputes and reviews: the bank takes money back for now, and the fraud desk looks at a payment."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from devstack.simulators.cards import Card
from devstack.simulators.clock import Clock
from devstack.simulators.store import Json, Store, dump, load
from devstack.simulators.stripe_words import Settled, error, invalid, missing, new_id
from devstack.simulators.wire import Answer, Call, as_json

if TYPE_CHECKING:
    from devstack.simulators.stripe import Stripe

EVIDENCE_WITHIN: Final = 7 * 86_400
ENDS: Final = frozenset({"won", "lost"})
CLOSED_REASONS: Final = frozenset(
    {"approved", "refunded", "refunded_as_fraud", "disputed", "redacted", "canceled", "acknowledged"}
)
NETWORK_REASONS: Final = {"fraudulent": "10.4", "product_not_received": "13.1", "duplicate": "12.6"}


class Disputes:
    """What goes on about a payment beside the payment itself."""

    def __init__(self, store: Store, clock: Clock, stripe: Stripe) -> None:
        self._store, self._clock, self._stripe = store, clock, stripe

    def routes(self) -> list[tuple[str, str, Callable[..., Answer]]]:
        """Return what the shop may ask and do."""
        return [
            ("GET", "/v1/disputes", self._list),
            ("GET", "/v1/disputes/*", self._get),
            ("POST", "/v1/disputes/*", self._answer),
            ("POST", "/v1/disputes/*/close", self._give_in),
        ]

    # Disputes

    def dispute_if_asked(self, intent: Json, card: Card) -> None:
        """Dispute a payment whose card is made for it, once it is captured."""
        charge = intent["latest_charge"]
        if card.dispute and charge["amount_captured"] and not charge["disputed"]:
            self._open(intent, card.dispute, None)

    def dispute(self, identity: str, *, reason: str, amount: int | None) -> Json:
        """Let the customer dispute a captured payment, all of it where no amount is given.

        Raises:
            Refusal: nothing was captured, or it is disputed already.
        """
        intent = self._stripe.load(identity)
        charge = intent["latest_charge"] or {}
        if not charge.get("amount_captured") or charge["disputed"]:
            invalid("Only a captured payment that is not disputed yet can be disputed.")
        dispute = self._open(intent, reason, amount)
        self._stripe.save(intent)
        return dispute

    def _open(self, intent: Json, reason: str, amount: int | None) -> Json:
        charge = intent["latest_charge"]
        dispute = self._new(intent, reason, charge["amount_captured"] if amount is None else amount)
        charge["disputed"] = True
        self._store.run("INSERT INTO disputes VALUES (?, ?, ?)", dispute["id"], intent["id"], dump(dispute))
        self._tell("charge.dispute.created", intent, dispute)
        self._tell("charge.dispute.funds_withdrawn", intent, dispute)
        return dispute

    def _new(self, intent: Json, reason: str, amount: int) -> Json:
        now = int(self._clock.now())
        return {
            "id": new_id("du_"), "object": "dispute", "amount": amount, "balance_transactions": [],
            "charge": intent["latest_charge"]["id"], "created": now, "currency": intent["currency"],
            "evidence": {}, "evidence_details": {
                "due_by": now + EVIDENCE_WITHIN, "has_evidence": False, "past_due": False,
                "submission_count": 0,
            },
            "is_charge_refundable": False, "livemode": False, "metadata": {},
            "network_reason_code": NETWORK_REASONS.get(reason, "13.9"), "payment_intent": intent["id"],
            "reason": reason, "status": "needs_response",
        }  # fmt: skip

    def check_refundable(self, intent: Json) -> None:
        """Refuse a refund of money that the bank has taken already.

        Raises:
            Settled: the payment is disputed, or the dispute was lost.
        """
        sql = "SELECT count(*) FROM disputes WHERE intent = ? AND json_extract(doc, '$.status') != 'won'"
        if self._store.number(sql, intent["id"]):
            message = f"Charge {intent['latest_charge']['id']} has been charged back; cannot issue a refund."
            raise Settled(error(400, message, code="charge_disputed"))

    def close(self, identity: str, status: str) -> Json:
        """Let the bank decide a dispute and return it.

        Raises:
            Refusal: there is no such dispute, or no such end.
        """
        if status not in ENDS:
            invalid(f"A dispute ends as one of {sorted(ENDS)}.", param="status")
        dispute = self._load(identity)
        if dispute["status"] in ENDS:
            return dispute
        dispute["status"] = status
        intent = self._kept(dispute)
        self._tell("charge.dispute.closed", intent, dispute)
        if status == "won":
            self._tell("charge.dispute.funds_reinstated", intent, dispute)
        return dispute

    def _answer(self, call: Call, identity: str) -> Answer:
        dispute = self._load(identity)
        if dispute["status"] != "needs_response":
            invalid("This dispute can no longer be answered.")
        dispute["evidence"] |= call.params.get("evidence") or {}
        dispute["status"] = "under_review"
        dispute["evidence_details"] |= {"has_evidence": True, "submission_count": 1}
        self._tell("charge.dispute.updated", self._kept(dispute), dispute)
        return as_json(dispute)

    def _give_in(self, call: Call, identity: str) -> Answer:
        return as_json(self.close(identity, "lost"))

    def _kept(self, dispute: Json) -> Json:
        """Keep a dispute as it is and return its payment."""
        self._store.run("UPDATE disputes SET doc = ? WHERE id = ?", dump(dispute), dispute["id"])
        return self._stripe.load(dispute["payment_intent"])

    def _load(self, identity: str) -> Json:
        row = self._store.row("SELECT doc FROM disputes WHERE id = ?", identity)
        return load(row["doc"]) if row else missing("dispute", identity)

    def _get(self, call: Call, identity: str) -> Answer:
        return as_json(self._load(identity))

    def _list(self, call: Call) -> Answer:
        sql, values = "SELECT doc FROM disputes", list[Any]()
        if intent := call.params.get("payment_intent"):
            sql, values = f"{sql} WHERE intent = ?", [intent]
        found = [load(row["doc"]) for row in self._store.rows(f"{sql} ORDER BY rowid DESC", *values)]
        return as_json({"object": "list", "data": found, "has_more": False, "url": "/v1/disputes"})

    # Reviews

    def ask_for_review(self, order: str) -> None:
        """Let the next payment of an order be looked at; that is told before the payment is."""
        self._store.remember(f"review:{order}", "yes")

    def review_if_asked(self, intent: Json) -> None:
        """Open the review somebody asked for."""
        order = intent["metadata"].get("order_id", "")
        if self._store.recall(f"review:{order}"):
            self._store.remember(f"review:{order}", "")
            self._open_review(intent)

    def review(self, identity: str) -> Json:
        """Let the fraud desk look at a payment and return the review.

        Raises:
            Refusal: there is no such payment.
        """
        return self._open_review(self._stripe.load(identity))

    def _open_review(self, intent: Json) -> Json:
        review = {
            "id": new_id("prv_"), "object": "review", "billing_zip": None,
            "charge": (intent["latest_charge"] or {}).get("id"), "closed_reason": None,
            "created": int(self._clock.now()), "ip_address": None, "ip_address_location": None,
            "livemode": False, "open": True, "opened_reason": "rule", "payment_intent": intent["id"],
            "reason": "rule", "session": None,
        }  # fmt: skip
        self._store.run("INSERT INTO reviews VALUES (?, ?, ?)", review["id"], intent["id"], dump(review))
        self._tell("review.opened", intent, review)
        return review

    def close_review(self, identity: str, reason: str) -> Json:
        """Let the fraud desk decide and return the review.

        Raises:
            Refusal: there is no such review, or no such reason.
        """
        if reason not in CLOSED_REASONS:
            invalid(f"A review is closed for one of {sorted(CLOSED_REASONS)}.", param="reason")
        row = self._store.row("SELECT doc FROM reviews WHERE id = ?", identity)
        review = load(row["doc"]) if row else missing("review", identity)
        review |= {"open": False, "reason": reason, "closed_reason": reason}
        self._store.run("UPDATE reviews SET doc = ? WHERE id = ?", dump(review), identity)
        self._tell("review.closed", self._stripe.load(review["payment_intent"]), review)
        return review

    def _tell(self, name: str, intent: Json, subject: Json) -> None:
        self._stripe.tell(name, intent, None, subject=subject)
