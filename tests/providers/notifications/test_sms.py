"""The length of text messages."""

import pytest

from fulfillment.providers.notifications.sms import fitted, is_gsm, length, plain

URL = "https://shop.example/t/8F3KQ2ZDmVw4hTqL0XyB1c"


def test_one_part_holds_160_letters_and_some_take_the_room_of_two() -> None:
    assert length("a" * 160) == 160
    assert length("€" * 80) == 160
    assert length("日" * 70) == 70
    assert length("👍") == 2


def test_letters_that_gsm_lacks_get_their_plain_form() -> None:
    assert plain("“Ça va – déjà reçu… à bientôt”") == '"Ça va - déjà reçu... à bientot"'.replace(
        "reçu", "recu"
    )
    assert is_gsm(plain("Łódź – señor, coração: 5 € × 2"))
    assert plain("ご注文") == "ご注文"


@pytest.mark.parametrize(
    "news", ["Your order SO-10483 is running a day late: now Sat 28 Nov", "x" * 300, "€" * 300]
)
def test_a_message_is_one_part_and_its_link_is_whole(news: str) -> None:
    text = fitted("Northwind Outfitters", news, URL, "Reply STOP to opt out")

    assert length(text) <= 160
    assert text.startswith("Northwind Outfitters: ")
    assert URL in text


def test_the_words_about_stop_go_before_any_of_the_news() -> None:
    news = "Your order SO-10483 comes later than we said it would: now Saturday 28 November"

    text = fitted("Northwind Outfitters", news, URL, "Reply STOP to opt out")

    assert text == f"Northwind Outfitters: {news} {URL}"


def test_in_another_alphabet_it_is_two_parts_at_most() -> None:
    text = fitted("ノースウィンド", "ご注文" * 60, URL, "停止は STOP と返信")

    assert length(text) <= 134
    assert text.endswith(URL)
