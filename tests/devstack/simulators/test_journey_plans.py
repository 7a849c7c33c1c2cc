"""The drawing of scan series: on many parcels, without a clock."""

import random

import pytest

from devstack.simulators.journey import DAY, HOUR, PROFILES, Trip, plan, promise
from devstack.simulators.rates import lane

EAST = {"zip": "07101", "city": "Newark", "state": "NJ"}
WEST = {"zip": "97201", "city": "Portland", "state": "OR"}


def trips(days: int) -> list[Trip]:
    way = lane(EAST, WEST, seed=1)
    bought = [1_795_000_000 + 7_000 * n for n in range(150)]
    return [
        Trip(
            lane=way,
            carrier="UPS",
            days=days,
            handed_over=at + 2 * HOUR,
            promised=promise(at, days, way.offset),
        )
        for at in bought
    ]


@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_scans_are_always_in_order_and_after_the_hand_over(profile: str) -> None:
    for number, trip in enumerate(trips(5)):
        at = [scan.at for scan in plan(trip, profile, random.Random(number))]

        assert at == sorted(at)
        assert at[0] >= trip.handed_over


@pytest.mark.parametrize("days", [2, 3, 5])
def test_a_happy_parcel_keeps_its_carriers_promise(days: int) -> None:
    late = [t for n, t in enumerate(trips(days)) if plan(t, "happy", random.Random(n))[-1].at > t.promised]

    assert late == []


@pytest.mark.parametrize("profile", ["late", "weather_delay"])
def test_a_late_parcel_never_arrives_by_the_promised_day(profile: str) -> None:
    for number, trip in enumerate(trips(3)):
        scans = plan(trip, profile, random.Random(number))

        (told,) = [scan.est for scan in scans if scan.est is not None]
        assert told - trip.promised >= DAY
        assert scans[-1].at > trip.promised


def test_the_same_parcel_always_travels_the_same_way() -> None:
    trip = trips(4)[0]

    assert plan(trip, "happy", random.Random("p")) == plan(trip, "happy", random.Random("p"))
