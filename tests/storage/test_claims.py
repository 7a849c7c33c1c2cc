"""No unit is promised twice, whoever asks at the same moment."""

import random
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from fulfillment.domain.catalogue import Product
from fulfillment.domain.inventory import InsufficientStock, Level, Movement
from fulfillment.domain.order import Order, OrderLine
from fulfillment.domain.shipment import WaitsFor
from fulfillment.storage import movements, sourcing
from fulfillment.storage.tables import orders, outbox, stock_movements, unit_ranges
from fulfillment.storage.tables import reservations as reservation_rows
from tests.storage.house import MUG, TEA, House, an_order


def level(house: House, sku: str = MUG) -> Level:
    (found,) = house.stock.levels(sku)
    return found


def accepted(house: House, count: int, **changes: int) -> list[str]:
    ids = [f"SO-{n}" for n in range(1, count + 1)]
    for order_id in ids:
        house.orders.accept(an_order(order_id, **changes), by="web")
    return ids


def of_skus(order_id: str, skus: list[str]) -> Order:
    lines = [
        OrderLine(line_no=n, sku=sku, name=sku, quantity=1, unit_price=100) for n, sku in enumerate(skus, 1)
    ]
    return an_order(order_id, lines=tuple(lines), total=100 * len(lines))


def test_of_200_orders_for_the_last_10_mugs_exactly_10_get_one(house: House) -> None:
    house.stocked(mugs=10, backorderable=False)
    ids = accepted(house, 200, mugs=1, teas=0)

    with ThreadPoolExecutor(40) as crowd:
        plans = list(crowd.map(house.stock.reserve, ids))

    assert sum(bool(plan.shipments) for plan in plans) == 10
    assert (level(house).reserved, level(house).available) == (10, 0)


def test_orders_for_the_same_skus_in_any_order_never_wait_for_each_other(house: House) -> None:
    skus = [f"SKU-{n}" for n in range(8)]
    products = [Product(sku=sku, name=sku, weight_g=1, price=100, on_hand=100) for sku in skus]
    house.stocked().stock.set_catalogue(products, by="test")
    chance = random.Random(7)
    ids = [f"SO-{n}" for n in range(60)]
    for order_id in ids:
        house.orders.accept(of_skus(order_id, chance.sample(skus, k=6)), by="web")

    with ThreadPoolExecutor(16) as crowd:
        plans = list(crowd.map(house.stock.reserve, ids))

    assert all(len(plan.shipments) == 1 and not plan.short for plan in plans)
    assert sum(level(house, sku).reserved for sku in skus) == 60 * 6


def test_a_sku_on_two_lines_is_claimed_once_for_both(house: House) -> None:
    house.stocked(mugs=5)
    lines = [
        OrderLine(line_no=n, sku=MUG, name="Mug", quantity=q, unit_price=100) for n, q in enumerate((3, 4), 1)
    ]
    house.orders.accept(an_order(lines=tuple(lines), total=700), by="web")

    plan = house.stock.reserve("SO-1")

    assert [(s.units, s.value, s.waits_for) for s in plan.shipments] == [
        (5, 500, WaitsFor.PAYMENT),
        (2, 200, WaitsFor.STOCK),
    ]
    assert house.row(reservation_rows)["quantity"] == level(house).reserved == 5


def test_a_repeated_claim_returns_the_first_plan_and_claims_nothing_more(house: House) -> None:
    house.stocked(mugs=1).orders.accept(an_order(mugs=2), by="web")
    first = house.stock.reserve("SO-1")

    again = house.stock.reserve("SO-1")

    assert again == first
    assert level(house).reserved == 1


def test_two_workers_that_claim_for_the_same_order_claim_once(house: House) -> None:
    house.stocked().orders.accept(an_order(), by="web")

    with ThreadPoolExecutor(4) as workers:
        plans = list(workers.map(house.stock.reserve, ["SO-1"] * 4))

    assert all(plan == plans[0] for plan in plans)
    assert level(house).reserved == 2


def test_what_will_never_come_is_cancelled_and_the_rest_ships(house: House) -> None:
    house.stocked(mugs=1, backorderable=False).orders.accept(an_order(mugs=3), by="web")

    plan = house.stock.reserve("SO-1")

    assert [(line.got, line.cancelled) for line in plan.short] == [(1, 2)]
    (gone,) = house.rows(unit_ranges, shipment_id=None)
    assert (gone["first_unit"], gone["quantity"], gone["cancelled_reason"]) == (2, 2, "out_of_stock")


def test_an_order_of_which_nothing_may_ship_or_wait_is_rejected_and_told_so_once(house: House) -> None:
    house.stocked(mugs=0, backorderable=False).orders.accept(an_order(mugs=3, teas=0), by="web")

    plan = house.stock.reserve("SO-1")
    again = house.stock.reserve("SO-1")

    assert plan.shipments == again.shipments == ()
    assert house.row(orders)["status"] == "rejected"
    assert house.row(outbox)["fact"] == "cancelled"


def test_an_archived_sku_is_sold_out_but_never_queued(house: House) -> None:
    house.stocked(mugs=1, archived=True).orders.accept(an_order(mugs=2, teas=0), by="web")

    plan = house.stock.reserve("SO-1")

    assert [(line.got, line.backordered, line.cancelled) for line in plan.short] == [(1, 0, 1)]


def test_safety_stock_is_not_for_orders(house: House) -> None:
    house.stocked(mugs=5, safety_stock=4).orders.accept(an_order(mugs=2, teas=0), by="web")

    plan = house.stock.reserve("SO-1")

    assert [(line.got, line.backordered) for line in plan.short] == [(1, 1)]


def test_the_condition_of_a_claim_keeps_the_safety_stock_too(house: House) -> None:
    house.stocked(mugs=10, safety_stock=5)

    with pytest.raises(InsufficientStock, match="6 asked, 5 available"):
        claim_alone(house, "greedy")

    assert level(house).reserved == 0


def test_a_worthless_shipment_waits_for_nothing(house: House) -> None:
    house.stocked()
    gift = OrderLine(line_no=1, sku=TEA, name="Tea", quantity=1, unit_price=0)
    house.orders.accept(an_order(lines=(gift,), total=0), by="web")

    plan = house.stock.reserve("SO-1")

    assert [(s.value, s.waits_for) for s in plan.shipments] == [(0, WaitsFor.NOTHING)]


def test_the_database_refuses_an_oversale_even_from_a_program_without_the_condition(house: House) -> None:
    house.stocked(mugs=10)
    careless = text("UPDATE stock_levels SET reserved = reserved + 11 WHERE sku = 'MUG'")

    with pytest.raises(IntegrityError, match="ck_stock_levels_promised_once"), house.engine.begin() as conn:
        conn.execute(careless)

    assert level(house).reserved == 0


@pytest.mark.parametrize("lock", ["FOR UPDATE OF s", ""])
def test_a_claim_that_had_to_wait_is_refused_when_the_units_are_gone_locked_or_not(
    house: House, monkeypatch: pytest.MonkeyPatch, lock: str
) -> None:
    house.stocked(mugs=10)
    statement = str(movements._MOVE).replace("FOR UPDATE OF s", lock)
    monkeypatch.setattr(movements, "_MOVE", text(statement))

    with ThreadPoolExecutor(1) as other, house.engine.begin() as conn:
        claim(conn, house, "first")
        second = other.submit(claim_alone, house, "second")
        wait_until_somebody_waits(house)
        conn.commit()
        with pytest.raises(InsufficientStock):
            second.result(timeout=5)

    assert ("FOR UPDATE" in statement) is bool(lock)
    assert level(house).reserved == 6


def test_orders_that_plan_without_locks_are_refused_rather_than_oversold(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.stocked(mugs=10, backorderable=False)
    ids = accepted(house, 40, mugs=1, teas=0)
    monkeypatch.setattr(sourcing, "_LOCK_LEVELS", sourcing._READ_LEVELS)
    monkeypatch.setattr(movements, "_MOVE", text(str(movements._MOVE).replace("FOR UPDATE OF s", "")))

    with ThreadPoolExecutor(16) as crowd:
        results = list(crowd.map(lambda order_id: tried(house, order_id), ids))

    assert results.count("claimed") == level(house).reserved == 10
    assert len(house.rows(stock_movements, kind="reserved")) == 10


def claim(conn: Connection, house: House, key: str) -> None:
    amounts = {(MUG, "wh-reno"): 6}
    movements.move(conn, Movement.RESERVED, amounts, key=key, cause=key, by="test", at=house.now())


def claim_alone(house: House, key: str) -> None:
    with house.engine.begin() as conn:
        claim(conn, house, key)


def wait_until_somebody_waits(house: House) -> None:
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'")
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        with house.engine.connect() as conn:
            if conn.execute(waiting).scalar_one():
                return
    raise AssertionError("nobody waited")


def tried(house: House, order_id: str) -> str:
    try:
        return "claimed" if house.stock.reserve(order_id).shipments else "sold out"
    except InsufficientStock:
        return "refused"
