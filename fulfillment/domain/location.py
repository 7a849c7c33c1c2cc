"""Where stock is kept and from where it ships."""

from dataclasses import dataclass

from fulfillment.domain.address import Address
from fulfillment.domain.calendars import Calendar


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """A warehouse, or a shop that ships; the lowest `priority` is asked first.

    `daily_capacity` is how many shipments its floor takes before others are asked first; None is no limit. `on_time`
    is the share of its parcels that keep their promise, where it is known: a contract's word, or a year's experience.
    """

    location_id: str
    name: str
    address: Address
    priority: int
    calendar: Calendar
    daily_capacity: int | None = None
    on_time: float | None = None
