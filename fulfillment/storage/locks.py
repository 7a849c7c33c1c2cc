"""Whose turn it is: every change of an order begins by locking the order's row."""

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, func, select

from fulfillment.domain.errors import FulfillmentError
from fulfillment.storage.tables import orders, parcels, shipments


class UnknownShipment(FulfillmentError):
    """There is no such shipment or parcel."""

    def __init__(self, wanted: str) -> None:
        super().__init__(f"there is no shipment or parcel {wanted}")
        self.wanted = wanted


def order_of_shipment(conn: Connection, shipment_id: str) -> Row[Any]:
    """Lock the order a shipment belongs to; the shipment itself is read afterwards."""
    owner = select(shipments.c.order_id).where(shipments.c.shipment_id == shipment_id).scalar_subquery()
    return _found(_locked(conn, orders.c.order_id == owner), shipment_id)


def order_of_parcel(conn: Connection, parcel_id: str) -> Row[Any]:
    """Lock the order a parcel belongs to; the parcel itself is read afterwards."""
    owner = select(parcels.c.order_id).where(parcels.c.parcel_id == parcel_id).scalar_subquery()
    return _found(_locked(conn, orders.c.order_id == owner), parcel_id)


def orders_named(conn: Connection, order_ids: Collection[str]) -> Mapping[str, Row[Any]]:
    """Lock several orders in the order everybody does, and return them as they are now."""
    if not order_ids:
        return {}
    several = select(orders).where(orders.c.order_id.in_(order_ids)).order_by(orders.c.order_id)
    rows = conn.execute(several.with_for_update(key_share=True)).all()
    return {row.order_id: row for row in rows}


def named(conn: Connection, name: str) -> None:
    """Hold the lock of this name until the transaction ends: for what has no row of its own yet."""
    conn.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(name, 0))))


def _locked(conn: Connection, chosen: ColumnElement[bool]) -> Row[Any] | None:
    # FOR NO KEY UPDATE: children may still be inserted by whoever only refers to the order.
    return conn.execute(select(orders).where(chosen).with_for_update(key_share=True)).first()


def _found(row: Row[Any] | None, wanted: str) -> Row[Any]:
    if row is None:
        raise UnknownShipment(wanted)
    return row
