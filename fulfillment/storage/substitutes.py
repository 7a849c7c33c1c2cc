"""What the shop lists as as good as a SKU, the best first, and what of it lies there now."""

from collections import Counter
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import Connection, bindparam, delete, insert, or_, select

from fulfillment.domain.errors import FulfillmentError
from fulfillment.domain.inventory import Level, UnknownSku
from fulfillment.domain.substitution import Equal
from fulfillment.storage import sourcing
from fulfillment.storage.tables import sku_substitutes, skus

_KNOWN: Final = select(*skus.c["sku", "name", "archived"]).where(
    skus.c.sku.in_(bindparam("asked", expanding=True))
)
_FORGET: Final = delete(sku_substitutes).where(sku_substitutes.c.sku == bindparam("the_sku"))
_LIST: Final = insert(sku_substitutes)
_OF_ONE: Final = (
    select(sku_substitutes.c.substitute)
    .where(sku_substitutes.c.sku == bindparam("the_sku"))
    .order_by(sku_substitutes.c.n)
)
# What is sold ahead is no help, and what is not sold any more is nobody's equal.
_EQUALS: Final = (
    select(sku_substitutes.c.sku.label("of"), *skus.c["sku", "name", "price"])
    .join(skus, skus.c.sku == sku_substitutes.c.substitute)
    .where(
        sku_substitutes.c.sku.in_(bindparam("asked", expanding=True)),
        ~skus.c.archived,
        or_(skus.c.available_from.is_(None), skus.c.available_from <= bindparam("today")),
    )
    .order_by(sku_substitutes.c.sku, sku_substitutes.c.n)
)


class BadSubstitute(FulfillmentError):
    """A SKU may not be listed as another's equal; the message says why."""

    def __init__(self, sku: str, substitute: str, why: str) -> None:
        super().__init__(f"{substitute} cannot be sent instead of {sku}: {why}")
        self.sku, self.substitute = sku, substitute


def put(conn: Connection, sku: str, substitutes: Sequence[str]) -> None:
    """Let these be what may be sent instead of a SKU, the best first, and nothing else.

    Raises:
        UnknownSku: there is no such SKU.
        BadSubstitute: one is the SKU itself, not in the catalogue, listed twice or not sold any more.
    """
    known = {row.sku: row for row in conn.execute(_KNOWN, {"asked": sorted({sku, *substitutes})})}
    if sku not in known:
        raise UnknownSku(sku)
    for substitute in substitutes:
        if substitute == sku:
            raise BadSubstitute(sku, substitute, "it is the same")
        if substitute not in known:
            raise BadSubstitute(sku, substitute, "it is not in the catalogue")
        if known[substitute].archived:
            raise BadSubstitute(sku, substitute, f"{known[substitute].name} is not sold any more")
        if substitutes.count(substitute) > 1:
            raise BadSubstitute(sku, substitute, "it is listed twice")
    conn.execute(_FORGET, {"the_sku": sku})
    if substitutes:
        rows = [{"sku": sku, "n": n, "substitute": one} for n, one in enumerate(substitutes, start=1)]
        conn.execute(_LIST, rows)


def of(conn: Connection, sku: str) -> tuple[str, ...]:
    """Return what is listed instead of a SKU, the best first."""
    return tuple(conn.execute(_OF_ONE, {"the_sku": sku}).scalars())


def listed(conn: Connection, asked: Collection[str], *, now: datetime) -> dict[str, list[Equal]]:
    """Return the equals of these SKUs that are sold now, the best first; nothing for what has none."""
    found: dict[str, list[Equal]] = {}
    this = {"asked": sorted(asked), "today": now.astimezone(UTC).date()}
    for row in conn.execute(_EQUALS, this) if asked else ():
        found.setdefault(row.of, []).append(Equal(sku=row.sku, name=row.name, price=row.price))
    return found


def offered(conn: Connection, asked: Collection[str], *, now: datetime) -> dict[str, list[Equal]]:
    """Return the equals of these SKUs of which some could be claimed now."""
    found = listed(conn, asked, now=now)
    levels, _ = sourcing.levels(conn, {equal.sku for equals in found.values() for equal in equals})
    there = units_there(levels)
    by_sku = {sku: [equal for equal in equals if there[equal.sku]] for sku, equals in found.items()}
    return {sku: equals for sku, equals in by_sku.items() if equals}


def units_there(levels: Sequence[Level]) -> Counter[str]:
    """Return how many units of each SKU may be claimed, wherever they lie."""
    there: Counter[str] = Counter()
    for level in levels:
        there[level.sku] += max(0, level.available)
    return there
