"""What really happened: money taken, labels paid, mails accepted, faults that struck."""

from devstack.simulators.clock import Clock, epoch, iso
from devstack.simulators.faults import Faults
from devstack.simulators.store import Json, Row, Store, load
from devstack.simulators.twilio import Twilio


class Ledger:
    """The providers' own books, which an audit compares the shop's with."""

    def __init__(self, store: Store, clock: Clock, faults: Faults, twilio: Twilio) -> None:
        self._store, self._clock, self._faults, self._twilio = store, clock, faults, twilio

    def since(self, moment: str | None) -> Json:
        """Return everything that happened at or after a shop time; payments come with their whole history."""
        start = epoch(moment) if moment else float("-inf")
        return {
            "shop_time": iso(self._clock.now()),
            "payments": self._payments(start),
            "labels": self._labels(start),
            "messages": self._messages(start),
            "texts": self._twilio.sent(start),
            "faults": self._faults.fired(),
        }

    def _payments(self, start: float) -> list[Json]:
        sql = (
            "SELECT * FROM intents WHERE created >= ?1 OR id IN (SELECT ref FROM operations WHERE at >= ?1)"
            " ORDER BY rowid"
        )
        operations: dict[str, list[Json]] = {}
        for row in self._store.rows("SELECT * FROM operations ORDER BY id"):
            operations.setdefault(row["ref"], []).append(_operation(row))
        return [_payment(row, operations.get(row["id"], [])) for row in self._store.rows(sql, start)]

    def _labels(self, start: float) -> list[Json]:
        sql = "SELECT * FROM shipments WHERE bought >= ? ORDER BY bought"
        return [self._label(row) for row in self._store.rows(sql, start)]

    def _label(self, row: Row) -> Json:
        doc = load(row["doc"])
        paid_back = row["refund_at"] is not None and row["refund_at"] <= self._clock.now()
        state = (
            "refunded" if paid_back else "refund_submitted" if row["refund_at"] is not None else "purchased"
        )
        rate, to = doc["selected_rate"], doc["to_address"]
        return {
            "provider": "easypost", "ref": row["id"], "reference": row["reference"],
            "tracking_number": row["tracking_code"], "carrier": rate["carrier"], "service": rate["service"],
            "to": f"{to['street1']}, {to['zip']} {to['city']}",
            "cost": row["cost"], "currency": rate["currency"], "state": state, "at": iso(row["bought"]),
            "form": (doc["scan_form"] or {}).get("id", ""),
        }  # fmt: skip

    def _messages(self, start: float) -> list[Json]:
        sql = (
            "SELECT message_id, count(*) AS accepted, min(received) AS first FROM mails WHERE received >= ?"
            " GROUP BY message_id ORDER BY min(id)"
        )
        return [
            {
                "channel": "email",
                "id": row["message_id"],
                "accepted": row["accepted"],
                "at": iso(row["first"]),
            }
            for row in self._store.rows(sql, start)
        ]


def _payment(row: Row, operations: list[Json]) -> Json:
    """Return a payment. `voided` was given back by a deed of the shop, `released` by capture or by time."""
    doc = load(row["doc"])
    charge = doc["latest_charge"] or {}
    authorized, captured = _sum(operations, "authorize"), _sum(operations, "capture")
    voided = _sum(operations, "void")
    over = doc["status"] in ("succeeded", "canceled")
    return {
        "provider": "stripe", "ref": row["id"], "order": row["order_id"], "currency": doc["currency"].upper(),
        "state": doc["status"], "cancellation_reason": doc["cancellation_reason"], "authorized": authorized,
        "captured": captured, "refunded": charge.get("amount_refunded", 0), "voided": voided,
        "released": authorized - captured - voided if over else 0, "created": iso(doc["created"]),
        "operations": operations,
    }  # fmt: skip


def _operation(row: Row) -> Json:
    return {"kind": row["kind"], "key": row["key"], "amount": row["amount"], "at": iso(row["at"])}


def _sum(operations: list[Json], kind: str) -> int:
    return sum(int(operation["amount"]) for operation in operations if operation["kind"] == kind)
