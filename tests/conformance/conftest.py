"""Servers and clients that nobody of this project wrote, and the simulator they are held against."""

from collections.abc import Iterator

import pytest

from tests.devstack.simulators.conftest import Listener, Simulator


@pytest.fixture(scope="session")
def listener() -> Iterator[Listener]:
    listener = Listener()
    yield listener
    listener.close()


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory, listener: Listener) -> Iterator[Simulator]:
    simulator = Simulator(tmp_path_factory.mktemp("world") / "world.sqlite", listener, speed=600)
    simulator.start()
    simulator.http.post("/_sim/account", json={"multicapture": True}).raise_for_status()
    yield simulator
    simulator.stop()
    simulator.http.close()


@pytest.fixture
def world(running: Simulator) -> Iterator[Simulator]:
    """The simulator, whose account may capture in parts; no fault outlives a test."""
    yield running
    running.http.delete("/_sim/faults")
