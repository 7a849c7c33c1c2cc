"""Parcels: what we say the carrier sees is what its scans say."""

from collections import Counter
from datetime import datetime, timedelta
from typing import Final

from fulfillment.domain import tracking
from fulfillment.domain.invariants.check import Found, invariant
from fulfillment.domain.invariants.facts import Evidence, ParcelFact, ScanFact, grouped
from fulfillment.domain.policy import DEFAULT
from fulfillment.domain.tracking import CarrierStatus, Flag, Scan, ScanSource, Tracked

_IN_IT: Final = ("active", "shipped")


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
