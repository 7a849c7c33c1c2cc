"""The order as the books have it now, for its workflow to go on from."""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, bindparam, func, or_, select

from fulfillment.domain.change import OrderState, ShipmentState
from fulfillment.domain.payment import PaymentStatus
from fulfillment.domain.reservation import PlannedShipment
from fulfillment.domain.shipment import WaitsFor
from fulfillment.storage import holds
from fulfillment.storage.tables import parcels, payments, shipments, unit_ranges


def _held_or_taken() -> ColumnElement[int]:
    """What is held or taken for a shipment, in minor units."""
    holding = (payments.c.status == PaymentStatus.AUTHORIZED.value) & or_(
        payments.c.expires_at.is_(None), payments.c.expires_at > bindparam("now")
    )
    return (
        select(func.coalesce(func.sum(payments.c.authorized), 0))
        .where(
            payments.c.shipment_id == shipments.c.shipment_id,
            or_(payments.c.status == PaymentStatus.CAPTURED.value, holding),
        )
        .scalar_subquery()
    )


_UNITS: Final = (
    select(func.coalesce(func.sum(unit_ranges.c.quantity), 0))
    .where(unit_ranges.c.shipment_id == shipments.c.shipment_id)
    .scalar_subquery()
)
_SHIPMENTS: Final = (
    select(
        *shipments.c["shipment_id", "location_id", "work_status", "waits_for", "value"],
        parcels.c.parcel_id,
        _UNITS.label("units"),
        (shipments.c.value <= _held_or_taken()).label("covered"),
    )
    .outerjoin(parcels, parcels.c.shipment_id == shipments.c.shipment_id)
    .where(shipments.c.order_id == bindparam("the_order"))
    .order_by(shipments.c.n)
)


def read(conn: Connection, order_id: str, *, now: datetime) -> OrderState:
    """Return the order's shipments, those that were cancelled too, and the holds that stand."""
    rows = conn.execute(_SHIPMENTS, {"the_order": order_id, "now": now})
    return OrderState(
        order_id=order_id,
        shipments=tuple(_shipment(row) for row in rows),
        holds=holds.active(conn, order_id),
    )


def _shipment(row: Row[*tuple[Any, ...]]) -> ShipmentState:
    return ShipmentState(
        plan=PlannedShipment(
            shipment_id=row.shipment_id,
            location_id=row.location_id,
            value=row.value,
            units=row.units,
            waits_for=WaitsFor(row.waits_for),
        ),
        work_status=row.work_status,
        covered=row.covered,
        parcel_id=row.parcel_id,
    )
