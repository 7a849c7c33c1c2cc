"""Embedded PostgreSQL: as root, under a closed home, in long paths with spaces, and after kill -9."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg2
import pytest

from devstack import postgres
from devstack.ports import Ports
from devstack.postgres import Postgres
from devstack.processes import Supervisor

LONG = "a folder with spaces, " * 6


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    made = Supervisor()
    yield made
    made.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Postgres]:
    # tmp_path lies under a folder closed to others, as root's home is.
    folder = tmp_path / LONG.strip()
    folder.mkdir(mode=0o700)
    ports = Ports()
    yield Postgres(data=folder / "postgres", port=ports.any(), password="a pass/word: 'odd'", frugal=True)
    ports.release()
    postgres.delete(folder / "postgres")


def run(server: Postgres, supervisor: Supervisor, log: Path) -> None:
    supervisor.start(server.command(log))
    supervisor.wait_ready("postgres", server.ready, timeout=30)


def query(server: Postgres, statement: str) -> list[tuple[object, ...]]:
    connection = psycopg2.connect(server.url.replace("+psycopg2", ""))
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall()) if cursor.description else []
    finally:
        connection.close()


def test_what_was_committed_survives_kill_9(server: Postgres, supervisor: Supervisor, tmp_path: Path) -> None:
    run(server, supervisor, tmp_path / "log")
    query(server, "CREATE TABLE kept AS SELECT 42 AS answer")

    supervisor.kill("postgres")
    time.sleep(0.2)
    supervisor.wait_ready("postgres", server.ready, timeout=30)

    assert query(server, "SELECT answer FROM kept") == [(42,)]


def test_it_runs_as_nobody_when_we_are_root(server: Postgres, supervisor: Supervisor, tmp_path: Path) -> None:
    run(server, supervisor, tmp_path / "log")

    pid = supervisor.views()[0].pid

    assert pid is not None
    assert psutil.Process(pid).uids().real != 0
    assert (psutil.Process(pid).uids().real == os.getuid()) is (os.getuid() != 0)


def test_a_wrong_password_is_refused(server: Postgres, supervisor: Supervisor, tmp_path: Path) -> None:
    run(server, supervisor, tmp_path / "log")

    with pytest.raises(psycopg2.OperationalError, match="password"):
        psycopg2.connect(
            host="127.0.0.1", port=server.port, user="waybill", password="guessed", dbname="waybill"
        )


def test_an_interrupted_first_start_is_made_again(
    server: Postgres, supervisor: Supervisor, tmp_path: Path
) -> None:
    half = postgres.home_of(server.data) / "data.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18")

    run(server, supervisor, tmp_path / "log")

    assert query(server, "SELECT 1") == [(1,)]


def test_a_lock_file_that_outlived_its_server_does_not_matter(
    server: Postgres, supervisor: Supervisor, tmp_path: Path
) -> None:
    server.command(tmp_path / "log")
    lock = postgres.home_of(server.data) / "data" / "postmaster.pid"
    lock.write_text(f"{os.getppid()}\n")

    run(server, supervisor, tmp_path / "log")

    assert query(server, "SELECT 1") == [(1,)]
