"""The mail server: takes every mail, keeps it readable, and refuses the magic addresses."""

import asyncio
import email
import json
from email.message import EmailMessage, Message
from email.policy import default as policy
from typing import Any, Final

from aiosmtpd.smtp import SMTP, Envelope, Session

from devstack.simulators.clock import Clock, iso
from devstack.simulators.faults import Fault, Faults
from devstack.simulators.store import Json, Row, Store

REFUSALS: Final = {
    "http_5xx": "451 4.3.0 Temporary failure, please try again",
    "http_429": "452 4.5.3 Too many mails",
    "decline": "550 5.7.1 Refused by policy",
}
GREY_TRIES: Final = 2


class Mailbox:
    """Every mail that was accepted, and how often under each Message-ID."""

    def __init__(self, store: Store, clock: Clock, faults: Faults) -> None:
        self._store, self._clock, self._faults = store, clock, faults

    async def listen(self, host: str, port: int) -> asyncio.Server:
        """Start to take mails and return the listening server."""
        loop = asyncio.get_running_loop()
        return await loop.create_server(
            lambda: SMTP(self, loop=loop, hostname="mail.simulator", enable_SMTPUTF8=True), host, port
        )

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Accept a recipient, or refuse one whose local part asks for it."""
        name = address.partition("@")[0].lower()
        if name == "nobody":
            return "550 5.1.1 No such user here"
        if name == "grey" and self._grey(address.lower()):
            return "451 4.7.1 Greylisted, please try again later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    def _grey(self, address: str) -> bool:
        sql = (
            "INSERT INTO greylist VALUES (?, 1) ON CONFLICT (address) DO UPDATE SET refusals = refusals + 1"
            " RETURNING refusals"
        )
        return self._store.number(sql, address) <= GREY_TRIES

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Keep the mail. A reset after the commit loses the answer, as a dropped line after DATA does."""
        mail = email.message_from_bytes(envelope.original_content or b"", policy=policy)
        message_id, subject = str(mail["message-id"] or ""), str(mail["subject"] or "")
        fault = self._faults.on_call("smtp", "DATA", "/", lambda: [message_id.strip("<"), subject])
        if fault is not None and fault.when == "before" and (refusal := await self._spoil(fault, server)):
            return refusal
        self._keep(mail, message_id, subject, envelope)
        if (
            fault is not None
            and fault.when == "after_commit"
            and (answer := await self._spoil(fault, server))
        ):
            return answer
        return "250 2.0.0 Accepted"

    async def _spoil(self, fault: Fault, server: SMTP) -> str | None:
        if fault.kind == "timeout":
            await asyncio.sleep(fault.timeout_s)
        if fault.kind in ("reset", "timeout") and isinstance(server.transport, asyncio.WriteTransport):
            server.transport.abort()
            return "421 4.4.2 Connection lost"
        await asyncio.sleep(fault.latency_s)
        return REFUSALS.get(fault.kind)

    def _keep(self, mail: EmailMessage | Message, message_id: str, subject: str, envelope: Envelope) -> None:
        recipients = json.dumps(envelope.rcpt_tos)
        self._store.run(
            "INSERT INTO mails (message_id, recipients, subject, date, received, text, html, raw)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            message_id, recipients, subject, str(mail["date"] or ""), self._clock.now(),
            _part(mail, "plain"), _part(mail, "html"), envelope.original_content or b"",
        )  # fmt: skip

    def listed(
        self, *, to: str = "", message_id: str = "", since_id: int = 0, limit: int = 1000
    ) -> list[Json]:
        """Return mails, newest first."""
        sql = (
            "SELECT *, (SELECT count(*) FROM mails AS same WHERE same.message_id = mails.message_id) AS accepted"
            " FROM mails WHERE id > ? AND (? = '' OR instr(lower(recipients), ?)) AND (? = '' OR message_id = ?)"
            " ORDER BY id DESC LIMIT ?"
        )
        rows = self._store.rows(sql, since_id, to, to.lower(), message_id, message_id, limit)
        return [_shown(row) for row in rows]

    def read(self, number: int) -> Json | None:
        """Return one mail with its HTML and its source."""
        row = self._store.row("SELECT *, 1 AS accepted FROM mails WHERE id = ?", number)
        if row is None:
            return None
        return _shown(row) | {"html": row["html"], "raw": bytes(row["raw"]).decode("utf-8", "replace")}

    def empty(self) -> int:
        """Throw every mail away and return how many there were."""
        number = self._store.number("SELECT count(*) FROM mails")
        self._store.run("DELETE FROM mails")
        return number


def _shown(row: Row) -> Json:
    return {
        "id": row["id"], "message_id": row["message_id"], "to": json.loads(row["recipients"]),
        "subject": row["subject"], "date": row["date"], "received_at": iso(row["received"]),
        "text": row["text"], "accepted": row["accepted"],
    }  # fmt: skip


def _part(mail: EmailMessage | Message, kind: str) -> str:
    body: Any = mail.get_body((kind,)) if isinstance(mail, EmailMessage) else None
    return "" if body is None else str(body.get_content())
