"""Every fact as the e-mail that tells it."""

import json
import re
from datetime import UTC, date, datetime
from typing import Any

import pytest
from jinja2 import UndefinedError

from fulfillment.domain.holds import Hold, HoldReason
from fulfillment.domain.notifications import Fact
from fulfillment.domain.order import OrderStatus, UnitRange
from fulfillment.domain.payment import DeclineGroup, OrderPayment
from fulfillment.domain.refund import RefundCause
from fulfillment.domain.shipment import WaitsFor, WorkStatus
from fulfillment.domain.view import OrderView, PaymentSummary
from fulfillment.providers.notifications.letters import Mail
from fulfillment.providers.notifications.messages import Renderer
from tests.providers.notifications.views import NOW, a_parcel, a_shipment, a_view, an_order

WAITING = a_shipment(
    shipment_id="SO-1-2",
    n=2,
    work_status=WorkStatus.SCHEDULED,
    waits_for=WaitsFor.STOCK,
    units=(UnitRange(line_no=2, first=1, count=1),),
    parcel=None,
)
FIRST = a_shipment(units=(UnitRange(line_no=1, first=1, count=2),), value=3600)


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer(
        mail_from="Northwind Outfitters <orders@northwind.example>", public_url="https://shop.example/"
    )


def told(
    renderer: Renderer,
    fact: Fact,
    view: OrderView | None = None,
    *,
    subject: str = "SO-1-1",
    version: int = 1,
    data: dict[str, Any] | None = None,
) -> Mail:
    return renderer.render(
        view or a_view(),
        fact,
        subject=subject,
        version=version,
        recipient="ada@example.com",
        at=NOW,
        data=data or {},
    )


@pytest.mark.parametrize("fact", list(Fact))
def test_every_fact_has_its_words_in_text_and_html(renderer: Renderer, fact: Fact) -> None:
    mail = told(renderer, fact)

    assert "SO-1" in mail.subject
    assert "\n" not in mail.subject
    for part in (mail.text, mail.html):
        assert "Ada Lovelace" in part
        assert "https://shop.example/t/tok-1" in part
        assert not re.search(r"\{\{|\{%|\bNone\b|<mj-", part)
    assert len(mail.text.split("\n\n")) >= 4


@pytest.mark.parametrize("fact", list(Fact))
def test_every_fact_can_be_told_while_next_to_nothing_is_known(renderer: Renderer, fact: Fact) -> None:
    empty = a_view(shipments=(), promise_date=None, promise_first_date=None, payable=0)

    mail = told(renderer, fact, empty, subject="SO-1")

    assert "None" not in mail.subject + mail.text


def test_the_same_fact_always_has_the_same_message_id(renderer: Renderer) -> None:
    first, again = told(renderer, Fact.DELAYED, version=2), told(renderer, Fact.DELAYED, version=2)
    newer = told(renderer, Fact.DELAYED, version=3)

    assert first.message_id == again.message_id == "<order-SO-1.delayed.SO-1-1.2@northwind.example>"
    assert newer.message_id != first.message_id


@pytest.mark.parametrize(
    ("fact", "subject"),
    [
        (Fact.CONFIRMED, "Thank you: your order SO-1 arrives by Fri 27 Nov"),
        (Fact.SHIPPED, "Arriving Fri 27 Nov: your order SO-1"),
        (Fact.LOST, "We are sorry: your order SO-1 is lost on the way"),
        (Fact.CANCELLED, "Your order SO-1 is cancelled"),
    ],
)
def test_the_subject_is_the_news(renderer: Renderer, fact: Fact, subject: str) -> None:
    assert told(renderer, fact).subject == subject


@pytest.mark.parametrize(
    ("promise", "subject"),
    [
        (date(2026, 11, 28), "Your order SO-1 is running a day late: now Sat 28 Nov"),
        (date(2026, 11, 30), "Your order SO-1 is running 3 days late: now Mon 30 Nov"),
        (date(2026, 11, 27), "Your order SO-1 comes later than we said: now Fri 27 Nov"),
    ],
)
def test_a_delay_says_by_how_much_and_until_when(renderer: Renderer, promise: date, subject: str) -> None:
    assert told(renderer, Fact.DELAYED, a_view(promise_date=promise)).subject == subject


@pytest.mark.parametrize(
    ("data", "parcel_reason", "words"),
    [
        ({"reason": "weather_delay"}, "", "The reason: bad weather on the way."),
        ({"reason": "the carrier is running late"}, "", "The reason: the carrier is running late."),
        ({}, "carrier_sorting_error", "The reason: it was sorted to the wrong place."),
        ({}, "a_code_of_2030", "It is slower than usual on its way."),
    ],
)
def test_a_delay_gives_its_reason_in_our_words(
    renderer: Renderer, data: dict[str, Any], parcel_reason: str, words: str
) -> None:
    view = a_view(shipments=(a_shipment(parcel=a_parcel(reason=parcel_reason)),))

    assert words in told(renderer, Fact.DELAYED, view, data=data).text


def test_a_delivery_names_the_day_and_the_place(renderer: Renderer) -> None:
    parcel = a_parcel(delivered_at=datetime(2026, 11, 26, 22, 14, tzinfo=UTC), place="Portland, OR")

    mail = told(renderer, Fact.DELIVERED, a_view(shipments=(a_shipment(parcel=parcel),)), subject="SO-1-P1")

    assert mail.subject == "Delivered on Thu 26 Nov: your order SO-1"
    assert "USPS has delivered your parcel in Portland, OR." in mail.text


def test_one_of_several_parcels_lists_only_what_is_in_it(renderer: Renderer) -> None:
    mail = told(renderer, Fact.SHIPPED, a_view(shipments=(FIRST, WAITING)))

    assert mail.subject.endswith("part of your order SO-1")
    assert "2 x Trail mug" in mail.text
    assert "Cap" not in mail.text
    assert "Tracking number: 9400100000000000000000" in mail.text


def test_what_waits_for_stock_is_listed_and_the_first_letter_announces_it(renderer: Renderer) -> None:
    view = a_view(shipments=(FIRST, WAITING))

    backordered = told(renderer, Fact.BACKORDERED, view, subject="SO-1")
    confirmed = told(renderer, Fact.CONFIRMED, view, subject="SO-1")

    assert backordered.subject == "Part of your order SO-1 ships later: it arrives by Fri 27 Nov"
    assert "Cap" in backordered.text
    assert "Trail mug" not in backordered.text
    assert "a second e-mail" in confirmed.text
    assert "a second e-mail" not in told(renderer, Fact.CONFIRMED).text


def test_an_order_that_waits_as_a_whole_is_not_called_a_part(renderer: Renderer) -> None:
    mail = told(renderer, Fact.BACKORDERED, a_view(shipments=(WAITING,)), subject="SO-1")

    assert mail.subject.startswith("Your order SO-1 ships later")


def test_units_that_will_never_come_are_listed(renderer: Renderer) -> None:
    gone = (UnitRange(line_no=1, first=1, count=1), UnitRange(line_no=1, first=2, count=1))

    mail = told(renderer, Fact.PART_CANCELLED, a_view(cancelled_units=gone), subject="SO-1")

    assert "2 x Trail mug" in mail.text
    assert "Everything else comes as promised." in mail.text


def test_a_part_cancelled_after_the_rest_had_left_lists_it_and_blames_no_stock(renderer: Renderer) -> None:
    stopped = a_shipment(shipment_id="SO-1-2", n=2, work_status=WorkStatus.CANCELLED, units=(), parcel=None)
    gone = (UnitRange(line_no=2, first=1, count=1),)
    view = a_view(shipments=(FIRST, stopped), cancelled_units=gone)

    mail = told(renderer, Fact.PART_CANCELLED, view, subject="SO-1-2", data={"reason": "changed_mind"})

    assert mail.subject == "Part of your order SO-1 is cancelled"
    assert "1 x Cap" in mail.text
    assert "out of stock" not in mail.text
    assert "Everything else comes as promised." in mail.text


def test_a_decline_says_what_the_customer_can_do_and_never_what_the_bank_said(renderer: Renderer) -> None:
    texts = set()
    for group in (*DeclineGroup, None):
        payment = PaymentSummary(
            status=OrderPayment.DECLINED, authorized=0, captured=0, refunded=0, decline_group=group
        )
        texts.add(told(renderer, Fact.PAYMENT_DECLINED, a_view(payment=payment), subject="SO-1").text)

    assert len(texts) == len(DeclineGroup)  # "never again" is told as generally as nothing known
    assert not any("stolen" in text or "fraud" in text for text in texts)


@pytest.mark.parametrize(
    ("fact", "url", "words"),
    [
        (Fact.PAYMENT_ACTION, {"confirm_url": "https://bank.example/c?a=1&b=2"}, "Confirm the payment"),
        (Fact.PAYMENT_DECLINED, {"other_url": "https://bank.example/c?a=1&b=2"}, "Choose another way to pay"),
    ],
)
def test_what_the_customer_must_do_is_the_first_link_and_their_order_the_second(
    renderer: Renderer, fact: Fact, url: dict[str, str], words: str
) -> None:
    payment = PaymentSummary(status=OrderPayment.ACTION_REQUIRED, authorized=0, captured=0, refunded=0, **url)

    mail = told(renderer, fact, a_view(payment=payment), subject="SO-1")

    assert mail.text.index("https://bank.example/c?a=1&b=2") < mail.text.index("https://shop.example/t/tok-1")
    assert 'href="https://bank.example/c?a=1&amp;b=2"' in mail.html
    assert words in mail.html


def test_a_payment_to_confirm_says_by_when_and_leads_to_the_order_once_the_link_is_gone(
    renderer: Renderer,
) -> None:
    data = {"pay_by": "2026-11-23T13:05:00+00:00", "next_action_url": "https://bank.example/old"}

    mail = told(renderer, Fact.PAYMENT_ACTION, subject="SO-1", data=data)

    assert "Your order's page leads you to the bank's own page until Mon 23 Nov, 1:05 PM (UTC)." in mail.text
    assert "bank.example" not in mail.text + mail.html


def test_a_question_about_missing_stock_lists_it_and_says_what_happens_without_an_answer(
    renderer: Renderer,
) -> None:
    due_at = datetime(2026, 11, 25, 9, tzinfo=UTC)
    hold = Hold(
        hold_id="SO-1:stock:1",
        reason=HoldReason.STOCK,
        placed_by="policy",
        placed_at=NOW,
        due_at=due_at,
    )
    view = a_view(shipments=(FIRST, WAITING), holds=(hold,))

    mail = told(renderer, Fact.SHORTAGE_ASKED, view, subject="SO-1", data={"default": "drop"})

    assert mail.subject == "One question about your order SO-1: a part of it is out of stock"
    assert "1 x Cap" in mail.text
    assert "Trail mug" not in mail.text
    assert (
        "by Wed 25 Nov, 9:00 AM (UTC). If we do not hear from you, we leave out what is missing" in mail.text
    )


def test_a_question_about_a_shortage_offers_what_is_as_good(renderer: Renderer) -> None:
    offers = [{"sku": "CAP", "substitute": "HAT", "name": "Sun hat"}]

    mail = told(renderer, Fact.SHORTAGE_ASKED, subject="SO-1", data={"default": "drop", "offers": offers})

    assert 'as good at no higher price: Sun hat. If you would like that, reply with "instead".' in mail.text


def test_where_no_more_is_coming_nobody_is_asked_to_wait(renderer: Renderer) -> None:
    data = {"default": "drop", "choices": ["drop", "substitute"], "offers": [{"name": "Sun hat"}]}

    mail = told(renderer, Fact.SHORTAGE_ASKED, subject="SO-1", data=data)

    assert "we cannot get any more of it" in mail.text
    assert "wait until" not in mail.text
    assert "If we do not hear from you, we leave out what is missing" in mail.text


def test_what_is_sent_instead_is_named_with_what_it_replaces_and_saves(renderer: Renderer) -> None:
    replaced = [{"sku": "CAP", "name": "Cap", "substitute": "HAT", "instead": "Sun hat", "quantity": 2}]

    mail = told(renderer, Fact.SUBSTITUTED, subject="SO-1-C1", data={"replaced": replaced, "delta": -200})
    as_dear = told(renderer, Fact.SUBSTITUTED, subject="SO-1-C1", data={"replaced": replaced, "delta": 0})

    assert "So we send you 2 × Sun hat instead of Cap." in mail.text
    assert "You pay no more than for what you ordered, but $2.00 less." in mail.text
    assert "You pay no more than for what you ordered." in as_dear.text


@pytest.mark.parametrize("cause", list(RefundCause))
def test_a_refund_says_how_much_why_and_where_it_goes(renderer: Renderer, cause: RefundCause) -> None:
    data = {"amount": 3600, "currency": "USD", "cause": cause.value, "by_hand": False}

    mail = told(renderer, Fact.REFUNDED, subject="SO-1-F1", data=data)
    by_hand = told(renderer, Fact.REFUNDED, subject="SO-1-F1", data=data | {"by_hand": True})
    unexplained = told(renderer, Fact.REFUNDED, subject="SO-1-F1", data=data | {"cause": "of 2030"})

    assert mail.subject == "We returned $36.00 to you for your order SO-1"
    assert len(mail.text) > len(unexplained.text)
    assert "It goes back to the card you paid with" in mail.text
    assert "not to your card" in by_hand.text
    assert "Trail mug" not in mail.text


@pytest.mark.parametrize(
    ("status", "captured", "words"),
    [
        (OrderStatus.REJECTED, 0, "out of stock"),
        (OrderStatus.EXPIRED, 0, "could not take the payment in time"),
        (OrderStatus.CANCELLED, 0, "Nothing was taken from your card."),
        (OrderStatus.CANCELLED, 6600, "What you paid goes back"),
    ],
)
def test_a_cancellation_says_why_and_where_the_money_is(
    renderer: Renderer, status: OrderStatus, captured: int, words: str
) -> None:
    payment = PaymentSummary(
        status=OrderPayment.VOIDED, authorized=6600, captured=captured, refunded=captured
    )

    assert (
        words in told(renderer, Fact.CANCELLED, a_view(status=status, payment=payment), subject="SO-1").text
    )


def test_amounts_are_written_as_customers_read_them(renderer: Renderer) -> None:
    dollars = told(renderer, Fact.LOST)
    yen = told(renderer, Fact.LOST, a_view(order=an_order(currency="JPY")))

    assert "the $66.00 you paid" in dollars.text
    assert "the ¥6,600 you paid" in yen.text


def test_a_name_cannot_smuggle_html_into_the_page(renderer: Renderer) -> None:
    mail = told(renderer, Fact.SHIPPED)

    assert "<b>red</b>" not in mail.html
    assert "Cap &lt;b&gt;red&lt;/b&gt; &amp; blue" in mail.html
    assert "Cap <b>red</b> & blue" in mail.text


@pytest.mark.parametrize("fact", [Fact.SHIPPED, Fact.DELAYED])
def test_a_parcel_on_its_way_is_described_for_mail_programs(renderer: Renderer, fact: Fact) -> None:
    view = a_view(order=an_order(lines=(an_order().lines[0],)), shipments=(FIRST,))
    found = re.search(
        r'<script type="application/ld\+json">(.*?)</script>', told(renderer, fact, view).html, re.DOTALL
    )

    assert found
    delivery = json.loads(found[1])
    assert delivery["@type"] == "ParcelDelivery"
    assert delivery["carrier"]["name"] == "USPS"
    assert delivery["deliveryAddress"]["addressLocality"] == "Portland"
    assert delivery["expectedArrivalUntil"] == "2026-11-27"
    assert [item["name"] for item in delivery["itemShipped"]] == ["Trail mug"]
    assert delivery["partOfOrder"]["orderNumber"] == "SO-1"
    assert delivery["partOfOrder"]["merchant"]["name"] == "Northwind Outfitters"


def test_nothing_in_the_description_can_end_its_script(renderer: Renderer) -> None:
    line = an_order().lines[0]
    evil = an_order(lines=(line.__class__(**{**_fields(line), "name": "</script><img src=x>"}),))

    mail = told(renderer, Fact.SHIPPED, a_view(order=evil, shipments=(FIRST,)))

    assert "</script><img" not in mail.html


def test_without_a_carrier_there_is_nothing_to_describe(renderer: Renderer) -> None:
    assert "ld+json" not in told(renderer, Fact.DELAYED, a_view(shipments=(WAITING,)), subject="SO-1-2").html


def test_the_layout_asks_no_other_server_for_anything(renderer: Renderer) -> None:
    html = told(renderer, Fact.SHIPPED).html

    assert not re.search(r'(?:src|href|url)\s*[=(]\s*["\']?https?://(?!shop\.example)', html)


def test_a_template_that_speaks_of_something_unknown_fails_loudly(renderer: Renderer) -> None:
    with pytest.raises(UndefinedError):
        renderer._words.from_string("{{ nobody_knows }}").render()


def _fields(line: Any) -> dict[str, Any]:
    return {name: getattr(line, name) for name in line.__slots__}
