"""Units that wait though something as good is there: it is sent without asking, where the policy does so by itself.

However units came to wait (a count, a claim that ran out, a short pick) and whenever their equal came in, the sweep finds
them here. Their orders are locked before stock is, so nobody who takes stock away sends equals on the spot.
"""

from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Connection, Engine, text

from fulfillment.domain.policy import Policy, Substitution
from fulfillment.domain.substitution import SUBSTITUTED
from fulfillment.storage import journal, shortages, signals, substitutions
from fulfillment.storage.movements import AVAILABLE
from fulfillment.storage.orders import lock_order

_BY_POLICY: Final = shortages.BY_POLICY
_THERE: Final = f"SELECT FROM stock_levels s WHERE s.sku = {{sku}} AND {AVAILABLE} > 0"
# An order that the shop keeps together waits for nobody's word: an equal may be all it lacks.
_KEPT_TOGETHER: Final = f"""
    h.reason = 'stock' AND h.placed_by = '{_BY_POLICY}'
    AND NOT EXISTS (
        SELECT FROM cases c WHERE c.subject = h.order_id AND c.kind = 'out_of_stock' AND c.state <> 'resolved'
    )
    AND NOT EXISTS (
        SELECT FROM audit_entries a
        WHERE a.order_id = h.order_id AND a.command = 'wait_for_all' AND a.actor <> '{_BY_POLICY}' AND a.at >= h.placed_at
    )
"""
# What is sold ahead waits for its day, and what is sent again for nothing stands for paid units of its own SKU.
_WAITS: Final = f"""
    FROM backorders b
    JOIN orders o ON o.order_id = b.order_id
    JOIN skus k ON k.sku = b.sku
    WHERE b.state = 'waiting' AND o.status IN ('confirmed', 'in_fulfillment')
        AND coalesce(k.available_from <= :today, true)
        AND NOT EXISTS (SELECT FROM replacements r WHERE r.order_id = b.order_id AND r.line_no = b.line_no)
        AND NOT EXISTS (
            SELECT FROM order_changes c WHERE c.order_id = b.order_id AND c.kind = 'add_lines'
                AND c.state = 'confirmed' AND c.at > :changed_before
        )
        AND NOT EXISTS (
            SELECT FROM holds h WHERE h.order_id = b.order_id AND h.state = 'active' AND NOT ({_KEPT_TOGETHER})
        )
        AND NOT EXISTS ({_THERE.format(sku="b.sku")})
        AND EXISTS (
            SELECT FROM sku_substitutes e JOIN skus m ON m.sku = e.substitute
            WHERE e.sku = b.sku AND NOT m.archived AND coalesce(m.available_from <= :today, true)
                AND EXISTS ({_THERE.format(sku="m.sku")})
        )
"""
# In the order in which receipts serve those who wait.
_WHO: Final = text(
    f"""
    SELECT b.order_id {_WAITS}
    GROUP BY b.order_id
    ORDER BY min(b.priority), min(b.promise_date), min(b.placed_at), b.order_id LIMIT :at_most
    """
)
_FOR_WHAT: Final = text(f"SELECT DISTINCT b.sku {_WAITS} AND b.order_id = :the_order")


def send(
    engine: Engine, *, now: datetime, changed_before: datetime, at_most: int, at_once: int, policy: Policy
) -> None:
    """Send equals for what waits and what no location has, to `at_once` orders of the first `at_most` that could get some.

    Not where somebody holds the order or its customer is asked or waits for all of it, and not while lines that were
    added since `changed_before` may be taken back. Each order in a transaction of its own, with the fact that lets
    its workflow read the books: a crash in between leaves the rest to the next run.
    """
    if policy.substitution is not Substitution.AUTOMATIC:
        return
    asked = {"today": now.astimezone(UTC).date(), "changed_before": changed_before}
    with engine.connect() as conn:
        waiting = conn.execute(_WHO, asked | {"at_most": at_most}).scalars().all()
    for order_id in waiting:
        with engine.begin() as conn:
            at_once -= _send(conn, order_id, asked, now=now, policy=policy)
        if not at_once:
            return


def _send(conn: Connection, order_id: str, asked: dict[str, Any], *, now: datetime, policy: Policy) -> bool:
    """Look once more while the order is locked, and send what is there; return whether anything was."""
    order = lock_order(conn, order_id)
    missing = set(conn.execute(_FOR_WHAT, asked | {"the_order": order_id}).scalars())
    units = [unit for unit in substitutions.units_waiting(conn, order_id) if unit.sku in missing]
    sent = substitutions.send(conn, order, units, by=_BY_POLICY, now=now, policy=policy)
    if sent is None:
        return False
    body, key = {"why": SUBSTITUTED}, f"{sent.change_id}:{SUBSTITUTED}"
    journal.signal(conn, order_id, signals.REPLANNED, body, fact_key=key, at=now)
    return True
