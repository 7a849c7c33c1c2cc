"""Child processes that are restarted when they crash and that never outlive their supervisor."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import psutil

_HERE = Path(__file__).parent
_BEAT = 0.05
_LONG_LIFE = 10.0
_LONGEST_PAUSE = 5.0


class ChildFailed(Exception):
    """A child process does not start; the message ends with what it wrote last."""


class Stopped(Exception):
    """The stack was told to stop while it was starting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Whom a child runs as, when not as ourselves."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A program and how it is started and stopped."""

    name: str
    argv: tuple[str, ...]
    log: Path
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    orphan_signal: signal.Signals = signal.SIGKILL  # sent when the supervisor was killed
    grace: float = 10.0
    user: User | None = None
    once: bool = False  # its end with exit code 0 is its success
    without: tuple[str, ...] = ()  # variables of ours it must not see


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessView:
    """A child as others may see it. `pid` is None while it is down."""

    name: str
    pid: int | None
    started: float | None
    restarts: int


@dataclass(slots=True)
class _Child:
    command: Command
    process: subprocess.Popen[bytes] | None = None
    started: float | None = None
    spawned_at: float = 0.0
    not_before: float = 0.0
    spawns: int = 0
    crashes: int = 0
    crashes_in_a_row: int = 0
    wanted: bool = True
    expected: bool = False  # whether the next end of the process was asked for
    done: bool = False


class Supervisor:
    """Keeps its children running. One thread starts them all: on Linux a child dies with the thread that made it."""

    def __init__(
        self,
        *,
        note: Callable[[str], None] = lambda line: None,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._note, self._changed = note, changed
        self._children: dict[str, _Child] = {}
        self._lock = threading.RLock()
        self._closed = threading.Event()
        self._keeper = _start_keeper()
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)
        self._thread.start()

    def start(self, command: Command) -> None:
        """Start `command`, and again whenever it ends on its own."""
        with self._lock:
            self._children[command.name] = _Child(command)

    def wait_ready(
        self, name: str, ready: Callable[[], bool], *, timeout: float, stopping: threading.Event | None = None
    ) -> None:
        """Return when `ready` says so.

        Raises:
            ChildFailed: the process crashed twice (one that runs once: once), or `timeout` seconds passed.
            Stopped: `stopping` was set meanwhile.
        """
        deadline = time.monotonic() + timeout
        while not ready():
            if stopping is not None and stopping.is_set():
                raise Stopped
            if self._child(name).crashes >= (1 if self._child(name).command.once else 2):
                raise ChildFailed(f"{name} does not start\n{self.tail(name)}")
            if time.monotonic() > deadline:
                raise ChildFailed(f"{name} is not ready after {timeout:.0f} s\n{self.tail(name)}")
            time.sleep(_BEAT)

    def kill(self, name: str) -> int | None:
        """Kill a child as a crash would (SIGKILL); it is restarted. Return the pid it had, if it ran."""
        with self._lock:
            child = self._child(name)
            pid = child.process.pid if child.process else None
            self._signal(child, signal.SIGKILL)
            return pid

    def pause(self, name: str, seconds: float) -> None:
        """Stop a child in an orderly way and start it again after `seconds`."""
        with self._lock:
            child = self._child(name)
            child.not_before = time.monotonic() + seconds
            child.expected = True
            self._signal(child, child.command.stop_signal)

    def stop(self, names: Iterable[str]) -> None:
        """Stop children in an orderly way, by force where their grace has passed."""
        with self._lock:
            children = [self._children[name] for name in names if name in self._children]
            for child in children:
                child.wanted, child.expected = False, True
                self._signal(child, child.command.stop_signal)
        for child in children:
            self._wait_gone(child)

    def stop_now(self) -> None:
        """Kill every child; nothing is restarted."""
        with self._lock:
            for child in self._children.values():
                child.wanted, child.expected = False, True
                self._signal(child, signal.SIGKILL)

    def close(self) -> None:
        """End whatever still runs, the keeper too."""
        self.stop(list(self._children))
        self._closed.set()
        self._thread.join()
        _tell(self._keeper).close()
        self._keeper.wait()

    def is_running(self, name: str) -> bool:
        with self._lock:
            return name in self._children and self._children[name].process is not None

    def is_done(self, name: str) -> bool:
        """Test whether a command that runs once has succeeded."""
        with self._lock:
            return self._child(name).done

    def views(self) -> list[ProcessView]:
        with self._lock:
            return [_view(child) for child in self._children.values()]

    def tail(self, name: str, lines: int = 20) -> str:
        """Return the last lines a child wrote."""
        with suppress(FileNotFoundError):
            return "\n".join(self._child(name).command.log.read_text(errors="replace").splitlines()[-lines:])
        return ""

    def _child(self, name: str) -> _Child:
        return self._children[name]

    def _run(self) -> None:
        while not self._closed.wait(_BEAT):
            with self._lock:
                touched = [self._tend(child, time.monotonic()) for child in self._children.values()]
            if any(touched):
                self._changed()

    def _tend(self, child: _Child, now: float) -> bool:
        buried = child.process is not None and child.process.poll() is not None
        if buried:
            self._bury(child, now)
        spawned = child.wanted and child.process is None and now >= child.not_before
        if spawned:
            self._spawn(child, now)
        return buried or spawned

    def _spawn(self, child: _Child, now: float) -> None:
        command = child.command
        with command.log.open("ab") as log:
            child.process = subprocess.Popen(
                _leashed(command),
                env=_environment(command),
                cwd=command.cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._tell_keeper(f"+ {child.process.pid} {int(command.orphan_signal)}")
        child.started = start_time(child.process.pid)
        child.spawned_at, child.expected = now, False
        child.spawns += 1
        if child.spawns > 1:
            self._note(f"{command.name} started again")

    def _bury(self, child: _Child, now: float) -> None:
        assert child.process is not None
        self._signal(child, signal.SIGKILL)  # children of its own that it left behind
        self._tell_keeper(f"- {child.process.pid}")
        code, child.process, child.started = child.process.returncode, None, None
        if child.command.once:
            child.wanted, child.done = False, code == 0
        if child.done:
            return
        if not child.expected:
            self._note(f"{child.command.name} ended ({_cause(code)})")
            self._schedule(child, now)

    @staticmethod
    def _schedule(child: _Child, now: float) -> None:
        child.crashes += 1
        if now - child.spawned_at > _LONG_LIFE:
            child.crashes_in_a_row = 0
        pause = 0.0 if child.crashes_in_a_row == 0 else 0.1 * 2**child.crashes_in_a_row
        child.not_before = max(child.not_before, now + min(pause, _LONGEST_PAUSE))
        child.crashes_in_a_row += 1

    def _wait_gone(self, child: _Child) -> None:
        deadline = time.monotonic() + child.command.grace
        while child.process is not None:
            if time.monotonic() > deadline:
                with self._lock:
                    self._signal(child, signal.SIGKILL)
            time.sleep(_BEAT / 2)

    @staticmethod
    def _signal(child: _Child, number: signal.Signals) -> None:
        if child.process is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(child.process.pid, number)

    def _tell_keeper(self, line: str) -> None:
        with suppress(BrokenPipeError):
            pipe = _tell(self._keeper)
            pipe.write(f"{line}\n".encode())
            pipe.flush()


def start_time(pid: int) -> float | None:
    """Return when process `pid` began: with it, a pid names one process for ever."""
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return None


def is_same_process(pid: int | None, started: float | None) -> bool:
    """Test whether process `pid` is still the one that began at `started`."""
    if pid is None or started is None:
        return False
    now = start_time(pid)
    return now is not None and abs(now - started) < 1.0 and not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return True


def _start_keeper() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-I", "-S", str(_HERE / "keeper.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _tell(keeper: subprocess.Popen[bytes]) -> IO[bytes]:
    assert keeper.stdin is not None
    return keeper.stdin


def _leashed(command: Command) -> list[str]:
    user = command.user
    who = [str(user.uid), str(user.gid)] if user else ["-1", "-1"]
    leash = [sys.executable, "-I", "-S", str(_HERE / "leash.py")]
    return [*leash, str(int(command.orphan_signal)), str(os.getpid()), *who, *command.argv]


def _environment(command: Command) -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if name not in command.without}
    return {**ours, **command.env}


def _view(child: _Child) -> ProcessView:
    pid = child.process.pid if child.process else None
    return ProcessView(
        name=child.command.name, pid=pid, started=child.started, restarts=max(child.spawns - 1, 0)
    )


def _cause(code: int) -> str:
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}"
