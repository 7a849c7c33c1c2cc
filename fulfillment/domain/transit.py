"""How long parcels take on a lane, learned from those that went before.

A lane leads from a location to an area of a country, by a carrier or, before one is chosen, by any. What it has shown is
weighed against what is expected without it, because a lane with three parcels knows little:

* days: the lane's deliveries count beside `PRIOR_WEIGHT` imagined ones that took what is expected. So a few late
  parcels make a promise later at once, but some sixty are needed before it becomes earlier. An area is judged against
  its country, a country against what the carriers say of it, and without their word against the shop's usual days;
* spans (silence, loss, forecasts): those of the area if it has `Policy.lane_parcels_at_least` deliveries, else those of
  its country by the same carrier, else the policy's own.

It is the same weighing by which `reliability` judges a service: a day is promised if the share of parcels that arrive
by then, imagined ones included, is large enough.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from fulfillment.domain.calendars import Calendar
from fulfillment.domain.policy import Policy

PRIOR_WEIGHT: Final = 10
_AREA_LENGTH: Final = 3  # a postal code's first three characters name a sorting centre
# A lane's own span may stretch or shorten the policy's so far and no further.
_SHORTEST, _LONGEST = 0.5, 3.0
_MARGIN: Final = 1.5  # one parcel in twenty is slower than the 95th percentile, and is not in trouble


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What was seen of a lane: how many deliveries took how many working days.

    `stated` is what carriers said beforehand of parcels to the same country, by number of days.
    """

    area: Mapping[int, int]
    country: Mapping[int, int]
    stated: Mapping[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Transit:
    """Working days to reckon with, and what says so."""

    days: int
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """The 95th percentiles of a lane's deliveries: until the first scan, between two scans, to the door."""

    parcels: int
    first_scan: timedelta | None
    silence: timedelta | None
    door: timedelta | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a parcel may say nothing; `parcels` is how many deliveries that was learned from, 0 is the policy."""

    first_scan_within: timedelta
    scan_silence: timedelta
    lost_after: timedelta
    parcels: int = 0


def area_of(postal_code: str) -> str:
    """Return the first characters of a postal code, which name a sorting centre; "" without one."""
    return "".join(postal_code.split()).upper()[:_AREA_LENGTH]


def working_days(calendar: Calendar, left: date, arrived: date) -> int:
    """Return how many working days of the calendar must be promised so that `arrived` is not late."""
    days = 0
    while calendar.after(left, days) < arrived:
        days += 1
    return days


def days_left(calendar: Calendar, leaves: date, until: date) -> int:
    """Return how many working days a parcel may take that has to be there by `until`."""
    days = 0
    while calendar.after(leaves, days + 1) <= until:
        days += 1
    return days


def usual(history: History, *, abroad: bool, policy: Policy) -> Transit:
    """Return the days within which `policy.promise_share` of the lane's parcels arrive."""
    share, shop = policy.promise_share, policy.transit_days_abroad if abroad else policy.transit_days
    expected, because = shop, "the shop's usual"
    if history.stated:
        expected, because = _reached(history.stated, share), "as carriers say"
    for where, own in (("to that country", history.country), ("to that area", history.area)):
        if own:
            expected = _with_prior(own, share, expected)
            because = f"{share:.0%} of {sum(own.values())} parcels {where}"
    return Transit(days=expected, because=because)


def patience(area: Times, country: Times, *, abroad: bool, policy: Policy) -> Patience:
    """Return how long a parcel of this lane may be silent: its own history within limits that the policy sets."""
    shop = Patience(
        first_scan_within=policy.first_scan_within,
        scan_silence=policy.scan_silence_abroad if abroad else policy.scan_silence,
        lost_after=policy.lost_after_abroad if abroad else policy.lost_after,
    )
    seen = next((times for times in (area, country) if times.parcels >= policy.lane_parcels_at_least), None)
    if seen is None:
        return shop
    return Patience(
        first_scan_within=_within(shop.first_scan_within, seen.first_scan),
        scan_silence=_within(shop.scan_silence, seen.silence),
        # Giving up too early costs a parcel: what is fast elsewhere never shortens it.
        lost_after=min(max(shop.lost_after, 3 * (seen.door or timedelta())), shop.lost_after * _LONGEST),
        parcels=seen.parcels,
    )


def _within(shop: timedelta, seen: timedelta | None) -> timedelta:
    if seen is None:
        return shop
    return min(max(seen * _MARGIN, shop * _SHORTEST), shop * _LONGEST)


def _with_prior(own: Mapping[int, int], share: float, expected: int) -> int:
    return _reached({**own, expected: own.get(expected, 0) + PRIOR_WEIGHT}, share)


def _reached(counted: Mapping[int, int], share: float) -> int:
    """Return the smallest number of days that this share of parcels did not exceed."""
    total, so_far = sum(counted.values()), 0
    for days in sorted(counted):
        so_far += counted[days]
        if so_far >= share * total:
            return days
    return max(counted)
