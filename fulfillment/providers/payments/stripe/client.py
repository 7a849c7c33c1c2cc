"""Payments at Stripe: one PaymentIntent per authorization, captured at once or in parts, or cancelled."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from fulfillment.crashpoints import crashpoint
from fulfillment.domain.money import Money
from fulfillment.domain.payment import (
    AuthorizationExpired,
    Declined,
    PaymentSnapshot,
    PaymentStatus,
    RefundSnapshot,
)
from fulfillment.domain.provider_errors import (
    Conflict,
    FailureStored,
    NotFound,
    ProviderUnavailable,
    RateLimited,
    Rejected,
    StateConflict,
)
from fulfillment.http import Form, ProviderHttp, Reply, legible, retry_after
from fulfillment.providers.payments.stripe import codes

API_VERSION: Final = "2026-10-28.endive"
_READ_TIMEOUT: Final = 45.0
_EXPAND: Final = ("expand[]", "latest_charge")
_IN_PARTS: Final = ("payment_method_options[card][request_multicapture]", "if_available")
_THE_REST: Final = (("amount_to_capture", "0"), ("final_capture", "true"))

# No card authorization lives longer than seven days (https://docs.stripe.com/payments/place-a-hold-on-a-
# payment-method), so an older payment holds no money and need not be found. One day more for the clocks.
_WORTH_FINDING: Final = timedelta(days=8)
_PAGE: Final = 100
_PAGES: Final = 100


class StripeGateway:
    """The payment gateway at Stripe. `now` is the shop's clock, by which Stripe dates what it makes.

    `key_life` is real time, and an hour less than Stripe promises to keep an idempotency key. `return_url` is
    where the bank sends a customer back to who had to confirm; without one Stripe asks no customer anything.
    A saved card is charged only together with its owner, so its method names both: `cus_1/pm_1`.
    """

    key_life: timedelta = timedelta(hours=23)
    multicapture: bool = True

    def __init__(
        self,
        *,
        key: str,
        now: Callable[[], datetime],
        base_url: str = "https://api.stripe.com",
        return_url: str = "",
        read_timeout: float = _READ_TIMEOUT,
    ) -> None:
        self._now, self._return_url = now, return_url
        self._http = ProviderHttp(
            "Stripe",
            base_url,
            headers={"authorization": f"Bearer {key}", "stripe-version": API_VERSION},
            read_timeout=read_timeout,
            request_id_header="request-id",
            explain=_explain,
        )

    def authorize(
        self, amount: Money, *, method: str, key: str, operation: str, order_id: str, several: bool
    ) -> PaymentSnapshot:
        """Reserve the amount on the card; `several` asks for a charge that can be captured in parts."""
        form = [
            ("amount", str(codes.to_stripe(amount.minor, amount.currency))),
            ("currency", amount.currency.lower()),
            ("capture_method", "manual"),
            ("confirm", "true"),
            *_paid_with(method),
            ("metadata[order_id]", order_id),
            ("metadata[operation]", operation),
            *([("return_url", self._return_url)] if self._return_url else []),
            *([_IN_PARTS] if several else []),
            _EXPAND,
        ]
        reply = self._submit("/v1/payment_intents", form, key)
        crashpoint("authorize.after_effect")
        return _decided(reply)

    def capture(self, reference: str, amount: Money, *, key: str, final: bool) -> PaymentSnapshot:
        """Take this amount more; `final` lets the rest go."""
        form = [("amount_to_capture", str(codes.to_stripe(amount.minor, amount.currency))), _EXPAND]
        # Without multicapture every capture is the last one, and the word itself is refused.
        form += [] if final else [("final_capture", "false")]
        reply = self._submit(f"/v1/payment_intents/{reference}/capture", form, key)
        crashpoint("capture.after_effect")
        return _snapshot(reply)

    def void(self, reference: str, *, key: str) -> PaymentSnapshot:
        """Let go what is reserved and not taken.

        Of a payment captured in part Stripe lets the rest go by a last capture of nothing
        (https://docs.stripe.com/payments/multicapture); any other is cancelled.
        """
        if self.ask(reference).captured:
            path, form = f"/v1/payment_intents/{reference}/capture", [*_THE_REST, _EXPAND]
        else:
            path, form = f"/v1/payment_intents/{reference}/cancel", [_EXPAND]
        reply = self._submit(path, form, key)
        crashpoint("void.after_effect")
        return _snapshot(reply)

    def refund(self, reference: str, amount: Money, *, key: str, operation: str) -> RefundSnapshot:
        """Give the amount back. A refund that failed at once is a snapshot, too."""
        form = [
            ("payment_intent", reference),
            ("amount", str(codes.to_stripe(amount.minor, amount.currency))),
            ("metadata[operation]", operation),
        ]
        reply = self._submit("/v1/refunds", form, key)
        crashpoint("refund.after_effect")
        with legible(reply):
            return codes.refund_snapshot(reply.body)

    def method_link(self, order_id: str, *, return_url: str, key: str) -> str:
        """Return Stripe's page on which the customer saves another card; the webhook brings it."""
        form = [
            ("mode", "setup"),
            ("allowed_payment_method_types[]", "card"),
            ("customer_creation", "always"),  # a card without an owner can be charged once only
            ("success_url", return_url),
            ("cancel_url", return_url),
            ("client_reference_id", order_id),
            ("metadata[order_id]", order_id),
            ("setup_intent_data[metadata][order_id]", order_id),
        ]
        reply = self._submit("/v1/checkout/sessions", form, key)
        with legible(reply):
            return str(reply.body["url"])

    def ask(self, reference: str) -> PaymentSnapshot:
        """Return the payment as it stands."""
        return _snapshot(self._http.read(f"/v1/payment_intents/{reference}", [_EXPAND]))

    def find(self, operation: str) -> PaymentSnapshot | None:
        """Return the newest payment this operation made, or None when there is none that could hold money.

        Raises:
            Declined: there is one, and the bank said no.
            ProviderUnavailable: too many payments to look through, so nothing is proven.
        """
        since = (self._now() - _WORTH_FINDING).timestamp()
        for intent in self._listed("/v1/payment_intents", []):
            if _made_by(intent, operation):
                return _decided(self._http.read(f"/v1/payment_intents/{intent['id']}", [_EXPAND]))
            if intent["created"] < since:  # newest first, so nothing younger follows
                return None
        return None

    def find_refund(self, reference: str, operation: str) -> RefundSnapshot | None:
        """Return the newest refund this operation made, or None when there is none."""
        for refund in self._listed("/v1/refunds", [("payment_intent", reference)]):
            if _made_by(refund, operation):
                return codes.refund_snapshot(refund)
        return None

    def close(self) -> None:
        """Close every connection."""
        self._http.close()

    def _submit(self, path: str, form: Form, key: str) -> Reply:
        return self._http.submit(path, form, headers={"idempotency-key": key})

    def _listed(self, path: str, params: Form) -> Iterator[Mapping[str, Any]]:
        """Yield a list's objects, newest first. A list is current; Stripe's Search lags behind."""
        after: list[tuple[str, str]] = []
        for _ in range(_PAGES):
            reply = self._http.read(path, [*params, ("limit", str(_PAGE)), *after])
            with legible(reply):
                found, more = list(reply.body["data"]), bool(reply.body["has_more"])
                after = [("starting_after", found[-1]["id"])] if more else []
            yield from found
            if not more:
                return
        raise ProviderUnavailable(f"more than {_PAGE * _PAGES} objects at {path}: nothing is proven")


def _made_by(thing: Mapping[str, Any], operation: str) -> bool:
    return bool((thing.get("metadata") or {}).get("operation") == operation)


def _paid_with(method: str) -> Form:
    """Return what to charge: a card alone, or a saved one with its owner."""
    owner, _, card = method.rpartition("/")
    return [("payment_method", card), *([("customer", owner)] if owner else [])]


def _decided(reply: Reply) -> PaymentSnapshot:
    """Return the payment, unless the bank has declined it."""
    snapshot = _snapshot(reply)
    if snapshot.status is PaymentStatus.DECLINED:
        raise _declined(reply.body.get("last_payment_error") or {})
    return snapshot


def _snapshot(reply: Reply) -> PaymentSnapshot:
    with legible(reply):
        return snapshot_of(reply.body)


def snapshot_of(intent: Mapping[str, Any]) -> PaymentSnapshot:
    """Return what a PaymentIntent says. `latest_charge` may be an id or an object; older servers leave out
    the amounts, which follow from the charge or the status then."""
    currency = intent["currency"].upper()
    status = codes.payment_status(intent["status"], intent.get("cancellation_reason"))
    charge = intent.get("latest_charge")
    details = charge if isinstance(charge, dict) else {}
    card = (details.get("payment_method_details") or {}).get("card") or {}
    was_held = status in _WAS_HELD and bool(charge)
    no = intent.get("last_payment_error") or {} if status is PaymentStatus.DECLINED else {}
    return PaymentSnapshot(
        reference=intent["id"],
        status=status,
        authorized=codes.from_stripe(intent["amount"], currency) if was_held else 0,
        captured=codes.from_stripe(_taken(intent, details, status), currency),
        refunded=codes.from_stripe(details.get("amount_refunded") or 0, currency),
        expires_at=codes.capture_before(details) if status is PaymentStatus.AUTHORIZED else None,
        risk_score=(details.get("outcome") or {}).get("risk_score"),
        risk_level=codes.risk_level((details.get("outcome") or {}).get("risk_level")),
        next_action_url=_next_action(intent),
        multicapture=(card.get("multicapture") or {}).get("status") == "available",
        decline_group=codes.decline_group(no) if status is PaymentStatus.DECLINED else None,
        decline_code=str(no.get("decline_code") or no.get("code") or ""),
        card_country=card.get("country"),
    )


_WAS_HELD: Final = frozenset(
    {PaymentStatus.AUTHORIZED, PaymentStatus.CAPTURED, PaymentStatus.VOIDED, PaymentStatus.EXPIRED}
)


def _taken(intent: Mapping[str, Any], charge: Mapping[str, Any], status: PaymentStatus) -> int:
    """Return what was captured, in Stripe's unit."""
    if "amount_received" in intent:
        return int(intent["amount_received"])
    if status is not PaymentStatus.CAPTURED:
        return 0
    return int(charge.get("amount_captured", intent["amount"]))


def _next_action(intent: Mapping[str, Any]) -> str | None:
    action = intent.get("next_action") or {}
    return (action.get("redirect_to_url") or {}).get("url")


def _declined(error: Mapping[str, Any]) -> Declined:
    return Declined(codes.decline_group(error), str(error.get("decline_code") or error.get("code") or ""))


def _explain(reply: Reply) -> Exception | None:
    """Return what an error of Stripe means (https://docs.stripe.com/error-low-level), None to go by status."""
    error = reply.body.get("error")
    error = error if isinstance(error, dict) else {}
    code, said = str(error.get("code") or error.get("type") or ""), f"Stripe: {error.get('message', '')}"
    about = {"code": code, "request_id": reply.request_id}
    if reply.status == 402:
        return _declined(error)
    if code in codes.IN_USE:
        return Conflict(said, **about)
    if reply.status == 429:
        wait = retry_after(reply.headers.get("retry-after", ""))
        return RateLimited(said, retry_after=wait, **about)
    if reply.status >= 500:
        return _stored(reply, said, about)
    return _refused(reply.status, code, said, about)


def _stored(reply: Reply, said: str, about: Mapping[str, str]) -> Exception | None:
    kept = reply.was_change and reply.headers.get("stripe-should-retry") == "false"
    return FailureStored(said, **about) if kept else None


def _refused(status: int, code: str, said: str, about: Mapping[str, str]) -> Exception | None:
    if code in codes.EXPIRED:
        return AuthorizationExpired(said)
    if code in codes.STATE_CONFLICTS:
        return StateConflict(said, **about)
    if status in (401, 403) or not code:
        return None
    return (NotFound if status == 404 else Rejected)(said, **about)
