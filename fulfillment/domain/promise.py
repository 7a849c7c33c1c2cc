"""The date we tell the customer, who was told another one and why, and how late is late.

Work counts for the location's own business day. Spans of the policy count business days, the one on which work begins
included: with `handling` of a day, what is ordered before the cut-off leaves on the same day. The promise is a plain
date: transit is counted in days, and on the last of them it is at the recipient's door, in the recipient's own zone.
How many days a lane takes is `transit`'s: its own history, the carriers' word where there is little of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Final

from fulfillment.domain.calendars import Calendar
from fulfillment.domain.inventory import ShortLine
from fulfillment.domain.notifications import NotificationState
from fulfillment.domain.policy import Policy
from fulfillment.domain.sourcing import Candidate

_WEEKDAYS: Final = Calendar()


class Source(StrEnum):
    """Who says that this is the day."""

    CONFIRMED = "confirmed"  # we did, when the order was confirmed
    CARRIER = "carrier"
    COMPUTED = "computed"  # we do, by how far it has come and how long others took from there
    STOCK = "stock"
    CHANGE = "change"  # the customer changed the order
    RESHIP = "reship"  # it is sent again


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """A message by which a promise was told, and what became of it."""

    channel: str
    state: NotificationState
    sent_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """The n-th day an order was promised for, why, and who was told how. The first is never changed."""

    n: int
    day: date
    source: Source
    reason: str
    at: datetime
    shipment_id: str | None = None
    told: tuple[Telling, ...] = ()

    @property
    def told_at(self) -> datetime | None:
        """When the first message about it was sent; None while none was."""
        return min((one.sent_at for one in self.told if one.sent_at), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class CartPart:
    """A parcel that a cart would become: units by SKU, and the day by which it should arrive."""

    location_id: str
    units: Mapping[str, int]
    promise_date: date
    waits_for_stock: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CartPromise:
    """What could be promised for a cart; `promise_date` is when all of it is there, None when nothing may come.

    `candidates` and `why` explain the choice of locations.
    """

    parts: tuple[CartPart, ...]
    promise_date: date | None
    short: tuple[ShortLine, ...]
    candidates: tuple[Candidate, ...]
    why: str


def promised(
    *,
    now: datetime,
    calendar: Calendar,
    abroad: bool,
    policy: Policy,
    days: int | None = None,
    not_before: date | None = None,
) -> date:
    """Return the day by which a parcel of this location should arrive: handling, then transit.

    `days` is how many working days the lane takes, the policy's where nobody asked. What waits for stock cannot leave
    before `not_before`. A country's closed days hold up its carriers too; those of another country are not known here.
    """
    leaves = calendar.after(calendar.work_day(now), _days(policy.handling))
    if not_before is not None and not_before > leaves:
        leaves = calendar.open_day(not_before)
    if abroad:
        return _WEEKDAYS.after(leaves, policy.transit_days_abroad if days is None else days)
    carriers = Calendar(closed_days=calendar.closed_days)
    return carriers.after(leaves, policy.transit_days if days is None else days)


def ship_by(*, now: datetime, calendar: Calendar, policy: Policy) -> datetime:
    """Return the instant by which a shipment must have left: the end of a business day of its location, in UTC."""
    last = calendar.after(calendar.work_day(now), _days(policy.ship_within))
    return calendar.end_of(last).astimezone(UTC)


def stock_expected(*, now: datetime, due: date | None, available_from: date | None, policy: Policy) -> date:
    """Return the day from which missing units may leave: never before they are for sale, nor before they can come.

    `due` is when the earliest open order to a vendor should arrive. Without one, or when it is very near, the shop's
    usual wait counts: others may be served first.
    """
    usual = (now + timedelta(days=policy.backorder_days)).astimezone(UTC).date()
    return max(day for day in (usual, due, available_from) if day is not None)


def _days(span: timedelta) -> int:
    """Return how many business days follow the first one in a span; a part of a day is a whole one."""
    whole = -(-span // timedelta(days=1))
    return whole - 1 if whole else 0
