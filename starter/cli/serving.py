"""Serving the doors, bringing the database up to date, and showing how all of it is set up."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated, Final

import typer
from sqlalchemy import Engine, text

from fulfillment import logs, temporal
from fulfillment.domain import policy
from fulfillment.settings import Settings, load_settings, real_now, shop_now
from fulfillment.storage.engine import connect, migrate
from fulfillment.storage.idempotency import IdempotencyKeys
from fulfillment.storage.inbox import PaymentInbox
from fulfillment.storage.orders import OrderStore
from fulfillment.storage.replenishment import ReplenishmentStore
from fulfillment.storage.shipping import ShippingBooks
from fulfillment.storage.signals import SignalStore
from fulfillment.storage.stock import StockStore
from fulfillment.storage.views import OrderViews
from fulfillment.storage.warehouse import WarehouseStore
from starter.cli.terminal import JsonOption, answering, table
from starter.orders import Orders
from starter.relay import Relay

if TYPE_CHECKING:  # FastAPI takes half a second to load, and only `web` needs it
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
    import uvicorn

    with answering():
        settings = load_settings("database_url")
        logs.configure()
        application = asyncio.run(_application(settings))
        uvicorn.run(
            application,
            host=host,
            port=port,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_LAST_REQUESTS_S,
        )


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
