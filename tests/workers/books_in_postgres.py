"""The facts of a shop written into PostgreSQL, each into the row it was read from."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Table, insert

from fulfillment.domain.invariants import Books, Evidence, Ledger, Runs
from fulfillment.domain.invariants.facts import BenchFact, LabelFact
from fulfillment.domain.inventory import BUCKETS, EFFECT, Movement
from fulfillment.storage import tables as t
from tests.domain.audited_world import HOME, MOVES, NOW, RENO, ago, is_forgotten, mailbox

Row = dict[str, Any]
AT = ago(days=6)


def write(conn: Connection, books: Books, moves: Iterable[tuple[str, Movement, str, int]] = MOVES) -> None:
    """Write the books; movements are written one by one, as they were made."""
    place = {"name": "Reno", "address": asdict(HOME), "priority": 1}
    _insert(conn, t.locations, [{"location_id": name, **place} for name in (RENO, "wh-lehigh")])
    _insert(conn, t.skus, [_sku(level.sku) for level in books.levels])
    _insert(conn, t.stock_levels, map(asdict, books.levels))
    _insert(conn, t.stock_movements, [_movement(*move) for move in moves])
    _write_orders(conn, books)
    _write_claims(conn, books)
    _write_money(conn, books)
    _write_parcels(conn, books)
    _write_record(conn, books)


def _write_orders(conn: Connection, books: Books) -> None:
    _insert(conn, t.orders, [_order(asdict(order)) for order in books.orders])
    _insert(conn, t.order_lines, [asdict(line) | {"name": line.sku} for line in books.lines])
    shipments = [asdict(shipment) for shipment in books.shipments]
    _insert(conn, t.shipments, [_shipment(row) for row in shipments])
    _insert(conn, t.unit_ranges, map(asdict, books.units))
    instead = [asdict(one) | {"change_id": f"{one.order_id}-C1"} for one in books.substitutions]
    change = {"kind": "substitute", "state": "confirmed", "text": "", "delta": 0, "by": "ann", "at": AT}
    changes = [change | {"change_id": row["change_id"], "order_id": row["order_id"]} for row in instead]
    _insert(conn, t.order_changes, changes)
    _insert(conn, t.substitutions, instead)


def _write_claims(conn: Connection, books: Books) -> None:
    keyed = [asdict(r) | {"operation_key": f"{r.order_id}:reserve"} for r in books.reservations]
    _insert(conn, t.reservations, keyed)
    _insert(conn, t.allocations, map(asdict, books.allocations))
    _insert(conn, t.backorders, [asdict(b) | {"placed_at": AT} for b in books.backorders])
    ordered = {"vendor": "Lumen", "ordered_at": AT, "due_at": NOW}
    _insert(conn, t.replenishment_orders, [asdict(r) | ordered for r in books.replenishments])


def _write_money(conn: Connection, books: Books) -> None:
    more = {"provider": "stripe", "currency": "USD"}
    rows = [asdict(p) | more | {"attempt": int(p.payment_id.rsplit(":", 1)[1])} for p in books.payments]
    _insert(conn, t.payments, rows)
    _insert(conn, t.payment_shares, map(asdict, books.shares))
    _insert(conn, t.refunds, [_refund(n, asdict(refund)) for n, refund in enumerate(books.refunds, start=1)])
    _insert(conn, t.provider_operations, map(asdict, books.operations))


def _write_parcels(conn: Connection, books: Books) -> None:
    parcels = [asdict(p) | {"flags": list(p.flags), "n": 1, "weight_g": 900} for p in books.parcels]
    _insert(conn, t.parcels, parcels)
    packed = {"round": 0, "packer": "pia", "plan": {}, "started_at": AT}
    _insert(conn, t.packings, [packed | {"shipment_id": bench.shipment_id} for bench in books.benches])
    _insert(conn, t.packing_scans, [scan for bench in books.benches for scan in _scanned(bench)])
    order_of = {parcel.parcel_id: parcel.order_id for parcel in books.parcels}
    _insert(
        conn,
        t.labels,
        [_label(x) | {"order_id": order_of[x.parcel_id], "order_service": "standard"} for x in books.labels],
    )
    _write_manifests(conn, books)
    _insert(conn, t.tracking_events, [_scan(n, asdict(scan)) for n, scan in enumerate(books.scans)])


def _label(label: LabelFact) -> Row:
    return {name: value for name, value in asdict(label).items() if name != "form"}


def _write_manifests(conn: Connection, books: Books) -> None:
    whole = {
        line.manifest_id: _proven(line.handed_over_at)
        | {"manifest_id": line.manifest_id, "location_id": RENO, "carrier": line.manifest_id}
        | {"by": "pia", "at": AT}
        for line in books.manifests
    }
    _insert(conn, t.manifests, whole.values())
    names = ("manifest_id", "parcel_id", "label_id", "outcome")
    _insert(conn, t.manifest_parcels, [{n: getattr(x, n) for n in names} for x in books.manifests])


def _proven(at: datetime | None) -> Row:
    said = {"evidence": "staff", "handed_over_by": "pia", "handed_over_at": at}
    return said if at else dict.fromkeys(said)


def _write_record(conn: Connection, books: Books) -> None:
    events = [
        {"order_id": order.order_id, "kind": "note", "text": "Something happened.", "at": at}
        for order in books.orders
        for at in (order.accepted_at, order.last_event_at)
    ]
    _insert(conn, t.order_events, events)
    whose = {shipment.shipment_id: shipment.order_id for shipment in books.shipments}
    told = {"kind": "refund_decided", "text": "It is lost.", "at": AT}
    lost = [told | {"order_id": whose[loss.shipment_id], "data": asdict(loss)} for loss in books.losses]
    _insert(conn, t.order_events, lost)
    more = {"reason": "fraud", "scope": "both"}
    _insert(conn, t.holds, [asdict(h) | more | {"reason": h.hold_id.split(":")[1]} for h in books.holds])
    _insert(conn, t.cases, [asdict(c) | {"severity": 2, "opened_at": AT} for c in books.cases])
    order_of = {case.case_id: case.order_id for case in books.cases}
    _insert(conn, t.carrier_claims, [_claim(asdict(c), order_of) for c in books.carrier_claims])
    _insert(conn, t.promises, [asdict(p) | {"source": "waybill", "at": AT} for p in books.promises])
    _insert(conn, t.audit_entries, [asdict(a) | {"outcome": "done", "at": AT} for a in books.acts])
    _insert(conn, t.outbox, [_message(asdict(message)) for message in books.messages])
    _insert(conn, t.inbox, [asdict(event) | {"body": {}} for event in books.events])
    left = [shipment for shipment in books.shipments if shipment.handed_by]
    _insert(conn, t.signals, [_heard(s.order_id, s.shipment_id, s.handed_by or "") for s in left])


def _claim(row: Row, order_of: Mapping[str, str | None]) -> Row:
    filed = {"carrier": "UPS", "tracking_number": "1Z", "cause": "lost", "amount": 5000, "currency": "USD"}
    return row | filed | {"order_id": order_of[row["case_id"]], "deadline": NOW.date(), "opened_at": AT}


def _insert(conn: Connection, table: Table, rows: Iterable[Row]) -> None:
    if found := list(rows):
        conn.execute(insert(table), found)


def _refund(n: int, row: Row) -> Row:
    by_hand = row.pop("by_hand")
    more = {"n": n, "by": "system", "request_id": row["refund_id"]}
    return row | more | {"by_hand_ref": "transfer" if by_hand else None}


def _sku(sku: str) -> Row:
    return {"sku": sku, "name": sku, "weight_g": 900, "price": 3000, "backorderable": True, "archived": False}


def _movement(key: str, kind: Movement, sku: str, units: int) -> Row:
    moved = {bucket: EFFECT[kind].get(bucket, 0) * units for bucket in BUCKETS}
    said = {"operation_key": key, "kind": kind.value, "cause": key, "by": "waybill", "at": AT}
    return said | moved | {"sku": sku, "location_id": RENO}


def _order(row: Row) -> Row:
    del row["last_event_at"]
    order_id = row["order_id"]
    constant = {"service": "standard", "payment_method": "pm_card_visa", "policy_version": "2026-11"}
    customer = {"customer_id": f"c-{order_id}", "email": mailbox(order_id), "ship_to": asdict(HOME)}
    customer["erased_at"] = None
    if is_forgotten(order_id):
        customer |= {"email": "", "ship_to": {"country": "US"}, "payment_method": "", "erased_at": AT}
    return (
        row
        | constant
        | customer
        | {
            "tracking_token": f"token-{order_id}",
            "content_hash": "same",
            "placed_at": row["accepted_at"],
        }
    )


def _shipment(row: Row) -> Row:
    del row["handed_by"]
    packed_at = AT if row["work_status"] in ("labeled", "handed_over", "closed") else None
    return row | {"packed_at": packed_at, "n": int(row["shipment_id"].rsplit("-", 1)[1]), "location_id": RENO}


def _scanned(bench: BenchFact) -> list[Row]:
    seen = {"round": 0, "code": bench.sku, "outcome": "counted", "by": "pia", "at": AT}
    return [
        seen | {"shipment_id": bench.shipment_id, "scan_id": f"{bench.sku}-{n}"} for n in range(bench.units)
    ]


def _scan(n: int, row: Row) -> Row:
    return row | {"raw_code": row.pop("code"), "raw_text": row.pop("text"), "event_hash": str(n)}


def _message(row: Row) -> Row:
    # In mixed case: the audit must see one customer where the address is written in two ways.
    recipient = mailbox(row["order_id"]).upper()
    day = row.pop("promise_date")
    data = {"promise_date": day.isoformat()} if day else {}
    return row | {"recipient": recipient, "data": data, "at": AT}


def _heard(order_id: str, shipment_id: str, by: str) -> Row:
    body = {"shipment_id": shipment_id, "by": by}
    key = f"{shipment_id}:handed_over"
    return {"order_id": order_id, "name": "handed_over", "body": body, "fact_key": key, "at": AT} | {
        "delivered_at": NOW
    }


# --- many shops side by side ------------------------------------------------------------------------


def many(evidence: Evidence, copies: int) -> tuple[Evidence, tuple[tuple[str, Movement, str, int], ...]]:
    """Return the same shop with every order `copies` times, and the movements that lead there."""
    books, ledger, runs = evidence.books, evidence.ledger or Ledger(), evidence.runs or Runs()
    tables = {
        name: tuple(_renamed(row, k) for k in range(copies) for row in getattr(books, name))
        for name in books.__dataclass_fields__
        if isinstance(getattr(books, name), tuple) and name not in ("levels", "movements")
    }
    numbered = {
        "acts": tuple(replace(act, entry_id=n) for n, act in enumerate(tables["acts"], 1)),
        "messages": tuple(replace(m, notification_id=n) for n, m in enumerate(tables["messages"], 1)),
    }
    levels = tuple(_times(level, copies, BUCKETS) for level in books.levels)
    sums = tuple(_times(moved, copies, (*BUCKETS, "movements")) for moved in books.movements)
    there = {
        name: tuple(_renamed(row, k) for k in range(copies) for row in getattr(ledger, name))
        for name in ("payments", "labels", "messages")
    }
    crowd = replace(
        evidence,
        books=replace(books, **tables | numbered, levels=levels, movements=sums),
        ledger=replace(ledger, **there),
        runs=Runs(runs=tuple(_renamed(run, k) for k in range(copies) for run in runs.runs)),
    )
    return crowd, tuple((f"{k}:{key}", *rest) for k in range(copies) for key, *rest in MOVES)


_IDS = ("SO-", "RO-", "pi_", "shp_", "9400", "evt_", "ref-")


def _renamed(row: Any, k: int) -> Any:
    changed = {
        name: _rename(value, k)
        for name in row.__dataclass_fields__
        if (value := getattr(row, name)) is not None
    }
    return replace(row, **changed)


def _rename(value: Any, k: int) -> Any:
    if isinstance(value, tuple):
        return tuple(_renamed(part, k) if hasattr(part, "__dataclass_fields__") else part for part in value)
    if isinstance(value, str):
        for prefix in _IDS:
            value = value.replace(prefix, f"{prefix}{k}x")
    return value


def _times(row: Any, copies: int, names: Iterable[str]) -> Any:
    return replace(row, **{name: getattr(row, name) * copies for name in names})
