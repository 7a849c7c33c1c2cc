"""Units of lines as lines of their own: sourcing knows whole lines only."""

from collections.abc import Sequence
from dataclasses import replace

from fulfillment.domain.order import Order, OrderLine, UnitRange
from fulfillment.domain.sourcing import Sourced


class Renumbered:
    """Some units of lines, numbered from one as a line of their own, and back."""

    def __init__(self, lost: Sequence[UnitRange]) -> None:
        self._units: dict[int, list[int]] = {}
        for some in lost:
            self._units.setdefault(some.line_no, []).extend(range(some.first, some.first + some.count))

    def lines(self, order: Order) -> list[OrderLine]:
        """Return lines of just these units; what they cost is near enough to choose a location by."""
        return [
            replace(order.line(line_no), quantity=len(units), discount=0, tax=0, shipping_share=0)
            for line_no, units in self._units.items()
        ]

    def real(self, sourced: Sourced) -> Sourced:
        """Return the answer in the numbers the units truly have."""
        return replace(
            sourced,
            from_location={place: self._renumbered(some) for place, some in sourced.from_location.items()},
            backordered=self._renumbered(sourced.backordered),
            cancelled=self._renumbered(sourced.cancelled),
        )

    def _renumbered(self, ranges: Sequence[UnitRange]) -> tuple[UnitRange, ...]:
        found: list[UnitRange] = []
        for some in ranges:
            for unit in self._units[some.line_no][some.first - 1 : some.first - 1 + some.count]:
                last = found[-1] if found else None
                if last and last.line_no == some.line_no and last.first + last.count == unit:
                    found[-1] = replace(last, count=last.count + 1)
                else:
                    found.append(UnitRange(line_no=some.line_no, first=unit, count=1))
        return tuple(found)
