"""Tracking put right by people: what it moves, what it writes down, what it never does by itself."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError

from fulfillment.domain.corrections import CorrectionRefused, CorrectTracking, UnknownParcel
from fulfillment.domain.errors import UnknownOrder
from fulfillment.domain.record import DeclareLost
from fulfillment.domain.tracking import CarrierStatus, Flag, Standing
from fulfillment.storage.tables import (
    audit_entries,
    cases,
    outbox,
    parcels,
    shipments,
    signals,
    tracking_events,
)
from tests.storage.house import MORNING, NUMBER, House, a_scan

C = CarrierStatus


def delivered(engine: Engine) -> House:
    house = House(engine).stocked()
    house.shipped()
    house.wait(timedelta(hours=48))
    report(house, "evt_1", a_scan(C.IN_TRANSIT, 8), a_scan(C.DELIVERED, 33))
    return house


def under_way(engine: Engine) -> House:
    house = House(engine).stocked()
    house.shipped()
    house.wait(timedelta(hours=48))
    report(house, "evt_1", a_scan(C.IN_TRANSIT, 8, flag=Flag.DAMAGED))
    return house


def report(house: House, event_id: str, *scans: Any) -> None:
    house.shipping.record_report("easypost", event_id, "UPS", NUMBER, scans, None, {"id": event_id})


def correct(house: House, status: C, **changes: Any) -> str:
    asked = {
        "order_id": "SO-1",
        "parcel_id": "SO-1-P1",
        "status": status,
        "reason": "the neighbour never had it",
        "by": "ann",
        "request_id": "r-1",
    }
    return house.corrections.correct(CorrectTracking(**asked | changes)).text


def heard(house: House) -> list[str]:
    rows = sorted(house.rows(signals, name="milestone"), key=lambda row: row["signal_id"])
    return [row["body"]["status"] for row in rows]


def test_a_delivery_is_taken_back_and_says_by_whom_and_why(engine: Engine) -> None:
    house = delivered(engine)

    text = correct(house, C.IN_TRANSIT)

    parcel, note = house.row(parcels), house.row(audit_entries, command="fix_tracking")
    scan = house.row(tracking_events, source="staff")
    assert text == "SO-1-P1 is in transit now."
    assert (parcel["carrier_status"], parcel["delivered_at"]) == ("in_transit", None)
    assert (note["actor"], note["outcome"], note["reason"]) == (
        "ann",
        "SO-1-P1: delivered to in_transit",
        "the neighbour never had it",
    )
    assert (scan["by"], scan["why"], scan["correction"]) == ("ann", "the neighbour never had it", True)
    assert heard(house) == ["delivered", "in_transit"]


def test_the_end_of_a_closed_shipment_taken_back_is_a_case_and_no_new_end(engine: Engine) -> None:
    house = delivered(engine)

    correct(house, C.LOST)

    shipment, case = house.row(shipments), house.row(cases, kind="carrier_problem")
    assert (shipment["work_status"], shipment["outcome"]) == ("closed", "delivered")
    assert case["note"].startswith("SO-1-P1 was delivered and is lost by correction")
    assert house.rows(outbox, fact="lost") == []


def test_a_parcel_given_up_and_found_by_a_person_ends_as_delivered(engine: Engine) -> None:
    house = under_way(engine)
    house.records.declare_lost(DeclareLost(order_id="SO-1", parcel_id="SO-1-P1"))

    correct(house, C.DELIVERED)

    assert house.row(shipments)["outcome"] == "delivered"
    assert "is delivered by correction" in house.row(cases, kind="carrier_problem")["note"]


def test_a_parcel_under_way_is_given_up_by_a_person_and_its_shipment_ends(engine: Engine) -> None:
    house = under_way(engine)

    correct(house, C.LOST)

    shipment = house.row(shipments)
    assert (shipment["work_status"], shipment["outcome"]) == ("closed", "lost")
    assert heard(house)[-1] == "lost"
    assert house.rows(cases) == []


def test_a_correction_takes_a_flag_off(engine: Engine) -> None:
    house = under_way(engine)

    correct(house, C.IN_TRANSIT, reason="the damage was another parcel's")

    assert house.row(parcels)["flags"] == []


def test_the_same_request_is_one_correction(engine: Engine) -> None:
    house = delivered(engine)

    texts = {correct(house, C.IN_TRANSIT) for _ in range(3)}

    assert len(texts) == 1
    assert len(house.rows(tracking_events, source="staff")) == 1
    assert len(house.rows(audit_entries, command="fix_tracking")) == 1
    assert len(house.rows(cases)) == 1


def test_one_request_cannot_say_two_things(engine: Engine) -> None:
    house = delivered(engine)
    correct(house, C.IN_TRANSIT)

    with pytest.raises(CorrectionRefused, match="said in transit before"):
        correct(house, C.LOST)


def test_what_the_carrier_says_after_a_correction_counts_again(engine: Engine) -> None:
    house = delivered(engine)
    correct(house, C.IN_TRANSIT)
    house.wait(timedelta(hours=10))

    report(house, "evt_2", a_scan(C.IN_TRANSIT, 8), a_scan(C.DELIVERED, 33), a_scan(C.DELIVERED, 55))

    parcel = house.row(parcels)
    assert (parcel["carrier_status"], parcel["delivered_at"]) == ("delivered", MORNING + timedelta(hours=55))


def test_a_carriers_clock_that_runs_ahead_does_not_outlive_a_correction(engine: Engine) -> None:
    house = House(engine).stocked()
    house.shipped()
    house.wait(timedelta(hours=33) - timedelta(minutes=5))
    report(house, "evt_1", a_scan(C.DELIVERED, 33))

    correct(house, C.IN_TRANSIT)

    assert house.row(parcels)["carrier_status"] == "in_transit"


def _hours(hours: float) -> datetime:
    return MORNING + timedelta(hours=hours)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"status": C.DELIVERED}, "is delivered already"),
        ({"status": C.LOST, "happened_at": _hours(49)}, "has not happened yet"),
        ({"status": C.LOST, "happened_at": _hours(20)}, "was scanned after that, 2026-11-24 17:00 UTC"),
    ],
)
def test_what_would_change_nothing_is_refused(engine: Engine, changes: dict[str, Any], why: str) -> None:
    house = delivered(engine)

    with pytest.raises(CorrectionRefused, match=why):
        correct(house, **changes)

    assert house.rows(tracking_events, source="staff") == []


def test_a_parcel_that_has_not_left_has_no_tracking_to_put_right(engine: Engine) -> None:
    house = House(engine).stocked()
    house.labeled()

    with pytest.raises(CorrectionRefused, match="hand it over first"):
        correct(house, C.IN_TRANSIT)


def test_a_parcel_of_another_order_is_unknown(engine: Engine) -> None:
    house = delivered(engine)

    with pytest.raises(UnknownParcel, match="SO-1 has no parcel SO-2-P1"):
        correct(house, C.LOST, parcel_id="SO-2-P1")
    with pytest.raises(UnknownOrder):
        correct(house, C.LOST, order_id="SO-9")


def test_the_books_take_no_correction_that_nobody_answers_for(engine: Engine) -> None:
    house = delivered(engine)
    correct(house, C.IN_TRANSIT)

    with pytest.raises(IntegrityError, match="corrected_by"):
        house.change(tracking_events, {"why": ""}, source="staff")


def test_every_scan_in_the_books_says_what_it_counts_for(engine: Engine) -> None:
    house = delivered(engine)
    report(house, "evt_2", a_scan(C.IN_TRANSIT, 40), a_scan(C.ATTEMPTED, 90))

    before = standing(house)
    correct(house, C.IN_TRANSIT, happened_at=_hours(35))

    assert before == {8: Standing.FOLDED, 33: Standing.FOLDED, 40: Standing.AFTER_END, 90: Standing.SET_ASIDE}
    assert standing(house) == before | {35: Standing.FOLDED, 40: Standing.FOLDED}


def standing(house: House) -> dict[float, str]:
    rows = house.rows(tracking_events)
    return {(row["occurred_at"] - MORNING) / timedelta(hours=1): row["standing"] for row in rows}
