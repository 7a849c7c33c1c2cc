"""Named points where the fault suite may kill the process; nothing otherwise."""

import os
import signal
from pathlib import Path

_armed: Path | None = None


def arm(folder: Path) -> None:
    """Watch `folder`: a file named like a crash point kills the next process that passes it, once."""
    global _armed  # one process, one folder: armed at start by whoever tests, never by the product
    _armed = folder


def crashpoint(name: str) -> None:
    """Die here with SIGKILL if the point is armed. Whoever removes the file owns the crash: exactly once."""
    if _armed is None:
        return
    try:
        (_armed / name).unlink()
    except FileNotFoundError:
        return
    with (_armed.parent / "fired.log").open("a") as log:
        log.write(f"{name}\n")
    os.kill(os.getpid(), signal.SIGKILL)
