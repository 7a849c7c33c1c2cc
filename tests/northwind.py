"""Real orders and products, where they lie beside the checkout; the project holds no copy of them."""

from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parents[2] / "shared" / "data" / "northwind"
ORDERS: Final = FOLDER / "orders_export.csv"
PRODUCTS: Final = FOLDER / "products_export.csv"
