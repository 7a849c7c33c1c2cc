"""Shop time: one factor between the real clock and the one the shop and its providers live by."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """Shop time runs `speed` times as fast as real time; both agree at `anchor` (epoch seconds)."""

    anchor: float
    speed: float

    def now(self) -> float:
        """Return the shop time as epoch seconds."""
        return self.shop(time.time())

    def shop(self, real: float) -> float:
        """Return the shop time that belongs to a real instant."""
        return self.anchor + (real - self.anchor) * self.speed

    def real(self, shop: float) -> float:
        """Return the real instant at which the shop time is reached."""
        return self.anchor + (shop - self.anchor) / self.speed


def iso(epoch: float) -> str:
    """Return the instant as RFC 3339 in UTC, to the second."""
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def epoch(text: str) -> float:
    """Return epoch seconds of an ISO instant; one without an offset is taken as UTC."""
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
