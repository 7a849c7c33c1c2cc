"""The year of `bench carriers` as a picture: two lines of weeks a rule, and the months in which a carrier was bad."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import Final

from devstack.bench import lanes
from devstack.bench.carriers import Found, Week

_WIDTH, _LEFT, _RIGHT, _TOP, _HEIGHT, _GAP = 960, 64, 20, 56, 200, 64
_COLOURS: Final[Mapping[str, str]] = MappingProxyType(
    {
        lanes.WAYBILL: "#0b7285",
        lanes.CHEAPEST: "#e8590c",
        lanes.FASTEST: "#7048e8",
    }
)
_SMOOTH: Final = 3  # weeks: one alone is a matter of luck


@dataclass(frozen=True, slots=True, kw_only=True)
class _Panel:
    title: str
    value: Callable[[Week], float]
    low: float
    high: float
    ticks: tuple[float, ...]
    label: Callable[[float], str]
    top: int

    def y(self, value: float) -> float:
        part = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return round(self.top + _HEIGHT * (1 - part), 1)


_PANELS: Final = (
    _Panel(
        title="Parcels that arrived by the promised day, by the week in which they left",
        value=lambda week: week.in_time,
        low=0.5,
        high=1.0,
        ticks=(0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
        label=lambda share: f"{share:.0%}",
        top=_TOP,
    ),
    _Panel(
        title="Cost of a parcel: postage, lateness, lost goods",
        value=lambda week: week.in_all / 100,
        low=6,
        high=28,
        ticks=(6, 10, 14, 18, 22, 26),
        label=lambda cost: f"{cost:.0f}",
        top=_TOP + _HEIGHT + _GAP,
    ),
)


def drawn(found: Found) -> str:
    """Return the year as SVG."""
    height = _TOP + 2 * _HEIGHT + _GAP + 32
    parts = [part for panel in _PANELS for part in _panel(panel, found.weeks)]
    style = "font:13px system-ui,sans-serif;fill:#212529"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" '
        f'aria-label="A year of parcels by three rules, one carrier bad from April to August" style="{style}">'
        f'<rect width="{_WIDTH}" height="{height}" fill="#fff"/>{"".join(_legend(found.weeks))}{"".join(parts)}</svg>\n'
    )


def _panel(panel: _Panel, shown: Mapping[str, Sequence[Week]]) -> Iterator[str]:
    start, end = _x(lanes.BAD_FROM), _x(lanes.BAD_UNTIL)
    size = f'y="{panel.top}" width="{end - start:.1f}" height="{_HEIGHT}"'
    yield f'<rect x="{start}" {size} fill="#ffe8cc" opacity="0.6"/>'
    yield f'<text x="{start + 6}" y="{panel.top + 16}" fill="#d9480f">{lanes.BAD} is bad</text>'
    yield f'<text x="{_LEFT}" y="{panel.top - 10}" font-weight="600">{panel.title}</text>'
    for tick in panel.ticks:
        y = panel.y(tick)
        yield f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}" stroke="#dee2e6"/>'
        yield f'<text x="{_LEFT - 8}" y="{y + 4}" text-anchor="end">{panel.label(tick)}</text>'
    for month in range(1, 13):
        at = _x(date(lanes.FIRST.year, month, 15))
        yield f'<text x="{at}" y="{panel.top + _HEIGHT + 18}" text-anchor="middle">{date(2026, month, 1):%b}</text>'
    for rule, weeks in shown.items():
        points = " ".join(f"{_x(monday)},{panel.y(value)}" for monday, value in _smooth(weeks, panel.value))
        width = 2.6 if rule == lanes.WAYBILL else 1.6
        yield f'<polyline fill="none" stroke="{_COLOURS[rule]}" stroke-width="{width}" points="{points}"/>'


def _legend(shown: Mapping[str, Sequence[Week]]) -> Iterator[str]:
    for n, rule in enumerate(shown):
        x = _LEFT + n * 210
        yield f'<line x1="{x}" x2="{x + 26}" y1="18" y2="18" stroke="{_COLOURS[rule]}" stroke-width="3"/>'
        yield f'<text x="{x + 34}" y="22">{rule}</text>'


def _smooth(weeks: Sequence[Week], value: Callable[[Week], float]) -> Iterator[tuple[date, float]]:
    """Give each week's mean with the weeks beside it."""
    for n, week in enumerate(weeks):
        near = weeks[max(n - _SMOOTH // 2, 0) : n + _SMOOTH // 2 + 1]
        yield week.monday, sum(map(value, near)) / len(near)


def _x(day: date) -> float:
    part = (day - lanes.FIRST) / (lanes.LAST - lanes.FIRST)
    return round(_LEFT + (_WIDTH - _LEFT - _RIGHT) * min(max(part, 0.0), 1.0), 1)
