"""Text messages as Twilio's API speaks them: sent, listed, reported by callback, and stopped by their readers.

It knows no idempotency key. Twilio's own magic numbers (https://www.twilio.com/docs/iam/test-credentials) are refused
at once; a number that ends in one of the codes of `LATER` is accepted and fails on its way.
"""

import secrets
import time
from datetime import UTC, datetime
from email.utils import format_datetime
from types import MappingProxyType
from typing import Any, Final, NoReturn

from devstack.simulators.clock import Clock
from devstack.simulators.sender import Sender
from devstack.simulators.store import Json, Row, Store
from devstack.simulators.wire import Answer, Call, Refusal, Routes, as_json

REFUSED: Final = MappingProxyType(
    {"+15005550001": 21211, "+15005550002": 21612, "+15005550004": 21610, "+15005550009": 21614}
)
LATER: Final = frozenset({30003, 30005, 30006, 30007, 30008})
_STOP: Final = frozenset({"STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT"})
_START: Final = frozenset({"START", "YES", "UNSTOP"})
_STEPS: Final = ("sent", "delivered")
_GAP: Final = 0.05  # real seconds between two steps
_MOST: Final = 1600  # characters in a body


class Twilio:
    """Twilio's desk."""

    provider = "twilio"

    def __init__(self, store: Store, clock: Clock, sender: Sender) -> None:
        self._store, self._clock, self._sender = store, clock, sender
        messages = "/2010-04-01/Accounts/*/Messages"
        self._routes = Routes(
            [
                ("POST", f"{messages}.json", self._send),
                ("GET", f"{messages}.json", self._list),
                ("GET", f"{messages}/*", self._get),
            ]
        )

    # The wire

    def begin(self, call: Call) -> Answer | None:
        """Let every call in: without keys no two calls are the same."""
        return None

    def end(self, call: Call) -> None:
        """Nothing was noted."""

    def failure(self, status: int, *, retry_after: int | None = None) -> Answer:
        """Return an error of Twilio itself."""
        answer = _error(status, 20429 if status == 429 else 20500, "Something is wrong on our side.")
        if retry_after is not None:
            answer.headers["retry-after"] = str(retry_after)
        return answer

    def references(self, call: Call) -> list[str]:
        """Return the words of the message: they name the order."""
        return str(call.params.get("Body") or "").replace(":", " ").split()

    def serve(self, call: Call) -> Answer:
        """Answer a call."""
        if not call.headers.get("authorization", "").startswith("Basic "):
            return _error(401, 20003, "Authenticate")
        found = self._routes.find(call.method, call.path)
        if found is None:
            return _error(404, 20404, f"The requested resource {call.path} was not found")
        handler, groups = found
        return handler(call, *groups)

    # Messages

    def _send(self, call: Call, account: str) -> Answer:
        sent = {name: str(value) for name, value in call.params.items()}
        to, body = sent.get("To", ""), sent.get("Body", "")
        self._check(sent, to, body)
        sid = "SM" + secrets.token_hex(16)
        sender = sent.get("From") or sent["MessagingServiceSid"]
        self._store.run(
            "INSERT INTO texts (sid, account, recipient, sender, body, status, callback, created, at)"
            " VALUES (?, ?, ?, ?, ?, 'queued', ?, ?, ?)",
            sid, account, to, sender, body, sent.get("StatusCallback", ""), time.time(), self._clock.now(),
        )  # fmt: skip
        self._report(sid)
        return as_json(self._shown(self._row(sid)), 201)

    def _check(self, sent: dict[str, str], to: str, body: str) -> None:
        if not to.startswith("+"):
            _refuse(21211, f"Invalid 'To' Phone Number: {to}")
        if not sent.get("From") and not sent.get("MessagingServiceSid"):
            _refuse(21603, "A 'From' phone number is required.")
        if not body or len(body) > _MOST:
            _refuse(21602 if not body else 21617, "Message body is required, and at most 1600 characters.")
        if (code := REFUSED.get(to)) is not None:
            _refuse(code, f"The 'To' number {to} cannot be used.")
        if self._store.row("SELECT 1 FROM stopped WHERE phone = ?", to):
            _refuse(21610, "Attempt to send to unsubscribed recipient")

    def _list(self, call: Call, account: str) -> Answer:
        to, size = str(call.params.get("To") or ""), int(call.params.get("PageSize") or 50)
        rows = self._store.rows(
            "SELECT * FROM texts WHERE account = ? AND (? = '' OR recipient = ?) ORDER BY rowid DESC LIMIT ?",
            account, to, to, size,
        )  # fmt: skip
        uri = f"/2010-04-01/Accounts/{account}/Messages.json"
        page = {"page": 0, "page_size": size, "start": 0, "end": len(rows), "uri": uri}
        page |= {"first_page_uri": uri, "next_page_uri": None, "previous_page_uri": None}
        return as_json(page | {"messages": [self._shown(row) for row in rows]})

    def _get(self, call: Call, account: str, name: str) -> Answer:
        row = self._store.row("SELECT * FROM texts WHERE sid = ?", name.removesuffix(".json"))
        return as_json(self._shown(row)) if row is not None else _error(404, 20404, "not found")

    def _row(self, sid: str) -> Row:
        row = self._store.row("SELECT * FROM texts WHERE sid = ?", sid)
        assert row is not None
        return row

    def _shown(self, row: Row) -> Json:
        sid, at = row["sid"], format_datetime(datetime.fromtimestamp(row["created"], UTC))
        return {
            "sid": sid, "account_sid": row["account"], "api_version": "2010-04-01", "body": row["body"],
            "to": row["recipient"], "from": row["sender"], "messaging_service_sid": None, "num_media": "0",
            "num_segments": "1", "direction": "outbound-api", "status": row["status"],
            "error_code": row["error"], "error_message": None, "price": None, "price_unit": "USD",
            "date_created": at, "date_updated": at, "date_sent": None, "subresource_uris": {},
            "uri": f"/2010-04-01/Accounts/{row['account']}/Messages/{sid}.json",
        }  # fmt: skip

    # What becomes of them

    def _report(self, sid: str) -> None:
        """Take the message to its end, and report each step."""
        row = self._row(sid)
        code = int(row["recipient"][-5:])
        steps = ("sent", "undelivered") if code in LATER else _STEPS
        error = code if code in LATER else None
        for n, status in enumerate(steps, start=1):
            said: dict[str, Any] = {"MessageSid": sid, "MessageStatus": status, "To": row["recipient"]}
            said |= {"ErrorCode": str(error)} if error and status == "undelivered" else {}
            self._post(row["callback"], f"{sid}:{status}", status, said, row["body"].split(), n * _GAP)
        self._store.run("UPDATE texts SET status = ?, error = ? WHERE sid = ?", steps[-1], error, sid)

    def text_us(self, phone: str, body: str) -> str:
        """Let somebody text the shop, and obey STOP and START as Twilio does; return the message's sid."""
        word = body.strip().upper()
        if word in _STOP:
            self._store.run("INSERT OR IGNORE INTO stopped (phone) VALUES (?)", phone)
        if word in _START:
            self._store.run("DELETE FROM stopped WHERE phone = ?", phone)
        sid = "SM" + secrets.token_hex(16)
        said = {"MessageSid": sid, "From": phone, "Body": body}
        self._post(self._sender.target("twilio"), sid, "incoming", said, body.split(), 0.0)
        return sid

    def _post(
        self, url: str, event: str, kind: str, form: dict[str, Any], references: list[str], delay: float
    ) -> None:
        if url:
            self._sender.post(
                "twilio", {"id": event, "url": url, "form": form}, kind, references, delay=delay
            )

    def sent(self, start: float) -> list[Json]:
        """Return what was accepted since a shop time, for the ledger; `about` is the callback it came with."""
        rows = self._store.rows("SELECT * FROM texts WHERE at >= ? ORDER BY rowid", start)
        return [
            {"sid": row["sid"], "about": row["callback"], "status": row["status"], "body": row["body"]}
            for row in rows
        ]


def _error(status: int, code: int, message: str) -> Answer:
    more = f"https://www.twilio.com/docs/errors/{code}"
    return as_json({"code": code, "message": message, "more_info": more, "status": status}, status)


def _refuse(code: int, message: str) -> NoReturn:
    raise Refusal(_error(400, code, message))
