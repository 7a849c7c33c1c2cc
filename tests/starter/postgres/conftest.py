"""The doors on the real books: PostgreSQL behind them, and an order process that reserves and pays at once."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import FastAPI

from fulfillment.domain.clock import ShopClock
from fulfillment.http import asgi_client
from fulfillment.storage.carrier_claims import CarrierClaims
from fulfillment.storage.contacts import ContactStore
from fulfillment.storage.erasure import ErasureStore
from fulfillment.storage.held_orders import HeldOrders
from fulfillment.storage.idempotency import IdempotencyKeys
from fulfillment.storage.missing import MissingStore
from fulfillment.storage.open_cases import OpenCases
from fulfillment.storage.sourcing import SourcingStore
from fulfillment.storage.webhooks import WebhookStore
from starter.access import Keyring
from starter.doors import Doors
from starter.web import create_app
from tests.starter.postgres.desk import Desk
from tests.starter.world import EASYPOST_SECRET, KEYS, STRIPE_SECRET, TWILIO_TOKEN
from tests.storage.conftest import compiled, database_url, engine, house, migrated_url, server, server_url
from tests.storage.house import House

__all__ = ["compiled", "database_url", "engine", "house", "migrated_url", "server", "server_url"]


@pytest.fixture
def desk(house: House) -> Desk:
    return Desk(house.stocked())


@pytest.fixture
def app(desk: Desk) -> FastAPI:
    house = desk.house
    return create_app(
        Doors(
            processes=desk,
            intake=house.orders,
            views=house.views,
            facts=house.signals,
            floor=house.floor,
            picking=house.picking,
            rejections=house.rejections,
            benches=house.benches,
            labels=house.shipping,
            manifests=house.manifests,
            scan_forms=house.scan_forms,
            stock=house.stock,
            conditions=house.conditions,
            returns=house.returns,
            counts=house.counts,
            transfers=house.transfers,
            carriers=house.carriers,
            expected=house.replenishment,
            sourcing=SourcingStore(house.engine, house.now),
            payment_news=house.payment_news,
            refunds=house.refunds,
            missing=MissingStore(house.engine, house.now),
            cases=OpenCases(house.engine),
            held=HeldOrders(house.engine),
            contacts=ContactStore(house.engine, house.now),
            erasures=ErasureStore(house.engine, house.now),
            claims=CarrierClaims(house.engine, house.now),
            webhooks=WebhookStore(house.engine, house.now, ShopClock()),
            parcel_news=house.shipping,
            corrections=house.corrections,
            unknown_codes=house.unknown_codes,
            idempotency=IdempotencyKeys(house.engine, house.now),
            keyring=Keyring(KEYS | {"every-key": ("storefront", "support", "warehouse", "ops")}),
            now=house.now,
            real_now=house.now,
            ping=lambda: None,
            public_url="https://shop.example",
            shop_name="Northwind Outfitters",
            stripe_secrets=(STRIPE_SECRET,),
            easypost_secrets=(EASYPOST_SECRET,),
            twilio_tokens=(TWILIO_TOKEN,),
        )
    )


@pytest.fixture
async def api(app: FastAPI) -> AsyncIterator[Any]:
    """A client that may do everything."""
    async with asgi_client(app, key="every-key") as client:
        yield client
