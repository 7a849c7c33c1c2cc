"""The way from a command to the books and to the orders' workflows."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError
from temporalio.service import RPCError

from fulfillment import temporal
from fulfillment.domain import policy
from fulfillment.domain.errors import FulfillmentError
from fulfillment.settings import Settings, load_settings, shop_now
from fulfillment.storage.carrier_claims import CarrierClaims
from fulfillment.storage.carriers import CarrierStore
from fulfillment.storage.conditions import ConditionStore
from fulfillment.storage.corrections import CorrectionStore
from fulfillment.storage.counts import CountStore
from fulfillment.storage.engine import connect
from fulfillment.storage.erasure import ErasureStore
from fulfillment.storage.held_orders import HeldOrders
from fulfillment.storage.missing import MissingStore
from fulfillment.storage.open_cases import OpenCases
from fulfillment.storage.orders import OrderStore
from fulfillment.storage.records import RecordStore
from fulfillment.storage.refunds import RefundStore
from fulfillment.storage.replenishment import ReplenishmentStore
from fulfillment.storage.returns import ReturnStore
from fulfillment.storage.signals import SignalStore
from fulfillment.storage.sourcing import SourcingStore
from fulfillment.storage.stock import StockStore
from fulfillment.storage.transfers import TransferStore
from fulfillment.storage.unknown_codes import UnknownCodes
from fulfillment.storage.views import OrderViews
from fulfillment.storage.webhooks import WebhookStore
from starter.orders import Orders, TemporalAway


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """The stores a command reads and writes."""

    orders: OrderStore
    views: OrderViews
    stock: StockStore
    refunds: RefundStore
    missing: MissingStore
    cases: OpenCases
    held: HeldOrders
    expected: ReplenishmentStore
    sourcing: SourcingStore
    conditions: ConditionStore
    counts: CountStore
    transfers: TransferStore
    returns: ReturnStore
    carriers: CarrierStore
    claims: CarrierClaims
    webhooks: WebhookStore
    erasures: ErasureStore
    corrections: CorrectionStore
    unknown_codes: UnknownCodes
    now: Callable[[], datetime]
    public_url: str


@contextmanager
def books() -> Iterator[Books]:
    """Open the books of the database that the settings name."""
    settings = load_settings("database_url")
    with _engine(settings) as engine:
        now = partial(shop_now, settings.clock)
        yield Books(
            orders=OrderStore(engine, now),
            views=OrderViews(engine, now),
            stock=StockStore(engine, now),
            refunds=RefundStore(engine, now),
            missing=MissingStore(engine, now),
            cases=OpenCases(engine),
            held=HeldOrders(engine),
            expected=ReplenishmentStore(engine, now),
            sourcing=SourcingStore(engine, now),
            conditions=ConditionStore(engine, now),
            counts=CountStore(engine, now),
            transfers=TransferStore(engine, now),
            returns=ReturnStore(engine, now),
            carriers=CarrierStore(engine, now),
            claims=CarrierClaims(engine, now),
            erasures=ErasureStore(engine, now),
            webhooks=WebhookStore(engine, now, settings.clock),
            corrections=CorrectionStore(engine, now),
            unknown_codes=UnknownCodes(engine, now),
            now=now,
            public_url=settings.public_url,
        )


class NoSuchLocation(FulfillmentError):
    """Stock cannot be at a place that does not exist."""

    def __init__(self, location_id: str) -> None:
        super().__init__(f"there is no location {location_id}; `location list` shows which there are")


@contextmanager
def known_location(location_id: str) -> Iterator[None]:
    """Refuse a location that the database does not know.

    Raises:
        NoSuchLocation: there is none of that name.
    """
    try:
        yield
    except IntegrityError as error:
        raise NoSuchLocation(location_id) from error


@asynccontextmanager
async def orders() -> AsyncIterator[Orders]:
    """Reach the orders' workflows.

    Raises:
        TemporalAway: nobody answers.
    """
    settings = load_settings("database_url")
    try:
        client = await temporal.connect()
    except (RuntimeError, RPCError) as error:  # the SDK's word for a server it cannot reach
        raise TemporalAway(f"Temporal does not answer: {error}") from error
    now = partial(shop_now, settings.clock)
    with _engine(settings) as engine:
        yield Orders(
            client,
            orders=OrderStore(engine, now),
            addresses=RecordStore(engine, now),
            signals=SignalStore(engine, now),
            policy=policy.DEFAULT,
            clock=settings.clock,
        )


@contextmanager
def _engine(settings: Settings) -> Iterator[Engine]:
    engine = connect(settings.database_url, pool_size=2)
    try:
        yield engine
    finally:
        engine.dispose()
