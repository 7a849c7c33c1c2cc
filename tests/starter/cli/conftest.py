"""The command line as a person uses it, on a database of its own."""

import secrets
from collections.abc import Callable, Iterator, Sequence

import pytest
from click.testing import Result
from sqlalchemy import URL, Engine, text
from typer.testing import CliRunner

from devstack.seed import seed
from fulfillment.settings import real_now
from fulfillment.storage.engine import connect, migrate
from fulfillment.storage.stock import StockStore
from starter.cli import app
from tests.storage.conftest import database_url, server, server_url

__all__ = ["database_url", "server", "server_url"]

Waybill = Callable[..., Result]


@pytest.fixture(scope="session")
def migrated_url(server: Engine, server_url: URL) -> Iterator[str]:
    """A database of the command line's own; `database_url` empties it for every test."""
    name = f"cli_{secrets.token_hex(4)}"
    with server.connect() as conn:
        conn.execute(text(f"CREATE DATABASE {name}"))
    url = server_url.set(database=name).render_as_string(hide_password=False)
    migrate(url)
    yield url
    with server.connect() as conn:
        conn.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def books(database_url: str) -> Iterator[Engine]:
    """The database behind the commands, with two locations and the demo's products."""
    engine = connect(database_url, pool_size=2)
    seed(StockStore(engine, real_now))
    yield engine
    engine.dispose()


@pytest.fixture
def waybill(books: Engine, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Waybill:
    """Run a command as maria and return how it ended."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("LOGNAME", "maria")
    monkeypatch.setenv("COLUMNS", "120")

    def run(*words: object) -> Result:
        return invoke([str(word) for word in words])

    return run


def invoke(words: Sequence[str]) -> Result:
    """Run a command; anything but an orderly end is raised."""
    result = CliRunner().invoke(app, list(words))
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result
