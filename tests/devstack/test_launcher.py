"""`./waybill`: plain sh, and words instead of walls when something is missing."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = (
    "sh",
    "env",
    "sed",
    "readlink",
    "dirname",
    "cksum",
    "cat",
    "grep",
    "mkdir",
    "date",
    "tail",
    "rm",
    "uname",
)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the launcher and its locks, in a folder with a space in its name."""
    folder = tmp_path / "way bill"
    folder.mkdir()
    for file in (ROOT / "waybill", *ROOT.glob("requirements*")):
        shutil.copy(file, folder)
    return folder


@pytest.fixture
def bare_path(tmp_path: Path) -> Path:
    """A PATH with the tools every system has, and no Python."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in TOOLS:
        (folder / tool).symlink_to(str(shutil.which(tool)))
    return folder


def run(checkout: Path, path: Path, **env: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": str(path), "HOME": str(checkout), **env}
    return subprocess.run(
        [checkout / "waybill", "up"], env=env, capture_output=True, text=True, check=False, cwd="/"
    )


@pytest.mark.parametrize("shell", ["sh", "dash", "bash"])
def test_it_is_plain_sh(shell: str) -> None:
    if shutil.which(shell) is None:
        shell = "sh"
    assert subprocess.run([shell, "-n", ROOT / "waybill"], check=False).returncode == 0
    assert subprocess.run([shell, "-n", ROOT / ".ci" / "run"], check=False).returncode == 0


def test_it_may_be_run(checkout: Path) -> None:
    assert os.access(ROOT / "waybill", os.X_OK)
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_without_python_it_says_what_to_install(checkout: Path, bare_path: Path) -> None:
    done = run(checkout, bare_path)

    assert done.returncode == 1
    assert "needs Python 3.11 or newer" in done.stderr
    assert "apt install python3" in done.stderr
    assert not (checkout / ".venv").exists()


def test_a_python_too_old_is_named(checkout: Path, bare_path: Path) -> None:
    old = bare_path / "python3"
    old.write_text('#!/bin/sh\ncase "$2" in *found*) echo "  found: $0 3.9.2" ;; *) exit 1 ;; esac\n')
    old.chmod(0o755)

    done = run(checkout, bare_path)

    assert done.returncode == 1
    assert "3.9.2" in done.stderr


def test_without_a_network_it_says_so_in_words(checkout: Path, bare_path: Path) -> None:
    python = str(Path(os.path.realpath(shutil.which("python3") or "python3")))
    python = subprocess.run(
        [python, "-c", "import sys; print(sys.executable)"], capture_output=True, text=True, check=True
    ).stdout.strip()

    done = run(checkout, bare_path, PYTHON=python, PIP_INDEX_URL="http://127.0.0.1:9/simple", PIP_RETRIES="0")

    assert done.returncode == 1
    assert "cannot be reached: http://127.0.0.1:9/simple" in done.stderr
    assert len(done.stderr.splitlines()) < 30


def test_every_requirement_is_locked_with_a_hash() -> None:
    for lock in ROOT.glob("requirements*.lock"):
        pins = [line for line in lock.read_text().splitlines() if "==" in line and not line.startswith(" ")]
        assert pins
        assert lock.read_text().count("--hash=sha256:") >= len(pins)
