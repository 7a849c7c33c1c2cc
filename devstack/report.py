"""The demo as one page that needs nothing else: every order's journey over shop time, what happened, what is proved."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from html import escape
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from devstack.board import Change
from devstack.proof import Line
from devstack.scenarios import Scenario
from devstack.table import happening, when
from fulfillment.domain.cases import CaseKind
from fulfillment.domain.order import ENDED
from fulfillment.domain.shipment import WorkStatus
from fulfillment.domain.stage import Stage
from fulfillment.domain.view import OrderView

_HERE: Final = Path(__file__).parent
_TEMPLATE: Final = "report.html.jinja"

HELD: Final = "held"
_PHASES: Final = MappingProxyType(
    {
        Stage.RECEIVED: "waiting",
        Stage.CONFIRMED: "floor",
        Stage.BACKORDERED: "backordered",
        Stage.ALLOCATED: "floor",
        Stage.PICKING: "floor",
        Stage.PACKED: "packed",
        Stage.IN_TRANSIT: "transit",
        Stage.OUT_FOR_DELIVERY: "out",
    }
)
ENDS: Final = MappingProxyType({"delivered": "delivered", "lost": "lost", "cancelled": "cancelled"})
LEGEND: Final = MappingProxyType(
    {
        "waiting": "not paid yet",
        HELD: "on hold",
        "backordered": "waits for stock",
        "floor": "on the floor",
        "packed": "packed",
        "transit": "in transit",
        "out": "out for delivery",
    }
)
_OVER: Final = (Stage.DELIVERED, Stage.CANCELLED, Stage.LOST, Stage.RETURNED)
_BEFORE_IT_LEAVES: Final = (
    Stage.RECEIVED,
    Stage.CONFIRMED,
    Stage.BACKORDERED,
    Stage.ALLOCATED,
    Stage.PICKING,
    Stage.PACKED,
)
_OUTCOMES: Final = MappingProxyType(
    {
        Stage.DELIVERED: "delivered",
        Stage.LOST: "lost and refunded",
        Stage.RETURNED: "returned",
        Stage.CANCELLED: "cancelled or never paid",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """Something worth telling; `order_id` is empty where it concerns everybody."""

    at: datetime
    order_id: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """A part of the stack that was away; `until` is None while it is."""

    what: str
    since: datetime
    until: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything the page shows. `took` is in real seconds, moments are shop time."""

    scenarios: tuple[Scenario, ...]
    of_scenarios: tuple[Line, ...]
    of_the_whole: tuple[Line, ...]
    of_the_audit: tuple[Line, ...]
    views: Mapping[str, OrderView]
    changes: tuple[Change, ...]
    happened: tuple[Happened, ...]
    outages: tuple[Outage, ...]
    speed: float
    took: float
    until: datetime

    @property
    def lines(self) -> tuple[Line, ...]:
        """The whole proof."""
        return (*self.of_scenarios, *self.of_the_whole, *self.of_the_audit)

    @property
    def failed(self) -> int:
        """How many lines of it fail."""
        return sum(not said.passed for said in self.lines)


def write(file: Path, report: Report) -> None:
    """Write the page."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(page(report), encoding="utf-8")


def page(report: Report) -> str:
    """Return the page."""
    journeys = [journey_of(scenario, report) for scenario in report.scenarios]
    templates = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return templates.get_template(_TEMPLATE).render(
        report=report,
        journeys=journeys,
        chart=Markup(chart(journeys, report.outages)),
        crowd=Markup(crowd(journeys, report.outages)),
        outcomes=outcomes(report.views.values()),
        tiles=tiles(report),
        legend=LEGEND,
        ends=ENDS,
        when=when,
    )


# --- what is shown ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A time in one phase."""

    phase: str
    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """The moment at which something went wrong."""

    at: datetime
    kind: CaseKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Journey:
    """One order from left to right. `end` is its last stage, None while it goes on."""

    order_id: str
    name: str
    ends: str
    text: str
    passed: bool
    why: tuple[str, ...]
    segments: tuple[Segment, ...]
    marks: tuple[Mark, ...]
    deeds: tuple[Happened, ...]
    ended_at: datetime | None
    end: Stage | None

    @property
    def trouble(self) -> str:
        """What went wrong on the way, in the order in which it was noticed."""
        return " · ".join(dict.fromkeys(words(mark.kind) for mark in self.marks))


def journey_of(scenario: Scenario, report: Report) -> Journey:
    """Return a scenario's order as a journey."""
    changes = [change for change in report.changes if change.view.order.order_id == scenario.order_id]
    view = report.views.get(scenario.order_id)
    line = next(said for said in report.of_scenarios if said.text.startswith(f"{scenario.order_id} "))
    over = changes[-1] if changes and changes[-1].stage in _OVER else None
    ended_at = next((c.at for c in changes if over and c.stage is over.stage), None)
    return Journey(
        order_id=scenario.order_id,
        name=scenario.name,
        ends=scenario.ends,
        text=happening(view, report.until) if view else "was never placed",
        passed=line.passed,
        why=line.why,
        segments=tuple(_segments(changes, report.until)),
        marks=tuple(_marks(changes)),
        deeds=tuple(one for one in report.happened if one.order_id == scenario.order_id),
        ended_at=ended_at,
        end=over.stage if over else None,
    )


def _segments(changes: Sequence[Change], until: datetime) -> Iterator[Segment]:
    """Yield the phases one after another, neighbours of one kind joined."""
    open_phase, since = "", until
    for change in changes:
        phase = _phase(change)
        if phase == open_phase:
            continue
        if open_phase:
            yield Segment(phase=open_phase, since=since, until=change.at)
        open_phase, since = phase, change.at
    if open_phase:
        yield Segment(phase=open_phase, since=since, until=until)


def _phase(change: Change) -> str:
    if change.held and change.stage in _BEFORE_IT_LEAVES:
        return HELD
    return _PHASES.get(change.stage, "")


def _marks(changes: Iterable[Change]) -> Iterator[Mark]:
    before: CaseKind | None = None
    for change in changes:
        if change.attention is not None and change.attention is not before:
            yield Mark(at=change.at, kind=change.attention)
        before = change.attention


def words(kind: CaseKind) -> str:
    """Return a kind of case as people say it."""
    return kind.replace("_", " ")


def outcomes(views: Iterable[OrderView]) -> list[tuple[str, str, int, float]]:
    """Return what became of every unit: class, words, count and share in percent."""
    counted: Counter[Stage | None] = Counter()
    for view in views:
        for part in view.shipments:
            units = sum(unit.count for unit in part.units)
            counted[_outcome(view, part.stage, part.work_status)] += units
        counted[Stage.CANCELLED] += sum(unit.count for unit in view.cancelled_units)
    total = sum(counted.values()) or 1
    names: list[tuple[Stage | None, str]] = [*_OUTCOMES.items(), (None, "still under way")]
    return [
        (str(stage or "open"), name, counted[stage], 100 * counted[stage] / total)
        for stage, name in names
        if counted[stage]
    ]


def _outcome(view: OrderView, stage: Stage, work: WorkStatus) -> Stage | None:
    if stage in _OUTCOMES:
        return stage
    left = work in (WorkStatus.HANDED_OVER, WorkStatus.CLOSED)
    return Stage.CANCELLED if view.status in ENDED and not left else None


def tiles(report: Report) -> list[tuple[str, str]]:
    """Return the numbers at the top."""
    views = report.views.values()
    first = min((change.at for change in report.changes), default=report.until)
    days = (report.until - first) / timedelta(days=1)
    audit = [said for said in report.of_the_audit if ": " in said.text]
    return [
        (str(len(views)), "orders, each a story"),
        (str(sum(view.stage is Stage.DELIVERED for view in views)), "delivered"),
        (f"{days:.0f}", f"shop days in {report.took:.0f} s"),
        (str(sum(len(journey_marks(report, view)) for view in views)), "exceptions noticed"),
        (str(len(report.outages)), "blows survived" if not report.failed else "blows"),
        (str(len(audit) - 1), "invariants audited"),
    ]


def journey_marks(report: Report, view: OrderView) -> list[Mark]:
    """Return what went wrong with one order."""
    about = (change for change in report.changes if change.view.order.order_id == view.order.order_id)
    return list(_marks(about))


# --- the chart -------------------------------------------------------------------------------------------

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
