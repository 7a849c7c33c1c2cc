"""Karrio's trackers in our words: the carrier's own code decides where we know it, local times get their zone."""

from datetime import UTC, date, datetime
from typing import Any

import pytest

from fulfillment.domain.reasons import Reason
from fulfillment.domain.tracking import CarrierStatus as C
from fulfillment.domain.tracking import Flag
from fulfillment.providers.carriers.karrio.statuses import TABLES, WORDS, arrival_of, scans_of, translate


@pytest.mark.parametrize(
    ("word", "status", "flag"),
    [
        ("pending", C.PRE_TRANSIT, None),
        ("picked_up", C.PICKED_UP, None),
        ("in_transit", C.IN_TRANSIT, None),
        ("delivery_delayed", C.IN_TRANSIT, Flag.DELAYED),
        ("on_hold", None, Flag.ON_HOLD),
        ("out_for_delivery", C.OUT_FOR_DELIVERY, None),
        ("ready_for_pickup", C.AVAILABLE_FOR_PICKUP, None),
        ("delivery_failed", C.ATTEMPTED, None),
        ("return_to_sender", C.RETURN_TO_SENDER, None),
        ("delivered", C.DELIVERED, None),
        ("cancelled", C.CANCELLED, None),
        ("unknown", None, None),
    ],
)
def test_every_word_has_its_meaning(word: str, status: C | None, flag: Flag | None) -> None:
    meaning = translate("colissimo", word)

    assert (meaning.status, meaning.flag, meaning.is_unknown) == (status, flag, False)
    assert word in WORDS


@pytest.mark.parametrize("reason", Reason)
def test_every_one_of_its_reasons_is_ours(reason: Reason) -> None:
    assert translate("colissimo", "on_hold", reason=reason.value).reason is reason


@pytest.mark.parametrize(
    ("reason", "status", "flag"),
    [
        ("carrier_parcel_lost", C.LOST, Flag.ON_HOLD),
        ("carrier_damaged_parcel", None, Flag.DAMAGED),
        ("customs_inspection", None, Flag.CUSTOMS),
        ("weather_delay", None, Flag.ON_HOLD),
    ],
)
def test_a_reason_says_what_holds_the_parcel(reason: str, status: C | None, flag: Flag) -> None:
    meaning = translate("colissimo", "on_hold", reason=reason)

    assert (meaning.status, meaning.flag) == (status, flag)


@pytest.mark.parametrize(
    ("carrier", "word", "code", "status"),
    [
        (
            "ups",
            "delivered",
            "OT",
            C.OUT_FOR_DELIVERY,
        ),  # Karrio takes type D, loading included, for a delivery
        ("usps", "in_transit", "02", C.ATTEMPTED),
        ("fedex", "in_transit", "PU", C.PICKED_UP),
        ("dhl_express", "on_hold", "CM", C.ATTEMPTED),
        ("colissimo", "delivered", "OT", C.DELIVERED),
    ],
)
def test_the_carriers_own_code_stands_above_karrios_word(
    carrier: str, word: str, code: str, status: C
) -> None:
    meaning = translate(carrier, word, code)

    assert (meaning.status, meaning.is_unknown) == (status, False)


@pytest.mark.parametrize("carrier", TABLES)
def test_p36_a_code_that_a_carriers_table_does_not_know_is_unknown_beside_the_word(carrier: str) -> None:
    meaning = translate(carrier, "in_transit", "ZZ", "consignee_refused")

    assert (meaning.status, meaning.reason, meaning.is_unknown) == (C.IN_TRANSIT, None, True)


@pytest.mark.parametrize("code", ["", "LD"])
def test_upss_delivery_news_through_karrio_is_a_delivery_only_where_the_code_says_so(code: str) -> None:
    meaning = translate("ups", "delivered", code)

    assert (meaning.status, meaning.is_unknown) == (None, True)
    assert translate("ups", "delivered", "FS").status is C.DELIVERED


def test_p36_a_word_in_no_table_is_unknown_and_moves_nothing() -> None:
    meaning = translate("colissimo", "teleported")

    assert (meaning.status, meaning.is_unknown) == (None, True)


@pytest.mark.parametrize(
    ("event", "carrier", "utc", "assumed"),
    [
        ({"time": "10:39 AM", "location": "RENO, NV, 89501, US"}, "ups", "2026-11-24T18:39", False),
        ({"time": "20:34", "location": "BONN, NW, DE"}, "dhl_express", "2026-11-24T19:34", False),
        ({"time": "20:34", "location": "BONN"}, "dhl_express", "2026-11-24T19:34", False),
        ({"time": "11:05 PM", "location": "RENO, NV, US"}, "ups", "2026-11-25T07:05", False),
        ({"time": "10:39", "location": "Lyon"}, "colissimo", "2026-11-24T10:39", True),
        ({"time": None, "location": "RENO, NV, US"}, "ups", "2026-11-24T08:00", False),
    ],
)
def test_local_times_get_the_zone_of_their_place(
    event: dict[str, Any], carrier: str, utc: str, assumed: bool
) -> None:
    wrong = {"timestamp": "2026-11-24T10:39:00.000Z"}  # local all the same, whatever its Z says

    (scan,) = scans_of({"carrier_name": carrier, "events": [{"date": "2026-11-24"} | wrong | event]})

    assert scan.occurred_at == datetime.fromisoformat(utc).replace(tzinfo=UTC)
    assert scan.zone_assumed is assumed


def test_an_event_without_a_day_is_left_out() -> None:
    assert scans_of({"carrier_name": "ups", "events": [{"code": "OT"}]}) == ()


@pytest.mark.parametrize(
    ("said", "day"),
    [(None, None), ("2026-11-27", date(2026, 11, 27)), ("2026-11-27T10:00:00Z", date(2026, 11, 27))],
)
def test_the_day_of_arrival_is_a_day(said: str | None, day: date | None) -> None:
    assert arrival_of({"estimated_delivery": said}) == day
