"""An empty database again, for next to nothing."""

from typing import Final

from sqlalchemy import Connection, text

from fulfillment.storage.tables import metadata

# Who refers to others first. TRUNCATE costs three milliseconds for each table, empty or not; a look costs a twentieth.
_TABLES: Final = [table.name for table in reversed(metadata.sorted_tables)]
_FULL: Final = text(
    " UNION ALL ".join(f"SELECT '{name}' WHERE EXISTS (SELECT FROM {name})" for name in _TABLES)
)
_COUNTED: Final = text("SELECT sequencename FROM pg_sequences WHERE last_value IS NOT NULL")


def empty(conn: Connection) -> None:
    """Delete every row there is, and let every sequence count from one."""
    full = set(conn.execute(_FULL).scalars())
    for name in _TABLES:
        if name in full:
            conn.execute(text(f"DELETE FROM {name}"))
    for name in conn.execute(_COUNTED).scalars().all():
        conn.execute(text(f"ALTER SEQUENCE {name} RESTART"))
