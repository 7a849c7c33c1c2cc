"""The length of text messages: 160 characters of GSM 03.38, or 70 of any other alphabet, are one part (3GPP TS 23.038).

A single letter from elsewhere turns the whole message into the costly alphabet, so those that have a plain form get it.
"""

import unicodedata
from collections.abc import Iterator
from typing import Final

_BASIC: Final = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENDED: Final = frozenset("^{}\\[~]|€")  # each takes the room of two
_ONE_PART: Final = 160
_TWO_PARTS_OF_ANY_ALPHABET: Final = 2 * 67  # each part of several holds three less than seventy
_PLAIN: Final = {"’": "'", "‘": "'", "“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "–": "-", "—": "-"} | {
    "…": "...", "×": "x", "\u00a0": " ", "\u202f": " ", "\u200f": "", "œ": "oe", "Œ": "OE", "ł": "l", "Ł": "L",
}  # fmt: skip


def length(text: str) -> int:
    """Return how much room a text takes: septets of GSM 03.38, or UTF-16 units where that lacks a letter."""
    if is_gsm(text):
        return sum(2 if letter in _EXTENDED else 1 for letter in text)
    return len(text.encode("utf-16-be")) // 2


def is_gsm(text: str) -> bool:
    """Test whether GSM 03.38 has every letter of a text."""
    return all(letter in _BASIC or letter in _EXTENDED for letter in text)


def fitted(shop: str, news: str, url: str, stop: str) -> str:
    """Return one message of these: of one part, or of two in an alphabet that GSM lacks.

    The link is never cut. What is too long loses the words about STOP first, which carriers and Twilio know without
    them, then the end of the news.
    """
    shop, news, stop = (plain(words) for words in (shop, news, stop))
    whole = f"{shop}: {news} {url} {stop}"
    if length(whole) <= _room(whole):
        return whole
    return next(shorter for shorter in _ever_shorter(shop, news, url) if length(shorter) <= _room(shorter))


def plain(text: str) -> str:
    """Return a text with plain forms of the letters GSM lacks; one in another alphabet stays as it is."""
    letters = "".join(_plain_letter(letter) for letter in text)
    return letters if is_gsm(letters) else "".join(_PLAIN.get(letter, letter) for letter in text)


def _plain_letter(letter: str) -> str:
    if letter in _BASIC or letter in _EXTENDED:
        return letter
    bare = "".join(c for c in unicodedata.normalize("NFKD", letter) if not unicodedata.combining(c))
    return _PLAIN.get(letter, bare)


def _room(text: str) -> int:
    return _ONE_PART if is_gsm(text) else _TWO_PARTS_OF_ANY_ALPHABET


def _ever_shorter(shop: str, news: str, url: str) -> Iterator[str]:
    yield f"{shop}: {news} {url}"
    for kept in range(len(news) - 1, 0, -1):
        yield f"{shop}: {news[:kept].rstrip()}... {url}"
    yield url
