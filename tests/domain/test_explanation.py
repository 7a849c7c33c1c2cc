"""The sentence about an order, what may be done with it, and what its customer reads."""

import re
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from fulfillment.domain.cases import CaseKind, Owner
from fulfillment.domain.explanation import allowed_actions, explain
from fulfillment.domain.headline import Tone, headline, shipment_headline, still_expected_on
from fulfillment.domain.holds import HoldReason
from fulfillment.domain.order import ENDED, OrderStatus
from fulfillment.domain.payment import OrderPayment
from fulfillment.domain.settlement import Settlement
from fulfillment.domain.shipment import WaitsFor, WorkStatus
from fulfillment.domain.tracking import JOURNEY_OVER, CarrierStatus, Flag
from tests.starter import states
from tests.starter.states import STATES
from tests.starter.views import (
    DAY,
    FRIDAY,
    HOUR,
    NOON,
    a_case,
    a_hold,
    a_parcel,
    a_shipment,
    a_view,
    an_order,
)

# --- explain -----------------------------------------------------------------------------------------------


def test_a_held_order_says_who_must_act_and_what_happens_if_nobody_does() -> None:
    why = explain(states.held(), NOON + HOUR)

    assert why.sentence == (
        "SO-10483 waits for a person to check it for fraud since 12:00. If nobody acts by Thu 26 Nov 12:00, "
        "it is cancelled and the money let go. Support must act."
    )
    assert (why.since, why.who) == (NOON, Owner.SUPPORT)


def test_a_note_on_a_hold_is_part_of_the_sentence() -> None:
    held = a_view(a_shipment(), holds=(a_hold(HoldReason.CUSTOMER, note="on holiday"),))

    why = explain(held, NOON + HOUR)

    assert "(on holiday)" in why.sentence
    assert "it is released and ships" in why.next
    assert why.who is Owner.CUSTOMER


def test_the_hold_that_is_due_first_is_told_and_the_others_are_counted() -> None:
    late = a_hold(HoldReason.MANUAL, due_at=NOON + 9 * DAY)
    soon = a_hold(HoldReason.ADDRESS, due_at=NOON + DAY)

    why = explain(a_view(a_shipment(), holds=(late, soon)), NOON)

    assert why.waits_for == "a good address"
    assert "1 more hold stands beside it" in why.next


def test_a_hold_is_not_what_a_parcel_on_the_road_waits_for() -> None:
    left = a_view(a_shipment(parcel=a_parcel()), holds=(a_hold(HoldReason.MANUAL),))

    assert "UPS to deliver" in explain(left, NOON + 2 * DAY).waits_for


@pytest.mark.parametrize("kind", CaseKind)
def test_every_kind_of_trouble_has_its_sentence(kind: CaseKind) -> None:
    trouble = a_view(a_shipment(parcel=a_parcel()), cases=(a_case(kind, note="seen twice"),))

    why = explain(trouble, NOON + HOUR)

    assert why.sentence.startswith("SO-10483 waits for ")
    assert "(seen twice) since 12:00." in why.sentence
    assert "by Tue 24 Nov 12:00" in why.next
    assert why.who is a_case(kind).owner


def test_the_most_urgent_trouble_is_told() -> None:
    cases = (a_case(CaseKind.NO_SCAN), a_case(CaseKind.CAPTURE_FAILED), a_case(CaseKind.LOST))

    why = explain(a_view(a_shipment(parcel=a_parcel()), cases=cases), NOON)

    assert "the payment could not be taken" in why.waits_for


def test_trouble_past_its_time_says_since_when() -> None:
    overdue = a_view(a_shipment(), cases=(a_case(CaseKind.WAREHOUSE_LATE),))

    assert "It was due Tue 24 Nov 12:00." in explain(overdue, NOON + 2 * DAY).next


@pytest.mark.parametrize(
    ("shipment", "waits_for", "who"),
    [
        (a_shipment(), "wh-reno to pick SO-10483-1", Owner.WAREHOUSE),
        (a_shipment(work_status=WorkStatus.PICKING), "wh-reno to finish picking SO-10483-1", Owner.WAREHOUSE),
        (a_shipment(work_status=WorkStatus.PICKED), "wh-reno to pack SO-10483-1", Owner.WAREHOUSE),
        (a_shipment(work_status=WorkStatus.PACKED), "a label for SO-10483-1", None),
        (a_shipment(work_status=WorkStatus.LABELED), "wh-reno to hand over SO-10483-1", Owner.WAREHOUSE),
        (
            a_shipment(work_status=WorkStatus.SCHEDULED, waits_for=WaitsFor.STOCK),
            "stock of TEE-BLK-M, MUG-12 for SO-10483-1",
            Owner.WAREHOUSE,
        ),
        (
            a_shipment(work_status=WorkStatus.SCHEDULED, waits_for=WaitsFor.PAYMENT),
            "the bank to reserve the money for SO-10483-1",
            None,
        ),
        (a_shipment(parcel=a_parcel()), "UPS to deliver SO-10483-P1", None),
    ],
)
def test_an_order_under_way_waits_for_the_part_that_is_furthest_behind(
    shipment: object, waits_for: str, who: Owner | None
) -> None:
    why = explain(a_view(shipment), NOON + HOUR)  # type: ignore[arg-type]

    assert why.waits_for == waits_for
    assert why.who is who
    assert why.sentence.endswith("must act." if who else "Nothing for you to do.")


@pytest.mark.parametrize("status", OrderStatus)
def test_every_status_can_be_explained(status: OrderStatus) -> None:
    why = explain(a_view(status=status), NOON + HOUR)

    assert why.sentence.startswith("SO-10483 ")
    assert why.waits_for
    assert ("ended" in why.sentence) is (status in ENDED)


def test_an_ended_order_still_says_what_is_open() -> None:
    refund = replace(states.lost(), status=OrderStatus.COMPLETED, outcome="lost", completed_at=NOON)

    why = explain(replace(refund, cases=(a_case(CaseKind.REFUND_FAILED),)), NOON + HOUR)

    assert why.sentence.startswith("SO-10483 ended: lost 12:00. Still open: a refund")
    assert why.who is Owner.SUPPORT


# --- allowed actions ---------------------------------------------------------------------------------------


CHANGES = ["change_items", "change_address", "change_service"]


def may(view: object) -> list[str]:
    return [action for action, why_not in allowed_actions(view).items() if why_not is None]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("state", "allowed"),
    [
        ("confirmed", ["cancel", "hold", *CHANGES]),
        ("held", ["cancel", "hold", "release", *CHANGES]),
        ("backordered", ["cancel", "hold", *CHANGES]),
        ("packed", ["cancel", "hold", *CHANGES]),
        ("in_transit", []),
        ("late", []),
        ("delivered", ["not_received"]),
        ("declined", ["cancel", "hold", "retry_payment"]),
        ("cancelled", []),
    ],
)
def test_what_may_be_done_follows_from_where_the_order_is(state: str, allowed: list[str]) -> None:
    assert may(STATES[state][0]()) == allowed


def test_an_order_of_which_one_part_has_left_may_still_lose_the_other() -> None:
    half = a_view(a_shipment(1, parcel=a_parcel()), a_shipment(2))

    assert may(half) == ["cancel", "hold", *CHANGES]


def test_a_refused_action_says_why_and_what_instead() -> None:
    why_not = allowed_actions(states.in_transit())["cancel"]

    assert why_not == (
        "SO-10483-P1 was handed to UPS Tue 24 Nov 12:00. "
        "Let the customer refuse it, or take it back as a return."
    )


def test_an_order_being_cancelled_is_not_cancelled_twice() -> None:
    why_not = allowed_actions(a_view(a_shipment(), status=OrderStatus.CANCELLING))

    assert why_not["cancel"] == "SO-10483 is being cancelled already."


@pytest.mark.parametrize("status", sorted(ENDED))
def test_nothing_may_be_done_with_an_ended_order(status: OrderStatus) -> None:
    view = a_view(a_shipment(), status=status, holds=(a_hold(HoldReason.MANUAL),))

    assert may(view) == []


def test_a_backorder_that_cannot_be_paid_may_be_paid_another_way() -> None:
    view = a_view(a_shipment(), cases=(a_case(CaseKind.PAYMENT_DECLINED, "SO-10483-2"),))

    assert "retry_payment" in may(view)


# --- what the customer reads -------------------------------------------------------------------------------


@pytest.mark.parametrize("state", STATES)
def test_each_state_has_its_headline(state: str) -> None:
    make, text, line, now = STATES[state]

    news = headline(make(), now)

    assert news.text == text
    assert line in news.line


@pytest.mark.parametrize("carrier_status", CarrierStatus)
@pytest.mark.parametrize("work_status", WorkStatus)
def test_no_state_is_without_words(work_status: WorkStatus, carrier_status: CarrierStatus) -> None:
    parcel = a_parcel(carrier_status=carrier_status, delivered_at=NOON)
    shipment = a_shipment(parcel=parcel, work_status=work_status)

    news = shipment_headline(a_view(shipment), shipment, NOON)

    assert news.text
    assert news.line
    assert "None" not in news.sentence


@pytest.mark.parametrize(
    ("country", "region", "hours", "said"),
    [
        ("US", "CA", 0, "tries again on Tue 24 Nov"),
        ("US", "CA", 24 + 19.9, "tries again on Tue 24 Nov"),  # 23:54 there, the next day in UTC
        ("US", "CA", 24 + 20, "was to try again on Tue 24 Nov"),
        ("JP", "", 24 + 2.9, "tries again on Tue 24 Nov"),
        ("JP", "", 24 + 3, "was to try again on Tue 24 Nov"),  # midnight there, afternoon in UTC
    ],
)
def test_the_day_of_the_next_attempt_is_named_until_it_is_over_where_the_customer_is(
    country: str, region: str, hours: float, said: str
) -> None:
    missed = a_parcel(carrier_status=CarrierStatus.ATTEMPTED, again_on=date(2026, 11, 24))
    ship_to = replace(an_order().ship_to, country=country, region=region)
    view = a_view(a_shipment(parcel=missed), order=an_order(ship_to=ship_to))

    news = headline(view, NOON + hours * HOUR)

    assert news.line.startswith(f"UPS {said}")


@pytest.mark.parametrize(
    ("days", "text", "line"),
    [
        (0, "Ready to pick up", "The last day is Mon 30 Nov. Bring an ID"),  # there; in UTC it is Tuesday
        (8, "It was not picked up", "The last day was Mon 30 Nov, so we expect it back"),
    ],
)
def test_a_counter_is_named_with_the_last_day_that_was_told(days: int, text: str, line: str) -> None:
    waits = a_parcel(carrier_status=CarrierStatus.AVAILABLE_FOR_PICKUP, pick_up_until=NOON + 7.6 * DAY)

    news = headline(a_view(a_shipment(parcel=waits)), NOON + days * DAY)

    assert news.text == text
    assert line in news.line


@pytest.mark.parametrize("status", [CarrierStatus.ATTEMPTED, CarrierStatus.IN_TRANSIT])
@pytest.mark.parametrize(
    ("reason", "text"),
    [
        ("consignee_refused", "It was not accepted at the door"),
        ("consignee_incorrect_address", "UPS cannot find your address"),
        ("consignee_not_home", "They missed you"),
    ],
)
def test_what_kept_a_parcel_from_its_door_is_said_with_whatever_status_it_comes(
    status: CarrierStatus, reason: str, text: str
) -> None:
    parcel = a_parcel(carrier_status=status, reason=reason)

    assert headline(a_view(a_shipment(parcel=parcel)), NOON).text == text


@pytest.mark.parametrize("status", sorted(set(CarrierStatus) - JOURNEY_OVER))
def test_nothing_is_promised_of_a_parcel_whose_money_goes_back(status: CarrierStatus) -> None:
    parcel = a_parcel(carrier_status=status, again_on=FRIDAY)
    view = a_view(a_shipment(parcel=parcel, settled=Settlement.REFUND))

    news = headline(view, NOON)

    assert not re.search("rriving|again|UPS|when it is here|pick up", news.sentence)
    assert "We will write to you about your money." in news.line


@pytest.mark.parametrize(
    ("changes", "day"),
    [
        ({}, FRIDAY),
        ({"settled": Settlement.REFUND}, None),
        ({"parcel": a_parcel(carrier_status=CarrierStatus.RETURN_TO_SENDER)}, None),
        ({"parcel": None}, FRIDAY),
    ],
)
def test_no_day_is_named_for_what_does_not_come(changes: dict[str, Any], day: date | None) -> None:
    shipment = replace(a_shipment(parcel=a_parcel()), **changes)

    assert still_expected_on(a_view(shipment), shipment) == day


def test_what_arrives_after_its_money_went_back_is_not_told_without_that() -> None:
    parcel = a_parcel(carrier_status=CarrierStatus.DELIVERED, delivered_at=NOON)
    view = a_view(a_shipment(parcel=parcel, settled=Settlement.REFUND))

    assert headline(view, NOON).line == "In Salt Lake City, UT. We will write to you about your money."


def test_a_parcel_on_its_way_back_is_waited_for_as_that() -> None:
    back = a_parcel(carrier_status=CarrierStatus.RETURN_TO_SENDER)
    first = a_shipment(parcel=back, settled=Settlement.RESHIP)
    again = a_shipment(2, parcel=a_parcel(2), replaces=first.shipment_id)

    refunded = explain(a_view(a_shipment(parcel=back, settled=Settlement.REFUND)), NOON)
    reshipped = explain(a_view(first, again), NOON)

    assert refunded.waits_for == "UPS to bring back SO-10483-P1"
    assert "Its money goes back already." in refunded.next
    assert "Expected" not in refunded.next
    assert reshipped.waits_for == "UPS to deliver SO-10483-P2"


def test_a_date_that_moves_is_said_first_and_the_old_one_is_kept() -> None:
    news = headline(states.late(), NOON + 2 * DAY)

    assert (news.text, news.was, news.tone) == ("Now arriving Sat 28 Nov", FRIDAY, Tone.LATE)


def test_the_carrier_may_be_earlier_than_we_promised() -> None:
    early = a_view(a_shipment(parcel=a_parcel(edd_date=FRIDAY - timedelta(days=1))))

    news = headline(early, NOON)

    assert (news.text, news.was, news.tone) == ("Arriving Thu 26 Nov", None, Tone.CALM)


def test_a_day_that_has_passed_is_never_promised_again() -> None:
    news = headline(states.in_transit(), NOON + 10 * DAY)

    assert news.text == "Expected Fri 27 Nov, not here yet"
    assert news.tone is Tone.LATE


def test_a_damaged_parcel_is_not_passed_over_in_silence() -> None:
    damaged = a_view(a_shipment(parcel=a_parcel(flags=(Flag.DAMAGED,))))

    assert "reports damage" in headline(damaged, NOON).line


def test_the_silence_of_one_parcel_is_not_told_of_another() -> None:
    quiet = a_case(CaseKind.NO_SCAN, "SO-10483-P2", opened_at=NOON)
    one, two = a_shipment(1, parcel=a_parcel(1)), a_shipment(2, parcel=a_parcel(2))
    view = a_view(one, two, cases=(quiet,))

    assert shipment_headline(view, one, NOON).text == "Arriving Fri 27 Nov"
    assert shipment_headline(view, two, NOON).text == "Your parcel is slower than usual"


@pytest.mark.parametrize(
    ("status", "line"),
    [
        (OrderPayment.VOIDED, "You were not charged"),
        (OrderPayment.NONE, "You were not charged"),
        (OrderPayment.PAID, "We are sending your money back"),
        (OrderPayment.REFUNDED, "Your money is on its way back"),
    ],
)
def test_a_cancelled_order_says_what_happens_with_the_money(status: OrderPayment, line: str) -> None:
    view = states.cancelled()

    news = headline(replace(view, payment=replace(view.payment, status=status)), NOON)

    assert line in news.line


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        (HoldReason.FRAUD, "We're checking your order"),
        (HoldReason.ADDRESS, "We need your help"),
        (HoldReason.PAYMENT, "We need your payment again"),
        (HoldReason.CUSTOMER, "Waiting, as you asked"),
        (HoldReason.MANUAL, "We're checking your order"),
    ],
)
def test_a_hold_is_told_without_the_word_fraud(reason: HoldReason, text: str) -> None:
    news = headline(a_view(a_shipment(), holds=(a_hold(reason),)), NOON)

    assert news.text == text
    assert "fraud" not in news.sentence.lower()
