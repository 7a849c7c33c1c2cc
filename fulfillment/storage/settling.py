"""Making good what was lost, damaged or came back: it is sent again, or its money goes back, and never both.

What is sent again is lines of its own that cost nothing, in shipments of the same order. So no money is asked for
twice, and stock is claimed and consumed for it as for any other line.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, exists, func, insert, select, update

from fulfillment.domain.cases import CaseKind
from fulfillment.domain.events import EventKind
from fulfillment.domain.inventory import InsufficientStock
from fulfillment.domain.notifications import Fact
from fulfillment.domain.order import ENDED, OrderLine, Outcome
from fulfillment.domain.policy import MakeGood, Policy
from fulfillment.domain.promise import Source
from fulfillment.domain.refund import FOR_GOODS, RefundCause, RefundState
from fulfillment.domain.settlement import (
    COMING_BACK,
    Cause,
    Found,
    Meanwhile,
    NotSettled,
    Settle,
    Settled,
    Settlement,
    Unsettled,
)
from fulfillment.domain.shipment import BEFORE_HAND_OVER, WorkStatus
from fulfillment.domain.tracking import JOURNEY_OVER, CarrierStatus
from fulfillment.storage import (
    carrier_claims,
    cases,
    journal,
    owed,
    promises,
    refund_rows,
    reservations,
    state,
    stopping,
)
from fulfillment.storage.advance import advance, expected
from fulfillment.storage.orders import lock_order
from fulfillment.storage.tables import (
    order_lines,
    parcels,
    refund_units,
    refunds,
    replacements,
    shipments,
    unit_ranges,
)

_S: Final = Settlement
_COMES_BACK: Final = (CaseKind.RETURN_TO_SENDER, CaseKind.REFUSED)
_LEFT: Final = (WorkStatus.HANDED_OVER, WorkStatus.CLOSED)
# Whoever gets their money for one of these hears so at once: nothing has told them yet that it will not come.
_IS_NEWS: Final = (Cause.LOST, Cause.SILENT, Cause.CARRIER_PROBLEM, Cause.NOT_RECEIVED)

_THE_SHIPMENT: Final = shipments.c.shipment_id == bindparam("the_shipment")
_READ: Final = (
    select(shipments, parcels.c.parcel_id, parcels.c.carrier_status)
    .outerjoin(parcels, parcels.c.shipment_id == shipments.c.shipment_id)
    .where(_THE_SHIPMENT, shipments.c.order_id == bindparam("the_order"))
)
_CHANGE: Final = update(shipments).where(_THE_SHIPMENT)
_INSTEAD: Final = (
    select(*shipments.c["shipment_id", "work_status", "settled"])
    .where(shipments.c.replaces == bindparam("the_shipment"))
    .order_by(shipments.c.n)
)
_UNITS: Final = (
    select(
        *unit_ranges.c["line_no", "first_unit", "quantity"],
        *order_lines.c["sku", "name"],
        func.coalesce(replacements.c.root_line, unit_ranges.c.line_no).label("root_line"),
        func.coalesce(
            replacements.c.root_unit + unit_ranges.c.first_unit - 1, unit_ranges.c.first_unit
        ).label("root_unit"),
    )
    .join(
        order_lines,
        (order_lines.c.order_id == unit_ranges.c.order_id) & (order_lines.c.line_no == unit_ranges.c.line_no),
    )
    .outerjoin(
        replacements,
        (replacements.c.order_id == unit_ranges.c.order_id)
        & (replacements.c.line_no == unit_ranges.c.line_no),
    )
    .where(unit_ranges.c.shipment_id == bindparam("the_shipment"))
    .order_by(unit_ranges.c.line_no, unit_ranges.c.first_unit)
)
_LAST: Final = select(
    select(func.max(order_lines.c.line_no))
    .where(order_lines.c.order_id == bindparam("the_order"))
    .scalar_subquery()
    .label("line"),
    select(func.max(shipments.c.n))
    .where(shipments.c.order_id == bindparam("the_order"))
    .scalar_subquery()
    .label("shipment"),
)
_ADD_LINES: Final = insert(order_lines)
_ADD: Final = insert(replacements)
_REPLACES: Final = (
    update(shipments)
    .where(shipments.c.shipment_id.in_(bindparam("those", expanding=True)))
    .values(replaces=bindparam("what"))
)
_GOES_BACK: Final = (
    select(func.count())
    .select_from(refunds)
    .where(
        refunds.c.shipment_id == bindparam("the_shipment"),
        refunds.c.cause.in_([cause.value for cause in FOR_GOODS]),
        refunds.c.state != RefundState.REJECTED.value,
    )
)
# Money that a person gave back as an amount: nobody knows for which goods, so it may be for these.
_BY_AMOUNT: Final = select(func.coalesce(func.sum(refunds.c.amount), 0)).where(
    refunds.c.order_id == bindparam("the_order"),
    refunds.c.shipment_id.is_(None),
    refunds.c.cause.not_in([RefundCause.OVERPAID.value, RefundCause.CANCELLED.value]),
    refunds.c.state != RefundState.REJECTED.value,
    ~exists().where(refund_units.c.refund_id == refunds.c.refund_id),
)
_WORTH: Final = select(shipments.c.value).where(_THE_SHIPMENT)
_WHY: Final = {
    Cause.LOST: "Your parcel is lost.",
    Cause.DAMAGED: "Your parcel was damaged on its way.",
    Cause.SILENT: "Nothing has been heard of your parcel for too long.",
    Cause.CARRIER_PROBLEM: "The carrier has a problem with your parcel.",
    Cause.RETURNED: "Your parcel came back to us.",
    Cause.RETURNING: "Your parcel is on its way back to us.",
    Cause.REFUSED: "Your parcel was not accepted at the door and is on its way back to us.",
    Cause.NOT_RECEIVED: "Your parcel did not reach you.",
    Cause.NOT_BROUGHT: "The carrier could not bring you your parcel.",
}
_THEN: Final = {
    Meanwhile.STAYS: "So we send no other one.",
    Meanwhile.COMES: "What we send instead comes all the same: please send one of them back, or do not accept it.",
    Meanwhile.REFUNDED: "Your money was on its way back already: please do not accept the parcel, or send it back.",
}
_NAMED_AGAIN: Final = " (sent again)"


def settle(conn: Connection, request: Settle, *, now: datetime, policy: Policy) -> Settled:
    """Decide what the customer gets for a shipment, and begin with it. See `RecordStore.settle`."""
    order = lock_order(conn, request.order_id)
    shipment = _read(conn, request.order_id, request.shipment_id)
    request = _as_it_stands(request, shipment)
    if request.cause is Cause.RETURNED:
        carrier_claims.found(conn, request.shipment_id, now=now)
    if shipment.settled is not None:  # its carrier may have lost it since
        carrier_claims.claim(conn, order, request.shipment_id, request.cause, now=now, policy=policy)
        return _as_before(conn, shipment, request, now=now)
    _check_may_settle(order, shipment)
    units = conn.execute(_UNITS, {"the_shipment": request.shipment_id}).all()
    added: tuple[str, ...] = ()
    if _wants_another(conn, request, shipment, policy):
        added = _sent_again(conn, order, shipment, units, request, now=now, policy=policy)
    carrier_claims.claim(conn, order, request.shipment_id, request.cause, now=now, policy=policy)
    decided = _S.RESHIP if added else _S.REFUND
    conn.execute(_CHANGE, {"the_shipment": request.shipment_id, "settled": decided.value})
    text = _say(conn, order, shipment, request, decided, added, now=now, policy=policy)
    return Settled(
        settlement=decided,
        cause=request.cause,
        text=text,
        added=added,
        state=state.read(conn, request.order_id, now=now),
    )


def _as_it_stands(request: Settle, shipment: Row[Any]) -> Settle:
    """Return the request with a cause that is true now: its return is booked before its order hears of it."""
    if shipment.outcome == Outcome.RETURNED and request.cause in COMING_BACK:
        return replace(request, cause=Cause.RETURNED)
    if shipment.carrier_status == CarrierStatus.DESTROYED and request.cause is Cause.LOST:
        return replace(request, cause=Cause.DAMAGED)
    return request


def found(conn: Connection, request: Found, *, now: datetime) -> Unsettled:
    """Let what replaces a shipment stay here, because that has turned up. See `RecordStore.found`."""
    order = lock_order(conn, request.order_id)
    shipment = _read(conn, request.order_id, request.shipment_id)
    carrier_claims.found(conn, request.shipment_id, now=now)
    if shipment.settled is None:  # it was found before
        return Unsettled(stopped=(), settlement=None, state=state.read(conn, request.order_id, now=now))
    instead = conn.execute(_INSTEAD, {"the_shipment": request.shipment_id}).all()
    gone = any(row.work_status in _LEFT for row in instead)
    here = () if gone else tuple(s.shipment_id for s in instead if s.work_status in BEFORE_HAND_OVER)
    lives_again = bool(here) and shipment.settled == _S.RESHIP
    if lives_again:
        stopping.stop(conn, order, reason="found", by="system", now=now, only=here)
        _lives_again(conn, shipment)
    _tell_found(conn, order, shipment, _and_now(shipment, instead, here), now=now)
    return Unsettled(
        stopped=here,
        settlement=None if lives_again else shipment.settled and _S(shipment.settled),
        state=state.read(conn, request.order_id, now=now),
    )


def _lives_again(conn: Connection, shipment: Row[Any]) -> None:
    """What was paid is what arrives after all; on its way it is with the carrier as before."""
    values: dict[str, Any] = {"settled": None}
    if shipment.carrier_status not in JOURNEY_OVER:
        values |= {"work_status": WorkStatus.HANDED_OVER.value, "outcome": None, "closed_at": None}
    conn.execute(_CHANGE, {"the_shipment": shipment.shipment_id, **values})


def _and_now(
    shipment: Row[Any], instead: Sequence[Row[*tuple[Any, ...]]], stopped: Sequence[str]
) -> Meanwhile:
    if stopped:
        return Meanwhile.STAYS
    coming = (row for row in instead if row.work_status != WorkStatus.CANCELLED and row.settled != _S.REFUND)
    return Meanwhile.COMES if shipment.settled == _S.RESHIP and any(coming) else Meanwhile.REFUNDED


def _tell_found(
    conn: Connection, order: Row[Any], shipment: Row[Any], then: Meanwhile, *, now: datetime
) -> None:
    subject, arrived = shipment.shipment_id, shipment.carrier_status == CarrierStatus.DELIVERED
    turned_up = "was delivered after all." if arrived else "has turned up and goes on."
    text = f"Your parcel {turned_up} {_THEN[then]}"
    journal.event(conn, order.order_id, EventKind.FOUND, text, at=now, data={"shipment_id": subject})
    told = {"arrived": arrived, "then": then.value, "shipment_id": subject}
    journal.tell(conn, order.order_id, Fact.FOUND, subject=subject, version=1, data=told, now=now)


def _read(conn: Connection, order_id: str, shipment_id: str) -> Row[Any]:
    this = {"the_order": order_id, "the_shipment": shipment_id}
    row = conn.execute(_READ, this).one_or_none()
    if row is None:
        raise NotSettled(f"{order_id} has no shipment {shipment_id}")
    return row


def _check_may_settle(order: Row[Any], shipment: Row[Any]) -> None:
    if order.status in ENDED:
        raise NotSettled(f"{order.order_id} has ended: open it again by what the customer did not get")
    if shipment.work_status in BEFORE_HAND_OVER:
        raise NotSettled(f"{shipment.shipment_id} has not left: cancel it, or let it go")
    if shipment.work_status == WorkStatus.CANCELLED:
        raise NotSettled(f"{shipment.shipment_id} was cancelled: its money goes back by itself")


def _as_before(conn: Connection, shipment: Row[Any], request: Settle, *, now: datetime) -> Settled:
    """Return what was decided before; the same again changes nothing.

    Raises:
        NotSettled: the other is wanted now.
    """
    decided, this = _S(shipment.settled), {"the_shipment": shipment.shipment_id}
    instead = conn.execute(_INSTEAD, this).all()
    named = ", ".join(row.shipment_id for row in instead)
    if request.wanted not in (None, decided):
        raise NotSettled(
            f"{shipment.shipment_id} is sent again as {named}: cancel that while it is here, and the money goes back"
            if decided is _S.RESHIP
            else f"the money for {shipment.shipment_id} goes back: place a new order"
        )
    return Settled(
        settlement=decided,
        cause=request.cause,
        text=f"It was decided before: {decided}.",
        added=tuple(row.shipment_id for row in instead),
        state=state.read(conn, request.order_id, now=now),
    )


def _wants_another(conn: Connection, request: Settle, shipment: Row[Any], policy: Policy) -> bool:
    """Whether another one is to be sent. What was sent again and was lost too is, by itself, not sent a third time."""
    if request.wanted is not None:
        return request.wanted is _S.RESHIP
    by_itself = policy.lost_or_damaged is MakeGood.RESHIP and shipment.replaces is None
    return by_itself and request.cause is not Cause.RETURNED and not _was_coming_back(conn, shipment)


def _was_coming_back(conn: Connection, shipment: Row[Any]) -> bool:
    """Whether its customer was told that their money comes with it: lost or damaged then, it is not sent again."""
    return any(cases.find(conn, kind, subject=shipment.shipment_id) for kind in _COMES_BACK)


def _sent_again(
    conn: Connection,
    order: Row[Any],
    shipment: Row[Any],
    units: Sequence[Row[*tuple[Any, ...]]],
    request: Settle,
    *,
    now: datetime,
    policy: Policy,
) -> tuple[str, ...]:
    """Send the same units again where all of them are there; return the shipments, none where they are not.

    Raises:
        NotSettled: this and nothing else is wanted, and cannot be.
    """
    try:
        if _goes_back(conn, order, shipment, units):
            raise NotSettled(f"money for {shipment.shipment_id} goes back already: nothing is sent as well")
        with conn.begin_nested():
            return _claim(conn, order, shipment, units, request, now=now, policy=policy)
    except (InsufficientStock, NotSettled) as no:
        if request.wanted is _S.RESHIP:
            instead = "refund it, or wait until more has come"
            raise NotSettled(f"it cannot be sent again: {no}; {instead}") from no
        return ()


def _goes_back(
    conn: Connection, order: Row[Any], shipment: Row[Any], units: Sequence[Row[*tuple[Any, ...]]]
) -> bool:
    roots = {(row.root_line, row.root_unit + n) for row in units for n in range(row.quantity)}
    paid = {"the_shipment": owed.paid_as(conn, shipment.shipment_id)}
    whole: int = conn.execute(_GOES_BACK, paid).scalar_one()
    worth: int = conn.execute(_WORTH, paid).scalar_one()
    by_amount: int = conn.execute(_BY_AMOUNT, {"the_order": order.order_id}).scalar_one()
    all_of_it = 0 < worth <= by_amount
    return bool(whole or all_of_it or roots & refund_rows.units_back(conn, order.order_id))


def _claim(
    conn: Connection,
    order: Row[Any],
    shipment: Row[Any],
    units: Sequence[Row[*tuple[Any, ...]]],
    request: Settle,
    *,
    now: datetime,
    policy: Policy,
) -> tuple[str, ...]:
    last = conn.execute(_LAST, {"the_order": order.order_id}).one()
    lines = [_line(last.line + n, row) for n, row in enumerate(units, start=1)]
    conn.execute(_ADD_LINES, [asdict(line) | {"order_id": order.order_id} for line in lines])
    plans = reservations.add(
        conn, order, lines, first_n=last.shipment + 1, now=now, policy=policy, may_wait=False
    )
    added = tuple(plan.shipment_id for plan in plans)
    conn.execute(_REPLACES, {"those": added, "what": shipment.shipment_id})
    said = {"order_id": order.order_id, "shipment_id": shipment.shipment_id}
    said |= {"cause": request.cause.value, "by": request.by, "at": now}
    roots = [
        {"line_no": line.line_no, "root_line": row.root_line, "root_unit": row.root_unit}
        for line, row in zip(lines, units, strict=True)
    ]
    conn.execute(_ADD, [said | root for root in roots])
    return added


def _line(line_no: int, row: Row[*tuple[Any, ...]]) -> OrderLine:
    name = row.name.removesuffix(_NAMED_AGAIN) + _NAMED_AGAIN
    return OrderLine(line_no=line_no, sku=row.sku, name=name, quantity=row.quantity, unit_price=0)


def _say(
    conn: Connection,
    order: Row[Any],
    shipment: Row[Any],
    request: Settle,
    decided: Settlement,
    added: tuple[str, ...],
    *,
    now: datetime,
    policy: Policy,
) -> str:
    """Let everybody know, in the transaction that decides it; return it in a sentence."""
    why, order_id, subject = _WHY[request.cause], order.order_id, shipment.shipment_id
    told: dict[str, Any] = {"cause": request.cause.value, "shipment_id": subject}
    if decided is _S.RESHIP:
        day = _promise(conn, order, subject, added, now=now, policy=policy)
        advance(conn, lock_order(conn, order_id), now=now, policy=policy)
        text = f"{why} We are sending you another one; it should reach you by {day:%A, %B} {day.day}."
        told |= {"promise_date": day.isoformat(), "added": list(added)}
        journal.event(conn, order_id, EventKind.RESHIPPED, text, at=now, data=told)
        journal.tell(conn, order_id, Fact.RESHIPPED, subject=subject, version=1, data=told, now=now)
    else:
        text = f"{why} We give you your money back."
        journal.event(conn, order_id, EventKind.REFUND_DECIDED, text, at=now, data=told)
        if request.cause in _IS_NEWS:
            journal.tell(conn, order_id, Fact.LOST, subject=subject, version=1, data=told, now=now)
    named = f": {', '.join(added)}" if added else ""
    journal.audit(
        conn,
        order_id,
        actor=request.by,
        command="settle",
        outcome=f"{subject} {request.cause}: {decided}{named}",
        at=now,
        request_id=request.request_id,
        reason=request.cause.value,
    )
    return text


def _promise(
    conn: Connection, order: Row[Any], subject: str, added: tuple[str, ...], *, now: datetime, policy: Policy
) -> date:
    """Return the day that is promised now: a later one is on record, and an earlier one changes no promise."""
    day = expected(conn, order, added, now=now, policy=policy)
    told = promises.Told(fact=Fact.RESHIPPED, subject=subject, version=1)
    why, source = "it is sent again", Source.RESHIP
    promises.revise_if_later(conn, order, day, source=source, reason=why, told=told, now=now)
    return max(day, order.promise_date or day)
