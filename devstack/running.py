"""Starting a stack for a person or behind their back, finding the one that runs, and stopping it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Final

from devstack.processes import ChildFailed, Stopped, is_same_process
from devstack.stack import ROOT, Stack, StackSpec
from devstack.state import StackFile, State

_STOPS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PATIENCE: Final = 90.0


@contextmanager
def stopped_by_signals(stack: Stack) -> Iterator[None]:
    """Let Ctrl-C, SIGTERM and a closed terminal stop `stack` in an orderly way; a second one at once."""

    def stop(number: int, frame: FrameType | None) -> None:
        if stack.is_stopping:
            stack.stop_now()
        stack.request_stop()

    before = {number: signal.signal(number, stop) for number in _STOPS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_until_stopped(stack: Stack, started: Callable[[], None]) -> None:
    """Start `stack`, call `started`, return when it was stopped by a signal."""
    with stopped_by_signals(stack):
        try:
            with suppress(Stopped):
                stack.start()
                started()
                stack.wait()
        finally:
            stack.stop()


def start_behind(spec: StackSpec, say: Callable[[str], None]) -> StackFile:
    """Start a stack that outlives this process; return when it is ready.

    Raises:
        ChildFailed: it did not get ready; `say` was given what it wrote.
    """
    state = State(spec.state)
    state.make()
    log = state.log("supervisor")
    log.write_text("")
    supervisor = _spawn(spec, log)
    told = 0
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline and supervisor.poll() is None:
        told = _tell_new_lines(log, told, say)
        stack = state.running()
        if stack is not None and stack.ready and stack.supervisor_pid == supervisor.pid:
            _tell_new_lines(log, told, say)
            return stack
        time.sleep(0.1)
    supervisor.terminate()
    _tell_new_lines(log, told, say)
    raise ChildFailed("the stack does not start")


def stop(state_dir: Path) -> bool:
    """Stop the stack of a state folder, whoever started it. Return whether there was one."""
    state = State(state_dir)
    stack = state.running()
    if stack is None:
        state.forget_stack()
        return False
    os.kill(stack.supervisor_pid, signal.SIGTERM)
    if not _is_gone(stack, 40.0):
        os.kill(stack.supervisor_pid, signal.SIGKILL)  # its keeper ends the rest
        _is_gone(stack, 10.0)
    return True


def _spawn(spec: StackSpec, log: Path) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-m", "devstack", "up", "--plain", "--state", str(spec.state)]
    words += ["--speed", f"{spec.speed:g}", "--workers", str(spec.workers)]
    words += [word for name in sorted(spec.services) for word in ("--only", name)]
    with log.open("ab") as out:
        return subprocess.Popen(
            words,
            cwd=ROOT,
            env={**os.environ, **spec.env},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _tell_new_lines(log: Path, told: int, say: Callable[[str], None]) -> int:
    lines = log.read_text(errors="replace").splitlines()
    for line in lines[told:]:
        say(line)
    return len(lines)


def _is_gone(stack: StackFile, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        everyone = [(stack.supervisor_pid, stack.supervisor_started)]
        everyone += [(process["pid"], process["started"]) for process in stack.processes]
        if not any(is_same_process(pid, started) for pid, started in everyone):
            return True
        time.sleep(0.1)
    return False
