"""The promise ledger: the first day, every other one with its cause and by which message it was told; silence by lane."""

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, text

from fulfillment.domain.calendars import Calendar
from fulfillment.domain.reasons import Reason
from fulfillment.domain.record import RevisePromise
from fulfillment.domain.tracking import CarrierStatus, Flag
from fulfillment.storage.tables import (
    orders,
    outbox,
    parcels,
    promises,
    shipments,
    signals,
    transits,
)
from tests.storage.house import DEPOT, HOME, MORNING, NUMBER, House, a_scan, only

C = CarrierStatus
HOUR = timedelta(hours=1)
BOISE = replace(HOME, city="Boise", region="ID", postal_code="83702")
MONDAY = date(2026, 11, 23)  # of MORNING
WEDNESDAY, THURSDAY, FRIDAY = (MONDAY + timedelta(days=n) for n in (2, 3, 4))


def has_delivered(
    house: House, *hours: float, days: int = 2, silence: timedelta = timedelta(hours=12), **changes: Any
) -> None:
    """Give the lane to Boise deliveries of the last weeks that took so many hours each."""
    if not house.rows(orders, order_id="H"):
        house.labeled("H", ship_to=BOISE, number="1ZH")
    known = len(house.rows(parcels, order_id="H"))
    for n, took in enumerate(hours, start=known + 1):
        with house.engine.begin() as conn:
            for table, key in ((shipments, "shipment_id"), (parcels, "parcel_id")):
                conn.execute(text(_COPY.format(table=table.name)), {"key": key, "id": f"H-{n}", "n": n})
            conn.execute(insert(transits), _transit(f"H-{n}", took, days, silence) | changes)


_COPY = """
    INSERT INTO {table} SELECT (jsonb_populate_record(
        one, jsonb_build_object(CAST(:key AS text), :id, 'shipment_id', :id, 'n', :n)
    )).* FROM {table} AS one WHERE order_id = 'H' ORDER BY n LIMIT 1
"""


def _transit(parcel_id: str, took: float, days: int, silence: timedelta) -> dict[str, Any]:
    left = MORNING - timedelta(weeks=2)
    return {
        "parcel_id": parcel_id,
        "location_id": "wh-reno",
        "country": "US",
        "area": "837",
        "region": "ID",
        "zone": "America/Denver",
        "service": "standard",
        "carrier": "UPS",
        "carrier_service": "Ground",
        "left_date": left.date(),
        "scan_silence": 48 * HOUR,
        "lost_after": 240 * HOUR,
        "left_at": left,
        "first_scan_at": left + 4 * HOUR,
        "near_at": left + (took - 10) * HOUR,
        "out_at": left + (took - 4) * HOUR,
        "ended_at": left + took * HOUR,
        "outcome": "delivered",
        "days": days,
        "longest_silence": silence,
    }


def report(house: House, event_id: str, *scans: Any, edd: date | None = None) -> None:
    house.shipping.record_report("easypost", event_id, "UPS", NUMBER, scans, edd, {"id": event_id})


def days_of(house: House, order_id: str = "SO-1") -> list[tuple[date, str]]:
    rows = sorted(house.rows(promises, order_id=order_id), key=lambda row: row["n"])
    return [(row["promised_date"], row["source"]) for row in rows]


# --- the first ----------------------------------------------------------------------------------------


def test_the_first_promise_is_handling_and_the_shops_usual_days_where_nothing_is_known(house: House) -> None:
    house.stocked().released()

    first = house.row(promises)

    assert first["promised_date"] == date(2026, 11, 30)
    assert first["reason"] == "5 working days on the way: the shop's usual"
    message = (first["told_fact"], first["told_subject"], first["told_version"])
    assert message == ("confirmed", "SO-1", 1)
    assert house.row(outbox, fact="confirmed")["data"]["promise_date"] == "2026-11-30"


def test_the_first_promise_is_the_lanes_own_history_once_it_has_one(house: House) -> None:
    house.stocked()
    has_delivered(house, *[45.0] * 60, days=2)

    house.released("SO-1", ship_to=BOISE)

    first = house.row(promises, order_id="SO-1")
    assert first["promised_date"] == WEDNESDAY
    assert first["reason"] == "2 working days on the way: 85% of 60 parcels to that area"


def test_deliveries_of_other_services_or_of_long_ago_say_nothing(house: House) -> None:
    house.stocked()
    has_delivered(house, *[45.0] * 30, days=1, service="express")
    has_delivered(house, *[45.0] * 30, days=1, ended_at=MORNING - timedelta(days=91))

    house.released("SO-1", ship_to=BOISE)

    assert house.row(promises, order_id="SO-1")["reason"].endswith("the shop's usual")


@pytest.mark.parametrize(("zone", "first"), [("Asia/Tokyo", date(2026, 12, 1)), ("UTC", date(2026, 11, 30))])
def test_p49_the_cut_off_of_the_first_promise_is_the_locations(house: House, zone: str, first: date) -> None:
    """Guard: `promised` works by the location's calendar; by UTC's the shop in Tokyo would have all day."""
    house.stocked()
    calendar = Calendar(zone=zone, cut_off=time(14))
    house.stock.add_location("wh-reno", name="Reno", address=DEPOT, priority=1, calendar=calendar)

    house.released()

    assert house.row(promises)["promised_date"] == first


# --- what a journey leaves behind ---------------------------------------------------------------------


def test_a_parcel_that_leaves_and_arrives_is_a_line_of_its_lanes_history(house: House) -> None:
    house.stocked()
    house.labeled(ship_to=BOISE)
    house.floor.hand_over("SO-1-1", by="dock")
    house.wait(60 * HOUR)

    report(
        house,
        "evt_1",
        a_scan(C.PICKED_UP, 3, place="Reno, NV"),
        a_scan(C.IN_TRANSIT, 40, place="Nampa, ID"),
        a_scan(C.OUT_FOR_DELIVERY, 54, place="Boise, ID"),
        a_scan(C.DELIVERED, 58, place="Boise, ID"),
    )

    went = house.row(transits)
    hours = [(went[name] - MORNING) / HOUR for name in ("first_scan_at", "near_at", "out_at", "ended_at")]
    assert hours == [3, 40, 54, 58]
    assert (went["area"], went["zone"], went["outcome"]) == ("837", "America/Denver", "delivered")
    assert (went["days"], went["longest_silence"], went["look_at"]) == (2, 37 * HOUR, None)


@pytest.mark.parametrize(("hour", "days"), [(29, 1), (31, 2)])
def test_p49_days_on_the_way_end_on_the_recipients_day(house: House, hour: int, days: int) -> None:
    """Guard: `transits.end` asks the recipient's zone; in UTC both are delivered on Tuesday the 24th."""
    house.stocked()
    house.time = datetime(2026, 11, 23, 1, tzinfo=UTC)  # Sunday evening in Boise
    house.shipped(ship_to=BOISE)
    house.wait(40 * HOUR)

    at = datetime(2026, 11, 23, tzinfo=UTC) + hour * HOUR
    report(house, "evt_1", replace(a_scan(C.DELIVERED), occurred_at=at))

    assert house.row(transits)["days"] == days - 1


def test_a_lost_parcel_is_no_delivery_of_its_lane(house: House) -> None:
    house.stocked().shipped()
    house.wait(20 * HOUR)

    report(house, "evt_1", a_scan(C.PICKED_UP, 3), a_scan(C.LOST, 19))

    went = house.row(transits)
    assert (went["outcome"], went["days"]) == ("lost", None)


def test_an_end_that_is_taken_back_is_no_delivery_of_the_lane(house: House) -> None:
    house.stocked().shipped()
    house.wait(20 * HOUR)
    report(house, "evt_1", a_scan(C.PICKED_UP, 3), a_scan(C.DELIVERED, 10))
    ended = house.row(transits)["outcome"]

    house.shipping.scanned("SO-1-P1", (a_scan(C.IN_TRANSIT, 12, correction=True),), None, source="staff")
    taken_back = house.row(transits)
    report(house, "evt_2", a_scan(C.LOST, 19))

    assert ended == "delivered"
    assert (taken_back["outcome"], taken_back["days"], taken_back["look_at"]) == (None, None, house.time)
    assert house.row(transits)["outcome"] == "lost"


# --- another day --------------------------------------------------------------------------------------


def test_a_day_the_carrier_names_is_promised_with_its_cause_and_told(house: House) -> None:
    house.stocked().shipped()
    house.wait(30 * HOUR)

    report(
        house,
        "evt_1",
        a_scan(C.IN_TRANSIT, 29, flag=Flag.DELAYED, reason=Reason.WEATHER_DELAY),
        edd=date(2026, 12, 2),
    )

    assert days_of(house) == [(date(2026, 11, 30), "confirmed"), (date(2026, 12, 2), "carrier")]
    second = house.row(promises, n=2)
    assert (second["reason"], second["shipment_id"]) == ("weather_delay", "SO-1-1")
    told = house.row(outbox, fact=second["told_fact"], subject=second["told_subject"], version=2)
    assert told["data"] == {"promise_date": "2026-12-02", "was": "2026-11-30", "reason": "weather_delay"}
    assert house.row(orders)["promise_first_date"] == date(2026, 11, 30)


def test_every_promise_is_shown_with_what_became_of_its_message(house: House) -> None:
    house.stocked().shipped()
    house.wait(30 * HOUR)
    report(house, "evt_1", a_scan(C.IN_TRANSIT, 29), edd=date(2026, 12, 2))
    house.change(outbox, {"state": "sent", "sent_at": house.time}, fact="delayed")

    first, second = house.views.view("SO-1").promises

    assert (first.day, first.source, first.at) == (date(2026, 11, 30), "confirmed", MORNING)
    assert (second.day, second.reason) == (date(2026, 12, 2), "the carrier is running late")
    assert [(one.channel, one.state) for one in first.told] == [("email", "pending")]
    assert (first.told_at, second.told_at) == (None, house.time)


def test_an_earlier_day_is_no_news(house: House) -> None:
    house.stocked().shipped()

    report(house, "evt_1", a_scan(C.IN_TRANSIT, 1), edd=date(2026, 11, 25))

    assert len(days_of(house)) == 1
    assert house.rows(outbox, fact="delayed") == []


def test_a_second_day_is_told_only_after_the_customers_midnight(house: House) -> None:
    house.stocked().shipped()
    house.time = datetime(2026, 11, 25, 6, tzinfo=UTC)  # Tuesday, 22:00 in Reno
    report(house, "evt_1", a_scan(C.IN_TRANSIT, 40), edd=date(2026, 12, 1))
    house.time = datetime(2026, 11, 25, 7, 59, tzinfo=UTC)
    report(house, "evt_2", a_scan(C.IN_TRANSIT, 47), edd=date(2026, 12, 3))
    house.reconciliation.sweep()
    same_day = days_of(house)

    house.time = datetime(2026, 11, 25, 11, tzinfo=UTC)
    house.reconciliation.sweep()

    assert same_day == [(date(2026, 11, 30), "confirmed"), (date(2026, 12, 1), "carrier")]
    assert days_of(house) == [*same_day, (date(2026, 12, 3), "carrier")]
    assert len(house.rows(outbox, fact="delayed")) == 2


def test_a_workflow_that_asks_hears_the_day_that_stands(house: House) -> None:
    house.stocked().shipped()
    asked = RevisePromise(
        order_id="SO-1", shipment_id="SO-1-1", promised_date=date(2026, 12, 1), reason="it is late"
    )
    first = house.records.revise_promise(asked)
    again = house.records.revise_promise(replace(asked, promised_date=date(2026, 12, 5)))

    assert (first, again) == (date(2026, 12, 1), date(2026, 12, 1))
    assert house.rows(signals, name="overdue") == []


# --- a delay before its day ---------------------------------------------------------------------------


@pytest.fixture
def under_way(house: House) -> House:
    """A parcel promised for Wednesday on a lane whose deliveries are scanned near by after 35 hours at most."""
    house.stocked(mugs=200)
    has_delivered(house, *[44 + n / 10 for n in range(30)], *[45.0] * 30, *[80.0] * 3, days=2)
    house.shipped("SO-1", ship_to=BOISE)
    house.wait(4 * HOUR)
    report(house, "evt_1", a_scan(C.PICKED_UP, 4, place="Reno, NV"))
    return house


def test_a_delay_is_found_and_told_before_the_promised_day(under_way: House) -> None:
    promised = under_way.row(orders, order_id="SO-1")["promise_date"]
    under_way.wait(26 * HOUR)
    under_way.reconciliation.sweep()
    on_time = days_of(under_way)

    under_way.wait(10 * HOUR)  # Tuesday midnight, still unseen in Idaho
    under_way.reconciliation.sweep()

    assert (promised, on_time) == (WEDNESDAY, [(WEDNESDAY, "confirmed")])
    assert days_of(under_way) == [(WEDNESDAY, "confirmed"), (THURSDAY, "computed")]
    assert under_way.row(outbox, fact="delayed")["data"]["promise_date"] == THURSDAY.isoformat()
    fact = under_way.row(signals, order_id="SO-1", name="overdue")["body"]
    assert (fact["kind"], fact["day"], fact["subject"]) == ("delayed", THURSDAY.isoformat(), "SO-1-P1")


def test_a_delay_is_told_once_however_often_it_is_looked_at(under_way: House) -> None:
    under_way.wait(36 * HOUR)
    for _ in range(3):
        under_way.reconciliation.sweep()
        under_way.wait(HOUR)

    assert len(under_way.rows(outbox, fact="delayed")) == 1
    assert len(under_way.rows(signals, order_id="SO-1", name="overdue")) == 1


def test_a_parcel_seen_near_its_recipient_is_not_late(under_way: House) -> None:
    under_way.wait(36 * HOUR)
    report(under_way, "evt_2", a_scan(C.IN_TRANSIT, 35, place="Nampa, ID"))

    under_way.reconciliation.sweep()

    assert days_of(under_way) == [(WEDNESDAY, "confirmed")]


def shipped_on_a_known_lane(house: House) -> None:
    """Hand a parcel over that is promised for Wednesday, because all before it came in two days."""
    house.stocked()
    has_delivered(house, *[45.0] * 60, days=2)
    house.shipped("SO-1", ship_to=BOISE)


def test_a_timetable_that_is_later_than_the_lanes_own_history_is_no_delay(house: House) -> None:
    shipped_on_a_known_lane(house)
    house.wait(5 * HOUR)

    report(house, "evt_1", a_scan(C.PICKED_UP, 4, place="Reno, NV"), edd=FRIDAY)
    house.reconciliation.sweep()
    timetable = days_of(house)
    report(house, "evt_2", a_scan(C.IN_TRANSIT, 5, place="Reno, NV"), edd=FRIDAY + timedelta(days=3))

    assert timetable == [(WEDNESDAY, "confirmed")]
    assert days_of(house) == [*timetable, (FRIDAY + timedelta(days=3), "carrier")]


def test_the_timetables_day_is_told_once_the_carrier_reports_a_delay(house: House) -> None:
    """Guard: a delay counts. Without it a day that the label named too is never believed on a lane that is known."""
    shipped_on_a_known_lane(house)
    house.wait(7 * HOUR)
    report(house, "evt_1", a_scan(C.PICKED_UP, 4, place="Reno, NV"), edd=FRIDAY)
    before = days_of(house)

    report(house, "evt_2", a_scan(None, 6, flag=Flag.DELAYED, place="Reno, NV"), edd=FRIDAY)

    assert before == [(WEDNESDAY, "confirmed")]
    assert days_of(house) == [*before, (FRIDAY, "carrier")]


def test_a_delay_that_could_not_be_told_with_its_scan_is_told_by_the_sweep(house: House) -> None:
    """Guard: a delay counts there too. It waits so when its customer was told of another day on the same day."""
    shipped_on_a_known_lane(house)
    house.wait(5 * HOUR)
    report(house, "evt_1", a_scan(C.PICKED_UP, 4, place="Reno, NV"), edd=FRIDAY)
    house.change(parcels, {"flags": ["delayed"]}, parcel_id="SO-1-P1")

    house.reconciliation.sweep()

    assert days_of(house) == [(WEDNESDAY, "confirmed"), (FRIDAY, "carrier")]


def test_what_a_label_says_before_its_parcel_leaves_is_weighed_by_the_lane(house: House) -> None:
    """Guard: nothing is put off before it leaves. Without it a lane counts as unknown until then, and its timetable."""
    house.stocked()
    has_delivered(house, *[45.0] * 60, days=2)
    house.labeled("SO-1", ship_to=BOISE)

    report(house, "evt_1", a_scan(C.PRE_TRANSIT, 0), edd=FRIDAY)
    house.floor.hand_over("SO-1-1", by="dock")
    house.reconciliation.sweep()

    assert days_of(house) == [(WEDNESDAY, "confirmed")]


def test_on_a_lane_that_nobody_knows_the_labels_day_is_told_when_it_has_left(house: House) -> None:
    house.stocked()
    house.labeled("SO-1", ship_to=BOISE)
    report(house, "evt_1", a_scan(C.PRE_TRANSIT, 0), edd=FRIDAY + timedelta(days=7))
    here = days_of(house)

    house.floor.hand_over("SO-1-1", by="dock")
    house.reconciliation.sweep()

    assert days_of(house) == [*here, (FRIDAY + timedelta(days=7), "carrier")]
    assert len(here) == 1


def test_a_carrier_that_takes_its_word_back_before_the_parcel_leaves_is_believed(house: House) -> None:
    """Guard: the order reads the day from the books. Before the hand-over nothing can be overdue to it."""
    house.stocked()
    house.label(house.packed("SO-1"), edd=FRIDAY)
    report(house, "evt_1", a_scan(C.PRE_TRANSIT, 0), edd=FRIDAY + timedelta(days=7))

    assert days_of(house)[-1] == (FRIDAY + timedelta(days=7), "carrier")
    assert house.row(signals, name="replanned")["body"]["why"] == "delayed"
    assert house.rows(signals, name="overdue") == []


def test_a_later_day_with_a_scan_that_is_no_news_is_heard_by_itself(house: House) -> None:
    """Guard: what the order does not hear with its news is queued. Without it the order keeps the day before."""
    house.stocked()
    house.shipped("SO-1")
    promised = house.row(orders)["promise_date"]
    house.wait(12 * HOUR)
    for n, late in enumerate((1, 2), start=1):  # the second one is not told on the same day
        report(house, f"evt_{n}", a_scan(C.IN_TRANSIT, 5 + n), edd=promised + timedelta(days=late))
    assert house.row(orders)["promise_date"] == promised + timedelta(days=1)
    house.wait(timedelta(days=1))

    report(house, "evt_3", a_scan(C.IN_TRANSIT, 20), edd=promised + timedelta(days=2))

    heard = house.row(signals, name="overdue")["body"]
    assert (heard["kind"], heard["day"]) == ("delayed", (promised + timedelta(days=2)).isoformat())
    assert house.row(orders)["promise_date"] == promised + timedelta(days=2)


@pytest.mark.parametrize("by_the_sweep", [False, True])
def test_what_its_customer_does_not_wait_for_any_more_is_not_late(house: House, by_the_sweep: bool) -> None:
    """Guard: only what is expected is put off. Without it "we now expect it" comes beside "it is coming back"."""
    house.stocked()
    house.shipped("SO-1")
    house.wait(12 * HOUR)
    first = days_of(house)
    if by_the_sweep:
        house.change(shipments, {"settled": "refund"}, shipment_id="SO-1-1")
        house.change(parcels, {"edd_date": FRIDAY + timedelta(days=7)}, parcel_id="SO-1-P1")
        house.reconciliation.sweep()
    else:
        report(house, "evt_1", a_scan(C.RETURN_TO_SENDER, 5), edd=FRIDAY + timedelta(days=7))

    assert days_of(house) == first


def test_a_day_that_is_over_is_promised_to_nobody(house: House) -> None:
    house.stocked()
    house.shipped("SO-1")
    promised = house.row(orders)["promise_date"]
    house.wait(timedelta(days=20))

    report(house, "evt_1", a_scan(C.IN_TRANSIT, 400), edd=promised + timedelta(days=1))

    assert house.row(orders)["promise_date"] == promised


def test_a_promise_that_is_over_moves_even_by_a_timetable(house: House) -> None:
    shipped_on_a_known_lane(house)
    house.wait(4 * HOUR)
    report(house, "evt_1", a_scan(C.PICKED_UP, 4, place="Reno, NV"), edd=FRIDAY)
    house.wait(timedelta(days=3))
    asked = RevisePromise(order_id="SO-1", shipment_id="SO-1-1", promised_date=FRIDAY, reason="it is late")

    assert house.records.revise_promise(asked) == FRIDAY


# --- silence by lane ----------------------------------------------------------------------------------


def test_p48_a_parcel_on_a_slow_lane_may_be_silent_for_longer(house: House) -> None:
    """Guard: `hand_over.leave` and `_next_check` ask the lane; by the policy's 48 hours this parcel is a case."""
    house.stocked()
    has_delivered(house, *[150.0] * 25, days=5, silence=timedelta(days=3))
    house.shipped("SO-1", ship_to=BOISE)
    house.wait(2 * HOUR)
    report(house, "evt_1", a_scan(C.PICKED_UP, 2))
    house.wait(98 * HOUR)

    silent = house.reconciliation.sweep().silent_parcels

    parcel = house.row(parcels, parcel_id="SO-1-P1")
    assert silent == ()
    assert parcel["next_check_at"] == MORNING + 2 * HOUR + timedelta(days=4.5)


def test_p48_a_parcel_on_a_quick_lane_is_asked_about_sooner(house: House) -> None:
    """Guard: the same; by the policy's 48 hours nobody asks before Wednesday."""
    house.stocked()
    has_delivered(house, *[30.0] * 25, days=1, silence=timedelta(hours=10))
    house.shipped("SO-1", ship_to=BOISE)
    house.wait(2 * HOUR)
    report(house, "evt_1", a_scan(C.PICKED_UP, 2))
    house.wait(24 * HOUR)

    assert house.reconciliation.sweep().silent_parcels == ("SO-1-P1",)


@pytest.mark.parametrize(("flag", "kind"), [(Flag.CUSTOMS, "no_scan"), (None, "lost")])
def test_p48_a_parcel_that_customs_keep_is_not_given_up(house: House, flag: Flag | None, kind: str) -> None:
    """Guard: `_given_up_at` stands still under a flag; without it a parcel at customs is declared lost."""
    house.stocked().shipped()
    house.wait(3 * HOUR)
    report(house, "evt_1", a_scan(C.IN_TRANSIT, 2), *([a_scan(None, 3, flag=flag)] if flag else []))
    house.wait(timedelta(days=11))

    (parcel_id,) = house.reconciliation.sweep().silent_parcels
    house.reconciliation.silence(parcel_id)

    assert only(house.rows(signals, name="overdue"))["body"]["kind"] == kind
    assert house.row(parcels)["next_check_at"] > house.time
