"""Keys of requests at the doors: one key, one body, one answer."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Engine, and_, delete, select, update
from sqlalchemy.dialects.postgresql import insert

from fulfillment.storage.tables import idempotency_keys as keys

# A request that was under way for so long died with its process; every command is safe to repeat.
_GIVEN_UP_AFTER: Final = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class New:
    """Nobody asked this before: go on, then call `finish` or `abandon`."""


@dataclass(frozen=True, slots=True)
class Replay:
    """It was answered before, with this status and body."""

    status: int
    answer: Any


@dataclass(frozen=True, slots=True)
class Mismatch:
    """The key was used for another body."""


@dataclass(frozen=True, slots=True)
class InProgress:
    """The first request with this key is still being answered."""


class IdempotencyKeys:
    """The keys. An owner's key counts for one route; `real_now` is real time, because clients retry in it."""

    def __init__(self, engine: Engine, real_now: Callable[[], datetime]) -> None:
        self._engine, self._real_now = engine, real_now

    def begin(self, owner: str, route: str, key: str, body_hash: str) -> New | Replay | Mismatch | InProgress:
        """Claim the key, or say what became of the request that claimed it first."""
        row = {"owner": owner, "route": route, "key": key, "body_hash": body_hash, "at": self._real_now()}
        with self._engine.begin() as conn:
            claimed = conn.execute(insert(keys).values(row).on_conflict_do_nothing())
            return New() if claimed.rowcount else self._met(conn, owner, route, key, body_hash)

    def finish(self, owner: str, route: str, key: str, *, status: int, answer: Any) -> None:
        """Keep the answer for whoever asks again."""
        open_key = and_(_named(owner, route, key), keys.c.status.is_(None))
        with self._engine.begin() as conn:
            conn.execute(update(keys).where(open_key).values(status=status, answer=answer))

    def abandon(self, owner: str, route: str, key: str) -> None:
        """Forget the key: the request did not get as far as an answer."""
        with self._engine.begin() as conn:
            conn.execute(delete(keys).where(_named(owner, route, key), keys.c.status.is_(None)))

    def _met(
        self, conn: Connection, owner: str, route: str, key: str, body_hash: str
    ) -> New | Replay | Mismatch | InProgress:
        first = conn.execute(select(keys).where(_named(owner, route, key)).with_for_update()).first()
        if first is None:  # abandoned in between: the client's next try finds the key free
            return InProgress()
        if first.body_hash != body_hash:
            return Mismatch()
        if first.status is not None:
            return Replay(first.status, first.answer)
        if first.at > self._real_now() - _GIVEN_UP_AFTER:
            return InProgress()
        conn.execute(update(keys).where(_named(owner, route, key)).values(at=self._real_now()))
        return New()


def _named(owner: str, route: str, key: str) -> Any:
    return and_(keys.c.owner == owner, keys.c.route == route, keys.c.key == key)
