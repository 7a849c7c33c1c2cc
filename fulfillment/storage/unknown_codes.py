"""The carriers' codes that none of our tables knows: kept, shown, and counted until somebody gives them a meaning."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Engine, bindparam, func, select

from fulfillment.storage.tables import labels, tracking_events

_LATELY: Final = timedelta(days=90)  # a code that a table has learnt since falls off the list by itself
_told = tracking_events.c
_LIST: Final = (
    select(
        _told.provider,
        func.coalesce(labels.c.carrier, "").label("carrier"),
        _told.raw_code.label("code"),
        func.max(_told.raw_text).label("text"),
        func.count().label("count"),
        func.min(_told.received_at).label("first_seen"),
        func.max(_told.received_at).label("last_seen"),
    )
    .outerjoin(labels, (labels.c.parcel_id == _told.parcel_id) & labels.c.state.in_(("live", "used")))
    .where(_told.unknown, _told.received_at > bindparam("since"))
    .group_by(_told.provider, labels.c.carrier, _told.raw_code)
    .order_by(func.count().desc(), _told.provider, labels.c.carrier, _told.raw_code)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownCode:
    """A code in no table, how many scans bore it in the last 90 days, and a sentence that its carrier said with it."""

    provider: str
    carrier: str
    code: str
    text: str
    count: int
    first_seen: datetime
    last_seen: datetime


class UnknownCodes:
    """What carriers said that nobody here understands."""

    def __init__(self, engine: Engine, now: Callable[[], datetime]) -> None:
        self._engine, self._now = engine, now

    def list(self) -> tuple[UnknownCode, ...]:
        """Return the codes, the most frequent first."""
        with self._engine.connect() as conn:
            rows = conn.execute(_LIST, {"since": self._now() - _LATELY})
            return tuple(UnknownCode(**row._mapping) for row in rows)
