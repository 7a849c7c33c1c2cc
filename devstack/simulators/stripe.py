"""The payment provider: PaymentIntents and refunds as Stripe's API speaks them, with its key store."""

import hashlib
import time
from types import MappingProxyType
from typing import Any, Final, NoReturn
from urllib.parse import urlencode
from uuid import uuid4

from devstack.simulators import cards
from devstack.simulators.clock import Clock
from devstack.simulators.sender import Sender
from devstack.simulators.store import Json, Row, Store, dump, load
from devstack.simulators.wire import Answer, Call, Refusal, Routes, as_json

API_VERSION: Final = "2026-10-28.endive"
HOLD: Final = 7 * 86_400
KEY_LIFE: Final = 86_400  # real seconds: the callers' retries are real, too
REFUND_FAILURE: Final = 6 * 3600
CANCELABLE: Final = frozenset(
    ["requires_payment_method", "requires_confirmation", "requires_action", "requires_capture", "processing"]
)
REFUND_REASONS: Final = frozenset({"duplicate", "fraudulent", "requested_by_customer"})
CANCEL_REASONS: Final = REFUND_REASONS | {"abandoned"}
_FAILURES: Final = MappingProxyType({401: "invalid_request_error", 404: "invalid_request_error"})


class Settled(Refusal):
    """An error of the execution itself: what was written stays, and the key keeps the answer."""


class Stripe:
    """Stripe's desk."""

    provider = "stripe"

    def __init__(self, store: Store, clock: Clock, sender: Sender, *, multicapture: bool = False) -> None:
        self._store, self._clock, self._sender = store, clock, sender
        self._multicapture = multicapture
        self._under_way: set[str] = set()
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
            ]
        )

    # The wire

    def begin(self, call: Call) -> Answer | None:
        """Refuse a key that is being worked on at this moment."""
        key = _key(call)
        if key in self._under_way:
            message = f"There is currently another in-progress request using this Idempotent Key: {key}."
            return self._dressed(call, _error(409, message, code="idempotency_key_in_use"))
        if key:
            self._under_way.add(key)
        return None

    def end(self, call: Call) -> None:
        """The call is answered; its key may be asked again."""
        self._under_way.discard(_key(call))

    def failure(self, status: int, *, retry_after: int | None = None) -> Answer:
        """Return an error of Stripe itself."""
        if status == 429:
            answer = _error(429, "Too many requests in a short time.", code="rate_limit")
            answer.headers["retry-after"] = str(retry_after or 1)
        else:
            answer = _error(status, "An unknown error occurred", kind=_FAILURES.get(status, "api_error"))
        answer.headers["request-id"] = _name("req_")
        return answer

    def references(self, call: Call) -> list[str]:
        """Return the order ids in the metadata, the key, and behind the object in path or body."""
        said = (call.params.get("metadata") or {}).get("order_id")
        words = [word for word in (said, _key(call), call.params.get("description")) if word]
        parts = call.path.split("/")
        subject = parts[3] if len(parts) > 3 else call.params.get("payment_intent", "")
        row = self._store.row("SELECT order_id FROM intents WHERE id = ?", subject)
        return [*words, row["order_id"]] if row else words

    def serve(self, call: Call) -> Answer:
        """Answer one call: door check, key store, handler."""
        if not call.headers.get("authorization", "").startswith(("Bearer ", "Basic ")):
            return self._dressed(call, _error(401, "You did not provide an API key."))
        found = self._routes.find(call.method, call.path)
        if found is None:
            return self._dressed(call, _error(404, f"Unrecognized request URL ({call.method}: {call.path})."))
        handler, ids = found
        if call.method == "POST" and _key(call):
            return self._dressed(call, self._keyed(call, lambda: handler(call, *ids)))
        try:
            return self._dressed(call, _after(call, handler(call, *ids)))
        except Settled as error:
            return self._dressed(call, error.answer)
        except Refusal as error:
            raise Refusal(self._dressed(call, error.answer)) from error

    def _dressed(self, call: Call, answer: Answer) -> Answer:
        answer.headers.setdefault("request-id", _name("req_"))
        answer.headers["stripe-version"] = call.headers.get("stripe-version", API_VERSION)
        if key := _key(call):
            answer.headers["idempotency-key"] = key
        return answer

    def _keyed(self, call: Call, execute: Any) -> Answer:
        """Execute once per key: the first status and body answer every repeat, 402 and 500 included."""
        key, fingerprint = _key(call), _fingerprint(call)
        if len(key) > 255:
            return _error(400, "Idempotency keys are at most 255 characters long.", code="parameter_invalid")
        row = self._store.row("SELECT * FROM keys WHERE key = ?", key)
        if row is not None and row["kept_at"] > time.time() - KEY_LIFE:
            return _replay(row, fingerprint)
        try:
            answer: Answer = _after(call, execute())
        except Settled as error:
            answer = error.answer
        except Refusal as error:  # nothing was executed, so nothing is kept
            raise Refusal(self._dressed(call, error.answer)) from error
        self._keep(key, fingerprint, answer)
        return answer

    def _keep(self, key: str, fingerprint: str, answer: Answer) -> None:
        answer.headers["request-id"] = _name("req_")
        headers = dump({**answer.headers, "original-request": answer.headers["request-id"]})
        self._store.run(
            "INSERT OR REPLACE INTO keys VALUES (?, ?, ?, ?, ?, ?)",
            key, fingerprint, answer.status, answer.body, headers, time.time(),
        )  # fmt: skip

    def prune_keys(self) -> int:
        """Forget the keys older than their life and return how many are left."""
        self._store.run("DELETE FROM keys WHERE kept_at < ?", time.time() - KEY_LIFE)
        return self._store.number("SELECT count(*) FROM keys")

    # PaymentIntents

    def _create(self, call: Call) -> Answer:
        intent = self._new_intent(call.params)
        if _true(call.params.get("confirm")):
            self._charge_card(call, intent)
        self._save(intent)
        return self._shown(call, intent)

    def _new_intent(self, params: Json) -> Json:
        amount, currency = _amount(params, "amount"), str(params.get("currency", "")).lower()
        if amount is None or amount < 1:
            _invalid("Missing or invalid param: amount.", param="amount", code="parameter_invalid_integer")
        if len(currency) != 3:
            _invalid("Missing required param: currency.", param="currency", code="parameter_missing")
        identity = _name("pi_")
        method = params.get("payment_method")
        return {
            "id": identity, "object": "payment_intent", "amount": amount, "amount_capturable": 0,
            "amount_received": 0, "canceled_at": None, "cancellation_reason": None,
            "capture_method": params.get("capture_method", "automatic"),
            "client_secret": f"{identity}_secret_{uuid4().hex[:24]}", "confirmation_method": "automatic",
            "created": int(self._clock.now()), "currency": currency, "customer": params.get("customer"),
            "description": params.get("description"), "last_payment_error": None, "latest_charge": None,
            "livemode": False, "metadata": _words(params.get("metadata")), "next_action": None,
            "payment_method": method, "payment_method_types": ["card"],
            "receipt_email": params.get("receipt_email"), "shipping": params.get("shipping"),
            "status": "requires_confirmation" if method else "requires_payment_method",
        }  # fmt: skip

    def _charge_card(self, call: Call, intent: Json, *, authenticated: bool = False) -> None:
        card = cards.card(str(intent["payment_method"] or ""))
        decline = call.decline_code or card.decline_code
        if not intent["payment_method"]:
            _invalid("You must provide a payment method to confirm.", code="payment_intent_unexpected_state")
        if decline:
            self._decline(call, intent, decline)
        if card.needs_action and not authenticated:
            self._ask_customer(call, intent)
        else:
            self._authorize(call, intent, card)

    def _decline(self, call: Call, intent: Json, decline: str) -> NoReturn:
        code = cards.ERROR_CODES.get(decline, "card_declined")
        card = cards.card(str(intent["payment_method"]))
        intent["latest_charge"] = self._new_charge(intent, card, status="failed")
        self._refuse_payment(call, intent, code, decline)

    def _refuse_payment(self, call: Call, intent: Json, code: str, decline: str | None) -> NoReturn:
        error: Json = {"type": "card_error", "code": code, "decline_code": decline}
        error["advice_code"] = cards.ADVICE.get(decline or "")
        error["message"] = cards.SENTENCES.get(decline or "", "Your card was declined.")
        error["charge"] = (intent["latest_charge"] or {}).get("id")
        error = {name: value for name, value in error.items() if value is not None}
        intent |= {"status": "requires_payment_method", "last_payment_error": error, "next_action": None}
        intent["payment_method"] = None
        self._save(intent)
        self._tell("payment_intent.payment_failed", intent, call)
        raise Settled(as_json({"error": error | {"payment_intent": _view(intent)}}, 402))

    def _ask_customer(self, call: Call, intent: Json) -> None:
        off_session = _true(call.params.get("off_session"))
        if off_session or _true(call.params.get("error_on_requires_action")):
            self._refuse_payment(call, intent, "authentication_required", "authentication_required")
        url = f"{call.base_url}/stripe/3ds/{intent['id']}"
        if back := call.params.get("return_url"):
            url += "?" + urlencode({"return_url": str(back)})
        action = {"type": "redirect_to_url", "redirect_to_url": {"url": url, "return_url": back}}
        intent |= {"status": "requires_action", "next_action": action}
        self._tell("payment_intent.requires_action", intent, call)

    def _authorize(self, call: Call, intent: Json, card: cards.Card) -> None:
        intent |= {"next_action": None, "last_payment_error": None}
        intent["latest_charge"] = self._new_charge(intent, card, status="succeeded")
        self._operation(intent, "authorize", intent["amount"], call)
        if intent["capture_method"] == "manual":
            intent |= {"status": "requires_capture", "amount_capturable": intent["amount"]}
            self._tell("payment_intent.amount_capturable_updated", intent, call)
        else:
            self._take(call, intent, intent["amount"])

    def _new_charge(self, intent: Json, card: cards.Card, *, status: str) -> Json:
        now = int(self._clock.now())
        details = {
            "brand": card.brand, "last4": card.last4, "capture_before": now + HOLD, "network": card.brand,
            "multicapture": {"status": "available" if self._multicapture else "unavailable"},
            "incremental_authorization": {"status": "unavailable"},
        }  # fmt: skip
        return {
            "id": "ch_" + uuid4().hex[:24], "object": "charge", "amount": intent["amount"],
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

    def _confirm(self, call: Call, identity: str) -> Answer:
        intent = self._load(identity)
        if intent["status"] not in ("requires_payment_method", "requires_confirmation", "requires_action"):
            self._wrong_state(intent, "confirm")
        if method := call.params.get("payment_method"):
            intent |= {"payment_method": method, "next_action": None}
        self._charge_card(call, intent)
        self._save(intent)
        return self._shown(call, intent)

    def authenticate(self, identity: str, *, success: bool, base_url: str) -> Json:
        """Let the customer pass or fail the bank's question, and return the PaymentIntent.

        Raises:
            Refusal: nothing was asked.
        """
        call = Call(method="POST", path="/3ds", headers={}, params={}, base_url=base_url)
        intent = self._load(identity)
        if intent["status"] != "requires_action":
            self._wrong_state(intent, "authenticate")
        try:
            if not success:
                code = "payment_intent_authentication_failure"
                self._refuse_payment(call, intent, code, None)
            self._charge_card(call, intent, authenticated=True)
        except Settled:
            return _view(intent)
        self._save(intent)
        return _view(intent)

    def _capture(self, call: Call, identity: str) -> Answer:
        intent = self._load(identity)
        if intent["status"] != "requires_capture":
            self._wrong_state(intent, "capture")
        if call.decline_code:
            error = {"type": "card_error", "code": "card_declined", "decline_code": call.decline_code}
            raise Settled(as_json({"error": error | {"message": "Your card was declined."}}, 402))
        held = intent["amount_capturable"]
        amount = held if (asked := _amount(call.params, "amount_to_capture")) is None else asked
        if not 1 <= amount <= held:
            message = f"Amount to capture ({amount}) must be between 1 and what is capturable ({held})."
            _invalid(message, param="amount_to_capture", code="amount_too_large")
        self._take(call, intent, amount, final=self._is_final(call))
        self._save(intent)
        return self._shown(call, intent)

    def _is_final(self, call: Call) -> bool:
        final = _true(call.params.get("final_capture", "true"))
        if not final and not self._multicapture:
            _invalid("Multicapture is not available on this charge.", param="final_capture")
        return final

    def _take(self, call: Call, intent: Json, amount: int, *, final: bool = True) -> None:
        charge, taken = intent["latest_charge"], intent["amount_received"] + amount
        rest = intent["amount"] - taken
        done = final or rest == 0
        charge |= {"amount_captured": taken, "captured": True}
        intent |= {"amount_received": taken, "amount_capturable": 0 if done else rest}
        intent["status"] = "succeeded" if done else "requires_capture"
        self._operation(intent, "capture", amount, call)
        self._tell("charge.captured", intent, call, subject=charge)
        name = "payment_intent.succeeded" if done else "payment_intent.amount_capturable_updated"
        self._tell(name, intent, call)

    def _cancel(self, call: Call, identity: str) -> Answer:
        reason = call.params.get("cancellation_reason")
        if reason is not None and reason not in CANCEL_REASONS:
            _invalid(f"Invalid cancellation_reason: {reason}", param="cancellation_reason")
        intent = self._load(identity)
        if intent["status"] not in CANCELABLE:
            self._wrong_state(intent, "cancel")
        self._release(call, intent, "void", reason)
        return self._shown(call, intent)

    def _release(self, call: Call | None, intent: Json, kind: str, reason: str | None) -> None:
        if intent["amount_capturable"]:
            self._operation(intent, kind, intent["amount_capturable"], call)
        intent |= {"status": "canceled", "amount_capturable": 0, "next_action": None}
        intent |= {"canceled_at": int(self._clock.now()), "cancellation_reason": reason}
        self._save(intent)
        self._tell("payment_intent.canceled", intent, call)

    def expire_holds(self) -> None:
        """Cancel every authorization that was not captured in time."""
        sql = "SELECT doc FROM intents WHERE status = 'requires_capture' AND expires <= ?"
        for row in self._store.rows(sql, self._clock.now()):
            intent = load(row["doc"])
            self._tell("charge.expired", intent, None, subject=intent["latest_charge"])
            self._release(None, intent, "expire", "expired")

    def _get(self, call: Call, identity: str) -> Answer:
        return self._shown(call, self._load(identity))

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
        size = min(100, max(1, _amount(call.params, "limit") or 10))
        if after := call.params.get("starting_after"):
            sql, values = f"{sql} AND rowid < (SELECT rowid FROM {table} WHERE id = ?)", [*values, after]
        rows = self._store.rows(f"{sql} ORDER BY rowid DESC LIMIT ?", *values, size + 1)
        found = [_view(load(row["doc"]), expanded=_expands(call, "data.")) for row in rows[:size]]
        return as_json({"object": "list", "data": found, "has_more": len(rows) > size, "url": url})

    def _charge(self, call: Call, identity: str) -> Answer:
        sql = "SELECT doc FROM intents WHERE json_extract(doc, '$.latest_charge.id') = ?"
        row = self._store.row(sql, identity)
        return as_json(load(row["doc"])["latest_charge"]) if row else _missing("charge", identity)

    # Refunds

    def _refund(self, call: Call) -> Answer:
        reason = call.params.get("reason")
        if reason is not None and reason not in REFUND_REASONS:
            _invalid(f"Invalid reason: {reason}", param="reason")
        intent = self._load(self._refunded_intent(call.params))
        charge = intent["latest_charge"] or {}
        left = charge.get("amount_captured", 0) - charge.get("amount_refunded", 0)
        asked = _amount(call.params, "amount")
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
            _invalid("One of payment_intent or charge is required.", param="payment_intent")
        return str(row["id"])

    def _new_refund(self, call: Call, intent: Json, amount: int) -> Json:
        return {
            "id": _name("re_"), "object": "refund", "amount": amount, "charge": intent["latest_charge"]["id"],
            "created": int(self._clock.now()), "currency": intent["currency"],
            "metadata": _words(call.params.get("metadata")), "payment_intent": intent["id"],
            "reason": call.params.get("reason"), "status": "succeeded",
        }  # fmt: skip

    def _pay_back(self, call: Call, intent: Json, refund: Json) -> None:
        self._move_refund(intent["latest_charge"], refund["amount"])
        card = cards.card(str(intent["payment_method"] or ""))
        fails_at = self._clock.now() + REFUND_FAILURE if card.refund_fails else None
        self._store.run(
            "INSERT INTO refunds VALUES (?, ?, ?, ?, ?)",
            refund["id"], intent["id"], self._clock.now(), fails_at, dump(refund),
        )  # fmt: skip
        self._save(intent)
        self._operation(intent, "refund", refund["amount"], call)
        self._tell("refund.created", intent, call, subject=refund)
        self._tell("charge.refunded", intent, call, subject=intent["latest_charge"])

    def _move_refund(self, charge: Json, amount: int) -> None:
        charge["amount_refunded"] += amount
        charge["refunded"] = charge["amount_refunded"] == charge["amount_captured"]

    def fail_refund(self, identity: str) -> Json:
        """Let a refund that succeeded fail after all, and return it.

        Raises:
            Refusal: there is no such refund.
        """
        refund = self._load_refund(identity)
        if refund["status"] == "failed":
            return refund
        intent = self._load(refund["payment_intent"])
        refund |= {"status": "failed", "failure_reason": "expired_or_canceled_card"}
        self._move_refund(intent["latest_charge"], -refund["amount"])
        self._save(intent)
        sql = "UPDATE refunds SET doc = ?, fails_at = NULL WHERE id = ?"
        self._store.run(sql, dump(refund), identity)
        self._operation(intent, "refund_failed", refund["amount"], None)
        self._tell("refund.failed", intent, None, subject=refund)
        return refund

    def fail_refunds(self) -> None:
        """Fail the refunds whose card makes them fail later."""
        sql = "SELECT id FROM refunds WHERE fails_at <= ?"
        for row in self._store.rows(sql, self._clock.now()):
            self.fail_refund(row["id"])

    def _load_refund(self, identity: str) -> Json:
        row = self._store.row("SELECT doc FROM refunds WHERE id = ?", identity)
        return load(row["doc"]) if row else _missing("refund", identity)

    def _get_refund(self, call: Call, identity: str) -> Answer:
        return as_json(self._load_refund(identity))

    def _list_refunds(self, call: Call) -> Answer:
        sql, values = "SELECT doc FROM refunds WHERE 1", list[Any]()
        if intent := call.params.get("payment_intent"):
            sql, values = f"{sql} AND intent = ?", [intent]
        return self._page(call, sql, values, "/v1/refunds", "refunds")

    # Memory

    def _load(self, identity: str) -> Json:
        """Return a PaymentIntent as it is now: a hold whose time is over has expired."""
        row = self._store.row("SELECT * FROM intents WHERE id = ?", identity)
        if row is None:
            _missing("payment_intent", identity)
        if row["status"] == "requires_capture" and row["expires"] <= self._clock.now():
            self.expire_holds()
            row = self._store.row("SELECT * FROM intents WHERE id = ?", identity) or row
        return load(row["doc"])

    def _save(self, intent: Json) -> None:
        charge = intent["latest_charge"] or {}
        expires = charge.get("payment_method_details", {}).get("card", {}).get("capture_before")
        sql = (
            "INSERT INTO intents VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE"
            " SET status = excluded.status, expires = excluded.expires, doc = excluded.doc"
        )
        order = intent["metadata"].get("order_id", "")
        identity, customer, status = intent["id"], intent["customer"], intent["status"]
        self._store.run(sql, identity, order, customer, status, intent["created"], expires, dump(intent))

    def _operation(self, intent: Json, kind: str, amount: int, call: Call | None) -> None:
        self._store.run(
            "INSERT INTO operations (ref, kind, key, amount, at) VALUES (?, ?, ?, ?, ?)",
            intent["id"], kind, _key(call) if call else "", amount, self._clock.now(),
        )  # fmt: skip

    def _tell(self, name: str, intent: Json, call: Call | None, *, subject: Json | None = None) -> None:
        if not self._sender.listens(self.provider):
            return
        event = {
            "id": _name("evt_"), "object": "event", "api_version": API_VERSION,
            "created": int(self._clock.now()), "data": {"object": subject or _view(intent)},
            "livemode": False, "pending_webhooks": 1, "type": name,
            "request": {"id": None, "idempotency_key": (_key(call) or None) if call else None},
        }  # fmt: skip
        order = intent["metadata"].get("order_id", "")
        self._sender.post(self.provider, event, name, [order, intent["id"]])

    def _shown(self, call: Call, intent: Json) -> Answer:
        return as_json(_view(intent, expanded=_expands(call)))

    def _wrong_state(self, intent: Json, verb: str) -> NoReturn:
        expired = verb == "capture" and intent["cancellation_reason"] == "expired"
        code = "charge_expired_for_capture" if expired else "payment_intent_unexpected_state"
        message = f"This PaymentIntent could not be {verb}ed because it has a status of {intent['status']}."
        answer = _error(400, message, code=code, payment_intent=_view(intent))
        raise Settled(answer)


def _after(call: Call, answer: Answer) -> Answer:
    """Return the answer, or the 500 that is kept in its place although the deed was done."""
    if not call.stored_failure:
        return answer
    failed = _error(500, "An unknown error occurred", kind="api_error")
    failed.headers["stripe-should-retry"] = "false"
    return failed


def _replay(row: Row, fingerprint: str) -> Answer:
    if row["fingerprint"] != fingerprint:
        message = "Keys for idempotent requests can only be used with the same parameters they were first used with."
        return _error(400, message, kind="idempotency_error")
    headers = load(row["headers"]) | {"idempotent-replayed": "true"}
    return Answer(status=row["status"], body=bytes(row["body"]), headers=headers)


def _check_refund(intent: Json, left: int, asked: int | None) -> None:
    if not intent["amount_received"]:
        message = f"This PaymentIntent ({intent['id']}) does not have a successful charge to refund."
        raise Settled(_error(400, message, code="payment_intent_unexpected_state"))
    if left == 0:
        message = f"Charge {intent['latest_charge']['id']} has already been refunded."
        raise Settled(_error(400, message, code="charge_already_refunded"))
    if asked is not None and not 1 <= asked <= left:
        message = f"Refund amount ({asked}) is greater than unrefunded amount on charge ({left})."
        raise Settled(_error(400, message, code="amount_too_large", param="amount"))


def _view(intent: Json, *, expanded: bool = False) -> Json:
    charge = intent.get("latest_charge")
    if charge is None:
        return intent  # nothing was charged yet, or it is a refund
    return intent | {"latest_charge": charge if expanded else charge["id"]}


def _expands(call: Call, prefix: str = "") -> bool:
    asked = call.params.get("expand") or {}
    words = asked.values() if isinstance(asked, dict) else [asked]
    return f"{prefix}latest_charge" in words


def _key(call: Call) -> str:
    return call.headers.get("idempotency-key", "")


def _fingerprint(call: Call) -> str:
    return hashlib.sha256(f"{call.method} {call.path} {sorted(call.params.items())}".encode()).hexdigest()


def _error(
    status: int, message: str, *, kind: str = "invalid_request_error", code: str | None = None, **more: Any
) -> Answer:
    error = {"type": kind, "message": message} | ({"code": code} if code else {}) | more
    return as_json({"error": error}, status)


def _invalid(message: str, *, param: str | None = None, code: str | None = None) -> NoReturn:
    more = {"param": param} if param else {}
    raise Refusal(_error(400, message, code=code, **more))


def _missing(kind: str, identity: str) -> NoReturn:
    raise Refusal(_error(404, f"No such {kind}: '{identity}'", code="resource_missing", param="id"))


def _name(prefix: str) -> str:
    return prefix + uuid4().hex[:24]


def _amount(params: Json, name: str) -> int | None:
    value = params.get(name)
    if value is None:
        return None
    if not str(value).isdigit():
        _invalid(f"Invalid integer: {value}", param=name, code="parameter_invalid_integer")
    return int(value)


def _within(value: Any, name: str) -> float | None:
    limit = value.get(name) if isinstance(value, dict) else None
    return None if limit is None else float(limit)


def _words(value: Any) -> Json:
    return {str(k): str(v) for k, v in value.items()} if isinstance(value, dict) else {}


def _true(value: Any) -> bool:
    return str(value).lower() == "true"
