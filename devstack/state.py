"""The folder in which a stack keeps its data, its secrets, its clock and a note of what runs."""

import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, TextIO

from devstack.processes import is_same_process, start_time

_KEPT_SECRETS: dict[str, Callable[[], str]] = {
    "postgres_password": lambda: secrets.token_urlsafe(24),
    "api_key": lambda: f"wb_{secrets.token_urlsafe(24)}",
    "second_key": lambda: f"wb_{secrets.token_urlsafe(24)}",
    "stripe_key": lambda: f"sk_test_{secrets.token_hex(16)}",
    "stripe_webhook_secret": lambda: f"whsec_{secrets.token_hex(16)}",
    "easypost_key": lambda: f"EZTK{secrets.token_hex(20)}",
    "easypost_webhook_secret": lambda: secrets.token_urlsafe(24),
    "twilio_token": lambda: secrets.token_hex(16),
}


class AlreadyRunning(Exception):
    """Another stack uses this state folder."""

    def __init__(self, running: "StackFile | None") -> None:
        super().__init__("the stack is already running")
        self.running = running


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """How fast time goes in the shop, and since when. Fixed when the folder is made: the data is full of its times."""

    speed: float
    anchor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StackFile:
    """What `stack.json` says: who supervises, where everything answers, what runs."""

    supervisor_pid: int
    supervisor_started: float | None
    ready: bool = False
    urls: dict[str, str] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    processes: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def of_this_process(cls) -> Self:
        return cls(supervisor_pid=os.getpid(), supervisor_started=start_time(os.getpid()))

    def is_alive(self) -> bool:
        """Test whether its supervisor still runs. A pid alone may be someone else's by now."""
        return is_same_process(self.supervisor_pid, self.supervisor_started)


class State:
    """Paths and files of one state folder."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.postgres = self.path / "postgres"
        self.temporal_db = self.path / "temporal.db"
        self.simulator_db = self.path / "simulator.sqlite"
        self.logs = self.path / "logs"
        self.ready = self.path / "ready"
        self._stack_file = self.path / "stack.json"
        self._lock: TextIO | None = None

    def make(self) -> None:
        """Make the folder; harmless to repeat."""
        for folder in (self.path, self.logs, self.ready):
            folder.mkdir(parents=True, exist_ok=True)

    def lock(self) -> None:
        """Hold the folder until this process ends or `unlock`.

        Raises:
            AlreadyRunning: another process holds it.
        """
        self.make()
        lock = (self.path / "lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            raise AlreadyRunning(self.read_stack()) from None
        self._lock = lock

    def unlock(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def clock(self, speed: float) -> Clock:
        """Return the folder's clock; a new folder gets one of `speed`, starting now."""
        file = self.path / "clock.json"
        if not file.exists():
            _write(file, asdict(Clock(speed=speed, anchor=datetime.now(UTC).isoformat(timespec="seconds"))))
        return Clock(**json.loads(file.read_text()))

    def set_clock(self, clock: Clock) -> None:
        """Give a new folder another clock than one that starts now."""
        self.make()
        _write(self.path / "clock.json", asdict(clock))

    def has_clock(self) -> bool:
        return (self.path / "clock.json").exists()

    def secrets(self) -> dict[str, str]:
        """Return the generated secrets, the same for as long as the folder lives."""
        file = self.path / "secrets.json"
        known: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
        if missing := {name: make() for name, make in _KEPT_SECRETS.items() if name not in known}:
            _write(file, known | missing)
        return known | missing

    def read_stack(self) -> StackFile | None:
        """Return what stack.json says, None if there is none or it is not ours."""
        try:
            return StackFile(**json.loads(self._stack_file.read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def running(self) -> StackFile | None:
        """Return the stack that runs here, None if there is only what a killed one left."""
        stack = self.read_stack()
        return stack if stack is not None and stack.is_alive() else None

    def write_stack(self, stack: StackFile) -> None:
        _write(self._stack_file, asdict(stack))

    def forget_stack(self) -> None:
        self._stack_file.unlink(missing_ok=True)

    def turn_logs(self) -> None:
        """Put the logs of the last run aside, so that a log tells of one run."""
        for log in self.logs.glob("*.log"):
            if log != self.log("supervisor"):
                log.replace(log.with_suffix(".log.1"))

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def delete(self) -> None:
        """Delete the folder with all its data."""
        shutil.rmtree(self.path, ignore_errors=True)


def _write(file: Path, content: dict[str, Any]) -> None:
    """Write for the owner alone and in one step: a reader sees the old file or the new one."""
    draft = file.with_suffix(f".{os.getpid()}.tmp")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
        json.dump(content, out, indent=2)
    draft.replace(file)
