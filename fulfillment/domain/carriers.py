"""Carriers as ops see them: in use, paused by a person, or failing by themselves."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from fulfillment.domain.errors import FulfillmentError
from fulfillment.domain.policy import Policy


class CarrierUse(StrEnum):
    """Whether labels are bought of a carrier."""

    IN_USE = "in_use"
    FAILING = "failing"  # its labels fail; still asked
    AWAY = "away"  # they fail for so long that another is taken, unless only this one can keep the promise
    PAUSED = "paused"


class FailsAt(StrEnum):
    """What a failing carrier fails to do."""

    OFFER = "offer"
    LABEL = "label"


class NoSuchPause(FulfillmentError):
    """A carrier cannot be resumed that is not paused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Carrier:
    """A carrier. `said` is its latest failure.

    Of the last 90 days: how many `parcels` left with it, and the working days within which nine of ten arrived.
    """

    name: str
    paused_at: datetime | None = None
    paused_by: str = ""
    why: str = ""
    failing_since: datetime | None = None
    failed_at: datetime | None = None
    fails_at: FailsAt | None = None
    said: str = ""
    parcels: int = 0
    slowest_days: int | None = None

    def use(self, now: datetime, policy: Policy, *, just_failed: bool = False) -> CarrierUse:
        """Return whether labels are bought of it.

        One that fails is given up after a while, and tried again when nobody has seen it fail for as long; by the
        purchase that it `just_failed` not even then.
        """
        if self.paused_at is not None:
            return CarrierUse.PAUSED
        if self.failing_since is None or self.failed_at is None:
            return CarrierUse.IN_USE
        span = policy.carrier_switch_after
        is_fresh = just_failed or now - self.failed_at < span
        return CarrierUse.AWAY if is_fresh and now - self.failing_since >= span else CarrierUse.FAILING

    def is_down(self, now: datetime, policy: Policy) -> bool:
        """Test whether it fails for so long that ops must hear of it."""
        return self.failing_since is not None and now - self.failing_since >= policy.carrier_down_after
