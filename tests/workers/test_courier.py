"""The courier: one endpoint's trouble is no other's, and no trouble ends it."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from fulfillment.domain.webhooks import Delivery, ShopEvent
from fulfillment.providers.notifications.webhooks.client import NotTaken
from fulfillment.storage.webhooks import WebhookStore
from workers.courier import Courier


class Books:
    """What is due, and what became of it."""

    def __init__(self, *endpoints: str) -> None:
        self.due = [a_delivery(endpoint) for endpoint in endpoints]
        self.ends: list[tuple[Any, ...]] = []
        self.away = 0

    def lay_out(self) -> int:
        if self.away:
            self.away -= 1
            raise OSError("the database is away")
        return 0

    def lease(self, limit: int) -> tuple[Delivery, ...]:
        taken, self.due = tuple(self.due[:limit]), self.due[limit:]
        return taken

    def delivered(self, delivery: Delivery, status: int) -> None:
        self.ends.append((delivery.endpoint_id, status))

    def failed(self, delivery: Delivery, status: int | None, why: str, *, wait: timedelta) -> None:
        self.ends.append((delivery.endpoint_id, status, wait))


class Way:
    """Takes everything, but for one endpoint."""

    def __init__(self, stop: threading.Event | None = None) -> None:
        self._stop, self.closed = stop, False

    def send(self, delivery: Delivery) -> int:
        if self._stop:
            self._stop.set()
        if delivery.endpoint_id == "we_bad":
            raise NotTaken("it answered 429", 429, timedelta(seconds=30))
        return 204

    def close(self) -> None:
        self.closed = True


def a_delivery(endpoint_id: str) -> Delivery:
    event = ShopEvent(
        seq=1, order_id="SO-1", kind="shipped", text="", data={}, at=datetime(2026, 11, 23, tzinfo=UTC)
    )
    return Delivery(endpoint_id=endpoint_id, url="https://x.example", secrets=(), tries=0, event=event)


def test_one_bad_endpoint_does_not_hold_up_the_others() -> None:
    books = Books("we_1", "we_bad", "we_2")

    Courier(cast(WebhookStore, books), Way()).send_due()

    assert books.ends == [("we_1", 204), ("we_bad", 429, timedelta(seconds=30)), ("we_2", 204)]


def test_it_goes_on_when_the_database_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.courier._AWAY", 0.01)
    stop = threading.Event()
    books, way = Books("we_1"), Way(stop)
    books.away = 2

    Courier(cast(WebhookStore, books), way).run(stop)

    assert (books.ends, way.closed) == ([("we_1", 204)], True)
