"""The simulator as one ASGI application: the providers' doors, and what runs behind them."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from starlette.applications import Starlette
from starlette.routing import Mount

from devstack.simulators.clock import Clock
from devstack.simulators.control import Control
from devstack.simulators.easypost import EasyPost
from devstack.simulators.faults import Faults
from devstack.simulators.ledger import Ledger
from devstack.simulators.mailbox import Mailbox
from devstack.simulators.parcels import Parcels
from devstack.simulators.sender import Sender
from devstack.simulators.shelves import Shelves
from devstack.simulators.store import Store
from devstack.simulators.stripe import Stripe
from devstack.simulators.twilio import Twilio
from devstack.simulators.wire import Door

log = logging.getLogger(__name__)
HOUSEKEEPING: Final = 0.5  # real seconds between two looks at holds, refunds and keys


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorConfig:
    """How the world is set up. What is None keeps what the file remembers.

    `anchor` is epoch seconds; without one, a new file begins at this moment.
    """

    db: Path
    speed: float = 7200.0
    anchor: float | None = None
    seed: int = 1
    host: str = "127.0.0.1"
    smtp_port: int | None = None
    stripe_webhook_url: str | None = None
    stripe_webhook_secret: str | None = None
    easypost_webhook_url: str | None = None
    easypost_webhook_secret: str | None = None
    twilio_webhook_url: str | None = None
    twilio_webhook_secret: str | None = None
    multicapture: bool = False
    webhook_noise: bool = False


class World:
    """Everything behind the doors, joined once."""

    def __init__(self, config: SimulatorConfig) -> None:
        self.config = config
        self.store = Store(config.db)
        self.clock = Clock(anchor=_anchor(self.store, config.anchor), speed=config.speed)
        self.faults = Faults(self.store, config.seed)
        self.sender = Sender(self.store, self.faults, config.seed)
        self.parcels = Parcels(self.store, self.clock, self.sender, config.seed)
        self.shelves = Shelves(self.store)
        self.mailbox = Mailbox(self.store, self.clock, self.faults)
        self.twilio = Twilio(self.store, self.clock, self.sender)
        self.ledger = Ledger(self.store, self.clock, self.faults, self.twilio)
        self.stripe = Stripe(self.store, self.clock, self.sender, multicapture=config.multicapture)
        self.easypost = EasyPost(self.store, self.clock, self.parcels, self.faults, config.seed)
        self._aim()
        if config.webhook_noise:
            self.faults.noise(True)

    def _aim(self) -> None:
        config, aim = self.config, self.sender.aim
        aim("stripe", url=config.stripe_webhook_url, secret=config.stripe_webhook_secret)
        aim("easypost", url=config.easypost_webhook_url, secret=config.easypost_webhook_secret)
        aim("twilio", url=config.twilio_webhook_url, secret=config.twilio_webhook_secret)

    async def keep_house(self) -> None:
        """Expire what is due, until cancelled."""
        while True:
            with self.store.transaction():
                self.stripe.expire_holds()
                self.stripe.fail_refunds()
                self.stripe.decide_what_waited()
                self.stripe.prune_keys()
            await asyncio.sleep(HOUSEKEEPING)

    async def live(self) -> None:
        """Run everything that happens by itself, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for deed in (self.keep_house, self.parcels.run, self.sender.run):
                tasks.create_task(deed())


def create_app(config: SimulatorConfig) -> Starlette:
    """Return the application. Its lifespan opens the mail port and closes the file."""
    world = World(config)
    control = Control(world)
    doors = [
        Mount("/stripe/v1", app=Door(world.stripe, world.faults, world.store)),
        Mount("/easypost/v2", app=Door(world.easypost, world.faults, world.store)),
        Mount("/twilio/2010-04-01", app=Door(world.twilio, world.faults, world.store)),
    ]
    return Starlette(routes=[*doors, *control.routes()], lifespan=_lifespan(world))


def _lifespan(world: World) -> Callable[[Starlette], Any]:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        port = world.config.smtp_port
        mail = None if port is None else await world.mailbox.listen(world.config.host, port)
        life = asyncio.create_task(world.live())
        life.add_done_callback(_cry)
        try:
            yield
        finally:
            life.cancel()
            await asyncio.wait([life], timeout=1.0)
            if mail is not None:
                mail.close()
            world.store.close()

    return lifespan


def _cry(life: asyncio.Task[None]) -> None:
    """Say loudly that the world stopped: without its loops no scan and no webhook comes any more."""
    if not life.cancelled() and (error := life.exception()) is not None:
        log.critical("the simulated world stopped", exc_info=error)


def _anchor(store: Store, wanted: float | None) -> float:
    """Return where both clocks agree; a file keeps its own, so that a restart does not move time."""
    kept = store.recall("anchor")
    anchor = wanted if wanted is not None else float(kept) if kept else time.time()
    store.remember("anchor", repr(anchor))
    return anchor
