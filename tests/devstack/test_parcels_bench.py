"""The bench of parcels judges by what it knows itself: ways as carriers' are, and what could be seen of them when."""

import random
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from statistics import median, quantiles
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree
from zoneinfo import ZoneInfo

import pytest

from devstack.bench.delays import Late, showed, twice
from devstack.bench.delays_plot import drawn
from devstack.bench.ways import TOWNS, Seen, Way, draw

MONDAY = datetime(2026, 11, 2, 23, tzinfo=UTC)
THANKSGIVING = frozenset({date(2026, 11, 26)})
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
BOISE = next(town for town in TOWNS if town.city == "Boise")


def ways(number: int = 400, *, far: bool = True) -> list[Way]:
    dice, town = random.Random(1), next(town for town in TOWNS if town.is_far == far)
    return [draw(dice, town, MONDAY + n % 30 * DAY, THANKSGIVING) for n in range(number)]


def test_scans_follow_one_another_to_the_recipients_door() -> None:
    for way in ways():
        moments = [scan.at for scan in way.scans]

        assert moments == sorted(moments)
        assert way.delivered_at in (None, moments[-1])


def test_nobody_delivers_on_sundays_and_holidays() -> None:
    zone = ZoneInfo(next(town for town in TOWNS if town.is_far).zone)
    days = {way.delivered_at.astimezone(zone).date() for way in ways() if way.delivered_at}

    assert 6 not in {day.weekday() for day in days}
    assert not days & THANKSGIVING


@pytest.mark.parametrize(("far", "usual", "slowest"), [(False, 1, 3), (True, 3, 6)])
def test_days_on_the_way_are_what_carriers_say_of_themselves(far: bool, usual: int, slowest: int) -> None:
    delivering = [
        sum(
            (way.scans[0].at + n * DAY).weekday() != 6
            for n in range(1, (way.delivered_at - way.scans[0].at).days + 1)
        )
        for way in ways(2000, far=far)
        if way.delivered_at
    ]

    assert abs(median(delivering) - usual) <= 1
    assert abs(quantiles(delivering, n=20)[18] - slowest) <= 1


def test_a_slow_parcel_stands_still_once_and_the_carrier_says_so_of_some() -> None:
    slow = [way for way in ways() if way.delivered_at and way.delivered_at - way.scans[0].at > 7 * DAY]
    said = [way for way in slow if any(scan.est for scan in way.scans)]

    assert 0 < len(said) < len(slow)
    for way in slow:
        gaps = sorted(b.at - a.at for a, b in zip(way.scans, way.scans[1:], strict=False))
        assert gaps[-1] > 48 * HOUR


def a_delivery(n: int, *, near: float = 30, door: float = 46, area: str = "837") -> Any:
    """A parcel of the lane that left two weeks before MONDAY, with the hours of its stages."""
    left = MONDAY - 14 * DAY
    return SimpleNamespace(
        order_id=f"PARCEL-{n}", carrier="USPS", service="standard", country="US", area=area, region="ID",
        zone="America/Denver", outcome="delivered", left_at=left, first_scan_at=left + 5 * HOUR,
        near_at=left + near * HOUR, out_at=left + (door - 5) * HOUR, ended_at=left + door * HOUR, promised=None,
    )  # fmt: skip


def under_way(*scans: Seen, days: int = 3) -> tuple[Any, Way]:
    row = a_delivery(0)
    row.left_at, row.outcome, row.ended_at = MONDAY, None, None
    row.promised = (MONDAY + days * DAY).date()
    return row, Way(scans=scans, delivered_at=None)


def a_scan(hours: float, *, place: tuple[str, str] = ("Reno", "NV"), est: datetime | None = None) -> Seen:
    return Seen(at=MONDAY + hours * HOUR, detail="arrived_at_facility", place=place, est=est)


LANE = [a_delivery(n, near=30 + n / 10, door=46 + n / 10) for n in range(1, 31)]


@pytest.mark.parametrize(
    ("scans", "known", "hours", "shown"),
    [
        ([a_scan(5)], LANE, 40, False),  # sixteen hours from the region to the door: still in time
        ([a_scan(5)], LANE, 70, True),  # not any more
        ([a_scan(5), a_scan(40, place=("Boise", "ID"))], LANE, 70, False),
        ([a_scan(5)], LANE[:19], 70, False),  # nineteen parcels are no lane
        ([a_scan(5, est=MONDAY + 5 * DAY)], [], 40, True),
        ([a_scan(50, est=MONDAY + 5 * DAY)], [], 40, False),  # the carrier says so later
    ],
)
def test_a_delay_shows_when_the_fastest_of_the_lane_could_not_make_it_from_there(
    scans: Sequence[Seen], known: list[Any], hours: float, shown: bool
) -> None:
    row, way = under_way(*scans)

    assert showed(row, way, known, MONDAY + hours * HOUR) is shown


def test_a_parcel_that_has_not_left_shows_nothing_of_its_way() -> None:
    row, way = under_way(a_scan(5, est=MONDAY + 9 * DAY))

    assert showed(row, way, LANE, MONDAY - HOUR) is False


def test_a_mail_is_said_twice_by_its_number_or_by_its_words() -> None:
    mail = {"to": ["a@x"], "message_id": "<1>", "subject": "Late", "text": "Sorry"}

    assert twice([mail, mail | {"message_id": "<2>", "text": "Again"}]) == 0
    assert twice([mail, dict(mail)]) == 1
    assert twice([mail, mail | {"message_id": "<2>"}]) == 1
    assert twice([mail, mail | {"to": ["b@x"], "message_id": "<2>"}]) == 0


def test_every_delay_is_a_dot_of_the_picture() -> None:
    delays = [
        Late(order_id=f"PARCEL-{n}", days=1, ahead=ahead, by=by, shown=bool(n % 2))
        for n, (ahead, by) in enumerate([(30.0, "carrier"), (-900.0, ""), (None, ""), (9000.0, "computed")])
    ]

    picture = ElementTree.fromstring(drawn(delays))

    dots = [one for one in picture.iter("{http://www.w3.org/2000/svg}circle") if one.get("r") == "4.2"]
    assert len(dots) == len(delays)
