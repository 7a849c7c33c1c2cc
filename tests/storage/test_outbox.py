"""Messages: leased by one sender at a time, taken again when the lease runs out, never sent once untrue."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, insert

from fulfillment.domain.address import Address
from fulfillment.domain.cases import CaseKind
from fulfillment.domain.clock import ShopClock
from fulfillment.domain.notifications import Fact
from fulfillment.storage import cases, journal
from fulfillment.storage.outbox import OutboxStore
from fulfillment.storage.tables import backorders, orders, outbox, payments, shipments
from tests.storage.house import MORNING, House, only

# Nine in the morning there is eight in London, and midnight in Reno.
BERLIN = Address(name="Ann Beispiel", line1="Weg 1", city="Berlin", postal_code="10115", country="DE")


def told(house: House, fact: Fact, *, subject: str = "SO-1", version: int = 1) -> None:
    with house.engine.begin() as conn:
        journal.tell(conn, "SO-1", fact, subject=subject, version=version, data={"n": 1}, now=house.time)


def an_accepted_order(engine: Engine) -> House:
    house = House(engine).stocked(mugs=1)
    house.reserved(ship_to=BERLIN)
    return house


def a_payment(attempt: int, status: str) -> dict[str, Any]:
    return {
        "payment_id": f"SO-1:authorize:SO-1:{attempt}",
        "order_id": "SO-1",
        "attempt": attempt,
        "provider": "stripe",
        "status": status,
        "currency": "USD",
        "asked": 3600,
        "created_at": MORNING,
    }


def test_a_leased_message_carries_all_a_sender_needs(engine: Engine) -> None:
    house = an_accepted_order(engine)
    told(house, Fact.CHANGED, subject="SO-1-1", version=3)

    message = only(house.outbox.lease(10))

    assert (message.order_id, message.fact, message.subject) == ("SO-1", Fact.CHANGED, "SO-1-1")
    assert (message.version, message.channel, message.recipient) == (3, "email", "ann@example.com")
    assert (message.data, message.tries, message.at) == ({"n": 1}, 0, MORNING)


def test_every_message_is_leased_by_one_sender(engine: Engine) -> None:
    house = an_accepted_order(engine)
    for n in range(40):
        told(house, Fact.CHANGED, version=n)

    with ThreadPoolExecutor(4) as senders:
        leased = [
            message for batch in senders.map(lambda _: house.outbox.lease(10), range(8)) for message in batch
        ]

    assert sorted(message.version for message in leased) == list(range(40))


def test_a_lease_takes_no_more_than_asked_and_the_oldest_first(engine: Engine) -> None:
    house = an_accepted_order(engine)
    for n in range(5):
        told(house, Fact.CHANGED, version=n)

    batches = [[message.version for message in house.outbox.lease(2)] for _ in range(4)]

    assert batches == [[0, 1], [2, 3], [4], []]


def test_a_message_whose_sender_died_is_taken_again(engine: Engine) -> None:
    house = an_accepted_order(engine)
    told(house, Fact.CHANGED)
    first = only(house.outbox.lease(10))
    house.wait(timedelta(seconds=59))
    early = house.outbox.lease(10)
    house.wait(timedelta(seconds=1))

    again = only(house.outbox.lease(10))

    assert early == ()
    assert (again.notification_id, again.tries) == (first.notification_id, 1)


def test_a_lease_lasts_a_real_minute_however_fast_the_shop_runs(engine: Engine) -> None:
    house = an_accepted_order(engine)
    told(house, Fact.CHANGED)
    fast = OutboxStore(engine, house.now, ShopClock(speed=600))
    fast.lease(10)

    house.wait(timedelta(hours=9))
    early = fast.lease(10)
    house.wait(timedelta(hours=1))

    assert early == ()
    assert only(fast.lease(10)).tries == 1


def test_a_sent_message_is_never_leased_again(engine: Engine) -> None:
    house = an_accepted_order(engine)
    told(house, Fact.CHANGED)
    message = only(house.outbox.lease(10))

    house.outbox.sent(message.notification_id)
    house.outbox.later(message.notification_id, "an older lease", timedelta(0))
    house.wait(timedelta(days=1))

    assert house.outbox.lease(10) == ()
    assert (house.row(outbox)["state"], house.row(outbox)["sent_at"]) == ("sent", MORNING)


def test_a_message_put_back_waits_and_knows_why(engine: Engine) -> None:
    house = an_accepted_order(engine)
    told(house, Fact.CHANGED)
    message = only(house.outbox.lease(10))

    house.outbox.later(message.notification_id, "451 try later", timedelta(minutes=5))
    early = house.outbox.lease(10)
    house.wait(timedelta(minutes=5))

    assert early == ()
    assert only(house.outbox.lease(10)).tries == 1
    assert house.row(outbox)["why"] == "451 try later"


@pytest.mark.parametrize("end", ["dead", "withdraw"])
def test_a_message_given_up_stays_so(engine: Engine, end: str) -> None:
    house = an_accepted_order(engine)
    told(house, Fact.CHANGED)
    message = only(house.outbox.lease(10))

    getattr(house.outbox, end)(message.notification_id, "550 no such user")
    house.wait(timedelta(days=9))

    assert house.outbox.lease(10) == ()
    assert house.row(outbox)["state"] == {"dead": "dead", "withdraw": "withdrawn"}[end]


def test_news_of_waiting_is_withdrawn_once_nothing_waits(engine: Engine) -> None:
    house = an_accepted_order(engine)
    told(house, Fact.BACKORDERED)
    house.change(backorders, {"state": "filled", "filled": 1})

    leased = house.outbox.lease(10)

    assert leased == ()
    assert (house.row(outbox)["state"], house.row(outbox)["why"]) == ("withdrawn", "no longer true")


def test_news_of_waiting_is_sent_while_something_waits(engine: Engine) -> None:
    house = an_accepted_order(engine)
    told(house, Fact.BACKORDERED)

    message = only(house.outbox.lease(10))

    assert message.fact is Fact.BACKORDERED


def test_only_the_newest_of_several_delays_is_told(engine: Engine) -> None:
    house = an_accepted_order(engine)
    for version in (2, 3, 4):
        told(house, Fact.DELAYED, subject="SO-1-1", version=version)
    told(house, Fact.DELAYED, subject="SO-1-2", version=2)

    leased = house.outbox.lease(10)

    assert [(message.subject, message.version) for message in leased] == [("SO-1-1", 4), ("SO-1-2", 2)]


def test_a_delay_is_no_news_once_the_parcel_arrived(engine: Engine) -> None:
    house = an_accepted_order(engine)
    told(house, Fact.DELAYED, subject="SO-1-1", version=2)
    house.change(shipments, {"work_status": "closed", "outcome": "delivered"}, shipment_id="SO-1-1")

    leased = house.outbox.lease(10)

    assert leased == ()


@pytest.mark.parametrize("status", ["cancelling", "cancelled", "expired"])
def test_an_order_cancelled_before_its_confirmation_was_sent_is_not_confirmed(
    engine: Engine, status: str
) -> None:
    house = an_accepted_order(engine)
    told(house, Fact.CONFIRMED)
    told(house, Fact.CANCELLED)
    house.change(orders, {"status": status})

    leased = house.outbox.lease(10)

    assert [message.fact for message in leased] == [Fact.CANCELLED]


@pytest.mark.parametrize("became", ["authorized", "declined", "voided"])
def test_nobody_is_asked_to_confirm_a_payment_that_is_settled(engine: Engine, became: str) -> None:
    house = an_accepted_order(engine)
    for attempt, status in ((1, became), (2, "action_required")):
        with engine.begin() as conn:
            conn.execute(insert(payments), a_payment(attempt, status))
        told(house, Fact.PAYMENT_ACTION, version=attempt)

    message = only(house.outbox.lease(10))

    assert message.version == 2
    assert house.row(outbox, version=1)["state"] == "withdrawn"


def test_nobody_is_asked_about_missing_stock_after_the_answer(engine: Engine) -> None:
    house = an_accepted_order(engine)
    with engine.begin() as conn:
        tomorrow = MORNING + timedelta(days=1)
        about = {"subject": "SO-1", "due_at": tomorrow, "now": MORNING}
        cases.open_case(conn, "SO-1", CaseKind.OUT_OF_STOCK, **about)
    told(house, Fact.SHORTAGE_ASKED, version=1)
    asked = only(house.outbox.lease(10))
    told(house, Fact.SHORTAGE_ASKED, version=2)

    with engine.begin() as conn:
        cases.resolve(conn, CaseKind.OUT_OF_STOCK, subject="SO-1", resolution="wait", now=MORNING)

    assert asked.fact is Fact.SHORTAGE_ASKED
    assert house.outbox.lease(10) == ()


def test_news_of_a_case_is_withdrawn_once_it_is_resolved_and_of_two_the_newer_is_told(engine: Engine) -> None:
    house = an_accepted_order(engine)
    about = {"subject": "SO-1-P1", "due_at": MORNING + timedelta(days=2), "now": MORNING}
    for kind in (CaseKind.PICKUP_WAITING, CaseKind.CUSTOMS):
        with engine.begin() as conn:
            case = cases.open_case(conn, "SO-1", kind, **about)
    with engine.begin() as conn:
        cases.tell(conn, "SO-1", case, Fact.CUSTOMS, now=MORNING)
        resolved = {"subject": "SO-1-P1", "resolution": "picked up", "now": MORNING}
        cases.resolve(conn, CaseKind.PICKUP_WAITING, **resolved)

    told_of = [(message.fact, message.version) for message in house.outbox.lease(10)]

    assert told_of == [(Fact.CUSTOMS, 2)]


def test_a_stale_message_whose_sender_died_is_withdrawn_too(engine: Engine) -> None:
    house = an_accepted_order(engine)
    told(house, Fact.CONFIRMED)
    house.outbox.lease(10)
    house.change(orders, {"status": "cancelled"})

    house.wait(timedelta(minutes=2))

    assert house.outbox.lease(10) == ()
    assert house.row(outbox)["state"] == "withdrawn"
