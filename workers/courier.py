"""The courier: brings the storefront's webhooks, whatever becomes of the endpoints."""

import threading
from typing import Final, Protocol

import structlog

from fulfillment.domain.webhooks import Delivery
from fulfillment.providers.notifications.webhooks.client import NotTaken
from fulfillment.storage.webhooks import WebhookStore

_BATCH: Final = 3  # one after another within a lease, each with its patience
_IDLE: Final = 0.5
_AWAY: Final = 5.0

log = structlog.stdlib.get_logger(__name__)


class Sender(Protocol):
    """The way to the endpoints."""

    def send(self, delivery: Delivery) -> int: ...

    def close(self) -> None: ...


class Courier:
    """Sends events until it is told to stop. A crash sends one again, under the same id."""

    def __init__(self, books: WebhookStore, sender: Sender) -> None:
        self._books, self._sender = books, sender

    def run(self, stop: threading.Event) -> None:
        """Send until `stop` is set."""
        try:
            while not stop.is_set():
                stop.wait(self._rest())
        finally:
            self._sender.close()

    def _rest(self) -> float:
        """Send one batch and return how many seconds to rest; no trouble of one batch ends the courier."""
        try:
            return 0.0 if self.send_due() else _IDLE
        except Exception:  # the database is away, or a bug: tried again either way, and never silently
            log.exception("webhooks cannot be read")
            return _AWAY

    def send_due(self) -> int:
        """Lay out what happened, send one batch of what is due, and return how many events were taken on."""
        self._books.lay_out()
        deliveries = self._books.lease(_BATCH)
        for delivery in deliveries:
            self._bring(delivery)
        return len(deliveries)

    def _bring(self, delivery: Delivery) -> None:
        try:
            status = self._sender.send(delivery)
        except NotTaken as no:
            ids = {"endpoint": delivery.endpoint_id, "event_id": delivery.event.event_id}
            log.warning("webhook not taken", why=str(no), tries=delivery.tries + 1, **ids)
            self._books.failed(delivery, no.status, str(no), wait=no.wait)
        else:
            self._books.delivered(delivery, status)
