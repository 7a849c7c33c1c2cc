"""What the carrier says about a parcel: a pure fold over the set of its scans.

Order of arrival and repetition cannot matter: the same set always gives the same state.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class CarrierStatus(StrEnum):
    """The carrier's word for a parcel, translated. Providers' codes are mapped at the door."""

    UNKNOWN = "unknown"
    PRE_TRANSIT = "pre_transit"
    PICKED_UP = "picked_up"
    IN_TRANSIT = "in_transit"
    OUT_FOR_DELIVERY = "out_for_delivery"
    ATTEMPTED = "attempted"
    AVAILABLE_FOR_PICKUP = "available_for_pickup"
    RETURN_TO_SENDER = "return_to_sender"
    LOST = "lost"
    DELIVERED = "delivered"
    RETURNED = "returned"
    DESTROYED = "destroyed"
    CANCELLED = "cancelled"


_C = CarrierStatus
RANK: Final[Mapping[CarrierStatus, int]] = MappingProxyType(
    {
        _C.UNKNOWN: 0,
        _C.PRE_TRANSIT: 1,
        _C.PICKED_UP: 2,
        _C.IN_TRANSIT: 3,
        _C.OUT_FOR_DELIVERY: 4,
        _C.ATTEMPTED: 4,
        _C.AVAILABLE_FOR_PICKUP: 5,
        _C.RETURN_TO_SENDER: 7,
        _C.LOST: 8,
        _C.DELIVERED: 9,
        _C.RETURNED: 9,
        _C.DESTROYED: 9,
        _C.CANCELLED: 8,
    }
)
ENDED: Final = frozenset({_C.LOST, _C.DELIVERED, _C.RETURNED, _C.DESTROYED, _C.CANCELLED})
# A cancelled label is a word about paper: a parcel that has left with it is still somewhere.
JOURNEY_OVER: Final = ENDED - {_C.CANCELLED}
MOVING: Final = frozenset(
    {_C.PICKED_UP, _C.IN_TRANSIT, _C.OUT_FOR_DELIVERY, _C.ATTEMPTED, _C.AVAILABLE_FOR_PICKUP}
)
# Somebody had the parcel in their hands.
PHYSICAL: Final = MOVING | {_C.RETURN_TO_SENDER, _C.DELIVERED, _C.RETURNED, _C.DESTROYED}


class Flag(StrEnum):
    """Trouble that stands beside the status and does not change it."""

    DELAYED = "delayed"
    ON_HOLD = "on_hold"
    DAMAGED = "damaged"
    CUSTOMS = "customs"


class ScanSource(StrEnum):
    """Who reported a scan."""

    CARRIER = "carrier"
    WAYBILL = "waybill"
    STAFF = "staff"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """One event of a parcel. `status` is None for news that moves nothing, such as a code in no table."""

    status: CarrierStatus | None
    occurred_at: datetime
    code: str
    place: str = ""
    text: str = ""
    flag: Flag | None = None
    reason: str = ""
    source: ScanSource = ScanSource.CARRIER
    correction: bool = False

    def digest(self, carrier: str, tracking_number: str) -> str:
        """Return the hash by which a repeated scan is recognised."""
        facts = (carrier, tracking_number, self.code, self.occurred_at.isoformat(), self.place)
        return hashlib.sha256("\x1f".join(facts).encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracked:
    """The state of a parcel that follows from its scans."""

    status: CarrierStatus = CarrierStatus.PRE_TRANSIT
    flags: frozenset[Flag] = frozenset()
    reason: str = ""
    latest_at: datetime | None = None
    place: str = ""
    delivered_at: datetime | None = None


def fold(scans: Iterable[Scan], *, now: datetime, future_tolerance: timedelta) -> Tracked:
    """Return the state that follows from the set of scans.

    Scans dated later than `now + future_tolerance` are set aside until their time comes. An end state is
    left only by a correction, or by any later physical scan when the parcel was given up as lost or its
    label was said to be cancelled.
    """
    known = {scan for scan in scans if scan.occurred_at <= now + future_tolerance}
    state = Tracked()
    for scan in sorted(known, key=_in_time):
        state = _after(state, scan)
    return state


def _in_time(scan: Scan) -> tuple[datetime, int, str, str, str]:
    # Rank only breaks ties: carriers stamp "arrived" and "out for delivery" with the same minute.
    rank = RANK[scan.status] if scan.status else 0
    return scan.occurred_at, rank, scan.code, scan.place, scan.text


def _after(state: Tracked, scan: Scan) -> Tracked:
    if not _may_move(state, scan):
        return state
    status = scan.status or state.status
    return Tracked(
        status=status,
        flags=_flags_after(state.flags, scan),
        reason=scan.reason or (state.reason if scan.status is None else ""),
        latest_at=scan.occurred_at,
        place=scan.place or state.place,
        delivered_at=scan.occurred_at if status is CarrierStatus.DELIVERED else None,
    )


def _may_move(state: Tracked, scan: Scan) -> bool:
    if state.status not in ENDED or scan.correction:
        return True
    found = (
        state.status in (CarrierStatus.LOST, CarrierStatus.CANCELLED)
        and scan.source is ScanSource.CARRIER
        and scan.status in PHYSICAL
    )
    # A parcel that left with a cancelled label and was never seen again is given up like any other.
    given_up = state.status is CarrierStatus.CANCELLED and scan.status is CarrierStatus.LOST
    came_back = state.status is CarrierStatus.DELIVERED and scan.status in (
        CarrierStatus.RETURN_TO_SENDER,
        CarrierStatus.RETURNED,
    )
    return found or given_up or came_back


def _flags_after(flags: frozenset[Flag], scan: Scan) -> frozenset[Flag]:
    if scan.flag:
        return flags | {scan.flag}
    if scan.status is CarrierStatus.OUT_FOR_DELIVERY or scan.status in ENDED:
        return flags & {Flag.DAMAGED}
    if scan.status in MOVING:
        return flags - {Flag.ON_HOLD}
    return flags
