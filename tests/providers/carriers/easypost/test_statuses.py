"""EasyPost's tracking words in ours: all ten statuses, all twenty-eight details."""

from datetime import UTC, date, datetime
from typing import Any

import pytest

from fulfillment.domain.reasons import Reason
from fulfillment.domain.tracking import CarrierStatus as C
from fulfillment.domain.tracking import Flag, Scan
from fulfillment.providers.carriers.easypost.statuses import (
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
        ("pre_transit", "label_created", C.PRE_TRANSIT, None, None),
        ("out_for_delivery", "out_for_delivery", C.OUT_FOR_DELIVERY, None, None),
        ("cancelled", "cancelled", C.CANCELLED, None, None),
        ("in_transit", "in_transit", C.IN_TRANSIT, None, None),
        ("in_transit", "arrived_at_facility", C.IN_TRANSIT, None, None),
        ("in_transit", "departed_facility", C.IN_TRANSIT, None, None),
        ("in_transit", "departed_origin_facility", C.IN_TRANSIT, None, None),
        ("delivered", "arrived_at_destination", C.DELIVERED, None, None),
        ("in_transit", "received_at_destination_facility", C.IN_TRANSIT, None, None),
        ("in_transit", "transferred_to_destination_carrier", C.IN_TRANSIT, None, None),
        ("pre_transit", "status_update", C.PRE_TRANSIT, None, None),
        ("unknown", "unknown", None, None, None),
        ("in_transit", "received_at_origin_facility", C.PICKED_UP, None, None),
        ("available_for_pickup", "arrived_at_pickup_location", C.AVAILABLE_FOR_PICKUP, None, None),
        ("in_transit", "delivery_exception", C.ATTEMPTED, None, Reason.CONSIGNEE_NOT_AVAILABLE),
        ("in_transit", "return", C.RETURN_TO_SENDER, None, None),
        ("return_to_sender", "refused", C.RETURN_TO_SENDER, None, Reason.CONSIGNEE_REFUSED),
        ("in_transit", "address_correction", C.IN_TRANSIT, None, Reason.CONSIGNEE_INCORRECT_ADDRESS),
        ("in_transit", "damaged", C.IN_TRANSIT, Flag.DAMAGED, Reason.CARRIER_DAMAGED_PARCEL),
        ("failure", "lost", C.LOST, None, Reason.CARRIER_PARCEL_LOST),
        ("in_transit", "missorted", C.IN_TRANSIT, Flag.DELAYED, Reason.CARRIER_SORTING_ERROR),
        ("in_transit", "delayed", C.IN_TRANSIT, Flag.DELAYED, None),
        ("in_transit", "transit_exception", C.IN_TRANSIT, Flag.DELAYED, None),
        ("in_transit", "weather_delay", C.IN_TRANSIT, Flag.DELAYED, Reason.WEATHER_DELAY),
        ("in_transit", "held", C.IN_TRANSIT, Flag.ON_HOLD, None),
        ("in_transit", "awaiting_information", C.IN_TRANSIT, Flag.ON_HOLD, None),
        ("failure", "failure", None, None, Reason.UNKNOWN),
        ("unknown", "expired", None, None, Reason.UNKNOWN),
    ],
)
def test_every_detail_has_its_meaning(
    status: str, word: str, ours: C | None, flag: Flag | None, reason: Reason | None
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

    assert (read.status, read.reason) == (None, Reason.UNKNOWN)


def test_a_word_in_no_table_is_kept_and_moves_nothing() -> None:
    read = scan("teleported", "beamed_up", message="Gone", carrier_code="X9")

    assert (read.status, read.is_unknown) == (None, True)
    assert (read.code, read.text) == ("teleported.beamed_up.X9", "Gone")


def test_a_detail_in_no_table_is_unknown_beside_a_status_that_counts() -> None:
    read = scan("in_transit", "beamed_up")

    assert (read.status, read.is_unknown) == (C.IN_TRANSIT, True)


@pytest.mark.parametrize("status", STATUSES)
def test_p36_no_status_that_the_provider_lists_is_unknown(status: str) -> None:
    assert not scan(status, "").is_unknown


def test_a_delivery_is_not_undone_by_a_detail() -> None:
    assert scan("delivered", "delivery_exception").status is C.DELIVERED


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Delivery attempted, business CLOSED", Reason.CONSIGNEE_BUSINESS_CLOSED),
        ("Refused by recipient", Reason.CONSIGNEE_REFUSED),
        ("No access to delivery location", Reason.CONSIGNEE_ACCESS_RESTRICTED),
        ("Incorrect address", Reason.CONSIGNEE_INCORRECT_ADDRESS),
        ("Nobody was home", Reason.CONSIGNEE_NOT_HOME),
        ("Notice left", Reason.CONSIGNEE_NOT_AVAILABLE),
    ],
)
def test_the_carriers_sentence_says_why_an_attempt_failed(text: str, reason: Reason) -> None:
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
