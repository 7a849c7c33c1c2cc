"""Holds as rows: placed once per reason, ended once."""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import BindParameter, Connection, Exists, Row, bindparam, exists, func, insert, select, update

from fulfillment.domain.holds import SCOPE, Hold, HoldReason, hold_id
from fulfillment.storage.tables import holds

_ACTIVE: Final = (
    select(holds)
    .where(holds.c.order_id == bindparam("the_order"), holds.c.state == "active")
    .order_by(holds.c.placed_at, holds.c.hold_id)
)
_COUNT: Final = select(func.count()).where(
    holds.c.order_id == bindparam("the_order"), holds.c.reason == bindparam("the_reason")
)
_PLACE: Final = insert(holds)


def any_active(order_id: BindParameter[str]) -> Exists:
    """Return the condition that a hold stands, for a query that is made anyway."""
    return exists().where(holds.c.order_id == order_id, holds.c.state == "active")


def active(conn: Connection, order_id: str) -> tuple[Hold, ...]:
    """Return the holds that stand."""
    return tuple(hold_from(row) for row in conn.execute(_ACTIVE, {"the_order": order_id}))


def place(
    conn: Connection,
    order_id: str,
    reason: HoldReason,
    *,
    by: str,
    due_at: datetime,
    note: str,
    now: datetime,
) -> tuple[Hold, bool]:
    """Return the standing hold for this reason, and whether it was placed just now. The order must be locked."""
    standing = [hold for hold in active(conn, order_id) if hold.reason is reason]
    if standing:
        return standing[0], False
    before: int = conn.execute(_COUNT, {"the_order": order_id, "the_reason": reason.value}).scalar_one()
    hold = Hold(
        hold_id=f"{hold_id(order_id, reason)}:{before + 1}",
        reason=reason,
        placed_by=by,
        placed_at=now,
        due_at=due_at,
        note=note,
    )
    conn.execute(_PLACE, _row(order_id, hold))
    return hold, True


def was_released(conn: Connection, order_id: str, reason: HoldReason) -> bool:
    """Test whether a hold for this reason was ever ended by a person, and not for want of an answer."""
    cleared = exists().where(
        holds.c.order_id == order_id, holds.c.reason == reason.value, holds.c.state == "released"
    )
    return bool(conn.scalar(select(cleared)))


def end(
    conn: Connection,
    order_id: str,
    reason: HoldReason | None,
    *,
    by: str,
    now: datetime,
    defaulted: bool = False,
) -> tuple[str, ...]:
    """End the hold for this reason, or all of them; return the ids of those that stood."""
    ended = update(holds).where(holds.c.order_id == order_id, holds.c.state == "active")
    if reason is not None:
        ended = ended.where(holds.c.reason == reason.value)
    state = "defaulted" if defaulted else "released"
    values = {"state": state, "released_by": by, "ended_at": now}
    return tuple(conn.execute(ended.values(values).returning(holds.c.hold_id)).scalars())


def hold_from(row: Row[Any]) -> Hold:
    """Return a hold as the domain knows it."""
    return Hold(
        hold_id=row.hold_id,
        reason=HoldReason(row.reason),
        placed_by=row.placed_by,
        placed_at=row.placed_at,
        due_at=row.due_at,
        note=row.note,
    )


def _row(order_id: str, hold: Hold) -> dict[str, Any]:
    return {
        "hold_id": hold.hold_id,
        "order_id": order_id,
        "reason": hold.reason.value,
        "scope": SCOPE[hold.reason].value,
        "placed_by": hold.placed_by,
        "note": hold.note,
        "state": "active",
        "placed_at": hold.placed_at,
        "due_at": hold.due_at,
    }
