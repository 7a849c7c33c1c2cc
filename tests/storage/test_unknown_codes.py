"""Codes in no table: kept, shown as unknown, counted, and out of the fold until they have a meaning."""

from dataclasses import replace
from datetime import timedelta

from sqlalchemy import Engine

from fulfillment.domain.tracking import CarrierStatus, Scan
from fulfillment.storage.tables import parcels, tracking_events
from tests.storage.house import NUMBER, House, a_scan

C = CarrierStatus
STRANGE = a_scan(None, 20, code="beamed_up", text="Gone", provider="easypost", is_unknown=True)


def on_its_way(engine: Engine) -> House:
    house = House(engine).stocked()
    house.shipped()
    house.wait(timedelta(hours=48))
    return house


def report(house: House, event_id: str, *scans: Scan) -> None:
    house.shipping.record_report("easypost", event_id, "UPS", NUMBER, scans, None, {"id": event_id})


def test_p36_a_code_in_no_table_is_kept_moves_nothing_and_is_counted_once(engine: Engine) -> None:
    house = on_its_way(engine)

    for n in range(3):
        report(house, f"evt_{n}", a_scan(C.IN_TRANSIT, 8), STRANGE)

    (code,) = house.unknown_codes.list()
    assert (code.provider, code.carrier, code.code, code.text) == ("easypost", "UPS", "beamed_up", "Gone")
    assert (code.count, code.first_seen, code.last_seen) == (1, house.time, house.time)
    assert house.row(parcels)["carrier_status"] == "in_transit"
    assert house.row(tracking_events, raw_code="beamed_up")["status"] is None


def test_p36_a_table_that_learns_a_code_gives_the_scans_told_again_their_meaning(engine: Engine) -> None:
    house = on_its_way(engine)
    report(house, "evt_1", STRANGE)

    report(house, "evt_2", replace(STRANGE, status=C.OUT_FOR_DELIVERY, is_unknown=False))

    assert house.unknown_codes.list() == ()
    assert house.row(parcels)["carrier_status"] == "out_for_delivery"


def test_the_most_frequent_code_comes_first_and_old_ones_fall_off(engine: Engine) -> None:
    house = on_its_way(engine)
    often = [replace(STRANGE, occurred_at=STRANGE.occurred_at + timedelta(hours=n), code="x") for n in (1, 2)]
    report(house, "evt_1", STRANGE, *often)

    now = [(one.code, one.count) for one in house.unknown_codes.list()]
    house.wait(timedelta(days=91))

    assert now == [("x", 2), ("beamed_up", 1)]
    assert house.unknown_codes.list() == ()
