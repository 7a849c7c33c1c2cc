"""Units that cannot leave: only they are taken out, others are found for them, and the rest goes on."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Engine

from fulfillment.domain.change import CancelUnits, LineQuantity
from fulfillment.domain.errors import FulfillmentError, IdUsed
from fulfillment.domain.holds import HoldReason
from fulfillment.domain.inventory import Level
from fulfillment.domain.packing import NotAtBench, UnitScan
from fulfillment.domain.picking import PhotoNeeded, PickRefused, Rejected, Rejection, Settled
from fulfillment.domain.policy import DEFAULT, Shortage
from fulfillment.domain.record import PlaceHold, StopShipments
from fulfillment.domain.shipment import Stop
from fulfillment.storage.rejections import Reject, RejectionStore
from fulfillment.storage.tables import (
    backorders,
    cases,
    order_events,
    orders,
    outbox,
    rejections,
    shipments,
    signals,
    stock_counts,
    unit_ranges,
)
from tests.storage.house import DEPOT, MORNING, MUG, TEA, House, only
from tests.storage.paying import pay
from tests.storage.proof import check_books

RENO, LEHIGH = "wh-reno", "wh-lehigh"


def picking(house: House, *, mugs: int = 3, teas: int = 0, **changes: Any) -> str:
    """Bring an order to the floor and begin to pick it."""
    shipment_id = house.released(mugs=mugs, teas=teas, **changes)
    house.floor.start_picking(shipment_id, by="pia")
    return shipment_id


def elsewhere(house: House, *, mugs: int) -> None:
    """Open a second location with mugs."""
    house.stock.add_location(LEHIGH, name="Lehigh", address=DEPOT, priority=2)
    house.stock.receive(MUG, LEHIGH, mugs, key="lehigh-1", by="test")


def reject(
    house: House, shipment_id: str, units: int = 1, reason: Rejection = Rejection.NOT_FOUND, **changes: Any
) -> Rejected:
    asked = Reject(
        shipment_id=shipment_id, sku=MUG, units=units, reason=reason, by="pia", scan_id="s-1", photo="p-1"
    )
    return house.rejections.reject(replace(asked, **changes))


def cancel_units(house: House, order_id: str, quantity: int) -> None:
    house.records.cancel_units(
        CancelUnits(
            order_id=order_id,
            lines=(LineQuantity(line_no=1, quantity=quantity),),
            reason="fewer are enough",
            by="ann",
            request_id=f"less-{order_id}",
        )
    )


def quietly(deed: Callable[[], object]) -> None:
    """Do a deed that may have become impossible."""
    with suppress(FulfillmentError):
        deed()


def level(house: House, place: str = RENO) -> Level:
    return only(one for one in house.stock.levels(MUG) if one.location_id == place)


def carried(house: House) -> dict[str | None, int]:
    found: dict[str | None, int] = {}
    for row in house.rows(unit_ranges):
        found[row["shipment_id"]] = found.get(row["shipment_id"], 0) + row["quantity"]
    return found


def test_of_three_units_the_one_not_found_comes_from_elsewhere_and_two_leave_now(house: House) -> None:
    house.stocked(mugs=3)
    elsewhere(house, mugs=5)
    shipment_id = picking(house)

    answer = reject(house, shipment_id)

    assert (answer.resourced, answer.left, answer.added) == (1, 2, ("SO-1-2",))
    assert carried(house) == {"SO-1-1": 2, "SO-1-2": 1}
    house.floor.picked(shipment_id, by="pia")
    house.label(house.pack(shipment_id))
    house.floor.hand_over(shipment_id, by="dock")
    new = house.row(shipments, shipment_id="SO-1-2")
    assert (new["location_id"], new["work_status"], new["waits_for"]) == (LEHIGH, "scheduled", "payment")
    assert pay(house, "SO-1-2").promise_date is not None
    assert house.row(shipments, shipment_id="SO-1-2")["work_status"] == "released"
    assert house.row(signals, name="replanned")["body"]["why"] == "short_pick"
    assert house.rows(outbox, fact="backordered") == house.rows(outbox, fact="part_cancelled") == []
    check_books(house)


def test_what_was_not_found_promises_nothing_until_it_is_counted(house: House) -> None:
    house.stocked(mugs=10)
    shipment_id = picking(house)

    answer = reject(house, shipment_id)

    there = level(house)
    assert (there.on_hand, there.allocated, there.held, there.available) == (10, 2, 8, 0)
    count = house.row(stock_counts)
    assert (count["count_id"], count["state"]) == (answer.count_id, "planned")
    assert house.row(cases, kind="short_pick")["state"] == "waiting"
    house.counts.start(count["count_id"], by="rex")
    house.counts.report(count["count_id"], 10, at=house.now(), by="rex")
    assert level(house).held == 0
    assert house.row(cases, kind="short_pick")["state"] == "resolved"
    check_books(house)


def test_units_that_are_nowhere_wait_and_the_customer_is_told_when(house: House) -> None:
    house.stocked(mugs=3)
    shipment_id = picking(house)

    answer = reject(house, shipment_id, 2)

    assert (answer.waiting, answer.left, answer.added) == (2, 1, ("SO-1-2",))
    assert house.row(backorders)["quantity"] == 2
    assert house.row(outbox, fact="backordered")["subject"] == "SO-1-2"
    assert house.rows(outbox, fact="delayed") == []
    assert house.row(shipments, shipment_id=shipment_id)["work_status"] == "picking"
    check_books(house)


def test_p38_units_of_what_comes_no_more_are_taken_off_and_only_they(house: House) -> None:
    """Guard: `_cancel` keeps them as cancelled. Without it units that are not paid are still to be shipped."""
    house.stocked(mugs=3, backorderable=False)
    shipment_id = picking(house)

    answer = reject(house, shipment_id)

    assert (answer.cancelled, answer.left, answer.added) == (1, 2, ())
    assert carried(house) == {shipment_id: 2, None: 1}
    assert house.row(shipments)["value"] == 2400
    assert house.row(outbox, fact="part_cancelled")["data"]["units"] == 1
    check_books(house)


def test_an_order_of_which_nothing_is_found_is_cancelled(house: House) -> None:
    house.stocked(mugs=1, backorderable=False)
    shipment_id = picking(house, mugs=1)

    answer = reject(house, shipment_id)

    assert answer.left == 0
    assert house.row(shipments)["work_status"] == "cancelled"
    assert house.row(shipments)["cancelled_reason"] == "short"
    assert house.row(orders)["status"] == "cancelling"
    check_books(house)


def test_a_damaged_unit_is_replaced_from_the_same_shelf_and_nobody_is_told(house: House) -> None:
    house.stocked(mugs=10)
    shipment_id = picking(house)

    answer = reject(house, shipment_id, reason=Rejection.DAMAGED)

    assert (answer.replaced, answer.left, answer.added, answer.count_id) == (1, 3, (), None)
    assert answer.say == "Take 1 more from the same shelf."
    there = level(house)
    assert (there.on_hand, there.allocated, there.damaged) == (10, 3, 1)
    assert house.row(cases, kind="damaged_pick")["owner"] == "warehouse"
    assert house.rows(outbox, fact="backordered") == []
    check_books(house)


@pytest.mark.parametrize(
    ("reason", "on_hand", "damaged", "quarantine"),
    [
        (Rejection.DAMAGED, 3, 1, 0),
        (Rejection.WORN, 3, 1, 0),
        (Rejection.QUALITY_DOUBT, 3, 0, 1),
        (Rejection.MISMATCH, 2, 0, 0),
    ],
)
def test_each_reason_moves_its_own_buckets(
    house: House, reason: Rejection, on_hand: int, damaged: int, quarantine: int
) -> None:
    house.stocked(mugs=3)
    shipment_id = picking(house)

    reject(house, shipment_id, reason=reason)

    there = level(house)
    assert (there.on_hand, there.allocated) == (on_hand, 2)
    assert (there.damaged, there.quarantine) == (damaged, quarantine)
    check_books(house)


def test_the_audit_sees_units_that_are_not_where_their_reason_says(house: House) -> None:
    house.stocked(mugs=3)
    reject(house, picking(house), reason=Rejection.DAMAGED)
    check_books(house)

    house.change(rejections, {"quantity": 2})

    with pytest.raises(AssertionError, match="s-1: 2 damaged taken out of SO-1-1, 1 damaged"):
        check_books(house)


def test_what_lies_in_the_wrong_bin_is_counted_in_both(house: House) -> None:
    house.stocked(mugs=3)
    shipment_id = picking(house)

    reject(house, shipment_id, reason=Rejection.MISMATCH, found_sku=TEA)

    assert {row["sku"] for row in house.rows(stock_counts)} == {MUG, TEA}
    assert only(one for one in house.stock.levels(TEA)).on_hand == 10


@pytest.mark.parametrize("reason", [Rejection.EXPIRED, Rejection.RECALLED])
def test_what_is_recalled_is_taken_from_everybody_who_was_to_get_it(house: House, reason: Rejection) -> None:
    house.stocked(mugs=10)
    elsewhere(house, mugs=20)
    house.stock.adjust(MUG, LEHIGH, -20, key="none-yet", by="test", reason="for later")
    first = picking(house)
    second = house.released("SO-2", mugs=2, teas=0)
    house.reserved("SO-3", mugs=1, teas=0)
    house.stock.receive(MUG, LEHIGH, 20, key="lehigh-2", by="test")

    reject(house, first, reason=reason)

    there = level(house)
    assert (there.on_hand, there.quarantine, there.allocated, there.reserved) == (10, 10, 0, 0)
    assert house.row(shipments, shipment_id=first)["work_status"] == "cancelled"
    assert house.row(shipments, shipment_id=second)["work_status"] == "cancelled"
    assert level(house, LEHIGH).allocated == 5
    check_books(house)


def test_of_a_shipment_that_waits_for_more_only_what_came_is_set_aside_by_a_recall(house: House) -> None:
    """Guard: what is claimed is read again. Without it units that only wait are set aside, and found fit as well."""
    house.stocked(mugs=1)
    first = picking(house, mugs=1)
    house.reserved("SO-2", mugs=3, teas=0)
    house.stock.receive(MUG, RENO, 1, key="r-1", by="dock")

    reject(house, first, reason=Rejection.RECALLED)
    aside = {one.shipment_id: one.units for one in house.rejections.to_inspect()}
    for one in house.rejections.to_inspect():
        house.rejections.inspected(one.rejection_id, Settled.RESTOCK, by="quinn")

    assert aside == {"SO-1-1": 1, "SO-2-1": 1}
    assert (level(house).on_hand, level(house).quarantine) == (2, 0)
    check_books(house)


def test_a_recall_that_is_told_again_takes_nothing_that_was_found_fit_since(house: House) -> None:
    """Guard: that a shelf was cleared is noted. Without it a repeated scan takes goods from whoever got them since."""
    house.stocked(mugs=3)
    first = picking(house, mugs=1)
    reject(house, first, reason=Rejection.RECALLED)
    for one in house.rejections.to_inspect():
        house.rejections.inspected(one.rejection_id, Settled.RESTOCK, by="quinn")
    house.stock.receive(MUG, RENO, 3, key="r-1", by="dock")
    house.released("SO-2", mugs=2, teas=0)
    house.reserved("SO-3", mugs=1, teas=0)
    before = level(house)

    reject(house, first, reason=Rejection.RECALLED)

    assert level(house) == before
    check_books(house)


@pytest.mark.parametrize(("mugs", "replaced"), [(10, 1), (3, 0)])
def test_what_is_found_damaged_at_the_bench_is_verified_anew(house: House, mugs: int, replaced: int) -> None:
    """Guard: the rejection begins another round of scans. Without it the damaged unit's scan stands for another."""
    house.stocked(mugs=mugs)
    shipment_id = picking(house)
    house.floor.picked(shipment_id, by="pia")
    house.benches.start(shipment_id, by="bob")
    house.benches.scan(shipment_id, [UnitScan(scan_id=f"b-{n}", code=MUG) for n in range(3)], by="bob")

    answer = reject(house, shipment_id, reason=Rejection.DAMAGED)

    assert answer.replaced == replaced
    with pytest.raises(NotAtBench):
        house.floor.pack(shipment_id, weight_g=900, by="bob")
    house.pack(shipment_id)
    check_books(house)


def test_p39_the_same_scan_again_is_answered_the_same_and_takes_nothing_more(house: House) -> None:
    """Guard: the scan is known. Without it a scanner that repeats itself empties the order."""
    house.stocked(mugs=3)
    shipment_id = picking(house)

    first = reject(house, shipment_id)
    again = reject(house, shipment_id)

    assert again == first
    assert len(house.rows(rejections)) == len(house.rows(cases, kind="short_pick")) == 1
    assert carried(house) == {"SO-1-1": 2, "SO-1-2": 1}


@pytest.mark.parametrize(
    "other", [{"shipment_id": "SO-2-1"}, {"sku": TEA}, {"units": 2}, {"reason": Rejection.DAMAGED}]
)
def test_another_rejection_under_a_used_id_is_refused(house: House, other: dict[str, Any]) -> None:
    house.stocked(mugs=20)
    picking(house, order_id="SO-2")
    shipment_id = picking(house, teas=1)
    reject(house, shipment_id)

    with pytest.raises(IdUsed, match="s-1 was used for 1 of MUG of SO-1-1 as not_found"):
        reject(house, **{"shipment_id": shipment_id} | other)

    assert len(house.rows(rejections)) == 1


def test_p52_a_rejection_a_cancel_and_a_step_at_once_come_to_one_after_another(house: House) -> None:
    """Guard: each locks the order first. Without it two of them decide about the same unit."""
    house.stocked(mugs=40)
    elsewhere(house, mugs=40)
    for n in range(1, 5):
        house.stock.receive(
            MUG, RENO, 10, key=f"more-{n}", by="test"
        )  # where one is missed, the rest is doubted
        shipment_id = house.released(f"SO-{n}", mugs=3, teas=0)
        house.floor.start_picking(shipment_id, by="pia")
        at_once = [
            partial(reject, house, shipment_id, 2, scan_id=f"s-{n}"),
            partial(reject, house, shipment_id, 2, scan_id=f"s-{n}"),
            partial(cancel_units, house, f"SO-{n}", 2),
            partial(house.floor.picked, shipment_id, by="pia"),
        ]
        with ThreadPoolExecutor(len(at_once)) as people:
            list(people.map(quietly, at_once))

    units: Counter[str] = Counter()
    for row in house.rows(unit_ranges):
        units[row["order_id"]] += row["quantity"]
    assert units == {f"SO-{n}": 3 for n in range(1, 5)}
    check_books(house)


def test_what_is_damaged_is_not_taken_out_without_a_picture(house: House) -> None:
    house.stocked()
    shipment_id = picking(house)

    with pytest.raises(PhotoNeeded):
        reject(house, shipment_id, reason=Rejection.DAMAGED, photo="")

    assert level(house).damaged == 0


def test_no_more_is_taken_out_than_is_in_it_and_nothing_before_it_is_picked(house: House) -> None:
    house.stocked()
    shipment_id = house.released(mugs=2)

    with pytest.raises(PickRefused, match="released"):
        reject(house, shipment_id)
    house.floor.start_picking(shipment_id, by="pia")
    with pytest.raises(PickRefused, match="has 2 of MUG, not 3"):
        reject(house, shipment_id, 3)

    assert house.rows(rejections) == []


@pytest.mark.parametrize("why", ["held", "cancelled"])
def test_a_stopped_shipment_stops_the_rejection_too(house: House, why: str) -> None:
    house.stocked()
    shipment_id = picking(house)
    if why == "held":
        hold = PlaceHold(
            order_id="SO-1", reason=HoldReason.MANUAL, due_at=MORNING, by="sam", request_id="r", note=""
        )
        house.records.place_hold(hold)
    else:
        house.records.stop_shipments(
            StopShipments(order_id="SO-1", reason="changed my mind", by="ann", request_id="r")
        )

    with pytest.raises(Stop):
        reject(house, shipment_id)


def test_a_shop_that_asks_holds_the_rest_back_for_the_answer(engine: Engine) -> None:
    house = House(engine).stocked(mugs=3)
    house.rejections = RejectionStore(engine, house.now, policy=replace(DEFAULT, shortage=Shortage.ASK))
    shipment_id = picking(house)

    reject(house, shipment_id)

    assert house.row(outbox, fact="shortage_asked")["order_id"] == "SO-1"
    with pytest.raises(Stop, match="stock"):
        house.floor.picked(shipment_id, by="pia")


def test_units_that_were_taken_out_can_be_cancelled_and_then_ship_no_more(house: House) -> None:
    house.stocked(mugs=3)
    elsewhere(house, mugs=5)
    shipment_id = picking(house)
    reject(house, shipment_id)

    cancel_units(house, "SO-1", 1)

    assert carried(house) == {"SO-1-1": 2, None: 1}
    assert house.row(shipments, shipment_id="SO-1-2")["work_status"] == "cancelled"
    assert level(house, LEHIGH).allocated == 0
    check_books(house)


@pytest.mark.parametrize(
    ("to", "on_hand", "damaged"), [(Settled.RESTOCK, 10, 0), (Settled.SCRAP, 9, 0), (Settled.KEEP, 10, 1)]
)
def test_what_was_set_aside_is_inspected_once(house: House, to: Settled, on_hand: int, damaged: int) -> None:
    house.stocked(mugs=10)
    reject(house, picking(house), reason=Rejection.DAMAGED)
    (waiting,) = house.rejections.to_inspect(RENO)

    for _ in range(2):
        house.rejections.inspected("s-1", to, by="rex", note="looked at it")

    assert (waiting.rejection_id, waiting.units, waiting.photo) == ("s-1", 1, "p-1")
    assert house.rejections.to_inspect() == ()

    assert (level(house).on_hand, level(house).damaged) == (on_hand, damaged)
    assert house.row(cases, kind="damaged_pick")["resolution"] == "looked at it"
    check_books(house)


def test_p55_a_line_ships_from_several_locations_and_is_whole_when_all_its_parts_have_left(
    house: House,
) -> None:
    house.stocked(mugs=2)
    elsewhere(house, mugs=2)
    shipment_id = picking(house, mugs=4)
    assert carried(house) == {"SO-1-1": 2, "SO-1-2": 2}

    for n, there in enumerate(sorted(carried(house)), start=1):
        assert there is not None
        if there != shipment_id:
            house.floor.start_picking(there, by="pia")
        house.floor.picked(there, by="pia")
        house.label(house.pack(there), number=f"1Z{n}")
        house.floor.hand_over(there, by="dock")

    assert sum(carried(house).values()) == 4
    assert {row["work_status"] for row in house.rows(shipments)} == {"handed_over"}
    assert house.rows(order_events, kind="shipped")
    check_books(house)
