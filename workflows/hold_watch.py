"""The holds of one order: placed, released, and what happens to one that nobody answers."""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import NoReturn, Protocol

from temporalio import workflow

from fulfillment.domain.cases import CaseKind
from fulfillment.domain.holds import ADDRESS_CHECK, SCOPE, Hold, HoldDefault, HoldReason, HoldScope
from fulfillment.domain.policy import Policy, Shortage, Substitution
from fulfillment.domain.record import PlaceHold, ReleaseHold, WaitForAll
from workflows import steps
from workflows.casebook import Casebook


class HeldOrder(Protocol):
    """What is needed of the order that is held."""

    order_id: str
    policy: Policy
    cases: Casebook

    def now(self) -> datetime:
        """The shop's time."""
        ...

    async def within(self, span: timedelta | None, there: Callable[[], bool], caption: str) -> bool:
        """Wait at most a span of shop time; return whether it came true."""
        ...

    async def read_the_books(self) -> None:
        """Take over the order as the books have it now."""
        ...

    async def give_up(self, why: str, request_id: str) -> None:
        """Stop what has not left, because nobody answered."""
        ...

    async def settle_shortage(self, request_id: str) -> None:
        """Do what the policy says when the customer does not answer what becomes of what is missing."""
        ...

    def show(self) -> None:
        """Bring what people see up to date."""
        ...


class HoldWatch:
    """Every hold that stands has a due time; one that nobody answers takes its default."""

    def __init__(self, order: HeldOrder) -> None:
        self._order = order
        self._standing: dict[HoldReason, Hold] = {}
        self._ended: set[str] = set()  # by id: the answer of a deed that began before may still name one
        self._settled: set[Hold] = (
            set()
        )  # as they were when their default was done: one may be given more time
        self._answered: set[str] = set()  # by id: stock holds whose customer waits for all of it

    @property
    def standing(self) -> tuple[Hold, ...]:
        """The holds that stand, oldest first."""
        return tuple(self._standing.values())

    @property
    def blocks_capture(self) -> bool:
        """Whether one stands that keeps money from being taken."""
        return any(SCOPE[reason] in (HoldScope.CAPTURE, HoldScope.BOTH) for reason in self._standing)

    def stands(self, reason: HoldReason) -> bool:
        """Test whether there is a hold for this reason."""
        return reason in self._standing

    @property
    def waits_for_all(self) -> bool:
        """Whether a stock hold stands about which nobody is asked any more."""
        return any(hold.hold_id in self._answered for hold in self.standing)

    def take_over(self, holds: Iterable[Hold]) -> None:
        """Take over what stands in the books, and nothing else."""
        before, self._standing = set(self._standing), {}
        for hold in holds:
            self.note(hold)
        for reason in before - set(self._standing):
            if case := _CASES.get(reason):
                self._order.cases.over(self._order.order_id, case)

    def clear(self) -> None:
        """Forget them all: the order has ended."""
        self._standing.clear()

    def note(self, hold: Hold) -> None:
        """Note a hold that a deed placed, or found; one that was released meanwhile stays released."""
        if hold.hold_id in self._ended:
            return
        self._standing[hold.reason] = hold
        case = _CASES.get(hold.reason)
        if case and self._needs_a_person(hold):
            self._order.cases.joined(
                self._order.order_id, case, now=hold.placed_at, due_at=hold.due_at, note=hold.note
            )

    def _needs_a_person(self, hold: Hold) -> bool:
        """Whether the books opened a case with it: an order that ships only whole asks nobody."""
        if hold.reason is HoldReason.STOCK:
            return _asks(self._order.policy) and hold.hold_id not in self._answered
        if hold.reason is HoldReason.ADDRESS:
            return hold.placed_by == ADDRESS_CHECK
        return hold.reason is HoldReason.FRAUD

    async def wait_for_all(self, *, by: str, request_id: str) -> None:
        """Give a stock hold the time that its customer gives us; nobody is asked any more."""
        self._answered.add(self._standing[HoldReason.STOCK].hold_id)
        request = WaitForAll(order_id=self._order.order_id, by=by, request_id=request_id)
        self.take_over(await steps.wait_for_all(request))
        self._order.cases.over(self._order.order_id, CaseKind.OUT_OF_STOCK)

    async def place(
        self, reason: HoldReason, due_at: datetime, *, by: str, request_id: str, note: str
    ) -> None:
        """Put a hold on the order; a second one for the same reason joins the first."""
        self.note(
            await steps.place_hold(
                PlaceHold(
                    order_id=self._order.order_id,
                    reason=reason,
                    by=by,
                    request_id=request_id,
                    due_at=due_at,
                    note=note,
                )
            )
        )

    async def release(
        self, reason: HoldReason | None, *, by: str, request_id: str, note: str = "", defaulted: bool = False
    ) -> None:
        """End one hold, or every one, and the case that came with it."""
        request = ReleaseHold(
            order_id=self._order.order_id,
            reason=reason,
            by=by,
            request_id=request_id,
            defaulted=defaulted,
            note=note,
        )
        left = await steps.release_hold(request)
        self._ended |= {hold.hold_id for hold in self.standing} - {hold.hold_id for hold in left.holds}
        self._standing = {hold.reason: hold for hold in left.holds}
        for ended, case in _CASES.items():
            if ended not in self._standing:
                await self._order.cases.resolve(self._order.order_id, case, resolution=f"released by {by}")

    async def watch(self) -> NoReturn:
        """Wait for holds that nobody answers, for ever."""
        while True:
            await workflow.wait_condition(lambda: bool(self._watched()))
            hold = min(self._watched(), key=lambda h: (h.due_at, h.hold_id))
            if await self._is_not_answered(hold) and await self._stands_in_the_books(hold):
                self._settled.add(hold)
                await self._default(hold)
                self._order.show()

    def _watched(self) -> set[Hold]:
        return set(self._standing.values()) - self._settled

    async def _is_not_answered(self, hold: Hold) -> bool:
        def answered() -> bool:
            return hold not in self._watched()

        caption = f"{hold.default} if the {hold.reason} hold is not answered"
        return not await self._order.within(hold.due_at - self._order.now(), answered, caption)

    async def _stands_in_the_books(self, hold: Hold) -> bool:
        """Ask before its default is done: nothing is cancelled for a hold that somebody ended or gave more time."""
        await self._order.read_the_books()
        return any(one.hold_id == hold.hold_id and one.due_at <= hold.due_at for one in self.standing)

    async def _default(self, hold: Hold) -> None:
        """Do what the hold's reason says is done when nobody answers."""
        request_id = f"{hold.hold_id}:default"
        match hold.default:
            case HoldDefault.ESCALATE:
                await self._escalate(hold)
            case HoldDefault.CANCEL:
                await self._order.give_up(f"{hold.reason} hold not answered", request_id)
            case HoldDefault.POLICY:
                await self._order.settle_shortage(request_id)
            case HoldDefault.RELEASE:
                await self.release(hold.reason, by="policy", request_id=request_id, defaulted=True)

    async def _escalate(self, hold: Hold) -> None:
        now, policy = self._order.now(), self._order.policy
        await self._order.cases.open(
            self._order.order_id, CaseKind.ON_HOLD, now=now, policy=policy, note=hold.note
        )


def _asks(policy: Policy) -> bool:
    """Test whether a hold about stock asks; where only whole orders ship, what is offered stands in the books."""
    offers = policy.substitution is Substitution.CONSENT and policy.shortage is not Shortage.SHIP_COMPLETE
    return offers or policy.shortage is Shortage.ASK


_CASES = {
    HoldReason.FRAUD: CaseKind.FRAUD_REVIEW,
    HoldReason.STOCK: CaseKind.OUT_OF_STOCK,
    HoldReason.MANUAL: CaseKind.ON_HOLD,
    HoldReason.ADDRESS: CaseKind.ADDRESS_PROBLEM,
}
