"""The delays of `bench parcels` as a picture: a dot each, where its customer was told, before the promised day or after."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from devstack.bench.delays import Late

_WIDTH, _LEFT, _RIGHT, _TOP, _BOTTOM = 960, 120, 16, 64, 44
_DOT: Final = 4.2
_STEP: Final = 10  # pixels between dots
_BIN: Final = 6.0  # hours
_FIRST, _LAST = -144.0, 48.0  # hours from the beginning of the promised day
_NAMES: Final[Mapping[int, str]] = MappingProxyType({1: "1 day before", 0: "promised day", -1: "later"})
_SHOWN: Final = "showed in time"
_NOT_SHOWN: Final = "did not show"
_COLOURS: Final[Mapping[str, str]] = MappingProxyType(
    {"carrier": "#7048e8", "computed": "#0b7285", "": "#e03131"}
)
_LEGEND: Final = (
    ("carrier", "told by the carrier's word"),
    ("computed", "told by the history of the lane"),
    ("", "told on the day or later"),
)


def drawn(delays: Sequence[Late]) -> str:
    """Return the delays as SVG: those that the data showed in time above the line, the others below it."""
    above = list(_stacked(late for late in delays if late.shown))
    below = list(_stacked(late for late in delays if not late.shown))
    line = _TOP + _STEP * _tallest(above) + _STEP
    height = line + _STEP * _tallest(below) + _STEP + _BOTTOM
    parts = [*_legend(), *_days(line, height), *_dots(above, line, -1), *_dots(below, line, 1)]
    style = "font:13px system-ui,sans-serif;fill:#212529"
    told = "When customers were told of a delay, in days before the promised day"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" '
        f'aria-label="{told}" style="{style}">'
        f'<rect width="{_WIDTH}" height="{height}" fill="#fff"/>{"".join(parts)}</svg>\n'
    )


def _stacked(delays: Iterable[Late]) -> Iterator[tuple[float, int, str]]:
    """Yield each delay's hour, its place in the pile of that hour, and its colour."""
    piles = Counter[float]()
    for late in sorted(delays, key=lambda late: (not late.in_time, late.by)):
        hour = min(max(-late.ahead if late.ahead is not None else _LAST, _FIRST), _LAST - _BIN)
        of_the_pile = hour // _BIN * _BIN
        piles[of_the_pile] += 1
        yield of_the_pile + _BIN / 2, piles[of_the_pile], _COLOURS[late.by if late.in_time else ""]


def _tallest(dots: Sequence[tuple[float, int, str]]) -> int:
    return max((place for _, place, _ in dots), default=1)


def _dots(dots: Sequence[tuple[float, int, str]], line: float, way: int) -> Iterator[str]:
    for hour, place, colour in dots:
        yield f'<circle cx="{_x(hour)}" cy="{line + way * _STEP * place}" r="{_DOT}" fill="{colour}"/>'


def _days(line: float, height: float) -> Iterator[str]:
    for hour in range(int(_FIRST), int(_LAST) + 1, 24):
        x, days = _x(hour), -hour // 24
        width, colour = (2, "#212529") if hour == 0 else (1, "#dee2e6")
        size = f'y1="{_TOP - 8}" y2="{height - _BOTTOM + 8}" stroke-width="{width}"'
        yield f'<line x1="{x}" x2="{x}" stroke="{colour}" {size}/>'
        if hour < _LAST:
            weight = 600 if hour == 0 else 400
            at = f'x="{_x(hour + 12)}" y="{height - 18}" text-anchor="middle" font-weight="{weight}"'
            yield f"<text {at}>{_NAMES.get(days, f'{days} days before')}</text>"
    yield f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{line}" y2="{line}" stroke="#868e96"/>'
    yield f'<text x="8" y="{line - 8}" font-weight="600">{_SHOWN}</text>'
    yield f'<text x="8" y="{line + 18}" font-weight="600">{_NOT_SHOWN}</text>'


def _legend() -> Iterator[str]:
    for n, (by, words) in enumerate(_LEGEND):
        x = _LEFT + n * 250
        yield f'<circle cx="{x + 6}" cy="18" r="6" fill="{_COLOURS[by]}"/>'
        yield f'<text x="{x + 20}" y="22">{words}</text>'


def _x(hour: float) -> float:
    part = (hour - _FIRST) / (_LAST - _FIRST)
    return round(_LEFT + (_WIDTH - _LEFT - _RIGHT) * part, 1)
