"""The hands of the demo's stories: our API, the providers' control room and Temporal, tried until somebody answers."""

import asyncio
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

from devstack.board import Board
from devstack.processes import Stopped
from devstack.scenarios import Body, Scenario
from fulfillment import temporal
from fulfillment.domain.notifications import Fact
from fulfillment.domain.view import OrderView
from fulfillment.http import ApiAway, ApiClient, ApiRefused
from workflows.contract import order_workflow_id

Answer = TypeVar("Answer")

_BETWEEN_TRIES: Final = 0.5
_BEAT: Final = 0.1
_TURNS_TO_PAY: Final = 20
_PATIENCE: Final = 120.0  # longer than any story of the demo waits for its turn
_TRY_AGAIN: Final = ("idempotency_in_progress", "rate_limited", "temporarily_unavailable")


class NotSeen(Exception):
    """A story waited for something that did not come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hands:
    """What stories do, done for real. Threads may share it.

    `second` is another person of the shop. `told` hears what is worth telling about an order; `stopping` ends
    every wait.
    """

    shop: ApiClient
    second: ApiClient
    simulator: ApiClient
    board: Board
    told: Callable[[str, str], None]
    stopping: Callable[[], bool]

    def place(self, scenario: Scenario) -> Any:
        """Arm what befalls the order, place it, and return the answer."""
        if scenario.before:
            scenario.before(self, scenario.order_id)
        # Its own number makes a repeat harmless; a key would be kept busy by a request that died with the database.
        return self._until_answered(lambda: self.shop.post("/v1/orders", scenario.body))

    def fault(self, **what: Any) -> None:
        """Arm a fault at the providers."""
        self._until_answered(lambda: self.simulator.post("/_sim/faults", what))

    def shelf(self, order_id: str, **what: Any) -> None:
        """Let whoever picks for the order find something wrong on the shelf."""
        self._until_answered(lambda: self.simulator.post("/_sim/shelves", {"order": order_id, **what}))

    def travels(self, order_id: str, profile: str) -> None:
        """Let the order's parcels have this fate on the road."""
        armed = {"match": {"reference": order_id}, "profile": profile}
        self._until_answered(lambda: self.simulator.post("/_sim/parcels", armed))

    def scan(self, order_id: str, **what: str) -> None:
        """Let the carrier scan the order's parcel now."""
        view = self.see(order_id, lambda view: any(part.parcel for part in view.shipments))
        number = next(part.parcel.tracking_number for part in view.shipments if part.parcel)
        self._until_answered(lambda: self.simulator.post(f"/_sim/parcels/{number}/scans", what))

    def ask(self, path: str, body: Body) -> Any:
        """Ask our API for a change; the same question twice is one change."""
        return self._until_answered(lambda: self.shop.post(path, body, key=f"demo {path}"))

    def pays(self, order_id: str, method: str) -> Any:
        """Let the customer give another way to pay; who comes while the bank is still being asked does it again."""
        path = f"/v1/orders/{order_id}/payment"
        turn = 0
        while True:
            turn += 1
            give = partial(self.shop.post, path, {"method": method}, key=f"demo {path} {turn}")
            try:
                return self._until_answered(give)
            except ApiRefused as no:
                if no.code != "not_allowed" or turn == _TURNS_TO_PAY:
                    raise
            self.pause(_BETWEEN_TRIES)

    def confirms(self, order_id: str) -> bool:
        """Let the customer say yes on the bank's page; False where the bank does not ask, or asks no more."""
        order = self._until_answered(lambda: self.shop.get(f"/v1/orders/{order_id}"))
        asked = order["payment"]["next_action"] or {}
        if asked.get("type") != "confirm":
            return False
        payment = asked["url"].rpartition("/")[2]
        try:
            self._until_answered(lambda: self.simulator.post(f"/_sim/payments/{payment}/authenticate"))
        except ApiRefused:
            return False
        return True

    def approves(self, refund_id: str) -> Any:
        """Let a second person allow a refund."""
        path = f"/v1/refunds/{refund_id}/approve"
        return self._until_answered(lambda: self.second.post(path, key=f"demo {path}"))

    def release(self, order_id: str, reason: str) -> Any:
        """End a hold over our API; that it is gone already is as good, when an answer was lost before."""
        tries = itertools.count()

        def ask() -> Any:
            again = next(tries) > 0
            try:
                return self.shop.delete(f"/v1/orders/{order_id}/holds/{reason}")
            except ApiRefused as no:
                if again and no.code == "not_allowed":
                    return None
                raise

        return self._until_answered(ask)

    def signal(self, order_id: str, name: str, body: Any) -> None:
        """Send a signal straight to the order's workflow."""
        asyncio.run(_signal(order_workflow_id(order_id), name, body))

    def see(self, order_id: str, there: Callable[[OrderView], bool]) -> OrderView:
        """Return the order's view as soon as it is as wanted.

        Raises:
            NotSeen: it never was.
            Stopped: the demo is stopping.
        """
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            self._go_on()
            if (view := self.board.wait(order_id, there, _BEAT)) is not None:
                return view
        raise NotSeen(order_id)

    def reads(self, order_id: str, fact: Fact) -> None:
        """Wait until this news about the order is in its customer's mailbox.

        Raises:
            NotSeen: it never came.
            Stopped: the demo is stopping.
        """
        start = f"<order-{order_id}.{fact}."
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            ledger = self._until_answered(lambda: self.simulator.get("/_sim/ledger"))
            if any(str(mail["id"]).startswith(start) for mail in ledger["messages"]):
                return
            self.pause(_BETWEEN_TRIES)
        raise NotSeen(f"{order_id}: no mail about {fact}")

    def pause(self, seconds: float) -> None:
        """Let real time pass.

        Raises:
            Stopped: the demo is stopping.
        """
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._go_on()
            time.sleep(min(_BEAT, left))

    def note(self, order_id: str, what: str) -> None:
        """Tell the audience."""
        self.told(order_id, what)

    def _go_on(self) -> None:
        if self.stopping():
            raise Stopped

    def _until_answered(self, ask: Callable[[], Answer]) -> Answer:
        while True:
            try:
                return ask()
            except ApiAway:
                pass
            except ApiRefused as no:
                if no.status < 500 and no.code not in _TRY_AGAIN:
                    raise
            self.pause(_BETWEEN_TRIES)


async def _signal(workflow_id: str, name: str, body: Any) -> None:
    client = await temporal.connect()
    await client.get_workflow_handle(workflow_id).signal(name, body)
