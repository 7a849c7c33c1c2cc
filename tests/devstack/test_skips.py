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
    words = [sys.executable, "-m", "pytest", "-p", "devstack.skips", "-c", os.devnull, str(tmp_path)]

    done = subprocess.run(
        words,
        cwd=ROOT,
        env={**os.environ, "WAYBILL_CI": in_ci, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert "1 skipped: no browser" in done.stdout
    assert done.returncode == code
