"""A parcel's way as its carrier will scan it: drawn once, from the parcel's own seed, in shop time."""

import math
import random
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Final

from devstack.simulators.rates import Lane
from devstack.simulators.store import Json

PROFILES: Final = frozenset(
    [
        "happy",
        "late",
        "weather_delay",
        "silent",
        "lost",
        "failed_attempt",
        "damaged",
        "return_to_sender",
        "duplicates",
        "disordered",
    ]
)
GIVEN: Final = "given"  # the way of a parcel that somebody else has drawn
HOUR: Final = 3600.0
DAY: Final = 86_400.0
SENTENCES: Final = {
    "label_created": "Shipping label created, awaiting item",
    "received_at_origin_facility": "Accepted at origin facility",
    "arrived_at_facility": "Arrived at facility",
    "departed_facility": "Departed facility",
    "arrived_at_destination": "Arrived at local delivery facility",
    "out_for_delivery": "Out for delivery",
    "delivered": "Delivered, in or at mailbox",
    "delivery_exception": "Delivery attempted, no access to delivery location",
    "delayed": "In transit, arriving late",
    "weather_delay": "Weather delay, delivery will be rescheduled",
    "damaged": "Package damaged in transit, contents lost",
    "refused": "Refused by recipient",
    "return": "Returning to sender",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """One scan to come. `est` is set where it moves the estimated delivery."""

    at: float
    status: str
    detail: str
    place: tuple[str, ...]
    est: float | None = None

    def as_json(self) -> Json:
        """Return the scan without its instant, as it will be shown."""
        return {"status": self.status, "status_detail": self.detail, "place": list(self.place)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trip:
    """What a parcel's way depends on."""

    lane: Lane
    carrier: str
    days: int
    handed_over: float
    promised: float


def promise(created: float, days: int, offset: int) -> float:
    """Return the end (20:00 local) of the day a service promises. Parcels after 17:00 leave the next day."""
    local = datetime.fromtimestamp(created, UTC) + timedelta(hours=offset)
    day = local.date() + timedelta(days=1 if local.hour >= 17 else 0)
    while days > 0 or day.weekday() == 6:
        day += timedelta(days=1)
        days -= day.weekday() != 6
    return evening_of(day, offset)


def evening_of(day: date, offset: int) -> float:
    """Return when a local day is over for a carrier: at 20:00, `offset` hours from UTC."""
    return datetime(day.year, day.month, day.day, 20, tzinfo=UTC).timestamp() - offset * HOUR


def plan(trip: Trip, profile: str, rng: random.Random) -> list[Scan]:
    """Return every scan from acceptance to the end, in order."""
    scans, est = _line_haul(trip, profile, rng)
    if profile in ("lost", "damaged"):
        return scans
    here = scans[-1].place
    morning = _morning(scans[-1].at, trip, rng)
    if profile in ("late", "weather_delay"):
        est = est or trip.promised + DAY
        morning = max(morning, _morning(est - 20 * HOUR, trip, rng))
    return [*scans, *_last_mile(trip, profile, rng, morning, here)]


def _line_haul(trip: Trip, profile: str, rng: random.Random) -> tuple[list[Scan], float | None]:
    """Return the scans up to the delivery office, and the new estimate where one was told."""
    steps = _steps(trip, rng)
    scans = [_moving(steps[0][0], "received_at_origin_facility", _place(trip.lane.origin))]
    hubs = steps[1:-1]
    for number, (arrival, departure) in enumerate(hubs):
        city, state = trip.lane.stops[number % len(trip.lane.stops)]
        town = (city, state, "US", "")
        scans += [
            _moving(arrival, "arrived_at_facility", town),
            _moving(departure, "departed_facility", town),
        ]
        if number == 0 and profile == "lost":
            return scans[:2], None
    if profile == "damaged":
        return [*scans[:2], _failed(scans[1].at + rng.uniform(1, 5) * HOUR, scans[1].place)], None
    est: float | None = None
    if profile in ("late", "weather_delay"):
        est = trip.promised + rng.randint(1, 3) * DAY
        detail = "weather_delay" if profile == "weather_delay" or rng.random() < 0.3 else "delayed"
        at = scans[1].at + rng.uniform(0.5, 2) * HOUR
        scans = [*scans[:2], replace(_moving(at, detail, scans[1].place), est=est), *_after(scans[2:], at)]
    office = _moving(steps[-1][0], "arrived_at_destination", _place(trip.lane.destination))
    scans = [*scans, *_after([office], scans[-1].at)]
    return (_silent(scans, rng) if profile == "silent" else scans), est


def _steps(trip: Trip, rng: random.Random) -> list[tuple[float, float]]:
    """Return arrival and departure of origin, each hub and the delivery office, squeezed to keep the promise.

    The first scan follows the hand-over sooner than it follows the label: the wait at the dock is behind it.
    """
    accepted = trip.handed_over + min(_lognormal(rng, 3, 10), 14.0) * HOUR
    hubs = 1 if trip.lane.zone <= 2 else 2 if trip.lane.zone <= 5 else 3
    speed = 45.0 if trip.days > 3 or trip.lane.miles < 400 else 300.0  # the quick services fly
    legs = [trip.lane.miles / (hubs + 1) / speed * max(0.4, rng.gauss(1, 0.25)) for _ in range(hubs + 1)]
    dwells = [min(_lognormal(rng, 4, 13), 20.0) for _ in range(hubs)]
    room = (trip.promised - 16 * HOUR - accepted) / HOUR
    squeeze = min(1.0, max(room / (sum(legs) + sum(dwells)), 0.1))
    steps, now = [(accepted, accepted)], accepted
    for leg, dwell in zip(legs, [*dwells, 0.0], strict=True):
        arrival = now + leg * squeeze * HOUR
        now = arrival + dwell * squeeze * HOUR
        steps.append((arrival, now))
    return steps


def _last_mile(
    trip: Trip, profile: str, rng: random.Random, morning: float, here: tuple[str, ...]
) -> list[Scan]:
    scans = [Scan(at=morning, status="out_for_delivery", detail="out_for_delivery", place=here)]
    at = morning + min(max(rng.gauss(5, 2), 0.5), 10.0) * HOUR
    if profile == "return_to_sender":
        return [*scans, *_homeward(at, trip, here)]
    if profile == "failed_attempt":
        morning = _morning(at + 8 * HOUR, trip, rng)
        scans.append(_moving(at, "delivery_exception", here))
        scans.append(Scan(at=morning, status="out_for_delivery", detail="out_for_delivery", place=here))
        at = morning + min(max(rng.gauss(5, 2), 0.5), 10.0) * HOUR
    scans.append(Scan(at=at, status="delivered", detail="delivered", place=here))
    if profile == "duplicates":
        scans.append(replace(scans[-1], at=at + 1.5 * HOUR))  # carriers scan delivered parcels again
    return scans


def _homeward(at: float, trip: Trip, here: tuple[str, ...]) -> list[Scan]:
    back = [(at + 3 * HOUR, here), (at + 1.5 * DAY, here), (at + 4 * DAY, _place(trip.lane.origin))]
    return [
        _moving(at, "refused", here),
        *(Scan(at=then, status="return_to_sender", detail="return", place=place) for then, place in back),
    ]


def _silent(scans: list[Scan], rng: random.Random) -> list[Scan]:
    """Return the scans with four to five days of nothing behind the first hub."""
    gap = rng.uniform(4.0, 5.0) * DAY
    return [*scans[:2], *(replace(scan, at=scan.at + gap) for scan in scans[2:])]


def _after(scans: list[Scan], at: float) -> list[Scan]:
    """Return the scans, moved together where the first would come too early."""
    push = max(0.0, at + HOUR / 2 - scans[0].at)
    return [replace(scan, at=scan.at + push) for scan in scans]


def _morning(at: float, trip: Trip, rng: random.Random) -> float:
    """Return the next loading of the vans: 06:00 to 10:00 local, 10 to 40 minutes after the last scan or later.

    On Sundays only USPS goes out.
    """
    local = datetime.fromtimestamp(at, UTC) + timedelta(hours=trip.lane.offset)
    start = local.replace(hour=6, minute=0, second=0, microsecond=0) + timedelta(hours=rng.uniform(0.2, 4.0))
    ready = local + timedelta(minutes=rng.uniform(10, 40))
    while start < ready or (start.weekday() == 6 and trip.carrier != "USPS"):
        start += timedelta(days=1)
    return start.timestamp() - trip.lane.offset * HOUR


def _lognormal(rng: random.Random, median: float, p90: float) -> float:
    """Return hours from the lognormal distribution with this median and 90th percentile."""
    return median * math.exp(math.log(p90 / median) * rng.gauss(0, 1) / 1.2816)


def _moving(at: float, detail: str, place: tuple[str, ...]) -> Scan:
    return Scan(at=at, status="in_transit", detail=detail, place=place)


def _failed(at: float, place: tuple[str, ...]) -> Scan:
    return Scan(at=at, status="failure", detail="damaged", place=place)


def _place(town: str) -> tuple[str, ...]:
    city, state, country, postal = town.split("|")
    return city, state, country, postal
