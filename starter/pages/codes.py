"""Codes for scanners, as drawings that print sharp at any size."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Final

import barcode
import segno

# Blank modules that a scanner needs around a code: ISO/IEC 15417 (Code 128), ISO/IEC 18004 (QR).
_QUIET_BARS: Final = 10
_QUIET_QR: Final = 4
_BAR_MM: Final = 0.33  # the width of a module that every hand-held scanner reads
_BAR_HEIGHT_MM: Final = 12
_QR_MM: Final = 0.6


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """A drawing: dark modules as an SVG `path` in a box of `columns` x `rows`, printed so many millimetres large."""

    text: str
    columns: int
    rows: int
    path: str
    width_mm: float
    height_mm: float


def code128(text: str) -> Code:
    """Return a Code 128, for what is scanned while one works: ids, SKUs, tracking numbers."""
    (bars,) = barcode.get("code128", text).build()
    columns = len(bars) + 2 * _QUIET_BARS
    return Code(
        text=text,
        columns=columns,
        rows=1,
        path=_path([[bar == "1" for bar in bars]], _QUIET_BARS, 0),
        width_mm=round(columns * _BAR_MM, 2),
        height_mm=_BAR_HEIGHT_MM,
    )


def qr(text: str) -> Code:
    """Return a QR code, for what a phone opens."""
    modules = segno.make(text, error="m", micro=False).matrix
    side = len(modules) + 2 * _QUIET_QR
    return Code(
        text=text,
        columns=side,
        rows=side,
        path=_path(([bool(module) for module in row] for row in modules), _QUIET_QR, _QUIET_QR),
        width_mm=round(side * _QR_MM, 2),
        height_mm=round(side * _QR_MM, 2),
    )


def _path(rows: Iterable[list[bool]], left: int, top: int) -> str:
    return "".join(
        f"M{left + at} {y}h{length}v1h-{length}z"
        for y, row in enumerate(rows, start=top)
        for at, length in _dark(row)
    )


def _dark(row: list[bool]) -> Iterator[tuple[int, int]]:
    """Yield where dark runs of a row begin, and how long they are."""
    at = 0
    for is_dark, run in groupby(row):
        length = len(list(run))
        if is_dark:
            yield at, length
        at += length
