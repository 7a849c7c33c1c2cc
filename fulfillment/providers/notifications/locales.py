"""Languages: which one a customer reads, its standing words, and how it writes days, amounts and numbers.

A language is a folder of `templates`: a text for each fact, and `words.toml` for what every letter says. Days and
times are CLDR patterns (https://unicode.org/reports/tr35/tr35-dates.html#Date_Format_Patterns), plurals its categories.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final
from zoneinfo import ZoneInfo

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_time
from babel.numbers import format_currency, format_decimal

from fulfillment.domain.headline import why_late
from fulfillment.domain.money import Money, exponent
from fulfillment.domain.notifications import Fact

TEMPLATES: Final = Path(__file__).parent / "templates"
ENGLISH: Final = "en"
LANGUAGES: Final = tuple(sorted(folder.name for folder in TEMPLATES.iterdir() if folder.is_dir()))

# Where English is written if nobody says: CLDR's plain "en" has no country's habits.
_HOMES: Final[Mapping[str, str]] = MappingProxyType({ENGLISH: "en_US"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Tongue:
    """A language as one customer reads it. `zone` is the IANA zone in which their clock runs."""

    language: str
    locale: Locale
    zone: str
    words: Mapping[str, Any] = field(repr=False)

    @property
    def direction(self) -> str:
        """`ltr` or `rtl`, as HTML has it."""
        return str(self.locale.text_direction)

    def day(self, moment: date) -> str:
        """Write a day; of a moment, that on which it is where the customer is."""
        day = moment.astimezone(ZoneInfo(self.zone)) if isinstance(moment, datetime) else moment
        return str(format_date(day, self.words["day"], locale=self.locale))

    def clock(self, moment: datetime) -> str:
        """Write a time of day, with the name of its zone."""
        pattern, zone = self.words["clock"], ZoneInfo(self.zone)
        return str(format_time(moment, pattern, tzinfo=zone, locale=self.locale))

    def money(self, amount: Money) -> str:
        """Write an amount."""
        value = Decimal(amount.minor).scaleb(-exponent(amount.currency))
        return str(format_currency(value, amount.currency, locale=self.locale))

    def plural(self, number: int, **forms: str) -> str:
        """Return the form for a number by its CLDR category; `{n}` in it is the number."""
        form = forms.get(self.locale.plural_form(number), forms["other"])
        return form.replace("{n}", str(format_decimal(number, locale=self.locale)))

    def reason(self, code: str) -> str:
        """Return why a parcel is late, as a part of a sentence; empty for what there are no words for.

        What somebody wrote in a sentence of their own is English, and shown to nobody else.
        """
        if self.language == ENGLISH:
            return why_late(code)
        return str(self.words["reasons"].get(code, ""))


def tongue_for(tag: str, fact: Fact, zone: str) -> Tongue:
    """Return the language of a customer who wants `tag` (BCP 47), in which this fact can be told: English if in none."""
    parts = tag.replace("_", "-").split("-")
    language = parts[0].lower()
    if language not in LANGUAGES or not (TEMPLATES / language / f"{fact}.txt").exists():
        language, parts = ENGLISH, [ENGLISH]
    return Tongue(language=language, locale=_locale(language, parts), zone=zone, words=words_of(language))


@cache
def words_of(language: str) -> Mapping[str, Any]:
    """Return the standing words of a language."""
    return MappingProxyType(tomllib.loads((TEMPLATES / language / "words.toml").read_text("utf-8")))


def _locale(language: str, parts: list[str]) -> Locale:
    """Return the locale with its country, where that is known."""
    try:
        return Locale.parse("_".join([language, *parts[1:]]) if parts[1:] else _HOMES.get(language, language))
    except (ValueError, UnknownLocaleError):
        return Locale.parse(_HOMES.get(language, language))
