"""How surely a carrier's service arrives in time: our own deliveries over a prior, and what they bear out at least.

    p_on_time(d) = (k + m * prior(d)) / (n + m)

k of n own parcels arrived within d days; m is what the prior weighs, in parcels. Younger parcels count for more, and
those of the narrowest circle that has enough: the lane, the zone, the service as a whole. Where what came lately cannot be
explained by what came before, only what came lately counts: a carrier that turns bad is not carried by its good name.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Final

from fulfillment.domain.address import Address
from fulfillment.domain.transit import area_of

WINDOW_DAYS: Final = 90
HALF_LIFE_DAYS: Final = 30
NEWEST: Final = 300  # parcels of one circle: more would say the same and take longer to read
ENOUGH: Final = 20.0
AGES: Final = (7, 14, 28, 56)  # days: where a fall is looked for
_Z: Final = 1.2816  # of the normal distribution: one side, 90 %
_Z_OF_A_FALL: Final = 2.3263  # 99 %: it is looked for every day
_FEW: Final = 5.0
_LOST: Final = 0.004
_DAMAGED: Final = 0.01
_WEIGHS: Final = 50.0  # parcels: what a carrier's own statement is worth
_STATED: Final = 10.0  # Beta(8, 2): what a mere number of days is worth
_STATED_KEPT: Final = 0.8
PEAK_BEGINS: Final = (11, 15)  # month and day
_ZONE_LENGTH: Final = 1  # a postal code's first character names a part of the country
_WEEK: Final = 7
_OPEN: Final = 5  # days of a week


class Circle(StrEnum):
    """How far around a lane its experience was gathered."""

    LANE = "lane"
    ZONE = "zone"
    SERVICE = "service"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """From one of our locations to an area of a country; `zone` is the larger area around it."""

    location_id: str
    country: str
    area: str

    @classmethod
    def to(cls, location_id: str, address: Address) -> "Lane":
        """Return the lane that leads from a location to an address."""
        return cls(location_id=location_id, country=address.country, area=area_of(address.postal_code))

    @property
    def zone(self) -> str:
        """What the areas around it have in common."""
        return self.area[:_ZONE_LENGTH]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Parcels that fared alike. `weight` is how many, the older the less; `days` None: not delivered (yet).

    `out_for` is how many working days ago they left, `age` how many of `AGES` they are past, `peak` whether they left in
    the weeks before the new year.
    """

    weight: float
    days: int | None
    out_for: int
    lost: bool = False
    damaged: bool = False
    peak: bool = False
    age: int = 0

    def tells(self, days: int) -> bool:
        """Test whether it is known by now if they took `days` at most: one still under way may yet make it."""
        return self.days is not None or self.lost or self.out_for > days

    def made(self, days: int) -> bool:
        """Test whether they arrived within so many days."""
        return self.days is not None and not self.lost and self.days <= days


@dataclass(frozen=True, slots=True, kw_only=True)
class Experience:
    """What we saw of one service in one circle."""

    circle: Circle
    seen: tuple[Seen, ...]

    @property
    def parcels(self) -> float:
        """How many parcels it is worth."""
        return sum(seen.weight for seen in self.seen)


NOTHING: Final = Experience(circle=Circle.SERVICE, seen=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Prior:
    """What is believed before anything was seen: the share that arrives, weighing as much as so many parcels."""

    share: float
    weighs: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reliability:
    """The chance to arrive in time, what our own parcels bear out of it at least (90 %), and on how many it rests."""

    likely: float
    at_least: float
    lost: float
    damaged: float
    parcels: float
    circle: Circle


def is_peak(day: date) -> bool:
    """Test whether a day lies in the weeks before the new year, when carriers are slower than usual."""
    return (day.month, day.day) >= PEAK_BEGINS


def working_days_from(left: date, day: date) -> int:
    """Return how many working days (Monday to Friday) a parcel that left had until the end of a day."""
    weeks, rest = divmod(max((day - left).days, 0), _WEEK)
    begun = sum(1 for ahead in range(1, rest + 1) if (left.weekday() + ahead) % _WEEK < _OPEN)
    return weeks * _OPEN + begun


def prior_of(days: int, *, says_so: bool, percentiles: Sequence[tuple[int, int]]) -> Prior:
    """Return what a carrier's own statement promises for so many working days.

    `percentiles` are pairs of per cent and the working days within which so many arrive; `says_so` is whether the mere
    day it names is early enough. A carrier that itself says it comes later is believed.
    """
    if percentiles:
        share = max((percent for percent, within in percentiles if within <= days), default=0) / 100
        return Prior(share=share, weighs=_WEIGHS)
    return Prior(share=_STATED_KEPT if says_so else 0.0, weighs=_STATED)


def ladder(seen: Mapping[Circle, Sequence[Seen]], *, peak: bool) -> tuple[Experience, ...]:
    """Return what was seen from the narrowest circle to the widest: first in this season alone, then in any."""
    now = {circle: [one for one in seen.get(circle, ()) if one.peak == peak] for circle in Circle}
    return tuple(
        Experience(circle=circle, seen=tuple(season.get(circle, ())))
        for season in (now, seen)
        for circle in Circle
    )


def widened(experiences: Sequence[Experience]) -> Experience:
    """Return the first that has enough, from the narrowest to the widest; the last where none has."""
    return next(
        (one for one in experiences if one.parcels >= ENOUGH), experiences[-1] if experiences else NOTHING
    )


def reliability(experience: Experience, days: int, prior: Prior) -> Reliability:
    """Return how surely a parcel of this service arrives within so many days."""
    known = _since_its_fall([seen for seen in experience.seen if seen.tells(days)], days)
    k, n = _counted(known, days)
    likely = (k + prior.weighs * prior.share) / (n + prior.weighs)
    return Reliability(
        likely=likely,
        at_least=lower_bound(likely, n + prior.weighs),
        lost=_rate(sum(seen.weight for seen in known if seen.lost), n, _LOST),
        damaged=_rate(sum(seen.weight for seen in known if seen.damaged), n, _DAMAGED),
        parcels=n,
        circle=experience.circle,
    )


def lower_bound(share: float, n: float) -> float:
    """Return the lower end of Wilson's interval, 90 % on one side, for a share of n."""
    return max(_wilson(share, n, -_Z), 0.0)


def _wilson(share: float, n: float, z: float) -> float:
    middle = share + z * z / (2 * n)
    spread = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return (middle + spread) / (1 + z * z / n)


def _since_its_fall(known: list[Seen], days: int) -> list[Seen]:
    """Return what came since a service fell, at the age that shows it clearest; everything where none does."""
    falls = [(_highest(late, days), late) for late in _falls(known, days)]
    return min(falls, key=lambda fall: fall[0], default=(1.0, known))[1]


def _falls(known: list[Seen], days: int) -> Iterator[list[Seen]]:
    for age in range(len(AGES)):
        late, before = [seen for seen in known if seen.age <= age], [seen for seen in known if seen.age > age]
        (_, n), (k_before, n_before) = _counted(late, days), _counted(before, days)
        if min(n, n_before) < _FEW:
            continue
        if _highest(late, days) < lower_bound(k_before / n_before, n_before):
            yield late


def _highest(seen: Sequence[Seen], days: int) -> float:
    k, n = _counted(seen, days)
    return _wilson(k / n, n, _Z_OF_A_FALL)


def _counted(seen: Sequence[Seen], days: int) -> tuple[float, float]:
    """Return how many arrived within so many days, and how many there were."""
    return sum(one.weight for one in seen if one.made(days)), sum(one.weight for one in seen)


def _rate(happened: float, n: float, usual: float) -> float:
    return (happened + _WEIGHS * usual) / (n + _WEIGHS)
