"""A real PostgreSQL with a database that is empty at the start of every test."""

import os
from collections.abc import Iterator

import pytest
from sqlalchemy import URL, Engine, create_engine, make_url, text
from sqlalchemy.pool import NullPool

from devstack.ports import Ports
from devstack.postgres import Postgres, delete
from devstack.processes import Supervisor
from fulfillment.storage.engine import connect, migrate
from tests.storage.emptying import empty
from tests.storage.house import House


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
def migrated_url(server: Engine, server_url: URL) -> Iterator[str]:
    """A migrated database of this run's own."""
    name = f"test_{os.getpid()}"
    url = server_url.set(database=name).render_as_string(hide_password=False)
    _run(server, f"CREATE DATABASE {name}")
    migrate(url)
    yield url
    _run(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database_url(migrated_url: str) -> str:
    """The database, empty again and counting from one: a copy for every test costs many times as much."""
    engine = create_engine(migrated_url, poolclass=NullPool)
    with engine.begin() as conn:
        conn.execute(text("SET LOCAL lock_timeout = '10s'"))
        empty(conn)
    return migrated_url


@pytest.fixture(scope="session")
def compiled(migrated_url: str) -> Engine:
    """One engine for the run: it remembers every statement that it compiled, which takes longer than most tests."""
    return connect(migrated_url, pool_size=16)


@pytest.fixture
def engine(compiled: Engine, database_url: str) -> Iterator[Engine]:
    """A pool on the test's database, wide enough for a crowd."""
    yield compiled
    compiled.dispose()


@pytest.fixture
def house(engine: Engine) -> House:
    """A shop without stock yet."""
    return House(engine)


def _run(engine: Engine, statement: str) -> None:
    with engine.connect() as conn:
        conn.execute(text(statement))
