"""What people read equals what the domain makes of the rows, for one order and for pages of them."""

import itertools
from datetime import date, timedelta

import pytest
from sqlalchemy import Engine, event

from fulfillment.domain.cases import CaseKind, attention
from fulfillment.domain.errors import UnknownOrder
from fulfillment.domain.holds import HoldReason
from fulfillment.domain.order import OrderStatus, Outcome, UnitRange
from fulfillment.domain.payment import OrderPayment
from fulfillment.domain.record import CloseOrder, OpenCase, PlaceHold, ResolveCase
from fulfillment.domain.shipment import WaitsFor, WorkStatus
from fulfillment.domain.stage import ShipmentView, Stage, order_stage
from fulfillment.domain.tracking import CarrierStatus
from fulfillment.domain.view import OrderRow
from fulfillment.storage.records import RecordStore
from fulfillment.storage.tables import cases, orders, parcels, payments, shipments, unit_ranges
from fulfillment.storage.views import BadCursor, OrderFilter
from tests.storage.house import MORNING, NUMBER, House, a_scan, an_order


def a_case(house: House, subject: str, kind: CaseKind, *, order_id: str = "SO-1", due: float = 1) -> None:
    request = OpenCase(
        order_id=order_id, subject=subject, kind=kind, due_at=MORNING + timedelta(hours=due), note="seen"
    )
    RecordStore(house.engine, house.now).open_case(request)


def all_pages(house: House, limit: int, **wanted: object) -> list[OrderRow]:
    found: list[OrderRow] = []
    cursor: str | None = None
    while True:
        page, cursor = house.views.list(OrderFilter(limit=limit, cursor=cursor, **wanted))
        found += page
        if cursor is None:
            return found


def test_an_order_on_its_way_reads_as_it_stands(engine: Engine) -> None:
    house = House(engine).stocked(mugs=1)
    house.shipped()
    house.wait(timedelta(hours=9))
    house.shipping.scanned(
        "SO-1-P1",
        (
            a_scan(CarrierStatus.PICKED_UP, 2),
            a_scan(CarrierStatus.IN_TRANSIT, 8, text="Departed", place="Elko"),
        ),
        date(2026, 11, 27),
        source="asked",
    )

    view = house.views.view("SO-1")

    assert view.order == an_order(external_ref="SO-1")
    assert (view.status, view.stage, view.placed) == (OrderStatus.IN_FULFILLMENT, Stage.BACKORDERED, "short")
    assert (view.payable, view.payment.authorized, view.payment.captured) == (2900, 1700, 0)
    assert view.payment.status is OrderPayment.AUTHORIZED
    assert view.units_by_stage == {"in_transit": 2, "backordered": 1}
    here, waiting = view.shipments
    assert (here.shipment_id, here.stage, waiting.stage) == ("SO-1-1", Stage.IN_TRANSIT, Stage.BACKORDERED)
    assert waiting.units == (UnitRange(line_no=1, first=2, count=1),)
    assert here.parcel is not None
    assert (here.parcel.carrier, here.parcel.tracking_number) == ("UPS", NUMBER)
    assert (here.parcel.label_state, here.parcel.edd_date) == ("used", date(2026, 11, 27))
    assert here.parcel.latest_scan_at == MORNING + timedelta(hours=8)
    newest, oldest = here.parcel.scans
    assert (newest.text, newest.place, newest.status) == ("Departed", "Elko", CarrierStatus.IN_TRANSIT)
    assert oldest.at == MORNING + timedelta(hours=2)
    assert view.tracking_token == house.row(orders)["tracking_token"]
    assert [e.kind for e in view.events][:2] == ["received", "confirmed"]
    assert [e.seq for e in view.events] == sorted(e.seq for e in view.events)


def test_units_that_never_come_are_not_paid_for(engine: Engine) -> None:
    house = House(engine).stocked(teas=1)
    house.released(teas=3)

    view = house.views.view("SO-1")

    assert view.cancelled_units == (UnitRange(line_no=2, first=2, count=2),)
    assert view.payable == 2 * 1200 + 500
    assert view.units_by_stage == {"allocated": 3, "cancelled": 2}


def test_a_view_takes_one_statement(engine: Engine) -> None:
    house = House(engine).stocked()
    house.shipped()
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda _c, _k, statement, *_: statements.append(statement))

    house.views.view("SO-1")
    house.views.list(OrderFilter(stage=Stage.IN_TRANSIT))

    assert len(statements) == 2


def test_a_view_reads_the_scans_of_its_own_order_alone(engine: Engine) -> None:
    house = House(engine).stocked()
    house.released()
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *args: statements.append(args[2]))

    house.views.view("SO-1")

    (statement,) = (said for said in statements if "tracking_events" in said)
    assert statement.count("FROM orders") == 1
    assert "parcels, orders" not in statement


def test_an_order_nobody_knows_has_no_view(engine: Engine) -> None:
    house = House(engine).stocked()

    with pytest.raises(UnknownOrder):
        house.views.view("SO-404")


def test_the_attention_of_an_order_is_its_most_urgent_open_case(engine: Engine) -> None:
    house = House(engine).stocked()
    house.shipped()
    a_case(house, "SO-1-P1", CaseKind.NO_SCAN, due=1)
    a_case(house, "SO-1-P1", CaseKind.DAMAGED, due=5)
    a_case(house, "SO-1-P1", CaseKind.LOST, due=4)
    a_case(house, "SO-1", CaseKind.CAPTURE_FAILED, due=9)
    RecordStore(engine, house.now).resolve_case(
        ResolveCase(order_id="SO-1", subject="SO-1", kind=CaseKind.CAPTURE_FAILED, resolution="captured")
    )

    view = house.views.view("SO-1")
    (row,), _ = house.views.list(OrderFilter())

    assert view.attention is row.attention is CaseKind.LOST
    assert [case.kind for case in view.cases] == [CaseKind.DAMAGED, CaseKind.LOST, CaseKind.NO_SCAN]
    assert view.cases[0].note == "seen"


def test_only_standing_holds_are_shown(engine: Engine) -> None:
    """Seen to fail with the letters of an empty array for holds, where there was none."""
    house = House(engine).stocked()
    house.released()
    (free,), _ = house.views.list(OrderFilter())
    records = RecordStore(engine, house.now)
    due = MORNING + timedelta(hours=72)
    hold = records.place_hold(
        PlaceHold(
            order_id="SO-1", reason=HoldReason.ADDRESS, by="maria", request_id="r", due_at=due, note="?"
        )
    )

    view = house.views.view("SO-1")
    (row,), _ = house.views.list(OrderFilter())

    assert view.holds == (hold,)
    assert (free.holds, row.holds) == ((), ("address",))


def test_a_tracking_link_opens_its_order_and_no_other(engine: Engine) -> None:
    house = House(engine).stocked()
    house.released()
    token = house.row(orders)["tracking_token"]

    found = house.views.by_token(token)

    assert found is not None
    assert found.order.order_id == "SO-1"
    assert [house.views.by_token(wrong) for wrong in ("", "x", token[:-1])] == [None, None, None]


def test_a_tracking_link_outlives_its_order_by_ninety_days(engine: Engine) -> None:
    house = House(engine).stocked()
    house.shipped()
    house.wait(timedelta(hours=9))
    house.shipping.scanned("SO-1-P1", (a_scan(CarrierStatus.DELIVERED, 8),), None, source="asked")
    RecordStore(engine, house.now).close(CloseOrder(order_id="SO-1", outcome=Outcome.DELIVERED))
    token = house.row(orders)["tracking_token"]

    house.wait(timedelta(days=90))
    still = house.views.by_token(token)
    house.wait(timedelta(seconds=1))

    assert still is not None
    assert still.stage is Stage.DELIVERED
    assert house.views.by_token(token) is None


def test_events_are_read_from_where_one_stopped(engine: Engine) -> None:
    house = House(engine).stocked()
    house.shipped()
    everything = house.views.events("SO-1")

    later = house.views.events("SO-1", after_seq=everything[2].seq)

    assert later == everything[3:]
    assert later
    assert house.views.heads(["SO-1", "SO-404"]) == {"SO-1": everything[-1].seq}


def test_orders_are_found_by_what_people_have_at_hand(engine: Engine) -> None:
    house = House(engine).stocked()
    house.labeled("SO-1", external_ref="#1001")
    house.wait(timedelta(hours=1))
    house.released("SO-2")

    found = [house.views.find(text) for text in ("SO-1", " #1001", "ANN@example.com", NUMBER, "nobody", "")]

    assert found == [("SO-1",), ("SO-1",), ("SO-2", "SO-1"), ("SO-1",), (), ()]


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 50])
def test_pages_of_any_size_hold_every_order_once_newest_first(engine: Engine, limit: int) -> None:
    house = House(engine).stocked()
    for n in range(7):  # two share their moment: the number decides
        house.orders.accept(an_order(f"SO-{n}", placed_at=MORNING + timedelta(hours=n // 2)), by="test")

    found = [row.order_id for row in all_pages(house, limit)]

    assert found == ["SO-6", "SO-5", "SO-4", "SO-3", "SO-2", "SO-1", "SO-0"]


def test_an_order_that_arrives_while_one_pages_moves_no_page(engine: Engine) -> None:
    house = House(engine).stocked()
    for n in range(4):
        house.orders.accept(an_order(f"SO-{n}", placed_at=MORNING + timedelta(hours=n)), by="test")
    first, cursor = house.views.list(OrderFilter(limit=2))

    house.orders.accept(an_order("SO-9", placed_at=MORNING + timedelta(hours=9)), by="test")
    second, end = house.views.list(OrderFilter(limit=2, cursor=cursor))

    assert [row.order_id for row in (*first, *second)] == ["SO-3", "SO-2", "SO-1", "SO-0"]
    assert end is None


@pytest.mark.parametrize("cursor", ["x", "!!!", "bm90IGEgZGF0ZQ==", "ünïcode"])
def test_a_cursor_of_somebody_else_is_refused(engine: Engine, cursor: str) -> None:
    house = House(engine).stocked()

    with pytest.raises(BadCursor):
        house.views.list(OrderFilter(cursor=cursor))


def test_lists_are_filtered_by_customer_and_by_moment(engine: Engine) -> None:
    house = House(engine).stocked()
    for n in range(4):
        house.orders.accept(an_order(f"SO-{n}", placed_at=MORNING + timedelta(hours=n)), by="test")
    house.change(orders, {"customer_id": "C-2"}, order_id="SO-2")

    of_customer = all_pages(house, 1, customer_id="C-1", placed_after=MORNING)

    assert [row.order_id for row in of_customer] == ["SO-3", "SO-1"]


def test_lists_are_filtered_by_attention(engine: Engine) -> None:
    house = House(engine).stocked()
    for n in range(4):
        house.released(f"SO-{n}", mugs=1)
    a_case(house, "SO-1", CaseKind.ON_HOLD, order_id="SO-1")
    a_case(house, "SO-2", CaseKind.LABEL_REFUSED, order_id="SO-2")
    a_case(house, "SO-2", CaseKind.ON_HOLD, order_id="SO-2")

    held = all_pages(house, 1, attention=CaseKind.ON_HOLD)
    troubled = all_pages(house, 1, needs_attention=True)

    assert [row.order_id for row in held] == ["SO-1"]
    assert [row.order_id for row in troubled] == ["SO-2", "SO-1"]


def test_the_stage_of_a_list_is_the_domains_for_every_state_an_order_can_have(engine: Engine) -> None:
    house = House(engine).stocked(mugs=1)
    house.shipped()  # one shipment with a parcel, one that waits for stock
    kinds = [(work, wait, None) for work in WorkStatus for wait in WaitsFor]
    kinds += [(WorkStatus.HANDED_OVER, WaitsFor.NOTHING, word) for word in CarrierStatus]
    pairs = [(kind, (WorkStatus.PICKING, WaitsFor.NOTHING, None)) for kind in kinds]
    pairs += list(itertools.product(kinds[::7], kinds[::5]))

    for (work, wait, word), (other, other_wait, _) in pairs:
        seen = word or CarrierStatus.PRE_TRANSIT
        house.change(shipments, {"work_status": work.value, "waits_for": wait.value}, n=1)
        house.change(shipments, {"work_status": other.value, "waits_for": other_wait.value}, n=2)
        house.change(parcels, {"carrier_status": seen.value})
        first = ShipmentView(work=work, waits_for=wait, carrier=seen, units=2)
        second = ShipmentView(work=other, waits_for=other_wait, carrier=None, units=1)
        expected = order_stage(OrderStatus.IN_FULFILLMENT, [first, second])
        (row,), _ = house.views.list(OrderFilter())
        assert (row.stage, house.views.view("SO-1").stage) == (expected, expected), (work, wait, word, other)


def test_every_status_of_an_order_lists_under_the_stage_it_reads_as(engine: Engine) -> None:
    house = House(engine).stocked()
    house.shipped()

    for status in OrderStatus:
        house.change(orders, {"status": status.value})
        listed = {stage for stage in Stage if house.views.list(OrderFilter(stage=stage))[0]}
        assert listed == {house.views.view("SO-1").stage}, status


def test_an_order_without_any_part_lists_as_it_reads(engine: Engine) -> None:
    house = House(engine).stocked()
    house.released()
    house.change(unit_ranges, {"shipment_id": None, "cancelled_reason": "changed_mind"})

    (row,), _ = house.views.list(OrderFilter(stage=Stage.CONFIRMED))

    assert row.stage is house.views.view("SO-1").stage is Stage.CONFIRMED


def test_a_stage_is_paged_without_gaps_whatever_lies_between(engine: Engine) -> None:
    house = House(engine).stocked(mugs=40, teas=40)
    for n in range(12):
        (house.packed if n % 3 == 0 else house.released)(f"SO-{n:02}", mugs=1)
        house.wait(timedelta(minutes=1))

    packed = all_pages(house, 1, stage=Stage.PACKED)

    assert [row.order_id for row in packed] == ["SO-09", "SO-06", "SO-03", "SO-00"]


def test_attention_in_a_list_is_the_domains_for_cases_of_equal_urgency(engine: Engine) -> None:
    house = House(engine).stocked()
    house.released()
    for kind in (CaseKind.NO_SCAN, CaseKind.DELAYED, CaseKind.NO_FIRST_SCAN):
        a_case(house, "SO-1", kind)

    view = house.views.view("SO-1")
    (row,), _ = house.views.list(OrderFilter())

    assert len(house.rows(cases)) == 3
    assert row.attention is view.attention is attention(view.cases) is CaseKind.DELAYED


def test_the_money_of_a_declined_order_says_why(engine: Engine) -> None:
    house = House(engine).stocked()
    house.released()
    house.change(payments, {"status": "declined", "authorized": 0, "decline_group": "other_method"})

    payment = house.views.view("SO-1").payment

    assert (payment.status, payment.decline_group) == (OrderPayment.DECLINED, "other_method")
    assert (payment.authorized, payment.captured, payment.refunded) == (0, 0, 0)
