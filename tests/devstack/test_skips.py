"""A skipped test is said loudly, and in CI it is a failure."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("in_ci", "code"), [("", 0), ("1", 1)])
def test_a_skipped_test_is_named_and_fails_in_ci(tmp_path: Path, in_ci: str, code: int) -> None:
    (tmp_path / "test_it.py").write_text(
        "import pytest\n\ndef test_it() -> None:\n    pytest.skip('no browser')\n\n"
        "@pytest.mark.xfail(reason='known')\ndef test_known() -> None:\n    assert False\n"
    )

    done = _run(tmp_path, "-c", os.devnull, in_ci=in_ci)

    assert "1 skipped: no browser" in done.stdout
    assert done.returncode == code


def test_what_runs_only_where_asked_for_is_named_and_no_failure(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nmarkers = karrio: needs a server\naddopts = -m 'not karrio'\n"
    )
    (tmp_path / "test_it.py").write_text(
        "import pytest\n\n@pytest.mark.karrio\ndef test_it() -> None: ...\n\ndef test_more() -> None: ...\n"
    )

    done = _run(tmp_path, in_ci="1")

    assert "1 left out: karrio: needs a server" in done.stdout
    assert done.returncode == 0


def _run(folder: Path, *words: str, in_ci: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "devstack.skips", *words, str(folder)],
        cwd=folder,
        env={**os.environ, "WAYBILL_CI": in_ci, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
