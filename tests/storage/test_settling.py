"""Goods that did not serve their customer: another one or the money, decided once, on a real database."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from fulfillment.domain.cases import CaseKind, CaseRefused, Owner
from fulfillment.domain.inventory import Disposition
from fulfillment.domain.order import Outcome, UnitRange
from fulfillment.domain.playbooks import PLAYBOOKS, Answer
from fulfillment.domain.reasons import Reason
from fulfillment.domain.record import AnswerCase, CloseOrder, DeclareLost, OpenCase, StopShipments
from fulfillment.domain.refund import RefundCause, RefundNotAllowed, RequestRefund
from fulfillment.domain.settlement import Cause, Found, NotSettled, Settle, Settled, Settlement
from fulfillment.domain.tracking import CarrierStatus, Flag
from fulfillment.storage.missing import MissingStore
from fulfillment.storage.tables import (
    audit_entries,
    carrier_claims,
    cases,
    order_events,
    order_lines,
    orders,
    outbox,
    refunds,
    shipments,
    signals,
    stock_levels,
)
from tests.storage.house import MORNING, House, a_scan, only
from tests.storage.paying import capture, give_back
from tests.storage.proof import check_books, check_money

FIRST, SECOND, THIRD = "SO-1-1", "SO-1-2", "SO-1-3"
RESHIP, REFUND = Settlement.RESHIP, Settlement.REFUND
VALUE = 2 * 1200 + 500


def left(engine: Engine, **stock: Any) -> House:
    """An order that has left and is paid."""
    house = House(engine).stocked(**stock)
    house.shipped()
    capture(house, FIRST)
    return house


def lost(engine: Engine, **stock: Any) -> House:
    house = left(engine, **stock)
    house.wait(timedelta(days=10))
    house.records.declare_lost(DeclareLost(order_id="SO-1", parcel_id="SO-1-P1"))
    return house


def settle(
    house: House, wanted: Settlement | None = None, shipment_id: str = FIRST, cause: Cause = Cause.LOST
) -> Settled:
    return house.records.settle(
        Settle(
            order_id="SO-1", shipment_id=shipment_id, cause=cause, by="maria", request_id="r-1", wanted=wanted
        )
    )


def refund_of(house: House, shipment_id: str) -> str | None:
    """Give back what is not owed for a shipment, as the activity does."""
    if refund_id := house.payments.claim_refund(shipment_id):
        give_back(house, refund_id)
    return refund_id


def given_back(house: House) -> int:
    return sum(row["amount"] for row in house.rows(refunds) if row["state"] == "succeeded")


def test_what_is_lost_is_sent_again_for_nothing_and_its_units_are_taken_once(engine: Engine) -> None:
    house = lost(engine)

    settled = settle(house)

    assert (settled.settlement, settled.added) == (RESHIP, (SECOND,))
    again = house.row(shipments, shipment_id=SECOND)
    assert (again["value"], again["replaces"], again["work_status"]) == (0, FIRST, "released")
    assert [row["unit_price"] for row in house.rows(order_lines, order_id="SO-1")][2:] == [0, 0]
    assert house.row(stock_levels, sku="MUG")["allocated"] == 2
    assert house.payments.claim_refund(FIRST) is None
    assert only(house.rows(outbox, fact="reshipped"))["data"]["cause"] == "lost"
    check_money(house)


def test_p52_deciding_twice_at_once_decides_once(engine: Engine) -> None:
    house = lost(engine)

    with ThreadPoolExecutor(4) as people:
        answers = list(people.map(lambda _: settle(house), range(4)))

    assert {answer.added for answer in answers} == {(SECOND,)}
    assert len(house.rows(shipments)) == 2
    assert len(house.rows(outbox, fact="reshipped")) == 1


def test_without_stock_for_all_of_it_the_money_goes_back(engine: Engine) -> None:
    house = lost(engine, teas=1)  # the one that is lost was the last

    settled = settle(house)
    refund_of(house, FIRST)

    assert (settled.settlement, settled.added) == (REFUND, ())
    assert given_back(house) == VALUE
    assert house.row(stock_levels, sku="MUG")["allocated"] == 0  # not even a part of it is claimed
    check_money(house)


def test_who_wants_it_again_hears_that_there_is_none_and_what_to_do(engine: Engine) -> None:
    house = lost(engine, teas=1)

    with pytest.raises(NotSettled, match="refund it, or wait"):
        settle(house, RESHIP)

    assert house.row(shipments)["settled"] is None
    assert settle(house, REFUND).settlement is REFUND


def test_p38_what_is_sent_again_is_not_refunded_as_well(engine: Engine) -> None:
    house = lost(engine)
    settle(house, RESHIP)

    with pytest.raises(NotSettled, match=f"sent again as {SECOND}: cancel that"):
        settle(house, REFUND)
    with pytest.raises(RefundNotAllowed, match=f"unit 2 of line 1 is sent again with {SECOND}"):
        house.refunds.request(
            RequestRefund(
                order_id="SO-1",
                cause=RefundCause.LOST,
                by="maria",
                request_id="r-2",
                units=(UnitRange(line_no=1, first=2, count=1),),
            )
        )

    assert refund_of(house, FIRST) is None
    assert given_back(house) == 0


def test_p38_what_is_refunded_is_not_sent_again(engine: Engine) -> None:
    house = lost(engine)
    settle(house, REFUND)
    refund_of(house, FIRST)

    with pytest.raises(NotSettled, match="goes back: place a new order"):
        settle(house, RESHIP)

    assert len(house.rows(shipments)) == 1
    check_money(house)


def test_units_that_a_person_refunded_are_not_sent_again(engine: Engine) -> None:
    house = lost(engine)
    unit = (UnitRange(line_no=1, first=1, count=1),)
    request = {"order_id": "SO-1", "cause": RefundCause.LOST, "by": "maria", "request_id": "r-2"}
    house.refunds.request(RequestRefund(**request, units=unit))

    with pytest.raises(NotSettled, match="goes back already"):
        settle(house, RESHIP)

    assert settle(house).settlement is REFUND


@pytest.mark.parametrize("cause", [RefundCause.GOODWILL, RefundCause.DAMAGED])
def test_what_a_person_gave_all_money_back_for_is_not_sent_again(engine: Engine, cause: RefundCause) -> None:
    """Guard: refunds by amount count. Without it the customer has their money and gets another one."""
    house = lost(engine)
    request = {"order_id": "SO-1", "cause": cause, "by": "maria", "request_id": "r-2"}
    given = house.refunds.request(RequestRefund(**request, amount=VALUE))
    give_back(house, given.refund_id)

    with pytest.raises(NotSettled, match="goes back already"):
        settle(house, RESHIP)

    assert settle(house).settlement is REFUND
    assert refund_of(house, FIRST) is None
    assert given_back(house) == VALUE
    check_money(house)


def test_a_little_goodwill_leaves_the_goods_owed(engine: Engine) -> None:
    house = lost(engine)
    request = {"order_id": "SO-1", "cause": RefundCause.GOODWILL, "by": "maria", "request_id": "r-2"}
    given = house.refunds.request(RequestRefund(**request, amount=300))
    give_back(house, given.refund_id)

    assert settle(house).settlement is RESHIP


def test_a_refund_asked_for_twice_is_paid_once(engine: Engine) -> None:
    house = lost(engine)
    settle(house, REFUND)

    first, again = refund_of(house, FIRST), refund_of(house, FIRST)

    assert (first, again) == ("SO-1-F1", None)
    assert given_back(house) == VALUE


def test_what_is_sent_again_and_lost_too_gives_the_money_back_once(engine: Engine) -> None:
    house = lost(engine)
    settle(house)
    house.leave(SECOND, number="1Z999AA10123456785")
    house.wait(timedelta(days=10))
    house.records.declare_lost(DeclareLost(order_id="SO-1", parcel_id="SO-1-P2"))

    settled = settle(house, REFUND, SECOND)

    assert settled.settlement is REFUND
    assert refund_of(house, SECOND) is not None
    assert refund_of(house, SECOND) is None
    assert refund_of(house, FIRST) is None
    assert given_back(house) == VALUE
    check_money(house)


def test_a_replacement_that_is_cancelled_gives_the_money_of_the_first_back(engine: Engine) -> None:
    house = lost(engine)
    settle(house)
    stop = {"order_id": "SO-1", "reason": "changed_mind", "by": "maria", "request_id": "r-2"}
    house.records.stop_shipments(StopShipments(**stop, shipments=(SECOND,)))

    assert refund_of(house, SECOND) is not None

    assert given_back(house) == VALUE
    assert house.row(stock_levels, sku="MUG")["allocated"] == 0
    check_money(house)


def test_what_turns_up_keeps_its_replacement_here(engine: Engine) -> None:
    house = lost(engine)
    settle(house)
    house.wait(timedelta(hours=5))
    house.shipping.scanned("SO-1-P1", (a_scan(CarrierStatus.IN_TRANSIT, 244),), None, source="asked")

    came_to = house.records.found(Found(order_id="SO-1", shipment_id=FIRST))
    again = house.records.found(Found(order_id="SO-1", shipment_id=FIRST))

    assert (came_to.stopped, came_to.settlement) == ((SECOND,), None)
    assert (again.stopped, again.settlement) == ((), None)
    assert [row["text"] for row in house.rows(order_events, kind="found")] == [
        "Your parcel has turned up and goes on. So we send no other one."
    ]
    assert house.row(shipments, shipment_id=SECOND)["work_status"] == "cancelled"
    assert refund_of(house, SECOND) is None
    assert len(house.rows(outbox, fact="found")) == 1
    check_books(house)


def test_what_turns_up_after_its_replacement_left_is_asked_back(engine: Engine) -> None:
    house = lost(engine)
    settle(house)
    house.leave(SECOND, number="1Z999AA10123456785")

    came_to = house.records.found(Found(order_id="SO-1", shipment_id=FIRST))

    assert (came_to.stopped, came_to.settlement) == ((), RESHIP)
    assert only(house.rows(outbox, fact="found"))["data"]["then"] == "comes"
    assert "send one of them back" in house.rows(order_events, kind="found")[-1]["text"]
    assert refund_of(house, FIRST) is None
    check_money(house)


def test_what_is_delivered_after_its_money_went_back_is_asked_back_as_delivered(engine: Engine) -> None:
    house = left(engine)
    settle(house, REFUND, cause=Cause.NOT_BROUGHT)
    house.wait(timedelta(days=2))
    house.shipping.scanned("SO-1-P1", (a_scan(CarrierStatus.DELIVERED, 40),), None, source="asked")

    house.records.found(Found(order_id="SO-1", shipment_id=FIRST))

    told = only(house.rows(outbox, fact="found"))["data"]
    assert (told["arrived"], told["then"]) == (True, "refunded")
    assert house.rows(order_events, kind="found")[-1]["text"].startswith(
        "Your parcel was delivered after all."
    )


def test_what_turns_up_after_its_replacement_was_cancelled_is_not_told_that_one_comes(engine: Engine) -> None:
    house = lost(engine)
    settle(house)
    stop = StopShipments(order_id="SO-1", reason="customer", by="maria", request_id="r-9")
    house.records.stop_shipments(stop)

    house.records.found(Found(order_id="SO-1", shipment_id=FIRST))

    assert only(house.rows(outbox, fact="found"))["data"]["then"] == "refunded"


def test_p40_what_has_not_left_is_not_settled_and_nothing_is_asked_for(engine: Engine) -> None:
    house = House(engine).stocked()
    house.labeled()

    with pytest.raises(NotSettled, match="has not left"):
        settle(house)
    assert len(house.rows(shipments)) == 1
    assert house.rows(outbox, fact="reshipped") == []


def test_what_came_back_is_refunded_unless_the_customer_wants_it_again(engine: Engine) -> None:
    house = left(engine)
    house.wait(timedelta(days=4))
    house.shipping.scanned("SO-1-P1", (a_scan(CarrierStatus.RETURNED, 90),), None, source="asked")

    settled = settle(house, cause=Cause.RETURNED)

    assert settled.settlement is REFUND


def test_what_was_coming_back_has_ended_its_way_when_all_of_it_is_taken_in(engine: Engine) -> None:
    house = left(engine)
    house.wait(timedelta(days=4))
    house.shipping.scanned("SO-1-P1", (a_scan(CarrierStatus.RETURN_TO_SENDER, 90),), None, source="asked")

    take_in = {"disposition": Disposition.RESTOCK, "location_id": "wh-reno", "by": "dock", "reason": ""}
    house.returns.put_back("SO-1", 1, [1, 2], key="B-1", **take_in)
    before = house.row(shipments)["outcome"]
    house.returns.put_back("SO-1", 2, [1], key="B-2", **take_in)

    assert (before, house.row(shipments)["outcome"]) == (None, "returned")
    assert [row["body"]["status"] for row in house.rows(signals, name="milestone")][-1] == "returned"
    assert settle(house, cause=Cause.RETURNED).settlement is REFUND


OUT = {
    Cause.RETURNING: "Your parcel is on its way back to us.",
    Cause.REFUSED: "Your parcel was not accepted at the door and is on its way back to us.",
    Cause.NOT_BROUGHT: "The carrier could not bring you your parcel.",
}


def on_its_way_back(engine: Engine, kind: CaseKind = CaseKind.RETURN_TO_SENDER) -> House:
    house = left(engine)
    house.wait(timedelta(days=4))
    house.shipping.scanned("SO-1-P1", (a_scan(CarrierStatus.RETURN_TO_SENDER, 90),), None, source="asked")
    opened(house, kind)
    return house


def is_back(house: House) -> None:
    house.wait(timedelta(days=4))
    house.shipping.scanned("SO-1-P1", (a_scan(CarrierStatus.RETURNED, 180),), None, source="asked")


@pytest.mark.parametrize(("cause", "said"), OUT.items())
def test_what_is_made_good_while_it_is_still_out_is_not_told_as_come_back(
    engine: Engine, cause: Cause, said: str
) -> None:
    house = on_its_way_back(engine)

    text = settle(house, REFUND, cause=cause).text
    refund_of(house, FIRST)
    is_back(house)
    settle(house, cause=Cause.RETURNED)

    assert text == f"{said} We give you your money back."
    assert only(house.rows(order_events, kind="refund_decided"))["text"] == text
    assert house.row(refunds)["cause"] == only(house.rows(outbox, fact="refunded"))["data"]["cause"] == cause
    assert house.rows(outbox, fact="lost") == house.rows(carrier_claims) == []
    check_money(house)


@pytest.mark.parametrize("cause", list(OUT))
def test_what_came_back_before_its_order_heard_of_it_is_told_as_back(engine: Engine, cause: Cause) -> None:
    """Guard: without `_as_it_stands` its customer reads that a parcel on our shelf is on its way."""
    house = on_its_way_back(engine)
    is_back(house)

    assert settle(house, RESHIP, cause=cause).text.startswith("Your parcel came back to us. We are sending")
    assert only(house.rows(outbox, fact="reshipped"))["data"]["cause"] == "returned"


def test_money_for_what_has_come_back_since_it_was_decided_is_given_for_that(engine: Engine) -> None:
    house = on_its_way_back(engine)
    settle(house, REFUND, cause=Cause.REFUSED)
    is_back(house)

    refund_of(house, FIRST)

    assert house.row(refunds)["cause"] == "returned"
    check_money(house)


def test_money_for_what_was_sent_again_is_given_for_what_became_of_that(engine: Engine) -> None:
    house = lost(engine)
    settle(house)
    house.leave(SECOND, number="1Z999AA10123456785")

    settle(house, REFUND, shipment_id=SECOND, cause=Cause.NOT_BROUGHT)
    refund_of(house, SECOND)

    assert house.row(refunds)["cause"] == "not_brought"
    check_money(house)


@pytest.mark.parametrize("cause", [Cause.SILENT, Cause.CARRIER_PROBLEM, Cause.NOT_RECEIVED])
def test_what_nobody_lost_for_sure_is_not_told_as_lost(engine: Engine, cause: Cause) -> None:
    house = left(engine)

    text = settle(house, REFUND, cause=cause).text
    refund_of(house, FIRST)

    assert "lost" not in text
    assert house.row(refunds)["cause"] == only(house.rows(outbox, fact="lost"))["data"]["cause"] == cause


def test_what_was_destroyed_is_not_told_as_lost(engine: Engine) -> None:
    house = left(engine)
    house.wait(timedelta(days=4))
    house.shipping.scanned("SO-1-P1", (a_scan(CarrierStatus.DESTROYED, 90),), None, source="asked")

    text = settle(house, REFUND).text
    refund_of(house, FIRST)

    assert text == "Your parcel was damaged on its way. We give you your money back."
    assert house.row(refunds)["cause"] == house.row(carrier_claims)["cause"] == "damaged"
    check_money(house)


@pytest.mark.parametrize("kind", [CaseKind.RETURN_TO_SENDER, CaseKind.REFUSED])
def test_what_is_lost_on_its_way_back_is_not_sent_again_by_itself(engine: Engine, kind: CaseKind) -> None:
    """Guard: who was told that the money comes with the parcel, or refused it, would get another one."""
    house = on_its_way_back(engine, kind)
    house.records.declare_lost(DeclareLost(order_id="SO-1", parcel_id="SO-1-P1"))

    settled = settle(house)

    assert (settled.settlement, settled.text) == (REFUND, "Your parcel is lost. We give you your money back.")
    assert len(house.rows(carrier_claims)) == 1


def test_what_is_damaged_on_its_way_back_is_not_sent_again_by_itself(engine: Engine) -> None:
    house = on_its_way_back(engine, CaseKind.REFUSED)

    assert settle(house, cause=Cause.DAMAGED).settlement is REFUND


@pytest.mark.parametrize("kind", [CaseKind.RETURN_TO_SENDER, CaseKind.REFUSED])
def test_nobody_is_asked_or_promised_about_a_parcel_that_was_made_good(
    engine: Engine, kind: CaseKind
) -> None:
    house = on_its_way_back(engine, kind)
    fact = PLAYBOOKS[kind].told

    settle(house, RESHIP, cause=Cause.RETURNING)
    house.time = MORNING + timedelta(days=5, hours=8)  # no quiet hour where the customer is
    sent = {message.fact for message in house.outbox.lease(20)}

    assert fact
    assert "reshipped" in sent
    assert fact not in sent
    assert house.row(outbox, fact=fact.value)["state"] == "withdrawn"


# --- what was not received --------------------------------------------------------------------------


def delivered(engine: Engine) -> House:
    house = left(engine)
    house.wait(timedelta(days=2))
    house.shipping.scanned("SO-1-P1", (a_scan(CarrierStatus.DELIVERED, 40),), None, source="asked")
    house.records.close(CloseOrder(order_id="SO-1", outcome=Outcome.DELIVERED, reason=""))
    return house


def test_an_order_whose_parcel_was_not_received_goes_on_after_its_end(engine: Engine) -> None:
    house = delivered(engine)
    house.orders.started("SO-1")
    missing = MissingStore(engine, house.now)

    case = missing.report("SO-1", by="customer", request_id="r-1")
    again = missing.report("SO-1", by="customer", request_id="r-2")

    assert (case.subject, case.owner, again) == (FIRST, Owner.SUPPORT, case)
    order = house.row(orders)
    assert (order["status"], order["outcome"], order["completed_at"]) == ("in_fulfillment", None, None)
    assert house.orders.going_on(10) == (("SO-1", 1),)
    assert house.orders.unstarted(10) == ()
    assert len(house.rows(outbox, fact="not_received")) == 1


def test_what_was_not_received_is_asked_for_within_its_window_and_once(engine: Engine) -> None:
    house = delivered(engine)
    missing = MissingStore(engine, house.now)

    with pytest.raises(CaseRefused, match="say which parcel of SO-1: 1"):
        missing.report("SO-1", parcel=2, by="customer", request_id="r-1")
    house.wait(timedelta(days=31))
    with pytest.raises(CaseRefused, match="more than 30 days ago"):
        missing.report("SO-1", by="customer", request_id="r-2")
    house.change(shipments, {"settled": "refund"}, shipment_id=FIRST)
    with pytest.raises(CaseRefused, match="made good already"):
        missing.report("SO-1", by="customer", request_id="r-3")


# --- what is due -------------------------------------------------------------------------------------


def opened(house: House, kind: CaseKind, note: str = "") -> None:
    due_at = house.now() + timedelta(hours=1)
    house.records.open_case(OpenCase(order_id="SO-1", subject=FIRST, kind=kind, due_at=due_at, note=note))


def sweep(house: House, after: timedelta) -> list[str]:
    """Let time pass, sweep twice, and return the deeds that the order was asked for."""
    house.wait(after)
    for _ in range(2):
        house.reconciliation.sweep()
    asked = (row["body"] for row in house.rows(signals, name="overdue"))
    return [body["deed"] for body in asked if body.get("deed")]


def test_a_case_that_nobody_answers_does_what_its_playbook_says_once(engine: Engine) -> None:
    house = left(engine)
    opened(house, CaseKind.DAMAGED)

    asked = sweep(house, timedelta(hours=2))

    assert asked == ["make_good"]
    assert house.row(cases, kind="damaged")["step"] == 1


def test_p48_a_parcel_that_is_never_scanned_is_asked_for_then_a_case_and_then_lost(engine: Engine) -> None:
    house = left(engine)
    kinds = []
    for span in (timedelta(hours=25), timedelta(days=9)):
        house.wait(span)
        assert house.reconciliation.sweep().silent_parcels == ("SO-1-P1",)
        house.reconciliation.silence("SO-1-P1")
        kinds.append(house.rows(signals, name="overdue")[-1]["body"]["kind"])

    assert kinds == ["no_first_scan", "lost"]


def test_p50_trouble_that_is_noticed_twice_is_told_once(engine: Engine) -> None:
    house = left(engine)
    for _ in range(3):
        opened(house, CaseKind.PICKUP_WAITING)

    assert len(house.rows(outbox, fact="pickup_waiting")) == 1
    assert len(house.rows(cases, kind="pickup_waiting")) == 1


def test_a_case_that_nobody_settles_calls_the_next_owner_and_reminds(engine: Engine) -> None:
    house = left(engine)
    opened(house, CaseKind.ADDRESS_PROBLEM)

    sweep(house, timedelta(hours=2))
    case = house.row(cases, kind="address_problem")

    assert (case["owner"], case["state"]) == ("support", "escalated")
    assert case["due_at"] == house.now() + timedelta(hours=24)
    assert [row["body"]["why"] for row in house.rows(signals, name="replanned")] == [
        "address_problem escalated"
    ]


def test_who_does_not_pick_up_a_parcel_is_reminded_twice_of_its_last_day_then_it_is_left_to_come_back(
    engine: Engine,
) -> None:
    house = left(engine)
    opened(house, CaseKind.PICKUP_WAITING)
    last_day = (house.now() + timedelta(days=7)).isoformat()

    sweep(house, timedelta(days=2))
    sweep(house, timedelta(days=4))
    told = {row["version"]: row["data"]["until"] for row in house.rows(outbox, fact="pickup_waiting")}
    shown = house.views.view("SO-1").shipments[0].parcel
    before = house.rows(outbox, fact="not_collected")
    sweep(house, timedelta(days=1, hours=2))

    assert told == dict.fromkeys((1, 2, 3), last_day)
    assert shown
    assert shown.pick_up_until
    assert shown.pick_up_until.isoformat() == last_day
    assert before == []
    assert only(house.rows(outbox, fact="not_collected"))["data"]["reason"] == ""
    case = house.row(cases, kind="pickup_waiting")
    assert (case["state"], case["owner"]) == ("waiting", "customer")  # nobody is called: it comes back
    assert case["due_at"] == case["opened_at"] + timedelta(days=17)


def test_a_parcel_nobody_picks_up_is_given_up_only_when_the_counter_had_its_time(engine: Engine) -> None:
    """Guard: without the time at the counter in `_given_up_at`, what waits there is declared lost on day ten."""
    house = left(engine)
    house.wait(timedelta(hours=3))
    scan = a_scan(CarrierStatus.AVAILABLE_FOR_PICKUP, 2)
    house.shipping.scanned("SO-1-P1", (scan,), None, source="asked")
    kinds = []
    for span in (timedelta(days=11), timedelta(days=7)):
        house.wait(span)
        house.reconciliation.silence("SO-1-P1")
        asked = sorted(house.rows(signals, name="overdue"), key=lambda row: row["signal_id"])
        kinds.append(asked[-1]["body"]["kind"])

    assert kinds == ["no_scan", "lost"]


def test_customs_ask_the_customer_only_for_what_only_they_have(engine: Engine) -> None:
    house = left(engine)
    house.shipped("SO-2", number="1Z999AA10123456701")
    opened(house, CaseKind.CUSTOMS, "customs_duties_unpaid")
    house.records.open_case(
        OpenCase(
            order_id="SO-2",
            subject="SO-2-1",
            kind=CaseKind.CUSTOMS,
            due_at=house.now() + timedelta(hours=1),
            note="customs_inspection",
        )
    )

    asked, theirs = (house.row(cases, order_id=order_id, kind="customs") for order_id in ("SO-1", "SO-2"))

    assert (asked["owner"], theirs["owner"]) == ("customer", "support")
    assert [row["order_id"] for row in house.rows(outbox, fact="customs_asked")] == ["SO-1"]
    assert [row["order_id"] for row in house.rows(outbox, fact="customs")] == ["SO-2"]


def test_a_duty_that_nobody_pays_calls_support_then_ops(engine: Engine) -> None:
    house = left(engine)
    opened(house, CaseKind.CUSTOMS, "customs_duties_unpaid")
    called = []
    for _ in range(3):
        sweep(house, timedelta(hours=25))
        called.append(house.row(cases, kind="customs")["owner"])

    assert called == ["support", "ops", "ops"]
    answer(house, CaseKind.CUSTOMS, Answer.WAIT)
    assert house.row(cases, kind="customs")["owner"] == "customer"


@pytest.mark.parametrize("reason", [Reason.CUSTOMS_DUTIES_UNPAID, Reason.REGULATORY_HOLD])
def test_p48_the_lost_clock_stands_still_while_customs_are_the_reason_without_their_flag(
    engine: Engine, reason: Reason
) -> None:
    """Guard: `_given_up_at` reads the reason too; by its flags alone this parcel is lost after ten days."""
    house = left(engine)
    house.wait(timedelta(hours=3))
    house.shipping.scanned(
        "SO-1-P1", (a_scan(CarrierStatus.IN_TRANSIT, 2, reason=reason),), None, source="asked"
    )
    house.wait(timedelta(days=30))
    house.reconciliation.silence("SO-1-P1")
    held = [row["body"]["kind"] for row in house.rows(signals, name="overdue")]
    house.shipping.scanned(
        "SO-1-P1", (a_scan(CarrierStatus.IN_TRANSIT, 700, code="on"),), None, source="asked"
    )
    house.wait(timedelta(days=11))
    house.reconciliation.silence("SO-1-P1")

    assert held == ["no_scan"]
    assert {row["body"]["kind"] for row in house.rows(signals, name="overdue")} == {"no_scan", "lost"}


def test_a_case_of_an_order_that_has_ended_asks_nothing_of_it(engine: Engine) -> None:
    house = left(engine)
    opened(house, CaseKind.DAMAGED)
    house.change(orders, {"status": "completed"}, order_id="SO-1")

    assert sweep(house, timedelta(hours=2)) == []


def answer(house: House, kind: CaseKind, what: Answer, note: str = "", request_id: str = "r-1") -> Any:
    return house.records.answer_case(
        AnswerCase(
            order_id="SO-1",
            subject=FIRST,
            kind=kind,
            answer=what,
            by="maria",
            request_id=request_id,
            note=note,
        )
    )


def test_an_answer_to_wait_begins_the_playbook_anew_and_is_signed(engine: Engine) -> None:
    house = left(engine)
    opened(house, CaseKind.ADDRESS_PROBLEM)
    sweep(house, timedelta(hours=2))

    case = answer(house, CaseKind.ADDRESS_PROBLEM, Answer.WAIT)
    answer(house, CaseKind.ADDRESS_PROBLEM, Answer.WAIT)

    assert (case.owner, case.due_at) == (Owner.CUSTOMER, house.now() + timedelta(hours=24))
    assert [row["outcome"] for row in house.rows(audit_entries, command="answer_case")] == [
        "SO-1-1:address_problem:1: wait"
    ]


def test_a_case_is_closed_with_what_was_done_and_by_whom(engine: Engine) -> None:
    house = left(engine)
    opened(house, CaseKind.CUSTOMS)

    answer(house, CaseKind.CUSTOMS, Answer.DONE, note="the duty is paid")

    case = house.row(cases, kind="customs")
    assert (case["state"], case["resolution"], case["resolved_by"]) == (
        "resolved",
        "the duty is paid",
        "maria",
    )


def test_an_answer_that_a_case_does_not_take_is_refused_with_those_it_takes(engine: Engine) -> None:
    house = left(engine)
    opened(house, CaseKind.CUSTOMS)

    with pytest.raises(CaseRefused, match="only with done, wait"):
        answer(house, CaseKind.CUSTOMS, Answer.REFUND)
    with pytest.raises(CaseRefused, match="no open case damaged"):
        answer(house, CaseKind.DAMAGED, Answer.WAIT, request_id="r-2")


def test_others_that_wait_for_the_same_reason_are_counted(engine: Engine) -> None:
    house = left(engine)
    for n in (2, 3, 4):
        house.reserved(f"SO-{n}", mugs=1, teas=0)
    for n, note in ((1, "snow"), (2, "snow"), (3, "snow"), (4, "strike")):
        due_at = house.now() + timedelta(hours=1)
        house.records.open_case(
            OpenCase(
                order_id=f"SO-{n}", subject=f"SO-{n}-1", kind=CaseKind.CARRIER_DOWN, due_at=due_at, note=note
            )
        )

    assert house.views.view("SO-1").cases_alike == 2
    assert house.views.view("SO-4").cases_alike == 0


def test_a_damaged_parcel_that_was_made_good_is_owed_nothing_more(engine: Engine) -> None:
    house = left(engine)
    scan = a_scan(None, 3, flag=Flag.DAMAGED)
    house.wait(timedelta(hours=4))
    house.shipping.scanned("SO-1-P1", (scan,), None, source="asked")
    settle(house, REFUND, cause=Cause.DAMAGED)
    refund_of(house, FIRST)
    house.wait(timedelta(days=2))
    house.shipping.scanned("SO-1-P1", (a_scan(CarrierStatus.DELIVERED, 40),), None, source="asked")

    assert house.row(refunds)["cause"] == "damaged"
    assert refund_of(house, FIRST) is None
    check_money(house)
