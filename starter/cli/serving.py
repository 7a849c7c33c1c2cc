"""Serving the doors, bringing the database up to date, and showing how all of it is set up."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated, Final

import typer
from sqlalchemy import Engine, text

from fulfillment import logs, temporal
from fulfillment.domain import policy
from fulfillment.settings import Settings, load_settings, real_now, shop_now
from fulfillment.storage.carrier_claims import CarrierClaims
from fulfillment.storage.carriers import CarrierStore
from fulfillment.storage.conditions import ConditionStore
from fulfillment.storage.contacts import ContactStore
from fulfillment.storage.corrections import CorrectionStore
from fulfillment.storage.counts import CountStore
from fulfillment.storage.engine import connect, migrate
from fulfillment.storage.erasure import ErasureStore
from fulfillment.storage.held_orders import HeldOrders
from fulfillment.storage.idempotency import IdempotencyKeys
from fulfillment.storage.manifests import ManifestStore
from fulfillment.storage.missing import MissingStore
from fulfillment.storage.open_cases import OpenCases
from fulfillment.storage.orders import OrderStore
from fulfillment.storage.packing import PackingStore
from fulfillment.storage.payment_news import PaymentInbox
from fulfillment.storage.picking import PickingStore
from fulfillment.storage.records import RecordStore
from fulfillment.storage.refunds import RefundStore
from fulfillment.storage.rejections import RejectionStore
from fulfillment.storage.replenishment import ReplenishmentStore
from fulfillment.storage.returns import ReturnStore
from fulfillment.storage.scan_forms import ScanFormStore
from fulfillment.storage.shipping import ShippingBooks
from fulfillment.storage.signals import SignalStore
from fulfillment.storage.sourcing import SourcingStore
from fulfillment.storage.stock import StockStore
from fulfillment.storage.transfers import TransferStore
from fulfillment.storage.unknown_codes import UnknownCodes
from fulfillment.storage.views import OrderViews
from fulfillment.storage.warehouse import WarehouseStore
from fulfillment.storage.webhooks import WebhookStore
from starter.cli.terminal import JsonOption, answering, table
from starter.orders import Orders
from starter.relay import Relay
from starter.schedules import ensure_when_reachable

if TYPE_CHECKING:  # FastAPI takes half a second to load, and only `web` needs it
    from socket import socket

    from fastapi import FastAPI

    from starter.doors import Doors

app = typer.Typer()
db = typer.Typer(no_args_is_help=True, help="The database's schema.")
config = typer.Typer(no_args_is_help=True, help="How this computer is set up.")
app.add_typer(db, name="db")
app.add_typer(config, name="config")

# As many as there are requests at work at once, and the relay's.
_CONNECTIONS: Final = 20
_LAST_REQUESTS_S: Final = 5


@app.command()
def web(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port to listen on.")] = 8000,
) -> None:
    """Serve the API, the pages and the providers' webhooks, and start what was accepted meanwhile."""
    with answering():
        settings = load_settings("database_url")
        logs.configure()
        asyncio.run(_serve(settings, host, port))


async def _serve(settings: Settings, host: str, port: int) -> None:
    import uvicorn

    class Server(uvicorn.Server):
        """A server that ends its event streams before it waits for the last requests."""

        async def shutdown(self, sockets: "list[socket] | None" = None) -> None:
            await doors.state.watch.close()
            await super().shutdown(sockets)

    doors = await application(settings)
    options = uvicorn.Config(
        doors,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_LAST_REQUESTS_S,
    )
    await Server(options).serve()


async def application(settings: Settings) -> "FastAPI":
    """Return the web application on what the settings name; its lifespan runs the relay.

    Nothing needs to answer yet: the database and Temporal are reached when they are first needed.
    """
    from starter.web import create_app

    engine = connect(settings.database_url, pool_size=_CONNECTIONS)
    now = partial(shop_now, settings.clock)
    orders, signals = OrderStore(engine, now), SignalStore(engine, now)
    client = await temporal.connect(lazy=True)
    processes = Orders(
        client,
        orders=orders,
        addresses=RecordStore(engine, now),
        signals=signals,
        policy=policy.DEFAULT,
        clock=settings.clock,
    )
    app = create_app(_doors(settings, engine, processes, orders, signals, now))
    schedules = partial(ensure_when_reachable, client, policy=policy.DEFAULT, clock=settings.clock)
    app.router.lifespan_context = partial(
        _behind_the_doors, Relay(processes, orders, signals), schedules, engine
    )
    return app


@asynccontextmanager
async def _behind_the_doors(
    relay: Relay, make_schedules: Callable[[], Awaitable[None]], engine: Engine, _app: "FastAPI"
) -> AsyncIterator[None]:
    running = asyncio.gather(relay.run(), make_schedules())
    yield
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    engine.dispose()


def _doors(
    settings: Settings,
    engine: Engine,
    processes: Orders,
    orders: OrderStore,
    signals: SignalStore,
    now: Callable[[], datetime],
) -> "Doors":
    from starter.access import Keyring
    from starter.doors import Doors

    return Doors(
        processes=processes,
        intake=orders,
        views=OrderViews(engine, now),
        facts=signals,
        floor=WarehouseStore(engine, now),
        picking=PickingStore(engine, now, WarehouseStore(engine, now)),
        rejections=RejectionStore(engine, now),
        benches=PackingStore(engine, now),
        labels=ShippingBooks(engine, now, real_now),
        manifests=ManifestStore(engine, now),
        scan_forms=ScanFormStore(engine, now),
        stock=StockStore(engine, now),
        conditions=ConditionStore(engine, now),
        returns=ReturnStore(engine, now),
        counts=CountStore(engine, now),
        transfers=TransferStore(engine, now),
        carriers=CarrierStore(engine, now),
        expected=ReplenishmentStore(engine, now),
        sourcing=SourcingStore(engine, now),
        payment_news=PaymentInbox(engine, now),
        refunds=RefundStore(engine, now),
        missing=MissingStore(engine, now),
        cases=OpenCases(engine),
        held=HeldOrders(engine),
        parcel_news=ShippingBooks(engine, now, real_now),
        contacts=ContactStore(engine, now),
        erasures=ErasureStore(engine, now),
        claims=CarrierClaims(engine, now),
        webhooks=WebhookStore(engine, now, settings.clock),
        corrections=CorrectionStore(engine, now),
        unknown_codes=UnknownCodes(engine, now),
        idempotency=IdempotencyKeys(engine, real_now),
        keyring=Keyring(settings.api_keys),
        now=now,
        real_now=real_now,
        ping=partial(_ping, engine),
        public_url=settings.public_url,
        shop_name=settings.shop_name,
        stripe_secrets=_secrets(settings.stripe_webhook_secret),
        easypost_secrets=_secrets(settings.easypost_webhook_secret),
        twilio_tokens=_secrets(settings.twilio_token),
    )


def _ping(engine: Engine) -> None:
    with engine.connect() as conn:
        conn.execute(text("SELECT 1"))


def _secrets(text: str) -> tuple[str, ...]:
    """Return the secrets in a setting: several, separated by blanks, while one replaces another."""
    return tuple(text.split())


@db.command()
def upgrade() -> None:
    """Bring the schema up to date; harmless to repeat."""
    with answering() as out:
        migrate(load_settings("database_url").database_url)
        out.say("the schema is up to date")


@config.command("show")
def show_config(as_json: JsonOption = False) -> None:
    """Print every setting with where its value came from; secrets only as set or not."""
    with answering(as_json=as_json) as out:
        settings = list(load_settings().shown())
        made = table("Variable", "Value", "From")
        for setting in settings:
            made.add_row(setting.variable, setting.value, setting.source)
        data = [{"variable": s.variable, "value": s.value, "source": s.source} for s in settings]
        out.answer({"settings": data}, made)
