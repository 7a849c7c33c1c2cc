"""The demo's charts as SVG by hand: the colours are the page's, so that light and dark are its business."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from html import escape
from typing import Any, Final

from devstack.journeys import ENDS, LEGEND, Journey, Mark, Outage, Segment, words
from devstack.table import when
from fulfillment.domain.stage import Stage

_LEFT: Final = 300
_RIGHT: Final = 236
_WIDTH: Final = 1280
_ROW: Final = 25
_TOP: Final = 62
_BOTTOM: Final = 12
_THICK: Final = 11
_CROWD: Final = 220
_SAMPLES: Final = 240


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scale:
    since: datetime
    until: datetime

    @classmethod
    def of(cls, journeys: Iterable[Journey]) -> "_Scale | None":
        """Return the time from the first order to the last end, with a little air; None where nothing was."""
        moments = [moment for journey in journeys for s in journey.segments for moment in (s.since, s.until)]
        if not moments:
            return None
        return cls(since=min(moments) - timedelta(hours=4), until=max(moments) + timedelta(hours=6))

    def x(self, at: datetime) -> float:
        """Return where a moment is, in pixels from the left."""
        part = (at - self.since) / (self.until - self.since)
        return round(_LEFT + (_WIDTH - _LEFT - _RIGHT) * min(max(part, 0.0), 1.0), 1)


def chart(journeys: Sequence[Journey], outages: Sequence[Outage]) -> str:
    """Return every journey over shop time as SVG; colours are the page's."""
    if (scale := _Scale.of(journeys)) is None:
        return ""
    height = _TOP + _ROW * len(journeys) + _BOTTOM
    parts = [
        *_days(scale, height),
        *_outages(outages, scale, height),
        *(part for n, journey in enumerate(journeys) for part in _row(journey, scale, _TOP + n * _ROW)),
    ]
    return _tag(
        "svg",
        "".join(parts),
        viewBox=f"0 0 {_WIDTH} {height}",
        role="img",
        aria_label="The journey of every order over shop time",
    )


def crowd(journeys: Sequence[Journey], outages: Sequence[Outage]) -> str:
    """Return how many orders were where, over shop time, as SVG: the phases stacked on one another."""
    if (scale := _Scale.of(journeys)) is None:
        return ""
    step = (scale.until - scale.since) / _SAMPLES
    moments = [scale.since + step * n for n in range(_SAMPLES + 1)]
    where = [Counter(_where(journey, moment) for journey in journeys) for moment in moments]
    height, unit = _TOP + _CROWD + _BOTTOM, _CROWD / len(journeys)
    parts, below = [*_days(scale, height)], [0] * len(moments)
    for phase in (*ENDS, *reversed(LEGEND)):
        above = [low + counted[phase] for low, counted in zip(below, where, strict=True)]
        parts.append(_area(phase, [scale.x(moment) for moment in moments], below, above, height, unit))
        below = above
    parts += _outages(outages, scale, height, "outage-frame")
    parts += [
        _text(f"{len(journeys)} orders", _LEFT - 76, _TOP + 4, "axis"),
        _text("0", _LEFT - 16, height - 8, "axis"),
    ]
    label = "How many orders were where, over shop time"
    return _tag("svg", "".join(parts), viewBox=f"0 0 {_WIDTH} {height}", role="img", aria_label=label)


def _where(journey: Journey, moment: datetime) -> str:
    """Return the phase or the end an order was in, empty before it was placed."""
    if journey.ended_at is not None and moment >= journey.ended_at and journey.end is not None:
        return "lost" if journey.end is Stage.RETURNED else str(journey.end)
    return next((s.phase for s in journey.segments if s.since <= moment < s.until), "")


def _area(
    phase: str, xs: Sequence[float], below: Sequence[int], above: Sequence[int], height: int, unit: float
) -> str:
    if below == above:
        return ""
    floor = height - _BOTTOM
    upper = [f"{x},{round(floor - count * unit, 1)}" for x, count in zip(xs, above, strict=True)]
    lower = [f"{x},{round(floor - count * unit, 1)}" for x, count in zip(xs, below, strict=True)]
    title = _tag("title", (ENDS | LEGEND)[phase])
    return _tag("polygon", title, points=" ".join([*upper, *reversed(lower)]), class_=f"phase {phase}")


def _days(scale: _Scale, height: int) -> Iterator[str]:
    day = scale.since.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    every = max(1, math.ceil((scale.until - scale.since) / timedelta(days=14)))
    n = 0
    while day < scale.until:
        x = scale.x(day)
        yield _tag("line", x1=x, x2=x, y1=_TOP - 22, y2=height - _BOTTOM, class_="grid")
        if n % every == 0:
            yield _text(f"{day:%a} {day.day}", x + 5, _TOP - 11, "axis")
        day, n = day + timedelta(days=1), n + 1


def _outages(outages: Sequence[Outage], scale: _Scale, height: int, class_: str = "outage") -> Iterator[str]:
    """Yield a band for each, its name above it; names take turns in two lines, since bands may be close."""
    for n, outage in enumerate(outages):
        since, until = scale.x(outage.since), scale.x(outage.until or scale.until)
        title = _tag("title", escape(f"{outage.what}, {when(outage.since)}"))
        size = {"width": max(until - since, 2.0), "height": height - _BOTTOM - _TOP + 6}
        yield _tag("rect", title, x=since, y=_TOP - 6, class_=class_, **size)
        yield _text(outage.what, since, 14 + 15 * (n % 2), "outage-name")


def _row(journey: Journey, scale: _Scale, top: int) -> Iterator[str]:
    middle = top + _ROW / 2
    yield _tag("rect", x=0, y=top, width=_WIDTH, height=_ROW, class_="row")
    yield _text(journey.order_id, 8, middle + 4, "id" if journey.passed else "id failed")
    yield _text(journey.name, 84, middle + 4, "name")
    for segment in journey.segments:
        yield _segment(segment, scale, middle)
    for deed in journey.deeds:
        title = _tag("title", escape(f"{deed.text}, {when(deed.at)}"))
        yield _tag("circle", title, cx=scale.x(deed.at), cy=middle, r=4.5, class_="deed")
    for mark in journey.marks:
        yield _diamond(mark, scale, middle)
    yield _end(journey, scale, middle)
    words, class_ = (journey.trouble, "trouble") if journey.trouble else (journey.text, "how")
    yield _text(words, _WIDTH - _RIGHT + 14, middle + 4, class_)


def _segment(segment: Segment, scale: _Scale, middle: float) -> str:
    x, end = scale.x(segment.since), scale.x(segment.until)
    hours = (segment.until - segment.since) / timedelta(hours=1)
    told = f"{LEGEND[segment.phase]}, {hours:.0f} h, from {when(segment.since)}"
    return _tag(
        "rect",
        _tag("title", escape(told)),
        x=x,
        y=middle - _THICK / 2,
        width=max(round(end - x, 1), 1.0),
        height=_THICK,
        class_=f"phase {segment.phase}",
    )


def _diamond(mark: Mark, scale: _Scale, middle: float) -> str:
    x, size = scale.x(mark.at), 6.5
    points = f"{x},{middle - size} {x + size},{middle} {x},{middle + size} {x - size},{middle}"
    title = _tag("title", escape(f"{words(mark.kind)}, {when(mark.at)}"))
    return _tag("polygon", title, points=points, class_="mark")


def _end(journey: Journey, scale: _Scale, middle: float) -> str:
    if journey.end is None or journey.ended_at is None:
        return ""
    x = scale.x(journey.ended_at)
    title = _tag("title", escape(f"{journey.end}, {when(journey.ended_at)}"))
    if journey.end is Stage.DELIVERED:
        tick = f"M{x - 3.2} {middle + 0.2} l2.4 2.6 l4.2 -5"
        return _tag(
            "g", title + _tag("circle", cx=x, cy=middle, r=7) + _tag("path", d=tick), class_="end good"
        )
    cross = f"M{x - 2.8} {middle - 2.8} l5.6 5.6 m0 -5.6 l-5.6 5.6"
    return _tag(
        "g", title + _tag("circle", cx=x, cy=middle, r=7) + _tag("path", d=cross), class_=f"end {journey.end}"
    )


def _text(words: str, x: float, y: float, class_: str) -> str:
    return _tag("text", escape(words), x=x, y=y, class_=class_) if words else ""


def _tag(name: str, inside: str = "", **attributes: Any) -> str:
    said = "".join(
        f' {key.rstrip("_").replace("_", "-") if key != "viewBox" else key}="{escape(str(value))}"'
        for key, value in attributes.items()
    )
    return f"<{name}{said}>{inside}</{name}>" if inside else f"<{name}{said}/>"
