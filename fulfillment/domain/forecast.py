"""Whether a parcel will be late, seen from those that were once where it is now.

A journey has stages: it left, was seen, came near (into the recipient's region), went out for delivery. Of the lane's
deliveries those count that stayed in this stage longer than this parcel has been in it so far; what they still needed
is what it may still need. A parcel that has outlasted nearly all of them is taken to go on at once, at best.

Spans are counted in the time in which carriers deliver: Sundays and the days on which the country is closed stand
still, so that a parcel which left on a Saturday is not slower than one which left on a Monday.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from enum import IntEnum
from itertools import pairwise
from typing import Final
from zoneinfo import ZoneInfo

from fulfillment.domain.address import Address
from fulfillment.domain.calendars import Calendar
from fulfillment.domain.policy import Policy
from fulfillment.domain.tracking import CarrierStatus, Scan, ScanSource
from fulfillment.domain.zones import day_in

_C = CarrierStatus
_DAY: Final = timedelta(days=1)
_MONDAY_TO_SATURDAY: Final = frozenset(range(6))
# With fewer like parcels still under way at this point, the parcel is slower than all we know.
_FEW: Final = 3
_SEEN: Final = (_C.PICKED_UP, _C.IN_TRANSIT, _C.OUT_FOR_DELIVERY, _C.ATTEMPTED, _C.AVAILABLE_FOR_PICKUP)
_OUT: Final = (_C.OUT_FOR_DELIVERY, _C.ATTEMPTED, _C.AVAILABLE_FOR_PICKUP)


class Stage(IntEnum):
    """How far a parcel has come on its way."""

    LEFT = 0
    SEEN = 1
    NEAR = 2
    OUT = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Journey:
    """When a parcel reached each stage; None for one it never showed. `delivered_at` is None under way."""

    left_at: datetime
    first_scan_at: datetime | None = None
    near_at: datetime | None = None
    out_at: datetime | None = None
    delivered_at: datetime | None = None

    def reached(self, stage: Stage) -> datetime | None:
        """Return when this stage, or a later one that hides it, was reached; a parcel may skip scans."""
        stages = (self.left_at, self.first_scan_at, self.near_at, self.out_at, self.delivered_at)
        known = [at for at in stages[stage:] if at is not None]
        return min(known, default=None)

    @property
    def stage(self) -> Stage:
        """The furthest stage it has shown."""
        shown = {Stage.SEEN: self.first_scan_at, Stage.NEAR: self.near_at, Stage.OUT: self.out_at}
        return max((stage for stage, at in shown.items() if at), default=Stage.LEFT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """The share of like parcels that came after the promised day, and the day by which most of them had come."""

    late: float
    day: date
    parcels: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Like:
    """What a parcel of the past did from a stage on: how long it stayed there, and how long until it was delivered."""

    stay: timedelta
    rest: timedelta


class Deliveries:
    """What a lane has delivered, as seen from each stage. Many parcels may be compared with it."""

    def __init__(self, journeys: Sequence[Journey], calendar: Calendar) -> None:
        """`calendar` has the recipients' zone and the days on which their country is closed."""
        self._journeys, self.clock = journeys, replace(calendar, working_days=_MONDAY_TO_SATURDAY)
        self._from: dict[Stage, tuple[_Like, ...]] = {}

    def __len__(self) -> int:
        return len(self._journeys)

    def seen_from(self, stage: Stage) -> tuple[_Like, ...]:
        """Return those that reached a stage, the shortest stay first."""
        if stage not in self._from:
            found = (_like(past, stage, self.clock) for past in self._journeys)
            self._from[stage] = tuple(sorted((like for like in found if like), key=lambda like: like.stay))
        return self._from[stage]


def journey(scans: Sequence[Scan], left_at: datetime, to: Address) -> Journey:
    """Return how far these scans brought a parcel on its way to an address."""
    on_the_way = sorted(
        (scan for scan in scans if scan.source is ScanSource.CARRIER and scan.occurred_at >= left_at),
        key=lambda scan: scan.occurred_at,
    )

    def first(*statuses: CarrierStatus, near: bool = False) -> datetime | None:
        fitting = (s.occurred_at for s in on_the_way if s.status in statuses and (not near or is_near(s, to)))
        return next(fitting, None)

    return Journey(
        left_at=left_at,
        first_scan_at=first(*_SEEN, _C.DELIVERED),
        near_at=first(*_SEEN, _C.DELIVERED, near=True),
        out_at=first(*_OUT),
        delivered_at=first(_C.DELIVERED),
    )


def is_near(scan: Scan, to: Address) -> bool:
    """Test whether a scan was made in the recipient's region, or in their town where it names no region.

    Places read `Boise, ID`: adapters put the region, else the country, last.
    """
    town, comma, last = scan.place.rpartition(", ")
    if comma and to.region and last.casefold() != to.country.casefold():
        return last.casefold() == to.region.casefold()
    return (town or last).casefold() == to.city.casefold()


def longest_silence(scans: Sequence[Scan]) -> timedelta | None:
    """Return the longest span between two scans of the carrier; None with fewer than two."""
    moments = sorted({scan.occurred_at for scan in scans if scan.source is ScanSource.CARRIER})
    return max((later - earlier for earlier, later in pairwise(moments)), default=None)


def forecast(
    this: Journey, past: Deliveries, *, promise_date: date, now: datetime, policy: Policy
) -> Forecast | None:
    """Return when this parcel will come, by those before it; None when too few were ever in its stage."""
    stage, clock = this.stage, past.clock
    known = past.seen_from(stage)
    if len(known) < policy.lane_parcels_at_least:
        return None
    waited = _span(clock, this.reached(stage) or this.left_at, now)
    slower = known[bisect_right(known, waited, key=lambda like: like.stay) :]
    if len(slower) >= _FEW:
        spans = sorted(like.rest - waited for like in slower)
    else:
        spans = sorted(like.rest - like.stay for like in known)

    def day(span: timedelta) -> date:
        return day_in(clock.zone, _later(clock, now, span))

    in_time = bisect_right(spans, promise_date, key=day)
    most = spans[min(int(len(spans) * policy.promise_share), len(spans) - 1)]
    return Forecast(late=1 - in_time / len(spans), day=day(most), parcels=len(spans))


def _like(past: Journey, stage: Stage, clock: Calendar) -> _Like | None:
    since = past.reached(stage)
    if since is None or past.delivered_at is None:
        return None
    until = past.delivered_at if stage is Stage.OUT else past.reached(Stage(stage + 1))
    stay = _span(clock, since, until or past.delivered_at)
    return _Like(stay=stay, rest=_span(clock, since, past.delivered_at))


def _span(clock: Calendar, begin: datetime, end: datetime) -> timedelta:
    """Return the time between two instants without the days on which nothing is delivered."""
    zone = ZoneInfo(clock.zone)
    at, until, total = begin.astimezone(zone), end.astimezone(zone), timedelta()
    while at.date() < until.date():
        midnight = datetime.combine(at.date() + _DAY, time(), zone)
        total += _elapsed(at, midnight) if clock.is_open(at.date()) else timedelta()
        at = midnight
    return total + (_elapsed(at, until) if clock.is_open(at.date()) else timedelta())


def _later(clock: Calendar, begin: datetime, span: timedelta) -> datetime:
    """Return the instant that comes so much delivery time after `begin`."""
    zone = ZoneInfo(clock.zone)
    at = begin.astimezone(zone)
    while True:
        midnight = datetime.combine(at.date() + _DAY, time(), zone)
        here = _elapsed(at, midnight) if clock.is_open(at.date()) else timedelta()
        if here and span < here:
            return (at.astimezone(UTC) + span).astimezone(zone)
        span, at = span - here, midnight


def _elapsed(begin: datetime, end: datetime) -> timedelta:
    # Two times of one zone are subtracted as if the clocks never changed: in UTC they are not.
    return end.astimezone(UTC) - begin.astimezone(UTC)
