"""Payments at Stripe: one PaymentIntent per authorization, captured or cancelled once."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from fulfillment.crashpoints import crashpoint
from fulfillment.domain.money import Money
from fulfillment.domain.payment import AuthorizationExpired, Declined, PaymentSnapshot, PaymentStatus
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

# No card authorization lives longer than seven days (https://docs.stripe.com/payments/place-a-hold-on-a-
# payment-method), so an older payment holds no money and need not be found. One day more for the clocks.
_WORTH_FINDING: Final = timedelta(days=8)
_PAGE: Final = 100
_PAGES: Final = 100


class StripeGateway:
    """The payment gateway at Stripe. `now` is the shop's clock, by which Stripe dates what it makes.

    `key_life` is real time, and an hour less than Stripe promises to keep an idempotency key.
    """

    key_life: timedelta = timedelta(hours=23)

    def __init__(
        self, *, key: str, now: Callable[[], datetime], base_url: str = "https://api.stripe.com"
    ) -> None:
        self._now = now
        self._http = ProviderHttp(
            "Stripe",
            base_url,
            headers={"authorization": f"Bearer {key}", "stripe-version": API_VERSION},
            read_timeout=_READ_TIMEOUT,
            request_id_header="request-id",
            explain=_explain,
        )

    def authorize(
        self, amount: Money, *, method: str, key: str, operation: str, order_id: str
    ) -> PaymentSnapshot:
        """Reserve the amount on the card."""
        form = [
            ("amount", str(codes.to_stripe(amount.minor, amount.currency))),
            ("currency", amount.currency.lower()),
            ("capture_method", "manual"),
            ("confirm", "true"),
            ("payment_method", method),
            ("payment_method_types[]", "card"),
            ("metadata[order_id]", order_id),
            ("metadata[operation]", operation),
            _EXPAND,
        ]
        reply = self._submit("/v1/payment_intents", form, key)
        crashpoint("authorize.after_effect")
        return _decided(reply)

    def capture(self, reference: str, amount: Money, *, key: str) -> PaymentSnapshot:
        """Take the amount of what is reserved; the rest is let go."""
        form = [("amount_to_capture", str(codes.to_stripe(amount.minor, amount.currency))), _EXPAND]
        reply = self._submit(f"/v1/payment_intents/{reference}/capture", form, key)
        crashpoint("capture.after_effect")
        return _snapshot(reply)

    def void(self, reference: str, *, key: str) -> PaymentSnapshot:
        """Let go what is reserved."""
        reply = self._submit(f"/v1/payment_intents/{reference}/cancel", [_EXPAND], key)
        crashpoint("void.after_effect")
        return _snapshot(reply)

    def refund(self, reference: str, amount: Money, *, key: str, operation: str) -> str:
        """Give the amount back and return the refund's reference.

        Raises:
            Rejected: the refund failed at once.
        """
        form = [
            ("payment_intent", reference),
            ("amount", str(codes.to_stripe(amount.minor, amount.currency))),
            ("metadata[operation]", operation),
        ]
        reply = self._submit("/v1/refunds", form, key)
        crashpoint("refund.after_effect")
        with legible(reply):
            return _refund_reference(reply.body)

    def ask(self, reference: str) -> PaymentSnapshot:
        """Return the payment as it stands."""
        return _snapshot(self._http.read(f"/v1/payment_intents/{reference}", [_EXPAND]))

    def find(self, operation: str) -> PaymentSnapshot | None:
        """Return the newest payment this operation made, or None when there is none that could hold money.

        Raises:
            Declined: there is one, and the bank said no.
            ProviderUnavailable: too many payments to look through, so nothing is proven.
        """
        since = int((self._now() - _WORTH_FINDING).timestamp())
        for intent in self._listed("/v1/payment_intents", [("created[gte]", str(since))]):
            if _made_by(intent, operation):
                return _decided(self._http.read(f"/v1/payment_intents/{intent['id']}", [_EXPAND]))
        return None

    def find_refund(self, reference: str, operation: str) -> str | None:
        """Return the reference of the refund this operation made, or None when there is none.

        Raises:
            Rejected: there is one, and it failed.
        """
        for refund in self._listed("/v1/refunds", [("payment_intent", reference)]):
            if _made_by(refund, operation):
                return _refund_reference(refund)
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
    the amounts, which follow from the status then."""
    currency = intent["currency"].upper()
    status = codes.payment_status(intent["status"], intent.get("cancellation_reason"))
    charge = intent.get("latest_charge")
    details = charge if isinstance(charge, dict) else {}
    was_held = status in _WAS_HELD and bool(charge)
    taken = intent["amount"] if status is PaymentStatus.CAPTURED else 0
    return PaymentSnapshot(
        reference=intent["id"],
        status=status,
        authorized=codes.from_stripe(intent["amount"], currency) if was_held else 0,
        captured=codes.from_stripe(intent.get("amount_received", taken), currency),
        refunded=codes.from_stripe(details.get("amount_refunded") or 0, currency),
        expires_at=_capture_before(details) if status is PaymentStatus.AUTHORIZED else None,
        risk_score=(details.get("outcome") or {}).get("risk_score"),
        next_action_url=_next_action(intent),
    )


_WAS_HELD: Final = frozenset(
    {PaymentStatus.AUTHORIZED, PaymentStatus.CAPTURED, PaymentStatus.VOIDED, PaymentStatus.EXPIRED}
)


def _capture_before(charge: Mapping[str, Any]) -> datetime | None:
    card = (charge.get("payment_method_details") or {}).get("card") or {}
    before = card.get("capture_before")
    return datetime.fromtimestamp(before, UTC) if before else None


def _next_action(intent: Mapping[str, Any]) -> str | None:
    action = intent.get("next_action") or {}
    return (action.get("redirect_to_url") or {}).get("url")


def _refund_reference(refund: Mapping[str, Any]) -> str:
    if refund["status"] in ("failed", "canceled"):
        reason = str(refund.get("failure_reason") or refund["status"])
        raise Rejected(f"refund {refund['id']} failed: {reason}", code=reason)
    return str(refund["id"])


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
