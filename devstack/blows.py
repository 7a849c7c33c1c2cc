"""What the demo does to its own stack on purpose, and whether it came back."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Final

from devstack.journeys import Outage
from devstack.ports import answers
from devstack.proof import Survived
from devstack.stack import Stack

# Real seconds.
_BACK_WITHIN: Final = 60.0
_BEAT: Final = 0.1


class Blows:
    """What is done to the stack on purpose, and whether it came back."""

    def __init__(self, stack: Stack, now: Callable[[], datetime], told: Callable[[str, str], None]) -> None:
        self._stack, self._now, self._told = stack, now, told
        self._lock = threading.Lock()
        self._survived = Survived()
        self._outages: list[Outage] = []
        self._next_worker = 0

    def kill_worker(self) -> None:
        """Kill a worker process as a crash would, another one each time."""
        self._next_worker = self._next_worker % self._stack.spec.workers + 1
        name = f"worker-{self._next_worker}"
        ready = self._stack.state.ready / name
        ready.unlink(missing_ok=True)
        self._count("worker_kills")
        pid = self._stack.kill(name)
        self._follow(f"{name} killed", f"{name} (pid {pid}) killed with SIGKILL", ready.exists)

    def stop_database(self, seconds: float) -> None:
        """Take PostgreSQL away."""
        self._count("database_stops")
        self._stack.stop_postgres(seconds)
        self._pause("PostgreSQL", "postgres", seconds)

    def stop_temporal(self, seconds: float) -> None:
        """Take Temporal away."""
        self._count("temporal_stops")
        self._stack.stop_temporal(seconds)
        self._pause("Temporal", "temporal", seconds)

    @property
    def survived(self) -> Survived:
        """What came of them so far."""
        with self._lock:
            return self._survived

    @property
    def outages(self) -> tuple[Outage, ...]:
        """Every blow with its end, None while it lasts."""
        with self._lock:
            return tuple(self._outages)

    @property
    def away(self) -> str:
        """What does not answer at this moment, in words."""
        return ", ".join(outage.what for outage in self.outages if outage.until is None)

    def _pause(self, name: str, process: str, seconds: float) -> None:
        port, noticed = self._stack.ports[process], time.monotonic() + seconds

        def back() -> bool:
            return time.monotonic() > noticed and answers(port)

        self._follow(f"{name} stopped", f"{name} stopped for {seconds:g} s", back)

    def _follow(self, what: str, note: str, back: Callable[[], bool]) -> None:
        self._told("", note)
        with self._lock:
            self._outages.append(Outage(what=what, since=self._now(), until=None))
            number = len(self._outages) - 1
        threading.Thread(target=self._wait_until_back, args=(number, back), daemon=True).start()

    def _wait_until_back(self, number: int, back: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _BACK_WITHIN
        while not back():
            if time.monotonic() > deadline or self._stack.is_stopping:
                return
            time.sleep(_BEAT)
        with self._lock:
            self._outages[number] = replace(self._outages[number], until=self._now())
            self._survived = replace(self._survived, returned=self._survived.returned + 1)
        self._told("", f"{self._outages[number].what.split()[0]} is back")

    def _count(self, blow: str) -> None:
        with self._lock:
            self._survived = replace(self._survived, **{blow: getattr(self._survived, blow) + 1})
