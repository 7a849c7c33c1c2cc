"""What becomes of an order of which not everything is there, when the customer is asked."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from temporalio.client import WorkflowUpdateFailedError

from fulfillment.domain.holds import Hold, HoldReason
from fulfillment.domain.policy import Policy, Shortage, ShortageChoice, Substitution
from fulfillment.domain.shipment import WaitsFor
from tests.workflows.conftest import PlaceOrder, RunningOrder
from tests.workflows.world import World, a_shipment, state_of


async def _asked(place: PlaceOrder, policy: Policy) -> RunningOrder:
    """Place an order of which the second part waits for stock, and whose customer is asked about it."""
    world = World(a_shipment(1), a_shipment(2, waits_for=WaitsFor.STOCK))
    world.policy = policy
    now = datetime.now(UTC)
    world.reserved_holds = (
        Hold(
            hold_id="SO-1:stock:1",
            reason=HoldReason.STOCK,
            placed_by="policy",
            placed_at=now,
            due_at=now + policy.ask_customer_wait,
        ),
    )
    world.holds[HoldReason.STOCK] = world.reserved_holds[0]
    order, _ = await place(world)
    return order


async def test_a_customer_who_splits_gets_what_is_there_now(place: PlaceOrder) -> None:
    order = await _asked(place, Policy(shortage=Shortage.ASK))

    await order.ask("answer_shortage", choice="split")
    await order.did("release stock by maria")
    await order.goes_to_the_door(1)
    await order.tell("stock_filled", shipment_ids=["SO-1-2"])
    await order.goes_to_the_door(2)

    assert (await order.result()).outcome == "delivered"


async def test_a_customer_who_drops_what_is_missing_gets_the_rest(place: PlaceOrder) -> None:
    order = await _asked(place, Policy(shortage=Shortage.ASK))

    await order.ask("answer_shortage", choice="drop")
    await order.did("stop out_of_stock", "release stock by maria")
    await order.goes_to_the_door(1)

    assert (await order.result()).outcome == "delivered"
    assert order.world.did("authorize") == ["authorize SO-1-1 1"]


async def test_a_customer_who_takes_what_is_as_good_gets_it_beside_the_rest(place: PlaceOrder) -> None:
    order = await _asked(place, Policy(substitution=Substitution.CONSENT))
    gone = state_of(a_shipment(2, waits_for=WaitsFor.STOCK), "cancelled")
    order.world.states["SO-1-1"] = state_of(a_shipment(1), covered=True)
    order.world.states["SO-1-3"] = state_of(a_shipment(3))
    order.world.changes("substitute", added=("SO-1-3",), stopped=("SO-1-2",), then=gone)

    await order.ask("answer_shortage", choice="substitute")
    await order.did("substitute by maria", "release stock by policy", "authorize SO-1-3 2")
    await order.goes_to_the_door(1)
    await order.goes_to_the_door(3)

    assert (await order.result()).outcome == "delivered"


async def test_an_equal_that_the_books_sent_unasked_makes_an_order_whole_that_is_kept_together(
    place: PlaceOrder,
) -> None:
    policy = Policy(substitution=Substitution.AUTOMATIC, shortage=Shortage.SHIP_COMPLETE)
    order = await _asked(place, policy)
    order.world.states["SO-1-1"] = state_of(a_shipment(1), covered=True)
    order.world.states["SO-1-2"] = state_of(a_shipment(2, waits_for=WaitsFor.STOCK), "cancelled")
    order.world.states["SO-1-3"] = state_of(a_shipment(3))

    await order.tell("replanned", why="substituted")
    await order.did("release stock by policy", "authorize SO-1-3 2")
    await order.goes_to_the_door(1)
    await order.goes_to_the_door(3)

    assert (await order.result()).outcome == "delivered"


async def test_money_held_for_what_the_books_replaced_is_let_go_and_the_equal_is_paid_once(
    place: PlaceOrder,
) -> None:
    world = World(a_shipment(1))
    world.policy = Policy(substitution=Substitution.AUTOMATIC)
    order, _ = await place(world)
    world.states["SO-1-1"] = state_of(a_shipment(1, waits_for=WaitsFor.STOCK), "cancelled", covered=True)
    world.states["SO-1-2"] = state_of(a_shipment(2, value=1000))

    await order.tell("replanned", why="substituted")
    await order.did("void SO-1-1", "authorize SO-1-2 2")
    await order.goes_to_the_door(2)

    assert (await order.result()).outcome == "delivered"
    assert len(world.did("authorize")) == 2


async def test_an_equal_that_is_gone_is_refused_and_another_answer_still_counts(place: PlaceOrder) -> None:
    order = await _asked(place, Policy(substitution=Substitution.CONSENT))

    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await order.ask("answer_shortage", choice="substitute")
    await order.ask("answer_shortage", choice="drop")

    assert "Too late" in str(refused.value.cause)
    await order.did("stop out_of_stock", "release stock by maria")
    await order.goes_to_the_door(1)
    assert (await order.result()).outcome == "delivered"


async def test_a_customer_who_takes_what_is_as_good_too_late_is_told_so(place: PlaceOrder) -> None:
    order = await _asked(place, Policy(substitution=Substitution.CONSENT))
    await order.pass_time(timedelta(hours=49))
    await order.did("release stock by policy")

    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await order.ask("answer_shortage", choice="substitute")

    assert "waits for no answer" in str(refused.value.cause)
    assert order.world.did("substitute") == []
    await order.ask("cancel", reason="enough")
    await order.result()


async def test_who_does_not_answer_an_offer_of_a_shop_that_ships_whole_waits_for_all(
    place: PlaceOrder,
) -> None:
    """Seen to fail when silence meant `shortage_default`: the order was split."""
    policy = Policy(substitution=Substitution.CONSENT, shortage=Shortage.SHIP_COMPLETE)
    order = await _asked(place, policy)

    await order.pass_time(timedelta(hours=49))
    await order.did("wait for all, says policy")

    assert order.world.did("release") == []
    await order.pass_time(timedelta(days=15))
    await order.did("release stock by policy")
    await order.ask("cancel", reason="enough")
    await order.result()


async def test_a_customer_who_waits_gets_all_of_it_together(place: PlaceOrder) -> None:
    order = await _asked(place, Policy(shortage=Shortage.ASK))

    await order.ask("answer_shortage", choice="wait")
    await order.did("wait for all, says maria")
    await order.pass_time(timedelta(hours=72))
    assert order.world.did("release") == []
    assert (await order.handle.query("view"))["cases"] == []
    await order.tell("stock_filled", shipment_ids=["SO-1-2"])
    await order.did("release stock by policy")
    await order.goes_to_the_door(1)
    await order.goes_to_the_door(2)

    assert (await order.result()).outcome == "delivered"


async def test_what_a_customer_waits_for_in_vain_is_settled_by_the_policy(place: PlaceOrder) -> None:
    """Seen to fail when a customer who waits took the hold's time away: it stood without end."""
    order = await _asked(place, Policy(shortage=Shortage.ASK))

    await order.ask("answer_shortage", choice="wait")
    await order.pass_time(timedelta(days=15))
    await order.did("release stock by policy")

    await order.ask("cancel", reason="enough")
    await order.result()


@pytest.mark.parametrize(
    ("choice", "done"),
    [(ShortageChoice.SPLIT, "release stock by policy"), (ShortageChoice.DROP, "stop out_of_stock")],
)
async def test_a_customer_who_does_not_answer_gets_what_the_policy_says(
    place: PlaceOrder, choice: ShortageChoice, done: str
) -> None:
    order = await _asked(place, Policy(shortage=Shortage.ASK, shortage_default=choice))

    await order.pass_time(timedelta(hours=49))
    await order.did(done)

    await order.ask("cancel", reason="enough")
    await order.result()


async def test_where_only_complete_orders_ship_all_leave_when_the_last_piece_came(place: PlaceOrder) -> None:
    order = await _asked(
        place, Policy(shortage=Shortage.SHIP_COMPLETE, ask_customer_wait=timedelta(days=365))
    )

    await order.tell("stock_filled", shipment_ids=["SO-1-2"])
    await order.did("release stock by policy")

    await order.ask("cancel", reason="enough")
    await order.result()


async def test_stock_that_comes_before_the_answer_leaves_nothing_to_ask(place: PlaceOrder) -> None:
    order = await _asked(place, Policy(shortage=Shortage.ASK))

    await order.tell("stock_filled", shipment_ids=["SO-1-2"])
    await order.did("release stock by policy")
    await order.goes_to_the_door(1)
    await order.goes_to_the_door(2)

    assert (await order.result()).outcome == "delivered"


async def test_a_customer_who_cancels_what_is_missing_gets_the_rest(place: PlaceOrder) -> None:
    order = await _asked(place, Policy(shortage=Shortage.ASK))
    gone = state_of(a_shipment(2, waits_for=WaitsFor.STOCK), "cancelled")
    order.world.states["SO-1-1"] = state_of(a_shipment(1), covered=True)
    order.world.changes("cancel-units", stopped=("SO-1-2",), then=gone)

    await order.ask("cancel", reason="enough", lines=[{"line_no": 1, "quantity": 1}])
    await order.did("release stock by policy")
    await order.goes_to_the_door(1)

    assert (await order.result()).outcome == "delivered"


async def test_a_hold_that_was_given_more_time_is_not_settled_at_its_old_one(place: PlaceOrder) -> None:
    policy = Policy(shortage=Shortage.SHIP_COMPLETE, ask_customer_wait=timedelta(hours=48))
    order = await _asked(place, policy)
    hold = order.world.holds[HoldReason.STOCK]
    order.world.holds[HoldReason.STOCK] = replace(hold, due_at=hold.due_at + timedelta(days=30))

    await order.tell("replanned", why="receipt_late")
    await order.did("read SO-1")
    await order.pass_time(timedelta(hours=72))

    assert order.world.did("release") == []
    await order.ask("cancel", reason="enough")
    await order.result()


async def test_a_promise_that_the_books_moved_is_the_one_shown(place: PlaceOrder) -> None:
    order, _ = await place(World(a_shipment()))
    order.world.states["SO-1-1"] = state_of(a_shipment(), "released", covered=True)
    order.world.promised_later = date(2099, 12, 24)

    await order.tell("replanned", why="receipt_late")
    await order.did("confirm SO-1")

    await order.answers("view", lambda view: "2099-12-24" in str(view))
    await order.ask("cancel", reason="enough")
    await order.result()


async def test_a_shipment_that_has_all_it_needs_and_waits_for_its_day_leaves_on_it(place: PlaceOrder) -> None:
    order, _ = await place(World(a_shipment()))
    waits = a_shipment(waits_for=WaitsFor.DATE)
    order.world.states["SO-1-1"] = state_of(waits, covered=True)

    await order.tell("replanned", why="its day was moved")
    await order.did("read SO-1")
    await order.pass_time(timedelta(days=30))
    await order.goes_to_the_door()

    assert (await order.result()).outcome == "delivered"
    assert order.world.did("authorize") == ["authorize SO-1-1 1"]


async def test_an_order_that_asked_nothing_takes_no_answer(place: PlaceOrder) -> None:
    order, _ = await place(World(a_shipment()))

    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await order.ask("answer_shortage", choice="drop")

    assert "waits for no answer" in str(refused.value.cause)
    await order.ask("cancel", reason="enough")
    await order.result()
