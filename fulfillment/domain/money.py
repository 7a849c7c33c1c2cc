"""Money in minor units, and how an amount is spread so that every part adds up again."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

# ISO 4217 exponents that are not 2 (https://www.six-group.com/en/products-services/financial-information/
# data-standards.html, list one). Providers may count otherwise: each adapter has a table of its own.
_EXPONENTS: Final = MappingProxyType(
    dict.fromkeys(
        [
            "BIF",
            "CLP",
            "DJF",
            "GNF",
            "ISK",
            "JPY",
            "KMF",
            "KRW",
            "PYG",
            "RWF",
            "UGX",
            "UYI",
            "VND",
            "VUV",
            "XAF",
            "XOF",
            "XPF",
        ],
        0,
    )
    | dict.fromkeys(["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"], 3)
)


def exponent(currency: str) -> int:
    """Return the number of decimals of an ISO 4217 currency."""
    return _EXPONENTS.get(currency, 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """An amount in the minor unit of an ISO 4217 currency: 1999 EUR is nineteen euros ninety-nine."""

    minor: int
    currency: str

    def __str__(self) -> str:
        return format_minor(self.minor, self.currency)


def format_minor(minor: int, currency: str) -> str:
    """Return an amount as people write it in a ledger, for example `66.00 USD`."""
    places = exponent(currency)
    sign = "-" if minor < 0 else ""
    whole, rest = divmod(abs(minor), 10**places)
    return f"{sign}{whole}{f'.{rest:0{places}}' if places else ''} {currency}"


def without_amounts(text: str, currency: str) -> str:
    """Return a sentence as people may read it who know of an order and not of its money."""
    amount = rf"-?\d+(\.\d+)? {currency}\b"
    said = re.sub(rf" {amount} (more|less) to pay\.", "", text)
    return re.sub(rf"(the )?{amount}", "the amount", said)


def spread(total: int, weights: Sequence[int]) -> tuple[int, ...]:
    """Spread `total` over `weights` by largest remainder; ties go to the earlier one.

    The parts always add up to `total`. Without any weight the first one takes all.
    """
    whole = sum(weights)
    if whole == 0:
        return tuple(total if n == 0 else 0 for n in range(len(weights)))
    parts = [total * weight // whole for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda n: (-(total * weights[n] % whole), n))
    for n in by_remainder[: total - sum(parts)]:
        parts[n] += 1
    return tuple(parts)


def part_of(total: int, *, of: int, first: int, count: int) -> int:
    """Return what units `first` .. `first + count - 1` of `of` are worth, when `total` is spread over all.

    Unit n is worth `floor(total*n/of) - floor(total*(n-1)/of)`, so any grouping of units adds up exactly.
    """
    before, after = first - 1, first - 1 + count
    return total * after // of - total * before // of
