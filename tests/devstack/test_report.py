"""The demo's page: complete in itself, every order on it, trouble marked, failures named."""

import re
from datetime import timedelta
from typing import Any
from xml.etree import ElementTree

from devstack import drawing, report
from devstack.board import Change
from devstack.journeys import Happened, Outage
from devstack.proof import line
from devstack.report import Report
from devstack.scenarios import SCENARIOS
from fulfillment.domain.cases import CaseKind
from fulfillment.domain.order import OrderStatus
from fulfillment.domain.shipment import WorkStatus
from fulfillment.domain.stage import Stage
from fulfillment.domain.tracking import CarrierStatus
from fulfillment.domain.view import OrderView
from tests.starter.views import DAY, HOUR, MUG, NOON, TEES, a_parcel, a_shipment, a_view

STORY = next(one for one in SCENARIOS if one.order_id == "SO-10483")
ARRIVED = a_view(
    a_shipment(parcel=a_parcel(carrier_status=CarrierStatus.DELIVERED), work_status=WorkStatus.CLOSED),
    status=OrderStatus.COMPLETED,
)


def a_change(
    hours: int, stage: Stage, attention: CaseKind | None = None, held: tuple[str, ...] = ()
) -> Change:
    return Change(
        at=NOON + hours * HOUR, view=ARRIVED, stage=stage, attention=attention, held=held, new_stage=True
    )


JOURNEY = (
    a_change(0, Stage.RECEIVED),
    a_change(1, Stage.CONFIRMED, CaseKind.FRAUD_REVIEW, ("fraud",)),
    a_change(9, Stage.ALLOCATED),
    a_change(10, Stage.PICKING),
    a_change(12, Stage.PACKED),
    a_change(20, Stage.IN_TRANSIT),
    a_change(90, Stage.OUT_FOR_DELIVERY),
    a_change(96, Stage.DELIVERED),
)


def a_report(**changes: Any) -> Report:
    shown: dict[str, Any] = {
        "scenarios": (STORY,),
        "of_scenarios": (line(True, "SO-10483 fraud hold: delivered"),),
        "of_the_whole": (line(True, "stock: 3 claimed = 3 shipped"),),
        "of_the_audit": (
            line(True, "no oversell: 4 levels, fine"),
            line(True, "audit: 1 invariants, 0 violations"),
        ),
        "views": {"SO-10483": ARRIVED},
        "changes": JOURNEY,
        "happened": (Happened(at=NOON + 9 * HOUR, order_id="SO-10483", text="support <released> it"),),
        "outages": (Outage(what="PostgreSQL stopped", since=NOON + 30 * HOUR, until=NOON + 40 * HOUR),),
        "speed": 7200.0,
        "took": 96.0,
        "until": NOON + 5 * DAY,
    }
    return Report(**shown | changes)


def drawing_of(shown: Report) -> str:
    return drawing.chart(report.journeys_of(shown), shown.outages)


def test_the_page_needs_nothing_from_elsewhere() -> None:
    page = report.page(a_report())

    assert not re.search(r"(src|href)=|@import|url\(", page)
    assert "prefers-color-scheme: dark" in page


def test_what_people_wrote_cannot_become_markup() -> None:
    page = report.page(a_report())

    assert "support &lt;released&gt; it" in page
    assert "<released>" not in page


def test_a_page_without_failures_says_so() -> None:
    page = report.page(a_report())

    assert "nothing broken" in page
    assert ">FAIL<" not in page


def test_a_failure_is_counted_and_explained() -> None:
    wrong = line(False, "SO-10483 fraud hold: delivered", "is lost, not delivered")

    page = report.page(a_report(of_scenarios=(wrong,)))

    assert "1 of 4 lines fail." in page
    assert "is lost, not delivered" in page


def test_a_journey_has_its_phases_one_after_another() -> None:
    journey = report.journeys_of(a_report())[0]

    assert [segment.phase for segment in journey.segments] == [
        "waiting", "held", "floor", "packed", "transit", "out",
    ]  # fmt: skip
    assert all(
        one.until == two.since for one, two in zip(journey.segments, journey.segments[1:], strict=False)
    )
    assert (journey.end, journey.ended_at) == (Stage.DELIVERED, NOON + 96 * HOUR)


def test_what_went_wrong_is_marked_once_with_its_moment() -> None:
    journey = report.journeys_of(a_report())[0]

    assert [(mark.kind, mark.at) for mark in journey.marks] == [(CaseKind.FRAUD_REVIEW, NOON + HOUR)]
    assert journey.trouble == "fraud review"


def test_an_order_under_way_ends_where_the_page_ends() -> None:
    journey = report.journeys_of(a_report(changes=JOURNEY[:6]))[0]

    assert journey.end is None
    assert journey.segments[-1].until == NOON + 5 * DAY


def test_an_order_that_was_never_placed_is_on_the_page_all_the_same() -> None:
    page = report.page(a_report(changes=(), views={}))

    assert "was never placed" in page


def test_the_chart_is_a_drawing_with_every_order_in_it() -> None:
    shown = a_report()

    picture = ElementTree.fromstring(drawing_of(shown))

    texts = {element.text for element in picture.iter("text")}
    assert {"SO-10483", STORY.name, "PostgreSQL stopped", "fraud review", "Tue 24"} <= texts
    assert len([one for one in picture.iter("polygon") if one.get("class") == "mark"]) == 1


def test_nothing_is_drawn_outside_the_chart() -> None:
    shown = a_report(outages=(Outage(what="Temporal stopped", since=NOON - DAY, until=None),))
    picture = ElementTree.fromstring(drawing_of(shown))
    width = float(picture.get("viewBox", "").split()[2])

    ends = [float(one.get("x", 0)) + float(one.get("width", 0)) for one in picture.iter("rect")]

    assert max(ends) <= width
    assert min(float(one.get("x", 0)) for one in picture.iter("rect")) >= 0


def test_every_order_is_counted_at_every_moment() -> None:
    shown = a_report(changes=JOURNEY, until=NOON + 5 * DAY)

    picture = ElementTree.fromstring(drawing.crowd(report.journeys_of(shown), shown.outages))

    phases = {one.get("class", "").removeprefix("phase ") for one in picture.iter("polygon")}
    assert phases == {"waiting", "held", "floor", "packed", "transit", "out", "delivered"}


def test_without_orders_there_is_nothing_to_draw() -> None:
    assert drawing.chart([], []) == drawing.crowd([], []) == ""


def units(view: OrderView) -> dict[str, int]:
    return {name: count for _, name, count, _ in report.outcomes([view])}


def test_every_unit_has_one_outcome() -> None:
    lost = a_shipment(
        2, parcel=a_parcel(2, carrier_status=CarrierStatus.LOST), units=MUG, work_status=WorkStatus.CLOSED
    )
    arrived = a_shipment(
        parcel=a_parcel(carrier_status=CarrierStatus.DELIVERED), units=TEES, work_status=WorkStatus.CLOSED
    )

    assert units(a_view(arrived, lost)) == {"delivered": 2, "lost and refunded": 1}


def test_units_that_never_left_an_ended_order_are_cancelled() -> None:
    never_paid = a_view(a_shipment(work_status=WorkStatus.SCHEDULED), status=OrderStatus.EXPIRED)

    assert units(never_paid) == {"cancelled or never paid": 3}


def test_units_on_the_floor_are_still_under_way() -> None:
    assert units(a_view(a_shipment())) == {"still under way": 3}


def test_the_tiles_count_days_in_shop_time() -> None:
    assert ("5", "shop days in 96 s") in report.tiles(a_report(until=NOON + timedelta(days=5)), [])
