"""The way to PostgreSQL, and the schema brought up to date."""

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from sqlalchemy import URL, Engine, create_engine, make_url

_MIGRATIONS: Final = Path(__file__).with_name("migrations")
_CONNECT_TIMEOUT_S: Final = 2


def connect(database_url: str, *, pool_size: int = 10) -> Engine:
    """Return an engine of at most `pool_size` connections; each store opens its own short transactions on it.

    A connection is not asked whether it lives before each use: that would be a fifth of all round trips. The
    first error after PostgreSQL went away empties the whole pool, and every caller of ours tries again.
    """
    return create_engine(
        _url(database_url),
        pool_size=pool_size,
        max_overflow=0,
        pool_use_lifo=True,
        isolation_level="READ COMMITTED",
        connect_args={"connect_timeout": _CONNECT_TIMEOUT_S, "options": "-c timezone=UTC"},
    )


def migrate(database_url: str) -> None:
    """Bring the schema up to date. Harmless to repeat, and when another process does it at the same time."""
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["url"] = _url(database_url)
    command.upgrade(config, "head")


def _url(database_url: str) -> URL:
    url = make_url(database_url)
    return url.set(drivername="postgresql+psycopg2") if url.drivername == "postgresql" else url
