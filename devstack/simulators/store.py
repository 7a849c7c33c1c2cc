"""The simulator's memory: one SQLite file that outlives the process, however it ends."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS intents (
    id TEXT PRIMARY KEY, order_id TEXT NOT NULL, customer TEXT, status TEXT NOT NULL,
    created REAL NOT NULL, expires REAL, doc TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS intents_held ON intents (expires) WHERE status = 'requires_capture';
CREATE INDEX IF NOT EXISTS intents_by_customer ON intents (customer);
CREATE TABLE IF NOT EXISTS refunds (
    id TEXT PRIMARY KEY, intent TEXT NOT NULL, created REAL NOT NULL, fails_at REAL, doc TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS refunds_by_intent ON refunds (intent);
CREATE INDEX IF NOT EXISTS refunds_failing ON refunds (fails_at) WHERE fails_at IS NOT NULL;
CREATE TABLE IF NOT EXISTS under_way (id TEXT PRIMARY KEY, due REAL NOT NULL);
CREATE TABLE IF NOT EXISTS disputes (id TEXT PRIMARY KEY, intent TEXT NOT NULL, doc TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS disputes_by_intent ON disputes (intent);
CREATE TABLE IF NOT EXISTS reviews (id TEXT PRIMARY KEY, intent TEXT NOT NULL, doc TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS sessions (id TEXT PRIMARY KEY, order_id TEXT NOT NULL, doc TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS setup_intents (id TEXT PRIMARY KEY, doc TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS keys (
    key TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, status INTEGER NOT NULL, body BLOB NOT NULL,
    headers TEXT NOT NULL, kept_at REAL NOT NULL);
CREATE INDEX IF NOT EXISTS keys_by_age ON keys (kept_at);
CREATE TABLE IF NOT EXISTS operations (
    id INTEGER PRIMARY KEY, ref TEXT NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL,
    amount INTEGER NOT NULL, at REAL NOT NULL);
CREATE INDEX IF NOT EXISTS operations_by_ref ON operations (ref);
CREATE INDEX IF NOT EXISTS operations_by_time ON operations (at);
CREATE TABLE IF NOT EXISTS shipments (
    id TEXT PRIMARY KEY, reference TEXT NOT NULL, tracking_code TEXT, cost INTEGER, bought REAL,
    refund_at REAL, created REAL NOT NULL, doc TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS shipments_bought ON shipments (bought) WHERE bought IS NOT NULL;
CREATE TABLE IF NOT EXISTS scan_forms (id TEXT PRIMARY KEY, asked INTEGER NOT NULL, doc TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS parcels (
    tracking_code TEXT PRIMARY KEY, tracker TEXT NOT NULL UNIQUE, shipment TEXT, reference TEXT NOT NULL,
    carrier TEXT NOT NULL, lane TEXT NOT NULL, days INTEGER NOT NULL, created REAL NOT NULL,
    est REAL, handed_over REAL, profile TEXT);
CREATE INDEX IF NOT EXISTS parcels_by_reference ON parcels (reference);
CREATE TABLE IF NOT EXISTS scans (
    id INTEGER PRIMARY KEY, tracking_code TEXT NOT NULL, at REAL NOT NULL, est REAL,
    fired INTEGER NOT NULL, doc TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS scans_by_parcel ON scans (tracking_code, at);
CREATE INDEX IF NOT EXISTS scans_pending ON scans (at) WHERE fired = 0;
CREATE TABLE IF NOT EXISTS profiles (
    id INTEGER PRIMARY KEY, reference TEXT NOT NULL, profile TEXT NOT NULL, p REAL NOT NULL);
CREATE TABLE IF NOT EXISTS webhooks (
    id INTEGER PRIMARY KEY, provider TEXT NOT NULL, event TEXT NOT NULL, kind TEXT NOT NULL,
    due REAL NOT NULL, tries INTEGER NOT NULL, state TEXT NOT NULL, flaw TEXT, body BLOB);
CREATE INDEX IF NOT EXISTS webhooks_pending ON webhooks (due) WHERE state = 'pending';
CREATE TABLE IF NOT EXISTS faults (
    id INTEGER PRIMARY KEY, doc TEXT NOT NULL, fired INTEGER NOT NULL, until REAL, active INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS mails (
    id INTEGER PRIMARY KEY, message_id TEXT NOT NULL, recipients TEXT NOT NULL, subject TEXT NOT NULL,
    date TEXT NOT NULL, received REAL NOT NULL, text TEXT NOT NULL, html TEXT NOT NULL, raw BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS mails_by_message ON mails (message_id);
CREATE TABLE IF NOT EXISTS texts (
    sid TEXT PRIMARY KEY, account TEXT NOT NULL, recipient TEXT NOT NULL, sender TEXT NOT NULL,
    body TEXT NOT NULL, status TEXT NOT NULL, error INTEGER, callback TEXT NOT NULL, created REAL NOT NULL,
    at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS stopped (phone TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS greylist (address TEXT PRIMARY KEY, refusals INTEGER NOT NULL);
"""

Row = sqlite3.Row
Json = dict[str, Any]


class Store:
    """One connection. Every deed runs between two awaits, so transactions never mix."""

    def __init__(self, path: str | Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.row_factory = sqlite3.Row
        # A commit is then a write to the page cache: it survives kill -9, and costs no fsync per request.
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.executescript(SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Keep everything written inside, or nothing; an inner one joins the outer."""
        if self._db.in_transaction:
            yield
            return
        self._db.execute("BEGIN")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def run(self, sql: str, *values: Any) -> int:
        """Execute one statement and return the id of the row it inserted, if it did."""
        return self._db.execute(sql, values).lastrowid or 0

    def row(self, sql: str, *values: Any) -> Row | None:
        """Return the first row, or None."""
        found: Row | None = self._db.execute(sql, values).fetchone()
        return found

    def rows(self, sql: str, *values: Any) -> list[Row]:
        """Return every row."""
        return self._db.execute(sql, values).fetchall()

    def number(self, sql: str, *values: Any) -> int:
        """Return the single number a query asks for."""
        return int(self._db.execute(sql, values).fetchone()[0] or 0)

    def recall(self, name: str) -> str | None:
        """Return a remembered setting."""
        found = self.row("SELECT value FROM meta WHERE name = ?", name)
        return None if found is None else str(found["value"])

    def remember(self, name: str, value: str) -> None:
        """Keep a setting across restarts."""
        self.run("INSERT OR REPLACE INTO meta VALUES (?, ?)", name, value)


def dump(document: Json) -> str:
    """Return compact JSON."""
    return json.dumps(document, separators=(",", ":"))


def load(text: str | bytes) -> Json:
    """Return the object a JSON text holds."""
    document: Json = json.loads(text)
    return document


def belongs(reference: str, order: str) -> bool:
    """Test whether a reference is an order's: SO-1048:buy_label:1 is SO-1048's, SO-10485 is not."""
    if not reference.startswith(order):
        return False
    return not order or not reference[len(order) : len(order) + 1].isalnum()
