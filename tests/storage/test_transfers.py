"""What left one location has arrived at the other, is under way, or is a recorded difference."""

from datetime import timedelta

import pytest

from fulfillment.domain.inventory import InsufficientStock, Level
from fulfillment.domain.transfers import TransferRefused, TransferState, UnknownTransfer
from fulfillment.storage.stock import UnknownLocation
from fulfillment.storage.tables import backorders, stock_movements, stock_transfers
from tests.storage.house import DEPOT, MUG, House, an_order

RENO, LEHIGH = "wh-reno", "wh-lehigh"


@pytest.fixture
def two(house: House) -> House:
    house.stocked(mugs=10)
    house.stock.add_location(LEHIGH, name="Lehigh", address=DEPOT, priority=2)
    return house


def at(house: House, location_id: str) -> Level:
    return next(level for level in house.stock.levels(MUG) if level.location_id == location_id)


def send(house: House, units: int = 4, transfer_id: str = "T-1") -> None:
    house.transfers.send(transfer_id, MUG, RENO, LEHIGH, units, by="ann", reason="sells better there")


def test_what_is_sent_is_on_hand_nowhere_until_it_arrives(two: House) -> None:
    for _ in range(2):
        send(two)

    assert (at(two, RENO).on_hand, at(two, LEHIGH).on_hand, at(two, LEHIGH).in_transfer) == (6, 0, 4)
    assert at(two, LEHIGH).available == 0


def test_what_arrives_in_parts_is_on_hand_and_the_last_part_ends_the_transfer(two: House) -> None:
    send(two)

    for key in ("one", "one", "two"):
        two.transfers.receive("T-1", 2, key=key, by="dock")

    (transfer,) = two.transfers.transfers()
    assert (transfer.state, transfer.received, transfer.under_way) == (TransferState.RECEIVED, 4, 0)
    assert (at(two, LEHIGH).on_hand, at(two, LEHIGH).in_transfer) == (4, 0)
    assert two.transfers.transfers(only_open=True) == ()


def test_what_never_arrives_is_a_recorded_difference(two: House) -> None:
    send(two)
    two.transfers.receive("T-1", 3, key="one", by="dock")

    for _ in range(2):
        closed = two.transfers.close("T-1", by="ann", reason="fell off the lorry")
    with pytest.raises(TransferRefused, match="closed"):
        two.transfers.receive("T-1", 1, key="late", by="dock")

    assert (closed.state, closed.received, closed.lost) == (TransferState.CLOSED, 3, 1)
    assert two.row(stock_movements, kind="transfer_lost")["cause"] == "fell off the lorry"
    assert (at(two, LEHIGH).on_hand, at(two, LEHIGH).in_transfer) == (3, 0)


def test_more_than_was_sent_is_an_adjustment_that_names_the_transfer(two: House) -> None:
    send(two)

    two.transfers.receive("T-1", 5, key="one", by="dock")

    found = two.row(stock_movements, kind="adjusted", location_id=LEHIGH)
    assert (found["on_hand"], found["cause"]) == (1, "T-1")
    assert (at(two, LEHIGH).on_hand, two.row(stock_transfers)["received"]) == (5, 4)


def test_what_arrives_serves_those_who_wait_there(two: House) -> None:
    two.orders.accept(an_order("SO-1", mugs=12, teas=0), by="web")
    two.stock.reserve("SO-1")
    two.change(backorders, {"location_id": LEHIGH})
    two.stock.receive(MUG, RENO, 5, key="R-1", by="dock")
    send(two, 2)

    receipt = two.transfers.receive("T-1", 2, key="one", by="dock")

    assert receipt.filled == ("SO-1-2",)
    assert (at(two, LEHIGH).allocated, at(two, LEHIGH).available) == (2, 0)


def test_promised_units_do_not_leave_and_bad_transfers_are_refused(two: House) -> None:
    two.reserved("SO-1", mugs=8, teas=0)

    with pytest.raises(InsufficientStock, match="3 asked, 2 available"):
        send(two, 3)
    with pytest.raises(TransferRefused, match="two locations"):
        two.transfers.send("T-2", MUG, RENO, RENO, 1, by="ann", reason="")
    with pytest.raises(UnknownLocation):
        two.transfers.send("T-2", MUG, RENO, "wh-moon", 1, by="ann", reason="")
    with pytest.raises(UnknownTransfer):
        two.transfers.receive("T-9", 1, key="one", by="dock")
    send(two, 1)
    with pytest.raises(TransferRefused, match="another transfer"):
        send(two, 2)

    assert (at(two, RENO).on_hand, len(two.rows(stock_transfers))) == (9, 1)


def test_two_transfers_that_cross_do_not_wait_for_each_other(two: House) -> None:
    send(two, 5)
    two.transfers.receive("T-1", 5, key="one", by="dock")
    two.wait(timedelta(hours=1))

    two.transfers.send("T-2", MUG, LEHIGH, RENO, 2, by="ann", reason="back")
    send(two, 1, "T-3")

    assert (at(two, RENO).on_hand, at(two, LEHIGH).on_hand) == (4, 3)
    assert (at(two, RENO).in_transfer, at(two, LEHIGH).in_transfer) == (2, 1)
