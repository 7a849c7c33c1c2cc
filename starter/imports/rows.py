"""Lines and CSV rows with the number of the line they stand on. A broken one is told; it never ends the file."""

import csv
import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Final

from fulfillment.domain.money import exponent
from starter.imports.entries import NotThisFile

LONGEST_LINE: Final = 1 << 20
# A quote that is opened and never closed would swallow the rest of the file.
MOST_LINES_OF_A_ROW: Final = 200
# What PostgreSQL's integer holds.
LARGEST: Final = 2_147_483_647

_UTF_16: Final = (b"\xff\xfe", b"\xfe\xff")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
_NUMBER: Final = re.compile(r"[0-9]+(?:\.[0-9]+)?")


class BadCell(ValueError):
    """A column holds something that cannot be read."""

    def __init__(self, column: str, why: str) -> None:
        super().__init__(f"{column} {why}")


@dataclass(frozen=True, slots=True)
class Line:
    """One physical line with its newline; `fault` says why it cannot be trusted."""

    number: int
    text: str
    fault: str = ""


class Lines:
    """The lines of an open file, one at a time. `consumed` counts bytes, for whoever shows progress."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file, self.name = file, name
        self._number, self.consumed = 0, 0

    def __iter__(self) -> Iterator[Line]:
        while raw := self._file.readline(LONGEST_LINE):
            self._number += 1
            self.consumed += len(raw)
            if len(raw) == LONGEST_LINE and not raw.endswith(b"\n"):
                self._skip_the_rest()
                yield Line(self._number, "\n", f"is longer than {LONGEST_LINE >> 20} MB")
            else:
                yield self._decoded(raw)

    def _decoded(self, raw: bytes) -> Line:
        if self._number == 1:
            if raw.startswith(_UTF_16):
                raise NotThisFile(f"{self.name} is UTF-16; save it as UTF-8 and import it again")
            raw = raw.removeprefix(b"\xef\xbb\xbf")
        try:
            text = raw.decode()
        except UnicodeDecodeError as error:
            why = f"is not UTF-8 (byte 0x{raw[error.start]:02x}); save the file as UTF-8 and import it again"
            return Line(self._number, raw.decode(errors="replace"), why)
        return Line(self._number, text, "holds a control character" if _CONTROL.search(text) else "")

    def _skip_the_rest(self) -> None:
        while part := self._file.readline(LONGEST_LINE):
            self.consumed += len(part)
            if part.endswith(b"\n"):
                return


@dataclass(frozen=True, slots=True)
class Row:
    """One CSV row; reading a column gives its text as one line, with single blanks between the words."""

    line: int
    cells: Mapping[str, str]
    fault: str = ""

    def __getitem__(self, column: str) -> str:
        return " ".join(self.cells.get(column, "").split())

    def needed(self, column: str) -> str:
        """Return the text of a column that must not be empty."""
        if not (text := self[column]):
            raise BadCell(column, "is missing")
        return text

    def matching(self, column: str, pattern: str, what: str) -> str:
        """Return the text of a column that must look like `pattern`; `what` says so to people."""
        text = self.needed(column)
        if not re.fullmatch(pattern, text):
            raise BadCell(column, f"{text!r} is not {what}")
        return text

    def amount(self, column: str, currency: str, default: int | None = None) -> int:
        """Return an amount such as `14.00` in minor units of `currency`."""
        if default is not None and not self[column]:
            return default
        text = self.matching(column, _NUMBER.pattern, "an amount such as 14.00")
        whole, _, decimals = text.partition(".")
        places = exponent(currency)
        if decimals[places:].strip("0"):
            raise BadCell(column, f"{text!r} has more decimals than {currency} has")
        return _bounded(column, whole + decimals[:places].ljust(places, "0"))

    def count(self, column: str, default: int | None = None) -> int:
        """Return a whole number that is not negative."""
        if default is not None and not self[column]:
            return default
        return _bounded(column, self.matching(column, "[0-9]+", "a whole number of 0 or more"))


def _bounded(column: str, digits: str) -> int:
    if len(digits) > 18 or int(digits) > LARGEST:
        raise BadCell(column, "is more than can be counted")
    return int(digits)


class CsvRows:
    """The rows of a CSV file below its header.

    Raises:
        NotThisFile: the header lacks one of the columns in `needed`.
    """

    def __init__(self, lines: Lines, needed: Sequence[str], what: str) -> None:
        self._lines, self._ahead = iter(lines), deque[Line]()
        self._header = self._read_header(lines.name, needed, what)

    def __iter__(self) -> Iterator[Row]:
        while (record := self._record()) is not None:
            used, cells, fault = record
            if any(cell.strip() for cell in cells) or fault:
                yield Row(used.number, dict(zip(self._header, cells, strict=False)), fault)

    def _read_header(self, name: str, needed: Sequence[str], what: str) -> list[str]:
        first = self._take()
        if first is None:
            raise NotThisFile(f"{name} is empty")
        header = [cell.strip() for cell in next(csv.reader([first.text]), [])]
        if first.fault:
            raise NotThisFile(f"{name}: line 1 {first.fault}")
        if missing := [column for column in needed if column not in header]:
            hint = "; its columns must be separated by commas" if ";" in first.text else ""
            raise NotThisFile(f"{name} is not {what}: it has no column {', '.join(missing)}{hint}")
        return header

    def _record(self) -> tuple[Line, list[str], str] | None:
        """Return the next row with its first line, and what is wrong with it."""
        used: list[Line] = []
        try:
            cells = next(csv.reader(self._feed(used), strict=True), None)
        except csv.Error:
            return self._only_first(used, "is not CSV: a quote is never closed")
        if cells is None:
            return None
        fault = next((line.fault for line in used if line.fault), "")
        if cells and not fault and len(cells) != len(self._header):
            fault = f"has {len(cells)} columns, the header has {len(self._header)}"
            return self._only_first(used, fault)
        return used[0], cells, fault

    def _only_first(self, used: list[Line], fault: str) -> tuple[Line, list[str], str]:
        """Give up on the first line alone: the ones a stray quote pulled in are rows of their own."""
        self._ahead.extendleft(reversed(used[1:]))
        return used[0], used[0].text.rstrip("\r\n").split(","), used[0].fault or fault

    def _feed(self, used: list[Line]) -> Iterator[str]:
        while len(used) < MOST_LINES_OF_A_ROW and (line := self._take()) is not None:
            used.append(line)
            yield line.text

    def _take(self) -> Line | None:
        return self._ahead.popleft() if self._ahead else next(self._lines, None)
