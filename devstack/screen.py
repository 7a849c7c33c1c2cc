"""Where the demo is watched: a live table with keys on a terminal, plain lines everywhere else."""

import os
import queue
import select
import sys
import termios
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final, Protocol

from rich.console import Console
from rich.live import Live

from devstack import table
from devstack.board import Change
from devstack.table import Frame, Row

_BEAT: Final = 0.1


class Screen(Protocol):
    """Where the demo is shown."""

    def show(self, frame: Frame, changes: list[Change]) -> None:
        """Show where everything is, and what changed since the last time."""
        ...

    def say(self, text: str) -> None:
        """Show a line that stays."""
        ...

    def key(self) -> str:
        """Return the key a person has pressed since the last time, empty if none."""
        ...


class PlainScreen:
    """One line per change of stage: for pipes, logs and machines."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._away = ""

    def show(self, frame: Frame, changes: list[Change]) -> None:
        """Print every new stage, and when something stops or begins to answer."""
        for change in changes:
            if change.new_stage:
                self.say(table.plain(Row.of(change.view, change.at), change.at))
        if frame.away != self._away:
            self.say(f"recovering: {frame.away}" if frame.away else "everything answers again")
            self._away = frame.away

    def say(self, text: str) -> None:
        """Print a line."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def key(self) -> str:
        """Return nothing: nobody is there."""
        return ""


class LiveScreen:
    """The table, drawn again and again in place."""

    def __init__(self, console: Console, live: Live, keys: "queue.SimpleQueue[str]") -> None:
        self._console, self._live, self._keys = console, live, keys

    def show(self, frame: Frame, changes: list[Change]) -> None:
        """Draw the table as it is now."""
        size = self._console.size
        self._live.update(table.picture(frame, width=size.width, height=size.height), refresh=True)

    def say(self, text: str) -> None:
        """Print a line above the table, between words where it is too long."""
        self._console.print(text, markup=False, highlight=False)

    def key(self) -> str:
        """Return the next key, empty if none was pressed."""
        with suppress(queue.Empty):
            return self._keys.get_nowait()
        return ""


def is_interactive(console: Console) -> bool:
    """Test whether a person watches and can press keys."""
    return console.is_terminal and sys.stdin.isatty()


@contextmanager
def screen(console: Console) -> Iterator[Screen]:
    """Give the screen that fits where the demo runs; a terminal is left as it was."""
    if not is_interactive(console):
        yield PlainScreen(console)
        return
    with keyboard() as keys, Live(console=console, auto_refresh=False, transient=False) as live:
        yield LiveScreen(console, live, keys)


@contextmanager
def keyboard() -> "Iterator[queue.SimpleQueue[str]]":
    """Read single keys without echo. Ctrl-C stays a signal."""
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    keys: queue.SimpleQueue[str] = queue.SimpleQueue()
    closed = threading.Event()
    reader = threading.Thread(target=_read, args=(terminal, keys, closed), name="keys", daemon=True)
    tty.setcbreak(terminal)
    reader.start()
    try:
        yield keys
    finally:
        closed.set()
        reader.join(1.0)
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _read(terminal: int, keys: "queue.SimpleQueue[str]", closed: threading.Event) -> None:
    while not closed.is_set():
        if select.select([terminal], [], [], _BEAT)[0]:
            pressed = os.read(terminal, 16).decode(errors="ignore")
            if not pressed:  # the terminal is gone
                return
            for key in pressed:
                keys.put(key)
