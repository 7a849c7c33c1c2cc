"""Which location ships which units, and what becomes of the units that are not there.

Every combination of up to `max_parcels` locations is tried, however many cartons each of them fills: what needs many
must not become impossible. The best is the one that ships most. Among those, the policy's rules decide, in their order.
Where there are more locations than can be combined, they are taken one by one, each time the one that ships most of the
rest.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations
from types import MappingProxyType
from typing import Any, Final

from fulfillment.domain.address import Address
from fulfillment.domain.inventory import Level, ShortLine
from fulfillment.domain.order import OrderLine, UnitRange
from fulfillment.domain.policy import Policy, SourcingRule

# Every one more doubles the combinations; a shop has a handful of locations that ship the same things.
_COMBINED: Final = 8

# The mean of Beta(8, 2): what is believed of a location that nothing is known about yet.
_ON_TIME_UNKNOWN: Final = 0.8

# What a parcel costs to send, roughly, in minor units: good enough to rank locations. The label's true price is asked
# for when the parcel is packed.
_LANE_COST: Final = MappingProxyType({"region": 700, "country": 900, "abroad": 2600})
_PER_PARCEL: Final = 250  # picking, packing, the box

_ABROAD: Final = 100
# How far west the states lie, in hours of standard time: parcel zones in the United States are bands of about the
# same width. States of two zones have the one most people live in.
_HOURS_WEST: Final = MappingProxyType(
    {
        state: hours
        for hours, states in {
            5: "CT DC DE FL GA IN KY MA MD ME MI NC NH NJ NY OH PA RI SC VA VT WV",
            6: "AL AR IA IL KS LA MN MO MS ND NE OK SD TN TX WI",
            7: "AZ CO ID MT NM UT WY",
            8: "CA NV OR WA",
            9: "AK",
            10: "HI",
        }.items()
        for state in states.split()
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A location as sourcing sees it; `full` when its floor has as much work as it takes in a day."""

    location_id: str
    priority: int = 0
    country: str = ""
    region: str = ""
    on_time: float | None = None
    full: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One way to ship: which locations, how many units, and what each rule makes of it; lower is better."""

    locations: tuple[str, ...]
    units: int
    scores: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sourced:
    """The answer: units per location, units that wait for stock, units that will never come.

    `waits_at` is where the units that wait should be expected; None where nothing waits or no location is known.
    `why` says in a sentence what decided between the `candidates`, of which the first was chosen.
    """

    from_location: Mapping[str, tuple[UnitRange, ...]]
    backordered: tuple[UnitRange, ...]
    cancelled: tuple[UnitRange, ...]
    short: tuple[ShortLine, ...]
    waits_at: str | None = None
    candidates: tuple[Candidate, ...] = ()
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Where an order was to ship from, as it was decided: what went into it, and what came of it.

    `inputs` has what was asked and could be claimed at that moment, the locations, and the rules of that policy.
    """

    at: datetime
    policy_version: str
    inputs: Mapping[str, Any]
    candidates: tuple[Candidate, ...]
    why: str


Shelves = dict[tuple[str, str], int]  # units by location and SKU
Parcels = Callable[[Mapping[str, int]], int]  # how many these units make, by SKU, that leave one location
_Parts = Sequence[tuple[Site, int]]  # who gives, and in how many parcels


def one_each(_units: Mapping[str, int]) -> int:
    """Say that what leaves one location is one parcel."""
    return 1


@dataclass(frozen=True, slots=True)
class _Plan:
    """Units by location and SKU, the locations in the order in which they give."""

    sites: tuple[Site, ...]
    taken: Shelves
    lost: int  # units that are on a shelf and would neither ship nor wait

    @property
    def units(self) -> int:
        """How many units ship."""
        return sum(self.taken.values())


def source(
    lines: Sequence[OrderLine],
    *,
    levels: Sequence[Level],
    sites: Sequence[Site],
    ship_to: Address,
    may_wait: Mapping[str, int | None],
    policy: Policy,
    parcels: Parcels = one_each,
) -> Sourced:
    """Decide what ships from where. `may_wait` has the SKUs that may wait for stock, and how many more of each.

    The result does not depend on how a SKU is split over lines: demand is added up by SKU first, availability is used
    up as it is claimed, and what one location cannot give is carried over to the next. No more than `max_parcels`
    locations ship, each as many `parcels` as its units make. A part that is worth less than `split_min_value` waits for
    a whole one, where it may wait.
    """
    asked = demand(lines)
    available = {(lvl.location_id, lvl.sku): lvl.available for lvl in levels if lvl.available > 0}
    judge = _Judge(lines, asked, ship_to, may_wait, policy, parcels)
    ranked = judge.ranked(available, sites)
    best = ranked[0] if ranked else _Plan((), {}, 0)
    from_location, rest = _units(lines, best)
    waiting, gone = _rest(lines, rest, may_wait)
    return Sourced(
        from_location=from_location,
        backordered=waiting,
        cancelled=gone,
        short=tuple(shortages_of(lines, waiting, gone)),
        waits_at=_waits_at(lines, waiting, levels, judge.nearest_first(sites)),
        candidates=tuple(judge.candidate(plan) for plan in ranked),
        why=judge.why(ranked),
    )


def shipped(
    lines: Sequence[OrderLine],
    amounts: Mapping[tuple[str, str], int],
    *,
    sites: Sequence[Site],
    ship_to: Address,
    may_wait: Mapping[str, int | None],
    policy: Policy,
) -> Sourced:
    """Return what ships when exactly these amounts were claimed, by SKU and location; the rest waits or is gone.

    Nothing is weighed again: what was claimed is what ships, whatever would be chosen by now.
    """
    judge = _Judge(lines, demand(lines), ship_to, may_wait, policy)
    taken = {(location_id, sku): units for (sku, location_id), units in amounts.items()}
    giving = tuple(
        site for site in judge.nearest_first(sites) if any(place == site.location_id for place, _ in taken)
    )
    from_location, rest = _units(lines, _Plan(giving, taken, 0))
    waiting, gone = _rest(lines, rest, may_wait)
    return Sourced(
        from_location=from_location,
        backordered=waiting,
        cancelled=gone,
        short=tuple(shortages_of(lines, waiting, gone)),
    )


def waits_at(
    lines: Sequence[OrderLine],
    waiting: Sequence[UnitRange],
    *,
    levels: Sequence[Level],
    sites: Sequence[Site],
    ship_to: Address,
    policy: Policy,
) -> str | None:
    """Return where units that wait should be expected; None where nothing waits or no location is known."""
    judge = _Judge(lines, demand(lines), ship_to, {}, policy)
    return _waits_at(lines, waiting, levels, judge.nearest_first(sites))


def demand(lines: Iterable[OrderLine]) -> dict[str, int]:
    """Return how many units of each SKU these lines ask for."""
    asked: dict[str, int] = {}
    for line in lines:
        asked[line.sku] = asked.get(line.sku, 0) + line.quantity
    return dict(sorted(asked.items()))


class _Judge:
    """Makes every plan there is for one order, and puts them in order."""

    def __init__(
        self,
        lines: Sequence[OrderLine],
        asked: Mapping[str, int],
        ship_to: Address,
        may_wait: Mapping[str, int | None],
        policy: Policy,
        parcels: Parcels = one_each,
    ) -> None:
        self._lines, self._asked, self._ship_to = lines, asked, ship_to
        self._may_wait, self._policy, self._parcels = may_wait, policy, parcels

    def ranked(self, available: Shelves, sites: Sequence[Site]) -> list[_Plan]:
        """Return every plan that ships something, the best first."""
        useful = [site for site in sites if any(place == site.location_id for place, _ in available)]
        groups = _groups(self.nearest_first(useful), self._policy.max_parcels)
        if len(useful) > _COMBINED:
            groups = iter([self._greedy(available, useful)])
        plans = {plan.sites: plan for group in groups if (plan := self._plan(available, group)).taken}
        return sorted(plans.values(), key=self._key)

    def nearest_first(self, sites: Sequence[Site]) -> list[Site]:
        """Return the sites in the order in which the policy's rules would ask them one by one."""
        return sorted(sites, key=lambda site: (site.full, *self._scores([(site, 1)]).values(), *_last(site)))

    def candidate(self, plan: _Plan) -> Candidate:
        """Return the plan as it is shown."""
        names = tuple(site.location_id for site in plan.sites)
        return Candidate(locations=names, units=plan.units, scores=self._scores(self._parts(plan)))

    def why(self, ranked: Sequence[_Plan]) -> str:
        """Say what decided, against the next best plan."""
        if not ranked:
            return "nothing of it is in stock"
        names = " and ".join(site.location_id for site in ranked[0].sites)
        if len(ranked) == 1:
            return f"{names}: nobody else has any of it"
        return f"{names}: {self._difference(ranked[0], ranked[1])}"

    def _difference(self, first: _Plan, second: _Plan) -> str:
        other = " and ".join(site.location_id for site in second.sites)
        if first.lost != second.lost:
            return f"takes {second.lost - first.lost} units fewer off the order than {other}"
        if first.units != second.units:
            return f"ships {first.units} of {sum(self._asked.values())} units, {other} only {second.units}"
        if _full(first.sites) != _full(second.sites):
            return f"has room on its floor, {other} has none left"
        ours, theirs = (self._scores(self._parts(plan)) for plan in (first, second))
        rule = next((rule for rule in ours if ours[rule] != theirs[rule]), "")
        if not rule:
            return f"stands before {other} in the list of locations"
        return f"{_SAID[SourcingRule(rule)]} than {other}"

    def _plan(self, available: Shelves, group: Sequence[Site]) -> _Plan:
        taken = _carried(self._asked, available, group)
        kept = self._worth_splitting(taken)
        if not self._could_wait(taken, kept):
            kept = taken
        giving = tuple(site for site in group if any(place == site.location_id for place, _ in kept))
        return _Plan(giving, kept, self._unserved(kept, available))

    def _worth_splitting(self, taken: Shelves) -> Shelves:
        """Leave out parts of a split that are worth less than the policy asks; the most valuable part stays."""
        places = sorted({place for place, _ in taken}, key=lambda place: (-self._value(taken, place), place))
        small = {place for place in places[1:] if self._value(taken, place) < self._policy.split_min_value}
        return {at: units for at, units in taken.items() if at[0] not in small}

    def _could_wait(self, taken: Shelves, kept: Shelves) -> bool:
        left_out: dict[str, int] = {}
        for (place, sku), units in taken.items():
            if (place, sku) not in kept:
                left_out[sku] = left_out.get(sku, 0) + units
        return all(self._room(sku) >= units for sku, units in left_out.items())

    def _room(self, sku: str) -> int:
        if sku not in self._may_wait:
            return 0
        limit = self._may_wait[sku]
        return self._asked[sku] if limit is None else limit

    def _unserved(self, kept: Shelves, available: Shelves) -> int:
        """Count the units that could ship from somewhere but in this plan would neither ship nor wait."""
        unserved = 0
        for sku, asked in self._asked.items():
            there = sum(units for (_, what), units in available.items() if what == sku)
            shipped = sum(units for (_, what), units in kept.items() if what == sku)
            gone = asked - shipped - min(asked - shipped, self._room(sku))
            unserved += min(gone, min(asked, there) - shipped)
        return unserved

    def _value(self, taken: Shelves, place: str) -> float:
        """Return what a part is worth: units of a SKU are worth the same, whichever line they are from."""
        return sum(units * self._unit_value(sku) for (at, sku), units in taken.items() if at == place)

    def _unit_value(self, sku: str) -> float:
        lines = [line for line in self._lines if line.sku == sku]
        return sum(line.goods for line in lines) / sum(line.quantity for line in lines)

    def _greedy(self, available: Shelves, sites: Sequence[Site]) -> list[Site]:
        chosen: list[Site] = []
        left = self.nearest_first(sites)
        while left and len(chosen) < self._policy.max_parcels:
            gain = {site: sum(_carried(self._asked, available, [*chosen, site]).values()) for site in left}
            best = max(left, key=lambda site: gain[site])
            chosen.append(best)
            left.remove(best)
        return chosen

    def _key(self, plan: _Plan) -> tuple[object, ...]:
        scores = self._scores(self._parts(plan)).values()
        return (plan.lost, -plan.units, _full(plan.sites), *scores, [_last(site) for site in plan.sites])

    def _parts(self, plan: _Plan) -> _Parts:
        return [(site, self._parcels(_given(plan.taken, site))) for site in plan.sites]

    def _scores(self, parts: _Parts) -> dict[str, float]:
        return {rule.value: _SCORE[rule](parts, self._ship_to) for rule in self._policy.sourcing}


def _groups(sites: Sequence[Site], most: int) -> Iterator[Sequence[Site]]:
    for size in range(1, min(most, len(sites)) + 1):
        yield from combinations(sites, size)


def _carried(asked: Mapping[str, int], available: Shelves, group: Sequence[Site]) -> Shelves:
    """Take what is asked from one location after the other; what one cannot give is carried to the next."""
    taken: Shelves = {}
    for sku, quantity in asked.items():
        missing = quantity
        for site in group:
            if units := min(missing, available.get((site.location_id, sku), 0)):
                taken[site.location_id, sku] = units
                missing -= units
    return taken


def _given(taken: Shelves, site: Site) -> dict[str, int]:
    return {sku: units for (place, sku), units in taken.items() if place == site.location_id}


def _last(site: Site) -> tuple[int, str]:
    return site.priority, site.location_id


def _full(sites: Sequence[Site]) -> int:
    return sum(site.full for site in sites)


# --- what each rule makes of a plan; lower is better -------------------------------------------------------------


def _number(parts: _Parts, _ship_to: Address) -> float:
    return sum(parcels for _, parcels in parts)


def _distance(parts: _Parts, ship_to: Address) -> float:
    return sum(distance(site, ship_to) for site, _ in parts)


def distance(site: Site, ship_to: Address) -> float:
    """Return how far a location is: 0 in the same region, then by hours of longitude, abroad farthest.

    A location of which no address is known counts as abroad.
    """
    if site.country != ship_to.country:
        return _ABROAD
    if site.region == ship_to.region:
        return 0
    here, there = (_HOURS_WEST.get(region) for region in (site.region, ship_to.region))
    known = site.country == "US" and here is not None and there is not None
    return 1 + (abs(here - there) if known and here is not None and there is not None else 0)


def _cost(parts: _Parts, ship_to: Address) -> float:
    return sum(parcels * (_PER_PARCEL + _LANE_COST[_lane(site, ship_to)]) for site, parcels in parts)


def _lane(site: Site, ship_to: Address) -> str:
    if site.country != ship_to.country:
        return "abroad"
    return "region" if site.region == ship_to.region else "country"


def _late(parts: _Parts, _ship_to: Address) -> float:
    on_time = 1.0
    for site, _ in parts:
        on_time *= _ON_TIME_UNKNOWN if site.on_time is None else site.on_time
    return round(1 - on_time, 4)


def _priority(parts: _Parts, _ship_to: Address) -> float:
    return sum(site.priority for site, _ in parts)


_SCORE: Final[Mapping[SourcingRule, Callable[[_Parts, Address], float]]] = MappingProxyType(
    {
        SourcingRule.FEWEST_PARCELS: _number,
        SourcingRule.NEAREST: _distance,
        SourcingRule.CHEAPEST: _cost,
        SourcingRule.PRIORITY: _priority,
        SourcingRule.ON_TIME: _late,
    }
)
_SAID: Final = MappingProxyType(
    {
        SourcingRule.FEWEST_PARCELS: "fewer parcels",
        SourcingRule.NEAREST: "nearer",
        SourcingRule.CHEAPEST: "cheaper",
        SourcingRule.PRIORITY: "comes first in the shop's order rather",
        SourcingRule.ON_TIME: "more often on time",
    }
)


# --- units of lines ------------------------------------------------------------------------------------------------


def _units(
    lines: Sequence[OrderLine], plan: _Plan
) -> tuple[dict[str, tuple[UnitRange, ...]], dict[int, int]]:
    """Return the plan in units of lines, and how many of each line are left over."""
    rest = {line.line_no: line.quantity for line in lines}
    left = dict(plan.taken)
    from_location: dict[str, tuple[UnitRange, ...]] = {}
    for site in plan.sites:
        given = tuple(u for line in lines if (u := _take(line, rest, left, site.location_id)))
        from_location[site.location_id] = given
    return from_location, rest


def _take(line: OrderLine, rest: dict[int, int], left: Shelves, location_id: str) -> UnitRange | None:
    count = min(rest[line.line_no], left.get((location_id, line.sku), 0))
    if count == 0:
        return None
    first = line.quantity - rest[line.line_no] + 1
    rest[line.line_no] -= count
    left[location_id, line.sku] -= count
    return UnitRange(line_no=line.line_no, first=first, count=count)


def _rest(
    lines: Sequence[OrderLine], rest: Mapping[int, int], may_wait: Mapping[str, int | None]
) -> tuple[tuple[UnitRange, ...], tuple[UnitRange, ...]]:
    """Return which of the units that are left over wait, as far as there is room, and which will never come."""
    room = dict(may_wait)
    waiting: list[UnitRange] = []
    gone: list[UnitRange] = []
    for line in lines:
        missing = rest[line.line_no]
        limit = room.get(line.sku, 0)
        waits = missing if limit is None else min(missing, limit)
        if limit is not None:
            room[line.sku] = limit - waits
        first = line.quantity - missing + 1
        if waits:
            waiting.append(UnitRange(line_no=line.line_no, first=first, count=waits))
        if missing > waits:
            gone.append(UnitRange(line_no=line.line_no, first=first + waits, count=missing - waits))
    return tuple(waiting), tuple(gone)


def _waits_at(
    lines: Sequence[OrderLine], waiting: Sequence[UnitRange], levels: Sequence[Level], sites: Sequence[Site]
) -> str | None:
    """Return where most of the missing units are expected anyway, else the site that is asked first."""
    if not waiting or not sites:
        return None
    sku_of = {line.line_no: line.sku for line in lines}
    missing: dict[str, int] = {}
    for units in waiting:
        missing[sku_of[units.line_no]] = missing.get(sku_of[units.line_no], 0) + units.count
    coming = {site.location_id: 0 for site in sites}
    for level in levels:
        unclaimed = level.available + level.incoming
        if unclaimed > 0 and level.sku in missing:
            coming[level.location_id] += min(missing[level.sku], unclaimed)
    return max(coming, key=lambda location_id: coming[location_id])


def shortages_of(
    lines: Sequence[OrderLine], waiting: Sequence[UnitRange], gone: Sequence[UnitRange]
) -> list[ShortLine]:
    """Return what became of the lines of which some units wait or are gone."""
    backordered = {units.line_no: units.count for units in waiting}
    cancelled = {units.line_no: units.count for units in gone}
    return [
        ShortLine(
            line_no=line.line_no,
            sku=line.sku,
            asked=line.quantity,
            got=line.quantity - backordered.get(line.line_no, 0) - cancelled.get(line.line_no, 0),
            backordered=backordered.get(line.line_no, 0),
            cancelled=cancelled.get(line.line_no, 0),
        )
        for line in lines
        if line.line_no in backordered or line.line_no in cancelled
    ]
