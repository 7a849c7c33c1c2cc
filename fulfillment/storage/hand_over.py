"""The point of no return: a parcel leaves, and everything that follows from it is written at once."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select, update

from fulfillment.domain.address import Address
from fulfillment.domain.events import EventKind
from fulfillment.domain.hand_over import Proof
from fulfillment.domain.inventory import Deed, Movement
from fulfillment.domain.notifications import Fact
from fulfillment.domain.policy import Policy
from fulfillment.domain.shipment import InvalidTransition, WorkStatus
from fulfillment.domain.transit import Patience
from fulfillment.storage import drift, journal, movements, signals, transits
from fulfillment.storage.tables import allocations, labels, parcels, shipments


@dataclass(frozen=True, slots=True, kw_only=True)
class HandedOver:
    """A parcel that has left, with the number to follow it by."""

    shipment_id: str
    parcel_id: str
    carrier: str
    tracking_number: str
    at: datetime


def leave(
    conn: Connection,
    order: Row[Any],
    shipment_id: str,
    *,
    by: str,
    proof: Proof,
    now: datetime,
    policy: Policy,
) -> HandedOver:
    """Let a labeled shipment go. The order's row is locked by the caller, who has also checked that it may.

    Raises:
        InvalidTransition: the shipment has no label to leave with.
    """
    _become_handed_over(conn, shipment_id, now)
    parcel, label = _parcel_and_label(conn, shipment_id)
    allowed = _begin_transit(conn, order, shipment_id, parcel, label, now=now, policy=policy)
    stamps: dict[str, Any] = {"handed_over_at": now, "next_check_at": now + allowed.first_scan_within}
    stamps |= {"evidence": proof.evidence.value, "evidence_ref": proof.ref, "handed_over_by": by}
    stamps["address_hash"] = Address(**order.ship_to).digest()
    conn.execute(update(parcels).where(parcels.c.parcel_id == parcel.parcel_id).values(stamps))
    conn.execute(update(labels).where(labels.c.label_id == label.label_id).values(state="used"))
    _ship_allocations(conn, shipment_id, by=by, now=now)
    left = HandedOver(
        shipment_id=shipment_id,
        parcel_id=parcel.parcel_id,
        carrier=label.carrier,
        tracking_number=label.tracking_number,
        at=now,
    )
    _tell_everyone(conn, order, left, by=by)
    return left


def _begin_transit(
    conn: Connection,
    order: Row[Any],
    shipment_id: str,
    parcel: Row[Any],
    label: Row[Any],
    *,
    now: datetime,
    policy: Policy,
) -> Patience:
    here = select(shipments.c.location_id).where(shipments.c.shipment_id == shipment_id)
    location_id: str = conn.execute(here).scalar_one()
    return transits.begin(conn, order, parcel, label, location_id, now=now, policy=policy)


def handed_over(conn: Connection, shipment_id: str) -> HandedOver:
    """Return what was answered when the shipment left."""
    parcel, label = _parcel_and_label(conn, shipment_id)
    return HandedOver(
        shipment_id=shipment_id,
        parcel_id=parcel.parcel_id,
        carrier=label.carrier,
        tracking_number=label.tracking_number,
        at=parcel.handed_over_at,
    )


def _become_handed_over(conn: Connection, shipment_id: str, now: datetime) -> None:
    labeled = (shipments.c.shipment_id == shipment_id) & (shipments.c.work_status == WorkStatus.LABELED.value)
    moved = conn.execute(
        update(shipments).where(labeled).values(work_status=WorkStatus.HANDED_OVER.value, handed_over_at=now)
    )
    if not moved.rowcount:
        here = select(shipments.c.work_status).where(shipments.c.shipment_id == shipment_id)
        status: str = conn.execute(here).scalar_one()
        raise InvalidTransition(shipment_id, WorkStatus(status), WorkStatus.HANDED_OVER)


def _parcel_and_label(conn: Connection, shipment_id: str) -> tuple[Row[Any], Row[Any]]:
    parcel = conn.execute(select(parcels).where(parcels.c.shipment_id == shipment_id)).one()
    live = (labels.c.parcel_id == parcel.parcel_id) & labels.c.state.in_(("live", "used"))
    return parcel, conn.execute(select(labels).where(live)).one()


def _ship_allocations(conn: Connection, shipment_id: str, *, by: str, now: datetime) -> None:
    active = (allocations.c.shipment_id == shipment_id) & (allocations.c.state == "active")
    rows = conn.execute(
        update(allocations).where(active).values(state="shipped").returning(allocations)
    ).all()
    amounts = {(row.sku, row.location_id): row.quantity for row in rows}
    deed = Deed(key=f"{shipment_id}:ship", cause=shipment_id, by=by, at=now)
    drift.cover(conn, amounts, deed)
    movements.move(conn, Movement.SHIPPED, amounts, key=deed.key, cause=deed.cause, by=deed.by, at=deed.at)


def _tell_everyone(conn: Connection, order: Row[Any], left: HandedOver, *, by: str) -> None:
    number = {"carrier": left.carrier, "tracking_number": left.tracking_number}
    ids = {"shipment_id": left.shipment_id, "parcel_id": left.parcel_id}
    told = ids | number | {"tracking_token": order.tracking_token}
    journal.event(
        conn,
        order.order_id,
        EventKind.SHIPPED,
        f"Your parcel is on its way with {left.carrier}, tracking number {left.tracking_number}.",
        at=left.at,
        data=ids | number,
    )
    journal.audit(
        conn, order.order_id, actor=by, command="hand_over", outcome=f"{left.parcel_id} left", at=left.at
    )
    journal.tell(
        conn, order.order_id, Fact.SHIPPED, subject=left.shipment_id, version=1, data=told, now=left.at
    )
    journal.signal(
        conn,
        order.order_id,
        signals.HANDED_OVER,
        ids | number | {"by": by},
        fact_key=f"{left.shipment_id}:handed_over",
        at=left.at,
    )
