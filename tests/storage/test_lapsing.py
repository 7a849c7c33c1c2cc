"""A claim on stock dies with the right to pay, and not before; who pays late claims again."""

from datetime import timedelta

import pytest

from fulfillment.domain.inventory import Level
from fulfillment.domain.payment import Declined, DeclineGroup, PaymentStatus
from fulfillment.domain.policy import DEFAULT
from fulfillment.domain.record import StopShipments
from fulfillment.domain.shipment import WaitsFor
from fulfillment.storage import lapsing
from fulfillment.storage.advance import advance
from fulfillment.storage.orders import lock_order
from fulfillment.storage.tables import (
    backorders,
    order_events,
    orders,
    payments,
    provider_operations,
    reservations,
    shipments,
    stock_movements,
    unit_ranges,
)
from tests.storage.house import MUG, TEA, House, only
from tests.storage.paying import a_snapshot, claim, pay
from tests.storage.proof import check_books

TTL = DEFAULT.reservation_ttl


def level(house: House, sku: str = MUG) -> Level:
    (found,) = house.stock.levels(sku)
    return found


def declined(house: House, order_id: str = "SO-1", *, attempt: int = 1, **changes: int) -> None:
    """An order whose bank said no."""
    if attempt == 1:
        house.reserved(order_id, **changes)
    operation = claim(house, f"{order_id}-1", attempt)
    house.payments.declined(operation.key, Declined(DeclineGroup.OTHER_METHOD, "declined"))


def reclaimed(house: House, order_id: str = "SO-1") -> bool:
    with house.engine.begin() as conn:
        order = lock_order(conn, order_id)
        return lapsing.reclaim(conn, order, now=house.now(), policy=DEFAULT)


def states(house: House, order_id: str = "SO-1") -> dict[str, str]:
    return {
        row["operation_key"]: row["state"] for row in house.rows(reservations, order_id=order_id, sku=MUG)
    }


def test_p07_a_claim_nobody_pays_for_is_given_back_and_its_order_stays_payable(house: House) -> None:
    """Guard: the sweep ends claims past their time. Without it no unit ever comes back from who never pays."""
    house.stocked(mugs=2)
    declined(house, mugs=2)
    house.wait(TTL - timedelta(seconds=1))
    house.reconciliation.sweep()
    early = level(house).reserved
    house.wait(timedelta(seconds=1))

    house.reconciliation.sweep()
    house.reconciliation.sweep()

    assert (early, level(house).reserved, level(house).available) == (2, 0, 2)
    assert states(house) == {"SO-1:reserve": "expired"}
    assert house.row(orders)["status"] == "payment_failed"
    assert len(house.rows(order_events, kind="claim_expired")) == 1
    assert len(house.rows(stock_movements, kind="reservation_released", sku=MUG)) == 1


def test_what_ran_out_is_claimed_again_before_an_order_goes_on_that_need_not_be_paid_yet(
    house: House,
) -> None:
    """Guard: confirming claims again. Without it the tea leaves, when the mug has come, though nobody kept it."""
    house.stocked(mugs=1)
    declined(house, mugs=1)
    house.stock.adjust(MUG, "wh-reno", -1, key="fix", by="pia", reason="broken")
    house.change(shipments, {"waits_for": WaitsFor.STOCK.value}, shipment_id="SO-1-1")
    house.wait(TTL)
    house.reconciliation.sweep()

    with house.engine.begin() as conn:
        advance(conn, lock_order(conn, "SO-1"), now=house.now(), policy=DEFAULT)

    carried = {row["line_no"]: row["shipment_id"] for row in house.rows(unit_ranges)}
    is_confirmed = house.row(orders)["status"] == "confirmed"
    assert carried[2] == "SO-1-1"
    assert level(house, TEA).allocated == (1 if is_confirmed else 0)
    check_books(house)


@pytest.mark.parametrize("status", [PaymentStatus.AUTHORIZING, PaymentStatus.ACTION_REQUIRED])
def test_p10_a_claim_is_kept_while_its_order_is_being_paid(house: House, status: PaymentStatus) -> None:
    """Guard: an open attempt keeps the claim. Without it another order takes the units and both are paid."""
    house.stocked(mugs=2)
    house.reserved(mugs=2, teas=0)
    claim(house, "SO-1-1")
    house.change(payments, {"status": status.value})
    house.change(provider_operations, {"state": "failed"})
    house.wait(TTL * 10)

    house.reconciliation.sweep()

    assert states(house) == {"SO-1:reserve": "active"}
    assert level(house).reserved == 2


def test_p10_a_claim_is_kept_while_the_answer_of_the_bank_is_not_known(house: House) -> None:
    """Guard: an open operation keeps the claim. Without it money that was held is for goods that are gone."""
    house.stocked(mugs=2)
    house.reserved(mugs=2, teas=0)
    operation = claim(house, "SO-1-1")
    house.payments.unknown(operation.key, "timeout")
    house.change(payments, {"status": "voided"})
    house.wait(TTL * 10)

    house.reconciliation.sweep()

    assert states(house) == {"SO-1:reserve": "active"}


def test_p10_two_orders_never_hold_the_same_unit_and_the_late_one_pays_for_what_is_left(house: House) -> None:
    """Guard: `reclaim` looks at the levels again. Without it two orders pay for the last mug."""
    house.stocked(mugs=1, backorderable=False)
    declined(house, mugs=1)
    house.wait(TTL)
    house.reconciliation.sweep()
    house.reserved("SO-2", mugs=1, teas=0)

    same = reclaimed(house)

    assert not same
    assert (level(house).reserved, level(house).on_hand) == (1, 1)
    assert states(house) == {"SO-1:reserve": "expired"}
    gone = only(house.rows(unit_ranges, order_id="SO-1", shipment_id=None))
    assert (gone["line_no"], gone["quantity"], gone["cancelled_reason"]) == (1, 1, "out_of_stock")
    assert house.row(shipments, shipment_id="SO-1-1")["value"] == 500
    assert house.row(orders, order_id="SO-1")["status"] == "payment_failed"


def test_who_pays_late_claims_the_same_again_under_a_new_key(house: House) -> None:
    house.stocked(mugs=2)
    declined(house, mugs=2)
    house.wait(TTL)
    house.reconciliation.sweep()

    same = reclaimed(house)
    twice = reclaimed(house)
    pay(house, "SO-1-1", 2)

    assert (same, twice) == (True, True)
    assert states(house) == {"SO-1:reserve": "expired", "SO-1:reserve:2": "consumed"}
    assert (level(house).reserved, level(house).allocated) == (0, 2)


def test_a_claim_may_run_out_again_and_be_stopped_after_that(house: House) -> None:
    house.stocked(mugs=2)
    declined(house, mugs=2)
    for attempt in (2, 3):
        house.wait(TTL)
        house.reconciliation.sweep()
        assert reclaimed(house)
        declined(house, attempt=attempt)

    house.records.stop_shipments(StopShipments(order_id="SO-1", reason="customer", by="ann", request_id="r"))

    assert sorted(states(house).values()) == ["expired", "expired", "released"]
    assert (level(house).reserved, level(house).available) == (0, 2)


def test_what_is_left_stays_in_its_shipment_and_the_rest_waits_for_stock(house: House) -> None:
    house.stocked(mugs=3)
    declined(house, mugs=3)
    house.wait(TTL)
    house.reconciliation.sweep()
    house.reserved("SO-2", mugs=2, teas=0)

    same = reclaimed(house)

    plan = house.stock.reserve("SO-1")
    assert not same
    assert [(s.shipment_id, s.units, s.value, s.waits_for) for s in plan.shipments] == [
        ("SO-1-1", 2, 1700, WaitsFor.PAYMENT),
        ("SO-1-2", 2, 2400, WaitsFor.STOCK),
    ]
    assert [(line.got, line.backordered) for line in plan.short] == [(1, 2)]
    assert house.row(backorders)["quantity"] == 2
    assert level(house).reserved == 3


def test_units_lost_join_those_that_wait_already(house: House) -> None:
    # The queue is served first: of the two mugs given back one is for the third, which waited for it.
    house.stocked(mugs=2)
    declined(house, mugs=3)
    house.wait(TTL)
    house.reconciliation.sweep()

    same = reclaimed(house)

    plan = house.stock.reserve("SO-1")
    assert not same
    assert [(s.shipment_id, s.units, s.value, s.waits_for) for s in plan.shipments] == [
        ("SO-1-1", 2, 1700, WaitsFor.PAYMENT),
        ("SO-1-2", 2, 2400, WaitsFor.STOCK),
    ]
    waiting = house.row(backorders)
    assert (waiting["quantity"], waiting["filled"], waiting["state"]) == (2, 1, "waiting")


def test_an_order_of_which_nothing_is_left_expires_and_is_told_so(house: House) -> None:
    house.stocked(mugs=1, backorderable=False)
    declined(house, mugs=1, teas=0)
    house.wait(TTL)
    house.reconciliation.sweep()
    house.reserved("SO-2", mugs=1, teas=0)

    same = reclaimed(house)

    assert not same
    assert house.stock.reserve("SO-1").shipments == ()
    assert house.row(orders, order_id="SO-1")["status"] == "expired"
    assert house.row(shipments, shipment_id="SO-1-1")["work_status"] == "cancelled"


def test_a_confirmed_order_claims_nothing_again_however_its_claim_ended_before(house: House) -> None:
    house.stocked(mugs=2)
    declined(house, mugs=2)
    house.wait(TTL)
    house.reconciliation.sweep()
    reclaimed(house)
    pay(house, "SO-1-1", 2)

    assert reclaimed(house)
    assert (level(house).reserved, level(house).allocated) == (0, 2)


def test_a_worthless_order_keeps_its_claim_for_there_is_no_payment_to_wait_for(house: House) -> None:
    house.stocked(mugs=2)
    house.reserved(mugs=1, teas=0)
    house.change(orders, {"total": 0})
    house.wait(TTL * 10)

    house.reconciliation.sweep()

    assert level(house).reserved == 1


def test_units_of_a_claim_that_ran_out_go_to_those_who_wait(house: House) -> None:
    house.stocked(mugs=1)
    declined(house, mugs=1)
    house.reserved("SO-2", mugs=1, teas=0)
    house.wait(TTL)

    house.reconciliation.sweep()

    assert house.row(backorders, order_id="SO-2")["state"] == "filled"
    assert (level(house).reserved, level(house).allocated) == (0, 1)


def test_money_that_is_held_keeps_the_claim_until_all_of_the_order_is_paid(house: House) -> None:
    house.stocked(mugs=2)
    house.reserved(mugs=2)
    operation = claim(house, "SO-1-1")
    house.payments.authorized(operation.key, a_snapshot(operation.amount.minor))
    house.change(orders, {"status": "payment_failed"})
    house.change(reservations, {"state": "active"})
    house.wait(TTL * 10)

    with house.engine.begin() as conn:
        assert lapsing.expirable(conn, house.now(), 10) == ()
        assert not lapsing.expire(conn, "SO-1", house.now())


def test_what_waits_already_and_lapses_again_joins_the_queue_of_its_shipment(house: House) -> None:
    house.stocked(mugs=2)
    house.reserved(mugs=3, teas=0)
    house.wait(TTL)
    house.reconciliation.sweep()
    house.stock.adjust(MUG, "wh-reno", -2, key="fix", by="pia", reason="broken")

    assert reclaimed(house) is False

    assert sum(row["quantity"] - row["filled"] for row in house.rows(backorders, state="waiting")) == 3
    check_books(house)


def test_units_that_were_missed_on_the_shelf_do_not_hide_that_their_sisters_lost_their_claim(
    house: House,
) -> None:
    house.stocked(mugs=2)
    house.reserved(mugs=2, teas=0)
    house.stock.adjust(MUG, "wh-reno", -1, key="fix", by="pia", reason="broken")
    house.wait(TTL)
    house.reconciliation.sweep()  # what is left goes to the one that waits

    assert reclaimed(house) is False

    assert sum(row["quantity"] - row["filled"] for row in house.rows(backorders, state="waiting")) == 1
    check_books(house)
