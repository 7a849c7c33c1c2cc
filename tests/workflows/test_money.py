"""How an order gets its money, and what becomes of it when the order does not go as planned."""

from dataclasses import replace
from datetime import timedelta

import pytest
from temporalio.client import WorkflowUpdateFailedError

from activities.errors import refusal
from fulfillment.domain.change import LineState
from fulfillment.domain.holds import HoldReason
from fulfillment.domain.payment import PaymentStatus
from fulfillment.domain.policy import OnExpiry, Policy, SplitCapture
from fulfillment.domain.shipment import InvalidTransition, Stop, WaitsFor, WorkStatus
from tests.workflows.conftest import PlaceOrder
from tests.workflows.world import World, a_shipment, state_of

_CONFIRM = PaymentStatus.ACTION_REQUIRED


async def test_a_bank_that_could_not_answer_is_asked_once_more_by_itself(place: PlaceOrder) -> None:
    world = World(a_shipment())
    world.declines = ["retry_later"]

    order, answer = await place(world)
    await order.pass_time(timedelta(minutes=11))
    await order.did("authorize SO-1-1 2")
    await order.goes_to_the_door()

    assert answer.placed == "declined"
    assert (await order.result()).outcome == "delivered"


async def test_a_second_no_of_the_same_bank_waits_for_the_customer(place: PlaceOrder) -> None:
    world = World(a_shipment())
    world.declines = ["retry_later", "retry_later"]

    order, _ = await place(world)
    await order.pass_time(timedelta(minutes=11))
    await order.did("authorize SO-1-1 2")
    await order.pass_time(timedelta(hours=24))

    assert (await order.result()).outcome == "expired"
    assert len(world.did("authorize")) == 2


async def test_a_declined_customer_is_given_a_link_to_pay_another_way(place: PlaceOrder) -> None:
    world = World(a_shipment())
    world.declines = ["other_method"]

    order, _ = await place(world)
    await order.did("link SO-1")

    await order.ask("cancel", reason="enough")
    await order.result()


async def test_a_customer_who_must_confirm_is_waited_for_and_the_webhook_is_only_a_hint(
    place: PlaceOrder,
) -> None:
    world = World(a_shipment())
    world.waiting = [_CONFIRM, _CONFIRM]

    order, answer = await place(world)
    for _ in range(2):  # the first hint comes too early: the provider still says it waits
        await order.tell("payment_news", payment_id="SO-1:authorize:SO-1-1:1")
        await order.until(lambda: bool(world.did("check")))
    await order.until(lambda: len(world.did("check")) == 2)
    await order.goes_to_the_door()

    assert (answer.placed, answer.next_action_url) == ("declined", "https://bank.example/confirm")
    assert (await order.result()).outcome == "delivered"
    assert world.did("let-go") == []


async def test_a_customer_who_never_confirms_is_asked_about_and_then_let_go(place: PlaceOrder) -> None:
    world = World(a_shipment())
    world.waiting = [_CONFIRM, _CONFIRM]

    order, _ = await place(world)
    await order.pass_time(timedelta(hours=2))
    await order.did("let-go SO-1:authorize:SO-1-1:1")
    await order.ask("retry_payment", method="pm_card_visa")
    await order.goes_to_the_door()

    assert (await order.result()).outcome == "delivered"
    assert world.did("check") == ["check SO-1:authorize:SO-1-1:1"]


async def test_a_confirmation_whose_webhook_never_came_is_found_by_asking(place: PlaceOrder) -> None:
    world = World(a_shipment())
    world.waiting = [_CONFIRM]

    order, _ = await place(world)
    await order.pass_time(timedelta(hours=2))
    await order.goes_to_the_door()

    assert (await order.result()).outcome == "delivered"
    assert world.did("let-go") == []


async def test_another_method_given_while_the_bank_waits_replaces_the_attempt(place: PlaceOrder) -> None:
    world = World(a_shipment())
    world.waiting = [_CONFIRM, _CONFIRM]

    order, _ = await place(world)
    await order.ask("retry_payment", method="pm_card_mastercard")
    await order.did("let-go SO-1:authorize:SO-1-1:1", "authorize SO-1-1 2")
    await order.goes_to_the_door()

    assert (await order.result()).outcome == "delivered"


async def test_an_order_cancelled_while_the_bank_waits_lets_the_attempt_go(place: PlaceOrder) -> None:
    world = World(a_shipment())
    world.waiting = [_CONFIRM, _CONFIRM]

    order, _ = await place(world)
    await order.ask("cancel", reason="changed_mind")

    assert (await order.result()).outcome == "cancelled"
    assert world.did("let-go") == ["let-go SO-1:authorize:SO-1-1:1"]


async def test_where_several_captures_are_wanted_one_authorization_covers_what_is_there(
    place: PlaceOrder,
) -> None:
    world = World(a_shipment(1), a_shipment(2))
    world.policy = Policy(split_capture=SplitCapture.SEVERAL)

    order, _ = await place(world)
    await order.goes_to_the_door(1)
    await order.goes_to_the_door(2)
    await order.result()

    assert world.did("authorize") == ["authorize SO-1-1 SO-1-2 1"]
    assert sorted(world.did("capture")) == ["capture SO-1-1", "capture SO-1-2"]


async def test_each_shipment_has_a_payment_and_all_are_asked_for_by_one_deed(place: PlaceOrder) -> None:
    world = World(a_shipment(1), a_shipment(2), a_shipment(3))

    order, answer = await place(world)
    for n in (1, 2, 3):
        await order.goes_to_the_door(n)
    await order.result()

    assert answer.placed == "confirmed"
    assert world.did("authorize") == ["authorize SO-1-1 1", "authorize SO-1-2 2", "authorize SO-1-3 3"]
    history = await order.handle.fetch_history()
    asked = [
        event
        for event in history.events
        if event.activity_task_scheduled_event_attributes.activity_type.name == "authorize_payments"
    ]
    assert len(asked) == 1


async def test_what_the_bank_declines_is_asked_for_again_and_what_it_agreed_to_is_not(
    place: PlaceOrder,
) -> None:
    world = World(a_shipment(1), a_shipment(2), a_shipment(3))
    world.before["authorize"] = lambda: world.before.update(authorize=lambda: world.declines.append("other"))

    order, answer = await place(world)
    await order.may("retry_payment")
    await order.ask("retry_payment", method="pm_other")
    await order.did("authorize SO-1-3 5")
    for n in (1, 2, 3):
        await order.goes_to_the_door(n)

    assert answer.placed == "declined"
    assert (await order.result()).outcome == "delivered"
    asked = ["authorize SO-1-1 1", "authorize SO-1-2 2", "authorize SO-1-2 4", "authorize SO-1-3 5"]
    assert world.did("authorize") == asked


async def test_of_parts_paid_one_by_one_the_one_stopped_on_the_way_stops_no_other(place: PlaceOrder) -> None:
    world = World(a_shipment(1), a_shipment(2), a_shipment(3))

    def the_second_is_stopped() -> None:
        world.states["SO-1-2"] = replace(world.states["SO-1-2"], work_status="cancelled")
        raise refusal(Stop("SO-1-2", "it was cancelled: nothing is owed for it"))

    world.before["authorize"] = lambda: world.before.update(authorize=the_second_is_stopped)

    order, answer = await place(world)
    for n in (1, 3):
        await order.goes_to_the_door(n)

    assert answer.placed == "confirmed"
    assert (await order.result()).outcome == "delivered"
    asked = ["authorize SO-1-1 1", "authorize SO-1-2 2", "authorize SO-1-3 4"]
    assert world.did("authorize") == asked
    assert world.did("void") == ["void SO-1-2"]


async def test_what_one_capture_let_go_is_reserved_anew_before_the_rest_leaves(place: PlaceOrder) -> None:
    world = World(a_shipment(1), a_shipment(2))
    world.policy = Policy(split_capture=SplitCapture.SEVERAL)
    order, _ = await place(world)
    world.uncovered = ("SO-1-2",)

    await order.goes_to_the_door(1)
    await order.did("authorize SO-1-2 2")
    await order.goes_to_the_door(2)

    assert (await order.result()).outcome == "delivered"


async def test_nothing_is_captured_while_a_hold_stands_that_blocks_it(place: PlaceOrder) -> None:
    world = World(a_shipment())
    order, _ = await place(world)
    await order.packed()
    await order.ask("hold", reason="fraud", note="the provider looks into it")
    await order.handed_over()  # it slipped out of the door before the hold
    await order.pass_time(timedelta(hours=1))

    assert world.did("capture") == []
    await order.ask("release", reason="fraud")
    await order.did("capture SO-1-1")
    await order.scanned("delivered")
    await order.result()


async def test_a_hold_that_only_the_books_know_of_is_read_there(place: PlaceOrder) -> None:
    world = World(a_shipment())
    world.held_captures = 1
    order, _ = await place(world)

    await order.goes_to_the_door()

    assert (await order.result()).outcome == "delivered"
    assert len(world.did("capture")) == 2
    assert world.did("read") == ["read SO-1"]


@pytest.mark.parametrize(
    ("on_expiry", "done"),
    [
        (OnExpiry.REAUTHORIZE, ["void SO-1-1", "authorize SO-1-1 2"]),
        (OnExpiry.CAPTURE_EARLY, ["capture SO-1-1 early"]),
        (OnExpiry.HOLD, ["hold payment"]),
    ],
)
async def test_money_about_to_run_out_is_dealt_with_by_policy(
    place: PlaceOrder, on_expiry: OnExpiry, done: list[str]
) -> None:
    world = World(a_shipment())
    world.policy = Policy(on_expiry=on_expiry)
    world.expires_soon = True
    order, _ = await place(world)
    world.expires_soon = False

    await order.tell("packed", shipment_id="SO-1-1", parcel_id="SO-1-P1")
    await order.did(*done)
    if on_expiry is OnExpiry.HOLD:
        await order.ask("retry_payment", method="pm_card_visa")
        await order.did("void SO-1-1", "authorize SO-1-1 2", "release payment by policy")
    await order.goes_to_the_door()

    assert (await order.result()).outcome == "delivered"


async def test_what_was_taken_early_goes_back_with_the_cancel(place: PlaceOrder) -> None:
    world = World(a_shipment())
    world.policy = Policy(on_expiry=OnExpiry.CAPTURE_EARLY)
    world.expires_soon = True
    order, _ = await place(world)
    await order.packed()
    await order.did("capture SO-1-1 early")

    await order.ask("cancel", reason="changed_mind")

    assert (await order.result()).outcome == "cancelled"
    assert world.did("refund") == ["refund SO-1-1"]


async def test_an_order_whose_claim_ran_out_reads_the_books_and_goes_on_with_what_is_left(
    place: PlaceOrder,
) -> None:
    world = World(a_shipment())
    world.stock_gone = 1
    waiting = a_shipment(waits_for=WaitsFor.STOCK)
    world.states["SO-1-1"] = state_of(waiting)

    order, answer = await place(world)
    world.states["SO-1-1"] = state_of(a_shipment())
    await order.tell("stock_filled", shipment_ids=["SO-1-1"])
    await order.did("authorize SO-1-1 2")
    await order.goes_to_the_door()

    assert answer.placed == "confirmed"
    assert (await order.result()).outcome == "delivered"


async def test_an_addition_that_the_bank_declines_leaves_the_order_as_it_was(place: PlaceOrder) -> None:
    world = World(a_shipment())
    order, _ = await place(world)
    world.states["SO-1-2"] = state_of(a_shipment(2, value=1800))
    world.changes("add", added=("SO-1-2",), delta=1800)
    world.declines = ["other_method"]
    world.changes("undo", then=state_of(a_shipment(2, value=1800), "cancelled"))

    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await order.ask("change_items", add=[{"sku": "MUG-12", "quantity": 1}])
    await order.goes_to_the_door()

    assert "as it was" in str(refused.value.cause)
    assert (await order.result()).outcome == "delivered"
    assert world.did("undo") == ["undo SO-1-C1"]


async def test_an_addition_that_is_paid_ships_beside_the_rest(place: PlaceOrder) -> None:
    world = World(a_shipment())
    order, _ = await place(world)
    world.states["SO-1-2"] = state_of(a_shipment(2, value=1800))
    world.changes("add", added=("SO-1-2",), delta=1800)

    told = await order.ask("change_items", add=[{"sku": "MUG-12", "quantity": 1}])
    await order.goes_to_the_door(1)
    await order.goes_to_the_door(2)

    assert (told["added"], told["delta"]) == (["SO-1-2"], 1800)
    assert (await order.result()).outcome == "delivered"
    assert world.did("authorize") == ["authorize SO-1-1 1", "authorize SO-1-2 2"]


async def test_an_order_waits_with_its_end_for_a_change_under_way(place: PlaceOrder) -> None:
    world = World(a_shipment())
    order, _ = await place(world)
    await order.packed()
    await order.handed_over()
    await order.did("capture SO-1-1")

    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await order.ask("change_items", add=[{"sku": "MUG-12", "quantity": 1}])
    await order.scanned("delivered")

    assert "Too late" in str(refused.value.cause)
    assert (await order.result()).outcome == "delivered"


async def test_a_higher_quantity_is_one_more_line_and_a_lower_one_a_cancel(place: PlaceOrder) -> None:
    world = World(a_shipment())
    order, _ = await place(world)
    world.states["SO-1-2"] = state_of(a_shipment(2, value=4400))
    world.changes("add", added=("SO-1-2",), delta=4400)
    await order.ask("change_items", lines=[{"line_no": 1, "quantity": 5}])
    world.changes("cancel-units", delta=-2200)
    await order.ask("change_items", lines=[{"line_no": 1, "quantity": 2}])

    assert world.did("add") == ["add [('MUG', 2)]"]
    assert world.did("cancel-units") == ["cancel-units [(1, 1)]"]
    await order.ask("cancel", reason="enough")
    await order.result()


async def test_a_line_that_is_not_there_is_refused_with_those_that_are(place: PlaceOrder) -> None:
    order, _ = await place(World(a_shipment()))

    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await order.ask("change_items", lines=[{"line_no": 7, "quantity": 1}])

    assert "has no line 7, only 1" in str(refused.value.cause)
    await order.ask("cancel", reason="enough")
    await order.result()


async def test_a_label_that_is_true_no_more_is_voided_and_bought_again(place: PlaceOrder) -> None:
    world = World(a_shipment())
    order, _ = await place(world)
    await order.packed()
    world.states["SO-1-1"] = state_of(a_shipment(), "packed", covered=True, parcel="SO-1-P1")
    world.changes("address", reworked=("SO-1-1",))

    await order.ask("change_address")
    await order.until(lambda: len(world.did("label ")) == 2)
    await order.handed_over()
    await order.scanned("delivered")

    assert (await order.result()).outcome == "delivered"
    assert world.did("void-label") == ["void-label SO-1-P1"]


async def test_a_shipment_that_lost_units_on_the_floor_is_packed_anew(place: PlaceOrder) -> None:
    world = World(a_shipment())
    order, _ = await place(world)
    await order.packed()
    world.states["SO-1-1"] = state_of(a_shipment(value=4400), "released", covered=True)
    world.changes("cancel-units", reworked=("SO-1-1",), delta=-2200)

    await order.ask("cancel", reason="one too many", lines=[{"line_no": 1, "quantity": 1}])
    await order.did("void-label SO-1-P1")
    assert len(world.did("label ")) == 1
    await order.tell("packed", shipment_id="SO-1-1", parcel_id="SO-1-P1")
    await order.until(lambda: len(world.did("label ")) == 2)
    await order.handed_over()
    await order.scanned("delivered")

    assert (await order.result()).outcome == "delivered"


async def test_a_shipment_that_lost_units_before_it_was_packed_has_no_label_to_give_back(
    place: PlaceOrder,
) -> None:
    world = World(a_shipment())
    order, _ = await place(world)
    world.states["SO-1-1"] = state_of(a_shipment(value=4400), "released", covered=True)
    world.changes("cancel-units", reworked=("SO-1-1",), delta=-2200)

    await order.ask("cancel", reason="one too many", lines=[{"line_no": 1, "quantity": 1}])
    await order.packed()
    await order.handed_over()
    await order.scanned("delivered")

    assert (await order.result()).outcome == "delivered"
    assert world.did("void-label") == []
    assert world.did("case") == []


def not_packed() -> None:
    raise refusal(InvalidTransition("SO-1-1", WorkStatus.RELEASED, WorkStatus.LABELED))


async def test_news_of_a_packing_that_no_longer_counts_sends_the_shipment_back(place: PlaceOrder) -> None:
    world = World(a_shipment())
    order, _ = await place(world)
    world.states["SO-1-1"] = state_of(a_shipment(), "released", covered=True)
    world.before["label"] = not_packed

    await order.tell("packed", shipment_id="SO-1-1", parcel_id="SO-1-P1")
    await order.did("read SO-1", "void-label SO-1-P1")
    await order.tell("packed", shipment_id="SO-1-1", parcel_id="SO-1-P1")
    await order.until(lambda: len(world.did("label ")) == 2)
    await order.handed_over()
    await order.scanned("delivered")

    assert (await order.result()).outcome == "delivered"
    assert world.did("case") == []


async def test_a_shipment_packed_before_the_order_has_heard_of_it_is_looked_up_in_the_books(
    place: PlaceOrder,
) -> None:
    world = World(a_shipment())
    order, _ = await place(world)
    world.states["SO-1-2"] = state_of(a_shipment(2), "packed", covered=True, parcel="SO-1-P2")

    await order.packed(2)
    await order.handed_over(2)
    await order.packed()
    await order.handed_over()
    await order.scanned("delivered")
    await order.scanned("delivered", 2)

    assert (await order.result()).outcome == "delivered"
    assert world.did("capture") == ["capture SO-1-2", "capture SO-1-1"]
    assert world.did("case") == []


async def test_a_shipment_that_the_books_do_not_know_either_is_shown_as_rejected(place: PlaceOrder) -> None:
    world = World(a_shipment())
    order, _ = await place(world)

    await order.tell("packed", shipment_id="SO-1-9", parcel_id="SO-1-P9")
    await order.did("read SO-1", "case bad_signal SO-1")

    await order.ask("cancel", reason="enough")
    await order.result()


async def test_stock_that_a_count_took_away_is_waited_for_again(place: PlaceOrder) -> None:
    world = World(a_shipment())
    order, _ = await place(world)
    world.states["SO-1-1"] = state_of(a_shipment(waits_for=WaitsFor.STOCK), covered=True)

    await order.tell("replanned", why="a count found fewer")
    await order.did("read SO-1")
    world.states["SO-1-1"] = state_of(a_shipment(), covered=True)
    await order.tell("stock_filled", shipment_ids=["SO-1-1"])
    await order.goes_to_the_door()

    assert (await order.result()).outcome == "delivered"


async def test_a_dispute_that_came_beside_the_order_holds_it(place: PlaceOrder) -> None:
    world = World(a_shipment())
    order, _ = await place(world)
    world.hold_beside_the_order(HoldReason.DISPUTE)

    await order.tell("replanned", why="dispute opened")

    await order.answers("view", lambda view: view["holds"] == ["dispute"])
    await order.ask("cancel", reason="enough")
    await order.result()


async def test_a_part_that_is_cancelled_while_it_waits_to_be_paid_takes_its_hold_with_it(
    place: PlaceOrder,
) -> None:
    """The hold was for that part's money alone: with it gone, nothing keeps the rest from going on."""
    world = World(a_shipment(1), a_shipment(2, waits_for=WaitsFor.STOCK))
    order, _ = await place(world)
    world.declines = ["other_method"]
    await order.tell("stock_filled", shipment_ids=["SO-1-2"])
    await order.did("hold payment")

    world.states["SO-1-2"] = state_of(a_shipment(2), "cancelled")
    world.changes("cancel-units", stopped=("SO-1-2",), delta=-6600)
    await order.ask("cancel", reason="not this one", lines=[{"line_no": 2, "quantity": 1}])
    await order.did("release payment by policy")
    await order.goes_to_the_door(1)

    assert (await order.result()).outcome == "delivered"


async def test_the_hold_of_two_parts_stands_until_both_are_paid_or_gone(place: PlaceOrder) -> None:
    waiting = [a_shipment(n, waits_for=WaitsFor.STOCK) for n in (1, 2)]
    world = World(*waiting)
    order, _ = await place(world)
    world.declines = ["other_method", "other_method", "other_method"]
    await order.tell("stock_filled", shipment_ids=["SO-1-1", "SO-1-2"])
    await order.until(lambda: len(world.did("hold payment")) == 2)

    await order.ask(
        "retry_payment", method="pm_card_mastercard"
    )  # one of them is paid, the other declined again
    await order.until(lambda: len(world.did("hold payment")) == 3)
    assert world.did("release payment") == []
    await order.ask("retry_payment", method="pm_card_visa")
    await order.did("release payment by policy")

    await order.ask("cancel", reason="enough")
    await order.result()


async def test_money_got_by_a_change_is_renewed_in_time_and_let_go_with_the_order(place: PlaceOrder) -> None:
    world = World(a_shipment())
    order, _ = await place(world)
    added = a_shipment(2, value=1800)
    world.states["SO-1-2"] = state_of(added)
    world.changes("add", added=("SO-1-2",), delta=1800)
    await order.ask("change_items", add=[{"sku": "MUG-12", "quantity": 1}])
    soon = (await order.handle.describe()).start_time + timedelta(hours=12)
    world.states["SO-1-2"] = replace(state_of(added, covered=True), expires_at=soon)

    await order.tell("overdue", shipment_id="SO-1-2", subject="SO-1-2", kind="authorization_expiring")
    await order.did("void SO-1-2", "authorize SO-1-2 3")
    await order.ask("cancel", reason="enough")
    await order.result()

    assert "void SO-1-2" in world.done[world.done.index("authorize SO-1-2 3") :]


async def test_goods_that_leave_while_another_way_to_pay_is_asked_for_are_captured(place: PlaceOrder) -> None:
    world = World(a_shipment())
    world.policy = Policy(on_expiry=OnExpiry.HOLD)
    world.expires_soon = True
    order, _ = await place(world)
    await order.tell("packed", shipment_id="SO-1-1", parcel_id="SO-1-P1")
    await order.did("hold payment")

    await order.handed_over()  # the carrier took it all the same
    await order.did("capture SO-1-1")
    await order.scanned("delivered")

    assert (await order.result()).outcome == "delivered"


async def test_a_change_that_cannot_be_made_whole_is_not_made_at_all(place: PlaceOrder) -> None:
    world = World(a_shipment())
    order, _ = await place(world)
    world.states["SO-1-2"] = state_of(a_shipment(2, value=1800))
    world.changes("add", added=("SO-1-2",), delta=1800)
    world.changes("undo", then=state_of(a_shipment(2, value=1800), "cancelled"))

    with pytest.raises(WorkflowUpdateFailedError) as refused:  # its mugs have just left: the books refuse
        await order.ask(
            "change_items", lines=[{"line_no": 1, "quantity": 2}], add=[{"sku": "TEA", "quantity": 1}]
        )
    await order.goes_to_the_door()

    assert "Nothing was changed" in str(refused.value.cause)
    assert world.did("undo") == ["undo SO-1-C1"]
    assert (await order.result()).outcome == "delivered"


async def test_the_same_quantity_asked_for_twice_is_added_once(place: PlaceOrder) -> None:
    world = World(a_shipment())
    order, _ = await place(world)
    world.states["SO-1-2"] = state_of(a_shipment(2, value=2200))
    world.changes("add", added=("SO-1-2",), delta=2200)
    await order.ask("change_items", lines=[{"line_no": 1, "quantity": 4}])
    world.lines = (*world.lines, LineState(line_no=2, sku="MUG", quantity=1, unit_price=2200))

    again = await order.ask("change_items", lines=[{"line_no": 1, "quantity": 4}])

    assert again["text"] == "Nothing was to be changed."
    assert len(world.did("add")) == 1
    await order.ask("cancel", reason="enough")
    await order.result()


async def test_a_provider_that_does_not_answer_keeps_nobody_waiting_at_the_desk(place: PlaceOrder) -> None:
    world = World(a_shipment())
    order, _ = await place(world)
    world.states["SO-1-2"] = state_of(a_shipment(2, value=1800))
    world.changes("add", added=("SO-1-2",), delta=1800)
    world.changes("undo", then=state_of(a_shipment(2, value=1800), "cancelled"))
    world.away = 4

    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await order.ask("change_items", add=[{"sku": "TEA", "quantity": 1}])
    await order.ask("hold", reason="manual", note="the desk answers")

    assert "as it was" in str(refused.value.cause)
    await order.ask("cancel", reason="enough")
    await order.result()


async def test_what_was_taken_early_for_units_that_a_count_took_goes_back(place: PlaceOrder) -> None:
    world = World(a_shipment())
    world.policy = Policy(on_expiry=OnExpiry.CAPTURE_EARLY)
    world.expires_soon = True
    order, _ = await place(world)
    await order.packed()
    await order.did("capture SO-1-1 early")

    world.states["SO-1-1"] = state_of(a_shipment(value=4400), "packed", covered=True, parcel="SO-1-P1")
    await order.tell("replanned", why="a count found fewer")
    await order.did("refund SO-1-1")
    await order.handed_over()
    await order.scanned("delivered")

    assert (await order.result()).outcome == "delivered"
