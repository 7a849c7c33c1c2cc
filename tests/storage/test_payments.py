"""Money is asked for once, recorded once, and the order goes on when it is there."""

from datetime import timedelta

import pytest

from fulfillment.domain.holds import HoldReason
from fulfillment.domain.operation import Authorization, Captured, Operation
from fulfillment.domain.payment import (
    AuthorizationExpired,
    Declined,
    DeclineGroup,
    OperationState,
    PaymentStatus,
)
from fulfillment.domain.record import Confirm, ReleaseHold, StopShipments
from fulfillment.domain.shipment import Stop, WorkStatus
from fulfillment.storage.captures import NotHandedOver
from fulfillment.storage.operations import UnknownOperation
from fulfillment.storage.tables import (
    cases,
    holds,
    order_events,
    orders,
    outbox,
    payments,
    promises,
    provider_operations,
    shipments,
    stock_movements,
)
from tests.storage.house import House, an_order
from tests.storage.paying import a_snapshot, capture, claim, give_back, pay


def facts(house: House) -> list[str]:
    return [row["fact"] for row in house.rows(outbox)]


def test_a_claim_says_what_to_ask_for_and_how_often_it_was_sent_before(house: House) -> None:
    house.stocked().reserved()

    first = claim(house, "SO-1-1")
    house.wait(timedelta(seconds=30))
    again = claim(house, "SO-1-1")

    assert first.key == first.provider_key == "SO-1:authorize:SO-1-1:1"
    assert (first.amount.minor, first.method, first.sends) == (2900, "pm_card_visa", 0)
    assert (again.sends, again.key_age) == (1, timedelta(seconds=30))
    assert len(house.rows(payments)) == 1


def test_a_lost_answer_leaves_the_operation_open_with_its_reason(house: House) -> None:
    house.stocked().reserved()
    key = claim(house, "SO-1-1").key

    house.payments.unknown(key, "OutcomeUnknown")

    left = house.payments.open_operation(key)
    assert left is not None
    assert (left.state, left.error_class, left.sends) == (OperationState.UNKNOWN, "OutcomeUnknown", 1)


def test_a_renewed_operation_has_a_fresh_provider_key_and_age(house: House) -> None:
    house.stocked().reserved()
    key = claim(house, "SO-1-1").key
    house.payments.unknown(key, "FailureStored")
    house.wait(timedelta(days=2))
    again = claim(house, "SO-1-1")

    renewed = house.payments.renewed(key)

    assert (again.provider_key, again.error_class) == (key, "FailureStored")
    assert (renewed.provider_key, renewed.key_age, renewed.error_class) == (f"{key}~1", timedelta(0), "")
    assert renewed.sends == again.sends == 1


def test_money_for_everything_confirms_the_order_and_sends_it_to_the_floor(house: House) -> None:
    house.stocked().reserved()

    paid = pay(house, "SO-1-1")

    order = house.row(orders)
    assert (paid.status, paid.confirmed, paid.released) == (PaymentStatus.AUTHORIZED, True, ("SO-1-1",))
    assert (order["status"], order["placed"]) == ("in_fulfillment", "confirmed")
    assert order["promise_date"] == order["promise_first_date"] == paid.promise_date
    assert [e["kind"] for e in house.rows(order_events)] == ["received", "confirmed", "released"]
    assert facts(house) == ["confirmed"]
    (mug, tea) = house.stock.levels()
    assert (mug.reserved, mug.allocated, tea.reserved, tea.allocated) == (0, 2, 0, 1)


def test_an_answer_recorded_twice_is_recorded_once(house: House) -> None:
    house.stocked().reserved()
    first = pay(house, "SO-1-1")
    counts = [len(house.rows(t)) for t in (order_events, outbox, stock_movements, promises)]

    again = house.payments.authorized(first.payment_id, a_snapshot(2900))

    assert again == first == house.payments.outcome(first.payment_id)
    assert [len(house.rows(t)) for t in (order_events, outbox, stock_movements, promises)] == counts


def test_an_order_of_two_shipments_waits_for_the_money_of_both(house: House) -> None:
    house.stocked(mugs=1)
    house.stock.add_location("wh-lehigh", name="Lehigh", address=an_order().ship_to, priority=2)
    house.stock.receive("MUG", "wh-lehigh", 1, key="R-1", by="dock")
    first, second = house.reserved(mugs=2)

    half = pay(house, first)
    whole = pay(house, second, 2)

    assert (half.confirmed, half.released) == (False, ())
    assert (whole.confirmed, whole.released) == (True, (first, second))


def test_a_short_order_is_confirmed_for_what_is_there_and_the_customer_hears_what_is_not(
    house: House,
) -> None:
    house.stocked(mugs=1, teas=0).reserved(mugs=3, teas=2)

    paid = pay(house, "SO-1-1")

    assert paid.confirmed
    assert house.row(orders)["placed"] == "short"
    assert sorted(facts(house)) == ["backordered", "confirmed", "part_cancelled"]
    told = house.row(outbox, fact="backordered")["data"]["short"]
    assert [(line["sku"], line["got"], line["backordered"]) for line in told] == [("MUG", 1, 2)]


def test_an_order_that_only_waits_is_confirmed_without_money(house: House) -> None:
    house.stocked(mugs=0).reserved(teas=0)

    confirmed = house.records.confirm(Confirm(order_id="SO-1"))

    assert (confirmed.released, house.row(orders)["status"]) == ((), "confirmed")
    assert confirmed.promise_date is not None
    assert house.records.confirm(Confirm(order_id="SO-1")) == confirmed


def test_a_decline_is_told_once_and_another_attempt_may_still_confirm(house: House) -> None:
    house.stocked().reserved()
    key = claim(house, "SO-1-1").key
    no = Declined(DeclineGroup.OTHER_METHOD, "lost_card")

    declined = house.payments.declined(key, no)
    again = house.payments.declined(key, no)
    order = house.row(orders)
    paid = pay(house, "SO-1-1", attempt=2)

    assert declined == again
    assert (declined.status, declined.decline_group) == (PaymentStatus.DECLINED, "other_method")
    assert (order["status"], order["placed"]) == ("payment_failed", "declined")
    assert facts(house) == ["payment_declined", "confirmed"]
    assert paid.confirmed
    assert (house.row(cases)["state"], house.row(orders)["placed"]) == ("resolved", "confirmed")


def test_a_declined_attempt_keeps_its_stock(house: House) -> None:
    house.stocked().reserved()
    key = claim(house, "SO-1-1").key

    house.payments.declined(key, Declined(DeclineGroup.RETRY_LATER))

    assert [level.reserved for level in house.stock.levels()] == [2, 1]


def test_a_settled_attempt_is_not_asked_for_again(house: House) -> None:
    house.stocked().reserved()
    pay(house, "SO-1-1")

    again = house.payments.claim_authorization("SO-1", 1, ("SO-1-1",))

    assert isinstance(again, Authorization)
    assert again.status is PaymentStatus.AUTHORIZED
    assert house.row(provider_operations)["sends"] == 1


def test_a_risky_payment_is_confirmed_and_held_before_the_floor_sees_it(house: House) -> None:
    house.stocked().reserved()

    paid = pay(house, "SO-1-1", risk_score=80)

    assert (paid.confirmed, paid.released) == (True, ())
    assert [hold.reason for hold in paid.holds] == [HoldReason.FRAUD]
    assert house.row(holds)["hold_id"] == "SO-1:fraud:1"
    assert house.row(cases)["kind"] == "fraud_review"
    shipment = house.row(shipments)
    assert (shipment["work_status"], shipment["waits_for"]) == ("scheduled", "hold")


def test_an_order_a_person_cleared_is_not_held_again_by_its_next_authorization(house: House) -> None:
    house.stocked().reserved()
    pay(house, "SO-1-1", risk_score=80, expires_at=house.now() + timedelta(days=7))
    house.records.release_hold(
        ReleaseHold(order_id="SO-1", reason=HoldReason.FRAUD, by="sue", request_id="r-1")
    )
    house.wait(timedelta(days=8))

    paid = pay(house, "SO-1-1", attempt=2, risk_score=95)

    assert paid.holds == ()
    assert [row["state"] for row in house.rows(holds)] == ["released"]


def test_a_hold_nobody_answered_clears_nothing(house: House) -> None:
    house.stocked().reserved()
    pay(house, "SO-1-1", risk_score=80, expires_at=house.now() + timedelta(days=7))
    house.records.release_hold(
        ReleaseHold(order_id="SO-1", reason=HoldReason.FRAUD, by="clock", request_id="", defaulted=True)
    )
    house.wait(timedelta(days=8))

    paid = pay(house, "SO-1-1", attempt=2, risk_score=80)

    assert [hold.reason for hold in paid.holds] == [HoldReason.FRAUD]


def test_what_came_from_the_queue_does_not_delay_the_confirmation_of_the_rest(house: House) -> None:
    house.stocked(mugs=1).reserved(mugs=2)
    house.stock.receive("MUG", "wh-reno", 1, key="R-1", by="dock")
    filled = house.row(shipments, shipment_id="SO-1-2")["waits_for"]

    paid = pay(house, "SO-1-1")

    assert filled == "payment"
    assert (paid.confirmed, paid.released) == (True, ("SO-1-1",))


def test_what_waited_has_all_its_time_on_the_floor(house: House) -> None:
    house.stocked().reserved()
    house.wait(timedelta(days=3))

    pay(house, "SO-1-1")

    assert house.row(shipments)["ship_by"] == house.now() + timedelta(
        hours=40
    )  # the end of the next business day


def test_what_was_held_has_all_its_time_on_the_floor(house: House) -> None:
    house.stocked().reserved()
    pay(house, "SO-1-1", risk_score=80)
    house.wait(timedelta(days=3))

    house.records.release_hold(
        ReleaseHold(order_id="SO-1", reason=HoldReason.FRAUD, by="sue", request_id="r-1")
    )

    assert house.row(shipments)["ship_by"] == house.now() + timedelta(
        hours=40
    )  # the end of the next business day


def test_the_money_of_what_has_left_is_never_let_go(house: House) -> None:
    house.stocked().shipped()

    with pytest.raises(Stop, match="has left"):
        house.payments.claim_void("SO-1-1")

    assert house.rows(provider_operations, kind="void") == []


def test_an_ordinary_risk_holds_nothing(house: House) -> None:
    house.stocked().reserved()

    paid = pay(house, "SO-1-1", risk_score=74)

    assert (paid.released, house.rows(holds)) == (("SO-1-1",), [])


def test_a_payment_that_needs_the_customer_waits_with_its_link_until_it_is_done(house: House) -> None:
    house.stocked().reserved()
    key = claim(house, "SO-1-1").key
    asks = a_snapshot(0, status=PaymentStatus.ACTION_REQUIRED, next_action_url="https://bank.example/3ds")

    waiting = house.payments.authorized(key, asks)
    house.payments.authorized(key, asks)
    still_open = house.payments.waiting(key)
    paid = house.payments.authorized(key, a_snapshot(2900))

    assert (waiting.status, waiting.next_action_url) == (
        PaymentStatus.ACTION_REQUIRED,
        "https://bank.example/3ds",
    )
    assert still_open is not None
    assert still_open.reference == "pi_1"
    assert paid.confirmed
    assert house.payments.waiting(key) is None
    assert facts(house) == ["payment_action", "confirmed"]


def test_money_found_given_up_at_the_provider_is_a_decline(house: House) -> None:
    house.stocked().reserved()
    key = claim(house, "SO-1-1").key

    answer = house.payments.authorized(key, a_snapshot(0, status=PaymentStatus.VOIDED))

    assert (answer.status, answer.decline_group) == (PaymentStatus.DECLINED, "retry_later")


def test_a_refused_request_frees_the_shipment_for_another_attempt(house: House) -> None:
    house.stocked().reserved()
    key = claim(house, "SO-1-1").key

    house.payments.failed(key, "Rejected")

    assert house.payments.outcome(key).status is PaymentStatus.VOIDED
    assert pay(house, "SO-1-1", attempt=2).confirmed


def test_an_authorization_that_ran_out_makes_room_for_the_next(house: House) -> None:
    house.stocked().reserved()
    pay(house, "SO-1-1", expires_at=house.now() + timedelta(days=7))
    house.wait(timedelta(days=8))

    pay(house, "SO-1-1", attempt=2)

    assert [row["status"] for row in house.rows(payments)] == ["expired", "authorized"]


def test_nothing_is_asked_for_a_stopped_shipment(house: House) -> None:
    house.stocked().reserved()
    house.records.stop_shipments(
        StopShipments(order_id="SO-1", reason="changed_mind", by="ann", request_id="")
    )

    with pytest.raises(Stop):
        claim(house, "SO-1-1")

    assert house.rows(payments) == []


def test_no_money_is_taken_before_the_goods_have_left(house: House) -> None:
    house.stocked().labeled()

    with pytest.raises(NotHandedOver):
        house.payments.claim_capture("SO-1-1")


def test_money_is_taken_once_for_what_has_left(house: House) -> None:
    house.stocked().shipped()
    capture(house, "SO-1-1")

    again = house.payments.claim_capture("SO-1-1")

    assert again == Captured(amount=2900)
    payment = house.row(payments)
    assert (payment["status"], payment["captured"]) == ("captured", 2900)
    assert house.row(provider_operations, kind="capture")["operation_key"] == "SO-1:capture:SO-1-1:1"


def test_a_capture_that_came_too_late_lets_the_shipment_be_paid_anew(house: House) -> None:
    house.stocked().shipped()
    operation = house.payments.claim_capture("SO-1-1")
    assert isinstance(operation, Operation)

    house.payments.failed(operation.key, AuthorizationExpired.__name__)

    with pytest.raises(AuthorizationExpired):
        house.payments.claim_capture("SO-1-1")
    pay(house, "SO-1-1", attempt=2)
    capture(house, "SO-1-1")
    assert [row["status"] for row in house.rows(payments)] == ["expired", "captured"]


def test_a_refused_capture_is_asked_again_under_a_fresh_key(house: House) -> None:
    house.stocked().shipped()
    first = house.payments.claim_capture("SO-1-1")
    assert isinstance(first, Operation)
    house.payments.failed(first.key, "Rejected")

    again = house.payments.claim_capture("SO-1-1")

    assert isinstance(again, Operation)
    assert (again.key, again.provider_key, again.settled) == (first.key, f"{first.key}~1", False)


def test_money_is_let_go_once(house: House) -> None:
    house.stocked().released()
    operation = house.payments.claim_void("SO-1-1")
    assert operation is not None

    for _ in range(2):
        house.payments.voided(operation.key, a_snapshot(2900, status=PaymentStatus.VOIDED))

    assert (operation.key, operation.reference) == ("SO-1:void:SO-1-1:1", "pi_SO-1-1")
    assert house.payments.claim_void("SO-1-1") is None
    assert house.row(payments)["status"] == "voided"
    assert [e["kind"] for e in house.rows(order_events)].count("voided") == 1


def test_what_was_taken_is_given_back_once(house: House) -> None:
    house.stocked().shipped()
    before = house.payments.claim_refund("SO-1-1")
    capture(house, "SO-1-1")
    owed = house.payments.claim_refund("SO-1-1")
    house.change(shipments, {"outcome": "lost"}, shipment_id="SO-1-1")
    refund_id = house.payments.claim_refund("SO-1-1")
    assert refund_id == house.payments.claim_refund("SO-1-1") == "SO-1-F1"

    for _ in range(2):
        give_back(house, refund_id)

    assert (before, owed) == (None, None)
    assert house.row(payments)["refunded"] == 2900
    assert house.row(provider_operations, kind="refund")["operation_key"] == "SO-1:refund:SO-1-F1:1"
    assert house.payments.claim_refund("SO-1-1") is None
    assert facts(house) == ["confirmed", "shipped", "refunded"]


def test_a_worthless_shipment_is_never_charged(house: House) -> None:
    house.stocked().labeled()
    house.change(shipments, {"value": 0, "work_status": WorkStatus.HANDED_OVER.value}, shipment_id="SO-1-1")

    assert house.payments.claim_capture("SO-1-1") == Captured(amount=0)


def test_a_key_nobody_claimed_is_unknown(house: House) -> None:
    with pytest.raises(UnknownOperation):
        house.payments.unknown("SO-9:authorize:SO-9-1:1", "OutcomeUnknown")
