"""The schema, two warehouses and a small catalogue with stock, for a shop that has nothing yet. Harmless to repeat."""

from functools import partial
from typing import Final

from fulfillment.domain.address import Address
from fulfillment.domain.calendars import Calendar
from fulfillment.domain.catalogue import Product
from fulfillment.providers.calendars import public_holidays
from fulfillment.settings import load_settings, real_now, shop_now
from fulfillment.storage.engine import connect, migrate
from fulfillment.storage.stock import StockStore

RENO: Final = "wh-reno"
LEHIGH: Final = "wh-lehigh"
BY: Final = "seed"

_PLACES: Final = (
    (
        RENO,
        "Reno",
        Address(
            name="Northwind Outfitters",
            line1="1 Distribution Drive",
            city="Reno",
            region="NV",
            postal_code="89502",
            country="US",
            phone="+17755550100",
        ),
        "America/Los_Angeles",
    ),
    (
        LEHIGH,
        "Lehigh Valley",
        Address(
            name="Northwind Outfitters",
            line1="200 Commerce Way",
            city="Bethlehem",
            region="PA",
            postal_code="18017",
            country="US",
            phone="+16105550100",
        ),
        "America/New_York",
    ),
)

# The demo's scenarios count on these: plenty of the first eight, little of MAP-ALPS, no more STV-1 ever again.
CATALOGUE: Final = (
    Product(sku="TEE-BLK-M", name="Organic tee, black, M", weight_g=180, price=2400, vendor="Cotton & Co",
            backorderable=True, reorder_point=100, on_hand=600,
            length_mm=300, width_mm=220, height_mm=25),
    Product(sku="TEE-BLK-L", name="Organic tee, black, L", weight_g=200, price=2400, vendor="Cotton & Co",
            backorderable=True, reorder_point=100, on_hand=600,
            length_mm=310, width_mm=230, height_mm=25),
    Product(sku="HOOD-GRY-M", name="Fleece hoodie, grey, M", weight_g=620, price=6900, vendor="Cotton & Co",
            backorderable=True, reorder_point=40, on_hand=250,
            length_mm=330, width_mm=270, height_mm=70),
    Product(sku="MUG-12", name="Enamel mug 12 oz", weight_g=310, price=1800, vendor="Blue Ridge Enamel",
            backorderable=True, reorder_point=80, on_hand=500,
            length_mm=110, width_mm=90, height_mm=95),
    Product(sku="BTL-750", name="Steel bottle 750 ml", weight_g=420, price=3200, vendor="Blue Ridge Enamel",
            backorderable=True, reorder_point=60, on_hand=400,
            length_mm=270, width_mm=80, height_mm=80),
    Product(sku="LAMP-HD", name="Head lamp, 350 lumen", weight_g=95, price=4500, vendor="Lumen Works",
            backorderable=True, reorder_point=30, on_hand=200,
            length_mm=110, width_mm=80, height_mm=60),
    Product(sku="PACK-30", name="Day pack 30 l", weight_g=980, price=11900, vendor="Trailmakers",
            backorderable=True, reorder_point=20, on_hand=150,
            length_mm=500, width_mm=300, height_mm=160),
    Product(sku="SOCK-2", name="Merino socks, 2 pairs", weight_g=140, price=2900, vendor="Cotton & Co",
            backorderable=True, reorder_point=80, on_hand=500,
            length_mm=200, width_mm=100, height_mm=40),
    Product(sku="MAP-ALPS", name="Hiking map, Alps", weight_g=60, price=1500, vendor="Kartenhaus",
            backorderable=True, reorder_point=10, on_hand=3,
            length_mm=210, width_mm=130, height_mm=15),
    Product(sku="STV-1", name="Camp stove, last series", weight_g=740, price=8900, vendor="Trailmakers",
            archived=True, on_hand=2,
            length_mm=180, width_mm=140, height_mm=130),
)  # fmt: skip


def seed(stock: StockStore) -> None:
    """Add the warehouses, the catalogue, and the first stock of each where none has moved yet."""
    this_year = real_now().year
    for priority, (location_id, name, address, zone) in enumerate(_PLACES, start=1):
        rests = public_holidays(address.country, address.region, range(this_year, this_year + 3))
        calendar = Calendar(zone=zone, closed_days=rests)
        stock.add_location(location_id, name=name, address=address, priority=priority, calendar=calendar)
    for location_id, *_ in _PLACES:
        stock.set_catalogue(CATALOGUE, by=BY, location_id=location_id)


def main() -> None:
    """Bring the schema of the database that the settings name up to date, and seed it."""
    settings = load_settings("database_url")
    migrate(settings.database_url)
    engine = connect(settings.database_url, pool_size=1)
    try:
        seed(StockStore(engine, partial(shop_now, settings.clock)))
    finally:
        engine.dispose()


if __name__ == "__main__":
    main()
