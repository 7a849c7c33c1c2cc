"""What customers see, state by state: orders for the tracking page's tests and pictures."""

from dataclasses import replace
from datetime import timedelta

from fulfillment.domain.cases import CaseKind
from fulfillment.domain.holds import HoldReason
from fulfillment.domain.notifications import NotificationState
from fulfillment.domain.order import OrderStatus
from fulfillment.domain.payment import OrderPayment
from fulfillment.domain.promise import Promise, Source, Telling
from fulfillment.domain.settlement import Settlement
from fulfillment.domain.shipment import WaitsFor, WorkStatus
from fulfillment.domain.tracking import CarrierStatus, Flag
from fulfillment.domain.view import EventView, OrderView, PaymentSummary
from tests.starter.views import (
    DAY,
    FRIDAY,
    HOUR,
    MUG,
    NOON,
    SATURDAY,
    TEES,
    a_case,
    a_hold,
    a_parcel,
    a_shipment,
    a_view,
)

_STORY = (
    ("received", "We received your order.", timedelta(0)),
    ("confirmed", "Your order is confirmed.", timedelta(minutes=1)),
    ("packed", "Your parcel is packed.", 22 * HOUR),
    ("shipped", "Your parcel is on its way with UPS, tracking number 1Z999AA10123456781.", 24 * HOUR),
    ("in_transit", "Your parcel reached Salt Lake City, UT.", 40 * HOUR),
    ("delayed", "Bad weather slows your parcel down. It should now arrive on Sat 28 Nov.", 44 * HOUR),
    ("out_for_delivery", "Your parcel is out for delivery.", 92 * HOUR),
    ("delivered", "Your parcel was delivered.", 98 * HOUR),
)


def told(*kinds: str) -> tuple[EventView, ...]:
    story = [part for part in _STORY if part[0] in kinds]
    return tuple(
        EventView(seq=11 + n, kind=kind, text=text, at=NOON + after)
        for n, (kind, text, after) in enumerate(story)
    )


def confirmed() -> OrderView:
    return a_view(a_shipment(), events=told("received", "confirmed"))


def held() -> OrderView:
    scheduled = a_shipment(work_status=WorkStatus.SCHEDULED, waits_for=WaitsFor.HOLD)
    return a_view(
        scheduled,
        status=OrderStatus.CONFIRMED,
        holds=(a_hold(HoldReason.FRAUD),),
        cases=(a_case(CaseKind.FRAUD_REVIEW),),
        events=told("received", "confirmed"),
    )


def backordered() -> OrderView:
    tees = a_shipment(1, units=TEES)
    mug = a_shipment(2, work_status=WorkStatus.SCHEDULED, waits_for=WaitsFor.STOCK, units=MUG)
    return a_view(tees, mug, placed="short", events=told("received", "confirmed"))


def packed() -> OrderView:
    parcel = a_parcel(
        carrier_status=CarrierStatus.PRE_TRANSIT, label_state="live", handed_over_at=None, latest_scan_at=None
    )
    return a_view(
        a_shipment(parcel=parcel, work_status=WorkStatus.LABELED),
        events=told("received", "confirmed", "packed"),
    )


def in_transit() -> OrderView:
    return a_view(
        a_shipment(parcel=a_parcel()), events=told("received", "confirmed", "packed", "shipped", "in_transit")
    )


TWO_DAYS = (
    Promise(n=1, day=FRIDAY, source=Source.CONFIRMED, reason="4 working days on the way", at=NOON),
    Promise(
        n=2,
        day=SATURDAY,
        source=Source.CARRIER,
        reason="weather_delay",
        at=NOON + 2 * DAY,
        told=(
            Telling(
                channel="email", state=NotificationState.SENT, sent_at=NOON + 2 * DAY + timedelta(minutes=1)
            ),
        ),
    ),
)


def late() -> OrderView:
    parcel = a_parcel(flags=(Flag.DELAYED,), reason="weather_delay", edd_date=SATURDAY)
    return a_view(
        a_shipment(parcel=parcel),
        promise_date=SATURDAY,
        promises=TWO_DAYS,
        cases=(a_case(CaseKind.DELAYED),),
        events=told("received", "confirmed", "packed", "shipped", "in_transit", "delayed"),
    )


def silent() -> OrderView:
    return a_view(
        a_shipment(parcel=a_parcel()),
        cases=(a_case(CaseKind.NO_SCAN, "SO-10483-P1", opened_at=NOON + 4 * DAY),),
        events=told("received", "confirmed", "packed", "shipped", "in_transit"),
    )


def out_for_delivery() -> OrderView:
    parcel = a_parcel(carrier_status=CarrierStatus.OUT_FOR_DELIVERY, place="Boise, ID")
    return a_view(
        a_shipment(parcel=parcel),
        events=told("received", "confirmed", "packed", "shipped", "in_transit", "out_for_delivery"),
    )


def delivered() -> OrderView:
    parcel = a_parcel(
        carrier_status=CarrierStatus.DELIVERED, place="Boise, ID", delivered_at=NOON + 4 * DAY + 2.25 * HOUR
    )
    shipment = a_shipment(parcel=parcel, work_status=WorkStatus.CLOSED, outcome="delivered")
    return a_view(
        shipment,
        status=OrderStatus.COMPLETED,
        outcome="delivered",
        completed_at=NOON + 5 * DAY,
        events=told(
            "received", "confirmed", "packed", "shipped", "in_transit", "out_for_delivery", "delivered"
        ),
    )


def not_received() -> OrderView:
    view = replace(delivered(), status=OrderStatus.IN_FULFILLMENT, outcome=None, completed_at=None)
    case = a_case(CaseKind.NOT_RECEIVED, view.shipments[0].shipment_id)
    return replace(view, cases=(case,))


def in_two_parts() -> OrderView:
    here = a_parcel(1, carrier_status=CarrierStatus.DELIVERED, place="Boise, ID", delivered_at=NOON + 3 * DAY)
    under_way = replace(late().shipments[0].parcel or a_parcel(), parcel_id="SO-10483-P2", n=2)
    return a_view(
        a_shipment(1, parcel=here, work_status=WorkStatus.CLOSED, units=TEES),
        a_shipment(2, parcel=under_way, units=MUG),
        promise_date=SATURDAY,
        cases=(a_case(CaseKind.DELAYED, "SO-10483-2"),),
        events=told("received", "confirmed", "packed", "shipped", "in_transit", "delayed"),
    )


def attempted() -> OrderView:
    parcel = a_parcel(
        carrier_status=CarrierStatus.ATTEMPTED,
        reason="consignee_not_home",
        place="Boise, ID",
        again_on=FRIDAY + timedelta(days=3),
    )
    return a_view(a_shipment(parcel=parcel), events=told("received", "confirmed", "packed", "shipped"))


def not_brought_again() -> OrderView:
    view = attempted()
    case = a_case(CaseKind.LAST_ATTEMPT, view.shipments[0].shipment_id)
    return replace(view, cases=(case,))


def waiting_at_the_counter() -> OrderView:
    parcel = a_parcel(carrier_status=CarrierStatus.AVAILABLE_FOR_PICKUP, place="Boise, ID")
    return a_view(a_shipment(parcel=parcel), events=told("received", "confirmed", "packed", "shipped"))


def coming_back() -> OrderView:
    parcel = a_parcel(carrier_status=CarrierStatus.RETURN_TO_SENDER, reason="consignee_refused")
    return a_view(a_shipment(parcel=parcel), events=told("received", "confirmed", "packed", "shipped"))


def refused() -> OrderView:
    parcel = a_parcel(carrier_status=CarrierStatus.ATTEMPTED, reason="consignee_refused")
    return a_view(a_shipment(parcel=parcel), events=told("received", "confirmed", "packed", "shipped"))


def refunded_on_its_way_back() -> OrderView:
    view = coming_back()
    given_back = PaymentSummary(status=OrderPayment.REFUNDED, authorized=6600, captured=6600, refunded=6600)
    shipment = replace(view.shipments[0], settled=Settlement.REFUND)
    return replace(view, shipments=(shipment,), payment=given_back)


def lost() -> OrderView:
    parcel = a_parcel(carrier_status=CarrierStatus.LOST)
    return a_view(
        a_shipment(parcel=parcel, work_status=WorkStatus.CLOSED, outcome="lost"),
        payment=PaymentSummary(status=OrderPayment.REFUNDED, authorized=6600, captured=6600, refunded=6600),
        events=told("received", "confirmed", "packed", "shipped"),
    )


def declined() -> OrderView:
    return a_view(
        status=OrderStatus.PAYMENT_FAILED,
        placed="declined",
        cases=(a_case(CaseKind.PAYMENT_DECLINED),),
        payment=PaymentSummary(
            status=OrderPayment.DECLINED, authorized=0, captured=0, refunded=0, decline_group="other_method"
        ),
        promise_date=None,
        promise_first_date=None,
        confirmed_at=None,
        events=told("received"),
    )


def asked_by_bank() -> OrderView:
    return a_view(
        a_shipment(work_status=WorkStatus.SCHEDULED, waits_for=WaitsFor.PAYMENT),
        status=OrderStatus.RESERVED,
        placed="declined",
        payment=PaymentSummary(
            status=OrderPayment.ACTION_REQUIRED,
            authorized=0,
            captured=0,
            refunded=0,
            confirm_url="https://bank.example/confirm",
        ),
        promise_date=None,
        promise_first_date=None,
        confirmed_at=None,
        events=told("received"),
    )


def cancelled() -> OrderView:
    return a_view(
        a_shipment(work_status=WorkStatus.CANCELLED, units=()),
        status=OrderStatus.CANCELLED,
        outcome="cancelled",
        cancelled_units=(*TEES, *MUG),
        payment=PaymentSummary(status=OrderPayment.VOIDED, authorized=0, captured=0, refunded=0),
        completed_at=NOON + DAY,
        events=told("received", "confirmed"),
    )


# Each with the headline a customer reads, the line under it and the moment they look.
STATES = {
    "confirmed": (confirmed, "Arriving by Fri 27 Nov", "getting it ready", NOON + HOUR),
    "held": (held, "We're checking your order", "You don't need to do anything", NOON + HOUR),
    "backordered": (backordered, "One item will come later", "The rest is on time", NOON + HOUR),
    "packed": (packed, "Arriving Fri 27 Nov", "Packed. UPS will pick it up", NOON + 23 * HOUR),
    "in_transit": (in_transit, "Arriving Fri 27 Nov", "last seen in Salt Lake City", NOON + 2 * DAY),
    "late": (late, "Now arriving Sat 28 Nov", "one day late: bad weather on the way", NOON + 2 * DAY),
    "silent": (
        silent,
        "Your parcel is slower than usual",
        "No news from UPS since Wed 25 Nov",
        NOON + 4 * DAY,
    ),
    "out_for_delivery": (out_for_delivery, "Arriving today", "Out for delivery", NOON + 4 * DAY),
    "attempted": (attempted, "They missed you", "UPS tries again on Mon 30 Nov", NOON + 4 * DAY),
    "last_attempt": (
        not_brought_again,
        "They could not deliver it",
        "UPS will not come again",
        NOON + 4 * DAY,
    ),
    "counter": (waiting_at_the_counter, "Ready to pick up", "Bring an ID", NOON + 4 * DAY),
    "coming_back": (coming_back, "Coming back to us", "was not accepted at the door", NOON + 4 * DAY),
    "attempt_overdue": (attempted, "They missed you", "was to try again on Mon 30 Nov", NOON + 9 * DAY),
    "refused": (refused, "It was not accepted at the door", "brings it back to us", NOON + 4 * DAY),
    "refunded_on_its_way_back": (
        refunded_on_its_way_back,
        "Coming back to us",
        "accepted at the door. Your money is on its way back",
        NOON + 4 * DAY,
    ),
    "lost": (lost, "Lost on the way", "Your money is on its way back", NOON + 14 * DAY),
    "not_received": (
        not_received,
        "Delivered Fri 27 Nov, 2:15 pm",
        "You told us that it did not reach you",
        NOON + 6 * DAY,
    ),
    "delivered": (delivered, "Delivered Fri 27 Nov, 2:15 pm", "In Boise, ID", NOON + 5 * DAY),
    "two_parts": (in_two_parts, "Now arriving Sat 28 Nov", "one day late", NOON + 3 * DAY),
    "declined": (declined, "Your payment did not go through", "by Tue 24 Nov", NOON + HOUR),
    "asked_by_bank": (asked_by_bank, "Please confirm the payment", "Your bank asks", NOON + HOUR),
    "cancelled": (cancelled, "Cancelled", "You were not charged", NOON + DAY),
}
