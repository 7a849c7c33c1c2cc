"""The doors, in this process and on a real socket."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI
from structlog.testing import capture_logs

from fulfillment.http import asgi_client
from starter.api.live import Watch
from starter.web import create_app
from tests.starter.world import World, a_world


@pytest.fixture
def world() -> World:
    return a_world()


@pytest.fixture(scope="session")
def built() -> FastAPI:
    """The application; building it once saves most of a short test's time."""
    return create_app(a_world().doors())


@pytest.fixture
def logged() -> Iterator[list[Any]]:
    """What the doors write to the log."""
    with capture_logs() as lines:
        yield lines


@pytest.fixture
def app(built: FastAPI, world: World, logged: list[Any]) -> FastAPI:
    """The application on this test's world."""
    built.state.doors = world.doors()
    built.state.watch = Watch(world.books.heads, every=0.02, ping=0.2)
    return built


@pytest.fixture
async def open_door(app: FastAPI) -> AsyncIterator[Callable[[str], Any]]:
    """A client with the key of a role, "" for none."""
    clients: list[Any] = []

    def with_key(key: str) -> Any:
        clients.append(asgi_client(app, key=key))
        return clients[-1]

    yield with_key
    for client in clients:
        await client.aclose()


@pytest.fixture
def storefront(open_door: Callable[[str], Any]) -> Any:
    return open_door("storefront-key")


@pytest.fixture
def support(open_door: Callable[[str], Any]) -> Any:
    return open_door("support-key")


@pytest.fixture
def warehouse(open_door: Callable[[str], Any]) -> Any:
    return open_door("warehouse-key")


@pytest.fixture
def anybody(open_door: Callable[[str], Any]) -> Any:
    return open_door("")


@asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[str]:
    """Serve the doors on a socket of this computer: streams need a real server."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        running = asyncio.create_task(server.serve(sockets=[listening]))
        while not server.started:
            await asyncio.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            await app.state.watch.close()
            server.should_exit = True
            await running


@pytest.fixture
async def served_at(app: FastAPI) -> AsyncIterator[str]:
    async with served(app) as url:
        yield url
