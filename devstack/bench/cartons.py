"""How full cartons get: our packer on random orders, beside another one on the same cartons.

The other is packvium, where it is installed: it comes with what the tests need. A geometric check that shares no line
with the packer looks at every answer.
"""

import importlib
import importlib.util
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final

from fulfillment.domain.cartons import (
    STANDARD,
    Carton,
    Filled,
    Left,
    Packer,
    Packing,
    Piece,
    Placement,
    Size,
    pack,
    volume,
)

SEED: Final = 48
_EFFORT: Final = 50_000  # candidates, a counted budget: the same answer on every machine
_FUSE_MS: Final = 60_000
_TICKS_PER_MM: Final = 16_000

# Kinds of goods: their sides in mm from and to, and their density in grams per litre.
_KINDS: Final = (
    ((80, 140), (80, 120), (80, 120), (250, 500)),  # mugs and jars in their boxes
    ((180, 320), (120, 250), (15, 60), (150, 400)),  # clothes, folded
    ((120, 300), (100, 220), (8, 45), (600, 900)),  # books and maps
    ((200, 550), (60, 110), (60, 110), (200, 700)),  # bottles, poles, umbrellas
    ((150, 380), (120, 300), (80, 240), (80, 300)),  # shoes, lamps, small machines
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a packer came to. `fill` is the goods' share of the cartons' volume, `cost` in minor units."""

    packer: str
    cartons: int
    cost: int
    fill: float
    left: int
    ms_per_order: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Both packers on the same orders. `worse` counts orders by how many cartons more ours took than the other."""

    orders: int
    pieces: int
    faults: tuple[str, ...]
    ours: Result
    other: Result | None
    worse: dict[int, int]


def measure(*, orders: int, say: Callable[[str], None]) -> Found:
    """Pack random orders with both packers."""
    asked = random_orders(orders)
    packed, ours = _timed("ours", pack, asked)
    say(_line(ours))
    faults = [
        fault for pieces, packing in zip(asked, packed, strict=True) for fault in wrong(pieces, packing)
    ]
    say(f"{len(faults)} faults in {orders} orders" + "".join(f"\n  {fault}" for fault in faults[:10]))
    others, other = _timed("packvium", oracle, asked) if importlib.util.find_spec("packvium") else ([], None)
    say(_line(other) if other else "packvium is not installed: it comes with what the tests need")
    worse = Counter(len(a.filled) - len(b.filled) for a, b in zip(packed, others, strict=False))
    return Found(
        orders=orders,
        pieces=sum(map(len, asked)),
        faults=tuple(faults),
        ours=ours,
        other=other,
        worse=dict(sorted(worse.items())),
    )


def random_orders(count: int, seed: int = SEED) -> list[list[Piece]]:
    """Return orders of one to fifteen pieces, of goods as shops sell them; the same for the same seed."""
    dice = random.Random(seed)
    return [
        [piece for line in range(dice.randint(1, 5)) for piece in _line_of(dice, line)] for _ in range(count)
    ]


def _line_of(dice: random.Random, line: int) -> list[Piece]:
    *sides, density = dice.choice(_KINDS)
    size: Size = (dice.randint(*sides[0]), dice.randint(*sides[1]), dice.randint(*sides[2]))
    weight = max(10, volume(size) * dice.randint(*density) // 1_000_000)
    fragile = dice.random() < 0.1
    return [
        Piece(sku=f"SKU-{line}", n=n, weight_g=weight, size=size, fragile=fragile)
        for n in range(1, dice.randint(1, 3) + 1)
    ]


def wrong(pieces: Sequence[Piece], packing: Packing) -> list[str]:
    """Return what cannot be in a packing of measured pieces; nothing when it can be packed as it says."""
    there = [placed.piece for filled in packing.filled for placed in filled.placements]
    found = (
        []
        if Counter(there + [left.piece for left in packing.left]) == Counter(pieces)
        else ["not every piece once"]
    )
    for number, filled in enumerate(packing.filled, start=1):
        found += [f"carton {number}: {fault}" for fault in _wrong_inside(filled)]
    return found


def _wrong_inside(filled: Filled) -> list[str]:
    inside, room = filled.placements, filled.carton.size
    found = [f"{placed.piece.sku} is not of its size" for placed in inside if not _is_of_its_size(placed)]
    found += [f"{placed.piece.sku} sticks out" for placed in inside if not _is_inside(placed, room)]
    found += [
        f"{a.piece.sku} and {b.piece.sku} overlap" for a, b in combinations(inside, 2) if not _are_apart(a, b)
    ]
    if sum(placed.piece.weight_g for placed in inside) > filled.carton.max_weight_g:
        found.append("too heavy")
    if len({placed.piece.fragile for placed in inside}) > 1:
        found.append("fragile goods beside others")
    return found


def _is_of_its_size(placed: Placement) -> bool:
    return placed.piece.size is not None and sorted(placed.size) == sorted(placed.piece.size)


def _is_inside(placed: Placement, room: Size) -> bool:
    return all(0 <= placed.at[n] <= room[n] - placed.size[n] for n in range(3))


def _are_apart(a: Placement, b: Placement) -> bool:
    """Test whether some plane parallel to a wall of the carton lies between two pieces."""
    return any(a.at[n] + a.size[n] <= b.at[n] or b.at[n] + b.size[n] <= a.at[n] for n in range(3))


def oracle(pieces: Sequence[Piece], cartons: Sequence[Carton]) -> Packing:
    """Pack with packvium, fragile pieces apart."""
    groups = [[piece for piece in pieces if piece.fragile is fragile] for fragile in (False, True)]
    parts = [_by_packvium(group, cartons) for group in groups if group]
    return Packing(
        filled=tuple(filled for part in parts for filled in part.filled),
        left=tuple(left for part in parts for left in part.left),
    )


def _by_packvium(pieces: Sequence[Piece], cartons: Sequence[Carton]) -> Packing:
    packvium: Any = importlib.import_module("packvium")  # only here: it comes with what the tests need

    named = {f"{piece.sku}.{piece.n}": piece for piece in pieces}
    kinds = {carton.carton_id: carton for carton in cartons}
    budget = packvium.EffortBudget(max_candidates_evaluated=_EFFORT)
    answer = (
        packvium.Packer(packvium.PackingConfig.balanced(time_limit_ms=_FUSE_MS, effort_budget=budget))
        .pack(
            items=[
                packvium.Item.create(
                    name, packvium.Dimensions.mm(*map(str, piece.size or ())), f"{piece.weight_g} g"
                )
                for name, piece in named.items()
            ],
            containers=[
                packvium.Container.create(
                    carton.carton_id,
                    packvium.Dimensions.mm(*map(str, carton.size)),
                    max_payload=f"{carton.max_weight_g} g",
                    cost_minor=carton.price,
                )
                for carton in cartons
            ],
        )
        .to_dict(include_alternatives=False)
    )
    return Packing(
        filled=tuple(
            Filled(
                carton=kinds[box["container_type"]],
                placements=tuple(
                    _as_ours(placed, named[placed["item_type"]]) for placed in box["placements"]
                ),
            )
            for box in answer["containers"]
        ),
        left=tuple(Left(piece=named[out["item_type"]], why="packvium") for out in answer["unpacked_items"]),
    )


def _as_ours(placed: dict[str, Any], piece: Piece) -> Placement:
    at, size = placed["position"], placed["dimensions"]
    return Placement(
        piece=piece,
        at=(_mm(at["x"]), _mm(at["y"]), _mm(at["z"])),
        size=(_mm(size["length"]), _mm(size["width"]), _mm(size["height"])),
    )


def _mm(length: dict[str, int]) -> int:
    return length["ticks"] // _TICKS_PER_MM


def _timed(name: str, packer: Packer, orders: Sequence[Sequence[Piece]]) -> tuple[list[Packing], Result]:
    began = time.perf_counter()
    packed = [packer(pieces, STANDARD) for pieces in orders]
    took = time.perf_counter() - began
    boxes = [filled for packing in packed for filled in packing.filled]
    goods = sum(volume(placed.size) for filled in boxes for placed in filled.placements)
    return packed, Result(
        packer=name,
        cartons=len(boxes),
        cost=sum(filled.carton.price for filled in boxes),
        fill=round(goods / sum(filled.carton.volume for filled in boxes), 4),
        left=sum(len(packing.left) for packing in packed),
        ms_per_order=round(took * 1000 / len(orders), 2),
    )


def _line(result: Result) -> str:
    return (
        f"{result.packer}: {result.cartons} cartons for {result.cost / 100:.2f}, {result.fill:.1%} full, "
        f"{result.left} pieces left out, {result.ms_per_order} ms per order"
    )
