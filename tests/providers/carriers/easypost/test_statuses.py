"""EasyPost's tracking words in ours: all ten statuses, all twenty-eight details."""

from datetime import UTC, date, datetime
from typing import Any

import pytest

from fulfillment.domain.tracking import CarrierStatus as C
from fulfillment.domain.tracking import Flag, Scan
from fulfillment.providers.carriers.easypost.statuses import (
    CARRIER_PROBLEM,
    DETAILS,
    STATUSES,
    arrival_of,
    scans_of,
)


def detail(status: str, word: str, **more: Any) -> dict[str, Any]:
    return {"datetime": "2026-11-23T12:00:00Z", "status": status, "status_detail": word} | more


def scan(status: str, word: str, **more: Any) -> Scan:
    (only,) = scans_of({"tracking_details": [detail(status, word, **more)]})
    return only


@pytest.mark.parametrize(
    ("status", "word", "ours", "flag", "reason"),
    [
        ("pre_transit", "label_created", C.PRE_TRANSIT, None, ""),
        ("out_for_delivery", "out_for_delivery", C.OUT_FOR_DELIVERY, None, ""),
        ("cancelled", "cancelled", C.CANCELLED, None, ""),
        ("in_transit", "in_transit", C.IN_TRANSIT, None, ""),
        ("in_transit", "arrived_at_facility", C.IN_TRANSIT, None, ""),
        ("in_transit", "departed_facility", C.IN_TRANSIT, None, ""),
        ("in_transit", "departed_origin_facility", C.IN_TRANSIT, None, ""),
        ("delivered", "arrived_at_destination", C.DELIVERED, None, ""),
        ("in_transit", "received_at_destination_facility", C.IN_TRANSIT, None, ""),
        ("in_transit", "transferred_to_destination_carrier", C.IN_TRANSIT, None, ""),
        ("pre_transit", "status_update", C.PRE_TRANSIT, None, ""),
        ("unknown", "unknown", None, None, ""),
        ("in_transit", "received_at_origin_facility", C.PICKED_UP, None, ""),
        ("available_for_pickup", "arrived_at_pickup_location", C.AVAILABLE_FOR_PICKUP, None, ""),
        ("in_transit", "delivery_exception", C.ATTEMPTED, None, "consignee_not_available"),
        ("in_transit", "return", C.RETURN_TO_SENDER, None, ""),
        ("return_to_sender", "refused", C.RETURN_TO_SENDER, None, "consignee_refused"),
        ("in_transit", "address_correction", C.IN_TRANSIT, None, "consignee_incorrect_address"),
        ("in_transit", "damaged", C.IN_TRANSIT, Flag.DAMAGED, "carrier_damaged_parcel"),
        ("failure", "lost", C.LOST, None, "carrier_parcel_lost"),
        ("in_transit", "missorted", C.IN_TRANSIT, Flag.DELAYED, "carrier_sorting_error"),
        ("in_transit", "delayed", C.IN_TRANSIT, Flag.DELAYED, ""),
        ("in_transit", "transit_exception", C.IN_TRANSIT, Flag.DELAYED, ""),
        ("in_transit", "weather_delay", C.IN_TRANSIT, Flag.DELAYED, "weather_delay"),
        ("in_transit", "held", C.IN_TRANSIT, Flag.ON_HOLD, ""),
        ("in_transit", "awaiting_information", C.IN_TRANSIT, Flag.ON_HOLD, ""),
        ("failure", "failure", None, None, CARRIER_PROBLEM),
        ("unknown", "expired", None, None, CARRIER_PROBLEM),
    ],
)
def test_every_detail_has_its_meaning(
    status: str, word: str, ours: C | None, flag: Flag | None, reason: str
) -> None:
    read = scan(status, word)

    assert (read.status, read.flag, read.reason) == (ours, flag, reason)


def test_the_tables_hold_all_that_the_provider_lists() -> None:
    assert (len(STATUSES), len(DETAILS)) == (10, 28)


@pytest.mark.parametrize(
    ("status", "ours"),
    [
        ("pre_transit", C.PRE_TRANSIT),
        ("in_transit", C.IN_TRANSIT),
        ("out_for_delivery", C.OUT_FOR_DELIVERY),
        ("delivered", C.DELIVERED),
        ("available_for_pickup", C.AVAILABLE_FOR_PICKUP),
        ("return_to_sender", C.RETURN_TO_SENDER),
        ("cancelled", C.CANCELLED),
        ("unknown", None),
        ("error", None),
        ("failure", None),
    ],
)
def test_a_status_without_a_detail_stands_for_itself(status: str, ours: C | None) -> None:
    assert scan(status, "").status is ours


def test_a_failure_without_a_detail_is_a_problem_of_the_carrier_and_moves_nothing() -> None:
    read = scan("failure", "")

    assert (read.status, read.reason) == (None, CARRIER_PROBLEM)


def test_a_word_in_no_table_is_kept_and_moves_nothing() -> None:
    read = scan("teleported", "beamed_up", message="Gone", carrier_code="X9")

    assert read.status is None
    assert (read.code, read.text) == ("teleported.beamed_up.X9", "Gone")


def test_a_delivery_is_not_undone_by_a_detail() -> None:
    assert scan("delivered", "delivery_exception").status is C.DELIVERED


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Delivery attempted, business CLOSED", "consignee_business_closed"),
        ("Refused by recipient", "consignee_refused"),
        ("No access to delivery location", "consignee_access_restricted"),
        ("Incorrect address", "consignee_incorrect_address"),
        ("Nobody was home", "consignee_not_home"),
        ("Notice left", "consignee_not_available"),
    ],
)
def test_the_carriers_sentence_says_why_an_attempt_failed(text: str, reason: str) -> None:
    assert scan("in_transit", "delivery_exception", message=text).reason == reason


def test_a_parcel_held_at_a_border_waits_for_customs() -> None:
    home = detail("in_transit", "departed_facility", tracking_location={"country": "US"})
    held = detail("in_transit", "held", tracking_location={"country": "DE"})

    scans = scans_of({"tracking_details": [home, held]})

    assert scans[1].flag is Flag.CUSTOMS


def test_places_and_times_are_read_where_they_are_given() -> None:
    where = {"city": "Reno", "state": "NV", "country": "US"}
    naive = detail("in_transit", "in_transit", tracking_location=where) | {"datetime": "2026-11-23T12:00:00"}
    bare = detail("in_transit", "in_transit", tracking_location=None)

    first, second = scans_of({"tracking_details": [naive, bare]})

    assert (first.place, first.occurred_at) == ("Reno, NV", datetime(2026, 11, 23, 12, tzinfo=UTC))
    assert second.place == ""


def test_a_scan_without_a_time_is_left_out() -> None:
    timeless = detail("in_transit", "in_transit") | {"datetime": None}

    assert scans_of({"tracking_details": [timeless]}) == ()


def test_two_scans_of_the_same_minute_with_different_codes_are_two() -> None:
    first, second = (scan("in_transit", "in_transit", carrier_code=code) for code in ("AR", "DP"))

    assert first.digest("FedEx", "1") != second.digest("FedEx", "1")


def test_the_day_of_arrival_is_a_day() -> None:
    assert arrival_of({"est_delivery_date": "2026-11-27T00:00:00Z"}) == date(2026, 11, 27)
    assert arrival_of({"est_delivery_date": None}) is None
