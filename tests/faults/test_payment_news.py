"""What the provider says of its own accord, over real HTTP into real books: customers who confirm or refuse, money
that comes back later, banks and fraud desks with an opinion."""

import pytest

from activities.payments import AuthorizePayments
from fulfillment.domain.money import Money
from fulfillment.domain.payment import PaymentStatus
from fulfillment.storage import signals
from fulfillment.storage.tables import cases, holds
from tests.devstack.simulators.conftest import wait_for
from tests.faults.till import Till, until_done

CONFIRMS = "pm_card_authenticationRequired"


def _post(till: Till, path: str, **said: object) -> None:
    till.provider.http.post(path, json=said).raise_for_status()


def _look(till: Till) -> PaymentStatus:
    """Ask what became of the attempt, as the order does when it hears of it."""
    assert till.answer is not None
    till.answer = till.deeds.check_payment(till.answer.payment_id)
    return till.answer.status


def _cases(till: Till) -> dict[str, str]:
    return {row["kind"]: row["state"] for row in till.house.rows(cases, order_id=till.order_id)}


def _holds(till: Till) -> dict[str, str]:
    return {row["reason"]: row["state"] for row in till.house.rows(holds, order_id=till.order_id)}


def test_a_customer_confirms_on_the_banks_page_and_the_order_hears_of_it(till: Till) -> None:
    till.authorized(CONFIRMS)
    assert till.answer is not None
    assert till.answer.status is PaymentStatus.ACTION_REQUIRED
    assert till.answer.next_action_url is not None

    till.provider.http.post(till.answer.next_action_url, data={"success": "true"})

    till.hear("payment_intent.amount_capturable_updated")
    assert signals.PAYMENT_NEWS in [name for name, _ in till.told()]
    assert _look(till) is PaymentStatus.AUTHORIZED
    assert till.payment() == ("authorized", 0, 0)
    assert till.broken_promises() == []


def test_a_customer_confirms_and_the_news_never_comes(till: Till) -> None:
    till.fault("drop", times=None)
    till.authorized(CONFIRMS)
    assert _look(till) is PaymentStatus.ACTION_REQUIRED

    _post(till, f"/_sim/payments/{till.reference()}/authenticate", success=True)

    assert _look(till) is PaymentStatus.AUTHORIZED


def test_a_customer_refuses_on_the_banks_page(till: Till) -> None:
    till.authorized(CONFIRMS)

    _post(till, f"/_sim/payments/{till.reference()}/authenticate", success=False)

    till.hear("payment_intent.payment_failed")
    assert _look(till) is PaymentStatus.DECLINED
    assert till.payment() == ("declined", 0, 0)
    assert till.effects() == []
    assert till.broken_promises() == []


def test_a_customer_confirms_what_we_have_given_up_and_nothing_is_held(till: Till) -> None:
    till.authorized(CONFIRMS)
    assert till.answer is not None
    url, payment_id = till.answer.next_action_url, till.answer.payment_id
    assert url is not None

    until_done(lambda: till.deeds.void_payment(payment_id))

    assert till.provider.http.post(url, data={"success": "true"}).status_code == 409
    assert till.payment() == ("voided", 0, 0)
    assert till.effects() == []


@pytest.mark.parametrize(
    ("success", "status"), [(True, PaymentStatus.AUTHORIZED), (False, PaymentStatus.DECLINED)]
)
def test_a_bank_takes_its_time(till: Till, success: bool, status: PaymentStatus) -> None:
    till.authorized("pm_card_processing")
    assert till.answer is not None
    assert till.answer.status is PaymentStatus.AUTHORIZING

    _post(till, f"/_sim/payments/{till.reference()}/settle", success=success)

    assert _look(till) is status


@pytest.mark.parametrize(
    ("success", "kind", "refunded"), [(True, "refund.updated", 2900), (False, "refund.failed", 0)]
)
def test_a_refund_that_waits_is_booked_when_the_provider_has_decided(
    till: Till, success: bool, kind: str, refunded: int
) -> None:
    till.lost("pm_card_pendingRefund")
    until_done(till.refund)
    assert ("refund", "accepted") in till.operations()
    refund = till.at_the_provider("refunds")

    _post(till, f"/_sim/refunds/{refund['id']}/settle", success=success)

    till.hear(kind)
    assert ("refund", "succeeded" if success else "failed") in till.operations()
    assert till.payment() == ("captured", 2900, refunded)
    assert till.sums_there() == (2900, refunded)
    assert ("refund_failed" in _cases(till)) is not success
    assert till.broken_promises() == []


def test_a_refund_that_fails_after_it_succeeded_is_taken_back_in_the_books(till: Till) -> None:
    till.lost()
    until_done(till.refund)
    refund = till.at_the_provider("refunds")

    _post(till, f"/_sim/refunds/{refund['id']}/fail")

    till.hear("refund.failed")
    assert till.payment() == ("captured", 2900, 0)
    assert till.sums_there() == (2900, 0)
    assert _cases(till)["refund_failed"] == "waiting"
    assert till.broken_promises() == []


@pytest.mark.parametrize("end", ["won", "lost"])
def test_a_dispute_opens_a_case_until_the_bank_has_decided(till: Till, end: str) -> None:
    till.captured()
    _post(till, f"/_sim/payments/{till.reference()}/dispute", reason="product_not_received")
    till.hear("charge.dispute.created")
    assert _cases(till)["dispute"] == "waiting"
    dispute = till.at_the_provider("disputes")

    _post(till, f"/_sim/disputes/{dispute['id']}/close", status=end)

    till.hear("charge.dispute.closed")
    assert _cases(till)["dispute"] == "resolved"
    assert till.broken_promises() == []


def test_p33_a_review_that_is_told_before_the_payment_holds_the_order(till: Till) -> None:
    """Attacks the inbox that keeps what it cannot match yet: without it the review is forgotten and goods leave."""
    _post(till, f"/_sim/orders/{till.order_id}/review")
    till.fault("latency", "after_commit", route="POST /v1/payment_intents", ms=500)

    till.authorized()

    till.hear("review.opened")
    wait_for(lambda: _holds(till))
    assert _holds(till) == {"fraud": "active"}


def test_a_card_saved_on_the_providers_page_is_offered_to_the_order_and_pays(till: Till) -> None:
    till.reserved("pm_card_chargeDeclined")
    until_done(till.authorize)
    link = till.deeds.ask_for_method(till.order_id)
    assert till.deeds.ask_for_method(till.order_id) == link

    till.provider.http.post(link, data={"card": "visa"})

    till.hear("setup_intent.succeeded")
    (said,) = (body for name, body in till.told() if name == signals.RETRY_PAYMENT)
    assert said["by"] == "customer"
    held = till.gateway.authorize(
        Money(minor=2900, currency="USD"),
        method=said["method"],
        key="k",
        operation="k",
        order_id="SO-0",
        several=False,
    )
    assert held.status is PaymentStatus.AUTHORIZED


def test_two_shipments_share_a_payment_that_is_captured_in_parts(till: Till) -> None:
    _post(till, "/_sim/account", multicapture=True)
    till.reserved(mugs=1)  # the second mug follows in a shipment of its own
    both = (till.shipment_id, f"{till.order_id}-2")
    wanted = AuthorizePayments(order_id=till.order_id, attempt=1, groups=(both,))

    until_done(lambda: till.deeds.authorize_payments(wanted))
    till.leaves()
    till.fault("reset", "after_commit", route="POST /v1/payment_intents/*/capture")
    until_done(till.capture)

    assert till.payment() == ("authorized", 1700, 0)
    assert till.effects() == ["authorize", "capture"]
    till.fault("reset", "after_commit", route="POST /v1/payment_intents/*/capture")
    until_done(lambda: till.deeds.void_authorization(both[1]))
    assert till.payment() == ("captured", 1700, 0)
    assert till.effects() == ["authorize", "capture", "void"]
    assert till.sums_there() == (1700, 0)
    assert till.broken_promises() == []
    _post(till, "/_sim/account", multicapture=False)
