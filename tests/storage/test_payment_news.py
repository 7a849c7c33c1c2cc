"""Payment webhooks: recorded once, believed only where it is safe."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest
from sqlalchemy import Engine

from fulfillment.domain.payment import PaymentStatus
from fulfillment.domain.payment_news import PaymentHint
from fulfillment.storage.tables import cases, inbox, order_events, payments, signals
from tests.storage.house import MORNING, House
from tests.storage.paying import a_snapshot, claim, void


def news(
    status: PaymentStatus | None,
    *,
    reference: str = "pi_SO-1-1",
    operation: str = "",
    expires_at: datetime | None = None,
) -> PaymentHint:
    return PaymentHint(
        kind="payment.news", reference=reference, operation=operation, status=status, expires_at=expires_at
    )


def being_confirmed(house: House) -> str:
    """An order's shipment whose customer is asked by their bank."""
    (shipment_id,) = house.reserved()
    asked = a_snapshot(0, status=PaymentStatus.ACTION_REQUIRED, reference="pi_SO-1-1")
    house.payments.authorized(claim(house, shipment_id).key, asked)
    return shipment_id


def test_an_authorization_that_ran_out_is_noted_once(engine: Engine) -> None:
    house = House(engine).stocked()
    house.released()

    with ThreadPoolExecutor(4) as provider:
        expired = news(PaymentStatus.EXPIRED)
        list(provider.map(lambda _: house.payment_news.record("stripe", "evt_1", expired, {}), range(8)))

    assert house.row(payments)["status"] == "expired"
    assert (house.row(inbox)["state"], house.row(inbox)["order_id"]) == ("applied", "SO-1")
    assert len(house.rows(order_events, kind="authorization_expired")) == 1
    assert len(house.rows(signals, name="replanned")) == 1


@pytest.mark.parametrize("status", ["captured", "voided", "declined"])
def test_a_payment_that_is_over_does_not_run_out(engine: Engine, status: str) -> None:
    house = House(engine).stocked()
    house.released()
    house.change(payments, {"status": status})

    house.payment_news.record("stripe", "evt_1", news(PaymentStatus.EXPIRED), {})

    assert house.row(payments)["status"] == status
    assert house.rows(cases) == []
    assert (house.row(inbox)["state"], house.row(inbox)["why"]) == ("applied", f"the payment is {status}")


@pytest.mark.parametrize("status", [PaymentStatus.CAPTURED, PaymentStatus.VOIDED, PaymentStatus.DECLINED])
def test_what_a_webhook_says_about_money_is_not_believed(engine: Engine, status: PaymentStatus) -> None:
    house = House(engine).stocked()
    house.released()
    before = house.row(payments)

    house.payment_news.record("stripe", "evt_1", news(status), {})

    assert house.row(payments) == before
    assert house.row(inbox)["state"] == "applied"


def test_news_that_a_customer_confirmed_is_old_once_the_money_was_let_go(engine: Engine) -> None:
    """Seen to fail when it was believed: the attempt stood for good, because it is let go only once."""
    house = House(engine).stocked()
    void(house, being_confirmed(house))

    house.payment_news.record("stripe", "evt_1", news(PaymentStatus.AUTHORIZED), {})

    assert house.row(payments)["status"] == "voided"
    assert (house.row(inbox)["state"], house.row(inbox)["why"]) == ("applied", "it was let go since")


def test_an_attempt_that_was_declined_and_is_confirmed_after_all_stands_to_be_let_go(engine: Engine) -> None:
    house = House(engine).stocked()
    being_confirmed(house)
    house.change(payments, {"status": "declined"})

    house.payment_news.record("stripe", "evt_1", news(PaymentStatus.AUTHORIZED), {})

    assert house.row(payments)["status"] == "authorized"


def test_when_an_authorization_ends_is_taken_from_the_news(engine: Engine) -> None:
    house = House(engine).stocked()
    house.released()
    ends = MORNING + timedelta(days=5)

    house.payment_news.record("stripe", "evt_1", news(PaymentStatus.AUTHORIZED, expires_at=ends), {})

    assert house.row(payments)["expires_at"] == ends


def test_news_that_overtakes_the_answer_is_matched_by_our_own_key(engine: Engine) -> None:
    house = House(engine).stocked()
    (shipment_id,) = house.reserved()
    key = claim(house, shipment_id).key

    house.payment_news.record(
        "stripe", "evt_1", news(PaymentStatus.AUTHORIZED, reference="pi_new", operation=key), {}
    )

    assert (house.row(inbox)["state"], house.row(inbox)["order_id"]) == ("applied", "SO-1")
    assert house.row(payments)["status"] == "authorizing"


def test_news_of_a_payment_that_is_not_ours_is_kept_unmatched(engine: Engine) -> None:
    house = House(engine).stocked()
    house.released()

    house.payment_news.record("stripe", "evt_1", news(PaymentStatus.EXPIRED, reference="pi_x"), {"id": 1})

    kept = house.row(inbox)
    assert (kept["state"], kept["subject"], kept["body"]) == ("unmatched", "pi_x", {"id": 1})
    assert house.row(payments)["status"] == "authorized"


def test_news_of_another_provider_touches_no_payment_of_this_one(engine: Engine) -> None:
    house = House(engine).stocked()
    house.released()

    house.payment_news.record("adyen", "evt_1", news(PaymentStatus.EXPIRED), {})

    assert house.row(payments)["status"] == "authorized"


def test_news_that_means_nothing_to_us_is_ignored(engine: Engine) -> None:
    house = House(engine).stocked()
    house.released()

    heard = house.payment_news.record("stripe", "evt_1", news(None), {})

    assert heard == ()
    assert house.row(inbox)["state"] == "ignored"
