"""When it happened: zones that carriers name, and those they leave out."""

from datetime import UTC, datetime

import pytest

from fulfillment.providers.carriers.moments import moment


@pytest.mark.parametrize(
    ("text", "where", "utc"),
    [
        ("2026-11-23T08:00:00Z", {}, "2026-11-23T08:00"),
        ("2026-11-23T08:00:00-07:00", {"country": "DE"}, "2026-11-23T15:00"),  # its own zone wins
        ("2026-11-23T08:00:00", {"country": "US", "region": "NV"}, "2026-11-23T16:00"),
        ("2026-07-23T08:00:00", {"country": "US", "region": "NV"}, "2026-07-23T15:00"),  # daylight saving
        ("2026-07-23T08:00:00", {"country": "us", "region": "az"}, "2026-07-23T15:00"),  # Arizona has none
        ("2026-11-23T08:00:00", {"country": "DE"}, "2026-11-23T07:00"),
        ("2026-11-23T08:00:00", {"country": "AU", "region": "WA"}, "2026-11-23T00:00"),  # not Washington
        ("2026-11-23T08:00:00", {"country": "US", "carrier": "UPS"}, "2026-11-23T13:00"),  # its hub
        ("2026-11-23T08:00:00", {"carrier": "usps"}, "2026-11-23T13:00"),
    ],
)
def test_a_time_without_a_zone_has_that_of_its_place_else_of_the_carriers_hub(
    text: str, where: dict[str, str], utc: str
) -> None:
    read = moment(text, **where)

    assert read.at == datetime.fromisoformat(utc).replace(tzinfo=UTC)
    assert not read.assumed


def test_a_time_of_which_nothing_says_the_zone_is_taken_for_utc_and_marked() -> None:
    read = moment("2026-11-23T08:00:00", country="BR", carrier="Correios")

    assert (read.at, read.assumed) == (datetime(2026, 11, 23, 8, tzinfo=UTC), True)


def test_what_is_no_time_is_refused() -> None:
    with pytest.raises(ValueError, match="Invalid isoformat"):
        moment("yesterday")
