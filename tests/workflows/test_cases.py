"""What an order does about parcels in trouble: by itself, when a person answers, and after its end."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from temporalio.client import WorkflowUpdateFailedError
from temporalio.testing import WorkflowEnvironment

from fulfillment.domain.cases import Case, CaseKind
from fulfillment.domain.clock import ShopClock
from fulfillment.domain.playbooks import PLAYBOOKS, Answer
from fulfillment.domain.settlement import Settlement
from fulfillment.domain.shipment import WaitsFor
from fulfillment.domain.tracking import CarrierStatus, Flag
from fulfillment.domain.troubles import troubles
from tests.workflows.conftest import PlaceOrder, RunningOrder, Workers
from tests.workflows.world import NOON, World, a_shipment, state_of
from workflows import contract
from workflows.contract import OrderStart
from workflows.order import OrderWorkflow
from workflows.playbooks import CAUSE

C, K = CarrierStatus, CaseKind


def a_world(*, sends_again: bool = True, value: int = 6600) -> World:
    """An order of one shipment; what is made good is sent again with a second one, or refunded."""
    world = World(a_shipment(value=value))
    if sends_again:
        again = replace(a_shipment(2, waits_for=WaitsFor.NOTHING, value=0), replaces="SO-1-1")
        world.settles, world.sent_again = Settlement.RESHIP, state_of(again, "released", covered=True)
    return world


async def on_its_way(place: PlaceOrder, world: World) -> RunningOrder:
    order, _ = await place(world)
    await order.packed()
    await order.handed_over()
    await order.did("capture SO-1-1")
    return order


async def due(order: RunningOrder, kind: CaseKind, deed: str) -> None:
    await order.tell("overdue", shipment_id="SO-1-1", subject="SO-1-1", kind=kind.value, deed=deed)


async def test_what_is_lost_is_sent_again_and_the_order_ends_delivered(place: PlaceOrder) -> None:
    order = await on_its_way(place, a_world())

    await order.scanned("lost")
    await order.did("case lost SO-1-1", "settle SO-1-1 lost", "resolved lost sent again with SO-1-2")
    await order.goes_to_the_door(2)
    result = await order.result()

    assert (result.outcome, result.refunds) == ("delivered", ())
    assert order.world.did("refund") == order.world.did("authorize SO-1-2") == []
    assert order.world.did("capture") == ["capture SO-1-1"]


async def test_a_damaged_parcel_that_nobody_decides_about_is_made_good_at_its_due_time(
    place: PlaceOrder,
) -> None:
    order = await on_its_way(place, a_world(sends_again=False))

    await order.scanned("in_transit", flags=["damaged"])
    await order.did("case damaged SO-1-1")
    await due(order, K.DAMAGED, "make_good")
    await order.did("refund SO-1-1", "resolved damaged the money goes back")
    await order.scanned("delivered", flags=["damaged"])
    result = await order.result()

    assert order.world.did("settle") == ["settle SO-1-1 damaged"]
    assert (result.outcome, result.refunds) == ("delivered", ("SO-1-1",))


async def test_a_damaged_parcel_that_arrives_waits_for_the_decision_about_it(place: PlaceOrder) -> None:
    order = await on_its_way(place, a_world())
    await order.scanned("in_transit", flags=["damaged"])
    await order.did("case damaged SO-1-1")

    await order.scanned("delivered", flags=["damaged"])
    await order.may("answer_case")
    await order.ask("answer_case", kind="damaged", answer="done", note="only the box")

    assert (await order.result()).outcome == "delivered"
    assert order.world.did("answer") == ["answer damaged done"]
    assert order.world.did("settle") == []


async def test_the_customer_says_what_becomes_of_a_parcel_that_comes_back(place: PlaceOrder) -> None:
    order = await on_its_way(place, a_world())
    order.world.changes("address")

    await order.scanned("return_to_sender")
    await order.did("case return_to_sender SO-1-1")
    answer = await order.ask("answer_case", kind="return_to_sender", answer="reship", elsewhere=True)
    await order.did("address", "resolved return_to_sender sent again with SO-1-2")
    await order.goes_to_the_door(2)
    await order.scanned("returned")

    assert answer["added"] == ["SO-1-2"]
    assert (await order.result()).outcome == "delivered"
    assert order.world.did("settle")[0] == "settle SO-1-1 returning reship"
    assert order.world.did("refund") == []


async def test_what_comes_back_and_nobody_asked_for_is_refunded_when_it_is_here(place: PlaceOrder) -> None:
    order = await on_its_way(place, a_world(sends_again=False))

    await order.scanned("return_to_sender", reason="consignee_refused")
    await order.scanned("return_to_sender", flags=["delayed"])  # the carrier does not say again why
    await order.scanned("returned")
    result = await order.result()

    assert (result.outcome, result.refunds) == ("returned", ("SO-1-1",))
    assert order.world.did("case") == ["case refused SO-1-1"]


async def test_what_comes_back_and_never_arrives_counts_as_lost(place: PlaceOrder) -> None:
    order = await on_its_way(place, a_world(sends_again=False))

    await order.scanned("return_to_sender")
    await order.did("case return_to_sender SO-1-1")
    await due(order, K.RETURN_TO_SENDER, "give_up")

    assert (await order.result()).outcome == "lost"
    assert order.world.did("lost") == ["lost SO-1-P1"]


async def test_what_was_given_up_for_its_silence_and_is_seen_again_keeps_its_replacement_here(
    place: PlaceOrder,
) -> None:
    order = await on_its_way(place, a_world())
    await order.tell("overdue", shipment_id="SO-1-1", subject="SO-1-P1", kind="no_scan")
    await order.did("case no_scan SO-1-1")

    await order.ask("answer_case", kind="no_scan", answer="reship")
    await order.did("resolved no_scan sent again with SO-1-2")
    await order.scanned("in_transit")
    await order.did("found SO-1-1")
    await order.scanned("delivered")

    assert (await order.result()).outcome == "delivered"
    assert order.world.did("settle") == ["settle SO-1-1 silent reship"]


async def test_what_was_given_up_and_is_seen_on_its_way_back_stops_nothing_that_was_sent_instead(
    place: PlaceOrder,
) -> None:
    """Guard: it does not reach its customer. Found, it would keep here what does, and they would be asked again."""
    order = await on_its_way(place, a_world())
    await order.scanned("lost")
    await order.did("resolved lost sent again with SO-1-2")

    await order.scanned("return_to_sender")
    await order.scanned("returned")
    await order.goes_to_the_door(2)

    assert (await order.result()).outcome == "delivered"
    assert order.world.did("found") == []
    assert order.world.did("case") == ["case lost SO-1-1"]


async def test_a_parcel_on_its_way_back_whose_money_went_back_is_explained_as_that(place: PlaceOrder) -> None:
    order = await on_its_way(place, a_world(sends_again=False))
    await order.scanned("return_to_sender", reason="consignee_refused")
    await order.did("case refused SO-1-1")

    await order.ask("answer_case", kind="refused", answer="refund")
    await order.did("resolved refused the money goes back")

    await order.answers("explain", lambda said: said == "SO-1-1 is on its way back. Nothing for you to do.")
    await order.scanned("returned")
    assert (await order.result()).outcome == "returned"
    assert order.world.did("settle")[0] == "settle SO-1-1 refused refund"


def test_whatever_may_be_answered_with_another_one_or_the_money_says_why() -> None:
    made_good = {Answer.RESHIP, Answer.REFUND}

    assert {kind for kind, book in PLAYBOOKS.items() if made_good & book.answers} == set(CAUSE)


async def test_trouble_that_the_news_ends_is_over(place: PlaceOrder) -> None:
    order = await on_its_way(place, a_world())

    for status in ("available_for_pickup", "in_transit", "available_for_pickup", "delivered"):
        await order.scanned(status)
    await order.result()

    assert order.world.did("case") == ["case pickup_waiting SO-1-1"] * 2
    assert "resolved pickup_waiting then it was in_transit" in order.world.done
    assert "resolved pickup_waiting delivered" in order.world.done


def booked(kind: CaseKind, n: int = 1) -> dict[str, str]:
    """A case that the books opened with the scan, as its news names it."""
    opened, due = NOON.isoformat(), (NOON + timedelta(days=1)).isoformat()
    at = {"opened_at": opened, "due_at": due, "owner": "support"}
    return {"case_id": f"SO-1-1:{kind}:{n}", "kind": kind.value, "note": f"attempt {n} of 3"} | at


async def test_the_third_failed_attempt_is_supports_and_its_money_goes_back_when_they_say_so(
    place: PlaceOrder,
) -> None:
    order = await on_its_way(place, a_world(sends_again=False))

    for n, kind in enumerate((K.FAILED_ATTEMPT, K.FAILED_ATTEMPT, K.LAST_ATTEMPT), start=1):
        await order.scanned("attempted", case=booked(kind, n))
        await order.answers("view", lambda view, kind=kind: view["cases"] == [f"{kind} about SO-1-1"])
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await order.ask("answer_case", kind="failed_attempt", answer="wait")
    await order.ask("answer_case", kind="last_attempt", answer="refund")
    await order.did("refund SO-1-1")
    await order.scanned("return_to_sender")
    await order.scanned("returned")
    result = await order.result()

    assert "Open are: last_attempt of SO-1-1" in str(refused.value.cause)
    assert (result.outcome, result.refunds) == ("returned", ("SO-1-1",))
    assert order.world.did("case") == []  # the books opened them, and nothing is asked about its way back
    assert order.world.did("settle")[0] == "settle SO-1-1 not_brought refund"


async def test_a_case_of_the_books_that_older_news_does_not_name_comes_back_with_the_next(
    place: PlaceOrder,
) -> None:
    order = await on_its_way(place, a_world())
    await order.scanned("attempted", case=booked(K.LAST_ATTEMPT, 3))
    await order.scanned("in_transit")
    await order.answers("view", lambda view: view["cases"] == [])

    await order.scanned("attempted", case=booked(K.LAST_ATTEMPT, 3))

    await order.answers("view", lambda view: view["cases"] == ["last_attempt about SO-1-1"])


async def test_what_waits_at_a_counter_or_at_customs_is_not_told_as_silent(place: PlaceOrder) -> None:
    """Guard: without it the customer of a parcel at customs is promised another one that nobody sends."""
    order = await on_its_way(place, a_world())

    await order.scanned("in_transit", flags=["customs"], reason="customs_inspection")
    await order.did("case customs SO-1-1")
    await order.tell("overdue", shipment_id="SO-1-1", subject="SO-1-P1", kind="no_scan")
    await order.scanned("delivered")
    await order.result()

    assert order.world.did("case") == ["case customs SO-1-1"]


async def test_customs_that_want_something_else_are_another_case(place: PlaceOrder) -> None:
    order = await on_its_way(place, a_world())

    for reason in ("customs_delay", "customs_duties_unpaid", "", "customs_duties_unpaid"):
        await order.scanned("in_transit", flags=["customs"], reason=reason)
    await order.scanned("delivered")
    await order.result()

    assert order.world.did("case") == ["case customs SO-1-1"] * 2
    assert order.world.did("resolved customs") == [
        "resolved customs then it was customs_duties_unpaid",
        "resolved customs delivered",
    ]


async def test_what_was_given_up_and_turns_up_keeps_its_replacement_here(place: PlaceOrder) -> None:
    order = await on_its_way(place, a_world())
    await order.scanned("lost")
    await order.did("resolved lost sent again with SO-1-2")

    await order.scanned("in_transit")
    await order.did("found SO-1-1")
    await order.scanned("delivered")
    result = await order.result()

    assert result.outcome == "delivered"
    assert order.world.did("label SO-1-P2") == []


async def test_a_step_of_a_case_that_is_over_does_nothing(place: PlaceOrder) -> None:
    order = await on_its_way(place, a_world())

    await due(order, K.DAMAGED, "make_good")
    await order.scanned("delivered")

    assert (await order.result()).outcome == "delivered"
    assert order.world.did("settle") == []


async def test_an_answer_that_fits_no_case_is_refused_with_the_cases_there_are(place: PlaceOrder) -> None:
    order = await on_its_way(place, a_world())
    await order.scanned("available_for_pickup")
    await order.did("case pickup_waiting SO-1-1")

    for kind, what, why in (
        ("lost", "refund", "Open are: pickup_waiting of SO-1-1"),
        ("pickup_waiting", "refund", "only with done, reroute, wait"),
    ):
        with pytest.raises(WorkflowUpdateFailedError) as refused:
            await order.ask("answer_case", kind=kind, answer=what)
        assert why in str(refused.value.cause)
    waits = await order.ask("answer_case", kind="pickup_waiting", answer="wait")

    assert waits["text"].startswith("We wait until")
    assert order.world.did("settle") == []


async def gone_on(environment: WorkflowEnvironment, workers: Workers, world: World) -> RunningOrder:
    """An order whose parcel was delivered and is not received: it goes on after its end."""
    world.promised_later = world.promise
    missed = state_of(a_shipment(value=world.shipments[0].value), "closed", covered=True, parcel="SO-1-P1")
    world.states["SO-1-1"] = replace(missed, outcome="delivered")
    world.cases.append(
        Case(
            case_id="SO-1-1:not_received:1",
            kind=K.NOT_RECEIVED,
            subject="SO-1-1",
            opened_at=NOON,
            due_at=NOON + timedelta(days=2),
        )
    )
    await workers(world)
    start = OrderStart(
        order_id="SO-1", currency="USD", total=6600, policy=world.policy, clock=ShopClock(), goes_on=True
    )
    handle = await environment.client.start_workflow(
        OrderWorkflow.run, start, id=f"order-SO-1-{uuid4().hex[:8]}", task_queue=contract.ORDERS_QUEUE
    )
    order = RunningOrder(environment, world, handle)
    await order.did("read SO-1")
    return order


async def test_what_was_not_received_and_is_worth_little_is_made_good_when_it_did_not_turn_up(
    environment: WorkflowEnvironment, workers: Workers
) -> None:
    order = await gone_on(environment, workers, a_world(value=1200))

    await due(order, K.NOT_RECEIVED, "decide")
    await order.did("settle SO-1-1 not_received")
    await order.goes_to_the_door(2)

    assert (await order.result()).outcome == "delivered"
    assert order.world.did("reserve") == order.world.did("authorize") == order.world.did("capture") == []


async def test_where_much_is_at_stake_the_trace_is_waited_for_before_the_money_goes_back(
    environment: WorkflowEnvironment, workers: Workers
) -> None:
    order = await gone_on(environment, workers, a_world(sends_again=False))

    await due(order, K.NOT_RECEIVED, "decide")
    await due(order, K.NOT_RECEIVED, "make_good")
    result = await order.result()

    assert result.refunds == ("SO-1-1",)
    assert order.world.did("settle") == ["settle SO-1-1 not_received"]


async def test_what_is_added_after_its_end_is_paid_by_an_attempt_of_its_own(
    environment: WorkflowEnvironment, workers: Workers
) -> None:
    """Guard: `Till.goes_on_after`. Without it the number finds the payment of before, which is long captured."""
    world = a_world(value=1200)
    world.tried_before = 3
    order = await gone_on(environment, workers, world)
    await due(order, K.NOT_RECEIVED, "decide")
    await order.did("settle SO-1-1 not_received")
    await order.may("change_items")
    world.states["SO-1-3"] = state_of(a_shipment(3, value=1800))
    world.changes("add", added=("SO-1-3",), delta=1800)

    await order.ask("change_items", add=[{"sku": "MUG-12", "quantity": 1}])
    await order.goes_to_the_door(2)
    await order.goes_to_the_door(3)

    assert (await order.result()).outcome == "delivered"
    assert world.did("authorize") == ["authorize SO-1-3 4"]


async def test_what_turned_up_after_all_ends_the_order_again(
    environment: WorkflowEnvironment, workers: Workers
) -> None:
    order = await gone_on(environment, workers, a_world())

    await order.ask("answer_case", kind="not_received", answer="done", note="at the neighbour's")

    assert (await order.result()).outcome == "delivered"
    assert order.world.did("settle") == []


@pytest.mark.parametrize(
    ("status", "flags", "reason", "kinds"),
    [
        (C.IN_TRANSIT, (), "", ()),
        (C.IN_TRANSIT, (Flag.DELAYED,), "weather_delay", ()),
        (C.IN_TRANSIT, (), "unheard_of", ()),
        (C.IN_TRANSIT, (), "carrier_address_not_found", (K.ADDRESS_PROBLEM,)),
        (C.IN_TRANSIT, (Flag.CUSTOMS, Flag.ON_HOLD), "customs_duties_unpaid", (K.CUSTOMS,)),
        (C.IN_TRANSIT, (Flag.ON_HOLD,), "security_issue", (K.CARRIER_PROBLEM,)),
        (C.IN_TRANSIT, (Flag.DAMAGED,), "", (K.DAMAGED,)),
        (C.ATTEMPTED, (), "consignee_not_home", (K.FAILED_ATTEMPT,)),
        (C.ATTEMPTED, (), "consignee_incorrect_address", (K.ADDRESS_PROBLEM,)),
        (C.ATTEMPTED, (), "consignee_refused", (K.REFUSED,)),
        (C.AVAILABLE_FOR_PICKUP, (), "consignee_not_home", (K.PICKUP_WAITING,)),
        (C.RETURN_TO_SENDER, (), "carrier_address_not_found", (K.RETURN_TO_SENDER,)),
        (C.RETURN_TO_SENDER, (Flag.DAMAGED,), "consignee_cancelled", (K.DAMAGED, K.REFUSED)),
        (C.CANCELLED, (), "", (K.CARRIER_PROBLEM,)),
    ],
)
def test_the_news_of_a_carrier_is_this_trouble(
    status: CarrierStatus, flags: Sequence[Flag], reason: str, kinds: Sequence[Any]
) -> None:
    assert sorted(troubles(status, flags, reason)) == sorted(kinds)
