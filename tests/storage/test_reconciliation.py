"""The sweep: what nobody acted on is found, and each fact of it is queued once."""

from datetime import timedelta

import pytest
from sqlalchemy import Engine

from fulfillment.domain.cases import CaseKind
from fulfillment.domain.clock import ShopClock
from fulfillment.domain.findings import Unstarted
from fulfillment.domain.payment import Declined, DeclineGroup, PaymentStatus
from fulfillment.domain.payment_news import PaymentHint
from fulfillment.domain.record import OpenCase, ResolveCase
from fulfillment.domain.tracking import CarrierStatus
from fulfillment.storage.reconciliation import ReconciliationStore
from fulfillment.storage.records import RecordStore
from fulfillment.storage.tables import parcels, payments, provider_operations, shipments, signals
from tests.storage.house import MORNING, House, a_scan, only
from tests.storage.paying import claim, pay


def overdue(house: House) -> list[dict[str, object]]:
    rows = sorted(house.rows(signals, name="overdue"), key=lambda row: row["signal_id"])
    return [row["body"] for row in rows]


def test_a_quiet_shop_has_nothing_to_find(engine: Engine) -> None:
    house = House(engine).stocked()
    house.shipped()
    house.orders.started("SO-1")
    house.signals.delivered([fact.signal_id for fact in house.signals.for_order("SO-1")])
    house.wait(timedelta(hours=23))

    found = house.reconciliation.sweep()

    assert (found.unheard, found.unstarted, found.silent_parcels, found.doubtful_operations) == (
        (),
        (),
        (),
        (),
    )
    assert overdue(house) == []


def test_facts_nobody_handed_on_are_found_after_half_a_minute(engine: Engine) -> None:
    house = House(engine).stocked()
    house.packed()
    house.wait(timedelta(seconds=29))
    early = house.reconciliation.sweep().unheard
    house.wait(timedelta(seconds=1))

    fact = only(house.reconciliation.sweep().unheard)
    house.reconciliation.heard((fact.signal_id,))

    assert early == ()
    assert (fact.order_id, fact.name, fact.body["parcel_id"]) == ("SO-1", "packed", "SO-1-P1")
    assert house.reconciliation.sweep().unheard == ()


def test_an_order_nobody_started_is_found_after_five_minutes(engine: Engine) -> None:
    house = House(engine).stocked()
    house.reserved("SO-1")
    house.reserved("SO-2", mugs=1)
    house.orders.started("SO-2")
    house.wait(timedelta(minutes=4, seconds=59))
    early = house.reconciliation.sweep().unstarted
    house.wait(timedelta(seconds=1))

    found = house.reconciliation.sweep().unstarted

    assert early == ()
    assert found == (Unstarted(order_id="SO-1", currency="USD", total=2900),)


def test_doors_are_given_real_time_however_fast_the_shop_runs(engine: Engine) -> None:
    house = House(engine).stocked()
    house.packed()
    fast = ReconciliationStore(engine, house.now, ShopClock(speed=600))
    house.wait(timedelta(hours=4))
    early = fast.sweep()

    house.wait(timedelta(hours=1))
    later = fast.sweep()
    house.wait(timedelta(hours=45))

    assert (early.unheard, early.unstarted) == ((), ())
    assert len(later.unheard) == 1
    assert len(fast.sweep().unstarted) == 1


def test_a_shipment_past_its_ship_by_is_told_once(engine: Engine) -> None:
    house = House(engine).stocked()
    house.packed()
    house.wait(timedelta(hours=40))
    house.reconciliation.sweep()
    on_time = overdue(house)
    house.wait(timedelta(seconds=1))

    for _ in range(3):
        house.reconciliation.sweep()
        house.wait(timedelta(hours=1))

    ship_by = (MORNING + timedelta(hours=40)).isoformat()  # the end of Tuesday
    assert on_time == []
    fact = only(overdue(house))
    assert (fact["subject"], fact["kind"], fact["shipment_id"]) == ("SO-1-1", "warehouse_late", "SO-1-1")
    assert fact["fact_key"] == f"SO-1-1:warehouse_late:{ship_by}"


def test_a_late_shipment_with_a_case_is_not_told_again_even_once_it_is_resolved(engine: Engine) -> None:
    house = House(engine).stocked()
    house.packed()
    house.wait(timedelta(hours=50))
    this = {"order_id": "SO-1", "subject": "SO-1-1", "kind": CaseKind.WAREHOUSE_LATE}
    records = RecordStore(engine, house.now)
    records.open_case(OpenCase(**this, due_at=house.time))
    house.reconciliation.sweep()

    records.resolve_case(ResolveCase(**this, resolution="on it"))
    house.reconciliation.sweep()

    assert overdue(house) == []


def test_a_shipment_that_left_late_is_not_late_on_the_floor(engine: Engine) -> None:
    house = House(engine).stocked()
    house.shipped()
    house.wait(timedelta(hours=50))

    house.reconciliation.sweep()

    assert overdue(house) == []


def test_a_parcel_without_its_first_scan_is_asked_about_and_then_told(engine: Engine) -> None:
    house = House(engine).stocked()
    parcel_id = house.shipped()
    house.wait(timedelta(hours=24))
    silent = house.reconciliation.sweep().silent_parcels

    house.reconciliation.silence(parcel_id)
    house.reconciliation.silence(parcel_id)

    assert silent == (parcel_id,)
    fact = only(overdue(house))
    assert (fact["subject"], fact["kind"], fact["shipment_id"]) == (parcel_id, "no_first_scan", "SO-1-1")
    assert house.row(parcels)["next_check_at"] == house.time + timedelta(hours=24)
    assert house.reconciliation.sweep().silent_parcels == ()


def test_a_scan_that_came_when_asked_is_no_silence(engine: Engine) -> None:
    house = House(engine).stocked()
    parcel_id = house.shipped()
    house.wait(timedelta(hours=24))

    house.shipping.scanned(parcel_id, (a_scan(CarrierStatus.PICKED_UP, 20),), None, source="asked")
    house.reconciliation.silence(parcel_id)

    assert overdue(house) == []
    assert house.row(parcels)["next_check_at"] == MORNING + timedelta(hours=20 + 48)


def test_a_carrier_that_repeats_itself_is_still_silent(engine: Engine) -> None:
    house = House(engine).stocked()
    parcel_id = house.shipped()
    house.wait(timedelta(hours=3))
    scan = a_scan(CarrierStatus.IN_TRANSIT, 2)
    house.shipping.scanned(parcel_id, (scan,), None, source="easypost")
    house.wait(timedelta(hours=47))

    house.shipping.scanned(parcel_id, (scan,), None, source="asked")
    house.reconciliation.silence(parcel_id)

    assert only(overdue(house))["kind"] == "no_scan"


def test_silence_becomes_a_loss_after_ten_days(engine: Engine) -> None:
    house = House(engine).stocked()
    parcel_id = house.shipped()
    house.wait(timedelta(hours=3))
    house.shipping.scanned(parcel_id, (a_scan(CarrierStatus.IN_TRANSIT, 2),), None, source="easypost")
    lost_at = MORNING + timedelta(hours=2, days=10)

    kinds = []
    while house.time <= lost_at:
        house.time = house.row(parcels)["next_check_at"]
        assert house.reconciliation.sweep().silent_parcels == (parcel_id,)
        house.reconciliation.silence(parcel_id)
        kinds.append(overdue(house)[-1]["kind"])
        if kinds[-1] == "lost":
            break

    assert kinds == ["no_scan"] * (len(kinds) - 1) + ["lost"]
    assert house.time == lost_at
    assert len({fact["fact_key"] for fact in overdue(house)}) == len(kinds)


@pytest.mark.parametrize("status", [CarrierStatus.DELIVERED, CarrierStatus.LOST, CarrierStatus.RETURNED])
def test_a_parcel_whose_journey_ended_is_never_silent(engine: Engine, status: CarrierStatus) -> None:
    house = House(engine).stocked()
    parcel_id = house.shipped()
    house.wait(timedelta(hours=3))
    house.shipping.scanned(parcel_id, (a_scan(status, 2),), None, source="easypost")
    house.wait(timedelta(days=30))

    silent = house.reconciliation.sweep().silent_parcels
    house.reconciliation.silence(parcel_id)

    assert silent == ()
    assert overdue(house) == []


@pytest.mark.parametrize("state", ["claimed", "unknown"])
def test_a_payment_request_in_doubt_is_found_after_its_time(engine: Engine, state: str) -> None:
    house = House(engine).stocked()
    (shipment_id,) = house.reserved()
    key = claim(house, shipment_id).key
    house.change(provider_operations, {"state": state})
    house.wait(timedelta(minutes=14))
    early = house.reconciliation.sweep().doubtful_operations
    house.wait(timedelta(minutes=1))

    found = house.reconciliation.sweep().doubtful_operations

    assert (early, found) == ((), (key,))


def test_a_label_in_doubt_is_nobody_elses_to_ask_about(engine: Engine) -> None:
    house = House(engine).stocked()
    parcel_id = house.packed()
    job = house.shipping.claim_label(parcel_id)
    house.shipping.unknown(job.key, "OutcomeUnknown")
    house.wait(timedelta(hours=1))

    found = house.reconciliation.sweep().doubtful_operations

    assert found == ()


def test_money_about_to_run_out_is_told_once_before_anything_may_leave(engine: Engine) -> None:
    house = House(engine).stocked()
    house.packed()
    house.change(payments, {"expires_at": house.now() + timedelta(hours=23)})

    for _ in range(2):
        house.reconciliation.sweep()

    told = [(fact["kind"], fact["shipment_id"]) for fact in overdue(house)]
    assert told == [("authorization_expiring", "SO-1-1")]


def test_money_that_lasts_is_left_alone(engine: Engine) -> None:
    house = House(engine).stocked()
    house.packed()
    house.change(payments, {"expires_at": house.now() + timedelta(days=3)})

    house.reconciliation.sweep()

    assert [fact["name"] for fact in house.rows(signals)] == ["packed"]


@pytest.mark.parametrize("gone", [False, True])
def test_money_about_to_run_out_is_told_though_another_attempt_was_declined(
    engine: Engine, gone: bool
) -> None:
    house = House(engine).stocked()
    ends = MORNING + timedelta(days=7)
    shipment_id = house.released(expires_at=ends)
    house.change(shipments, {"value": 3400}, shipment_id=shipment_id)
    fee = claim(house, shipment_id, 2)
    house.payments.declined(fee.key, Declined(DeclineGroup.OTHER_METHOD))
    if gone:
        expired = PaymentHint(kind="x", reference=f"pi_{shipment_id}", status=PaymentStatus.EXPIRED)
        house.payment_news.record("stripe", "evt_1", expired, {})
    house.wait(timedelta(days=6, hours=12))

    for _ in range(2):
        house.reconciliation.sweep()

    told = [fact for fact in overdue(house) if fact["kind"] == "authorization_expiring"]
    assert [fact["shipment_id"] for fact in told] == [shipment_id]


def test_money_that_came_in_the_place_of_what_ran_out_is_not_missed(engine: Engine) -> None:
    house = House(engine).stocked()
    shipment_id = house.released(expires_at=MORNING + timedelta(days=7))
    expired = PaymentHint(kind="x", reference=f"pi_{shipment_id}", status=PaymentStatus.EXPIRED)
    house.payment_news.record("stripe", "evt_1", expired, {})
    pay(house, shipment_id)

    house.wait(timedelta(days=6, hours=12))
    house.reconciliation.sweep()

    assert "authorization_expiring" not in [fact["kind"] for fact in overdue(house)]
