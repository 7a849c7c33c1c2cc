"""How parcels really travel: recorded scan series, slowed to times drawn from what carriers say of their own.

The number after a code is the hours until the next scan, as recorded; bars divide what was scanned at the origin, on the
way and in the recipient's region. Two were recorded in 2024, the third, of an unknown year, up to its last hub. Days are fitted to EasyPost's SmartRate percentiles of USPS Ground Advantage. A slow parcel stands still once,
where the recorded ones stood longest: 56 hours of nothing in the recipient's region is the record of the first series.
"""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

_SERIES: Final = {
    "USPS Ground, NY to FL": "03 5.9 SF 1.0 10 12.2 T1 5.9 | TL 5.9 TL 7.1 TL 0 | A1 55.8 07 0.2",
    "FedEx Ground, MN to NY": (
        "AR 0.9 DP 9.1 | AR 3 DP 11.1 AR 13.2 DP 18.8 IT 12.4 IT 17.2 IT 5.3 | AR 11 DP 5.1 AR 0.15"
    ),
    "FedEx, FL to NY": "PU 3.1 AR 16.1 DP 12.1 | IT 15.8 IT 0.2 | AR 5.9",
}
_DETAIL: Final = {
    **dict.fromkeys(("03", "PU"), "received_at_origin_facility"),
    **dict.fromkeys(("SF", "T1", "DP"), "departed_facility"),
    **dict.fromkeys(("10", "A1", "AR"), "arrived_at_facility"),
    **dict.fromkeys(("TL", "IT"), "status_update"),
    "07": "arrived_at_destination",
}
# Of 100 parcels so many had come after these days: the percentiles 50, 75, 85, 90, 95, 97 and 99.
_SHARES: Final = (0.5, 0.75, 0.85, 0.9, 0.95, 0.97, 0.99)
_SHORT: Final = (1, 2, 2, 2, 3, 3, 4)
_LONG: Final = (3, 4, 5, 5, 6, 7, 10)
_LOST: Final = 0.02  # four times what carriers admit, so that there are some to act on
_NOT_AT_HOME: Final = 0.028
_SAYS_SO: Final = 0.33  # an assumption: carriers announce every third long delay
_HOUR: Final = timedelta(hours=1)
_SLOW: Final = timedelta(hours=24)


@dataclass(frozen=True, slots=True, kw_only=True)
class Town:
    """Where parcels go to; `on_the_way` is where they are seen before its own region."""

    city: str
    region: str
    postal_code: str
    zone: str
    on_the_way: tuple[str, str]
    is_far: bool


ORIGIN: Final = ("Reno", "NV")
TOWNS: Final = (
    Town(city="Sacramento", region="CA", postal_code="95814", zone="America/Los_Angeles",
         on_the_way=("Salt Lake City", "UT"), is_far=False),
    Town(city="Boise", region="ID", postal_code="83702", zone="America/Denver",
         on_the_way=("Salt Lake City", "UT"), is_far=False),
    Town(city="Denver", region="CO", postal_code="80202", zone="America/Denver",
         on_the_way=("Salt Lake City", "UT"), is_far=True),
    Town(city="Austin", region="TX", postal_code="78701", zone="America/Chicago",
         on_the_way=("Phoenix", "AZ"), is_far=True),
    Town(city="Boston", region="MA", postal_code="02108", zone="America/New_York",
         on_the_way=("Columbus", "OH"), is_far=True),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A scan to come. `est` is set where the carrier names another day."""

    at: datetime
    detail: str
    place: tuple[str, str]
    est: datetime | None = None

    def as_json(self) -> dict[str, Any]:
        """Return it as the simulator takes it."""
        own = ("out_for_delivery", "delivered")
        return {
            "at": self.at.isoformat(),
            "status": self.detail if self.detail in own else "in_transit",
            "status_detail": self.detail,
            "place": [*self.place, "US", ""],
            "est": self.est.isoformat() if self.est else None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """All scans of a parcel; `delivered_at` is None for one that is lost."""

    scans: tuple[Seen, ...]
    delivered_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    hours: float
    detail: str
    place: tuple[str, str]


def draw(dice: random.Random, town: Town, left_at: datetime, rests: frozenset[date]) -> Way:
    """Return the way of a parcel that left at this instant; on `rests` and Sundays nobody delivers."""
    accepted = left_at + min(3 * math.exp(math.log(10 / 3) * dice.gauss(0, 1) / 1.2816), 14.0) * _HOUR
    door = _Door(dice, town, rests)
    loaded = door.morning(accepted, _days(dice, town))
    steps = tuple(_steps(dice.choice(sorted(_SERIES.values())), town))
    scans = _line_haul(dice, steps, accepted, loaded, town)
    if dice.random() < _LOST:
        return Way(scans=scans[: dice.randint(1, len(steps) - 1)], delivered_at=None)
    last = tuple(door.last_mile(loaded))
    return Way(scans=(*scans, *last), delivered_at=last[-1].at)


class _Door:
    """The recipient's end: local mornings, and who is at home."""

    def __init__(self, dice: random.Random, town: Town, rests: frozenset[date]) -> None:
        self._dice, self._town, self._rests = dice, town, rests

    def morning(self, since: datetime, days: int) -> datetime:
        """Return the loading of the van so many delivery days later: between 6 and 10."""
        zone = ZoneInfo(self._town.zone)
        day = since.astimezone(zone).date()
        while days > 0:
            day += timedelta(days=1)
            days -= day.weekday() != 6 and day not in self._rests
        return datetime.combine(day, time(6), zone) + self._dice.uniform(0.2, 4.0) * _HOUR

    def last_mile(self, loaded: datetime) -> Iterator[Seen]:
        """Yield the last scans; some are not at home and have it a delivery day later."""
        place = (self._town.city, self._town.region)
        yield Seen(at=loaded, detail="out_for_delivery", place=place)
        if self._dice.random() < _NOT_AT_HOME:
            yield Seen(at=loaded + 5 * _HOUR, detail="delivery_exception", place=place)
            loaded = self.morning(loaded, 1)
            yield Seen(at=loaded, detail="out_for_delivery", place=place)
        hours = min(max(self._dice.gauss(5, 2), 0.5), 10.0)
        yield Seen(at=loaded + hours * _HOUR, detail="delivered", place=place)


def _days(dice: random.Random, town: Town) -> int:
    chance = dice.random()
    days = _LONG if town.is_far else _SHORT
    slowest = days[-1] + dice.randint(1, 3)
    early = max(1, days[0] - (chance < 0.2))
    return next((d for share, d in zip(_SHARES, (early, *days[1:]), strict=True) if chance < share), slowest)


def _steps(series: str, town: Town) -> Iterator[_Step]:
    places = (ORIGIN, town.on_the_way, (town.city, town.region))
    for part, place in zip(series.split("|"), places, strict=True):
        words = part.split()
        for code, hours in zip(words[::2], words[1::2], strict=True):
            yield _Step(hours=float(hours), detail=_DETAIL[code], place=place)


def _line_haul(
    dice: random.Random, steps: tuple[_Step, ...], accepted: datetime, loaded: datetime, town: Town
) -> tuple[Seen, ...]:
    """Return the scans until the van: at the recorded pace or faster, and once as long as it takes."""
    room = (loaded - accepted) / _HOUR
    recorded = sum(step.hours for step in steps)
    usual = min(recorded, room, ((_LONG if town.is_far else _SHORT)[0] * 24 - 10))
    stops_at = dice.choices(range(len(steps)), weights=[step.hours + 0.1 for step in steps])[0]
    scans, at = list[Seen](), accepted
    for n, step in enumerate(steps):
        scans.append(Seen(at=at, detail=step.detail, place=step.place))
        rest = (room - usual) * _HOUR if n == stops_at else timedelta()
        if rest > _SLOW and dice.random() < _SAYS_SO:
            est = loaded.replace(hour=20, minute=0, second=0, microsecond=0)
            said = at + dice.uniform(6, 18) * _HOUR
            scans.append(Seen(at=said, detail="delayed", place=step.place, est=est))
        at += step.hours * (usual / recorded) * _HOUR + rest
    return tuple(scans)
