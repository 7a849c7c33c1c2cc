"""Providers' webhooks: genuine ones recorded once and handed on, all others turned away."""

import hashlib
import hmac
import json
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from fulfillment.domain.payment import PaymentStatus
from tests.starter.world import EASYPOST_SECRET, STRIPE_SECRET, World


def a_payment_event(kind: str = "payment_intent.succeeded", **changes: Any) -> bytes:
    subject = {
        "id": "pi_1",
        "object": "payment_intent",
        "status": "succeeded",
        "metadata": {"order_id": "SO-10483", "operation": "SO-10483:authorize:SO-10483-1:1"},
    } | changes
    event = {"id": "evt_1", "type": kind, "created": 1795435200, "data": {"object": subject}}
    return json.dumps(event).encode()


def a_tracker_event(event_id: str = "evt_9", code: str = "1Z999AA10123456781") -> bytes:
    tracker = {"carrier": "UPS", "tracking_code": code, "tracking_details": []}
    return json.dumps({"id": event_id, "description": "tracker.updated", "result": tracker}).encode()


def from_stripe(
    body: bytes, world: World, *, secret: str = STRIPE_SECRET, late: timedelta = timedelta(0)
) -> Any:
    at = int((world.now - late).timestamp())
    signature = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return {"content": body, "headers": {"Stripe-Signature": f"t={at},v1={signature}"}}


def from_easypost(body: bytes, *, secret: str = EASYPOST_SECRET) -> Any:
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {"content": body, "headers": {"X-Hmac-Signature": f"hmac-sha256-hex={signature}"}}


async def test_the_same_payment_event_ten_times_has_one_effect(anybody: Any, world: World) -> None:
    for _ in range(10):
        response = await anybody.post("/webhooks/stripe", **from_stripe(a_payment_event(), world))
        assert response.status_code == 202

    assert world.books.recorded == [("stripe", "evt_1")]
    (hint,) = world.books.hints
    assert (hint.reference, hint.operation) == ("pi_1", "SO-10483:authorize:SO-10483-1:1")
    assert len(world.processes.delivered) == 1


async def test_the_same_report_ten_times_has_one_effect(anybody: Any, world: World) -> None:
    for _ in range(10):
        response = await anybody.post("/webhooks/easypost", **from_easypost(a_tracker_event()))
        assert response.status_code == 202

    assert world.books.recorded == [("easypost", "evt_9")]
    assert [fact.name for fact in world.processes.delivered] == ["milestone"]


async def test_p36_a_status_in_no_table_is_recorded_and_counted(anybody: Any, world: World) -> None:
    said = {"status": "teleported", "datetime": "2026-11-23T08:00:00Z"}
    tracker = {"carrier": "UPS", "tracking_code": "1Z999AA10123456781", "tracking_details": [said]}
    event = json.dumps({"id": "evt_8", "description": "tracker.updated", "result": tracker}).encode()
    count = 'waybill_unknown_tracking_codes_total{provider="easypost"}'
    before = _counted((await anybody.get("/metrics")).text, count)

    response = await anybody.post("/webhooks/easypost", **from_easypost(event))

    assert response.status_code == 202
    assert world.books.recorded == [("easypost", "evt_8")]
    assert _counted((await anybody.get("/metrics")).text, count) == before + 1


def _counted(page: str, name: str) -> float:
    return next((float(line.rpartition(" ")[2]) for line in page.splitlines() if line.startswith(name)), 0.0)


@pytest.mark.parametrize(
    ("kind", "changes", "status"),
    [
        ("payment_intent.succeeded", {}, PaymentStatus.CAPTURED),
        (
            "payment_intent.amount_capturable_updated",
            {"status": "requires_capture"},
            PaymentStatus.AUTHORIZED,
        ),
        ("payment_intent.canceled", {"status": "canceled"}, PaymentStatus.VOIDED),
        (
            "payment_intent.canceled",
            {"status": "canceled", "cancellation_reason": "automatic"},
            PaymentStatus.EXPIRED,
        ),
        (
            "charge.expired",
            {"object": "charge", "id": "ch_1", "payment_intent": "pi_1"},
            PaymentStatus.EXPIRED,
        ),
        ("charge.refunded", {"object": "charge", "id": "ch_1", "payment_intent": "pi_1"}, None),
        ("invoice.paid", {"object": "invoice", "id": "in_1"}, None),
    ],
)
async def test_a_payment_event_is_read_in_our_words(
    anybody: Any, world: World, kind: str, changes: dict[str, str], status: PaymentStatus | None
) -> None:
    await anybody.post("/webhooks/stripe", **from_stripe(a_payment_event(kind, **changes), world))

    (hint,) = world.books.hints
    assert (hint.kind, hint.status) == (kind, status)


async def test_a_bad_signature_is_turned_away_and_recorded_nowhere_but_the_log(
    anybody: Any, world: World, logged: list[Any]
) -> None:
    good_body, other_body = a_payment_event(), a_payment_event("charge.expired")
    borrowed = from_stripe(good_body, world) | {"content": other_body}
    forged = [
        ("/webhooks/stripe", from_stripe(good_body, world, secret="guessed")),
        ("/webhooks/stripe", from_stripe(good_body, world, secret="")),
        ("/webhooks/stripe", borrowed),
        ("/webhooks/stripe", from_stripe(good_body, world, late=timedelta(minutes=6))),
        ("/webhooks/stripe", from_stripe(good_body, world, late=-timedelta(minutes=6))),
        ("/webhooks/stripe", {"content": good_body}),
        ("/webhooks/easypost", from_easypost(a_tracker_event(), secret="guessed")),
        ("/webhooks/easypost", {"content": a_tracker_event()}),
        ("/webhooks/easypost", {"content": b"", "headers": {"X-Hmac-Signature": "hmac-sha256-hex="}}),
    ]

    for path, request in forged:
        response = await anybody.post(path, **request)

        assert response.status_code == 401
        assert response.json()["code"] == "bad_signature"
    assert [line["event"] for line in logged] == ["webhook with a bad signature"] * len(forged)
    assert world.books.recorded == []
    assert world.processes.delivered == []


@pytest.mark.parametrize("body", [b"{}", b"[]", b"not json", b'{"id": "evt_1"}'])
async def test_a_genuine_request_we_cannot_read_is_refused(anybody: Any, world: World, body: bytes) -> None:
    stripe = await anybody.post("/webhooks/stripe", **from_stripe(body, world))
    easypost = await anybody.post("/webhooks/easypost", **from_easypost(body))

    assert stripe.status_code == easypost.status_code == 400
    assert world.books.recorded == []


async def test_an_event_that_could_not_be_stored_is_not_accepted(anybody: Any, world: World) -> None:
    world.books.away = OperationalError("INSERT", {}, Exception("gone"))

    response = await anybody.post("/webhooks/stripe", **from_stripe(a_payment_event(), world))

    assert response.status_code == 503
    assert world.processes.delivered == []


async def test_a_report_about_no_parcel_is_accepted_and_left_alone(anybody: Any, world: World) -> None:
    body = json.dumps({"id": "evt_2", "description": "batch.created", "result": {}}).encode()

    response = await anybody.post("/webhooks/easypost", **from_easypost(body))

    assert response.status_code == 202
    assert world.books.recorded == []


async def test_a_webhook_beyond_64_kb_is_refused(anybody: Any, world: World) -> None:
    body = a_payment_event(description="x" * 70_000)

    response = await anybody.post("/webhooks/stripe", **from_stripe(body, world))

    assert response.status_code == 413
    assert world.books.recorded == []
