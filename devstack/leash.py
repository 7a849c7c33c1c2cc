"""Becomes a child process that dies with its supervisor: `python -I -S leash.py SIGNAL PARENT UID GID COMMAND...`.

It is run as a file of its own, not as a function before exec, because a fork of a process with threads may deadlock.
"""

import ctypes
import os
import sys

_SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of <sys/prctl.h>


def main() -> None:
    signal, parent, uid, gid = (int(word) for word in sys.argv[1:5])
    _become(uid, gid)
    _die_with(parent, signal)
    command = sys.argv[5:]
    try:
        os.execv(command[0], command)
    except OSError as error:
        sys.exit(f"cannot run {command[0]}: {error.strerror}")


def _become(uid: int, gid: int) -> None:
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)


def _die_with(parent: int, signal: int) -> None:
    # After the change of user, which would clear it. Elsewhere than on Linux the keeper does this alone.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("the supervisor is gone")


if __name__ == "__main__":
    main()
