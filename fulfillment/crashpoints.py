"""Named points where the fault suite may kill the process; nothing otherwise."""

import os
import signal
from pathlib import Path

_armed: Path | None = None


def arm(folder: Path) -> None:
    """Watch `folder`: a file named like a crash point kills the next process that passes it, once.

    The file then lies in `fired` beside it, named for the point and the process.
    """
    global _armed  # one process, one folder: armed at start by whoever tests, never by the product
    _armed = folder
    (folder.parent / "fired").mkdir(exist_ok=True)


def crashpoint(name: str) -> None:
    """Die here with SIGKILL if the point is armed. Whoever moves the file owns the crash: exactly once.

    Moving it is the record too: another thread may die at another point in this very moment.
    """
    if _armed is None:
        return
    try:
        (_armed / name).rename(_armed.parent / "fired" / f"{name}@{os.getpid()}")
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.SIGKILL)
