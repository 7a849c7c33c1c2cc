"""Which location ships what: nothing is taken twice, nothing gets lost, and the shop's rules decide in their order."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fulfillment.domain.address import Address
from fulfillment.domain.inventory import Level
from fulfillment.domain.order import OrderLine
from fulfillment.domain.policy import Policy, SourcingRule
from fulfillment.domain.sourcing import Site, Sourced, source

POLICY = Policy()
NEVADA = Address(name="Ann", line1="1 Main St", city="Reno", region="NV", country="US")
RENO = Site(location_id="reno", priority=1, country="US", region="NV")
LEHIGH = Site(location_id="lehigh", priority=2, country="US", region="PA")
BERLIN = Site(location_id="berlin", priority=3, country="DE", region="BE")
SITES = (RENO, LEHIGH, BERLIN)

lines_of = st.lists(st.tuples(st.sampled_from("ABC"), st.integers(1, 9)), min_size=1, max_size=5)
shelves_of = st.dictionaries(
    st.tuples(st.sampled_from(["reno", "lehigh", "berlin"]), st.sampled_from("ABC")), st.integers(-3, 15)
)


def sourced(asked: list[tuple[str, int]], shelves: dict[tuple[str, str], int], **changes: Any) -> Sourced:
    lines = [
        OrderLine(line_no=n, sku=sku, name=sku, quantity=units, unit_price=100)
        for n, (sku, units) in enumerate(asked, start=1)
    ]
    levels = [
        Level(sku=sku, location_id=place, on_hand=units, reserved=0, allocated=0)
        for (place, sku), units in shelves.items()
    ]
    how = {"sites": SITES, "ship_to": NEVADA, "may_wait": {}, "policy": POLICY} | changes
    return source(lines, levels=levels, **how)


def shipped(asked: list[tuple[str, int]], found: Sourced) -> Counter[tuple[str, str]]:
    units: Counter[tuple[str, str]] = Counter()
    for place, parts in found.from_location.items():
        for part in parts:
            units[place, asked[part.line_no - 1][0]] += part.count
    return units


def by_sku(asked: list[tuple[str, int]], parts: Any) -> Counter[str]:
    units: Counter[str] = Counter()
    for part in parts:
        units[asked[part.line_no - 1][0]] += part.count
    return units


def test_p03_an_order_of_13_from_locations_with_10_and_15_takes_13() -> None:
    """Guard: `_carried` takes the remainder on (`missing -= units`); without it the second location gives all 13."""
    found = sourced([("A", 13)], {("reno", "A"): 10, ("lehigh", "A"): 2, ("berlin", "A"): 1})

    assert sum(shipped([("A", 13)], found).values()) == 13
    assert shipped([("A", 13)], found) == {("reno", "A"): 10, ("lehigh", "A"): 2, ("berlin", "A"): 1}
    assert sourced([("A", 13)], {("reno", "A"): 10, ("lehigh", "A"): 15}).from_location.keys() == {"lehigh"}


@given(lines_of, shelves_of, st.integers(1, 3), st.sampled_from([0, 250]), st.booleans())
def test_p03_every_unit_ships_waits_or_is_taken_off_and_no_shelf_gives_what_it_has_not(
    asked: list[tuple[str, int]],
    shelves: dict[tuple[str, str], int],
    most: int,
    least_value: int,
    may_wait: bool,
) -> None:
    """Guard: `_carried`; without `missing -= units` more is shipped than was asked for."""
    policy = replace(POLICY, max_parcels=most, split_min_value=least_value)
    waits = {"A": None, "B": 2} if may_wait else {}

    found = sourced(asked, shelves, policy=policy, may_wait=waits)

    units = shipped(asked, found)
    wanted = Counter[str]()
    for sku, quantity in asked:
        wanted[sku] += quantity
    for sku, quantity in wanted.items():
        given_up = by_sku(asked, found.backordered)[sku] + by_sku(asked, found.cancelled)[sku]
        assert sum(n for (_, what), n in units.items() if what == sku) + given_up == quantity
    assert all(0 < n <= shelves[place, sku] for (place, sku), n in units.items())
    assert all(candidate.units <= sum(wanted.values()) for candidate in found.candidates)
    assert len(found.from_location) <= most
    assert by_sku(asked, found.backordered)["B"] <= 2
    assert sum(line.backordered + line.cancelled for line in found.short) == sum(
        part.count for part in (*found.backordered, *found.cancelled)
    )


@given(lines_of, shelves_of, st.integers(1, 3), st.integers(0, 8))
def test_p05_the_result_does_not_depend_on_how_a_sku_is_split_over_lines(
    asked: list[tuple[str, int]], shelves: dict[tuple[str, str], int], most: int, limit: int
) -> None:
    """Guard: `_added_up`; when it keeps the last line of a SKU only, two lines of one SKU ship less than one."""
    policy = replace(POLICY, max_parcels=most, split_min_value=300)
    together = Counter[str]()
    for sku, quantity in asked:
        together[sku] += quantity
    whole = list(together.items())
    pieces = [(sku, 1) for sku, quantity in asked for _ in range(quantity)]
    waits = {"A": None, "B": limit}

    results = [
        (
            shipped(lines, found := sourced(lines, shelves, policy=policy, may_wait=waits)),
            by_sku(lines, found.backordered),
            by_sku(lines, found.cancelled),
        )
        for lines in (asked, whole, pieces)
    ]

    assert results[0] == results[1] == results[2]


def test_p05_two_lines_of_one_sku_share_one_shelf() -> None:
    """Guard: `_added_up`; see above."""
    found = sourced([("A", 3), ("A", 3)], {("reno", "A"): 4})

    assert shipped([("A", 3), ("A", 3)], found) == {("reno", "A"): 4}
    assert [(line.line_no, line.got) for line in found.short] == [(2, 1)]


def test_p55_one_line_ships_from_two_locations_when_none_has_all_of_it() -> None:
    """Guard: `_units` starts a part where the one before ended; without it both parts hold the same units."""
    found = sourced([("A", 5)], {("reno", "A"): 3, ("lehigh", "A"): 4})

    ranges = [part for parts in found.from_location.values() for part in parts]
    assert [(part.line_no, part.first, part.count) for part in ranges] == [(1, 1, 3), (1, 4, 2)]
    assert list(found.from_location) == ["reno", "lehigh"]


@given(lines_of, shelves_of)
def test_no_way_with_fewer_parcels_ships_as_much(
    asked: list[tuple[str, int]], shelves: dict[tuple[str, str], int]
) -> None:
    found = sourced(asked, shelves)

    most = max((candidate.units for candidate in found.candidates), default=0)
    fewest = min((len(c.locations) for c in found.candidates if c.units == most), default=0)
    assert (sum(shipped(asked, found).values()), len(found.from_location)) == (most, fewest)


def test_one_parcel_is_found_where_the_fullest_location_would_need_two() -> None:
    shelves = {("reno", "A"): 9, ("reno", "B"): 9, ("lehigh", "A"): 1, ("lehigh", "B"): 1, ("lehigh", "C"): 1}

    found = sourced([("A", 1), ("B", 1), ("C", 1)], shelves)

    assert list(found.from_location) == ["lehigh"]
    assert found.why == "lehigh: fewer parcels than reno and lehigh"


@pytest.mark.parametrize(
    ("rules", "first"),
    [
        ((SourcingRule.PRIORITY,), "berlin"),
        ((SourcingRule.NEAREST, SourcingRule.PRIORITY), "reno"),
        ((SourcingRule.CHEAPEST, SourcingRule.PRIORITY), "reno"),
        ((SourcingRule.ON_TIME, SourcingRule.PRIORITY), "lehigh"),
    ],
)
def test_the_first_rule_decides(rules: tuple[SourcingRule, ...], first: str) -> None:
    sites = (RENO, replace(LEHIGH, on_time=0.97), replace(BERLIN, priority=0))
    shelves = {(site.location_id, "A"): 5 for site in sites}

    found = sourced([("A", 1)], shelves, sites=sites, policy=replace(POLICY, sourcing=rules))

    assert list(found.from_location) == [first]


def test_among_states_the_nearer_coast_is_nearer() -> None:
    california, policy = replace(NEVADA, region="CA"), replace(POLICY, sourcing=(SourcingRule.NEAREST,))
    sites = (replace(LEHIGH, priority=0), RENO)

    found = sourced([("A", 1)], {("reno", "A"): 1, ("lehigh", "A"): 1}, sites=sites, ship_to=california,
                    policy=policy)  # fmt: skip

    assert found.why == "reno: nearer than lehigh"


def test_a_location_without_room_on_its_floor_is_asked_last() -> None:
    sites = (replace(RENO, full=True), LEHIGH)

    found = sourced([("A", 1)], {("reno", "A"): 5, ("lehigh", "A"): 5}, sites=sites)

    assert found.why == "lehigh: has room on its floor, reno has none left"


def test_a_part_worth_too_little_waits_where_it_may() -> None:
    shelves = {("reno", "A"): 5, ("lehigh", "B"): 1}
    policy = replace(POLICY, split_min_value=300)

    waits = sourced([("A", 5), ("B", 1)], shelves, policy=policy, may_wait={"B": None})
    ships = sourced([("A", 5), ("B", 1)], shelves, policy=policy)

    assert (list(waits.from_location), [part.count for part in waits.backordered]) == (["reno"], [1])
    assert list(ships.from_location) == ["reno", "lehigh"]


def test_units_that_cannot_wait_go_before_more_units_that_can() -> None:
    shelves = {("reno", "A"): 5, ("lehigh", "B"): 1}

    found = sourced(
        [("A", 5), ("B", 1)], shelves, policy=replace(POLICY, max_parcels=1), may_wait={"A": None}
    )

    assert (list(found.from_location), [part.count for part in found.backordered]) == (["lehigh"], [5])
    assert (found.cancelled, found.why) == ((), "lehigh: takes 1 units fewer off the order than reno")


def test_what_waits_waits_where_it_is_expected() -> None:
    levels = [
        Level(sku="A", location_id="reno", on_hand=0, reserved=0, allocated=0),
        Level(sku="A", location_id="lehigh", on_hand=0, reserved=0, allocated=0, incoming=5),
    ]
    line = OrderLine(line_no=1, sku="A", name="A", quantity=2, unit_price=100)

    found = source(
        [line], levels=levels, sites=SITES[:2], ship_to=NEVADA, may_wait={"A": None}, policy=POLICY
    )

    assert (found.waits_at, found.why) == ("lehigh", "nothing of it is in stock")


def test_many_locations_are_taken_one_by_one_and_never_more_than_the_policy_allows() -> None:
    sites = [replace(RENO, location_id=f"shop-{n:02}", priority=n) for n in range(20)]
    shelves = {(site.location_id, "A"): n + 1 for n, site in enumerate(sites)}

    found = sourced([("A", 200)], shelves, sites=sites)

    assert shipped([("A", 200)], found) == {("shop-19", "A"): 20, ("shop-18", "A"): 19, ("shop-17", "A"): 18}
