"""Children of the supervisor: restarted when they crash, and gone when it is, however it goes."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from devstack.processes import ChildFailed, Command, Stopped, Supervisor

# Writes its own pid and that of a child of its own, then waits for ever.
FAMILY = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open(sys.argv[1], "a").write(f"{os.getpid()} {child.pid}\\n")
time.sleep(600)
"""
# A supervisor of one family, to be killed.
HOUSE = """
import sys, time
from pathlib import Path
from devstack.processes import Command, Supervisor
supervisor = Supervisor()
family = (sys.executable, "-c", sys.argv[1], sys.argv[2])
supervisor.start(Command(name="family", argv=family, log=Path(sys.argv[3])))
time.sleep(600)
"""


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    made = Supervisor()
    yield made
    made.close()


@pytest.fixture
def pids(tmp_path: Path) -> Path:
    return tmp_path / "pids"


def family(pids: Path) -> Command:
    return python(pids.parent, FAMILY, str(pids))


def python(folder: Path, *words: str, **options: object) -> Command:
    return Command(name="child", argv=(sys.executable, "-c", *words), log=folder / "log", **options)  # type: ignore[arg-type]  # what each test varies


def eventually(holds: Callable[[], bool], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.02)


def written(pids: Path) -> list[int]:
    return [int(pid) for pid in pids.read_text().split()] if pids.exists() else []


def is_gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_a_killed_child_is_back_within_a_moment(supervisor: Supervisor, pids: Path) -> None:
    supervisor.start(family(pids))
    eventually(lambda: len(written(pids)) == 2)

    killed = time.monotonic()
    supervisor.kill("child")

    eventually(lambda: supervisor.views()[0].restarts == 1)
    assert time.monotonic() - killed < 0.3
    assert supervisor.is_running("child")


def test_a_killed_child_leaves_no_children_of_its_own(supervisor: Supervisor, pids: Path) -> None:
    supervisor.start(family(pids))
    eventually(lambda: len(written(pids)) == 2)

    supervisor.kill("child")

    eventually(lambda: all(is_gone(pid) for pid in written(pids)[:2]))


def test_stop_leaves_no_process(supervisor: Supervisor, pids: Path) -> None:
    supervisor.start(family(pids))
    eventually(lambda: len(written(pids)) == 2)

    supervisor.stop(["child"])

    eventually(lambda: all(is_gone(pid) for pid in written(pids)))
    assert not supervisor.is_running("child")


def test_a_child_deaf_to_the_stop_signal_is_killed_after_its_grace(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    deaf = (
        "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
    )
    supervisor.start(python(tmp_path, deaf, grace=0.3))
    eventually(lambda: "deaf" in supervisor.tail("child"))

    supervisor.stop(["child"])

    assert not supervisor.is_running("child")


def test_a_paused_child_comes_back_after_its_time(supervisor: Supervisor, pids: Path) -> None:
    supervisor.start(family(pids))
    eventually(lambda: len(written(pids)) == 2)

    supervisor.pause("child", 0.5)

    eventually(lambda: not supervisor.is_running("child"))
    eventually(lambda: supervisor.is_running("child"))


def test_a_child_that_crashes_at_once_is_told_with_its_last_words(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    supervisor.start(python(tmp_path, "import sys; sys.exit('the port is taken')"))

    with pytest.raises(ChildFailed, match="the port is taken"):
        supervisor.wait_ready("child", lambda: False, timeout=10)


def test_a_child_that_crashes_again_and_again_is_not_started_without_pause(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    supervisor.start(python(tmp_path, "import sys; sys.exit(1)"))

    time.sleep(1.5)

    assert 2 <= supervisor.views()[0].restarts <= 5


def test_a_command_that_runs_once_is_not_restarted(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start(python(tmp_path, "print('once')", once=True))

    supervisor.wait_ready("child", lambda: supervisor.is_done("child"), timeout=10)

    assert supervisor.views()[0].restarts == 0


def test_waiting_ends_when_the_stack_is_told_to_stop(supervisor: Supervisor, pids: Path) -> None:
    supervisor.start(family(pids))
    stopping = threading.Event()
    stopping.set()

    with pytest.raises(Stopped):
        supervisor.wait_ready("child", lambda: False, timeout=10, stopping=stopping)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_children_end_with_their_supervisor(pids: Path, end: signal.Signals) -> None:
    words = [sys.executable, "-c", HOUSE, FAMILY, str(pids), str(pids.parent / "log")]
    with subprocess.Popen(words, cwd=Path(__file__).parents[2]) as house:
        eventually(lambda: len(written(pids)) == 2)
        house.send_signal(end)

    eventually(lambda: all(is_gone(pid) for pid in written(pids)))
