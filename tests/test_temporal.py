"""How a process that spoke to Temporal ends."""

import subprocess
import sys

import pytest

ENDS = """
import atexit, sys
from fulfillment.temporal import run_process

def main():
    atexit.register(print, "at exit")
    sys.stdout.write("begun ")
    {end}

run_process(main)
print("never")
"""


def ended(how: str) -> tuple[int, str, str]:
    """Run a process that ends like this; return its exit code and all it wrote."""
    command = [sys.executable, "-c", ENDS.format(end=how)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("how", "code", "said"),
    [
        ("return None", 0, ""),
        ("return 3", 3, ""),
        ("sys.exit()", 0, ""),
        ("sys.exit(2)", 2, ""),
        ("sys.exit('there is no such order')", 1, "there is no such order\n"),
    ],
)
def test_a_process_ends_with_its_own_code_and_keeps_nothing_back(how: str, code: int, said: str) -> None:
    assert ended(how) == (code, "begun at exit\n", said)


def test_an_error_is_shown_as_python_shows_it() -> None:
    code, written, said = ended("raise LookupError('no such order')")

    assert (code, written) == (1, "begun at exit\n")
    assert said.endswith("LookupError: no such order\n")
