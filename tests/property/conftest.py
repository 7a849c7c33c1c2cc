"""A real PostgreSQL for the runs, as the tests of the storage room have it."""

from tests.storage.conftest import database_url, engine, migrated_url, server, server_url

__all__ = ["database_url", "engine", "migrated_url", "server", "server_url"]
