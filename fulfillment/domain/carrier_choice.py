"""Which offered service carries a parcel: the cheapest that keeps the promise, else the fastest."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """An offer. `price` is in minor units; `days` are calendar days in transit, None when unstated."""

    quote_id: str
    carrier: str
    service: str
    price: int
    currency: str
    days: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """An offer beside the promise."""

    quote: Quote
    arrives: date | None
    in_time: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The decision with all its inputs, kept so that a person can be told why."""

    chosen: Quote
    why: str
    options: tuple[Scored, ...]


def choose(
    quotes: Sequence[Quote], *, today: date, promise_date: date, express: bool = False
) -> Choice | None:
    """Return the cheapest offer that keeps the promise, else the fastest; None without any offer.

    An `express` parcel takes the fastest: that is what was paid for.
    """
    if not quotes:
        return None
    options = tuple(_scored(quote, today, promise_date) for quote in quotes)
    if express:
        return Choice(chosen=min(quotes, key=_fastest), why="express: the fastest", options=options)
    if in_time := [option.quote for option in options if option.in_time]:
        return Choice(
            chosen=min(in_time, key=_cheapest), why="cheapest that keeps the promise", options=options
        )
    return Choice(
        chosen=min(quotes, key=_fastest), why="none keeps the promise: the fastest", options=options
    )


def _scored(quote: Quote, today: date, promise_date: date) -> Scored:
    arrives = None if quote.days is None else today + timedelta(days=quote.days)
    return Scored(quote=quote, arrives=arrives, in_time=arrives is not None and arrives <= promise_date)


def _cheapest(quote: Quote) -> tuple[int, int, str, str]:
    return quote.price, _days(quote), quote.carrier, quote.service


def _fastest(quote: Quote) -> tuple[int, int, str, str]:
    return _days(quote), quote.price, quote.carrier, quote.service


def _days(quote: Quote) -> int:
    return 999 if quote.days is None else quote.days
