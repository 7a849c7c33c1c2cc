"""The days an order was promised for: every one stays on record, with why it was another."""

from datetime import date, datetime
from typing import Final

from sqlalchemy import Connection, bindparam, func, insert, select, update

from fulfillment.storage.tables import orders, promises

_ADD: Final = insert(promises)
_COUNT: Final = select(func.count()).where(promises.c.order_id == bindparam("the_order"))
_ORDER: Final = update(orders).where(orders.c.order_id == bindparam("the_order"))


def revise(conn: Connection, order_id: str, day: date, *, source: str, reason: str, now: datetime) -> int:
    """Promise another day and return its number in the record. The caller tells the customer in the same transaction."""
    n: int = conn.execute(_COUNT, {"the_order": order_id}).scalar_one() + 1
    promise = {"order_id": order_id, "n": n, "promised_date": day, "source": source, "reason": reason}
    conn.execute(_ADD, promise | {"at": now, "told_at": now})
    conn.execute(_ORDER, {"the_order": order_id, "promise_date": day})
    return n
