"""Which countries there are."""

import pytest

from starter.countries import is_country


@pytest.mark.parametrize("code", ["US", "DE", "JP", "XK", "PR"])
def test_a_country_is_known_by_its_code(code: str) -> None:
    assert is_country(code)


@pytest.mark.parametrize("code", ["XX", "us", "USA", "EU", "ZZ", "UK", ""])
def test_what_is_no_country_is_not(code: str) -> None:
    assert not is_country(code)
