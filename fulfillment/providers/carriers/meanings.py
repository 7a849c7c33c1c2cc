"""The one shape of every carrier's table: a code, and what it means for a parcel."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from fulfillment.domain.reasons import Reason
from fulfillment.domain.tracking import CarrierStatus, Flag, Scan


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """What a carrier's code says of a parcel. Without a status it moves nothing."""

    status: CarrierStatus | None = None
    flag: Flag | None = None
    reason: Reason | None = None
    is_unknown: bool = False


# A code in no table: kept as it came, moves nothing, and is counted.
UNKNOWN: Final = Meaning(is_unknown=True)
# A code that we know and that says nothing about where the parcel is.
NOTHING: Final = Meaning()


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When something happened; `assumed` if the carrier named no zone and nothing else said which."""

    at: datetime
    assumed: bool = False


def scan_of(
    meaning: Meaning, moment: Moment, *, provider: str, code: str, place: str = "", text: str = ""
) -> Scan:
    """Return a provider's event as a scan."""
    return Scan(
        status=meaning.status,
        occurred_at=moment.at,
        code=code,
        place=place,
        text=text,
        flag=meaning.flag,
        reason=meaning.reason,
        provider=provider,
        is_unknown=meaning.is_unknown,
        zone_assumed=moment.assumed,
    )
