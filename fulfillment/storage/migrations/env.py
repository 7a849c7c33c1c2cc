"""Runs the migrations, one process at a time."""

from typing import Final

from alembic import context
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from fulfillment.storage.tables import metadata

_LOCK: Final = 7_261_948_305  # any number that nothing else locks by

engine = create_engine(context.config.attributes["url"], poolclass=NullPool)
with engine.begin() as connection:
    # Held to the end of the transaction: a second process waits here, then finds nothing left to do.
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    context.configure(connection=connection, target_metadata=metadata)
    context.run_migrations()
