"""A promise is a local date: the location's cut-off, its closed days and its zone decide, never the server's."""

import os
import time as clock
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from fulfillment.domain.calendars import Calendar, InvalidCalendar
from fulfillment.domain.policy import Policy
from fulfillment.domain.promise import promised, ship_by, stock_expected

POLICY = Policy(transit_days=5, handling=timedelta(hours=24), ship_within=timedelta(hours=48))
RENO = Calendar(zone="America/Los_Angeles")
BERLIN = Calendar(zone="Europe/Berlin")
TOKYO = Calendar(zone="Asia/Tokyo")


@pytest.fixture(params=["UTC", "Asia/Tokyo", "America/Los_Angeles"])
def server_zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server that lives in another zone."""
    monkeypatch.setenv("TZ", request.param)
    clock.tzset()
    yield os.environ["TZ"]
    monkeypatch.undo()
    clock.tzset()


def local(calendar: Calendar, year: int, month: int, day: int, *hms: int) -> datetime:
    return datetime(year, month, day, *hms, tzinfo=ZoneInfo(calendar.zone)).astimezone(UTC)


@pytest.mark.parametrize("calendar", [RENO, BERLIN, TOKYO], ids=lambda calendar: calendar.zone)
@pytest.mark.parametrize(
    ("day", "seconds", "leaves"),
    [
        (date(2026, 11, 24), -1, date(2026, 11, 24)),
        (date(2026, 11, 24), 0, date(2026, 11, 25)),
        (date(2026, 11, 24), 1, date(2026, 11, 25)),
        (date(2026, 3, 6), 1, date(2026, 3, 9)),  # a weekend in which America puts its clocks forward
        (date(2026, 3, 9), -1, date(2026, 3, 9)),
        (date(2026, 10, 30), 1, date(2026, 11, 2)),  # America puts them back, Europe did a week ago
        (date(2026, 11, 2), -1, date(2026, 11, 2)),
        (date(2026, 3, 30), -1, date(2026, 3, 30)),  # the day after Europe's
        (date(2026, 10, 26), 0, date(2026, 10, 27)),
    ],
)
def test_p49_the_cut_off_is_the_locations_to_the_second(
    server_zone: str, calendar: Calendar, day: date, seconds: int, leaves: date
) -> None:
    """Guard: `Calendar.work_day` looks at the clock of the place; with `now` as it is the day is the server's."""
    now = local(calendar, day.year, day.month, day.day, 14) + timedelta(seconds=seconds)

    assert calendar.work_day(now) == leaves
    assert calendar.work_day(now.astimezone(ZoneInfo("Pacific/Auckland"))) == leaves


def test_p49_one_instant_is_another_day_elsewhere_and_the_promise_says_so(server_zone: str) -> None:
    """Guard: as above; in UTC all three would promise the same day."""
    now = datetime(2026, 11, 24, 23, 30, tzinfo=UTC)  # 15:30 in Reno, 8:30 tomorrow in Tokyo

    days = [promised(now=now, calendar=c, abroad=False, policy=POLICY) for c in (RENO, BERLIN, TOKYO)]

    assert days == [date(2026, 12, 2), date(2026, 12, 2), date(2026, 12, 2)]
    early = now - timedelta(
        hours=2
    )  # 13:30 in Reno: still today; Berlin and Tokyo are past their day or before
    assert promised(now=early, calendar=RENO, abroad=False, policy=POLICY) == date(2026, 12, 1)
    assert promised(now=early, calendar=BERLIN, abroad=False, policy=POLICY) == date(2026, 12, 2)


@pytest.mark.parametrize(
    ("now", "hours"),
    [
        (datetime(2026, 3, 6, 8), 24 - 8 + 24 * 3),  # Friday to the end of Monday, Sunday has 23 hours
        (datetime(2026, 10, 30, 8), 24 - 8 + 24 * 3),
        (datetime(2026, 11, 24, 8), 24 - 8 + 24),
    ],
)
def test_p49_a_shipment_must_leave_by_the_end_of_a_local_day_though_the_clocks_change(
    server_zone: str, now: datetime, hours: int
) -> None:
    """Guard: `Calendar.end_of` is midnight there; spans added to `now` are an hour off when the clocks change."""
    begins = now.replace(tzinfo=ZoneInfo(RENO.zone))

    due = ship_by(now=begins.astimezone(UTC), calendar=RENO, policy=POLICY)

    there = due.astimezone(ZoneInfo(RENO.zone))
    assert (there.time(), there.replace(tzinfo=None) - now) == (time(0), timedelta(hours=hours))
    assert due.tzinfo is UTC


def test_closed_days_and_weekends_are_no_business_days() -> None:
    thanksgiving = replace(RENO, closed_days=frozenset({date(2026, 11, 26)}))
    now = local(RENO, 2026, 11, 25, 15)  # Wednesday after the cut-off

    leaves = thanksgiving.work_day(now)

    assert leaves == date(2026, 11, 27)
    assert promised(now=now, calendar=thanksgiving, abroad=False, policy=POLICY) == date(2026, 12, 4)
    assert ship_by(now=now, calendar=thanksgiving, policy=POLICY) == local(RENO, 2026, 12, 1)


def test_carriers_rest_on_the_days_of_the_country_but_not_of_another_one() -> None:
    closed = replace(RENO, closed_days=frozenset({date(2026, 11, 26)}))
    now = local(RENO, 2026, 11, 24, 9)

    at_home = promised(now=now, calendar=closed, abroad=False, policy=POLICY)
    abroad = promised(now=now, calendar=closed, abroad=True, policy=replace(POLICY, transit_days_abroad=5))

    assert (at_home, abroad) == (date(2026, 12, 2), date(2026, 12, 1))


def test_a_warehouse_that_works_on_saturdays_ships_on_saturdays() -> None:
    calendar = replace(BERLIN, working_days=frozenset(range(6)))

    assert calendar.work_day(local(BERLIN, 2026, 11, 28, 9)) == date(2026, 11, 28)


def test_what_waits_leaves_when_it_may_and_can() -> None:
    now = datetime(2026, 11, 23, 8, tzinfo=UTC)
    usual = stock_expected(now=now, due=None, available_from=None, policy=POLICY)
    late = stock_expected(now=now, due=date(2026, 12, 20), available_from=date(2026, 12, 8), policy=POLICY)
    pre_order = stock_expected(now=now, due=date(2026, 12, 1), available_from=date(2027, 1, 4), policy=POLICY)

    assert (usual, late, pre_order) == (date(2026, 12, 3), date(2026, 12, 20), date(2027, 1, 4))
    promise = promised(now=now, calendar=RENO, abroad=False, policy=POLICY, not_before=late)
    assert promise == date(2026, 12, 28)  # the 20th is a Sunday: Monday, and five days more


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"zone": "Mars/Base"}, "zone"),
        ({"zone": "America"}, "zone"),
        ({"zone": "../etc"}, "zone"),
        ({"zone": ""}, "zone"),
        ({"working_days": frozenset[int]()}, "working_days"),
        ({"working_days": frozenset({7})}, "working_days"),
        ({"cut_off": time(14, tzinfo=UTC)}, "cut_off"),
    ],
)
def test_a_calendar_nobody_could_work_by_is_refused(wrong: dict[str, object], param: str) -> None:
    with pytest.raises(InvalidCalendar) as no:
        Calendar(**wrong)  # type: ignore[arg-type]

    assert no.value.param == param


def test_a_place_that_never_opens_is_a_mistake() -> None:
    closed = frozenset(date(2026, 1, 1) + timedelta(days=n) for n in range(365))

    with pytest.raises(InvalidCalendar, match="60 days"):
        Calendar(closed_days=closed).open_day(date(2026, 1, 1))
