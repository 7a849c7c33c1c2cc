"""What every test shares."""

import pytest
from hypothesis import settings

from tests import northwind

# The same examples in every run: a red test is about the change. `--hypothesis-profile=default` draws new ones.
settings.register_profile("repeatable", derandomize=True)
settings.load_profile("repeatable")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests on real orders where those are not at hand: they are no part of the project."""
    if northwind.FOLDER.exists():
        return
    without = [item for item in items if item.get_closest_marker("northwind")]
    config.hook.pytest_deselected(items=without)
    items[:] = [item for item in items if item not in without]
