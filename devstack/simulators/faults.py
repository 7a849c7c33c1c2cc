"""Faults on demand: calls that fail before or after they took effect, and webhooks that misbehave."""

import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from devstack.simulators.store import Json, Row, Store, belongs, dump, load

CALL_KINDS: Final = frozenset(
    [
        "reset",
        "timeout",
        "http_5xx",
        "html_502",
        "truncated_json",
        "http_429",
        "decline",
        "latency",
        "slow_body",
        "carrier_error",
    ]
)
WEBHOOK_KINDS: Final = frozenset(
    ["duplicate", "drop", "reorder", "delay", "bad_signature", "old_timestamp", "burst"]
)
BEFORE_ONLY: Final = frozenset({"http_429", "decline", "carrier_error"})
NOISE: Final[tuple[Json, ...]] = (
    {"kind": "duplicate", "p": 0.03},
    {"kind": "reorder", "p": 0.05},
    {"kind": "drop", "p": 0.005},
)


@dataclass(slots=True, kw_only=True)
class Fault:
    """One armed fault, as it was posted, and how often it has struck."""

    id: int
    doc: Json
    fired: int = 0
    until: float | None = None
    route: re.Pattern[str] | None = field(init=False)

    def __post_init__(self) -> None:
        route = self.match("route")
        self.route = None if route is None else re.compile(re.escape(route).replace(r"\*", ".+"))

    def match(self, name: str) -> str | None:
        """Return one of the conditions, or None where the fault does not ask."""
        value = (self.doc.get("match") or {}).get(name)
        return None if value is None else str(value)

    @property
    def kind(self) -> str:
        """What happens."""
        return str(self.doc["kind"])

    @property
    def when(self) -> str:
        """`before` or `after_commit`; `webhook` for what befalls an event."""
        return "webhook" if self.kind in WEBHOOK_KINDS else str(self.doc.get("when", "before"))

    @property
    def ms(self) -> int | None:
        """How long, where the kind takes a time."""
        value = self.doc.get("ms")
        return None if value is None else int(value)

    @property
    def latency_s(self) -> float:
        """Seconds the answer is late, 0 for other kinds."""
        return (1000 if self.ms is None else self.ms) / 1000 if self.kind == "latency" else 0.0

    @property
    def slow_ms(self) -> int:
        """Milliseconds between the halves of the body, 0 for other kinds."""
        return (1000 if self.ms is None else self.ms) if self.kind == "slow_body" else 0

    @property
    def timeout_s(self) -> float:
        """Seconds without a word before the connection closes."""
        return 60.0 if self.ms is None else self.ms / 1000

    @property
    def status(self) -> int:
        """The status of an `http_5xx`."""
        return int(self.doc.get("status", 500))

    @property
    def retry_after(self) -> int:
        """Seconds a 429 asks the caller to wait."""
        return int(self.doc.get("retry_after", 1))

    @property
    def decline_code(self) -> str:
        """What the bank says when the fault is a decline."""
        return str(self.doc.get("decline_code", "generic_decline"))

    def alive(self) -> bool:
        """Test whether it may still strike."""
        times = self.doc.get("times")
        spent = times is not None and self.fired >= int(times)
        return not spent and (self.until is None or time.time() < self.until)


class BadFault(Exception):
    """The fault asked for does not exist."""


class Faults:
    """Every armed fault. Choosing one costs nothing while none is armed."""

    def __init__(self, store: Store, seed: int) -> None:
        self._store, self._seed = store, seed
        self._armed = [_restored(row) for row in store.rows("SELECT * FROM faults WHERE active = 1")]

    def arm(self, doc: Json) -> Json:
        """Arm a fault and return it as it will be listed.

        Raises:
            BadFault: unknown kind, or a moment that kind does not know.
        """
        _check(doc)
        until = time.time() + float(doc["seconds"]) if doc.get("seconds") else None
        number = self._store.run(
            "INSERT INTO faults (doc, fired, until, active) VALUES (?, 0, ?, 1)", dump(doc), until
        )
        fault = Fault(id=number, doc=doc, until=until)
        self._armed.append(fault)
        return shown(fault)

    def clear(self, number: int | None = None) -> int:
        """Disarm one fault, or all; return how many. What they did stays in the ledger."""
        going = [fault for fault in self._armed if number in (None, fault.id)]
        for fault in going:
            self._armed.remove(fault)
            self._store.run("UPDATE faults SET active = 0 WHERE id = ?", fault.id)
        return len(going)

    def noise(self, on: bool) -> None:
        """Let webhooks be as unreliable as real ones, or stop it. Twice the same changes nothing."""
        making = [fault for fault in self._armed if fault.doc.get("noise")]
        for fault in making if not on else []:
            self.clear(fault.id)
        for doc in NOISE if on and not making else ():
            self.arm(doc | {"noise": True})

    def listed(self) -> list[Json]:
        """Return the armed faults, spent ones included."""
        return [shown(fault) for fault in self._armed]

    def fired(self) -> list[Json]:
        """Return every fault that ever struck, disarmed ones included."""
        rows = self._store.rows("SELECT * FROM faults WHERE fired > 0")
        return [_count(_restored(row)) for row in rows]

    def on_call(
        self, provider: str, method: str, path: str, references: Callable[[], list[str]]
    ) -> Fault | None:
        """Return the fault that strikes this call, if one does."""
        for fault in self._armed:
            if fault.kind == "carrier_error" or fault.kind not in CALL_KINDS or not fault.alive():
                continue
            if not _route_fits(fault, provider, method, path):
                continue
            if _order_fits(fault, references) and self._strikes(fault):
                return fault
        return None

    def on_webhook(self, provider: str, event: str, references: list[str]) -> list[Fault]:
        """Return the faults that befall this event."""
        return [
            fault
            for fault in self._armed
            if fault.kind in WEBHOOK_KINDS
            and fault.alive()
            and fault.match("provider") in (None, provider)
            and fault.match("event") in (None, event)
            and _order_fits(fault, lambda: references)
            and self._strikes(fault)
        ]

    def on_carrier(self, carrier: str, method: str, path: str, references: list[str]) -> bool:
        """Test whether this carrier fails to quote, or to make the label it quoted; a route names one of both."""
        return any(
            fault.kind == "carrier_error"
            and fault.alive()
            and fault.match("carrier") in (None, carrier)
            and _route_fits(fault, "easypost", method, path)
            and _order_fits(fault, lambda: references)
            and self._strikes(fault)
            for fault in list(self._armed)
        )

    def from_header(self, value: str | None) -> Fault | None:
        """Return the fault one request carries itself, written `when:kind` or `when:kind:ms`."""
        if not value:
            return None
        when, _, rest = value.partition(":")
        kind, _, ms = rest.partition(":")
        doc: Json = {"when": when, "kind": kind, "times": 1} | ({"ms": int(ms)} if ms.isdigit() else {})
        if kind not in CALL_KINDS or when not in ("before", "after_commit"):
            return None
        number = self._store.run(
            "INSERT INTO faults (doc, fired, until, active) VALUES (?, 1, NULL, 0)", dump(doc)
        )
        return Fault(id=number, doc=doc, fired=1)

    def _strikes(self, fault: Fault) -> bool:
        p = float(fault.doc.get("p", 1.0))
        if p < 1.0:
            fault.doc["rolls"] = rolls = int(fault.doc.get("rolls", 0)) + 1
            if random.Random(f"{self._seed}:fault:{fault.id}:{rolls}").random() >= p:
                return False
        fault.fired += 1
        self._store.run("UPDATE faults SET fired = ? WHERE id = ?", fault.fired, fault.id)
        return True


def shown(fault: Fault) -> Json:
    """Return a fault as the control page and its JSON show it."""
    left = None if fault.until is None else max(0.0, round(fault.until - time.time(), 1))
    rest: dict[str, Any] = {key: value for key, value in fault.doc.items() if key != "rolls"}
    return rest | {
        "id": fault.id, "when": fault.when, "fired": fault.fired, "active": fault.alive(), "seconds_left": left,
    }  # fmt: skip


def _count(fault: Fault) -> Json:
    match = fault.doc.get("match") or {}
    return {"kind": fault.kind, "when": fault.when, "match": match, "fired": fault.fired}


def _restored(row: Row) -> Fault:
    return Fault(id=row["id"], doc=load(row["doc"]), fired=row["fired"], until=row["until"])


def _check(doc: Json) -> None:
    kind, when = doc.get("kind"), doc.get("when", "before")
    if kind not in CALL_KINDS | WEBHOOK_KINDS:
        raise BadFault(f"kind must be one of {sorted(CALL_KINDS | WEBHOOK_KINDS)}")
    if kind in CALL_KINDS and when not in ("before", "after_commit"):
        raise BadFault("when must be 'before' or 'after_commit'")
    if kind in BEFORE_ONLY and when != "before":
        raise BadFault(f"{kind} exists only before the commit")


def _route_fits(fault: Fault, provider: str, method: str, path: str) -> bool:
    if fault.match("provider") not in (None, provider):
        return False
    return fault.route is None or fault.route.fullmatch(f"{method} {path}") is not None


def _order_fits(fault: Fault, references: Callable[[], list[str]]) -> bool:
    order = fault.match("order")
    return order is None or any(belongs(reference, order) for reference in references())
