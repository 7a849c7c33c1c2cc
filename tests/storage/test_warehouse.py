"""The floor: every step once, and a STOP whenever the order may not go on."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import Engine

from fulfillment.domain.address import Address
from fulfillment.domain.errors import FulfillmentError
from fulfillment.domain.holds import HoldReason
from fulfillment.domain.record import PlaceHold, StopShipments
from fulfillment.domain.shipment import InvalidTransition, Stop, WorkStatus
from fulfillment.storage.locks import UnknownShipment
from fulfillment.storage.records import RecordStore
from fulfillment.storage.tables import (
    allocations,
    audit_entries,
    labels,
    locations,
    order_events,
    orders,
    outbox,
    parcels,
    payments,
    provider_operations,
    shipments,
    signals,
    stock_levels,
    stock_movements,
)
from tests.storage.house import HOME, MORNING, MUG, NUMBER, House, only

Step = Callable[[House], object]


def start(house: House) -> object:
    return house.floor.start_picking("SO-1-1", by="pia")


def picked(house: House) -> object:
    return house.floor.picked("SO-1-1", by="pia")


def pack(house: House) -> object:
    return house.pack("SO-1-1")


def label(house: House) -> object:
    return house.label("SO-1-P1")


def leave(house: House) -> object:
    return house.floor.hand_over("SO-1-1", by="dock")


STEPS: dict[str, Step] = {"start": start, "picked": picked, "pack": pack, "leave": leave}
BEFORE: dict[str, list[Step]] = {
    "start": [],
    "picked": [start],
    "pack": [start, picked],
    "leave": [start, picked, pack, label],
}


def brought_to(engine: Engine, step: str, **changes: object) -> House:
    house = House(engine).stocked()
    house.released(**changes)
    for earlier in BEFORE[step]:
        earlier(house)
    return house


def everything(house: House) -> list[object]:
    tables = (
        *(shipments, parcels, labels, allocations, stock_levels, stock_movements),
        *(order_events, audit_entries, signals, outbox),
    )
    return [house.rows(table) for table in tables]


@pytest.mark.parametrize("step", STEPS)
def test_a_step_done_twice_is_done_once_and_answers_the_same(engine: Engine, step: str) -> None:
    house = brought_to(engine, step)

    first = STEPS[step](house)
    books = everything(house)
    house.wait(timedelta(minutes=5))
    again = STEPS[step](house)

    assert again == first
    assert everything(house) == books


def test_an_early_step_repeated_late_takes_nothing_back(engine: Engine) -> None:
    house = brought_to(engine, "leave")
    leave(house)

    for step in (start, picked, pack):
        step(house)

    assert house.row(shipments)["work_status"] == "handed_over"


def test_two_people_at_one_step_do_it_once(engine: Engine) -> None:
    house = brought_to(engine, "leave")

    with ThreadPoolExecutor(4) as people:
        answers = list(people.map(lambda _: leave(house), range(8)))

    assert len(set(map(str, answers))) == 1
    assert len(house.rows(stock_movements, kind="shipped", sku=MUG)) == 1


@pytest.mark.parametrize(("step", "of"), [("picked", "start"), ("pack", "picked"), ("leave", "pack")])
def test_a_step_cannot_be_skipped(engine: Engine, step: str, of: str) -> None:
    house = brought_to(engine, of)

    with pytest.raises(InvalidTransition):
        STEPS[step](house)


def test_a_parcel_without_a_label_cannot_leave(engine: Engine) -> None:
    house = brought_to(engine, "pack")
    pack(house)

    with pytest.raises(
        InvalidTransition, match="is packed and waits for its label: it cannot be handed over now"
    ):
        leave(house)


def test_a_shipment_nobody_knows_is_refused(engine: Engine) -> None:
    house = House(engine).stocked()

    with pytest.raises(UnknownShipment):
        house.floor.start_picking("SO-9-1", by="pia")


@pytest.mark.parametrize("step", STEPS)
def test_a_held_order_stops_every_step(engine: Engine, step: str) -> None:
    house = brought_to(engine, step)
    RecordStore(engine, house.now).place_hold(
        PlaceHold(order_id="SO-1", reason=HoldReason.MANUAL, by="maria", request_id="r-1", due_at=house.time)
    )
    books = everything(house)

    with pytest.raises(Stop, match=r"on hold \(manual\)"):
        STEPS[step](house)

    assert everything(house) == books


@pytest.mark.parametrize("step", STEPS)
def test_a_cancelled_shipment_stops_every_step(engine: Engine, step: str) -> None:
    house = brought_to(engine, step)
    RecordStore(engine, house.now).stop_shipments(
        StopShipments(order_id="SO-1", reason="changed_mind", by="maria", request_id="r-1")
    )

    with pytest.raises(Stop, match="put the goods back on the shelf"):
        STEPS[step](house)


@pytest.mark.parametrize("step", STEPS)
def test_an_authorization_that_ran_out_stops_every_step(engine: Engine, step: str) -> None:
    house = brought_to(engine, step, expires_at=MORNING + timedelta(days=7))
    house.wait(timedelta(days=7))

    with pytest.raises(Stop, match="payment is not ready"):
        STEPS[step](house)


@pytest.mark.parametrize("status", ["declined", "voided", "expired"])
def test_a_payment_that_is_gone_stops_the_floor(engine: Engine, status: str) -> None:
    house = brought_to(engine, "leave")
    house.change(payments, {"status": status})

    with pytest.raises(Stop, match="payment is not ready"):
        leave(house)


def test_a_shipment_worth_nothing_needs_no_payment(engine: Engine) -> None:
    house = brought_to(engine, "leave")
    house.change(shipments, {"value": 0})
    house.change(payments, {"status": "voided"})

    leave(house)

    assert house.row(shipments)["work_status"] == "handed_over"


def test_a_label_for_an_address_that_changed_stops_the_parcel(engine: Engine) -> None:
    house = brought_to(engine, "leave")
    moved = Address(name=HOME.name, line1="2 Other St", city="Reno", region="NV", country="US")
    house.change(orders, {"ship_to": {name: getattr(moved, name) for name in Address.__slots__}})

    with pytest.raises(Stop, match="address changed"):
        leave(house)

    assert house.row(shipments)["work_status"] == "labeled"


def test_the_same_address_written_otherwise_is_no_other_address(engine: Engine) -> None:
    house = brought_to(engine, "leave")
    shouted = {name: str(getattr(HOME, name)).upper() for name in Address.__slots__}
    house.change(orders, {"ship_to": shouted})

    leave(house)

    assert house.row(shipments)["work_status"] == "handed_over"


def test_leaving_moves_the_goods_out_of_the_books_and_tells_everyone(engine: Engine) -> None:
    house = brought_to(engine, "leave")

    left = house.floor.hand_over("SO-1-1", by="dock")

    mugs = house.row(stock_levels, sku=MUG)
    assert (mugs["on_hand"], mugs["allocated"], mugs["reserved"]) == (8, 0, 0)
    assert {row["state"] for row in house.rows(allocations)} == {"shipped"}
    assert house.row(labels)["state"] == "used"
    assert house.row(parcels)["next_check_at"] == MORNING + timedelta(hours=24)
    assert (left.carrier, left.tracking_number, left.at) == ("UPS", NUMBER, MORNING)
    told = house.row(outbox, fact="shipped")
    assert told["subject"] == "SO-1-1"
    assert told["data"]["tracking_number"] == NUMBER
    assert told["data"]["tracking_token"] == house.row(orders)["tracking_token"]
    assert house.row(signals, name="handed_over")["body"] == {
        "shipment_id": "SO-1-1",
        "parcel_id": "SO-1-P1",
        "by": "dock",
        "carrier": "UPS",
        "tracking_number": NUMBER,
        "fact_key": "SO-1-1:handed_over",
        "at": MORNING.isoformat(),
    }


def test_packing_gives_the_parcel_the_next_number_of_its_order(engine: Engine) -> None:
    house = brought_to(engine, "pack")

    packed = pack(house)

    assert packed == "SO-1-P1"
    assert house.row(signals, name="packed")["body"] == {
        "shipment_id": "SO-1-1",
        "parcel_id": "SO-1-P1",
        "weight_g": 900,
        "fact_key": "SO-1-1:packed",
        "at": MORNING.isoformat(),
    }


def test_a_cancel_and_a_hand_over_at_once_have_one_winner(engine: Engine) -> None:
    house = House(engine).stocked(mugs=40, teas=40)
    orders_at_the_dock = [f"SO-{n}" for n in range(6)]
    for n, order_id in enumerate(orders_at_the_dock):
        house.labeled(order_id, number=f"1Z{n}")
    records = RecordStore(engine, house.now)

    def stop(order_id: str) -> int:
        request = StopShipments(order_id=order_id, reason="changed_mind", by="maria", request_id="r")
        return len(records.stop_shipments(request).stopped)

    def hand_over(order_id: str) -> int:
        try:
            house.floor.hand_over(f"{order_id}-1", by="dock")
        except FulfillmentError:
            return 0
        return 1

    with ThreadPoolExecutor(4) as people:
        stops = [people.submit(stop, order_id) for order_id in orders_at_the_dock]
        leaves = [people.submit(hand_over, order_id) for order_id in orders_at_the_dock]
        won = [(s.result(), h.result()) for s, h in zip(stops, leaves, strict=True)]

    assert all(stopped + left == 1 for stopped, left in won)
    left = sum(left for _, left in won)
    mugs = house.row(stock_levels, sku=MUG)
    assert (mugs["on_hand"], mugs["allocated"]) == (40 - 2 * left, 0)


def test_the_board_shows_what_is_latest_first_with_all_it_needs(engine: Engine) -> None:
    house = House(engine).stocked()
    house.packed("SO-1")
    house.wait(timedelta(hours=40))
    house.released("SO-2", mugs=1)
    house.wait(timedelta(hours=10))

    board = house.floor.work()

    assert [(item.shipment_id, item.late) for item in board] == [("SO-1-1", True), ("SO-2-1", False)]
    first = board[0]
    assert (first.work_status, first.parcel_id, first.weight_g) == (WorkStatus.PACKED, "SO-1-P1", 900)
    assert [(item.sku, item.quantity) for item in first.items] == [("MUG", 2), ("TEA", 1)]
    assert (first.picker, first.ship_to, first.held) == ("pia", HOME, ())


def test_the_board_says_where_things_lie_in_the_order_of_the_walk_and_in_which_zone(engine: Engine) -> None:
    house = House(engine).stocked()
    house.released()
    house.change(locations, {"zone": "America/Los_Angeles"}, location_id="wh-reno")
    house.stock.add_location("wh-lehigh", name="Lehigh", address=HOME, priority=2)
    house.picking.set_bin("MUG", "wh-lehigh", "A-01-1")
    before = only(house.floor.work())
    house.picking.set_bin("TEA", "wh-reno", "A-02-1")
    tea_first = only(house.floor.work())
    house.picking.set_bin("MUG", "wh-reno", "A-01-1")

    board = only(house.floor.work())

    assert [(item.sku, item.bin) for item in before.items] == [("MUG", ""), ("TEA", "")]
    assert [(item.sku, item.bin) for item in tea_first.items] == [("TEA", "A-02-1"), ("MUG", "")]
    assert [(item.sku, item.bin) for item in board.items] == [("MUG", "A-01-1"), ("TEA", "A-02-1")]
    assert board.zone == "America/Los_Angeles"


def test_the_board_shows_a_hold_and_one_location_only(engine: Engine) -> None:
    house = brought_to(engine, "start")
    RecordStore(engine, house.now).place_hold(
        PlaceHold(order_id="SO-1", reason=HoldReason.ADDRESS, by="maria", request_id="r-1", due_at=house.time)
    )

    board = house.floor.work("wh-reno")

    assert only(board).held == ("address",)
    assert house.floor.work("wh-lehigh") == ()


def test_what_has_left_is_no_longer_on_the_board(engine: Engine) -> None:
    house = House(engine).stocked()
    house.shipped()

    board = house.floor.work()

    assert board == ()


@pytest.mark.parametrize("state", ["claimed", "unknown", "succeeded"])
def test_nothing_leaves_on_money_that_is_being_let_go(engine: Engine, state: str) -> None:
    house = brought_to(engine, "leave")
    assert house.payments.claim_void("SO-1-1") is not None
    house.change(provider_operations, {"state": state}, kind="void")

    with pytest.raises(Stop, match="payment is not ready"):
        leave(house)


def test_money_whose_release_was_refused_still_pays(engine: Engine) -> None:
    house = brought_to(engine, "leave")
    void = house.payments.claim_void("SO-1-1")
    assert void is not None
    house.payments.failed(void.key, "Rejected")

    leave(house)

    assert house.row(shipments)["work_status"] == "handed_over"


def test_of_a_hand_over_and_a_release_of_its_money_at_once_exactly_one_wins(engine: Engine) -> None:
    house = House(engine).stocked(mugs=40, teas=40)
    ids = [f"SO-{n}" for n in range(1, 13)]
    for n, order_id in enumerate(ids):
        house.labeled(order_id, number=f"1Z{n}")

    def let_go(order_id: str) -> bool:
        try:
            return house.payments.claim_void(f"{order_id}-1") is not None
        except Stop:
            return False

    def left(order_id: str) -> bool:
        try:
            house.floor.hand_over(f"{order_id}-1", by="dock")
        except Stop:
            return False
        return True

    with ThreadPoolExecutor(8) as crowd:
        voids = [crowd.submit(let_go, order_id) for order_id in ids]
        leaves = [crowd.submit(left, order_id) for order_id in ids]

    for void, leaving in zip(voids, leaves, strict=True):
        assert void.result() is not leaving.result()
