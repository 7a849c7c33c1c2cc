"""Labels, and what is claimed before one is bought or given back."""

from dataclasses import dataclass
from datetime import date

from fulfillment.domain.address import Address
from fulfillment.domain.carrier_choice import Quote
from fulfillment.domain.cartons import Size


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
    express: bool = False
    size_mm: Size | None = None
    reference: str = ""
    sends: int = 0
    bought: Label | None = None
    stopped: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class VoidJob:
    """A claimed return of a label."""

    key: str
    label_id: str
    reference: str
    sends: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Quoted:
    """The provider's shipment with its offers, and the carriers that failed to make one."""

    reference: str
    quotes: tuple[Quote, ...]
    messages: tuple[str, ...] = ()
