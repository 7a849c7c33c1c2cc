"""The whole world on one computer: servers, migrations, simulator, workers, web and bots, started and stopped as one."""

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from tempfile import mkdtemp
from typing import Final, Self
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

from devstack import postgres, temporal
from devstack.ports import Ports
from devstack.postgres import Postgres
from devstack.processes import ChildFailed, Command, ProcessView, Stopped, Supervisor
from devstack.state import StackFile, State
from devstack.temporal import Temporal

ROOT: Final = Path(__file__).parent.parent
DEFAULT_SPEED: Final = 7200.0
SERVERS: Final = frozenset({"postgres", "temporal"})
EVERYTHING: Final = SERVERS | {"simulator", "workers", "web", "bots"}
_USUAL_PORTS: Final = {
    "postgres": 5432,
    "temporal": 7233,
    "temporal_ui": 8233,
    "web": 8000,
    "simulator": 8420,
    "smtp": 8425,
}
_WORTH_SAYING: Final = {"web": "web", "temporal": "Temporal", "temporal_ui": "the Temporal UI"} | {
    "simulator": "the simulator",
    "smtp": "SMTP",
}
_OWNERS: Final = {"temporal_ui": "temporal", "smtp": "simulator"}
_INSTEAD: Final = {"postgres": "DATABASE_URL", "temporal": "TEMPORAL_ADDRESS"}
_NO_PROXY = build_opener(ProxyHandler({}))  # a proxy of the caller's is not for our own servers


def state_folder() -> Path:
    """Return the state folder of this checkout; WAYBILL_STATE names another."""
    return Path(os.environ.get("WAYBILL_STATE") or ROOT / ".waybill")


@dataclass(frozen=True, slots=True, kw_only=True)
class StackSpec:
    """Which parts run, and how.

    `services` is a part of `EVERYTHING`. `env` is added to every process. `quiet_ports` takes any free ports instead of
    the usual ones, for tests. `frugal` is a PostgreSQL that a power failure may cost and a Temporal without its UI.
    `armed` workers are the fault suite's, which die where they are told.
    """

    state: Path = field(default_factory=state_folder)
    services: frozenset[str] = EVERYTHING
    workers: int = 2
    speed: float = DEFAULT_SPEED
    seed: int = 1
    env: Mapping[str, str] = field(default_factory=dict)
    frugal: bool = False
    quiet_ports: bool = False
    armed: bool = False
    dynamic_config: Mapping[str, object] = field(default_factory=dict)


class Stack:
    """One running stack. `say` gets a line per step, `note` a line per crash and restart."""

    def __init__(
        self,
        spec: StackSpec,
        *,
        say: Callable[[str], None] = lambda line: None,
        note: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.spec, self.state = spec, State(spec.state)
        self.urls: dict[str, str] = {}
        self.ports: dict[str, int] = {}
        self.env: dict[str, str] = {}
        self.notes: list[str] = []
        self.took = 0.0
        self._say, self._tell = say, note
        self._ports = Ports()
        self._stopping = threading.Event()
        self._stop_lock = threading.Lock()
        self._file_lock = threading.Lock()
        self._ready = False
        self._supervisor: Supervisor | None = None

    # --- from start to stop

    def start(self) -> None:
        """Start everything and return when all of it answers.

        Raises:
            AlreadyRunning: another stack uses the state folder.
            ChildFailed, PostgresMissing, TemporalMissing: a part does not start; what was started is stopped.
            Stopped: `request_stop` was called meanwhile.
        """
        self.state.lock()
        began = time.monotonic()
        try:
            self._bring_up()
        except BaseException:
            self.stop()
            raise
        self.took = time.monotonic() - began

    def stop(self) -> None:
        """Stop everything, the servers last. Leaves no process; harmless to repeat."""
        self._stopping.set()
        with self._stop_lock:
            if self._supervisor is not None:
                self._supervisor.stop(self._programs())
                self._supervisor.stop(["temporal", "postgres"])
                self._supervisor.close()
                self._supervisor = None
                self.state.forget_stack()
            self._ports.release()
            self.state.unlock()

    def stop_now(self) -> None:
        """Kill everything at once, for a person who presses Ctrl-C a second time."""
        if self._supervisor is not None:
            self._supervisor.stop_now()

    def request_stop(self) -> None:
        """Ask a stack that is starting, or a thread in `wait`, to give up. Safe in a signal handler."""
        self._stopping.set()

    @property
    def is_stopping(self) -> bool:
        return self._stopping.is_set()

    def wait(self) -> None:
        """Return when `request_stop` is called."""
        while not self._stopping.wait(0.5):
            pass

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    # --- for the demo and the fault suite

    def kill(self, name: str) -> int | None:
        """Kill a process as a crash would; it is restarted. Return the pid it had."""
        return self._running.kill(name)

    def stop_postgres(self, seconds: float) -> None:
        """Take the embedded database away for `seconds`; returns at once."""
        self._running.pause("postgres", seconds)

    def stop_temporal(self, seconds: float) -> None:
        """Take the embedded Temporal server away for `seconds`; returns at once."""
        self._running.pause("temporal", seconds)

    def processes(self) -> list[ProcessView]:
        return self._running.views()

    def is_running(self, name: str) -> bool:
        return self._running.is_running(name)

    # --- the parts

    @property
    def _running(self) -> Supervisor:
        if self._supervisor is None:
            raise RuntimeError("the stack is not running")
        return self._supervisor

    def _bring_up(self) -> None:
        for leftover in self.state.ready.iterdir():
            leftover.unlink()
        self.state.turn_logs()
        self._supervisor = Supervisor(note=self._note, changed=self._write_file)
        self._choose_ports()
        self.env = self._environment()
        self._write_file()
        with ThreadPoolExecutor(max_workers=8) as pool:
            try:
                self._start_in_order(pool)
            except BaseException:
                self._stopping.set()  # ends the waits of the other parts
                raise
        self._ready = True
        self._write_file()

    def _start_in_order(self, pool: ThreadPoolExecutor) -> None:
        database = pool.submit(self._start_database)
        engine = pool.submit(self._start_temporal)
        simulator = pool.submit(self._start_simulator)
        _all(database, engine, simulator)
        programs = [pool.submit(self._start_worker, number) for number in self._worker_numbers()]
        _all(*programs, pool.submit(self._start_web))
        self._start_bots()

    def _start_database(self) -> None:
        if self._starts("postgres"):
            server = self._postgres()
            with self._step("PostgreSQL"):
                self._running.start(server.command(self.state.log("postgres")))
                self._wait("postgres", server.ready)
        if {"web", "workers"} & self.spec.services:
            self._migrate()

    def _start_temporal(self) -> None:
        if "temporal" not in self.spec.services:
            return
        if self._outside("TEMPORAL_ADDRESS"):
            with self._step("Temporal, outside"):
                temporal.prepare_outside()
            return
        server = self._temporal()
        with self._step("Temporal"):
            self._running.start(server.command(self.state.log("temporal")))
            self._wait("temporal", server.ready)

    def _migrate(self) -> None:
        """Bring the schema up to date; a failure is told with what the command wrote."""
        with self._step("database"):
            self._start("database", "-m", "devstack.seed", once=True)
            self._wait("database", lambda: self._running.is_done("database"))

    def _start_simulator(self) -> None:
        if "simulator" not in self.spec.services:
            return
        with self._step("simulator"):
            self._start("simulator", "-m", "devstack.simulators", *self._simulator_words())
            self._wait("simulator", lambda: _is_healthy(f"{self.urls['simulator']}/_sim/clock"))

    def _start_worker(self, number: int) -> None:
        name = f"worker-{number}"
        ready = self.state.ready / name
        with self._step(name):
            module = "devstack.armed" if self.spec.armed else "workers"
            self._start(name, "-m", module, "all")
            self._wait(name, ready.exists)

    def _start_web(self) -> None:
        if "web" not in self.spec.services:
            return
        with self._step("web"):
            self._start(
                "web", "-m", "starter", "web", "--host", "127.0.0.1", "--port", str(self.ports["web"])
            )
            self._wait("web", lambda: _is_healthy(f"http://127.0.0.1:{self.ports['web']}/readyz"))

    def _start_bots(self) -> None:
        if "bots" in self.spec.services:
            with self._step("bots"):
                self._start("bots", "-m", "devstack.bots")

    # --- what they are made of

    def _postgres(self) -> Postgres:
        password = self.state.secrets()["postgres_password"]
        return Postgres(
            data=self.state.postgres,
            port=self.ports["postgres"],
            password=password,
            frugal=self.spec.frugal,
        )

    def _temporal(self) -> Temporal:
        return Temporal(
            database=self.state.temporal_db,
            port=self.ports["temporal"],
            http_port=self.ports["temporal_http"],
            metrics_port=self.ports["temporal_metrics"],
            ui_port=self.ports["temporal_ui"],
            frugal=self.spec.frugal,
            dynamic_config=self.spec.dynamic_config,
        )

    def _start(self, name: str, *words: str, once: bool = False) -> None:
        self._running.start(
            Command(
                name=name,
                argv=(sys.executable, *words),
                log=self.state.log(name),
                env={**self.env, "WAYBILL_READY_FILE": str(self.state.ready / name)},
                cwd=ROOT,
                once=once,
                without=() if self._outside("TEMPORAL_ADDRESS") else temporal.foreign_settings(),
            )
        )

    def _simulator_words(self) -> list[str]:
        keys, clock, web = self.state.secrets(), self.state.clock(self.spec.speed), self.urls["web"]
        options = {
            "host": "127.0.0.1",
            "port": self.ports["simulator"],
            "smtp-port": self.ports["smtp"],
            "db": self.state.simulator_db,
            "speed": f"{clock.speed:g}",
            "anchor": clock.anchor,
            "seed": self.spec.seed,
            "stripe-webhook-url": f"{web}/webhooks/stripe",
            "stripe-webhook-secret": keys["stripe_webhook_secret"],
            "easypost-webhook-url": f"{web}/webhooks/easypost",
            "easypost-webhook-secret": keys["easypost_webhook_secret"],
            "twilio-webhook-url": f"{web}/webhooks/twilio/messages",
            "twilio-webhook-secret": keys["twilio_token"],
        }
        # One word each: a random secret that begins with a dash would pass for an option.
        return [f"--{name}={value}" for name, value in options.items()]

    def _environment(self) -> dict[str, str]:
        return {**_our_python(), **self._servers(), **self._doors(), **self._providers(), **self.spec.env}

    def _servers(self) -> dict[str, str]:
        clock = self.state.clock(self.spec.speed)
        return {
            "DATABASE_URL": self._outside("DATABASE_URL") or self._postgres().url,
            "WAYBILL_SPEED": f"{clock.speed:g}",
            "WAYBILL_CLOCK_ANCHOR": clock.anchor,
            **self._engine(),
        }

    def _engine(self) -> dict[str, str]:
        if outside := self._outside("TEMPORAL_ADDRESS"):
            namespace = os.environ.get("TEMPORAL_NAMESPACE") or temporal.NAMESPACE
            return {"TEMPORAL_ADDRESS": outside, "TEMPORAL_NAMESPACE": namespace}
        return {
            "TEMPORAL_ADDRESS": self._temporal().target,
            "TEMPORAL_NAMESPACE": temporal.NAMESPACE,
            "TEMPORAL_CONFIG_FILE": os.devnull,  # the caller's profiles name other servers
            "WAYBILL_TEMPORAL_METRICS_URL": self._temporal().metrics_url,
            "WAYBILL_TEMPORAL_UI_URL": self.urls.get("temporal_ui", ""),
        }

    def _doors(self) -> dict[str, str]:
        keys = self.state.secrets()
        # The second key is the second person whom a large refund needs.
        scopes = {
            keys["api_key"]: ["storefront", "support", "warehouse", "ops"],
            keys["second_key"]: ["support"],
        }
        return {
            "WAYBILL_PUBLIC_URL": self.urls["web"],
            "WAYBILL_API_KEY": keys["api_key"],
            "WAYBILL_API_KEYS": json.dumps(scopes),
        }

    def _providers(self) -> dict[str, str]:
        keys, simulator = self.state.secrets(), self.urls["simulator"]
        return {
            "WAYBILL_SIMULATOR_URL": simulator,
            "WAYBILL_STRIPE_URL": f"{simulator}/stripe",
            "WAYBILL_STRIPE_KEY": keys["stripe_key"],
            "WAYBILL_STRIPE_WEBHOOK_SECRET": keys["stripe_webhook_secret"],
            "WAYBILL_EASYPOST_URL": f"{simulator}/easypost/v2",
            "WAYBILL_EASYPOST_KEY": keys["easypost_key"],
            "WAYBILL_EASYPOST_WEBHOOK_SECRET": keys["easypost_webhook_secret"],
            "WAYBILL_WEBHOOKS_TO_PRIVATE": "true",
            "WAYBILL_TWILIO_URL": f"{simulator}/twilio",
            "WAYBILL_TWILIO_ACCOUNT": "AC_simulated",
            "WAYBILL_TWILIO_TOKEN": keys["twilio_token"],
            "WAYBILL_TWILIO_FROM": "+15005550006",
            "WAYBILL_SMTP_HOST": "127.0.0.1",
            "WAYBILL_SMTP_PORT": str(self.ports["smtp"]),
        }

    # --- ports, files, words

    def _choose_ports(self) -> None:
        for name, usual in _USUAL_PORTS.items():
            self.ports[name] = self._choose_port(name, usual)
        for name in ("temporal_http", "temporal_metrics"):
            self.ports[name] = self._ports.any()
        self.urls = {"web": f"http://localhost:{self.ports['web']}"}
        self.urls["simulator"] = f"http://127.0.0.1:{self.ports['simulator']}"
        if self._starts("temporal") and not self.spec.frugal:
            self.urls["temporal_ui"] = f"http://localhost:{self.ports['temporal_ui']}"

    def _choose_port(self, name: str, usual: int) -> int:
        if self.spec.quiet_ports or not self._starts(_OWNERS.get(name, name)):
            return self._ports.any()
        port = self._ports.near(usual)
        if port != usual and name in _WORTH_SAYING:
            self._say(f"port {usual} is taken: {_WORTH_SAYING[name]} answers on {port}")
        return port

    def _starts(self, service: str) -> bool:
        """Test whether `service` is ours to start, rather than left out or the caller's own."""
        return service in self.spec.services and not self._outside(_INSTEAD.get(service, ""))

    def _outside(self, variable: str) -> str | None:
        """Return the address of a server of the caller's own, which is then used instead of ours."""
        return self.spec.env.get(variable) or os.environ.get(variable) or None

    def _worker_numbers(self) -> range:
        return range(1, self.spec.workers + 1 if "workers" in self.spec.services else 1)

    def _programs(self) -> list[str]:
        return [view.name for view in self._running.views() if view.name not in SERVERS]

    def _wait(self, name: str, ready: Callable[[], bool], timeout: float = 60.0) -> None:
        self._running.wait_ready(name, ready, timeout=timeout, stopping=self._stopping)

    @contextmanager
    def _step(self, what: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self._say(f"{what} .. {time.monotonic() - began:.1f} s")

    def _note(self, line: str) -> None:
        if not self._stopping.is_set():
            self.notes.append(line)
            self._tell(line)

    def _write_file(self) -> None:
        with self._file_lock:
            supervisor = self._supervisor
            processes = [asdict(view) for view in supervisor.views()] if supervisor else []
            stack = StackFile.of_this_process()
            self.state.write_stack(
                replace(
                    stack,
                    ready=self._ready,
                    urls=self.urls,
                    ports=self.ports,
                    env=self._env_for_commands(),
                    processes=processes,
                )
            )

    def _env_for_commands(self) -> dict[str, str]:
        return {name: value for name, value in self.env.items() if not name.startswith("PYTHON")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """Where the embedded servers of a test answer."""

    database_url: str
    temporal_target: str
    temporal_namespace: str
    temporal_metrics_url: str
    stack: Stack


@contextmanager
def embedded_servers(
    state_dir: Path | None = None,
    *,
    services: frozenset[str] = SERVERS,
    dynamic_config: Mapping[str, object] | None = None,
) -> Iterator[Servers]:
    """Run a frugal PostgreSQL and Temporal for the time of the block, on any free ports; the data is deleted after.

    Servers named by DATABASE_URL and TEMPORAL_ADDRESS are used instead.
    """
    folder = state_dir or Path(mkdtemp(prefix="waybill-"))
    spec = StackSpec(
        state=folder, services=services, frugal=True, quiet_ports=True, dynamic_config=dynamic_config or {}
    )
    try:
        with Stack(spec) as stack:
            yield Servers(
                database_url=stack.env["DATABASE_URL"],
                temporal_target=stack.env["TEMPORAL_ADDRESS"],
                temporal_namespace=stack.env["TEMPORAL_NAMESPACE"],
                temporal_metrics_url=stack.env["WAYBILL_TEMPORAL_METRICS_URL"],
                stack=stack,
            )
    finally:
        forget(folder)


def forget(state_dir: Path) -> None:
    """Delete a state folder and the database, wherever it is. The stack must be stopped."""
    state = State(state_dir)
    postgres.delete(state.postgres)
    state.delete()


def _our_python() -> dict[str, str]:
    """Return what makes a child import our rooms from the checkout, and nothing from where it happens to stand."""
    return {
        "PYTHONPATH": str(ROOT),
        "PYTHONSAFEPATH": "1",
        "PYTHONNOUSERSITE": "1",
        "PYTHONUNBUFFERED": "1",
    }


def _is_healthy(url: str) -> bool:
    with suppress(URLError, OSError), _NO_PROXY.open(url, timeout=2) as answer:
        return bool(answer.status == 200)
    return False


def _all(*futures: Future[None]) -> None:
    for future in futures:
        future.result()


__all__ = [
    "EVERYTHING",
    "SERVERS",
    "ChildFailed",
    "Servers",
    "Stack",
    "StackSpec",
    "Stopped",
    "embedded_servers",
]
