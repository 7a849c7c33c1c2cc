"""What may not be promised is in a bucket of its own; what comes back goes to the bucket of its disposition, once."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from fulfillment.domain.inventory import (
    CannotRegrade,
    Condition,
    Disposition,
    Grade,
    InsufficientStock,
    Level,
    Movement,
)
from fulfillment.domain.record import StopShipments
from fulfillment.storage.returns import NotReturnable
from fulfillment.storage.tables import backorders, returned_units, stock_levels, stock_movements
from tests.storage.house import MUG, TEA, House, an_order, only
from tests.storage.paying import capture, give_back

RENO = "wh-reno"
EVERY = list(Condition)


def level(house: House, sku: str = MUG) -> Level:
    return only(house.stock.levels(sku))


def set_aside(house: House, units: int, condition: Condition, key: str = "s-1") -> None:
    house.conditions.set_aside(MUG, RENO, units, condition, key=key, by="pia", reason="looks odd")


def stop(house: House, order_id: str) -> None:
    house.records.stop_shipments(
        StopShipments(order_id=order_id, reason="changed_mind", by="ann", request_id="")
    )


@pytest.mark.parametrize("condition", EVERY)
def test_what_is_set_aside_is_on_hand_and_not_available(house: House, condition: Condition) -> None:
    house.stocked(mugs=10)

    for _ in range(2):
        set_aside(house, 3, condition)

    after = level(house)
    assert (after.on_hand, getattr(after, condition), after.available) == (10, 3, 7)


@pytest.mark.parametrize("condition", EVERY)
def test_what_is_good_after_all_serves_those_who_wait(house: House, condition: Condition) -> None:
    house.stocked(mugs=2)
    set_aside(house, 2, condition)
    house.orders.accept(an_order("SO-1", mugs=2, teas=0), by="web")
    house.stock.reserve("SO-1")

    for _ in range(2):
        moved = house.conditions.restock(MUG, RENO, 2, condition, key="b-1", by="pia", reason="fine")

    assert moved.filled == ("SO-1-1",)
    assert house.row(backorders)["state"] == "filled"


def test_what_is_scrapped_is_gone_and_what_is_held_is_counted_first(house: House) -> None:
    house.stocked(mugs=10)
    set_aside(house, 3, Condition.DAMAGED, "s-1")
    set_aside(house, 2, Condition.HELD, "s-2")

    with pytest.raises(InsufficientStock, match="4 asked, 3 damaged"):
        house.conditions.scrap(MUG, RENO, 4, Condition.DAMAGED, key="x-1", by="pia", reason="broken")
    with pytest.raises(CannotRegrade, match="counted"):
        house.conditions.scrap(MUG, RENO, 1, Condition.HELD, key="x-2", by="pia", reason="gone")
    for _ in range(2):
        house.conditions.scrap(MUG, RENO, 3, Condition.DAMAGED, key="x-3", by="pia", reason="broken")

    after = level(house)
    assert (after.on_hand, after.damaged, after.held, after.available) == (7, 0, 2, 5)


def test_safety_stock_is_kept_back_by_a_movement_and_given_back_to_those_who_wait(house: House) -> None:
    house.stocked(mugs=5)
    for _ in range(2):
        house.stock.set_safety_stock(MUG, RENO, 4, key="k-1", by="ann", reason="christmas")
    house.orders.accept(an_order("SO-1", mugs=3, teas=0), by="web")
    house.stock.reserve("SO-1")
    kept = level(house)

    house.stock.set_safety_stock(MUG, RENO, 0, key="k-2", by="ann", reason="it is january")

    moved = [row["safety_stock"] for row in house.rows(stock_movements, kind="safety_stock")]
    assert (kept.safety_stock, kept.reserved, kept.available, moved) == (4, 1, 0, [4, -4])
    assert house.row(backorders)["state"] == "filled"


def test_p14_a_bucket_that_would_be_negative_is_refused_by_the_statement_and_by_the_database(
    house: House,
) -> None:
    """Attacks both guards of a bucket: the `>= 0` in `movements._MOVE`, and the CHECKs of stock_levels.

    Without the first, the deed ends in a database error instead of a refusal; without the second, whoever writes
    past `move` is not stopped. Nothing is ever clamped to 0.
    """
    house.stocked(mugs=3)
    house.reserved("SO-1", mugs=2, teas=0)
    before = level(house)

    with pytest.raises(InsufficientStock):
        house.conditions.restock(MUG, RENO, 1, Condition.DAMAGED, key="b-1", by="pia", reason="fine")
    for wrong in ("reserved = -1", "damaged = -1", "held = 2", "quarantine = 2", "on_hand = 1"):
        with pytest.raises(IntegrityError), house.engine.begin() as conn:
            conn.execute(text(f"UPDATE stock_levels SET {wrong} WHERE sku = '{MUG}'"))

    assert level(house) == before


def test_p16_a_claim_leaves_what_is_available_once_and_no_pick_takes_what_another_claims(
    house: House,
) -> None:
    """Attacks the kinds of their own for claimed units (`SET_ASIDE`): a claim leaves ATP when it is made, once.

    If a picked unit that is damaged were moved as an unclaimed one, it would leave ATP a second time, and the units
    of another order would be thought free.
    """
    house.stocked(mugs=4)
    house.released("SO-1", mugs=2, teas=0)
    claimed = level(house).available
    house.floor.start_picking("SO-1-1", by="pia")
    house.floor.picked("SO-1-1", by="pia")
    picked = level(house).available

    house.conditions.set_aside(
        MUG, RENO, 1, Condition.DAMAGED, key="d-1", by="pia", reason="chipped", shipment_id="SO-1-1"
    )
    with pytest.raises(InsufficientStock, match="claimed by SO-1-1"):
        house.conditions.set_aside(
            MUG, RENO, 3, Condition.DAMAGED, key="d-2", by="pia", reason="chipped", shipment_id="SO-1-1"
        )

    # The broken unit takes the place of the claim on it; one of the two free ones now fills that claim again.
    assert (claimed, picked, level(house).available) == (2, 2, 1)
    assert (level(house).on_hand, level(house).allocated, level(house).damaged) == (4, 2, 1)


def test_p17_placing_and_cancelling_is_the_identity_on_every_bucket_backordered_units_included(
    house: House,
) -> None:
    """Attacks what a cancel gives back: the claim's own quantity, and never the units that only waited.

    Giving back what was ordered instead of what was claimed would make two units out of nothing.
    """
    house.stocked(mugs=3, safety_stock=1)
    set_aside(house, 1, Condition.QUARANTINE)
    before = house.stock.levels()

    for order_id, mugs in (("SO-1", 1), ("SO-2", 3), ("SO-3", 2)):
        house.orders.accept(an_order(order_id, mugs=mugs, teas=2), by="web")
        house.stock.reserve(order_id)
        stop(house, order_id)

    assert house.stock.levels() == before
    assert {row["state"] for row in house.rows(backorders)} == {"cancelled"}


def returned(house: House, units: list[int], disposition: Disposition, key: str = "ret-1") -> None:
    house.returns.put_back("SO-1", 1, units, disposition, RENO, key=key, by="dock", reason="did not fit")


def test_p18_a_refund_moves_no_stock_and_a_returned_unit_restocks_at_most_once(house: House) -> None:
    """Attacks `returned_units`: each unit of a line is taken in once, whatever key it comes with.

    Without that row the same mug, scanned at the dock and again at the desk, would be two mugs on the shelf.
    """
    house.stocked(mugs=5)
    house.shipped("SO-1", mugs=3, teas=0)
    capture(house, "SO-1-1")
    left = level(house)
    wanted = house.payments.claim_refund("SO-1-1")
    assert wanted is not None
    give_back(house, wanted)
    after_refund = level(house)

    for _ in range(2):
        returned(house, [1], Disposition.RESTOCK)
    with pytest.raises(NotReturnable, match="unit 1 came back before"):
        returned(house, [1, 2], Disposition.RESTOCK, key="ret-2")

    assert after_refund == left
    assert (level(house).on_hand, len(house.rows(returned_units))) == (left.on_hand + 1, 1)


@pytest.mark.parametrize(
    ("disposition", "bucket"), [(Disposition.DAMAGED, "damaged"), (Disposition.QUARANTINE, "quarantine")]
)
def test_what_comes_back_broken_is_not_sold_again(
    house: House, disposition: Disposition, bucket: str
) -> None:
    house.stocked(mugs=3)
    house.shipped("SO-1", mugs=2, teas=0)

    returned(house, [1, 2], disposition)

    after = level(house)
    assert (after.on_hand, getattr(after, bucket), after.available) == (3, 2, 1)


def test_what_has_not_left_cannot_come_back(house: House) -> None:
    house.stocked(mugs=3)
    house.released("SO-1", mugs=2, teas=0)

    with pytest.raises(NotReturnable, match="has not left"):
        returned(house, [1], Disposition.RESTOCK)
    with pytest.raises(NotReturnable, match="each once"):
        returned(house, [1, 1], Disposition.RESTOCK)

    assert house.rows(stock_movements, kind=Movement.RETURNED.value) == []
    assert house.row(stock_levels, sku=TEA)["on_hand"] == 10


def test_units_go_from_one_grade_to_another_where_there_is_a_way(house: House) -> None:
    house.stocked(mugs=10)

    def regrade(units: int, of: Grade, to: Grade, key: str) -> None:
        house.conditions.regrade(MUG, RENO, units, of, to, key=key, by="pia", reason="looked at")

    regrade(4, Grade.FREE, Grade.QUARANTINE, "a")
    regrade(1, Grade.QUARANTINE, Grade.FREE, "b")
    regrade(2, Grade.QUARANTINE, Grade.SCRAP, "c")
    regrade(1, Grade.FREE, Grade.SCRAP, "d")
    for of, to in ((Grade.QUARANTINE, Grade.DAMAGED), (Grade.FREE, Grade.FREE), (Grade.SCRAP, Grade.FREE)):
        with pytest.raises(CannotRegrade):
            regrade(1, of, to, "e")

    assert (level(house).on_hand, level(house).quarantine, level(house).available) == (7, 1, 6)
