"""Ends a supervisor's children when the supervisor is gone, however it went: `python -I -S keeper.py`.

The supervisor writes a line for each child it starts (`+ PID SIGNAL`) and each it has buried (`- PID`). The end of that
pipe is the end of the supervisor, kill -9 included, on every system.
"""

import os
import signal
import sys
import time

_PATIENCE = 5.0


def main() -> None:
    for harmless in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(harmless, signal.SIG_IGN)
    kept = _listen()
    for pid, number in kept.items():
        _send(pid, number)
    _bury(list(kept))


def _listen() -> dict[int, int]:
    kept: dict[int, int] = {}
    for line in sys.stdin:
        sign, pid, *number = line.split()
        if sign == "+":
            kept[int(pid)] = int(number[0])
        else:
            kept.pop(int(pid), None)
    return kept


def _bury(pids: list[int]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while any(_send(pid, 0) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    for pid in pids:
        _send(pid, signal.SIGKILL)


def _send(group: int, number: int) -> bool:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


if __name__ == "__main__":
    main()
