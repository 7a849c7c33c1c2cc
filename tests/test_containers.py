"""The containers without an engine: what docker-compose.yml would start is started here, and does what it should."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import ProxyHandler, Request, build_opener

import pytest

from devstack.ports import Ports
from devstack.stack import Servers, embedded_servers
from devstack.temporal import SEARCH_ATTRIBUTES, program
from fulfillment.settings import Settings

ROOT = Path(__file__).parents[1]
COMPOSE = (ROOT / "docker-compose.yml").read_text()
DOCKERFILE = (ROOT / "Dockerfile").read_text()
ENV_FILE = ROOT / "compose.env.example"
ROOMS = ("fulfillment", "activities", "workflows", "workers", "starter", "devstack")
LOCAL = build_opener(ProxyHandler({}))


# --- reading the files; they are written so that this is enough ------------------------------------------------


def services() -> dict[str, str]:
    """Every service with its lines."""
    section = COMPOSE.split("\nservices:\n")[1].split("\nconfigs:\n")[0]
    return dict(re.findall(r"^  ([a-z-]+):\n((?:    .*\n|\n|  #.*\n)+)", section, re.MULTILINE))


def ours() -> dict[str, list[str]]:
    """The services that run our image, with their commands."""
    return {
        name: json.loads(found[1])
        for name, lines in services().items()
        if (found := re.search(r"command: (\[.*?\])\n", lines, re.DOTALL)) and "*waybill" in lines
    }


def script(service: str) -> str:
    """A service's shell script, as the shell gets it."""
    lines = services()[service].split("      - |\n")[1]
    return "".join(
        line.removeprefix("        ") for line in lines.splitlines(True) if line[:8].isspace()
    ).replace("$$", "$")


def env_file() -> dict[str, str]:
    """What the example of an env file sets."""
    lines = [line for line in ENV_FILE.read_text().splitlines() if line and not line.startswith("#")]
    pairs = (line.split("=", 1) for line in lines)
    return {name: "".join(shlex.split(value, comments=True)) for name, value in pairs}


def filled_in(text: str) -> str:
    """A text of the compose file with every variable replaced, as compose does it."""
    given = env_file()

    def value(found: re.Match[str]) -> str:
        name, default = found[1], found[3]
        assert name in given or found[2] == "-", f"{name} is needed and not in {ENV_FILE.name}"
        return given.get(name) or default or ""

    return re.sub(r"\$\{(\w+):([-?])([^}]*)\}", value, text)


def environment() -> dict[str, str]:
    """What our containers get."""
    lines = re.search(r"environment: &environment\n((?:    .*\n)+)", COMPOSE)
    assert lines is not None
    return dict(re.findall(r"^    (\w+): (.*)$", filled_in(lines[1]), re.MULTILINE))


# --- the files agree with the code ----------------------------------------------------------------------------


def compose_client() -> list[str] | None:
    for words in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(words[0]):
            done = subprocess.run([*words, "version"], check=False, capture_output=True)
            if done.returncode == 0:
                return words
    return None


if client := compose_client():  # most computers that test have none: then the tests below must do

    def test_compose_accepts_the_file() -> None:
        words = [*client, "--env-file", str(ENV_FILE), "config", "--quiet"]

        done = subprocess.run(words, cwd=ROOT, check=False, capture_output=True, text=True)

        assert done.returncode == 0, done.stderr


def test_every_variable_of_a_container_is_a_setting() -> None:
    known = {
        str(field.validation_alias or f"WAYBILL_{name.upper()}")
        for name, field in Settings.model_fields.items()
    }

    assert {name for name in environment() if not name.startswith("TEMPORAL_")} <= known


def test_the_env_file_has_everything_the_compose_file_asks_for() -> None:
    asked = set(re.findall(r"\$\{(\w+)", COMPOSE)) | {"COMPOSE_PROFILES"}

    mentioned = set(re.findall(r"^(?:# )?(\w+)=", ENV_FILE.read_text(), re.MULTILINE))

    assert mentioned <= asked
    assert set(re.findall(r"\$\{(\w+):\?", COMPOSE)) <= mentioned


def test_the_image_holds_every_room_and_runs_as_nobody_special() -> None:
    assert set(re.findall(r"^COPY (\w+) \./\1$", DOCKERFILE, re.MULTILINE)) == set(ROOMS)
    assert all(f"\n!{room}\n" in (ROOT / ".dockerignore").read_text() for room in ROOMS)
    assert DOCKERFILE.index("\nUSER waybill\n") < DOCKERFILE.index("\nCMD ")


def test_the_image_is_the_web_process_unless_told_otherwise() -> None:
    command = re.search(r"^CMD (.*)$", DOCKERFILE, re.MULTILINE)

    assert command is not None
    assert json.loads(command[1]) == ours()["web"]


def test_nothing_is_published_to_the_world() -> None:
    published = re.findall(r"ports: (\[.*\])", COMPOSE)

    assert published
    assert all(port.startswith("127.0.0.1:") for ports in published for port in json.loads(ports))


# --- what it starts, starts -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    without = ("DATABASE_URL", "TEMPORAL_ADDRESS", "TEMPORAL_NAMESPACE")
    with pytest.MonkeyPatch.context() as patch:
        for name in without:
            patch.delenv(name, raising=False)
        with embedded_servers(tmp_path_factory.mktemp("containers") / "state") as running:
            yield running


class Host:
    """A computer that runs our containers as plain processes; names and ports of the network become local ones."""

    def __init__(self, servers: Servers, folder: Path, ports: Mapping[str, int]) -> None:
        self._local = {
            "postgresql://waybill:change-me@postgres:5432/waybill": servers.database_url,
            "temporal:7233": servers.temporal_target,
            "TEMPORAL_NAMESPACE: waybill": servers.temporal_namespace,
            "/tmp/ready": str(folder / "ready"),
            "/data/": f"{folder}/",
            "0.0.0.0": "127.0.0.1",
            "web:8000": f"127.0.0.1:{ports['web']}",
            "127.0.0.1:8000": f"127.0.0.1:{ports['web']}",
            "simulators:8420": f"127.0.0.1:{ports['simulators']}",
            "127.0.0.1:8420": f"127.0.0.1:{ports['simulators']}",
        }
        self._ports, self._folder = ports, folder

    def env(self) -> dict[str, str]:
        set_here = {name: self.local(value) for name, value in environment().items()}
        return {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "PYTHONSAFEPATH": "1",
            **set_here,
            "WAYBILL_PUBLIC_URL": f"http://127.0.0.1:{self._ports['web']}",
            "WAYBILL_API_KEY": env_file()["WAYBILL_API_KEY"],
            "WAYBILL_SMTP_HOST": "127.0.0.1",
            "WAYBILL_SMTP_PORT": str(self._ports["smtp"]),
        }

    def local(self, text: str) -> str:
        for theirs, here in self._local.items():
            text = text.replace(theirs, here)
        return text

    def argv(self, service: str) -> list[str]:
        _, *words = [self.local(filled_in(word)) for word in ours()[service]]
        if service == "web":
            words[-1] = str(self._ports["web"])
        if service == "simulators":
            words += ["--port", str(self._ports["simulators"]), "--smtp-port", str(self._ports["smtp"])]
        return [sys.executable, *words]

    def run(self, service: str) -> subprocess.CompletedProcess[str]:
        """Run a service that ends by itself."""
        return subprocess.run(
            self.argv(service), env=self.env(), cwd=self._folder, check=False, capture_output=True, text=True
        )

    @contextmanager
    def running(self, *names: str) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
        """Run services for the time of the block, and see that each stops when it is asked to."""
        started = {}
        try:
            for name in names:
                with (self._folder / f"{name}.log").open("wb") as log:
                    started[name] = subprocess.Popen(
                        self.argv(name), env=self.env(), cwd=self._folder, stdout=log, stderr=log
                    )
            yield started
        finally:
            for process in started.values():
                process.send_signal(signal.SIGTERM)
            ended = {name: process.wait(40) for name, process in started.items()}
        assert set(ended.values()) <= {0, -signal.SIGTERM}, ended

    def log(self, name: str) -> str:
        return (self._folder / f"{name}.log").read_text()

    def is_healthy(self, service: str) -> bool:
        """Ask as the container's health check does."""
        check = re.search(r'healthcheck:\n\s+test: (\["CMD".*\])\n', services()[service])
        assert check is not None
        words = [self.local(word) for word in json.loads(check[1])[1:]]
        words[0] = sys.executable if words[0] == "python" else words[0]
        return (
            subprocess.run(
                words, env=self.env(), check=False, capture_output=True, cwd=self._folder
            ).returncode
            == 0
        )


def until(there: Callable[[], bool], processes: Mapping[str, subprocess.Popen[bytes]], host: Host) -> None:
    deadline = time.monotonic() + 60
    while not there():
        dead = [name for name, process in processes.items() if process.poll() is not None]
        assert not dead, f"{dead[0]} ended: {host.log(dead[0])[-2000:]}"
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.2)


@pytest.fixture
def host(servers: Servers, tmp_path: Path) -> Host:
    free = Ports()
    ports = {name: free.any() for name in ("web", "simulators", "smtp")}
    free.release()
    return Host(servers, tmp_path, ports)


def test_a_trial_comes_up_in_the_order_of_the_file_and_takes_an_order(host: Host) -> None:
    migrated = host.run("migrate")
    assert migrated.returncode == 0, migrated.stderr
    seeded = host.run("seed")
    assert seeded.returncode == 0, seeded.stderr

    with host.running("simulators", "web", "workers", "bots") as processes:
        for service in ("simulators", "web", "workers"):
            until(lambda service=service: host.is_healthy(service), processes, host)
        placed = place_an_order(host.env())
        until(lambda: has_left_the_shelf(host.env()), processes, host)

    assert placed == "confirmed"


def place_an_order(env: Mapping[str, str]) -> str:
    body = {
        "order_id": "SO-1",
        "customer": {"id": "cus_1", "email": "noor@example.com"},
        "lines": [{"sku": "MUG-12", "quantity": 1, "unit_price": 1800}],
        "currency": "USD",
        "total": 1800,
        "ship_to": {"name": "Noor Haddad", "line1": "103 Main St", "city": "Boise", "country": "US"}
        | {"region": "ID", "postal_code": "83702"},
        "payment": {"method": "pm_card_visa"},
    }
    answer: str = asked(env, "/v1/orders", json.dumps(body).encode())["placed"]
    return answer


def has_left_the_shelf(env: Mapping[str, str]) -> bool:
    try:
        return bool(asked(env, "/v1/orders/SO-1")["parcels"])
    except URLError:
        return False


def asked(env: Mapping[str, str], path: str, body: bytes | None = None) -> dict[str, str]:
    headers = {"Authorization": f"Bearer {env['WAYBILL_API_KEY']}", "Content-Type": "application/json"}
    with LOCAL.open(Request(f"{env['WAYBILL_PUBLIC_URL']}{path}", body, headers), timeout=30) as answer:
        told: dict[str, str] = json.load(answer)
    return told


def test_the_namespace_gets_every_search_attribute_and_repeating_it_is_harmless(servers: Servers) -> None:
    env = {
        "PATH": f"{program().parent}:{os.environ['PATH']}",
        "HOME": str(servers.stack.spec.state),
        "TEMPORAL_ADDRESS": servers.temporal_target,
        "TEMPORAL_NAMESPACE": "made-by-the-script",
    }

    runs = [
        subprocess.run(
            ["/bin/sh", "-euc", script("temporal-namespace")],
            env=env,
            check=False,
            capture_output=True,
            text=True,
        )
        for _ in range(2)
    ]

    assert [done.returncode for done in runs] == [0, 0], runs[0].stderr + runs[1].stderr
    listed = subprocess.run(
        ["temporal", "operator", "search-attribute", "list", "--output", "json"],
        env=env,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert {name for name in SEARCH_ATTRIBUTES if name in listed} == set(SEARCH_ATTRIBUTES)
