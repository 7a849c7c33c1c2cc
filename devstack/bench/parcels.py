"""Parcels with the delays, losses and silence of real ones: who was told when, and what became of the lost.

Everything is real but the way of the parcels, which is drawn from recorded ones: books, workflows, webhooks and mail.
What the shop did is judged by the way itself, not by what the shop believed of it.
"""

import asyncio
import random
import statistics
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from datetime import time as clock
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import Row, text

from devstack.bench.shop import PLACERS, RestlessFloor, Shop, an_order, bench_stack, open_shop
from devstack.bench.ways import ORIGIN, TOWNS, Town, Way, draw
from devstack.stack import Stack
from fulfillment.domain.address import Address
from fulfillment.domain.policy import DEFAULT
from fulfillment.http import ApiClient, api_client
from fulfillment.providers.calendars import public_holidays
from fulfillment.storage.warehouse import WorkItem
from workers.audit import audit

SPEED: Final = 3600.0  # an hour in a second
# So long before the promised day a delay must show, so that there is time to look and to tell.
IN_TIME: Final = timedelta(hours=6)
_PREFIX: Final = "PARCEL"
_LONGEST: Final = timedelta(days=45)  # in the shop's time, after the last order
_PARCELS: Final = text("""
    SELECT o.order_id, o.completed_at, p.shipment_id, s.outcome, t.*,
        (SELECT promised_date FROM promises WHERE order_id = o.order_id AND n = 1) AS promised,
        (SELECT coalesce(sum(captured - refunded), 0) FROM payments WHERE order_id = o.order_id) AS kept,
        (SELECT min(opened_at) FROM cases WHERE order_id = o.order_id AND kind IN ('no_scan', 'no_first_scan')) AS missed
    FROM orders o JOIN parcels p USING (order_id) JOIN shipments s USING (shipment_id) JOIN transits t USING (parcel_id)
    WHERE o.order_id LIKE 'PARCEL-%' AND p.n = 1
""")
_PROMISES: Final = text(
    "SELECT * FROM promises WHERE order_id LIKE 'PARCEL-%' AND n > 1 ORDER BY order_id, n"
)

Say = Callable[[str], None]


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
            f"{self.lost} lost: {self.lost_acted_on} given up, refunded and told",
            f"  silence was a case after {noticed:.1f} days, a loss after {settled:.1f} (medians)",
            f"{self.mails} mails, {self.told_twice} of them said twice",
            f"{self.violations} violations in the audit",
            f"{'PASS' if self.held else 'FAIL'} parcels",
        ]


def measure(*, parcels: int, say: Say) -> Found:
    """Send so many parcels on their way, in a shop of their own, and judge what was done about them."""
    with bench_stack(speed=SPEED, web=True) as stack:
        return asyncio.run(_measure(stack, parcels, say))


async def _measure(stack: Stack, parcels: int, say: Say) -> Found:
    began, shop = time.monotonic(), await open_shop(stack)
    opened = shop.now()
    with ExitStack() as closing:
        world = closing.enter_context(api_client(stack.urls["simulator"]))
        world.post("/_sim/webhooks", {"noise": True})
        floor = closing.enter_context(_Dock(shop, world))
        await _place(shop, parcels, say)
        await _wait_for_the_end(shop, parcels, say)
    say("waiting for rest, then the audit ..")
    report = await audit(shop.settings)
    for line in report.lines():
        say(line)
    with api_client(stack.urls["simulator"]) as world:
        mails = world.get("/_sim/mails", limit=100 * parcels)["mails"]
    found = _judge(shop, floor.ways, mails)
    ended = shop.now()
    return replace(
        found,
        days=(ended - opened) / timedelta(days=1),
        minutes=(time.monotonic() - began) / 60,
        violations=report.violations,
    )


def _town(order_id: str) -> Town:
    return TOWNS[int(order_id.rpartition("-")[2]) % len(TOWNS)]


async def _place(shop: Shop, parcels: int, say: Say) -> None:
    """Let customers come as fast as the shop takes them."""
    free = asyncio.Semaphore(PLACERS)

    async def one(n: int) -> None:
        async with free:
            order_id = f"{_PREFIX}-{n}"
            town = _town(order_id)
            to = Address(name="Ann", line1="1 Main St", city=town.city, region=town.region, country="US",
                         postal_code=town.postal_code)  # fmt: skip
            order = an_order(order_id, shop.now())
            customer = replace(order.customer, customer_id=f"cus_{n}", email=f"ann{n}@example.com")
            mine = replace(order, ship_to=to, customer=customer)
            await asyncio.to_thread(shop.accepted.accept, mine, by="bench")
            await shop.processes.place(order_id)
        if n % 100 == 0:
            say(f"{n} orders placed, it is {shop.now():%a %d %b}")

    await asyncio.gather(*(one(n) for n in range(1, parcels + 1)))


async def _wait_for_the_end(shop: Shop, parcels: int, say: Say) -> None:
    until, day = shop.now() + _LONGEST, shop.now().date()
    while len(ended := await asyncio.to_thread(shop.ended, _PREFIX)) < parcels:
        now = shop.now()
        if now > until:
            raise TimeoutError(f"{parcels - len(ended)} of {parcels} orders have not ended after {_LONGEST}")
        if now.date() >= day + timedelta(days=3):
            day = now.date()
            say(f"{len(ended)} of {parcels} orders have ended, it is {now:%a %d %b}")
        await asyncio.sleep(0.5)


class _Dock(RestlessFloor):
    """Hands parcels to the carrier with the way that they will take."""

    def __init__(self, shop: Shop, world: ApiClient) -> None:
        super().__init__(shop)
        self._world, self._books = world, shop
        this_year = shop.now().year
        self._rests = public_holidays("US", ORIGIN[1], range(this_year, this_year + 2))
        self.ways: dict[str, Way] = {}
        self._lock = threading.Lock()

    def _to_the_door(self, item: WorkItem, parcel_id: str) -> None:
        left = self._books.floor.hand_over(item.shipment_id, by="bench")
        self._hand_on(item.order_id)
        dice = random.Random(item.order_id)
        way = draw(dice, _town(item.order_id), self._books.now(), self._rests)
        with self._lock:
            self.ways[item.order_id] = way
        said = {"way": [scan.as_json() for scan in way.scans]}
        self._world.post(f"/_sim/parcels/{left.tracking_number}/handed_over", said)


# --- the judgement ---------------------------------------------------------------------------------------


def _judge(shop: Shop, ways: Mapping[str, Way], mails: Sequence[Mapping[str, Any]]) -> Found:
    with shop.engine.connect() as conn:
        rows = conn.execute(_PARCELS).all()
        revised = defaultdict[str, list[Row[Any]]](list)
        for row in conn.execute(_PROMISES):
            revised[row.order_id].append(row)
    told = _told(mails)
    late = [
        found
        for row in rows
        if (found := _late(row, ways[row.order_id], rows, revised[row.order_id], told[row.order_id]))
    ]
    gone = [row for row in rows if ways[row.order_id].delivered_at is None]
    acted = [row for row in gone if row.outcome == "lost" and not row.kept and "lost" in told[row.order_id]]
    silent_since = {row.order_id: ways[row.order_id].scans[-1].at for row in gone}
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
        told_twice=_twice(mails),
        violations=0,
    )


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
        shown=_showed(row, way, rows, begins - IN_TIME),
    )


def _showed(row: Row[Any], way: Way, rows: Sequence[Row[Any]], at: datetime) -> bool:
    """Whether it was plain at this instant: the carrier had named a later day, or no parcel ever made it from there.

    From there: had it gone on at once, and as fast as the fastest of its lane that had been delivered by then.
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
    fastest = min(other.ended_at - _reached(other, next_stage) for other in known)
    return bool(_day(at + fastest, row.zone) > row.promised)


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


def _twice(mails: Iterable[Mapping[str, Any]]) -> int:
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
