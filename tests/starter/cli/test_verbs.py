"""The verbs: what is asked of the order, what is answered, and how a refusal reads."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import Engine, update

from fulfillment.domain.address import Address
from fulfillment.domain.change import LineQuantity, NewLine
from fulfillment.settings import real_now
from fulfillment.storage.orders import OrderStore
from fulfillment.storage.tables import orders as order_rows
from starter.cli import reach
from starter.orders import NotRunning, TemporalAway, VerbRefused
from tests.starter.cli.conftest import Waybill, invoke
from tests.starter.imports.test_json_lines import a_body, read
from workflows.contract import VerbAnswer

ELSEWHERE = ["--name", "Noor", "--line1", "9 Elm St", "--city", "Reno", "--country", "US"]


class Orders:
    """Orders that answer what they are told to, and remember what they were asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, Any]]] = []
        self.answer: VerbAnswer | Exception = VerbAnswer(text="Done.")

    def __getattr__(self, verb: str) -> Callable[..., Any]:
        async def ask(order_id: str, **said: Any) -> VerbAnswer:
            self.asked.append((verb, order_id, said))
            if isinstance(self.answer, Exception):
                raise self.answer
            return self.answer

        return ask


@pytest.fixture
def orders(monkeypatch: pytest.MonkeyPatch) -> Orders:
    reached = Orders()

    @asynccontextmanager
    async def reach_them() -> AsyncIterator[Orders]:
        yield reached

    monkeypatch.setattr(reach, "orders", reach_them)
    monkeypatch.setenv("LOGNAME", "maria")
    return reached


@pytest.mark.parametrize(
    ("words", "verb", "said"),
    [
        (["cancel", "SO-1", "--reason", "changed_mind"], "cancel", {"reason": "changed_mind", "lines": []}),
        (
            ["cancel", "SO-1", "--reason", "one too many", "--line", "2=1"],
            "cancel",
            {"reason": "one too many", "lines": [LineQuantity(line_no=2, quantity=1)]},
        ),
        (
            ["items", "SO-1", "--line", "1=0", "--add", "MUG=2", "--add", "TEA=1@450"],
            "change_items",
            {
                "lines": [LineQuantity(line_no=1, quantity=0)],
                "added": [NewLine(sku="MUG", quantity=2), NewLine(sku="TEA", quantity=1, unit_price=450)],
            },
        ),
        (
            ["address", "SO-1", *ELSEWHERE],
            "change_address",
            {"ship_to": Address(name="Noor", line1="9 Elm St", city="Reno", country="US")},
        ),
        (
            ["service", "SO-1", "express", "--fee", "900"],
            "change_service",
            {"service": "express", "fee": 900},
        ),
        (["shortage", "SO-1", "drop"], "answer_shortage", {"choice": "drop"}),
        (
            ["answer", "SO-1", "return_to_sender", "reship"],
            "answer_case",
            {"kind": "return_to_sender", "answer": "reship", "subject": "", "note": ""},
        ),
        (
            ["answer", "SO-1", "customs", "done", "--shipment", "SO-1-2", "--note", "paid"],
            "answer_case",
            {"kind": "customs", "answer": "done", "subject": "SO-1-2", "note": "paid"},
        ),
        (["hold", "SO-1"], "hold", {"reason": "manual", "note": ""}),
        (
            ["hold", "SO-1", "--reason", "address", "--note", "asks back"],
            "hold",
            {"reason": "address", "note": "asks back"},
        ),
        (["release", "SO-1"], "release", {"reason": None}),
        (["release", "SO-1", "--hold", "fraud"], "release", {"reason": "fraud"}),
        (["retry-payment", "SO-1", "--method", "pm_card_visa"], "retry_payment", {"method": "pm_card_visa"}),
    ],
)
def test_a_verb_reaches_the_order_with_who_asks_and_the_id_of_the_request(
    orders: Orders, words: list[str], verb: str, said: dict[str, Any]
) -> None:
    result = invoke([*words, "--request-id", "r-1"])

    assert result.exit_code == 0
    assert orders.asked == [(verb, "SO-1", said | {"by": "maria", "request_id": "r-1"})]
    assert result.stdout.splitlines()[-1] == "Done."


def test_the_request_id_is_printed_before_the_answer_so_that_a_repeat_is_harmless(orders: Orders) -> None:
    orders.answer = TemporalAway("SO-1 did not answer in time")

    result = invoke(["release", "SO-1"])

    request_id = orders.asked[0][2]["request_id"]
    assert result.exit_code == 3
    assert f"--request-id {request_id}" in result.stdout
    assert "did not answer in time" in result.stderr


def test_two_requests_have_two_ids(orders: Orders) -> None:
    invoke(["release", "SO-1"])
    invoke(["release", "SO-1"])

    first, second = (said["request_id"] for _, _, said in orders.asked)
    assert first != second


def test_someone_else_may_be_named(orders: Orders) -> None:
    invoke(["release", "SO-1", "--by", "noor"])

    assert orders.asked[0][2]["by"] == "noor"


def test_what_stopped_and_what_had_left_is_told(orders: Orders) -> None:
    orders.answer = VerbAnswer(text="Cancelled in part.", stopped=("SO-1-2",), left=("SO-1-1",))

    people = invoke(["cancel", "SO-1", "--reason", "x"]).stdout
    programs = json.loads(invoke(["cancel", "SO-1", "--reason", "x", "--json"]).stdout)

    assert "  stopped: SO-1-2" in people
    assert "  already left: SO-1-1" in people
    assert (programs["stopped"], programs["left"]) == (["SO-1-2"], ["SO-1-1"])


def test_a_refusal_is_told_in_the_orders_own_words(orders: Orders) -> None:
    orders.answer = VerbRefused("too_late", "Too late: SO-1-P1 was handed to UPS. Take it back as a return.")

    people = invoke(["cancel", "SO-1", "--reason", "x"])
    programs = invoke(["cancel", "SO-1", "--reason", "x", "--json"])

    assert (people.exit_code, programs.exit_code) == (1, 1)
    assert "Take it back as a return." in people.stderr
    assert json.loads(programs.stdout)["error"] == "too_late"


def test_an_order_on_which_nothing_works_is_explained_from_the_books(
    orders: Orders, waybill: Waybill, books: Engine
) -> None:
    orders.answer = NotRunning("not_allowed", "SO-10483 has ended or has not started yet.")
    (found,) = read(json.dumps(a_body()))
    OrderStore(books, real_now).accept(found.order, by="maria")  # type: ignore[union-attr]  # it is an order

    waiting = waybill("cancel", "SO-10483", "--reason", "x")
    with books.begin() as conn:
        conn.execute(update(order_rows).values(status="completed", outcome="delivered"))
    ended = waybill("cancel", "SO-10483", "--reason", "x")
    unknown = waybill("cancel", "SO-1", "--reason", "x")

    assert "has not started yet" in waiting.stderr
    assert "refused: SO-10483 has ended: delivered." in ended.stderr
    assert "there is no order SO-1; look for it with `find`" in unknown.stderr
    assert {waiting.exit_code, ended.exit_code, unknown.exit_code} == {1}


@pytest.mark.parametrize(
    "words",
    [
        ["cancel", "SO-1"],
        ["hold", "SO-1", "--reason", "bad_mood"],
        ["retry-payment", "SO-1", "--method", "4242 4242 4242 4242"],
        ["release", "SO-1", "--by", " "],
        ["cancel", "SO-1", "--reason", "x", "--line", "1=0"],
        ["items", "SO-1"],
        ["items", "SO-1", "--line", "one=2"],
        ["items", "SO-1", "--add", "MUG"],
        ["address", "SO-1", *ELSEWHERE[:-1], "usa"],
        ["service", "SO-1", "teleport"],
        ["service", "SO-1", "express", "--fee", "-1"],
        ["shortage", "SO-1", "hope"],
    ],
)
def test_a_mistake_of_usage_reaches_no_order(orders: Orders, words: list[str]) -> None:
    result = invoke(words)

    assert result.exit_code == 2
    assert not orders.asked


def test_a_server_that_is_away_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")

    result = invoke(["release", "SO-1", "--by", "maria"])

    assert result.exit_code == 3
    assert "Temporal does not answer" in result.stderr
