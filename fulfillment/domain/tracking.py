"""What the carrier says about a parcel: a pure fold over the set of its scans.

Order of arrival and repetition cannot matter: the same set always gives the same state.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from fulfillment.domain.reasons import Reason


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
_ON_ITS_WAY: Final = (_C.PICKED_UP, _C.IN_TRANSIT)
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


def reason_of(word: str) -> Reason | None:
    """Return the reason that a word names; None for no word, `UNKNOWN` for one that another time used."""
    try:
        return Reason(word) if word else None
    except ValueError:
        return Reason.UNKNOWN


class Standing(StrEnum):
    """Where a scan stands beside the state that follows from all of them."""

    FOLDED = "folded"
    SET_ASIDE = "set_aside"  # dated in the future: it joins when its time comes
    AFTER_END = "after_end"  # told after the parcel's end, which it does not change


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """One event of a parcel.

    `status` is None for news that moves nothing. `provider` is whose words `code` and `text` are; `is_unknown` says
    that the code is in none of our tables, `zone_assumed` that its time named no zone and nothing said which. `by` and
    `why` are those of a person's correction.
    """

    status: CarrierStatus | None
    occurred_at: datetime
    code: str
    place: str = ""
    text: str = ""
    flag: Flag | None = None
    reason: Reason | None = None
    source: ScanSource = ScanSource.CARRIER
    correction: bool = False
    provider: str = ""
    is_unknown: bool = False
    zone_assumed: bool = False
    by: str = ""
    why: str = ""

    def digest(self, carrier: str, tracking_number: str) -> str:
        """Return the hash by which a repeated scan is recognised."""
        at = self.occurred_at.astimezone(UTC).isoformat()
        facts = (carrier, tracking_number, self.code, at, self.place)
        return hashlib.sha256("\x1f".join(facts).encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracked:
    """The state of a parcel that follows from its scans."""

    status: CarrierStatus = CarrierStatus.PRE_TRANSIT
    flags: frozenset[Flag] = frozenset()
    reason: Reason | None = None
    latest_at: datetime | None = None
    place: str = ""
    delivered_at: datetime | None = None


def fold(scans: Iterable[Scan], *, now: datetime, future_tolerance: timedelta) -> Tracked:
    """Return the state that follows from the set of scans.

    Scans dated later than `now + future_tolerance` are set aside until their time comes. An end state is left only
    by a correction, by a physical scan when the parcel was given up as lost or its label was said to be cancelled,
    and by the news that a delivered parcel comes back. A parcel that comes back does so until it is out for delivery.
    """
    state = Tracked()
    for scan, standing in _walked(scans, now + future_tolerance):
        if standing is Standing.FOLDED:
            state = _after(state, scan)
    return state


def standings(
    scans: Iterable[Scan], *, now: datetime, future_tolerance: timedelta
) -> Mapping[Scan, Standing]:
    """Return where each scan stands. Of one scan told in several ways, only the telling that counts is among them."""
    return dict(_walked(scans, now + future_tolerance))


def _walked(scans: Iterable[Scan], horizon: datetime) -> Iterator[tuple[Scan, Standing]]:
    """Yield every scan once, in the order of its time and not of its arrival."""
    state = Tracked()
    for scan in sorted(_once(scans), key=_in_time):
        if scan.occurred_at > horizon:
            yield scan, Standing.SET_ASIDE
        elif _may_move(state, scan):
            state = _after(state, scan)
            yield scan, Standing.FOLDED
        else:
            yield scan, Standing.AFTER_END


def telling_that_counts(tellings: Iterable[Scan]) -> Scan:
    """Return, of one scan told in several ways, the one that counts, whichever came first."""
    return max(tellings, key=_in_time)


def _once(scans: Iterable[Scan]) -> Iterator[Scan]:
    told: dict[tuple[str, datetime, str], list[Scan]] = {}
    for scan in scans:
        told.setdefault((scan.code, scan.occurred_at, scan.place), []).append(scan)
    return (telling_that_counts(tellings) for tellings in told.values())


def _in_time(scan: Scan) -> tuple[datetime, bool, int, tuple[str, ...]]:
    # Rank only breaks ties: carriers stamp "arrived" and "out for delivery" with the same minute. A correction is
    # about what was said until then. Where that does not decide either, everything a scan says does, so that the
    # order of arrival never can.
    rank = RANK[scan.status] if scan.status else 0
    words = (
        scan.code,
        scan.place,
        scan.status or "",
        scan.flag or "",
        scan.reason or "",
        scan.text,
        scan.source,
    )
    return scan.occurred_at, scan.correction, rank, words


def _after(state: Tracked, scan: Scan) -> Tracked:
    status = _moved_to(state, scan)
    return Tracked(
        status=status,
        flags=_flags_after(state.flags, scan),
        reason=scan.reason or (state.reason if scan.status is None else None),
        latest_at=scan.occurred_at,
        place=scan.place or state.place,
        delivered_at=scan.occurred_at if status is CarrierStatus.DELIVERED else None,
    )


def _moved_to(state: Tracked, scan: Scan) -> CarrierStatus:
    """The way back has depots too: only what happens at a recipient's door says that it is no longer coming back."""
    comes_back = state.status is CarrierStatus.RETURN_TO_SENDER and scan.status in _ON_ITS_WAY
    return state.status if scan.status is None or (comes_back and not scan.correction) else scan.status


def _may_move(state: Tracked, scan: Scan) -> bool:
    if state.status not in ENDED:
        return True
    if scan.correction:
        # A carrier takes back a delivery; whoever answers for the parcel here takes back any end.
        return state.status is CarrierStatus.DELIVERED or scan.source is not ScanSource.CARRIER
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
    if scan.correction:
        return frozenset({scan.flag}) if scan.flag else frozenset()
    if scan.flag:
        return flags | {scan.flag}
    if scan.status is CarrierStatus.OUT_FOR_DELIVERY or scan.status in ENDED:
        return flags & {Flag.DAMAGED}
    if scan.status in MOVING:  # it is let go, and past customs
        return flags - {Flag.ON_HOLD, Flag.CUSTOMS}
    return flags
