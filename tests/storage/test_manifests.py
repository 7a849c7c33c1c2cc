"""The dock: what a carrier takes is listed, what it took has left, and what it did not take is found."""

import pytest

from fulfillment.domain.hand_over import Evidence, Proof
from fulfillment.domain.holds import HoldReason
from fulfillment.domain.manifests import (
    Departure,
    Manifest,
    NothingToHandOver,
    NotOnManifest,
    UnknownManifest,
)
from fulfillment.domain.record import PlaceHold
from fulfillment.domain.shipment import Stop
from fulfillment.domain.tracking import CarrierStatus
from fulfillment.storage.tables import audit_entries, labels, parcels, shipments, signals
from tests.storage.house import House, a_scan

RENO, UPS = "wh-reno", "UPS"
DRIVER = Proof(evidence=Evidence.DRIVER_SCAN, ref="J. Doe")
LIST = "M-wh-reno-UPS-20261123-1"


@pytest.fixture
def dock(house: House) -> House:
    """Three parcels with labels of UPS."""
    house.stocked()
    for n in (1, 2, 3):
        house.labeled(f"SO-{n}", number=f"1Z{n}", mugs=1, teas=1)
    return house


def make(house: House) -> Manifest:
    return house.manifests.make(RENO, UPS, by="pia")


def hand_over(house: House, *codes: str, manifest_id: str = LIST) -> Manifest:
    return house.manifests.hand_over(manifest_id, codes, by="pia", proof=DRIVER)


def outcomes(manifest: Manifest) -> dict[str, str]:
    return {line.parcel_id: line.outcome.value for line in manifest.lines}


def hold(house: House, order_id: str) -> None:
    house.records.place_hold(
        PlaceHold(
            order_id=order_id,
            reason=HoldReason.MANUAL,
            by="maria",
            request_id=f"r-{order_id}",
            due_at=house.time,
        )
    )


def test_what_is_labeled_for_a_carrier_is_listed_once_however_often_the_list_is_made(dock: House) -> None:
    first = make(dock)
    dock.labeled("SO-4", number="1Z4", mugs=1, teas=0)
    again = make(dock)

    assert first.manifest_id == again.manifest_id == LIST
    assert outcomes(again) == dict.fromkeys(["SO-1-P1", "SO-2-P1", "SO-3-P1", "SO-4-P1"], "listed")


def test_what_the_driver_scanned_has_left_and_what_he_did_not_is_missing_and_still_here(dock: House) -> None:
    make(dock)

    left = hand_over(dock, "SO-1-P1", "1Z2", "1Z2")

    assert outcomes(left) == {"SO-1-P1": "left", "SO-2-P1": "left", "SO-3-P1": "missing"}
    status = {row["shipment_id"]: row["work_status"] for row in dock.rows(shipments)}
    assert status == {"SO-1-1": "handed_over", "SO-2-1": "handed_over", "SO-3-1": "labeled"}
    assert [row["order_id"] for row in dock.rows(signals, name="handed_over")] == ["SO-1", "SO-2"]


def test_the_evidence_says_who_when_by_what_and_which_parcels(dock: House) -> None:
    make(dock)

    left = hand_over(dock, "1Z1")

    assert (left.proof, left.handed_over_by, left.handed_over_at) == (DRIVER, "pia", dock.time)
    parcel = dock.row(parcels, parcel_id="SO-1-P1")
    assert (parcel["evidence"], parcel["evidence_ref"], parcel["handed_over_by"]) == (
        "driver_scan",
        "J. Doe",
        "pia",
    )
    assert dock.row(audit_entries, command="hand_over_manifest")["outcome"] == LIST


def test_a_hand_over_that_is_sent_again_changes_nothing(dock: House) -> None:
    make(dock)

    first = hand_over(dock, "1Z1", "1Z2")
    again = hand_over(dock, "1Z1", "1Z2")

    assert first == again
    assert len(dock.rows(signals, name="handed_over")) == 2
    assert len(dock.rows(audit_entries, command="hand_over_manifest")) == 1


def test_a_parcel_that_was_missing_leaves_when_it_is_found_or_is_on_the_next_list(dock: House) -> None:
    make(dock)
    hand_over(dock, "1Z1")

    found = hand_over(dock, "1Z2")
    following = make(dock)

    assert outcomes(found) == {"SO-1-P1": "left", "SO-2-P1": "left", "SO-3-P1": "missing"}
    assert following.manifest_id == "M-wh-reno-UPS-20261123-2"
    assert outcomes(following) == {"SO-3-P1": "listed"}


def test_something_that_is_not_on_the_list_stops_the_driver_before_anything_has_left(dock: House) -> None:
    make(dock)

    with pytest.raises(NotOnManifest, match="1Z9 is not on"):
        hand_over(dock, "1Z1", "1Z9")

    assert {row["work_status"] for row in dock.rows(shipments)} == {"labeled"}


def test_one_parcel_that_may_not_leave_keeps_no_other_one_here(dock: House) -> None:
    make(dock)
    hold(dock, "SO-2")

    left = hand_over(dock, "1Z1", "1Z2", "1Z3")

    assert outcomes(left) == {"SO-1-P1": "left", "SO-2-P1": "refused", "SO-3-P1": "left"}
    assert "on hold" in left.of(Departure.REFUSED)[0].why


def test_what_is_held_is_not_listed(dock: House) -> None:
    hold(dock, "SO-2")

    assert sorted(outcomes(make(dock))) == ["SO-1-P1", "SO-3-P1"]


def test_a_parcel_whose_label_was_given_back_is_struck_and_one_with_a_new_label_listed_anew(
    dock: House,
) -> None:
    make(dock)
    for parcel_id in ("SO-1-P1", "SO-2-P1"):
        job = dock.shipping.claim_label_void(parcel_id)
        assert job is not None
        dock.shipping.label_voided(job.key)
    dock.label("SO-2-P1", number="1Z22")

    again = make(dock)

    assert {line.parcel_id: line.tracking_number for line in again.lines} == {
        "SO-2-P1": "1Z22",
        "SO-3-P1": "1Z3",
    }


def test_a_parcel_under_another_label_than_the_listed_one_is_not_given_away(dock: House) -> None:
    make(dock)
    job = dock.shipping.claim_label_void("SO-1-P1")
    assert job is not None
    dock.shipping.label_voided(job.key)
    dock.label("SO-1-P1", number="1Z11")

    left = hand_over(dock, "1Z1")

    assert outcomes(left)["SO-1-P1"] == "refused"
    assert "another label" in left.of(Departure.REFUSED)[0].why
    assert dock.row(shipments, shipment_id="SO-1-1")["work_status"] == "labeled"


def test_what_left_without_the_list_is_not_missing(dock: House) -> None:
    make(dock)
    dock.floor.hand_over("SO-1-1", by="dock")
    dock.shipping.scanned("SO-2-P1", (a_scan(CarrierStatus.IN_TRANSIT, hours=0),), None, source="easypost")
    make(dock)

    left = hand_over(dock, "1Z3")

    assert set(outcomes(left).values()) == {"left"}
    seen = {row["parcel_id"]: row["evidence"] for row in dock.rows(parcels)}
    assert seen == {"SO-1-P1": "staff", "SO-2-P1": "carrier_scan", "SO-3-P1": "driver_scan"}


def test_a_list_of_nothing_and_a_list_of_nowhere_are_not_made(dock: House) -> None:
    for place, carrier in ((RENO, "FedEx"), ("wh-404", UPS)):
        with pytest.raises(NothingToHandOver):
            dock.manifests.make(place, carrier, by="pia")
    with pytest.raises(UnknownManifest):
        hand_over(dock, "1Z1", manifest_id="M-404")

    assert dock.manifests.latest() == ()


def test_each_carrier_has_a_list_of_its_own_named_by_the_day_there(dock: House) -> None:
    dock.change(labels, {"carrier": "DHL eCommerce"}, parcel_id="SO-3-P1")
    make(dock)

    other = dock.manifests.make(RENO, "DHL eCommerce", by="pia")

    assert other.manifest_id == "M-wh-reno-DHL-eCommerce-20261123-1"
    assert [line.parcel_id for line in other.lines] == ["SO-3-P1"]
    assert {manifest.manifest_id for manifest in dock.manifests.latest()} == {LIST, other.manifest_id}


def test_a_hand_over_of_one_parcel_names_its_label_or_none(dock: House) -> None:
    with pytest.raises(Stop, match="another label"):
        dock.floor.hand_over("SO-1-1", by="dock", label_id="SO-1:buy_label:SO-1-P1:9")
