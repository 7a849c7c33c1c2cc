"""A relay as a process of its own, whose outbox is a file: what is left when it is killed is what was kept."""

import json
import sys
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

from fulfillment import crashpoints
from fulfillment.domain.notifications import Block, Channel, Fact
from fulfillment.providers.notifications.messages import Renderer
from fulfillment.providers.notifications.smtp.client import SmtpChannel
from fulfillment.storage.outbox import Message
from tests.providers.notifications.views import NOW, a_view
from workers.relay import Relay

SENDER = "Northwind Outfitters <orders@northwind.example>"


class FileOutbox:
    """One message in a file; every lease has run out by the time the next process asks."""

    def __init__(self, file: Path, done: threading.Event) -> None:
        self._file, self._done = file, done

    def lease(self, limit: int) -> tuple[Message, ...]:
        row: dict[str, Any] = json.loads(self._file.read_text())
        if row["state"] == "sent":
            return ()
        self._file.write_text(json.dumps({"state": "claimed", "tries": row["tries"] + 1}))
        return (a_message(tries=row["tries"]),)

    def sent(self, notification_id: int, ref: str = "") -> None:
        self._ended("sent")

    def later(self, notification_id: int, why: str, after: timedelta) -> None:
        self._ended(f"later: {why}")

    def unknown(self, notification_id: int, why: str, after: timedelta) -> None:
        self._ended(f"unknown: {why}")

    def dead(self, notification_id: int, why: str, block: Block | None = None) -> None:
        self._ended(f"dead: {why}")

    def keep_body(self, notification_id: int, body: str) -> None:
        """Nothing: an e-mail is not asked for by its words."""

    def _ended(self, state: str) -> None:
        self._file.write_text(json.dumps(json.loads(self._file.read_text()) | {"state": state}))
        self._done.set()


def a_message(notification_id: int = 1, *, recipient: str = "ada@example.com", tries: int = 0) -> Message:
    return Message(
        notification_id=notification_id,
        order_id="SO-1",
        fact=Fact.SHIPPED,
        subject="SO-1-1",
        version=1,
        channel="email",
        recipient=recipient,
        data={},
        tries=tries,
        at=NOW,
    )


def main(folder: Path, smtp_port: int) -> None:
    crashpoints.arm(folder / "armed")
    stop = threading.Event()
    relay = Relay(
        FileOutbox(folder / "outbox.json", stop),
        {Channel.EMAIL: SmtpChannel(host="127.0.0.1", port=smtp_port, mail_from=SENDER)},
        Renderer(mail_from=SENDER, public_url="http://shop.example"),
        lambda order_id: a_view(),
    )
    relay.run(stop)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
