"""Which pieces go in which carton, and where: exact, in millimetres and grams, and the same answer every time.

A piece is a box that may be turned any way. It goes to an extreme point: a corner that pieces already placed leave
free (Crainic, Perboli, Tadei: Extreme Point-Based Heuristics for Three-Dimensional Bin Packing, 2008).
What lies below a piece is not asked: free space in a carton is filled with paper.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

Size = tuple[int, int, int]

UNWEIGHED_G: Final = 1  # or less: what an import writes where it is given no weight
# What a piece of unknown size is taken for: a cube of 200 kg per cubic metre, as light as parcels come.
_MM3_PER_GRAM: Final = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Carton:
    """A kind of box. Sizes are inner ones in mm, `max_weight_g` is of its contents, `price` in minor units."""

    carton_id: str
    size: Size
    max_weight_g: int
    tare_g: int
    price: int

    @property
    def volume(self) -> int:
        """Return what it holds, in cubic millimetres."""
        return volume(self.size)


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """The `n`-th unit of a SKU. `size` is in mm, None where nobody measured it."""

    sku: str
    n: int
    weight_g: int
    size: Size | None = None
    fragile: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where a piece lies: its corner nearest the carton's, and its sides as it is turned, in mm."""

    piece: Piece
    at: Size
    size: Size


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """A carton with its pieces, in the order in which they go in."""

    carton: Carton
    placements: tuple[Placement, ...]

    @property
    def weight_g(self) -> int:
        """Return what it weighs with its contents."""
        return self.carton.tare_g + sum(placed.piece.weight_g for placed in self.placements)


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """A piece that no carton takes, and why."""

    piece: Piece
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Packing:
    """Cartons with their contents. Every piece is in one of them, or left with a reason.

    `guessed` names the SKUs nobody measured: their size was guessed from their weight.
    """

    filled: tuple[Filled, ...]
    left: tuple[Left, ...] = ()
    guessed: tuple[str, ...] = ()


class Packer(Protocol):
    """The port: our own packer below, or another one in its place."""

    def __call__(self, pieces: Sequence[Piece], cartons: Sequence[Carton]) -> Packing: ...


STANDARD: Final = (
    Carton(carton_id="S", size=(230, 160, 80), max_weight_g=5_000, tare_g=90, price=38),
    Carton(carton_id="FLAT", size=(350, 250, 50), max_weight_g=3_000, tare_g=110, price=45),
    Carton(carton_id="M", size=(310, 230, 150), max_weight_g=10_000, tare_g=210, price=69),
    Carton(carton_id="LONG", size=(600, 150, 150), max_weight_g=10_000, tare_g=260, price=95),
    Carton(carton_id="L", size=(400, 300, 250), max_weight_g=20_000, tare_g=420, price=119),
    Carton(carton_id="XL", size=(600, 400, 400), max_weight_g=30_000, tare_g=900, price=209),
)


def pack(pieces: Sequence[Piece], cartons: Sequence[Carton]) -> Packing:
    """Return the cheapest packing found: few cartons first, then what they cost.

    Fragile pieces share a carton with fragile ones only.
    """
    largest = max(cartons, key=lambda carton: carton.volume)
    guessed = tuple(sorted({piece.sku for piece in pieces if piece.size is None}))
    sized = [(piece, piece.size or _guess(piece, largest)) for piece in pieces]
    left = tuple(
        Left(piece=piece, why=why) for piece, size in sized if (why := _why_none(piece, size, cartons))
    )
    there = [(piece, size) for piece, size in sized if _why_none(piece, size, cartons) == ""]
    apart = ([one for one in there if one[0].fragile is fragile] for fragile in (False, True))
    filled = tuple(carton for group in apart for carton in _fill(group, cartons))
    return Packing(filled=filled, left=left, guessed=guessed)


def for_one_label(packer: Packer, pieces: Sequence[Piece], cartons: Sequence[Carton]) -> Packing:
    """Return a packing in one carton where one takes everything, even if fragile pieces then lie among others.

    A shipment has one label. It was planned for one carton, so several come of what nobody measured, or of what was
    changed since or never divided (`division.py`): then they are tied together under the label.
    """
    apart = packer(pieces, cartons)
    if len(apart.filled) < 2:
        return apart
    known = {(piece.sku, piece.n): piece for piece in pieces}
    together = packer([replace(piece, fragile=False) for piece in pieces], cartons)
    if len(together.filled) > 1:
        return apart
    (one,) = together.filled
    placements = tuple(replace(p, piece=known[p.piece.sku, p.piece.n]) for p in one.placements)
    return replace(together, filled=(replace(one, placements=placements),), left=apart.left)


def volume(size: Size) -> int:
    """Return the volume of a box in cubic millimetres."""
    return size[0] * size[1] * size[2]


_Sized = tuple[Piece, Size]


def _guess(piece: Piece, largest: Carton) -> Size:
    """Return a cube as heavy as the piece; never one that would fit nowhere."""
    side = 1
    while side**3 < piece.weight_g * _MM3_PER_GRAM and side < min(largest.size):
        side += 1
    return side, side, side


def _why_none(piece: Piece, size: Size, cartons: Sequence[Carton]) -> str:
    """Return why no carton takes a piece by itself, "" when one does."""
    holds = [carton for carton in cartons if _is_within(size, carton.size)]
    if not holds:
        return "larger than every carton"
    if all(carton.max_weight_g < piece.weight_g for carton in holds):
        return "heavier than any carton of its size carries"
    return ""


def _is_within(size: Size, room: Size) -> bool:
    return all(side <= there for side, there in zip(sorted(size), sorted(room), strict=True))


# Which piece goes first decides what fits; each of these wins on orders of its own kind.
_ORDERS: Final[tuple[Callable[[_Sized], tuple[int, ...]], ...]] = (
    lambda one: (volume(one[1]), max(one[1])),
    lambda one: (max(one[1]), volume(one[1])),
    lambda one: (sorted(one[1])[1] * max(one[1]), volume(one[1])),
)


def _fill(pieces: Sequence[_Sized], cartons: Sequence[Carton]) -> tuple[Filled, ...]:
    """Return the pieces in one carton where one holds them, else in several."""
    if not pieces:
        return ()
    cheap_first = sorted(cartons, key=lambda carton: (carton.price, carton.volume, carton.carton_id))
    if one := _in_one(pieces, cheap_first):
        return (one,)
    ways = [_in_several(order, cheap_first) for order in _in_orders(pieces)]
    return min(ways, key=lambda way: (len(way), sum(filled.carton.price for filled in way)))


def _in_orders(pieces: Sequence[_Sized]) -> Iterator[list[_Sized]]:
    """Yield the pieces in each order worth trying, every order once."""
    seen = []
    for key in _ORDERS:
        order = sorted(pieces, key=key, reverse=True)
        if order not in seen:
            seen.append(order)
            yield order


def _in_one(pieces: Sequence[_Sized], cheap_first: Sequence[Carton]) -> Filled | None:
    """Return the cheapest carton that takes all of them."""
    room, weight = sum(volume(size) for _, size in pieces), sum(piece.weight_g for piece, _ in pieces)
    for carton in cheap_first:
        if carton.volume < room or carton.max_weight_g < weight:
            continue
        for order in _in_orders(pieces):
            placed, rest = _place(order, carton)
            if not rest:
                return Filled(carton=carton, placements=placed)
    return None


def _in_several(order: Sequence[_Sized], cheap_first: Sequence[Carton]) -> tuple[Filled, ...]:
    """Fill the carton that takes the most, then go on with the rest; each ends in the cheapest that holds it."""
    filled, rest = [], list(order)
    while rest:
        tries = [(carton, *_place(rest, carton)) for carton in cheap_first]
        carton, placed, after = max(tries, key=lambda tried: sum(volume(p.size) for p in tried[1]))
        taken = [one for one in rest if one not in after]
        filled.append(_in_one(taken, cheap_first) or Filled(carton=carton, placements=placed))
        rest = after
    return tuple(filled)


def _place(order: Sequence[_Sized], carton: Carton) -> tuple[tuple[Placement, ...], list[_Sized]]:
    """Return what of these the carton takes, one after the other, and what it does not."""
    placed: list[Placement] = []
    rest: list[_Sized] = []
    corners: list[Size] = [(0, 0, 0)]
    can_carry = carton.max_weight_g
    for piece, size in order:
        spot = _spot(size, corners, placed, carton.size) if piece.weight_g <= can_carry else None
        if spot is None:
            rest.append((piece, size))
            continue
        placed.append(Placement(piece=piece, at=spot[0], size=spot[1]))
        corners = _corners(corners, placed)
        can_carry -= piece.weight_g
    return tuple(placed), rest


def _spot(
    size: Size, corners: Sequence[Size], placed: Sequence[Placement], room: Size
) -> tuple[Size, Size] | None:
    """Return the corner and the turn in which a piece ends lowest, then nearest to the walls; None where none is free."""
    free = ((at, turn) for turn in _turns(size) for at in corners if _fits(at, turn, placed, room))
    return min(free, key=_ends, default=None)


def _turns(size: Size) -> tuple[Size, ...]:
    """Return every way to turn a box, each once; always in the same order."""
    a, b, c = sorted(size)
    return tuple(dict.fromkeys(((a, b, c), (a, c, b), (b, a, c), (b, c, a), (c, a, b), (c, b, a))))


def _ends(spot: tuple[Size, Size]) -> tuple[int, int, int]:
    (x, y, z), (length, width, height) = spot
    return z + height, y + width, x + length


def _fits(at: Size, size: Size, placed: Sequence[Placement], room: Size) -> bool:
    x, y, z = at
    a, b, c = x + size[0], y + size[1], z + size[2]
    if a > room[0] or b > room[1] or c > room[2]:
        return False
    for other in placed:
        (u, v, w), (d, e, f) = other.at, other.size
        if x < u + d and u < a and y < v + e and v < b and z < w + f and w < c:
            return False
    return True


def _corners(corners: Sequence[Size], placed: Sequence[Placement]) -> list[Size]:
    """Return the corners there are with the newest piece: its far ends, slid towards the walls until they touch."""
    newest, others = placed[-1], placed[:-1]
    far = tuple(at + side for at, side in zip(newest.at, newest.size, strict=True))
    found = {corner for corner in corners if not _is_inside(corner, newest)}
    for axis in range(3):
        for towards in range(3):
            if towards != axis:
                start = list(newest.at)
                start[axis] = far[axis]
                found.add(_slid(start, towards, others))
    return sorted(found, key=lambda corner: (corner[2], corner[1], corner[0]))


def _is_inside(corner: Size, piece: Placement) -> bool:
    return all(at <= c < at + side for c, at, side in zip(corner, piece.at, piece.size, strict=True))


def _slid(corner: list[int], axis: int, others: Sequence[Placement]) -> Size:
    """Return a corner moved along an axis towards 0, up to the first piece in its way."""
    walls = [
        other.at[axis] + other.size[axis]
        for other in others
        if other.at[axis] + other.size[axis] <= corner[axis]
        and all(
            other.at[side] <= corner[side] < other.at[side] + other.size[side]
            for side in range(3)
            if side != axis
        )
    ]
    corner[axis] = max(walls, default=0)
    return corner[0], corner[1], corner[2]
