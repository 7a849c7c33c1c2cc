"""Money that was booked per shipment keeps its meaning when payments get shares."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import URL, Engine, create_engine, make_url, text
from sqlalchemy.pool import NullPool

from fulfillment.storage import migrations

# Two shipments, each with a declined attempt and then a captured one; the second was lost and given back.
OLD = """
INSERT INTO locations (location_id, name, address, priority) VALUES ('wh', 'Wh', '{}', 1);
INSERT INTO orders (order_id, channel, external_ref, status, currency, shipping_fee, total, service, customer_id, email,
    ship_to, payment_method, policy_version, tracking_token, content_hash, placed_at, accepted_at)
VALUES ('SO-1', 'web', 'SO-1', 'completed', 'USD', 0, 300, 'standard', 'C', 'a@example.com', '{}', 'pm', '1', 't', 'h',
    now(), now());
INSERT INTO shipments (shipment_id, order_id, n, location_id, work_status, waits_for, value, ship_by)
SELECT 'SO-1-' || n, 'SO-1', n, 'wh', 'closed', 'nothing', n * 100, now() FROM generate_series(1, 2) n;
INSERT INTO payments (payment_id, order_id, shipment_id, attempt, provider, provider_ref, status, currency, asked,
    authorized, captured, refunded, created_at)
SELECT 'SO-1:authorize:SO-1-' || n || ':' || a, 'SO-1', 'SO-1-' || n, a, 'stripe', 'pi_' || n || a,
    CASE a WHEN 1 THEN 'declined' ELSE 'captured' END, 'USD', n * 100, (a - 1) * n * 100, (a - 1) * n * 100,
    CASE WHEN a = 2 AND n = 2 THEN 200 ELSE 0 END, now() + a * interval '1 hour'
FROM generate_series(1, 2) n, generate_series(1, 2) a;
INSERT INTO provider_operations (operation_key, order_id, kind, subject, amount, state, claimed_at)
VALUES ('SO-1:capture:SO-1-2:2', 'SO-1', 'capture', 'SO-1-2', 200, 'succeeded', now()),
    ('SO-1:refund:SO-1-2:2', 'SO-1', 'refund', 'SO-1-2', 200, 'succeeded', now()),
    ('SO-1:buy_label:SO-1-P1:1', 'SO-1', 'buy_label', 'SO-1-P1', 0, 'succeeded', now());
"""


def _config(url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.attributes["url"] = make_url(url)
    return config


@pytest.fixture
def old(server: Engine, server_url: URL) -> Iterator[str]:
    """A database of its own, as it was before."""
    name = "test_before_shares"
    with server.connect() as conn:
        conn.execute(text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
        conn.execute(text(f"CREATE DATABASE {name}"))
    yield server_url.set(database=name).render_as_string(hide_password=False)
    with server.connect() as conn:
        conn.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


def test_what_was_booked_per_shipment_stands_as_shares_and_comes_back(old: str) -> None:
    engine = create_engine(old, poolclass=NullPool)
    command.upgrade(_config(old), "0004")
    with engine.begin() as conn:
        conn.exec_driver_sql(OLD)

    command.upgrade(_config(old), "0005")

    with engine.connect() as conn:
        shares = conn.exec_driver_sql(
            "SELECT shipment_id, asked, captured, refunded, released FROM payment_shares ORDER BY payment_id"
        ).all()
        attempts = conn.exec_driver_sql("SELECT attempt FROM payments ORDER BY attempt").scalars().all()
        refund = conn.exec_driver_sql("SELECT refund_id, shipment_id, amount, state FROM refunds").all()
        about = conn.exec_driver_sql(
            "SELECT kind, subject, payment_id FROM provider_operations ORDER BY kind"
        ).all()
    assert shares == [
        ("SO-1-1", 100, 0, 0, 100),
        ("SO-1-1", 100, 100, 0, 0),
        ("SO-1-2", 200, 0, 0, 200),
        ("SO-1-2", 200, 200, 200, 0),
    ]
    assert attempts == [1, 2, 3, 4]
    assert refund == [("SO-1-F1", "SO-1-2", 200, "succeeded")]
    assert about == [
        ("buy_label", "SO-1-P1", None),
        ("capture", "SO-1-2", "SO-1:authorize:SO-1-2:2"),
        ("refund", "SO-1-F1", "SO-1:authorize:SO-1-2:2"),
    ]

    command.downgrade(_config(old), "0004")

    with engine.connect() as conn:
        back = conn.exec_driver_sql("SELECT DISTINCT shipment_id FROM payments ORDER BY 1").scalars().all()
        subject = conn.exec_driver_sql(
            "SELECT subject FROM provider_operations WHERE kind = 'refund'"
        ).scalar()
    assert (back, subject) == (["SO-1-1", "SO-1-2"], "SO-1-2")
