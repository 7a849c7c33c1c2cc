"""A year of parcels on simulated lanes, of which one carrier turns bad: the shop's choice beside two simple rules.

Every rule meets the same year: how a parcel would fare with a service is drawn by the parcel and the service, not by who
asks. Each rule learns from the parcels it sent itself, and knows of a delivery only once it has happened.
"""

import random
from bisect import bisect_left, bisect_right
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from types import MappingProxyType
from typing import Final

from fulfillment.domain.calendars import Calendar
from fulfillment.domain.carrier_choice import Choice, Errand, Market, Quote, choose
from fulfillment.domain.policy import DEFAULT, CarrierChoice, Policy
from fulfillment.domain.reliability import (
    AGES,
    HALF_LIFE_DAYS,
    NEWEST,
    WINDOW_DAYS,
    Circle,
    Experience,
    Seen,
    is_peak,
    ladder,
    working_days_from,
)
from fulfillment.domain.transit import working_days

_WEEKDAYS: Final = Calendar()
_DAY: Final = timedelta(days=1)
FIRST, LAST = date(2026, 1, 5), date(2026, 12, 31)
BAD_FROM, BAD_UNTIL = date(2026, 4, 20), date(2026, 8, 31)
BAD: Final = "Otter"
_SHARES: Final = (0.50, 0.75, 0.85, 0.90, 0.95, 0.97, 0.99, 1.0)
_LATER: Final = (0.45, 6)  # the share of a bad carrier's parcels that are late, and by how many days at most
_LOST, _LOST_WHEN_BAD = 0.004, 0.02
_PEAK_LATER: Final = (0.12, 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What a carrier sells: near, middling and far, its price in cents and the days it states.

    `days` are the working days within which 50, 75, 85, 90, 95, 97, 99 and 100 % of its parcels arrive. Those of the
    ground services follow percentiles recorded at EasyPost for a long and a short lane.
    """

    carrier: str
    name: str
    prices: tuple[int, int, int]
    stated: tuple[int, int, int]
    days: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]


SERVICES: Final = (
    Service(
        carrier="Otter",
        name="Ground",
        prices=(640, 720, 820),
        stated=(2, 3, 4),
        days=((1, 2, 2, 2, 3, 3, 4, 6), (2, 3, 3, 3, 4, 5, 6, 9), (3, 4, 5, 5, 6, 7, 10, 12)),
    ),
    Service(
        carrier="Heron",
        name="Ground",
        prices=(730, 830, 950),
        stated=(2, 3, 4),
        days=((1, 2, 2, 2, 2, 3, 4, 5), (2, 2, 3, 3, 4, 4, 5, 7), (3, 4, 4, 5, 5, 6, 7, 9)),
    ),
    Service(
        carrier="Lynx",
        name="Ground",
        prices=(760, 860, 960),
        stated=(2, 3, 4),
        days=((1, 2, 2, 3, 3, 4, 5, 7), (2, 3, 3, 4, 5, 5, 7, 9), (3, 4, 5, 6, 7, 8, 10, 12)),
    ),
    Service(
        carrier="Otter",
        name="Express",
        prices=(1750, 2050, 2400),
        stated=(1, 1, 2),
        days=((1, 1, 2, 2, 3, 4, 6, 8), (1, 2, 2, 3, 4, 5, 8, 9), (2, 2, 3, 3, 4, 5, 8, 9)),
    ),
    Service(
        carrier="Heron",
        name="Express",
        prices=(2200, 2600, 3100),
        stated=(1, 1, 1),
        days=((1, 1, 1, 1, 1, 2, 2, 3), (1, 1, 1, 1, 2, 2, 3, 4), (1, 1, 1, 2, 2, 2, 3, 4)),
    ),
)
PROMISED: Final = (3, 4, 6)  # working days, near, middling and far


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """A parcel that leaves: `area` of its lane, `reach` is near, middling or far, `value` in cents."""

    n: int
    leaves: date
    area: str
    reach: int
    value: int

    @property
    def promise_date(self) -> date:
        """The day by which it should be there."""
        return _WEEKDAYS.after(self.leaves, PROMISED[self.reach])


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """How a parcel fares with a service; one that is lost never arrives."""

    days: int | None
    arrives: date | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A parcel with the service a rule chose, and what came of it."""

    parcel: Parcel
    quote: Quote
    fate: Fate
    tried: bool = False

    @property
    def stated(self) -> int:
        """The working days that its carrier said it would take."""
        return working_days_from(
            self.parcel.leaves, self.parcel.leaves + timedelta(days=self.quote.days or 0)
        )

    @property
    def in_time(self) -> bool:
        """Whether it was there on the promised day."""
        return self.fate.arrives is not None and self.fate.arrives <= self.parcel.promise_date


def year(*, per_day: int, areas: int, seed: int) -> Iterator[Parcel]:
    """Give every parcel of the year, in the order in which they leave; none leaves on a weekend."""
    chance, n, day = random.Random(f"{seed}:year"), 0, FIRST
    while day <= LAST:
        for _ in range(per_day if _WEEKDAYS.is_open(day) else 0):
            n += 1
            place = chance.randrange(areas)
            value = round(min(chance.lognormvariate(8.4, 0.6), 40_000))
            yield Parcel(n=n, leaves=day, area=f"{place % 10}{place:02d}", reach=place % 3, value=value)
        day += _DAY


def offers(parcel: Parcel) -> list[Quote]:
    """Return what the carriers offer for a parcel: they say the same all year."""
    return [_offer(service, parcel) for service in SERVICES]


def _offer(service: Service, parcel: Parcel) -> Quote:
    arrives = _WEEKDAYS.after(parcel.leaves, service.stated[parcel.reach])
    return Quote(
        quote_id=f"{service.carrier}-{service.name}",
        carrier=service.carrier,
        service=service.name,
        price=service.prices[parcel.reach],
        currency="USD",
        days=(arrives - parcel.leaves).days,
    )


def fate(parcel: Parcel, quote: Quote, seed: int) -> Fate:
    """Return how this parcel fares with this service, whoever asks."""
    service = next(one for one in SERVICES if (one.carrier, one.name) == (quote.carrier, quote.service))
    chance = random.Random(f"{seed}:{parcel.n}:{quote.quote_id}")
    is_bad = service.carrier == BAD and BAD_FROM <= parcel.leaves <= BAD_UNTIL
    if chance.random() < (_LOST_WHEN_BAD if is_bad else _LOST):
        return Fate(days=None, arrives=None)
    days = service.days[parcel.reach][bisect_left(_SHARES, chance.random())]
    for share, most in (_LATER,) * is_bad + (_PEAK_LATER,) * is_peak(parcel.leaves):
        days += chance.randint(1, most) if chance.random() < share else 0
    return Fate(days=days, arrives=_WEEKDAYS.after(parcel.leaves, days))


# --- what a shop has seen -----------------------------------------------------------------------------

_Key = tuple[Circle, str]


class Memory:
    """The parcels a shop sent, as `fulfillment/storage/lanes.py` reads them from its books."""

    def __init__(self) -> None:
        self._sent: dict[tuple[str, str, _Key], deque[Sent]] = defaultdict(lambda: deque(maxlen=NEWEST))
        self._today: dict[tuple[str, str, _Key, int | None], list[Seen]] = {}
        self._day = FIRST

    def note(self, sent: Sent) -> None:
        """Remember a parcel that left."""
        for key in _circles(sent.parcel.area):
            self._sent[sent.quote.carrier, sent.quote.service, key].append(sent)

    def market(self, parcel: Parcel, quotes: Sequence[Quote]) -> Market:
        """Return what is known on the morning of the day on which a parcel leaves."""
        if parcel.leaves != self._day:
            self._day, self._today = parcel.leaves, {}
        return Market(experience={(q.carrier, q.service): self._experience(q, parcel) for q in quotes})

    def _experience(self, quote: Quote, parcel: Parcel) -> tuple[Experience, ...]:
        stated = working_days_from(parcel.leaves, parcel.leaves + timedelta(days=quote.days or 0))
        seen = {
            around[0]: self._seen(quote, around, None if around[0] is Circle.LANE else stated)
            for around in _circles(parcel.area)
        }
        return ladder(seen, peak=is_peak(self._day))

    def _seen(self, quote: Quote, around: _Key, as_if: int | None) -> list[Seen]:
        key = (quote.carrier, quote.service, around, as_if)
        if key not in self._today:
            self._today[key] = self._grouped(quote.carrier, quote.service, around, as_if)
        return self._today[key]

    def _grouped(self, carrier: str, service: str, around: _Key, as_if: int | None) -> list[Seen]:
        since = self._day - timedelta(days=WINDOW_DAYS)
        weights: dict[tuple[_Known, int], float] = defaultdict(float)
        for sent in self._sent[carrier, service, around]:
            if since <= sent.parcel.leaves < self._day:
                days = (self._day - sent.parcel.leaves).days
                known = _as_of(sent, self._day, as_if)
                weights[known, bisect_right(AGES, days)] += 0.5 ** (days / HALF_LIFE_DAYS)
        return [
            Seen(weight=weight, days=days, out_for=out_for, lost=lost, peak=peak, age=age)
            for ((days, out_for, lost, peak), age), weight in weights.items()
        ]


def _circles(area: str) -> tuple[_Key, ...]:
    return (Circle.LANE, area), (Circle.ZONE, area[:1]), (Circle.SERVICE, "")


_Known = tuple[int | None, int, bool, bool]


def _as_of(sent: Sent, today: date, as_if: int | None) -> _Known:
    """Return days, days under way, lost, peak, as known on a morning; a lost parcel is given up after ten days.

    `as_if` is what the carrier states for the way it is compared with, where that is another one.
    """
    peak, out_for = is_peak(sent.parcel.leaves), working_days_from(sent.parcel.leaves, today)
    if sent.fate.arrives is None:
        return None, 0 if out_for > _GIVEN_UP else out_for, out_for > _GIVEN_UP, peak
    if sent.fate.arrives >= today:
        return None, out_for, False, peak
    longer = 0 if as_if is None else as_if - sent.stated
    return (sent.fate.days or 0) + longer, 0, False, peak


_GIVEN_UP: Final = 10  # working days


# --- the rules ----------------------------------------------------------------------------------------

Rule = Callable[[Parcel, Sequence[Quote], Memory], Choice | None]
WAYBILL, CHEAPEST, FASTEST = "Waybill", "cheapest always", "fastest always"


def _measured(parcel: Parcel, quotes: Sequence[Quote], memory: Memory) -> Choice | None:
    """Choose as the shop does."""
    return choose(quotes, _errand(parcel), policy=DEFAULT, market=memory.market(parcel, quotes))


def _simply(way: CarrierChoice) -> Rule:
    policy = Policy(carrier_choice=way)
    return lambda parcel, quotes, _memory: choose(quotes, _errand(parcel), policy=policy)


def _errand(parcel: Parcel) -> Errand:
    return Errand(
        parcel_id=f"SO-{parcel.n}-P1",
        today=parcel.leaves,
        promise_date=parcel.promise_date,
        days=working_days(_WEEKDAYS, parcel.leaves, parcel.promise_date),
        value=parcel.value,
    )


RULES: Final[Mapping[str, Rule]] = MappingProxyType(
    {
        WAYBILL: _measured,
        CHEAPEST: _simply(CarrierChoice.CHEAPEST),
        FASTEST: _simply(CarrierChoice.FASTEST),
    }
)


def sent_by(rule: Rule, parcels: Sequence[Parcel], *, seed: int) -> list[Sent]:
    """Send a year of parcels by a rule, and return what came of each."""
    memory, gone = Memory(), []
    for parcel in parcels:
        quotes = offers(parcel)
        choice = rule(parcel, quotes, memory)
        assert choice is not None  # there is always an offer
        sent = Sent(
            parcel=parcel, quote=choice.chosen, fate=fate(parcel, choice.chosen, seed), tried=choice.tried
        )
        memory.note(sent)
        gone.append(sent)
    return gone
