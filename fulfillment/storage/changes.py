"""The record of changes: what was changed, by whom, and the answer that a repeat of the request gets again."""

from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, func, insert, select, update

from fulfillment.domain.change import Changed, ChangeKind, ChangeRefused, ChangeState, change_id
from fulfillment.domain.events import EventKind
from fulfillment.domain.money import format_minor
from fulfillment.domain.notifications import Fact
from fulfillment.domain.order import ENDED, Order, OrderStatus
from fulfillment.domain.shipment import WorkStatus
from fulfillment.storage import journal, state
from fulfillment.storage.advance import CONFIRMED
from fulfillment.storage.tables import labels, order_changes, parcels, shipments, signals

_LEFT: Final = (WorkStatus.HANDED_OVER, WorkStatus.CLOSED)
_FACT: Final = {
    ChangeKind.CANCEL_UNITS: Fact.PART_CANCELLED,
    ChangeKind.SUBSTITUTE: Fact.SUBSTITUTED,
}
_EVENT: Final = {
    ChangeKind.CANCEL_UNITS: EventKind.PART_CANCELLED,
    ChangeKind.ADD_LINES: EventKind.LINES_ADDED,
    ChangeKind.ADDRESS: EventKind.ADDRESS_CHANGED,
    ChangeKind.SERVICE: EventKind.SERVICE_CHANGED,
    ChangeKind.SUBSTITUTE: EventKind.SUBSTITUTED,
}

_OF_ORDER: Final = order_changes.c.order_id == bindparam("the_order")
_BY_REQUEST: Final = select(order_changes).where(
    _OF_ORDER, order_changes.c.request_id == bindparam("the_request")
)
_BY_ID: Final = select(order_changes).where(_OF_ORDER, order_changes.c.change_id == bindparam("the_change"))
_ALL: Final = select(order_changes).where(_OF_ORDER)
_COUNT: Final = select(func.count()).where(_OF_ORDER)
_ADD: Final = insert(order_changes).returning(order_changes)
_UNDO: Final = update(order_changes).where(order_changes.c.change_id == bindparam("the_change"))
_WHO: Final = (
    select(signals.c.body["by"].astext)
    .where(signals.c.fact_key == shipments.c.shipment_id + ":handed_over")
    .scalar_subquery()
)
_GONE: Final = (
    select(
        *shipments.c["shipment_id", "handed_over_at"],
        parcels.c.parcel_id,
        *labels.c["carrier", "tracking_number"],
        _WHO.label("by"),
    )
    .join(parcels, parcels.c.shipment_id == shipments.c.shipment_id)
    .join(labels, (labels.c.parcel_id == parcels.c.parcel_id) & (labels.c.state == "used"))
    .where(
        shipments.c.order_id == bindparam("the_order"),
        shipments.c.work_status.in_([status.value for status in _LEFT]),
    )
    .order_by(shipments.c.n)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A change as it was made; the fields are those of `Changed`, `before` is what an undo puts back."""

    change_id: str
    kind: ChangeKind
    text: str
    delta: int
    by: str
    request_id: str
    reason: str = ""
    added: tuple[str, ...] = ()
    stopped: tuple[str, ...] = ()
    reworked: tuple[str, ...] = ()
    before: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """A parcel that has left."""

    shipment_id: str
    parcel_id: str
    at: datetime
    by: str
    carrier: str
    tracking_number: str

    def __str__(self) -> str:
        taken = "taken by the carrier" if self.by == "carrier" else f"handed over by {self.by or 'the dock'}"
        return f"{self.parcel_id} left on {moment(self.at)}, {taken} ({self.carrier} {self.tracking_number})"


# --- what was made --------------------------------------------------------------------------------------


def repeated(
    conn: Connection, order_id: str, kind: ChangeKind, request_id: str, *, now: datetime
) -> Changed | None:
    """Return what this request came to when it was made before; a request without an id never was.

    Raises:
        ChangeRefused: its id was used for another change.
    """
    if not request_id:
        return None
    asked = {"the_order": order_id, "the_request": request_id}
    row = conn.execute(_BY_REQUEST, asked).one_or_none()
    if row is None:
        return None
    if row.kind != kind:
        raise ChangeRefused(f"the request {request_id} was made before, as {row.kind}: use an id of its own")
    return _changed(conn, row, now=now)


def find(conn: Connection, order_id: str, wanted: str) -> Row[Any]:
    """Return a change of the order.

    Raises:
        ChangeRefused: there is none with this id.
    """
    row = conn.execute(_BY_ID, {"the_order": order_id, "the_change": wanted}).one_or_none()
    if row is None:
        raise ChangeRefused(f"{order_id} has no change {wanted}")
    return row


def next_id(conn: Connection, order_id: str) -> str:
    """Return the id of the locked order's next change."""
    count: int = conn.execute(_COUNT, {"the_order": order_id}).scalar_one()
    return change_id(order_id, count + 1)


def keep(
    conn: Connection, order: Row[Any] | Order, made: Made, *, tell: bool = True, now: datetime
) -> Changed:
    """Write a change down, with the event, the audit entry and the message that follow from it."""
    values = asdict(made) | {"order_id": order.order_id, "state": ChangeState.CONFIRMED.value, "at": now}
    del values["reason"]  # it stands in the audit entry
    row = conn.execute(_ADD, values).one()
    journal.event(conn, order.order_id, _EVENT[made.kind], made.text, at=now, data=_said(made))
    _sign(conn, order, made, now=now)
    if tell:
        _tell(conn, order, made, now=now)
    return _changed(conn, row, now=now)


def undone(
    conn: Connection,
    row: Row[Any],
    *,
    text: str,
    delta: int,
    stopped: tuple[str, ...],
    reworked: tuple[str, ...],
    reason: str,
    now: datetime,
) -> Changed:
    """Note that a change was taken back, with the answer that a repeat gets again."""
    answer = {"text": text, "delta": delta, "stopped": list(stopped), "reworked": list(reworked)}
    values = {"state": ChangeState.UNDONE.value, "before": {**row.before, "undone": answer}}
    conn.execute(_UNDO, {"the_change": row.change_id, **values})
    data = {"change_id": row.change_id, "reason": reason}
    journal.event(conn, row.order_id, EventKind.CHANGE_UNDONE, text, at=now, data=data)
    said = {"actor": "system", "command": "undo_change", "outcome": f"{row.change_id} taken back"}
    journal.audit(conn, row.order_id, **said, at=now, reason=reason)
    told = data | {"text": text, "delta": delta}
    journal.tell(conn, row.order_id, Fact.CHANGED, subject=row.change_id, version=2, data=told, now=now)
    return answer_of_undo(conn, find(conn, row.order_id, row.change_id), now=now)


def stopped_by_changes(conn: Connection, order_id: str) -> frozenset[str]:
    """Return the shipments that changes emptied: the customer was told when the change was."""
    rows = conn.execute(_ALL, {"the_order": order_id})
    return frozenset(
        shipment_id
        for row in rows
        for shipment_id in (*row.stopped, *row.before.get("undone", {}).get("stopped", ()))
    )


def answer_of_undo(conn: Connection, row: Row[Any], *, now: datetime) -> Changed:
    """Return what taking this change back came to."""
    said = row.before["undone"]
    return Changed(
        change_id=row.change_id,
        text=said["text"],
        delta=said["delta"],
        stopped=tuple(said["stopped"]),
        reworked=tuple(said["reworked"]),
        state=state.read(conn, row.order_id, now=now),
    )


def _changed(conn: Connection, row: Row[Any], *, now: datetime) -> Changed:
    return Changed(
        change_id=row.change_id,
        text=row.text,
        delta=row.delta,
        added=tuple(row.added),
        stopped=tuple(row.stopped),
        reworked=tuple(row.reworked),
        state=state.read(conn, row.order_id, now=now),
    )


def _said(made: Made) -> dict[str, Any]:
    said = {"change_id": made.change_id, "delta": made.delta, "reason": made.reason}
    return said | ({"replaced": made.before["replaced"]} if made.kind is ChangeKind.SUBSTITUTE else {})


def _sign(conn: Connection, order: Row[Any] | Order, made: Made, *, now: datetime) -> None:
    journal.audit(
        conn,
        order.order_id,
        actor=made.by,
        command=made.kind.value,
        outcome=f"{made.change_id}: {made.text}",
        at=now,
        request_id=made.request_id,
        reason=made.reason,
    )


def _tell(conn: Connection, order: Row[Any] | Order, made: Made, *, now: datetime) -> None:
    fact = _FACT.get(made.kind, Fact.CHANGED)
    told = _said(made) | {"text": made.text, "currency": order.currency}
    journal.tell(conn, order.order_id, fact, subject=made.change_id, version=1, data=told, now=now)


# --- what may still be changed -----------------------------------------------------------------------


def check_open(order: Row[Any]) -> None:
    """Refuse when the order has ended or is about to.

    Raises:
        ChangeRefused: says since when, and what to do instead.
    """
    status = OrderStatus(order.status)
    if status in ENDED:
        since = f" since {moment(order.completed_at)}" if order.completed_at else ""
        raise ChangeRefused(
            f"{order.order_id} is {status}{since} and cannot be changed any more: "
            "place a new order, or return what arrived"
        )
    if status is OrderStatus.CANCELLING:
        raise ChangeRefused(f"{order.order_id} is being cancelled: place a new order")


def check_planned(order: Row[Any]) -> None:
    """Refuse while the order is not planned yet.

    Raises:
        ChangeRefused: its stock is being claimed just now.
    """
    if order.status == OrderStatus.RECEIVED:
        raise ChangeRefused(f"{order.order_id} is just being placed: try again in a moment")


def check_confirmed(order: Row[Any]) -> None:
    """Refuse while the order is not confirmed.

    Raises:
        ChangeRefused: it is not paid yet.
    """
    check_planned(order)
    if order.status not in CONFIRMED:
        raise ChangeRefused(
            f"{order.order_id} is {order.status} and costs nothing more before it is confirmed: "
            "pay it first, or cancel it and place a new order"
        )


def gone(conn: Connection, order_id: str) -> tuple[Gone, ...]:
    """Return what has left, in the order of its shipments."""
    return tuple(
        Gone(
            shipment_id=row.shipment_id,
            parcel_id=row.parcel_id,
            at=row.handed_over_at,
            by=row.by or "",
            carrier=row.carrier,
            tracking_number=row.tracking_number,
        )
        for row in conn.execute(_GONE, {"the_order": order_id})
    )


def everything_has_left(conn: Connection, order_id: str, instead: str) -> ChangeRefused:
    """Return the refusal of a change that comes too late for all of the order."""
    left = "; ".join(map(str, gone(conn, order_id)))
    return ChangeRefused(f"everything of {order_id} has left, until then it was possible: {left}. {instead}")


def moment(at: datetime) -> str:
    """Return an instant as a person reads it."""
    return f"{at:%A} {at.day} {at:%B %Y, %H:%M} UTC"


def difference(delta: int, currency: str) -> str:
    """Return what the customer owes more or less, as the end of a sentence."""
    if delta == 0:
        return ""
    return f" {format_minor(abs(delta), currency)} {'more' if delta > 0 else 'less'} to pay."
