"""The Stripe adapter against the simulator, answers lost on the way included."""

from collections.abc import Iterator
from datetime import timedelta
from itertools import count

import pytest

from fulfillment.domain.money import Money
from fulfillment.domain.payment import (
    AuthorizationExpired,
    Declined,
    DeclineGroup,
    PaymentSnapshot,
    PaymentStatus,
    RefundStatus,
    RiskLevel,
)
from fulfillment.domain.payment_news import MethodHint
from fulfillment.domain.provider_errors import (
    AuthConfig,
    Conflict,
    FailureStored,
    NotFound,
    OutcomeUnknown,
    ProviderUnavailable,
    RateLimited,
    Rejected,
    StateConflict,
)
from fulfillment.http import Reply
from fulfillment.providers.payments.stripe import webhook
from fulfillment.providers.payments.stripe.client import StripeGateway, _explain, snapshot_of
from tests.devstack.simulators.conftest import Listener, Simulator, wait_for
from tests.providers.conftest import world_time

AMOUNT = Money(minor=6600, currency="USD")
_numbers = count(1)


@pytest.fixture
def gateway(world: Simulator) -> Iterator[StripeGateway]:
    gateway = _gateway(world)
    yield gateway
    gateway.close()


@pytest.fixture
def in_parts(world: Simulator) -> Iterator[Simulator]:
    """The world with an account that may capture in parts."""
    world.http.post("/_sim/account", json={"multicapture": True})
    yield world
    world.http.post("/_sim/account", json={"multicapture": False})


@pytest.fixture
def order_id() -> str:
    return f"SO-P{next(_numbers)}"


def _gateway(world: Simulator) -> StripeGateway:
    return StripeGateway(
        key="sk_test_1",
        base_url=f"{world.url}/stripe",
        now=lambda: world_time(world),
        return_url="http://shop.test/back",
    )


def authorize(
    gateway: StripeGateway,
    order_id: str,
    method: str = "pm_card_visa",
    key: str = "",
    several: bool = False,
) -> PaymentSnapshot:
    operation = f"{order_id}:authorize:{order_id}-1:1"
    return gateway.authorize(
        AMOUNT,
        method=method,
        key=key or operation,
        operation=operation,
        order_id=order_id,
        several=several,
    )


def test_an_authorization_holds_the_amount_until_the_moment_the_provider_names(
    gateway: StripeGateway, world: Simulator, order_id: str
) -> None:
    snapshot = authorize(gateway, order_id)

    assert (snapshot.status, snapshot.authorized, snapshot.captured) == (PaymentStatus.AUTHORIZED, 6600, 0)
    assert snapshot.expires_at is not None
    assert timedelta(days=6) < snapshot.expires_at - world_time(world) <= timedelta(days=7)
    assert world.payment(order_id)["ref"] == snapshot.reference


@pytest.mark.parametrize(
    ("card", "level", "score"),
    [("pm_card_riskLevelElevated", RiskLevel.ELEVATED, 78), ("pm_card_visa", RiskLevel.NORMAL, 12)],
)
def test_a_card_is_authorized_with_its_risk(
    gateway: StripeGateway, order_id: str, card: str, level: RiskLevel, score: int
) -> None:
    snapshot = authorize(gateway, order_id, card)

    assert (snapshot.risk_level, snapshot.risk_score) == (level, score)


def test_a_capture_takes_what_is_asked_and_lets_the_rest_go(
    gateway: StripeGateway, world: Simulator, order_id: str
) -> None:
    held = authorize(gateway, order_id)

    taken = gateway.capture(
        held.reference, Money(minor=4000, currency="USD"), key=f"{order_id}:capture", final=True
    )

    assert (taken.status, taken.authorized, taken.captured) == (PaymentStatus.CAPTURED, 6600, 4000)
    assert world.payment(order_id)["captured"] == 4000


def test_a_void_lets_the_money_go(gateway: StripeGateway, world: Simulator, order_id: str) -> None:
    held = authorize(gateway, order_id)

    gone = gateway.void(held.reference, key=f"{order_id}:void")

    assert (gone.status, gone.captured) == (PaymentStatus.VOIDED, 0)
    assert world.payment(order_id)["state"] == "canceled"


def test_a_refund_says_how_it_stands_and_can_be_found_by_its_operation(
    gateway: StripeGateway, world: Simulator, order_id: str
) -> None:
    held = authorize(gateway, order_id)
    gateway.capture(held.reference, AMOUNT, key=f"{order_id}:capture", final=True)

    refund = gateway.refund(held.reference, AMOUNT, key=f"{order_id}:refund", operation="refund-1")

    assert refund.status is RefundStatus.SUCCEEDED
    assert gateway.find_refund(held.reference, "refund-1") == refund
    assert gateway.find_refund(held.reference, "refund-2") is None
    assert gateway.ask(held.reference).refunded == world.payment(order_id)["refunded"] == 6600


def test_the_same_key_takes_the_money_once(gateway: StripeGateway, world: Simulator, order_id: str) -> None:
    held = authorize(gateway, order_id)
    again = authorize(gateway, order_id)
    for _ in range(2):
        gateway.capture(held.reference, AMOUNT, key=f"{order_id}:capture", final=True)

    kinds = [operation["kind"] for operation in world.payment(order_id)["operations"]]
    assert again.reference == held.reference
    assert kinds == ["authorize", "capture"]


@pytest.mark.parametrize(
    ("method", "group"),
    [
        ("pm_card_chargeDeclinedProcessingError", DeclineGroup.RETRY_LATER),
        ("pm_card_chargeDeclinedInsufficientFunds", DeclineGroup.RETRY_LATER),
        ("pm_card_chargeDeclinedIncorrectCvc", DeclineGroup.CHECK_DETAILS),
        ("pm_card_chargeDeclinedExpiredCard", DeclineGroup.CHECK_DETAILS),
        ("pm_card_chargeDeclined", DeclineGroup.OTHER_METHOD),
        ("pm_card_chargeDeclinedVelocityLimitExceeded", DeclineGroup.OTHER_METHOD),
        ("pm_card_chargeDeclinedLostCard", DeclineGroup.NEVER_AGAIN),
        ("pm_card_chargeDeclinedFraudulent", DeclineGroup.NEVER_AGAIN),
    ],
)
def test_a_decline_says_what_the_customer_can_do(
    gateway: StripeGateway, order_id: str, method: str, group: DeclineGroup
) -> None:
    with pytest.raises(Declined) as no:
        authorize(gateway, order_id, method)

    assert no.value.group is group
    assert no.value.code


def test_a_card_that_asks_the_customer_is_no_error_and_says_where_to_go(
    gateway: StripeGateway, order_id: str
) -> None:
    snapshot = authorize(gateway, order_id, "pm_card_authenticationRequired")

    assert (snapshot.status, snapshot.authorized) == (PaymentStatus.ACTION_REQUIRED, 0)
    assert snapshot.next_action_url is not None
    assert snapshot.reference in snapshot.next_action_url


def test_a_customer_who_confirms_on_the_banks_page_has_paid_and_comes_back(
    gateway: StripeGateway, world: Simulator, order_id: str
) -> None:
    asked = authorize(gateway, order_id, "pm_card_authenticationRequired")
    assert asked.next_action_url is not None
    assert "66.00 USD" in world.http.get(asked.next_action_url).text

    back = world.http.post(asked.next_action_url, data={"success": "true"})

    assert back.headers["location"].startswith("http://shop.test/back?")
    assert gateway.ask(asked.reference).status is PaymentStatus.AUTHORIZED
    assert world.http.post(asked.next_action_url, data={"success": "true"}).status_code == 409


def test_a_customer_who_refuses_on_the_banks_page_has_declined(
    gateway: StripeGateway, world: Simulator, order_id: str
) -> None:
    asked = authorize(gateway, order_id, "pm_card_authenticationRequired")
    world.http.post(f"/_sim/payments/{asked.reference}/authenticate", json={"success": False})

    refused = gateway.ask(asked.reference)

    assert (refused.status, refused.decline_group) == (PaymentStatus.DECLINED, DeclineGroup.CHECK_DETAILS)
    assert refused.decline_code == "payment_intent_authentication_failure"


def test_a_customer_who_never_confirms_can_be_given_up(
    gateway: StripeGateway, world: Simulator, order_id: str
) -> None:
    asked = authorize(gateway, order_id, "pm_card_authenticationRequired")

    gone = gateway.void(asked.reference, key=f"{order_id}:void")

    assert gone.status is PaymentStatus.VOIDED
    late = world.http.post(f"/_sim/payments/{asked.reference}/authenticate", json={"success": True})
    assert late.status_code == 400


@pytest.mark.parametrize(
    ("success", "status"), [(True, PaymentStatus.AUTHORIZED), (False, PaymentStatus.DECLINED)]
)
def test_a_payment_that_takes_its_time_is_open_until_the_provider_has_decided(
    gateway: StripeGateway, world: Simulator, order_id: str, success: bool, status: PaymentStatus
) -> None:
    slow = authorize(gateway, order_id, "pm_card_processing")
    assert (slow.status, slow.authorized) == (PaymentStatus.AUTHORIZING, 0)

    world.http.post(f"/_sim/payments/{slow.reference}/settle", json={"success": success})

    assert gateway.ask(slow.reference).status is status


def test_a_charge_that_allows_it_is_captured_in_parts_and_the_rest_let_go(
    gateway: StripeGateway, in_parts: Simulator, order_id: str
) -> None:
    held = authorize(gateway, order_id, several=True)
    part = Money(minor=2000, currency="USD")

    first = gateway.capture(held.reference, part, key=f"{order_id}:capture:1", final=False)
    second = gateway.capture(held.reference, part, key=f"{order_id}:capture:2", final=False)
    last = gateway.void(held.reference, key=f"{order_id}:void")

    assert held.multicapture
    assert [(step.status, step.authorized, step.captured) for step in (first, second, last)] == [
        (PaymentStatus.AUTHORIZED, 6600, 2000),
        (PaymentStatus.AUTHORIZED, 6600, 4000),
        (PaymentStatus.CAPTURED, 6600, 4000),
    ]
    done = [(step["kind"], step["amount"]) for step in in_parts.payment(order_id)["operations"]]
    assert done == [("authorize", 6600), ("capture", 2000), ("capture", 2000), ("void", 2600)]


@pytest.mark.parametrize(
    ("method", "several"), [("pm_card_visa", False), ("pm_card_credit_disableEnterpriseCardFeatures", True)]
)
def test_a_charge_that_does_not_allow_parts_says_so_and_is_captured_once(
    gateway: StripeGateway, in_parts: Simulator, order_id: str, method: str, several: bool
) -> None:
    held = authorize(gateway, order_id, method, several=several)
    part = Money(minor=2000, currency="USD")

    with pytest.raises(Rejected):
        gateway.capture(held.reference, part, key=f"{order_id}:capture:1", final=False)
    taken = gateway.capture(held.reference, part, key=f"{order_id}:capture:2", final=True)

    assert not held.multicapture
    assert (taken.status, taken.captured) == (PaymentStatus.CAPTURED, 2000)


def test_a_refund_that_waits_says_so_until_it_is_decided(
    gateway: StripeGateway, world: Simulator, order_id: str
) -> None:
    held = authorize(gateway, order_id, "pm_card_pendingRefund")
    gateway.capture(held.reference, AMOUNT, key=f"{order_id}:capture", final=True)
    refund = gateway.refund(held.reference, AMOUNT, key=f"{order_id}:refund", operation="refund-1")
    assert (refund.status, refund.reason) == (RefundStatus.PENDING, "processing")

    world.http.post(f"/_sim/refunds/{refund.reference}/settle", json={"success": False})

    failed = gateway.find_refund(held.reference, "refund-1")
    assert failed is not None
    assert (failed.status, failed.reason) == (RefundStatus.FAILED, "expired_or_canceled_card")
    assert gateway.ask(held.reference).refunded == 0


def test_disputed_money_cannot_be_given_back(gateway: StripeGateway, world: Simulator, order_id: str) -> None:
    held = authorize(gateway, order_id)
    gateway.capture(held.reference, AMOUNT, key=f"{order_id}:capture", final=True)
    world.http.post(f"/_sim/payments/{held.reference}/dispute").raise_for_status()

    with pytest.raises(Rejected) as refused:
        gateway.refund(held.reference, AMOUNT, key=f"{order_id}:refund", operation="refund-1")

    assert refused.value.code == "charge_disputed"


def test_a_card_given_on_the_providers_page_is_told_by_its_event_and_can_be_charged(
    gateway: StripeGateway, world: Simulator, listener: Listener, order_id: str
) -> None:
    link = gateway.method_link(order_id, return_url="http://shop.test/orders/1", key=f"{order_id}:link")
    assert (
        gateway.method_link(order_id, return_url="http://shop.test/orders/1", key=f"{order_id}:link") == link
    )

    back = world.http.post(link, data={"card": "mastercard"})

    assert back.headers["location"] == "http://shop.test/orders/1"
    wait_for(lambda: [e for e in listener.events(order_id) if e["type"] == "setup_intent.succeeded"])
    body = next(
        body for _, body in listener.taken if order_id.encode() in body and b"setup_intent.succ" in body
    )
    hint = webhook.parse(body).hint
    assert isinstance(hint, MethodHint)
    assert hint.order_id == order_id
    assert authorize(gateway, order_id, hint.method).status is PaymentStatus.AUTHORIZED


def test_p22_the_same_attempt_under_the_same_key_never_charges_twice(
    gateway: StripeGateway, world: Simulator, order_id: str
) -> None:
    """Attacks the Idempotency-Key of every change: without the header the repeat holds and takes money again."""
    for _ in range(3):
        held = authorize(gateway, order_id)
    for _ in range(3):
        gateway.capture(held.reference, AMOUNT, key=f"{order_id}:capture", final=True)
    part = Money(minor=600, currency="USD")
    refunds = {
        gateway.refund(held.reference, part, key=f"{order_id}:refund", operation="refund-1").reference
        for _ in range(3)
    }

    done = [(step["kind"], step["amount"]) for step in world.payment(order_id)["operations"]]
    assert done == [("authorize", 6600), ("capture", 6600), ("refund", 600)]
    assert len(refunds) == 1


@pytest.mark.parametrize(
    ("minor", "currency", "told"),
    [(500, "JPY", 500), (6600, "USD", 6600), (12340, "KWD", 12340), (700, "ISK", 70000), (700, "UGX", 70000)],
)
def test_p32_an_amount_means_the_same_there_and_back_in_every_exponent(
    gateway: StripeGateway, world: Simulator, order_id: str, minor: int, currency: str, told: int
) -> None:
    """Attacks Stripe's own table of decimals: with ISO's alone ISK and UGX are charged a hundredth."""
    amount, operation = Money(minor=minor, currency=currency), f"{order_id}:authorize:1"
    held = gateway.authorize(
        amount, method="pm_card_visa", key=operation, operation=operation, order_id=order_id, several=False
    )
    taken = gateway.capture(held.reference, amount, key=f"{order_id}:capture", final=True)
    gateway.refund(held.reference, amount, key=f"{order_id}:refund", operation="refund-1")

    assert (held.authorized, taken.captured, gateway.ask(held.reference).refunded) == (minor, minor, minor)
    assert {step["amount"] for step in world.payment(order_id)["operations"]} == {told}


@pytest.mark.parametrize("kind", ["reset", "html_502", "truncated_json"])
def test_an_authorization_whose_answer_is_lost_is_in_doubt_until_it_is_found(
    gateway: StripeGateway, world: Simulator, order_id: str, kind: str
) -> None:
    world.fault(kind, "after_commit", match={"provider": "stripe", "order": order_id})

    with pytest.raises(OutcomeUnknown):
        authorize(gateway, order_id)
    found = gateway.find(f"{order_id}:authorize:{order_id}-1:1")

    assert found is not None
    assert (found.status, found.reference) == (PaymentStatus.AUTHORIZED, world.payment(order_id)["ref"])


def test_an_authorization_that_never_arrived_is_proven_absent(
    gateway: StripeGateway, world: Simulator, order_id: str
) -> None:
    world.fault("reset", "before", match={"provider": "stripe", "order": order_id})

    with pytest.raises(OutcomeUnknown):
        authorize(gateway, order_id)

    assert gateway.find(f"{order_id}:authorize:{order_id}-1:1") is None


def test_a_decline_whose_answer_is_lost_is_found_as_a_decline(
    gateway: StripeGateway, world: Simulator, order_id: str
) -> None:
    world.fault("reset", "after_commit", match={"provider": "stripe", "order": order_id})
    with pytest.raises(OutcomeUnknown):
        authorize(gateway, order_id, "pm_card_chargeDeclinedLostCard")

    with pytest.raises(Declined) as no:
        gateway.find(f"{order_id}:authorize:{order_id}-1:1")

    assert no.value.group is DeclineGroup.NEVER_AGAIN


def test_a_capture_whose_answer_is_lost_was_made_and_asking_says_so(
    gateway: StripeGateway, world: Simulator, order_id: str
) -> None:
    held = authorize(gateway, order_id)
    world.fault("reset", "after_commit", match={"provider": "stripe", "order": order_id})

    with pytest.raises(OutcomeUnknown):
        gateway.capture(held.reference, AMOUNT, key=f"{order_id}:capture", final=True)

    assert gateway.ask(held.reference).status is PaymentStatus.CAPTURED


def test_a_failure_the_provider_keeps_is_told_apart_because_its_key_is_spent(
    gateway: StripeGateway, world: Simulator, order_id: str
) -> None:
    world.fault("http_5xx", "after_commit", match={"provider": "stripe", "order": order_id})

    for _ in range(2):  # the repeat is answered from the key, the fault is long gone
        with pytest.raises(FailureStored):
            authorize(gateway, order_id)

    assert gateway.find(f"{order_id}:authorize:{order_id}-1:1") is not None


def test_a_failure_before_anything_happened_is_in_doubt_too(
    gateway: StripeGateway, world: Simulator, order_id: str
) -> None:
    world.fault("http_5xx", "before", match={"provider": "stripe", "order": order_id})

    with pytest.raises(OutcomeUnknown) as trouble:
        authorize(gateway, order_id)

    assert not isinstance(trouble.value, FailureStored)
    assert trouble.value.request_id.startswith("req_")


def test_a_provider_that_is_too_busy_says_how_long_to_wait(
    gateway: StripeGateway, world: Simulator, order_id: str
) -> None:
    world.fault("http_429", retry_after=7, match={"provider": "stripe", "order": order_id})

    with pytest.raises(RateLimited) as busy:
        authorize(gateway, order_id)

    assert busy.value.retry_after == timedelta(seconds=7)


def test_the_same_key_with_another_amount_is_our_mistake(gateway: StripeGateway, order_id: str) -> None:
    authorize(gateway, order_id, key=f"{order_id}:k")

    with pytest.raises(Rejected) as mistake:
        authorize(gateway, order_id, "pm_card_mastercard", key=f"{order_id}:k")

    assert mistake.value.code == "idempotency_error"


def test_a_second_capture_under_another_key_is_a_conflict_to_be_read(
    gateway: StripeGateway, order_id: str
) -> None:
    held = authorize(gateway, order_id)
    gateway.capture(held.reference, AMOUNT, key=f"{order_id}:capture", final=True)

    with pytest.raises(StateConflict):
        gateway.capture(held.reference, AMOUNT, key=f"{order_id}:capture~1", final=True)


def test_an_unknown_payment_is_a_mistake_of_ours(gateway: StripeGateway) -> None:
    with pytest.raises(NotFound):
        gateway.ask("pi_nobody")


def test_an_authorization_that_ran_out_cannot_be_captured(fast_world: Simulator, order_id: str) -> None:
    gateway = _gateway(fast_world)
    held = authorize(gateway, order_id)
    deadline = held.expires_at
    assert deadline is not None
    wait_for(lambda: world_time(fast_world) > deadline)

    with pytest.raises(AuthorizationExpired):
        gateway.capture(held.reference, AMOUNT, key=f"{order_id}:capture", final=True)

    assert gateway.ask(held.reference).status is PaymentStatus.EXPIRED
    gateway.close()


def test_a_payment_is_found_behind_many_newer_ones(gateway: StripeGateway, order_id: str) -> None:
    first = authorize(gateway, order_id)
    for n in range(105):  # more than a page
        authorize(gateway, f"{order_id}x{n}")

    found = gateway.find(f"{order_id}:authorize:{order_id}-1:1")

    assert found is not None
    assert found.reference == first.reference


def test_nothing_is_proven_when_there_is_too_much_to_look_through(
    gateway: StripeGateway, order_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fulfillment.providers.payments.stripe.client._PAGES", 1)
    monkeypatch.setattr("fulfillment.providers.payments.stripe.client._PAGE", 1)
    authorize(gateway, order_id)
    authorize(gateway, f"{order_id}b")

    with pytest.raises(ProviderUnavailable):
        gateway.find("SO-0:authorize:SO-0-1:1")


def test_wrong_credentials_are_for_a_person(world: Simulator, order_id: str) -> None:
    gateway = _gateway(world)
    gateway._http._client.headers["authorization"] = "none"

    with pytest.raises(AuthConfig):
        authorize(gateway, order_id)

    gateway.close()


# Recorded shapes that the simulator does not make.


def reply(status: int, error: dict[str, str], **headers: str) -> Reply:
    return Reply(status=status, body={"error": error}, headers=headers, request_id="req_1", was_change=True)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (reply(409, {"code": "idempotency_key_in_use"}), Conflict),
        (reply(429, {"code": "lock_timeout"}), Conflict),
        (reply(400, {"code": "capture_charge_authorization_expired"}), AuthorizationExpired),
        (reply(400, {"code": "charge_already_captured"}), StateConflict),
        (reply(400, {"type": "invalid_request_error", "code": "parameter_unknown"}), Rejected),
        (reply(402, {"code": "authentication_required"}), Declined),
    ],
)
def test_an_error_becomes_what_must_follow_from_it(answer: Reply, kind: type[Exception]) -> None:
    assert type(_explain(answer)) is kind


def test_a_payment_without_the_newer_fields_is_derived_from_its_status() -> None:
    intent = {"id": "pi_1", "status": "succeeded", "amount": 900, "currency": "jpy", "latest_charge": "ch_1"}

    snapshot = snapshot_of(intent)

    assert (snapshot.status, snapshot.authorized, snapshot.captured) == (PaymentStatus.CAPTURED, 900, 900)


def test_a_payment_that_is_still_processed_is_neither_yes_nor_no() -> None:
    snapshot = snapshot_of({"id": "pi_1", "status": "processing", "amount": 900, "currency": "usd"})

    assert (snapshot.status, snapshot.authorized) == (PaymentStatus.AUTHORIZING, 0)
