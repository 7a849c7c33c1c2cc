"""The Karrio adapter against a double of its server, answers lost on the way included."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from fulfillment.domain.address import Address
from fulfillment.domain.label import LabelJob
from fulfillment.domain.provider_errors import (
    AuthConfig,
    LabelRefused,
    OutcomeUnknown,
    ProviderUnavailable,
    Rejected,
    StateConflict,
    VoidRefused,
)
from fulfillment.domain.tracking import CarrierStatus
from fulfillment.providers.carriers.karrio.client import KarrioCarrier
from tests.providers.carriers.karrio.double import TRACKER, KarrioDouble, carriers_say

RENO = Address(name="Dock", line1="1 Dock Rd", city="Reno", region="NV", postal_code="89501", country="US")
BOSTON = Address(name="Ada", line1="5 Elm St", city="Boston", region="MA", postal_code="02101", country="US")
JOB = LabelJob(
    key="SO-1:buy_label:SO-1-P1:1",
    parcel_id="SO-1-P1",
    order_id="SO-1",
    origin=RENO,
    destination=BOSTON,
    weight_g=900,
    promise_date=date(2026, 11, 30),
    currency="USD",
    today=date(2026, 11, 23),
)


@pytest.fixture
def karrio() -> Iterator[KarrioDouble]:
    double = KarrioDouble()
    yield double
    double.close()


@pytest.fixture
def carrier(karrio: KarrioDouble) -> Iterator[KarrioCarrier]:
    carrier = KarrioCarrier(key="key_1", base_url=karrio.url)
    yield carrier
    carrier.close()


def lost(karrio: KarrioDouble, do: Any, *words: Any) -> None:
    """Do something whose answer is lost on its way back."""
    karrio.loses_answers = True
    with pytest.raises(OutcomeUnknown):
        do(*words)
    karrio.loses_answers = False


def test_offers_come_in_minor_units_with_what_the_others_said(
    karrio: KarrioDouble, carrier: KarrioCarrier
) -> None:
    quoted = carrier.quote(JOB)

    offers = [(q.carrier, q.service, q.price, q.currency, q.days) for q in quoted.quotes]
    assert offers == [
        ("ups", "ups_ground", 988, "USD", 4),
        ("usps", "usps_ground_advantage", 750, "USD", None),
    ]
    assert quoted.messages == ("fedex: no service there",)
    ((_, _, sent),) = karrio.asked
    assert sent["reference"] == JOB.key
    assert sent["parcels"] == [{"weight": 0.9, "weight_unit": "KG"}]
    assert sent["recipient"]["state_code"] == "MA"
    assert "address_line2" not in sent["recipient"]


def test_a_parcel_in_a_carton_of_ours_says_its_sides(karrio: KarrioDouble, carrier: KarrioCarrier) -> None:
    carrier.quote(replace(JOB, size_mm=(105, 300, 200)))

    ((_, _, sent),) = karrio.asked
    (parcel,) = sent["parcels"]
    assert (parcel["length"], parcel["width"], parcel["height"], parcel["dimension_unit"]) == (
        30.0,
        20.0,
        10.5,
        "CM",
    )


def test_a_purchase_that_has_a_shipment_is_offered_the_same_one(
    karrio: KarrioDouble, carrier: KarrioCarrier
) -> None:
    first = carrier.quote(JOB)

    assert carrier.quote(replace(JOB, reference=first.reference)) == first
    assert len(karrio.shipments) == 1


def test_old_offers_are_asked_for_anew_for_the_same_shipment(
    karrio: KarrioDouble, carrier: KarrioCarrier
) -> None:
    first = carrier.quote(JOB)

    again = carrier.quote(replace(JOB, reference=first.reference, quotes_are_old=True))

    assert again.reference == first.reference
    assert karrio.asked[-1][:2] == ("POST", f"/v1/shipments/{first.reference}/rates")


def test_what_is_no_label_is_not_kept_as_one(carrier: KarrioCarrier) -> None:
    quoted = carrier.quote(JOB)
    label = carrier.buy(quoted.reference, quoted.quotes[0])

    with pytest.raises(ProviderUnavailable, match="neither PDF, PNG nor ZPL"):
        carrier.document(label)


def test_an_answer_lost_after_the_purchase_is_found_by_reading(
    karrio: KarrioDouble, carrier: KarrioCarrier
) -> None:
    quoted = carrier.quote(JOB)
    lost(karrio, carrier.buy, quoted.reference, quoted.quotes[0])

    with pytest.raises(StateConflict):
        carrier.buy(quoted.reference, quoted.quotes[0])
    label = carrier.bought(quoted.reference)

    assert label is not None
    assert (label.carrier, label.cost, label.tracking_number) == ("ups", 988, "1Z1")
    assert label.label_url == f"{karrio.url}/v1/shipments/{quoted.reference}/label.pdf"


def test_a_shipment_without_a_label_proves_nothing(karrio: KarrioDouble, carrier: KarrioCarrier) -> None:
    """Attacks: Karrio writes a label down after the carrier sold it. Taken for a no, a second one is bought."""
    quoted = carrier.quote(JOB)

    with pytest.raises(ProviderUnavailable, match="cannot say"):
        carrier.bought(quoted.reference)


def test_a_shipment_that_a_person_cancelled_has_no_label_and_gets_none(
    karrio: KarrioDouble, carrier: KarrioCarrier
) -> None:
    quoted = carrier.quote(JOB)
    carrier.void(quoted.reference)

    assert carrier.bought(quoted.reference) is None
    with pytest.raises(LabelRefused, match="was cancelled"):
        carrier.quote(replace(JOB, reference=quoted.reference, sends=1))


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (carriers_say("120802", "The address is incomplete"), LabelRefused),
        (carriers_say("SHIPPING_SDK_INTERNAL_ERROR", "timed out"), OutcomeUnknown),
        (carriers_say("", "", status=500), OutcomeUnknown),
        ((424, {"errors": "a text"}), LabelRefused),
    ],
)
def test_what_the_carrier_behind_it_says_to_a_purchase_is_told_apart(
    karrio: KarrioDouble, carrier: KarrioCarrier, said: Any, kind: type[Exception]
) -> None:
    quoted = carrier.quote(JOB)
    karrio.refusal = said

    with pytest.raises(kind):
        carrier.buy(quoted.reference, quoted.quotes[0])


def test_an_address_it_does_not_take_is_a_refusal_and_our_own_mistake_is_not(
    karrio: KarrioDouble, carrier: KarrioCarrier
) -> None:
    with pytest.raises(LabelRefused, match="recipient"):
        carrier.quote(replace(JOB, destination=replace(BOSTON, country="XX")))
    quoted = carrier.quote(JOB)
    with pytest.raises(Rejected, match="not available"):
        carrier.buy(quoted.reference, replace(quoted.quotes[0], quote_id="rat_of_another"))


def test_a_label_is_given_back_once_and_asking_says_so(karrio: KarrioDouble, carrier: KarrioCarrier) -> None:
    quoted = carrier.quote(JOB)
    carrier.buy(quoted.reference, quoted.quotes[0])
    before = carrier.is_void(quoted.reference)

    lost(karrio, carrier.void, quoted.reference)
    carrier.void(quoted.reference)

    assert (before, carrier.is_void(quoted.reference)) == (False, True)


@pytest.mark.parametrize("how", ["the carrier refuses", "it is on its way"])
def test_a_label_that_is_not_taken_back_is_refused(
    karrio: KarrioDouble, carrier: KarrioCarrier, how: str
) -> None:
    quoted = carrier.quote(JOB)
    carrier.buy(quoted.reference, quoted.quotes[0])
    if how == "it is on its way":
        karrio.shipments[quoted.reference]["status"] = "in_transit"
    else:
        karrio.refusal = carriers_say("190102", "No shipment found within the allowed void period")

    with pytest.raises(VoidRefused):
        carrier.void(quoted.reference)


def test_a_shipment_under_way_still_has_its_label(karrio: KarrioDouble, carrier: KarrioCarrier) -> None:
    quoted = carrier.quote(JOB)
    bought = carrier.buy(quoted.reference, quoted.quotes[0])
    karrio.shipments[quoted.reference]["status"] = "in_transit"

    assert carrier.bought(quoted.reference) == bought


def test_tracking_gives_the_whole_history_and_the_day_of_arrival(
    karrio: KarrioDouble, carrier: KarrioCarrier
) -> None:
    karrio.trackers[TRACKER["tracking_number"]] = TRACKER

    scans, edd = carrier.track("ups", TRACKER["tracking_number"])

    assert [(scan.status, scan.place) for scan in scans] == [(CarrierStatus.PICKED_UP, "RENO, NV, 89501, US")]
    assert edd == date(2026, 11, 27)


def test_a_carrier_it_does_not_follow_has_no_history(carrier: KarrioCarrier) -> None:
    assert carrier.track("generic", "1Z1") == ((), None)


def test_without_its_key_nothing_is_done(karrio: KarrioDouble) -> None:
    stranger = KarrioCarrier(key="key_2", base_url=karrio.url)

    with pytest.raises(AuthConfig):
        stranger.quote(JOB)

    stranger.close()
    assert karrio.shipments == {}
