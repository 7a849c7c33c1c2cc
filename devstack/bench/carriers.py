"""`bench carriers`: what a year of parcels costs and how many arrive in time, by the shop's choice and by simple rules."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from devstack.bench import lanes
from devstack.bench.lanes import BAD_FROM, BAD_UNTIL, RULES, Sent
from fulfillment.domain.policy import DEFAULT

AREAS: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How a rule fared. Money is in cents per parcel; `in_all` adds what lateness and lost goods cost to the postage."""

    rule: str
    parcels: int
    in_time: float
    postage: float
    in_all: float
    bad_in_time: float
    bad_in_all: float
    tried: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Week:
    """One week of a rule: the share in time, and what a parcel cost in all, in cents."""

    monday: date
    in_time: float
    in_all: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What was measured: the whole year by rule, and its weeks."""

    results: tuple[Result, ...]
    weeks: dict[str, tuple[Week, ...]]

    def of(self, rule: str) -> Result:
        """Return how this rule fared."""
        return next(result for result in self.results if result.rule == rule)

    @property
    def holds(self) -> bool:
        """Whether the shop's choice is surer than the cheapest and cheaper than the fastest, and than both in all."""
        ours, cheap, fast = self.of(lanes.WAYBILL), self.of(lanes.CHEAPEST), self.of(lanes.FASTEST)
        surer, cheaper = ours.in_time > cheap.in_time, ours.postage < fast.postage
        return surer and cheaper and ours.in_all < min(cheap.in_all, fast.in_all)


def measure(*, per_day: int, areas: int = AREAS, seed: int, say: Callable[[str], None]) -> Found:
    """Send the same year of parcels by every rule."""
    parcels = list(lanes.year(per_day=per_day, areas=areas, seed=seed))
    results, weeks = [], {}
    for name, rule in RULES.items():
        gone = lanes.sent_by(rule, parcels, seed=seed)
        results.append(_result(name, gone))
        weeks[name] = tuple(_weeks(gone))
        say(line(results[-1]))
    return Found(results=tuple(results), weeks=weeks)


def line(one: Result) -> str:
    """Return a result as a line."""
    return (
        f"{one.rule}: {one.in_time:.1%} in time, {one.postage / 100:.2f} postage, {one.in_all / 100:.2f} in all; "
        f"while {lanes.BAD} was bad {one.bad_in_time:.1%}, {one.bad_in_all / 100:.2f}; tried {one.tried:.1%}"
    )


def _result(rule: str, gone: Sequence[Sent]) -> Result:
    bad = [sent for sent in gone if BAD_FROM <= sent.parcel.leaves <= BAD_UNTIL]
    return Result(
        rule=rule,
        parcels=len(gone),
        in_time=_mean(sent.in_time for sent in gone),
        postage=_mean(sent.quote.price for sent in gone),
        in_all=_mean(_in_all(sent) for sent in gone),
        bad_in_time=_mean(sent.in_time for sent in bad),
        bad_in_all=_mean(_in_all(sent) for sent in bad),
        tried=_mean(sent.tried for sent in gone),
    )


def _weeks(gone: Sequence[Sent]) -> Iterable[Week]:
    by_week: dict[date, list[Sent]] = defaultdict(list)
    for sent in gone:
        by_week[sent.parcel.leaves - timedelta(days=sent.parcel.leaves.weekday())].append(sent)
    for monday, of_week in sorted(by_week.items()):
        yield Week(
            monday=monday,
            in_time=_mean(sent.in_time for sent in of_week),
            in_all=_mean(_in_all(sent) for sent in of_week),
        )


def _in_all(sent: Sent) -> float:
    """Return what a parcel cost: its postage, what lateness costs by the shop's rules, and lost goods sent again."""
    late = max(sent.parcel.value * DEFAULT.late_costs_percent / 100, DEFAULT.late_costs_least)
    lost = 0 if sent.fate.arrives else sent.parcel.value + sent.quote.price
    return sent.quote.price + (0 if sent.in_time else late) + lost


def _mean(values: Iterable[float]) -> float:
    numbers = list(values)
    return sum(numbers) / len(numbers)
