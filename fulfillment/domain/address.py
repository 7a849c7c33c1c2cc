"""Where a parcel goes."""

import hashlib
import re
from dataclasses import astuple, dataclass
from enum import StrEnum
from typing import Final

from fulfillment.domain.errors import FulfillmentError

_NUMBERS: Final = re.compile(r"\d+")
_US_AREA: Final = 5  # digits; the four behind them are the carrier's business


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A postal address as the customer wrote it; `country` is ISO 3166-1 alpha-2."""

    name: str
    line1: str
    city: str
    country: str
    line2: str = ""
    company: str = ""
    region: str = ""
    postal_code: str = ""
    phone: str = ""

    def digest(self) -> str:
        """Return a hash of what a label would print; a label with another one is stale."""
        printed = "\x1f".join(" ".join(str(part).split()).casefold() for part in astuple(self))
        return hashlib.sha256(printed.encode()).hexdigest()[:16]

    @property
    def place(self) -> str:
        """The city and region or country: what may be shown to anyone who holds the tracking link."""
        return ", ".join(part for part in (self.city, self.region or self.country) if part)


class Verdict(StrEnum):
    """What an address check came to."""

    DELIVERABLE = "deliverable"
    CORRECTED = "corrected"  # it can be delivered to another form of it
    NEEDS_CONFIRMATION = "needs_confirmation"  # there may be such a place, or another one is meant
    UNDELIVERABLE = "undeliverable"
    UNKNOWN = "unknown"  # nobody could tell; that never blocks


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressAnswer:
    """What carriers say of an address; `said` is their own word for what is wrong."""

    verdict: Verdict
    suggestion: Address | None = None
    said: str = ""


class AddressRefused(FulfillmentError):
    """No carrier brings a parcel to this address, or none is sure: the customer has to say what is meant."""


def leads_elsewhere(written: Address, corrected: Address) -> bool:
    """Test whether a correction is more than another spelling: another town, area, or number of the house.

    Carriers write "ST" for "Street" and add digits to a postal code. That is no news for a customer.
    """
    return _place(written) != _place(corrected) or _numbers(written) != _numbers(corrected)


def _place(address: Address) -> tuple[str, ...]:
    postal = address.postal_code.replace(" ", "").casefold()
    area = postal[:_US_AREA] if address.country == "US" else postal
    return address.country, area, " ".join(address.city.split()).casefold()


def _numbers(address: Address) -> list[str]:
    return sorted(_NUMBERS.findall(f"{address.line1} {address.line2}"))
