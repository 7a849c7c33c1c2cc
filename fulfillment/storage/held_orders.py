"""Which orders are held, and which are held alike: what a person looks at before they release many at once."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, bindparam, select

from fulfillment.domain.errors import UnknownOrder
from fulfillment.domain.holds import HeldAlike, HeldOrder, HoldReason, NoSuchHold, alike
from fulfillment.storage import holds as hold_rows
from fulfillment.storage.tables import holds, orders

_HELD: Final = (
    select(holds, orders.c.total, orders.c.currency)
    .join(orders, orders.c.order_id == holds.c.order_id)
    .where(holds.c.state == "active")
)
_FOR_REASON: Final = _HELD.where(holds.c.reason == bindparam("the_reason"))
_ALIKE: Final = _FOR_REASON.where(
    holds.c.note == bindparam("the_note"), holds.c.placed_at <= bindparam("until")
)
_KNOWN: Final = select(orders.c.order_id).where(orders.c.order_id == bindparam("the_order"))

_NOTES: Final = (
    select(holds.c.note)
    .where(holds.c.order_id == bindparam("the_order"), holds.c.reason == bindparam("the_reason"))
    .order_by(holds.c.placed_at.desc(), holds.c.hold_id.desc())
    .limit(1)
)


class HeldOrders:
    """Reads what is held."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def groups(self, reason: HoldReason | None = None) -> tuple[HeldAlike, ...]:
        """Return the orders that are held, together those that are held alike."""
        asked = _HELD if reason is None else _FOR_REASON
        with self._engine.connect() as conn:
            return alike(_read(conn.execute(asked, {"the_reason": reason} if reason else {})))

    def like(self, order_id: str, reason: HoldReason, *, until: datetime) -> HeldAlike:
        """Return the orders that are held for this reason in the same words as this one, itself among them.

        Whoever looked at them names with `until` when they did: what was held later is left out.

        Raises:
            UnknownOrder: there is no such order.
            NoSuchHold: it was never held for this reason.
        """
        with self._engine.connect() as conn:
            note = _note_of(conn, order_id, reason)
            asked = {"the_reason": reason, "the_note": note, "until": until}
            found = alike(_read(conn.execute(_ALIKE, asked)))
        return found[0] if found else HeldAlike(reason=reason, note=note, orders=())


def _note_of(conn: Connection, order_id: str, reason: HoldReason) -> str:
    """Return the words of an order's latest hold for a reason; it may be over, when its likes are asked for again."""
    if conn.execute(_KNOWN, {"the_order": order_id}).one_or_none() is None:
        raise UnknownOrder(order_id)
    said = {"the_order": order_id, "the_reason": reason}
    note: str | None = conn.execute(_NOTES, said).scalar_one_or_none()
    if note is None:
        raise NoSuchHold(order_id, reason)
    return note


def _read(rows: Iterable[Row[Any]]) -> Iterable[HeldOrder]:
    return (
        HeldOrder(
            order_id=row.order_id, hold=hold_rows.hold_from(row), total=row.total, currency=row.currency
        )
        for row in rows
    )
