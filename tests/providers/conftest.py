"""The outside world: the simulator as its own process."""

from collections.abc import Iterator
from datetime import datetime

import pytest

from tests.devstack.simulators.conftest import Listener, Simulator


@pytest.fixture(scope="session")
def listener() -> Iterator[Listener]:
    listener = Listener()
    yield listener
    listener.close()


@pytest.fixture(scope="session")
def slow_world(tmp_path_factory: pytest.TempPathFactory, listener: Listener) -> Iterator[Simulator]:
    """A world in which ten minutes pass in a second: no reservation of money runs out during a test."""
    yield from _running(Simulator(tmp_path_factory.mktemp("slow") / "world.sqlite", listener, speed=600))


@pytest.fixture(scope="session")
def fast_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    """A world in which a week passes in half a second."""
    yield from _running(Simulator(tmp_path_factory.mktemp("fast") / "world.sqlite", speed=1_200_000))


@pytest.fixture
def world(slow_world: Simulator) -> Iterator[Simulator]:
    """The world; each test uses orders of its own and leaves no fault behind."""
    yield slow_world
    slow_world.http.delete("/_sim/faults")


def world_time(world: Simulator) -> datetime:
    """Return the shop's time as the world has it."""
    return datetime.fromisoformat(world.http.get("/_sim/clock").json()["shop_time"])


def _running(simulator: Simulator) -> Iterator[Simulator]:
    simulator.start()
    yield simulator
    simulator.stop()
    simulator.http.close()
