"""Answering on the command line: all cases that are alike."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from fulfillment.domain.cases import CaseKind
from fulfillment.domain.record import OpenCase
from fulfillment.domain.settlement import Cause, Settle
from fulfillment.settings import real_now
from fulfillment.storage.orders import OrderStore
from fulfillment.storage.records import RecordStore
from starter.cli import reach
from starter.orders import VerbRefused
from tests.starter.cli.conftest import Waybill
from tests.storage.house import House, an_order
from workflows.contract import VerbAnswer

ALIKE = ("answer", "SO-1", "damaged", "refund", "--alike")


class Orders:
    """Orders that answer as they are told to, and remember what they were asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.no: dict[str, Exception] = {}

    async def answer_case(self, order_id: str, **said: Any) -> VerbAnswer:
        self.asked.append((order_id, said))
        if order_id in self.no:
            raise self.no[order_id]
        return VerbAnswer(text="Done.")


@pytest.fixture
def orders(monkeypatch: pytest.MonkeyPatch) -> Orders:
    reached = Orders()

    @asynccontextmanager
    async def reach_them() -> AsyncIterator[Orders]:
        yield reached

    monkeypatch.setattr(reach, "orders", reach_them)
    return reached


def opened(engine: Engine, n: int, note: str) -> None:
    OrderStore(engine, real_now).accept(an_order(f"SO-{n}"), by="test")
    due_at = real_now() + timedelta(hours=24)
    RecordStore(engine, real_now).open_case(
        OpenCase(order_id=f"SO-{n}", subject=f"SO-{n}-1", kind=CaseKind.DAMAGED, due_at=due_at, note=note)
    )


@pytest.fixture
def damaged(books: Engine) -> None:
    """Ten orders in the same trouble, and one in another."""
    House(books).stocked()
    for n in range(1, 12):
        opened(books, n, "a lorry burned" if n < 11 else "it rained")


@pytest.mark.usefixtures("damaged")
def test_what_is_open_is_listed_by_reason_the_largest_group_first(waybill: Waybill) -> None:
    lorry, rain = json.loads(waybill("cases", "--json").stdout)["groups"]

    assert (lorry["kind"], lorry["note"], len(lorry["cases"])) == ("damaged", "a lorry burned", 10)
    assert rain["cases"] == ["SO-11-1"]


@pytest.mark.usefixtures("damaged")
def test_the_command_that_the_dry_run_prints_answers_what_was_seen(
    waybill: Waybill, orders: Orders, books: Engine
) -> None:
    dry = waybill(*ALIKE).stdout
    opened(books, 99, "a lorry burned")

    result = waybill(*dry.splitlines()[-1].partition("./waybill ")[2].split(), "--request-id", "r-7")

    assert "10 cases are open for the same reason: damaged, a lorry burned" in dry
    assert "answered 10 of 10 cases" in result.stdout
    assert {order_id for order_id, _ in orders.asked} == {f"SO-{n}" for n in range(1, 11)}
    assert all(said["request_id"] == f"r-7:{order_id}-1" for order_id, said in orders.asked)


@pytest.mark.usefixtures("damaged")
def test_a_case_that_cannot_be_answered_so_is_named_and_the_command_says_so(
    waybill: Waybill, orders: Orders
) -> None:
    orders.no["SO-3"] = VerbRefused("not_allowed", "SO-3-1 is sent again.")

    result = waybill(*ALIKE, "--yes")

    assert result.exit_code == 1
    assert "SO-3-1 was not answered: SO-3-1 is sent again." in result.stdout


@pytest.mark.usefixtures("orders")
def test_a_claim_against_a_carrier_is_listed_with_its_last_day_and_ended_with_what_came_of_it(
    waybill: Waybill, books: Engine
) -> None:
    house = House(books).stocked()
    house.shipped()
    house.records.settle(
        Settle(order_id="SO-1", shipment_id="SO-1-1", cause=Cause.DAMAGED, by="policy", request_id="r-1")
    )

    listed = waybill("claims").stdout
    (claim,) = json.loads(waybill("claims", "--json").stdout)["claims"]
    refused = waybill("end-claim", "SO-1-P1", "paid")
    ended = waybill("end-claim", "SO-1-P1", "paid", "--paid", 2500)

    assert all(word in listed for word in ("SO-1-P1", "UPS", "29.00 USD", "Wed 23 Dec", "support"))
    assert (claim["amount"], claim["deadline"]) == (2900, "2026-12-23")
    assert refused.exit_code != 0
    assert "The claim for SO-1-P1 is over: paid 25.00 USD." in ended.stdout
    assert "nothing is claimed from any carrier" in waybill("claims").stdout
