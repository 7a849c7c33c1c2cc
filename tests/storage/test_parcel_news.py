"""What an order hears of its parcels: all from which something follows, and of a second parcel no repetition."""

from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from fulfillment.domain.cases import CaseKind
from fulfillment.domain.reasons import Reason
from fulfillment.domain.record import OpenCase
from fulfillment.domain.tracking import CarrierStatus, Flag
from fulfillment.storage.tables import orders, parcels, shipments, signals, transits
from tests.storage.house import DEPOT, MUG, NUMBER, House, a_scan

C = CarrierStatus
FIRST, SECOND = "SO-1-P1", "SO-1-P2"
LATE = date(2026, 12, 20)


@pytest.fixture
def house(engine: Engine) -> House:
    return under_way(engine)


def under_way(engine: Engine, *, edd: date | None = None) -> House:
    """An order whose two parcels left two locations two days ago; `edd` is what the second one's label says."""
    house = House(engine).stocked(mugs=2)
    house.stock.add_location("wh-lehigh", name="Lehigh", address=DEPOT, priority=2)
    house.stock.receive(MUG, "wh-lehigh", 2, key="r-1", by="test")
    house.released(mugs=4, teas=0)
    for n, number in enumerate((NUMBER, "1Z999AA10123456799"), start=1):
        house.leave(f"SO-1-{n}", number=number, edd=edd if n == 2 else None)
    house.wait(timedelta(hours=48))
    return house


def scanned(
    house: House, parcel_id: str, *statuses: CarrierStatus, edd: date | None = None, **so: Any
) -> None:
    """Report one scan after the other, an hour apart."""
    for status in statuses:
        hours = 2 + len(house.rows(parcels)) * list(C).index(status)
        house.shipping.scanned(parcel_id, (a_scan(status, hours, **so),), edd, source="asked")


def heard_of(house: House, parcel_id: str) -> list[str]:
    rows = sorted(house.rows(signals, name="milestone"), key=lambda row: row["signal_id"])
    return [row["body"]["status"] for row in rows if row["body"]["parcel_id"] == parcel_id]


def test_what_one_parcel_has_told_is_not_told_again_of_another(house: House) -> None:
    """Guard: without the comparison every milestone of every parcel wakes the order."""
    scanned(house, FIRST, C.IN_TRANSIT, C.OUT_FOR_DELIVERY)
    scanned(house, SECOND, C.IN_TRANSIT, C.OUT_FOR_DELIVERY, C.DELIVERED)

    assert heard_of(house, FIRST) == ["in_transit", "out_for_delivery"]
    assert heard_of(house, SECOND) == ["delivered"]
    assert house.row(parcels, parcel_id=SECOND)["carrier_status"] == "delivered"


def test_whichever_parcel_is_the_first_to_come_so_far_tells_it(house: House) -> None:
    scanned(house, FIRST, C.IN_TRANSIT)
    scanned(house, SECOND, C.IN_TRANSIT, C.OUT_FOR_DELIVERY)
    scanned(house, FIRST, C.OUT_FOR_DELIVERY, C.DELIVERED)

    assert heard_of(house, FIRST) == ["in_transit", "delivered"]
    assert heard_of(house, SECOND) == ["out_for_delivery"]


@pytest.mark.parametrize(
    "so",
    [
        {"flag": Flag.DELAYED},
        {"reason": Reason.WEATHER_DELAY},
        {"edd": date(2026, 11, 30)},
    ],
)
def test_trouble_and_another_day_are_told_however_far_the_other_parcel_is(
    house: House, so: dict[str, Any]
) -> None:
    scanned(house, FIRST, C.IN_TRANSIT)

    scanned(house, SECOND, C.IN_TRANSIT, **so)

    assert heard_of(house, SECOND) == ["in_transit"]


def test_what_ends_trouble_is_told(house: House) -> None:
    scanned(house, FIRST, C.IN_TRANSIT)
    scanned(house, SECOND, C.IN_TRANSIT, flag=Flag.DELAYED)
    scanned(house, FIRST, C.OUT_FOR_DELIVERY)

    scanned(house, SECOND, C.OUT_FOR_DELIVERY)

    assert heard_of(house, SECOND) == ["in_transit", "out_for_delivery"]


def test_a_silence_that_the_order_has_yet_to_hear_of_is_ended_by_a_scan_that_it_hears(house: House) -> None:
    """Guard: facts on their way count as trouble. Without it the case of the silence stays open after the scan."""
    scanned(house, FIRST, C.IN_TRANSIT)
    house.change(parcels, {"next_check_at": house.now()}, parcel_id=SECOND)
    house.reconciliation.silence(SECOND)

    scanned(house, SECOND, C.IN_TRANSIT)

    assert heard_of(house, SECOND) == ["in_transit"]


def test_where_anything_was_ever_wrong_with_an_order_all_is_told(house: House) -> None:
    """Guard: cases count. Without it what ends one is not heard."""
    scanned(house, FIRST, C.IN_TRANSIT)
    house.records.open_case(
        OpenCase(
            order_id="SO-1",
            subject="SO-1-2",
            kind=CaseKind.NO_FIRST_SCAN,
            due_at=house.now(),
            note="no news from the carrier",
        )
    )

    scanned(house, SECOND, C.IN_TRANSIT)

    assert heard_of(house, SECOND) == ["in_transit"]


def test_the_scan_that_proves_that_a_parcel_left_is_told(house: House) -> None:
    scanned(house, FIRST, C.IN_TRANSIT)
    house.change(shipments, {"work_status": "labeled", "handed_over_at": None}, shipment_id="SO-1-2")

    scanned(house, SECOND, C.IN_TRANSIT)

    assert heard_of(house, SECOND) == ["in_transit"]


def test_a_later_day_that_the_books_have_promised_already_is_told_with_the_next_scan(house: House) -> None:
    """Guard: later promises count. Without it what moved with news that nobody hears is never heard."""
    scanned(house, FIRST, C.IN_TRANSIT)
    scanned(house, SECOND, C.PRE_TRANSIT, edd=LATE)
    assert house.row(orders)["promise_date"] == LATE
    assert heard_of(house, SECOND) == []

    scanned(house, SECOND, C.IN_TRANSIT, edd=LATE)

    assert heard_of(house, SECOND) == ["in_transit"]


def test_the_scan_with_which_the_books_move_the_promise_is_told(engine: Engine) -> None:
    house = under_way(engine, edd=LATE)
    scanned(house, FIRST, C.IN_TRANSIT)

    scanned(house, SECOND, C.IN_TRANSIT)

    assert house.row(orders)["promise_date"] == LATE
    assert heard_of(house, SECOND) == ["in_transit"]


def test_a_later_day_that_the_books_do_not_believe_is_told(engine: Engine) -> None:
    """Guard: the day is compared with the promise. Without it the order never knows what the label said."""
    house = under_way(engine, edd=LATE)
    house.change(transits, {"learned_from": 20}, parcel_id=SECOND)
    scanned(house, FIRST, C.IN_TRANSIT)

    scanned(house, SECOND, C.IN_TRANSIT)

    assert house.row(orders)["promise_date"] < LATE
    assert heard_of(house, SECOND) == ["in_transit"]


def test_trouble_that_the_order_has_yet_to_hear_of_is_ended_by_a_scan_that_it_hears(house: House) -> None:
    """Guard: reasons that were told count. Without it the case of a trouble that is over is opened, and stays."""
    scanned(house, FIRST, C.IN_TRANSIT, C.OUT_FOR_DELIVERY)
    trouble = a_scan(C.IN_TRANSIT, 2, reason=Reason.CONSIGNEE_INCORRECT_ADDRESS)

    for scan in (trouble, a_scan(C.IN_TRANSIT, 3), a_scan(C.OUT_FOR_DELIVERY, 4)):
        house.shipping.scanned(SECOND, (scan,), None, source="asked")

    assert heard_of(house, SECOND) == ["in_transit", "out_for_delivery"]
