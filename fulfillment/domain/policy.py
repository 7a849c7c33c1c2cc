"""Every wait and every decision a shop may change. An order keeps the version it was placed with."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The shop's rules. Spans are shop time; amounts are minor units of the order's currency."""

    version: str = "2026-11"

    payment_retry_wait: timedelta = timedelta(hours=24)
    authorization_lead: timedelta = timedelta(hours=24)
    unknown_sla: timedelta = timedelta(minutes=15)

    risk_hold_score: int = 75
    hold_default_after: timedelta = timedelta(hours=72)

    handling: timedelta = timedelta(hours=24)
    ship_within: timedelta = timedelta(hours=48)

    transit_days: int = 5
    transit_days_abroad: int = 10
    backorder_days: int = 10
    first_scan_within: timedelta = timedelta(hours=24)
    scan_silence: timedelta = timedelta(hours=48)
    lost_after: timedelta = timedelta(days=10)
    future_scan_tolerance: timedelta = timedelta(minutes=15)

    support_answer_within: timedelta = timedelta(hours=24)
    tracking_link_life: timedelta = timedelta(days=90)


DEFAULT = Policy()
