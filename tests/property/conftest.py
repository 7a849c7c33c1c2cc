"""A real PostgreSQL for the runs, as the tests of the storage room have it."""

from tests.storage.conftest import compiled, database_url, engine, migrated_url, server, server_url

__all__ = ["compiled", "database_url", "engine", "migrated_url", "server", "server_url"]
