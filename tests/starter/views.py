"""Orders as people read them: valid by default, one difference per test."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from fulfillment.domain.address import Address
from fulfillment.domain.cases import Case, CaseKind, attention, case_id
from fulfillment.domain.holds import Hold, HoldReason, hold_id
from fulfillment.domain.order import Customer, Order, OrderLine, OrderStatus, UnitRange
from fulfillment.domain.payment import OrderPayment
from fulfillment.domain.shipment import WaitsFor, WorkStatus
from fulfillment.domain.stage import ShipmentView, order_stage, shipment_stage
from fulfillment.domain.tracking import CarrierStatus
from fulfillment.domain.view import EventView, OrderView, ParcelView, PaymentSummary, ShipmentSummary

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)  # a Monday
FRIDAY, SATURDAY = date(2026, 11, 27), date(2026, 11, 28)
TOKEN = "8F3KQ2ZDmVw4hTqL0XyB1c"
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def an_order(**changes: Any) -> Order:
    order = Order(
        order_id="SO-10483",
        channel="storefront-us",
        external_ref="SO-10483",
        customer=Customer(customer_id="cus_4103", email="noor@example.com", phone="+12085550142"),
        lines=(
            OrderLine(line_no=1, sku="TEE-BLK-M", name="Organic tee, black, M", quantity=2, unit_price=2400),
            OrderLine(line_no=2, sku="MUG-12", name="Enamel mug 12 oz", quantity=1, unit_price=1800),
        ),
        currency="USD",
        total=6600,
        ship_to=Address(
            name="Noor Haddad",
            line1="103 Main St",
            city="Boise",
            region="ID",
            postal_code="83702",
            country="US",
        ),
        payment_method="pm_card_visa",
        placed_at=NOON,
    )
    return replace(order, **changes)


ALL_UNITS = (UnitRange(line_no=1, first=1, count=2), UnitRange(line_no=2, first=1, count=1))
TEES, MUG = ALL_UNITS[:1], ALL_UNITS[1:]


def a_parcel(n: int = 1, **changes: Any) -> ParcelView:
    parcel = ParcelView(
        parcel_id=f"SO-10483-P{n}",
        n=n,
        weight_g=900,
        carrier_status=CarrierStatus.IN_TRANSIT,
        flags=(),
        reason="",
        place="Salt Lake City, UT",
        carrier="UPS",
        service="Ground",
        tracking_number=f"1Z999AA1012345678{n}",
        label_state="used",
        edd_date=FRIDAY,
        handed_over_at=NOON + DAY,
        latest_scan_at=NOON + 2 * DAY,
        delivered_at=None,
    )
    return replace(parcel, **changes)


def a_shipment(n: int = 1, *, parcel: ParcelView | None = None, **changes: Any) -> ShipmentSummary:
    """A shipment on the floor; with its carrier once it has a parcel that left."""
    left = parcel is not None and parcel.handed_over_at is not None
    work = changes.pop("work_status", WorkStatus.HANDED_OVER if left else WorkStatus.RELEASED)
    waits_for = changes.pop("waits_for", WaitsFor.NOTHING)
    units = changes.pop("units", ALL_UNITS)
    seen = ShipmentView(
        work=work,
        waits_for=waits_for,
        carrier=parcel.carrier_status if parcel else None,
        units=sum(unit.count for unit in units),
    )
    shipment = ShipmentSummary(
        shipment_id=f"SO-10483-{n}",
        n=n,
        location_id="wh-reno",
        work_status=work,
        waits_for=waits_for,
        stage=shipment_stage(seen),
        units=units,
        value=6600,
        ship_by=NOON + 2 * DAY,
        outcome=None,
        parcel=parcel,
    )
    return replace(shipment, **changes)


def a_view(*shipments: ShipmentSummary, **changes: Any) -> OrderView:
    """An order in fulfillment with these shipments; its stage and attention follow from the rest."""
    status = changes.pop("status", OrderStatus.IN_FULFILLMENT)
    cases = changes.pop("cases", ())
    seen = [
        ShipmentView(
            work=s.work_status,
            waits_for=s.waits_for,
            carrier=s.parcel.carrier_status if s.parcel else None,
            units=sum(unit.count for unit in s.units),
        )
        for s in shipments
    ]
    view = OrderView(
        order=an_order(),
        status=status,
        stage=order_stage(status, seen),
        attention=attention(cases),
        placed="confirmed",
        outcome=None,
        payable=6600,
        cancelled_units=(),
        shipments=shipments,
        payment=PaymentSummary(status=OrderPayment.AUTHORIZED, authorized=6600, captured=0, refunded=0),
        holds=(),
        cases=cases,
        promise_first_date=FRIDAY,
        promise_date=FRIDAY,
        tracking_token=TOKEN,
        confirmed_at=NOON,
        completed_at=None,
        events=(
            EventView(seq=11, kind="received", text="We received your order.", at=NOON),
            EventView(seq=12, kind="confirmed", text="Your order is confirmed.", at=NOON),
        ),
    )
    return replace(view, **changes)


def a_hold(reason: HoldReason, **changes: Any) -> Hold:
    hold = Hold(
        hold_id=hold_id("SO-10483", reason),
        reason=reason,
        placed_by="rules",
        placed_at=NOON,
        due_at=NOON + 3 * DAY,
    )
    return replace(hold, **changes)


def a_case(kind: CaseKind, subject: str = "SO-10483", **changes: Any) -> Case:
    case = Case(case_id=case_id(subject, kind), kind=kind, subject=subject, opened_at=NOON, due_at=NOON + DAY)
    return replace(case, **changes)
