"""Whoever waits for stock is served in order, once, and nobody is overtaken."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from fulfillment.domain.catalogue import Product
from fulfillment.domain.inventory import Condition, InsufficientStock, Level, PackedAlready, UnknownSku
from fulfillment.domain.record import StopShipments
from fulfillment.storage.stock import NoLocation
from fulfillment.storage.tables import (
    allocations,
    backorders,
    order_events,
    replenishment_orders,
    shipments,
    signals,
    stock_movements,
)
from tests.storage.house import DEPOT, MORNING, MUG, TEA, House, an_order
from tests.storage.paying import pay


def level(house: House, sku: str = MUG) -> Level:
    (found,) = house.stock.levels(sku)
    return found


def waits(house: House, order_id: str, mugs: int, **changes: int) -> None:
    """An order that finds nothing and waits for all its mugs."""
    house.orders.accept(an_order(order_id, mugs=mugs, teas=0, placed_at=house.time), by="web")
    house.stock.reserve(order_id)
    if changes:
        house.change(backorders, changes, order_id=order_id)


def filled(house: House) -> dict[str, int]:
    return {row["order_id"]: row["filled"] for row in house.rows(backorders)}


def arrive(house: House, mugs: int, key: str = "R-1") -> tuple[str, ...]:
    return house.stock.receive(MUG, "wh-reno", mugs, key=key, by="dock").filled


def test_the_queue_is_by_urgency_then_promise_then_placing_then_id(house: House) -> None:
    house.stocked(mugs=0)
    waits(house, "SO-5", 2)
    waits(house, "SO-4", 2)
    house.wait(timedelta(minutes=1))
    waits(house, "SO-3", 2)
    house.wait(timedelta(days=1))
    waits(house, "SO-2", 2)
    waits(house, "SO-1", 2, priority=-1)

    served = [arrive(house, 2, f"R-{n}") for n in range(5)]

    assert served == [("SO-1-1",), ("SO-4-1",), ("SO-5-1",), ("SO-3-1",), ("SO-2-1",)]


def test_too_few_units_go_to_the_head_of_the_queue_and_the_rest_follows(house: House) -> None:
    house.stocked(mugs=0)
    waits(house, "SO-1", 3)
    waits(house, "SO-2", 1)

    first = arrive(house, 2, "R-1")
    counted = filled(house)
    second = arrive(house, 4, "R-2")

    assert (first, counted) == ((), {"SO-1": 2, "SO-2": 0})
    assert (second, filled(house)) == (("SO-1-1", "SO-2-1"), {"SO-1": 3, "SO-2": 1})
    assert (level(house).on_hand, level(house).allocated, level(house).available) == (6, 4, 2)


def test_a_receipt_repeated_under_its_key_says_the_same_and_changes_nothing(house: House) -> None:
    house.stocked(mugs=0)
    waits(house, "SO-1", 2)
    first = arrive(house, 5)
    before = (level(house), len(house.rows(stock_movements)), len(house.rows(signals)))

    again = arrive(house, 5)

    assert again == first == ("SO-1-1",)
    assert (level(house), len(house.rows(stock_movements)), len(house.rows(signals))) == before


def test_a_shipment_is_ready_when_its_last_line_is_and_says_so_once(house: House) -> None:
    house.stocked(mugs=0, teas=0)
    house.stock.set_catalogue(
        [Product(sku=TEA, name="Tea", weight_g=1, price=500, backorderable=True)], by="test"
    )
    house.orders.accept(an_order(mugs=1, teas=1), by="web")
    house.stock.reserve("SO-1")

    mugs = arrive(house, 1, "R-1")
    still = house.row(shipments)["waits_for"]
    teas = house.stock.receive(TEA, "wh-reno", 1, key="R-2", by="dock").filled

    assert (mugs, still) == ((), "stock")
    assert (teas, house.row(shipments)["waits_for"]) == (("SO-1-1",), "payment")
    signal = house.row(signals)
    assert (signal["name"], signal["fact_key"]) == (
        "stock_filled",
        f"SO-1-1:stock_filled:{house.time.isoformat()}",
    )
    assert signal["body"] == {
        "shipment_ids": ["SO-1-1"],
        "fact_key": f"SO-1-1:stock_filled:{house.time.isoformat()}",
        "at": MORNING.isoformat(),
    }
    assert [e["kind"] for e in house.rows(order_events)].count("stock_filled") == 1


def test_what_was_filled_is_paid_and_goes_to_the_floor(house: House) -> None:
    house.stocked(mugs=1).orders.accept(an_order(mugs=3, teas=0), by="web")
    house.stock.reserve("SO-1")
    pay(house, "SO-1-1")
    arrive(house, 2)

    paid = pay(house, "SO-1-2")

    assert paid.released == ("SO-1-1", "SO-1-2")
    assert {row["shipment_id"]: row["quantity"] for row in house.rows(allocations)} == {
        "SO-1-1": 1,
        "SO-1-2": 2,
    }


def test_who_was_cancelled_is_not_served(house: House) -> None:
    house.stocked(mugs=0)
    waits(house, "SO-1", 2)
    waits(house, "SO-2", 2)
    house.records.stop_shipments(
        StopShipments(order_id="SO-1", reason="changed_mind", by="ann", request_id="")
    )

    served = arrive(house, 2)

    assert served == ("SO-2-1",)


def test_units_given_to_a_waiting_order_come_back_when_it_is_stopped(house: House) -> None:
    house.stocked(mugs=0)
    waits(house, "SO-1", 3)
    arrive(house, 2)

    house.records.stop_shipments(
        StopShipments(order_id="SO-1", reason="changed_mind", by="ann", request_id="")
    )

    assert (level(house).on_hand, level(house).allocated) == (2, 0)


def cancel(house: House, order_id: str) -> None:
    house.records.stop_shipments(
        StopShipments(order_id=order_id, reason="changed_mind", by="ann", request_id="")
    )


def test_units_that_were_found_serve_those_who_wait(house: House) -> None:
    house.stocked(mugs=0)
    waits(house, "SO-1", 2)
    waits(house, "SO-2", 2)

    for _ in range(2):
        house.stock.adjust(MUG, "wh-reno", 3, key="count-1", by="ann", reason="found")

    assert filled(house) == {"SO-1": 2, "SO-2": 1}
    assert (level(house).on_hand, level(house).allocated) == (3, 3)
    assert house.row(signals)["fact_key"] == f"SO-1-1:stock_filled:{house.time.isoformat()}"
    assert house.row(stock_movements, operation_key="count-1:fill:SO-1-1:1")["allocated"] == 2


def test_units_a_cancel_let_go_are_given_by_the_sweep_to_those_who_wait(house: House) -> None:
    house.stocked(mugs=2).reserved("SO-1", mugs=2, teas=0)
    waits(house, "SO-2", 1)
    waits(house, "SO-3", 2)
    cancel(house, "SO-1")

    for _ in range(2):
        house.reconciliation.sweep()

    assert filled(house) == {"SO-2": 1, "SO-3": 1}
    assert (level(house).allocated, level(house).available) == (2, 0)
    assert house.row(signals)["fact_key"] == f"SO-2-1:stock_filled:{house.time.isoformat()}"


def test_a_line_served_in_part_by_one_sweep_is_served_by_the_next(house: House) -> None:
    house.stocked(mugs=2)
    house.reserved("SO-1", mugs=1, teas=0)
    house.reserved("SO-2", mugs=1, teas=0)
    waits(house, "SO-3", 2)

    for order_id in ("SO-1", "SO-2"):
        cancel(house, order_id)
        house.wait(timedelta(minutes=1))
        house.reconciliation.sweep()

    assert filled(house) == {"SO-3": 2}


def test_sweeps_at_once_give_every_unit_once(house: House) -> None:
    house.stocked(mugs=6).reserved("SO-0", mugs=6, teas=0)
    for n in range(1, 7):
        waits(house, f"SO-{n}", 2)
    cancel(house, "SO-0")

    with ThreadPoolExecutor(6) as crowd:
        list(crowd.map(lambda _: house.reconciliation.sweep(), range(12)))

    assert (level(house).allocated, level(house).available) == (6, 0)
    assert sum(filled(house).values()) == 6


def test_a_new_order_does_not_overtake_those_who_wait_for_units_just_let_go(house: House) -> None:
    house.stocked(mugs=3).reserved("SO-1", mugs=3, teas=0)
    waits(house, "SO-2", 2)
    cancel(house, "SO-1")

    waits(house, "SO-3", 2)
    house.reconciliation.sweep()

    assert filled(house) == {"SO-2": 2, "SO-3": 0}
    assert house.row(backorders, order_id="SO-3")["quantity"] == 1
    assert (level(house).reserved, level(house).allocated, level(house).available) == (1, 2, 0)


def test_receipts_cancellations_and_new_orders_at_once_leave_no_unit_unserved(house: House) -> None:
    house.stocked(mugs=0)
    for n in range(10):
        waits(house, f"SO-{n}", 1)
        house.orders.accept(an_order(f"NEW-{n}", mugs=1, teas=0, placed_at=house.time), by="web")

    def happen(n: int) -> None:
        arrive(house, 1, f"R-{n}")
        house.stock.reserve(f"NEW-{n}")
        if n % 2:
            stop = StopShipments(order_id=f"SO-{n}", reason="changed_mind", by="ann", request_id="")
            house.records.stop_shipments(stop)

    with ThreadPoolExecutor(8) as crowd:
        list(crowd.map(happen, range(10)))
    arrive(house, 0, "R-last")

    after = level(house)
    waiting = sum(row["quantity"] - row["filled"] for row in house.rows(backorders, state="waiting"))
    assert after.on_hand == 10
    assert after.available == 0 or waiting == 0


def test_what_the_vendor_sent_is_no_longer_expected_however_much_it_was(house: House) -> None:
    house.stocked()
    lamp = Product(sku="LAMP", name="Lamp", weight_g=900, price=5000, on_order=5)
    house.stock.set_catalogue([lamp], by="test")
    (order,) = house.rows(replenishment_orders)
    expected = level(house, "LAMP").incoming

    for n, quantity in enumerate((2, 4)):
        house.stock.receive(
            "LAMP",
            "wh-reno",
            quantity,
            key=f"R-{n}",
            by="dock",
            replenishment_id=order["replenishment_id"],
        )

    assert expected == 5
    assert (level(house, "LAMP").on_hand, level(house, "LAMP").incoming) == (6, 0)
    assert house.row(replenishment_orders)["state"] == "received"


def test_importing_the_catalogue_again_changes_products_and_never_stock(house: House) -> None:
    house.stocked(mugs=10)
    house.stock.adjust(MUG, "wh-reno", -3, key="count-1", by="ann", reason="broken")

    house.stocked(mugs=99, safety_stock=2)

    assert (level(house).on_hand, level(house).safety_stock) == (7, 2)


def test_what_a_product_starts_with_does_not_count_once_its_stock_has_moved(house: House) -> None:
    house.stocked()
    lamp = Product(sku="LAMP", name="Lamp", weight_g=900, price=5000)
    house.stock.set_catalogue([lamp], by="test")
    house.stock.receive("LAMP", "wh-reno", 3, key="R-1", by="dock")

    house.stock.set_catalogue([replace(lamp, on_hand=50)], by="test")

    assert level(house, "LAMP").on_hand == 3


def test_a_count_is_corrected_once_and_never_below_what_is_damaged(house: House) -> None:
    house.stocked(mugs=10)
    house.conditions.set_aside(MUG, "wh-reno", 3, Condition.DAMAGED, key="d-1", by="ann", reason="wet")

    for _ in range(2):
        house.stock.adjust(MUG, "wh-reno", -5, key="count-1", by="ann", reason="broken")
    with pytest.raises(PackedAlready):
        house.stock.adjust(MUG, "wh-reno", -3, key="count-2", by="ann", reason="broken")
    with pytest.raises(InsufficientStock):
        house.stock.adjust(MUG, "wh-reno", -6, key="count-3", by="ann", reason="broken")

    assert (level(house).on_hand, level(house).damaged) == (5, 3)


def test_stock_needs_a_place_and_a_known_product(house: House) -> None:
    with pytest.raises(NoLocation):
        house.stock.set_catalogue([Product(sku="A", name="A", weight_g=1, price=1)], by="test")
    house.stock.add_location("wh-reno", name="Reno", address=DEPOT, priority=1)

    with pytest.raises(UnknownSku):
        house.stock.receive("A", "wh-reno", 1, key="R-1", by="dock")
