"""Listed equals for what waits: sent when the customer takes them; what waited only for their answer goes."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, select

from fulfillment.domain.change import Changed, ChangeKind, ChangeRefused, Substitute
from fulfillment.domain.events import EventKind
from fulfillment.domain.notifications import Fact
from fulfillment.domain.order import UnitRange
from fulfillment.domain.policy import Policy, Substitution
from fulfillment.domain.promise import Source
from fulfillment.domain.shipment import WaitsFor, WorkStatus
from fulfillment.domain.substitution import SUBSTITUTED, Instead
from fulfillment.storage import (
    changes,
    equals,
    journal,
    promises,
    reservations,
    signals,
    sourcing,
    stopping,
    units,
)
from fulfillment.storage.advance import advance, expected
from fulfillment.storage.orders import OUT_OF_STOCK, lines_of, lock_order
from fulfillment.storage.promises import Told
from fulfillment.storage.tables import backorders
from fulfillment.storage.units import Placed

_WAITING: Final = select(
    backorders.c.shipment_id,
    backorders.c.line_no,
    (backorders.c.quantity - backorders.c.filled).label("units"),
).where(backorders.c.order_id == bindparam("the_order"), backorders.c.state == "waiting")


def substitute(conn: Connection, request: Substitute, *, now: datetime, policy: Policy) -> Changed:
    """Send listed equals for what waits for stock. See `RecordStore.substitute`."""
    order_id, kind = request.order_id, ChangeKind.SUBSTITUTE
    order = lock_order(conn, order_id)
    if (made := changes.repeated(conn, order_id, kind, request.request_id, now=now)) is not None:
        return made
    changes.check_open(order)
    changes.check_confirmed(order)
    if policy.substitution is Substitution.OFF:
        raise ChangeRefused("nothing is sent instead of what was ordered: wait, split or drop")
    waiting = units_waiting(conn, order_id)
    by, request_id = request.by, request.request_id
    changed = send(conn, order, waiting, by=by, request_id=request_id, now=now, policy=policy)
    if changed is None:
        missing = ", ".join(sorted({unit.sku for unit in waiting})) or "what was missing"
        raise ChangeRefused(f"nothing that is as good as {missing} is there any more: wait, split or drop")
    return changed


def send(
    conn: Connection,
    order: Row[Any],
    waiting: Sequence[Placed],
    *,
    by: str,
    request_id: str = "",
    now: datetime,
    policy: Policy,
) -> Changed | None:
    """Send listed equals for these waiting units of the locked, confirmed order, for as many as there are.

    Their shipments wait for their money, and the units they stand for are cancelled. None where there are none.
    """
    order_id = order.order_id
    sent = reservations.instead(conn, order, [_range(unit) for unit in waiting], now=now, policy=policy)
    if sent is None:
        return None
    change_id = changes.next_id(conn, order_id)
    gone = _replaced(waiting, sent.taken.lines)
    taken = units.cancel(conn, order_id, gone, reason=SUBSTITUTED, key=change_id, by=by, now=now)
    day = expected(conn, order, sent.added, now=now, policy=policy)
    told = Told(fact=Fact.SUBSTITUTED, subject=change_id, version=1)
    why, source = "an equal is sent", Source.STOCK
    promises.revise_if_later(conn, order, day, source=source, reason=why, told=told, now=now)
    advance(conn, lock_order(conn, order_id), now=now, policy=policy)
    return equals.keep(
        conn,
        sent.order,
        sent.taken,
        instead_of=taken.worth + taken.fees,
        added=sent.added,
        stopped=taken.emptied,
        by=by,
        request_id=request_id,
        now=now,
    )


def give_up(conn: Connection, order: Row[Any], *, by: str, now: datetime, policy: Policy) -> Row[Any]:
    """Take off the locked order what waited only for its customer's answer: nothing of its kind may wait.

    Return the order as it is then.
    """
    if policy.substitution is not Substitution.CONSENT:
        return order
    order_id, waiting = order.order_id, units_waiting(conn, order.order_id)
    terms = sourcing.terms(conn, {unit.sku for unit in waiting})
    may_wait = sourcing.waitable(terms, now=now, policy=policy)
    if not (gone := [unit for unit in waiting if unit.sku not in may_wait]):
        return order
    key = f"{order_id}:given_up:{now.isoformat()}"
    units.cancel(conn, order_id, gone, reason=OUT_OF_STOCK, key=key, by=by, now=now)
    text = f"Not in stock any more and taken off your order: {_listed(conn, order_id, gone)}."
    journal.event(conn, order_id, EventKind.PART_CANCELLED, text, at=now)
    journal.audit(conn, order_id, actor=by, command="give_up_waiting", outcome=text, at=now)
    if not stopping.become_cancelling(
        conn, order
    ):  # an order that is cancelled as a whole is told so when it closes
        told = {"reason": OUT_OF_STOCK}
        version = journal.next_version(conn, order_id, Fact.PART_CANCELLED, subject=order_id)
        journal.tell(
            conn, order_id, Fact.PART_CANCELLED, subject=order_id, version=version, data=told, now=now
        )
    journal.signal(conn, order_id, signals.REPLANNED, {"why": OUT_OF_STOCK}, fact_key=key, at=now)
    return lock_order(conn, order_id)


def units_waiting(conn: Connection, order_id: str) -> list[Placed]:
    """Return the units of the locked order that wait for stock, without those that came."""
    missing = {
        (row.shipment_id, row.line_no): row.units for row in conn.execute(_WAITING, {"the_order": order_id})
    }
    found: list[Placed] = []
    for unit in units.not_left(conn, order_id):
        waits = unit.work_status == WorkStatus.SCHEDULED and unit.waits_for == WaitsFor.STOCK
        count = min(unit.count, missing.get((unit.shipment_id, unit.line_no), 0)) if waits else 0
        if count:
            missing[unit.shipment_id, unit.line_no] -= count
            found.append(unit.only(count))
    return found


def _range(unit: Placed) -> UnitRange:
    return UnitRange(line_no=unit.line_no, first=unit.first, count=unit.count)


def _replaced(waiting: Sequence[Placed], made: Sequence[Instead]) -> list[Placed]:
    """Return the waiting units for which equals are sent: the first ones of each range."""
    counts = [(unit, sum(one.units.count for one in made if _lies_in(one.units, unit))) for unit in waiting]
    return [unit.only(count) for unit, count in counts if count]


def _lies_in(units: UnitRange, unit: Placed) -> bool:
    return units.line_no == unit.line_no and unit.first <= units.first < unit.first + unit.count


def _listed(conn: Connection, order_id: str, gone: Sequence[Placed]) -> str:
    names = {line.line_no: line.name for line in lines_of(conn, order_id)}
    return ", ".join(f"{unit.count} × {names[unit.line_no]}" for unit in gone)
