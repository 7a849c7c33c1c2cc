"""The live table: eighty columns, words before colours, and a line that says what is happening."""

from dataclasses import replace
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from devstack import table
from devstack.board import Counts
from devstack.table import Frame, Row, happening
from fulfillment.domain.cases import CaseKind
from fulfillment.domain.holds import HoldReason
from fulfillment.domain.order import OrderStatus, Outcome
from fulfillment.domain.payment import OrderPayment
from fulfillment.domain.shipment import WaitsFor, WorkStatus
from fulfillment.domain.stage import Stage
from fulfillment.domain.tracking import CarrierStatus
from fulfillment.domain.view import OrderView, PaymentSummary
from tests.starter.views import (
    DAY,
    FRIDAY,
    NOON,
    SATURDAY,
    a_case,
    a_hold,
    a_parcel,
    a_shipment,
    a_view,
)

COUNTS = Counts(placed=24, paid=22, packed=18, shipped=15, delivered=9, need_a_person=2)


def a_row(number: int = 10480, stage: Stage = Stage.IN_TRANSIT, text: str = "USPS, Boise, ID") -> Row:
    return Row(order_id=f"SO-{number}", stage=stage, eta="Sat 28", text=text)


def a_frame(*rows: Row, **changes: Any) -> Frame:
    return replace(Frame(rows=rows, counts=COUNTS, orders=24, speed=7200.0, now=NOON), **changes)


def lines(frame: Frame, **size: Any) -> list[str]:
    return table.picture(frame, **size).plain.splitlines()


# --- how it looks ----------------------------------------------------------------------------------------


def test_a_row_stands_in_its_columns() -> None:
    row = Row(order_id="SO-10480", stage=Stage.DELIVERED, eta="Wed 25", text="signed by resident")

    assert table.line(row) == "  SO-10480  delivered        ━━━━━━━━ Wed 25  signed by resident"


def test_the_longest_stage_moves_no_column() -> None:
    row = a_row(stage=Stage.OUT_FOR_DELIVERY, text="x")

    assert table.line(row) == "  SO-10480  out for delivery ━━━━━━━╌ Sat 28  x"


def test_the_head_stands_above_its_columns() -> None:
    head, row = lines(a_frame(a_row(text="here")))[1:3]

    assert [head.index(word) for word in ("Order", "Stage", "ETA", "What is")] == [2, 12, 38, 46]
    assert row.index("here") == 46


@pytest.mark.parametrize("stage", list(Stage))
def test_every_stage_has_a_bar_of_eight(stage: Stage) -> None:
    assert len(table.bar(stage)) == 8


def test_only_the_last_column_is_cut() -> None:
    said = lines(a_frame(*(a_row(text="a very long story " * 5) for _ in range(24))))

    assert all(len(line) <= 80 for line in said)
    assert said[2].startswith("  SO-10480  in transit       ━━━━━━╌╌ Sat 28  a very long story")
    assert said[2].endswith("…")


def test_it_says_what_the_surfaces_promise() -> None:
    said = lines(a_frame(a_row()))

    assert said[0] == "24 orders · 1 s here = 2 h in the shop · shop time Mon 23 Nov 12:00"
    assert said[3] == "24 placed · 22 paid · 18 packed · 15 shipped · 9 delivered · 2 need a person"
    assert said[-2:] == [
        "[k] kill a worker  [d] stop database 10 s  [t] stop Temporal 10 s",
        "[n] new order  [?] help  [q] quit, data kept",
    ]


def test_one_order_needs_a_person() -> None:
    assert table.totals(replace(COUNTS, need_a_person=1)).endswith("1 needs a person")


def test_what_is_away_is_said_in_words() -> None:
    assert "recovering: PostgreSQL stopped" in lines(a_frame(a_row(), away="PostgreSQL stopped"))


def test_a_low_terminal_shows_what_still_moves() -> None:
    ended = [a_row(number, Stage.DELIVERED) for number in range(10480, 10490)]
    moving = [a_row(number) for number in range(10490, 10494)]

    said = lines(a_frame(*ended, *moving), height=13)

    assert len(said) <= 13
    assert all(any(row.order_id in line for line in said) for row in moving)
    assert any("9 more" in line for line in said)


def test_a_narrow_terminal_gets_no_longer_lines() -> None:
    assert all(len(line) <= 60 for line in lines(a_frame(a_row()), width=60))


def test_without_colour_there_is_none() -> None:
    out = StringIO()
    console = Console(file=out, force_terminal=True, no_color=True, width=80)

    console.print(table.picture(a_frame(a_row(stage=Stage.LOST))))

    assert "\x1b[31m" not in out.getvalue()
    assert "SO-10480  lost" in out.getvalue()


def test_a_change_is_one_plain_line() -> None:
    assert table.plain(a_row(), NOON) == "Mon 23 12:00  SO-10480  in transit       Sat 28  USPS, Boise, ID"


def test_the_word_comes_before_its_colour() -> None:
    assert table.verdict("PASS", "24 orders").plain == "PASS  24 orders"


# --- what is happening -----------------------------------------------------------------------------------


def paid(status: OrderPayment, refunded: int = 0) -> PaymentSummary:
    return PaymentSummary(status=status, authorized=6600, captured=6600, refunded=refunded)


def delivered(**changes: Any) -> OrderView:
    parcel = a_parcel(carrier_status=CarrierStatus.DELIVERED, delivered_at=NOON + 4 * DAY, place="Boise, ID")
    part = a_shipment(parcel=parcel, work_status=WorkStatus.CLOSED)
    return a_view(part, status=OrderStatus.COMPLETED, outcome=Outcome.DELIVERED, **changes)


def on_its_way(**changes: Any) -> OrderView:
    return a_view(a_shipment(parcel=a_parcel(**changes.pop("parcel", {}))), **changes)


@pytest.mark.parametrize(
    ("view", "words"),
    [
        (delivered(), "on time, Boise, ID"),
        (delivered(promise_first_date=FRIDAY - DAY), "1 day late, customer told, Boise, ID"),
        (a_view(status=OrderStatus.EXPIRED), "no payment came, nothing charged"),
        (a_view(status=OrderStatus.REJECTED), "nothing of it can ship"),
        (
            a_view(
                status=OrderStatus.CANCELLED,
                payment=PaymentSummary(status=OrderPayment.VOIDED, authorized=0, captured=0, refunded=0),
            ),
            "cancelled, nothing charged",
        ),
        (
            a_view(
                a_shipment(parcel=a_parcel(carrier_status=CarrierStatus.LOST), work_status=WorkStatus.CLOSED),
                payment=paid(OrderPayment.REFUNDED, 6600),
            ),
            "lost; 66.00 USD given back",
        ),
        (
            a_view(a_shipment(), holds=(a_hold(HoldReason.FRAUD),)),
            "fraud: waybill release SO-10483",
        ),
        (
            a_view(a_shipment(), holds=(a_hold(HoldReason.CUSTOMER, note="on holiday"),)),
            "held: on holiday",
        ),
        (
            on_its_way(
                cases=(a_case(CaseKind.DELAYED),),
                promise_date=SATURDAY,
                parcel={"reason": "weather_delay"},
            ),
            "1 day late: weather; customer told",
        ),
        (on_its_way(cases=(a_case(CaseKind.NO_SCAN),)), "silent parcel; asks the carrier"),
        (on_its_way(), "UPS, Salt Lake City, UT"),
        (on_its_way(parcel={"place": ""}), "UPS has it"),
        (a_view(a_shipment(work_status=WorkStatus.PACKED)), "buys a label"),
        (a_view(a_shipment(work_status=WorkStatus.PICKING)), "wh-reno picks"),
        (
            a_view(a_shipment(work_status=WorkStatus.SCHEDULED, waits_for=WaitsFor.STOCK)),
            "waits for a receipt of TEE-BLK-M, MUG-12",
        ),
        (
            a_view(a_shipment(1, work_status=WorkStatus.PICKING), a_shipment(2)),
            "part 2 of 2: wh-reno picks next",
        ),
        (a_view(status=OrderStatus.RECEIVED), "waits for its stock to be claimed"),
    ],
)
def test_what_is_happening_in_a_few_words(view: OrderView, words: str) -> None:
    assert happening(view, NOON) == words


@pytest.mark.parametrize("kind", list(CaseKind))
def test_every_trouble_has_words_that_fit(kind: CaseKind) -> None:
    words = happening(on_its_way(cases=(a_case(kind),)), NOON)

    assert 0 < len(words) <= 34


def test_the_expected_day_is_the_carriers_once_it_has_one() -> None:
    assert Row.of(on_its_way(parcel={"edd_date": SATURDAY}), NOON).eta == "Sat 28"
    assert Row.of(a_view(a_shipment()), NOON).eta == "Fri 27"


def test_what_is_lost_or_cancelled_is_not_expected() -> None:
    assert Row.of(a_view(status=OrderStatus.CANCELLED), NOON).eta == ""
