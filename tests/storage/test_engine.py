"""The schema is what the tables say, however often and by whomever it is made."""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import URL, Engine, make_url, text

from fulfillment.storage.engine import connect, migrate
from fulfillment.storage.tables import metadata


def test_the_migrated_schema_is_the_one_the_tables_describe(engine: Engine) -> None:
    with engine.connect() as conn:
        difference = compare_metadata(MigrationContext.configure(conn), metadata)

    assert difference == []


def test_two_processes_may_migrate_an_empty_database_at_once_and_again(
    server: Engine, server_url: URL
) -> None:
    with server.connect() as conn:
        conn.execute(text("CREATE DATABASE both_at_once"))
    url = server_url.set(database="both_at_once").render_as_string(hide_password=False)

    try:
        with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as both:
            list(both.map(migrate, [url, url]))
        migrate(url)
        engine = connect(url)
        with engine.connect() as conn:
            versions = conn.execute(text("SELECT version_num FROM alembic_version")).scalars().all()
        engine.dispose()
    finally:
        with server.connect() as conn:
            conn.execute(text("DROP DATABASE both_at_once WITH (FORCE)"))

    assert len(versions) == 1


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg2"])
def test_both_ways_to_write_the_url_reach_the_database(database_url: str, scheme: str) -> None:
    url = make_url(database_url).set(drivername=scheme).render_as_string(hide_password=False)

    engine = connect(url, pool_size=1)

    with engine.connect() as conn:
        assert conn.execute(text("SELECT 1")).scalar_one() == 1
    engine.dispose()
