"""Where it stands who somebody is, and how it is taken out of the books: by the customer's wish, or by its age.

What was bought, paid, shipped and decided stays: totals, taxes, movements and the acts of people are the shop's own
record. The providers keep books of their own; to be forgotten there is asked of them.
"""

import secrets
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import Connection, Engine, bindparam, func, insert, select, text, update

from fulfillment.domain.erasure import Erased, NotErasable, UnknownCustomer
from fulfillment.domain.order import ENDED
from fulfillment.domain.policy import DEFAULT, Policy
from fulfillment.storage import journal, locks
from fulfillment.storage.tables import customer_preferences, erasures, orders

_SYSTEM: Final = "waybill"
_ENDED: Final = sorted(status.value for status in ENDED)
# What a row becomes, by table. Country and region stay, for taxes and for how long parcels take there.
BLANK: Final[Mapping[str, str]] = MappingProxyType(
    {
        "orders": """email = '', phone = '', payment_method = '', payment_link = NULL, note = '', content_hash = '',
            ship_to = jsonb_build_object('name', '', 'line1', '', 'city', '',
                'region', ship_to->'region', 'country', ship_to->'country')""",
        "payments": "next_action_url = NULL",
        "refunds": "note = ''",
        "holds": "note = ''",
        "cases": "note = '', resolution = CASE WHEN resolution IS NOT NULL THEN 'erased' END",
        "order_changes": "text = 'erased', before = '{}'",
        "order_events": "text = 'erased', data = '{}'",
        "audit_entries": "reason = '', outcome = 'erased'",
        "signals": "body = '{}'",
        "outbox": """recipient = 'erased:' || notification_id, data = '{}', body = NULL, provider_refs = '{}',
            why = CASE state WHEN 'pending' THEN 'erased' ELSE '' END,
            state = CASE state WHEN 'pending' THEN 'withdrawn' ELSE state END""",
        "inbox": "body = '{}', hint = NULL, why = ''",
        "webhook_deliveries": "why = ''",
        "parcels": "place = '', address_hash = CASE WHEN address_hash IS NOT NULL THEN '' END",
        "labels": "label_url = NULL, address_hash = ''",
        "tracking_events": "raw_text = '', place = '', why = CASE why WHEN '' THEN '' ELSE 'erased' END",
    }
)
# What is nothing without the person.
GONE: Final = ("address_checks", "proposed_addresses", "label_documents", "idempotency_keys")
_WHERE: Final = "order_id = ANY(:those)"
_WHICH: Final[Mapping[str, str]] = MappingProxyType(
    {
        "tracking_events": f"parcel_id IN (SELECT parcel_id FROM parcels WHERE {_WHERE})",
        "label_documents": f"label_id IN (SELECT label_id FROM labels WHERE {_WHERE})",
        "idempotency_keys": "coalesce(answer->>'order_id', answer->>'id') = ANY(:those)",
    }
)
_STATEMENTS: Final = (
    *(text(f"UPDATE {name} SET {blank} WHERE {_WHICH.get(name, _WHERE)}") for name, blank in BLANK.items()),
    *(text(f"DELETE FROM {name} WHERE {_WHICH.get(name, _WHERE)}") for name in GONE),
)
# A block stands as long as somebody else's order would write there.
_BLOCKS: Final = text("""
    DELETE FROM contact_blocks b USING orders o
    WHERE o.order_id = ANY(:those) AND b.recipient IN (lower(o.email), o.phone) AND NOT EXISTS (
        SELECT FROM orders other
        WHERE other.order_id <> ALL(:those) AND b.recipient IN (lower(other.email), other.phone)
    )
""")
_WISHES: Final = text("DELETE FROM customer_preferences WHERE customer_id = :the_customer")
# What providers sent that belongs to no order of ours may name them as well.
_UNMATCHED: Final = text("""
    UPDATE inbox SET body = '{}', hint = NULL, why = '' WHERE order_id IS NULL AND EXISTS (
        SELECT FROM orders o, LATERAL (VALUES (o.email), (o.phone)) AS at_home (address)
        WHERE o.order_id = ANY(:those) AND address <> '' AND strpos(lower(inbox.body::text), lower(address)) > 0
    )
""")
# What needs to know who they are, of an order that has ended: where it stands, when it is so, and what is said of it.
_NOT_OVER: Final = (
    ("cases", "state <> 'resolved'", "'has an open case (' || kind || ')'"),
    ("refunds", "state NOT IN ('succeeded', 'rejected')", "'has a refund that is ' || state"),
    (
        "provider_operations",
        "state NOT IN ('succeeded', 'failed')",
        "'has a request to a provider without an answer'",
    ),
    ("disputes JOIN payments USING (payment_id)", "NOT is_over", "'has a dispute that is not decided'"),
    ("outbox", "state IN ('claimed', 'unknown')", "'has a message on its way'"),
)
_OPEN: Final = text(
    "SELECT order_id, 'is ' || status AS why FROM orders WHERE order_id = ANY(:those) AND status <> ALL(:ended)"
    + "".join(
        f" UNION SELECT order_id, {why} FROM {source} WHERE {_WHERE} AND {so}"
        for source, so, why in _NOT_OVER
    )
    + " ORDER BY order_id, why"
)
_OF_CUSTOMER: Final = (
    select(*orders.c["order_id", "erased_at"])
    .where(orders.c.customer_id == bindparam("the_customer"))
    .order_by(orders.c.order_id)
)
_HAS_WISHES: Final = (
    select(func.count())
    .select_from(customer_preferences)
    .where(customer_preferences.c.customer_id == bindparam("the_customer"))
)
_LOCK: Final = (
    select(orders.c.order_id)
    .where(orders.c.order_id.in_(bindparam("those", expanding=True)), orders.c.erased_at.is_(None))
    .order_by(orders.c.order_id)
    .with_for_update()
)
_IS_ERASED: Final = update(orders).where(orders.c.order_id == bindparam("the_order"))
_PROOF: Final = insert(erasures)
_OLD: Final = text(
    "SELECT order_id, customer_id FROM orders o"
    " WHERE completed_at < :before AND erased_at IS NULL AND status = ANY(:ended)"
    + "".join(
        f" AND NOT EXISTS (SELECT FROM {source} WHERE order_id = o.order_id AND {so})"
        for source, so, _ in _NOT_OVER
    )
    + " ORDER BY completed_at LIMIT :at_most"
)


class ErasureStore:
    """Takes who somebody is out of the books. `now` is shop time."""

    def __init__(self, engine: Engine, now: Callable[[], datetime]) -> None:
        self._engine, self._now = engine, now

    def erase(self, customer_id: str, *, by: str, reason: str, request_id: str = "") -> Erased:
        """Forget a customer, with all orders of theirs or not at all; a repeat answers the same.

        Raises:
            UnknownCustomer: there is no such customer.
            NotErasable: something of theirs is not over yet; nothing was changed.
        """
        now, this = self._now(), {"the_customer": customer_id}
        with self._engine.begin() as conn:
            locks.named(conn, f"erasure:{customer_id}")
            found = conn.execute(_OF_CUSTOMER, this).all()
            has_wishes = conn.execute(_HAS_WISHES, this).scalar_one()
            if not found and not has_wishes:
                raise UnknownCustomer(customer_id)
            known = _locked(conn, [row.order_id for row in found])
            if still_open := _open(conn, known):
                raise NotErasable(customer_id, still_open)
            if known or has_wishes:
                _forget(conn, customer_id, known, by=by, reason=reason, request_id=request_id, now=now)
        at = max((row.erased_at for row in found if row.erased_at), default=now) if not known else now
        return Erased(customer_id=customer_id, order_ids=tuple(row.order_id for row in found), at=at)


def retire(engine: Engine, *, now: datetime, at_most: int, policy: Policy = DEFAULT) -> None:
    """Forget who placed the orders that ended longer ago than the policy's `retention`.

    What is not over waits, and keeps nobody else waiting; the histories in Temporal are long gone by then.
    """
    with engine.begin() as conn:
        asked = {"before": now - policy.retention, "at_most": at_most, "ended": _ENDED}
        customer_of = {row.order_id: row.customer_id for row in conn.execute(_OLD, asked)}
        by_customer = defaultdict[str, list[str]](list)
        for order_id in _locked(conn, list(customer_of)) if customer_of else ():
            by_customer[customer_of[order_id]].append(order_id)
        for customer_id, those in by_customer.items():
            _forget(conn, customer_id, those, by=_SYSTEM, reason="retention", request_id="", now=now)


def _locked(conn: Connection, those: Sequence[str]) -> list[str]:
    return list(conn.execute(_LOCK, {"those": those}).scalars())


def _open(conn: Connection, those: Sequence[str]) -> dict[str, list[str]]:
    found = defaultdict[str, list[str]](list)
    for row in conn.execute(_OPEN, {"those": those, "ended": _ENDED}):
        found[row.order_id].append(row.why)
    return dict(found)


def _forget(
    conn: Connection,
    customer_id: str,
    those: Sequence[str],
    *,
    by: str,
    reason: str,
    request_id: str,
    now: datetime,
) -> None:
    """Take who they are out of these locked orders; with the last one go the customer's own wishes."""
    conn.execute(_BLOCKS, {"those": list(those)})
    conn.execute(_UNMATCHED, {"those": list(those)})
    _blank(conn, those)
    for order_id in those:
        # Whoever holds the old link finds nothing behind it.
        marks: dict[str, Any] = {"tracking_token": secrets.token_urlsafe(16), "erased_at": now}
        conn.execute(_IS_ERASED.values(marks), {"the_order": order_id})
    left = [row for row in conn.execute(_OF_CUSTOMER, {"the_customer": customer_id}) if row.erased_at is None]
    if not left:
        conn.execute(_WISHES, {"the_customer": customer_id})
    proof = {"customer_id": customer_id, "orders": len(those), "reason": reason, "by": by, "at": now}
    conn.execute(_PROOF, proof)
    said = f"{len(those)} orders of {customer_id} are nobody's now"
    journal.audit(
        conn, None, actor=by, command="erase", outcome=said, at=now, request_id=request_id, reason=reason
    )


def _blank(conn: Connection, those: Sequence[str]) -> None:
    for statement in _STATEMENTS:
        conn.execute(statement, {"those": list(those)})
