"""The state folder: what is kept, who may read it, and what a killed stack leaves."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from devstack.state import AlreadyRunning, StackFile, State


def test_secrets_are_made_once_and_are_for_the_owner_alone(tmp_path: Path) -> None:
    state = State(tmp_path)

    first = state.secrets()

    assert State(tmp_path).secrets() == first
    assert stat.S_IMODE((tmp_path / "secrets.json").stat().st_mode) == 0o600


def test_the_clock_keeps_the_speed_its_data_was_made_with(tmp_path: Path) -> None:
    state = State(tmp_path)
    made = state.clock(3600)

    assert state.clock(7200) == made


def test_a_stack_of_this_process_is_alive(tmp_path: Path) -> None:
    state = State(tmp_path)
    state.write_stack(StackFile.of_this_process())

    assert state.running() is not None


def test_what_a_killed_stack_left_is_not_running(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    state = State(tmp_path)
    state.write_stack(StackFile(supervisor_pid=gone.pid, supervisor_started=1.0))

    assert state.read_stack() is not None
    assert state.running() is None


def test_a_pid_that_became_someone_elses_is_not_running(tmp_path: Path) -> None:
    state = State(tmp_path)
    state.write_stack(StackFile(supervisor_pid=os.getpid(), supervisor_started=1.0))

    assert state.running() is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"supervisor_pid": 1, "unknown": 2}'])
def test_a_broken_stack_file_counts_as_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "stack.json").write_text(content)

    assert State(tmp_path).running() is None


def test_a_folder_has_one_stack_at_a_time(tmp_path: Path) -> None:
    first, second = State(tmp_path), State(tmp_path)
    first.lock()

    with pytest.raises(AlreadyRunning):
        second.lock()

    first.unlock()
    second.lock()
    second.unlock()
