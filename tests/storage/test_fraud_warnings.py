"""The bank of a card reports fraud before anybody disputes the payment: what has not left stays, the rest is a case."""

from datetime import timedelta

from fulfillment.domain.cases import CaseKind
from fulfillment.domain.holds import HoldReason
from fulfillment.domain.order import Outcome
from fulfillment.domain.payment_news import FraudWarningHint
from fulfillment.domain.record import CloseOrder, OpenCase, ReleaseHold
from fulfillment.storage.tables import cases, holds, inbox, shipments
from tests.storage.house import House
from tests.storage.paying import capture, pay

PI = "pi_SO-1-1_1"


def warn(house: House, event_id: str = "evt_1", *, over: bool = False) -> list[str]:
    """Let the bank report, or take note that it was answered; return what the order is told."""
    hint = FraudWarningHint(
        kind="radar.early_fraud_warning.created",
        reference=PI,
        reason="made_with_stolen_card",
        can_be_answered=not over,
    )
    return [fact.name for fact in house.payment_news.record("stripe", event_id, hint, {})]


def release(house: House, request_id: str = "r-1") -> None:
    request = ReleaseHold(order_id="SO-1", reason=HoldReason.FRAUD, by="sue", request_id=request_id)
    house.records.release_hold(request)


def charged(house: House) -> House:
    """An order that has left and is charged."""
    house.stocked().reserved()
    pay(house, "SO-1-1")
    house.change(shipments, {"work_status": "handed_over"}, shipment_id="SO-1-1")
    capture(house, "SO-1-1")
    return house


def test_what_has_not_left_is_held_for_review_and_the_order_hears_it(house: House) -> None:
    house.stocked().reserved()
    pay(house, "SO-1-1")

    heard = warn(house)

    hold = house.row(holds)
    assert heard == ["replanned"]
    assert (hold["reason"], hold["state"]) == ("fraud", "active")
    assert hold["note"] == "the bank of the card reports fraud (made_with_stolen_card)"
    assert [row["kind"] for row in house.rows(cases)] == ["fraud_review"]


def test_the_banks_word_holds_what_a_person_had_cleared_but_the_same_word_only_once(house: House) -> None:
    """Seen to fail when whoever was cleared once was never doubted again."""
    house.stocked().reserved()
    pay(house, "SO-1-1", risk_score=80)
    release(house)

    first = warn(house)
    held = [row["state"] for row in house.rows(holds)]
    release(house, "r-2")
    house.wait(timedelta(hours=1))
    warn(house, "evt_2")

    assert first == ["replanned"]
    assert sorted(held) == ["active", "released"]
    assert {row["state"] for row in house.rows(holds)} == {"released"}


def test_what_is_taken_for_goods_that_left_is_a_case_until_it_is_given_back(house: House) -> None:
    charged(house)

    heard = warn(house)
    case = house.row(cases)
    warn(house, "evt_2", over=True)

    assert (heard, house.rows(holds)) == ([], [])
    assert (case["kind"], case["owner"], case["state"]) == ("dispute", "support", "waiting")
    assert "give 29.00 USD back before it is" in case["note"]
    assert house.row(cases)["state"] == "resolved"


def test_a_warning_that_is_told_after_its_end_opens_nothing(house: House) -> None:
    charged(house)
    warn(house, "evt_2", over=True)

    warn(house)

    assert house.rows(cases) == []


def test_nothing_is_to_be_done_where_nothing_was_taken_and_the_order_is_over(house: House) -> None:
    house.stocked().reserved()
    pay(house, "SO-1-1")
    house.records.close(CloseOrder(order_id="SO-1", outcome=Outcome.CANCELLED, reason="changed_mind"))

    heard = warn(house)

    assert (heard, house.rows(cases), house.rows(holds)) == ([], [], [])
    assert "nothing of it is taken" in house.row(inbox)["why"]


def test_a_warning_outlives_the_order_and_so_does_a_refund_that_failed(house: House) -> None:
    """Seen to fail when the end of an order closed every case: nobody was left to answer the bank."""
    charged(house)
    warn(house)
    for kind in (CaseKind.REFUND_FAILED, CaseKind.DELAYED):
        due_at = house.time + timedelta(hours=1)
        house.records.open_case(OpenCase(order_id="SO-1", subject="SO-1", kind=kind, due_at=due_at, note=""))

    house.records.close(CloseOrder(order_id="SO-1", outcome=Outcome.DELIVERED))

    states = {row["kind"]: row["state"] for row in house.rows(cases)}
    assert states == {"dispute": "waiting", "refund_failed": "waiting", "delayed": "resolved"}
