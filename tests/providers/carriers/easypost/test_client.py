"""The EasyPost adapter against the simulator, answers lost on the way included."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from itertools import count
from typing import Any

import pytest

from fulfillment.domain.address import Address, Verdict
from fulfillment.domain.label import Label, LabelJob
from fulfillment.domain.policy import LabelFormat, Policy
from fulfillment.domain.provider_errors import (
    AuthConfig,
    LabelRefused,
    NotFound,
    OutcomeUnknown,
    ProviderUnavailable,
    RateGone,
    RateLimited,
    Rejected,
    StateConflict,
    VoidRefused,
)
from fulfillment.domain.scan_forms import FormState
from fulfillment.domain.tracking import CarrierStatus
from fulfillment.http import Reply
from fulfillment.providers.carriers.easypost.client import (
    EasyPostCarrier,
    _answer,
    _explain,
    _quoted,
    inches,
    ounces,
)
from fulfillment.providers.carriers.prices import minor_units
from tests.devstack.simulators.conftest import Simulator, wait_for
from tests.providers.conftest import world_time

RENO = Address(name="Dock", line1="1 Dock Rd", city="Reno", region="NV", postal_code="89501", country="US")
BOSTON = Address(name="Ada", line1="5 Elm St", city="Boston", region="MA", postal_code="02101", country="US")
_numbers = count(1)


@pytest.fixture
def carrier(world: Simulator) -> Iterator[EasyPostCarrier]:
    carrier = EasyPostCarrier(key="EZTK1", base_url=f"{world.url}/easypost/v2")
    yield carrier
    carrier.close()


@pytest.fixture
def job(world: Simulator) -> LabelJob:
    n, today = next(_numbers), world_time(world).date()
    return LabelJob(
        key=f"SO-E{n}:buy_label:SO-E{n}-P1:1",
        parcel_id=f"SO-E{n}-P1",
        order_id=f"SO-E{n}",
        origin=RENO,
        destination=BOSTON,
        weight_g=900,
        promise_date=today + timedelta(days=5),
        currency="USD",
        today=today,
    )


def bought(carrier: EasyPostCarrier, job: LabelJob) -> tuple[str, Label]:
    quoted = carrier.quote(job)
    return quoted.reference, carrier.buy(quoted.reference, quoted.quotes[0])


def labels(world: Simulator, job: LabelJob) -> list[dict[str, Any]]:
    """Return the labels the carriers' own books know of this job, unpaid shipments left out."""
    return [label for label in world.ledger()["labels"] if label["reference"] == job.key]


def test_a_label_costs_what_was_quoted_and_carries_our_key(
    carrier: EasyPostCarrier, world: Simulator, job: LabelJob
) -> None:
    quoted = carrier.quote(job)
    label = carrier.buy(quoted.reference, quoted.quotes[0])

    (printed,) = labels(world, job)
    assert (label.carrier, label.service) == (quoted.quotes[0].carrier, quoted.quotes[0].service)
    assert label.cost == quoted.quotes[0].price == printed["cost"]
    assert label.tracking_number == printed["tracking_number"]
    assert label.edd is not None
    assert label.label_url.endswith(".png")


def test_every_offer_has_a_price_in_minor_units_and_its_days(carrier: EasyPostCarrier, job: LabelJob) -> None:
    quoted = carrier.quote(job)

    assert {quote.carrier for quote in quoted.quotes} == {"USPS", "UPS", "FedEx"}
    assert all(quote.price > 100 and quote.currency == "USD" and quote.days for quote in quoted.quotes)


def test_a_large_carton_costs_more_than_a_small_one_of_the_same_weight(
    carrier: EasyPostCarrier, job: LabelJob
) -> None:
    small, large = (
        carrier.quote(replace(job, size_mm=size)).quotes[0].price
        for size in ((80, 160, 230), (600, 400, 400))
    )

    assert large > small * 2


@pytest.mark.parametrize(("mm", "length"), [(1, 0.1), (254, 10.0), (255, 10.1), (600, 23.7)])
def test_a_length_is_rounded_up_to_a_tenth_of_an_inch(mm: int, length: float) -> None:
    assert inches(mm) == length


def test_a_carrier_that_fails_is_a_message_beside_the_offers_of_the_others(
    carrier: EasyPostCarrier, world: Simulator, job: LabelJob
) -> None:
    world.fault("carrier_error", match={"provider": "easypost", "carrier": "UPS"})

    quoted = carrier.quote(job)

    assert "UPS" not in {quote.carrier for quote in quoted.quotes}
    assert any(message.startswith("UPS: ") for message in quoted.messages)


@pytest.mark.parametrize("kind", ["reset", "html_502", "http_5xx", "truncated_json"])
def test_a_purchase_whose_answer_is_lost_was_made_and_its_label_is_found(
    carrier: EasyPostCarrier, world: Simulator, job: LabelJob, kind: str
) -> None:
    quoted = carrier.quote(job)
    assert carrier.bought(quoted.reference) is None
    world.fault(kind, "after_commit", match={"provider": "easypost", "route": "POST /v2/shipments/*/buy"})

    with pytest.raises(OutcomeUnknown):
        carrier.buy(quoted.reference, quoted.quotes[0])
    label = carrier.bought(quoted.reference)

    (printed,) = labels(world, job)
    assert label is not None
    assert label.tracking_number == printed["tracking_number"]


def test_a_shipment_is_never_sold_a_second_label(
    carrier: EasyPostCarrier, world: Simulator, job: LabelJob
) -> None:
    reference, _ = bought(carrier, job)

    again = carrier.quote(replace(job, reference=reference, sends=1))
    with pytest.raises(StateConflict):
        carrier.buy(again.reference, again.quotes[0])

    assert again.reference == reference
    assert len(labels(world, job)) == 1


def test_a_purchase_that_has_a_shipment_is_offered_the_same_one_even_before_anything_was_sent(
    carrier: EasyPostCarrier, job: LabelJob
) -> None:
    first = carrier.quote(job)

    second = carrier.quote(replace(job, reference=first.reference))

    assert second == first


def test_trouble_while_asking_for_offers_leaves_nothing_in_doubt(
    carrier: EasyPostCarrier, world: Simulator, job: LabelJob
) -> None:
    world.fault("reset", "after_commit", match={"provider": "easypost"})

    with pytest.raises(ProviderUnavailable):
        carrier.quote(job)


def test_a_purchase_the_carrier_refuses_is_refused(
    carrier: EasyPostCarrier, world: Simulator, job: LabelJob
) -> None:
    quoted = carrier.quote(job)
    world.fault("decline", match={"provider": "easypost"})

    with pytest.raises(LabelRefused):
        carrier.buy(quoted.reference, quoted.quotes[0])


def test_a_busy_provider_says_how_long_to_wait(
    carrier: EasyPostCarrier, world: Simulator, job: LabelJob
) -> None:
    world.fault("http_429", retry_after=3, match={"provider": "easypost"})

    with pytest.raises(RateLimited) as busy:
        carrier.quote(job)

    assert busy.value.retry_after == timedelta(seconds=3)


def test_a_label_is_given_back(carrier: EasyPostCarrier, job: LabelJob) -> None:
    reference, _ = bought(carrier, job)
    assert not carrier.is_void(reference)

    carrier.void(reference)

    assert carrier.is_void(reference)


def test_giving_back_a_label_can_lose_its_answer_and_asking_says_it_is_void(
    carrier: EasyPostCarrier, world: Simulator, job: LabelJob
) -> None:
    reference, _ = bought(carrier, job)
    world.fault("reset", "after_commit", match={"provider": "easypost"})

    with pytest.raises(OutcomeUnknown):
        carrier.void(reference)

    assert carrier.is_void(reference)


def test_a_label_that_was_used_is_not_taken_back(fast_world: Simulator, job: LabelJob) -> None:
    carrier = EasyPostCarrier(key="EZTK1", base_url=f"{fast_world.url}/easypost/v2")
    reference, label = bought(carrier, job)
    fast_world.http.post(f"/_sim/parcels/{label.tracking_number}/handed_over")
    wait_for(lambda: len(carrier.track(label.carrier, label.tracking_number)[0]) > 1)

    with pytest.raises(VoidRefused):
        carrier.void(reference)

    carrier.close()


def test_a_shipment_without_a_label_has_none_to_give_back(carrier: EasyPostCarrier, job: LabelJob) -> None:
    quoted = carrier.quote(job)

    with pytest.raises(VoidRefused):
        carrier.void(quoted.reference)


def test_tracking_gives_the_whole_history_to_the_door(fast_world: Simulator, job: LabelJob) -> None:
    carrier = EasyPostCarrier(key="EZTK1", base_url=f"{fast_world.url}/easypost/v2")
    _, label = bought(carrier, job)
    fast_world.http.post(f"/_sim/parcels/{label.tracking_number}/handed_over")
    fast_world.arrive(label.tracking_number)

    scans, edd = carrier.track(label.carrier, label.tracking_number)
    carrier.close()

    statuses = [scan.status for scan in scans]
    assert statuses[0] is CarrierStatus.PRE_TRANSIT
    assert statuses[-1] is CarrierStatus.DELIVERED
    assert CarrierStatus.PICKED_UP in statuses
    assert edd is not None


def test_a_number_nobody_knows_has_no_history(carrier: EasyPostCarrier) -> None:
    assert carrier.track("USPS", "9400000000000000000000") == ((), None)


# Recorded shapes that the simulator does not make.


def reply(status: int, code: str, errors: list[Any] | None = None, *, was_change: bool = True) -> Reply:
    error = {"code": code, "message": "No.", "errors": errors or []}
    return Reply(status=status, body={"error": error}, headers={}, request_id="uuid-1", was_change=was_change)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (reply(422, "SHIPMENT.POSTAGE.EXISTS"), StateConflict),
        (reply(422, "SHIPMENT.PURCHASE.IN_PROGRESS"), OutcomeUnknown),
        (reply(504, "SHIPMENT.POSTAGE.TIMED_OUT"), OutcomeUnknown),
        (reply(422, "SHIPMENT.POSTAGE.NO_RESPONSE", was_change=False), ProviderUnavailable),
        (reply(422, "SHIPMENT.POSTAGE.FAILURE"), LabelRefused),
        (reply(422, "ADDRESS.VERIFY.FAILURE"), LabelRefused),
        (reply(422, "SHIPMENT.REFUND.UNAVAILABLE"), VoidRefused),
        (reply(402, "PAYMENT_REQUIRED"), AuthConfig),
        (reply(404, "NOT_FOUND"), NotFound),
        (reply(422, "PARAMETER.REQUIRED"), Rejected),
    ],
)
def test_an_error_becomes_what_must_follow_from_it(answer: Reply, kind: type[Exception]) -> None:
    assert type(_explain(answer)) is kind


def test_the_particulars_of_an_error_may_be_objects_or_plain_strings() -> None:
    told = _explain(
        reply(422, "PARAMETER.REQUIRED", [{"field": "zip", "message": "cannot be blank"}, "and more"])
    )

    assert str(told) == "EasyPost: No.; zip cannot be blank; and more"


def test_an_error_whose_shape_we_do_not_know_is_left_to_its_status() -> None:
    plain = Reply(status=422, body={"error": "plain words"}, headers={}, request_id="", was_change=True)

    assert _explain(plain) is None


def test_an_answer_that_lacks_what_it_must_hold_counts_as_no_answer() -> None:
    rate = {"id": "rate_1", "carrier": "USPS", "service": "Ground", "rate": None, "currency": "USD"}
    answer = Reply(
        status=201, body={"id": "shp_1", "rates": [rate]}, headers={}, request_id="", was_change=False
    )

    with pytest.raises(ProviderUnavailable):
        _quoted(answer, date(2026, 11, 23))


def test_a_delivery_day_stands_above_a_number_of_days() -> None:
    rate = {"id": "r", "carrier": "UPS", "service": "2nd", "rate": "9.10", "currency": "USD"}
    dated = rate | {"delivery_days": 2, "delivery_date": "2026-11-30T23:59:00Z"}
    guessed = rate | {"delivery_days": None, "est_delivery_days": 4}
    answer = Reply(
        status=201,
        body={"id": "shp_1", "rates": [dated, guessed, rate], "messages": ["plain"]},
        headers={},
        request_id="",
        was_change=False,
    )

    quoted = _quoted(answer, date(2026, 11, 25))

    assert [quote.days for quote in quoted.quotes] == [5, 4, None]
    assert quoted.messages == ("plain",)


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("6.07", "USD", 607),
        ("0.05000", "USD", 5),
        ("6.071", "USD", 608),
        ("1200", "JPY", 1200),
        ("7", "EUR", 700),
    ],
)
def test_a_price_is_read_without_floats_and_never_understated(text: str, currency: str, minor: int) -> None:
    assert minor_units(text, currency) == minor


@pytest.mark.parametrize(("grams", "weight"), [(0, 0.1), (28, 1.0), (29, 1.1), (1000, 35.3)])
def test_a_weight_is_rounded_up_to_a_tenth_of_an_ounce(grams: int, weight: float) -> None:
    assert ounces(grams) == weight


# --- addresses, fresh offers, what is printed -----------------------------------------------------------


@pytest.mark.parametrize(
    ("street", "verdict"),
    [
        ("5 Elm St", Verdict.DELIVERABLE),
        ("5 Misspelt Elm St", Verdict.CORRECTED),
        ("5 Ambiguous St", Verdict.NEEDS_CONFIRMATION),
        ("5 Undeliverable St", Verdict.UNDELIVERABLE),
    ],
)
def test_an_address_is_known_known_otherwise_one_of_several_or_nowhere(
    carrier: EasyPostCarrier, street: str, verdict: Verdict
) -> None:
    assert carrier.check_address(replace(BOSTON, line1=street)).verdict is verdict


def test_a_correction_keeps_who_lives_there(carrier: EasyPostCarrier) -> None:
    answer = carrier.check_address(replace(BOSTON, line1="5 Misspelt Elm St"))

    assert answer.suggestion == replace(BOSTON, postal_code="02102")


def test_where_carriers_know_several_they_say_for_which_they_take_it(carrier: EasyPostCarrier) -> None:
    answer = carrier.check_address(replace(BOSTON, line1="5 Misspelt Ambiguous Elm St"))

    assert answer.verdict is Verdict.NEEDS_CONFIRMATION
    assert answer.suggestion == replace(BOSTON, line1="5 Elm St", postal_code="02102")


@pytest.mark.parametrize("kind", ["http_5xx", "reset", "truncated_json"])
def test_an_address_that_cannot_be_checked_is_not_known_to_be_bad(
    carrier: EasyPostCarrier, world: Simulator, kind: str
) -> None:
    world.fault(kind, "before", match={"provider": "easypost", "route": "POST /v2/addresses"})

    assert carrier.check_address(BOSTON).verdict is Verdict.UNKNOWN


@pytest.mark.parametrize("code", ["E.TIMEOUT.UNAVAILABLE", "E.COUNTRY.UNSUPPORTED"])
def test_a_verification_that_nobody_could_make_is_not_a_bad_address(code: str) -> None:
    failed = {"delivery": {"success": False, "errors": [{"code": code, "message": "cannot say"}]}}

    assert _answer(BOSTON, {"verifications": failed}).verdict is Verdict.UNKNOWN


def test_old_offers_are_made_anew_for_the_same_shipment_and_the_old_ones_are_gone(
    carrier: EasyPostCarrier, job: LabelJob
) -> None:
    first = carrier.quote(job)

    again = carrier.quote(replace(job, reference=first.reference, quotes_are_old=True))

    assert again.reference == first.reference
    with pytest.raises(RateGone):
        carrier.buy(again.reference, first.quotes[0])
    assert carrier.buy(again.reference, again.quotes[0]).cost == again.quotes[0].price


def test_a_carrier_that_gives_no_answer_is_told_from_one_that_does_not_take_the_parcel(
    carrier: EasyPostCarrier, world: Simulator, job: LabelJob
) -> None:
    world.fault("carrier_error", match={"provider": "easypost", "carrier": "UPS"})
    to_a_box = replace(job, destination=replace(BOSTON, line1="PO Box 7"))

    quoted = carrier.quote(to_a_box)

    assert quoted.silent == ("UPS",)
    assert {message.split(":")[0] for message in quoted.messages} == {"UPS", "FedEx"}


@pytest.mark.parametrize("label_format", LabelFormat)
def test_a_label_is_fetched_as_it_is_printed_in_the_format_asked_for(
    carrier: EasyPostCarrier, job: LabelJob, label_format: LabelFormat
) -> None:
    _, label = bought(carrier, replace(job, policy=Policy(label_format=label_format)))

    document = carrier.document(label)

    assert document.format is label_format
    assert document.sha256 == hashlib.sha256(document.content).hexdigest()


def test_a_label_that_is_no_label_is_asked_for_again(carrier: EasyPostCarrier, job: LabelJob) -> None:
    _, label = bought(carrier, job)
    elsewhere = label.label_url.partition("/labels/")[0]

    for url in (elsewhere.replace("/easypost", "/_sim/clock"), f"{elsewhere}/labels"):
        with pytest.raises(ProviderUnavailable):
            carrier.document(replace(label, label_url=url))


def test_a_scan_form_is_asked_for_once_and_kept_as_it_comes(
    carrier: EasyPostCarrier, world: Simulator, job: LabelJob
) -> None:
    shipment, _ = bought(carrier, job)

    asked = carrier.ask_for_form([shipment])
    made = [carrier.form(asked.reference) for _ in range(2)][-1]

    assert (asked.state, made.state) == (FormState.ASKED, FormState.MADE)
    assert carrier.form_of(shipment) == asked
    assert carrier.form_document(made).content.startswith(b"%PDF")
    assert carrier.ask_for_form([shipment]).state is FormState.REFUSED
    assert [label["form"] for label in labels(world, job)] == [asked.reference]


def test_a_scan_form_whose_answer_is_lost_is_found_by_its_shipment(
    carrier: EasyPostCarrier, world: Simulator, job: LabelJob
) -> None:
    shipment, _ = bought(carrier, job)
    world.fault("reset", when="after_commit", match={"route": "POST /v2/scan_forms"})

    with pytest.raises(OutcomeUnknown):
        carrier.ask_for_form([shipment])

    assert carrier.form_of(shipment) is not None


def test_what_was_never_paid_is_on_no_scan_form(carrier: EasyPostCarrier, job: LabelJob) -> None:
    reference = carrier.quote(job).reference

    refused = carrier.ask_for_form([reference])

    assert (refused.state, "postage" in refused.said) == (FormState.REFUSED, True)
    assert carrier.form_of(reference) is None
