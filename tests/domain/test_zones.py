"""Whose midnight counts: the recipient's, by country and region, whatever the server and the season."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo, available_timezones

import pytest

from fulfillment.domain import zones
from fulfillment.domain.address import Address
from fulfillment.domain.zones import day_in, zone_of


def an_address(country: str, region: str = "") -> Address:
    return Address(name="Ann Example", line1="1 Main St", city="Town", region=region, country=country)


@pytest.mark.parametrize(
    ("country", "region", "zone"),
    [
        ("DE", "", "Europe/Berlin"),
        ("de", "BY", "Europe/Berlin"),
        ("US", "CA", "America/Los_Angeles"),
        ("US", " ca ", "America/Los_Angeles"),
        ("CA", "BC", "America/Vancouver"),
        ("CA", "", "America/Toronto"),  # the zone in which most of the country lives
        ("US", "Nowhere", "America/New_York"),
        ("AQ", "", "UTC"),  # not listed
    ],
)
def test_an_address_has_the_zone_of_its_region_or_country(country: str, region: str, zone: str) -> None:
    assert zone_of(an_address(country, region)) == zone


def test_every_zone_is_known_to_the_iana_list() -> None:
    assert {*zones._COUNTRIES.values(), *zones._REGIONS.values()} <= available_timezones()


@pytest.mark.parametrize(
    ("zone", "day"),
    [
        ("America/Los_Angeles", date(2026, 11, 22)),
        ("Europe/Berlin", date(2026, 11, 23)),
        ("Asia/Tokyo", date(2026, 11, 23)),
    ],
)
def test_p49_a_moment_has_the_day_of_the_recipients_zone(zone: str, day: date) -> None:
    """Guard: `day_in` asks the zone; the day of the instant in UTC is off by one for half the world."""
    assert day_in(zone, datetime(2026, 11, 23, 7, 30, tzinfo=UTC)) == day


@pytest.mark.parametrize(
    ("local", "instant"),
    [
        (datetime(2026, 3, 29, 0, 30), datetime(2026, 3, 28, 23, 30, tzinfo=UTC)),
        (datetime(2026, 3, 29, 23, 30), datetime(2026, 3, 29, 21, 30, tzinfo=UTC)),
        (datetime(2026, 10, 25, 0, 30), datetime(2026, 10, 24, 22, 30, tzinfo=UTC)),
        (datetime(2026, 10, 25, 23, 30), datetime(2026, 10, 25, 22, 30, tzinfo=UTC)),
    ],
)
def test_p49_a_day_is_its_own_from_midnight_to_midnight_when_the_clocks_change(
    local: datetime, instant: datetime
) -> None:
    """Guard: `day_in` asks the zone; with a fixed offset the day of summer time begins or ends an hour off."""
    assert local.replace(tzinfo=ZoneInfo("Europe/Berlin")).astimezone(UTC) == instant
    assert day_in("Europe/Berlin", instant) == local.date()
