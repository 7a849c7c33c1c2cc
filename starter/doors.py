"""What the doors stand on: the books, the orders' workflows, keys, clocks and where we are on the web."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Protocol

from fulfillment.domain.findings import Unheard
from fulfillment.domain.holds import HoldReason
from fulfillment.domain.order import Order
from fulfillment.domain.policy import Policy
from fulfillment.domain.view import EventView, OrderView
from fulfillment.storage.idempotency import InProgress, Mismatch, New, Replay
from fulfillment.storage.orders import Accepted
from starter.access import Keyring
from workflows.contract import PlaceAnswer, VerbAnswer


class Processes(Protocol):
    """The orders' workflows, as people and programs reach them."""

    async def place(self, order_id: str) -> PlaceAnswer | None:
        """Start the order and return what came of placing; None when no answer came in time."""
        ...

    async def cancel(self, order_id: str, *, reason: str, by: str, request_id: str) -> VerbAnswer: ...

    async def hold(
        self, order_id: str, *, reason: str, by: str, request_id: str, note: str = ""
    ) -> VerbAnswer: ...

    async def release(
        self, order_id: str, *, reason: HoldReason | str | None, by: str, request_id: str
    ) -> VerbAnswer: ...

    async def retry_payment(self, order_id: str, *, method: str, by: str, request_id: str) -> VerbAnswer: ...

    async def deliver(self, facts: Sequence[Unheard]) -> int:
        """Hand facts on to their orders, as far as it goes; the relay does the rest."""
        ...


class Intake(Protocol):
    """Where new orders are stored."""

    def accept(self, order: Order, *, by: str) -> Accepted: ...


class Views(Protocol):
    """Orders as people read them."""

    def view(self, order_id: str) -> OrderView: ...

    def by_token(self, token: str) -> OrderView: ...

    def events(self, order_id: str, after_seq: int) -> tuple[EventView, ...]: ...

    def heads(self, order_ids: Collection[str]) -> Mapping[str, int]:
        """Return the number of each order's latest event; one query, whatever how many are watched."""
        ...


class Facts(Protocol):
    """What orders must still hear."""

    def for_order(self, order_id: str) -> tuple[Unheard, ...]: ...


class Keys(Protocol):
    """One key, one body, one answer."""

    def begin(self, owner: str, route: str, key: str, body_hash: str) -> New | Replay | Mismatch | InProgress: ...

    def finish(self, owner: str, route: str, key: str, *, status: int, answer: Any) -> None: ...

    def abandon(self, owner: str, route: str, key: str) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """Everything the routes need. `now` is shop time, `real_now` the providers' clock."""

    processes: Processes
    intake: Intake
    views: Views
    facts: Facts
    idempotency: Keys
    keyring: Keyring
    policy: Policy
    now: Callable[[], datetime]
    real_now: Callable[[], datetime]
    public_url: str
    shop_name: str
    ping: Callable[[], None]
