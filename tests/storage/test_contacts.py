"""How customers are told: on which channel, in which hours, and what happens when nothing arrives."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from fulfillment.domain.cases import CaseKind
from fulfillment.domain.clock import ShopClock
from fulfillment.domain.errors import UnknownOrder
from fulfillment.domain.notifications import (
    BadPreferences,
    Block,
    Channel,
    Fact,
    Preferences,
    QuietHours,
    Told,
    message_id,
    told_by,
)
from fulfillment.domain.order import Customer
from fulfillment.storage import journal
from fulfillment.storage.contacts import ContactStore
from fulfillment.storage.outbox import Message, OutboxStore
from fulfillment.storage.tables import (
    audit_entries,
    cases,
    contact_blocks,
    customer_preferences,
    inbox,
    orders,
    outbox,
    shipments,
)
from tests.storage.house import House, only

ANN = Customer(customer_id="C-1", email="Ann@example.com", phone="+12085550142", locale="de-DE")
NOON = timedelta(hours=12)  # after midnight in Reno, which is when these tests begin


@pytest.fixture
def house(engine: Engine) -> House:
    """An order of Ann's in Reno, at noon there."""
    house = House(engine).stocked()
    house.reserved(customer=ANN)
    house.wait(NOON)
    return house


@pytest.fixture
def contacts(house: House) -> ContactStore:
    return ContactStore(house.engine, house.now)


def told(house: House, fact: Fact, *, subject: str = "SO-1", version: int = 1) -> None:
    with house.engine.begin() as conn:
        journal.tell(conn, "SO-1", fact, subject=subject, version=version, data={}, now=house.time)


def wants(contacts: ContactStore, **wanted: Any) -> None:
    contacts.prefer(Preferences(customer_id="C-1", **wanted), by="storefront")


def sent(house: House, ref: str = "") -> Message:
    """Send the one message that is due."""
    message: Message = only(house.outbox.lease(10))
    house.outbox.sent(message.notification_id, ref)
    return message


def states(house: House) -> list[tuple[str, str, str]]:
    return sorted((row["fact"], row["channel"], row["state"]) for row in house.rows(outbox))


# --- once per fact, channel and recipient ------------------------------------------------------------


def test_p50_a_fact_told_again_and_again_is_one_message_per_channel_and_recipient(
    house: House, contacts: ContactStore
) -> None:
    wants(contacts, sms=True)
    for _ in range(50):
        told(house, Fact.LOST, subject="SO-1-1")

    leased = [message for _ in range(5) for message in house.outbox.lease(10)]

    assert [(message.channel, message.recipient) for message in leased] == [
        ("email", "Ann@example.com"),
        ("sms", "+12085550142"),
    ]


def test_p50_a_message_to_one_bad_recipient_does_not_send_the_batch_again(
    house: House, contacts: ContactStore
) -> None:
    for order_id in ("SO-2", "SO-3"):
        house.reserved(order_id, mugs=1, customer=replace(ANN, customer_id=order_id))
    for order_id in ("SO-1", "SO-2", "SO-3"):
        with house.engine.begin() as conn:
            journal.tell(conn, order_id, Fact.CHANGED, subject=order_id, version=1, data={}, now=house.time)
    first, bad, last = house.outbox.lease(10)
    house.outbox.sent(first.notification_id)
    house.outbox.dead(bad.notification_id, "550 no such user", Block.BOUNCED)
    house.outbox.sent(last.notification_id)
    house.wait(timedelta(days=1))

    assert house.outbox.lease(10) == ()
    assert [row["state"] for row in house.rows(outbox, fact="changed")] == ["sent", "dead", "sent"]


def test_p46_nothing_is_told_as_shipped_before_hand_over_is_evident(house: House) -> None:
    """Neither a label nor a packed parcel has left: whoever queues the news too early, it does not go out."""
    told(house, Fact.SHIPPED, subject="SO-1-1")
    house.change(shipments, {"work_status": "labeled"}, shipment_id="SO-1-1")

    leased = house.outbox.lease(10)

    assert leased == ()
    assert house.row(outbox)["state"] == "withdrawn"


def test_p46_a_parcel_that_was_handed_over_is_told_as_shipped(engine: Engine) -> None:
    house = House(engine).stocked()
    house.shipped()
    house.wait(NOON)

    facts = [message.fact for message in house.outbox.lease(10)]

    assert facts == [Fact.CONFIRMED, Fact.SHIPPED]


def test_a_parcel_that_arrived_before_its_news_left_is_told_once_as_delivered(engine: Engine) -> None:
    house = House(engine).stocked()
    house.shipped()
    house.change(shipments, {"outcome": "delivered"}, shipment_id="SO-1-1")
    house.wait(NOON)

    assert Fact.SHIPPED not in [message.fact for message in house.outbox.lease(10)]


# --- hours -------------------------------------------------------------------------------------------

NIGHT = QuietHours(since=time(21), until=time(8))


@pytest.mark.parametrize(
    ("moment", "zone", "opens"),
    [
        ("2026-11-23T20:59", "Europe/Berlin", "2026-11-24T07:00"),  # 21:59 there
        ("2026-11-24T06:59", "Europe/Berlin", "2026-11-24T07:00"),
        ("2026-11-24T07:00", "Europe/Berlin", "2026-11-24T07:00"),
        ("2026-11-23T12:00", "Asia/Tokyo", "2026-11-23T23:00"),  # 21:00 there
        ("2026-03-28T22:00", "Europe/Berlin", "2026-03-29T06:00"),  # the clocks go forward that night
        ("2026-10-24T20:00", "Europe/Berlin", "2026-10-25T07:00"),  # and back
    ],
)
def test_quiet_hours_end_by_the_clock_on_the_recipients_wall(moment: str, zone: str, opens: str) -> None:
    at = datetime.fromisoformat(moment).replace(tzinfo=UTC)

    assert NIGHT.next_open(at, zone) == datetime.fromisoformat(opens).replace(tzinfo=UTC)


def test_hours_that_begin_when_they_end_are_none_at_all() -> None:
    assert not QuietHours(since=time(8), until=time(8)).hold_at(time(8))


def test_news_of_the_night_waits_for_the_morning_where_the_customer_is(engine: Engine) -> None:
    house = House(engine).stocked()
    house.reserved()  # at midnight in Reno
    told(house, Fact.REFUNDED)

    in_the_night = house.outbox.lease(10)
    house.wait(timedelta(hours=8))

    assert in_the_night == ()
    assert (only(house.outbox.lease(10)).fact, house.row(outbox)["tries"]) == (Fact.REFUNDED, 1)


def test_an_answer_to_the_customer_waits_for_no_morning(engine: Engine) -> None:
    house = House(engine).stocked()
    house.reserved()
    told(house, Fact.CHANGED)

    assert only(house.outbox.lease(10)).fact is Fact.CHANGED


def test_a_zone_the_customer_chose_stands_above_that_of_the_address(
    house: House, contacts: ContactStore
) -> None:
    wants(contacts, zone="Asia/Tokyo", locale="ja")  # five in the morning there
    told(house, Fact.REFUNDED)

    early = house.outbox.lease(10)
    house.wait(timedelta(hours=3))

    message = only(house.outbox.lease(10))
    assert early == ()
    assert (message.zone, message.locale) == ("Asia/Tokyo", "ja")


def test_a_delay_is_told_once_a_day_and_then_the_newest_day(house: House) -> None:
    told(house, Fact.DELAYED, version=2)
    sent(house)
    for version in (3, 4):
        told(house, Fact.DELAYED, version=version)

    same_day = house.outbox.lease(10)
    house.wait(timedelta(hours=24))

    assert same_day == ()
    assert only(house.outbox.lease(10)).version == 4
    assert house.row(outbox, version=3)["state"] == "withdrawn"


# --- wishes ------------------------------------------------------------------------------------------


def test_who_never_said_gets_e_mail_and_no_text_messages(house: House, contacts: ContactStore) -> None:
    told(house, Fact.LOST)

    assert only(house.outbox.lease(10)).channel == Channel.EMAIL
    assert contacts.preferences("C-1") == Preferences(customer_id="C-1")


def test_text_messages_need_consent_and_only_urgent_news_comes_by_both(
    house: House, contacts: ContactStore
) -> None:
    wants(contacts, sms=True)
    told(house, Fact.LOST)
    told(house, Fact.REFUNDED)

    assert states(house) == [
        ("lost", "email", "pending"),
        ("lost", "sms", "pending"),
        ("refunded", "email", "pending"),
    ]


def test_who_takes_consent_back_gets_none_of_those_already_queued(
    house: House, contacts: ContactStore
) -> None:
    wants(contacts, sms=True)
    told(house, Fact.LOST)
    wants(contacts, sms=False)

    assert only(house.outbox.lease(10)).channel == Channel.EMAIL
    assert house.row(outbox, channel="sms")["state"] == "suppressed"


def test_whose_main_channel_is_sms_gets_everything_there(house: House, contacts: ContactStore) -> None:
    wants(contacts, sms=True, main=Channel.SMS)
    told(house, Fact.REFUNDED)

    assert only(house.outbox.lease(10)).channel == Channel.SMS


def test_sms_cannot_be_the_main_channel_without_consent_nor_a_zone_be_invented() -> None:
    with pytest.raises(BadPreferences, match="consent"):
        Preferences(customer_id="C-1", main=Channel.SMS)
    with pytest.raises(BadPreferences, match="Mars"):
        Preferences(customer_id="C-1", zone="Mars/Olympus")


def test_who_unsubscribes_gets_no_news_of_deliveries_but_all_that_must_be_told(
    house: House, contacts: ContactStore
) -> None:
    contacts.unsubscribe("SO-1")
    told(house, Fact.DELIVERED)
    told(house, Fact.LOST)

    assert only(house.outbox.lease(10)).fact is Fact.LOST
    assert house.row(outbox, fact="delivered")["state"] == "suppressed"
    assert house.row(audit_entries, command="prefer")["actor"] == "customer"


def test_consent_keeps_the_moment_at_which_it_was_given(house: House, contacts: ContactStore) -> None:
    wants(contacts, sms=True)
    given_at = house.time
    house.wait(timedelta(days=30))
    wants(contacts, sms=True, delivery_news=False)

    assert house.row(customer_preferences)["sms_since"] == given_at
    wants(contacts, sms=False)
    assert house.row(customer_preferences)["sms_since"] is None


# --- nothing arrives ---------------------------------------------------------------------------------


def test_an_address_that_does_not_exist_gets_nothing_more_and_its_news_goes_by_text(
    house: House, contacts: ContactStore
) -> None:
    wants(contacts, sms=True)
    told(house, Fact.REFUNDED)
    message = only(house.outbox.lease(10))
    house.outbox.dead(message.notification_id, "550 no such user", Block.BOUNCED)
    told(house, Fact.DELIVERED)

    by_text, by_mail = house.outbox.lease(10)

    assert (by_text.fact, by_text.channel, by_text.recipient) == (Fact.REFUNDED, "sms", "+12085550142")
    assert (by_mail.fact, by_mail.blocked) == (Fact.DELIVERED, "550 no such user")
    assert contacts.blocked("SO-1") == {Channel.EMAIL: "bounced: 550 no such user"}


def test_a_customer_whom_nothing_reaches_is_a_case_and_what_was_missed_is_told_elsewhere(
    house: House, contacts: ContactStore
) -> None:
    told(house, Fact.REFUNDED)
    message = only(house.outbox.lease(10))
    house.outbox.dead(message.notification_id, "550 no such user", Block.BOUNCED)
    case = house.row(cases)

    contacts.reach_at("SO-1", email="ann@home.example", phone="", by="maria")

    again = only(house.outbox.lease(10))
    assert (case["kind"], case["subject"]) == (CaseKind.CUSTOMER_UNREACHABLE, "SO-1")
    assert (again.fact, again.recipient, again.blocked) == (Fact.REFUNDED, "ann@home.example", "")
    assert house.row(cases)["state"] == "resolved"
    assert house.row(orders)["phone"] == "+12085550142"


def test_news_one_may_switch_off_is_no_case_when_it_cannot_arrive(house: House) -> None:
    told(house, Fact.DELIVERED)
    message = only(house.outbox.lease(10))

    house.outbox.dead(message.notification_id, "550 no such user", Block.BOUNCED)

    assert house.rows(cases) == []


def test_an_e_mail_that_came_back_is_known_by_its_message_id_whatever_the_case_of_the_address(
    house: House, contacts: ContactStore
) -> None:
    wants(contacts, sms=True)
    told(house, Fact.REFUNDED, subject="SO-1-F1")
    sent(house)
    whole = told_by(message_id("SO-1", Fact.REFUNDED, "SO-1-F1", 1, "northwind.example"))

    known = contacts.bounced_mail("ann@EXAMPLE.com", whole, "user unknown", Block.BOUNCED)
    again = contacts.bounced_mail("ann@EXAMPLE.com", whole, "user unknown", Block.BOUNCED)

    assert (known, again) == (True, True)
    assert states(house) == [("refunded", "email", "bounced"), ("refunded", "sms", "pending")]
    assert house.row(contact_blocks)["recipient"] == "ann@example.com"


@pytest.mark.parametrize(
    "of", ["<made-up@elsewhere.example>", "<order-SO-9.refunded.SO-9.1@northwind.example>"]
)
def test_a_bounce_of_no_message_of_ours_blocks_nobody(contacts: ContactStore, house: House, of: str) -> None:
    assert not contacts.bounced_mail("ann@example.com", told_by(of), "user unknown", Block.BOUNCED)
    assert house.rows(contact_blocks) == []


def test_a_message_id_tells_what_it_told() -> None:
    of = told_by("order-SO-1.a.shipped.SO-1.a-1.12@northwind.example")

    assert of == Told(order_id="SO-1.a", fact=Fact.SHIPPED, subject="SO-1.a-1", version=12)


def test_stop_ends_text_messages_at_once_and_start_begins_them_again(
    house: House, contacts: ContactStore
) -> None:
    wants(contacts, sms=True)
    contacts.stop("SM1", "+12085550142", "stop")
    told(house, Fact.LOST)
    stopped = {message.channel: message.blocked for message in house.outbox.lease(10)}
    contacts.start("SM2", "+12085550142", "start")
    contacts.stop("SM1", "+12085550142", "stop")  # the same event, delivered late and again

    told(house, Fact.LOST, version=2)

    assert stopped == {"email": "", "sms": "said stop"}
    assert {message.blocked for message in house.outbox.lease(10)} == {""}
    assert {row["state"] for row in house.rows(inbox)} == {"applied"}


def test_what_somebody_texts_us_is_not_kept(house: House, contacts: ContactStore) -> None:
    contacts.heard("SM1")

    (row,) = house.rows(inbox)
    assert (row["state"], row["body"]) == ("ignored", {"said": ""})


def test_a_block_can_be_lifted_by_a_person(house: House, contacts: ContactStore) -> None:
    contacts.stop("SM1", "+12085550142", "stop")

    lifted = contacts.unblock(Channel.SMS, "+12085550142", by="maria")
    again = contacts.unblock(Channel.SMS, "+12085550142", by="maria")

    assert (lifted, again) == (True, False)


def test_a_handset_that_was_off_gets_the_message_once_more_and_then_it_goes_by_e_mail(
    house: House, contacts: ContactStore
) -> None:
    wants(contacts, sms=True, main=Channel.SMS)
    told(house, Fact.REFUNDED)
    number = sent(house, "SM1").notification_id
    for _ in range(3):  # Twilio says everything several times
        contacts.bounced(number, "SM1", "unreachable", None, again=True)
    at_once = house.outbox.lease(10)
    house.wait(timedelta(hours=1))
    second = sent(house, "SM2")
    contacts.bounced(number, "SM2", "unreachable", None, again=True)

    assert at_once == ()
    assert (second.provider_refs, second.channel) == (("SM1",), "sms")
    assert states(house) == [("refunded", "email", "pending"), ("refunded", "sms", "bounced")]


def test_a_report_that_outruns_the_answer_proves_that_the_message_left(
    house: House, contacts: ContactStore
) -> None:
    wants(contacts, sms=True, main=Channel.SMS)
    told(house, Fact.REFUNDED)
    message = only(house.outbox.lease(10))
    house.outbox.unknown(message.notification_id, "no answer", timedelta(seconds=60))

    contacts.arrived(message.notification_id, "SM1", delivered=True)
    house.wait(timedelta(hours=1))

    row = house.row(outbox)
    assert house.outbox.lease(10) == ()
    assert (row["state"], row["provider_refs"]) == ("sent", ["SM1"])
    assert row["delivered_at"] == house.time - timedelta(hours=1)


def test_a_text_in_doubt_is_asked_about_even_when_its_news_is_stale(
    house: House, contacts: ContactStore
) -> None:
    wants(contacts, sms=True)
    told(house, Fact.DELAYED, version=2)
    mail, text = house.outbox.lease(10)
    house.outbox.later(mail.notification_id, "greylisted", timedelta(0))
    house.outbox.keep_body(text.notification_id, "late")
    house.outbox.unknown(text.notification_id, "no answer", timedelta(seconds=60))
    told(house, Fact.DELAYED, version=3)
    house.wait(timedelta(minutes=2))

    leased = {(m.channel, m.version): m for m in house.outbox.lease(10)}

    assert set(leased) == {("sms", 2), ("email", 3), ("sms", 3)}
    assert (leased["sms", 2].body, leased["sms", 2].first_sent_at is not None) == ("late", True)


def test_a_shop_without_text_messages_says_so_instead_of_sending(
    house: House, contacts: ContactStore
) -> None:
    wants(contacts, sms=True, main=Channel.SMS)
    told(house, Fact.REFUNDED)
    mail_only = OutboxStore(house.engine, house.now, ShopClock(), channels=(Channel.EMAIL,))

    assert only(mail_only.lease(10)).blocked == "this shop sends none"


def test_an_order_nobody_knows_has_no_customer_to_reach(contacts: ContactStore) -> None:
    with pytest.raises(UnknownOrder):
        contacts.reach_at("SO-9", email="a@b.example", phone="", by="maria")
