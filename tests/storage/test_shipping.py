"""Labels: one live label per parcel whatever gets lost, given back at most once."""

from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta

import pytest
from sqlalchemy import Engine

from fulfillment.domain.label import LabelDocument
from fulfillment.domain.provider_errors import Conflict
from fulfillment.domain.record import StopShipments
from fulfillment.domain.shipment import InvalidTransition, Stop
from fulfillment.domain.tracking import CarrierStatus
from fulfillment.storage import label_documents
from fulfillment.storage.records import RecordStore
from fulfillment.storage.tables import (
    inbox,
    labels,
    order_events,
    parcels,
    provider_operations,
    shipments,
    signals,
    tracking_events,
)
from tests.storage.house import (
    A_CHOICE,
    DEPOT,
    HOME,
    MORNING,
    NUMBER,
    House,
    a_label,
    a_scan,
)

KEY = "SO-1:buy_label:SO-1-P1:1"


@pytest.mark.parametrize("content", [b"%PDF-1.4\xff\x00", b"\x89PNG\r\n\x1a\n\x00", b"^XA^FDSO-1^FS^XZ\n"])
def test_a_labels_bytes_are_kept_as_they_came_until_it_is_given_back(house: House, content: bytes) -> None:
    parcel_id = house.stocked().packed()
    key = house.label(parcel_id)
    with house.engine.begin() as conn:
        label_documents.keep(conn, key, LabelDocument.of(content), now=house.time)

    (document,) = house.shipping.documents(parcel_id)
    job = house.shipping.claim_label_void(parcel_id)
    assert job is not None
    house.shipping.label_voided(job.key)

    assert document.content == content
    assert house.shipping.documents(parcel_id) == (), "a label that was given back is not printed again"


def test_a_claim_says_all_a_carrier_needs_to_know(engine: Engine) -> None:
    house = House(engine).stocked()
    parcel_id = house.packed()

    job = house.shipping.claim_label(parcel_id)

    assert (job.key, job.order_id, job.sends, job.bought) == (KEY, "SO-1", 0, None)
    assert (job.origin, job.destination, job.weight_g) == (DEPOT, HOME, 900)
    assert (job.currency, job.today, job.promise_date) == ("USD", MORNING.date(), date(2026, 11, 30))


def test_a_label_claimed_twice_is_one_purchase(engine: Engine) -> None:
    house = House(engine).stocked()
    parcel_id = house.packed()

    with ThreadPoolExecutor(4) as workers:
        jobs = list(workers.map(lambda _: house.shipping.claim_label(parcel_id), range(6)))

    assert {job.key for job in jobs} == {KEY}
    assert len(house.rows(labels)) == len(house.rows(provider_operations, kind="buy_label")) == 1


def test_a_bought_label_comes_back_from_the_next_claim(engine: Engine) -> None:
    house = House(engine).stocked()
    parcel_id = house.labeled()

    job = house.shipping.claim_label(parcel_id)

    assert job.key == KEY
    assert job.bought == a_label()


def test_a_purchase_in_doubt_is_asked_about_and_adopted(engine: Engine) -> None:
    house = House(engine).stocked()
    parcel_id = house.packed()
    first = house.shipping.claim_label(parcel_id)
    house.shipping.quoted(first.key, "shp_7", A_CHOICE)
    house.shipping.sending(first.key)
    house.shipping.unknown(first.key, "OutcomeUnknown")

    again = house.shipping.claim_label(parcel_id)
    house.shipping.labeled(again.key, a_label())

    assert (again.key, again.sends, again.reference) == (KEY, 1, "shp_7")
    operation = house.row(provider_operations, kind="buy_label")
    assert (operation["state"], operation["provider_ref"]) == ("succeeded", "shp_7")
    assert house.row(labels)["state"] == "live"


def test_a_label_the_carrier_refused_is_followed_by_a_new_purchase(engine: Engine) -> None:
    house = House(engine).stocked()
    parcel_id = house.packed()
    house.shipping.claim_label(parcel_id)
    house.shipping.failed(KEY, "LabelRefused")

    job = house.shipping.claim_label(parcel_id)

    assert (job.key, job.sends) == ("SO-1:buy_label:SO-1-P1:2", 0)
    assert sorted(row["state"] for row in house.rows(labels)) == ["buying", "failed"]
    assert house.row(provider_operations, operation_key=KEY)["error_class"] == "LabelRefused"


def test_a_label_stored_twice_is_stored_once(engine: Engine) -> None:
    house = House(engine).stocked()
    parcel_id = house.packed()
    key = house.label(parcel_id, edd=date(2026, 11, 27))
    house.wait(timedelta(hours=1))

    house.shipping.labeled(key, a_label(edd=date(2026, 12, 9)))

    shipment, parcel = house.row(shipments), house.row(parcels)
    assert (shipment["work_status"], shipment["labeled_at"]) == ("labeled", MORNING)
    assert (parcel["edd_first_date"], parcel["edd_date"]) == (date(2026, 11, 27), date(2026, 11, 27))
    assert len(house.rows(order_events, kind="labeled")) == 1


def test_a_shipment_that_is_not_packed_gets_no_label(engine: Engine) -> None:
    house = House(engine).stocked()
    parcel_id = house.packed()
    house.change(shipments, {"work_status": "picked"})

    with pytest.raises(InvalidTransition):
        house.shipping.claim_label(parcel_id)


def test_a_cancelled_shipment_gets_no_label(engine: Engine) -> None:
    house = House(engine).stocked()
    parcel_id = house.packed()
    stopped(house)

    with pytest.raises(Stop):
        house.shipping.claim_label(parcel_id)

    assert house.rows(labels) == []


def test_a_label_bought_while_the_order_was_cancelled_waits_to_be_given_back(engine: Engine) -> None:
    house = House(engine).stocked()
    parcel_id = house.packed()
    job = house.shipping.claim_label(parcel_id)
    house.shipping.sending(job.key)
    stopped(house)

    house.shipping.labeled(job.key, a_label())

    assert house.row(shipments)["work_status"] == "cancelled"
    assert house.row(labels)["state"] == "live"
    assert house.shipping.claim_label_void(parcel_id) is not None


def test_a_label_to_be_given_back_can_no_longer_leave(engine: Engine) -> None:
    house = House(engine).stocked()
    parcel_id = house.labeled()

    job = house.shipping.claim_label_void(parcel_id)

    assert job is not None
    assert (job.key, job.label_id, job.sends) == ("SO-1:void_label:SO-1-P1:1", KEY, 0)
    with pytest.raises(InvalidTransition):
        house.floor.hand_over("SO-1-1", by="dock")


def test_a_second_claim_of_a_return_knows_of_the_first(engine: Engine) -> None:
    house = House(engine).stocked()
    parcel_id = house.labeled()

    first = house.shipping.claim_label_void(parcel_id)
    second = house.shipping.claim_label_void(parcel_id)

    assert first is not None
    assert second is not None
    assert (first.key, first.sends) == (second.key, 0)
    assert second.sends == 1


def test_a_label_given_back_makes_room_for_another(engine: Engine) -> None:
    house = House(engine).stocked()
    parcel_id = house.labeled()
    job = house.shipping.claim_label_void(parcel_id)
    assert job is not None

    house.shipping.label_voided(job.key)
    house.shipping.label_voided(job.key)
    house.label(parcel_id, number="1Z-SECOND")

    assert house.row(labels, label_id=KEY)["state"] == "voided"
    assert house.shipping.label_number(parcel_id) == ("UPS", "1Z-SECOND")
    assert house.row(shipments)["work_status"] == "labeled"
    assert len(house.rows(order_events, kind="label_voided")) == 1
    assert house.shipping.claim_label_void("SO-1-P1") is not None


def test_a_label_the_carrier_keeps_is_never_used(engine: Engine) -> None:
    house = House(engine).stocked()
    parcel_id = house.labeled()
    job = house.shipping.claim_label_void(parcel_id)
    assert job is not None

    house.shipping.label_void_refused(job.key)

    assert house.row(labels)["state"] == "void_refused"
    assert house.row(provider_operations, kind="void_label")["state"] == "failed"
    assert house.shipping.label_number(parcel_id) is None
    assert house.shipping.claim_label_void(parcel_id) is None


def test_a_used_label_is_not_given_back(engine: Engine) -> None:
    house = House(engine).stocked()
    parcel_id = house.shipped()

    job = house.shipping.claim_label_void(parcel_id)

    assert job is None
    assert house.shipping.label_number(parcel_id) == ("UPS", NUMBER)


def test_a_report_about_a_number_we_do_not_know_yet_is_matched_when_its_label_is_stored(
    engine: Engine,
) -> None:
    house = House(engine).stocked()
    parcel_id = house.packed()
    house.wait(timedelta(hours=3))
    scans = (a_scan(CarrierStatus.PICKED_UP, 2), a_scan(CarrierStatus.IN_TRANSIT, 3))
    heard = house.shipping.record_report("easypost", "evt_1", "UPS", NUMBER, scans, date(2026, 11, 25), {})
    unmatched = house.row(inbox)

    house.label(parcel_id)

    assert heard == ()
    assert (unmatched["state"], unmatched["order_id"]) == ("unmatched", None)
    matched = house.row(inbox)
    assert (matched["state"], matched["order_id"]) == ("applied", "SO-1")
    assert house.row(parcels)["carrier_status"] == "in_transit"
    assert house.row(parcels)["edd_date"] == date(2026, 11, 25)
    assert house.row(shipments)["work_status"] == "handed_over"
    assert house.row(signals, name="milestone")["body"]["status"] == "in_transit"


def test_a_report_and_the_label_it_is_about_find_each_other_in_any_race(engine: Engine) -> None:
    house = House(engine).stocked(mugs=40, teas=40)
    house.wait(timedelta(hours=3))
    jobs = {n: house.shipping.claim_label(house.packed(f"SO-{n}")) for n in range(8)}

    def report(n: int) -> None:
        scans = (a_scan(CarrierStatus.PICKED_UP, 2),)
        house.shipping.record_report("easypost", f"evt_{n}", "UPS", f"1Z{n}", scans, None, {})

    with ThreadPoolExecutor(4) as workers:
        both = [
            workers.submit(deed)
            for n in jobs
            for deed in (
                lambda n=n: house.shipping.labeled(jobs[n].key, a_label(number=f"1Z{n}")),
                lambda n=n: report(n),
            )
        ]
        for done in both:
            done.result()

    assert {row["state"] for row in house.rows(inbox)} == {"applied"}
    assert len(house.rows(tracking_events)) == 8


def test_a_report_about_a_label_given_back_moves_no_parcel(engine: Engine) -> None:
    house = House(engine).stocked()
    parcel_id = house.labeled()
    job = house.shipping.claim_label_void(parcel_id)
    assert job is not None
    house.shipping.label_voided(job.key)
    house.wait(timedelta(hours=3))

    house.shipping.record_report(
        "easypost", "evt_1", "UPS", NUMBER, (a_scan(CarrierStatus.PICKED_UP, 2),), None, {}
    )

    assert (house.row(inbox)["state"], house.row(inbox)["why"]) == ("ignored", "its label is voided")
    assert house.row(parcels)["carrier_status"] == "pre_transit"


def stopped(house: House) -> None:
    records = RecordStore(house.engine, house.now)
    records.stop_shipments(
        StopShipments(order_id="SO-1", reason="changed_mind", by="maria", request_id="r-1")
    )


def test_two_attempts_of_one_purchase_never_know_two_shipments(engine: Engine) -> None:
    house = House(engine).stocked()
    parcel_id = house.packed()
    first, second = house.shipping.claim_label(parcel_id), house.shipping.claim_label(parcel_id)
    house.shipping.quoted(first.key, "shp_1", A_CHOICE)

    with pytest.raises(Conflict):
        house.shipping.quoted(second.key, "shp_2", A_CHOICE)
    house.shipping.quoted(first.key, "shp_1", A_CHOICE)

    assert house.shipping.claim_label(parcel_id).reference == "shp_1"


def test_a_purchase_that_has_ended_is_not_quoted_for_again(engine: Engine) -> None:
    house = House(engine).stocked()
    house.labeled()

    with pytest.raises(Conflict):
        house.shipping.quoted(KEY, "shp_2", A_CHOICE)

    assert house.row(labels)["provider_shipment_ref"] == f"shp_{KEY}"
