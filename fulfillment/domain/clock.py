"""The shop's clock: real time, or real time made faster for a demonstration."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShopClock:
    """Shop time runs `speed` times as fast as real time and both agreed at `anchor`.

    In production `speed` is 1 and the two never differ. Provider timeouts and retries are always real time.
    """

    anchor: datetime = _EPOCH
    speed: float = 1.0

    def shop_time(self, real: datetime) -> datetime:
        """Return the shop's time at the real instant `real`."""
        return real if self.speed == 1 else self.anchor + (real - self.anchor) * self.speed

    def real_span(self, span: timedelta) -> timedelta:
        """Return how long a span of shop time really takes."""
        return span if self.speed == 1 else span / self.speed
