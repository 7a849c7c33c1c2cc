"""Releasing on the command line: one order, or all that are held alike."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from fulfillment.domain.holds import HoldReason
from fulfillment.domain.record import PlaceHold
from fulfillment.settings import real_now
from fulfillment.storage.orders import OrderStore
from fulfillment.storage.records import RecordStore
from starter.cli import reach
from starter.orders import TemporalAway, VerbRefused
from tests.starter.cli.conftest import Waybill
from tests.storage.house import House, an_order
from workflows.contract import VerbAnswer

ALIKE = ("release", "--hold", "fraud", "--like", "SO-1")


class Orders:
    """Orders that release as they are told to, and remember what they were asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.no: dict[str, Exception] = {}

    async def release(self, order_id: str, **said: Any) -> VerbAnswer:
        self.asked.append((order_id, said))
        if order_id in self.no:
            raise self.no[order_id]
        return VerbAnswer(text="Released.")


@pytest.fixture
def orders(monkeypatch: pytest.MonkeyPatch) -> Orders:
    reached = Orders()

    @asynccontextmanager
    async def reach_them() -> AsyncIterator[Orders]:
        yield reached

    monkeypatch.setattr(reach, "orders", reach_them)
    return reached


@pytest.fixture
def held(books: Engine) -> None:
    """Twelve orders of 29.00 held for the same reason, and one for another."""
    House(books).stocked()
    records = RecordStore(books, real_now)
    for n in range(1, 14):
        OrderStore(books, real_now).accept(an_order(f"SO-{n}"), by="test")
        records.place_hold(
            PlaceHold(
                order_id=f"SO-{n}",
                reason=HoldReason.FRAUD if n < 13 else HoldReason.MANUAL,
                by="system",
                request_id="r-1",
                due_at=real_now() + timedelta(hours=72),
                note="goods abroad",
            )
        )


@pytest.mark.usefixtures("held")
def test_what_is_held_is_listed_by_reason_with_what_it_is_worth(waybill: Waybill) -> None:
    shown = waybill("holds").stdout
    fraud, manual = json.loads(waybill("holds", "--json").stdout)["groups"]

    assert "348.00 USD" in shown
    assert (fraud["reason"], len(fraud["orders"]), fraud["worth"]) == ("fraud", 12, {"USD": 34_800})
    assert (manual["reason"], manual["orders"]) == ("manual", ["SO-13"])


@pytest.mark.usefixtures("held")
def test_releasing_alike_only_counts_until_it_is_confirmed(waybill: Waybill, orders: Orders) -> None:
    result = waybill(*ALIKE)

    assert result.exit_code == 0
    assert "12 orders worth 348.00 USD are held for the same reason: fraud, goods abroad" in result.stdout
    assert orders.asked == []


@pytest.mark.usefixtures("held")
def test_the_command_that_the_dry_run_prints_releases_what_was_seen(
    waybill: Waybill, orders: Orders, books: Engine
) -> None:
    line = waybill(*ALIKE).stdout.splitlines()[-1]
    House(books).stocked()
    OrderStore(books, real_now).accept(an_order("SO-99"), by="test")
    late = PlaceHold(
        order_id="SO-99",
        reason=HoldReason.FRAUD,
        by="system",
        request_id="r-1",
        due_at=real_now(),
        note="goods abroad",
    )
    RecordStore(books, real_now).place_hold(late)

    result = waybill(*line.partition("./waybill ")[2].split(), "--request-id", "r-7")

    assert result.exit_code == 0
    assert "released 12 of 12 orders" in result.stdout
    assert {order_id for order_id, _ in orders.asked} == {f"SO-{n}" for n in range(1, 13)}
    assert all(said["request_id"] == f"r-7:{order_id}" for order_id, said in orders.asked)
    assert {said["by"] for _, said in orders.asked} == {"maria"}


@pytest.mark.usefixtures("held")
def test_an_order_that_refuses_is_named_and_the_command_says_so(waybill: Waybill, orders: Orders) -> None:
    orders.no["SO-3"] = VerbRefused("not_allowed", "SO-3 has ended.")

    result = waybill(*ALIKE, "--yes")

    assert result.exit_code == 1
    assert "SO-3 was not released: SO-3 has ended." in result.stdout
    assert "released 11 of 12 orders" in result.stdout


@pytest.mark.usefixtures("held")
def test_with_temporal_away_it_says_how_far_it_came(waybill: Waybill, orders: Orders) -> None:
    orders.no["SO-10"] = TemporalAway("no")

    result = waybill(*ALIKE, "--yes")

    assert result.exit_code == 3
    assert "orders answered, then Temporal did not; repeat for the rest" in result.stderr
    assert "--request-id" in result.stdout


@pytest.mark.parametrize(
    "words",
    [
        ("release",),
        ("release", "SO-1", "--like", "SO-2"),
        ("release", "--like", "SO-1"),
        (*ALIKE, "--until", "yesterday"),
        (*ALIKE, "--until", "2026-11-23T08:00:00"),
    ],
)
def test_what_cannot_be_meant_is_refused(waybill: Waybill, words: tuple[str, ...]) -> None:
    assert waybill(*words).exit_code == 2
