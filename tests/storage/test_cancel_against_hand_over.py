"""Cancelling against handing over: whatever order their statements come in, each unit does one of the two."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine, event, text

from fulfillment.domain.change import CancelUnits, ChangeRefused, LineQuantity
from fulfillment.domain.errors import FulfillmentError
from fulfillment.domain.record import StopShipments
from fulfillment.storage.tables import order_changes, shipments, stock_movements, unit_ranges
from tests.storage.emptying import empty
from tests.storage.house import MUG, House
from tests.storage.proof import check_books

Deed = Callable[[House], bool]


def leave(house: House) -> bool:
    return _done(lambda: house.floor.hand_over("SO-1-1", by="dock"))


def cancel_all(house: House) -> bool:
    request = StopShipments(order_id="SO-1", reason="changed_mind", by="ann", request_id="r-1")
    return bool(house.records.stop_shipments(request).stopped)


def cancel_some(house: House) -> bool:
    lines = (LineQuantity(line_no=1, quantity=1),)
    request = CancelUnits(order_id="SO-1", lines=lines, reason="changed_mind", by="ann", request_id="r-1")
    return _done(lambda: house.records.cancel_units(request))


def _done(deed: Callable[[], object]) -> bool:
    try:
        deed()
    except FulfillmentError:
        return False
    return True


CANCELS = {"whole": cancel_all, "by unit": cancel_some}


# --- at every statement -----------------------------------------------------------------------------


class Pause:
    """Stops one thread before its n-th statement, until the other is done or waits for a lock."""

    def __init__(self, engine: Engine, at: int) -> None:
        self._engine, self._at = engine, at
        self.count = 0
        self.reached, self.go_on = threading.Event(), threading.Event()
        self._whose: int | None = None

    def during(self, deed: Deed, house: House) -> bool:
        """Do a deed, counting its statements."""
        self._whose = threading.get_ident()
        try:
            return deed(house)
        finally:
            self._whose = None

    def before(self, *_: Any) -> None:
        if threading.get_ident() != self._whose:
            return
        self.count += 1
        if self.count == self._at:
            self.reached.set()
            assert self.go_on.wait(30)


@contextmanager
def paused(engine: Engine, at: int) -> Iterator[Pause]:
    pause = Pause(engine, at)
    event.listen(engine, "before_cursor_execute", pause.before)
    try:
        yield pause
    finally:
        pause.go_on.set()
        event.remove(engine, "before_cursor_execute", pause.before)


def waits_for_a_lock(engine: Engine) -> bool:
    query = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    with engine.connect() as conn:
        return bool(conn.execute(text(query)).scalar_one())


def meet(house: House, first: Deed, second: Deed, at: int) -> tuple[bool, bool, bool]:
    """Do the second wholly, or as far as it gets, before the first's statement `at`; say whether there is one."""
    with ThreadPoolExecutor(2) as both, paused(house.engine, at) as pause:
        begun = both.submit(pause.during, first, house)
        while not pause.reached.is_set() and not begun.done():
            pause.reached.wait(0.01)
        was_there = pause.reached.is_set()
        other = both.submit(second, house)
        _until(lambda: other.done() or waits_for_a_lock(house.engine), other)
        pause.go_on.set()
        return begun.result(30), other.result(30), was_there


def _until(there: Callable[[], bool], other: Future[bool]) -> None:
    while not there():
        threading.Event().wait(0.005)


@pytest.mark.parametrize("cancel", CANCELS)
@pytest.mark.parametrize("first", ["cancel", "leave"])
def test_p37_at_every_statement_each_unit_is_cancelled_or_leaves(
    engine: Engine, cancel: str, first: str
) -> None:
    """Guard: both begin by locking the order. Without the lock in either, a unit is cancelled and leaves."""
    house, at, was_there = House(engine).stocked(mugs=400, teas=400), 0, True
    deeds = (CANCELS[cancel], leave) if first == "cancel" else (leave, CANCELS[cancel])

    while was_there:
        at += 1
        _clear(house)
        house.labeled(mugs=3, number=f"1Z{at}")
        one, other, was_there = meet(house, *deeds, at)

        cancelled, left = (one, other) if first == "cancel" else (other, one)
        assert cancelled is not left, f"at statement {at}"
        _check_units(house, cancel, left=left)
        check_books(house)

    assert at > 8  # it did stop at the statements of the first


def _clear(house: House) -> None:
    """Begin again with an empty shop: the orders of earlier meetings are of no interest."""
    with house.engine.begin() as conn:
        empty(conn)
    house.stocked(mugs=400, teas=400)


def _check_units(house: House, cancel: str, *, left: bool) -> None:
    gone = sum(row["quantity"] for row in house.rows(unit_ranges, shipment_id=None))
    shipped = -sum(row["on_hand"] for row in house.rows(stock_movements, kind="shipped"))
    lost = 4 if cancel == "whole" else 1
    assert (gone, shipped) == ((0, 4) if left else (lost, 0))
    expected = "handed_over" if left else ("cancelled" if cancel == "whole" else "released")
    assert house.row(shipments)["work_status"] == expected


# --- a crowd ----------------------------------------------------------------------------------------


def test_p37_a_crowd_of_cancels_and_hand_overs_comes_to_one_of_the_two(engine: Engine) -> None:
    """Guard: as above, for many at once."""
    house = House(engine).stocked(mugs=60, teas=20)
    ids = [f"SO-{n}" for n in range(1, 13)]
    for n, order_id in enumerate(ids):
        house.labeled(order_id, mugs=3, number=f"1Z{n}")

    def one_off(order_id: str, k: int) -> bool:
        lines = (LineQuantity(line_no=1, quantity=1),)
        asked = CancelUnits(order_id=order_id, lines=lines, reason="less", by="ann", request_id=f"r-{k}")
        return _done(lambda: house.records.cancel_units(asked))

    with ThreadPoolExecutor(8) as crowd:
        cancels = [[crowd.submit(one_off, order_id, k) for k in range(2)] for order_id in ids]
        leaves = [
            crowd.submit(_done, lambda s=f"{order_id}-1": house.floor.hand_over(s, by="dock"))
            for order_id in ids
        ]

    for order_id, some, left in zip(ids, cancels, leaves, strict=True):
        changed = sum(one.result() for one in some)
        assert (changed == 0) is left.result(), order_id
        assert len(house.rows(order_changes, order_id=order_id)) == changed
    check_books(house)
    mugs = next(level for level in house.stock.levels() if level.sku == MUG)
    assert mugs.on_hand == 60 - 3 * sum(left.result() for left in leaves)


def test_a_cancel_after_the_hand_over_is_refused_and_a_hand_over_after_the_cancel_stops(
    engine: Engine,
) -> None:
    house = House(engine).stocked()
    house.shipped()

    with pytest.raises(ChangeRefused, match="until it left it was possible"):
        house.records.cancel_units(
            CancelUnits(
                order_id="SO-1",
                lines=(LineQuantity(line_no=1, quantity=1),),
                reason="late",
                by="ann",
                request_id="r",
            )
        )
