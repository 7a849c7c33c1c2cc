"""Picking: where to walk, whose work it is, and what is wrong with a unit that cannot leave."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final, TypeVar

from fulfillment.domain.cases import CaseKind
from fulfillment.domain.errors import FulfillmentError
from fulfillment.domain.inventory import Condition
from fulfillment.domain.shipment import WorkStatus

T = TypeVar("T")

_NUMBERS: Final = re.compile(r"\d+")
# A shelf without a place is walked to last.
_NOWHERE: Final = (1, "", 0, "")


class Rejection(StrEnum):
    """Why a unit at the shelf or the bench cannot leave."""

    NOT_FOUND = "not_found"
    MISMATCH = "mismatch"
    DAMAGED = "damaged"
    QUALITY_DOUBT = "quality_doubt"
    EXPIRED = "expired"
    RECALLED = "recalled"
    WORN = "worn"


_R = Rejection
# Not there, or something else lies there: what the book says is wrong, and somebody must count.
SHORT: Final = frozenset({_R.NOT_FOUND, _R.MISMATCH})
# What one unit has, all that lie on the same shelf have: we keep no lots apart.
WHOLE_SHELF: Final = frozenset({_R.EXPIRED, _R.RECALLED})
NEEDS_PHOTO: Final = frozenset({_R.DAMAGED, _R.WORN})
# What becomes of the unit; one of which something else was found is not on hand at all.
CONDITION_OF: Final[Mapping[Rejection, Condition | None]] = MappingProxyType(
    {
        _R.NOT_FOUND: Condition.HELD,
        _R.MISMATCH: None,
        _R.DAMAGED: Condition.DAMAGED,
        _R.WORN: Condition.DAMAGED,
        _R.QUALITY_DOUBT: Condition.QUARANTINE,
        _R.EXPIRED: Condition.QUARANTINE,
        _R.RECALLED: Condition.QUARANTINE,
    }
)


class Settled(StrEnum):
    """What an inspection decides about a unit that was set aside."""

    RESTOCK = "restock"
    SCRAP = "scrap"
    KEEP = "keep"  # it stays in its condition, for a person to decide later


class CheckGrade(StrEnum):
    """What a unit looks like: as new, used but whole, in need of work, of no use."""

    A = "A"
    B = "B"
    C = "C"
    D = "D"


# Where units are looked at, by what is done with them; a unit may be seen at both.
STAGE_OF: Final[Mapping[WorkStatus, str]] = MappingProxyType(
    {WorkStatus.PICKING: "pick", WorkStatus.PICKED: "pack"}
)
# Only what is as new leaves. How a unit of another grade is taken out.
REJECTED_AS: Final[Mapping[CheckGrade, Rejection]] = MappingProxyType(
    {
        CheckGrade.B: _R.WORN,
        CheckGrade.C: _R.QUALITY_DOUBT,
        CheckGrade.D: _R.DAMAGED,
    }
)


class PickMode(StrEnum):
    """How shipments are walked for."""

    SINGLE = "single"
    BATCH = "batch"  # several in one walk, a tote for each
    WAVE = "wave"  # a batch of those that leave at the same cut-off


class PickRefused(FulfillmentError):
    """The floor asked for what cannot be; the message says what to do instead."""


class WrongScan(PickRefused):
    """Something else was scanned than what the walk asks for; `expected` says what."""

    def __init__(self, scanned: str, expected: str) -> None:
        super().__init__(f"{scanned} is not what is picked here: expected {expected}")
        self.scanned, self.expected = scanned, expected


class PhotoNeeded(PickRefused):
    """A unit in this state is taken out only with a picture."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"a picture is needed of what is {reason}: take one, and send its reference as `photo`"
        )


class CheckNeeded(PickRefused):
    """Units of these SKUs must be looked at before the shipment may go on."""

    def __init__(self, shipment_id: str, skus: Sequence[str]) -> None:
        named = ", ".join(skus)
        super().__init__(
            f"{shipment_id}: look at the condition of {named} first, and send what you saw as a check"
        )
        self.shipment_id, self.skus = shipment_id, tuple(skus)


class InOtherHands(PickRefused):
    """Somebody else picks this; it is free again when they are done, or have been silent for long enough."""

    def __init__(self, shipment_id: str, picker: str, until: datetime) -> None:
        super().__init__(
            f"{shipment_id} is being picked by {picker}: take another, or wait until {until:%H:%M} UTC, "
            "when it is free again if nothing more was scanned"
        )
        self.shipment_id, self.picker, self.until = shipment_id, picker, until


class NotScanned(PickRefused):
    """Units of these SKUs were not scanned into the tote yet."""

    def __init__(self, shipment_id: str, missing: Mapping[str, int]) -> None:
        units = ", ".join(f"{count} of {sku}" for sku, count in sorted(missing.items()))
        super().__init__(f"{shipment_id}: scan what is missing first, or say what is wrong with it: {units}")
        self.shipment_id, self.missing = shipment_id, dict(missing)


class UnknownWalk(PickRefused):
    """There is no such walk."""

    def __init__(self, walk_id: str) -> None:
        super().__init__(f"there is no walk {walk_id}; take one from the pick list")
        self.walk_id = walk_id


@dataclass(frozen=True, slots=True, kw_only=True)
class ToPick:
    """A shipment that somebody may take now. It must leave by `ship_by`, and arrive by `promise_date`."""

    shipment_id: str
    order_id: str
    location_id: str
    ship_by: datetime
    promise_date: date | None
    units: int
    late: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeWalk:
    """Somebody wants work: so many shipments of a location in one walk. The same `walk_id` again is the same walk."""

    walk_id: str
    location_id: str
    picker: str
    mode: PickMode = PickMode.SINGLE
    size: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Tote:
    """A shipment on a walk. While `stop` is not empty nobody goes on with it: it says what to do with the goods."""

    tote: int
    shipment_id: str
    work_status: WorkStatus
    units: int
    scanned: int
    stop: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Put:
    """Units of a stop that go into a tote."""

    tote: int
    units: int
    scanned: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WalkStop:
    """A shelf on the way: what is taken there, and into which totes."""

    bin: str
    sku: str
    name: str
    puts: tuple[Put, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """One walk of one picker: its totes, and its stops in the order of the way."""

    walk_id: str
    location_id: str
    mode: PickMode
    picker: str
    totes: tuple[Tote, ...]
    stops: tuple[WalkStop, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PickScan:
    """Units that were scanned and put into a tote; `scan_id` is the scanner's own."""

    scan_id: str
    walk_id: str
    tote: int
    sku: str
    picker: str
    units: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Scanned:
    """What a scan came to; a repeat says the same.

    `left` is how many units the tote still lacks. With none left the shipment is `picked`, unless units of the SKUs in
    `to_check` must be looked at first.
    """

    shipment_id: str
    tote: int
    sku: str
    units: int
    left: int
    picked: bool = False
    to_check: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PutBack:
    """Goods in somebody's hands that go back to their shelf, and why."""

    shipment_id: str
    location_id: str
    why: str
    picker: str | None
    asked_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What somebody saw of units of a SKU in a shipment. `photo` refers to a picture, needed below grade A."""

    check_id: str
    shipment_id: str
    sku: str
    units: int
    grade: CheckGrade
    by: str
    defect: str = ""
    note: str = ""
    photo: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What came of it: `missing` is how many units of which SKU must still be found good before it goes on.

    With the last of them the shipment is `picked`, if all its units were scanned into its tote.
    """

    shipment_id: str
    sku: str
    grade: CheckGrade
    missing: Mapping[str, int]
    picked: bool

    @property
    def say(self) -> str:
        """What is done now, in a sentence."""
        if self.reject_as is not None:
            return f"Take these units out as a rejection, reason {self.reject_as}."
        if self.missing:
            return f"Look at {', '.join(f'{count} of {sku}' for sku, count in self.missing.items())} too."
        return (
            "It is picked: bring it to the bench."
            if self.picked
            else "Scan what is missing, or send it as picked."
        )

    @property
    def reject_as(self) -> Rejection | None:
        """How the units are taken out; None for those that may leave."""
        return REJECTED_AS.get(self.grade)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """What taking units out of a shipment came to; a repeat says the same.

    Of the rejected units so many were `replaced` by others of the same shelf, `resourced` from another location,
    `substituted` by listed equals, `waiting` for stock, or `cancelled`. `added` are the shipments that carry them now, `left` is how many
    units the shipment still has, `count_id` the count that was asked for.
    """

    shipment_id: str
    sku: str
    units: int
    reason: Rejection
    replaced: int = 0
    resourced: int = 0
    waiting: int = 0
    cancelled: int = 0
    left: int = 0
    added: tuple[str, ...] = ()
    count_id: str | None = None
    substituted: int = 0

    @property
    def say(self) -> str:
        """What the picker does now, in a sentence."""
        now = f"Take {self.replaced} more from the same shelf." if self.replaced else "Go on with the rest."
        return now if self.left else "Nothing is left in it: put the tote back."


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAside:
    """Units that were taken out of a shipment and wait to be looked at."""

    rejection_id: str
    shipment_id: str
    sku: str
    location_id: str
    units: int
    reason: Rejection
    note: str
    photo: str
    by: str
    at: datetime


def case_of(reason: Rejection) -> CaseKind:
    """Return the kind of case this opens."""
    return CaseKind.SHORT_PICK if reason in SHORT else CaseKind.DAMAGED_PICK


def serpentine(stops: Iterable[T], bin_of: Mapping[T, str]) -> list[T]:
    """Return the stops in the order of a walk: up one aisle, down the next.

    A bin is written as aisle, bay and level, for example `A-03-2`. Aisles follow each other by name; in every other one
    of those that are walked the bays are taken from the far end.
    """
    placed = {stop: _place(bin_of.get(stop, "")) for stop in stops}
    aisles = sorted({place[:2] for place in placed.values()})
    backwards = {aisle for n, aisle in enumerate(aisles) if n % 2}

    def key(stop: T) -> tuple[object, ...]:
        unknown, aisle, bay, rest = placed[stop]
        return unknown, aisle, -bay if (unknown, aisle) in backwards else bay, rest, str(stop)

    return sorted(placed, key=key)


def _place(name: str) -> tuple[int, str, int, str]:
    if not name:
        return _NOWHERE
    aisle, _, rest = name.partition("-")
    number = _NUMBERS.search(rest)
    return 0, aisle, int(number[0]) if number else 0, rest
