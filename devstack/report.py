"""The demo as one page that needs nothing else: every order's journey over shop time, what happened, what is proved."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from devstack.board import Change
from devstack.drawing import chart, crowd
from devstack.journeys import ENDS, LEGEND, Happened, Journey, Outage, journey
from devstack.proof import Line
from devstack.scenarios import Scenario
from devstack.table import when
from fulfillment.domain.order import ENDED
from fulfillment.domain.shipment import WorkStatus
from fulfillment.domain.stage import Stage
from fulfillment.domain.view import OrderView

_HERE: Final = Path(__file__).parent
_TEMPLATE: Final = "report.html.jinja"

_OUTCOMES: Final = MappingProxyType(
    {
        Stage.DELIVERED: "delivered",
        Stage.LOST: "lost and refunded",
        Stage.RETURNED: "returned",
        Stage.CANCELLED: "cancelled or never paid",
    }
)


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
    journeys = journeys_of(report)
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
        tiles=tiles(report, journeys),
        legend=LEGEND,
        ends=ENDS,
        when=when,
    )


def journeys_of(report: Report) -> list[Journey]:
    """Return every order's journey."""
    return [
        journey(scenario, line, report.changes, report.happened, until=report.until)
        for scenario, line in zip(report.scenarios, report.of_scenarios, strict=True)
    ]


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


def tiles(report: Report, journeys: Sequence[Journey]) -> list[tuple[str, str]]:
    """Return the numbers at the top."""
    views = report.views.values()
    first = min((change.at for change in report.changes), default=report.until)
    days = (report.until - first) / timedelta(days=1)
    audit = [said for said in report.of_the_audit if ": " in said.text]
    return [
        (str(len(views)), "orders, each a story"),
        (str(sum(view.stage is Stage.DELIVERED for view in views)), "delivered"),
        (f"{days:.0f}", f"shop days in {report.took:.0f} s"),
        (str(sum(len(journey.marks) for journey in journeys)), "exceptions noticed"),
        (str(len(report.outages)), "blows survived" if not report.failed else "blows"),
        (str(len(audit) - 1), "invariants audited"),
    ]
