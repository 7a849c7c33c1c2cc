"""At the bench: nothing is closed before every unit was scanned, and the scales agree."""

from typing import Any

import pytest

from devstack.packer import scan_all
from fulfillment.domain.cartons import Carton
from fulfillment.domain.catalogue import Product
from fulfillment.domain.errors import IdUsed
from fulfillment.domain.holds import HoldReason
from fulfillment.domain.order import OrderLine
from fulfillment.domain.packing import (
    AtAnotherBench,
    Bench,
    NoSuchProblem,
    NotAtBench,
    NotVerified,
    ProblemStands,
    SerialNeeded,
    UnitScan,
    UnknownCarton,
    WeightOff,
)
from fulfillment.domain.record import PlaceHold
from fulfillment.domain.shipment import InvalidTransition, Stop
from fulfillment.storage.tables import audit_entries, packing_scans, parcels, shipments
from tests.storage.house import MUG, TEA, House

S = "SO-1-1"
MUG_MEASURED = {
    "sku": MUG, "name": "Mug", "weight_g": 300, "price": 1200, "length_mm": 110, "width_mm": 90, "height_mm": 95,
}  # fmt: skip
TEA_MEASURED = {
    "sku": TEA, "name": "Tea", "weight_g": 120, "price": 500, "length_mm": 90, "width_mm": 60, "height_mm": 140,
}  # fmt: skip


def picked(house: House, *products: dict[str, Any], **changes: Any) -> House:
    """An order of two mugs and a tea, picked; the products as the catalogue has them now."""
    house.stocked()
    if products:
        house.stock.set_catalogue([Product(**product) for product in products], by="test")
    house.released(**changes)
    house.floor.start_picking(S, by="pia")
    house.floor.picked(S, by="pia")
    return house


@pytest.fixture
def bench(house: House) -> House:
    """Two mugs and a tea, measured and weighed, at Pia's bench."""
    picked(house, MUG_MEASURED, TEA_MEASURED)
    house.benches.start(S, by="pia")
    return house


def scan(house: House, *codes: str, first: int = 1, serials: tuple[str, ...] = ()) -> Bench:
    numbers = serials or ("",) * len(codes)
    return house.benches.scan(
        S,
        [
            UnitScan(scan_id=f"s-{n}", code=code, serial=serial)
            for n, (code, serial) in enumerate(zip(codes, numbers, strict=True), start=first)
        ],
        by="pia",
    )


def close(house: House, weight_g: int = 930, **said: str) -> str:
    return house.floor.pack(S, weight_g=weight_g, by="pia", **said)


def statuses(house: House) -> tuple[str, int]:
    return house.row(shipments)["work_status"], len(house.rows(parcels))


def test_the_bench_is_told_which_carton_takes_everything_and_what_it_will_weigh(bench: House) -> None:
    there = bench.benches.show(S)

    (filled,) = there.packing.filled
    assert filled.carton.carton_id == "M"
    assert [line.missing for line in there.lines] == [2, 1]
    assert there.expected_g == 2 * 300 + 120 + filled.carton.tare_g
    assert not there.is_verified


def test_a_parcel_whose_every_unit_was_scanned_is_closed_in_the_carton_of_the_plan(bench: House) -> None:
    scan(bench, MUG, TEA, MUG)

    assert close(bench) == close(bench) == "SO-1-P1"
    parcel = bench.row(parcels)
    assert (parcel["carton_id"], parcel["size_mm"], parcel["weight_g"]) == ("M", [310, 230, 150], 930)
    assert bench.shipping.claim_label("SO-1-P1").size_mm == (310, 230, 150), "carriers price the carton"


def test_no_parcel_is_closed_and_no_label_bought_before_the_last_unit_was_scanned(bench: House) -> None:
    scan(bench, MUG, TEA)

    with pytest.raises(NotVerified, match="1 of MUG"):
        close(bench)

    assert statuses(bench) == ("picked", 0)


def test_what_nobody_began_to_pack_is_not_closed(house: House) -> None:
    picked(house)

    with pytest.raises(NotAtBench):
        close(house)

    assert statuses(house) == ("picked", 0)


def test_a_scan_that_is_sent_again_counts_once_and_gets_the_same_answer(bench: House) -> None:
    first, again = scan(bench, MUG), scan(bench, MUG)

    assert first == again
    assert [line.verified for line in again.lines] == [1, 0]
    assert len(bench.rows(packing_scans)) == 1


def test_another_unit_under_a_used_id_is_refused_and_not_swallowed(bench: House) -> None:
    scan(bench, MUG)

    with pytest.raises(IdUsed, match="s-1 was used for MUG of SO-1-1"):
        scan(bench, TEA, MUG)
    units = [UnitScan(scan_id="s-7", code=code) for code in (MUG, TEA)]
    with pytest.raises(IdUsed, match="s-7 was used for MUG"):
        bench.benches.scan(S, units, by="pia")

    assert [line.verified for line in bench.benches.show(S).lines] == [1, 0], "nothing of these was counted"


def test_the_same_scan_twice_in_one_request_counts_once(bench: House) -> None:
    unit = UnitScan(scan_id="s-1", code=MUG)

    assert bench.benches.scan(S, [unit, unit], by="pia").lines[0].verified == 1


@pytest.mark.parametrize(
    ("codes", "words"),
    [
        (("HAT",), "HAT does not belong in this shipment: take it out, put it back on the shelf"),
        ((TEA, TEA), "all 1 of TEA are in already: take this one out"),
    ],
)
def test_what_does_not_belong_stands_until_somebody_has_seen_it(
    bench: House, codes: tuple[str, ...], words: str
) -> None:
    there = scan(bench, *codes, MUG, MUG)

    assert words in there.problem
    assert there.lines[0].verified == 0, "what came after the wrong one was not counted"
    with pytest.raises(ProblemStands, match=codes[0]):
        scan(bench, MUG, first=20)
    assert there.problem_scan is not None
    with pytest.raises(
        NoSuchProblem, match=f"another was not wrong; what stands is scan {there.problem_scan}: "
    ):
        bench.benches.acknowledge(S, "another", by="pia")
    with pytest.raises(ProblemStands):
        scan(bench, MUG, first=20)
    assert not bench.benches.acknowledge(S, there.problem_scan, by="pia").problem
    assert not bench.benches.acknowledge(S, there.problem_scan, by="pia").problem
    assert scan(bench, MUG, first=20).lines[0].verified == 1


def test_scans_after_a_wrong_one_are_named_and_count_when_they_are_sent_again(bench: House) -> None:
    there = scan(bench, MUG, "HAT", TEA, MUG)
    bench.benches.acknowledge(S, "s-2", by="pia")

    again = scan(bench, MUG, "HAT", TEA, MUG)

    assert there.to_send_again == ("s-3", "s-4")
    assert (again.to_send_again, again.is_verified) == ((), True)


def test_nothing_is_seen_where_nothing_is_wrong(bench: House) -> None:
    scan(bench, MUG)

    with pytest.raises(NoSuchProblem, match="nothing wrong lies there"):
        bench.benches.acknowledge(S, "zz", by="pia")
    with pytest.raises(NoSuchProblem, match="s-1 was not wrong"):
        bench.benches.acknowledge(S, "s-1", by="pia")


def test_a_parcel_with_something_wrong_in_it_is_not_closed_though_every_unit_was_scanned(
    bench: House,
) -> None:
    scan(bench, MUG, TEA, MUG, "HAT")

    with pytest.raises(ProblemStands, match="HAT"):
        close(bench)

    bench.benches.acknowledge(S, "s-4", by="pia")
    assert close(bench) == "SO-1-P1"


def test_a_wrong_scan_is_in_the_log_with_who_did_it(bench: House) -> None:
    scan(bench, "HAT")
    bench.benches.acknowledge(S, "s-1", by="maria")

    log = [(row["command"], row["actor"]) for row in bench.rows(audit_entries) if row["request_id"] == "s-1"]
    assert log == [("scan", "pia"), ("acknowledge", "maria")]


@pytest.mark.parametrize(("weight_g", "less"), [(630, "too light"), (1240, "too heavy")])
def test_a_weight_that_cannot_be_is_refused_until_somebody_says_why_it_is_right(
    bench: House, weight_g: int, less: str
) -> None:
    scan(bench, MUG, TEA, MUG)

    with pytest.raises(WeightOff, match=less):
        close(bench, weight_g)
    assert statuses(bench) == ("picked", 0)

    close(bench, weight_g, weight_reason="a gift card in the box")
    assert bench.row(audit_entries, command="pack")["reason"] == "a gift card in the box"


@pytest.mark.parametrize("weight_g", [930 - 50, 930 + 50])
def test_paper_and_tape_may_weigh_what_they_weigh(bench: House, weight_g: int) -> None:
    scan(bench, MUG, TEA, MUG)

    assert close(bench, weight_g) == "SO-1-P1"


def test_what_was_never_weighed_weighs_what_the_scales_say(house: House) -> None:
    picked(house, MUG_MEASURED, TEA_MEASURED | {"weight_g": 1})

    assert scan_all(house.benches, S, by="pia").expected_g is None
    assert close(house, 4000) == "SO-1-P1"


def test_another_carton_than_the_proposed_one_is_weighed_with_its_own_tare(bench: House) -> None:
    scan(bench, MUG, TEA, MUG)

    with pytest.raises(UnknownCarton):
        close(bench, carton_id="HATBOX")
    close(bench, 720 + 420, carton_id="L")

    assert bench.row(parcels)["size_mm"] == [400, 300, 250]


def test_the_shops_own_cartons_take_the_place_of_the_usual_ones(house: House) -> None:
    picked(house, MUG_MEASURED, TEA_MEASURED)
    cube = Carton(carton_id="CUBE", size=(300, 300, 300), max_weight_g=9000, tare_g=300, price=90)
    house.benches.put_carton(cube)

    (filled,) = house.benches.start(S, by="pia").packing.filled
    house.benches.retire_carton("CUBE")

    assert filled.carton == cube
    assert "CUBE" not in {carton.carton_id for carton in house.benches.cartons()}


def test_a_unit_with_a_number_of_its_own_is_scanned_with_it_and_never_twice(house: House) -> None:
    picked(house, MUG_MEASURED, TEA_MEASURED)
    house.stock.set_catalogue([Product(**MUG_MEASURED, serial=True)], by="test")
    house.benches.start(S, by="pia")

    with pytest.raises(SerialNeeded):
        scan(house, TEA, MUG)
    assert house.rows(packing_scans) == []
    there = scan(house, MUG, MUG, serials=("A1", "A1"))

    assert "A1 was scanned already" in there.problem
    house.benches.acknowledge(S, "s-2", by="pia")
    there = scan(house, MUG, TEA, first=3, serials=("A2", ""))
    assert (there.is_verified, sorted(there.lines[0].serials)) == (True, ["A1", "A2"])


def test_two_benches_do_not_pack_the_same_shipment_unless_one_takes_it_over(bench: House) -> None:
    scan(bench, MUG)

    with pytest.raises(AtAnotherBench, match="packed by pia"):
        bench.benches.start(S, by="tom", station="bench 2")
    there = bench.benches.start(S, by="tom", station="bench 2", take_over=True)

    assert (there.packer, there.station, there.lines[0].verified) == ("tom", "bench 2", 1)


def test_a_shipment_whose_content_changed_is_scanned_anew(bench: House) -> None:
    scan(bench, MUG, TEA, MUG)
    bench.change(shipments, {"reworks": 1}, shipment_id=S)

    with pytest.raises(NotAtBench):
        close(bench)
    there = bench.benches.start(S, by="pia")
    late = scan(bench, MUG)

    assert (there.round, [line.verified for line in there.lines]) == (1, [0, 0])
    assert late.lines[0].verified == 0, "a scan of the content before says nothing of this one"


def test_a_hold_reaches_the_bench(bench: House) -> None:
    scan(bench, MUG)
    bench.records.place_hold(
        PlaceHold(order_id="SO-1", reason=HoldReason.MANUAL, by="maria", request_id="r-1", due_at=bench.time)
    )

    for step in (lambda: scan(bench, MUG, first=2), lambda: bench.benches.start(S, by="pia")):
        with pytest.raises(Stop, match="on hold"):
            step()
    assert scan(bench, MUG).lines[0].verified == 1, "what was scanned before stays so"


def test_what_is_not_picked_yet_cannot_be_packed_and_what_is_packed_stays_as_it_was(house: House) -> None:
    house.stocked().released()
    with pytest.raises(InvalidTransition):
        house.benches.start(S, by="pia")
    house.floor.start_picking(S, by="pia")
    house.floor.picked(S, by="pia")
    house.pack(S)

    assert house.benches.start(S, by="tom").packer == "pia"
    with pytest.raises(InvalidTransition):
        scan(house, MUG, first=50)


def test_lines_of_one_sku_are_scanned_together(house: House) -> None:
    lines = tuple(
        OrderLine(line_no=n, sku=MUG, name=name, quantity=1, unit_price=1200)
        for n, name in enumerate(("Mug", "Mug, engraved"), start=1)
    )
    picked(house, lines=lines, total=2400)

    there = house.benches.start(S, by="pia")

    assert [(line.sku, line.quantity) for line in there.lines] == [(MUG, 2)]
    assert scan_all(house.benches, S, by="pia").is_verified
