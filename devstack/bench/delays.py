"""What became of parcels whose way is known: who was told when, and who of those that the data showed to be late.

The way itself is the judge, not what the shop believed of it.
"""

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from datetime import time as clock
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, text

from devstack.bench.ways import Way
from fulfillment.domain.policy import DEFAULT

# So long before the promised day a delay must show, so that there is time to look, and to tell before quiet hours.
IN_TIME: Final = timedelta(hours=8)
_PARCELS: Final = text("""
    SELECT o.order_id, o.completed_at, p.shipment_id, s.outcome, t.*,
        (SELECT promised_date FROM promises WHERE order_id = o.order_id AND n = 1) AS promised,
        (SELECT coalesce(sum(captured - refunded), 0) FROM payments WHERE order_id = o.order_id) AS kept,
        s.settled, (SELECT max(handed_over_at) FROM shipments WHERE replaces = s.shipment_id) AS replaced_at,
        (SELECT min(opened_at) FROM cases WHERE order_id = o.order_id AND kind IN ('no_scan', 'no_first_scan')) AS missed
    FROM orders o JOIN parcels p USING (order_id) JOIN shipments s USING (shipment_id) JOIN transits t USING (parcel_id)
    WHERE o.order_id LIKE 'PARCEL-%' AND p.n = 1
""")
_PROMISES: Final = text(
    "SELECT * FROM promises WHERE order_id LIKE 'PARCEL-%' AND n > 1 ORDER BY order_id, n"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Late:
    """A parcel that came after the day promised first, or never.

    `ahead` is how many hours before that day its customer was told, less than nothing after it and None never; `by` who
    said so. `shown` says that the data showed it in time.
    """

    order_id: str
    days: int | None
    ahead: float | None
    by: str
    shown: bool

    @property
    def in_time(self) -> bool:
        """Whether the customer knew before the day came."""
        return self.ahead is not None and self.ahead >= 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What became of all parcels."""

    parcels: int
    days: float
    minutes: float
    delivered: int
    lost: int
    lost_acted_on: int
    lost_noticed_days: float
    lost_settled_days: float
    late: tuple[Late, ...]
    false_alarms: int
    revised: int
    mails: int
    told_twice: int
    violations: int

    @property
    def shown(self) -> int:
        """How many delays the data showed in time."""
        return sum(late.shown for late in self.late)

    @property
    def shown_told(self) -> int:
        """How many of those were told before their day."""
        return sum(late.shown and late.in_time for late in self.late)

    @property
    def told(self) -> int:
        """How many of all delays were told before their day."""
        return sum(late.in_time for late in self.late)

    @property
    def held(self) -> bool:
        """Whether all was as it is promised."""
        all_told = self.shown_told == self.shown and self.lost_acted_on == self.lost
        return all_told and not self.told_twice and not self.violations

    def lines(self) -> list[str]:
        """Return it as people read it."""
        by, late = Counter(late.by for late in self.late if late.in_time), len(self.late)
        shown, told = _share(self.shown_told, self.shown), _share(self.told, late)
        noticed, settled = self.lost_noticed_days, self.lost_settled_days
        return [
            f"{self.parcels} parcels, {self.days:.0f} days of the shop in {self.minutes:.1f} minutes",
            f"{self.shown} delays showed in the data in time: {self.shown_told} told before the day ({shown})",
            f"{late} delays in all: {self.told} told before the day ({told})",
            f"  {by['carrier']} by the carrier's word, {by['computed']} by the history of the lane",
            f"{self.false_alarms} were told of another day and had their parcel in time",
            f"{self.lost} lost: {self.lost_acted_on} sent again or refunded, and told",
            f"  silence was a case after {noticed:.1f} days, a loss after {settled:.1f} (medians)",
            f"{self.mails} mails, {self.told_twice} of them said twice",
            f"{self.violations} violations in the audit",
            f"{'PASS' if self.held else 'FAIL'} parcels",
        ]


def judge(conn: Connection, ways: Mapping[str, Way], mails: Sequence[Mapping[str, Any]]) -> Found:
    """Say what became of all parcels; how long it took, and what the audit found, is the caller's."""
    rows = conn.execute(_PARCELS).all()
    revised = defaultdict[str, list[Row[Any]]](list)
    for row in conn.execute(_PROMISES):
        revised[row.order_id].append(row)
    told = _told(mails)
    late = [
        found
        for row in rows
        if (found := _late(row, ways[row.shipment_id], rows, revised[row.order_id], told[row.order_id]))
    ]
    gone = [row for row in rows if ways[row.shipment_id].delivered_at is None]
    acted = [row for row in gone if row.outcome == "lost" and _made_good(row, told[row.order_id])]
    silent_since = {row.order_id: ways[row.shipment_id].scans[-1].at for row in gone}
    late_ones = {found.order_id for found in late}
    return Found(
        parcels=len(rows),
        days=0.0,
        minutes=0.0,
        delivered=len(rows) - len(gone),
        lost=len(gone),
        lost_acted_on=len(acted),
        lost_noticed_days=_median_days(row.missed - silent_since[row.order_id] for row in gone if row.missed),
        lost_settled_days=_median_days(row.ended_at - silent_since[row.order_id] for row in acted),
        late=tuple(late),
        false_alarms=sum(bool(days) and order_id not in late_ones for order_id, days in revised.items()),
        revised=sum(map(len, revised.values())),
        mails=len(mails),
        told_twice=twice(mails),
        violations=0,
    )


def _made_good(row: Row[Any], told: Mapping[str, datetime]) -> bool:
    """Whether another one left, or the money went back, and the customer knows."""
    if row.settled == "reship":
        return bool(row.replaced_at) and "reshipped" in told
    return row.settled == "refund" and not row.kept and "lost" in told


def _late(
    row: Row[Any],
    way: Way,
    rows: Sequence[Row[Any]],
    revised: Sequence[Row[Any]],
    told: Mapping[str, datetime],
) -> Late | None:
    """Return how late a parcel was and when its customer knew; None when it came by the first promised day."""
    came = _day(way.delivered_at, row.zone) if way.delivered_at else None
    if came and came <= row.promised:
        return None
    begins = datetime.combine(row.promised, clock(), ZoneInfo(row.zone))
    knew = told.get("delayed")
    return Late(
        order_id=row.order_id,
        days=(came - row.promised).days if came else None,
        ahead=(begins - knew) / timedelta(hours=1) if knew else None,
        by=revised[0].source if revised else "",
        shown=showed(row, way, rows, begins - IN_TIME),
    )


def showed(row: Row[Any], way: Way, rows: Sequence[Row[Any]], at: datetime) -> bool:
    """Whether it was plain at this instant: the carrier had named a later day, or its lane was not that quick.

    That quick: it goes on at once, and then like the middle one of the lane's parcels that were delivered by then.
    """
    if row.left_at > at:
        return False
    if any(scan.est and scan.at < at and _day(scan.est, row.zone) > row.promised for scan in way.scans):
        return True
    like = [other for other in rows if _has_shown(other, row, at)]
    near = [other for other in like if other.area == row.area]
    known = near if len(near) >= DEFAULT.lane_parcels_at_least else like
    if len(known) < DEFAULT.lane_parcels_at_least:
        return False
    next_stage = 1 + _stage(row, way, at)
    rest = statistics.median(other.ended_at - _reached(other, next_stage) for other in known)
    return bool(_day(at + rest, row.zone) > row.promised)


def _has_shown(other: Row[Any], row: Row[Any], at: datetime) -> bool:
    same = (other.carrier, other.service, other.country) == (row.carrier, row.service, row.country)
    return same and other.outcome == "delivered" and bool(other.ended_at < at)


def _stage(row: Row[Any], way: Way, at: datetime) -> int:
    """Return how far it was: 0 not seen, 1 seen, 2 in the recipient's region, 3 on the van."""
    seen = [scan for scan in way.scans if scan.at < at]
    if any(scan.detail == "out_for_delivery" for scan in seen):
        return 3
    return 2 if any(scan.place[1] == row.region for scan in seen) else min(len(seen), 1)


def _reached(row: Row[Any], stage: int) -> datetime:
    moments: tuple[datetime | None, ...] = (
        *(row.left_at, row.first_scan_at, row.near_at),
        *(row.out_at, row.ended_at),
    )
    return min(moment for moment in moments[stage:] if moment)


def _told(mails: Iterable[Mapping[str, Any]]) -> Mapping[str, dict[str, datetime]]:
    """Return when the mail server took the first mail about each fact of each order."""
    told = defaultdict[str, dict[str, datetime]](dict)
    for mail in sorted(mails, key=lambda mail: mail["received_at"]):
        order, _, rest = str(mail["message_id"]).strip("<>").partition(".")
        at = datetime.fromisoformat(mail["received_at"])
        told[order.removeprefix("order-")].setdefault(rest.partition(".")[0], at)
    return told


def twice(mails: Iterable[Mapping[str, Any]]) -> int:
    """Return how many mails say to somebody what another one said already."""
    ids = Counter((mail["to"][0], mail["message_id"]) for mail in mails)
    words = Counter((mail["to"][0], mail["subject"], mail["text"]) for mail in mails)
    return max(ids.total() - len(ids), words.total() - len(words))


def _day(moment: datetime, zone: str) -> date:
    return moment.astimezone(ZoneInfo(zone)).date()


def _median_days(spans: Iterable[timedelta]) -> float:
    days = [span / timedelta(days=1) for span in spans]
    return round(statistics.median(days), 1) if days else 0.0


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.0%}" if whole else "none"
