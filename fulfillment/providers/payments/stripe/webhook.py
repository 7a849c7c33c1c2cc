"""Stripe's webhooks: is this one genuine, and what does it say. Pure."""

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from fulfillment.domain.payment import PaymentStatus
from fulfillment.domain.payment_news import (
    DisputeHint,
    FraudWarningHint,
    Hint,
    MethodHint,
    PaymentHint,
    RefundHint,
    ReviewHint,
)
from fulfillment.providers.payments.stripe import codes

TOLERANCE: Final = timedelta(seconds=300)
SIGNATURE_HEADER: Final = "stripe-signature"
# https://docs.stripe.com/api/radar/reviews/object: for these a review ends without harm
_GOOD_ENDS: Final = frozenset({"approved", "acknowledged"})


class BadEvent(ValueError):
    """A genuine request whose body is no event of Stripe's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """One event: its id, when it happened by the provider's clock, and what it says in our words."""

    event_id: str
    occurred_at: datetime
    hint: Hint


def verify(body: bytes, headers: Mapping[str, str], secrets: Sequence[str], *, now: datetime) -> bool:
    """Test whether Stripe sent these bytes within the tolerance; `now` is real time.

    Several secrets are accepted while one replaces another; an empty one accepts nothing. Header names are
    expected in lower case.
    """
    at, signatures = _signature(headers.get(SIGNATURE_HEADER, ""))
    if not at or abs(now - datetime.fromtimestamp(int(at), UTC)) > TOLERANCE:
        return False
    signed = f"{at}.".encode() + body
    expected = [_hmac(secret, signed) for secret in secrets if secret]
    return any(hmac.compare_digest(a, b.encode()) for a in expected for b in signatures)


def parse(body: bytes) -> News:
    """Return what an event says. One that means nothing to us is a hint without a status.

    Raises:
        BadEvent: this is no event of Stripe's.
    """
    try:
        event = json.loads(body)
        return News(
            event_id=str(event["id"]),
            occurred_at=datetime.fromtimestamp(event["created"], UTC),
            hint=_hint(str(event["type"]), event["data"]["object"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise BadEvent(f"no event of Stripe's: {error!r}") from error


def _hint(kind: str, subject: Mapping[str, Any]) -> Hint:
    """Return what the object of an event says; the object decides, because every event of its kind brings one."""
    match subject["object"]:
        case "payment_intent":
            return _payment(kind, subject)
        case "refund":
            return _refund(kind, subject)
        case "dispute":
            return _dispute(kind, subject)
        case "review":
            return _review(kind, subject)
        case "radar.early_fraud_warning":
            return _fraud_warning(kind, subject)
        case "setup_intent" if subject.get("status") == "succeeded":
            return _method(kind, subject)
        case _:
            return _other(kind, subject)


def _payment(kind: str, intent: Mapping[str, Any]) -> PaymentHint:
    charge = intent.get("latest_charge")
    return PaymentHint(
        kind=kind,
        reference=str(intent["id"]),
        operation=_ours(intent, "operation"),
        status=codes.payment_status(intent["status"], intent.get("cancellation_reason")),
        expires_at=codes.capture_before(charge) if isinstance(charge, dict) else None,
    )


def _refund(kind: str, refund: Mapping[str, Any]) -> RefundHint:
    snapshot = codes.refund_snapshot(refund)
    return RefundHint(
        kind=kind,
        reference=_id(refund.get("payment_intent")),
        refund=snapshot.reference,
        status=snapshot.status,
        operation=_ours(refund, "operation"),
        reason=snapshot.reason,
    )


def _dispute(kind: str, dispute: Mapping[str, Any]) -> DisputeHint:
    currency = str(dispute["currency"]).upper()
    due = (dispute.get("evidence_details") or {}).get("due_by")  # 0 where no answer is possible
    return DisputeHint(
        kind=kind,
        reference=_id(dispute.get("payment_intent")),
        dispute=str(dispute["id"]),
        reason=str(dispute.get("reason") or ""),
        amount=codes.from_stripe(dispute["amount"], currency),
        state=str(dispute["status"]),
        is_over=codes.dispute_is_over(str(dispute["status"])),
        evidence_due_at=datetime.fromtimestamp(due, UTC) if due else None,
    )


def _review(kind: str, review: Mapping[str, Any]) -> ReviewHint:
    return ReviewHint(
        kind=kind,
        reference=_id(review.get("payment_intent")),
        is_open=bool(review["open"]),
        approved=review.get("closed_reason") in _GOOD_ENDS,
    )


def _fraud_warning(kind: str, warning: Mapping[str, Any]) -> FraudWarningHint:
    # https://docs.stripe.com/api/radar/early_fraud_warnings/object: actionable until refunded in full or disputed
    return FraudWarningHint(
        kind=kind,
        reference=_id(warning.get("payment_intent")),
        reason=str(warning.get("fraud_type") or ""),
        can_be_answered=bool(warning["actionable"]),
    )


def _method(kind: str, setup: Mapping[str, Any]) -> MethodHint:
    owner, card = _id(setup.get("customer")), _id(setup["payment_method"])
    return MethodHint(
        kind=kind,
        reference=str(setup["id"]),
        order_id=_ours(setup, "order_id"),
        method=f"{owner}/{card}" if owner else card,
    )


def _other(kind: str, subject: Mapping[str, Any]) -> PaymentHint:
    """Return news of something else, a charge for example; that one ran out is news of its payment."""
    return PaymentHint(
        kind=kind,
        reference=_id(subject.get("payment_intent")),
        operation=_ours(subject, "operation"),
        status=PaymentStatus.EXPIRED if kind == "charge.expired" else None,
    )


def _ours(thing: Mapping[str, Any], name: str) -> str:
    return str((thing.get("metadata") or {}).get(name, ""))


def _id(thing: Any) -> str:
    """Return the id of what may be an id, an object, or absent."""
    return str(thing["id"] if isinstance(thing, dict) else thing or "")


def _signature(header: str) -> tuple[str, list[str]]:
    """Return the timestamp and the v1 signatures of `t=..,v1=..,v1=..`; no timestamp if it is none."""
    pairs = [part.strip().partition("=")[::2] for part in header.split(",")]
    at = next((value for name, value in pairs if name == "t"), "")
    is_moment = at.isascii() and at.isdigit() and len(at) <= 11
    return at if is_moment else "", [value for name, value in pairs if name == "v1"]


def _hmac(secret: str, signed: bytes) -> bytes:
    return hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest().encode()
