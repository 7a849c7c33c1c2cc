"""Parcels: what we say the carrier sees is what its scans say."""

from collections import Counter
from datetime import datetime, timedelta
from typing import Final

from fulfillment.domain import tracking
from fulfillment.domain.attempts import attempts
from fulfillment.domain.cases import CaseKind
from fulfillment.domain.invariants.check import Found, invariant
from fulfillment.domain.invariants.facts import Evidence, ParcelFact, ScanFact, grouped
from fulfillment.domain.label import heaviest_g
from fulfillment.domain.notifications import Fact
from fulfillment.domain.policy import DEFAULT
from fulfillment.domain.tracking import CarrierStatus, Flag, Scan, ScanSource, Tracked
from fulfillment.domain.troubles import troubles

_IN_IT: Final = ("active", "shipped")
_GLUED_ON: Final = ("live", "used")


@invariant(
    "what is in a parcel was scanned",
    "I8",
    sees="closed shipments",
    claim="each unit of a closed shipment was scanned into it at the bench, and nothing else was",
    remedy="open the parcel, begin to pack it again, and find out who closed it",
)
def nothing_closed_unscanned(evidence: Evidence) -> Found:
    books = evidence.books
    wanted, scanned = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for fact in books.benches:
        scanned[fact.shipment_id, fact.sku] += fact.units
    closed = {fact.shipment_id for fact in books.benches}
    for claim in books.allocations:
        if claim.shipment_id in closed and claim.state in _IN_IT:
            wanted[claim.shipment_id, claim.sku] += claim.quantity
    violations = [
        f"{shipment_id}: {scanned[shipment_id, sku]} of {wanted[shipment_id, sku]} {sku} were scanned into it"
        for shipment_id, sku in sorted(wanted | scanned)
        if wanted[shipment_id, sku] != scanned[shipment_id, sku]
    ]
    violations += [
        f"{fact.shipment_id}: closed while this stood: {fact.problem}"
        for fact in books.benches
        if fact.problem
    ]
    return Found(len(closed), violations)


@invariant(
    "no parcel is too heavy for its label",
    "I9",
    sees="labels on parcels",
    claim="each parcel weighs no more than its carrier takes",
    remedy="do not hand it over: take units out, so that they leave in a parcel of their own",
)
def no_label_too_heavy(evidence: Evidence) -> Found:
    books = evidence.books
    weighs = {parcel.parcel_id: parcel.weight_g for parcel in books.parcels}
    glued_on = [label for label in books.labels if label.state in _GLUED_ON]
    violations = [
        f"{label.parcel_id}: weighs {weighs[label.parcel_id]} g, and {label.carrier} takes {most} g at most"
        for label in glued_on
        if weighs[label.parcel_id] > (most := heaviest_g(label.carrier or ""))
    ]
    return Found(len(glued_on), violations)


@invariant(
    "what left is known by evidence",
    "I8",
    sees="parcels that left",
    claim="somebody saw it leave, and a carrier's list that was handed over says of each parcel what became of it",
    remedy="ask the carrier whether it has the parcel; look for it at the dock",
)
def left_with_evidence(evidence: Evidence) -> Found:
    books = evidence.books
    left = [parcel for parcel in books.parcels if parcel.handed_over_at]
    used = {label.label_id for label in books.labels if label.state == "used"}
    violations = [
        f"{parcel.parcel_id}: left, and nothing says who saw it"
        for parcel in left
        if not parcel.evidence or not parcel.handed_over_by
    ]
    violations += [
        f"{line.manifest_id}: says that {line.parcel_id} left, which did not leave under that label"
        for line in books.manifests
        if line.outcome == "left" and line.label_id not in used
    ]
    violations += [
        f"{line.manifest_id}: was handed over, and says nothing of {line.parcel_id}"
        for line in books.manifests
        if line.outcome == "listed" and line.handed_over_at
    ]
    return Found(len(left), violations)


@invariant(
    "parcels stand where their scans say",
    "I21",
    sees="parcels",
    claim="each has the status that follows from all its scans, in whatever order they came",
    remedy="ask the carrier again: the answer is folded anew",
)
def parcels_follow_their_scans(evidence: Evidence) -> Found:
    books = evidence.books
    scans = grouped(books.scans, lambda scan: scan.parcel_id)
    tolerance = DEFAULT.future_scan_tolerance
    violations = [
        f"{parcel.parcel_id}: {why}"
        for parcel in books.parcels
        if (why := _unlike(parcel, scans.get(parcel.parcel_id, []), books.now, tolerance))
    ]
    return Found(len(books.parcels), violations)


def _unlike(parcel: ParcelFact, scans: list[ScanFact], now: datetime, tolerance: timedelta) -> str:
    if any(scan.occurred_at > scan.received_at + tolerance for scan in scans):
        return ""  # one from the future was set aside, and joins with the next scan
    try:
        state = tracking.fold([_scan(scan) for scan in scans], now=now, future_tolerance=tolerance)
    except ValueError as unheard_of:
        return str(unheard_of)
    if parcel.carrier_status != state.status:
        return f"is {parcel.carrier_status} in our books, its scans say {state.status}"
    return "" if _details_agree(parcel, state) else "its flags or times are not those of its scans"


def _details_agree(parcel: ParcelFact, state: Tracked) -> bool:
    return (
        frozenset(parcel.flags) == state.flags
        and parcel.delivered_at == state.delivered_at
        and parcel.latest_scan_at == state.latest_at
    )


@invariant(
    "each attempt is told",
    "I19",
    sees="parcels",
    claim="the customer of each that could not be delivered is told so, with the number of the attempt",
    remedy="ask the carrier again: its answer is counted anew, and what is missing told",
)
def attempts_told(evidence: Evidence) -> Found:
    books = evidence.books
    scans = grouped(books.scans, lambda scan: scan.parcel_id)
    going_on = {order.order_id for order in books.orders if not order.ended}
    settled = {shipment.shipment_id for shipment in books.shipments if shipment.settled}
    waiting = [
        parcel
        for parcel in books.parcels
        if parcel.carrier_status == CarrierStatus.ATTEMPTED
        and parcel.order_id in going_on
        and parcel.shipment_id not in settled
    ]
    told = Counter[str]()
    for message in books.messages:
        if message.fact in (Fact.FAILED_ATTEMPT, Fact.LAST_ATTEMPT):
            told[message.subject] = max(told[message.subject], message.version)
    violations = [
        f"{parcel.parcel_id}: attempt {made} was made, its customer is told of {told[parcel.shipment_id]}"
        for parcel in waiting
        if (made := _attempts(scans.get(parcel.parcel_id, []), books.now)) > told[parcel.shipment_id]
    ]
    return Found(len(books.parcels), violations)


def _attempts(facts: list[ScanFact], now: datetime) -> int:
    """Return how many failed attempts a customer is told of; none where an address or a refusal is what they hear."""
    tolerance, scans = DEFAULT.future_scan_tolerance, [_scan(fact) for fact in facts]
    state = tracking.fold(scans, now=now, future_tolerance=tolerance)
    if CaseKind.FAILED_ATTEMPT not in troubles(state.status, state.flags, state.reason or ""):
        return 0
    return len(attempts(scans, now=now, future_tolerance=tolerance))


def _scan(scan: ScanFact) -> Scan:
    ours = scan.source in (ScanSource.WAYBILL, ScanSource.STAFF)
    return Scan(
        status=CarrierStatus(scan.status) if scan.status else None,
        occurred_at=scan.occurred_at,
        code=scan.code,
        place=scan.place,
        text=scan.text,
        flag=Flag(scan.flag) if scan.flag else None,
        reason=tracking.reason_of(scan.reason),
        source=ScanSource(scan.source) if ours else ScanSource.CARRIER,
        correction=scan.correction,
    )
