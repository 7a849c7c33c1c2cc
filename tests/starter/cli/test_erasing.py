"""Forgetting a customer on the command line (P54)."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import Engine

from fulfillment.domain.order import Customer, Outcome
from fulfillment.domain.record import CloseOrder
from fulfillment.domain.tracking import CarrierStatus
from fulfillment.settings import real_now
from starter.cli import reach
from tests.starter.cli.conftest import Waybill
from tests.storage.house import House, a_scan

WORDS = ("erase", "cus_ann", "--reason", "asked by letter", "--by", "olga")


class Histories:
    def __init__(self) -> None:
        self.forgotten: list[str] = []

    async def forget(self, order_ids: Sequence[str]) -> None:
        self.forgotten += order_ids


@pytest.fixture
def histories(monkeypatch: pytest.MonkeyPatch) -> Histories:
    ours = Histories()

    @asynccontextmanager
    async def orders() -> AsyncIterator[Histories]:
        yield ours

    monkeypatch.setattr(reach, "orders", orders)
    return ours


def test_p54_a_customer_is_forgotten_and_one_of_whom_something_is_open_is_not(
    books: Engine, waybill: Waybill, histories: Histories
) -> None:
    house = House(books).stocked()
    house.time = real_now()
    house.shipped(customer=Customer(customer_id="cus_ann", email="ann@example.com"))

    too_early = waybill(*WORDS)
    house.shipping.scanned(
        "SO-1-P1", (a_scan(CarrierStatus.DELIVERED, occurred_at=house.time),), None, source="carrier"
    )
    house.records.close(CloseOrder(order_id="SO-1", outcome=Outcome.DELIVERED))
    done = waybill(*WORDS)

    assert (too_early.exit_code, done.exit_code) == (1, 0)
    assert "SO-1 is in_fulfillment" in too_early.stderr
    assert "1 orders are nobody's now" in done.stdout
    assert histories.forgotten == ["SO-1"]


def test_p54_a_stranger_is_named(waybill: Waybill, histories: Histories) -> None:
    refused = waybill(*WORDS)

    assert (refused.exit_code, histories.forgotten) == (1, [])
    assert "nothing is known of a customer cus_ann" in refused.stderr
