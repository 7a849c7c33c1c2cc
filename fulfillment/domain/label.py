"""Labels, and what is claimed before one is bought or given back."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import Final

from fulfillment.domain.address import Address
from fulfillment.domain.carrier_choice import Errand, Quote
from fulfillment.domain.cartons import Size
from fulfillment.domain.policy import DEFAULT, LabelFormat, Policy
from fulfillment.domain.reliability import Lane

CONTENT_TYPE: Final[Mapping[LabelFormat, str]] = MappingProxyType(
    {
        LabelFormat.PDF: "application/pdf",
        LabelFormat.PNG: "image/png",
        LabelFormat.ZPL: "application/zpl",  # as IANA does not list it, but carriers and label printers call it
    }
)
# How such a file begins; ZPL II opens every label with ^XA (Zebra's programming guide), often after blanks.
_BEGINS: Final[Mapping[LabelFormat, bytes]] = MappingProxyType(
    {LabelFormat.PDF: b"%PDF-", LabelFormat.PNG: b"\x89PNG\r\n\x1a\n", LabelFormat.ZPL: b"^XA"}
)

# What they take as one parcel, in grams: 70 lb (USPS, Domestic Mail Manual 601) and 150 lb (UPS and FedEx, their service
# guides). Nobody else of whom we know takes more than 70 kg.
HEAVIEST_G: Final = 68_038
_TAKES_G: Final[Mapping[str, int]] = MappingProxyType(
    {"usps": 31_751, "ups": HEAVIEST_G, "fedex": HEAVIEST_G}
)
_NOBODY_TAKES_MORE_G: Final = 70_000


def heaviest_g(carrier: str) -> int:
    """Return what a parcel of this carrier weighs at most, in grams."""
    return _TAKES_G.get(carrier.casefold(), _NOBODY_TAKES_MORE_G)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelDocument:
    """What is printed and glued on, byte for byte as the carrier sent it."""

    format: LabelFormat
    content: bytes

    @property
    def sha256(self) -> str:
        """The fingerprint of the bytes, in hex."""
        return hashlib.sha256(self.content).hexdigest()

    @classmethod
    def of(cls, content: bytes) -> "LabelDocument":
        """Return a document by what its bytes begin with: what a server calls them is not to be relied on.

        Raises:
            ValueError: it is nothing that a label could be.
        """
        for kind, beginning in _BEGINS.items():
            if content.lstrip(b" \t\r\n").startswith(beginning):
                return cls(format=kind, content=content)
        raise ValueError(f"{len(content)} bytes that are neither PDF, PNG nor ZPL")


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A bought label. `cost` is in minor units of `currency`."""

    carrier: str
    service: str
    tracking_number: str
    cost: int
    currency: str
    label_url: str
    edd: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelJob:
    """A claimed purchase. `reference` is the provider's shipment, once made; it is stored before buying.

    `days` are the carriers' working days until the promised one; `quoted` is what an earlier attempt chose, `value` what
    the goods cost, in minor units of `currency`.
    `size_mm` are the parcel's sides, None where it is in no carton of ours.
    """

    key: str
    parcel_id: str
    order_id: str
    origin: Address
    destination: Address
    weight_g: int
    promise_date: date
    currency: str
    today: date
    location_id: str = ""
    days: int = 0
    express: bool = False
    size_mm: Size | None = None
    value: int = 0
    policy: Policy = DEFAULT
    reference: str = ""
    sends: int = 0
    bought: Label | None = None
    stopped: bool = False
    quoted: Quote | None = None
    quotes_are_old: bool = False
    accepts_dearer: bool = False
    is_for_old_address: bool = False
    has_document: bool = False
    address_is_checked: bool = True

    @property
    def errand(self) -> Errand:
        """What is to be carried, for the choice of a carrier."""
        return Errand(
            parcel_id=self.parcel_id,
            today=self.today,
            promise_date=self.promise_date,
            days=self.days,
            express=self.express,
            value=self.value,
        )

    @property
    def lane(self) -> Lane:
        """From where to where."""
        return Lane.to(self.location_id, self.destination)


@dataclass(frozen=True, slots=True, kw_only=True)
class VoidJob:
    """A claimed return of a label."""

    key: str
    label_id: str
    reference: str
    sends: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Quoted:
    """The provider's shipment with its offers, what was said by carriers that made none, and which do not answer."""

    reference: str
    quotes: tuple[Quote, ...]
    messages: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()
