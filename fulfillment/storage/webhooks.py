"""Webhooks to the storefront: every event in order for each endpoint, tried for days, readable and repeatable.

An order's events arrive in their order: a later one waits until the one before it has arrived or was given up.
"""

import secrets as chance
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, bindparam, text, update
from sqlalchemy.dialects.postgresql import insert

from fulfillment.domain.cases import CaseKind
from fulfillment.domain.clock import ShopClock
from fulfillment.domain.events import EventKind
from fulfillment.domain.playbooks import due_at
from fulfillment.domain.policy import DEFAULT, Policy
from fulfillment.domain.webhooks import (
    GAPS,
    GONE,
    Delivery,
    DeliveryState,
    Endpoint,
    EndpointState,
    ShopEvent,
    UnknownEndpoint,
    new_secret,
)
from fulfillment.storage import cases, journal
from fulfillment.storage.tables import webhook_deliveries, webhook_endpoints

_LEASE: Final = timedelta(seconds=90)  # real time: longer than any endpoint's patience
_OLD_SECRET: Final = timedelta(hours=24)  # real time for the storefront to take the new one
_LAID_OUT_AT_ONCE: Final = 1000

# Numbers are given before they are committed, so the newest that can be seen is no place to go on from: a smaller one
# may still come. It is one as soon as every transaction has ended that was open when it was the newest.
_TICK: Final = text("""
INSERT INTO event_horizon AS h (one, safe_seq, next_seq, next_xid)
SELECT true, 0, coalesce(max(seq), 0), pg_snapshot_xmax(pg_current_snapshot())::text::bigint FROM order_events
ON CONFLICT (one) DO UPDATE
SET safe_seq = h.next_seq, next_seq = excluded.next_seq, next_xid = excluded.next_xid
WHERE h.next_xid <= pg_snapshot_xmin(pg_current_snapshot())::text::bigint
  AND (h.safe_seq < h.next_seq OR h.next_seq < excluded.next_seq)
""")
_SAFE: Final = "(SELECT coalesce(max(safe_seq), 0) FROM event_horizon)"
_EVENTS: Final = text(f"""
SELECT seq, order_id, kind, text, data, at FROM order_events
WHERE seq > :after AND seq <= {_SAFE} AND (cardinality(CAST(:kinds AS text[])) = 0 OR kind = ANY(:kinds))
ORDER BY seq LIMIT :limit
""")
_HEAD: Final = text(f"""
SELECT coalesce(max(seq), :after) FROM (
    SELECT seq FROM order_events WHERE seq > :after AND seq <= {_SAFE} ORDER BY seq LIMIT :limit
) found
""")
_LAY_OUT: Final = text("""
INSERT INTO webhook_deliveries (endpoint_id, seq, order_id, state, not_before)
SELECT :endpoint_id, e.seq, e.order_id, 'pending', :now FROM order_events e
WHERE e.seq > :after AND e.seq <= :head AND (cardinality(CAST(:kinds AS text[])) = 0 OR e.kind = ANY(:kinds))
ON CONFLICT (endpoint_id, seq) DO UPDATE
SET state = 'pending', tries = 0, not_before = excluded.not_before, why = '', first_sent_at = NULL, ended_at = NULL
WHERE webhook_deliveries.state IN ('delivered', 'dead')
""")
_DUE: Final = text("""
SELECT d.endpoint_id, p.url, p.secret, p.old_secret, p.old_secret_until, d.tries,
    e.seq, e.order_id, e.kind, e.text, e.data, e.at
FROM webhook_deliveries d
JOIN webhook_endpoints p ON p.endpoint_id = d.endpoint_id AND p.state = 'enabled'
JOIN order_events e ON e.seq = d.seq
WHERE ((d.state = 'pending' AND d.not_before <= :now) OR (d.state = 'claimed' AND d.lease_until <= :now))
  AND NOT EXISTS (
    SELECT FROM webhook_deliveries before
    WHERE before.endpoint_id = d.endpoint_id AND before.order_id = d.order_id AND before.seq < d.seq
      AND before.state IN ('pending', 'claimed'))
ORDER BY d.seq LIMIT :limit
FOR UPDATE OF d SKIP LOCKED
""")
_ENDPOINTS: Final = text("""
SELECT p.*, (SELECT count(*) FROM webhook_deliveries d
             WHERE d.endpoint_id = p.endpoint_id AND d.state IN ('pending', 'claimed')) AS waiting
FROM webhook_endpoints p WHERE p.state <> 'removed' ORDER BY p.created_at, p.endpoint_id
""")
_ENDPOINT: Final = text("""
SELECT * FROM webhook_endpoints WHERE endpoint_id = :endpoint_id AND state <> 'removed' FOR UPDATE
""")
_BEHIND: Final = text(f"""
SELECT * FROM webhook_endpoints WHERE state = 'enabled' AND cursor < {_SAFE}
ORDER BY endpoint_id FOR UPDATE SKIP LOCKED
""")
_TOOK_ANOTHER: Final = text("""
SELECT EXISTS (
    SELECT FROM webhook_deliveries d JOIN webhook_deliveries this USING (endpoint_id)
    WHERE this.endpoint_id = :endpoint_id AND this.seq = :seq AND d.ended_at >= this.first_sent_at
      AND d.state = 'delivered')
""")
_AGAIN: Final = text("""
UPDATE webhook_deliveries SET state = 'pending', tries = 0, not_before = :now, lease_until = NULL, first_sent_at = NULL
WHERE endpoint_id = :endpoint_id AND state IN ('pending', 'claimed')
""")
_CHANGE: Final = update(webhook_endpoints).where(webhook_endpoints.c.endpoint_id == bindparam("the_endpoint"))
_GIVE_UP: Final = text("""
UPDATE webhook_deliveries SET state = 'dead', ended_at = :now WHERE endpoint_id = :endpoint_id AND seq = :seq
""")
_CLAIM: Final = text("""
UPDATE webhook_deliveries
SET state = 'claimed', lease_until = :until, tries = :tries, first_sent_at = coalesce(first_sent_at, :now)
WHERE endpoint_id = :endpoint_id AND seq = :seq
""")
_NOTE: Final = update(webhook_deliveries).where(
    webhook_deliveries.c.endpoint_id == bindparam("the_endpoint"),
    webhook_deliveries.c.seq == bindparam("the_event"),
    webhook_deliveries.c.state == DeliveryState.CLAIMED.value,
)


class WebhookStore:
    """Endpoints and what is on its way to them. `now` is shop time; an endpoint's patience is real time."""

    def __init__(
        self, engine: Engine, now: Callable[[], datetime], clock: ShopClock, *, policy: Policy = DEFAULT
    ) -> None:
        self._engine, self._now, self._clock, self._policy = engine, now, clock, policy

    # --- endpoints

    def add(self, url: str, kinds: Sequence[EventKind], *, by: str, after: int | None = None) -> Endpoint:
        """Add an endpoint and return it with its secret, which is never shown again.

        It gets what happens from now on, or everything later than the event `after`.
        """
        now = self._now()
        row: dict[str, Any] = {
            "endpoint_id": f"we_{chance.token_hex(8)}",
            "url": url,
            "kinds": [kind.value for kind in kinds],
        }
        row |= {"secret": new_secret(), "state": EndpointState.ENABLED.value, "by": by, "created_at": now}
        with self._engine.begin() as conn:
            row["cursor"] = _last_seq(conn) if after is None else after
            conn.execute(insert(webhook_endpoints).values(row))
            self._audit(conn, by, "add_webhook", f"{row['endpoint_id']} to {url}")
            return _endpoint(_locked(conn, row["endpoint_id"]), secret=row["secret"])

    def endpoints(self) -> tuple[Endpoint, ...]:
        """Return all that were not removed, without their secrets."""
        with self._engine.connect() as conn:
            return tuple(_endpoint(row, waiting=row.waiting) for row in conn.execute(_ENDPOINTS))

    def rotate(self, endpoint_id: str, *, by: str) -> Endpoint:
        """Give an endpoint a new secret and return it; for a day both sign.

        Raises:
            UnknownEndpoint: there is none.
        """
        with self._engine.begin() as conn:
            row, secret = _locked(conn, endpoint_id), new_secret()
            until = self._now() + _OLD_SECRET * self._clock.speed
            self._change(conn, row, secret=secret, old_secret=row.secret, old_secret_until=until)
            self._audit(conn, by, "rotate_webhook", endpoint_id)
            return _endpoint(_locked(conn, endpoint_id), secret=secret)

    def enable(self, endpoint_id: str, *, by: str, after: int | None = None) -> Endpoint:
        """Let events go to it again: from where it stopped, or again everything later than the event `after`.

        Raises:
            UnknownEndpoint: there is none.
        """
        with self._engine.begin() as conn:
            row = _locked(conn, endpoint_id)
            more = {} if after is None else {"cursor": after}
            now, state = self._now(), EndpointState.ENABLED.value
            self._change(conn, row, state=state, why="", failing_since=None, disabled_at=None, **more)
            conn.execute(_AGAIN, {"endpoint_id": endpoint_id, "now": now})
            _settle(conn, endpoint_id, f"enabled by {by}", now)
            self._audit(
                conn, by, "enable_webhook", f"{endpoint_id} after {row.cursor if after is None else after}"
            )
            return _endpoint(_locked(conn, endpoint_id))

    def remove(self, endpoint_id: str, *, by: str) -> None:
        """Send nothing more to an endpoint.

        Raises:
            UnknownEndpoint: there is none.
        """
        with self._engine.begin() as conn:
            row = _locked(conn, endpoint_id)
            self._change(conn, row, state=EndpointState.REMOVED.value)
            _settle(conn, endpoint_id, f"removed by {by}", self._now())
            self._audit(conn, by, "remove_webhook", endpoint_id)

    # --- events

    def events(self, after: int, limit: int, kinds: Sequence[EventKind] = ()) -> tuple[ShopEvent, ...]:
        """Return what happened later than an event, in order; whoever goes on from the last one misses none."""
        with self._engine.begin() as conn:
            conn.execute(_TICK)
        with self._engine.connect() as conn:
            rows = conn.execute(
                _EVENTS, {"after": after, "limit": limit, "kinds": [kind.value for kind in kinds]}
            )
            return tuple(_event(row) for row in rows)

    def lay_out(self) -> int:
        """Note for each endpoint the events that it has yet to get; return for how many there was news."""
        with self._engine.begin() as conn:
            conn.execute(_TICK)
        with self._engine.begin() as conn:
            rows = conn.execute(_BEHIND).all()
            for row in rows:
                self._lay_out(conn, row)
            return len(rows)

    def _lay_out(self, conn: Connection, row: Row[Any]) -> None:
        head = conn.execute(_HEAD, {"after": row.cursor, "limit": _LAID_OUT_AT_ONCE}).scalar_one()
        some = {"endpoint_id": row.endpoint_id, "after": row.cursor, "head": head, "now": self._now()}
        conn.execute(_LAY_OUT, some | {"kinds": row.kinds})
        self._change(conn, row, cursor=head)

    def lease(self, limit: int) -> tuple[Delivery, ...]:
        """Take deliveries that are due; nobody else gets them until the lease has run out."""
        now = self._now()
        with self._engine.begin() as conn:
            rows = conn.execute(_DUE, {"now": now, "limit": limit}).all()
            until = now + _LEASE * self._clock.speed
            for row in rows:
                mine = {"endpoint_id": row.endpoint_id, "seq": row.seq, "tries": row.tries + 1}
                conn.execute(_CLAIM, mine | {"now": now, "until": until})
            return tuple(_delivery(row, now) for row in rows)

    def delivered(self, delivery: Delivery, status: int) -> None:
        """Note that the endpoint took it: then it works, whatever was before."""
        now = self._now()
        with self._engine.begin() as conn:
            row = _locked(conn, delivery.endpoint_id)
            ended = {"state": DeliveryState.DELIVERED.value, "status": status, "why": "", "ended_at": now}
            conn.execute(_NOTE, _of(delivery) | ended)
            if row.failing_since is not None:
                self._change(conn, row, failing_since=None)
                _settle(conn, row.endpoint_id, "it takes events again", now)

    def failed(
        self, delivery: Delivery, status: int | None, why: str, *, wait: timedelta = timedelta(0)
    ) -> None:
        """Note that it did not arrive, and try it again later: at the earliest after `wait`, real time.

        After its last try it is given up, if other events arrived meanwhile. An endpoint that took nothing all the
        while, or says that it is gone, is switched off: what it did not get stays for it.
        """
        now = self._now()
        with self._engine.begin() as conn:
            row = _locked(conn, delivery.endpoint_id)
            since = row.failing_since or now
            self._change(conn, row, failing_since=since, why=why[:200])
            conn.execute(
                _NOTE, _of(delivery) | {"status": status, "why": why[:200], **self._next(delivery, wait)}
            )
            last = delivery.tries >= len(GAPS)
            if status == GONE or (last and not _took_another(conn, delivery)):
                self._switch_off(conn, row, why, now)
            elif last:
                conn.execute(_GIVE_UP, _this(delivery) | {"now": now})
            elif now - since >= self._policy.webhook_alarm_after:
                self._alarm(conn, row, why, now)

    def _next(self, delivery: Delivery, wait: timedelta) -> dict[str, Any]:
        gap = GAPS[min(delivery.tries, len(GAPS) - 1)]
        due = self._now() + max(gap, wait) * self._clock.speed
        return {"state": DeliveryState.PENDING.value, "not_before": due}

    def _switch_off(self, conn: Connection, row: Row[Any], why: str, now: datetime) -> None:
        self._change(conn, row, state=EndpointState.DISABLED.value, why=why[:200], disabled_at=now)
        self._alarm(conn, row, f"switched off: {why}", now)

    def _alarm(self, conn: Connection, row: Row[Any], why: str, now: datetime) -> None:
        cases.open_case(
            conn,
            None,
            CaseKind.WEBHOOK_FAILING,
            subject=row.endpoint_id,
            due_at=due_at(CaseKind.WEBHOOK_FAILING, now, self._policy),
            now=now,
            note=f"{row.url}: {why}"[:300],
        )

    def _change(self, conn: Connection, row: Row[Any], **changes: Any) -> None:
        conn.execute(_CHANGE.values(changes), {"the_endpoint": row.endpoint_id})

    def _audit(self, conn: Connection, by: str, command: str, outcome: str) -> None:
        journal.audit(conn, None, actor=by, command=command, outcome=outcome, at=self._now())


def _took_another(conn: Connection, delivery: Delivery) -> bool:
    """Test whether an endpoint took some other event since this one was first tried: then it is the event."""
    return bool(conn.execute(_TOOK_ANOTHER, _this(delivery)).scalar_one())


def _this(delivery: Delivery) -> dict[str, Any]:
    return {"endpoint_id": delivery.endpoint_id, "seq": delivery.event.seq}


def _settle(conn: Connection, endpoint_id: str, how: str, now: datetime) -> None:
    cases.resolve(conn, CaseKind.WEBHOOK_FAILING, subject=endpoint_id, resolution=how, now=now)


def _last_seq(conn: Connection) -> int:
    return int(conn.execute(text("SELECT coalesce(max(seq), 0) FROM order_events")).scalar_one())


def _locked(conn: Connection, endpoint_id: str) -> Row[Any]:
    row = conn.execute(_ENDPOINT, {"endpoint_id": endpoint_id}).one_or_none()
    if row is None:
        raise UnknownEndpoint(endpoint_id)
    return row


def _of(delivery: Delivery) -> dict[str, Any]:
    return {"the_endpoint": delivery.endpoint_id, "the_event": delivery.event.seq, "lease_until": None}


def _endpoint(row: Row[Any], *, secret: str = "", waiting: int = 0) -> Endpoint:
    return Endpoint(
        endpoint_id=row.endpoint_id,
        url=row.url,
        kinds=tuple(row.kinds),
        state=EndpointState(row.state),
        cursor=row.cursor,
        created_at=row.created_at,
        failing_since=row.failing_since,
        why=row.why,
        waiting=waiting,
        secret=secret,
    )


def _event(row: Row[Any]) -> ShopEvent:
    data: Mapping[str, Any] = row.data
    return ShopEvent(seq=row.seq, order_id=row.order_id, kind=row.kind, text=row.text, data=data, at=row.at)


def _delivery(row: Row[Any], now: datetime) -> Delivery:
    both = row.old_secret is not None and row.old_secret_until > now
    return Delivery(
        endpoint_id=row.endpoint_id,
        url=row.url,
        secrets=(row.secret, row.old_secret) if both else (row.secret,),
        tries=row.tries,
        event=_event(row),
    )
