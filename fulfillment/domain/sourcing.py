"""Which location ships which units, and what becomes of the units that are not there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fulfillment.domain.inventory import Level, ShortLine
from fulfillment.domain.order import OrderLine, UnitRange


@dataclass(frozen=True, slots=True, kw_only=True)
class Sourced:
    """The answer: units per location, units that wait for stock, units that will never come."""

    from_location: Mapping[str, tuple[UnitRange, ...]]
    backordered: tuple[UnitRange, ...]
    cancelled: tuple[UnitRange, ...]
    short: tuple[ShortLine, ...]


def source(
    lines: Sequence[OrderLine],
    *,
    levels: Sequence[Level],
    priority: Sequence[str],
    backorderable: frozenset[str],
) -> Sourced:
    """Decide what ships from where: fewest parcels first, then the shop's priority of locations.

    The result does not depend on how a SKU is split over lines: availability is used up as it is claimed,
    and what one location cannot give is carried over to the next.
    """
    available = {(lvl.location_id, lvl.sku): lvl.available for lvl in levels if lvl.available > 0}
    wanted = {line.line_no: line.quantity for line in lines}
    taken: dict[str, list[UnitRange]] = {}
    for location in _by_coverage(lines, available, priority):
        for line in lines:
            if units := _take(line, wanted, available, location):
                taken.setdefault(location, []).append(units)
    waiting, gone = _rest(lines, wanted, backorderable)
    return Sourced(
        from_location={location: tuple(units) for location, units in taken.items()},
        backordered=waiting,
        cancelled=gone,
        short=tuple(_shortages(lines, waiting, gone)),
    )


def _by_coverage(
    lines: Sequence[OrderLine], available: Mapping[tuple[str, str], int], priority: Sequence[str]
) -> list[str]:
    """Locations in the order in which to use them: those that can ship most of the order first."""
    asked: dict[str, int] = {}
    for line in lines:
        asked[line.sku] = asked.get(line.sku, 0) + line.quantity

    def covered(location: str) -> int:
        return sum(min(quantity, available.get((location, sku), 0)) for sku, quantity in asked.items())

    return sorted(priority, key=lambda location: (-covered(location), priority.index(location)))


def _take(
    line: OrderLine, wanted: dict[int, int], available: dict[tuple[str, str], int], location: str
) -> UnitRange | None:
    count = min(wanted[line.line_no], available.get((location, line.sku), 0))
    if count == 0:
        return None
    first = line.quantity - wanted[line.line_no] + 1
    wanted[line.line_no] -= count
    available[location, line.sku] -= count
    return UnitRange(line_no=line.line_no, first=first, count=count)


def _rest(
    lines: Sequence[OrderLine], wanted: Mapping[int, int], backorderable: frozenset[str]
) -> tuple[tuple[UnitRange, ...], tuple[UnitRange, ...]]:
    waiting: list[UnitRange] = []
    gone: list[UnitRange] = []
    for line in lines:
        if count := wanted[line.line_no]:
            units = UnitRange(line_no=line.line_no, first=line.quantity - count + 1, count=count)
            (waiting if line.sku in backorderable else gone).append(units)
    return tuple(waiting), tuple(gone)


def _shortages(
    lines: Sequence[OrderLine], waiting: Sequence[UnitRange], gone: Sequence[UnitRange]
) -> list[ShortLine]:
    backordered = {units.line_no: units.count for units in waiting}
    cancelled = {units.line_no: units.count for units in gone}
    return [
        ShortLine(
            line_no=line.line_no,
            sku=line.sku,
            asked=line.quantity,
            got=line.quantity - backordered.get(line.line_no, 0) - cancelled.get(line.line_no, 0),
            backordered=backordered.get(line.line_no, 0),
            cancelled=cancelled.get(line.line_no, 0),
        )
        for line in lines
        if line.line_no in backordered or line.line_no in cancelled
    ]
