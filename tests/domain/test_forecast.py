"""Whether a parcel will be late, by those that were once where it is now."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from fulfillment.domain.address import Address
from fulfillment.domain.calendars import Calendar
from fulfillment.domain.forecast import (
    Deliveries,
    Forecast,
    Journey,
    Stage,
    forecast,
    journey,
    longest_silence,
)
from fulfillment.domain.policy import Policy
from fulfillment.domain.tracking import CarrierStatus, Scan, ScanSource

C = CarrierStatus
POLICY = Policy(promise_share=0.85, lane_parcels_at_least=20)
MONDAY = datetime(2026, 11, 2, 17, tzinfo=UTC)  # of a week in which no clock changes
HOUR = timedelta(hours=1)
EVERY_DAY = Calendar(zone="UTC")
BOISE = Address(name="Ann", line1="1 Main St", city="Boise", region="ID", country="US")


def a_journey(
    left_at: datetime, *, first: float = 6, near: float = 30, out: float = 40, door: float = 46
) -> Journey:
    """A delivery, with the hours at which it reached each stage."""
    return Journey(
        left_at=left_at,
        first_scan_at=left_at + first * HOUR,
        near_at=left_at + near * HOUR,
        out_at=left_at + out * HOUR,
        delivered_at=left_at + door * HOUR,
    )


# Thirty that left on Mondays: the slowest tenth took a day longer between the first scan and the last region.
PAST = tuple(
    a_journey(
        MONDAY - timedelta(weeks=1 + n % 4), near=30 + n / 10 + late, out=40 + late, door=46 + n / 10 + late
    )
    for n in range(30)
    for late in [24 if n >= 27 else 0]
)


def seen(this: Journey, *, hours: float, promised: date, past: tuple[Journey, ...] = PAST) -> Forecast | None:
    now = this.left_at + hours * HOUR
    return forecast(this, Deliveries(past, EVERY_DAY), promise_date=promised, now=now, policy=POLICY)


WEDNESDAY, THURSDAY, FRIDAY = date(2026, 11, 4), date(2026, 11, 5), date(2026, 11, 6)
LEFT = Journey(left_at=MONDAY)
SCANNED = Journey(left_at=MONDAY, first_scan_at=MONDAY + 6 * HOUR)


def test_a_parcel_on_its_way_as_usual_is_expected_as_usual() -> None:
    found = seen(SCANNED, hours=10, promised=WEDNESDAY)

    assert found is not None
    assert (found.late, found.day, found.parcels) == (pytest.approx(0.1), WEDNESDAY, 30)


def test_a_parcel_that_stays_longer_than_nearly_all_is_late_before_its_day() -> None:
    found = seen(SCANNED, hours=6 + 30, promised=WEDNESDAY)

    assert found is not None
    assert (found.late, found.day, found.parcels) == (1.0, THURSDAY, 3)


def test_one_that_outlasted_all_is_taken_to_go_on_at_once_at_best() -> None:
    found = seen(SCANNED, hours=6 + 72, promised=THURSDAY)

    assert found is not None
    assert (found.late, found.day) == (1.0, FRIDAY)


def test_a_scan_in_the_recipients_region_brings_it_forward() -> None:
    near = Journey(left_at=MONDAY, first_scan_at=MONDAY + 6 * HOUR, near_at=MONDAY + 35 * HOUR)

    found = seen(near, hours=36, promised=WEDNESDAY)

    assert found is not None
    assert (found.late, found.day) == (0.0, WEDNESDAY)


def test_a_lane_with_too_few_journeys_foretells_nothing() -> None:
    assert seen(LEFT, hours=90, promised=WEDNESDAY, past=PAST[: POLICY.lane_parcels_at_least - 1]) is None


def test_a_sunday_and_a_holiday_make_no_parcel_late() -> None:
    saturday = Journey(left_at=MONDAY + timedelta(days=5))
    rest = Calendar(zone="UTC", closed_days=frozenset({date(2026, 11, 9)}))
    now = saturday.left_at + timedelta(days=2, hours=5)

    found = forecast(
        saturday, Deliveries(PAST, rest), promise_date=date(2026, 11, 11), now=now, policy=POLICY
    )

    assert found is not None
    assert (found.late, found.day, found.parcels) == (pytest.approx(0.1), date(2026, 11, 11), 30)


@pytest.mark.parametrize("night", [date(2026, 3, 29), date(2026, 10, 25)])
def test_p49_a_night_in_which_the_clocks_change_makes_no_parcel_late(night: date) -> None:
    """Guard: spans are taken in UTC (`_elapsed`); local times differ by an hour that was not or was twice."""
    zone = ZoneInfo("Europe/Berlin")
    saturday = datetime(night.year, night.month, night.day, 12, tzinfo=zone) - timedelta(days=1)
    every_day = Calendar(zone="Europe/Berlin")
    usual = tuple(
        Journey(left_at=begin, delivered_at=begin + 24 * HOUR)
        for n in range(20)
        for begin in [saturday.astimezone(UTC) - timedelta(weeks=2, days=3)]
    )

    found = forecast(
        Journey(left_at=saturday.astimezone(UTC)),
        Deliveries(usual, every_day),
        promise_date=night + timedelta(days=1),
        now=saturday.astimezone(UTC),
        policy=POLICY,
    )

    assert found == Forecast(late=0.0, day=night + timedelta(days=1), parcels=20)


@pytest.mark.parametrize(("zone", "day"), [("Asia/Tokyo", THURSDAY), ("America/Los_Angeles", WEDNESDAY)])
def test_p49_the_day_it_will_come_is_the_recipients(zone: str, day: date) -> None:
    """Guard: `forecast` asks the calendar's zone for each day; in UTC this one is the same everywhere."""
    found = forecast(
        LEFT, Deliveries(PAST, Calendar(zone=zone)), promise_date=WEDNESDAY, now=MONDAY + HOUR, policy=POLICY
    )

    assert found is not None
    assert found.day == day


def a_scan(status: CarrierStatus | None, hours: float, place: str = "", **changes: object) -> Scan:
    return Scan(
        **{"status": status, "occurred_at": MONDAY + hours * HOUR, "code": "x", "place": place} | changes  # type: ignore[arg-type]
    )


def test_scans_say_how_far_a_parcel_has_come() -> None:
    scans = [
        a_scan(C.OUT_FOR_DELIVERY, 40, "Boise, ID"),
        a_scan(C.PRE_TRANSIT, 1, "Reno, NV"),
        a_scan(C.PICKED_UP, 5, "Reno, NV"),
        a_scan(C.IN_TRANSIT, 30, "Nampa, ID"),
        a_scan(C.IN_TRANSIT, 2, "Boise, ID", source=ScanSource.STAFF),
        a_scan(C.PICKED_UP, -3, "Reno, NV"),  # of the number's life before this parcel
    ]

    went = journey(scans, MONDAY, BOISE)

    hours = [
        at and (at - MONDAY) / HOUR
        for at in (went.first_scan_at, went.near_at, went.out_at, went.delivered_at)
    ]
    assert hours == [5, 30, 40, None]
    assert went.stage is Stage.OUT


def test_a_later_stage_says_that_an_earlier_one_was_reached() -> None:
    went = journey([a_scan(C.DELIVERED, 46, "Salt Lake City, UT")], MONDAY, BOISE)

    assert (went.near_at, went.out_at) == (None, None)
    assert went.reached(Stage.NEAR) == went.reached(Stage.OUT) == MONDAY + 46 * HOUR


@pytest.mark.parametrize(
    ("place", "near"),
    [
        ("boise", True),
        ("Boise, US", True),
        ("Nampa, id", True),
        ("Boise, MT", False),
        ("Nampa, US", False),
        ("Reno", False),
        ("", False),
    ],
)
def test_a_place_is_near_by_its_region_and_by_its_town_where_it_names_none(place: str, near: bool) -> None:
    went = journey([a_scan(C.IN_TRANSIT, 9, place)], MONDAY, BOISE)

    assert (went.near_at is not None) == near


def test_the_longest_silence_is_between_two_of_the_carriers_scans() -> None:
    scans = [a_scan(C.IN_TRANSIT, at) for at in (3, 10, 34, 12)]

    assert longest_silence([*scans, a_scan(C.LOST, 90, source=ScanSource.WAYBILL)]) == 22 * HOUR
    assert longest_silence(scans[:1]) is None
