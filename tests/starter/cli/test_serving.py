"""Serving the doors, the schema, the settings."""

import json
from typing import Any

import pytest
from sqlalchemy import Engine, select

from fulfillment.http import asgi_client
from fulfillment.settings import load_settings
from fulfillment.storage.tables import orders
from starter.cli.serving import application
from tests.starter.cli.conftest import Waybill, invoke
from tests.starter.imports.test_json_lines import a_body


def test_the_schema_may_be_upgraded_again(waybill: Waybill) -> None:
    first, again = waybill("db", "upgrade"), waybill("db", "upgrade")

    assert (first.exit_code, again.exit_code) == (0, 0)
    assert "up to date" in again.stdout


def test_every_setting_is_shown_with_its_source_and_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAYBILL_STRIPE_KEY", "sk_live_very_secret")
    monkeypatch.setenv("WAYBILL_PUBLIC_URL", "https://shop.example")

    result = invoke(["config", "show", "--json"])

    shown = {setting["variable"]: setting for setting in json.loads(result.stdout)["settings"]}
    assert shown["WAYBILL_PUBLIC_URL"]["value"] == "https://shop.example"
    assert shown["WAYBILL_PUBLIC_URL"]["source"] == "environment"
    assert shown["WAYBILL_SMTP_PORT"]["source"] == "default"
    assert "very_secret" not in result.stdout + invoke(["config", "show"]).stdout


def test_a_setting_that_makes_no_sense_is_a_mistake_of_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAYBILL_SPEED", "fast")

    result = invoke(["config", "show"])

    assert result.exit_code == 2
    assert "WAYBILL_SPEED" in result.stderr


async def test_the_web_serves_and_accepts_orders_while_temporal_is_away(
    books: Engine, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
    monkeypatch.setenv("WAYBILL_API_KEYS", '{"shop-key-1": ["storefront"]}')
    app = await application(load_settings())

    async with app.router.lifespan_context(app), asgi_client(app, key="shop-key-1") as shop:
        ready = await shop.get("/readyz")
        placed = await shop.post("/v1/orders", json=a_body())
        read: Any = (await shop.get("/v1/orders/SO-10483")).json()
        refused = await shop.post("/v1/orders/SO-10483/cancel", json={"reason": "changed_mind"})

    assert ready.status_code == 200
    assert (placed.status_code, placed.json()["placed"]) == (201, "received")
    assert read["stage"] == "received"
    assert refused.status_code == 503
    with books.connect() as conn:
        assert conn.scalar(select(orders.c.started_at)) is None
