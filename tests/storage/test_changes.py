"""Changing an order that stands: each change is all or nothing, once, and says what it came to."""

import contextlib
import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from fulfillment.domain.address import Address
from fulfillment.domain.change import (
    AddLines,
    CancelUnits,
    ChangeAddress,
    Changed,
    ChangeRefused,
    ChangeService,
    LineQuantity,
    NewLine,
    UndoChange,
)
from fulfillment.domain.errors import FulfillmentError
from fulfillment.domain.inventory import UnknownSku
from fulfillment.domain.order import OrderLine, Outcome
from fulfillment.domain.record import CloseOrder, StopShipments
from fulfillment.domain.shipment import Stop, WorkStatus
from fulfillment.storage.tables import (
    allocations,
    audit_entries,
    backorders,
    labels,
    order_changes,
    order_events,
    order_lines,
    orders,
    outbox,
    parcels,
    promises,
    provider_operations,
    reservations,
    shipments,
    signals,
    skus,
    stock_levels,
    stock_movements,
    unit_ranges,
)
from tests.storage.house import HOME, MUG, TEA, House, an_order, only
from tests.storage.paying import pay
from tests.storage.proof import check_books

ELSEWHERE = Address(name="Ann Example", line1="7 Lake Dr", city="Tahoe", region="NV", country="US")
ABROAD = Address(name="Ann Example", line1="Rue 1", city="Paris", country="FR")


def cancel(house: House, *lines: tuple[int, int], order_id: str = "SO-1", request_id: str = "c-1") -> Changed:
    """Cancel so many units of these lines."""
    return house.records.cancel_units(
        CancelUnits(
            order_id=order_id,
            lines=tuple(LineQuantity(line_no=n, quantity=quantity) for n, quantity in lines),
            reason="changed_mind",
            by="ann",
            request_id=request_id,
        )
    )


def add(house: House, *lines: NewLine, request_id: str = "a-1") -> Changed:
    wanted = lines or (NewLine(sku=TEA, quantity=2),)
    return house.records.add_lines(AddLines(order_id="SO-1", lines=wanted, by="sue", request_id=request_id))


def undo(house: House, change_id: str) -> Changed:
    return house.records.undo_change(UndoChange(order_id="SO-1", change_id=change_id, reason="not_paid"))


def readdress(house: House, to: Address = ELSEWHERE, *, request_id: str = "d-1") -> Changed:
    house.records.propose_address("SO-1", to, by="ann", request_id=request_id)
    return house.records.change_address(ChangeAddress(order_id="SO-1", by="ann", request_id=request_id))


def reship(house: House, service: str = "express", fee: int = 900, *, request_id: str = "s-1") -> Changed:
    return house.records.change_service(
        ChangeService(order_id="SO-1", service=service, fee=fee, by="ann", request_id=request_id)
    )


def everything(house: House) -> list[Any]:
    """Return what a refused change must leave as it was."""
    tables = (
        orders,
        order_lines,
        unit_ranges,
        shipments,
        reservations,
        allocations,
        backorders,
        stock_levels,
    )
    said = (stock_movements, order_changes, order_events, outbox, audit_entries, signals, provider_operations)
    return [house.rows(table) for table in (*tables, *said)]


def cancelled(house: House, line_no: int = 1) -> list[tuple[int, int]]:
    """Return the cancelled units of a line: the first and how many."""
    rows = house.rows(unit_ranges, line_no=line_no, shipment_id=None)
    return sorted((row["first_unit"], row["quantity"]) for row in rows)


def status(house: House, shipment_id: str = "SO-1-1") -> str:
    return str(house.row(shipments, shipment_id=shipment_id)["work_status"])


# --- fewer units ------------------------------------------------------------------------------------


def test_a_unit_is_cancelled_with_its_claim_and_its_money(house: House) -> None:
    house.stocked().released(mugs=3)

    changed = cancel(house, (1, 1))

    assert (changed.change_id, changed.delta, changed.stopped) == ("SO-1-C1", -1200, ())
    assert changed.text == "Cancelled: 1 × Mug. 12.00 USD less to pay."
    assert cancelled(house) == [(1, 1)]
    assert house.row(allocations, sku=MUG)["quantity"] == 2
    assert only(changed.state.shipments).plan.value == 2 * 1200 + 500
    check_books(house)


def test_the_shipment_least_far_along_gives_its_units_first(house: House) -> None:
    house.stocked(mugs=2).packed(mugs=5)

    changed = cancel(house, (1, 4))

    assert cancelled(house) == [(1, 1), (3, 3)]
    assert (changed.stopped, changed.reworked) == (("SO-1-2",), ("SO-1-1",))
    assert house.row(backorders)["state"] == "cancelled"
    check_books(house)


def test_the_same_line_named_twice_is_asked_for_once_with_both(house: House) -> None:
    house.stocked().released(mugs=3)

    cancel(house, (1, 1), (1, 1))

    assert cancelled(house) == [(1, 2)]
    check_books(house)


def test_units_that_wait_for_stock_leave_the_queue_and_what_came_goes_back_to_the_shelf(house: House) -> None:
    house.stocked(mugs=1).released(mugs=6)
    house.stock.receive(MUG, "wh-reno", 2, key="r-1", by="test")
    waits = house.row(backorders)
    assert (waits["quantity"], waits["filled"]) == (5, 2)

    changed = cancel(house, (1, 4))

    queue = house.row(backorders)
    assert (queue["quantity"], queue["filled"], queue["state"]) == (1, 1, "filled")
    assert {row["sku"]: row["quantity"] for row in house.rows(allocations, shipment_id="SO-1-2")} == {MUG: 1}
    assert changed.state.shipments[1].plan.waits_for == "payment"
    assert house.row(signals, name="stock_filled")["order_id"] == "SO-1"
    check_books(house)


def test_what_was_let_go_and_comes_again_is_claimed_anew(house: House) -> None:
    """Two lines of one SKU in one shipment: the first gives its unit back, the second gets one later."""
    lines = tuple(
        OrderLine(line_no=n, sku=MUG, name="Mug", quantity=q, unit_price=100) for n, q in ((1, 1), (2, 1))
    )
    house.stocked(mugs=0).reserved(lines=lines, total=200)
    house.stock.receive(MUG, "wh-reno", 1, key="r-1", by="test")

    cancel(house, (1, 1))
    house.stock.receive(MUG, "wh-reno", 1, key="r-2", by="test")

    assert house.row(allocations) | {"quantity": 1, "state": "active"} == house.row(allocations)
    check_books(house)


def test_the_last_unit_cancels_the_order(house: House) -> None:
    before = house.stocked().stock.levels()
    house.released(mugs=2, teas=1)

    changed = cancel(house, (1, 2), (2, 1))

    assert (changed.stopped, changed.delta) == (("SO-1-1",), -2900)
    assert house.row(orders)["status"] == "cancelling"
    assert house.rows(outbox, fact="part_cancelled") == []
    assert house.stock.levels() == before
    house.records.close(CloseOrder(order_id="SO-1", outcome=Outcome.CANCELLED, reason="changed_mind"))
    check_books(house)


def test_an_order_that_is_not_paid_yet_gives_back_what_it_reserved(house: House) -> None:
    house.stocked().reserved(mugs=3)

    changed = cancel(house, (1, 2), (2, 1))

    held = {row["sku"]: (row["quantity"], row["state"]) for row in house.rows(reservations)}
    assert held == {MUG: (1, "active"), TEA: (1, "released")}
    assert only(changed.state.shipments).plan.value == 1200
    pay(house, "SO-1-1")
    assert house.row(allocations)["quantity"] == 1
    check_books(house)


def test_an_order_is_confirmed_when_its_unpaid_part_is_cancelled(house: House) -> None:
    house.stocked(mugs=2, teas=0).stock.add_location("wh-lehigh", name="Lehigh", address=HOME, priority=2)
    house.stock.receive(TEA, "wh-lehigh", 1, key="r-1", by="test")
    mugs, _ = house.reserved(mugs=2, teas=1)
    pay(house, mugs)
    assert house.row(orders)["status"] == "reserved"

    changed = cancel(house, (2, 1))

    assert [s.work_status for s in changed.state.shipments] == ["released", "cancelled"]
    assert house.row(orders)["status"] == "in_fulfillment"
    check_books(house)


def test_the_customer_hears_once_which_part_is_cancelled(house: House) -> None:
    house.stocked().released(mugs=3)

    for _ in range(2):
        cancel(house, (1, 1))

    told = house.row(outbox, fact="part_cancelled")
    assert (told["subject"], told["data"]["reason"]) == ("SO-1-C1", "changed_mind")
    signed = house.row(audit_entries, command="cancel_units")
    assert (signed["actor"], signed["reason"], signed["request_id"]) == ("ann", "changed_mind", "c-1")


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([], "name at least one line"),
        ([(9, 1)], "SO-1 has no line 9, only 1, 2"),
        ([(1, 0)], "line 1: at least one unit"),
        ([(1, 4)], "4 × Mug cannot be cancelled, only 3 of 3 still can"),
    ],
)
def test_what_cannot_be_cancelled_is_refused_with_the_reason(
    house: House, lines: list[tuple[int, int]], says: str
) -> None:
    house.stocked().released(mugs=3)
    before = everything(house)

    with pytest.raises(ChangeRefused, match=says):
        cancel(house, *lines)

    assert everything(house) == before


def test_what_has_left_is_named_with_when_and_by_whom_and_nothing_is_cancelled(house: House) -> None:
    house.stocked(mugs=2).shipped(mugs=3)
    before = everything(house)

    with pytest.raises(ChangeRefused) as no:
        cancel(house, (1, 2))

    assert str(no.value) == (
        "SO-1 line 1: 2 × Mug cannot be cancelled, only 1 of 3 still can; until it left it was possible: "
        "SO-1-P1 left on Monday 23 November 2026, 08:00 UTC, handed over by dock (UPS 1Z999AA10123456784) "
        "with 2 of them. Ask the carrier to redirect it, or return it"
    )
    assert everything(house) == before


@pytest.mark.parametrize("end", ["received", "cancelling", "ended"])
def test_an_order_that_is_not_open_cannot_be_changed(house: House, end: str) -> None:
    house.stocked()
    if end == "received":
        house.orders.accept(an_order(), by="web")
    else:
        house.released()
        house.records.stop_shipments(
            StopShipments(order_id="SO-1", reason="changed_mind", by="ann", request_id="x")
        )
    if end == "ended":
        house.records.close(CloseOrder(order_id="SO-1", outcome=Outcome.CANCELLED))
    before = everything(house)

    says = {"received": "just being placed", "cancelling": "being cancelled", "ended": "since Monday"}[end]
    for change in (lambda: cancel(house, (1, 1)), lambda: add(house), lambda: reship(house)):
        with pytest.raises(ChangeRefused, match=says):
            change()

    assert everything(house) == before


# --- back to the floor ------------------------------------------------------------------------------


@pytest.mark.parametrize("how_far", ["packed", "labeled"])
def test_the_bench_hears_stop_and_picks_by_the_new_list(house: House, how_far: str) -> None:
    getattr(house.stocked(), how_far)(mugs=3)

    changed = cancel(house, (1, 1))

    assert changed.reworked == ("SO-1-1",)
    (work,) = house.floor.work()
    assert (work.work_status, work.picker) == (WorkStatus.RELEASED, None)
    assert {item.sku: item.quantity for item in work.items} == {MUG: 2, TEA: 1}
    with pytest.raises(Stop, match="its order was changed"):
        house.floor.hand_over("SO-1-1", by="dock")
    with pytest.raises(Stop, match="its order was changed"):
        house.floor.picked("SO-1-1", by="pia")


def test_a_parcel_is_packed_again_only_when_its_old_label_is_given_back(house: House) -> None:
    house.stocked().labeled(mugs=3)
    cancel(house, (1, 1))
    house.floor.start_picking("SO-1-1", by="pia")
    house.floor.picked("SO-1-1", by="pia")

    with pytest.raises(Stop, match="old label is being given back"):
        house.pack("SO-1-1", weight_g=700)
    give_back(house)
    again = house.pack("SO-1-1", weight_g=700)

    assert (again, house.row(parcels)["weight_g"]) == ("SO-1-P1", 700)
    assert len(house.rows(signals, name="packed")) == 2
    house.label("SO-1-P1", number="1ZNEW")
    house.floor.hand_over("SO-1-1", by="dock")
    assert sum(-row["on_hand"] for row in house.rows(stock_movements, kind="shipped", sku=MUG)) == 2
    check_books(house)


def give_back(house: House, parcel_id: str = "SO-1-P1") -> None:
    """Give a label back as the activity does."""
    job = house.shipping.claim_label_void(parcel_id)
    assert job is not None
    house.shipping.label_voided(job.key)


# --- more lines -------------------------------------------------------------------------------------


def test_an_added_line_is_claimed_and_waits_for_its_money(house: House) -> None:
    house.stocked().released()

    changed = add(house, NewLine(sku=MUG, quantity=2), NewLine(sku=TEA, quantity=1, unit_price=450))

    assert (changed.delta, changed.added) == (2850, ("SO-1-2",))
    assert changed.text == "Added: 2 × Mug, 1 × Tea. 28.50 USD more to pay."
    new = changed.state.shipments[1]
    assert (new.plan.value, new.plan.waits_for, new.covered) == (2850, "payment", False)
    assert house.row(orders)["total"] == 2900 + 2850
    assert house.row(order_lines, line_no=4) | {"name": "Tea", "unit_price": 450} == house.row(
        order_lines, line_no=4
    )
    check_books(house)


def test_added_units_that_are_not_there_wait_in_the_queue(house: House) -> None:
    house.stocked(mugs=3).released(mugs=2)

    changed = add(house, NewLine(sku=MUG, quantity=3))

    waits = [s.plan.waits_for for s in changed.state.shipments]
    assert (changed.added, waits[1:]) == (("SO-1-2", "SO-1-3"), ["payment", "stock"])
    check_books(house)


def test_the_promise_follows_what_was_added_and_comes_later(house: House) -> None:
    house.stocked(mugs=2).released(mugs=2)
    first = house.row(orders)["promise_date"]

    changed = add(house, NewLine(sku=MUG, quantity=1))

    later = house.row(backorders)["promise_date"]
    assert house.row(orders)["promise_date"] == changed.state.promise_date == later > first
    assert f"We now expect all of it to reach you by {later:%A, %B} {later.day}." in changed.text
    assert house.row(promises, n=2)["reason"] == "more was added"


def test_what_is_added_a_day_later_and_is_there_is_promised_for_a_day_later(house: House) -> None:
    house.stocked().released()
    first = house.row(orders)["promise_date"]
    house.wait(timedelta(days=1))

    changed = add(house, NewLine(sku=MUG, quantity=1))

    assert changed.state.promise_date == first + timedelta(days=1)


def test_what_is_added_and_comes_with_the_rest_changes_no_promise(house: House) -> None:
    house.stocked().released()

    changed = add(house, NewLine(sku=MUG, quantity=1))

    assert "expect" not in changed.text
    assert len(house.rows(promises)) == 1


def test_the_promise_is_what_it_was_when_nothing_was_added_after_all(house: House) -> None:
    house.stocked(mugs=2).released(mugs=2)
    first = house.row(orders)["promise_date"]
    added = add(house, NewLine(sku=MUG, quantity=1))

    undone = undo(house, added.change_id)

    assert undone.state.promise_date == house.row(orders)["promise_date"] == first
    assert house.row(promises, n=3)["reason"] == "nothing was added"


def test_nothing_is_added_when_one_of_the_lines_cannot_be_had(house: House) -> None:
    house.stocked(teas=2).released()
    before = everything(house)

    with pytest.raises(ChangeRefused, match="TEA: 5 asked, 1 available"):
        add(house, NewLine(sku=MUG, quantity=1), NewLine(sku=TEA, quantity=5))
    with pytest.raises(UnknownSku):
        add(house, NewLine(sku="NIL", quantity=1))
    house.change(skus, {"archived": True}, sku=TEA)
    with pytest.raises(ChangeRefused, match="is not sold any more"):
        add(house)

    assert everything(house) == before


def test_an_order_that_is_not_confirmed_takes_no_lines(house: House) -> None:
    house.stocked().reserved()

    with pytest.raises(ChangeRefused, match="costs nothing more before it is confirmed"):
        add(house)


def test_an_order_that_has_left_takes_no_lines(house: House) -> None:
    house.stocked().shipped()

    with pytest.raises(
        ChangeRefused, match=r"everything of SO-1 has left.*SO-1-P1 left on.*Place a new order"
    ):
        add(house)


def test_what_was_added_is_taken_back_as_it_was_added(house: House) -> None:
    before = house.stocked(mugs=4).stock.levels()
    house.released()
    paid = house.stock.levels()
    added = add(house, NewLine(sku=MUG, quantity=4))

    undone = undo(house, added.change_id)

    assert house.stock.levels() == paid
    assert (undone.delta, undone.stopped) == (-4800, added.added)
    assert undone.text == "Not added after all: 4 × Mug."
    assert house.row(order_changes)["state"] == "undone"
    assert undo(house, added.change_id) == undone
    check_books(house)
    cancel(house, (1, 2), (2, 1))
    assert house.stock.levels() == before


def test_what_was_paid_and_went_to_the_floor_is_not_taken_back(house: House) -> None:
    house.stocked().released()
    added = add(house)
    pay(house, "SO-1-2")

    undone = undo(house, added.change_id)

    assert (undone.stopped, undone.delta) == ((), 0)
    assert status(house, "SO-1-2") == "released"
    check_books(house)


def test_a_change_that_added_nothing_is_not_taken_back(house: House) -> None:
    house.stocked().released()
    made = cancel(house, (1, 1))

    with pytest.raises(ChangeRefused, match="added nothing"):
        undo(house, made.change_id)
    with pytest.raises(ChangeRefused, match="no change SO-1-C9"):
        undo(house, "SO-1-C9")


# --- another address --------------------------------------------------------------------------------


@pytest.mark.parametrize("how_far", ["accepted", "reserved", "released", "packed", "labeled"])
def test_the_address_may_change_until_the_parcel_leaves(house: House, how_far: str) -> None:
    house.stocked()
    if how_far == "accepted":
        house.orders.accept(an_order(), by="web")
    else:
        getattr(house, how_far)()

    changed = readdress(house)

    assert house.row(orders)["ship_to"]["city"] == "Tahoe"
    assert changed.reworked == (("SO-1-1",) if how_far == "labeled" else ())
    if how_far == "labeled":
        assert status(house) == "packed"
        give_back(house)
        house.label("SO-1-P1", number="1ZNEW")
        house.floor.hand_over("SO-1-1", by="dock")
        assert house.row(labels, state="used")["address_hash"] == ELSEWHERE.digest()
    check_books(house)


def test_what_left_before_goes_to_the_old_address_and_the_customer_is_told_so(house: House) -> None:
    house.stocked(mugs=1).shipped(mugs=2)

    changed = readdress(house)

    assert changed.text == (
        "Your order goes to the new address. What has left goes to the old one: "
        "SO-1-P1 (ask UPS to redirect 1Z999AA10123456784)."
    )
    assert house.row(parcels)["address_hash"] == HOME.digest()
    assert house.row(outbox, fact="changed")["data"]["text"] == changed.text
    check_books(house)


def test_an_address_is_refused_when_everything_has_left(house: House) -> None:
    house.stocked().shipped()
    before = everything(house)

    with pytest.raises(ChangeRefused, match=r"SO-1-P1 left on .* Ask the carrier to redirect it"):
        readdress(house)

    assert everything(house) == before


def test_the_same_address_again_needs_no_new_label(house: House) -> None:
    house.stocked().labeled()

    changed = readdress(house, HOME)

    assert (changed.reworked, status(house)) == ((), "labeled")
    assert changed.text == "Your order goes to this address already."


def test_the_promise_follows_only_when_the_way_leads_abroad(house: House) -> None:
    house.stocked().released()
    first = house.row(orders)["promise_date"]

    readdress(house)
    assert house.row(orders)["promise_date"] == first
    changed = readdress(house, ABROAD, request_id="d-2")

    later = house.row(orders)["promise_date"]
    assert later == date(2026, 12, 7) > first
    assert "We now expect it to reach you by Monday, December 7." in changed.text
    revised = house.row(promises, n=2)
    assert (revised["reason"], revised["promised_date"]) == ("it goes to another country", later)
    assert house.row(orders)["promise_first_date"] == first


# --- another service --------------------------------------------------------------------------------


def test_a_service_costs_its_fee_and_needs_another_label(house: House) -> None:
    house.stocked().labeled()

    changed = reship(house)

    assert (changed.delta, changed.reworked, status(house)) == (900, ("SO-1-1",), "packed")
    assert changed.text == "Your order goes by express. 9.00 USD more to pay."
    order, part = house.row(orders), house.row(shipments)
    assert (order["total"], order["fees"], order["service"]) == (3800, 900, "express")
    assert (part["value"], part["fee"]) == (3800, 900)
    assert not only(changed.state.shipments).covered
    check_books(house)


def test_a_label_bought_before_the_service_changed_cannot_leave(house: House) -> None:
    """The purchase was under way: it came back after the change, and nobody gave the label back."""
    parcel_id = house.stocked().packed()
    job = house.shipping.claim_label(parcel_id)
    changed = reship(house, fee=0)
    house.label(parcel_id)

    with pytest.raises(Stop, match="the service changed after the label was printed"):
        house.floor.hand_over("SO-1-1", by="dock")

    assert job.parcel_id == parcel_id
    assert changed.reworked == ("SO-1-1",)


def test_a_service_nobody_paid_for_is_put_back_with_its_fee(house: House) -> None:
    house.stocked().released()
    changed = reship(house)

    undone = undo(house, changed.change_id)

    order, part = house.row(orders), house.row(shipments)
    assert (order["service"], order["total"], order["fees"]) == ("standard", 2900, 0)
    assert (part["value"], part["fee"], undone.delta) == (2900, 0, -900)
    check_books(house)


def test_a_fee_goes_with_the_shipment_it_was_asked_for(house: House) -> None:
    house.stocked(mugs=1).released(mugs=2)
    reship(house)

    changed = cancel(house, (1, 1), (2, 1), request_id="c-1")
    rest = cancel(house, (1, 1), request_id="c-2")

    assert changed.delta + rest.delta == -(2 * 1200 + 500 + 900)
    assert (house.row(orders)["fees"], house.row(orders)["total"]) == (0, 2900)
    assert house.row(orders)["status"] == "cancelling"


@pytest.mark.parametrize(
    ("service", "fee", "says"),
    [(" ", 0, "name the service"), ("express", -1, "negative"), ("standard", 0, "goes by standard already")],
)
def test_a_service_that_makes_no_sense_is_refused(house: House, service: str, fee: int, says: str) -> None:
    house.stocked().released()
    before = everything(house)

    with pytest.raises(ChangeRefused, match=says):
        reship(house, service, fee)

    assert everything(house) == before


# --- stopping a part --------------------------------------------------------------------------------


def test_only_the_shipments_named_are_stopped(house: House) -> None:
    house.stocked(mugs=2).released(mugs=3)
    part = StopShipments(order_id="SO-1", reason="dropped", by="ann", request_id="x", shipments=("SO-1-2",))

    first, again = house.records.stop_shipments(part), house.records.stop_shipments(part)

    assert first == again
    assert (first.stopped, first.left) == (("SO-1-2",), ())
    assert (status(house), status(house, "SO-1-2")) == ("released", "cancelled")
    assert house.row(orders)["status"] == "in_fulfillment"
    check_books(house)
    house.records.stop_shipments(StopShipments(order_id="SO-1", reason="all", by="ann", request_id="y"))
    assert house.row(orders)["status"] == "cancelling"
    check_books(house)


def test_the_customer_hears_which_part_was_dropped_and_nothing_twice(house: House) -> None:
    house.stocked(mugs=2).labeled(mugs=3, teas=3)
    cancel(house, (2, 1), request_id="c-1")
    cancel(house, (1, 1), request_id="c-2")  # the last unit of the shipment that waits for stock
    add(house, NewLine(sku=MUG, quantity=1))
    drop = StopShipments(order_id="SO-1", reason="dropped", by="ann", request_id="x", shipments=("SO-1-3",))

    for _ in range(2):
        house.records.stop_shipments(drop)
        house.records.stop_shipments(replace(drop, shipments=("SO-1-2", "SO-1-3")))

    told = sorted(row["subject"] for row in house.rows(outbox, fact="part_cancelled"))
    assert told == ["SO-1-3", "SO-1-C1", "SO-1-C2"]


def test_a_request_id_names_one_change(house: House) -> None:
    house.stocked().released()
    cancel(house, (1, 1), request_id="r")

    with pytest.raises(ChangeRefused, match="the request r was made before, as cancel_units"):
        add(house, request_id="r")


# --- pains ------------------------------------------------------------------------------------------


def test_p04_every_confirmed_unit_is_in_exactly_one_place(house: House) -> None:
    """Guard: units are split off a range by shortening it. Without the shortening a unit lies in two places."""
    house.stocked(mugs=2).released(mugs=6)
    for n in range(3):
        cancel(house, (1, 1), request_id=f"c-{n}")
        check_books(house)

    places = sorted((r["first_unit"], r["quantity"]) for r in house.rows(unit_ranges, line_no=1))

    assert sum(quantity for _, quantity in places) == 6


def test_p08_undoing_an_addition_twice_gives_its_stock_back_once(house: House) -> None:
    """Guard: an undone change answers and does nothing. Without it the second undo takes other units off."""
    house.stocked().released()
    made = add(house)
    first = undo(house, made.change_id)
    books = everything(house)

    assert undo(house, made.change_id) == first
    assert everything(house) == books


def test_p11_after_part_ships_and_part_is_cancelled_the_claims_come_to_nothing(house: House) -> None:
    """Guard: claims are reduced by the units taken, not by the line. Without it the parts do not add up."""
    house.stocked(mugs=3).labeled(mugs=6)
    house.stock.receive(MUG, "wh-reno", 3, key="r-1", by="test")
    cancel(house, (1, 2), request_id="c-1")
    house.floor.hand_over("SO-1-1", by="dock")
    check_books(house)
    cancel(house, (1, 1), request_id="c-2")

    mug = only(level for level in house.stock.levels() if level.sku == MUG)
    assert (mug.on_hand, mug.reserved, mug.allocated) == (3, 0, 0)
    assert sum(quantity for _, quantity in cancelled(house)) == 3
    check_books(house)


@pytest.mark.parametrize("mugs", [1, 4, 9])
@pytest.mark.parametrize("how_far", ["reserved", "released", "packed", "labeled"])
def test_p17_placing_and_cancelling_unit_by_unit_changes_no_bucket(
    house: House, how_far: str, mugs: int
) -> None:
    """Guard: waiting units leave the queue and only filled ones the shelf. Without it a backorder becomes stock."""
    before = house.stocked(mugs=4).stock.levels()
    getattr(house, how_far)(mugs=mugs)
    house.stock.receive(MUG, "wh-reno", 2, key="r-1", by="test")

    for n in range(mugs):
        cancel(house, (1, 1), request_id=f"c-{n}")
        check_books(house)
    cancel(house, (2, 1), request_id="c-last")

    came = {MUG: 2, TEA: 0}
    assert house.stock.levels() == tuple(replace(b, on_hand=b.on_hand + came[b.sku]) for b in before)
    assert house.row(orders)["status"] == "cancelling"


def test_p34_taking_one_change_back_leaves_the_others_and_the_original_alone(house: House) -> None:
    """Guard: an undo names the shipments its own change added. Without it the other additions go too."""
    house.stocked().released()
    first = add(house, request_id="a-1")
    second = add(house, request_id="a-2")

    undone = undo(house, first.change_id)

    assert undone.stopped == first.added == ("SO-1-2",)
    assert (status(house), status(house, *second.added)) == ("released", "scheduled")
    assert house.row(order_changes, change_id=second.change_id)["state"] == "confirmed"
    assert house.row(orders)["status"] == "in_fulfillment"
    check_books(house)


def test_p38_a_cancelled_unit_is_not_on_the_list_and_does_not_leave(house: House) -> None:
    """Guard: a begun shipment goes back to its new list. Without it the packed parcel leaves with the unit."""
    house.stocked().labeled(mugs=3)

    cancel(house, (1, 1))

    with pytest.raises(Stop):
        house.floor.hand_over("SO-1-1", by="dock")
    assert {item.sku: item.quantity for item in only(house.floor.work()).items}[MUG] == 2
    check_books(house)


def test_p39_a_repeated_cancel_changes_nothing(house: House) -> None:
    """Guard: a request is made once. Without it every repeat takes another unit off."""
    house.stocked().released(mugs=5)
    first = cancel(house, (1, 2))
    books = everything(house)

    assert [cancel(house, (1, 2)) for _ in range(3)] == [first] * 3
    assert everything(house) == books


def test_p40_a_refused_change_leaves_no_trace_anywhere(house: House) -> None:
    """Guard: everything is checked before anything is written. Without it a half-made change stays claimed."""
    house.stocked().shipped(mugs=1, teas=1)
    before = everything(house)

    for change in (
        lambda: cancel(house, (1, 1), (2, 1)),
        lambda: add(house),
        lambda: readdress(house),
        lambda: reship(house),
    ):
        with pytest.raises(ChangeRefused):
            change()

    assert everything(house) == before


def test_p44_a_parcel_does_not_leave_with_the_old_address_on_its_label(house: House) -> None:
    """Guard: the label bears the hash of what it printed. Without it the old label is good enough to leave."""
    parcel_id = house.stocked().packed()
    house.shipping.claim_label(parcel_id)  # under way when the address changes
    readdress(house)
    house.label(parcel_id)

    with pytest.raises(Stop, match="the address changed after the label was printed"):
        house.floor.hand_over("SO-1-1", by="dock")


def test_p52_changes_at_once_come_to_what_they_come_to_one_after_another(house: House) -> None:
    """Guard: every change begins by locking the order. Without it two of them take the same unit."""
    house.stocked(mugs=40, teas=40).released(mugs=12, teas=4)

    with ThreadPoolExecutor(8) as people:
        made = [
            *(people.submit(cancel, house, (1, 1), request_id=f"c-{n}") for n in range(8)),
            *(people.submit(add, house, request_id=f"a-{n}") for n in range(4)),
            people.submit(reship, house),
            people.submit(readdress, house),
        ]
    changed = [one.result() for one in made]

    assert sorted(c.change_id for c in changed) == sorted(f"SO-1-C{n}" for n in range(1, 15))
    assert sum(quantity for _, quantity in cancelled(house)) == 8
    order = house.row(orders)
    payable = order["total"] - 8 * 1200
    assert payable == 12 * 1200 + 4 * 500 + sum(c.delta for c in changed)
    check_books(house)


def test_what_waits_longer_than_its_day_is_no_reason_to_refuse(house: House) -> None:
    house.stocked(mugs=0).reserved(mugs=2)
    house.wait(timedelta(days=30))

    assert cancel(house, (1, 1)).delta == -1200


# --- anything, in any order -------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_after_any_change_at_any_moment_every_unit_and_claim_is_where_it_belongs(
    house: House, seed: int
) -> None:
    chance = random.Random(seed)
    house.stocked(mugs=6, teas=6).released(mugs=8, teas=3)
    deeds = [
        lambda n: cancel(house, (chance.choice([1, 2]), chance.randint(1, 2)), request_id=f"c-{n}"),
        lambda n: add(house, NewLine(sku=MUG, quantity=chance.randint(1, 3)), request_id=f"a-{n}"),
        lambda _: undo(house, f"SO-1-C{chance.randint(1, 6)}"),
        lambda n: readdress(house, chance.choice([HOME, ELSEWHERE, ABROAD]), request_id=f"d-{n}"),
        lambda n: reship(house, chance.choice(["standard", "express"]), 100, request_id=f"s-{n}"),
        lambda n: house.stock.receive(MUG, "wh-reno", 1, key=f"r-{n}", by="test"),
        *[lambda n: a_step_of_the_floor(house, n)] * 6,
    ]

    for n in range(40):
        # Much of it comes too late for something: what matters is what it leaves behind.
        with contextlib.suppress(FulfillmentError):
            chance.choice(deeds)(n)
        check_books(house)


def a_step_of_the_floor(house: House, n: int) -> None:
    """Do with the first shipment whatever comes next; pay for what waits for its money."""
    for row in house.rows(shipments, work_status="scheduled", waits_for="payment"):
        pay(house, row["shipment_id"])
    for work in house.floor.work()[:1]:
        match work.work_status:
            case WorkStatus.RELEASED:
                house.floor.start_picking(work.shipment_id, by="pia")
            case WorkStatus.PICKING:
                house.floor.picked(work.shipment_id, by="pia")
            case WorkStatus.PICKED:
                if job := work.parcel_id and house.shipping.claim_label_void(work.parcel_id):
                    house.shipping.label_voided(job.key)
                house.pack(work.shipment_id, weight_g=500)
            case WorkStatus.PACKED:
                assert work.parcel_id
                if job := house.shipping.claim_label_void(work.parcel_id):
                    house.shipping.label_voided(job.key)
                house.label(work.parcel_id, number=f"1Z{n}")
            case WorkStatus.LABELED:
                house.floor.hand_over(work.shipment_id, by="dock")
