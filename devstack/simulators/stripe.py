"""The payment provider: PaymentIntents and refunds as Stripe's API speaks them, with its key store."""

import hashlib
import time
from types import MappingProxyType
from typing import Any, Final, NoReturn
from uuid import uuid4

from devstack.simulators import cards
from devstack.simulators.checkout import Checkout
from devstack.simulators.clock import Clock
from devstack.simulators.disputes import Disputes
from devstack.simulators.sender import Sender
from devstack.simulators.store import Json, Row, Store, belongs, dump, load
from devstack.simulators.stripe_words import (
    Settled,
    amount_in,
    error,
    invalid,
    is_true,
    key_of,
    missing,
    new_id,
    words_of,
)
from devstack.simulators.wire import Answer, Call, Refusal, Routes, as_json

API_VERSION: Final = "2026-10-28.endive"
HOLD: Final = 7 * 86_400
KEY_LIFE: Final = 86_400  # real seconds: the callers' retries are real, too
REFUND_FAILURE: Final = 6 * 3600
SLOWNESS: Final = 30 * 60  # what takes its time is decided after so many shop seconds
MOST_CAPTURES: Final = 50
# From here on the types a payment may be paid with are Stripe's to find out; saying them is an error.
NO_METHOD_TYPES_SINCE: Final = "2026-09-30"
CANCELABLE: Final = frozenset(
    ["requires_payment_method", "requires_confirmation", "requires_action", "requires_capture", "processing"]
)
REFUND_REASONS: Final = frozenset({"duplicate", "fraudulent", "requested_by_customer"})
CANCEL_REASONS: Final = REFUND_REASONS | {"abandoned"}
_FAILURES: Final = MappingProxyType({401: "invalid_request_error", 404: "invalid_request_error"})


class Stripe:
    """Stripe's desk."""

    provider = "stripe"

    def __init__(self, store: Store, clock: Clock, sender: Sender, *, multicapture: bool = False) -> None:
        self._store, self._clock, self._sender = store, clock, sender
        if multicapture:
            self.allow_multicapture(True)
        self._under_way: set[str] = set()
        self.disputes = Disputes(store, clock, self)
        self.checkout = Checkout(store, clock, self)
        self._routes = Routes(
            [
                ("POST", "/v1/payment_intents", self._create),
                ("GET", "/v1/payment_intents", self._list),
                ("GET", "/v1/payment_intents/*", self._get),
                ("POST", "/v1/payment_intents/*/confirm", self._confirm),
                ("POST", "/v1/payment_intents/*/capture", self._capture),
                ("POST", "/v1/payment_intents/*/cancel", self._cancel),
                ("GET", "/v1/charges/*", self._charge),
                ("POST", "/v1/refunds", self._refund),
                ("GET", "/v1/refunds", self._list_refunds),
                ("GET", "/v1/refunds/*", self._get_refund),
                *self.disputes.routes(),
                *self.checkout.routes(),
            ]
        )

    def allow_multicapture(self, allowed: bool) -> None:
        """Let the account capture a charge in parts, or no longer."""
        self._store.remember("multicapture", "yes" if allowed else "")

    # The wire

    def begin(self, call: Call) -> Answer | None:
        """Refuse a key that is being worked on at this moment."""
        key = key_of(call)
        if key in self._under_way:
            message = f"There is currently another in-progress request using this Idempotent Key: {key}."
            return self._dressed(call, error(409, message, code="idempotency_key_in_use"))
        if key:
            self._under_way.add(key)
        return None

    def end(self, call: Call) -> None:
        """The call is answered; its key may be asked again."""
        self._under_way.discard(key_of(call))

    def failure(self, status: int, *, retry_after: int | None = None) -> Answer:
        """Return an error of Stripe itself."""
        if status == 429:
            answer = error(429, "Too many requests in a short time.", code="rate_limit")
            answer.headers["retry-after"] = str(retry_after or 1)
        else:
            answer = error(status, "An unknown error occurred", kind=_FAILURES.get(status, "api_error"))
        answer.headers["request-id"] = new_id("req_")
        return answer

    def references(self, call: Call) -> list[str]:
        """Return the order ids in the metadata, the key, and behind the object in path or body."""
        said = (call.params.get("metadata") or {}).get("order_id")
        words = [word for word in (said, key_of(call), call.params.get("description")) if word]
        parts = call.path.split("/")
        subject = parts[3] if len(parts) > 3 else call.params.get("payment_intent", "")
        row = self._store.row("SELECT order_id FROM intents WHERE id = ?", subject)
        return [*words, row["order_id"]] if row else words

    def serve(self, call: Call) -> Answer:
        """Answer one call: door check, key store, handler."""
        if not call.headers.get("authorization", "").startswith(("Bearer ", "Basic ")):
            return self._dressed(call, error(401, "You did not provide an API key."))
        found = self._routes.find(call.method, call.path)
        if found is None:
            return self._dressed(call, error(404, f"Unrecognized request URL ({call.method}: {call.path})."))
        handler, ids = found
        if call.method == "POST" and key_of(call):
            return self._dressed(call, self._keyed(call, lambda: handler(call, *ids)))
        try:
            return self._dressed(call, _after(call, handler(call, *ids)))
        except Settled as no:
            return self._dressed(call, no.answer)
        except Refusal as no:
            raise Refusal(self._dressed(call, no.answer)) from no

    def _dressed(self, call: Call, answer: Answer) -> Answer:
        answer.headers.setdefault("request-id", new_id("req_"))
        answer.headers["stripe-version"] = call.headers.get("stripe-version", API_VERSION)
        if key := key_of(call):
            answer.headers["idempotency-key"] = key
        return answer

    def _keyed(self, call: Call, execute: Any) -> Answer:
        """Execute once per key: the first status and body answer every repeat, 402 and 500 included."""
        key, fingerprint = key_of(call), _fingerprint(call)
        if len(key) > 255:
            return error(400, "Idempotency keys are at most 255 characters long.", code="parameter_invalid")
        row = self._store.row("SELECT * FROM keys WHERE key = ?", key)
        if row is not None and row["kept_at"] > time.time() - KEY_LIFE:
            return _replay(row, fingerprint)
        try:
            answer: Answer = _after(call, execute())
        except Settled as no:
            answer = no.answer
        except Refusal as no:  # nothing was executed, so nothing is kept
            raise Refusal(self._dressed(call, no.answer)) from no
        self._keep(key, fingerprint, answer)
        return answer

    def _keep(self, key: str, fingerprint: str, answer: Answer) -> None:
        answer.headers["request-id"] = new_id("req_")
        headers = dump({**answer.headers, "original-request": answer.headers["request-id"]})
        self._store.run(
            "INSERT OR REPLACE INTO keys VALUES (?, ?, ?, ?, ?, ?)",
            key, fingerprint, answer.status, answer.body, headers, time.time(),
        )  # fmt: skip

    def prune_keys(self) -> int:
        """Forget the keys older than their life and return how many are left."""
        self._store.run("DELETE FROM keys WHERE kept_at < ?", time.time() - KEY_LIFE)
        return self._store.number("SELECT count(*) FROM keys")

    def forget_keys(self, order: str) -> int:
        """Forget an order's keys, or all, as if their life were over; return how many."""
        known = [row["key"] for row in self._store.rows("SELECT key FROM keys")]
        going = [key for key in known if belongs(key, order)]
        for key in going:
            self._store.run("DELETE FROM keys WHERE key = ?", key)
        return len(going)

    # PaymentIntents

    def _create(self, call: Call) -> Answer:
        if "payment_method_types" in call.params and _version(call) >= NO_METHOD_TYPES_SINCE:
            invalid(
                "payment_method_types is no longer supported.",
                param="payment_method_types",
                code="payment_method_types_no_longer_supported",
            )
        self.checkout.check_owner(call.params)
        intent = self._new_intent(call.params)
        if is_true(call.params.get("confirm")):
            self._charge_card(call, intent)
        self.save(intent)
        return self._shown(call, intent)

    def _new_intent(self, params: Json) -> Json:
        amount, currency = amount_in(params, "amount"), str(params.get("currency", "")).lower()
        if amount is None or amount < 1:
            invalid("Missing or invalid param: amount.", param="amount", code="parameter_invalid_integer")
        if len(currency) != 3:
            invalid("Missing required param: currency.", param="currency", code="parameter_missing")
        identity = new_id("pi_")
        method = params.get("payment_method")
        return {
            "id": identity, "object": "payment_intent", "amount": amount, "amount_capturable": 0,
            "amount_received": 0, "canceled_at": None, "cancellation_reason": None,
            "capture_method": params.get("capture_method", "automatic"),
            "client_secret": f"{identity}_secret_{uuid4().hex[:24]}", "confirmation_method": "automatic",
            "created": int(self._clock.now()), "currency": currency, "customer": params.get("customer"),
            "description": params.get("description"), "last_payment_error": None, "latest_charge": None,
            "livemode": False, "metadata": words_of(params.get("metadata")), "next_action": None,
            "payment_method": method, "payment_method_types": ["card"],
            "payment_method_options": {"card": {"request_multicapture": _asked_multicapture(params)}},
            "receipt_email": params.get("receipt_email"), "shipping": params.get("shipping"),
            "status": "requires_confirmation" if method else "requires_payment_method",
        }  # fmt: skip

    def _charge_card(self, call: Call, intent: Json, *, authenticated: bool = False) -> None:
        card = cards.card(str(intent["payment_method"] or ""))
        decline = call.decline_code or card.decline_code
        if not intent["payment_method"]:
            invalid("You must provide a payment method to confirm.", code="payment_intent_unexpected_state")
        if decline:
            self._decline(call, intent, decline)
        if card.needs_action and not authenticated:
            self._ask_customer(call, intent)
        elif card.is_slow:
            self._take_time(call, intent)
        else:
            self._authorize(call, intent, card)

    def _take_time(self, call: Call, intent: Json) -> None:
        intent |= {"status": "processing", "next_action": None}
        self.later(intent["id"], SLOWNESS)
        self.tell("payment_intent.processing", intent, call)

    def later(self, identity: str, seconds: float) -> None:
        """Decide about an object after so many shop seconds."""
        due = self._clock.now() + seconds
        self._store.run("INSERT OR REPLACE INTO under_way VALUES (?, ?)", identity, due)

    def decide_what_waited(self) -> None:
        """Let the slow payments and the waiting refunds whose time has come succeed."""
        for row in self._store.rows("SELECT id FROM under_way WHERE due <= ?", self._clock.now()):
            decide = self.settle_refund if row["id"].startswith("re_") else self.settle
            decide(row["id"], success=True)

    def settle(self, identity: str, *, success: bool) -> Json:
        """Let a payment that takes its time succeed or fail, and return it.

        Raises:
            Refusal: it is not under way.
        """
        self._store.run("DELETE FROM under_way WHERE id = ?", identity)
        intent = self.load(identity)
        if intent["status"] != "processing":
            self._wrong_state(intent, "settled")
        call = Call(method="POST", path="/settle", headers={}, params={}, base_url="")
        try:
            if not success:
                self._decline(call, intent, "generic_decline")
            self._authorize(call, intent, cards.card(str(intent["payment_method"])))
        except Settled:
            return view(intent)
        self.save(intent)
        return view(intent)

    def _decline(self, call: Call, intent: Json, decline: str) -> NoReturn:
        code = cards.ERROR_CODES.get(decline, "card_declined")
        card = cards.card(str(intent["payment_method"]))
        intent["latest_charge"] = self._new_charge(intent, card, status="failed")
        self._refuse_payment(call, intent, code, decline)

    def _refuse_payment(self, call: Call, intent: Json, code: str, decline: str | None) -> NoReturn:
        told: Json = {"type": "card_error", "code": code, "decline_code": decline}
        told["advice_code"] = cards.ADVICE.get(decline or "")
        told["message"] = cards.SENTENCES.get(decline or "", "Your card was declined.")
        told["charge"] = (intent["latest_charge"] or {}).get("id")
        told = {name: value for name, value in told.items() if value is not None}
        intent |= {"status": "requires_payment_method", "last_payment_error": told, "next_action": None}
        intent["payment_method"] = None
        self.save(intent)
        self.tell("payment_intent.payment_failed", intent, call)
        raise Settled(as_json({"error": told | {"payment_intent": view(intent)}}, 402))

    def _ask_customer(self, call: Call, intent: Json) -> None:
        off_session = is_true(call.params.get("off_session"))
        if off_session or is_true(call.params.get("error_on_requires_action")):
            self._refuse_payment(call, intent, "authentication_required", "authentication_required")
        url, back = f"{call.base_url}/stripe/3ds/{intent['id']}", call.params.get("return_url")
        action = {"type": "redirect_to_url", "redirect_to_url": {"url": url, "return_url": back}}
        intent |= {"status": "requires_action", "next_action": action}
        self.tell("payment_intent.requires_action", intent, call)

    def _authorize(self, call: Call, intent: Json, card: cards.Card) -> None:
        intent |= {"next_action": None, "last_payment_error": None}
        intent["latest_charge"] = self._new_charge(intent, card, status="succeeded")
        self.operation(intent, "authorize", intent["amount"], call)
        self.disputes.review_if_asked(intent)
        if intent["capture_method"] == "manual":
            intent |= {"status": "requires_capture", "amount_capturable": intent["amount"]}
            self.tell("payment_intent.amount_capturable_updated", intent, call)
        else:
            self._take(call, intent, intent["amount"])

    def _new_charge(self, intent: Json, card: cards.Card, *, status: str) -> Json:
        now = int(self._clock.now())
        details = {
            "brand": card.brand, "last4": card.last4, "capture_before": now + HOLD, "network": card.brand,
            "multicapture": {"status": self._multicapture(intent, card)}, "country": card.country,
            "incremental_authorization": {"status": "unavailable"},
        }  # fmt: skip
        return {
            "id": new_id("ch_"), "object": "charge", "amount": intent["amount"],
            "amount_captured": 0, "amount_refunded": 0, "captured": False, "refunded": False,
            "created": now, "currency": intent["currency"], "status": status, "paid": status == "succeeded",
            "payment_intent": intent["id"], "metadata": intent["metadata"], "disputed": False,
            "outcome": {
                "network_status": "approved_by_network" if status == "succeeded" else "declined_by_network",
                "risk_level": card.risk_level, "risk_score": card.risk_score,
                "type": "authorized" if status == "succeeded" else "issuer_declined",
            },
            "payment_method": intent["payment_method"],
            "payment_method_details": {"type": "card", "card": details},
        }  # fmt: skip

    def _multicapture(self, intent: Json, card: cards.Card) -> str:
        asked = intent["payment_method_options"]["card"]["request_multicapture"] == "if_available"
        able = bool(self._store.recall("multicapture")) and card.multicapture
        return "available" if asked and able else "unavailable"

    def _confirm(self, call: Call, identity: str) -> Answer:
        intent = self.load(identity)
        if intent["status"] not in ("requires_payment_method", "requires_confirmation", "requires_action"):
            self._wrong_state(intent, "confirmed")
        if method := call.params.get("payment_method"):
            intent |= {"payment_method": method, "next_action": None}
        self._charge_card(call, intent)
        self.save(intent)
        return self._shown(call, intent)

    def authenticate(self, identity: str, *, success: bool, base_url: str) -> Json:
        """Let the customer pass or fail the bank's question, and return the PaymentIntent.

        Raises:
            Refusal: nothing was asked.
        """
        call = Call(method="POST", path="/3ds", headers={}, params={}, base_url=base_url)
        intent = self.load(identity)
        if intent["status"] != "requires_action":
            self._wrong_state(intent, "authenticated")
        try:
            if not success:
                code = "payment_intent_authentication_failure"
                self._refuse_payment(call, intent, code, None)
            self._charge_card(call, intent, authenticated=True)
        except Settled:
            return view(intent)
        self.save(intent)
        return view(intent)

    def _capture(self, call: Call, identity: str) -> Answer:
        intent = self.load(identity)
        if intent["status"] != "requires_capture":
            self._wrong_state(intent, "captured")
        if call.decline_code:
            told = {"type": "card_error", "code": "card_declined", "decline_code": call.decline_code}
            raise Settled(as_json({"error": told | {"message": "Your card was declined."}}, 402))
        final, held = self._is_final(call, intent), intent["amount_capturable"]
        amount = held if (asked := amount_in(call.params, "amount_to_capture")) is None else asked
        least = 0 if final and intent["amount_received"] else 1  # nothing more, finally: the rest is let go
        if not least <= amount <= held:
            message = f"Amount to capture ({amount}) must be between {least} and what is capturable ({held})."
            invalid(message, param="amount_to_capture", code="amount_too_large")
        self._take(call, intent, amount, final=final)
        self.save(intent)
        return self._shown(call, intent)

    def _is_final(self, call: Call, intent: Json) -> bool:
        final = is_true(call.params.get("final_capture", "true"))
        if not final and not _in_parts(intent):
            invalid("Multicapture is not available on this charge.", param="final_capture")
        taken = "SELECT count(*) FROM operations WHERE ref = ? AND kind = 'capture'"
        if not final and self._store.number(taken, intent["id"]) >= MOST_CAPTURES - 1:
            invalid(f"A payment can be captured {MOST_CAPTURES} times.", param="final_capture")
        return final

    def _take(self, call: Call, intent: Json, amount: int, *, final: bool = True) -> None:
        charge, taken = intent["latest_charge"], intent["amount_received"] + amount
        rest = intent["amount"] - taken
        done = final or rest == 0
        charge |= {"amount_captured": taken, "captured": done}
        intent |= {"amount_received": taken, "amount_capturable": 0 if done else rest}
        intent["status"] = "succeeded" if done else "requires_capture"
        self.operation(intent, "capture" if amount else "void", amount or rest, call)
        self._tell_taken(call, intent, done=done)
        self.disputes.dispute_if_asked(intent, cards.card(str(intent["payment_method"])))

    def _tell_taken(self, call: Call | None, intent: Json, *, done: bool) -> None:
        if _in_parts(intent):
            self.tell("charge.updated", intent, call, subject=intent["latest_charge"])
            self.tell("payment_intent.amount_capturable_updated", intent, call)
        if done:
            self.tell("charge.captured", intent, call, subject=intent["latest_charge"])
            self.tell("payment_intent.succeeded", intent, call)

    def _cancel(self, call: Call, identity: str) -> Answer:
        reason = call.params.get("cancellation_reason")
        if reason is not None and reason not in CANCEL_REASONS:
            invalid(f"Invalid cancellation_reason: {reason}", param="cancellation_reason")
        intent = self.load(identity)
        # Of a payment captured in part the rest is let go by a last capture of nothing, so says Stripe's page
        # on multicapture. What a cancel would do is written nowhere.
        if intent["status"] not in CANCELABLE or intent["amount_received"]:
            self._wrong_state(intent, "canceled")
        self._release(call, intent, "void", reason)
        return self._shown(call, intent)

    def _release(self, call: Call | None, intent: Json, kind: str, reason: str | None) -> None:
        if intent["amount_capturable"]:
            self.operation(intent, kind, intent["amount_capturable"], call)
        intent |= {"status": "canceled", "amount_capturable": 0, "next_action": None}
        intent |= {"canceled_at": int(self._clock.now()), "cancellation_reason": reason}
        self.save(intent)
        self.tell("payment_intent.canceled", intent, call)

    def expire_holds(self) -> None:
        """Cancel every authorization that was not captured in time."""
        sql = "SELECT doc FROM intents WHERE status = 'requires_capture' AND expires <= ?"
        for row in self._store.rows(sql, self._clock.now()):
            intent = load(row["doc"])
            if intent["amount_received"]:
                self._close(intent)
                continue
            self.tell("charge.expired", intent, None, subject=intent["latest_charge"])
            self._release(None, intent, "expire", "expired")

    def _close(self, intent: Json) -> None:
        """End a payment that was captured in part when its time is over: it has succeeded, the rest is let go."""
        self.operation(intent, "expire", intent["amount_capturable"], None)
        intent |= {"status": "succeeded", "amount_capturable": 0}
        intent["latest_charge"]["captured"] = True
        self.save(intent)
        self._tell_taken(None, intent, done=True)

    def _get(self, call: Call, identity: str) -> Answer:
        return self._shown(call, self.load(identity))

    def _list(self, call: Call) -> Answer:
        where, values = ["1"], list[Any]()
        if customer := call.params.get("customer"):
            where, values = [*where, "customer = ?"], [*values, customer]
        for name, sign in (("gte", ">="), ("gt", ">"), ("lte", "<="), ("lt", "<")):
            if (limit := _within(call.params.get("created"), name)) is not None:
                where, values = [*where, f"created {sign} ?"], [*values, limit]
        self.expire_holds()
        sql = f"SELECT rowid AS place, doc FROM intents WHERE {' AND '.join(where)}"
        return self._page(call, sql, values, "/v1/payment_intents", "intents")

    def _page(self, call: Call, sql: str, values: list[Any], url: str, table: str) -> Answer:
        """Return one page of a list, newest first."""
        size = min(100, max(1, amount_in(call.params, "limit") or 10))
        if after := call.params.get("starting_after"):
            sql, values = f"{sql} AND rowid < (SELECT rowid FROM {table} WHERE id = ?)", [*values, after]
        rows = self._store.rows(f"{sql} ORDER BY rowid DESC LIMIT ?", *values, size + 1)
        found = [view(load(row["doc"]), expanded=_expands(call, "data.")) for row in rows[:size]]
        return as_json({"object": "list", "data": found, "has_more": len(rows) > size, "url": url})

    def _charge(self, call: Call, identity: str) -> Answer:
        sql = "SELECT doc FROM intents WHERE json_extract(doc, '$.latest_charge.id') = ?"
        row = self._store.row(sql, identity)
        return as_json(load(row["doc"])["latest_charge"]) if row else missing("charge", identity)

    # Refunds

    def _refund(self, call: Call) -> Answer:
        reason = call.params.get("reason")
        if reason is not None and reason not in REFUND_REASONS:
            invalid(f"Invalid reason: {reason}", param="reason")
        intent = self.load(self._refunded_intent(call.params))
        charge = intent["latest_charge"] or {}
        left = charge.get("amount_captured", 0) - charge.get("amount_refunded", 0)
        asked = amount_in(call.params, "amount")
        self.disputes.check_refundable(intent)
        _check_refund(intent, left, asked)
        refund = self._new_refund(call, intent, left if asked is None else asked)
        self._pay_back(call, intent, refund)
        return as_json(refund)

    def _refunded_intent(self, params: Json) -> str:
        if identity := params.get("payment_intent"):
            return str(identity)
        sql = "SELECT id FROM intents WHERE json_extract(doc, '$.latest_charge.id') = ?"
        row = self._store.row(sql, params.get("charge"))
        if row is None:
            invalid("One of payment_intent or charge is required.", param="payment_intent")
        return str(row["id"])

    def _new_refund(self, call: Call, intent: Json, amount: int) -> Json:
        waits = cards.card(str(intent["payment_method"] or "")).refund_waits
        return {
            "id": new_id("re_"), "object": "refund", "amount": amount, "charge": intent["latest_charge"]["id"],
            "created": int(self._clock.now()), "currency": intent["currency"],
            "metadata": words_of(call.params.get("metadata")), "payment_intent": intent["id"],
            "reason": call.params.get("reason"), "status": "pending" if waits else "succeeded",
        } | ({"pending_reason": "processing"} if waits else {})  # fmt: skip

    def _pay_back(self, call: Call, intent: Json, refund: Json) -> None:
        self._move_refund(intent["latest_charge"], refund["amount"])
        card = cards.card(str(intent["payment_method"] or ""))
        fails_at = self._clock.now() + REFUND_FAILURE if card.refund_fails else None
        self._store.run(
            "INSERT INTO refunds VALUES (?, ?, ?, ?, ?)",
            refund["id"], intent["id"], self._clock.now(), fails_at, dump(refund),
        )  # fmt: skip
        if refund["status"] == "pending":
            self.later(refund["id"], REFUND_FAILURE)
        self.save(intent)
        self.operation(intent, "refund", refund["amount"], call)
        self.tell("refund.created", intent, call, subject=refund)
        self.tell("charge.refunded", intent, call, subject=intent["latest_charge"])

    def _move_refund(self, charge: Json, amount: int) -> None:
        charge["amount_refunded"] += amount
        is_all = charge["amount_refunded"] == charge["amount_captured"]
        charge["refunded"] = is_all and charge["captured"]

    def fail_refund(self, identity: str) -> Json:
        """Let a refund fail, though it may have succeeded before, and return it.

        Raises:
            Refusal: there is no such refund.
        """
        refund = self._load_refund(identity)
        if refund["status"] == "failed":
            return refund
        intent = self.load(refund["payment_intent"])
        refund |= {"status": "failed", "failure_reason": "expired_or_canceled_card"}
        self._move_refund(intent["latest_charge"], -refund["amount"])
        self.save(intent)
        sql = "UPDATE refunds SET doc = ?, fails_at = NULL WHERE id = ?"
        self._store.run(sql, dump(refund), identity)
        self._store.run("DELETE FROM under_way WHERE id = ?", identity)
        self.operation(intent, "refund_failed", refund["amount"], None, key=self._key_of_refund(refund))
        self.tell("refund.failed", intent, None, subject=refund)
        return refund

    def _key_of_refund(self, refund: Json) -> str:
        """Return the key a refund was asked for with: a payment's n-th refund is its n-th such operation."""
        before = "SELECT rowid FROM refunds WHERE id = ?2"
        rank = f"SELECT count(*) FROM refunds WHERE intent = ?1 AND rowid < ({before})"
        sql = f"SELECT key FROM operations WHERE ref = ?1 AND kind = 'refund' ORDER BY id LIMIT 1 OFFSET ({rank})"
        row = self._store.row(sql, refund["payment_intent"], refund["id"])
        return str(row["key"]) if row else ""

    def settle_refund(self, identity: str, *, success: bool) -> Json:
        """Let a refund that waits succeed or fail, and return it.

        Raises:
            Refusal: there is no such refund.
        """
        if not success:
            return self.fail_refund(identity)
        self._store.run("DELETE FROM under_way WHERE id = ?", identity)
        refund = self._load_refund(identity)
        if refund["status"] != "pending":
            return refund
        refund |= {"status": "succeeded", "pending_reason": None}
        self._store.run("UPDATE refunds SET doc = ? WHERE id = ?", dump(refund), identity)
        self.tell("refund.updated", self.load(refund["payment_intent"]), None, subject=refund)
        return refund

    def fail_refunds(self) -> None:
        """Fail the refunds whose card makes them fail later."""
        sql = "SELECT id FROM refunds WHERE fails_at <= ?"
        for row in self._store.rows(sql, self._clock.now()):
            self.fail_refund(row["id"])

    def _load_refund(self, identity: str) -> Json:
        row = self._store.row("SELECT doc FROM refunds WHERE id = ?", identity)
        return load(row["doc"]) if row else missing("refund", identity)

    def _get_refund(self, call: Call, identity: str) -> Answer:
        return as_json(self._load_refund(identity))

    def _list_refunds(self, call: Call) -> Answer:
        sql, values = "SELECT doc FROM refunds WHERE 1", list[Any]()
        if intent := call.params.get("payment_intent"):
            sql, values = f"{sql} AND intent = ?", [intent]
        return self._page(call, sql, values, "/v1/refunds", "refunds")

    # Memory

    def load(self, identity: str) -> Json:
        """Return a PaymentIntent as it is now: a hold whose time is over has expired."""
        row = self._store.row("SELECT * FROM intents WHERE id = ?", identity)
        if row is None:
            missing("payment_intent", identity)
        if row["status"] == "requires_capture" and row["expires"] <= self._clock.now():
            self.expire_holds()
            row = self._store.row("SELECT * FROM intents WHERE id = ?", identity) or row
        return load(row["doc"])

    def save(self, intent: Json) -> None:
        """Keep a PaymentIntent as it is."""
        charge = intent["latest_charge"] or {}
        expires = charge.get("payment_method_details", {}).get("card", {}).get("capture_before")
        sql = (
            "INSERT INTO intents VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE"
            " SET status = excluded.status, expires = excluded.expires, doc = excluded.doc"
        )
        order = intent["metadata"].get("order_id", "")
        identity, customer, status = intent["id"], intent["customer"], intent["status"]
        self._store.run(sql, identity, order, customer, status, intent["created"], expires, dump(intent))

    def operation(self, intent: Json, kind: str, amount: int, call: Call | None, *, key: str = "") -> None:
        """Write what was done with money into the provider's books."""
        self._store.run(
            "INSERT INTO operations (ref, kind, key, amount, at) VALUES (?, ?, ?, ?, ?)",
            intent["id"], kind, key_of(call) if call else key, amount, self._clock.now(),
        )  # fmt: skip

    def tell(self, name: str, intent: Json, call: Call | None, *, subject: Json | None = None) -> None:
        """Tell whoever listens that something happened to a payment, or to `subject`, which belongs to it."""
        if not self._sender.listens(self.provider):
            return
        event = {
            "id": new_id("evt_"), "object": "event", "api_version": API_VERSION,
            "created": int(self._clock.now()), "data": {"object": subject or view(intent)},
            "livemode": False, "pending_webhooks": 1, "type": name,
            "request": {"id": None, "idempotency_key": (key_of(call) or None) if call else None},
        }  # fmt: skip
        order = intent["metadata"].get("order_id", "")
        self._sender.post(self.provider, event, name, [order, intent["id"]])

    def _shown(self, call: Call, intent: Json) -> Answer:
        return as_json(view(intent, expanded=_expands(call)))

    def _wrong_state(self, intent: Json, wanted: str) -> NoReturn:
        expired = wanted == "captured" and intent["cancellation_reason"] == "expired"
        code = "charge_expired_for_capture" if expired else "payment_intent_unexpected_state"
        message = f"This PaymentIntent could not be {wanted} because it has a status of {intent['status']}."
        answer = error(400, message, code=code, payment_intent=view(intent))
        raise Settled(answer)


def _after(call: Call, answer: Answer) -> Answer:
    """Return the answer, or the 500 that is kept in its place although the deed was done."""
    if not call.stored_failure:
        return answer
    failed = error(500, "An unknown error occurred", kind="api_error")
    failed.headers["stripe-should-retry"] = "false"
    return failed


def _replay(row: Row, fingerprint: str) -> Answer:
    if row["fingerprint"] != fingerprint:
        message = "Keys for idempotent requests can only be used with the same parameters they were first used with."
        return error(400, message, kind="idempotency_error")
    headers = load(row["headers"]) | {"idempotent-replayed": "true"}
    return Answer(status=row["status"], body=bytes(row["body"]), headers=headers)


def _check_refund(intent: Json, left: int, asked: int | None) -> None:
    if not intent["amount_received"]:
        message = f"This PaymentIntent ({intent['id']}) does not have a successful charge to refund."
        raise Settled(error(400, message, code="payment_intent_unexpected_state"))
    if left == 0:
        message = f"Charge {intent['latest_charge']['id']} has already been refunded."
        raise Settled(error(400, message, code="charge_already_refunded"))
    if asked is not None and not 1 <= asked <= left:
        message = f"Refund amount ({asked}) is greater than unrefunded amount on charge ({left})."
        raise Settled(error(400, message, code="amount_too_large", param="amount"))


def view(intent: Json, *, expanded: bool = False) -> Json:
    """Return a PaymentIntent as callers see it: its charge as an id unless they asked for all of it."""
    charge = intent.get("latest_charge")
    if charge is None:
        return intent  # nothing was charged yet, or it is a refund
    return intent | {"latest_charge": charge if expanded else charge["id"]}


def _expands(call: Call, prefix: str = "") -> bool:
    asked = call.params.get("expand") or {}
    words = asked.values() if isinstance(asked, dict) else [asked]
    return f"{prefix}latest_charge" in words


def _fingerprint(call: Call) -> str:
    return hashlib.sha256(f"{call.method} {call.path} {sorted(call.params.items())}".encode()).hexdigest()


def _within(value: Any, name: str) -> float | None:
    limit = value.get(name) if isinstance(value, dict) else None
    return None if limit is None else float(limit)


def _version(call: Call) -> str:
    """Return the date of the API's version the caller wants."""
    return call.headers.get("stripe-version", API_VERSION)[: len(NO_METHOD_TYPES_SINCE)]


def _asked_multicapture(params: Json) -> str:
    options = params.get("payment_method_options") or {}
    return str((options.get("card") or {}).get("request_multicapture", "never"))


def _in_parts(intent: Json) -> bool:
    """Test whether a payment's charge may be captured several times."""
    card = intent["latest_charge"]["payment_method_details"]["card"]
    return bool(card["multicapture"]["status"] == "available")
