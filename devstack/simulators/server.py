"""The simulator's process: uvicorn, taught to hang up on a client when a fault asks for it."""

import asyncio
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from devstack.simulators.wire import ABORT


class RudeProtocol(H11Protocol):
    """HTTP/1.1 whose application may close the connection without an answer."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Hand the connection to the application beside the request."""
        super().connection_made(transport)
        self.app: Any = _with_abort(self.app, transport)


def _with_abort(app: ASGIApp, transport: asyncio.Transport) -> ASGIApp:
    async def served(scope: Scope, receive: Receive, send: Send) -> None:
        scope[ABORT] = transport.abort
        await app(scope, receive, send)

    return served


def server(app: ASGIApp, host: str, port: int) -> uvicorn.Server:
    """Return a server that stops within a second, whatever it holds back."""
    config = uvicorn.Config(
        app, host=host, port=port, http=RudeProtocol, ws="none", lifespan="on", log_level="warning",
        access_log=False, timeout_graceful_shutdown=1, timeout_keep_alive=30,
    )  # fmt: skip
    return uvicorn.Server(config)
