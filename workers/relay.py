"""The outbox relay: tells customers what happened, once per fact, whatever becomes of the sending."""

import threading
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final, Protocol

import structlog

from fulfillment.crashpoints import crashpoint
from fulfillment.domain.notifications import Block, Channel
from fulfillment.domain.provider_errors import OutcomeUnknown, ProviderError, Undeliverable
from fulfillment.domain.view import OrderView
from fulfillment.providers.notifications.letters import Letter, Text
from fulfillment.providers.notifications.messages import Renderer
from fulfillment.storage.outbox import Message

_BATCH: Final = 10
_LEASE_IS_SAFE: Final = 30.0  # seconds; the outbox leases for a minute
_IDLE: Final = 0.5
_AWAY: Final = 5.0
_ASKED_AFTER: Final = timedelta(seconds=60)  # by then a provider lists what it took

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

    def sent(self, notification_id: int, ref: str = "") -> None: ...

    def later(self, notification_id: int, why: str, after: timedelta) -> None: ...

    def unknown(self, notification_id: int, why: str, after: timedelta) -> None: ...

    def dead(self, notification_id: int, why: str, block: Block | None = None) -> None: ...

    def keep_body(self, notification_id: int, body: str) -> None: ...


class Sender(Protocol):
    """A way to reach a customer. Where a repeat does not collapse at the receiver, it is asked before one."""

    @property
    def collapses_repeats(self) -> bool: ...

    def send(self, letter: Letter) -> str:
        """Send it and return its name at the provider, if it has one."""
        ...

    def find(self, letter: Letter) -> str:
        """Return the name of a send that the provider took though we never heard so; empty if there is none."""
        ...

    def close(self) -> None: ...


class Relay:
    """Sends what is due until it is told to stop. `view` returns an order as it stands.

    A message is leased, sent, and only then noted as sent. A crash in between never loses it: an e-mail goes again
    under the same Message-ID, and of a text message the provider is asked first.
    """

    def __init__(
        self,
        outbox: Outbox,
        senders: Mapping[Channel, Sender],
        renderer: Renderer,
        view: Callable[[str], OrderView],
    ) -> None:
        self._outbox, self._senders, self._renderer, self._view = outbox, senders, renderer, view

    def run(self, stop: threading.Event) -> None:
        """Send until `stop` is set; the message in hand is finished, the others are given back."""
        try:
            while not stop.is_set():
                stop.wait(self._rest(stop))
        finally:
            self._hang_up()

    def _rest(self, stop: threading.Event) -> float:
        """Send one batch and return how many seconds to rest; no trouble of one batch ends the relay."""
        try:
            handled = self.send_due(stop)
        except Exception:  # the database is away, or a bug: tried again either way, and never silently
            log.exception("the outbox cannot be read")
            return _AWAY
        if handled:
            return 0.0
        self._hang_up()  # mail servers hang up on those who keep them waiting
        return _IDLE

    def _hang_up(self) -> None:
        for sender in self._senders.values():
            sender.close()

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
            ref = self._delivered(message)
            crashpoint("send.after_effect")
        except Undeliverable as no:
            log.warning("message undeliverable", why=str(no), channel=message.channel, **ids)
            self._outbox.dead(message.notification_id, str(no), no.block)
        except OutcomeUnknown as doubt:
            self._doubt(message, f"OutcomeUnknown: {doubt}")
        except ProviderError as error:
            self._postpone(message, f"{type(error).__name__}: {error}")
        except Exception as error:  # one message that cannot be written must not hold up the others
            log.exception("message failed", **ids)
            self._postpone(message, repr(error))
        else:
            self._outbox.sent(message.notification_id, ref)

    def _delivered(self, message: Message) -> str:
        if message.blocked:
            raise Undeliverable(message.blocked)
        sender = self._senders[Channel(message.channel)]
        letter = self._written(message)
        if message.first_sent_at and (ref := sender.find(letter)):
            return ref
        if isinstance(letter, Text):
            self._outbox.keep_body(message.notification_id, letter.body)
        return sender.send(letter)

    def _written(self, message: Message) -> Letter:
        view = self._view(message.order_id)
        said: dict[str, Any] = {"subject": message.subject, "data": message.data}
        said |= {"locale": message.locale, "zone": message.zone}
        if message.channel == Channel.EMAIL:
            ids: dict[str, Any] = {
                "version": message.version,
                "recipient": message.recipient,
                "at": message.at,
            }
            return self._renderer.render(view, message.fact, **said, **ids)
        return Text(
            notification_id=message.notification_id,
            recipient=message.recipient,
            # What was sent before is sent again to the letter: by its words the provider is asked for it.
            body=message.body or self._renderer.text(view, message.fact, **said),
            known_refs=message.provider_refs,
            since=message.first_sent_at,
        )

    def _doubt(self, message: Message, why: str) -> None:
        repeats_freely = self._senders[Channel(message.channel)].collapses_repeats
        if repeats_freely or message.tries >= len(_GAPS):
            return self._postpone(message, why)
        after = max(_ASKED_AFTER, _GAPS[message.tries])
        return self._outbox.unknown(message.notification_id, why, after)

    def _postpone(self, message: Message, why: str) -> None:
        if message.tries < len(_GAPS):
            return self._outbox.later(message.notification_id, why, _GAPS[message.tries])
        log.warning("message given up", order_id=message.order_id, fact=message.fact.value, why=why)
        return self._outbox.dead(message.notification_id, f"given up: {why}")
