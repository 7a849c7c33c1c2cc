"""Where a parcel goes."""

import hashlib
from dataclasses import astuple, dataclass


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
