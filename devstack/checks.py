"""`./waybill test` and `./waybill check`: the suite, and the same steps as CI."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Final

from devstack.stack import ROOT

_LINT_IMPORTS: Final = "from importlinter.cli import lint_imports_command; lint_imports_command()"
_STEPS: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    ("format", ("-m", "ruff", "format", "--check", ".")),
    ("lint", ("-m", "ruff", "check", ".")),
    ("types", ("-m", "mypy")),
    ("imports", ("-c", _LINT_IMPORTS)),
)
_CHROMIUMS: Final = ("chromium", "chromium-browser", "google-chrome")
# What the caller's shell says about some other server or stack would make tests of ours talk to it.
_NOT_FOR_TESTS: Final = ("WAYBILL_STATE", "WAYBILL_API_KEY", "WAYBILL_PUBLIC_URL", "WAYBILL_READY_FILE")


def check(arguments: Sequence[str], say: Callable[[str], None]) -> int:
    """Run every step of CI; the first that fails ends it, with its output. Return the exit code."""
    for name, words in _STEPS:
        began = time.monotonic()
        done = _python(*words, capture=True)
        verdict = "ok" if done.returncode == 0 else "FAILED"
        say(f"{name:8} .. {verdict} {time.monotonic() - began:.1f} s")
        if done.returncode != 0:
            say(f"{done.stdout}{done.stderr}".rstrip())
            return 1
    began = time.monotonic()
    code = test(arguments, say)
    say(f"{'test':8} .. {'ok' if code == 0 else 'FAILED'} {time.monotonic() - began:.1f} s")
    return 1 if code else 0


def test(arguments: Sequence[str], say: Callable[[str], None]) -> int:
    """Run the suite with pytest's own arguments; return pytest's exit code."""
    _provide_browser(say)
    return _python("-m", "pytest", "-p", "devstack.skips", *arguments).returncode


def _python(*words: str, capture: bool = False) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if name not in _NOT_FOR_TESTS}
    return subprocess.run(
        [sys.executable, *words], cwd=ROOT, env=env, check=False, text=True, capture_output=capture
    )


def _provide_browser(say: Callable[[str], None]) -> None:
    if any(shutil.which(name) for name in _CHROMIUMS):
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        say("no chromium on this computer: the tests of the pages in a browser will be skipped")
        return
    began = time.monotonic()
    done = _apt("update", "-q") and _apt(
        "install", "-qy", "--no-install-recommends", "chromium", "fonts-dejavu-core"
    )
    say(f"installing chromium .. {time.monotonic() - began:.0f} s" if done else _NO_BROWSER)


_NO_BROWSER: Final = "chromium cannot be installed: the tests of the pages in a browser will be skipped"


def _apt(*words: str) -> bool:
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(
        ["apt-get", *words], env=env, check=False, capture_output=True, stdin=subprocess.DEVNULL
    )
    return done.returncode == 0
