"""EasyPost's tracking words into ours.

Statuses and details are from https://docs.easypost.com/docs/trackers and the types of its client 8.9.0 for
Node; what a detail means for us is our own reading of it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from types import MappingProxyType
from typing import Any, Final

from fulfillment.domain.reasons import Reason
from fulfillment.domain.tracking import CarrierStatus, Flag, Scan
from fulfillment.providers.carriers.meanings import Meaning, Moment, scan_of

PROVIDER: Final = "easypost"
_C, _R = CarrierStatus, Reason

# "unknown" and "error" say nothing and "failure" needs its detail: none of them moves the parcel.
STATUSES: Final[Mapping[str, CarrierStatus | None]] = MappingProxyType(
    {
        "unknown": None,
        "pre_transit": _C.PRE_TRANSIT,
        "in_transit": _C.IN_TRANSIT,
        "out_for_delivery": _C.OUT_FOR_DELIVERY,
        "delivered": _C.DELIVERED,
        "available_for_pickup": _C.AVAILABLE_FOR_PICKUP,
        "return_to_sender": _C.RETURN_TO_SENDER,
        "failure": None,
        "cancelled": _C.CANCELLED,
        "error": None,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What a detail adds to the status it came with.

    `status` replaces a status that is one of `instead_of`.
    """

    status: CarrierStatus | None = None
    instead_of: frozenset[CarrierStatus | None] = frozenset({_C.IN_TRANSIT, None})
    flag: Flag | None = None
    reason: Reason | None = None


_NOTHING: Final = Effect()
DETAILS: Final[Mapping[str, Effect]] = MappingProxyType(
    dict.fromkeys(
        (
            "label_created",
            "out_for_delivery",
            "cancelled",
            "in_transit",
            "arrived_at_facility",
            "departed_facility",
            "departed_origin_facility",
            "arrived_at_destination",
            "received_at_destination_facility",
            "transferred_to_destination_carrier",
            "status_update",
            "unknown",
            "arrived_at_pickup_location",
        ),
        _NOTHING,
    )
    | {
        "received_at_origin_facility": Effect(status=_C.PICKED_UP, instead_of=frozenset({_C.IN_TRANSIT})),
        "delivery_exception": Effect(status=_C.ATTEMPTED, reason=_R.CONSIGNEE_NOT_AVAILABLE),
        "return": Effect(status=_C.RETURN_TO_SENDER),
        "refused": Effect(reason=_R.CONSIGNEE_REFUSED),
        "address_correction": Effect(reason=_R.CONSIGNEE_INCORRECT_ADDRESS),
        "damaged": Effect(flag=Flag.DAMAGED, reason=_R.CARRIER_DAMAGED_PARCEL),
        "lost": Effect(status=_C.LOST, reason=_R.CARRIER_PARCEL_LOST),
        "missorted": Effect(flag=Flag.DELAYED, reason=_R.CARRIER_SORTING_ERROR),
        "delayed": Effect(flag=Flag.DELAYED),
        "transit_exception": Effect(flag=Flag.DELAYED),
        "weather_delay": Effect(flag=Flag.DELAYED, reason=_R.WEATHER_DELAY),
        "held": Effect(flag=Flag.ON_HOLD),
        "awaiting_information": Effect(flag=Flag.ON_HOLD),
        "failure": Effect(reason=_R.UNKNOWN),
        "expired": Effect(reason=_R.UNKNOWN),
    }
)

# What the carrier's own sentence may add to a failed attempt; the first that fits.
_ATTEMPT_SAYS: Final = (
    ("refus", _R.CONSIGNEE_REFUSED),
    ("clos", _R.CONSIGNEE_BUSINESS_CLOSED),
    ("access", _R.CONSIGNEE_ACCESS_RESTRICTED),
    ("address", _R.CONSIGNEE_INCORRECT_ADDRESS),
    ("home", _R.CONSIGNEE_NOT_HOME),
)


def scans_of(tracker: Mapping[str, Any]) -> tuple[Scan, ...]:
    """Return the whole history of a tracker as scans; one without a time cannot be placed and is left out."""
    details = [d for d in tracker.get("tracking_details") or () if d.get("datetime")]
    abroad = len({country for d in details if (country := _where(d).get("country"))}) > 1
    return tuple(_scan(detail, abroad=abroad) for detail in details)


def arrival_of(tracker: Mapping[str, Any]) -> date | None:
    """Return the day on which the carrier expects to deliver."""
    expected = tracker.get("est_delivery_date")
    return date.fromisoformat(str(expected)[:10]) if expected else None


def translate(status: str, word: str, *, text: str = "", abroad: bool = False) -> Meaning:
    """Return what a status means with its detail and the carrier's own sentence."""
    effect, base = DETAILS.get(word, _NOTHING), STATUSES.get(status)
    return Meaning(
        status=effect.status if effect.status and base in effect.instead_of else base,
        flag=Flag.CUSTOMS if effect.flag is Flag.ON_HOLD and abroad else effect.flag,
        reason=_reason(status, word, effect, text),
        is_unknown=status not in STATUSES or bool(word and word not in DETAILS),
    )


def _scan(detail: Mapping[str, Any], *, abroad: bool) -> Scan:
    status, word = str(detail.get("status") or ""), str(detail.get("status_detail") or "")
    text = str(detail.get("message") or detail.get("description") or "")
    return scan_of(
        translate(status, word, text=text, abroad=abroad),
        _moment(str(detail["datetime"])),
        provider=PROVIDER,
        code=_joined((status, word, detail.get("carrier_code")), "."),
        place=_joined((_where(detail).get("city"), _region(detail)), ", "),
        text=text,
    )


def _reason(status: str, word: str, effect: Effect, text: str) -> Reason | None:
    if word == "delivery_exception":
        said = text.casefold()
        return next((reason for sign, reason in _ATTEMPT_SAYS if sign in said), effect.reason)
    return effect.reason or (_R.UNKNOWN if status == "failure" and effect == _NOTHING else None)


def _where(detail: Mapping[str, Any]) -> Mapping[str, Any]:
    return detail.get("tracking_location") or {}


def _region(detail: Mapping[str, Any]) -> str:
    where = _where(detail)
    return str(where.get("state") or where.get("country") or "")


def _joined(parts: Iterable[Any], by: str) -> str:
    return by.join(str(part) for part in parts if part)


def _moment(text: str) -> Moment:
    """Return the instant; EasyPost's are in UTC even where they do not say so."""
    at = datetime.fromisoformat(text)
    return Moment(at=at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC))
