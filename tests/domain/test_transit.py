"""How long a lane takes: its own history weighed against what is expected, and silence that fits it."""

from collections import Counter
from datetime import date, timedelta

import pytest

from fulfillment.domain.calendars import Calendar
from fulfillment.domain.policy import Policy
from fulfillment.domain.transit import History, Times, area_of, patience, usual, working_days

POLICY = Policy(transit_days=5, transit_days_abroad=10, promise_share=0.85, lane_parcels_at_least=20)
DAY = timedelta(days=1)
NONE = Times(parcels=0, first_scan=None, silence=None, door=None)


def a_history(
    area: dict[int, int] | None = None,
    country: dict[int, int] | None = None,
    stated: dict[int, int] | None = None,
) -> History:
    return History(area=area or {}, country=country or {}, stated=stated or {})


def a_lane(parcels: int = 40, **spans: timedelta) -> Times:
    return Times(
        **{"parcels": parcels, "first_scan": 8 * timedelta(hours=1), "silence": DAY, "door": 3 * DAY} | spans
    )


@pytest.mark.parametrize(("abroad", "days"), [(False, 5), (True, 10)])
def test_a_lane_without_history_takes_the_shops_usual_days(abroad: bool, days: int) -> None:
    transit = usual(a_history(), abroad=abroad, policy=POLICY)

    assert (transit.days, transit.because) == (days, "the shop's usual")


def test_without_own_history_the_carriers_word_counts() -> None:
    transit = usual(a_history(stated={2: 17, 4: 3}), abroad=False, policy=POLICY)

    assert (transit.days, transit.because) == (2, "as carriers say")


@pytest.mark.parametrize(
    ("own", "days"),
    [
        ({2: 3}, 5),  # three fast parcels prove nothing
        ({2: 40, 3: 2}, 5),
        ({2: 60}, 2),
        ({2: 50, 4: 10}, 4),
        ({9: 3}, 9),  # a few late ones are believed at once
        ({5: 80, 9: 13}, 5),
        ({5: 80, 9: 17}, 9),
    ],
)
def test_a_promise_becomes_later_at_once_and_earlier_only_by_proof(own: dict[int, int], days: int) -> None:
    transit = usual(a_history(country=own), abroad=False, policy=POLICY)

    assert transit.days == days
    assert transit.because == f"85% of {sum(own.values())} parcels to that country"


def test_an_area_is_judged_against_its_country() -> None:
    near = usual(a_history(area={1: 60}, country={4: 200}), abroad=False, policy=POLICY)
    hardly_known = usual(a_history(area={1: 2}, country={4: 200}), abroad=False, policy=POLICY)

    assert (near.days, near.because) == (1, "85% of 60 parcels to that area")
    assert hardly_known.days == 4


@pytest.mark.parametrize("share", [0.85, 0.9])
def test_so_many_parcels_as_the_policy_says_arrive_within_the_promised_days(share: float) -> None:
    took = Counter({2: 300, 3: 200, 4: 50, 5: 70, 7: 80})
    policy = Policy(promise_share=share)

    days = usual(a_history(country=took), abroad=False, policy=policy).days

    on_time = sum(parcels for day, parcels in took.items() if day <= days) / took.total()
    one_day_less = sum(parcels for day, parcels in took.items() if day < days) / took.total()
    assert one_day_less < share <= on_time


def test_days_on_the_way_are_counted_so_that_promising_them_is_not_late() -> None:
    calendar = Calendar(closed_days=frozenset({date(2026, 11, 26)}))
    thursdays_off = {
        date(2026, 11, 25): 0,
        date(2026, 11, 26): 1,  # closed, but it came
        date(2026, 11, 27): 1,
        date(2026, 11, 29): 2,  # a Sunday
        date(2026, 11, 30): 2,
    }

    for arrived, days in thursdays_off.items():
        assert working_days(calendar, date(2026, 11, 25), arrived) == days
        assert calendar.after(date(2026, 11, 25), days) >= arrived


@pytest.mark.parametrize(
    ("postal_code", "area"), [("89501", "895"), ("sw1a 1aa", "SW1"), (" 10 115", "101"), ("", "")]
)
def test_an_area_is_what_a_postal_code_begins_with(postal_code: str, area: str) -> None:
    assert area_of(postal_code) == area


@pytest.mark.parametrize("abroad", [False, True])
def test_p48_a_lane_of_which_little_is_known_is_given_the_policys_patience(abroad: bool) -> None:
    """Guard: `patience` asks for `lane_parcels_at_least`; one fast parcel would open a case of every other."""
    few = a_lane(parcels=POLICY.lane_parcels_at_least - 1, silence=timedelta(hours=1))

    given = patience(few, NONE, abroad=abroad, policy=POLICY)

    expected = POLICY.scan_silence_abroad if abroad else POLICY.scan_silence
    assert (given.scan_silence, given.parcels) == (expected, 0)
    assert given.lost_after == (POLICY.lost_after_abroad if abroad else POLICY.lost_after)


def test_p48_a_lane_with_a_history_has_its_own_patience() -> None:
    """Guard: `patience` reads the lane; with the policy's spans alone a slow lane is one false alarm."""
    quick = patience(a_lane(silence=DAY), NONE, abroad=False, policy=POLICY)
    slow = patience(a_lane(silence=3 * DAY, door=8 * DAY), NONE, abroad=False, policy=POLICY)

    assert quick.scan_silence == timedelta(hours=36)
    assert (slow.scan_silence, slow.lost_after, slow.parcels) == (4.5 * DAY, 24 * DAY, 40)


def test_an_area_with_too_few_parcels_has_the_patience_of_its_country() -> None:
    given = patience(a_lane(5, silence=5 * DAY), a_lane(50, silence=2 * DAY), abroad=False, policy=POLICY)

    assert (given.scan_silence, given.parcels) == (3 * DAY, 50)


def test_no_lane_stretches_or_shortens_patience_beyond_bounds() -> None:
    hasty = patience(a_lane(silence=timedelta(hours=1), door=DAY), NONE, abroad=False, policy=POLICY)
    dull = patience(a_lane(silence=30 * DAY, door=60 * DAY), NONE, abroad=False, policy=POLICY)

    assert (hasty.scan_silence, hasty.lost_after) == (POLICY.scan_silence / 2, POLICY.lost_after)
    assert (dull.scan_silence, dull.lost_after) == (POLICY.scan_silence * 3, POLICY.lost_after * 3)
