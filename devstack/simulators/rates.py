"""What carriers ask for a parcel, how far it goes, and the numbers they print on it."""

import hashlib
import math
import random
import re
from dataclasses import asdict, dataclass
from typing import Any, Final

from devstack.simulators.store import Json

OUNCES: Final = 16
_PO_BOX: Final = re.compile(r"\bP\.?\s*O\.?\s*BOX\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """A part of the world by rough centre (degrees), UTC offset (hours) and the towns parcels pass through."""

    latitude: float
    longitude: float
    offset: int
    towns: tuple[tuple[str, str], ...]


def _region(latitude: float, longitude: float, offset: int, towns: str) -> Region:
    pairs = tuple((town[:-3], town[-2:]) for town in towns.split(", "))
    return Region(latitude=latitude, longitude=longitude, offset=offset, towns=pairs)


# By the first digit of the postal code. Offsets are standard time: a summer hour moves no promise by a day.
UNITED_STATES: Final = (
    _region(42.3, -72.0, -5, "Springfield MA, Worcester MA, Newark NJ"),
    _region(40.9, -75.5, -5, "Albany NY, Allentown PA, Harrisburg PA"),
    _region(37.0, -78.5, -5, "Richmond VA, Charlotte NC, Greensboro NC"),
    _region(32.0, -83.5, -5, "Atlanta GA, Jacksonville FL, Nashville TN"),
    _region(40.2, -84.0, -5, "Columbus OH, Indianapolis IN, Louisville KY"),
    _region(44.5, -92.5, -6, "Minneapolis MN, Des Moines IA, Milwaukee WI"),
    _region(39.5, -92.0, -6, "Kansas City MO, Chicago IL, Saint Louis MO"),
    _region(32.0, -95.5, -6, "Dallas TX, Houston TX, Oklahoma City OK"),
    _region(38.5, -109.0, -7, "Denver CO, Salt Lake City UT, Phoenix AZ"),
    _region(39.0, -120.0, -8, "Los Angeles CA, Oakland CA, Portland OR"),
)
ABROAD: Final = {
    "CA": _region(45.0, -78.0, -5, "Mississauga ON, Montreal QC"),
    "GB": _region(52.0, -1.5, 0, "Coventry GB, Langley GB"),
    "DE": _region(50.1, 8.7, 1, "Frankfurt HE, Leipzig SN"),
    "FR": _region(48.9, 2.4, 1, "Roissy FR, Lyon FR"),
    "JP": _region(35.7, 139.7, 9, "Kawasaki JP, Osaka JP"),
}
ELSEWHERE: Final = _region(48.0, 10.0, 1, "Amsterdam NL, Leipzig DE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """From where to where: what prices and travel times depend on."""

    miles: float
    zone: int
    offset: int
    domestic: bool
    origin: str
    destination: str
    stops: list[list[str]]

    def as_json(self) -> Json:
        """Return the lane for keeping."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One product of a carrier; prices in cents, `days` by zone 1-2, 3-4, 5-6, 7-8."""

    carrier: str
    name: str
    base: int
    per_pound: int
    days: tuple[int, int, int, int]
    domestic: bool = True
    limit_pounds: int = 150


SERVICES: Final = (
    Service(carrier="USPS", name="GroundAdvantage", base=520, per_pound=62, days=(2, 3, 4, 5), limit_pounds=70),
    Service(carrier="USPS", name="Priority", base=760, per_pound=95, days=(2, 2, 3, 3), limit_pounds=70),
    Service(carrier="USPS", name="Express", base=2840, per_pound=240, days=(1, 1, 2, 2), limit_pounds=70),
    Service(carrier="UPS", name="Ground", base=905, per_pound=58, days=(1, 2, 4, 5)),
    Service(carrier="UPS", name="2ndDayAir", base=1880, per_pound=210, days=(2, 2, 2, 2)),
    Service(carrier="UPS", name="NextDayAirSaver", base=3950, per_pound=390, days=(1, 1, 1, 1)),
    Service(carrier="FedEx", name="FEDEX_GROUND", base=890, per_pound=61, days=(1, 2, 4, 5)),
    Service(carrier="FedEx", name="FEDEX_2_DAY", base=1920, per_pound=205, days=(2, 2, 2, 2)),
    Service(
        carrier="USPS", name="PriorityMailInternational", base=3400, per_pound=420, days=(8, 8, 8, 10),
        domestic=False, limit_pounds=66,
    ),
    Service(
        carrier="UPS", name="UPSWorldwideExpedited", base=5900, per_pound=610, days=(3, 4, 5, 5),
        domestic=False,
    ),
    Service(
        carrier="FedEx", name="INTERNATIONAL_ECONOMY", base=5600, per_pound=590, days=(4, 5, 5, 6),
        domestic=False,
    ),
)  # fmt: skip
CARRIERS: Final = ("USPS", "UPS", "FedEx")
INDIVIDUAL: Final = {
    "USPS": re.compile(r"9[24]\d{20}"),
    "UPS": re.compile(r"1Z[0-9A-Z]{16}"),
    "FedEx": re.compile(r"\d{12}"),
}


def lane(origin: Json, destination: Json, seed: int) -> Lane:
    """Return the lane between two addresses; the same pair of postal codes always gives the same."""
    start, end = _region_of(origin), _region_of(destination)
    a, b = str(origin.get("zip") or ""), str(destination.get("zip") or "")
    rng = random.Random(f"{seed}:lane:{a[:3]}:{b[:3]}")
    miles = max(25.0, _distance(start, end) + rng.uniform(20, 160))
    domestic = _country(origin) == _country(destination)
    zone = next((i for i, limit in enumerate((50, 150, 300, 600, 1000, 1400, 1800), 1) if miles <= limit), 8)
    stops = [list(rng.choice(start.towns)), *(list(town) for town in rng.sample(end.towns, 2))]
    return Lane(
        miles=round(miles, 1), zone=zone, offset=end.offset, domestic=domestic, stops=stops,
        origin=_town(origin), destination=_town(destination),
    )  # fmt: skip


def quotes(to: Json, parcel: Json, way: Lane, seed: int) -> tuple[list[Json], list[Json]]:
    """Return what the carriers ask, and what those that cannot carry it say instead."""
    pounds = float(parcel.get("weight") or 0) / OUNCES
    rates, messages = [], list[Json]()
    for service in SERVICES:
        if service.domestic != way.domestic:
            continue
        problem = _problem(service, pounds, to)
        if problem is None:
            rates.append(_rate(service, pounds, parcel, way, seed))
        elif not any(said["carrier"] == service.carrier for said in messages):
            messages.append(said_by(service.carrier, problem))
    return rates, messages


def said_by(carrier: str, text: str) -> Json:
    """Return a carrier's failure as it stands beside the others' rates."""
    account = _account(carrier)
    return {"carrier": carrier, "carrier_account_id": account, "type": "rate_error", "message": text}


def _problem(service: Service, pounds: float, to: Json) -> str | None:
    if pounds <= 0:
        return "weight: must be greater than 0"
    if pounds > service.limit_pounds:
        return f"shipment exceeds the maximum weight of {service.limit_pounds} lb"
    if service.carrier != "USPS" and _PO_BOX.search(str(to.get("street1") or "")):
        return "delivery to a PO box is not available"
    return None


def _rate(service: Service, pounds: float, parcel: Json, way: Lane, seed: int) -> Json:
    """Return one priced rate. Volume counts like weight: cubic inches per pound as the carriers publish."""
    volume = math.prod(float(parcel.get(side) or 0) for side in ("length", "width", "height"))
    billed = max(pounds, volume / (166 if service.carrier == "USPS" else 139) if volume > 1728 else 0.0)
    chance = random.Random(f"{seed}:{service.name}:{way.zone}:{math.ceil(billed)}").uniform(0.97, 1.03)
    cents = round((service.base + service.per_pound * billed * (0.7 + 0.12 * way.zone)) * chance)
    price = f"{cents / 100:.2f}"
    days = service.days[(way.zone - 1) // 2]
    return {
        "object": "Rate", "mode": "test", "carrier": service.carrier, "service": service.name, "rate": price,
        "currency": "USD", "list_rate": price, "list_currency": "USD",
        "retail_rate": f"{cents * 1.25 / 100:.2f}", "retail_currency": "USD", "billing_type": "easypost",
        "delivery_days": days, "est_delivery_days": days, "delivery_date": None,
        "delivery_date_guaranteed": service.name.startswith("NextDay"),
        "carrier_account_id": _account(service.carrier),
    }  # fmt: skip


def tracking_code(carrier: str, service: str, rng: random.Random) -> str:
    """Return a number in the carrier's own format, check digit included."""
    if carrier == "UPS":
        body = f"W8R42E{'03' if service == 'Ground' else '02'}{rng.randrange(10**7):07d}"
        return f"1Z{body}{_ups_check(body)}"
    if carrier == "FedEx":
        body = f"{rng.randrange(10**11):011d}"
        weighted = sum(int(d) * w for d, w in zip(body, (3, 1, 7) * 4, strict=False))
        return f"{body}{weighted % 11 % 10}"
    body = f"94001{rng.randrange(10**16):016d}"
    weighted = sum(int(d) * (3 if place % 2 == 0 else 1) for place, d in enumerate(reversed(body)))
    return f"{body}{-weighted % 10}"


def _ups_check(body: str) -> int:
    values = [int(c) if c.isdigit() else (ord(c) - 63) % 10 for c in body]
    return -(sum(values[0::2]) + 2 * sum(values[1::2])) % 10


def carrier_of(code: str) -> str:
    """Return the carrier a number looks like; USPS for anything else."""
    return next((name for name, form in INDIVIDUAL.items() if form.fullmatch(code)), "USPS")


def _account(carrier: str) -> str:
    return "ca_" + hashlib.sha256(carrier.encode()).hexdigest()[:32]


def _country(address: Json) -> str:
    return str(address.get("country") or "US").upper()


def _region_of(address: Json) -> Region:
    country, postal = _country(address), str(address.get("zip") or "")
    if country != "US":
        return ABROAD.get(country, ELSEWHERE)
    return UNITED_STATES[int(postal[0])] if postal[:1].isdigit() else UNITED_STATES[6]


def _town(address: Json) -> str:
    parts: list[Any] = [address.get("city"), address.get("state"), _country(address), address.get("zip")]
    return "|".join(str(part or "") for part in parts)


def _distance(start: Region, end: Region) -> float:
    """Return rough miles between two regions' centres."""
    north = (start.latitude - end.latitude) * 69.0
    middle = math.radians((start.latitude + end.latitude) / 2)
    return math.hypot(north, (start.longitude - end.longitude) * 69.0 * math.cos(middle))
