"""Ports: the usual one if it is free, else the next, and never one that another stack has chosen."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.ports import Ports, answers, is_free


@pytest.fixture
def ports() -> Iterator[Ports]:
    chosen = Ports()
    yield chosen
    chosen.release()


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_port_somebody_listens_on_is_not_free(taken: int) -> None:
    assert answers(taken)
    assert not is_free(taken)


def test_a_taken_port_gives_the_next_free_one(ports: Ports, taken: int) -> None:
    assert ports.near(taken) > taken


def test_two_stacks_that_choose_at_once_get_different_ports(ports: Ports) -> None:
    other = Ports()
    usual = ports.any()

    assert other.near(usual) != usual

    other.release()


def test_a_released_port_may_be_chosen_again(ports: Ports) -> None:
    first = ports.any()
    ports.release()

    assert ports.near(first) == first


def test_no_outgoing_connection_can_take_a_chosen_port(ports: Ports) -> None:
    """Guard: a port of the system's choice is one that it gives to connections too, before the server has it."""
    said = Path("/proc/sys/net/ipv4/ip_local_port_range")  # of Linux
    first = (
        int(said.read_text().split()[0]) if said.exists() else 49_152
    )  # IANA's dynamic ports, as macOS has them

    assert all(ports.any() < first for _ in range(50))
