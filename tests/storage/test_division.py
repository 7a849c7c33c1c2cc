"""A shipment is one parcel: what needs several cartons is several shipments, however they came to be."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from fulfillment.domain.cartons import Carton
from fulfillment.domain.catalogue import Product
from fulfillment.domain.change import AddLines, CancelUnits, LineQuantity, NewLine, Substitute
from fulfillment.domain.order import OrderLine
from fulfillment.domain.payment import Declined, DeclineGroup
from fulfillment.domain.picking import Rejection
from fulfillment.domain.policy import DEFAULT, Policy, Substitution
from fulfillment.domain.record import DeclareLost
from fulfillment.domain.settlement import Cause, Found, Settle, Settled, Settlement
from fulfillment.domain.tracking import CarrierStatus
from fulfillment.storage import lapsing
from fulfillment.storage.orders import lock_order
from fulfillment.storage.records import RecordStore
from fulfillment.storage.rejections import Reject
from fulfillment.storage.sourcing import SourcingStore
from fulfillment.storage.stock import StockStore
from fulfillment.storage.tables import (
    allocations,
    backorders,
    carrier_claims,
    order_events,
    order_lines,
    orders,
    payments,
    shipments,
    skus,
    unit_ranges,
)
from tests.storage.house import DEPOT, HOME, MUG, TEA, House, a_scan, an_order, only
from tests.storage.paying import capture, claim, pay
from tests.storage.proof import check_books, check_parcels

RENO, LEHIGH = "wh-reno", "wh-lehigh"
# So heavy that a carton carries one.
HEAVY: dict[str, Any] = {"weight_g": 17_000, "length_mm": 400, "width_mm": 300, "height_mm": 300}


@pytest.fixture
def shop(house: House) -> Callable[..., House]:
    """A shop of mugs that are as heavy as stoves, and of light teas."""

    def opened(mugs: int = 9, **changes: Any) -> House:
        return house.stocked(mugs=mugs, **HEAVY | changes)

    return opened


def inside(house: House, order_id: str = "SO-1") -> dict[str, dict[str, int]]:
    """What is in each shipment that is not cancelled, by SKU."""
    sku_of = {row["line_no"]: row["sku"] for row in house.rows(order_lines, order_id=order_id)}
    found: dict[str, dict[str, int]] = {}
    for row in house.rows(unit_ranges, order_id=order_id):
        if row["shipment_id"]:
            units = found.setdefault(row["shipment_id"], {})
            units[sku_of[row["line_no"]]] = units.get(sku_of[row["line_no"]], 0) + row["quantity"]
    return dict(sorted(found.items()))


def stands(house: House, shipment_id: str) -> str:
    row = house.row(shipments, shipment_id=shipment_id)
    return str(row["waits_for"] if row["work_status"] == "scheduled" else row["work_status"])


def level(house: House, place: str = RENO) -> tuple[int, int]:
    found = only(one for one in house.stock.levels(MUG) if one.location_id == place)
    return found.reserved, found.allocated


def elsewhere(house: House, mugs: int) -> None:
    house.stock.add_location(LEHIGH, name="Lehigh", address=DEPOT, priority=2)
    house.stock.receive(MUG, LEHIGH, mugs, key="lehigh-1", by="test")


def check(house: House) -> None:
    check_books(house)
    check_parcels(house)


# --- placed --------------------------------------------------------------------------------------------


def test_four_heavy_pieces_become_four_shipments_of_one_place(shop: Callable[..., House]) -> None:
    """Guard: without the division they are one shipment of 68 kg, for which no carton and no label is."""
    house = shop()

    planned = house.reserved(mugs=4, teas=1)

    assert inside(house) == {
        "SO-1-1": {MUG: 1, TEA: 1},
        "SO-1-2": {MUG: 1},
        "SO-1-3": {MUG: 1},
        "SO-1-4": {MUG: 1},
    }
    assert {row["location_id"] for row in house.rows(shipments)} == {RENO}
    assert len({row["ship_by"] for row in house.rows(shipments)}) == 1
    assert planned == tuple(inside(house))
    assert level(house) == (4, 0)
    check(house)


def test_asked_again_the_plan_is_the_same(shop: Callable[..., House]) -> None:
    house = shop()
    house.reserved(mugs=3)
    before = house.rows(unit_ranges)

    again = house.stock.reserve("SO-1")

    assert [one.units for one in again.shipments] == [2, 1, 1]
    assert house.rows(unit_ranges) == before
    assert level(house) == (3, 0)


def test_what_fits_one_carton_is_one_shipment_as_ever(shop: Callable[..., House]) -> None:
    house = shop(weight_g=400, height_mm=100)

    assert house.reserved(mugs=2, teas=1) == ("SO-1-1",)


def test_what_nobody_measured_is_one_shipment_up_to_the_weight_of_a_carton(house: House) -> None:
    house.stocked(mugs=9, weight_g=12_000)

    house.reserved(mugs=5, teas=0)

    assert inside(house) == {"SO-1-1": {MUG: 2}, "SO-1-2": {MUG: 2}, "SO-1-3": {MUG: 1}}


def test_a_shop_with_larger_cartons_sends_fewer_parcels(shop: Callable[..., House]) -> None:
    house = shop()
    pallet = Carton(carton_id="PALLET", size=(800, 600, 600), max_weight_g=40_000, tare_g=900, price=900)
    house.benches.put_carton(pallet)

    house.reserved(mugs=4, teas=0)

    assert inside(house) == {"SO-1-1": {MUG: 2}, "SO-1-2": {MUG: 2}}


def test_cartons_count_no_places(shop: Callable[..., House]) -> None:
    """Guard: were they held against `max_parcels`, three, a heavy order could not be placed at all."""
    house = shop(mugs=4)
    elsewhere(house, mugs=4)

    house.reserved(mugs=8, teas=0)

    assert [row["location_id"] for row in house.rows(shipments)] == [RENO] * 4 + [LEHIGH] * 4
    check(house)


def test_each_is_paid_and_worth_its_own_units_and_together_they_are_the_order(
    shop: Callable[..., House],
) -> None:
    """Three pieces for 36.00, 1.00 off and 2.00 of tax: thirds that are no whole cents are lost nowhere."""
    house = shop()
    line = OrderLine(line_no=1, sku=MUG, name="Mug", quantity=3, unit_price=1200, discount=100, tax=200)
    for shipment_id in (planned := house.reserved(lines=(line,), total=line.value)):
        pay(house, shipment_id)
    for n, shipment_id in enumerate(planned, start=1):
        house.floor.start_picking(shipment_id, by="pia")
        house.floor.picked(shipment_id, by="pia")
        house.label(house.pack(shipment_id, weight_g=17_900), number=f"1Z{n}")
        house.floor.hand_over(shipment_id, by="dock")
        capture(house, shipment_id)

    assert len(planned) == 3
    assert sum(row["captured"] for row in house.rows(payments)) == line.value == 3700
    assert [row["state"] for row in house.rows(allocations)] == ["shipped"] * 3
    check(house)


def test_the_bench_puts_such_a_shipment_in_one_carton(shop: Callable[..., House]) -> None:
    house = shop()
    house.released(mugs=2, teas=1)
    house.floor.start_picking("SO-1-1", by="pia")
    house.floor.picked("SO-1-1", by="pia")

    bench = house.benches.start("SO-1-1", by="pia")

    assert [filled.carton.carton_id for filled in bench.packing.filled] == ["XL"]


def test_a_unit_that_is_cancelled_takes_only_its_own_parcel_with_it(shop: Callable[..., House]) -> None:
    house = shop()
    for shipment_id in house.reserved(mugs=3, teas=0):
        pay(house, shipment_id)
    less = (LineQuantity(line_no=1, quantity=1),)

    house.records.cancel_units(
        CancelUnits(order_id="SO-1", lines=less, reason="fewer do", by="ann", request_id="c-1")
    )

    assert len(inside(house)) == 2
    assert level(house) == (0, 2)
    check(house)


# --- waiting -------------------------------------------------------------------------------------------


def test_what_waits_waits_in_parcels_and_each_goes_when_it_has_come(shop: Callable[..., House]) -> None:
    house = shop(mugs=1)
    for shipment_id in house.reserved(mugs=4, teas=0):
        pay(house, shipment_id)
    waited = {row["shipment_id"]: row["quantity"] for row in house.rows(backorders)}

    house.stock.receive(MUG, RENO, 2, key="rcpt-1", by="dock")

    assert waited == {"SO-1-2": 1, "SO-1-3": 1, "SO-1-4": 1}
    assert [stands(house, f"SO-1-{n}") for n in range(1, 5)] == ["released", "payment", "payment", "stock"]
    assert level(house) == (0, 3)
    check(house)


def test_what_a_count_did_not_find_follows_in_a_parcel_that_takes_it(house: House) -> None:
    """Two fit a carton. Guard: put with what waits already, the third was one too many for its carton."""
    house.stocked(mugs=4, **HEAVY | {"weight_g": 14_000, "height_mm": 200})
    for shipment_id in house.reserved(mugs=4, teas=0):
        pay(house, shipment_id)

    for missing in (2, 1):  # the younger of the two parcels as a whole, then a unit of the other
        house.stock.adjust(MUG, RENO, -missing, key=f"count-{missing}", by="ann", reason="cycle count")

    assert inside(house) == {"SO-1-1": {MUG: 1}, "SO-1-2": {MUG: 2}, "SO-1-3": {MUG: 1}}
    assert sum(row["quantity"] - row["filled"] for row in house.rows(backorders)) == 3
    check(house)


def test_a_claim_that_ran_out_and_is_gone_waits_in_parcels(shop: Callable[..., House]) -> None:
    """Guard: queued together, the stoves of three parcels were one parcel of 51 kg."""
    house = shop(mugs=3)
    house.reserved(mugs=3, teas=1)
    operation = claim(house, "SO-1-1", 1)
    house.payments.declined(operation.key, Declined(DeclineGroup.OTHER_METHOD, "declined"))
    house.wait(DEFAULT.reservation_ttl)
    house.reconciliation.sweep()
    house.stock.adjust(MUG, RENO, -3, key="count-1", by="ann", reason="cycle count")

    with house.engine.begin() as conn:
        lapsing.reclaim(conn, lock_order(conn, "SO-1"), now=house.now(), policy=DEFAULT)

    assert inside(house) == {
        "SO-1-1": {TEA: 1},
        "SO-1-4": {MUG: 1},
        "SO-1-5": {MUG: 1},
        "SO-1-6": {MUG: 1},
    }
    assert sorted(row["shipment_id"] for row in house.rows(backorders)) == ["SO-1-4", "SO-1-5", "SO-1-6"]
    check(house)


# --- what comes later ------------------------------------------------------------------------------------


def test_lines_that_are_added_are_divided_too(shop: Callable[..., House]) -> None:
    house = shop()
    house.released(mugs=0, teas=1)
    wanted = (NewLine(sku=MUG, quantity=3),)

    house.records.add_lines(AddLines(order_id="SO-1", lines=wanted, by="sue", request_id="a-1"))

    assert inside(house) == {"SO-1-1": {TEA: 1}, "SO-1-2": {MUG: 1}, "SO-1-3": {MUG: 1}, "SO-1-4": {MUG: 1}}
    assert level(house) == (0, 3)
    check(house)


def test_what_was_not_found_comes_from_elsewhere_in_parcels(house: House) -> None:
    """Three were thought to be light. Guard: undivided they would come as one parcel that no carton carries."""
    house.stocked(mugs=3, **HEAVY | {"weight_g": 9_000, "height_mm": 100})
    elsewhere(house, mugs=3)
    house.released(mugs=3, teas=0)
    house.floor.start_picking("SO-1-1", by="pia")
    house.change(skus, {"weight_g": 17_000}, sku=MUG)  # somebody weighed one

    taken_out = house.rejections.reject(
        Reject(shipment_id="SO-1-1", sku=MUG, units=3, reason=Rejection.NOT_FOUND, by="pia", scan_id="s-1")
    )

    assert taken_out.added == ("SO-1-2", "SO-1-3", "SO-1-4")
    assert inside(house) == {one: {MUG: 1} for one in taken_out.added}
    assert level(house, LEHIGH) == (0, 3)
    check(house)


def settle(house: House, shipment_id: str, parcel_id: str) -> Settled:
    """Let the carrier lose a parcel, and send its goods again by themselves where they are the first."""
    house.wait(timedelta(days=10))
    house.records.declare_lost(DeclareLost(order_id="SO-1", parcel_id=parcel_id))
    lost = Settle(order_id="SO-1", shipment_id=shipment_id, cause=Cause.LOST, by="maria", request_id="r-1")
    return house.records.settle(lost)


def sent_again(house: House) -> Settled:
    """Three mugs that went in one parcel, which is lost, and go in three."""
    house.stocked(**HEAVY | {"weight_g": 9_000, "height_mm": 100})
    house.shipped(mugs=3, teas=0)
    capture(house, "SO-1-1")
    house.change(skus, {"weight_g": 17_000}, sku=MUG)
    return settle(house, "SO-1-1", "SO-1-P1")


def leaves(house: House, shipment_id: str) -> str:
    """Bring a mug from the floor to the carrier; return its parcel."""
    house.floor.start_picking(shipment_id, by="pia")
    house.floor.picked(shipment_id, by="pia")
    parcel_id = house.pack(shipment_id, weight_g=17_500)
    house.label(parcel_id, number=f"1Z{shipment_id}")
    house.floor.hand_over(shipment_id, by="dock")
    return parcel_id


def test_each_parcel_of_what_is_sent_again_is_claimed_for_the_worth_of_its_own_units(house: House) -> None:
    again = sent_again(house).added[0]

    settle(house, again, leaves(house, again))

    assert [row["amount"] for row in house.rows(carrier_claims)] == [3 * 1200, 1200]


def test_what_turns_up_stops_no_part_of_a_replacement_of_which_another_part_has_left(house: House) -> None:
    """Guard: the one that turned up is settled as a whole. With a part stopped here, its customer has the goods of that
    part and their money as well; with the first one owed again, they are sent those that left twice."""
    left, *here = sent_again(house).added
    leaves(house, left)
    house.wait(timedelta(hours=5))
    house.shipping.scanned("SO-1-P1", (a_scan(CarrierStatus.DELIVERED, 244),), None, source="asked")

    came_to = house.records.found(Found(order_id="SO-1", shipment_id="SO-1-1"))

    assert (came_to.stopped, came_to.settlement) == ((), Settlement.RESHIP)
    assert [stands(house, one) for one in (left, *here)] == ["handed_over", "released", "released"]
    assert "What we send instead comes all the same" in house.rows(order_events, kind="found")[-1]["text"]
    assert [house.payments.claim_refund(one) for one in (left, *here)] == [None, None, None]
    check(house)


def test_what_is_sent_again_goes_in_parcels(house: House) -> None:
    settled = sent_again(house)

    assert settled.settlement is Settlement.RESHIP
    assert settled.added == ("SO-1-2", "SO-1-3", "SO-1-4")
    assert {row["replaces"] for row in house.rows(shipments)} == {None, "SO-1-1"}
    check(house)


@pytest.mark.parametrize("by_itself", [True, False])
def test_equals_that_are_heavier_are_divided(engine: Engine, *, by_itself: bool) -> None:
    substitution = Substitution.AUTOMATIC if by_itself else Substitution.CONSENT
    policy, house = Policy(substitution=substitution), House(engine).stocked(mugs=0, teas=0)
    stove = Product(sku="STOVE", name="Stove", price=900, on_hand=9, **HEAVY)
    house.stock.set_catalogue([stove], by="test")
    house.stock.set_substitutes(MUG, ["STOVE"], by="test")
    house.orders.accept(an_order(mugs=3, teas=0), by="web")

    StockStore(engine, house.now, policy=policy).reserve("SO-1")
    if not by_itself:
        house.change(orders, {"status": "confirmed", "confirmed_at": house.now()}, order_id="SO-1")
        records = RecordStore(engine, house.now, policy=policy)
        records.substitute(Substitute(order_id="SO-1", by="ann", request_id="r-1"))

    assert list(inside(house).values()) == [{"STOVE": 1}] * 3
    check_parcels(house)


# --- told ------------------------------------------------------------------------------------------------


def test_the_dry_run_and_the_decision_say_in_how_many_parcels_and_why(shop: Callable[..., House]) -> None:
    house = shop()
    books = SourcingStore(house.engine, house.now)
    why = "wh-reno: nobody else has any of it; wh-reno sends 3 parcels: it weighs 51000 g, and no carton carries more than 30000 g"

    found = books.promise({MUG: 3}, HOME)
    house.reserved(mugs=3, teas=0)

    assert [(part.location_id, dict(part.units)) for part in found.parts] == [(RENO, {MUG: 1})] * 3
    assert (found.why, only(books.decisions("SO-1")).why) == (why, why)
    assert only(found.candidates).scores["fewest_parcels"] == 3


def test_what_waits_is_shown_in_parcels_too(shop: Callable[..., House]) -> None:
    house = shop(mugs=1)

    found = SourcingStore(house.engine, house.now).promise({MUG: 3}, HOME)

    assert [(part.waits_for_stock, dict(part.units)) for part in found.parts] == [
        (False, {MUG: 1}),
        (True, {MUG: 1}),
        (True, {MUG: 1}),
    ]


def test_fewest_parcels_counts_cartons(house: House) -> None:
    """Two parcels either way, and one of them is cheaper. Guard: counted by places, all of it comes from abroad."""
    house.stocked(mugs=1, teas=0, **HEAVY)
    house.stock.add_location(RENO, name="Reno", address=DEPOT, priority=1, on_time=1.0)
    house.stock.add_location(
        LEHIGH, name="Bremen", address=replace(DEPOT, country="DE", region="HB"), priority=2, on_time=1.0
    )
    house.stock.receive(MUG, LEHIGH, 2, key="lehigh-1", by="test")

    found = SourcingStore(house.engine, house.now).promise({MUG: 2}, HOME)
    house.reserved(mugs=2, teas=0)

    scores = {one.locations: one.scores for one in found.candidates}
    assert scores[(LEHIGH,)] == {"fewest_parcels": 2, "on_time": 0, "cheapest": 5700, "priority": 2}
    assert scores[(RENO, LEHIGH)] == {"fewest_parcels": 2, "on_time": 0, "cheapest": 3800, "priority": 3}
    assert [row["location_id"] for row in house.rows(shipments)] == [RENO, LEHIGH]
