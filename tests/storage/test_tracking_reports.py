"""Scans: one state from the same set, whatever their order and however often, and each milestone heard once."""

import itertools
import random
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, Table
from sqlalchemy.exc import IntegrityError

from fulfillment.domain.order import Outcome
from fulfillment.domain.reasons import Reason
from fulfillment.domain.record import CloseOrder, DeclareLost
from fulfillment.domain.tracking import CarrierStatus, Flag, Scan, ScanSource
from fulfillment.storage.records import RecordStore
from fulfillment.storage.tables import (
    cases,
    inbox,
    labels,
    order_events,
    orders,
    outbox,
    parcels,
    shipments,
    signals,
    stock_levels,
    tracking_events,
)
from tests.storage.house import MORNING, MUG, NUMBER, House, a_scan

C = CarrierStatus
OTHER = "1Z999AA10123456799"
JOURNEY = (
    a_scan(C.PICKED_UP, 2),
    a_scan(C.IN_TRANSIT, 8, place="Salt Lake City"),
    a_scan(None, 20, flag=Flag.DELAYED, reason=Reason.WEATHER_DELAY),
    a_scan(C.OUT_FOR_DELIVERY, 30),
    a_scan(C.DELIVERED, 33, place="Denver"),
)
STATE = ("carrier_status", "flags", "reason", "place", "latest_scan_at", "delivered_at", "next_check_at")


def report(house: House, event_id: str, *scans: Scan, edd: date | None = None) -> object:
    return house.shipping.record_report("easypost", event_id, "UPS", NUMBER, scans, edd, {"id": event_id})


def on_its_way(engine: Engine, *, hours: float = 48) -> House:
    """A parcel handed over in the morning, seen so many hours later."""
    house = House(engine).stocked()
    house.shipped()
    house.wait(timedelta(hours=hours))
    return house


def heard(house: House) -> list[tuple[str, list[str]]]:
    rows = sorted(house.rows(signals, name="milestone"), key=lambda row: row["signal_id"])
    return [(row["body"]["status"], row["body"]["flags"]) for row in rows]


def test_scans_in_every_order_and_repeated_give_one_state(engine: Engine) -> None:
    house = on_its_way(engine)
    unseen = {table: house.row(table) for table in (parcels, shipments)}
    report(house, "evt_1", *JOURNEY[1:])
    expected = [house.row(parcels)[name] for name in STATE]

    for scans in itertools.permutations(JOURNEY[1:]):
        forget_scans(house, unseen)
        for scan in (*scans, *scans[:2]):
            house.shipping.scanned("SO-1-P1", (scan,), None, source="asked")
        assert [house.row(parcels)[name] for name in STATE] == expected
        assert [status for status, _ in heard(house)].count("delivered") == 1
        assert house.row(shipments)["outcome"] == "delivered"


def forget_scans(house: House, unseen: dict[Table, dict[str, Any]]) -> None:
    with house.engine.begin() as conn:
        conn.execute(tracking_events.delete())
        conn.execute(signals.delete())
        for table, row in unseen.items():
            conn.execute(table.update().values(row))


def test_a_journey_told_scan_by_scan_is_heard_milestone_by_milestone(engine: Engine) -> None:
    house = on_its_way(engine)

    for n, scan in enumerate(JOURNEY):
        report(house, f"evt_{n}", scan)

    assert heard(house) == [
        ("in_transit", []),
        ("in_transit", ["delayed"]),
        ("out_for_delivery", []),
        ("delivered", []),
    ]


def test_carriers_that_send_the_whole_history_each_time_say_it_once(engine: Engine) -> None:
    house = on_its_way(engine)
    histories = [JOURNEY[:n] for n in range(1, len(JOURNEY) + 1)] * 3
    random.Random(7).shuffle(histories)

    for n, history in enumerate(histories):
        report(house, f"evt_{n}", *history)

    keys = [row["fact_key"] for row in house.rows(signals, name="milestone")]
    assert len(keys) == len(set(keys))
    assert [status for status, _ in heard(house)].count("delivered") == 1
    assert len(house.rows(tracking_events)) == len(JOURNEY)
    assert len(house.rows(outbox, fact="delivered")) == 1


def test_forty_scans_cost_the_order_no_more_than_its_milestones(engine: Engine) -> None:
    """Attacks: what the order has heard is compared with what it would hear. Without it every scan is a signal."""
    house = on_its_way(engine, hours=100)
    hubs = [a_scan(C.IN_TRANSIT, 3 + n, place=f"Hub {n}", code=f"hub {n % 3}") for n in range(37)]
    journey = [a_scan(C.PICKED_UP, 2), *hubs, a_scan(C.OUT_FOR_DELIVERY, 60), a_scan(C.DELIVERED, 64)]

    for n in range(len(journey)):  # as carriers do: with every scan the whole history
        report(house, f"evt_{n}", *journey[: n + 1], edd=date(2026, 11, 26))

    assert len(house.rows(tracking_events)) == len(journey) == 40
    assert heard(house) == [
        ("in_transit", []),
        ("out_for_delivery", []),
        ("delivered", []),
    ]


def test_trouble_that_moves_nothing_is_heard_once(engine: Engine) -> None:
    house = on_its_way(engine)
    trouble = a_scan(None, 10, reason=Reason.CONSIGNEE_INCORRECT_ADDRESS)
    report(house, "evt_0", *JOURNEY[:2])

    for n in range(1, 4):
        report(house, f"evt_{n}", *JOURNEY[:2], trouble)
    report(house, "evt_9", *JOURNEY[:2], trouble, a_scan(C.IN_TRANSIT, 12))

    bodies = [row["body"] for row in house.rows(signals, name="milestone")]
    assert [(body["status"], body["reason"]) for body in bodies] == [
        ("in_transit", ""),
        ("in_transit", "consignee_incorrect_address"),
    ]


def test_p47_a_second_parcel_leaves_the_first_ones_number_and_state_alone(engine: Engine) -> None:
    house = on_its_way(engine)
    report(house, "evt_1", *JOURNEY)
    first = house.row(parcels, parcel_id="SO-1-P1")

    house.shipped("SO-2", number=OTHER)
    house.wait(timedelta(hours=48))
    scans = (a_scan(C.IN_TRANSIT, 90),)
    house.shipping.record_report("easypost", "evt_2", "UPS", OTHER, scans, None, {})

    assert house.row(parcels, parcel_id="SO-1-P1") == first
    assert house.row(labels, parcel_id="SO-1-P1")["tracking_number"] == NUMBER
    assert house.row(parcels, parcel_id="SO-2-P1")["carrier_status"] == "in_transit"


def test_p43_a_number_belongs_to_one_parcel(engine: Engine) -> None:
    """Attacks: carrier and number are unique. Without it the second label is stored, and its scans go astray."""
    house = on_its_way(engine)

    with pytest.raises(IntegrityError, match="uq_labels_number"):
        house.labeled("SO-2")

    report(house, "evt_1", *JOURNEY)
    assert house.row(parcels, parcel_id="SO-1-P1")["carrier_status"] == "delivered"
    assert house.row(parcels, parcel_id="SO-2-P1")["carrier_status"] == "pre_transit"


def test_p43_a_number_that_two_carriers_use_is_read_with_its_carrier(engine: Engine) -> None:
    house = on_its_way(engine)
    house.shipped("SO-2", number=OTHER)
    house.change(labels, {"carrier": "FedEx", "tracking_number": NUMBER}, parcel_id="SO-2-P1")
    house.wait(timedelta(hours=48))

    house.shipping.record_report("easypost", "evt_1", "fedex", NUMBER, (a_scan(C.DELIVERED, 90),), None, {})
    house.shipping.record_report("easypost", "evt_2", "DHL", NUMBER, (a_scan(C.DELIVERED, 90),), None, {})

    assert house.row(parcels, parcel_id="SO-1-P1")["carrier_status"] == "pre_transit"
    assert house.row(parcels, parcel_id="SO-2-P1")["carrier_status"] == "delivered"
    assert house.row(inbox, event_id="evt_2")["state"] == "unmatched"


def test_p48_a_delivery_that_nobody_sent_is_found_by_asking(engine: Engine) -> None:
    """Attacks: every parcel under way has a next check. Without it nobody asks, and it is never delivered."""
    house = on_its_way(engine, hours=9)
    report(house, "evt_1", *JOURNEY[:2])
    house.wait(timedelta(hours=47))

    silent = house.reconciliation.sweep().silent_parcels
    house.shipping.scanned("SO-1-P1", JOURNEY, None, source="asked")
    house.reconciliation.silence("SO-1-P1")

    assert silent == ("SO-1-P1",)
    assert house.row(shipments)["outcome"] == "delivered"
    assert house.rows(signals, name="overdue") == []
    assert house.row(parcels)["next_check_at"] is None


def test_p48_a_delivery_taken_back_is_asked_about_again(engine: Engine) -> None:
    house = on_its_way(engine)
    report(house, "evt_1", *JOURNEY)

    put_right = a_scan(C.IN_TRANSIT, 40, source=ScanSource.STAFF, correction=True, by="ann", why="not here")
    house.shipping.scanned("SO-1-P1", (put_right,), None, source="staff")

    assert house.row(parcels)["next_check_at"] == MORNING + timedelta(hours=40 + 48)


def test_the_same_report_ten_times_has_one_effect(engine: Engine) -> None:
    house = on_its_way(engine)

    with ThreadPoolExecutor(4) as carrier:
        answers = list(carrier.map(lambda _: report(house, "evt_1", *JOURNEY), range(10)))

    assert sum(answer != () for answer in answers) == 1
    assert len(house.rows(inbox)) == 1
    assert len(house.rows(tracking_events)) == len(JOURNEY)
    assert heard(house) == [("delivered", [])]
    assert len(house.rows(order_events, kind="delivered")) == 1


def test_a_report_answers_with_what_the_order_has_not_heard(engine: Engine) -> None:
    house = on_its_way(engine)
    house.signals.delivered([fact.signal_id for fact in house.signals.for_order("SO-1")])

    (fact,) = house.shipping.record_report("easypost", "e", "UPS", NUMBER, JOURNEY[:2], None, {})

    assert (fact.name, fact.order_id) == ("milestone", "SO-1")
    assert fact.body == {
        "shipment_id": "SO-1-1",
        "parcel_id": "SO-1-P1",
        "status": "in_transit",
        "flags": [],
        "reason": "",
        "edd": None,
        "place": "Salt Lake City",
        "fact_key": f"SO-1-P1:in_transit::None:{(MORNING + timedelta(hours=8)).isoformat()}",
        "at": house.time.isoformat(),
    }


def test_delivery_ends_the_shipment_and_tells_the_customer(engine: Engine) -> None:
    house = on_its_way(engine)

    report(house, "evt_1", *JOURNEY)

    shipment, parcel = house.row(shipments), house.row(parcels)
    assert (shipment["work_status"], shipment["outcome"]) == ("closed", "delivered")
    assert shipment["closed_at"] == house.time
    assert (parcel["delivered_at"], parcel["next_check_at"]) == (MORNING + timedelta(hours=33), None)
    assert house.row(outbox, fact="delivered")["subject"] == "SO-1-P1"


def test_the_first_scan_after_our_own_hand_over_is_no_news(engine: Engine) -> None:
    house = on_its_way(engine)

    report(house, "evt_1", JOURNEY[0], edd=date(2026, 11, 25))

    assert heard(house) == []
    assert house.row(parcels)["carrier_status"] == "picked_up"


def test_a_first_scan_with_a_date_after_the_promise_is_news(engine: Engine) -> None:
    house = on_its_way(engine)
    late = house.row(orders)["promise_date"] + timedelta(days=1)

    report(house, "evt_1", JOURNEY[0], edd=late)

    assert heard(house) == [("picked_up", [])]


def test_a_label_created_scan_is_never_heard(engine: Engine) -> None:
    house = on_its_way(engine)

    report(house, "evt_1", a_scan(C.PRE_TRANSIT, 1), edd=date(2027, 1, 5))

    assert heard(house) == []
    assert house.row(parcels)["edd_date"] == date(2027, 1, 5)


@pytest.mark.parametrize("status", [C.PICKED_UP, C.IN_TRANSIT, C.DELIVERED])
def test_a_scan_of_a_parcel_the_dock_forgot_is_the_evidence_that_it_left(
    engine: Engine, status: CarrierStatus
) -> None:
    house = House(engine).stocked()
    house.labeled()
    house.wait(timedelta(hours=5))

    report(house, "evt_1", a_scan(status, 4))

    shipment = house.row(shipments)
    assert shipment["handed_over_at"] == house.time
    assert shipment["work_status"] == ("closed" if status is C.DELIVERED else "handed_over")
    assert house.row(signals, name="handed_over")["body"]["by"] == "carrier"
    assert house.row(stock_levels, sku=MUG)["on_hand"] == 8
    assert heard(house) == [(status.value, [])]
    assert len(house.rows(outbox, fact="shipped")) == 1


@pytest.mark.parametrize("status", [C.PICKED_UP, C.IN_TRANSIT, C.DELIVERED])
@pytest.mark.parametrize(("books_say", "kept"), [("packed", 10), ("released", 10), ("cancelled", 10)])
def test_p37_goods_the_carrier_has_against_our_books_are_a_case_for_a_person(
    engine: Engine, status: CarrierStatus, books_say: str, kept: int
) -> None:
    """Attacks: a scan of a shipment that was changed or cancelled. Without the case nobody hears that it is gone."""
    house = House(engine).stocked()
    house.labeled()
    house.change(shipments, {"work_status": books_say})
    house.wait(timedelta(hours=5))

    for event in ("evt_1", "evt_2"):
        report(house, event, a_scan(status, 4))

    case = house.row(cases)
    assert (case["kind"], case["subject"], case["owner"]) == ("left_unrecorded", "SO-1-1", "support")
    assert f"our books say that it is {books_say}" in case["note"]
    assert house.row(shipments)["work_status"] == books_say
    assert house.row(stock_levels, sku=MUG)["on_hand"] == kept
    assert heard(house) == house.rows(outbox, fact="delivered") == []
    assert len(house.rows(tracking_events)) == 1


@pytest.mark.parametrize("status", [C.PRE_TRANSIT, C.CANCELLED])
def test_paper_of_what_was_cancelled_is_no_case(engine: Engine, status: CarrierStatus) -> None:
    house = House(engine).stocked()
    house.labeled()
    house.change(shipments, {"work_status": "cancelled"})

    report(house, "evt_1", a_scan(status, 1))

    assert house.rows(cases) == []


def test_a_hand_over_after_its_evidence_changes_nothing(engine: Engine) -> None:
    house = House(engine).stocked()
    house.labeled()
    house.wait(timedelta(hours=5))
    report(house, "evt_1", a_scan(C.PICKED_UP, 4))

    left = house.floor.hand_over("SO-1-1", by="dock")

    assert left.parcel_id == "SO-1-P1"
    assert len(house.rows(signals, name="handed_over")) == 1
    assert house.row(stock_levels, sku=MUG)["on_hand"] == 8


def test_a_label_created_scan_is_no_evidence(engine: Engine) -> None:
    house = House(engine).stocked()
    house.labeled()
    house.wait(timedelta(hours=5))

    report(house, "evt_1", a_scan(C.PRE_TRANSIT, 1), a_scan(C.CANCELLED, 2))

    assert house.row(shipments)["work_status"] == "labeled"


def test_an_old_report_does_not_bring_an_old_delivery_date_back(engine: Engine) -> None:
    house = on_its_way(engine)
    report(house, "evt_2", *JOURNEY[:3], edd=date(2026, 12, 4))

    report(house, "evt_1", *JOURNEY[:2], edd=date(2026, 11, 25))

    parcel = house.row(parcels)
    assert (parcel["edd_first_date"], parcel["edd_date"]) == (date(2026, 12, 4), date(2026, 12, 4))


def test_a_scan_from_the_future_waits_for_its_time(engine: Engine) -> None:
    house = on_its_way(engine, hours=9)
    report(house, "evt_1", *JOURNEY[:2], a_scan(C.DELIVERED, 20))
    early = house.row(parcels)

    house.wait(timedelta(hours=11))
    house.shipping.scanned("SO-1-P1", (), None, source="asked")

    assert early["carrier_status"] == "in_transit"
    assert early["next_check_at"] == MORNING + timedelta(hours=20)
    assert house.row(parcels)["carrier_status"] == "delivered"


def test_a_newer_scan_moves_the_next_check_and_a_repeated_one_does_not(engine: Engine) -> None:
    house = on_its_way(engine, hours=9)
    report(house, "evt_1", *JOURNEY[:2])
    first = house.row(parcels)["next_check_at"]
    house.change(parcels, {"next_check_at": MORNING + timedelta(days=9)})

    report(house, "evt_2", *JOURNEY[:2])

    assert first == MORNING + timedelta(hours=8 + 48)
    assert house.row(parcels)["next_check_at"] == MORNING + timedelta(days=9)


def test_a_parcel_found_after_it_was_given_up_ends_as_delivered(engine: Engine) -> None:
    house = on_its_way(engine, hours=400)
    RecordStore(engine, house.now).declare_lost(DeclareLost(order_id="SO-1", parcel_id="SO-1-P1"))
    given_up = house.row(shipments)["outcome"]
    house.wait(timedelta(hours=24))

    report(house, "evt_1", a_scan(C.DELIVERED, 410))

    assert given_up == "lost"
    assert house.row(shipments)["outcome"] == "delivered"
    assert [status for status, _ in heard(house)] == ["lost", "delivered"]
    assert "delivered" in {row["fact"] for row in house.rows(outbox)}


def test_a_parcel_found_after_its_order_ended_rewrites_no_end(engine: Engine) -> None:
    house = on_its_way(engine, hours=400)
    records = RecordStore(engine, house.now)
    records.declare_lost(DeclareLost(order_id="SO-1", parcel_id="SO-1-P1"))
    records.close(CloseOrder(order_id="SO-1", outcome=Outcome.LOST))
    house.wait(timedelta(hours=24))

    report(house, "evt_1", a_scan(C.DELIVERED, 410))

    assert house.row(shipments)["outcome"] == "lost"
    assert house.row(parcels)["carrier_status"] == "delivered"
    assert house.rows(outbox, fact="delivered") == []


def test_a_parcel_that_came_back_ends_as_returned(engine: Engine) -> None:
    house = on_its_way(engine)

    report(house, "evt_1", *JOURNEY[:2], a_scan(C.RETURN_TO_SENDER, 20), a_scan(C.RETURNED, 40))

    assert house.row(shipments)["outcome"] == "returned"
    assert house.row(parcels)["next_check_at"] is None


@pytest.mark.parametrize("carrier", ["UPS", "ups", "UPSDAP"])
def test_a_carrier_spelled_otherwise_is_still_found_by_its_number(engine: Engine, carrier: str) -> None:
    house = on_its_way(engine)

    house.shipping.record_report("easypost", "evt_1", carrier, NUMBER, JOURNEY[:2], None, {})

    assert house.row(parcels)["carrier_status"] == "in_transit"


def test_a_cancelled_label_does_not_end_a_parcel_that_has_left(engine: Engine) -> None:
    house = on_its_way(engine)

    report(house, "evt_1", *JOURNEY[:2], a_scan(C.CANCELLED, 9))

    parcel = house.row(parcels)
    assert parcel["carrier_status"] == "cancelled"
    assert parcel["next_check_at"] == MORNING + timedelta(hours=9 + 48)
    assert house.row(shipments)["work_status"] == "handed_over"
    assert heard(house) == [("cancelled", [])]
    (event,) = house.rows(order_events, kind="cancelled")
    assert event["text"] == "The carrier says that the label was cancelled."


@pytest.mark.parametrize("later", [C.IN_TRANSIT, C.OUT_FOR_DELIVERY, C.DELIVERED, C.RETURN_TO_SENDER])
def test_a_parcel_seen_after_its_label_was_cancelled_goes_on(engine: Engine, later: CarrierStatus) -> None:
    house = on_its_way(engine)
    report(house, "evt_1", a_scan(C.CANCELLED, 1))

    report(house, "evt_2", a_scan(later, 9))

    assert house.row(parcels)["carrier_status"] == later.value
    assert heard(house) == [("cancelled", []), (later.value, [])]


def test_a_delivery_of_the_same_minute_outweighs_a_cancelled_label(engine: Engine) -> None:
    house = on_its_way(engine)

    report(house, "evt_1", a_scan(C.DELIVERED, 9), a_scan(C.CANCELLED, 9, code="zz"))

    assert house.row(parcels)["carrier_status"] == "delivered"


def test_paper_does_not_bring_a_cancelled_label_back(engine: Engine) -> None:
    house = on_its_way(engine)

    report(house, "evt_1", a_scan(C.CANCELLED, 1), a_scan(C.PRE_TRANSIT, 2))

    assert house.row(parcels)["carrier_status"] == "cancelled"


def test_a_parcel_with_a_cancelled_label_that_stays_silent_is_noticed_and_given_up(engine: Engine) -> None:
    house = on_its_way(engine)
    report(house, "evt_1", a_scan(C.CANCELLED, 1))
    house.wait(timedelta(days=20))

    silent = house.reconciliation.sweep().silent_parcels
    house.reconciliation.silence("SO-1-P1")
    came_to = house.records.declare_lost(DeclareLost(order_id="SO-1", parcel_id="SO-1-P1"))

    assert silent == ("SO-1-P1",)
    assert house.row(signals, name="overdue")["body"]["kind"] == "lost"
    assert came_to is C.LOST


def test_a_label_cancelled_before_the_parcel_left_is_no_news_to_the_customer(engine: Engine) -> None:
    house = House(engine).stocked()
    house.labeled()
    house.wait(timedelta(hours=5))

    report(house, "evt_1", a_scan(C.CANCELLED, 2))

    assert house.rows(order_events, kind="cancelled") == []
    assert house.row(parcels)["next_check_at"] is None
