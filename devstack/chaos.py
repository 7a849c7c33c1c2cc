"""The fault suite: workers killed at every crash point, providers' answers lost, and the audit at the end."""

import ast
import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from tempfile import mkdtemp
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import Select, select, update
from temporalio.api.enums.v1 import EventType

from devstack import armed
from devstack.bench.shop import MILESTONES, RestlessFloor, Shop, open_shop
from devstack.seed import LEHIGH
from devstack.stack import ROOT, SERVERS, Stack, StackSpec, forget
from fulfillment.domain.order import Order
from fulfillment.domain.scan_forms import NothingForAForm
from fulfillment.domain.shipment import WorkStatus, parcel_id
from fulfillment.domain.tracking import CarrierStatus
from fulfillment.http import api_client
from fulfillment.storage.manifests import ManifestStore
from fulfillment.storage.scan_forms import ScanFormStore
from fulfillment.storage.tables import labels, orders, outbox, shipments
from fulfillment.storage.warehouse import WorkItem
from starter.orders import ANSWER_WITHIN, TemporalAway, VerbRefused
from workers.audit import Report, audit
from workflows import contract
from workflows.contract import PlaceAnswer

LANES: Final = 16
ENDS_WITHIN: Final = 240.0  # seconds, for one order, whatever is done to it
_LOOK_EVERY: Final = 0.05
_ASK_EVERY: Final = 1.0
_LEASE_LEFT: Final = timedelta(seconds=55)  # of a minute: its holder has been silent for five seconds
_ROOMS: Final = ("fulfillment", "activities", "workers", "starter")

# Points that no worker passes: they lie in the doors and on the floor, which the suite kills as processes of their own.
DOOR_POINTS: Final = frozenset(
    f"{door}.{moment}_commit" for door in ("webhook", "pack", "hand_over") for moment in ("before", "after")
)


class Tale(StrEnum):
    """What becomes of an order."""

    PLAIN = "plain"
    CANCELLED = "cancelled"  # before anybody touched it
    CALLED_BACK = "called_back"  # cancelled when it had its label
    LOST = "lost"
    BY_HAND = "by hand"  # nobody on the floor touches it
    ON_A_FORM = "on a form"  # its carrier makes one code for what it takes of this place, before it leaves


_TALES: Final[Mapping[str, Tale]] = MappingProxyType(
    {"void": Tale.CANCELLED, "void_label": Tale.CALLED_BACK, "refund": Tale.LOST, "scan_form": Tale.ON_A_FORM}
)


def tale_through(deed: str) -> Tale:
    """Return the tale of an order that needs this deed."""
    return _TALES.get(deed, Tale.PLAIN)


def crash_points() -> tuple[str, ...]:
    """Return every crash point of the product, read from its source.

    Raises:
        ValueError: a name is no literal, or two places bear the same.
    """
    files = (file for room in _ROOMS for file in sorted((ROOT / room).rglob("*.py")))
    names = [name for file in files for name in _named_in(file)]
    if twice := [name for name, times in Counter(names).items() if times > 1]:
        raise ValueError(f"two places bear the same crash point: {', '.join(twice)}")
    return tuple(names)


def worker_points() -> tuple[str, ...]:
    """Return the crash points on a worker's way. A dead sender's messages wait longest, so its points come first."""
    points = (point for point in crash_points() if point not in DOOR_POINTS)
    return tuple(sorted(points, key=lambda point: not point.startswith("send.")))


def _named_in(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "crashpoint":
            [name] = node.args
            if not (isinstance(name, ast.Constant) and isinstance(name.value, str)):
                raise ValueError(f"{file}:{node.lineno}: a crash point is named by a literal")
            yield name.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """A trouble with one provider's answer to one deed."""

    deed: str
    kind: str
    when: str

    def fault(self, order_id: str) -> dict[str, Any]:
        """Return it as the simulator wants it, for one call about one order."""
        provider, route = ROUTES[self.deed]
        match = {"provider": provider, "route": route, "order": order_id}
        return {
            "kind": self.kind,
            "when": self.when,
            "times": 1,
            "match": match,
            **_DETAILS.get(self.kind, {}),
        }

    def __str__(self) -> str:
        return f"{self.deed}: {self.kind} {self.when}"


ROUTES: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "authorize": ("stripe", "POST /v1/payment_intents"),
        "capture": ("stripe", "POST /v1/payment_intents/*/capture"),
        "void": ("stripe", "POST /v1/payment_intents/*/cancel"),
        "refund": ("stripe", "POST /v1/refunds"),
        "buy_label": ("easypost", "POST /v2/shipments/*/buy"),
        "void_label": ("easypost", "POST /v2/shipments/*/refund"),
    }
)
_DETAILS: Final[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {"timeout": {"ms": 800}, "http_5xx": {"status": 500}, "http_429": {"retry_after": 1}}
)
_TROUBLES: Final = (
    ("reset", "after_commit"),
    ("timeout", "after_commit"),
    ("http_5xx", "after_commit"),  # Stripe keeps this answer under the key
    ("truncated_json", "after_commit"),
    ("reset", "before"),
    ("http_429", "before"),
)
TROUBLES: Final = tuple(Lost(deed=deed, kind=kind, when=when) for deed in ROUTES for kind, when in _TROUBLES)

# What is deleted waits until two queues have said how far they are, which they do every half minute by default.
_DELETES_SOON: Final = {
    "history.transferProcessorUpdateAckInterval": "1s",
    "history.visibilityProcessorUpdateAckInterval": "1s",
}


@contextmanager
def chaos_stack(*, workers: int = 2, broken: str = "") -> Iterator[Stack]:
    """Run servers, simulator and armed workers in a folder of their own, deleted afterwards.

    Servers of the caller's are left alone: nobody's data may be in danger here. The shop's clock runs at its natural speed: no timer fires within a run.
    """
    state = Path(mkdtemp(prefix="waybill-chaos-"))
    armed_folder(state).mkdir()
    spec = StackSpec(
        state=state,
        services=SERVERS | {"simulator", "workers"},
        workers=workers,
        speed=1.0,
        frugal=True,
        quiet_ports=True,
        armed=True,
        dynamic_config=_DELETES_SOON,
        env={armed.CRASHPOINTS: str(armed_folder(state)), armed.BROKEN: broken},
    )
    try:
        with _changed_environment(_forget_outside_servers), Stack(spec) as stack:
            yield stack
    finally:
        forget(state)


def armed_folder(state: Path) -> Path:
    """Return where a file arms the point of its name."""
    return state / "armed"


class QuietFloor(RestlessFloor):
    """A floor that leaves some orders where their tale needs them, and never finds again what its tale loses."""

    def __init__(self, shop: Shop) -> None:
        super().__init__(shop)
        self.tales: dict[str, Tale] = {}

    def _take(self, item: WorkItem, step: tuple[str, str]) -> None:
        tale = self.tales.get(item.order_id, Tale.PLAIN)
        stays = tale in (Tale.CANCELLED, Tale.BY_HAND) or (
            tale in (Tale.CALLED_BACK, Tale.ON_A_FORM) and item.work_status is not WorkStatus.RELEASED
        )
        if not stays:
            super()._take(item, step)

    def _news(self, item: WorkItem) -> Sequence[CarrierStatus]:
        if self.tales.get(item.order_id) is Tale.LOST:
            return (CarrierStatus.IN_TRANSIT, CarrierStatus.LOST)
        return MILESTONES


class _Dock:
    """Where the parcel of an order from the second warehouse waits for its carrier."""

    def __init__(self, shop: Shop, order_id: str) -> None:
        self._manifests = ManifestStore(shop.engine, shop.now)
        self._forms = ScanFormStore(shop.engine, shop.now)
        with shop.engine.connect() as conn:
            this = parcel_id(order_id, 1)
            self._carrier = conn.execute(
                select(labels.c.carrier).where(labels.c.parcel_id == this)
            ).scalar_one()

    def asks(self) -> str | None:
        """Return the form that is asked for, of what is on none; None when everything is on one that is made."""
        manifest = self._manifests.make(LEHIGH, self._carrier, by="chaos")
        try:
            return self._forms.ask(manifest.manifest_id, by="chaos")
        except NothingForAForm:
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """A worker killed at a point, and how long an order of its stood still, in seconds."""

    point: str
    stood: float


class NeverEnded(Exception):
    """An order did not end, or an armed point was never passed."""


@dataclass(kw_only=True)
class Arena:
    """Orders on a stack whose workers die where they are told."""

    stack: Stack
    shop: Shop
    floor: QuietFloor
    orders: list[str] = field(default_factory=list)
    lost: dict[str, Lost] = field(default_factory=dict)
    kills: list[Kill] = field(default_factory=list)

    # --- orders

    async def place(
        self, order: Order, tale: Tale, *, within: timedelta = ANSWER_WITHIN
    ) -> PlaceAnswer | None:
        """Accept an order and place it, as the API does."""
        self.floor.tales[order.order_id] = tale
        await asyncio.to_thread(self.shop.accepted.accept, order, by="chaos")
        return await self.shop.processes.place(order.order_id, within=within)

    async def tell(self, order_id: str, tale: Tale) -> None:
        """Place an order and take it to the end of its tale."""
        apart = tale is Tale.ON_A_FORM  # from plain orders' parcels, which leave at once
        order = self.shop.order_from_lehigh if apart else self.shop.order
        await self.place(order(order_id), tale)
        if tale is Tale.CANCELLED:
            await self._cancel(order_id)
        if tale is Tale.CALLED_BACK:
            await self.stands(order_id, WorkStatus.LABELED)
            await self._cancel(order_id)
        if tale is Tale.ON_A_FORM:
            await self.stands(order_id, WorkStatus.LABELED)
            await self._put_on_a_form(order_id)
            self.floor.tales[order_id] = Tale.PLAIN
        await self.ended(order_id)

    async def ended(self, order_id: str) -> None:
        """Return when the order has ended."""
        await self._until(order_id, lambda: self._has_ended(order_id), "did not end")

    async def stands(self, order_id: str, status: WorkStatus) -> None:
        """Return when the order's shipment has this status."""
        await self._until(order_id, lambda: self._stands(order_id, status), f"never became {status}")

    async def _put_on_a_form(self, order_id: str) -> None:
        """List what waits for its carrier, and ask for forms until this order's parcel is on one that is made."""
        dock, began = await asyncio.to_thread(_Dock, self.shop, order_id), time.monotonic()
        while form_id := await asyncio.to_thread(dock.asks):
            if time.monotonic() - began > ENDS_WITHIN:
                raise NeverEnded(
                    f"{order_id} waits for {form_id}, which was not made within {ENDS_WITHIN:.0f} s"
                )
            await self.shop.processes.get_scan_form(form_id)  # once more: Temporal may have been away
            await asyncio.sleep(_ASK_EVERY)

    async def _cancel(self, order_id: str) -> None:
        """Cancel, as often as it takes to be heard: a repeat of the same request is harmless."""
        while True:
            try:
                await self.shop.processes.cancel(
                    order_id, reason="chaos", by="chaos", request_id=f"{order_id}:c"
                )
            except TemporalAway:
                continue
            except VerbRefused:
                if not self._has_ended(order_id):
                    raise
            return

    def _has_ended(self, order_id: str) -> bool:
        ended = select(orders.c.order_id).where(
            orders.c.order_id == order_id, orders.c.completed_at.is_not(None)
        )
        return self._is_there(ended)

    def _stands(self, order_id: str, status: WorkStatus) -> bool:
        standing = select(shipments.c.shipment_id).where(
            shipments.c.order_id == order_id, shipments.c.work_status == status.value
        )
        return self._is_there(standing)

    def _is_there(self, wanted: Select[Any]) -> bool:
        with self.shop.engine.connect() as conn:
            return conn.execute(wanted).first() is not None

    async def _until(self, order_id: str, there: Callable[[], bool], why: str) -> None:
        await _until(there, f"{order_id} {why} within {ENDS_WITHIN:.0f} s")

    def new_id(self, prefix: str) -> str:
        """Return the next order's id."""
        self.orders.append(f"{prefix}-{len(self.orders):03}")
        return self.orders[-1]

    # --- faults

    async def kill_at(self, point: str) -> str:
        """Kill whichever worker passes this point first, and take an order through it to its end; return its id."""
        deed = point.partition(".")[0]
        order_id = self.new_id("KILL")
        file = armed_folder(self.stack.spec.state) / point
        file.touch()
        died = asyncio.create_task(self._gone(file, point))
        await self.tell(order_id, tale_through(deed))
        at = await died
        if stood := await self._stood_still(order_id, since=at):
            self.kills.append(Kill(point=point, stood=stood))
        return order_id

    async def _gone(self, file: Path, point: str) -> datetime:
        await _until(lambda: not file.exists(), f"{point}: nobody passed it within {ENDS_WITHIN:.0f} s")
        return self.shop.now()

    async def _stood_still(self, order_id: str, *, since: datetime) -> float | None:
        """Return how long after a crash the order's next step was done, None if it had ended."""
        history = await self.shop.client.get_workflow_handle(
            contract.order_workflow_id(order_id)
        ).fetch_history()
        for event in history.events:
            at = event.event_time.ToDatetime(since.tzinfo)
            if event.event_type in _STEPS and at > since:
                return (at - since).total_seconds()
        return None

    async def lose(self, lost: Lost) -> str:
        """Take an order through a provider's lost answer to its end; return its id."""
        order_id = self.new_id("LOST")
        self.lost[order_id] = lost
        await asyncio.to_thread(self._arm_fault, lost.fault(order_id))
        await self.tell(order_id, tale_through(lost.deed))
        return order_id

    def _arm_fault(self, fault: Mapping[str, Any]) -> None:
        with api_client(self.stack.urls["simulator"]) as simulator:
            simulator.post("/_sim/faults", fault)

    def faults_fired(self) -> Counter[str]:
        """Return how often each of the providers' faults struck, by order."""
        with api_client(self.stack.urls["simulator"]) as simulator:
            said = simulator.get("/_sim/faults")
        return Counter({fault["match"]["order"]: fault["fired"] for fault in said["faults"]})

    def points_fired(self) -> Counter[str]:
        """Return how often a process died at each point."""
        fired = self.stack.spec.state / "fired"
        return Counter(file.name.partition("@")[0] for file in fired.iterdir())

    # --- the end

    async def verdict(self) -> Report:
        """Return what the audit says when everything has come to rest."""
        await _until(self._nothing_is_being_sent, "the messages are not sent")
        with speaking_to(self.stack):
            return await audit(self.shop.settings)

    def _nothing_is_being_sent(self) -> bool:
        """Let go the messages that dead senders hold: everybody else would wait a minute for them."""
        sending, now = outbox.c.state == "claimed", self.shop.now()
        held_by_the_dead = sending & (outbox.c.lease_until < now + _LEASE_LEFT)
        with self.shop.engine.begin() as conn:
            conn.execute(update(outbox).where(held_by_the_dead).values(lease_until=now))
            return conn.execute(select(outbox.c.notification_id).where(sending)).first() is None


_STEPS: Final = frozenset(
    {EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED, EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED}
)


@asynccontextmanager
async def arena(stack: Stack) -> AsyncIterator[Arena]:
    """Open the shop on a stack, with a floor at work."""
    with speaking_to(stack):
        shop = await open_shop(stack)
    try:
        with QuietFloor(shop) as floor:
            yield Arena(stack=stack, shop=shop, floor=floor)
    finally:
        shop.engine.dispose()


@contextmanager
def speaking_to(stack: Stack) -> Iterator[None]:
    """Make this process a part of the stack for the time of the block."""
    with _changed_environment(lambda: os.environ.update(stack.env)):
        yield


def _forget_outside_servers() -> None:
    for name in ("DATABASE_URL", "TEMPORAL_ADDRESS"):
        os.environ.pop(name, None)


@contextmanager
def _changed_environment(change: Callable[[], None]) -> Iterator[None]:
    before = dict(os.environ)
    change()
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


async def in_lanes(deeds: Sequence[Coroutine[Any, Any, str]], lanes: int = LANES) -> list[str]:
    """Run the deeds, no more than so many at once, and return what they return; the first that fails ends all."""
    free = asyncio.Semaphore(lanes)

    async def one(deed: Coroutine[Any, Any, str]) -> str:
        async with free:
            return await deed

    try:
        async with asyncio.TaskGroup() as group:
            running = [group.create_task(one(deed)) for deed in deeds]
    finally:
        for deed in deeds:
            deed.close()  # those that never began
    return [task.result() for task in running]


async def _until(there: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + ENDS_WITHIN
    while not await asyncio.to_thread(there):
        if time.monotonic() > deadline:
            raise NeverEnded(otherwise)
        await asyncio.sleep(_LOOK_EVERY)
