"""Every message in every language: the same facts with the same fields, plurals and dates as they are written there."""

import re
import tomllib
from datetime import UTC, date, datetime
from typing import Any

import pytest
from babel import Locale
from jinja2 import nodes
from jinja2.meta import find_undeclared_variables

from fulfillment.domain.headline import DELAY_REASONS
from fulfillment.domain.notifications import Fact
from fulfillment.domain.settlement import COMING_BACK, Cause, Meanwhile
from fulfillment.domain.tracking import CarrierStatus
from fulfillment.providers.notifications.letters import Mail
from fulfillment.providers.notifications.locales import ENGLISH, LANGUAGES, TEMPLATES
from fulfillment.providers.notifications.messages import Renderer
from fulfillment.providers.notifications.sms import is_gsm, length
from tests.providers.notifications.views import NOW, a_parcel, a_shipment, a_view

OTHERS = [language for language in LANGUAGES if language != ENGLISH]
NOT_GSM = {"ja", "ar"}


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer(mail_from="Northwind <orders@northwind.example>", public_url="https://shop.example/")


def told(renderer: Renderer, locale: str, fact: Fact = Fact.DELAYED, **changes: Any) -> Mail:
    view = changes.pop("view", None) or a_view(promise_date=date(2026, 11, 30))
    said = {"subject": "SO-1-1", "version": 1, "recipient": "ada@example.com", "at": NOW, "data": {}}
    return renderer.render(view, fact, **said | {"locale": locale} | changes)


def parsed(renderer: Renderer, language: str, fact: Fact) -> nodes.Template:
    return renderer._words.parse((TEMPLATES / language / f"{fact}.txt").read_text("utf-8"))


def test_the_languages_are_those_we_promise() -> None:
    assert set(LANGUAGES) == {"en", "de", "fr", "es", "ja", "ar"}


@pytest.mark.parametrize("fact", list(Fact))
def test_each_message_exists_in_each_language_with_the_same_fields(renderer: Renderer, fact: Fact) -> None:
    missing = [lang for lang in LANGUAGES if not (TEMPLATES / lang / f"{fact}.txt").exists()]
    assert not missing, (
        f"`{fact}` has no words in {', '.join(missing)}: copy templates/en/{fact}.txt there and translate it"
    )

    fields = {lang: find_undeclared_variables(parsed(renderer, lang, fact)) for lang in LANGUAGES}
    for language in OTHERS:
        less, more = fields[ENGLISH] - fields[language], fields[language] - fields[ENGLISH]
        assert not less | more, (
            f"{language}/{fact}.txt lacks {sorted(less)} and has {sorted(more)} beside English"
        )


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_plural_has_every_form_of_its_language(renderer: Renderer, language: str) -> None:
    needed = {*Locale.parse(language).plural_form.tags, "other"}
    for fact in Fact:
        for used in parsed(renderer, language, fact).find_all(nodes.Filter):
            forms = {str(form.key) for form in used.kwargs}
            assert used.name != "plural" or forms == needed, f"{language}/{fact}.txt: {forms}, not {needed}"


@pytest.mark.parametrize("language", OTHERS)
def test_the_standing_words_and_the_reasons_are_the_same_ones(language: str) -> None:
    english, theirs = (
        tomllib.loads((TEMPLATES / name / "words.toml").read_text("utf-8")) for name in (ENGLISH, language)
    )
    reasons = set(theirs.pop("reasons"))

    assert set(theirs) == set(english)
    assert reasons == set(DELAY_REASONS), f"{language}/words.toml: {reasons ^ set(DELAY_REASONS)}"


@pytest.mark.parametrize("language", OTHERS)
@pytest.mark.parametrize("fact", list(Fact))
def test_each_message_can_be_written_with_all_and_with_next_to_nothing(
    renderer: Renderer, language: str, fact: Fact
) -> None:
    empty = a_view(shipments=(), promise_date=None, promise_first_date=None, payable=0)
    for view in (None, empty):
        mail = told(renderer, language, fact, view=view)
        text = renderer.text(view or a_view(), fact, subject="SO-1", data={}, locale=language)

        assert "SO-1" in mail.subject
        assert not re.search(r"\{\{|\{%|\bNone\b|\{n\}", mail.subject + mail.text + mail.html)
        assert length(text) <= (134 if language in NOT_GSM else 160)
        assert is_gsm(text) or language in NOT_GSM
        assert "https://shop.example/t/tok-1" in text


@pytest.mark.parametrize(
    ("locale", "subject"),
    [
        ("en-US", "Your order SO-1 is running 3 days late: now Mon 30 Nov"),
        ("de-AT", "Ihre Bestellung SO-1 verspätet sich um 3 Tage: jetzt Montag, 30. November"),
        ("fr", "Votre commande SO-1 a 3 jours de retard : maintenant lundi 30 novembre"),
        ("es-MX", "Su pedido SO-1 se retrasa 3 días: ahora el lunes 30 de noviembre"),
        ("ja-JP", "ご注文 SO-1 のお届けが3日遅れます：11月30日(月)の予定"),
        ("ar", "يتأخر طلبك SO-1 3 أيام: الموعد الآن الاثنين 30 نوفمبر"),
        ("nl", "Your order SO-1 is running 3 days late: now Mon 30 Nov"),  # a language we do not have
        ("de-XQ", "Ihre Bestellung SO-1 verspätet sich um 3 Tage: jetzt Montag, 30. November"),
    ],
)
def test_a_delay_is_told_as_each_language_writes_it(renderer: Renderer, locale: str, subject: str) -> None:
    assert told(renderer, locale).subject == subject


@pytest.mark.parametrize(("days", "words"), [(1, "يومًا واحدًا"), (2, "يومين"), (5, "5 أيام"), (11, "11 يومًا")])
def test_arabic_counts_in_six_ways(renderer: Renderer, days: int, words: str) -> None:
    view = a_view(promise_date=date(2026, 11, 27 + days) if days < 4 else date(2026, 12, days - 3))

    assert words in told(renderer, "ar", view=view).subject


def test_arabic_runs_from_right_to_left_and_english_does_not(renderer: Renderer) -> None:
    arabic, english = told(renderer, "ar").html, told(renderer, "en").html

    assert '<html lang="ar" dir="rtl"' in arabic
    assert "text-align:right" in arabic
    assert '<html lang="en" dir="ltr"' in english
    assert "text-align:left" in english


@pytest.mark.parametrize(
    ("locale", "amount"),
    [("en-US", "$66.00"), ("de", "66,00\u00a0$"), ("fr", "66,00\u00a0$US"), ("ja", "$66.00")],
)
def test_money_is_written_as_each_language_does(renderer: Renderer, locale: str, amount: str) -> None:
    assert amount in told(renderer, locale, Fact.LOST).text


def test_a_time_of_day_is_that_on_the_customers_wall(renderer: Renderer) -> None:
    data = {"pay_by": "2026-11-23T23:30:00+00:00"}

    tokyo = told(renderer, "ja", Fact.PAYMENT_ACTION, data=data, zone="Asia/Tokyo").text
    berlin = told(renderer, "de", Fact.PAYMENT_ACTION, data=data, zone="Europe/Berlin").text

    assert "11月24日(火) 8:30 (東京)" in tokyo
    assert "Dienstag, 24. November, 00:30 Uhr (Berlin)" in berlin


def test_a_delivery_is_dated_by_the_customers_day(renderer: Renderer) -> None:
    view = a_view(
        shipments=(a_shipment(parcel=a_parcel(delivered_at=datetime(2026, 11, 26, 22, tzinfo=UTC))),)
    )

    assert "27" in told(renderer, "de", Fact.DELIVERED, view=view, zone="Asia/Tokyo").subject


@pytest.mark.parametrize("code", ["weather_delay", "the carrier is running late"])
def test_a_reason_is_told_in_the_customers_language_or_not_at_all(renderer: Renderer, code: str) -> None:
    text = told(renderer, "de", data={"reason": code}).text

    assert "the carrier" not in text
    assert ("schlechtes Wetter" in text) is (code == "weather_delay")


def test_a_message_we_have_only_in_english_is_english_throughout(
    renderer: Renderer, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setattr("fulfillment.providers.notifications.locales.TEMPLATES", tmp_path)
    monkeypatch.setattr(
        "fulfillment.providers.notifications.locales.words_of",
        lambda language: tomllib.loads((TEMPLATES / language / "words.toml").read_text("utf-8")),
    )

    mail = told(renderer, "de")

    assert (mail.language, mail.text.startswith("Hello Ada")) == ("en", True)


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_sent_instead_is_named_in_every_language(renderer: Renderer, language: str) -> None:
    replaced = [{"sku": "CAP", "name": "Cap", "substitute": "HAT", "instead": "Sun hat", "quantity": 2}]
    offers = [{"sku": "CAP", "substitute": "HAT", "name": "Sun hat"}]

    sent = told(renderer, language, Fact.SUBSTITUTED, data={"replaced": replaced, "delta": -200}).text
    asked = told(renderer, language, Fact.SHORTAGE_ASKED, data={"offers": offers}).text

    assert "Sun hat" in sent
    assert "Cap" in sent
    assert "Sun hat" in asked


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_attempt_is_told_with_its_number_and_the_day_of_the_next(
    renderer: Renderer, language: str
) -> None:
    data = {"attempt": 2, "again_on": "2026-11-24", "reason": "consignee_not_home"}

    first = told(renderer, language, Fact.FAILED_ATTEMPT, data=data | {"attempt": 1}).text
    second = told(renderer, language, Fact.FAILED_ATTEMPT, data=data)
    last = told(renderer, language, Fact.LAST_ATTEMPT, data={"attempt": 3}).text

    assert "24" in second.subject
    assert "2" in second.text.replace("24", "").replace("9400100000000000000000", "")
    assert first != second.text
    assert "3" in last


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("fact", [Fact.RESHIPPED, Fact.REFUNDED])
def test_each_cause_is_told_in_words_of_its_own(renderer: Renderer, language: str, fact: Fact) -> None:
    texts = {one: told(renderer, language, fact, data={"cause": one.value}).text for one in Cause}
    unexplained = told(renderer, language, fact, data={"cause": "of 2030"}).text

    assert texts[Cause.NOT_BROUGHT] == texts[Cause.NOT_RECEIVED]
    assert len({*texts.values(), unexplained}) == len(Cause)


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_came_back_before_its_message_left_is_told_as_back(renderer: Renderer, language: str) -> None:
    here = a_view(shipments=(a_shipment(parcel=a_parcel(carrier_status=CarrierStatus.RETURNED)),))
    back = told(renderer, language, Fact.RESHIPPED, data={"cause": "returned"}, view=here).text

    for cause in COMING_BACK:
        assert told(renderer, language, Fact.RESHIPPED, data={"cause": cause.value}, view=here).text == back


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_does_not_come_is_told_as_lost_only_where_it_is(renderer: Renderer, language: str) -> None:
    causes = ("lost", "silent", "carrier_problem", "not_received")
    lost, *others = (told(renderer, language, Fact.LOST, data={"cause": one}) for one in causes)

    assert len({lost.text, *(other.text for other in others)}) == len(causes)
    assert lost.subject not in {other.subject for other in others}
    for cause in causes:
        text = renderer.text(a_view(), Fact.LOST, subject="SO-1-1", data={"cause": cause}, locale=language)
        assert "..." not in text


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_turns_up_is_told_with_what_becomes_of_the_other_one(renderer: Renderer, language: str) -> None:
    ways = [{"arrived": arrived, "then": then.value} for arrived in (True, False) for then in Meanwhile]

    mails = [told(renderer, language, Fact.FOUND, data=way) for way in ways]

    assert len({mail.text for mail in mails}) == len(ways)
    assert len({mail.subject for mail in mails}) == 2


@pytest.mark.parametrize("language", LANGUAGES)
def test_who_may_pick_up_reads_the_last_day_and_who_has_a_duty_to_pay_that_it_is_theirs(
    renderer: Renderer, language: str
) -> None:
    until = {"until": "2026-11-30T12:00:00+00:00"}
    duty = {"reason": "customs_duties_unpaid", "due_at": "2026-11-25T12:00:00+00:00"}

    waits = told(renderer, language, Fact.PICKUP_WAITING, data=until)
    again = told(renderer, language, Fact.PICKUP_WAITING, data=until | {"again": True})
    asked, identity = (told(renderer, language, Fact.CUSTOMS_ASKED, data=said) for said in (duty, {}))

    assert "30" in waits.subject
    assert "30" in waits.text
    assert again.subject != waits.subject
    assert "25" in asked.text
    assert asked.text != identity.text


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    "fact",
    [Fact.FAILED_ATTEMPT, Fact.LAST_ATTEMPT, Fact.PICKUP_WAITING, Fact.NOT_COLLECTED, Fact.CUSTOMS_ASKED],
)
def test_what_is_texted_about_a_parcel_that_waits_is_one_part_with_all_that_is_known(
    renderer: Renderer, language: str, fact: Fact
) -> None:
    data = {"attempt": 2, "again_on": "2026-11-25", "until": "2026-11-25T12:00:00+00:00", "again": True}
    data |= {"reason": "customs_duties_unpaid", "due_at": "2026-11-25T12:00:00+00:00"}

    text = renderer.text(a_view(), fact, subject="SO-1-1", data=data, locale=language)

    assert length(text) <= (134 if language in NOT_GSM else 160)
    assert is_gsm(text) or language in NOT_GSM
    assert "..." not in text  # the news is whole
