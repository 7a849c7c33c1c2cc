"""Counting what became of the entries of a file, and telling it while it happens."""

from dataclasses import dataclass, field
from typing import Any, Final

from starter.cli.terminal import Out
from starter.imports.entries import BadRow, SkippedOrder

_MOST_TOLD_TO_PROGRAMS: Final = 1000


@dataclass(slots=True, kw_only=True)
class Tally:
    """What became of one file. `bad` counts orders or products, `bad_rows` the rows that spoiled them."""

    what: str
    new_is: str
    out: Out
    new: int = 0
    known: int = 0
    skipped: int = 0
    bad: int = 0
    bad_rows: int = 0
    seconds: float = 0.0
    told: list[dict[str, Any]] = field(default_factory=list)
    _last_bad: str = ""

    @property
    def total(self) -> int:
        """How many orders or products the file holds."""
        return self.new + self.known + self.skipped + self.bad

    def count_bad(self, row: BadRow) -> None:
        """Tell a bad row; several rows of one order spoil one order."""
        self.bad_rows += 1
        if not row.subject or row.subject != self._last_bad:
            self.bad += 1
        self._last_bad = row.subject
        self._tell("bad", row.line, row.subject, row.why)

    def count_skipped(self, entry: SkippedOrder) -> None:
        """Tell an order that is not for us."""
        self.skipped += 1
        self._tell("skipped", entry.line, entry.order_id, entry.why)

    def _tell(self, what: str, line: int, subject: str, why: str) -> None:
        about = f"{subject} " if subject else ""
        self.out.say(f"line {line}: {about}{what}: {why}")
        if len(self.told) < _MOST_TOLD_TO_PROGRAMS:
            self.told.append({"line": line, "subject": subject, "what": what, "why": why})

    def sentence(self) -> str:
        """Sum up for people."""
        known = f", {self.known} known" if self.what == "orders" else ""
        skipped = f", {self.skipped} skipped" if self.skipped else ""
        counts = f"{self.new} {self.new_is}{known}{skipped}, {self.bad} bad"
        return f"{self.total} {self.what}: {counts} in {self.seconds:.1f} s"

    def as_data(self) -> dict[str, Any]:
        """Sum up for programs."""
        counts = {"total": self.total, self.new_is: self.new, "known": self.known, "skipped": self.skipped}
        more = {
            "bad": self.bad,
            "bad_rows": self.bad_rows,
            "seconds": round(self.seconds, 3),
            "told": self.told,
        }
        return counts | more
