"""Our books as the audit reads them: SELECTs of its own, one snapshot, nothing shared with what writes."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Engine

from fulfillment.domain.invariants import facts
from fulfillment.domain.invariants.facts import Books, ParcelFact

Fact = TypeVar("Fact")

# Real time. What follows from a deed is there within the first; what only a sweep finds, within the second; and two
# transactions that met at a row may have read their clocks this far apart.
_GRACE: Final = timedelta(seconds=15)
_PATIENCE: Final = timedelta(seconds=90)
_SKEW: Final = timedelta(seconds=1)

_LEVELS: Final = """
SELECT sku, location_id, on_hand, reserved, allocated, damaged, quarantine, held, incoming, in_transfer, safety_stock
FROM stock_levels
"""
_MOVEMENTS: Final = """
SELECT kind, sku, location_id, sum(on_hand)::int AS on_hand, sum(reserved)::int AS reserved,
    sum(allocated)::int AS allocated, sum(damaged)::int AS damaged, sum(quarantine)::int AS quarantine,
    sum(held)::int AS held, sum(incoming)::int AS incoming, sum(in_transfer)::int AS in_transfer,
    sum(safety_stock)::int AS safety_stock, count(*)::int AS movements,
    (count(*) FILTER (WHERE "by" = ''))::int AS unsigned
FROM stock_movements GROUP BY kind, sku, location_id
"""
_REPEATED: Final = """
SELECT operation_key, kind, sku, location_id, count(*)::int AS times
FROM stock_movements GROUP BY operation_key, kind, sku, location_id HAVING count(*) > 1
"""
_RESERVATIONS: Final = "SELECT order_id, sku, location_id, quantity, state, expires_at FROM reservations"
_ALLOCATIONS: Final = "SELECT shipment_id, sku, location_id, quantity, state FROM allocations"
_BACKORDERS: Final = """
SELECT order_id, line_no, shipment_id, sku, location_id, quantity, filled, promise_date, state FROM backorders
"""
_TRANSFERS: Final = """
SELECT transfer_id, sku, from_location, to_location, quantity, received, lost, state FROM stock_transfers
"""
_REPLENISHMENTS: Final = """
SELECT replenishment_id, sku, location_id, quantity, received, state FROM replenishment_orders
"""
_ORDERS: Final = """
SELECT o.order_id, o.channel, o.external_ref, o.status, o.currency, o.shipping_fee, o.total, o.fees,
    o.promise_first_date, o.promise_date, o.outcome, o.accepted_at, o.started_at, o.completed_at,
    e.last_event_at
FROM orders o
LEFT JOIN (SELECT order_id, max(at) AS last_event_at FROM order_events GROUP BY order_id) e USING (order_id)
"""
_LINES: Final = """
SELECT order_id, line_no, sku, quantity, unit_price, discount, tax, shipping_share FROM order_lines
"""
_UNITS: Final = """
SELECT order_id, line_no, first_unit, quantity, shipment_id, cancelled_reason FROM unit_ranges
"""
_REPLACEMENTS: Final = "SELECT order_id, line_no, root_line, root_unit FROM replacements"
_SUBSTITUTIONS: Final = "SELECT order_id, line_no, root_line, root_unit FROM substitutions"
_HOLDS: Final = """
SELECT hold_id, order_id, placed_by, state, released_by, placed_at, due_at, ended_at FROM holds
"""
_CASES: Final = "SELECT case_id, order_id, subject, kind, owner, state, due_at FROM cases"
_CARRIER_CLAIMS: Final = "SELECT case_id, parcel_id, outcome, paid FROM carrier_claims"
# A forgotten customer's record says nothing any more.
_LOSSES: Final = """
SELECT DISTINCT data ->> 'shipment_id' AS shipment_id, data ->> 'cause' AS cause FROM order_events
WHERE kind IN ('reshipped', 'refund_decided') AND data ->> 'cause' IN ('lost', 'damaged')
"""
_PROMISES: Final = """
SELECT order_id, n, promised_date, reason, told_at, told_fact, told_subject, told_version FROM promises
"""
_ACTS: Final = "SELECT entry_id, order_id, actor, command FROM audit_entries"
_PAYMENTS: Final = """
SELECT payment_id, order_id, provider_ref, status, asked, authorized, captured, refunded,
    created_at, expires_at
FROM payments
"""
_SHARES: Final = """
SELECT payment_id, shipment_id, asked, captured, refunded, released FROM payment_shares
"""
_REFUNDS: Final = """
SELECT refund_id, order_id, shipment_id, cause, amount, state, by_hand_ref IS NOT NULL AS by_hand, at,
    CASE WHEN cause = 'overpaid' THEN substr(request_id, length('overpaid:') + 1) END AS payment_id,
    ARRAY(SELECT DISTINCT u.shipment_id FROM refund_units u
        WHERE u.refund_id = refunds.refund_id AND u.shipment_id IS NOT NULL ORDER BY 1) AS of_shipments
FROM refunds
"""
_OPERATIONS: Final = """
SELECT o.operation_key, o.order_id, o.payment_id, o.kind, coalesce(r.shipment_id, o.subject) AS subject, o.amount,
    o.state, o.claimed_at, o.ended_at
FROM provider_operations o LEFT JOIN refunds r ON o.kind = 'refund' AND r.refund_id = o.subject
"""
_SHIPMENTS: Final = """
SELECT s.shipment_id, s.order_id, s.work_status, s.waits_for, s.value, s.fee, s.outcome, s.ship_by, s.released_at,
    s.handed_over_at, s.closed_at, s.settled, g.body ->> 'by' AS handed_by, CASE WHEN s.waits_for = 'date' THEN (
        SELECT CAST(max(k.available_from) AS timestamp) AT TIME ZONE l.zone
        FROM unit_ranges u JOIN order_lines i USING (order_id, line_no) JOIN skus k USING (sku)
        WHERE u.shipment_id = s.shipment_id
    ) END AS for_sale_at
FROM shipments s
JOIN locations l USING (location_id)
LEFT JOIN signals g ON g.fact_key = s.shipment_id || ':handed_over'
"""
# What was replaced moves under the key of the rejection, what left its shipment under both; the rest of a shelf under others.
_REJECTIONS: Final = """
SELECT r.rejection_id, r.shipment_id, r.reason, r.quantity AS units,
    coalesce(sum(m.damaged), 0)::int AS damaged, coalesce(sum(m.quarantine), 0)::int AS quarantine,
    coalesce(sum(m.held), 0)::int AS held, coalesce(-sum(m.on_hand), 0)::int AS gone,
    r.count_id IS NOT NULL AS is_counted
FROM rejections r
    LEFT JOIN stock_movements m
        ON m.operation_key IN ('reject:' || r.rejection_id, 'reject:' || r.rejection_id || ':' || r.shipment_id)
GROUP BY r.rejection_id
"""
# Parcels that were closed before there was a bench were not scanned.
_BENCHES: Final = """
SELECT s.shipment_id, coalesce(u.code, '') AS sku, count(u.code) AS units, coalesce(p.problem, '') AS problem
FROM shipments s
    LEFT JOIN packings p ON p.shipment_id = s.shipment_id AND p.round = s.reworks
    LEFT JOIN packing_scans u ON u.shipment_id = p.shipment_id AND u.round = p.round AND u.outcome = 'counted'
WHERE s.work_status IN ('packed', 'labeled', 'handed_over', 'closed')
    AND s.packed_at >= (SELECT min(started_at) FROM packings)
GROUP BY s.shipment_id, u.code, p.problem
"""
_PARCELS: Final = """
SELECT parcel_id, order_id, shipment_id, weight_g, carrier_status, address_hash, flags, handed_over_at, latest_scan_at, next_check_at,
    delivered_at, evidence, handed_over_by
FROM parcels
"""
_MANIFESTS: Final = """
SELECT m.manifest_id, p.parcel_id, p.label_id, p.outcome, m.handed_over_at
FROM manifests m JOIN manifest_parcels p ON p.manifest_id = m.manifest_id
"""
_LABELS: Final = """
SELECT label_id, parcel_id, state, provider_shipment_ref, carrier, tracking_number, cost, quoted_price, dearer,
    address_hash, created_at, (
        SELECT CASE f.state WHEN 'made' THEN f.provider_ref ELSE '' END
        FROM manifest_parcels p JOIN scan_forms f ON f.form_id = p.form_id WHERE p.label_id = labels.label_id
    ) AS form
FROM labels
"""
_SCANS: Final = """
SELECT parcel_id, status, flag, reason, raw_code AS code, raw_text AS text, place, source, correction,
    occurred_at, received_at
FROM tracking_events
"""
_MESSAGES: Final = """
SELECT notification_id, order_id, fact, subject, version, channel, md5(lower(recipient)) AS recipient, state, why,
    not_before, lease_until, taken_at, zone, (data ->> 'promise_date')::date AS promise_date
FROM outbox
"""
_BLOCKS: Final = "SELECT channel, md5(lower(recipient)) AS recipient, at FROM contact_blocks"
_EVENTS: Final = "SELECT provider, event_id, kind, subject, state, why, received_at FROM inbox"
_SIGNALS: Final = """
SELECT signal_id, order_id, name, fact_key, at FROM signals WHERE delivered_at IS NULL
"""
_FORGOTTEN: Final = """
SELECT o.order_id, array_remove(ARRAY[
    CASE WHEN o.email <> '' OR o.phone <> '' THEN 'where to reach them' END,
    CASE WHEN concat(ship_to->>'name', ship_to->>'company', ship_to->>'line1', ship_to->>'line2', ship_to->>'city',
        ship_to->>'postal_code', ship_to->>'phone') <> '' THEN 'where they live' END,
    CASE WHEN o.payment_method <> '' OR o.payment_link IS NOT NULL THEN 'how they pay' END,
    CASE WHEN EXISTS (SELECT FROM proposed_addresses WHERE order_id = o.order_id)
        OR EXISTS (SELECT FROM address_checks WHERE order_id = o.order_id) THEN 'an address that was looked at' END,
    CASE WHEN EXISTS (SELECT FROM label_documents JOIN labels USING (label_id) WHERE order_id = o.order_id)
        THEN 'a printed label' END,
    CASE WHEN EXISTS (SELECT FROM outbox WHERE order_id = o.order_id AND strpos(recipient, '@') + strpos(recipient, '+') > 0)
        THEN 'where a message went' END,
    CASE WHEN EXISTS (SELECT FROM inbox WHERE order_id = o.order_id AND body <> '{}') THEN 'what a provider said' END
], NULL) AS left
FROM orders o WHERE o.erased_at IS NOT NULL
"""


class AuditStore:
    """Reads everything the invariants are judged by. `now` is shop time, `speed` shop seconds per real one."""

    def __init__(self, engine: Engine, now: Callable[[], datetime], *, speed: float = 1.0) -> None:
        self._engine, self._now, self._speed = engine, now, speed

    def books(self, *, since: datetime | None = None) -> Books:
        """Return the books of one moment; `since` is when the audit began to wait for rest."""
        now = self._now()
        snapshot = self._engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        with snapshot.connect() as conn:
            return read(conn, now=now, since=since or now, speed=self._speed)


def read(conn: Connection, *, now: datetime, since: datetime, speed: float = 1.0) -> Books:
    """Return the books as this transaction sees them."""
    return Books(
        now=now,
        since=since,
        grace=_GRACE * speed,
        patience=_PATIENCE * speed,
        skew=_SKEW * speed,
        levels=_all(conn, _LEVELS, facts.LevelFact),
        movements=_all(conn, _MOVEMENTS, facts.MovementFact),
        repeated_movements=_all(conn, _REPEATED, facts.RepeatedMovementFact),
        reservations=_all(conn, _RESERVATIONS, facts.ReservationFact),
        allocations=_all(conn, _ALLOCATIONS, facts.AllocationFact),
        backorders=_all(conn, _BACKORDERS, facts.BackorderFact),
        transfers=_all(conn, _TRANSFERS, facts.TransferFact),
        replenishments=_all(conn, _REPLENISHMENTS, facts.ReplenishmentFact),
        orders=_all(conn, _ORDERS, facts.OrderFact),
        lines=_all(conn, _LINES, facts.LineFact),
        units=_all(conn, _UNITS, facts.UnitsFact),
        replacements=_all(conn, _REPLACEMENTS, facts.ReplacementFact),
        substitutions=_all(conn, _SUBSTITUTIONS, facts.SubstitutionFact),
        holds=_all(conn, _HOLDS, facts.HoldFact),
        cases=_all(conn, _CASES, facts.CaseFact),
        carrier_claims=_all(conn, _CARRIER_CLAIMS, facts.CarrierClaimFact),
        losses=_all(conn, _LOSSES, facts.LossFact),
        promises=_all(conn, _PROMISES, facts.PromiseFact),
        acts=_all(conn, _ACTS, facts.ActFact),
        payments=_all(conn, _PAYMENTS, facts.PaymentFact),
        shares=_all(conn, _SHARES, facts.ShareFact),
        refunds=_all(conn, _REFUNDS, _refund),
        operations=_all(conn, _OPERATIONS, facts.OperationFact),
        shipments=_all(conn, _SHIPMENTS, facts.ShipmentFact),
        benches=_all(conn, _BENCHES, facts.BenchFact),
        rejections=_all(conn, _REJECTIONS, facts.RejectionFact),
        parcels=_all(conn, _PARCELS, _parcel),
        manifests=_all(conn, _MANIFESTS, facts.ManifestFact),
        labels=_all(conn, _LABELS, facts.LabelFact),
        scans=_all(conn, _SCANS, facts.ScanFact),
        messages=_all(conn, _MESSAGES, facts.MessageFact),
        blocks=_all(conn, _BLOCKS, facts.BlockFact),
        events=_all(conn, _EVENTS, facts.EventFact),
        signals=_all(conn, _SIGNALS, facts.SignalFact),
        forgotten=_all(conn, _FORGOTTEN, _forgotten),
    )


def _all(conn: Connection, query: str, fact: Callable[..., Fact]) -> tuple[Fact, ...]:
    """Return every row of a query as a fact; the columns bear the names of its fields."""
    return tuple(fact(**row) for row in conn.exec_driver_sql(query).mappings())


def _forgotten(*, left: list[str], **columns: Any) -> facts.ForgottenFact:
    return facts.ForgottenFact(**columns, left=tuple(left))


def _refund(*, of_shipments: list[str], **columns: Any) -> facts.RefundFact:
    return facts.RefundFact(**columns, of_shipments=tuple(of_shipments))


def _parcel(*, flags: list[str], **columns: Any) -> ParcelFact:
    return ParcelFact(**columns, flags=tuple(flags))
