"""Lines that are added to an order that stands: claimed and planned in the caller's transaction, or refused whole."""

from datetime import timedelta

import pytest
from sqlalchemy import insert

from fulfillment.domain.inventory import InsufficientStock, Level
from fulfillment.domain.order import OrderLine
from fulfillment.domain.policy import DEFAULT
from fulfillment.domain.reservation import PlannedShipment
from fulfillment.domain.shipment import WaitsFor
from fulfillment.storage import reservations
from fulfillment.storage.orders import lock_order
from fulfillment.storage.tables import allocations, backorders, order_lines, shipments, unit_ranges
from fulfillment.storage.tables import reservations as reservation_rows
from tests.storage.house import MUG, TEA, House
from tests.storage.paying import pay


def level(house: House, sku: str = MUG) -> Level:
    (found,) = house.stock.levels(sku)
    return found


def added(house: House, mugs: int, *, line_no: int = 3, first_n: int = 2) -> tuple[PlannedShipment, ...]:
    """Add a line of mugs to SO-1, as a change does."""
    line = OrderLine(line_no=line_no, sku=MUG, name="Mug", quantity=mugs, unit_price=1200)
    row = {"order_id": "SO-1", "line_no": line_no, "sku": MUG, "name": "Mug", "quantity": mugs}
    row |= {"unit_price": 1200, "discount": 0, "tax": 0, "shipping_share": 0}
    with house.engine.begin() as conn:
        order = lock_order(conn, "SO-1")
        conn.execute(insert(order_lines), row)
        return reservations.add(conn, order, [line], first_n=first_n, now=house.now(), policy=DEFAULT)


def test_a_line_added_before_the_money_is_reserved_and_confirmed_with_the_rest(house: House) -> None:
    house.stocked(mugs=10)
    house.reserved(mugs=2, teas=1)

    (planned,) = added(house, 3)
    pay(house, "SO-1-1")
    answer = pay(house, "SO-1-2")

    assert (planned.shipment_id, planned.units, planned.value, planned.waits_for) == (
        "SO-1-2",
        3,
        3600,
        WaitsFor.PAYMENT,
    )
    assert answer.confirmed
    assert {row["operation_key"] for row in house.rows(reservation_rows)} == {
        "SO-1:reserve",
        "SO-1:reserve:2",
    }
    assert (level(house).reserved, level(house).allocated) == (0, 5)


def test_a_line_added_to_a_confirmed_order_is_allocated_at_once_and_waits_for_its_money(house: House) -> None:
    house.stocked(mugs=10)
    house.released(mugs=2, teas=0)

    added(house, 3)

    assert house.row(shipments, shipment_id="SO-1-2")["waits_for"] == "payment"
    assert house.row(allocations, shipment_id="SO-1-2")["quantity"] == 3
    assert (level(house).reserved, level(house).allocated) == (0, 5)


def test_of_an_added_line_what_is_not_there_waits_in_a_shipment_of_its_own(house: House) -> None:
    house.stocked(mugs=4)
    house.reserved(mugs=2, teas=0)

    planned = added(house, 3)

    assert [(s.shipment_id, s.units, s.waits_for) for s in planned] == [
        ("SO-1-2", 2, WaitsFor.PAYMENT),
        ("SO-1-3", 1, WaitsFor.STOCK),
    ]
    assert house.row(backorders)["shipment_id"] == "SO-1-3"


def test_an_added_line_that_can_neither_ship_nor_wait_is_refused_and_nothing_is_written(house: House) -> None:
    house.stocked(mugs=4, backorderable=False)
    house.reserved(mugs=2, teas=0)

    with pytest.raises(InsufficientStock, match="MUG: 3 asked, 2 available"):
        added(house, 3)

    assert level(house).reserved == 2
    assert len(house.rows(shipments)) == len(house.rows(unit_ranges)) == 1


def test_what_was_added_and_what_was_there_first_run_out_together(house: House) -> None:
    house.stocked(mugs=10)
    house.reserved(mugs=2, teas=1)
    house.wait(timedelta(minutes=10))
    added(house, 3)
    house.wait(DEFAULT.reservation_ttl - timedelta(minutes=1))
    house.reconciliation.sweep()
    early = level(house).reserved
    house.wait(timedelta(minutes=1))

    house.reconciliation.sweep()

    assert (early, level(house).reserved, level(house, TEA).reserved) == (5, 0, 0)
