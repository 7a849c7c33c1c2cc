"""Free ports on this computer, reserved against other stacks that choose at the same moment."""

import fcntl
import os
import secrets
import socket
import tempfile
from pathlib import Path
from typing import TextIO

_TRIES = 200
# Below the ports that the system gives to outgoing connections (Linux from 32768, macOS from 49152): one of those could
# be taken by any connection of this computer between the choice and the start of the server.
_UNASSIGNED = range(20_000, 32_000)


class Ports:
    """The ports one stack holds until `release`."""

    def __init__(self) -> None:
        self._folder = _common_folder()
        self._held: dict[int, TextIO] = {}

    def near(self, preferred: int) -> int:
        """Return `preferred`, or the next port above it that is free."""
        for port in range(preferred, min(preferred + _TRIES, 65536)):
            if self._take(port):
                return port
        return self.any()

    def any(self) -> int:
        """Return a free port that no outgoing connection can take either."""
        for _ in range(_TRIES):
            port = secrets.choice(_UNASSIGNED)
            if self._take(port):
                return port
        raise OSError("no free port on 127.0.0.1")

    def release(self) -> None:
        for lock in self._held.values():
            lock.close()
        self._held.clear()

    def _take(self, port: int) -> bool:
        if port in self._held or not is_free(port):
            return False
        lock = (self._folder / str(port)).open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # freed by the system when this process ends
        except OSError:
            lock.close()
            return False
        self._held[port] = lock
        return True


def _common_folder() -> Path:
    """Return the folder all our stacks know. A stranger's folder of that name is not ours to write to."""
    folder = Path(tempfile.gettempdir()) / f"waybill-ports-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        return Path(tempfile.mkdtemp(prefix="waybill-ports-"))
    return folder


def is_free(port: int) -> bool:
    """Test whether nobody listens on `port`, also not where a browser looks first for localhost, on ::1."""
    return _can_bind(port) and not answers(port) and not answers(port, "::1")


def answers(port: int, host: str = "127.0.0.1") -> bool:
    """Test whether something listens on `port`."""
    try:
        with socket.create_connection((host, port), timeout=0.5):
            return True
    except OSError:
        return False


def _can_bind(port: int) -> bool:
    with socket.socket() as probe:
        # Otherwise the closed connections of the last run would hold the port for a minute.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
