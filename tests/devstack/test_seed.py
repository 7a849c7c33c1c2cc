"""The shop that a new stack starts with."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, create_engine, func, select

from devstack.seed import CATALOGUE, LEHIGH, RENO, main, seed
from fulfillment.settings import real_now
from fulfillment.storage.stock import StockStore
from fulfillment.storage.tables import locations, stock_levels, stock_movements
from tests.starter.cli.conftest import migrated_url
from tests.storage.conftest import database_url, server, server_url

__all__ = ["database_url", "migrated_url", "server", "server_url"]


@pytest.fixture
def books(database_url: str) -> Iterator[Engine]:
    engine = create_engine(database_url)
    yield engine
    engine.dispose()


def test_there_are_two_warehouses_with_stock_of_everything(books: Engine) -> None:
    seed(StockStore(books, real_now))

    with books.connect() as conn:
        places = conn.execute(select(locations.c.location_id).order_by(locations.c.priority)).scalars().all()
        stocked = conn.scalar(select(func.count()).where(stock_levels.c.on_hand > 0))
    assert places == [RENO, LEHIGH]
    assert stocked == 2 * len(CATALOGUE)


def test_seeding_again_changes_no_stock(
    books: Engine, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    main()
    StockStore(books, real_now).adjust("MUG-12", RENO, -5, key="count-1", by="maria", reason="count")
    with books.connect() as conn:
        before = conn.scalar(select(func.count()).select_from(stock_movements))

    main()

    with books.connect() as conn:
        here = (stock_levels.c.sku == "MUG-12") & (stock_levels.c.location_id == RENO)
        assert conn.scalar(select(stock_levels.c.on_hand).where(here)) == 495
        assert conn.scalar(select(func.count()).select_from(stock_movements)) == before


def test_the_catalogue_has_what_may_wait_and_what_will_never_come_again() -> None:
    gone = [product.sku for product in CATALOGUE if product.archived and not product.backorderable]

    assert gone == ["STV-1"]
    assert all(product.weight_g > 0 and product.price > 0 for product in CATALOGUE)
