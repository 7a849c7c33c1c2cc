"""When a place works: its zone, the hour after which work counts for the next day, and the days it is closed."""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from fulfillment.domain.errors import FulfillmentError

MONDAY_TO_FRIDAY: Final = frozenset(range(5))
_DAY: Final = timedelta(days=1)
# A calendar that is closed for longer than this has a mistake in it.
_LONGEST_REST: Final = 60


class InvalidCalendar(FulfillmentError):
    """The calendar could never be worked by; `param` names what is wrong with it."""

    def __init__(self, param: str, why: str) -> None:
        super().__init__(f"{param}: {why}")
        self.param, self.why = param, why


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """A place's own days. `cut_off` is local time; `working_days` are 0 for Monday to 6 for Sunday."""

    zone: str = "UTC"
    cut_off: time = time(14)
    working_days: frozenset[int] = MONDAY_TO_FRIDAY
    closed_days: frozenset[date] = frozenset()

    def __post_init__(self) -> None:
        """Refuse what nobody could work by.

        Raises:
            InvalidCalendar: the zone is unknown, or there is no working day.
        """
        try:
            ZoneInfo(self.zone)
        except (
            KeyError,
            ValueError,
            OSError,
        ):  # unknown; not a name at all; a folder of them, such as America
            why = f"{self.zone!r} is no zone of the IANA list, such as Europe/Berlin"
            raise InvalidCalendar("zone", why) from None
        if not self.working_days or not self.working_days <= set(range(7)):
            raise InvalidCalendar("working_days", "at least one of 0 (Monday) to 6 (Sunday) is needed")
        if self.cut_off.tzinfo is not None:
            raise InvalidCalendar("cut_off", "is the place's own time and names no zone")

    def is_open(self, day: date) -> bool:
        """Test whether the place works on this day."""
        return day.weekday() in self.working_days and day not in self.closed_days

    def open_day(self, day: date) -> date:
        """Return this day, or the first one after it on which the place works.

        Raises:
            InvalidCalendar: it is closed for months.
        """
        for _ in range(_LONGEST_REST):
            if self.is_open(day):
                return day
            day += _DAY
        raise InvalidCalendar("closed_days", f"the place does not work for {_LONGEST_REST} days on end")

    def after(self, day: date, days: int) -> date:
        """Return the day that comes `days` working days after this one."""
        day = self.open_day(day)
        for _ in range(days):
            day = self.open_day(day + _DAY)
        return day

    def today(self, now: datetime) -> date:
        """Return the day it is there."""
        return now.astimezone(ZoneInfo(self.zone)).date()

    def work_day(self, now: datetime) -> date:
        """Return the day for which work asked for at `now` counts: today until the cut-off, then the next one."""
        local = now.astimezone(ZoneInfo(self.zone))
        late = local.time() >= self.cut_off
        return self.open_day(local.date() + _DAY if late else local.date())

    def end_of(self, day: date) -> datetime:
        """Return the instant at which this day ends there."""
        return datetime.combine(day + _DAY, time(), ZoneInfo(self.zone))
