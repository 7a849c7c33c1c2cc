"""Which countries there are: ISO 3166-1 alpha-2, and the codes that posts use beside it, such as XK."""

from functools import cache
from typing import Final

from babel import Locale

# The Unicode list, which Babel carries, has groups of countries and codes for tests beside the countries.
_NO_COUNTRIES: Final = frozenset({"EU", "EZ", "QO", "UN", "XA", "XB", "ZZ"})


def is_country(code: str) -> bool:
    """Test whether a country has this code, in capital letters."""
    return code in _countries()


@cache
def _countries() -> frozenset[str]:
    codes = (str(code) for code in Locale("en").territories)
    return frozenset(code for code in codes if len(code) == 2) - _NO_COUNTRIES
