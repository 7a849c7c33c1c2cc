"""What a carrier owes us for goods that it lost or broke: a claim with a deadline, which ends with what came of it.

It is between us and the carrier: no customer hears of it and no order waits for it. A person files it where the
carrier wants it, because no API here does: EasyPost takes claims for what was insured with it and for USPS labels whose
goods' value it was told when they were bought (https://docs.easypost.com/docs/insurance/claims,
https://docs.easypost.com/guides/carrier-claims-guide), and we do neither; it has no call for a trace.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from fulfillment.domain.cases import Owner
from fulfillment.domain.errors import FulfillmentError
from fulfillment.domain.money import format_minor
from fulfillment.domain.policy import Policy
from fulfillment.domain.settlement import Cause

# What a carrier answers for. Of what it calls delivered it has proof, which a trace questions first; what nobody took
# comes back, and is no loss before it does not.
_BECAME: Final[Mapping[Cause, str]] = MappingProxyType(
    {
        Cause.LOST: "is lost",
        Cause.SILENT: "was silent for too long",
        Cause.CARRIER_PROBLEM: "was given up for a problem there",
        Cause.DAMAGED: "is damaged",
    }
)
CLAIMABLE: Final = frozenset(_BECAME)


class ClaimOutcome(StrEnum):
    """What came of a claim."""

    PAID = "paid"
    REFUSED = "refused"
    NOT_WORTH_IT = "not_worth_it"  # the fee, or the time it takes, is more than there is to get
    FOUND = "found"  # the parcel turned up: there is nothing to claim


class ClaimRefused(FulfillmentError):
    """The claim cannot be ended so; the message says why, and what can be done instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CarrierClaim:
    """A claim. `amount` is what the goods cost the customer, in minor units; `deadline` is the last day to file it."""

    case_id: str
    order_id: str
    parcel_id: str
    carrier: str
    tracking_number: str
    cause: Cause
    amount: int
    currency: str
    deadline: date
    due_at: datetime
    owner: Owner


def deadline(left_at: datetime, policy: Policy) -> date:
    """Return the last day on which a carrier takes a claim, counted from the day on which it got the parcel."""
    return (left_at + policy.carrier_claim_within).date()


def due_at(last: date, now: datetime, policy: Policy) -> datetime:
    """Return from when on the next owner is called, so that somebody still has the time to file it."""
    return max(now, datetime.combine(last, datetime.min.time(), now.tzinfo) - policy.carrier_claim_lead)


def task(
    carrier: str, parcel_id: str, tracking_number: str, cause: Cause, amount: int, currency: str, last: date
) -> str:
    """Return what is to be done, in a sentence."""
    return (
        f"file a claim with {carrier} until {last:%a} {last.day} {last:%b}: {parcel_id} ({tracking_number}) "
        f"{_BECAME[cause]}, {format_minor(amount, currency)}"
    )
