"""The way of each order through the demo: its phases over shop time, what went wrong, who acted, how it ended."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Final

from devstack.board import Change
from devstack.proof import Line
from devstack.scenarios import Scenario
from devstack.table import happening
from fulfillment.domain.cases import CaseKind
from fulfillment.domain.stage import Stage

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


def journey(
    scenario: Scenario,
    line: Line,
    changes: Iterable[Change],
    happened: Iterable[Happened],
    *,
    until: datetime,
) -> Journey:
    """Return a scenario's order as a journey, from what changed and happened to all orders up to `until`."""
    mine = [change for change in changes if change.view.order.order_id == scenario.order_id]
    over = mine[-1] if mine and mine[-1].stage in _OVER else None
    return Journey(
        order_id=scenario.order_id,
        name=scenario.name,
        ends=scenario.ends,
        text=happening(mine[-1].view, until) if mine else "was never placed",
        passed=line.passed,
        why=line.why,
        segments=tuple(_segments(mine, until)),
        marks=tuple(_marks(mine)),
        deeds=tuple(one for one in happened if one.order_id == scenario.order_id),
        ended_at=next((change.at for change in mine if over and change.stage is over.stage), None),
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
