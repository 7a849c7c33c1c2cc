"""Parcels: what we say the carrier sees is what its scans say."""

from datetime import datetime, timedelta

from fulfillment.domain import tracking
from fulfillment.domain.invariants.check import Found, invariant
from fulfillment.domain.invariants.facts import Evidence, ParcelFact, ScanFact, grouped
from fulfillment.domain.policy import DEFAULT
from fulfillment.domain.tracking import CarrierStatus, Flag, Scan, ScanSource, Tracked


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
