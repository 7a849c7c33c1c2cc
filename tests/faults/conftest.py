"""A real provider over HTTP, real books, and a door that takes the provider's news into them."""

from collections.abc import Iterator

import pytest

from tests.devstack.simulators.conftest import Simulator
from tests.faults.till import Door, Till
from tests.storage.conftest import compiled, database_url, engine, house, migrated_url, server, server_url
from tests.storage.house import House

__all__ = ["compiled", "database_url", "engine", "house", "migrated_url", "server", "server_url"]


@pytest.fixture(scope="session")
def door() -> Iterator[Door]:
    door = Door()
    yield door
    door.close()


@pytest.fixture(scope="session")
def provider(tmp_path_factory: pytest.TempPathFactory, door: Door) -> Iterator[Simulator]:
    """The provider, in a world whose clock runs as ours does."""
    provider = Simulator(tmp_path_factory.mktemp("provider") / "world.sqlite", door, speed=1)
    provider.start()
    yield provider
    provider.stop()
    provider.http.close()


@pytest.fixture
def till(house: House, provider: Simulator, door: Door) -> Iterator[Till]:
    """The deeds of money; no fault and no news outlives a test."""
    till = Till(house, provider)
    door.opens_to(till)
    yield till
    door.opens_to(None)
    provider.http.delete("/_sim/faults")
    till.close()
