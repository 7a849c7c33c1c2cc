"""A real PostgreSQL, and a database of its own for every test, copied from one that was migrated once."""

import itertools
import os
import secrets
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from sqlalchemy import URL, Engine, create_engine, make_url, text
from sqlalchemy.pool import NullPool

from devstack.ports import free_ports
from devstack.postgres import Postgres, delete
from devstack.processes import Supervisor
from fulfillment.storage.engine import connect, migrate
from tests.storage.shop import Clock, Shop

_number: Final = itertools.count(1)


@pytest.fixture(scope="session")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[URL]:
    """The server: the one at DATABASE_URL_TEST, else an embedded one for this run."""
    if given := os.environ.get("DATABASE_URL_TEST"):
        yield make_url(given).set(drivername="postgresql+psycopg2")
        return
    folder = tmp_path_factory.mktemp("postgres")
    postgres = Postgres(data=folder / "data", port=_free_port(), password="test", frugal=True)
    supervisor = Supervisor()
    try:
        supervisor.start(postgres.command(folder / "log"))
        supervisor.wait_ready("postgres", postgres.ready, timeout=60)
        yield make_url(postgres.url)
    finally:
        supervisor.stop()
        delete(postgres.data)
