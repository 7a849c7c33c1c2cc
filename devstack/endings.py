"""How an order of the demo ended, by every witness, and what may be expected of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from fulfillment.domain.cases import CaseKind
from fulfillment.domain.invariants.facts import LedgerLabel, LedgerPayment
from fulfillment.domain.order import ENDED, Outcome
from fulfillment.domain.payment import OperationKind, OrderPayment
from fulfillment.domain.shipment import WorkStatus
from fulfillment.domain.view import OrderView, ParcelView


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """What came of one order, by every witness: our books, the providers' ledgers, and what the demo saw.

    `cases` holds every kind ever opened, `mails` when the mail server took which news first, `faults` what struck.
    """

    view: OrderView
    cases: frozenset[CaseKind] = frozenset()
    mails: Mapping[str, datetime] = field(default_factory=dict)
    payments: tuple[LedgerPayment, ...] = ()
    labels: tuple[LedgerLabel, ...] = ()
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
    """Expect that this was noticed as a case."""
    return lambda ending: None if kind in ending.cases else f"nobody noticed: no case {kind}"


def struck(kind: str) -> Expect:
    """Expect that the fault of the story really happened."""
    return lambda ending: None if kind in ending.faults else f"the fault {kind} did not strike"


def noted(text: str) -> Expect:
    """Expect that something was seen on the way."""
    return lambda ending: None if any(text in note for note in ending.notes) else f"was not seen: {text}"


def told(*facts: str) -> Expect:
    """Expect that the customer got mails about these facts."""

    def expect(ending: Ending) -> str | None:
        missing = [fact for fact in facts if fact not in ending.mails]
        return f"the customer was not told: {', '.join(missing)}" if missing else None

    return expect


def told_before_it_came(ending: Ending) -> str | None:
    """Expect the mail about the delay to be older than the delivery."""
    came = max((parcel.delivered_at for parcel in ending.parcels if parcel.delivered_at), default=None)
    at = ending.mails.get("delayed")
    return None if at and came and at < came else "the customer was not told before it came"


def came_in(parcels: int) -> Expect:
    """Expect so many parcels, each with one live label."""

    def expect(ending: Ending) -> str | None:
        paid = [label for label in ending.labels if label.state == "purchased"]
        if len(ending.parcels) == len(paid) == parcels:
            return None
        return f"{len(ending.parcels)} parcels and {len(paid)} labels, not {parcels}"

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
