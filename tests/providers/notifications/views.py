"""An order as people read it: valid by default, one difference per test."""

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

from fulfillment.domain.address import Address
from fulfillment.domain.order import Customer, Order, OrderLine, OrderStatus, UnitRange
from fulfillment.domain.payment import OrderPayment
from fulfillment.domain.shipment import WaitsFor, WorkStatus
from fulfillment.domain.stage import Stage
from fulfillment.domain.tracking import CarrierStatus
from fulfillment.domain.view import OrderView, ParcelView, PaymentSummary, ShipmentSummary

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def an_order(**changes: Any) -> Order:
    order = Order(
        order_id="SO-1",
        channel="storefront-us",
        customer=Customer(customer_id="c-1", email="ada@example.com"),
        lines=(
            OrderLine(line_no=1, sku="MUG", name="Trail mug", quantity=2, unit_price=1800),
            OrderLine(line_no=2, sku="CAP", name="Cap <b>red</b> & blue", quantity=1, unit_price=3000),
        ),
        currency="USD",
        total=6600,
        ship_to=Address(
            name="Ada Lovelace",
            line1="5 Elm St",
            city="Portland",
            region="OR",
            postal_code="97201",
            country="US",
        ),
        payment_method="pm_card_visa",
        placed_at=NOW,
    )
    return replace(order, **changes)


def a_parcel(**changes: Any) -> ParcelView:
    parcel = ParcelView(
        parcel_id="SO-1-P1",
        n=1,
        weight_g=900,
        carrier_status=CarrierStatus.IN_TRANSIT,
        flags=(),
        reason="",
        place="Reno, NV",
        carrier="USPS",
        service="GroundAdvantage",
        tracking_number="9400100000000000000000",
        label_state="used",
        edd_date=date(2026, 11, 27),
        handed_over_at=NOW,
        latest_scan_at=NOW,
        delivered_at=None,
    )
    return replace(parcel, **changes)


def a_shipment(**changes: Any) -> ShipmentSummary:
    shipment = ShipmentSummary(
        shipment_id="SO-1-1",
        n=1,
        location_id="wh-reno",
        work_status=WorkStatus.HANDED_OVER,
        waits_for=WaitsFor.NOTHING,
        stage=Stage.IN_TRANSIT,
        units=(UnitRange(line_no=1, first=1, count=2), UnitRange(line_no=2, first=1, count=1)),
        value=6600,
        ship_by=NOW,
        outcome=None,
        parcel=a_parcel(),
    )
    return replace(shipment, **changes)


def a_view(**changes: Any) -> OrderView:
    view = OrderView(
        order=an_order(),
        status=OrderStatus.IN_FULFILLMENT,
        stage=Stage.IN_TRANSIT,
        attention=None,
        placed="confirmed",
        outcome=None,
        payable=6600,
        cancelled_units=(),
        shipments=(a_shipment(),),
        payment=PaymentSummary(status=OrderPayment.AUTHORIZED, authorized=6600, captured=0, refunded=0),
        holds=(),
        cases=(),
        promise_first_date=date(2026, 11, 27),
        promise_date=date(2026, 11, 27),
        tracking_token="tok-1",
        confirmed_at=NOW,
        completed_at=None,
    )
    return replace(view, **changes)
