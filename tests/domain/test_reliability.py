"""How surely a service arrives in time: what was seen over a prior, and never more than it bears out."""

from datetime import date

import pytest

from fulfillment.domain.address import Address
from fulfillment.domain.reliability import (
    Circle,
    Experience,
    Lane,
    Prior,
    Seen,
    is_peak,
    ladder,
    lower_bound,
    prior_of,
    reliability,
    widened,
    working_days_from,
)

STATED = Prior(share=0.8, weighs=10)


def saw(*seen: Seen, circle: Circle = Circle.LANE) -> Experience:
    return Experience(circle=circle, seen=seen)


def test_before_anything_was_seen_a_carriers_word_is_worth_ten_parcels_of_which_eight_came() -> None:
    chances = reliability(saw(), 3, prior_of(3, says_so=True, percentiles=()))

    assert chances.likely == pytest.approx(0.8)
    assert chances.at_least < 0.9


def test_a_carrier_that_says_it_comes_later_is_believed() -> None:
    assert prior_of(3, says_so=False, percentiles=()).share == 0.0


def test_a_carriers_percentiles_say_the_share_that_comes_within_the_days_and_weigh_fifty_parcels() -> None:
    percentiles = ((50, 2), (85, 3), (95, 5))

    assert prior_of(4, says_so=True, percentiles=percentiles) == Prior(share=0.85, weighs=50)
    assert prior_of(1, says_so=True, percentiles=percentiles).share == 0.0


def test_own_parcels_and_the_prior_are_weighed_together() -> None:
    seen = saw(Seen(weight=30, days=2, out_for=0), Seen(weight=10, days=6, out_for=0))

    chances = reliability(seen, 3, STATED)

    assert chances.likely == pytest.approx((30 + 10 * 0.8) / (40 + 10))
    assert chances.parcels == 40


@pytest.mark.parametrize(("share", "n"), [(0.9, 100), (0.8, 10), (0.5, 7), (1.0, 300)])
def test_the_bound_is_the_share_from_which_what_was_seen_lies_as_far_as_one_in_ten_does(
    share: float, n: float
) -> None:
    bound = lower_bound(share, n)

    # Wilson 1927: the bound is where (seen - bound) is z standard deviations of the bound's own; z of 10 % is 1.2816.
    assert bound < share
    assert (share - bound) == pytest.approx(1.2816 * (bound * (1 - bound) / n) ** 0.5)


def test_the_same_share_of_more_parcels_bears_out_more() -> None:
    few, many = (reliability(saw(Seen(weight=n, days=2, out_for=0)), 3, STATED) for n in (20, 200))

    assert few.at_least < many.at_least


def test_a_parcel_that_is_still_under_way_tells_nothing_until_its_days_are_over() -> None:
    on_its_way = Seen(weight=10, days=None, out_for=3)

    assert reliability(saw(on_its_way), 3, STATED).parcels == 0
    assert reliability(saw(on_its_way), 2, STATED).likely == pytest.approx(8 / 20)


def test_a_lost_parcel_counts_as_late_and_as_lost() -> None:
    usual = reliability(saw(Seen(weight=40, days=2, out_for=0)), 3, STATED)
    lossy = reliability(
        saw(Seen(weight=30, days=2, out_for=0), Seen(weight=10, days=None, out_for=0, lost=True)), 3, STATED
    )

    assert lossy.likely < usual.likely
    assert lossy.lost == pytest.approx((10 + 50 * 0.004) / 90)


def test_the_narrowest_circle_that_has_enough_speaks() -> None:
    little = {
        Circle.LANE: [Seen(weight=5, days=1, out_for=0)],
        Circle.ZONE: [Seen(weight=25, days=2, out_for=0)],
    }

    assert widened(ladder(little, peak=False)).circle is Circle.ZONE


def test_before_christmas_what_was_seen_before_christmas_speaks_first() -> None:
    slow = Seen(weight=30, days=6, out_for=0, peak=True)
    fast = Seen(weight=300, days=2, out_for=0)
    seen = {Circle.LANE: [fast], Circle.SERVICE: [slow, fast]}

    assert widened(ladder(seen, peak=True)).seen == (slow,)
    assert widened(ladder(seen, peak=False)).seen == (fast,)
    assert is_peak(date(2026, 11, 20))
    assert not is_peak(date(2026, 11, 14))


@pytest.mark.parametrize(
    ("left", "day", "days"),
    [
        (date(2026, 11, 23), date(2026, 11, 23), 0),
        (date(2026, 11, 20), date(2026, 11, 22), 0),  # Friday to Sunday
        (date(2026, 11, 20), date(2026, 11, 23), 1),
        (date(2026, 11, 21), date(2026, 11, 23), 1),  # a Saturday's parcel
        (date(2026, 11, 23), date(2026, 12, 9), 12),
        (date(2026, 11, 23), date(2026, 11, 20), 0),
    ],
)
def test_weekends_are_no_days_of_a_parcel(left: date, day: date, days: int) -> None:
    assert working_days_from(left, day) == days


def test_a_lane_leads_from_a_location_to_three_characters_of_a_postal_code_and_its_zone_is_the_first() -> (
    None
):
    there = Address(name="Ada", line1="5 Elm St", city="Boston", postal_code="02101", country="US")

    lane = Lane.to("wh-reno", there)

    assert (lane.location_id, lane.country, lane.area, lane.zone) == ("wh-reno", "US", "021", "0")


def test_what_came_lately_counts_alone_once_what_came_before_cannot_explain_it() -> None:
    before, late = Seen(weight=60, days=2, out_for=0, age=3), Seen(weight=6, days=6, out_for=0, age=0)
    still_good = Seen(weight=4, days=2, out_for=0, age=0)

    fell = reliability(saw(before, late, still_good), 3, STATED)
    steady = reliability(
        saw(before, Seen(weight=9.5, days=2, out_for=0), Seen(weight=0.5, days=6, out_for=0)), 3, STATED
    )

    assert fell.parcels == 10
    assert fell.likely == pytest.approx((4 + 8) / 20)
    assert steady.parcels == 70


def test_a_service_that_has_always_been_poor_has_not_fallen() -> None:
    seen = [Seen(weight=5, days=days, out_for=0, age=age) for age in range(4) for days in (2, 6)]

    assert reliability(saw(*seen), 3, STATED).parcels == 40


def test_a_few_late_parcels_are_no_fall() -> None:
    seen = saw(Seen(weight=60, days=2, out_for=0, age=4), Seen(weight=4, days=9, out_for=0))

    assert reliability(seen, 3, STATED).parcels == 64
