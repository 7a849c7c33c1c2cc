"""One sentence about an order: what it waits for, since when, what comes next, who acts. And what may be done."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from types import MappingProxyType
from typing import Final

from fulfillment.domain.cases import Case, CaseKind, Owner, most_urgent
from fulfillment.domain.holds import Hold, HoldDefault, HoldReason
from fulfillment.domain.order import ENDED, OrderStatus
from fulfillment.domain.payment import OrderPayment
from fulfillment.domain.playbooks import PLAYBOOKS
from fulfillment.domain.settlement import Settlement
from fulfillment.domain.shipment import BEFORE_HAND_OVER, WaitsFor, WorkStatus
from fulfillment.domain.tracking import CarrierStatus
from fulfillment.domain.view import OrderView, ParcelView, ShipmentSummary


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why an order is where it is. `who` must act if nothing happens by itself; None when nobody has to."""

    sentence: str
    waits_for: str
    since: datetime | None
    next: str
    who: Owner | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wait:
    waits_for: str
    since: datetime | None
    next: str
    who: Owner | None = None
    alike: str = ""  # who else waits for the same reason


def explain(view: OrderView, now: datetime) -> Explanation:
    """Return the most urgent thing the order waits for, in the words of support."""
    if view.status in ENDED:
        return _ended(view, now)
    wait = _held(view, now) or _in_trouble(view, now) or _under_way(view, now)
    since = f" since {_at(wait.since, now)}" if wait.since else ""
    sentence = f"{view.order.order_id} waits for {wait.waits_for}{since}. {wait.next} {_who(wait.who)}{wait.alike}{_beside(view)}"
    return Explanation(
        sentence=sentence, waits_for=wait.waits_for, since=wait.since, next=wait.next, who=wait.who
    )


def _ended(view: OrderView, now: datetime) -> Explanation:
    how = view.outcome or view.status
    at = view.completed_at
    sentence = f"{view.order.order_id} ended: {how}{f' {_at(at, now)}' if at else ''}."
    waiting = most_urgent(view.cases)
    if waiting:
        wait = _of_case(waiting, now)
        return Explanation(
            sentence=f"{sentence} Still open: {wait.waits_for}. {wait.next} {_who(wait.who)}{_beside(view)}",
            waits_for=wait.waits_for,
            since=wait.since,
            next=wait.next,
            who=wait.who,
        )
    left = _beside(view) or " Nothing is left to do."
    return Explanation(sentence=f"{sentence}{left}", waits_for="nothing", since=at, next="", who=None)


def _beside(view: OrderView) -> str:
    return "".join(f" Beside it, {case.owner} should {case.note}." for case in view.beside)


_HELD_FOR: Final[Mapping[HoldReason, str]] = MappingProxyType(
    {
        HoldReason.FRAUD: "a person to check it for fraud",
        HoldReason.ADDRESS: "a good address",
        HoldReason.PAYMENT: "another payment",
        HoldReason.STOCK: "an answer about missing stock",
        HoldReason.CUSTOMER: "the customer, who asked us to wait",
        HoldReason.DISPUTE: "the bank to decide a dispute",
        HoldReason.MANUAL: "the person who holds it",
    }
)
_BY_DEFAULT: Final[Mapping[HoldDefault, str]] = MappingProxyType(
    {
        HoldDefault.CANCEL: "it is cancelled and the money let go",
        HoldDefault.RELEASE: "it is released and ships",
        HoldDefault.ESCALATE: "it is brought up again; it never goes on by itself",
        HoldDefault.POLICY: "the shop's rule for a shortage decides",
    }
)


def _held(view: OrderView, now: datetime) -> _Wait | None:
    """A hold outranks other trouble only while something can still be held back."""
    stoppable = any(shipment.work_status in BEFORE_HAND_OVER for shipment in view.shipments)
    if not view.holds or not stoppable:
        return None
    hold = min(view.holds, key=lambda h: (h.due_at, h.hold_id))
    note = f" ({hold.note})" if hold.note else ""
    others = f" {len(view.holds) - 1} more hold stands beside it." if len(view.holds) == 2 else ""
    if len(view.holds) > 2:
        others = f" {len(view.holds) - 1} more holds stand beside it."
    if view.waits_for_rest:
        return _Wait(
            waits_for=f"the rest of it, to leave together{note}",
            since=hold.placed_at,
            next=f"If it has not come by {_at(hold.due_at, now)}, {_BY_DEFAULT[hold.default]}.{others}",
            who=Owner.WAREHOUSE,
        )
    return _Wait(
        waits_for=f"{_HELD_FOR[hold.reason]}{note}",
        since=hold.placed_at,
        next=f"If nobody acts by {_at(hold.due_at, now)}, {_BY_DEFAULT[hold.default]}.{others}",
        who=_hold_owner(hold),
    )


def _hold_owner(hold: Hold) -> Owner:
    asks_customer = (HoldReason.ADDRESS, HoldReason.PAYMENT, HoldReason.STOCK, HoldReason.CUSTOMER)
    return Owner.CUSTOMER if hold.reason in asks_customer else Owner.SUPPORT


# What each kind of trouble waits for, and what happens at its due time when nobody acts.
_CASES: Final[Mapping[CaseKind, tuple[str, str]]] = MappingProxyType(
    {
        CaseKind.PAYMENT_DECLINED: ("another way to pay", "it expires and its stock is let go"),
        CaseKind.AUTHORIZATION_EXPIRING: ("its money to be reserved anew", "another way to pay is asked for"),
        CaseKind.FRAUD_REVIEW: ("a person to check it for fraud", "it is cancelled and the money let go"),
        CaseKind.ON_HOLD: ("its hold to end", "it is brought up again"),
        CaseKind.CAPTURE_FAILED: ("its money: it left, and the payment could not be taken", "it escalates"),
        CaseKind.OPERATION_UNKNOWN: ("the payment provider to say what happened", "it escalates"),
        CaseKind.REFUND_FAILED: ("a refund that the provider refuses", "it escalates"),
        CaseKind.DISPUTE: ("an answer to a bank that takes money back, or is about to", "the money is lost"),
        CaseKind.UNMATCHED_EVENT: ("a home for an event of a provider", "it escalates"),
        CaseKind.OUT_OF_STOCK: ("an answer about missing stock", "the shop's rule for a shortage decides"),
        CaseKind.SHORT_PICK: ("a count: units were not where they should be", "it escalates"),
        CaseKind.DAMAGED_PICK: ("units to be looked at that cannot leave as they are", "it escalates"),
        CaseKind.STOCK_DRIFT: ("a count: book and shelf differ", "it escalates"),
        CaseKind.RECEIPT_LATE: ("goods that a vendor should have brought", "it escalates"),
        CaseKind.CARRIER_DOWN: ("a label from a carrier that does not answer", "it escalates"),
        CaseKind.LABEL_REFUSED: ("a label the carrier refuses to make", "it escalates"),
        CaseKind.RATE_EXPIRED: (
            "a price for its label: the one that was offered is gone",
            "the best offer is bought",
        ),
        CaseKind.WAREHOUSE_LATE: ("the warehouse, which is past its ship-by time", "it escalates"),
        CaseKind.NO_FIRST_SCAN: (
            "a first scan of a parcel that was handed over",
            "the customer is told, and a parcel that stays silent is given up as lost",
        ),
        CaseKind.NO_SCAN: ("a sign of a parcel that has gone silent", "the parcel is given up as lost"),
        CaseKind.DELAYED: ("a parcel that is late", "support may offer something"),
        CaseKind.FAILED_ATTEMPT: (
            "another delivery attempt",
            "the carrier gets one more working day after the first attempt, then support asks it",
        ),
        CaseKind.LAST_ATTEMPT: (
            "a word about a parcel that the carrier will not bring again",
            "it is left to come back, and a return that stays silent is given up as lost",
        ),
        CaseKind.PICKUP_WAITING: (
            "the customer to pick a parcel up",
            "they are reminded, and after its last day it is left to come back",
        ),
        CaseKind.ADDRESS_PROBLEM: (
            "an address that the carrier can find",
            "support asks; what has not left is cancelled in the end",
        ),
        CaseKind.REFUSED: (
            "a parcel that was refused at the door and comes back",
            "it counts as lost, and the money goes back",
        ),
        CaseKind.CUSTOMS: ("customs to let a parcel through", "it escalates"),
        CaseKind.DAMAGED: (
            "a decision about a damaged parcel",
            "another one is sent if there is one, else the money goes back",
        ),
        CaseKind.RETURN_TO_SENDER: (
            "the customer to say what becomes of a parcel that is coming back",
            "the money goes back when it is here",
        ),
        CaseKind.CARRIER_PROBLEM: ("a problem at the carrier", "it escalates"),
        CaseKind.LEFT_UNRECORDED: (
            "a person: the carrier has goods that should not have left",
            "it escalates",
        ),
        CaseKind.LOST: ("a lost parcel to be made good", "it escalates"),
        CaseKind.NOT_RECEIVED: (
            "a parcel to turn up that the carrier calls delivered",
            "it is made good where little is at stake, else the carrier traces it",
        ),
        CaseKind.CARRIER_CLAIM: ("what a carrier owes us", "it escalates before its deadline"),
        CaseKind.CARRIER_TRACE: ("a carrier to look for a parcel", "it escalates"),
        CaseKind.CUSTOMER_UNREACHABLE: ("a way to reach the customer", "it escalates"),
        CaseKind.WEBHOOK_FAILING: (
            "an endpoint of the storefront that takes no events",
            "it is switched off",
        ),
        CaseKind.STUCK: ("a person: a step was refused that never should be", "it escalates"),
        CaseKind.BAD_SIGNAL: ("a command to be given again, it could not be read", "it escalates"),
    }
)


def _in_trouble(view: OrderView, now: datetime) -> _Wait | None:
    urgent = most_urgent(view.cases)
    return replace(_of_case(urgent, now), alike=_alike(view.cases_alike)) if urgent else None


def _alike(others: int) -> str:
    if not others:
        return ""
    return f" {others} other {'order waits' if others == 1 else 'orders wait'} for the same reason."


def _of_case(case: Case, now: datetime) -> _Wait:
    waits_for, then = _CASES[case.kind]
    note = f" ({case.note})" if case.note else ""
    if case.due_at > now:
        coming = f"If nothing changes by {_at(case.due_at, now)}, {then}."
    else:
        coming = f"It was due {_at(case.due_at, now)}."
    return _Wait(waits_for=f"{waits_for}{note}", since=case.opened_at, next=coming, who=case.owner)


def _under_way(view: OrderView, now: datetime) -> _Wait:
    placed = view.order.placed_at
    match view.status:
        case OrderStatus.RECEIVED:
            return _Wait(
                waits_for="its stock to be claimed", since=placed, next="Then its money is reserved."
            )
        case OrderStatus.RESERVED:
            return _Wait(waits_for="the bank", since=placed, next="Then it is confirmed.")
        case OrderStatus.PAYMENT_FAILED:
            return _Wait(
                waits_for="another way to pay",
                since=placed,
                next="Without one it expires.",
                who=Owner.CUSTOMER,
            )
        case OrderStatus.CANCELLING:
            return _Wait(
                waits_for="its labels and money to be taken back", since=None, next="Then it is cancelled."
            )
        case _:
            standing = (s for s in view.shipments if s.settled != Settlement.RESHIP)
            behind = next((s for s in standing if s.stage is view.stage), None)
            return _of_shipment(view, behind, now) if behind else _closing(view)


def _closing(view: OrderView) -> _Wait:
    return _Wait(waits_for="its books to be closed", since=view.confirmed_at, next="Then it is complete.")


def _of_shipment(view: OrderView, shipment: ShipmentSummary, now: datetime) -> _Wait:
    if shipment.work_status is WorkStatus.SCHEDULED:
        return _scheduled(view, shipment)
    if shipment.parcel and shipment.parcel.handed_over_at:
        return _with_the_carrier(view, shipment, shipment.parcel, now)
    return _on_the_floor(view, shipment, now)


def _scheduled(view: OrderView, shipment: ShipmentSummary) -> _Wait:
    name = shipment.shipment_id
    match shipment.waits_for:
        case WaitsFor.STOCK:
            skus = ", ".join(dict.fromkeys(view.order.line(unit.line_no).sku for unit in shipment.units))
            when = (
                f"It is promised for {view.promise_date:%a} {_day(view.promise_date)}. "
                if view.promise_date
                else ""
            )
            return _Wait(
                waits_for=f"stock of {skus} for {name}",
                since=view.confirmed_at,
                next=f"{when}The next receipt fills it, oldest promise first.",
                who=Owner.WAREHOUSE,
            )
        case WaitsFor.PAYMENT:
            return _Wait(
                waits_for=f"the bank to reserve the money for {name}",
                since=view.confirmed_at,
                next="Then it goes to the floor.",
            )
        case WaitsFor.DATE:
            return _Wait(
                waits_for=f"the day from which what is in {name} may be sent",
                since=view.confirmed_at,
                next="Then it goes to the floor by itself.",
            )
        case _:
            return _Wait(
                waits_for=f"{name} to be released to {shipment.location_id}",
                since=view.confirmed_at,
                next="That happens at once.",
            )


_FLOOR_STEPS: Final[Mapping[WorkStatus, tuple[str, str, Owner | None]]] = MappingProxyType(
    {
        WorkStatus.RELEASED: ("to pick", "Then it is packed.", Owner.WAREHOUSE),
        WorkStatus.PICKING: ("to finish picking", "Then it is packed.", Owner.WAREHOUSE),
        WorkStatus.PICKED: ("to pack", "Then a label is bought.", Owner.WAREHOUSE),
        WorkStatus.LABELED: ("to hand over", "Then the carrier's scans follow.", Owner.WAREHOUSE),
    }
)


def _on_the_floor(view: OrderView, shipment: ShipmentSummary, now: datetime) -> _Wait:
    if shipment.work_status is WorkStatus.PACKED:
        return _Wait(
            waits_for=f"a label for {shipment.shipment_id}", since=None, next="Then it can be handed over."
        )
    doing, then, who = _FLOOR_STEPS.get(shipment.work_status, ("to go on", "", Owner.WAREHOUSE))
    late = "it was due" if shipment.ship_by < now else "it is due"
    return _Wait(
        waits_for=f"{shipment.location_id} {doing} {shipment.shipment_id}",
        since=view.confirmed_at,
        next=f"To keep its promise {late} to leave {_at(shipment.ship_by, now)}. {then}",
        who=who,
    )


def _with_the_carrier(view: OrderView, shipment: ShipmentSummary, parcel: ParcelView, now: datetime) -> _Wait:
    carrier = parcel.carrier or "the carrier"
    seen = parcel.latest_scan_at
    last = f"Last scan {_at(seen, now)}{f' in {parcel.place}' if parcel.place else ''}. " if seen else ""
    if parcel.carrier_status is CarrierStatus.DELIVERED:
        return _closing(view)
    comes_back = parcel.carrier_status is CarrierStatus.RETURN_TO_SENDER
    made_good = shipment.settled is not None
    comes = None if comes_back or made_good else parcel.edd_date or view.promise_date
    expected = f"Expected {comes:%a} {_day(comes)}. " if comes else ""
    owed = "Its money goes back already. " if made_good else ""
    return _Wait(
        waits_for=f"{carrier} to {'bring back' if comes_back else 'deliver'} {parcel.parcel_id}",
        since=parcel.handed_over_at,
        next=f"{last}{expected}{owed}If it goes silent we ask the carrier.",
    )


def _who(owner: Owner | None) -> str:
    match owner:
        case None | Owner.SYSTEM:
            return "Nothing for you to do."
        case Owner.CUSTOMER:
            return "The customer must act."
        case _:
            return f"{owner.capitalize()} must act."


def _at(moment: datetime, now: datetime) -> str:
    """Return a moment as short as it can be: the time alone on the same day."""
    return f"{moment:%H:%M}" if moment.date() == now.date() else f"{moment:%a} {_day(moment)} {moment:%H:%M}"


def _day(moment: date) -> str:
    return f"{moment.day} {moment:%b}"


def allowed_actions(view: OrderView) -> dict[str, str | None]:
    """Return each action with why it may not be done now; None where it may."""
    return {
        "cancel": _why_not_cancel(view),
        "hold": _why_not_hold(view),
        "release": _why_not_release(view),
        "retry_payment": _why_not_retry_payment(view),
        "change_items": _why_not_change(view),
        "change_address": _why_not_change(view),
        "change_service": _why_not_change(view),
        "answer_shortage": _why_not_answer_shortage(view),
        "refund": _why_not_refund(view),
        "answer_case": _why_not_answer_case(view),
        "not_received": _why_not_not_received(view),
    }


def _why_not_answer_case(view: OrderView) -> str | None:
    if any(PLAYBOOKS[case.kind].answers for case in view.cases):
        return None
    return f"{view.order.order_id} has no case that somebody could answer."


def _why_not_not_received(view: OrderView) -> str | None:
    if any(_arrived(shipment) for shipment in view.shipments):
        return None
    return f"Nothing of {view.order.order_id} is said to be delivered."


def _arrived(shipment: ShipmentSummary) -> bool:
    return bool(shipment.parcel and shipment.parcel.carrier_status is CarrierStatus.DELIVERED)


def _over(view: OrderView) -> str | None:
    order_id = view.order.order_id
    if view.status in ENDED:
        return f"{order_id} has ended: {view.outcome or view.status}."
    if view.status is OrderStatus.CANCELLING:
        return f"{order_id} is being cancelled already."
    return None


def _all_left(view: OrderView) -> str | None:
    if not view.shipments or any(s.work_status in BEFORE_HAND_OVER for s in view.shipments):
        return None
    parcel = next((s.parcel for s in view.shipments if s.parcel and s.parcel.handed_over_at), None)
    if parcel is None or parcel.handed_over_at is None:
        return f"Nothing of {view.order.order_id} is left to send."
    carrier = parcel.carrier or "the carrier"
    when = f"{parcel.handed_over_at:%a} {_day(parcel.handed_over_at)} {parcel.handed_over_at:%H:%M}"
    return f"{parcel.parcel_id} was handed to {carrier} {when}."


def _why_not_cancel(view: OrderView) -> str | None:
    if over := _over(view):
        return over
    left = _all_left(view)
    return f"{left} Let the customer refuse it, or take it back as a return." if left else None


def _why_not_hold(view: OrderView) -> str | None:
    return _over(view) or _all_left(view)


def _why_not_release(view: OrderView) -> str | None:
    return _over(view) or (None if view.holds else f"{view.order.order_id} has no hold.")


def _why_not_retry_payment(view: OrderView) -> str | None:
    if over := _over(view):
        return over
    return None if wants_payment(view) else f"No payment of {view.order.order_id} was declined."


def wants_payment(view: OrderView) -> bool:
    """Test whether another way to pay would help the order now."""
    if view.status in ENDED:
        return False
    refused = view.payment.status in (OrderPayment.DECLINED, OrderPayment.ACTION_REQUIRED)
    return (
        refused
        or view.status is OrderStatus.PAYMENT_FAILED
        or any(case.kind is CaseKind.PAYMENT_DECLINED for case in view.cases)
        or any(hold.reason is HoldReason.PAYMENT for hold in view.holds)
    )


def _why_not_change(view: OrderView) -> str | None:
    if over := _over(view):
        return over
    if view.confirmed_at is None:
        return f"{view.order.order_id} is not confirmed yet; cancel it and place another, or wait."
    left = _all_left(view)
    return f"{left} Ask the carrier to redirect it, or take it back as a return." if left else None


def _why_not_answer_shortage(view: OrderView) -> str | None:
    if any(hold.reason is HoldReason.STOCK for hold in view.holds):
        return _over(view)
    return f"{view.order.order_id} waits for no answer about what is missing."


def _why_not_refund(view: OrderView) -> str | None:
    if view.payment.captured > view.payment.refunded:
        return None
    if view.payment.captured:
        return f"All that was taken for {view.order.order_id} was given back."
    return f"Nothing was taken for {view.order.order_id} yet; cancel instead, then its money is let go."
