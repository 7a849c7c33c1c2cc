"""No unit is promised twice, whoever asks at the same moment."""

import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import Connection, TextClause, text
from sqlalchemy.exc import IntegrityError, OperationalError

from fulfillment.domain.catalogue import Product
from fulfillment.domain.inventory import InsufficientStock, Level, Movement
from fulfillment.domain.order import Order, OrderLine
from fulfillment.domain.policy import DEFAULT
from fulfillment.domain.reservation import ReservationState
from fulfillment.domain.shipment import WaitsFor
from fulfillment.storage import claims, movements, wants
from fulfillment.storage.claims import Ask, Claimed, ClaimOver, Claims, exactly
from fulfillment.storage.engine import connect
from fulfillment.storage.movements import Place
from fulfillment.storage.orders import lock_order
from fulfillment.storage.stock import StockStore
from fulfillment.storage.tables import orders, outbox, stock_levels, stock_movements, unit_ranges
from fulfillment.storage.tables import reservations as reservation_rows
from tests.storage.house import DEPOT, MUG, TEA, House, an_order
from tests.storage.paying import pay


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


def test_p01_of_many_that_claim_the_last_unit_at_once_in_several_processes_one_gets_it(house: House) -> None:
    """Guards: the levels' lock, the condition and the CHECK. Without all three the unit is promised many times."""
    house.stocked(mugs=1, backorderable=False)
    ids = accepted(house, 40, mugs=1, teas=0)
    processes = [Claims(house.engine) for _ in range(8)]

    with house.engine.begin() as conn, ThreadPoolExecutor(40) as crowd:
        movements.lock_levels(conn, [(MUG, "wh-reno")])
        asked = [crowd.submit(claimed, processes[n % 8], house, ids[n]) for n in range(40)]
        wait_until(lambda: waiting_for_a_row(house) == 8)
        conn.commit()
        granted = [future.result(timeout=10) for future in asked]

    assert granted.count(1) == level(house).reserved == len(house.rows(reservation_rows)) == 1
    assert granted.count(0) == 39


@pytest.mark.parametrize("removed", [1, 2, 3])
def test_p02_a_unit_is_promised_once_though_guard_after_guard_is_taken_away(
    house: House, monkeypatch: pytest.MonkeyPatch, removed: int
) -> None:
    """Guards, outermost first: the lock, every check of ours, the condition. The CHECK remains; without it, it fails."""
    house.stocked(mugs=10, backorderable=False)
    ids = accepted(house, 40, mugs=1, teas=0)
    monkeypatch.setattr(claims, "_LOOK", without(claims._LOOK, "FOR UPDATE OF s"))
    if removed > 1:
        monkeypatch.setattr(Level, "available", property(lambda level: 1_000_000))
    if removed > 2:
        condition = f"AND {movements.AVAILABLE} >= c.quantity"
        monkeypatch.setattr(movements, "_RESERVE", without(movements._RESERVE, condition))
    processes = [Claims(house.engine) for _ in range(8)]

    with ThreadPoolExecutor(16) as crowd:
        granted = list(crowd.map(lambda n: claimed(processes[n % 8], house, ids[n]), range(40)))

    (kept,) = house.rows(stock_levels, sku=MUG)
    assert sum(granted) == kept["reserved"] == 10
    assert len(house.rows(stock_movements, kind="reserved")) == 10


@pytest.mark.parametrize("asked", [1, 10, 13, 25, 30])
def test_p03_what_locations_give_together_is_what_was_asked_or_the_rest_is_a_shortage(
    house: House, asked: int
) -> None:
    """Guard: sourcing carries the remainder to the next location. Without it 13 of 10 and 15 claims 23."""
    house.stocked(mugs=10)
    house.stock.add_location("wh-ohio", name="Ohio", address=DEPOT, priority=2)
    house.stock.receive(MUG, "wh-ohio", 15, key="R-1", by="dock")
    house.orders.accept(an_order(mugs=asked, teas=0), by="web")

    plan = house.stock.reserve("SO-1")

    got = {row["location_id"]: row["quantity"] for row in house.rows(reservation_rows)}
    short = sum(line.backordered + line.cancelled for line in plan.short)
    assert sum(got.values()) + short == asked == sum(s.units for s in plan.shipments)
    assert got.get("wh-reno", 0) <= 10
    assert got.get("wh-ohio", 0) <= 15
    assert short == max(0, asked - 25)


@pytest.mark.parametrize("quantities", [(7,), (3, 4), (4, 3), (1, 1, 5), (1,) * 7])
def test_p05_a_claim_does_not_depend_on_how_a_sku_is_split_over_lines(
    house: House, quantities: tuple[int, ...]
) -> None:
    """Guard: what one line takes is gone for the next. Without it two lines claim the same five mugs."""
    house.stocked(mugs=5, backorderable=False)
    lines = [
        OrderLine(line_no=n, sku=MUG, name="Mug", quantity=q, unit_price=100)
        for n, q in enumerate(quantities, 1)
    ]
    house.orders.accept(an_order(lines=tuple(lines), total=700), by="web")

    plan = house.stock.reserve("SO-1")

    assert [(s.units, s.value) for s in plan.shipments] == [(5, 500)]
    assert sum(line.cancelled for line in plan.short) == 2
    assert house.row(reservation_rows)["quantity"] == level(house).reserved == 5


def test_p06_claims_with_their_lines_in_any_order_never_wait_for_each_other_in_a_ring(house: House) -> None:
    """Guard: levels are locked in one order. Without it two processes wait for each other and one is shot."""
    names = [f"SKU-{n}" for n in range(8)]
    products = [Product(sku=sku, name=sku, weight_g=1, price=100, on_hand=100) for sku in names]
    house.stocked().stock.set_catalogue(products, by="test")
    chance = random.Random(7)
    ids = [f"SO-{n}" for n in range(48)]
    for order_id in ids:
        house.orders.accept(of_skus(order_id, chance.sample(names, k=6)), by="web")
    processes = [StockStore(house.engine, house.now) for _ in range(8)]

    with ThreadPoolExecutor(8) as crowd:
        plans = list(crowd.map(lambda n: processes[n % 8].reserve(ids[n]), range(48)))

    assert all(len(plan.shipments) == 1 and not plan.short for plan in plans)
    assert sum(level(house, sku).reserved for sku in names) == 48 * 6


def test_p07_a_claim_that_comes_after_its_order_was_stopped_is_given_back(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard: who plans looks whether the order still waits. Without it a stopped order holds stock for ever."""
    house.stocked(mugs=10).orders.accept(an_order(mugs=2, teas=0), by="web")
    claim_first = Claims.claim

    def stopped_meanwhile(self: Claims, ask: Ask) -> Claimed:
        found = claim_first(self, ask)
        house.change(orders, {"status": "cancelling"})
        return found

    monkeypatch.setattr(Claims, "claim", stopped_meanwhile)

    plan = house.stock.reserve("SO-1")

    assert plan.shipments == ()
    assert house.row(reservation_rows)["state"] == "released"
    assert level(house).reserved == 0


def test_p07_an_ended_order_that_still_claims_is_relieved_by_the_sweep_at_once(house: House) -> None:
    """Guard: the sweep looks at ended orders too. Without it a crash at the wrong moment costs the units."""
    house.stocked(mugs=10)
    house.reserved(mugs=2, teas=0)
    house.change(orders, {"status": "cancelled"})

    house.reconciliation.sweep()

    assert house.row(reservation_rows)["state"] == "released"
    assert level(house).reserved == 0


@pytest.mark.parametrize("end", ["consumed", "released", "expired"])
def test_p08_a_claim_that_has_ended_stays_ended(house: House, end: str) -> None:
    """Guard: only an active claim is released. Without it an undo gives back what was consumed."""
    house.stocked(mugs=10)
    (shipment_id,) = house.reserved(mugs=2, teas=0)
    if end == "consumed":
        pay(house, shipment_id)
    else:
        released(house, ReservationState(end))

    changed = released(house, ReservationState.RELEASED)

    assert not changed
    assert house.row(reservation_rows)["state"] == end
    assert level(house).reserved == 0


def test_p09_a_claim_released_by_many_at_once_is_given_back_once(house: House) -> None:
    """Guards: the state and the claim's own key. Without both the counter falls for what others hold."""
    house.stocked(mugs=10)
    house.reserved("SO-1", mugs=2, teas=0)
    house.reserved("SO-2", mugs=3, teas=0)

    with ThreadPoolExecutor(8) as crowd:
        ended = list(crowd.map(lambda _: released(house, ReservationState.RELEASED), range(8)))

    assert ended.count(True) == 1
    assert level(house).reserved == 3
    assert len(house.rows(stock_movements, kind="reservation_released")) == 1


def test_p09_the_ledger_gives_a_claim_back_once_though_its_row_says_it_is_active(house: House) -> None:
    """Guard: a claim is given back under its own key. Without it a row put right by hand frees other orders' units."""
    house.stocked(mugs=10)
    house.reserved("SO-1", mugs=2, teas=0)
    house.reserved("SO-2", mugs=3, teas=0)
    released(house, ReservationState.RELEASED)
    house.change(reservation_rows, {"state": "active"}, order_id="SO-1")

    released(house, ReservationState.RELEASED)

    assert level(house).reserved == 3


def test_p13_claims_releases_and_counts_in_any_interleaving_add_up(house: House) -> None:
    """Guard: the delta is in the SQL. Without it one of two writers overwrites the other's change."""
    house.stocked(mugs=100)
    ids = accepted(house, 30, mugs=2, teas=0)
    processes = [StockStore(house.engine, house.now) for _ in range(4)]

    def one(n: int) -> None:
        processes[n % 4].reserve(ids[n])
        house.stock.adjust(MUG, "wh-reno", 1, key=f"found-{n}", by="test", reason="found")
        if n % 3 == 0:
            released(house, ReservationState.RELEASED, ids[n])

    with ThreadPoolExecutor(12) as crowd:
        list(crowd.map(one, range(30)))

    assert (level(house).on_hand, level(house).reserved) == (130, 40)


def test_p19_an_order_that_crashed_after_its_claim_finds_it_again_though_nothing_else_is_there(
    house: House,
) -> None:
    """Guard: a claim is found by its key. Without it the order finds the shelf empty, by its own doing."""
    house.stocked(mugs=2, backorderable=False).orders.accept(an_order(mugs=2, teas=0), by="web")
    with house.engine.connect() as conn:
        wanted = wants.wanted(conn, "SO-1", now=house.now(), policy=DEFAULT)
    assert wanted is not None
    Claims(house.engine).claim(wants.ask(wanted, now=house.now(), policy=DEFAULT))
    assert level(house).available == 0

    (shipment,) = house.stock.reserve("SO-1").shipments
    pay(house, shipment.shipment_id)

    assert (shipment.units, shipment.value) == (2, 2400)
    assert (level(house).reserved, level(house).allocated) == (0, 2)


def test_a_claim_whose_first_try_ran_out_before_its_plan_is_made_anew(house: House) -> None:
    house.stocked(mugs=2).orders.accept(an_order(mugs=2, teas=0), by="web")
    with house.engine.connect() as conn:
        wanted = wants.wanted(conn, "SO-1", now=house.now(), policy=DEFAULT)
    assert wanted is not None
    ask = wants.ask(wanted, now=house.now(), policy=DEFAULT)
    Claims(house.engine).claim(ask)
    house.wait(DEFAULT.reservation_ttl)
    house.reconciliation.sweep()

    with pytest.raises(ClaimOver):
        Claims(house.engine).claim(ask)
    house.stock.reserve("SO-1")

    states = {row["operation_key"]: row["state"] for row in house.rows(reservation_rows)}
    assert states == {"SO-1:reserve": "expired", "SO-1:reserve:2": "active"}


def test_claims_that_wait_together_are_one_transaction_in_their_order(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.stocked(mugs=3)
    ids = accepted(house, 5, mugs=1, teas=0)
    process, groups = Claims(house.engine), spied(monkeypatch)

    with house.engine.begin() as conn, ThreadPoolExecutor(5) as crowd:
        movements.lock_levels(conn, [(MUG, "wh-reno")])
        asked = [crowd.submit(claimed, process, house, ids[0])]
        wait_until_somebody_waits(house)
        for n in range(1, 5):
            asked.append(crowd.submit(claimed, process, house, ids[n]))
            wait_until(lambda n=n: len(process._waiting) == n)
        conn.commit()
        granted = [future.result(timeout=5) for future in asked]

    assert granted == [1, 1, 1, 0, 0]
    assert groups == [1, 4]


def test_one_bad_claim_does_not_spoil_its_neighbours(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.stocked(mugs=10)
    ids = accepted(house, 2, mugs=1, teas=0)
    process, groups = Claims(house.engine), spied(monkeypatch)

    def broken(levels: Sequence[Level]) -> dict[Place, int]:
        raise ZeroDivisionError

    asks = [
        an_ask(house, ids[0]),
        an_ask(house, "no such order"),
        replace(an_ask(house, "SO-3"), plan=broken),
        replace(an_ask(house, "SO-4"), plan=lambda levels: {(MUG, "wh-reno"): 11}),
        replace(an_ask(house, "SO-5"), plan=lambda levels: {(MUG, "wh-reno"): -1}),
        an_ask(house, ids[1]),
    ]

    answers = together(process, house, asks)

    assert [type(answer) for answer in answers] == [
        Claimed,
        IntegrityError,
        ZeroDivisionError,
        InsufficientStock,
        InsufficientStock,
        Claimed,
    ]
    assert max(groups) >= 5
    assert level(house).reserved == 2


def test_a_database_that_is_away_is_told_to_every_caller_and_nobody_hangs(house: House) -> None:
    nowhere = connect("postgresql://nobody@127.0.0.1:1/nothing")
    process = Claims(nowhere)

    with ThreadPoolExecutor(8) as crowd:
        asked = [crowd.submit(process.claim, an_ask(house, f"SO-{n}")) for n in range(8)]
        told = [future.exception(timeout=10) for future in asked]

    assert all(isinstance(error, OperationalError) for error in told)
    assert not process._led
    assert not process._waiting


def test_a_leader_that_is_killed_leaves_its_followers_to_the_next(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.stocked(mugs=10)
    ids = accepted(house, 4, mugs=1, teas=0)
    process, judged, deaths = Claims(house.engine), claims.judge, iter([KeyboardInterrupt()])

    def killed_once(conn: Connection, asks: Sequence[Ask]) -> list[Claimed | Exception]:
        if len(asks) > 1:
            for death in deaths:
                raise death
        return judged(conn, asks)

    monkeypatch.setattr(claims, "judge", killed_once)

    answers = together(process, house, [an_ask(house, order_id) for order_id in ids])

    assert sorted(type(answer).__name__ for answer in answers) == ["Claimed"] * 3 + ["KeyboardInterrupt"]
    assert level(house).reserved == 3


def test_a_repeated_key_is_answered_as_the_first_time_whatever_it_asks_for(house: House) -> None:
    house.stocked(mugs=10)
    accepted(house, 1, mugs=1, teas=0)
    ask = an_ask(house, "SO-1")
    first = Claims(house.engine).claim(ask)

    more = Claims(house.engine).claim(replace(ask, plan=exactly({(MUG, "wh-reno"): 5})))

    assert (first.repeated, more.repeated) == (False, True)
    assert first.amounts == more.amounts == {(MUG, "wh-reno"): 1}
    assert level(house).reserved == 1


def test_processes_that_claim_for_one_order_at_different_places_claim_once(house: House) -> None:
    house.stocked(mugs=5)
    house.stock.add_location("wh-ohio", name="Ohio", address=DEPOT, priority=2)
    house.stock.receive(MUG, "wh-ohio", 5, key="R-1", by="dock")
    accepted(house, 1, mugs=1, teas=0)
    places = [(MUG, "wh-reno"), (MUG, "wh-ohio")]
    asks = [replace(an_ask(house, "SO-1"), plan=exactly({place: 1})) for place in places]

    with house.engine.begin() as conn, ThreadPoolExecutor(2) as crowd:
        movements.lock_levels(conn, places)
        asked = [crowd.submit(Claims(house.engine).claim, ask) for ask in asks]
        wait_until(lambda: waiting_for_a_row(house) == 2)
        conn.commit()
        answers = [future.result(timeout=5) for future in asked]

    assert len({tuple(answer.amounts) for answer in answers}) == 1
    assert len(house.rows(reservation_rows)) == 1


def claimed(process: Claims, house: House, order_id: str) -> int:
    """Claim a mug and return how many there were."""
    try:
        return sum(process.claim(an_ask(house, order_id)).amounts.values())
    except (InsufficientStock, IntegrityError):
        return 0


def an_ask(house: House, order_id: str) -> Ask:
    return Ask(
        key=f"{order_id}:reserve",
        order_id=order_id,
        skus=frozenset({MUG}),
        plan=exactly({(MUG, "wh-reno"): 1}),
        expires_at=house.now() + DEFAULT.reservation_ttl,
        by="test",
        at=house.now(),
    )


def released(house: House, state: ReservationState, order_id: str = "SO-1") -> bool:
    with house.engine.begin() as conn:
        lock_order(conn, order_id)
        return claims.end(conn, order_id, state, by="test", now=house.now())


def spied(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the sizes of the groups that were judged, growing."""
    groups: list[int] = []
    judged = claims.judge

    def noted(conn: Connection, asks: Sequence[Ask]) -> list[Claimed | Exception]:
        groups.append(len(asks))
        return judged(conn, asks)

    monkeypatch.setattr(claims, "judge", noted)
    return groups


def together(process: Claims, house: House, asks: Sequence[Ask]) -> list[Claimed | BaseException]:
    """Let these claims wait for one transaction, and return their answers."""
    with house.engine.begin() as conn, ThreadPoolExecutor(len(asks) + 1) as crowd:
        movements.lock_levels(conn, [(MUG, "wh-reno")])
        leading = crowd.submit(process.claim, replace(asks[0], plan=lambda levels: {}))
        wait_until_somebody_waits(house)
        asked = []
        for n, ask in enumerate(asks, start=1):
            asked.append(crowd.submit(process.claim, ask))
            wait_until(lambda n=n: len(process._waiting) == n)
        conn.commit()
        leading.result(timeout=5)
        return [future.exception(timeout=5) or future.result() for future in asked]


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not true():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.001)


def claim(conn: Connection, house: House, key: str) -> None:
    amounts = {(MUG, "wh-reno"): 6}
    movements.move(conn, Movement.RESERVED, amounts, key=key, cause=key, by="test", at=house.now())


def claim_alone(house: House, key: str) -> None:
    with house.engine.begin() as conn:
        claim(conn, house, key)


def wait_until_somebody_waits(house: House) -> None:
    wait_until(lambda: waiting_for_a_row(house) > 0)


def waiting_for_a_row(house: House) -> int:
    waiting = text(
        "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype IN ('transactionid', 'tuple')"
    )
    with house.engine.connect() as conn:
        return int(conn.execute(waiting).scalar_one())


def without(statement: TextClause, guard: str) -> TextClause:
    """Return the statement with a guard taken out; it must have been there."""
    assert guard in str(statement)
    return text(str(statement).replace(guard, ""))
