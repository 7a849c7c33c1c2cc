"""How often the carrier came: the same number whatever was told twice, in other words or in another order."""

import itertools
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from fulfillment.domain.attempts import attempts, comes_again
from fulfillment.domain.calendars import Calendar
from fulfillment.domain.reasons import Reason
from fulfillment.domain.tracking import CarrierStatus, Flag, Scan

C = CarrierStatus
MONDAY = datetime(2026, 11, 23, 14, tzinfo=UTC)
NOW = MONDAY + timedelta(days=10)


def a_scan(status: CarrierStatus | None, hours: float, **more: Any) -> Scan:
    at = MONDAY + timedelta(hours=hours)
    return Scan(**{"status": status, "occurred_at": at, "code": f"{status}"} | more)


FIRST, SECOND, THIRD = (a_scan(C.ATTEMPTED, 24 * n, reason=Reason.CONSIGNEE_NOT_HOME) for n in range(3))
IN_OTHER_WORDS = a_scan(C.ATTEMPTED, 0.2, code="DL", provider="ups")
IN_A_ZONE_NOBODY_NAMED = a_scan(C.ATTEMPTED, 24 - 8, code="NH", provider="dhl", zone_assumed=True)
WITHOUT_A_STATUS = a_scan(None, 48.5, reason=Reason.CONSIGNEE_NOT_HOME)


def counted(*scans: Scan, now: datetime = NOW) -> int:
    return len(attempts(scans, now=now, future_tolerance=timedelta(minutes=15)))


def test_an_attempt_counts_once_whatever_its_order_words_and_repetitions() -> None:
    out = a_scan(C.OUT_FOR_DELIVERY, 20)
    told = (FIRST, IN_OTHER_WORDS, out, SECOND, THIRD, WITHOUT_A_STATUS)

    numbers = {counted(*some, *some[:2]) for some in itertools.permutations(told)}

    assert numbers == {3}
    assert counted(FIRST, SECOND, IN_A_ZONE_NOBODY_NAMED) == 2


@pytest.mark.parametrize(
    "scan",
    [
        a_scan(C.AVAILABLE_FOR_PICKUP, 30, reason=Reason.CONSIGNEE_NOT_HOME),
        a_scan(C.RETURN_TO_SENDER, 30, reason=Reason.CONSIGNEE_NOT_HOME),
        a_scan(None, 30, flag=Flag.CUSTOMS, reason=Reason.CONSIGNEE_VERIFICATION_FAILED),
        a_scan(C.IN_TRANSIT, 30, reason=Reason.WEATHER_DELAY),
        a_scan(C.ATTEMPTED, 24 * 11),  # its time has not come
    ],
)
def test_what_is_told_away_from_the_door_is_no_attempt(scan: Scan) -> None:
    assert counted(FIRST, scan) == 1


def test_what_is_told_after_the_end_is_no_attempt() -> None:
    assert counted(FIRST, a_scan(C.DELIVERED, 20), SECOND) == 1


@pytest.mark.parametrize(
    ("attempted", "now", "day"),
    [
        (MONDAY, MONDAY, date(2026, 11, 24)),
        (MONDAY, MONDAY + timedelta(days=2), date(2026, 11, 25)),  # we hear of it on Wednesday
        (datetime(2026, 11, 27, 18, tzinfo=UTC), datetime(2026, 11, 27, 19, tzinfo=UTC), date(2026, 11, 30)),
        (datetime(2026, 11, 25, 20, tzinfo=UTC), datetime(2026, 11, 25, 20, tzinfo=UTC), date(2026, 11, 27)),
        (datetime(2026, 11, 25, 2, tzinfo=UTC), datetime(2026, 11, 25, 2, tzinfo=UTC), date(2026, 11, 25)),
    ],
)
def test_it_comes_again_on_the_next_working_day_where_the_recipient_is(
    attempted: datetime, now: datetime, day: date
) -> None:
    thanksgiving = Calendar(zone="America/Los_Angeles", closed_days=frozenset({date(2026, 11, 26)}))

    assert comes_again(attempted, thanksgiving, now) == day
