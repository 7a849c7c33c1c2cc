"""Claims of a shop that is brought up to date, and back, stay what they were."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import URL, Engine, create_engine, text
from sqlalchemy.pool import NullPool

import fulfillment.storage.migrations

_BEFORE = """
INSERT INTO orders (order_id, channel, external_ref, status, currency, shipping_fee, total, service, customer_id, email,
    ship_to, payment_method, policy_version, tracking_token, content_hash, placed_at, accepted_at)
SELECT 'SO-' || n, 'web', n, 'reserved', 'USD', 0, 1, 'standard', 'C', '', '{}', 'pm', '', n, '', now(), now()
FROM generate_series(1, 2) n;
INSERT INTO reservations (order_id, sku, location_id, quantity, state)
VALUES ('SO-1', 'MUG', 'wh-reno', 2, 'active'), ('SO-2', 'MUG', 'wh-reno', 1, 'consumed')
"""
_CLAIMED_ANEW = """
UPDATE reservations SET state = 'expired' WHERE order_id = 'SO-1';
INSERT INTO reservations (order_id, operation_key, sku, location_id, quantity, state, expires_at)
VALUES ('SO-1', 'SO-1:reserve:2', 'MUG', 'wh-reno', 2, 'active', now()),
    ('SO-1', 'SO-1:reserve:3', 'MUG', 'wh-reno', 3, 'active', now())
"""


def test_claims_survive_the_way_up_and_the_way_back(server: Engine, server_url: URL) -> None:
    with server.connect() as conn:
        conn.execute(text("DROP DATABASE IF EXISTS kept"))
        conn.execute(text("CREATE DATABASE kept"))
    url = server_url.set(database="kept")
    config = Config()
    config.set_main_option("script_location", str(Path(fulfillment.storage.migrations.__file__).parent))
    config.attributes["url"] = url
    engine = create_engine(url, poolclass=NullPool)

    def did(script: str) -> None:
        with engine.begin() as conn:
            conn.exec_driver_sql(script)

    def rows(columns: str) -> list[tuple[object, ...]]:
        with engine.connect() as conn:
            return [
                tuple(row)
                for row in conn.exec_driver_sql(f"SELECT {columns} FROM reservations ORDER BY 1, 2")
            ]

    command.upgrade(config, "0001")
    did(_BEFORE)
    command.upgrade(config, "0002")
    above = rows("order_id, operation_key, quantity, state")
    did(_CLAIMED_ANEW)
    command.downgrade(config, "0001")

    assert above == [("SO-1", "SO-1:reserve", 2, "active"), ("SO-2", "SO-2:reserve", 1, "consumed")]
    assert rows("order_id, sku, quantity, state") == [
        ("SO-1", "MUG", 5, "active"),
        ("SO-2", "MUG", 1, "consumed"),
    ]
    with server.connect() as conn:
        conn.execute(text("DROP DATABASE kept WITH (FORCE)"))
