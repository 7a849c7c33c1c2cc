"""The one word people see for where an order is, and where its money is: computed, never written by hand."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from fulfillment.domain.order import OrderStatus
from fulfillment.domain.payment import OrderPayment, PaymentStatus
from fulfillment.domain.shipment import WaitsFor, WorkStatus
from fulfillment.domain.tracking import CarrierStatus


class Stage(StrEnum):
    """Where an order is."""

    RECEIVED = "received"
    CONFIRMED = "confirmed"
    BACKORDERED = "backordered"
    ALLOCATED = "allocated"
    PICKING = "picking"
    PACKED = "packed"
    IN_TRANSIT = "in_transit"
    OUT_FOR_DELIVERY = "out_for_delivery"
    DELIVERED = "delivered"
    CANCELLED = "cancelled"
    RETURNED = "returned"
    LOST = "lost"


# An order is where its furthest-behind part is: what is still to be done comes before what is over.
FURTHEST_BEHIND_FIRST: Final = (
    Stage.CONFIRMED,
    Stage.BACKORDERED,
    Stage.ALLOCATED,
    Stage.PICKING,
    Stage.PACKED,
    Stage.IN_TRANSIT,
    Stage.OUT_FOR_DELIVERY,
    Stage.DELIVERED,
    Stage.RETURNED,
    Stage.LOST,
    Stage.CANCELLED,
)
_BY_WORK = {
    WorkStatus.RELEASED: Stage.ALLOCATED,
    WorkStatus.PICKING: Stage.PICKING,
    WorkStatus.PICKED: Stage.PICKING,
    WorkStatus.PACKED: Stage.PACKED,
    WorkStatus.LABELED: Stage.PACKED,
    WorkStatus.CANCELLED: Stage.CANCELLED,
}
_BY_CARRIER = {
    CarrierStatus.DELIVERED: Stage.DELIVERED,
    CarrierStatus.RETURNED: Stage.RETURNED,
    CarrierStatus.LOST: Stage.LOST,
    CarrierStatus.DESTROYED: Stage.LOST,
    CarrierStatus.OUT_FOR_DELIVERY: Stage.OUT_FOR_DELIVERY,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ShipmentView:
    """What the stage of a shipment follows from; `carrier` is None before hand-over."""

    work: WorkStatus
    waits_for: WaitsFor
    carrier: CarrierStatus | None
    units: int
    replaced: bool = False  # its goods are sent again with another one


def shipment_stage(shipment: ShipmentView) -> Stage:
    """Return where one shipment is."""
    if shipment.work is WorkStatus.SCHEDULED:
        return Stage.BACKORDERED if shipment.waits_for is WaitsFor.STOCK else Stage.CONFIRMED
    if shipment.work in (WorkStatus.HANDED_OVER, WorkStatus.CLOSED):
        return _BY_CARRIER.get(shipment.carrier or CarrierStatus.UNKNOWN, Stage.IN_TRANSIT)
    return _BY_WORK[shipment.work]


def order_stage(status: OrderStatus, shipments: Sequence[ShipmentView]) -> Stage:
    """Return the stage of the part that is furthest behind, because that is what is still to be done."""
    if status in (OrderStatus.RECEIVED, OrderStatus.RESERVED, OrderStatus.PAYMENT_FAILED):
        return Stage.RECEIVED
    if status in (OrderStatus.REJECTED, OrderStatus.EXPIRED, OrderStatus.CANCELLED):
        return Stage.CANCELLED
    parts = {shipment_stage(shipment) for shipment in shipments if shipment.units and not shipment.replaced}
    if not parts:
        return Stage.CONFIRMED
    return next(stage for stage in FURTHEST_BEHIND_FIRST if stage in parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentView:
    """The amounts of one payment, in minor units."""

    status: PaymentStatus
    captured: int
    refunded: int


def payment_status(payable: int, payments: Sequence[PaymentView]) -> OrderPayment:
    """Return where an order's money is, from all its payments; `payable` is the value not cancelled."""
    if not payments:
        return OrderPayment.NONE
    captured = sum(payment.captured for payment in payments)
    refunded = sum(payment.refunded for payment in payments)
    if captured:
        return _of_captured(payable, captured, refunded)
    statuses = {payment.status for payment in payments}
    return next((word for status, word in _BY_PAYMENT if status in statuses), OrderPayment.VOIDED)


_BY_PAYMENT = (
    (PaymentStatus.AUTHORIZED, OrderPayment.AUTHORIZED),
    (PaymentStatus.ACTION_REQUIRED, OrderPayment.ACTION_REQUIRED),
    (PaymentStatus.AUTHORIZING, OrderPayment.PENDING),
    (PaymentStatus.DECLINED, OrderPayment.DECLINED),
)


def _of_captured(payable: int, captured: int, refunded: int) -> OrderPayment:
    if captured - refunded > payable:
        return OrderPayment.OVERPAID
    if refunded:
        return OrderPayment.REFUNDED if refunded == captured else OrderPayment.PARTIALLY_REFUNDED
    return OrderPayment.PAID if captured >= payable else OrderPayment.PARTIALLY_PAID
