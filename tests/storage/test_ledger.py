"""Whatever happens, levels are the sum of their movements and money is the sum of its parts."""

import itertools
from collections.abc import Callable, Iterator
from typing import Final

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from fulfillment.domain.catalogue import Product
from fulfillment.domain.errors import FulfillmentError
from fulfillment.domain.inventory import BUCKETS, InsufficientStock
from fulfillment.domain.order import Order, OrderLine, UnitRange
from fulfillment.domain.record import Confirm, StopShipments
from fulfillment.storage.tables import unit_ranges
from tests.storage.house import DEPOT, MUG, TEA, House, an_order
from tests.storage.paying import pay

PLACES: Final = ("wh-reno", "wh-lehigh")
# The database stays from one example to the next: what must hold, holds over all of them together.
on_one_database: Final = settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
_number: Final = itertools.count(1)
_DISAGREEING: Final = text(
    f"""
    SELECT sku, location_id FROM stock_levels l
    LEFT JOIN (
        SELECT sku, location_id, {", ".join(f"sum({bucket}) AS {bucket}" for bucket in BUCKETS)}
        FROM stock_movements GROUP BY sku, location_id
    ) m USING (sku, location_id)
    WHERE ({", ".join(f"l.{bucket}" for bucket in BUCKETS)})
        IS DISTINCT FROM ({", ".join(f"coalesce(m.{bucket}, 0)" for bucket in BUCKETS)})
    """
)
_UNCLAIMED: Final = text(
    """
    SELECT sku, location_id FROM stock_levels l
    WHERE reserved <> (SELECT coalesce(sum(quantity), 0) FROM reservations r
            WHERE r.state = 'active' AND (r.sku, r.location_id) = (l.sku, l.location_id))
        OR allocated <> (SELECT coalesce(sum(quantity), 0) FROM allocations a
            WHERE a.state = 'active' AND (a.sku, a.location_id) = (l.sku, l.location_id))
    """
)


def open_house(house: House) -> None:
    house.stocked(mugs=6, teas=6)
    house.stock.add_location("wh-lehigh", name="Lehigh", address=DEPOT, priority=2)


def place(house: House, amount: int) -> None:
    order_id = f"SO-{next(_number)}"
    house.orders.accept(an_order(order_id, mugs=amount, teas=amount % 3), by="web")
    house.stock.reserve(order_id)


def settle(house: House, amount: int) -> None:
    """Pay for some order's parts that can be paid, or confirm what only waits."""
    for order_id in some_order(house, amount):
        for part in house.stock.reserve(order_id).shipments:
            if part.waits_for == "payment":
                pay(house, part.shipment_id)
        house.records.confirm(Confirm(order_id=order_id))


def cancel(house: House, amount: int) -> None:
    for order_id in some_order(house, amount):
        stop = StopShipments(order_id=order_id, reason="changed_mind", by="ann", request_id="")
        house.records.stop_shipments(stop)


def ship(house: House, amount: int) -> None:
    for item in house.floor.work(None)[:1]:
        shipment_id = item.shipment_id
        house.floor.start_picking(shipment_id, by="pia")
        house.floor.picked(shipment_id, by="pia")
        parcel_id = house.pack(shipment_id, weight_g=100 * amount)
        house.label(parcel_id, number=parcel_id)
        house.floor.hand_over(shipment_id, by="dock")


def arrive(house: House, amount: int) -> None:
    sku, place = (MUG, TEA)[amount % 2], PLACES[amount % 3 == 0]
    house.stock.receive(sku, place, amount, key=f"R-{next(_number)}", by="dock")


def count(house: House, amount: int) -> None:
    try:
        house.stock.adjust(MUG, "wh-reno", -amount, key=f"C-{next(_number)}", by="ann", reason="count")
    except InsufficientStock:
        return


def some_order(house: House, amount: int) -> Iterator[str]:
    waiting = house.orders.unstarted(100)
    if waiting:
        yield waiting[amount % len(waiting)]


def disagreements(house: House) -> list[str]:
    with house.engine.connect() as conn:
        return [str(row) for check in (_DISAGREEING, _UNCLAIMED) for row in conn.execute(check)]


Deed = Callable[[House, int], None]
deeds: Final = st.sampled_from([place, place, settle, settle, ship, cancel, arrive, count])


@on_one_database
@given(happens=st.lists(st.tuples(deeds, st.integers(1, 7)), min_size=5, max_size=15))
def test_levels_are_the_sum_of_their_movements_and_of_the_claims_on_them(
    house: House, happens: list[tuple[Deed, int]]
) -> None:
    open_house(house)

    for deed, amount in happens:
        deed(house, amount)

    assert disagreements(house) == []


@on_one_database
@given(
    there=st.tuples(*[st.integers(0, 4)] * 4),
    quantities=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    money=st.tuples(*[st.integers(0, 9999)] * 4),
)
def test_the_money_of_an_order_adds_up_however_its_units_were_spread(
    house: House, there: tuple[int, ...], quantities: tuple[int, int], money: tuple[int, ...]
) -> None:
    n = next(_number)
    open_house(house)
    skus = [f"A-{n}", f"B-{n}"]
    products = [Product(sku=sku, name=sku, weight_g=1, price=1, backorderable=sku == skus[0]) for sku in skus]
    house.stock.set_catalogue(products, by="test")
    for (sku, location), units in zip(itertools.product(skus, PLACES), there, strict=True):
        house.stock.receive(sku, location, units, key=f"{sku}:{location}", by="dock")
    order = of_two_lines(f"SO-{n}", skus, quantities, money)
    house.orders.accept(order, by="web")

    plan = house.stock.reserve(order.order_id)

    gone = house.rows(unit_ranges, order_id=order.order_id, shipment_id=None)
    ranges = [UnitRange(line_no=r["line_no"], first=r["first_unit"], count=r["quantity"]) for r in gone]
    assert sum(part.value for part in plan.shipments) + order.worth(tuple(ranges)) == order.total
    assert sum(part.units for part in plan.shipments) + sum(r.count for r in ranges) == sum(quantities)


def of_two_lines(
    order_id: str, skus: list[str], quantities: tuple[int, int], money: tuple[int, ...]
) -> Order:
    price, discount, tax, fee = money
    lines = tuple(
        OrderLine(
            line_no=n,
            sku=sku,
            name=sku,
            quantity=quantity,
            unit_price=price,
            discount=min(discount, price * quantity),
            tax=tax,
        )
        for n, (sku, quantity) in enumerate(zip(skus, quantities, strict=True), start=1)
    )
    total = sum(line.goods + line.tax for line in lines) + fee
    return an_order(order_id, lines=lines, shipping_fee=fee, total=total)


def test_a_refused_deed_leaves_nothing_behind(house: House) -> None:
    open_house(house)
    before = house.stock.levels()

    try:
        house.stock.adjust(MUG, "wh-reno", -7, key="C-1", by="ann", reason="count")
    except FulfillmentError:
        refused = True

    assert refused
    assert (house.stock.levels(), disagreements(house)) == (before, [])
