"""What the customer reads first: the news of an order or of one parcel, as a headline and one line under it.

The API's `stage_text`, the tracking page and support's "customer sees" all come from here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from fulfillment.domain.cases import Case, CaseKind
from fulfillment.domain.holds import HoldReason
from fulfillment.domain.order import ENDED, OrderStatus
from fulfillment.domain.payment import OrderPayment
from fulfillment.domain.settlement import Settlement
from fulfillment.domain.shipment import BEFORE_HAND_OVER, WorkStatus
from fulfillment.domain.stage import Stage
from fulfillment.domain.tracking import JOURNEY_OVER, MOVING, CarrierStatus, Flag
from fulfillment.domain.troubles import troubles
from fulfillment.domain.view import OrderView, ParcelView, ShipmentSummary
from fulfillment.domain.zones import day_in, zone_of


class Tone(StrEnum):
    """How the news feels, beside what it says."""

    CALM = "calm"
    LATE = "late"
    TROUBLE = "trouble"
    DONE = "done"
    ENDED = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """The news. `was` is the day promised first, where it is no longer the one in `text`."""

    text: str
    line: str
    tone: Tone = Tone.CALM
    was: date | None = None

    @property
    def sentence(self) -> str:
        """Both as one text."""
        return f"{self.text}. {self.line}" if self.line else self.text


def day(moment: date) -> str:
    """Return a day as people write it: `Fri 27 Nov`."""
    return f"{moment:%a} {moment.day} {moment:%b}"


def clock_time(moment: datetime) -> str:
    """Return a time of day as people say it: `2:14 pm`."""
    return f"{moment.hour % 12 or 12}:{moment:%M} {'am' if moment.hour < 12 else 'pm'}"


# The reasons of `providers.md` 9.3 that make a parcel late, as we tell them.
DELAY_REASONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "weather_delay": "bad weather on the way",
        "natural_disaster": "an emergency on the way",
        "force_majeure": "an emergency on the way",
        "carrier_sorting_error": "it was sorted to the wrong place",
        "carrier_not_enough_time": "the driver ran out of time",
        "carrier_vehicle_issue": "a vehicle broke down",
        "carrier_mechanical_delay": "a vehicle broke down",
        "carrier_capacity_exceeded": "the carrier has more parcels than usual",
        "customs_delay": "customs take longer than usual",
    }
)


def why_late(said: str) -> str:
    """Return a reason in the customer's words; a carrier's code that we have no words for is not shown."""
    return DELAY_REASONS.get(said, said if " " in said else "")


_RETURN_REASONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "consignee_refused": "it was not accepted at the door",
        "consignee_incorrect_address": "the carrier could not find the address",
        "carrier_address_not_found": "the carrier could not find the address",
        "consignee_business_closed": "the business was closed",
        "consignee_not_available": "nobody could be reached",
        "consignee_not_home": "nobody was home",
    }
)
_NOTHING_TO_DO: Final = "You don't need to do anything."
_ASKED_BY_BANK: Final = Headline(
    text="Please confirm the payment",
    line="Your bank asks whether it is you who pays. We keep your things for you meanwhile.",
)


def headline(view: OrderView, now: datetime) -> Headline:
    """Return the news of the whole order: that of the part which is furthest behind."""
    if view.payment.confirm_url and view.status not in ENDED:
        return _ASKED_BY_BANK
    if view.status in _WHOLE_ORDER:
        return _of_status(view)
    behind = _furthest_behind(view)
    return shipment_headline(view, behind, now) if behind else _of_status(view)


def shipment_headline(view: OrderView, shipment: ShipmentSummary, now: datetime) -> Headline:
    """Return the news of one shipment, or of the parcel it became."""
    if shipment.work_status is WorkStatus.CANCELLED:
        return Headline(text="Cancelled", line="This part will not be sent.", tone=Tone.ENDED)
    if shipment.work_status in BEFORE_HAND_OVER:
        return _held(view) or _before_hand_over(view, shipment, now)
    if shipment.settled == Settlement.RESHIP:
        line = "This one did not serve you, so we send it again for nothing."
        return Headline(text="You get a new one", line=line, tone=Tone.ENDED)
    return _after_hand_over(view, shipment, shipment.parcel, now) if shipment.parcel else _of_status(view)


def expected_on(view: OrderView, parcel: ParcelView | None) -> date | None:
    """Return the day a parcel should come: the carrier's estimate once there is one, else our promise."""
    return (parcel.edd_date if parcel else None) or view.promise_date


def still_expected_on(view: OrderView, shipment: ShipmentSummary) -> date | None:
    """Return the day one shipment should come; None for what comes back, is gone or was made good."""
    parcel = shipment.parcel
    if shipment.settled or (parcel and parcel.carrier_status in _COMES_NO_MORE):
        return None
    return expected_on(view, parcel)


_COMES_NO_MORE: Final = (
    CarrierStatus.RETURN_TO_SENDER,
    CarrierStatus.RETURNED,
    CarrierStatus.LOST,
    CarrierStatus.DESTROYED,
)
_WHOLE_ORDER: Final = (
    OrderStatus.RECEIVED,
    OrderStatus.RESERVED,
    OrderStatus.PAYMENT_FAILED,
    OrderStatus.CANCELLING,
    OrderStatus.CANCELLED,
    OrderStatus.REJECTED,
    OrderStatus.EXPIRED,
)


def _furthest_behind(view: OrderView) -> ShipmentSummary | None:
    """Return the part the stage is of: what was sent again stands for what it replaces."""
    standing = (one for one in view.shipments if one.settled != Settlement.RESHIP)
    return next((shipment for shipment in standing if shipment.stage is view.stage), None)


def _of_status(view: OrderView) -> Headline:
    match view.status:
        case OrderStatus.PAYMENT_FAILED:
            return _payment_failed(view)
        case OrderStatus.CANCELLING:
            return Headline(text="We are cancelling your order", line=_NOTHING_TO_DO, tone=Tone.ENDED)
        case OrderStatus.CANCELLED:
            return Headline(text="Cancelled", line=_money_back(view), tone=Tone.ENDED)
        case OrderStatus.REJECTED:
            sorry = "What you ordered has run out. "
            return Headline(
                text="We could not fill your order", line=sorry + _money_back(view), tone=Tone.ENDED
            )
        case OrderStatus.EXPIRED:
            return Headline(
                text="Cancelled", line="No payment came, so nothing was charged.", tone=Tone.ENDED
            )
        case _:
            return Headline(text="We have your order", line="We will confirm it in a moment.")


def _payment_failed(view: OrderView) -> Headline:
    due = _case(view, CaseKind.PAYMENT_DECLINED)
    by = f" by {day(due.due_at)}, {clock_time(due.due_at)}" if due else ""
    return Headline(
        text="Your payment did not go through", line=f"Choose another way to pay{by}.", tone=Tone.TROUBLE
    )


def _money_back(view: OrderView) -> str:
    match view.payment.status:
        case OrderPayment.REFUNDED:
            return "Your money is on its way back; banks take five to ten days."
        case OrderPayment.PAID | OrderPayment.PARTIALLY_PAID | OrderPayment.OVERPAID:
            return "We are sending your money back."
        case OrderPayment.PARTIALLY_REFUNDED:
            return "We are sending the rest of your money back."
        case _:
            return "You were not charged. What your bank set aside is freed within a few days."


def _held(view: OrderView) -> Headline | None:
    if not view.holds:
        return None
    hold = view.holds[0]
    match hold.reason:
        case HoldReason.ADDRESS:
            return Headline(
                text="We need your help",
                line="Please check the address and answer our e-mail.",
                tone=Tone.TROUBLE,
            )
        case HoldReason.PAYMENT:
            return Headline(
                text="We need your payment again",
                line=f"Choose another way to pay by {day(hold.due_at)}.",
                tone=Tone.TROUBLE,
            )
        case HoldReason.STOCK if view.waits_for_rest:
            return Headline(
                text="Waiting for the rest of it", line="We send everything together as soon as it is here."
            )
        case HoldReason.STOCK if asked := _case(view, CaseKind.OUT_OF_STOCK):
            return Headline(
                text="Not everything is there",
                line=f"Tell us by {day(asked.due_at)}: wait for all of it, send what is there, or leave out the rest.",
                tone=Tone.TROUBLE,
            )
        case HoldReason.CUSTOMER:
            return Headline(
                text="Waiting, as you asked", line=f"We send it when you tell us, or on {day(hold.due_at)}."
            )
        case _:
            return Headline(text="We're checking your order", line=_NOTHING_TO_DO)


def _before_hand_over(view: OrderView, shipment: ShipmentSummary, now: datetime) -> Headline:
    comes = expected_on(view, None)
    was = _first_promise(view, comes)
    if shipment.stage is Stage.BACKORDERED:
        rest = "The rest is on time." if len(view.shipments) > 1 else "We send it as soon as it is here."
        when = f"Expected by {day(comes)}. " if comes else ""
        part = "One item" if sum(u.count for u in shipment.units) == 1 else "Some items"
        return Headline(text=f"{part} will come later", line=when + rest, tone=Tone.LATE, was=was)
    if comes is None:
        return Headline(text="We have your order", line="We are getting it ready.")
    tone = Tone.LATE if was else Tone.CALM
    if shipment.stage is Stage.PACKED:
        labeled = shipment.parcel if shipment.parcel and shipment.parcel.has_label else None
        carrier = labeled.carrier if labeled else "The carrier"
        line = f"Packed. {carrier} will pick it up."
        return Headline(text=_arriving(comes, was, now), line=line, tone=tone, was=was)
    line = "We have your order and are getting it ready."
    return Headline(text=_arriving(comes, was, now, by="by "), line=line, tone=tone, was=was)


def _after_hand_over(
    view: OrderView, shipment: ShipmentSummary, parcel: ParcelView, now: datetime
) -> Headline:
    if parcel.carrier_status not in JOURNEY_OVER and shipment.settled == Settlement.REFUND:
        return _money_instead(view, parcel)
    if parcel.carrier_status in _TO_THE_DOOR and (news := _at_the_door(view, shipment, parcel, now)):
        return news
    match parcel.carrier_status:
        case CarrierStatus.DELIVERED:
            return _delivered(view, shipment, parcel)
        case CarrierStatus.OUT_FOR_DELIVERY:
            comes = expected_on(view, parcel)
            was = _first_promise(view, comes)
            return Headline(
                text="Arriving today", line="Out for delivery.", tone=Tone.LATE if was else Tone.CALM, was=was
            )
        case CarrierStatus.AVAILABLE_FOR_PICKUP:
            return _at_a_counter(view, parcel, now)
        case CarrierStatus.RETURN_TO_SENDER:
            return Headline(text="Coming back to us", line=_coming_back(parcel), tone=Tone.TROUBLE)
        case CarrierStatus.RETURNED:
            return Headline(text="Came back to us", line=_refund_line(view), tone=Tone.ENDED)
        case CarrierStatus.LOST | CarrierStatus.DESTROYED as gone:
            line = f"We are sorry: it will not arrive. {_refund_line(view)}"
            became = "Lost" if gone is CarrierStatus.LOST else "Destroyed"
            return Headline(text=f"{became} on the way", line=line, tone=Tone.TROUBLE)
        case CarrierStatus.CANCELLED:
            line = "The carrier says that its label was cancelled. We are asking; you need do nothing."
            return Headline(text="Your parcel is slower than usual", line=line, tone=Tone.TROUBLE)
        case _:
            return _slow(view, shipment, parcel) or _on_its_way(view, parcel, now)


# The carrier brings it, or tries to; why it could not is told at any of these.
_TO_THE_DOOR: Final = MOVING - {CarrierStatus.AVAILABLE_FOR_PICKUP}


def _at_the_door(
    view: OrderView, shipment: ShipmentSummary, parcel: ParcelView, now: datetime
) -> Headline | None:
    """Return what kept it from being delivered; None for nothing that stands."""
    kinds = troubles(parcel.carrier_status, frozenset(parcel.flags), parcel.reason)
    carrier = parcel.carrier or "The carrier"
    if CaseKind.REFUSED in kinds:
        line = f"{carrier} says so, and brings it back to us. We will write to you when it is here."
        return Headline(text="It was not accepted at the door", line=line, tone=Tone.TROUBLE)
    if CaseKind.ADDRESS_PROBLEM in kinds:
        line = "Please check the address and answer our e-mail."
        return Headline(text=f"{carrier} cannot find your address", line=line, tone=Tone.TROUBLE)
    if CaseKind.FAILED_ATTEMPT not in kinds:
        return None
    if _has(view, shipment, CaseKind.LAST_ATTEMPT):
        line = f"{carrier} will not come again. It waits at a counter, or comes back to us."
        return Headline(text="They could not deliver it", line=line, tone=Tone.TROUBLE)
    return Headline(text="They missed you", line=_comes_again(view, parcel, now), tone=Tone.TROUBLE)


def _comes_again(view: OrderView, parcel: ParcelView, now: datetime) -> str:
    """Say on which day the carrier comes again, as the customer was told, until that day is over where they are."""
    carrier, again = parcel.carrier or "The carrier", parcel.again_on
    if again is None:
        return f"{carrier} could not deliver it yet. {_NOTHING_TO_DO}"
    if day_in(zone_of(view.order.ship_to), now) > again:
        return f"{carrier} was to try again on {day(again)} and has not told us more. {_NOTHING_TO_DO}"
    return f"{carrier} tries again on {day(again)}. {_NOTHING_TO_DO}"


def _at_a_counter(view: OrderView, parcel: ParcelView, now: datetime) -> Headline:
    """Return the news of a parcel that waits for its customer, with the last day that they were told."""
    where = f"At {_carrier(parcel)}, {parcel.place}." if parcel.place else f"At {_carrier(parcel)}."
    until = parcel.pick_up_until
    last = day(day_in(zone_of(view.order.ship_to), until)) if until else ""
    if until and now > until:
        line = f"The last day was {last}, so we expect it back. If it is still there, bring an ID and the number below."
        return Headline(text="It was not picked up", line=line, tone=Tone.TROUBLE)
    stays = f" The last day is {last}." if last else ""
    line = f"{where}{stays} Bring an ID and the number below."
    return Headline(text="Ready to pick up", line=line, tone=Tone.TROUBLE)


def _money_instead(view: OrderView, parcel: ParcelView) -> Headline:
    """Return the news of a parcel whose money goes back while it is still out: nothing of it is promised any more."""
    if parcel.carrier_status is CarrierStatus.RETURN_TO_SENDER:
        line = f"{_why_back(parcel)}{_refund_line(view)}"
        return Headline(text="Coming back to us", line=line, tone=Tone.ENDED)
    return Headline(text="You get your money back", line=_refund_line(view), tone=Tone.ENDED)


def _has(view: OrderView, shipment: ShipmentSummary, kind: CaseKind) -> bool:
    return any(case.kind is kind and case.subject == shipment.shipment_id for case in view.cases)


def _delivered(view: OrderView, shipment: ShipmentSummary, parcel: ParcelView) -> Headline:
    at = parcel.delivered_at
    text = f"Delivered {day(at)}, {clock_time(at)}" if at else "Delivered"
    if _has(view, shipment, CaseKind.NOT_RECEIVED):
        line = f"{parcel.carrier or 'The carrier'} says so. You told us that it did not reach you, and we look into it."
        return Headline(text=text, line=line, tone=Tone.TROUBLE)
    where = f"In {parcel.place}." if parcel.place else "It has arrived."
    if shipment.settled == Settlement.REFUND:
        where = f"{where} {_refund_line(view)}"
    return Headline(text=text, line=where, tone=Tone.DONE)


def _on_its_way(view: OrderView, parcel: ParcelView, now: datetime) -> Headline:
    comes = expected_on(view, parcel)
    was = _first_promise(view, comes)
    if comes is None:
        return Headline(text="On its way", line=_whereabouts(parcel))
    if Flag.DAMAGED in parcel.flags:
        line = f"The carrier reports damage and we are looking into it. {_NOTHING_TO_DO}"
        return Headline(text=_arriving(comes, was, now), line=line, tone=Tone.TROUBLE, was=was)
    late = was is not None or comes < now.date()
    line = _late_line(comes, was, parcel) if late else _whereabouts(parcel)
    return Headline(
        text=_arriving(comes, was, now), line=line, tone=Tone.LATE if late else Tone.CALM, was=was
    )


def _arriving(comes: date, was: date | None, now: datetime, by: str = "") -> str:
    if comes < now.date():
        return f"Expected {day(comes)}, not here yet"
    return f"Now arriving {day(comes)}" if was else f"Arriving {by}{day(comes)}"


def _late_line(comes: date, was: date | None, parcel: ParcelView) -> str:
    reason = DELAY_REASONS.get(parcel.reason, "")
    because = f": {reason}" if reason else ""
    if was is None:
        return f"It is taking longer than we said{because}. {_NOTHING_TO_DO}"
    late = (comes - was).days
    return f"Running {'one day' if late == 1 else f'{late} days'} late{because}. {_NOTHING_TO_DO}"


def _slow(view: OrderView, shipment: ShipmentSummary, parcel: ParcelView) -> Headline | None:
    subjects = (shipment.shipment_id, parcel.parcel_id)
    silent = next(
        (
            c
            for c in view.cases
            if c.kind in (CaseKind.NO_SCAN, CaseKind.NO_FIRST_SCAN) and c.subject in subjects
        ),
        None,
    )
    if silent is None:
        return None
    since = parcel.latest_scan_at or parcel.handed_over_at or silent.opened_at
    line = f"No news from {_carrier(parcel)} since {day(since)}. We are asking them. {_NOTHING_TO_DO}"
    return Headline(text="Your parcel is slower than usual", line=line, tone=Tone.LATE)


def _whereabouts(parcel: ParcelView) -> str:
    return f"On its way, last seen in {parcel.place}." if parcel.place else "On its way."


def _coming_back(parcel: ParcelView) -> str:
    return f"{_why_back(parcel)}We will write to you when it is here."


def _why_back(parcel: ParcelView) -> str:
    reason = _RETURN_REASONS.get(parcel.reason, "")
    return f"The carrier sends it back: {reason}. " if reason else ""


def _refund_line(view: OrderView) -> str:
    if view.payment.refunded:
        return "Your money is on its way back; banks take five to ten days."
    return "We will write to you about your money."


def _first_promise(view: OrderView, comes: date | None) -> date | None:
    first = view.promise_first_date
    return first if first and comes and comes > first else None


def _carrier(parcel: ParcelView) -> str:
    return parcel.carrier or "the carrier"


def _case(view: OrderView, kind: CaseKind) -> Case | None:
    return next((case for case in view.cases if case.kind is kind), None)
