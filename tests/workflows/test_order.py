"""Orders from placed to settled, with a clock that can be moved."""

import asyncio
import threading
from datetime import UTC, datetime, timedelta

import pytest
from temporalio.client import WorkflowFailureError, WorkflowUpdateFailedError
from temporalio.exceptions import is_cancelled_exception

from activities.errors import refusal
from fulfillment.domain.holds import ADDRESS_CHECK, HoldReason
from fulfillment.domain.inventory import ShortLine
from fulfillment.domain.shipment import Stop, WaitsFor
from fulfillment.domain.tracking import CarrierStatus
from tests.workflows.conftest import PlaceOrder
from tests.workflows.world import World, a_shipment, state_of


async def test_a_plain_order_is_captured_once_after_it_left_and_ends_delivered(place: PlaceOrder) -> None:
    order, answer = await place(World(a_shipment()))

    await order.goes_to_the_door()
    result = await order.result()

    assert answer.placed == "confirmed"
    assert result.outcome == "delivered"
    assert order.world.done == [
        "reserve SO-1",
        "authorize SO-1-1 1",
        "label SO-1-P1",
        "capture SO-1-1",
        "close delivered",
    ]


async def test_an_order_of_which_nothing_can_ship_is_answered_short_and_takes_no_money(
    place: PlaceOrder,
) -> None:
    gone = ShortLine(line_no=1, sku="MUG", asked=2, got=0, backordered=0, cancelled=2)

    order, answer = await place(World(short=(gone,)))
    result = await order.result()

    assert answer.placed == "short"
    assert result.outcome == "rejected"
    assert order.world.did("authorize") == []


async def test_a_declined_order_is_paid_another_way_and_goes_on(place: PlaceOrder) -> None:
    world = World(a_shipment())
    world.declines = ["other_method"]

    order, answer = await place(world)
    told = await order.ask("retry_payment", method="pm_card_visa")
    await order.goes_to_the_door()
    result = await order.result()

    assert answer.placed == "declined"
    assert answer.decline_group == "other_method"
    assert told["text"] == "We try the payment again."
    assert result.outcome == "delivered"
    assert world.did("authorize") == ["authorize SO-1-1 1", "authorize SO-1-1 2"]


async def test_a_declined_order_that_nobody_pays_expires_and_lets_everything_go(place: PlaceOrder) -> None:
    world = World(a_shipment())
    world.declines = ["never_again"]

    order, _ = await place(world)
    await order.pass_time(timedelta(hours=25))
    result = await order.result()

    assert result.outcome == "expired"
    assert world.did("void") == ["void SO-1-1"]
    assert world.did("capture") == []


async def test_a_cancelled_order_voids_what_it_held(place: PlaceOrder) -> None:
    order, _ = await place(World(a_shipment()))
    await order.packed()

    told = await order.ask("cancel", reason="changed_mind")
    result = await order.result()

    assert told["stopped"] == ["SO-1-1"]
    assert result.outcome == "cancelled"
    assert order.world.did("void") == ["void-label SO-1-P1", "void SO-1-1"]  # newest first
    assert order.world.did("capture") == []


async def test_a_cancel_that_is_asked_again_while_its_money_goes_back_is_no_refusal(
    place: PlaceOrder,
) -> None:
    """Guard: what is stopped and has not left may be cancelled again. Without it a lost answer becomes a refusal."""
    once_more = threading.Event()
    world = World(a_shipment())
    world.before["void"] = lambda: once_more.wait(10)
    order, _ = await place(world)
    await order.packed()
    await order.ask("cancel", reason="changed_mind")

    again = await order.ask("cancel", reason="changed_mind")
    once_more.set()

    assert "cancelled" in again["text"].lower()
    assert (await order.result()).outcome == "cancelled"
    assert order.world.did("void") == ["void-label SO-1-P1", "void SO-1-1"]


async def test_an_order_stopped_before_its_money_was_asked_for_ends_cancelled(place: PlaceOrder) -> None:
    def stopped() -> None:
        raise refusal(Stop("SO-1-1", "it was cancelled: nothing is owed for it"))

    world = World(a_shipment())
    world.before["authorize"] = stopped
    world.states["SO-1-1"] = state_of(a_shipment(), "cancelled")
    order, _ = await place(world)

    result = await order.result()

    assert result.outcome == "cancelled"


async def test_a_cancel_after_hand_over_is_refused_with_what_to_do_instead(place: PlaceOrder) -> None:
    order, _ = await place(World(a_shipment()))
    await order.packed()
    await order.handed_over()
    await order.did("capture SO-1-1")

    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await order.ask("cancel", reason="changed_mind")

    assert "Too late" in str(refused.value.cause)
    assert "return" in str(refused.value.cause)
    assert order.world.did("stop") == []
    await order.scanned("delivered")
    assert (await order.result()).outcome == "delivered"


async def test_when_the_floor_was_first_the_cancel_is_refused_by_the_books(place: PlaceOrder) -> None:
    order, _ = await place(World(a_shipment()))
    await order.packed()
    order.world.left.add("SO-1-1")  # handed over in the books; the order has not heard it yet

    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await order.ask("cancel", reason="changed_mind")

    assert "Too late" in str(refused.value.cause)
    await order.handed_over()
    await order.scanned("delivered")
    assert (await order.result()).outcome == "delivered"
    assert order.world.did("void") == []


async def test_of_two_shipments_the_one_that_left_goes_on_when_the_order_is_cancelled(
    place: PlaceOrder,
) -> None:
    order, _ = await place(World(a_shipment(1), a_shipment(2)))
    await order.packed(1)
    await order.handed_over(1)
    await order.did("capture SO-1-1")

    told = await order.ask("cancel", reason="changed_mind")
    await order.scanned("delivered", 1)
    result = await order.result()

    assert (told["stopped"], told["left"]) == (["SO-1-2"], ["SO-1-1"])
    assert result.outcome == "delivered"
    assert order.world.did("void") == ["void SO-1-2"]


async def test_a_fraud_hold_that_nobody_answers_cancels_the_order(place: PlaceOrder) -> None:
    world = World(a_shipment())
    world.risky = True

    order, answer = await place(world)
    await order.pass_time(timedelta(hours=73))
    result = await order.result()

    assert answer.placed == "confirmed"
    assert result.outcome == "cancelled"
    assert world.did("void") == ["void SO-1-1"]


async def test_a_released_hold_lets_the_order_go_on(place: PlaceOrder) -> None:
    world = World(a_shipment())
    world.risky = True
    order, _ = await place(world)

    told = await order.ask("release", reason="fraud")
    await order.goes_to_the_door()

    assert told["text"] == "Released. The order goes on."
    assert (await order.result()).outcome == "delivered"


async def test_a_released_hold_stays_released_though_a_slower_answer_names_it(place: PlaceOrder) -> None:
    world = World(a_shipment(), a_shipment(2, waits_for=WaitsFor.STOCK))
    world.risky = True
    order, _ = await place(world)
    world.late_holds, world.risky = tuple(world.holds.values()), False

    await order.ask("release", reason="fraud")
    await order.tell("stock_filled", shipment_ids=["SO-1-2"])
    await order.did("authorize SO-1-2 2")
    await order.goes_to_the_door()
    await order.goes_to_the_door(2)

    assert (await order.result()).outcome == "delivered"
    assert world.did("capture") == ["capture SO-1-1", "capture SO-1-2"]


async def test_nothing_is_cancelled_for_a_hold_that_was_ended_beside_the_order(place: PlaceOrder) -> None:
    world = World(a_shipment())
    world.risky = True
    order, _ = await place(world)

    world.holds.clear()
    await order.pass_time(timedelta(hours=73))
    await order.did("read SO-1")
    await order.goes_to_the_door()

    assert (await order.result()).outcome == "delivered"
    assert world.did("stop") == []


async def test_a_hold_released_twice_at_once_is_refused_the_second_time(place: PlaceOrder) -> None:
    world = World(a_shipment())
    world.risky = True
    order, _ = await place(world)

    told = await asyncio.gather(
        *(order.ask("release", reason="fraud") for _ in range(5)), return_exceptions=True
    )
    await order.goes_to_the_door()

    assert [one["text"] for one in told if isinstance(one, dict)] == ["Released. The order goes on."]
    assert all(isinstance(one, (dict, WorkflowUpdateFailedError)) for one in told)
    assert (await order.result()).outcome == "delivered"


async def test_a_manual_hold_that_nobody_answers_escalates_and_stays(place: PlaceOrder) -> None:
    order, _ = await place(World(a_shipment()))
    await order.ask("hold", reason="manual", note="call first")

    await order.pass_time(timedelta(hours=80))
    await order.did("case on_hold SO-1")

    assert HoldReason.MANUAL in order.world.holds
    await order.ask("release")
    await order.goes_to_the_door()
    assert (await order.result()).outcome == "delivered"


async def test_the_same_request_asked_twice_is_done_once(place: PlaceOrder) -> None:
    order, _ = await place(World(a_shipment()))

    for _ in range(2):
        await order.ask("hold", reason="manual", request_id="r-1")

    assert order.world.did("hold") == ["hold manual"]
    await order.ask("cancel", reason="enough")
    await order.result()


async def test_a_backordered_shipment_is_paid_when_its_stock_comes(place: PlaceOrder) -> None:
    waiting = a_shipment(2, waits_for=WaitsFor.STOCK)
    order, _ = await place(World(a_shipment(1), waiting))
    await order.goes_to_the_door(1)
    await order.did("capture SO-1-1")
    assert order.world.did("authorize") == ["authorize SO-1-1 1"]

    await order.tell("stock_filled", shipment_ids=["SO-1-2"])
    await order.did("authorize SO-1-2 2")
    await order.goes_to_the_door(2)

    assert (await order.result()).outcome == "delivered"
    assert order.world.did("capture") == ["capture SO-1-1", "capture SO-1-2"]


async def test_a_backorder_declined_when_its_stock_came_is_held_until_it_is_paid(place: PlaceOrder) -> None:
    world = World(a_shipment(1, waits_for=WaitsFor.STOCK))
    order, answer = await place(world)
    world.declines = ["other_method"]

    await order.tell("stock_filled", shipment_ids=["SO-1-1"])
    await order.did("hold payment")
    await order.ask("retry_payment", method="pm_card_mastercard")
    await order.did("authorize SO-1-1 2", "release payment by policy")
    await order.goes_to_the_door()

    assert answer.placed == "confirmed"
    assert (await order.result()).outcome == "delivered"


async def test_an_authorization_about_to_expire_is_renewed_before_anything_leaves(place: PlaceOrder) -> None:
    world = World(a_shipment())
    order, _ = await place(world)
    await order.ask("cancel", reason="only the first one matters here")
    await order.result()
    world.expires_at = (await order.handle.describe()).start_time + timedelta(hours=12)

    order, _ = await place(world)
    await order.tell("packed", shipment_id="SO-1-1", parcel_id="SO-1-P1", weight_g=1)
    await order.did("authorize SO-1-1 2")
    world.expires_at = None
    await order.goes_to_the_door()
    await order.result()

    renewed = world.done.index("authorize SO-1-1 2")
    assert world.done[renewed - 1 : renewed + 2] == ["void SO-1-1", "authorize SO-1-1 2", "label SO-1-P1"]


async def test_money_that_ran_out_after_the_goods_left_is_taken_by_a_new_attempt(place: PlaceOrder) -> None:
    world = World(a_shipment())
    world.expired_captures = 1
    order, _ = await place(world)

    await order.goes_to_the_door()
    await order.result()

    assert world.did("capture") == ["capture SO-1-1", "capture SO-1-1"]
    assert "authorize SO-1-1 2" in world.done
    assert "case capture_failed SO-1-1" in world.done


async def test_a_carrier_that_is_down_is_a_case_and_is_tried_until_it_is_back(place: PlaceOrder) -> None:
    world = World(a_shipment())
    world.label_failures = 6
    order, _ = await place(world)

    await order.tell("packed", shipment_id="SO-1-1", parcel_id="SO-1-P1", weight_g=1)
    await order.did("case carrier_down SO-1-1", "resolved carrier_down it answers again")
    await order.handed_over()
    await order.scanned("delivered")

    assert (await order.result()).outcome == "delivered"


async def test_a_late_parcel_moves_the_promise_once_and_keeps_the_order_open(place: PlaceOrder) -> None:
    order, _ = await place(World(a_shipment()))
    await order.packed()
    await order.handed_over()

    for _ in range(2):
        await order.scanned("in_transit", flags=["delayed"], reason="weather_delay", edd="2099-11-29")
    await order.scanned("delivered")
    await order.result()

    assert order.world.did("promise") == ["promise 2099-11-29"]
    assert "resolved delayed delivered" in order.world.done


async def test_a_day_that_may_not_be_told_today_is_asked_for_again(place: PlaceOrder) -> None:
    order, _ = await place(World(a_shipment()))
    order.world.may_revise = False
    await order.packed()
    await order.handed_over()
    late = {"shipment_id": "SO-1-1", "subject": "SO-1-P1", "kind": "delayed", "day": "2099-11-29"}

    await order.tell("overdue", **late, reason="it is slow")
    await order.did("promise 2099-11-29")
    order.world.may_revise = True
    for _ in range(2):
        await order.tell("overdue", **late, reason="it is slow")
    await order.scanned("delivered")
    await order.result()

    assert order.world.did("promise") == ["promise 2099-11-29"] * 2
    assert order.world.did("case delayed") == ["case delayed SO-1-1"]


async def test_a_lost_parcel_is_declared_refunded_and_ends_the_order(place: PlaceOrder) -> None:
    order, _ = await place(World(a_shipment()))
    await order.packed()
    await order.handed_over()
    await order.did("capture SO-1-1")

    await order.tell("overdue", shipment_id="SO-1-1", subject="SO-1-P1", kind="no_scan")
    await order.tell("overdue", shipment_id="SO-1-1", subject="SO-1-P1", kind="lost")
    result = await order.result()

    assert result.outcome == "lost"
    assert result.refunds == ("SO-1-1",)
    assert order.world.did("lost") == ["lost SO-1-P1"]
    assert order.world.did("refund") == ["refund SO-1-1"]


async def test_a_parcel_that_did_not_come_by_its_promise_is_late_whatever_the_carrier_says(
    place: PlaceOrder,
) -> None:
    world = World(a_shipment())
    order, _ = await place(world)
    start = (await order.handle.describe()).start_time
    await order.ask("cancel", reason="only its clock was wanted")
    await order.result()
    world.promise = (start + timedelta(days=3)).date()

    order, _ = await place(world)
    await order.packed()
    await order.handed_over()
    await order.did("capture SO-1-1")
    await order.pass_time(timedelta(days=5))
    await order.until(lambda: bool(world.did("promise")))
    await order.scanned("delivered")

    assert (await order.result()).outcome == "delivered"
    assert "case delayed SO-1-1" in world.done


async def test_two_parcels_of_one_promise_are_late_by_one_timer(place: PlaceOrder) -> None:
    world = World(a_shipment(1), a_shipment(2))
    order, _ = await place(world)
    start = (await order.handle.describe()).start_time
    await order.ask("cancel", reason="only its clock was wanted")
    await order.result()
    world.promise = (start + timedelta(days=3)).date()
    world.may_revise = False

    order, _ = await place(world)
    for n in (1, 2):
        await order.packed(n)
        await order.handed_over(n)
        await order.did(f"capture SO-1-{n}")
    await order.scanned("delivered", 2)
    await order.pass_time(timedelta(days=5))
    await order.until(lambda: bool(world.did("promise")))
    await order.scanned("delivered", 1)

    assert (await order.result()).outcome == "delivered"
    history = await order.handle.fetch_history()
    timers = [event for event in history.events if event.HasField("timer_started_event_attributes")]
    assert len(timers) == 1 + len(world.did("promise"))


async def test_facts_of_parcels_that_go_together_come_by_one_signal(place: PlaceOrder) -> None:
    order, _ = await place(World(a_shipment(1), a_shipment(2)))
    for n in (1, 2):
        await order.packed(n)
    left = [
        {"fact_key": f"left-{n}", "shipment_id": f"SO-1-{n}", "carrier": "UPS", "tracking_number": f"1Z{n}"}
        for n in (1, 2)
    ]

    await order.handle.signal("handed_over", left)
    await order.handle.signal("handed_over", [*left, 42])
    await order.did("capture SO-1-1", "capture SO-1-2", "case bad_signal SO-1")
    for n in (1, 2):
        await order.scanned("delivered", n)

    assert (await order.result()).outcome == "delivered"
    assert len(order.world.did("capture")) == 2


MALFORMED = ([], [None], [7], ["text"], [[]], [{}], [{}, {}], [{"reason": 3, "by": "x"}])


@pytest.mark.parametrize(
    "signal", ["packed", "milestone", "overdue", "stock_filled", "cancel", "hold", "release"]
)
async def test_malformed_signals_leave_the_order_healthy_and_show_as_rejected(
    place: PlaceOrder, signal: str
) -> None:
    order, _ = await place(World(a_shipment()))

    for arguments in MALFORMED:
        await order.handle.signal(signal, args=arguments)
    await order.handle.signal("no_such_signal", "x")
    await order.did("case bad_signal SO-1")
    await order.goes_to_the_door()
    result = await order.result()

    assert result.outcome == "delivered"
    timeline = await order.handle.query("timeline")
    assert sum("rejected" in line for line in timeline) == len(MALFORMED) + 1


@pytest.mark.parametrize("arguments", MALFORMED)
async def test_malformed_updates_are_refused_with_the_right_form(
    place: PlaceOrder, arguments: list[object]
) -> None:
    order, _ = await place(World(a_shipment()))

    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await order.handle.execute_update("cancel", args=arguments)

    assert '"request_id"' in str(refused.value.cause)
    await order.goes_to_the_door()
    assert (await order.result()).outcome == "delivered"


async def test_ops_see_where_it_is_what_it_waits_for_and_what_may_be_done(place: PlaceOrder) -> None:
    order, _ = await place(World(a_shipment()))
    await order.packed()

    await order.answers("explain", lambda why: "SO-1-1 waits for the carrier" in why)
    allowed = await order.handle.query("allowed_actions")
    view = await order.handle.query("view")

    assert allowed["cancel"] == "yes"
    assert "no hold" in allowed["release"]
    assert view["shipments"]["SO-1-1"]["parcel"] == "SO-1-P1"
    await order.ask("cancel", reason="done looking")
    await order.result()


async def test_cancelling_the_workflow_itself_stops_and_voids(place: PlaceOrder) -> None:
    order, _ = await place(World(a_shipment()))
    await order.packed()

    await order.handle.cancel()
    with pytest.raises(WorkflowFailureError) as ended:
        await order.result()

    assert is_cancelled_exception(ended.value.cause)
    assert order.world.did("stop")
    assert order.world.did("void") == ["void-label SO-1-P1", "void SO-1-1"]


async def test_cancelling_the_workflow_after_hand_over_still_follows_the_parcel(place: PlaceOrder) -> None:
    order, _ = await place(World(a_shipment()))
    await order.packed()
    await order.handed_over()
    await order.did("capture SO-1-1")

    await order.handle.cancel()
    await order.scanned("delivered")

    assert (await order.result()).outcome == "delivered"
    assert order.world.did("void") == []


async def test_money_that_runs_out_while_the_parcel_waits_on_the_dock_is_reserved_anew(
    place: PlaceOrder,
) -> None:
    world = World(a_shipment())
    order, _ = await place(world)
    await order.ask("cancel", reason="only its clock was wanted")
    await order.result()
    world.expires_at = (await order.handle.describe()).start_time + timedelta(days=3)

    order, _ = await place(world)
    await order.packed()
    await order.pass_time(timedelta(days=2, hours=12))
    await order.tell("overdue", shipment_id="SO-1-1", subject="SO-1-1", kind="authorization_expiring")
    await order.did("authorize SO-1-1 2")
    await order.handed_over()
    await order.scanned("delivered")

    assert (await order.result()).outcome == "delivered"
    assert world.done[-4:-1] == ["void SO-1-1", "authorize SO-1-1 2", "capture SO-1-1"]


async def test_a_backorder_held_for_fraud_when_it_was_paid_can_be_released(place: PlaceOrder) -> None:
    world = World(a_shipment(1, waits_for=WaitsFor.STOCK))
    order, _ = await place(world)
    world.risky = True

    await order.tell("stock_filled", shipment_ids=["SO-1-1"])
    await order.may("release")
    told = await order.ask("release", reason="fraud")
    await order.goes_to_the_door()

    assert told["text"] == "Released. The order goes on."
    assert (await order.result()).outcome == "delivered"


async def test_a_refused_step_stops_neither_the_order_nor_its_other_shipments(place: PlaceOrder) -> None:
    world = World(a_shipment(1), a_shipment(2))
    order, _ = await place(world)
    world.refused["label"] = "there is no such parcel"

    await order.tell("packed", shipment_id="SO-1-1", parcel_id="SO-1-P9", weight_g=1)
    await order.did("case stuck SO-1-1")
    await order.goes_to_the_door(2)
    await order.did("capture SO-1-2")
    told = await order.ask("cancel", reason="stuck")

    assert (told["stopped"], told["left"]) == (["SO-1-1"], ["SO-1-2"])
    assert (await order.result()).outcome == "delivered"
    assert "void SO-1-1" in world.done


async def test_a_parcel_given_up_that_was_delivered_meanwhile_is_not_refunded(place: PlaceOrder) -> None:
    world = World(a_shipment())
    world.scans_say = CarrierStatus.DELIVERED
    order, _ = await place(world)
    await order.packed()
    await order.handed_over()
    await order.did("capture SO-1-1")

    await order.tell("overdue", shipment_id="SO-1-1", subject="SO-1-P1", kind="lost")

    assert (await order.result()).outcome == "delivered"
    assert world.did("refund") == []


async def test_a_cancelled_label_does_not_end_a_parcel_under_way(place: PlaceOrder) -> None:
    order, _ = await place(World(a_shipment()))
    await order.packed()
    await order.handed_over()

    await order.scanned("cancelled")
    await order.did("case carrier_problem SO-1-1")
    await order.scanned("delivered")

    assert (await order.result()).outcome == "delivered"
    assert order.world.did("refund") == []


async def test_a_label_no_carrier_makes_today_is_asked_for_again_tomorrow(place: PlaceOrder) -> None:
    world = World(a_shipment())
    world.refused_labels = ["LabelRefused"]
    order, _ = await place(world)

    await order.packed()
    await order.did("case label_refused SO-1-1")
    await order.pass_time(timedelta(hours=25))
    await order.did("resolved label_refused labeled")
    await order.handed_over()
    await order.scanned("delivered")

    assert (await order.result()).outcome == "delivered"


async def test_a_label_dearer_than_was_quoted_is_asked_for_again_when_a_person_had_time(
    place: PlaceOrder,
) -> None:
    world = World(a_shipment())
    world.refused_labels = ["RateExpired"]
    order, _ = await place(world)

    await order.packed()
    await order.did("case rate_expired SO-1-1")
    await order.pass_time(timedelta(hours=2, minutes=5))
    await order.did("resolved rate_expired labeled")
    await order.handed_over()
    await order.scanned("delivered")

    assert (await order.result()).outcome == "delivered"


async def test_a_parcel_to_an_address_that_nobody_knows_waits_until_somebody_says_where_it_goes(
    place: PlaceOrder,
) -> None:
    world = World(a_shipment())
    world.states["SO-1-1"] = state_of(a_shipment(), "packed", covered=True, parcel="SO-1-P1")
    world.refused_labels = ["AddressRefused"]
    world.before["label"] = lambda: world.hold_beside_the_order(HoldReason.ADDRESS, by=ADDRESS_CHECK)
    order, _ = await place(world)

    await order.packed()
    await order.answers("view", lambda view: bool(view["holds"]))
    asked_once = len(world.did("label "))
    await order.ask("release", reason="address")
    await order.until(lambda: len(world.did("label ")) == 2)
    await order.handed_over()
    await order.scanned("delivered")

    assert (await order.result()).outcome == "delivered"
    assert asked_once == 1


async def test_an_address_that_nobody_answers_for_cancels_the_order_and_lets_its_money_go(
    place: PlaceOrder,
) -> None:
    world = World(a_shipment())
    world.states["SO-1-1"] = state_of(a_shipment(), "packed", covered=True, parcel="SO-1-P1")
    world.refused_labels = ["AddressRefused"]
    due_at = datetime.now(UTC) + timedelta(days=7)
    world.before["label"] = lambda: world.hold_beside_the_order(
        HoldReason.ADDRESS, by=ADDRESS_CHECK, due_at=due_at
    )
    order, _ = await place(world)

    await order.packed()
    await order.answers("view", lambda view: bool(view["holds"]))
    await order.pass_time(timedelta(days=7, hours=1))

    assert (await order.result()).outcome == "cancelled"
    assert "void SO-1-1" in world.done


async def test_a_refund_the_provider_refuses_is_a_case_and_tried_again(place: PlaceOrder) -> None:
    world = World(a_shipment())
    world.refused_refunds = 1
    order, _ = await place(world)
    await order.packed()
    await order.handed_over()
    await order.did("capture SO-1-1")

    await order.scanned("lost")
    await order.did("case refund_failed SO-1-1")
    await order.pass_time(timedelta(hours=25))

    assert (await order.result()).refunds == ("SO-1-1",)


async def test_news_heard_before_the_hand_over_is_not_lost(place: PlaceOrder) -> None:
    order, _ = await place(World(a_shipment()))
    await order.packed()

    await order.scanned("delivered")
    await order.handed_over()

    assert (await order.result()).outcome == "delivered"
    assert order.world.did("capture") == ["capture SO-1-1"]


async def test_a_backordered_gift_goes_to_the_floor_without_a_payment(place: PlaceOrder) -> None:
    order, _ = await place(World(a_shipment(1, waits_for=WaitsFor.STOCK, value=0)))

    await order.tell("stock_filled", shipment_ids=["SO-1-1"])
    await order.until(lambda: order.world.did("confirm") == ["confirm SO-1", "confirm SO-1"])
    await order.goes_to_the_door()

    assert (await order.result()).outcome == "delivered"
    assert order.world.did("authorize") == []
