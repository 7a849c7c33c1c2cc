"""The command line as a person uses it, on a database of its own."""

from collections.abc import Callable, Iterator, Sequence

import pytest
from click.testing import Result
from sqlalchemy import Engine
from typer.testing import CliRunner

from devstack.seed import seed
from fulfillment.settings import real_now
from fulfillment.storage.engine import connect
from fulfillment.storage.stock import StockStore
from starter.cli import app
from tests.storage.conftest import database_url, server, server_url, template

__all__ = ["database_url", "server", "server_url", "template"]

Waybill = Callable[..., Result]


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
