"""In which parcels goods leave: one carton, one shipment; what nobody measured stays together; and never too heavy."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest

from devstack.bench.cartons import random_orders
from fulfillment.domain import cartons
from fulfillment.domain.cartons import STANDARD, Carton, Packing, Piece
from fulfillment.domain.division import MOST_PARCELS, Boxes, Goods, Units, added_up, hand_out
from fulfillment.domain.label import HEAVIEST_G
from fulfillment.domain.order import UnitRange

MUG = Goods(sku="MUG", weight_g=350, size=(110, 90, 95))
VASE = replace(MUG, sku="VASE", fragile=True)
STOVE = Goods(sku="STOVE", weight_g=17_000, size=(400, 300, 300))
TENT = Goods(sku="TENT", weight_g=2_500, size=(500, 300, 300))
RUG = Goods(sku="RUG", weight_g=9_000, size=(1_800, 200, 200))
ANVIL = Goods(sku="ANVIL", weight_g=60_000, size=(300, 200, 200))
SACK = Goods(sku="SACK", weight_g=12_000)  # nobody measured it
BOX = Goods(sku="BOX", weight_g=1, size=(100, 100, 100))  # nobody weighed it
ALL = (MUG, VASE, STOVE, TENT, RUG, ANVIL, SACK, BOX)


def parcels(**units: int) -> list[dict[str, int]]:
    return [dict(parcel) for parcel in Boxes(ALL).divide(units).parcels]


def weight(parcel: Units) -> int:
    grams = {goods.sku: goods.known_g for goods in ALL}
    return sum(grams[sku] * count for sku, count in parcel.items())


def test_what_fits_one_carton_is_one_parcel_even_if_something_fragile_lies_among_it() -> None:
    assert parcels(MUG=3, VASE=1) == [{"MUG": 3, "VASE": 1}]


def test_what_needs_several_cartons_is_as_many_parcels() -> None:
    """Guard: without the division four stoves of 17 kg are one parcel of 68 kg, and no carton holds two of them."""
    assert parcels(STOVE=4) == [{"STOVE": 1}] * 4


def test_small_goods_go_with_the_large_ones_while_there_is_room() -> None:
    found = parcels(TENT=2, MUG=2)

    assert len(found) == 2
    assert sum(map(Counter, found), Counter()) == {"TENT": 2, "MUG": 2}


def test_a_piece_that_fits_no_carton_goes_as_it_is_by_itself() -> None:
    assert parcels(RUG=2, MUG=1) == [{"MUG": 1}, {"RUG": 1}, {"RUG": 1}]


def test_a_piece_that_no_carton_carries_goes_by_itself() -> None:
    assert parcels(ANVIL=1, MUG=1) == [{"MUG": 1}, {"ANVIL": 1}]


def test_a_single_piece_is_one_parcel_whatever_it_is() -> None:
    assert [parcels(**{goods.sku: 1}) for goods in ALL] == [[{goods.sku: 1}] for goods in ALL]


def test_what_nobody_measured_stays_together_up_to_what_a_carton_carries() -> None:
    assert parcels(SACK=2) == [{"SACK": 2}]
    assert parcels(SACK=5) == [{"SACK": 2}, {"SACK": 2}, {"SACK": 1}]


def test_what_nobody_weighed_stays_together() -> None:
    assert parcels(BOX=9) == [{"BOX": 9}]


def test_what_is_not_known_goes_with_the_lightest_of_several_parcels() -> None:
    assert parcels(STOVE=2, MUG=1, BOX=1) == [{"STOVE": 1, "MUG": 1}, {"STOVE": 1, "BOX": 1}]


def test_what_is_not_known_goes_by_itself_where_it_would_be_too_heavy() -> None:
    assert parcels(STOVE=1, SACK=2) == [{"STOVE": 1}, {"SACK": 2}]


def test_no_carton_is_filled_beyond_what_a_label_is_for() -> None:
    chest = Carton(carton_id="CHEST", size=(900, 900, 900), max_weight_g=70_000, tare_g=2_000, price=900)

    found = Boxes(ALL, [chest]).divide({"STOVE": 4, "SACK": 6}).parcels

    assert max(map(weight, found)) + chest.tare_g <= HEAVIEST_G
    assert found == ({"STOVE": 3}, {"STOVE": 1}, {"SACK": 4}, {"SACK": 2})


def test_many_cartons_are_tied_together_evenly() -> None:
    found = parcels(TENT=18)

    assert Counter(parcel["TENT"] for parcel in found) == {3: MOST_PARCELS}


def test_what_would_be_too_many_parcels_is_freight_and_not_divided() -> None:
    """Guard: without it half a ton were dozens of shipments, each with an authorization of its own.

    Tied by number alone, they were parcels of 34 kg, which not every carrier takes.
    """
    found = Boxes(ALL).divide({"STOVE": MOST_PARCELS + 1})

    assert found.parcels == ({"STOVE": MOST_PARCELS + 1},)
    assert "freight" in found.why


def test_however_many_there_are_the_packer_sees_only_a_few_at_once() -> None:
    """Packing takes the cube of the number of pieces, and an order waits for it. Guard: without the bound it saw all."""
    seen = []

    def packer(pieces: Sequence[Piece], kinds: Sequence[Carton]) -> Packing:
        seen.append(len(pieces))
        return cartons.pack(pieces, kinds)

    for goods in ALL:
        Boxes(ALL, packer=packer).divide({goods.sku: 61})

    assert max(seen) < 61


def test_of_very_many_pieces_it_is_reckoned_how_many_a_carton_takes() -> None:
    found = parcels(MUG=200)

    assert sum(parcel["MUG"] for parcel in found) == 200
    assert max(map(weight, found)) <= HEAVIEST_G
    assert 1 < len(found) <= MOST_PARCELS


@pytest.mark.parametrize("seed", range(40))
def test_whatever_is_divided_every_unit_is_in_one_parcel_and_none_is_too_heavy(seed: int) -> None:
    dice = random.Random(seed)
    units = {goods.sku: dice.randint(1, 9) for goods in dice.sample(ALL, dice.randint(1, 4))}

    found = Boxes(ALL).divide(units)

    is_freight = len(found.parcels) == 1 and bool(found.why)
    assert sum(map(Counter, found.parcels), Counter()) == units
    assert len(found.parcels) <= MOST_PARCELS
    for parcel in found.parcels:
        assert is_freight or weight(parcel) <= HEAVIEST_G or parcel == {"ANVIL": 1}
    assert Boxes(ALL).divide(dict(reversed(units.items()))) == found


def test_orders_as_shops_have_them_are_as_many_parcels_as_cartons() -> None:
    for pieces in random_orders(100):
        goods = {piece.sku: Goods(sku=piece.sku, weight_g=piece.weight_g, size=piece.size, fragile=piece.fragile)
                 for piece in pieces}  # fmt: skip
        packing = cartons.for_one_label(cartons.pack, sorted(pieces, key=lambda p: (p.sku, p.n)), STANDARD)

        found = Boxes(goods.values()).divide(Counter(piece.sku for piece in pieces)).parcels

        assert len(found) == len(packing.filled) + len(packing.left)


def test_it_is_said_why_it_is_not_one() -> None:
    boxes = Boxes(ALL)

    assert boxes.divide({"MUG": 2}).why == ""
    assert boxes.divide({"TENT": 3}).why == "no carton takes all of it"
    assert boxes.divide({"RUG": 1, "MUG": 1}).why == "no carton takes RUG"
    heavy = "it weighs 51000 g, and no carton carries more than 30000 g"
    assert boxes.divide({"STOVE": 3}).why == heavy


@pytest.mark.parametrize("seed", range(20))
def test_parts_of_goods_never_make_fewer_parcels_than_the_whole(seed: int) -> None:
    dice, boxes = random.Random(seed), Boxes(ALL)
    whole = {goods.sku: dice.randint(1, 6) for goods in dice.sample(ALL, 3)}
    part = {sku: dice.randint(0, count) for sku, count in whole.items()}
    rest = {sku: count - part[sku] for sku, count in whole.items()}

    assert boxes.share(whole, whole) == len(boxes.divide(whole).parcels)
    assert boxes.share(part, whole) + boxes.share(rest, whole) >= len(boxes.divide(whole).parcels)


def test_units_of_lines_are_handed_out_from_the_lowest_number_on() -> None:
    ranges = [UnitRange(line_no=1, first=3, count=4), UnitRange(line_no=2, first=1, count=2)]
    sku_of = {1: "STOVE", 2: "STOVE"}

    given = hand_out(ranges, sku_of, [{"STOVE": 3}, {"STOVE": 2}, {"STOVE": 1}])

    assert added_up(ranges, sku_of) == {"STOVE": 6}
    assert given == [
        (UnitRange(line_no=1, first=3, count=3),),
        (UnitRange(line_no=1, first=6, count=1), UnitRange(line_no=2, first=1, count=1)),
        (UnitRange(line_no=2, first=2, count=1),),
    ]
