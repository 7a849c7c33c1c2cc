"""Cartons: everything fits as it is said to, and a check that shares no line with the packer says so."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from devstack.bench.cartons import oracle, random_orders, wrong
from fulfillment.domain.cartons import STANDARD, Carton, Filled, Packing, Piece, Placement, Size, pack

BOX = Carton(carton_id="BOX", size=(100, 100, 100), max_weight_g=1000, tare_g=50, price=10)
BIG = Carton(carton_id="BIG", size=(200, 100, 100), max_weight_g=1500, tare_g=90, price=25)


def pieces(
    count: int, size: Size | None = (50, 50, 50), *, sku: str = "A", weight_g: int = 10
) -> list[Piece]:
    return [Piece(sku=sku, n=n, weight_g=weight_g, size=size) for n in range(1, count + 1)]


def names(packing: Packing) -> list[str]:
    return [filled.carton.carton_id for filled in packing.filled]


def test_of_1000_random_orders_every_piece_lies_in_a_carton_as_it_is_said_to() -> None:
    for order in random_orders(1000):
        packing = pack(order, STANDARD)

        assert wrong(order, packing) == []
        assert packing.left == ()


def test_it_never_takes_a_carton_more_than_another_packer() -> None:
    for order in random_orders(60):
        ours, other = pack(order, STANDARD), oracle(order, STANDARD)

        assert wrong(order, other) == []
        assert len(ours.filled) <= len(other.filled)


def test_the_same_pieces_are_packed_the_same_way_every_time() -> None:
    (order,) = random_orders(1, seed=7)

    assert pack(order, STANDARD) == pack(list(order), STANDARD)


def test_eight_cubes_fill_a_carton_to_the_brim_and_the_ninth_opens_another() -> None:
    eight, nine = pack(pieces(8), [BOX]), pack(pieces(9), [BOX])

    assert names(eight) == ["BOX"]
    assert names(nine) == ["BOX", "BOX"]
    assert wrong(pieces(9), nine) == []


def test_a_piece_that_fits_only_turned_is_turned() -> None:
    packing = pack(pieces(1, (20, 20, 190)), [BOX, BIG])

    (filled,) = packing.filled
    assert (filled.carton, filled.placements[0].size) == (BIG, (190, 20, 20))


def test_the_cheapest_carton_that_takes_all_is_chosen() -> None:
    assert names(pack(pieces(9), [BIG, BOX])) == ["BIG"]
    assert names(pack(pieces(8), [BIG, BOX])) == ["BOX"]


def test_what_is_too_heavy_for_one_carton_goes_in_several() -> None:
    packing = pack(pieces(3, (50, 50, 50), weight_g=400), [BOX])

    assert [len(filled.placements) for filled in packing.filled] == [2, 1]
    assert [filled.weight_g for filled in packing.filled] == [850, 450]


def test_fragile_pieces_are_apart_from_others() -> None:
    order = pieces(2) + [replace(piece, sku="VASE", fragile=True) for piece in pieces(2)]

    packing = pack(order, [BOX])

    assert [{p.piece.sku for p in filled.placements} for filled in packing.filled] == [{"A"}, {"VASE"}]


@pytest.mark.parametrize(
    ("size", "weight_g", "why"),
    [((201, 10, 10), 10, "larger than every carton"), ((150, 50, 50), 1501, "heavier than any carton")],
)
def test_a_piece_no_carton_takes_is_named_and_the_rest_goes_on(size: Size, weight_g: int, why: str) -> None:
    order = [*pieces(1), *pieces(1, size, sku="TENT", weight_g=weight_g)]

    packing = pack(order, [BOX, BIG])

    (left,) = packing.left
    assert (left.piece.sku, names(packing)) == ("TENT", ["BOX"])
    assert why in left.why


def test_what_nobody_measured_is_packed_by_weight_and_named() -> None:
    order = [*pieces(1), *pieces(8, None, sku="LAMP", weight_g=25)]  # cubes of 125 ml, all of them

    packing = pack(order, [BOX, BIG])

    assert packing.guessed == ("LAMP",)
    assert names(packing) == ["BIG"]
    assert sum(len(filled.placements) for filled in packing.filled) == 9


def test_a_heavy_piece_nobody_measured_still_finds_a_carton() -> None:
    packing = pack(pieces(1, None, weight_g=1400), [BOX, BIG])

    assert (names(packing), packing.left) == (["BIG"], ())


def test_nothing_needs_no_carton() -> None:
    assert pack([], STANDARD) == Packing(filled=())


# --- the check itself: it must see what is wrong ------------------------------------------------------


def moved(packing: Packing, **changes: object) -> Packing:
    """The packing with its last piece lying otherwise."""
    (filled,) = packing.filled
    *others, last = filled.placements
    return Packing(filled=(Filled(carton=filled.carton, placements=(*others, replace(last, **changes))),))


@pytest.mark.parametrize(
    ("broken", "seen"),
    [
        (lambda packing: moved(packing, at=(0, 0, 0)), "overlap"),
        (lambda packing: moved(packing, at=(49, 0, 0)), "overlap"),
        (lambda packing: moved(packing, at=(51, 0, 0)), "sticks out"),
        (lambda packing: moved(packing, at=(-1, 50, 50)), "sticks out"),
        (lambda packing: moved(packing, size=(50, 50, 49)), "not of its size"),
        (
            lambda packing: moved(packing, piece=Piece(sku="B", n=1, weight_g=1, size=(50, 50, 50))),
            "every piece",
        ),
        (
            lambda packing: moved(packing, piece=Piece(sku="B", n=1, weight_g=991, size=(50,) * 3)),
            "too heavy",
        ),
        (
            lambda packing: moved(
                packing, piece=Piece(sku="B", n=1, weight_g=1, size=(50,) * 3, fragile=True)
            ),
            "beside others",
        ),
    ],
)
def test_the_check_sees_a_packing_that_cannot_be(broken: Callable[[Packing], Packing], seen: str) -> None:
    order = pieces(2)
    good = pack(order, [BOX])

    assert wrong(order, good) == []
    assert any(seen in fault for fault in wrong(order, broken(good)))


def test_pieces_that_touch_do_not_overlap() -> None:
    a, b = pieces(2)
    inside = (
        Placement(piece=a, at=(0, 0, 0), size=(50, 50, 50)),
        Placement(piece=b, at=(50, 0, 0), size=(50, 50, 50)),
    )

    assert wrong([a, b], Packing(filled=(Filled(carton=BOX, placements=inside),))) == []
