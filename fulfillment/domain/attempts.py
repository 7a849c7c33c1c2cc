"""How often the carrier stood at the door and could not deliver, and when it comes again."""

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from typing import Final

from fulfillment.domain.calendars import Calendar
from fulfillment.domain.cases import CaseKind
from fulfillment.domain.reasons import trouble_of
from fulfillment.domain.tracking import CarrierStatus, Flag, Scan, Standing, standings

# A carrier comes once a day. What it says of one visit in several words, and what somebody else says of it in theirs,
# lies within half of one: the codes of a morning are written until the evening, and a time without a zone is off by
# some hours.
_ONE_VISIT: Final = timedelta(hours=12)
# Why it is not delivered yet may be told at these without a visit.
_NOT_AT_THE_DOOR: Final = (
    CarrierStatus.AVAILABLE_FOR_PICKUP,
    CarrierStatus.RETURN_TO_SENDER,
    CarrierStatus.CANCELLED,
)


def attempts(scans: Iterable[Scan], *, now: datetime, future_tolerance: timedelta) -> tuple[datetime, ...]:
    """Return when each failed attempt was made, oldest first: of the same scans the same, in whatever order they came.

    What is dated in the future, or was told after the parcel's end, is none.
    """
    stand = standings(scans, now=now, future_tolerance=future_tolerance)
    return visits(
        scan.occurred_at
        for scan, standing in stand.items()
        if standing is Standing.FOLDED and _is_attempt(scan)
    )


def visits(moments: Iterable[datetime]) -> tuple[datetime, ...]:
    """Return the first of those moments that belong to one visit, oldest first."""
    counted: list[datetime] = []
    for moment in sorted(moments):
        if not counted or moment - counted[-1] > _ONE_VISIT:
            counted.append(moment)
    return tuple(counted)


def comes_again(attempted_at: datetime, calendar: Calendar, now: datetime) -> date:
    """Return the next working day after an attempt, where the recipient is; today at the earliest."""
    next_day = calendar.today(attempted_at) + timedelta(days=1)
    return calendar.open_day(max(next_day, calendar.today(now)))


def _is_attempt(scan: Scan) -> bool:
    if scan.status is CarrierStatus.ATTEMPTED:
        return True
    unlike = scan.status in _NOT_AT_THE_DOOR or scan.flag is Flag.CUSTOMS
    return not unlike and trouble_of(scan.reason or "") is CaseKind.FAILED_ATTEMPT
