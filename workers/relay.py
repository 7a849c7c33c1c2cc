"""The outbox relay: tells customers what happened, once per fact, whatever the mail server does."""

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Final, Protocol

import structlog

from fulfillment.crashpoints import crashpoint
from fulfillment.domain.provider_errors import ProviderError, Undeliverable
from fulfillment.domain.view import OrderView
from fulfillment.providers.notifications.messages import Mail, Renderer
from fulfillment.storage.outbox import Message

_BATCH: Final = 10
_LEASE_IS_SAFE: Final = 30.0  # seconds; the outbox leases for a minute
_IDLE: Final = 0.5
_AWAY: Final = 5.0

# How long to wait before each next try, in real time: quickly while it may be a hiccup or greylisting, then
# three times a day. After about four days nobody waits for the news any more (RFC 5321 4.5.4.1).
_GAPS: Final = (
    *(timedelta(seconds=s) for s in (2, 5, 15, 60, 300, 900)),
    *(timedelta(hours=h) for h in (1, 2, 4, *[8] * 11)),
)

log = structlog.stdlib.get_logger(__name__)


class Outbox(Protocol):
    """The messages still to send."""

    def lease(self, limit: int) -> tuple[Message, ...]: ...

    def sent(self, notification_id: int) -> None: ...

    def later(self, notification_id: int, why: str, after: timedelta) -> None: ...

    def dead(self, notification_id: int, why: str) -> None: ...


class Channel(Protocol):
    """A way to reach a customer. A message sent twice is the same message."""

    def send(self, mail: Mail) -> None: ...

    def close(self) -> None: ...


class Relay:
    """Sends what is due until it is told to stop. `view` returns an order as it stands.

    A message is leased, sent, and only then noted as sent: a crash in between sends it again under the same
    Message-ID, and never loses it.
    """

    def __init__(
        self, outbox: Outbox, channel: Channel, renderer: Renderer, view: Callable[[str], OrderView]
    ) -> None:
        self._outbox, self._channel, self._renderer, self._view = outbox, channel, renderer, view

    def run(self, stop: threading.Event) -> None:
        """Send until `stop` is set; the message in hand is finished, the others are given back."""
        try:
            while not stop.is_set():
                stop.wait(self._rest(stop))
        finally:
            self._channel.close()

    def _rest(self, stop: threading.Event) -> float:
        """Send one batch and return how many seconds to rest; no trouble of one batch ends the relay."""
        try:
            handled = self.send_due(stop)
        except Exception:  # the database is away, or a bug: tried again either way, and never silently
            log.exception("the outbox cannot be read")
            return _AWAY
        if handled:
            return 0.0
        self._channel.close()  # mail servers hang up on those who keep them waiting
        return _IDLE

    def send_due(self, stop: threading.Event) -> int:
        """Send one batch of what is due and return how many messages were taken."""
        until = time.monotonic() + _LEASE_IS_SAFE
        messages = self._outbox.lease(_BATCH)
        if messages:
            crashpoint("send.after_claim")
        for message in messages:
            if stop.is_set() or time.monotonic() > until:
                self._outbox.later(message.notification_id, "given back unsent", timedelta(0))
            else:
                self._tell(message)
        return len(messages)

    def _tell(self, message: Message) -> None:
        ids = {"order_id": message.order_id, "fact": message.fact.value, "version": message.version}
        try:
            self._channel.send(self._rendered(message))
            crashpoint("send.after_effect")
        except Undeliverable as no:
            log.warning("message undeliverable", why=str(no), **ids)
            self._outbox.dead(message.notification_id, str(no))
        except ProviderError as error:
            self._postpone(message, f"{type(error).__name__}: {error}")
        except Exception as error:  # one message that cannot be written must not hold up the others
            log.exception("message failed", **ids)
            self._postpone(message, repr(error))
        else:
            self._outbox.sent(message.notification_id)

    def _rendered(self, message: Message) -> Mail:
        return self._renderer.render(
            self._view(message.order_id),
            message.fact,
            subject=message.subject,
            version=message.version,
            recipient=message.recipient,
            at=message.at,
            data=message.data,
        )

    def _postpone(self, message: Message, why: str) -> None:
        if message.tries < len(_GAPS):
            return self._outbox.later(message.notification_id, why, _GAPS[message.tries])
        log.warning("message given up", order_id=message.order_id, fact=message.fact.value, why=why)
        return self._outbox.dead(message.notification_id, f"given up: {why}")
