"""What carriers owe us: a task beside the order with a last day, which ends with what came of it."""

from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, delete
from sqlalchemy.exc import IntegrityError

from fulfillment.domain.carrier_claims import ClaimOutcome, ClaimRefused
from fulfillment.domain.cases import CaseKind
from fulfillment.domain.explanation import explain
from fulfillment.domain.invariants import Evidence, money
from fulfillment.domain.order import Outcome
from fulfillment.domain.policy import DEFAULT
from fulfillment.domain.record import CloseOrder, DeclareLost, OpenCase
from fulfillment.domain.settlement import Cause, Found, Settle, Settlement
from fulfillment.domain.tracking import CarrierStatus
from fulfillment.storage.audit import AuditStore
from fulfillment.storage.carrier_claims import CarrierClaims
from fulfillment.storage.open_cases import OpenCases
from fulfillment.storage.tables import (
    audit_entries,
    carrier_claims,
    cases,
    order_events,
    order_lines,
    orders,
    outbox,
    shipments,
    signals,
)
from tests.storage.house import NUMBER, House, a_scan, only
from tests.storage.paying import capture

FIRST, AGAIN, PARCEL = "SO-1-1", "SO-1-2", "SO-1-P1"
VALUE = 2 * 1200 + 500
TASK = f"file a claim with UPS until Wed 23 Dec: SO-1-P1 ({NUMBER}) is lost, 29.00 USD"


def lost(engine: Engine) -> House:
    house = House(engine).stocked()
    house.shipped()
    capture(house, FIRST)
    house.wait(timedelta(days=10))
    house.records.declare_lost(DeclareLost(order_id="SO-1", parcel_id=PARCEL))
    return house


def settle(house: House, cause: Cause = Cause.LOST, wanted: Settlement | None = None) -> None:
    said = {"by": "policy", "request_id": f"{FIRST}:{cause}", "wanted": wanted}
    house.records.settle(Settle(order_id="SO-1", shipment_id=FIRST, cause=cause, **said))


def end(house: House, outcome: ClaimOutcome, paid: int = 0) -> str:
    claims = CarrierClaims(house.engine, house.now)
    return claims.end(PARCEL, outcome, paid=paid, by="maria", request_id="r-1", note="UPS C-77")


def the_case(house: House, kind: CaseKind = CaseKind.CARRIER_CLAIM) -> dict[str, Any]:
    return house.row(cases, kind=kind.value)


CLAIMED = (Cause.LOST, Cause.SILENT, Cause.CARRIER_PROBLEM, Cause.DAMAGED)


def check_kept(house: House) -> None:
    assert unclaimed(house) == ()
    assert money.carrier_claims_kept(books_of(house)).violations == ()


def unclaimed(house: House) -> tuple[str, ...]:
    """What the audit says of losses that nobody claims."""
    return money.no_loss_goes_unclaimed(books_of(house)).violations


def books_of(house: House) -> Evidence:
    return Evidence(books=AuditStore(house.engine, house.now).books())


def forget_claims(house: House) -> None:
    """Take the claims out of the books, as if nobody had opened one."""
    with house.engine.begin() as conn:
        conn.execute(delete(carrier_claims))
        conn.execute(delete(cases).where(cases.c.kind == "carrier_claim"))


@pytest.mark.parametrize(
    ("cause", "claimed"),
    [(cause, int(cause in CLAIMED)) for cause in Cause],
)
def test_what_the_carrier_lost_or_broke_is_claimed_from_it_once(
    engine: Engine, cause: Cause, claimed: int
) -> None:
    house = lost(engine)

    settle(house, cause)
    settle(house, cause)

    assert len(house.rows(carrier_claims)) == len(house.rows(cases, kind="carrier_claim")) == claimed
    check_kept(house)


def test_what_was_sent_again_before_it_was_lost_is_claimed_once_whatever_came_of_it(engine: Engine) -> None:
    house = lost(engine)
    settle(house, Cause.NOT_BROUGHT, Settlement.RESHIP)
    before, said = house.rows(carrier_claims), only(house.rows(order_events, kind="reshipped"))["text"]

    settle(house)
    end(house, ClaimOutcome.REFUSED)
    settle(house)

    assert said.startswith("The carrier could not bring you your parcel. We are sending you another one")
    assert (before, only(house.rows(carrier_claims))["amount"]) == ([], VALUE)
    assert only(house.rows(cases, kind="carrier_claim"))["state"] == "resolved"
    check_kept(house)


def test_the_task_says_with_whom_what_until_when_and_no_customer_hears_of_it(engine: Engine) -> None:
    house = lost(engine)
    before = len(house.rows(outbox)), len(house.rows(order_events)), len(house.rows(signals))
    settle(house, wanted=Settlement.REFUND)
    claim = only(CarrierClaims(engine, house.now).open())

    assert (the_case(house)["note"], the_case(house)["owner"]) == (TASK, "support")
    assert (claim.amount, claim.deadline, claim.carrier) == (VALUE, date(2026, 12, 23), "UPS")
    told = [row["fact"] for row in house.rows(outbox)[before[0] :]]
    assert told == ["lost"]  # of the money, not of the claim
    assert [row["kind"] for row in house.rows(order_events)[before[1] :]] == ["refund_decided"]
    assert [group.kind for group in OpenCases(engine).groups(CaseKind.CARRIER_CLAIM)] == ["carrier_claim"]


def test_a_claim_keeps_no_order_open_is_no_attention_and_is_explained_beside_it(engine: Engine) -> None:
    house = lost(engine)
    settle(house, wanted=Settlement.REFUND)
    state = house.records.read_state("SO-1")
    house.records.close(CloseOrder(order_id="SO-1", outcome=Outcome.LOST, reason=""))
    view = house.views.view("SO-1")

    assert [case.kind for case in state.cases] == []  # its workflow never hears of it
    assert (view.status, view.attention, view.cases) == ("completed", None, ())
    assert explain(view, house.now()).sentence == f"SO-1 ended: lost 08:00. Beside it, support should {TASK}."
    assert the_case(house)["state"] == "waiting"
    check_kept(house)


def test_a_claim_nobody_filed_calls_ops_before_its_last_day_and_wakes_no_order(engine: Engine) -> None:
    house = lost(engine)
    settle(house)
    heard = len(house.rows(signals))
    house.time = the_case(house)["due_at"]
    house.reconciliation.sweep()
    house.wait(timedelta(days=2))
    house.reconciliation.sweep()

    assert the_case(house)["opened_at"] < house.time < house.now() + timedelta(days=7)
    assert (the_case(house)["owner"], the_case(house)["state"]) == ("ops", "escalated")
    assert the_case(house)["escalated_at"].date() == date(2026, 12, 16)
    replanned = [row["body"] for row in house.rows(signals, name="replanned")]
    assert not any("carrier_claim" in body["why"] for body in replanned), (heard, replanned)


@pytest.mark.parametrize(
    ("outcome", "paid", "resolution"),
    [("paid", 2500, "paid 25.00 USD"), ("refused", 0, "refused"), ("not_worth_it", 0, "not_worth_it")],
)
def test_a_claim_ends_with_what_came_of_it_signed_and_once(
    engine: Engine, outcome: str, paid: int, resolution: str
) -> None:
    house = lost(engine)
    settle(house)

    said = end(house, ClaimOutcome(outcome), paid)
    again = end(house, ClaimOutcome(outcome), paid)

    assert (said, again) == (
        f"The claim for SO-1-P1 is over: {resolution}.",
        "The claim for SO-1-P1 was over before.",
    )
    assert (the_case(house)["resolution"], the_case(house)["resolved_by"]) == (resolution, "maria")
    assert house.row(carrier_claims)["paid"] == paid
    assert only(house.rows(audit_entries, command="end_carrier_claim"))["actor"] == "maria"
    assert CarrierClaims(engine, house.now).open() == ()
    check_kept(house)


def test_an_outcome_that_does_not_fit_is_refused_with_why(engine: Engine) -> None:
    house = lost(engine)
    with pytest.raises(ClaimRefused, match="nothing is claimed for SO-1-P1"):
        end(house, ClaimOutcome.REFUSED)
    settle(house)

    for outcome, paid in ((ClaimOutcome.PAID, 0), (ClaimOutcome.REFUSED, 100)):
        with pytest.raises(ClaimRefused, match="say how much was paid"):
            end(house, outcome, paid)
    end(house, ClaimOutcome.REFUSED)
    with pytest.raises(ClaimRefused, match="ended before: refused"):
        end(house, ClaimOutcome.PAID, 100)
    with pytest.raises(IntegrityError):
        house.change(carrier_claims, {"paid": 100}, parcel_id=PARCEL)


@pytest.mark.parametrize(("cause", "came"), [(Cause.LOST, "found"), (Cause.DAMAGED, None)])
def test_what_is_back_with_us_is_claimed_only_for_its_damage(
    engine: Engine, cause: Cause, came: str | None
) -> None:
    house = lost(engine)
    settle(house, cause)
    house.wait(timedelta(days=2))
    house.shipping.scanned(PARCEL, (a_scan(CarrierStatus.RETURNED, 280),), None, source="asked")

    settle(house, Cause.RETURNED)

    assert house.row(carrier_claims)["outcome"] == came
    check_kept(house)


def test_a_parcel_that_turns_up_ends_its_claim(engine: Engine) -> None:
    house = lost(engine)
    settle(house)

    house.records.found(Found(order_id="SO-1", shipment_id=FIRST))

    assert (the_case(house)["state"], the_case(house)["resolution"]) == ("resolved", "found")
    assert house.row(carrier_claims)["outcome"] == "found"
    check_kept(house)


# --- no loss goes unclaimed --------------------------------------------------------------------------


@pytest.mark.parametrize("cause", [Cause.LOST, Cause.DAMAGED])
@pytest.mark.parametrize("wanted", [Settlement.RESHIP, Settlement.REFUND])
def test_a_loss_that_was_made_good_and_is_not_claimed_is_named_by_the_audit(
    engine: Engine, cause: Cause, wanted: Settlement
) -> None:
    house = lost(engine)
    settle(house, cause, wanted)

    forget_claims(house)

    assert unclaimed(house) == (f"{FIRST}: is {cause}, and nobody claims it from the carrier",)


def test_an_order_that_ended_as_lost_is_named_whatever_its_goods_were_made_good_for(engine: Engine) -> None:
    house = lost(engine)
    settle(house, Cause.NOT_RECEIVED, Settlement.REFUND)
    before = unclaimed(house)

    house.records.close(CloseOrder(order_id="SO-1", outcome=Outcome.LOST, reason=""))

    assert (before, len(unclaimed(house))) == ((), 1)


def test_what_cost_nothing_was_no_loss(engine: Engine) -> None:
    house = lost(engine)
    house.change(shipments, {"value": 0}, shipment_id=FIRST)
    house.change(order_lines, {"unit_price": 0}, order_id="SO-1")

    settle(house)

    assert house.rows(carrier_claims) == []
    check_kept(house)


def test_a_loss_of_a_customer_who_was_forgotten_is_told_by_its_claim_alone(engine: Engine) -> None:
    house = lost(engine)
    settle(house, wanted=Settlement.REFUND)
    end(house, ClaimOutcome.REFUSED)
    house.records.close(CloseOrder(order_id="SO-1", outcome=Outcome.LOST, reason=""))
    told = books_of(house).books.losses
    house.wait(DEFAULT.retention + timedelta(days=1))
    house.reconciliation.sweep()

    assert [(loss.shipment_id, loss.cause) for loss in told] == [(FIRST, "lost")]
    assert house.row(orders)["erased_at"] is not None
    assert books_of(house).books.losses == ()
    check_kept(house)
    forget_claims(house)
    assert len(unclaimed(house)) == 1


# --- traces -----------------------------------------------------------------------------------------


def missed(engine: Engine, kind: CaseKind) -> House:
    """A parcel without a first scan, or not received, whose first step is due."""
    house = House(engine).stocked()
    house.shipped()
    due_at = house.now() + timedelta(hours=1)
    house.records.open_case(OpenCase(order_id="SO-1", subject=FIRST, kind=kind, due_at=due_at))
    house.wait(timedelta(hours=2))
    return house


@pytest.mark.parametrize("kind", [CaseKind.NO_FIRST_SCAN, CaseKind.NOT_RECEIVED])
def test_the_carrier_is_asked_to_look_for_what_is_missed(engine: Engine, kind: CaseKind) -> None:
    house = missed(engine, kind)

    for _ in range(2):
        house.reconciliation.sweep()

    trace = the_case(house, CaseKind.CARRIER_TRACE)
    assert (trace["note"], trace["owner"]) == (f"ask UPS to look for SO-1-P1 ({NUMBER})", "support")
    assert house.views.view("SO-1").attention is kind
    house.wait(timedelta(hours=25))
    house.reconciliation.sweep()
    assert the_case(house, CaseKind.CARRIER_TRACE)["owner"] == "ops"


def test_the_carrier_is_asked_for_what_was_sent_again_too_by_the_worth_of_what_it_stands_for(
    engine: Engine,
) -> None:
    house = missed(engine, CaseKind.NOT_RECEIVED)
    capture(house, FIRST)
    settle(house, Cause.NOT_RECEIVED, Settlement.RESHIP)
    house.floor.start_picking(AGAIN, by="pia")
    house.floor.picked(AGAIN, by="pia")
    house.label(house.pack(AGAIN), number="1Z999AA10123456785")
    house.floor.hand_over(AGAIN, by="dock")
    asked = OpenCase(order_id="SO-1", subject=AGAIN, kind=CaseKind.NOT_RECEIVED, due_at=house.now())
    house.records.open_case(asked)
    house.wait(timedelta(hours=1))

    house.reconciliation.sweep()

    assert {row["subject"] for row in house.rows(cases, kind="carrier_trace")} == {FIRST, AGAIN}


def test_what_is_made_good_without_a_trace_asks_for_none(engine: Engine) -> None:
    house = missed(engine, CaseKind.NOT_RECEIVED)
    house.change(shipments, {"value": 2500}, shipment_id=FIRST)

    house.reconciliation.sweep()

    assert house.rows(cases, kind="carrier_trace") == []


def test_a_trace_is_over_when_nobody_misses_the_parcel_any_more(engine: Engine) -> None:
    house = missed(engine, CaseKind.NO_FIRST_SCAN)
    house.reconciliation.sweep()

    house.shipping.scanned(PARCEL, (a_scan(CarrierStatus.IN_TRANSIT, 2),), None, source="asked")
    house.change(cases, {"state": "resolved"}, kind="no_first_scan")  # as its workflow does with the scan
    house.reconciliation.sweep()

    assert the_case(house, CaseKind.CARRIER_TRACE)["state"] == "resolved"
