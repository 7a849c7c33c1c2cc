"""The stack: servers that answer, one per folder, and nothing left behind."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.client import Client

from devstack.ports import is_free
from devstack.postgres import home_of
from devstack.stack import SERVERS, Servers, Stack, StackSpec, embedded_servers
from devstack.state import AlreadyRunning, State
from devstack.temporal import SEARCH_ATTRIBUTES

ROOT = Path(__file__).parents[2]
TO_BE_KILLED = """
import sys, time
from pathlib import Path
from devstack.stack import SERVERS, Stack, StackSpec
Stack(StackSpec(state=Path(sys.argv[1]), services=SERVERS, frugal=True, quiet_ports=True)).start()
print("ready", flush=True)
time.sleep(600)
"""


@pytest.fixture(autouse=True)
def own_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "TEMPORAL_ADDRESS", "TEMPORAL_NAMESPACE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    with embedded_servers(tmp_path / "state") as running:
        yield running


async def test_temporal_knows_every_search_attribute(servers: Servers) -> None:
    client = await Client.connect(servers.temporal_target, namespace=servers.temporal_namespace)

    known = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=servers.temporal_namespace)
    )

    assert set(SEARCH_ATTRIBUTES) <= set(known.custom_attributes)


def test_a_second_stack_in_the_same_folder_is_refused_and_told_where_the_first_is(servers: Servers) -> None:
    second = Stack(StackSpec(state=servers.stack.spec.state, services=SERVERS, quiet_ports=True))

    with pytest.raises(AlreadyRunning) as refused:
        second.start()

    assert refused.value.running is not None
    assert refused.value.running.urls == servers.stack.urls
    assert servers.stack.is_running("postgres")


def test_a_database_taken_away_comes_back_on_its_port(servers: Servers) -> None:
    port = servers.stack.ports["postgres"]

    servers.stack.stop_postgres(0.5)
    eventually(lambda: is_free(port))

    eventually(lambda: not is_free(port))


def test_a_secret_that_begins_with_a_dash_is_a_secret(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    state = State(folder)
    state.make()
    (folder / "secrets.json").write_text(json.dumps({"easypost_webhook_secret": "-begins-with-a-dash"}))

    with embedded_servers(folder, services=frozenset({"simulator"})) as servers:
        clock = httpx.get(f"{servers.stack.urls['simulator']}/_sim/clock")

    assert clock.is_success


def test_nothing_is_left_after_the_stop(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    others = {child.pid for child in psutil.Process().children(recursive=True)}  # servers of other tests
    with embedded_servers(folder) as servers:
        everyone = [c.pid for c in psutil.Process().children(recursive=True) if c.pid not in others]
        elsewhere = home_of(servers.stack.state.postgres)

    assert everyone
    eventually(lambda: not any(is_alive(pid) for pid in everyone))
    assert not folder.exists()
    assert not elsewhere.exists()


def test_nothing_is_left_after_kill_9_and_the_next_start_finds_the_data(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    words = [sys.executable, "-c", TO_BE_KILLED, str(folder)]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE) as supervisor:
        assert supervisor.stdout is not None
        assert supervisor.stdout.readline() == b"ready\n"
        everyone = [child.pid for child in psutil.Process(supervisor.pid).children(recursive=True)]
        password = State(folder).secrets()["postgres_password"]
        supervisor.kill()

    eventually(lambda: not any(is_alive(pid) for pid in everyone))
    assert State(folder).running() is None
    with embedded_servers(folder) as servers:
        assert password in servers.database_url


def is_alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def eventually(holds: object, seconds: float = 8.0) -> None:
    assert callable(holds)
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.05)
