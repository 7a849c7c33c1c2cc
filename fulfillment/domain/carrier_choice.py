"""Which offered service carries a parcel: by its price, the promise, and how surely it was seen to keep one."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from types import MappingProxyType
from typing import Final

from fulfillment.domain.errors import FulfillmentError
from fulfillment.domain.policy import CarrierChoice, Policy
from fulfillment.domain.provider_errors import ProviderUnavailable
from fulfillment.domain.reliability import Experience, Reliability, prior_of, reliability, widened

_NO_DAYS: Final = 999
_EVEN_CHANCE: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """An offer. `price` is in minor units; `days` are calendar days in transit, None when unstated.

    `percentiles` are what the carrier says of itself: per cent, and the working days within which so many arrive.
    """

    quote_id: str
    carrier: str
    service: str
    price: int
    currency: str
    days: int | None = None
    percentiles: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """What is to be carried: by when, how dearly, and what it is worth in minor units.

    `days` are the carriers' working days from `today`, on which it leaves, until the promised one.
    """

    parcel_id: str
    today: date
    promise_date: date
    days: int
    express: bool = False
    value: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """What we know of the carriers beside their offers.

    `experience` is by carrier and service, from the narrowest circle to the widest. `paused` are never used, `away`
    only where they alone keep the promise; both say why.
    """

    experience: Mapping[tuple[str, str], Sequence[Experience]] = field(default_factory=dict)
    paused: Mapping[str, str] = field(default_factory=dict)
    away: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """An offer beside the promise. `expected` is what it costs in all, minor units: price, lateness, loss, damage."""

    quote: Quote
    arrives: date | None
    in_time: bool
    reliability: Reliability
    expected: int
    left_out: str = ""

    @property
    def is_likely(self) -> bool:
        """Whether it will rather arrive in time than not."""
        return self.reliability.likely >= _EVEN_CHANCE


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The decision with all its inputs, kept so that a person can be told why."""

    chosen: Quote
    why: str
    options: tuple[Scored, ...]
    promise_date: date | None = None
    lateness_costs: int = 0
    policy_version: str = ""
    tried: bool = False  # not the best as far as is known, but so little is known of it
    dearer: bool = False  # it costs more than what was quoted before allows, and was taken all the same
    said: tuple[str, ...] = ()  # by carriers that made no offer


class NobodyMayCarry(ProviderUnavailable):
    """Every carrier that made an offer is paused."""


class RateExpired(FulfillmentError):
    """Every offer asks for more than what was quoted allows: a person decides, or time does."""


def choose(
    quotes: Sequence[Quote], errand: Errand, *, policy: Policy, market: Market | None = None
) -> Choice | None:
    """Return which offer is taken; None without any offer. The same parcel always gets the same answer.

    Raises:
        NobodyMayCarry: every carrier that made an offer is paused.
    """
    if not quotes:
        return None
    options = scored(quotes, errand, policy=policy, market=market or Market())
    chosen, why = _picked(_usable(options), errand, policy)
    trial = _worth_a_trial(options, chosen, errand, policy)
    if trial is not None:
        why = f"tried, because little is known of it; the best as far as is known: {_named(chosen)}"
    return Choice(
        chosen=(trial or chosen).quote,
        why=why,
        options=options,
        promise_date=errand.promise_date,
        lateness_costs=_lateness(errand, policy),
        policy_version=policy.version,
        tried=trial is not None,
    )


def choose_again(
    quotes: Sequence[Quote],
    errand: Errand,
    *,
    before: Quote,
    accept: bool,
    policy: Policy,
    market: Market | None = None,
) -> Choice | None:
    """Return which offer is taken now that the one chosen before could not be bought at once.

    What the same service asks may have risen within the tolerance; beyond it another is taken, and where none is left
    within it, a person has to `accept`, or the time for it has run out.

    Raises:
        RateExpired: nobody has accepted that it costs so much more.
        NobodyMayCarry: every carrier that made an offer is paused.
    """
    choice = choose(quotes, errand, policy=policy, market=market)
    most = highest(before.price, policy)
    rose = [one for one in quotes if _is_same(one, before) and one.price > most]
    if choice is None or not rose or choice.chosen.price <= most:
        return choice and replace(choice, dearer=choice.chosen.price > most)
    cheaper = [quote for quote in quotes if quote.price <= most]
    second = choose(cheaper, errand, policy=policy, market=market)
    if second is not None and any(one.in_time and one.quote == second.chosen for one in second.options):
        return replace(second, why=f"the rates rose; {second.why}", options=choice.options)
    if not accept:
        asked = f"{choice.chosen.price} instead of {before.price} {before.currency} (minor units)"
        raise RateExpired(f"{errand.parcel_id}: every rate rose by more than is allowed, to {asked}")
    return replace(choice, why=f"the rates rose, and nobody said no in time; {choice.why}", dearer=True)


def highest(quoted: int, policy: Policy) -> int:
    """Return the most that may be paid where `quoted` was asked before, both in minor units."""
    return quoted + max(quoted * policy.rate_tolerance_percent // 100, policy.rate_tolerance_least)


def _is_same(one: Quote, other: Quote) -> bool:
    return (one.carrier, one.service) == (other.carrier, other.service)


def scored(quotes: Iterable[Quote], errand: Errand, *, policy: Policy, market: Market) -> tuple[Scored, ...]:
    """Return every offer with its chance to keep the promise and what it costs in all; those not used say why."""
    options = tuple(_scored(quote, errand, policy, market) for quote in quotes)
    usable = [one for one in options if not one.left_out]
    others = [one for one in usable if one.quote.carrier not in market.away]
    keep = [one for one in usable if one.in_time or one.is_likely]
    # Who is away is waited for only where that alone can keep the promise.
    if others and (not keep or any(one in others for one in keep)):
        options = tuple(_left_out(option, market.away) for option in options)
    return options


def _scored(quote: Quote, errand: Errand, policy: Policy, market: Market) -> Scored:
    arrives = None if quote.days is None else errand.today + timedelta(days=quote.days)
    in_time = arrives is not None and arrives <= errand.promise_date
    prior = prior_of(errand.days, says_so=in_time, percentiles=quote.percentiles)
    seen = widened(market.experience.get((quote.carrier, quote.service), ()))
    chances = reliability(seen, errand.days, prior)
    option = Scored(
        quote=quote,
        arrives=arrives,
        in_time=in_time,
        reliability=chances,
        expected=_expected(quote, chances, errand, policy),
    )
    return _left_out(option, market.paused)


def _left_out(option: Scored, why: Mapping[str, str]) -> Scored:
    said = why.get(option.quote.carrier, "")
    return replace(option, left_out=said) if said and not option.left_out else option


def _expected(quote: Quote, chances: Reliability, errand: Errand, policy: Policy) -> int:
    late = _lateness(errand, policy) * (1 - chances.likely)
    gone = (errand.value + quote.price) * (chances.lost + chances.damaged)  # the goods, and the way once more
    return round(quote.price + late + gone)


def _lateness(errand: Errand, policy: Policy) -> int:
    """Return what a late parcel costs, minor units: a share of its goods, or a talk with the customer."""
    return max(errand.value * policy.late_costs_percent // 100, policy.late_costs_least)


# --- the rules --------------------------------------------------------------------------------------


def _usable(options: tuple[Scored, ...]) -> list[Scored]:
    usable = [option for option in options if not option.left_out]
    if not usable:
        reasons = "; ".join(sorted({f"{one.quote.carrier} {one.left_out}" for one in options}))
        raise NobodyMayCarry(f"every carrier that made an offer is paused: {reasons}")
    return usable


def _picked(usable: list[Scored], errand: Errand, policy: Policy) -> tuple[Scored, str]:
    if errand.express:
        return min(usable, key=_fastest), "express: the fastest"
    if policy.carrier_choice is not CarrierChoice.CHEAPEST_SURE:
        rule, why = _PLAIN[policy.carrier_choice]
        return min(usable, key=rule), why
    return _cheapest_sure(usable, policy)


def _cheapest_sure(usable: list[Scored], policy: Policy) -> tuple[Scored, str]:
    """Return the cheapest that is sure to keep the promise; where nobody is, the one that costs least in all."""
    if sure := [one for one in usable if one.reliability.at_least >= policy.carrier_sure]:
        return min(sure, key=_cheapest), "the cheapest that is sure to keep the promise"
    if likely := [one for one in usable if one.is_likely]:
        return min(
            likely, key=_dearness
        ), "nobody is sure to keep the promise: the least cost, lateness included"
    return min(usable, key=_likeliest), "nobody keeps the promise: the likeliest, then the fastest"


def _worth_a_trial(
    options: tuple[Scored, ...], best: Scored, errand: Errand, policy: Policy
) -> Scored | None:
    """Return an offer that a few parcels try, so that what is known of it stays young; None for most parcels.

    It is likely to arrive in time and costs little more. Which parcels try is decided by their ids: a repeat decides
    the same.
    """
    if errand.express or policy.carrier_choice is not CarrierChoice.CHEAPEST_SURE:
        return None
    if not _is_drawn(errand.parcel_id, policy.explore_percent):
        return None
    unsure = [
        one
        for one in options
        if not one.left_out
        and one is not best
        and one.is_likely
        and one.reliability.at_least < policy.carrier_sure
        and one.quote.price <= best.quote.price + policy.explore_over
    ]
    return min(unsure, key=lambda one: (one.reliability.parcels, *_cheapest(one)), default=None)


def _is_drawn(parcel_id: str, percent: int) -> bool:
    drawn = int.from_bytes(hashlib.sha256(f"explore {parcel_id}".encode()).digest()[:4], "big")
    return drawn % 10_000 < percent * 100


def _named(option: Scored) -> str:
    return f"{option.quote.carrier} {option.quote.service}"


_Rule = Callable[[Scored], tuple[float | str, ...]]


def _cheapest(option: Scored) -> tuple[float | str, ...]:
    quote = option.quote
    return quote.price, _days(quote), quote.carrier, quote.service


def _fastest(option: Scored) -> tuple[float | str, ...]:
    quote = option.quote
    return _days(quote), quote.price, quote.carrier, quote.service


def _dearness(option: Scored) -> tuple[float | str, ...]:
    return option.expected, *_fastest(option)


def _likeliest(option: Scored) -> tuple[float | str, ...]:
    return -round(option.reliability.likely, 4), *_fastest(option)


def _surest(option: Scored) -> tuple[float | str, ...]:
    return -round(option.reliability.at_least, 4), *_cheapest(option)


def _days(quote: Quote) -> int:
    return _NO_DAYS if quote.days is None else quote.days


_PLAIN: Final[Mapping[CarrierChoice, tuple[_Rule, str]]] = MappingProxyType(
    {
        CarrierChoice.CHEAPEST: (_cheapest, "the shop's rule: the cheapest"),
        CarrierChoice.FASTEST: (_fastest, "the shop's rule: the fastest"),
        CarrierChoice.MOST_RELIABLE: (_surest, "the shop's rule: the surest to keep the promise"),
        CarrierChoice.LEAST_COST: (_dearness, "the shop's rule: the least cost, lateness included"),
    }
)
