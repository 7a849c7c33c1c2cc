"""A real PostgreSQL, and a database of its own for every test, copied from one that was migrated once."""

import itertools
import os
from collections.abc import Iterator
from typing import Final

import pytest
from sqlalchemy import URL, Engine, create_engine, make_url, text
from sqlalchemy.pool import NullPool

from devstack.ports import Ports
from devstack.postgres import Postgres, delete
from devstack.processes import Supervisor
from fulfillment.storage.engine import connect, migrate
from tests.storage.house import House

_NUMBER: Final = itertools.count(1)


@pytest.fixture(scope="session")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[URL]:
    """The server: the one at DATABASE_URL_TEST, else an embedded one for this run."""
    if given := os.environ.get("DATABASE_URL_TEST"):
        yield make_url(given).set(drivername="postgresql+psycopg2")
        return
    folder, ports = tmp_path_factory.mktemp("postgres"), Ports()
    postgres = Postgres(data=folder / "data", port=ports.any(), password="test", frugal=True)
    supervisor = Supervisor()
    try:
        supervisor.start(postgres.command(folder / "log"))
        supervisor.wait_ready("postgres", postgres.ready, timeout=60)
        yield make_url(postgres.url)
    finally:
        supervisor.close()
        delete(postgres.data)
        ports.release()


@pytest.fixture(scope="session")
def server(server_url: URL) -> Iterator[Engine]:
    """The server's own database, from which others are made and dropped."""
    engine = create_engine(
        server_url.set(database="postgres"), isolation_level="AUTOCOMMIT", poolclass=NullPool
    )
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def template(server: Engine, server_url: URL) -> Iterator[str]:
    """The name of a migrated, empty database."""
    name = f"template_{os.getpid()}"
    _run(server, f"CREATE DATABASE {name}")
    migrate(_url(server_url, name))
    yield name
    _run(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database_url(server: Engine, server_url: URL, template: str) -> Iterator[str]:
    """A migrated, empty database for one test."""
    name = f"test_{os.getpid()}_{next(_NUMBER)}"
    _run(server, f"CREATE DATABASE {name} TEMPLATE {template}")
    yield _url(server_url, name)
    _run(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """A pool on the test's database, wide enough for a crowd."""
    engine = connect(database_url, pool_size=16)
    yield engine
    engine.dispose()


@pytest.fixture
def house(engine: Engine) -> House:
    """A shop without stock yet."""
    return House(engine)


def _run(server: Engine, statement: str) -> None:
    with server.connect() as conn:
        conn.execute(text(statement))


def _url(server_url: URL, name: str) -> str:
    return server_url.set(database=name).render_as_string(hide_password=False)
