"""What the demo sees of its orders: all of them in one query per look, what changed, and how long nobody answered."""

import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from sqlalchemy.exc import OperationalError

from fulfillment.domain.cases import OWNER, CaseKind, Owner
from fulfillment.domain.order import ENDED
from fulfillment.domain.payment import OrderPayment
from fulfillment.domain.shipment import WorkStatus
from fulfillment.domain.stage import Stage
from fulfillment.domain.view import OrderView

_PACKED: Final = (WorkStatus.PACKED, WorkStatus.LABELED, WorkStatus.HANDED_OVER, WorkStatus.CLOSED)
_LEFT: Final = (WorkStatus.HANDED_OVER, WorkStatus.CLOSED)
_UNPAID: Final = (
    OrderPayment.NONE,
    OrderPayment.PENDING,
    OrderPayment.ACTION_REQUIRED,
    OrderPayment.DECLINED,
    OrderPayment.VOIDED,
)
_PEOPLE: Final = (Owner.CUSTOMER, Owner.SUPPORT, Owner.WAREHOUSE, Owner.OPS)


class Views(Protocol):
    """Where orders are read."""

    def several(self, order_ids: Collection[str]) -> Sequence[OrderView]:
        """Return everything about these orders, as far as they exist; one statement."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """An order that looks different from the last look; `at` is shop time."""

    at: datetime
    view: OrderView
    stage: Stage
    attention: CaseKind | None
    held: tuple[str, ...]
    new_stage: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How far the orders are, all together."""

    placed: int = 0
    paid: int = 0
    packed: int = 0
    shipped: int = 0
    delivered: int = 0
    need_a_person: int = 0

    @classmethod
    def of(cls, views: Iterable[OrderView]) -> "Counts":
        """Count."""
        views = tuple(views)
        return cls(
            placed=len(views),
            paid=sum(view.payment.status not in _UNPAID or view.order.total == 0 for view in views),
            packed=sum(all_parts(view, _PACKED) for view in views),
            shipped=sum(all_parts(view, _LEFT) for view in views),
            delivered=sum(view.stage is Stage.DELIVERED for view in views),
            need_a_person=sum(needs_a_person(view) for view in views),
        )


def all_parts(view: OrderView, statuses: Collection[WorkStatus]) -> bool:
    """Test whether every part that was not cancelled is that far."""
    parts = [part for part in view.shipments if part.work_status is not WorkStatus.CANCELLED]
    return bool(parts) and all(part.work_status in statuses for part in parts)


def needs_a_person(view: OrderView) -> bool:
    """Test whether the order waits for somebody to act."""
    if view.status in ENDED:
        return False
    return bool(view.holds) or any(OWNER[case.kind] in _PEOPLE for case in view.cases)


class Board:
    """The latest view of every order. One thread looks; others read, and wait for what they want to see."""

    def __init__(self, views: Views, order_ids: Sequence[str], now: Callable[[], datetime]) -> None:
        self._views, self._now = views, now
        self._wanted = list(order_ids)
        self._seen: dict[str, OrderView] = {}
        self._changes: list[Change] = []
        self._news = threading.Condition()
        self._away_since: float | None = None

    def add(self, order_id: str) -> None:
        """Watch one more order."""
        with self._news:
            self._wanted.append(order_id)

    def look(self) -> list[Change]:
        """Read every order once and return what changed. With the database away nothing does."""
        try:
            views = self._views.several(tuple(self._wanted))
        except OperationalError:
            self._away_since = self._away_since or time.monotonic()
            return []
        self._away_since = None
        changes = [change for view in views if (change := self._compare(view))]
        with self._news:
            self._seen |= {view.order.order_id: view for view in views}
            self._changes += changes
            self._news.notify_all()
        return changes

    @property
    def blind_for(self) -> float:
        """For how many seconds the database has not answered; 0 while it does."""
        return time.monotonic() - self._away_since if self._away_since is not None else 0.0

    @property
    def views(self) -> dict[str, OrderView]:
        """The latest views by order, in the order in which they are placed."""
        with self._news:
            return {order_id: self._seen[order_id] for order_id in self._wanted if order_id in self._seen}

    @property
    def wanted(self) -> tuple[str, ...]:
        """Every order that is watched, whether it is there yet or not."""
        with self._news:
            return tuple(self._wanted)

    @property
    def changes(self) -> tuple[Change, ...]:
        """Everything that changed since the beginning."""
        with self._news:
            return tuple(self._changes)

    def wait(self, order_id: str, there: Callable[[OrderView], bool], seconds: float) -> OrderView | None:
        """Return the order's view once it is as wanted; None if it is not within `seconds`."""

        def seen() -> bool:
            return order_id in self._seen and there(self._seen[order_id])

        with self._news:
            return self._seen[order_id] if self._news.wait_for(seen, seconds) else None

    def _compare(self, view: OrderView) -> Change | None:
        before = self._seen.get(view.order.order_id)
        if before is not None and _looks(before) == _looks(view):
            return None
        stage, attention, held = _looks(view)
        return Change(
            at=self._now(),
            view=view,
            stage=stage,
            attention=attention,
            held=held,
            new_stage=before is None or before.stage is not view.stage,
        )


def _looks(view: OrderView) -> tuple[Stage, CaseKind | None, tuple[str, ...]]:
    return view.stage, view.attention, tuple(sorted(hold.reason for hold in view.holds))
