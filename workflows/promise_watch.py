"""The promised day of one order: what has not come by the day after it is late, whatever the carrier says."""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Final, NoReturn, Protocol

from temporalio import workflow

_A_DAY: Final = timedelta(days=1)
# A day is over everywhere when it is over at UTC-12; the recipient's own zone is not known here.
_LAST_MIDNIGHT: Final = timedelta(hours=12)


class Expected(Protocol):
    """A parcel that is followed to the door."""

    def is_late(self) -> None:
        """Note that it has not come on the promised day."""
        ...


class PromisedOrder(Protocol):
    """What is needed of the order that was promised."""

    order_id: str
    promise_date: date | None

    def now(self) -> datetime:
        """The shop's time."""
        ...

    def expected(self) -> Sequence[Expected]:
        """What is followed to the door."""
        ...

    async def within(self, span: timedelta | None, there: Callable[[], bool], caption: str) -> bool:
        """Wait at most a span of shop time; return whether it came true."""
        ...


class PromiseWatch:
    """One timer for all parcels of an order, because they share its promise."""

    def __init__(self, order: PromisedOrder) -> None:
        self._order = order

    async def watch(self) -> NoReturn:
        """Say of every parcel that is late that it is, once a day, for ever."""
        while True:
            await workflow.wait_condition(lambda: bool(self._order.expected()))
            late = self._due()
            if late <= self._order.now():
                for parcel in self._order.expected():
                    parcel.is_late()
                late = self._order.now() + _A_DAY
            await self._order.within(
                late - self._order.now(),
                lambda: not self._order.expected(),
                f"{self._order.order_id} should have arrived",
            )

    def _due(self) -> datetime:
        assert self._order.promise_date  # what is under way was promised
        day_after = datetime.combine(self._order.promise_date + _A_DAY, datetime.min.time(), tzinfo=UTC)
        return day_after + _LAST_MIDNIGHT
