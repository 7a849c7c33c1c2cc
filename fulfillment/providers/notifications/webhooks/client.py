"""Webhooks to the storefront, as Standard Webhooks has them: signed, sent once, and never into our own network."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from fulfillment.domain.provider_errors import ProviderUnavailable
from fulfillment.domain.webhooks import Delivery, body_of, signed_headers
from fulfillment.http import Hook, retry_after

_SLOW_DOWN: Final = frozenset({429, 502, 503, 504})


class NotTaken(ProviderUnavailable):
    """The endpoint did not take it. `status` is what it answered, `wait` how long it asks us to stay away."""

    def __init__(self, why: str, status: int | None = None, wait: timedelta = timedelta(0)) -> None:
        super().__init__(why)
        self.status, self.wait = status, wait


class WebhookChannel:
    """Sends events to endpoints. `source` is the shop's own address; `real_now` is what receivers' clocks show."""

    def __init__(self, *, source: str, real_now: Callable[[], datetime], to_private: bool = False) -> None:
        self._source, self._real_now, self._hook = source, real_now, Hook(to_private=to_private)

    def send(self, delivery: Delivery) -> int:
        """Send an event and return the status with which it was taken.

        Raises:
            NotTaken: anything but a 2xx; a redirect is not followed.
        """
        body = body_of(delivery.event, self._source)
        headers = signed_headers(delivery.event.event_id, self._real_now(), body, delivery.secrets)
        headers["content-type"] = "application/cloudevents+json; charset=utf-8"
        try:
            status, answered = self._hook.post(delivery.url, body, headers)
        except ProviderUnavailable as error:
            raise NotTaken(str(error)) from error
        if 200 <= status < 300:
            return status
        wait = retry_after(answered.get("retry-after", "")) if status in _SLOW_DOWN else timedelta(0)
        raise NotTaken(f"it answered {status}", status, wait)

    def close(self) -> None:
        """Close every connection."""
        self._hook.close()
