"""In which parcels goods leave that leave one place together: every parcel is a shipment with a label of its own.

What fits one carton is one parcel. Else every carton is one, and so is a piece that fits no carton. What nobody measured
or weighed is not guessed into several: it stays together, up to the weight that the strongest carton carries. What would be
more than a handful of parcels is freight, and not divided: no label is bought for it here.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from fulfillment.domain.cartons import (
    STANDARD,
    UNWEIGHED_G,
    Carton,
    Packer,
    Piece,
    Size,
    for_one_label,
    pack,
    volume,
)
from fulfillment.domain.label import HEAVIEST_G
from fulfillment.domain.order import UnitRange

# Every parcel costs its order an authorization and about 40 events. What fills more cartons is tied together, several
# under one label, up to the weight of one strong carton, for not every carrier takes more everywhere; and what is still
# more is freight: one consignment, undivided.
MOST_PARCELS: Final = 6
_FREIGHT: Final = f"it is freight, and would be more than {MOST_PARCELS} parcels"
# Packing takes the cube of the number of pieces: 1 ms for five, 100 ms for these. What was not foreseen, a part of a large
# order, is packed while stock is locked. With more pieces it is reckoned how much a carton takes.
_MOST_PACKED: Final = 60
_WITHOUT_TARE: Final = (4, 5)  # of what several cartons under one label weigh: the rest is cardboard
_USUALLY_FULL: Final = (3, 5)  # of a carton's volume, when it is packed with many pieces

Units = Mapping[str, int]  # by SKU


@dataclass(frozen=True, slots=True, kw_only=True)
class Goods:
    """A unit of a SKU as the catalogue knows it: in grams and mm, `size` None where nobody measured it."""

    sku: str
    weight_g: int
    size: Size | None = None
    fragile: bool = False

    @property
    def is_known(self) -> bool:
        """Test whether it can be said what it takes of a carton."""
        return self.size is not None and self.weight_g > UNWEIGHED_G

    @property
    def volume(self) -> int:
        """Return its volume in cubic millimetres, 0 where it is not known."""
        return volume(self.size) if self.size else 0

    @property
    def known_g(self) -> int:
        """Return its weight, 0 where it is not known."""
        return self.weight_g if self.weight_g > UNWEIGHED_G else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Division:
    """The parcels of some goods, and why they are not one, or are freight; else ""."""

    parcels: tuple[Units, ...]
    why: str = ""


_Size = Callable[[Goods], int]


class Boxes:
    """Says in which parcels goods go: the same answer every time, worked out once."""

    def __init__(
        self, goods: Iterable[Goods], cartons: Sequence[Carton] = STANDARD, packer: Packer = pack
    ) -> None:
        self._goods = {one.sku: one for one in goods}
        self._cartons, self._packer = [_for_a_label(carton) for carton in cartons], packer
        self._most_g = max(carton.max_weight_g for carton in self._cartons)
        share, of = _WITHOUT_TARE
        self._tied_g = self._most_g * share // of
        self._answers: dict[frozenset[tuple[str, int]], Division] = {}

    def divide(self, units: Units) -> Division:
        """Return the parcels of these units."""
        asked = frozenset(units.items())
        if asked not in self._answers:
            self._answers[asked] = self._divided(dict(sorted(units.items())))
        return self._answers[asked]

    def fit_one(self, units: Units) -> bool:
        """Test whether these units are one parcel."""
        return len(self.divide(units).parcels) == 1

    def share(self, units: Units, of: Units) -> int:
        """Return how many parcels a part of these goods makes, by its share of their weight and volume.

        Rounded up, so that parts never make fewer parcels than the whole. Nothing is packed: it may be asked under a
        lock, once the whole was divided.
        """
        whole = len(self.divide(of).parcels)
        shares = (
            -(-whole * self._sum(units, size) // total)
            for size in (_weight, _volume)
            if (total := self._sum(of, size))
        )
        return max(1, *shares) if whole > 1 else 1

    def _sum(self, units: Units, size: _Size) -> int:
        return sum(size(self._goods[sku]) * count for sku, count in units.items())

    def _divided(self, units: Units) -> Division:
        if sum(units.values()) < 2:
            return Division(parcels=(units,))
        known = {sku for sku in units if self._goods[sku].is_known}
        alone = {sku for sku in known if self._packer(self._pieces({sku: 1}), self._cartons).left}
        boxed = self._in_cartons(_only(known - alone, units))
        boxed = self._with_rest(boxed, _only(units.keys() - known, units))
        parcels = self._tied([*boxed, *({sku: 1} for sku in sorted(alone) for _ in range(units[sku]))])
        if len(parcels) > MOST_PARCELS:
            return Division(parcels=(units,), why=_FREIGHT)
        listed = tuple(dict(sorted(parcel.items())) for parcel in parcels)
        return Division(parcels=listed, why=self._why(units, parcels, sorted(alone)))

    def _pieces(self, units: Units) -> list[Piece]:
        return [
            Piece(sku=sku, n=n, weight_g=goods.weight_g, size=goods.size, fragile=goods.fragile)
            for sku, count in units.items()
            for goods in (self._goods[sku],)
            for n in range(1, count + 1)
        ]

    def _in_cartons(self, units: Units) -> list[Units]:
        if not units:
            return []
        if sum(units.values()) > _MOST_PACKED:
            return self._reckoned(units)
        packing = for_one_label(self._packer, self._pieces(units), self._cartons)
        return [Counter(placed.piece.sku for placed in filled.placements) for filled in packing.filled]

    def _reckoned(self, units: Units) -> list[Units]:
        """Fill cartons one after the other as far as they are usually full, what breaks easily last."""
        share, of = _USUALLY_FULL
        room = max(carton.volume for carton in self._cartons) * share // of
        ordered = dict(sorted(units.items(), key=lambda one: (self._goods[one[0]].fragile, one[0])))
        return self._filled(ordered, ((self._most_g, _weight), (room, _volume)))

    def _filled(self, units: Units, limits: Sequence[tuple[int, _Size]]) -> list[Units]:
        """Put units together one after the other, each lot up to these limits; at least one unit is in each."""
        lots: list[Counter[str]] = [Counter()]
        for sku, count in units.items():
            while count:
                lot = lots[-1]
                rooms = (
                    (most - self._sum(lot, size)) // its
                    for most, size in limits
                    if (its := size(self._goods[sku]))
                )
                taken = min(count, max(min(rooms, default=count), 0 if lot else 1))
                lot[sku] += taken
                count -= taken
                if count:
                    lots.append(Counter())
        return [+lot for lot in lots if +lot]

    def _tied(self, boxed: list[Units]) -> list[Units]:
        """Tie cartons together where they would be too many parcels."""
        each = -(-len(boxed) // MOST_PARCELS)
        bundles: list[list[Units]] = []
        for box in boxed:
            if not bundles or len(bundles[-1]) == each or self._is_heavy(*bundles[-1], box):
                bundles.append([])
            bundles[-1].append(box)
        return [_joined(bundle) for bundle in bundles]

    def _is_heavy(self, *parts: Units) -> bool:
        return self._sum(_joined(parts), _weight) > self._tied_g

    def _with_rest(self, boxed: list[Units], rest: Units) -> list[Units]:
        """Put what is not known beside the lightest, or by itself where that would be too heavy."""
        if not rest:
            return boxed
        lightest = min(boxed, key=partial(self._sum, size=_weight), default=None)
        if lightest is None or self._is_heavy(lightest, rest):
            return [*boxed, *self._filled(rest, ((self._tied_g, _weight),))]
        return [_joined([box, rest]) if box is lightest else box for box in boxed]

    def _why(self, units: Units, parcels: Sequence[Units], alone: Sequence[str]) -> str:
        if len(parcels) < 2:
            return ""
        if alone:
            return f"no carton takes {' or '.join(alone)}"
        if (weight_g := self._sum(units, _weight)) > self._most_g:
            return f"it weighs {weight_g} g, and no carton carries more than {self._most_g} g"
        return "no carton takes all of it"


def _for_a_label(carton: Carton) -> Carton:
    """Return the carton as full as it may be: it may carry more than a label is for."""
    return replace(carton, max_weight_g=min(carton.max_weight_g, HEAVIEST_G - carton.tare_g))


def added_up(ranges: Iterable[UnitRange], sku_of: Mapping[int, str]) -> Units:
    """Return how many units of each SKU these are; `sku_of` has the SKU of each line."""
    units: Counter[str] = Counter()
    for some in ranges:
        units[sku_of[some.line_no]] += some.count
    return units


def hand_out(
    ranges: Sequence[UnitRange], sku_of: Mapping[int, str], parcels: Sequence[Units]
) -> list[tuple[UnitRange, ...]]:
    """Return which of these units go in which parcel: those with the lowest numbers in the first."""
    left = {(units.line_no, units.first): units for units in ranges}
    return [_take(left, sku_of, dict(parcel)) for parcel in parcels]


def _take(
    left: dict[tuple[int, int], UnitRange], sku_of: Mapping[int, str], wanted: dict[str, int]
) -> tuple[UnitRange, ...]:
    taken: list[UnitRange] = []
    for key, units in list(left.items()):
        count = min(units.count, wanted.get(sku_of[units.line_no], 0))
        if not count:
            continue
        wanted[sku_of[units.line_no]] -= count
        taken.append(UnitRange(line_no=units.line_no, first=units.first, count=count))
        if count == units.count:
            del left[key]
        else:
            rest = UnitRange(line_no=units.line_no, first=units.first + count, count=units.count - count)
            left[key] = rest
    return tuple(taken)


def _only(skus: Collection[str], units: Units) -> Units:
    return {sku: count for sku, count in units.items() if sku in skus}


def _joined(parts: Sequence[Units]) -> Units:
    whole: Counter[str] = Counter()
    for part in parts:
        whole.update(part)
    return whole


def _weight(goods: Goods) -> int:
    return goods.known_g


def _volume(goods: Goods) -> int:
    return goods.volume
