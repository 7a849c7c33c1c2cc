"""Facts that an order's workflow must still hear; doors hand them on at once, the relay what was left."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, Select, select, update

from fulfillment.domain.findings import Unheard
from fulfillment.storage.tables import signals

PACKED: Final = "packed"
HANDED_OVER: Final = "handed_over"
MILESTONE: Final = "milestone"
STOCK_FILLED: Final = "stock_filled"
OVERDUE: Final = "overdue"
REPLANNED: Final = (
    "replanned"  # {"why": ..}: the books changed the order beside its workflow, which reads them again
)
PAYMENT_NEWS: Final = "payment_news"  # {"payment_id": ..}: a hint from the provider; the workflow asks
RETRY_PAYMENT: Final = (
    "retry_payment"  # {"method", "by", "request_id"}: the verb, when the customer's page gave a method
)


class SignalStore:
    """The facts on their way to the workflows. `now` is shop time."""

    def __init__(self, engine: Engine, now: Callable[[], datetime]) -> None:
        self._engine, self._now = engine, now

    def undelivered(self, limit: int, older_than: timedelta = timedelta(0)) -> tuple[Unheard, ...]:
        """Return the oldest facts nobody has handed on, queued at least `older_than` of shop time ago."""
        with self._engine.connect() as conn:
            return unheard(conn, limit, queued_before=self._now() - older_than)

    def delivered(self, signal_ids: Sequence[int]) -> None:
        """Note facts as handed on."""
        with self._engine.begin() as conn:
            heard(conn, signal_ids, at=self._now())

    def for_order(self, order_id: str) -> tuple[Unheard, ...]:
        """Return what this order has not heard yet, in the order in which it happened."""
        with self._engine.connect() as conn:
            return waiting(conn, order_id)


def unheard(conn: Connection, limit: int, *, queued_before: datetime) -> tuple[Unheard, ...]:
    """Return the oldest facts that were queued before an instant and not handed on."""
    return _read(conn, _open().where(signals.c.at <= queued_before).limit(limit))


def waiting(conn: Connection, order_id: str) -> tuple[Unheard, ...]:
    """Return what an order has not heard yet, this transaction's facts included."""
    return _read(conn, _open().where(signals.c.order_id == order_id))


def heard(conn: Connection, signal_ids: Sequence[int], *, at: datetime) -> None:
    """Note facts as handed on; the first time counts."""
    chosen = signals.c.signal_id.in_(signal_ids) & signals.c.delivered_at.is_(None)
    conn.execute(update(signals).where(chosen).values(delivered_at=at))


def _open() -> Select[Any]:
    columns = (signals.c.signal_id, signals.c.order_id, signals.c.name, signals.c.body)
    return select(*columns).where(signals.c.delivered_at.is_(None)).order_by(signals.c.signal_id)


def _read(conn: Connection, query: Select[Any]) -> tuple[Unheard, ...]:
    return tuple(_unheard(row) for row in conn.execute(query))


def _unheard(row: Row[Any]) -> Unheard:
    return Unheard(signal_id=row.signal_id, order_id=row.order_id, name=row.name, body=row.body)
