"""The shelf: what is picked next, whose it is, each unit scanned once, looked at where the policy says, and put back."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from fulfillment.domain.change import CancelUnits, LineQuantity
from fulfillment.domain.errors import IdUsed
from fulfillment.domain.holds import HoldReason
from fulfillment.domain.inventory import Disposition
from fulfillment.domain.picking import (
    CheckGrade,
    CheckNeeded,
    InOtherHands,
    Look,
    NotScanned,
    PhotoNeeded,
    PickMode,
    PickRefused,
    PickScan,
    Rejection,
    Scanned,
    TakeWalk,
    UnknownWalk,
    Walk,
    WrongScan,
)
from fulfillment.domain.policy import DEFAULT, ConditionCheck
from fulfillment.domain.record import PlaceHold, StopShipments
from fulfillment.domain.shipment import Stop
from fulfillment.storage.picking import PickingStore
from fulfillment.storage.rejections import Reject
from fulfillment.storage.tables import audit_entries, condition_checks, pick_scans, put_backs, shipments
from fulfillment.storage.warehouse import WarehouseStore
from tests.storage.house import MORNING, MUG, TEA, House, only
from tests.storage.proof import check_books

RENO = "wh-reno"
LEASE = DEFAULT.pick_lease


def take(house: House, walk_id: str = "w-1", picker: str = "pia", **changes: Any) -> Walk:
    return house.picking.take(TakeWalk(walk_id=walk_id, location_id=RENO, picker=picker, **changes))


def scan(house: House, scan_id: str, sku: str = MUG, **changes: Any) -> Scanned:
    said = PickScan(scan_id=scan_id, walk_id="w-1", tote=1, sku=sku, picker="pia")
    return house.picking.scan(replace(said, **changes))


def look(house: House, check_id: str, grade: CheckGrade = CheckGrade.A, **changes: Any) -> Any:
    seen = Look(check_id=check_id, shipment_id="SO-1-1", sku=MUG, units=1, grade=grade, by="pia")
    return house.picking.look(replace(seen, **changes))


def cancel(house: House, order_id: str = "SO-1") -> None:
    house.records.stop_shipments(
        StopShipments(order_id=order_id, reason="changed my mind", by="ann", request_id=f"stop-{order_id}")
    )


def less(house: House, line_no: int = 1) -> None:
    house.records.cancel_units(
        CancelUnits(
            order_id="SO-1",
            lines=(LineQuantity(line_no=line_no, quantity=1),),
            reason="one is enough",
            by="ann",
            request_id="less",
        )
    )


def hold(house: House, order_id: str) -> None:
    house.records.place_hold(
        PlaceHold(
            order_id=order_id, reason=HoldReason.MANUAL, due_at=MORNING, by="sam", request_id="h", note=""
        )
    )


# --- what is next ------------------------------------------------------------------------------------------


def test_what_must_leave_first_is_picked_first_and_what_is_promised_first_among_those(house: House) -> None:
    house.stocked(mugs=20)
    for order_id in ("SO-1", "SO-2", "SO-3", "SO-4"):
        house.released(order_id, mugs=1, teas=0)
    sooner = house.row(shipments, shipment_id="SO-3-1")["ship_by"] - timedelta(days=1)
    house.change(shipments, {"ship_by": sooner}, shipment_id="SO-3-1")
    hold(house, "SO-1")
    before_it = house.row(shipments, shipment_id="SO-2-1")["ship_by"]

    listed = house.picking.pick_list(RENO)

    assert [one.shipment_id for one in listed] == ["SO-3-1", "SO-2-1", "SO-4-1"]
    assert [(one.units, one.late) for one in listed] == [(1, False)] * 3
    assert before_it == listed[1].ship_by
    assert house.picking.pick_list("wh-nowhere") == ()


def test_a_wave_takes_only_what_leaves_with_the_first(house: House) -> None:
    house.stocked(mugs=20)
    for order_id in ("SO-1", "SO-2", "SO-3"):
        house.released(order_id, mugs=1, teas=0)
    house.change(shipments, {"ship_by": MORNING + timedelta(days=9)}, shipment_id="SO-2-1")

    wave = take(house, mode=PickMode.WAVE, size=12)

    assert [tote.shipment_id for tote in wave.totes] == ["SO-1-1", "SO-3-1"]
    assert {row["work_status"] for row in house.rows(shipments)} == {"picking", "released"}


def test_a_batch_walks_each_shelf_once_up_one_aisle_and_down_the_next(house: House) -> None:
    house.stocked(mugs=20)
    house.released("SO-1", mugs=2, teas=1)
    house.released("SO-2", mugs=1, teas=0)
    house.picking.set_bin(MUG, RENO, "B-07-1")
    house.picking.set_bin(TEA, RENO, "B-02-1")
    house.picking.set_bin(TEA, RENO, "B-09-1")

    batch = take(house, mode=PickMode.BATCH, size=5)

    assert [(stop.bin, stop.sku) for stop in batch.stops] == [("B-07-1", MUG), ("B-09-1", TEA)]
    assert [(put.tote, put.units) for put in batch.stops[0].puts] == [(1, 2), (2, 1)]


@pytest.mark.parametrize("size", [0, DEFAULT.most_totes + 1])
def test_nobody_pushes_more_totes_than_they_can(house: House, size: int) -> None:
    house.stocked()

    with pytest.raises(PickRefused, match="totes"):
        take(house, mode=PickMode.BATCH, size=size)


def test_a_walk_asked_for_twice_is_one_walk_and_two_walks_share_no_shipment(house: House) -> None:
    """Guard: walks of a location are taken one after another. Without it two pickers fetch the same goods."""
    house.stocked(mugs=20)
    for n in range(1, 9):
        house.released(f"SO-{n}", mugs=1, teas=0)
    asks = [TakeWalk(walk_id=f"w-{n % 4}", location_id=RENO, picker=f"p-{n % 4}", mode=PickMode.BATCH, size=2)
            for n in range(8)]  # fmt: skip

    with ThreadPoolExecutor(8) as people:
        got = list(people.map(house.picking.take, asks))

    by_walk = {walk.walk_id: [tote.shipment_id for tote in walk.totes] for walk in got}
    assert sorted(one for those in by_walk.values() for one in those) == [f"SO-{n}-1" for n in range(1, 9)]
    with pytest.raises(PickRefused, match="nothing to pick"):
        take(house, "w-9")


@pytest.mark.parametrize("other", [{"picker": "kim"}, {"mode": PickMode.WAVE}, {"location_id": "wh-lehigh"}])
def test_another_walk_under_a_used_id_is_refused_and_nobody_gets_the_walk_of_somebody_else(
    house: House, other: dict[str, Any]
) -> None:
    house.stocked()
    house.released()
    ask = TakeWalk(walk_id="w-1", location_id=RENO, picker="lee")
    first = house.picking.take(ask)

    with pytest.raises(IdUsed, match=f"walk w-1 was used for a single walk of lee at {RENO}"):
        house.picking.take(replace(ask, **other))

    assert house.picking.take(ask) == first


# --- whose it is ---------------------------------------------------------------------------------------------


def test_p53_what_a_picker_dropped_is_free_again_when_the_lease_is_over(house: House) -> None:
    """Guard: `pick_until`. Without it a picker who went home keeps the order for ever, or two pick it at once."""
    house.stocked()
    house.released()
    take(house)

    assert house.picking.pick_list(RENO) == ()
    with pytest.raises(InOtherHands, match="pia"):
        house.floor.start_picking("SO-1-1", by="rob")
    with pytest.raises(InOtherHands, match="pia"):
        house.floor.picked("SO-1-1", by="rob")
    house.wait(LEASE)
    walk = take(house, "w-2", picker="rob")

    assert [tote.shipment_id for tote in walk.totes] == ["SO-1-1"]
    assert house.row(shipments)["picker"] == "rob"
    with pytest.raises(InOtherHands, match="rob"):
        scan(house, "s-1")
    scan(house, "s-2", walk_id="w-2", picker="rob", units=2)
    scan(house, "s-3", TEA, walk_id="w-2", picker="rob")
    assert house.row(shipments)["work_status"] == "picked"


def test_whoever_scans_keeps_the_shipment(house: House) -> None:
    house.stocked()
    house.released()
    take(house)
    house.wait(LEASE - timedelta(minutes=1))

    scan(house, "s-1")
    house.wait(LEASE - timedelta(minutes=1))

    with pytest.raises(InOtherHands):
        house.floor.start_picking("SO-1-1", by="rob")


# --- scans ---------------------------------------------------------------------------------------------------


def test_with_the_last_unit_in_its_tote_the_shipment_is_picked(house: House) -> None:
    house.stocked()
    house.released()
    take(house)

    first = scan(house, "s-1", units=2)
    with pytest.raises(NotScanned, match="1 of TEA"):
        house.floor.picked("SO-1-1", by="pia")
    last = scan(house, "s-2", TEA)

    assert (first.left, first.picked, last.left, last.picked) == (1, False, 0, True)
    assert house.row(shipments)["work_status"] == "picked"
    assert [(tote.units, tote.scanned) for tote in house.picking.walk("w-1").totes] == [(3, 3)]


def test_the_same_scan_again_counts_once_and_answers_the_same(house: House) -> None:
    house.stocked()
    house.released()
    take(house)

    with ThreadPoolExecutor(4) as blips:
        answers = list(blips.map(lambda _: scan(house, "s-1"), range(8)))

    assert len(set(answers)) == len(house.rows(pick_scans)) == 1


@pytest.mark.parametrize(
    "other",
    [{"sku": TEA}, {"units": 2}, {"tote": 2}, {"picker": "rob"}, {"walk_id": "w-2", "picker": "rob"}],
    ids=["sku", "units", "tote", "picker", "walk"],
)
def test_another_scan_under_a_used_id_is_refused_and_not_taken_for_a_repeat(
    house: House, other: dict[str, Any]
) -> None:
    """Guard: `_repeated`. Without it the second unit is answered as counted, and lost."""
    house.stocked(mugs=20)
    for order_id in ("SO-1", "SO-2", "SO-3"):
        house.released(order_id)
    take(house, mode=PickMode.BATCH, size=2)
    take(house, "w-2", picker="rob")
    first = scan(house, "s-1")

    with pytest.raises(IdUsed, match="s-1 was used for 1 of MUG into tote 1 of walk w-1 by pia"):
        scan(house, "s-1", **other)

    assert scan(house, "s-1") == first
    assert len(house.rows(pick_scans)) == 1


@pytest.mark.parametrize(("sku", "units"), [("POT", 1), (MUG, 3)])
def test_what_does_not_belong_into_a_tote_is_refused_and_what_does_is_named(
    house: House, sku: str, units: int
) -> None:
    house.stocked()
    house.released()
    take(house)

    with pytest.raises(WrongScan, match="expected 2 of MUG, 1 of TEA"):
        scan(house, "s-1", sku, units=units)

    assert house.rows(pick_scans) == []


def test_a_scan_belongs_to_a_walk_and_a_tote(house: House) -> None:
    house.stocked()
    house.released()
    take(house)

    with pytest.raises(UnknownWalk):
        scan(house, "s-1", walk_id="w-7")
    with pytest.raises(PickRefused, match="no tote 2"):
        scan(house, "s-1", tote=2)


def test_units_that_are_not_there_are_asked_for_no_more(house: House) -> None:
    house.stocked(mugs=2)
    house.released()
    take(house)
    scan(house, "s-1")

    house.rejections.reject(
        Reject(shipment_id="SO-1-1", sku=MUG, units=1, reason=Rejection.NOT_FOUND, by="pia", scan_id="s-2")
    )
    last = scan(house, "s-3", TEA)

    assert last.picked
    check_books(house)


# --- a change or cancel while it is in somebody's hands -------------------------------------------------------


def test_p37_a_cancel_reaches_whoever_has_the_goods_and_is_over_when_they_are_back(house: House) -> None:
    """Guard: the put-back is asked for in the transaction that cancels. Without it the goods lie on the bench."""
    house.stocked()
    house.released()
    take(house)
    scan(house, "s-1")

    cancel(house)

    assert "put the goods back" in only(house.picking.walk("w-1").totes).stop
    assert house.picking.walk("w-1").stops == ()
    with pytest.raises(Stop, match="put the goods back"):
        scan(house, "s-2")
    asked = only(house.picking.put_backs(RENO))
    assert (asked.shipment_id, asked.picker, asked.why) == ("SO-1-1", "pia", "changed my mind")
    answers = [house.picking.put_back("SO-1-1", by="pia", scan_id="s-9") for _ in range(2)]
    assert answers == [True, False]
    assert house.picking.put_backs() == ()
    assert house.row(audit_entries, command="put_back")["actor"] == "pia"


@pytest.mark.parametrize("brought_to", ["picking", "picked", "packed"])
def test_a_change_reaches_the_bench_wherever_the_goods_are(house: House, brought_to: str) -> None:
    house.stocked()
    if brought_to == "packed":
        house.packed()
    else:
        house.floor.start_picking(house.released(), by="pia")
        if brought_to == "picked":
            house.floor.picked("SO-1-1", by="pia")

    less(house)

    assert only(house.picking.put_backs()).why == "one is enough"
    with pytest.raises(Stop, match="put the goods back and pick what its new list says"):
        house.floor.picked("SO-1-1", by="pia")
    house.picking.put_back("SO-1-1", by="pia")
    walk = take(house, "w-2")
    assert [(stop.sku, put.units) for stop in walk.stops for put in stop.puts] == [(MUG, 1), (TEA, 1)]


def test_nothing_is_put_back_of_what_nobody_has_in_hand(house: House) -> None:
    house.stocked()
    house.released()

    cancel(house)

    assert house.picking.put_backs() == ()
    assert house.rows(put_backs) == []


def test_a_change_on_the_walk_makes_its_tote_stop_and_scans_of_before_count_no_more(house: House) -> None:
    house.stocked()
    house.released()
    take(house)
    scan(house, "s-1")
    less(house)

    with pytest.raises(Stop, match="its order was changed"):
        scan(house, "s-2")
    take(house, "w-2")

    assert [(tote.units, tote.scanned) for tote in house.picking.walk("w-2").totes] == [(2, 0)]
    assert only(house.picking.walk("w-1").totes).stop


# --- condition -----------------------------------------------------------------------------------------------


def test_what_breaks_easily_is_looked_at_at_the_shelf_and_again_at_the_bench(house: House) -> None:
    """Guard: `checks.require` in every step. Without it what is broken is found by the customer."""
    house.stocked(fragile=True)
    shipment_id = house.released()
    house.floor.start_picking(shipment_id, by="pia")

    with pytest.raises(CheckNeeded, match="condition of MUG"):
        house.floor.picked(shipment_id, by="pia")
    assert look(house, "c-1").missing == {MUG: 1}
    assert look(house, "c-1").missing == {MUG: 1}
    look(house, "c-2")
    house.floor.picked(shipment_id, by="pia")
    with pytest.raises(CheckNeeded):
        house.pack(shipment_id)
    look(house, "c-3", units=2)
    house.pack(shipment_id)

    assert [row["stage"] for row in house.rows(condition_checks)] == ["pick", "pick", "pack"]


@pytest.mark.parametrize("changes", [{"fragile": True}, {"serial": True}, {"price": 10000}])
def test_what_is_worth_much_breaks_easily_or_has_a_number_is_looked_at(
    house: House, changes: dict[str, Any]
) -> None:
    house.stocked(**changes)
    if "price" in changes:
        house.picking = PickingStore(
            house.engine, house.now, house.floor, policy=replace(DEFAULT, condition_check_value=1200)
        )
        house.floor = WarehouseStore(
            house.engine, house.now, policy=replace(DEFAULT, condition_check_value=1200)
        )
    house.floor.start_picking(house.released(), by="pia")

    with pytest.raises(CheckNeeded):
        house.floor.picked("SO-1-1", by="pia")


def test_what_lies_beside_returned_units_is_looked_at(house: House) -> None:
    house.stocked()
    house.shipped("SO-2", mugs=1, teas=0)
    house.returns.put_back("SO-2", 1, [1], Disposition.RESTOCK, RENO, key="r", by="rex", reason="returned")
    house.floor.start_picking(house.released(), by="pia")

    with pytest.raises(CheckNeeded, match="condition of MUG first"):
        house.floor.picked("SO-1-1", by="pia")


@pytest.mark.parametrize(
    ("rule", "status"),
    [(ConditionCheck.ALWAYS, "picking"), (ConditionCheck.RULE, "picked"), (ConditionCheck.OFF, "picked")],
)
def test_the_policy_says_what_is_looked_at(engine: Engine, rule: ConditionCheck, status: str) -> None:
    house = House(engine).stocked()
    house.floor = WarehouseStore(engine, house.now, policy=replace(DEFAULT, condition_check=rule))
    house.floor.start_picking(house.released(), by="pia")

    with suppress(CheckNeeded):
        house.floor.picked("SO-1-1", by="pia")

    assert house.row(shipments)["work_status"] == status


@pytest.mark.parametrize(
    ("grade", "reason"),
    [
        (CheckGrade.B, Rejection.WORN),
        (CheckGrade.C, Rejection.QUALITY_DOUBT),
        (CheckGrade.D, Rejection.DAMAGED),
    ],
)
def test_what_is_not_as_new_needs_a_picture_and_does_not_leave(
    house: House, grade: CheckGrade, reason: Rejection
) -> None:
    house.stocked(fragile=True)
    house.floor.start_picking(house.released(mugs=1), by="pia")

    with pytest.raises(PhotoNeeded):
        look(house, "c-1", grade)
    seen = look(house, "c-1", grade, photo="photos/1.jpg", defect="chipped", note="the rim")

    assert (seen.reject_as, dict(seen.missing)) == (reason, {MUG: 1})
    kept = house.row(condition_checks)
    assert (kept["grade"], kept["defect"], kept["note"], kept["photo"]) == (
        grade.value,
        "chipped",
        "the rim",
        "photos/1.jpg",
    )
    with pytest.raises(CheckNeeded):
        house.floor.picked("SO-1-1", by="pia")


def test_the_last_scan_of_what_must_be_looked_at_says_so_and_the_last_check_makes_it_picked(
    house: House,
) -> None:
    house.stocked(fragile=True)
    house.released(mugs=2, teas=0)
    take(house)

    last = scan(house, "s-1", units=2)
    first_look = look(house, "c-1", by="quinn")
    last_look = look(house, "c-2", by="quinn")
    repeat = look(house, "c-2", by="quinn")
    house.floor.picked("SO-1-1", by="pia")

    assert (last.picked, last.to_check) == (False, (MUG,))
    assert (first_look.picked, first_look.say) == (False, "Look at 1 of MUG too.")
    assert (last_look.picked, last_look.say) == (True, "It is picked: bring it to the bench.")
    assert repeat.picked
    assert house.row(shipments)["work_status"] == "picked"
    assert [row["actor"] for row in house.rows(audit_entries, command="picked")] == ["pia"]


def test_a_check_before_the_last_scan_or_without_a_walk_leaves_it_being_picked_and_says_what_is_next(
    house: House,
) -> None:
    house.stocked(mugs=20, fragile=True)
    house.released(mugs=2, teas=0)
    house.floor.start_picking(house.released("SO-2", mugs=1, teas=0), by="pia")
    take(house)
    scan(house, "s-1")

    on_a_walk, without = look(house, "c-1", units=2), look(house, "c-2", shipment_id="SO-2-1")

    assert {row["work_status"] for row in house.rows(shipments)} == {"picking"}
    assert {(one.picked, one.say) for one in (on_a_walk, without)} == {
        (False, "Scan what is missing, or send it as picked.")
    }
    assert scan(house, "s-2").picked


@pytest.mark.parametrize("other", [{"units": 2}, {"sku": TEA}, {"grade": CheckGrade.B, "photo": "p"}])
def test_another_check_under_a_used_id_is_refused(house: House, other: dict[str, Any]) -> None:
    house.stocked(fragile=True)
    house.floor.start_picking(house.released(), by="pia")
    look(house, "c-1")

    with pytest.raises(IdUsed, match="c-1 was used for 1 of MUG of SO-1-1, grade A"):
        look(house, "c-1", **other)

    assert len(house.rows(condition_checks)) == 1


def test_only_what_is_in_somebodys_hands_is_looked_at(house: House) -> None:
    house.stocked()
    house.released()

    with pytest.raises(PickRefused, match="released"):
        look(house, "c-1")
    house.floor.start_picking("SO-1-1", by="pia")
    with pytest.raises(PickRefused, match="has 2 of MUG, not 3"):
        look(house, "c-1", units=3)
