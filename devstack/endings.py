"""How an order of the demo ended, by every witness, and what may be expected of it."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from fulfillment.domain.cases import CaseKind
from fulfillment.domain.invariants.facts import LedgerLabel, LedgerPayment, RejectionFact
from fulfillment.domain.notifications import NotificationState
from fulfillment.domain.order import ENDED, Outcome
from fulfillment.domain.payment import OperationKind, OrderPayment
from fulfillment.domain.shipment import WorkStatus
from fulfillment.domain.view import OrderView, ParcelView, ShipmentSummary
from fulfillment.domain.zones import day_in, zone_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """What came of one order, by every witness: our books, the providers' ledgers, and what the demo saw.

    `cases` holds every kind ever opened, `mails` when the mail server took which news first, `faults` what struck.
    `overtaken` are facts whose mail nobody needs any more: a sender that was killed held it for days of shop time.
    `rejections` are units that were found to be missing, or not fit to be sold.
    """

    view: OrderView
    cases: frozenset[CaseKind] = frozenset()
    mails: Mapping[str, datetime] = field(default_factory=dict)
    overtaken: frozenset[str] = frozenset()
    payments: tuple[LedgerPayment, ...] = ()
    labels: tuple[LedgerLabel, ...] = ()
    rejections: tuple[RejectionFact, ...] = ()
    faults: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()

    @property
    def captured(self) -> int:
        """What the provider took from the card, in minor units."""
        return sum(payment.captured for payment in self.payments)

    @property
    def refunded(self) -> int:
        """What the provider gave back, in minor units."""
        return sum(payment.refunded for payment in self.payments)

    @property
    def shipped(self) -> int:
        """The value of what left, by our books, in minor units."""
        left = (WorkStatus.HANDED_OVER, WorkStatus.CLOSED)
        return sum(part.value for part in self.view.shipments if part.work_status in left)

    @property
    def charged_twice(self) -> bool:
        """Whether the provider took more than what left is worth, or the same thing again."""
        keys = [
            effect.operation_key
            for payment in self.payments
            for effect in payment.effects
            if effect.kind == OperationKind.CAPTURE
        ]
        return self.captured > self.shipped or len(keys) != len(set(keys))

    @property
    def live_labels(self) -> tuple[LedgerLabel, ...]:
        """The labels that were bought and not given back."""
        return tuple(label for label in self.labels if label.state == "purchased")

    @property
    def parcels(self) -> tuple[ParcelView, ...]:
        """The order's parcels."""
        return tuple(part.parcel for part in self.view.shipments if part.parcel)


Expect = Callable[[Ending], str | None]  # what is wrong, None if nothing is


def ended(*outcomes: Outcome) -> Expect:
    """Expect the order to have ended in one of these ways."""

    def expect(ending: Ending) -> str | None:
        view = ending.view
        if view.status in ENDED and view.outcome in outcomes:
            return None
        return f"is {view.outcome or view.status}, not {' or '.join(outcomes)}"

    return expect


def charged(ending: Ending) -> str | None:
    """Expect what left to be paid, once."""
    if ending.captured == ending.shipped > 0 and not ending.charged_twice:
        return None
    return f"{ending.captured} was charged for goods of {ending.shipped}"


def refunded_in_part(amount: int) -> Expect:
    """Expect that this much was given back (minor units), and the rest kept."""

    def expect(ending: Ending) -> str | None:
        if ending.refunded == ending.view.payment.refunded == amount:
            return None
        return f"{ending.refunded} was refunded, {ending.view.payment.refunded} by our books, not {amount}"

    return expect


def never_charged(ending: Ending) -> str | None:
    """Expect that no money was taken."""
    return f"{ending.captured} was charged" if ending.captured else None


def refunded(ending: Ending) -> str | None:
    """Expect all the money to be given back."""
    if ending.refunded == ending.captured > 0 and ending.view.payment.status is OrderPayment.REFUNDED:
        return None
    return f"{ending.refunded} of {ending.captured} was refunded"


def had(kind: CaseKind) -> Expect:
    """Expect that this was noticed as a case, and that the case was solved."""

    def expect(ending: Ending) -> str | None:
        if kind not in ending.cases:
            return f"nobody noticed: no case {kind}"
        is_open = any(case.kind is kind for case in ending.view.cases)
        return f"its case {kind} is still open" if is_open else None

    return expect


def struck(kind: str) -> Expect:
    """Expect that the fault of the story really happened."""
    return lambda ending: None if kind in ending.faults else f"the fault {kind} did not strike"


def noted(text: str) -> Expect:
    """Expect that something was seen on the way."""
    return lambda ending: None if any(text in note for note in ending.notes) else f"was not seen: {text}"


def told(*facts: str) -> Expect:
    """Expect that the customer got mails about these facts."""

    def expect(ending: Ending) -> str | None:
        missing = [fact for fact in facts if fact not in ending.mails.keys() | ending.overtaken]
        return f"the customer was not told: {', '.join(missing)}" if missing else None

    return expect


def tells(sentence: str) -> Expect:
    """Expect this sentence among what people read about the order; a longer one may begin with it."""

    def expect(ending: Ending) -> str | None:
        found = any(event.text.startswith(sentence) for event in ending.view.events)
        return None if found else f"nowhere it says: {sentence}"

    return expect


def told_before_it_came(ending: Ending) -> str | None:
    """Expect the mail about the delay to be older than the delivery."""
    came = max((parcel.delivered_at for parcel in ending.parcels if parcel.delivered_at), default=None)
    at = ending.mails.get("delayed")
    return None if at and came and at < came else "the customer was not told before it came"


def came_in(parcels: int) -> Expect:
    """Expect so many parcels, each with one live label."""

    def expect(ending: Ending) -> str | None:
        labels = len(ending.live_labels)
        if len(ending.parcels) == labels == parcels:
            return None
        return f"{len(ending.parcels)} parcels and {labels} labels, not {parcels}"

    return expect


def captured_in(parts: int) -> Expect:
    """Expect that the money was taken in so many captures."""

    def expect(ending: Ending) -> str | None:
        taken = [
            effect
            for one in ending.payments
            for effect in one.effects
            if effect.kind == OperationKind.CAPTURE
        ]
        return None if len(taken) == parts else f"{len(taken)} captures, not {parts}"

    return expect


def came_from(*parts: str) -> Expect:
    """Expect one shipment for each of these and no other, named like `2 MUG-12 from wh-reno`."""

    def expect(ending: Ending) -> str | None:
        left = [part for part in ending.view.shipments if part.work_status is not WorkStatus.CANCELLED]
        found = sorted(_named(part, ending.view) for part in left)
        return None if found == sorted(parts) else f"sent was {'; '.join(found) or 'nothing'}"

    return expect


def _named(part: ShipmentSummary, view: OrderView) -> str:
    sku_of = {line.line_no: line.sku for line in view.order.lines}
    units = Counter[str]()
    for some in part.units:
        units[sku_of[some.line_no]] += some.count
    return f"{', '.join(f'{count} {sku}' for sku, count in sorted(units.items()))} from {part.location_id}"


def taken_out(reason: str, bucket: str) -> Expect:
    """Expect that one unit, and no other, was taken out for this reason and lies in this bucket of the stock."""

    def expect(ending: Ending) -> str | None:
        found = [(one.reason, one.units, getattr(one, bucket)) for one in ending.rejections]
        return None if found == [(reason, 1, 1)] else f"taken out was {found}, not one {reason} now {bucket}"

    return expect


def fell_over_from(carrier: str) -> Expect:
    """Expect one live label, of another carrier, and a decision that says why this one was left out, or what it said."""

    def expect(ending: Ending) -> str | None:
        bought = [label.carrier for label in ending.live_labels]
        if len(bought) != 1 or carrier in bought:
            return f"bought was of {', '.join(bought) or 'nobody'}"
        decisions = [parcel.decision for parcel in ending.parcels if parcel.decision]
        said = [word for one in decisions for word in one["said"] if word.startswith(f"{carrier}:")]
        said += [
            offer["left_out"] for one in decisions for offer in one["options"] if offer["carrier"] == carrier
        ]
        return None if said and all(said) else f"the decision does not say why not {carrier}"

    return expect


def addressed(to: str) -> Expect:
    """Expect the order to go to this address in the end, and no label ever bought for another one."""

    def expect(ending: Ending) -> str | None:
        goes_to = ending.view.order.ship_to
        ours = f"{goes_to.line1}, {goes_to.postal_code} {goes_to.city}"
        printed = {label.to for label in ending.labels}
        return None if {ours} == printed == {to} else f"goes to {ours}, labels to {sorted(printed)}"

    return expect


def put_off(reason: str) -> Expect:
    """Expect the promise to be moved for this reason: told once, before the day it replaces, and then kept."""

    def expect(ending: Ending) -> str | None:
        promises, zone = ending.view.promises, zone_of(ending.view.order.ship_to)
        if [one.reason for one in promises].count(reason) != 1 or promises[-1].reason != reason:
            return f"was promised for {', '.join(f'{one.day} ({one.reason})' for one in promises)}"
        before, last = promises[-2:]
        told = [one.sent_at for one in last.told if one.state is NotificationState.SENT and one.sent_at]
        if len(told) != 1 or day_in(zone, told[0]) >= before.day:
            return f"its new day was told {len(told)} times, or not before the old one"
        came = [parcel.delivered_at for parcel in ending.parcels]
        kept = all(at is not None and day_in(zone, at) <= last.day for at in came)
        return None if came and kept else "it did not come by the day that was promised anew"

    return expect


def relabeled(ending: Ending) -> str | None:
    """Expect that a label was given back, and another one bought."""
    given_back = [label for label in ending.labels if label.state != "purchased"]
    return came_in(1)(ending) if given_back else "no label was given back"


def made_good(settled: str) -> Expect:
    """Expect that a part was made good in this way."""

    def expect(ending: Ending) -> str | None:
        found = [part.settled for part in ending.view.shipments if part.settled]
        return None if found == [settled] else f"was made good with {found or 'nothing'}, not {settled}"

    return expect


def has_lines(lines: int) -> Expect:
    """Expect the order to have so many lines in the end."""

    def expect(ending: Ending) -> str | None:
        found = len(ending.view.order.lines)
        return None if found == lines else f"has {found} lines, not {lines}"

    return expect


def lost_a_part(ending: Ending) -> str | None:
    """Expect that some units were cancelled, and the rest not."""
    return None if ending.view.cancelled_units and ending.shipped else "no part of it was cancelled"


def every_scan_once(ending: Ending) -> str | None:
    """Expect that no scan of a parcel counts twice."""
    seen = [
        (parcel.parcel_id, scan.at, scan.text, scan.place)
        for parcel in ending.parcels
        for scan in parcel.scans
    ]
    return None if seen and len(seen) == len(set(seen)) else "a scan counts twice"


def in_scan_order(ending: Ending) -> str | None:
    """Expect the delivery to be the last word, in whatever order the news came."""
    for parcel in ending.parcels:
        if parcel.delivered_at is None or any(s.at > parcel.delivered_at and s.status for s in parcel.scans):
            return f"{parcel.parcel_id} moved after its delivery"
    return None
