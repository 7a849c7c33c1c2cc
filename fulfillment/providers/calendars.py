"""Public holidays by country and region, from the `holidays` library, as plain days for a location's calendar."""

from collections.abc import Iterable
from datetime import date

import holidays

from fulfillment.domain.errors import FulfillmentError


class UnknownCountry(FulfillmentError):
    """Nobody has told us this country's holidays."""

    def __init__(self, country: str) -> None:
        super().__init__(f"the public holidays of {country} are not known; give its closed days by hand")
        self.country = country


def public_holidays(country: str, region: str, years: Iterable[int]) -> frozenset[date]:
    """Return the days of these years on which a country rests, and the region if it has holidays of its own.

    `country` is ISO 3166-1 alpha-2, `region` the second part of ISO 3166-2, such as NV or BE.

    Raises:
        UnknownCountry: the library does not have it.
    """
    known = holidays.list_supported_countries(include_aliases=False)
    if country not in known:
        raise UnknownCountry(country)
    its_own = region if region in known[country] else None
    return frozenset(holidays.country_holidays(country, subdiv=its_own, years=list(years)))
